//! Products of bf16 by Intel's AMX: registers that hold tiles of a matrix, and an instruction that multiplies them.

#![allow(unsafe_code)] // Instructions for which there are no functions in stable Rust.

use std::arch::asm;
use std::marker::PhantomData;

use super::arithmetic::{PANEL, Pair, Term};

/// Rows of a tile.
pub(super) const ROWS: usize = 16;
/// Terms of a row of a tile, and rows of a panel that are a tile.
pub(super) const TERMS: usize = 16;

/// Numbers of a row of a tile.
pub(super) const NUMBERS: usize = TERMS * Pair::DEPTH;

/// A row of a tile.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [Pair; TERMS]);

impl Line {
    /// Numbers beside each other, as many as there are.
    #[inline(always)]
    pub fn of(numbers: &[f32]) -> Self {
        let mut line = Self::default();
        match numbers.first_chunk::<NUMBERS>() {
            Some(numbers) => Pair::convert(numbers, &mut line.0),
            None => Pair::convert(numbers, &mut line.0[..numbers.len().div_ceil(Pair::DEPTH)]),
        }
        line
    }

    /// Numbers and those below them, as many as there are.
    #[inline(always)]
    pub fn pairs(first: &[f32], second: &[f32]) -> Self {
        let mut line = Self::default();
        match (first.first_chunk::<TERMS>(), second.first_chunk::<TERMS>()) {
            (Some(first), Some(second)) => {
                line.0 = std::array::from_fn(|lane| Pair::new(first[lane], second[lane]));
            }
            _ => {
                let numbers = first.iter().zip(second);
                for (to, (&first, &second)) in line.0.iter_mut().zip(numbers) {
                    *to = Pair::new(first, second);
                }
            }
        }
        line
    }
}

/// The sums of two tiles of rows and two of columns.
#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [[[f32; PANEL]; 2]; 2 * ROWS]);

