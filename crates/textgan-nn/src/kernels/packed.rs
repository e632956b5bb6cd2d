//! Matrix products with one side packed: the one loop under every product of this crate.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arithmetic::{PANEL, Pair, Term};
use super::product::{Output, Product};

/// Rows of a panel that are filled column by column while they stay in the nearest cache.
const TURNED: usize = 64;
/// Panels that are filled together.
const GROUP: usize = 8;
/// Numbers of a matrix from which on it is packed by all threads.
const PARALLEL: usize = 1 << 16;

/// The numbers that a product multiplies. Sums are `f32` either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Both sides rounded to bf16: 8 bits of mantissa, the range of `f32`. Worth it on processors with AMX, where a large
    /// transformer's step takes half the time, and on AMD's with AVX-512 bf16, where it takes two thirds; elsewhere the same
    /// numbers are multiplied, slower than in `f32`.
    Bf16,
}

/// A matrix `M: [depth, columns]` stored for products `A M`.
///
/// `M` is kept in panels of 16 columns, so a product reads it in the order in which it lies in
/// memory, and blocks of rows of `A` are multiplied in registers. Every number of the result is
/// the sum over `depth` in ascending order, in constant parts: its bits depend neither on which
/// rows are beside it nor on the threads, and fused multiply-adds make them the same for AVX2 and
/// AVX-512. AMX, whose instruction multiplies tiles of bf16, adds those in an order of its own.
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
    panels: Panels,
}

/// Panel after panel, each of as many rows as there are terms in a column; the columns that the
/// last one lacks are zero.
#[derive(Clone, Debug, PartialEq)]
enum Panels {
    F32(Vec<[f32; PANEL]>),
    Bf16(Vec<[Pair; PANEL]>),
}

impl Default for Panels {
    fn default() -> Self {
        Self::F32(Vec::new())
    }
}

/// A matrix inside a slice, or its transpose.
#[derive(Clone, Copy, Debug)]
pub struct Strided<'a, T = f32> {
    pub(super) values: &'a [T],
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a, T> Strided<'a, T> {
    /// Row `i` begins at `values[i * stride]`. Rows may overlap, as the windows of a convolution do.
    pub fn rows(values: &'a [T], stride: usize) -> Self {
        Self { values, row_stride: stride, column_stride: 1 }
    }

    /// The transpose of a matrix whose rows begin at `values[i * stride]`.
    pub fn transposed(values: &'a [T], stride: usize) -> Self {
        Self { values, row_stride: 1, column_stride: stride }
    }

    /// The same numbers with rows for columns.
    pub(super) fn turned(self) -> Self {
        let Self { values, row_stride, column_stride } = self;
        Self { values, row_stride: column_stride, column_stride: row_stride }
    }

    pub(super) fn is_transposed(&self) -> bool {
        self.row_stride == 1 && self.column_stride != 1
    }

    fn check(&self, name: &str, rows: usize, columns: usize) {
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
    /// Packs a matrix of `depth` rows, for products in `f32`.
    ///
    /// # Panics
    /// If the matrix ends before its last row does.
    pub fn new(matrix: Strided<'_>, depth: usize, columns: usize) -> Self {
        Self::with_precision(Precision::F32, matrix, depth, columns)
    }

    /// Packs a matrix of `depth` rows.
    ///
    /// # Panics
    /// As [`Packed::new`].
    pub fn with_precision(
        precision: Precision,
        matrix: Strided<'_>,
        depth: usize,
        columns: usize,
    ) -> Self {
        let panels = match precision {
            Precision::F32 => Panels::F32(Vec::new()),
            Precision::Bf16 => Panels::Bf16(Vec::new()),
        };
        let mut packed = Self { depth: 0, columns: 0, panels };
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
        match &mut self.panels {
            Panels::F32(panels) => fill(panels, matrix, depth, columns),
            Panels::Bf16(panels) => fill(panels, matrix, depth, columns),
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
        let out = self.check(depth, rows, a, start, out, stride);
        match &self.panels {
            Panels::F32(panels) => self.product(panels, depth, a, start).run(rows, out),
            Panels::Bf16(panels) => self.product(panels, depth, a, start).run(rows, out),
        }
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
        let out = self.check(self.depth, rows, a, start, out, stride);
        match &self.panels {
            Panels::F32(panels) => {
                self.product(panels, self.depth, a, start).run_on_all_threads(rows, out);
            }
            Panels::Bf16(panels) => {
                self.product(panels, self.depth, a, start).run_on_all_threads(rows, out);
            }
        }
    }

    fn product<'a, T: Term>(
        &self,
        panels: &'a [[T; PANEL]],
        depth: usize,
        a: Strided<'a>,
        start: Start<'a>,
    ) -> Product<'a, T> {
        let terms = self.depth.div_ceil(T::DEPTH);
        Product { panels, columns: self.columns, terms, depth, a, start }
    }

    /// Makes sure that all rows of a product can be read and written.
    fn check(
        &self,
        first: usize,
        rows: usize,
        a: Strided<'_>,
        start: Start<'_>,
        out: &mut [f32],
        stride: usize,
    ) -> Output {
        let Self { depth, columns, .. } = *self;
        assert!(first <= depth, "depth {first} of a matrix of {depth} rows");
        a.check("the left side of a product", rows, first);
        if let Start::Bias(bias) = start {
            assert_eq!(bias.len(), columns, "one bias a column");
        }
        assert!(columns <= stride || rows < 2, "rows of {columns} begin {stride} apart");
        let needed = if rows == 0 { 0 } else { (rows - 1) * stride + columns };
        assert!(out.len() >= needed, "{} values for a product of {needed}", out.len());
        Output { first: out.as_mut_ptr(), stride }
    }
}

