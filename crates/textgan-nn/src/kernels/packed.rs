//! Matrix products with one side packed: the one loop under every product of this crate.

#![allow(unsafe_code)] // Calling a function compiled for an instruction set that was detected; a
// result whose tiles are written by several tasks.

use std::ops::Range;

use rayon::prelude::*;

use super::InstructionSet;

/// Columns of a panel: one register of AVX-512, two of AVX2.
const PANEL: usize = 16;
/// Rows that go through all panels together; a multiple of every block of rows.
const CHUNK: usize = 96;
/// Terms of a sum that are added in registers before the result is touched again: a panel of so
/// many rows and a chunk so deep stay in the nearest caches.
const DEPTH: usize = 512;
/// Panels from which on columns that lie far apart are copied before they are read.
const COPIED: usize = 2;
/// Rows of a panel that are filled column by column while they stay in the nearest cache.
const TURNED: usize = 64;
/// Numbers of a matrix from which on it is packed by all threads.
const PARALLEL: usize = 1 << 16;

/// A matrix `M: [depth, columns]` stored for products `A M`.
///
/// `M` is kept in panels of 16 columns, so a product reads it in the order in which it lies in
/// memory, and blocks of rows of `A` are multiplied in registers. Every number of the result is
/// the sum over `depth` in ascending order, in constant parts: its bits depend neither on which
/// rows are beside it nor on the threads, and fused multiply-adds make them the same for AVX2 and
/// AVX-512.
///
/// ```
/// use textgan_nn::kernels::{Packed, Start, Strided};
///
/// let weight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // [2 outputs, 3 inputs]
/// let layer = Packed::new(Strided::transposed(&weight, 3), 3, 2);
/// let mut y = [0.0; 2];
/// let x = Strided::rows(&[1.0, 0.0, -1.0], 3);
/// layer.multiply(1, x, Start::Bias(&[10.0, 20.0]), &mut y, 2);
/// assert_eq!(y, [8.0, 18.0]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Packed {
    depth: usize,
    columns: usize,
    /// Panel after panel, each `[depth, PANEL]`; the columns that the last one lacks are zero.
    panels: Vec<[f32; PANEL]>,
}

/// A matrix inside a slice, or its transpose.
#[derive(Clone, Copy, Debug)]
pub struct Strided<'a> {
    values: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Strided<'a> {
    /// Row `i` begins at `values[i * stride]`. Rows may overlap, as the windows of a convolution do.
    pub fn rows(values: &'a [f32], stride: usize) -> Self {
        Self { values, row_stride: stride, column_stride: 1 }
    }

    /// The transpose of a matrix whose rows begin at `values[i * stride]`.
    pub fn transposed(values: &'a [f32], stride: usize) -> Self {
        Self { values, row_stride: 1, column_stride: stride }
    }

    fn is_transposed(self) -> bool {
        self.row_stride == 1 && self.column_stride != 1
    }

    fn check(self, name: &str, rows: usize, columns: usize) {
        if rows > 0 && columns > 0 {
            let last = (rows - 1) * self.row_stride + (columns - 1) * self.column_stride;
            let len = self.values.len();
            assert!(last < len, "{name}: {rows} x {columns} numbers in a slice of {len}");
        }
    }
}

/// What a product is added to.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// Nothing: the output is overwritten.
    Zero,
    /// One number a column, the same for every row; the output is overwritten.
    Bias(&'a [f32]),
    /// The output itself.
    Output,
}

impl Packed {
    /// Packs a matrix of `depth` rows.
    ///
    /// # Panics
    /// If the matrix ends before its last row does.
    pub fn new(matrix: Strided<'_>, depth: usize, columns: usize) -> Self {
        let mut packed = Self::default();
        packed.pack(matrix, depth, columns);
        packed
    }