/// Whether this processor, which has AVX-512, has tiles of bf16, and the system lets this process use them: Linux asks to
/// be asked.
pub(super) fn available() -> bool {
    #[cfg(target_os = "linux")]
    {
        use std::arch::x86_64::{__cpuid_count, __get_cpuid_max};
        /// `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`.
        const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_long = 18;
        const AMX_BF16: u32 = 1 << 22;
        const AMX_TILE: u32 = 1 << 24;
        let has = AMX_BF16 | AMX_TILE;
        if __get_cpuid_max(0).0 < 7 || __cpuid_count(7, 0).edx & has != has {
            return false;
        }
        // SAFETY: the call reads its two numbers. From then on threads of this process may use tiles, and need somewhat larger
        // stacks for signals, which the system checks.
        let answer =
            unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
        answer == 0
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Tile registers of this thread, each of 16 rows of 64 bytes, until this is dropped. It stays on its thread.
pub(super) struct Tiles(PhantomData<*mut ()>);

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Claims the registers.
    ///
    /// # Safety
    /// [`available`] has said that there are some, and this thread has no other `Tiles`.
    pub unsafe fn claim() -> Self {
        let used: [u8; 16] = std::array::from_fn(|register| u8::from(register < 8));
        let shapes = Shapes {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            bytes: used.map(|used| 64 * u16::from(used)),
            rows: used.map(|used| ROWS as u8 * used),
        };
        // SAFETY: the caller vouches for the instruction, which reads 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &shapes, options(nostack, readonly)) };
        Self(PhantomData)
    }

    /// Puts rows for columns, in four rounds of a quarter of a quarter each: in registers, where a loop would write pair by pair.
    #[inline(always)]
    pub fn turn(&self, lines: &[Line; TERMS], turned: &mut [Line; TERMS]) {
        use std::arch::x86_64::*;
        // SAFETY: `available` is asked where there is AVX-512; a line has the size and the alignment of a register.
        unsafe {
            let x: [__m512i; TERMS] =
                std::array::from_fn(|i| _mm512_load_si512(lines[i].0.as_ptr().cast()));
            // Pairs of two lines, alternating; then of four; then quarters of registers are put in their places.
            let two: [__m512i; TERMS] = std::array::from_fn(|i| match i % 2 {
                0 => _mm512_unpacklo_epi32(x[i], x[i + 1]),
                _ => _mm512_unpackhi_epi32(x[i - 1], x[i]),
            });
            let four: [__m512i; TERMS] = std::array::from_fn(|i| {
                let (group, part) = (i / 4 * 4, i % 4);
                let (a, b) = (two[group + part / 2], two[group + part / 2 + 2]);
                match part % 2 {
                    0 => _mm512_unpacklo_epi64(a, b),
                    _ => _mm512_unpackhi_epi64(a, b),
                }
            });
            let eight: [__m512i; TERMS] = std::array::from_fn(|i| {
                let (half, part) = (i / 8, i % 4);
                let (a, b) = (four[8 * half + part], four[8 * half + 4 + part]);
                match i / 4 % 2 {
                    0 => _mm512_shuffle_i32x4::<0x88>(a, b),
                    _ => _mm512_shuffle_i32x4::<0xdd>(a, b),
                }
            });
            let all: [__m512i; TERMS] = std::array::from_fn(|i| {
                let (a, b) = (eight[i % 8], eight[8 + i % 8]);
                match i / 8 {
                    0 => _mm512_shuffle_i32x4::<0x88>(a, b),
                    _ => _mm512_shuffle_i32x4::<0xdd>(a, b),
                }
            });
            for (to, from) in turned.iter_mut().zip(all) {
                _mm512_store_si512(to.0.as_mut_ptr().cast(), from);
            }
        }
    }

    /// `sums = A M` for a tile of rows, or two, and two of columns: `left` are 16 rows of `A`, as tiles behind each other,
    /// and `below` 16 more; `right` the same of panels, whole tiles in place and, if there is one, a `last` one that
    /// is copied because it ends beyond the panel.
    ///
    /// Each tile adds 16 pairs: the products of the first numbers, fused, those of the second ones, then both to
    /// the sum. Numbers too small to be normal are taken for zero.
    pub fn multiply(
        &self,
        left: &[Line],
        below: Option<&[Line]>,
        right: [&[[Pair; PANEL]]; 2],
        last: Option<[&[Line; TERMS]; 2]>,
        sums: &mut Sums,
    ) {
        let whole = right[0].len() / TERMS;
        let all = whole + usize::from(last.is_some());
        assert!(right[1].len() / TERMS == whole, "panels of one matrix");
        let fits = |lines: &[Line]| lines.len() == all * ROWS;
        assert!(fits(left) && below.is_none_or(fits), "as deep as the panels");
        let below = below.map_or(std::ptr::null(), <[_]>::as_ptr);
        let [last0, last1] =
            last.map_or([std::ptr::null(); 2], |last| last.map(|lines| lines.as_ptr()));
        // SAFETY: that there is a `Tiles` says that the instructions exist and the registers have their shapes. `whole`
        // tiles of 1024 bytes are read from each side, one more of `left` and the copies where there are any, as checked
        // above, and 32 rows of 128 bytes are written.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "test {whole}, {whole}",
                "jz 3f",
                "2:",
                "tileloadd tmm4, [{a0} + {row}]",
                "tileloadd tmm6, [{b0} + {row}]",
                "tileloadd tmm7, [{b1} + {row}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "test {a1}, {a1}",
                "jz 5f",
                "tileloadd tmm5, [{a1} + {row}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a1}, 1024",
                "5:",
                "add {a0}, 1024",
                "add {b0}, 1024",
                "add {b1}, 1024",
                "dec {whole}",
                "jnz 2b",
                "3:",
                "test {last0}, {last0}",
                "jz 4f",
                "tileloadd tmm4, [{a0} + {row}]",
                "tileloadd tmm6, [{last0} + {row}]",
                "tileloadd tmm7, [{last1} + {row}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "test {a1}, {a1}",
                "jz 4f",
                "tileloadd tmm5, [{a1} + {row}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "4:",
                "add {row}, {row}",
                "tilestored [{sums} + {row}], tmm0",
                "tilestored [{sums} + {row} + 64], tmm1",
                "tilestored [{sums} + {row} + 2048], tmm2",
                "tilestored [{sums} + {row} + 2112], tmm3",
                whole = inout(reg) whole => _,
                a0 = inout(reg) left.as_ptr() => _,
                a1 = inout(reg) below => _,
                b0 = inout(reg) right[0].as_ptr() => _,
                b1 = inout(reg) right[1].as_ptr() => _,
                row = inout(reg) 64usize => _,
                last0 = in(reg) last0,
                last1 = in(reg) last1,
                sums = in(reg) sums,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: that there is a `Tiles` says that the instruction exists.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{InstructionSet, Packed, Precision, Start, Strided};

    /// The order in which tiles add: those of 512 numbers one after the other, then such parts.
    fn defined(a: impl Fn(usize) -> f32, m: impl Fn(usize) -> f32, depth: usize) -> f32 {
        let tile = |from: usize, end: usize| {
            let mut parts = [0.0f32; 2];
            for k in from..end.min(from + NUMBERS) {
                parts[k % 2] = a(k).mul_add(m(k), parts[k % 2]);
            }
            parts[0] + parts[1]
        };
        let part = |from: usize| {
            let end = depth.min(from + 512);
            (from..end).step_by(NUMBERS).fold(0.0, |sum, from| sum + tile(from, end))
        };
        (0..depth).step_by(512).map(part).reduce(|sum, part| sum + part).unwrap_or(0.0)
    }

    #[test]
    fn what_is_turned_has_rows_for_columns() {
        if InstructionSet::current() != InstructionSet::Amx {
            println!("amx is not in use");
            return;
        }
        let pair = |row: usize, lane: usize| Pair::new(row as f32, lane as f32);
        let lines = std::array::from_fn(|row| Line(std::array::from_fn(|lane| pair(row, lane))));
        let mut turned = [Line::default(); TERMS];
        // SAFETY: tiles are in use.
        let registers = unsafe { Tiles::claim() };
        registers.turn(&lines, &mut turned);
        for (lane, line) in turned.iter().enumerate() {
            assert_eq!(line.0, std::array::from_fn(|row| pair(row, lane)));
        }
    }

    #[test]
    fn tiles_add_in_the_order_that_is_said() {
        if InstructionSet::current() != InstructionSet::Amx {
            println!("amx is not in use");
            return;
        }
        let mut stream = textgan_random::Key::root(1).stream();
        let mut draw = |n: usize| -> Vec<f32> {
            let bf16 = |x: f32| f32::from_bits(x.to_bits() & 0xffff_0000);
            (0..n).map(|_| bf16(stream.normal())).collect()
        };
        for (rows, depth, columns) in [(1, 1, 1), (33, 70, 49), (16, 64, 32), (47, 1100, 17)] {
            let (a, m) = (draw(rows * depth), draw(depth * columns));
            let matrix = Strided::rows(&m, columns);
            let packed = Packed::with_precision(Precision::Bf16, matrix, depth, columns);
            let mut out = vec![f32::NAN; rows * columns];
            packed.multiply(rows, Strided::rows(&a, depth), Start::Zero, &mut out, columns);
            for (i, out) in out.iter().enumerate() {
                let (row, column) = (i / columns, i % columns);
                let expected = defined(|k| a[row * depth + k], |k| m[k * columns + column], depth);
                assert_eq!(out.to_bits(), expected.to_bits(), "{rows} x {depth} x {columns}, {i}");
            }
        }
    }
}
