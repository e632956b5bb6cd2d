//! The loops of a product, from tiles for threads down to sums in registers.

#![allow(unsafe_code)] // Calling a function compiled for an instruction set that was detected; a
// result whose tiles are written by several tasks.

use std::ops::Range;

use rayon::prelude::*;

use super::arithmetic::{Arithmetic, Fused, PANEL, Pair, Plain, Term, Unpacked};
use super::packed::{Start, Strided};
#[cfg(target_arch = "x86_64")]
use super::{InstructionSet, arithmetic, tiles};

/// Rows that go through all panels together; a multiple of every block of rows.
const CHUNK: usize = 96;
/// Terms of a sum that are added in registers before the result is touched again: panels of so
/// many rows and a chunk so deep stay in the nearest caches.
const DEPTH: usize = 256;
/// Panels from which on columns that lie far apart are copied before they are read.
const COPIED: usize = 2;

/// A product, to be compiled once for each instruction set.
#[derive(Clone, Copy)]
pub(super) struct Product<'a, T> {
    pub(super) panels: &'a [[T; PANEL]],
    /// Of the packed matrix, and of the result.
    pub(super) columns: usize,
    /// Rows of a panel.
    pub(super) terms: usize,
    /// Columns of the left side: no more numbers than a panel has in a column.
    pub(super) depth: usize,
    pub(super) a: Strided<'a>,
    pub(super) start: Start<'a>,
}

/// Where a product goes: each block of it is written by one task.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub(super) first: *mut f32,
    pub(super) stride: usize,
}

// SAFETY: tasks write blocks that do not overlap; see `Part::block`.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

/// Rows and panels of a result.
pub(super) type Tile = (Range<usize>, Range<usize>);