    /// Packs another matrix into the same memory.
    ///
    /// # Panics
    /// As [`Packed::new`].
    pub fn pack(&mut self, matrix: Strided<'_>, depth: usize, columns: usize) {
        matrix.check("Packed::pack", depth, columns);
        (self.depth, self.columns) = (depth, columns);
        self.panels.resize(depth * columns.div_ceil(PANEL), [0.0; PANEL]);
        let fill = |(p, panel): (usize, &mut [[f32; PANEL]])| {
            let first = p * PANEL;
            let width = PANEL.min(columns - first);
            if width < PANEL {
                panel.fill([0.0; PANEL]);
            }
            if matrix.column_stride == 1 {
                for (i, row) in panel.iter_mut().enumerate() {
                    let values = &matrix.values[i * matrix.row_stride + first..];
                    row[..width].copy_from_slice(&values[..width]);
                }
            } else {
                for (block, rows) in panel.chunks_mut(TURNED).enumerate() {
                    let from = first * matrix.column_stride + block * TURNED * matrix.row_stride;
                    for lane in 0..width {
                        let column = &matrix.values[from + lane * matrix.column_stride..];
                        let column = column.iter().step_by(matrix.row_stride);
                        for (row, &value) in rows.iter_mut().zip(column) {
                            row[lane] = value;
                        }
                    }
                }
            }
        };
        match depth * columns < PARALLEL {
            true => self.panels.chunks_exact_mut(depth.max(1)).enumerate().for_each(fill),
            false => self.panels.par_chunks_exact_mut(depth.max(1)).enumerate().for_each(fill),
        }
    }

    /// Rows of the matrix.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of the matrix.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// `out = start + A M` with `A: [rows, depth]`, on the calling thread. Row `i` of the result
    /// begins at `out[i * stride]`.
    ///
    /// # Panics
    /// If `a`, a bias or `out` is too short.
    pub fn multiply(
        &self,
        rows: usize,
        a: Strided<'_>,
        start: Start<'_>,
        out: &mut [f32],
        stride: usize,
    ) {
        self.multiply_first(self.depth, rows, a, start, out, stride);
    }

    /// [`Packed::multiply`] with only the first `depth` rows of the matrix, and `A: [rows, depth]`.
    ///
    /// # Panics
    /// If the matrix has less rows, or `a`, a bias or `out` is too short.
    pub fn multiply_first(
        &self,
        depth: usize,
        rows: usize,
        a: Strided<'_>,
        start: Start<'_>,
        out: &mut [f32],
        stride: usize,
    ) {
        let product = Product { packed: self, depth, a, start };
        let out = product.check(rows, out, stride);
        product.run(0..rows, 0..self.panel_count(), out);
    }

    /// [`Packed::multiply`] on all threads of the pool, in tiles whose shape depends on the sizes
    /// only.
    ///
    /// # Panics
    /// As [`Packed::multiply`].
    pub fn multiply_on_all_threads(
        &self,
        rows: usize,
        a: Strided<'_>,
        start: Start<'_>,
        out: &mut [f32],
        stride: usize,
    ) {
        let product = Product { packed: self, depth: self.depth, a, start };
        let out = product.check(rows, out, stride);
        let panels = self.panel_count();
        let (tile, group) = match (rows * panels * self.depth, rows, rows * panels) {
            (0..4096, ..) => (rows, panels),
            (_, 768.., _) => (CHUNK, panels),
            // Columns are copied once a task.
            _ if a.is_transposed() => (CHUNK / 2, panels),
            (_, _, 3072..) => (CHUNK, 4),
            _ => (24, 1),
        };
        let groups = panels.div_ceil(group.max(1));
        (0..rows.div_ceil(tile.max(1)) * groups).into_par_iter().for_each(|task| {
            let (row, panel) = (task / groups * tile, task % groups * group);
            product.run(row..rows.min(row + tile), panel..panels.min(panel + group), out);
        });
    }

    fn panel_count(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }
}

/// A product, to be compiled once for each instruction set.
#[derive(Clone, Copy)]
struct Product<'a> {
    packed: &'a Packed,
    depth: usize,
    a: Strided<'a>,
    start: Start<'a>,
}

/// Where a product goes: each block of it is written by one task.
#[derive(Clone, Copy)]
struct Output {
    first: *mut f32,
    stride: usize,
}

// SAFETY: tasks write blocks that do not overlap; see `Product::block`.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