/// Packs a matrix into panels.
fn fill<T: Term>(panels: &mut Vec<[T; PANEL]>, matrix: Strided<'_>, depth: usize, columns: usize) {
    let terms = depth.div_ceil(T::DEPTH);
    panels.resize(terms * columns.div_ceil(PANEL), [T::default(); PANEL]);
    // All threads have something to do; what lies in a panel depends on none of them.
    let shared = columns.div_ceil(PANEL).div_ceil(2 * rayon::current_num_threads());
    let group = if matrix.column_stride == 1 { GROUP.min(shared).max(1) } else { 1 };
    let fill = |(at, panels): (usize, &mut [[T; PANEL]])| {
        let first = at * group * PANEL;
        let Strided { values, row_stride, column_stride } = matrix;
        let values = values.get(first * column_stride..).unwrap_or_default();
        let matrix = Strided { values, row_stride, column_stride };
        let width = (group * PANEL).min(columns - first);
        match column_stride {
            1 => fill_by_rows(panels, matrix, depth, width),
            _ => fill_by_columns(panels, matrix, depth, width),
        }
    };
    match depth * columns < PARALLEL {
        true => panels.chunks_mut((group * terms).max(1)).enumerate().for_each(fill),
        false => panels.par_chunks_mut((group * terms).max(1)).enumerate().for_each(fill),
    }
}

/// Packs the first `width` columns of a matrix whose rows lie in one piece, into a group of panels row by row: a row is
/// seldom in the same page of memory as the next.
fn fill_by_rows<T: Term>(
    panels: &mut [[T; PANEL]],
    matrix: Strided<'_>,
    depth: usize,
    width: usize,
) {
    let terms = depth.div_ceil(T::DEPTH);
    let zeros = [0.0; GROUP * PANEL];
    let row = |i: usize| match i < depth {
        true => &matrix.values[i * matrix.row_stride..][..width],
        false => &zeros[..width],
    };
    for i in 0..terms {
        let (first, second) = (row(i * T::DEPTH), row(i * T::DEPTH + T::DEPTH - 1));
        let numbers = first.chunks(PANEL).zip(second.chunks(PANEL));
        for (panel, (first, second)) in numbers.enumerate() {
            let to = &mut panels[panel * terms + i];
            match (first.first_chunk::<PANEL>(), second.first_chunk::<PANEL>()) {
                (Some(first), Some(second)) => {
                    *to = std::array::from_fn(|lane| T::new(first[lane], second[lane]));
                }
                _ => {
                    *to = [T::default(); PANEL];
                    for (term, (&first, &second)) in to.iter_mut().zip(first.iter().zip(second)) {
                        *term = T::new(first, second);
                    }
                }
            }
        }
    }
}

