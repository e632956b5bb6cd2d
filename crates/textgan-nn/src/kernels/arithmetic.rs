//! What a panel is made of, and how a product multiplies and adds it.

#![allow(unsafe_code)] // The instruction that adds products of pairs.

/// Columns of a panel: one register of AVX-512, two of AVX2.
pub(super) const PANEL: usize = 16;

/// What lies in a panel for one column: one number of the matrix, or several below each other.
pub(super) trait Term: Copy + Default + Send + Sync + 'static {
    /// Numbers of a column in one term.
    const DEPTH: usize;

    /// A term of one number, or of two with the second below the first.
    fn new(first: f32, second: f32) -> Self;

    /// The terms of a row, `DEPTH` numbers each; what the last one lacks is zero.
    fn convert(row: &[f32], terms: &mut [Self]);

    /// Numbers that are terms already.
    fn in_place(values: &[f32]) -> Option<&[Self]>;
}

impl Term for f32 {
    const DEPTH: usize = 1;

    #[inline(always)]
    fn new(first: f32, _second: f32) -> Self {
        first
    }

    fn convert(row: &[f32], terms: &mut [Self]) {
        terms.copy_from_slice(row);
    }

    #[inline(always)]
    fn in_place(values: &[f32]) -> Option<&[Self]> {
        Some(values)
    }
}

/// Two numbers of bf16: the upper half of an `f32`, rounded to the nearest, ties to even.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(4))]
pub(super) struct Pair([u16; 2]);

impl Pair {
    #[inline(always)]
    fn numbers(self) -> [f32; 2] {
        self.0.map(|half| f32::from_bits(u32::from(half) << 16))
    }
}

impl Term for Pair {
    const DEPTH: usize = 2;

    #[inline(always)]
    fn new(first: f32, second: f32) -> Self {
        Self([bf16(first), bf16(second)])
    }

    #[inline(always)]
    fn convert(row: &[f32], terms: &mut [Self]) {
        let (pairs, rest) = row.as_chunks::<2>();
        let (whole, last) = terms.split_at_mut(pairs.len());
        for (term, pair) in whole.iter_mut().zip(pairs) {
            *term = Self(pair.map(bf16));
        }
        if let ([term], [number]) = (last, rest) {
            *term = Self::new(*number, 0.0);
        }
    }

    fn in_place(_values: &[f32]) -> Option<&[Self]> {
        None
    }
}

/// The upper half of a number, rounded to the nearest, ties to even. No number stays none.
#[inline(always)]
fn bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let bits = if x.is_nan() { bits | 0x40_0000 } else { rounded };
    (bits >> 16) as u16
}

/// One way to add to sums of terms.
pub(super) trait Arithmetic {
    type Term: Term;

    /// `sums += factor * row`, and of two numbers in a term, both products.
    fn add(sums: &mut [f32; PANEL], factor: Self::Term, row: &[Self::Term; PANEL]);
}

/// A multiplication, then an addition: for processors without an instruction for both.
pub(super) struct Plain;

impl Arithmetic for Plain {
    type Term = f32;

    #[inline(always)]
    fn add(sums: &mut [f32; PANEL], factor: f32, row: &[f32; PANEL]) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += factor * value;
        }
    }
}

/// A multiplication and an addition with one rounding.
pub(super) struct Fused;

impl Arithmetic for Fused {
    type Term = f32;

    #[inline(always)]
    fn add(sums: &mut [f32; PANEL], factor: f32, row: &[f32; PANEL]) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum = factor.mul_add(value, *sum);
        }
    }
}

/// Pairs for processors without an instruction for them: products of bf16 numbers are exact in
/// f32, and are added one after the other.
pub(super) struct Unpacked<A>(std::marker::PhantomData<A>);

impl<A: Arithmetic<Term = f32>> Arithmetic for Unpacked<A> {
    type Term = Pair;

    #[inline(always)]
    fn add(sums: &mut [f32; PANEL], factor: Pair, row: &[Pair; PANEL]) {
        let [first, second] = factor.numbers();
        A::add(sums, second, &row.map(|pair| pair.numbers()[1]));
        A::add(sums, first, &row.map(|pair| pair.numbers()[0]));
    }
}

/// Pairs by the instruction `vdpbf16ps`, which takes numbers too small to be normal for zero.
#[cfg(target_arch = "x86_64")]
pub(super) struct Dot;

#[cfg(target_arch = "x86_64")]
impl Arithmetic for Dot {
    type Term = Pair;

    #[inline(always)]
    fn add(sums: &mut [f32; PANEL], factor: Pair, row: &[Pair; PANEL]) {
        use std::arch::x86_64::*;
        let [low, high] = factor.0.map(u32::from);
        // SAFETY: this type is only named in a function compiled for avx512bf16, which is only
        // called where the processor has it; the pointers are those of arrays of 64 bytes.
        unsafe {
            let row: __m512bh = std::mem::transmute(_mm512_loadu_si512(row.as_ptr().cast()));
            let factor: __m512bh =
                std::mem::transmute(_mm512_set1_epi32((low | high << 16) as i32));
            let sum = _mm512_dpbf16_ps(_mm512_loadu_ps(sums.as_ptr()), factor, row);
            _mm512_storeu_ps(sums.as_mut_ptr(), sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x` as bf16 holds it.
    fn round_to_bf16(x: f32) -> f32 {
        f32::from_bits(u32::from(bf16(x)) << 16)
    }

    #[test]
    fn bf16_rounds_to_the_nearest_and_ties_to_even() {
        let unit = 2f32.powi(-7);
        for (x, expected) in [
            (1.0, 1.0),
            (1.0 + 0.49 * unit, 1.0),
            (1.0 + 0.5 * unit, 1.0),
            (1.0 + 0.51 * unit, 1.0 + unit),
            (1.0 + 1.5 * unit, 1.0 + 2.0 * unit),
            (-1.0 - 0.51 * unit, -1.0 - unit),
            (0.0, 0.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
        ] {
            assert_eq!(round_to_bf16(x), expected, "{x}");
        }
        for nan in [f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff)] {
            assert!(round_to_bf16(nan).is_nan());
        }
    }
}