impl Product<'_> {
    /// Makes sure that all rows of the product can be read and written.
    fn check(&self, rows: usize, out: &mut [f32], stride: usize) -> Output {
        let Packed { depth, columns, .. } = *self.packed;
        assert!(self.depth <= depth, "depth {} of a matrix of {depth} rows", self.depth);
        self.a.check("the left side of a product", rows, self.depth);
        if let Start::Bias(bias) = self.start {
            assert_eq!(bias.len(), columns, "one bias a column");
        }
        assert!(columns <= stride || rows < 2, "rows of {columns} begin {stride} apart");
        let needed = if rows == 0 { 0 } else { (rows - 1) * stride + columns };
        assert!(out.len() >= needed, "{} values for a product of {needed}", out.len());
        Output { first: out.as_mut_ptr(), stride }
    }

    /// Some rows of some panels of the product.
    fn run(self, rows: Range<usize>, panels: Range<usize>, out: Output) {
        #[cfg(target_arch = "x86_64")]
        {
            type Ranges = (Range<usize>, Range<usize>);
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
            fn avx512(product: Product<'_>, (rows, panels): Ranges, out: Output) {
                product.panels::<16, true>(rows, panels, out);
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2(product: Product<'_>, (rows, panels): Ranges, out: Output) {
                product.panels::<6, true>(rows, panels, out);
            }
            match InstructionSet::current() {
                // SAFETY: `current` is never better than what the processor was found to have.
                InstructionSet::Avx512 => return unsafe { avx512(self, (rows, panels), out) },
                // SAFETY: as above.
                InstructionSet::Avx2 => return unsafe { avx2(self, (rows, panels), out) },
                InstructionSet::Portable => {}
            }
        }
        const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
        self.panels::<4, FUSED>(rows, panels, out);
    }

    /// Blocks of `ROWS` rows, as many as there are registers to hold their sums; chunks of rows
    /// that fit a cache together with a panel.
    #[inline(always)]
    fn panels<const ROWS: usize, const FUSED: bool>(
        self,
        rows: Range<usize>,
        panels: Range<usize>,
        out: Output,
    ) {
        let mut copy = Vec::new();
        for first in rows.clone().step_by(CHUNK) {
            let chunk = first..rows.end.min(first + CHUNK);
            // A matrix of depth zero still overwrites the result.
            for from in (0..self.depth.max(1)).step_by(DEPTH) {
                let deep = from..self.depth.min(from + DEPTH);
                let part = self.part::<ROWS>(chunk.clone(), deep, panels.len(), &mut copy);
                for p in panels.clone() {
                    for (row, size) in blocks::<ROWS>(chunk.len()) {
                        match size {
                            1 => part.block::<1, FUSED>(p, row, out),
                            2 => part.block::<2, FUSED>(p, row, out),
                            3 => part.block::<3, FUSED>(p, row, out),
                            4 => part.block::<4, FUSED>(p, row, out),
                            5 => part.block::<5, FUSED>(p, row, out),
                            8 if ROWS > 8 => part.block::<8, FUSED>(p, row, out),
                            _ => part.block::<ROWS, FUSED>(p, row, out),
                        }
                    }
                }
            }
        }
    }

    /// The chunk of `A` and the part of its depth that one round works on. Columns that lie far
    /// apart are copied, block after block, in the order in which the blocks read them.
    #[inline(always)]
    fn part<'a, const ROWS: usize>(
        &'a self,
        rows: Range<usize>,
        deep: Range<usize>,
        panels: usize,
        copy: &'a mut Vec<f32>,
    ) -> Part<'a> {
        let Strided { values, row_stride, column_stride } = self.a;
        let values =
            values.get(rows.start * row_stride + deep.start * column_stride..).unwrap_or_default();
        let mut a = Left::InPlace(Strided { values, row_stride, column_stride });
        if self.a.is_transposed() && panels >= COPIED {
            let depth = deep.len();
            let whole = blocks::<ROWS>(rows.len()).take_while(|&(_, size)| size == ROWS).count();
            copy.resize(depth * rows.len(), 0.0);
            let (to_whole, to_rest) = copy.split_at_mut(whole * ROWS * depth);
            let (to_whole, _) = to_whole.as_chunks_mut::<ROWS>();
            for (i, column) in values.chunks(column_stride).take(depth).enumerate() {
                let (in_whole, rest) = column[..rows.len()].split_at(whole * ROWS);
                for (block, piece) in in_whole.as_chunks::<ROWS>().0.iter().enumerate() {
                    to_whole[block * depth + i] = *piece;
                }
                for (first, size) in blocks::<ROWS>(rest.len()) {
                    to_rest[first * depth + i * size..][..size]
                        .copy_from_slice(&rest[first..][..size]);
                }
            }
            a = Left::Blocks(copy);
        }
        let start = if deep.start == 0 { self.start } else { Start::Output };
        Part { packed: self.packed, first_row: rows.start, deep, a, start }
    }
}