/// Terms whose products are compiled for each instruction set.
pub(super) trait Compiled: Term {
    /// A tile of a product, with the best instructions that there are.
    ///
    /// The caller has checked that the tile can be read and written.
    fn run(product: Product<'_, Self>, tile: Tile, out: Output);

    /// Whether they are multiplied by tiles in registers, of 16 rows each.
    fn by_tiles() -> bool {
        false
    }
}

impl Compiled for f32 {
    fn run(product: Product<'_, Self>, tile: Tile, out: Output) {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
            fn avx512(product: Product<'_, f32>, tile: Tile, out: Output) {
                product.tile::<Fused, 12, 2>(tile, out);
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2(product: Product<'_, f32>, tile: Tile, out: Output) {
                product.tile::<Fused, 6, 1>(tile, out);
            }
            match InstructionSet::current() {
                InstructionSet::Avx512 | InstructionSet::Avx512Bf16 | InstructionSet::Amx => {
                    // SAFETY: `current` is never better than what the processor was found to have.
                    return unsafe { avx512(product, tile, out) };
                }
                // SAFETY: as above.
                InstructionSet::Avx2 => return unsafe { avx2(product, tile, out) },
                InstructionSet::Portable => {}
            }
        }
        match HAS_FMA {
            true => product.tile::<Fused, 4, 1>(tile, out),
            false => product.tile::<Plain, 4, 1>(tile, out),
        }
    }
}

impl Compiled for Pair {
    fn by_tiles() -> bool {
        #[cfg(target_arch = "x86_64")]
        return InstructionSet::current() == InstructionSet::Amx;
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    fn run(product: Product<'_, Self>, tile: Tile, out: Output) {
        #[cfg(target_arch = "x86_64")]
        {
            use arithmetic::Dot;
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512bf16,avx2,fma")]
            fn amx(product: Product<'_, Pair>, tile: Tile, out: Output) {
                product.by_tiles(tile, out);
            }
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512bf16,avx2,fma")]
            fn avx512_bf16(product: Product<'_, Pair>, tile: Tile, out: Output) {
                product.tile::<Dot, 12, 2>(tile, out);
            }
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
            fn avx512(product: Product<'_, Pair>, tile: Tile, out: Output) {
                product.tile::<Unpacked<Fused>, 12, 1>(tile, out);
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2(product: Product<'_, Pair>, tile: Tile, out: Output) {
                product.tile::<Unpacked<Fused>, 4, 1>(tile, out);
            }
            match InstructionSet::current() {
                // SAFETY: `current` is never better than what the processor was found to have.
                InstructionSet::Amx => return unsafe { amx(product, tile, out) },
                // SAFETY: as above.
                InstructionSet::Avx512Bf16 => return unsafe { avx512_bf16(product, tile, out) },
                // SAFETY: as above.
                InstructionSet::Avx512 => return unsafe { avx512(product, tile, out) },
                // SAFETY: as above.
                InstructionSet::Avx2 => return unsafe { avx2(product, tile, out) },
                InstructionSet::Portable => {}
            }
        }
        match HAS_FMA {
            true => product.tile::<Unpacked<Fused>, 4, 1>(tile, out),
            false => product.tile::<Unpacked<Plain>, 4, 1>(tile, out),
        }
    }
}

/// Whether the build's target guarantees an instruction for a multiplication and an addition.
const HAS_FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

impl<T: Compiled> Product<'_, T> {
    /// The whole product, on the calling thread.
    pub(super) fn run(self, rows: usize, out: Output) {
        T::run(self, (0..rows, 0..self.columns.div_ceil(PANEL)), out);
    }

    /// The whole product on all threads of the pool, in tiles whose shape depends on the sizes
    /// only.
    pub(super) fn run_on_all_threads(self, rows: usize, out: Output) {
        let panels = self.columns.div_ceil(PANEL);
        let (tile, group) = match (rows * panels * self.depth, rows, rows * panels) {
            (0..4096, ..) => (rows, panels),
            (_, 768.., _) => (CHUNK, panels),
            // Columns are copied once a task; by tiles are all numbers.
            _ if self.a.is_transposed() && T::by_tiles() => (64, panels),
            _ if self.a.is_transposed() => (CHUNK / 2, panels),
            (_, _, 3072..) if T::by_tiles() => (64, 8),
            (_, _, 3072..) => (CHUNK, 4),
            _ if T::by_tiles() => (32, 4),
            _ => (24, 2),
        };
        let groups = panels.div_ceil(group.max(1));
        (0..rows.div_ceil(tile.max(1)) * groups).into_par_iter().for_each(|task| {
            let (row, panel) = (task / groups * tile, task % groups * group);
            T::run(self, (row..rows.min(row + tile), panel..panels.min(panel + group)), out);
        });
    }

    /// Blocks of `ROWS` rows and `PANELS` panels, as many as there are registers to hold their
    /// sums; chunks of rows that fit a cache together with their panels.
    #[inline(always)]
    fn tile<A: Arithmetic<Term = T>, const ROWS: usize, const PANELS: usize>(
        self,
        (rows, panels): Tile,
        out: Output,
    ) {
        let mut copy = Vec::new();
        for first in rows.clone().step_by(CHUNK) {
            let chunk = first..rows.end.min(first + CHUNK);
            // A matrix of depth zero still overwrites the result.
            for from in (0..self.depth.max(1)).step_by(DEPTH * T::DEPTH) {
                let deep = from..self.depth.min(from + DEPTH * T::DEPTH);
                let part = self.part::<ROWS>(chunk.clone(), deep, panels.len(), &mut copy);
                let mut panel = panels.start;
                while panel + PANELS <= panels.end {
                    part.column::<A, ROWS, PANELS>(panel, chunk.len(), out);
                    panel += PANELS;
                }
                for panel in panel..panels.end {
                    part.column::<A, ROWS, 1>(panel, chunk.len(), out);
                }
            }
        }
    }

    /// The chunk of `A` and the part of its depth that one round works on. What is no term yet is
    /// converted; columns that lie far apart are copied, block after block, in the order in which
    /// the blocks read them.
    #[inline(always)]
    fn part<'a, const ROWS: usize>(
        &'a self,
        rows: Range<usize>,
        deep: Range<usize>,
        panels: usize,
        copy: &'a mut Vec<T>,
    ) -> Part<'a, T> {
        let Strided { values, row_stride, column_stride } = self.a;
        let values =
            values.get(rows.start * row_stride + deep.start * column_stride..).unwrap_or_default();
        let terms = deep.len().div_ceil(T::DEPTH);
        let in_place = T::in_place(values);
        let a = match in_place {
            Some(values) if !self.a.is_transposed() || panels < COPIED => {
                Left::Rows(Strided { values, row_stride, column_stride })
            }
            _ if self.a.is_transposed() => {
                copy.resize(terms * rows.len(), T::default());
                copy_columns::<T, ROWS>(values, column_stride, deep.len(), rows.len(), copy);
                Left::Blocks(copy)
            }
            _ => {
                copy.resize(terms * rows.len(), T::default());
                for (row, to) in copy.chunks_exact_mut(terms.max(1)).enumerate() {
                    T::convert(&values[row * row_stride..][..deep.len()], to);
                }
                Left::Rows(Strided::rows(copy, terms))
            }
        };
        let from = deep.start / T::DEPTH;
        Part {
            panels: self.panels,
            columns: self.columns,
            panel_len: self.terms,
            first_row: rows.start,
            terms: from..from + terms,
            a,
            start: if deep.start == 0 { self.start } else { Start::Output },
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Product<'_, Pair> {
    /// A tile of a product by tiles in registers, two of rows and two panels at a time: only where there are such.
    #[inline(always)]
    fn by_tiles(self, (rows, panels): Tile, out: Output) {
        // SAFETY: `current` is never better than what the processor was found to have.
        let registers = unsafe { tiles::Tiles::claim() };
        let mut left = Vec::new();
        let mut ends = [[tiles::Line::default(); tiles::TERMS]; 2];
        let mut sums = tiles::Sums([[[0.0; PANEL]; 2]; 2 * tiles::ROWS]);
        for first in rows.clone().step_by(CHUNK) {
            let chunk = first..rows.end.min(first + CHUNK);
            for from in (0..self.depth.max(1)).step_by(DEPTH * Pair::DEPTH) {
                let deep = from..self.depth.min(from + DEPTH * Pair::DEPTH);
                let start = if from == 0 { self.start } else { Start::Output };
                let terms = deep.len().div_ceil(Pair::DEPTH);
                let whole = terms / tiles::TERMS * tiles::TERMS;
                let lines = terms.div_ceil(tiles::TERMS) * tiles::ROWS;
                self.copy_tiles(&registers, &chunk, &deep, &mut left);
                let panel =
                    |panel: usize| &self.panels[panel * self.terms + from / Pair::DEPTH..][..terms];
                for first in panels.clone().step_by(2) {
                    // An odd panel is multiplied twice, and used once.
                    let right = [first, (first + 1).min(panels.end - 1)].map(panel);
                    if whole < terms {
                        for (end, panel) in ends.iter_mut().zip(right) {
                            let rows = panel[whole..].iter().copied().map(tiles::Line);
                            let rows = rows.chain(std::iter::repeat(tiles::Line::default()));
                            end.iter_mut().zip(rows).for_each(|(to, row)| *to = row);
                        }
                    }
                    let last = (whole < terms).then_some([&ends[0], &ends[1]]);
                    let right = right.map(|panel| &panel[..whole]);
                    for row in (0..chunk.len()).step_by(2 * tiles::ROWS) {
                        for r in 0..(chunk.len() - row).min(2 * tiles::ROWS) {
                            out.expect(chunk.start + row + r, first..panels.end.min(first + 2));
                        }
                        let block = |row: usize| &left[row / tiles::ROWS * lines..][..lines];
                        let below = row + tiles::ROWS;
                        let below = (below < chunk.len()).then(|| block(below));
                        registers.multiply(block(row), below, right, last, &mut sums);
                        let height = (chunk.len() - row).min(2 * tiles::ROWS);
                        for (r, sums) in sums.0[..height].iter().enumerate() {
                            for (sums, panel) in sums.iter().zip(first..panels.end) {
                                // SAFETY: this task alone has these rows of these panels, which are part of a product.
                                unsafe {
                                    out.put(
                                        sums,
                                        chunk.start + row + r,
                                        panel,
                                        self.columns,
                                        start,
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Rows of the left side as tiles: 16 rows after 16, each `deep` in tiles behind each other, zero where there is no number.
    #[inline(always)]
    fn copy_tiles(
        &self,
        registers: &tiles::Tiles,
        rows: &Range<usize>,
        deep: &Range<usize>,
        left: &mut Vec<tiles::Line>,
    ) {
        use tiles::{Line, NUMBERS, ROWS};
        let Strided { values, row_stride, column_stride } = self.a;
        let (height, lines) = (rows.len(), deep.len().div_ceil(NUMBERS));
        left.resize(height.next_multiple_of(ROWS) * lines, Line::default());
        if deep.is_empty() {
            return;
        }
        let values = &values[rows.start * row_stride + deep.start * column_stride..];
        let mut columns = [Line::default(); ROWS];
        let (tiles, _) = left.as_chunks_mut::<ROWS>();
        for (first, block) in (0..).step_by(ROWS).zip(tiles.chunks_exact_mut(lines)) {
            let rows = ROWS.min(height - first);
            for (from, tile) in (0..).step_by(NUMBERS).zip(block) {
                let width = NUMBERS.min(deep.len() - from);
                if column_stride == 1 {
                    for (row, to) in (first..first + rows).zip(tile.iter_mut()) {
                        *to = Line::of(&values[row * row_stride + from..][..width]);
                    }
                    tile[rows..].fill(Line::default());
                } else {
                    let column = |i: usize| match i < width {
                        true => &values[(from + i) * column_stride + first..][..rows],
                        false => &[0.0; ROWS][..rows],
                    };
                    for (i, to) in columns.iter_mut().enumerate() {
                        *to = Line::pairs(column(2 * i), column(2 * i + 1));
                    }
                    registers.turn(&columns, tile);
                }
            }
        }
    }
}

/// Copies the first `rows` numbers of each of `depth` columns, as terms: one block of rows after
/// the other, each column after column.
#[inline(always)]
fn copy_columns<T: Term, const ROWS: usize>(
    values: &[f32],
    stride: usize,
    depth: usize,
    rows: usize,
    copy: &mut [T],
) {
    let terms = depth.div_ceil(T::DEPTH);
    let whole = blocks::<ROWS>(rows).take_while(|&(_, size)| size == ROWS).count();
    let (to_whole, to_rest) = copy.split_at_mut(whole * ROWS * terms);
    let (to_whole, _) = to_whole.as_chunks_mut::<ROWS>();
    let zeros = [0.0; CHUNK];
    let column = |i: usize| match i < depth {
        true => &values[i * stride..][..rows],
        false => &zeros[..rows],
    };
    for i in 0..terms {
        let (first, second) = (column(i * T::DEPTH), column(i * T::DEPTH + T::DEPTH - 1));
        let (first, first_rest) = first.split_at(whole * ROWS);
        let (second, second_rest) = second.split_at(whole * ROWS);
        let numbers = first.as_chunks::<ROWS>().0.iter().zip(second.as_chunks::<ROWS>().0);
        for (block, (first, second)) in numbers.enumerate() {
            to_whole[block * terms + i] = std::array::from_fn(|r| T::new(first[r], second[r]));
        }
        for (row, size) in blocks::<ROWS>(first_rest.len()) {
            let to = &mut to_rest[row * terms + i * size..][..size];
            let numbers = first_rest[row..].iter().zip(&second_rest[row..]);
            for (to, (&first, &second)) in to.iter_mut().zip(numbers) {
                *to = T::new(first, second);
            }
        }
    }
}

/// The larger part of so many rows when they are cut into two blocks of sizes that exist.
const HALF: [usize; 15] = [0, 1, 2, 3, 4, 5, 3, 4, 4, 5, 5, 8, 8, 8, 8];

/// First row and size of each block of a chunk: `ROWS` as long as there are so many, and no block
/// of one or two rows, which would leave the processor waiting for its own sums, if it can be
/// avoided.
#[inline(always)]
fn blocks<const ROWS: usize>(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let left = rows - first;
        let size = match left {
            0 => return None,
            _ if left == ROWS || left > ROWS + 2 => ROWS,
            _ => HALF[left],
        };
        first += size;
        Some((first - size, size))
    })
}

/// The left side of a part: row 0 is the first row, column 0 the beginning of the part.
enum Left<'a, T> {
    Rows(Strided<'a, T>),
    /// One block of rows after the other, each column after column.
    Blocks(&'a [T]),
}

/// Some rows of a product, over a part of its depth.
struct Part<'a, T> {
    panels: &'a [[T; PANEL]],
    columns: usize,
    panel_len: usize,
    first_row: usize,
    /// Of each panel.
    terms: Range<usize>,
    a: Left<'a, T>,
    start: Start<'a>,
}

/// Sums of a block, a register for each row and panel.
type Sums<const ROWS: usize, const PANELS: usize> = [[[f32; PANEL]; PANELS]; ROWS];

impl<T: Term> Part<'_, T> {
    /// All rows of `PANELS` panels from `panel` on.
    #[inline(always)]
    fn column<A: Arithmetic<Term = T>, const ROWS: usize, const PANELS: usize>(
        &self,
        panel: usize,
        rows: usize,
        out: Output,
    ) {
        for (row, size) in blocks::<ROWS>(rows) {
            match size {
                1 => self.block::<A, 1, PANELS>(panel, row, out),
                2 => self.block::<A, 2, PANELS>(panel, row, out),
                3 => self.block::<A, 3, PANELS>(panel, row, out),
                4 => self.block::<A, 4, PANELS>(panel, row, out),
                5 => self.block::<A, 5, PANELS>(panel, row, out),
                8 if ROWS > 8 => self.block::<A, 8, PANELS>(panel, row, out),
                _ => self.block::<A, ROWS, PANELS>(panel, row, out),
            }
        }
    }

    /// Rows `first..first + ROWS` of `PANELS` panels from `panel` on.
    #[inline(always)]
    fn block<A: Arithmetic<Term = T>, const ROWS: usize, const PANELS: usize>(
        &self,
        panel: usize,
        first: usize,
        out: Output,
    ) {
        let panels: [&[[T; PANEL]]; PANELS] = std::array::from_fn(|p| {
            &self.panels[(panel + p) * self.panel_len..][self.terms.clone()]
        });
        let sums = match self.a {
            Left::Rows(a) => {
                let values = a.values.get(first * a.row_stride..).unwrap_or_default();
                match a.column_stride {
                    1 => sum_rows::<A, ROWS, PANELS>(panels, values, a.row_stride),
                    stride => {
                        let columns = values.chunks(stride).map(|column| {
                            column.first_chunk().expect("a column has all rows of its block")
                        });
                        sum_columns::<A, ROWS, PANELS>(panels, columns)
                    }
                }
            }
            Left::Blocks(values) => {
                let (columns, _) = values[first * self.terms.len()..].as_chunks::<ROWS>();
                sum_columns::<A, ROWS, PANELS>(panels, columns.iter())
            }
        };
        for (r, sums) in sums.iter().enumerate() {
            for (p, sums) in sums.iter().enumerate() {
                let row = self.first_row + first + r;
                // SAFETY: this task alone has these rows of this panel, and they are part of a product.
                unsafe { out.put(sums, row, panel + p, self.columns, self.start) };
            }
        }
    }
}

impl Output {
    /// Asks for the memory where the sums of some panels of a row go, so that it is here when they are: rows of a large
    /// result are far apart, and no processor expects the next.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn expect(self, row: usize, panels: Range<usize>) {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        for panel in panels {
            let at = self.first.wrapping_add(row * self.stride + panel * PANEL);
            // SAFETY: a hint reads nothing, wherever it points.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(at.cast()) };
        }
    }

    /// Puts the sums of a row of a panel where they belong.
    ///
    /// # Safety
    /// Row and panel are part of a product of so many columns that `Packed::check` found to fit, and no other task has them.
    #[inline(always)]
    unsafe fn put(
        self,
        sums: &[f32; PANEL],
        row: usize,
        panel: usize,
        columns: usize,
        start: Start<'_>,
    ) {
        let column = panel * PANEL;
        let width = PANEL.min(columns - column);
        let begin = row * self.stride + column;
        // SAFETY: the caller says that these numbers are inside of the output, and nobody else's.
        let out = unsafe { std::slice::from_raw_parts_mut(self.first.add(begin), width) };
        match start {
            Start::Zero => match out.first_chunk_mut() {
                Some(out) => *out = *sums,
                // No `copy_from_slice`: it would be called for whole panels too.
                None => out.iter_mut().zip(sums).rev().for_each(|(out, sum)| *out = *sum),
            },
            Start::Bias(bias) => {
                for ((out, sum), bias) in out.iter_mut().zip(sums).zip(&bias[column..]) {
                    *out = sum + bias;
                }
            }
            Start::Output => {
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out += sum;
                }
            }
        }
    }
}

/// `A panels`, where row `r` of `A` begins at `values[r * stride]`.
#[inline(always)]
fn sum_rows<A: Arithmetic, const ROWS: usize, const PANELS: usize>(
    panels: [&[[A::Term; PANEL]]; PANELS],
    values: &[A::Term],
    stride: usize,
) -> Sums<ROWS, PANELS> {
    let terms = panels[0].len();
    let panels = panels.map(|panel| &panel[..terms]);
    let rows: [&[A::Term]; ROWS] = std::array::from_fn(|r| &values[r * stride..][..terms]);
    let mut sums = [[[0.0; PANEL]; PANELS]; ROWS];
    for i in 0..terms {
        for r in 0..ROWS {
            for p in 0..PANELS {
                A::add(&mut sums[r][p], rows[r][i], &panels[p][i]);
            }
        }
    }
    sums
}

/// The same, of the columns of `A`.
#[inline(always)]
fn sum_columns<'a, A: Arithmetic, const ROWS: usize, const PANELS: usize>(
    panels: [&[[A::Term; PANEL]]; PANELS],
    columns: impl Iterator<Item = &'a [A::Term; ROWS]>,
) -> Sums<ROWS, PANELS> {
    let terms = panels[0].len();
    let panels = panels.map(|panel| &panel[..terms]);
    let mut sums = [[[0.0; PANEL]; PANELS]; ROWS];
    for (i, column) in (0..terms).zip(columns) {
        for r in 0..ROWS {
            for p in 0..PANELS {
                A::add(&mut sums[r][p], column[r], &panels[p][i]);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_a_chunk_in_sizes_that_are_compiled() {
        fn check<const ROWS: usize>() {
            for rows in 0..=CHUNK {
                let mut next = 0;
                for (first, size) in blocks::<ROWS>(rows) {
                    assert_eq!(first, next);
                    assert!([1, 2, 3, 4, 5, ROWS].contains(&size) || size == 8 && ROWS > 8);
                    next += size;
                }
                assert_eq!(next, rows);
            }
        }
        check::<4>();
        check::<6>();
        check::<12>();
    }
}