/// The same of a matrix whose columns lie in one piece.
fn fill_by_columns<T: Term>(
    panels: &mut [[T; PANEL]],
    matrix: Strided<'_>,
    depth: usize,
    width: usize,
) {
    let Strided { values, column_stride, .. } = matrix;
    let mut turned = [T::default(); TURNED];
    let panels = panels.chunks_exact_mut(depth.div_ceil(T::DEPTH).max(1));
    for (panel, first_column) in panels.zip((0..width).step_by(PANEL)) {
        let width = PANEL.min(width - first_column);
        if width < PANEL {
            panel.fill([T::default(); PANEL]);
        }
        for (block, rows) in panel.chunks_mut(TURNED).enumerate() {
            let first = block * TURNED * T::DEPTH;
            let turned = &mut turned[..rows.len()];
            for lane in 0..width {
                let column = &values[(first_column + lane) * column_stride..][first..depth];
                let column = &column[..column.len().min(TURNED * T::DEPTH)];
                let terms = T::in_place(column).unwrap_or_else(|| {
                    T::convert(column, turned);
                    turned
                });
                for (row, &term) in rows.iter_mut().zip(terms) {
                    row[lane] = term;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

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
    fn products_equal_the_definition_for_every_remainder() {
        for precision in PRECISIONS {
            for rows in [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 13, 16, 17, 23, 33, 104] {
                for (depth, columns) in
                    [(1, 1), (3, 15), (8, 16), (17, 33), (0, 4), (33, 40), (64, 150), (1100, 20)]
                {
                    check_product(precision, rows, depth, columns);
                }
            }
        }
    }

    fn check_product(precision: Precision, rows: usize, depth: usize, columns: usize) {
        let (a, m) = (numbers(rows * depth, rows), numbers(depth * columns, columns));
        let expected = naive(rows, depth, columns, &a, &m);
        let matrix = Strided::rows(&m, columns);
        let packed = Packed::with_precision(precision, matrix, depth, columns);
        let mut out = vec![f32::NAN; rows * columns];
        packed.multiply(rows, Strided::rows(&a, depth), Start::Zero, &mut out, columns);
        assert_eq!(out, expected, "{precision:?}, {rows} x {depth} x {columns}");

        packed.multiply(rows, Strided::rows(&a, depth), Start::Output, &mut out, columns);
        let twice: Vec<f32> = expected.iter().map(|x| 2.0 * x).collect();
        assert_eq!(out, twice);

        let transposed: Vec<f32> =
            (0..depth * rows).map(|i| a[i % rows * depth + i / rows]).collect();
        let bias = numbers(columns, 1);
        let left = Strided::transposed(&transposed, rows);
        packed.multiply(rows, left, Start::Bias(&bias), &mut out, columns);
        for (i, (out, expected)) in out.iter().zip(&expected).enumerate() {
            assert_eq!(*out, expected + bias[i % columns], "{precision:?}");
        }
    }

    #[test]
    fn a_transposed_weight_is_the_same_matrix() {
        // The last is packed by all threads.
        for (depth, columns) in [(5, 19), (70, 300), (301, 300)] {
            for precision in PRECISIONS {
                let m = numbers(depth * columns, 3);
                let weight: Vec<f32> =
                    (0..columns * depth).map(|i| m[i % depth * columns + i / depth]).collect();
                let packed =
                    |matrix| Packed::with_precision(precision, matrix, depth, columns).panels;
                let panels = packed(Strided::rows(&m, columns));
                assert_eq!(packed(Strided::transposed(&weight, depth)), panels);
                let at = |row: usize, column: usize| match row < depth && column < columns {
                    true => m[row * columns + column],
                    false => 0.0,
                };
                match panels {
                    Panels::F32(panels) => check_panels(&panels, depth, at),
                    Panels::Bf16(panels) => check_panels(&panels, depth, at),
                }
            }
        }
    }

    fn check_panels<T: Term + PartialEq + std::fmt::Debug>(
        panels: &[[T; PANEL]],
        depth: usize,
        at: impl Fn(usize, usize) -> f32,
    ) {
        let terms = depth.div_ceil(T::DEPTH);
        for (i, row) in panels.iter().enumerate() {
            let (panel, term) = (i / terms, i % terms * T::DEPTH);
            for (lane, found) in row.iter().enumerate() {
                let column = panel * PANEL + lane;
                assert_eq!(*found, T::new(at(term, column), at(term + T::DEPTH - 1, column)));
            }
        }
    }

    #[test]
    fn a_prefix_of_the_depth_and_strides_are_respected() {
        for precision in PRECISIONS {
            let m = numbers(4 * 3, 1);
            let packed = Packed::with_precision(precision, Strided::rows(&m, 3), 4, 3);
            let a = numbers(6, 2);
            let mut out = vec![0.0; 2 * 5];
            packed.multiply_first(2, 2, Strided::rows(&a, 1), Start::Zero, &mut out, 5);
            let expected = naive(2, 2, 3, &[a[0], a[1], a[1], a[2]], &m[..6]);
            assert_eq!(out[..3], expected[..3]);
            assert_eq!(out[5..8], expected[3..]);
            assert_eq!([out[3], out[4], out[8], out[9]], [0.0; 4]);

            let (rows, depth, columns, stride) = (37, 90, 50, 64);
            let (a, m) = (numbers(rows * 41, 2), numbers(depth * columns, 1));
            let packed =
                Packed::with_precision(precision, Strided::rows(&m, columns), depth, columns);
            let mut out = vec![7.0; rows * stride];
            packed.multiply_first(41, rows, Strided::rows(&a, 41), Start::Zero, &mut out, stride);
            let expected = naive(rows, 41, columns, &a, &m[..41 * columns]);
            for (out, expected) in out.chunks(stride).zip(expected.chunks(columns)) {
                assert_eq!(out[..columns], *expected);
                assert!(out[columns..].iter().all(|&beyond| beyond == 7.0));
            }
        }
    }

    #[test]
    fn bits_of_a_row_depend_on_no_neighbours_and_no_tiles() {
        let mut stream = textgan_random::Key::root(1).stream();
        let mut draw = |n: usize| (0..n).map(|_| stream.normal()).collect::<Vec<f32>>();
        for precision in PRECISIONS {
            for (rows, depth, columns) in [(23, 40, 50), (150, 700, 300)] {
                let (a, m) = (draw(rows * depth), draw(depth * columns));
                let matrix = Strided::rows(&m, columns);
                let packed = Packed::with_precision(precision, matrix, depth, columns);
                let mut together = vec![0.0; rows * columns];
                let all = Strided::rows(&a, depth);
                packed.multiply(rows, all, Start::Zero, &mut together, columns);
                for r in 0..rows {
                    let mut alone = vec![0.0; columns];
                    let row = Strided::rows(&a[r * depth..][..depth], depth);
                    packed.multiply(1, row, Start::Zero, &mut alone, columns);
                    assert_eq!(alone, together[r * columns..][..columns]);
                }
                let mut tiled = vec![0.0; rows * columns];
                packed.multiply_on_all_threads(rows, all, Start::Zero, &mut tiled, columns);
                assert!(tiled == together, "{precision:?}");
                let turned: Vec<f32> =
                    (0..depth * rows).map(|i| a[i % rows * depth + i / rows]).collect();
                let left = Strided::transposed(&turned, rows);
                packed.multiply_on_all_threads(rows, left, Start::Zero, &mut tiled, columns);
                assert!(tiled == together, "{precision:?}, transposed");
            }
        }
    }
}