/// The larger part of so many rows when they are cut into two blocks of sizes that exist.
const HALF: [usize; 19] = [0, 1, 2, 3, 4, 5, 3, 4, 4, 5, 5, 8, 8, 8, 8, 8, 8, 8, 8];

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
enum Left<'a> {
    InPlace(Strided<'a>),
    /// One block of rows after the other, each column after column.
    Blocks(&'a [f32]),
}

/// Some rows of a product, over a part of its depth.
struct Part<'a> {
    packed: &'a Packed,
    first_row: usize,
    deep: Range<usize>,
    a: Left<'a>,
    start: Start<'a>,
}

impl Part<'_> {
    /// Rows `first..first + ROWS` of panel `p`.
    #[inline(always)]
    fn block<const ROWS: usize, const FUSED: bool>(&self, p: usize, first: usize, out: Output) {
        let panel = &self.packed.panels[p * self.packed.depth..][self.deep.clone()];
        let mut sums = [[0.0; PANEL]; ROWS];
        match self.a {
            Left::InPlace(a) => {
                let values = a.values.get(first * a.row_stride..).unwrap_or_default();
                match a.column_stride {
                    1 => sum_rows::<ROWS, FUSED>(panel, values, a.row_stride, &mut sums),
                    stride => sum_columns::<ROWS, FUSED>(panel, values, stride, &mut sums),
                }
            }
            Left::Blocks(values) => {
                let (columns, _) = values[first * self.deep.len()..].as_chunks::<ROWS>();
                let mut local = [[0.0; PANEL]; ROWS];
                for (m, column) in panel.iter().zip(columns) {
                    for r in 0..ROWS {
                        add_scaled::<FUSED>(&mut local[r], column[r], m);
                    }
                }
                sums = local;
            }
        }
        let column = p * PANEL;
        let width = PANEL.min(self.packed.columns - column);
        for (r, sums) in sums.iter().enumerate() {
            let begin = (self.first_row + first + r) * out.stride + column;
            // SAFETY: `Product::check` saw that all rows and columns of the product are inside of
            // `out`; this task alone has these rows of this panel.
            let out = unsafe { std::slice::from_raw_parts_mut(out.first.add(begin), width) };
            match self.start {
                Start::Zero => out.copy_from_slice(&sums[..width]),
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
}

/// `sums = A panel`, where row `r` of `A` begins at `values[r * stride]`.
///
/// The sums are a local variable until they are complete: that keeps them in registers.
#[inline(always)]
fn sum_rows<const ROWS: usize, const FUSED: bool>(
    panel: &[[f32; PANEL]],
    values: &[f32],
    stride: usize,
    sums: &mut [[f32; PANEL]; ROWS],
) {
    let depth = panel.len();
    let rows: [&[f32]; ROWS] = std::array::from_fn(|r| &values[r * stride..][..depth]);
    let mut local = [[0.0; PANEL]; ROWS];
    for (i, m) in panel.iter().enumerate() {
        for r in 0..ROWS {
            add_scaled::<FUSED>(&mut local[r], rows[r][i], m);
        }
    }
    *sums = local;
}

/// The same, where column `i` of `A` begins at `values[i * stride]`.
#[inline(always)]
fn sum_columns<const ROWS: usize, const FUSED: bool>(
    panel: &[[f32; PANEL]],
    values: &[f32],
    stride: usize,
    sums: &mut [[f32; PANEL]; ROWS],
) {
    let mut local = [[0.0; PANEL]; ROWS];
    for (m, column) in panel.iter().zip(values.chunks(stride)) {
        let column = &column[..ROWS];
        for r in 0..ROWS {
            add_scaled::<FUSED>(&mut local[r], column[r], m);
        }
    }
    *sums = local;
}

#[inline(always)]
fn add_scaled<const FUSED: bool>(sums: &mut [f32; PANEL], factor: f32, row: &[f32; PANEL]) {
    for (sum, &value) in sums.iter_mut().zip(row) {
        *sum = if FUSED { factor.mul_add(value, *sum) } else { factor * value + *sum };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers whose sums are exact in `f32`, so a wrong index cannot hide behind rounding.
    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7 + seed * 13) % 11) as f32 - 5.0).collect()
    }

    fn naive(rows: usize, depth: usize, columns: usize, a: &[f32], m: &[f32]) -> Vec<f32> {
        (0..rows * columns)
            .map(|i| {
                let (r, c) = (i / columns, i % columns);
                (0..depth).map(|k| a[r * depth + k] * m[k * columns + c]).sum()
            })
            .collect()
    }

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
        check::<16>();
    }

    #[test]
    fn products_equal_the_definition_for_every_remainder() {
        for rows in [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 13, 16, 23, 104] {
            for (depth, columns) in [(1, 1), (3, 15), (8, 16), (17, 33), (0, 4)] {
                let (a, m) = (numbers(rows * depth, rows), numbers(depth * columns, columns));
                let expected = naive(rows, depth, columns, &a, &m);
                let packed = Packed::new(Strided::rows(&m, columns), depth, columns);
                let mut out = vec![f32::NAN; rows * columns];
                packed.multiply(rows, Strided::rows(&a, depth), Start::Zero, &mut out, columns);
                assert_eq!(out, expected, "{rows} x {depth} x {columns}");

                packed.multiply(rows, Strided::rows(&a, depth), Start::Output, &mut out, columns);
                let twice: Vec<f32> = expected.iter().map(|x| 2.0 * x).collect();
                assert_eq!(out, twice);

                let transposed: Vec<f32> =
                    (0..depth * rows).map(|i| a[i % rows * depth + i / rows]).collect();
                let bias = numbers(columns, 1);
                let left = Strided::transposed(&transposed, rows);
                packed.multiply(rows, left, Start::Bias(&bias), &mut out, columns);
                for (i, (out, expected)) in out.iter().zip(&expected).enumerate() {
                    assert_eq!(*out, expected + bias[i % columns]);
                }
            }
        }
    }

    #[test]
    fn a_transposed_weight_is_the_same_matrix() {
        let (depth, columns) = (5, 19);
        let m = numbers(depth * columns, 3);
        let weight: Vec<f32> =
            (0..columns * depth).map(|i| m[i % depth * columns + i / depth]).collect();
        assert_eq!(
            Packed::new(Strided::transposed(&weight, depth), depth, columns).panels,
            Packed::new(Strided::rows(&m, columns), depth, columns).panels
        );
    }

    #[test]
    fn a_prefix_of_the_depth_and_strides_are_respected() {
        let m = numbers(4 * 3, 1);
        let packed = Packed::new(Strided::rows(&m, 3), 4, 3);
        let a = numbers(6, 2);
        let mut out = vec![0.0; 2 * 5];
        packed.multiply_first(2, 2, Strided::rows(&a, 1), Start::Zero, &mut out, 5);
        let expected = naive(2, 2, 3, &[a[0], a[1], a[1], a[2]], &m[..6]);
        assert_eq!(out[..3], expected[..3]);
        assert_eq!(out[5..8], expected[3..]);
        assert_eq!([out[3], out[4], out[8], out[9]], [0.0; 4]);
    }

    #[test]
    fn bits_of_a_row_do_not_depend_on_its_neighbours() {
        let mut stream = textgan_random::Key::root(1).stream();
        let mut draw = |n: usize| (0..n).map(|_| stream.normal()).collect::<Vec<f32>>();
        let (rows, depth, columns) = (23, 40, 50);
        let (a, m) = (draw(rows * depth), draw(depth * columns));
        let packed = Packed::new(Strided::rows(&m, columns), depth, columns);
        let mut together = vec![0.0; rows * columns];
        packed.multiply(rows, Strided::rows(&a, depth), Start::Zero, &mut together, columns);
        for r in 0..rows {
            let mut alone = vec![0.0; columns];
            let row = Strided::rows(&a[r * depth..][..depth], depth);
            packed.multiply(1, row, Start::Zero, &mut alone, columns);
            assert_eq!(alone, together[r * columns..][..columns]);
        }
    }
}
