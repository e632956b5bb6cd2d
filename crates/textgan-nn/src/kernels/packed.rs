#![allow(unsafe_code)] // Calling a function compiled for an instruction set that was detected.

use super::InstructionSet;

/// Columns of a panel: one register of AVX-512, two of AVX2.
const PANEL: usize = 16;
/// Rows that go through all panels together; a multiple of every block of rows.
const CHUNK: usize = 96;

/// A matrix `M: [depth, columns]` stored for many products `A M` on one thread each: the weights of
/// a recurrent step, of a sampler, of a convolution.
///
/// `M` is kept in panels of 16 columns, so a product reads it in the order in which it lies in
/// memory, and blocks of rows of `A` are multiplied in registers. Every number of the result is
/// the sum over `depth` in ascending order: the bits of a row do not depend on which rows are
/// beside it.
///
/// ```
/// use textgan_nn::kernels::{Left, Packed, Start};
///
/// let weight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // [2 outputs, 3 inputs]
/// let layer = Packed::transposed(&weight, 2, 3);
/// let mut y = [0.0; 2];
/// layer.multiply(1, Left::rows(&[1.0, 0.0, -1.0], 3), Start::Bias(&[10.0, 20.0]), &mut y, 2);
/// assert_eq!(y, [8.0, 18.0]);
/// ```
#[derive(Clone, Debug)]
pub struct Packed {
    depth: usize,
    columns: usize,
    /// Panel after panel, each `[depth, PANEL]`; the columns that the last one lacks are zero.
    panels: Vec<[f32; PANEL]>,
}

/// The left side of a product.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a> {
    values: &'a [f32],
    row_stride: usize,
    depth_stride: usize,
}

impl<'a> Left<'a> {
    /// Row `i` begins at `values[i * stride]`. Rows may overlap, as the windows of a convolution do.
    pub fn rows(values: &'a [f32], stride: usize) -> Self {
        Self { values, row_stride: stride, depth_stride: 1 }
    }

    /// The transpose of a matrix whose rows begin at `values[i * stride]`.
    pub fn transposed(values: &'a [f32], stride: usize) -> Self {
        Self { values, row_stride: 1, depth_stride: stride }
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
    /// Packs `matrix: [depth, columns]`, row-major.
    ///
    /// # Panics
    /// If it has another number of values.
    pub fn new(matrix: &[f32], depth: usize, columns: usize) -> Self {
        Self::strided(matrix, depth, columns, columns)
    }

    /// Packs the first `columns` columns of a row-major matrix of `depth` rows that begin `stride`
    /// apart.
    ///
    /// # Panics
    /// If the matrix ends before its last row does.
    pub fn strided(matrix: &[f32], depth: usize, columns: usize, stride: usize) -> Self {
        check_matrix("Packed::strided", matrix.len(), depth, columns, stride);
        let mut panels = vec![[0.0; PANEL]; depth * columns.div_ceil(PANEL)];
        for (p, panel) in panels.chunks_exact_mut(depth.max(1)).enumerate() {
            let first = p * PANEL;
            let width = PANEL.min(columns - first);
            for (i, row) in panel.iter_mut().enumerate() {
                row[..width].copy_from_slice(&matrix[i * stride + first..][..width]);
            }
        }
        Self { depth, columns, panels }
    }

    /// Packs the transpose of `weight: [columns, depth]`, row-major: products are `A W^T`, as in a
    /// linear layer.
    ///
    /// # Panics
    /// If it has another number of values.
    pub fn transposed(weight: &[f32], columns: usize, depth: usize) -> Self {
        check_matrix("Packed::transposed", weight.len(), columns, depth, depth);
        let mut panels = vec![[0.0; PANEL]; depth * columns.div_ceil(PANEL)];
        for (p, panel) in panels.chunks_exact_mut(depth.max(1)).enumerate() {
            for lane in 0..PANEL.min(columns - p * PANEL) {
                let column = &weight[(p * PANEL + lane) * depth..][..depth];
                for (row, &value) in panel.iter_mut().zip(column) {
                    row[lane] = value;
                }
            }
        }
        Self { depth, columns, panels }
    }

    /// Rows of the matrix.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of the matrix.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// `out = start + A M` with `A: [rows, depth]`. Row `i` of the result begins at
    /// `out[i * stride]`.
    ///
    /// # Panics
    /// If `a`, a bias or `out` is too short.
    pub fn multiply(
        &self,
        rows: usize,
        a: Left<'_>,
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
        a: Left<'_>,
        start: Start<'_>,
        out: &mut [f32],
        stride: usize,
    ) {
        assert!(depth <= self.depth, "depth {depth} of a matrix of {} rows", self.depth);
        if rows == 0 || self.columns == 0 {
            return;
        }
        if depth > 0 {
            let last = (rows - 1) * a.row_stride + (depth - 1) * a.depth_stride;
            assert!(last < a.values.len(), "the left side has {} values", a.values.len());
        }
        check_matrix("Packed::multiply", out.len(), rows, self.columns, stride);
        if let Start::Bias(bias) = start {
            assert_eq!(bias.len(), self.columns, "one bias a column");
        }
        Product { packed: self, depth, rows, a, start, stride }.run(out);
    }
}

/// A checked product, to be compiled once for each instruction set.
#[derive(Clone, Copy)]
struct Product<'a> {
    packed: &'a Packed,
    depth: usize,
    rows: usize,
    a: Left<'a>,
    start: Start<'a>,
    stride: usize,
}

impl Product<'_> {
    fn run(self, out: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
            fn avx512(product: Product<'_>, out: &mut [f32]) {
                product.panels::<16, true>(out);
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2(product: Product<'_>, out: &mut [f32]) {
                product.panels::<6, true>(out);
            }
            match InstructionSet::current() {
                // SAFETY: `current` is never better than what the processor was found to have.
                InstructionSet::Avx512 => return unsafe { avx512(self, out) },
                // SAFETY: as above.
                InstructionSet::Avx2 => return unsafe { avx2(self, out) },
                InstructionSet::Portable => {}
            }
        }
        self.panels::<4, false>(out);
    }

    /// Blocks of `ROWS` rows, as many as there are registers to hold their sums; chunks of rows
    /// that fit a cache together with a panel.
    #[inline(always)]
    fn panels<const ROWS: usize, const FUSED: bool>(self, out: &mut [f32]) {
        for chunk in (0..self.rows).step_by(CHUNK) {
            let end = self.rows.min(chunk + CHUNK);
            for p in 0..self.packed.columns.div_ceil(PANEL) {
                let mut row = chunk;
                while row < end {
                    row += match end - row {
                        left if left >= ROWS => self.block::<ROWS, FUSED>(p, row, out),
                        left if left >= 8 && ROWS > 8 => self.block::<8, FUSED>(p, row, out),
                        left if left >= 4 => self.block::<4, FUSED>(p, row, out),
                        left if left >= 2 => self.block::<2, FUSED>(p, row, out),
                        _ => self.block::<1, FUSED>(p, row, out),
                    };
                }
            }
        }
    }

    /// Rows `first..first + ROWS` of panel `p`; returns how many rows that is.
    #[inline(always)]
    fn block<const ROWS: usize, const FUSED: bool>(
        self,
        p: usize,
        first: usize,
        out: &mut [f32],
    ) -> usize {
        let panel = &self.packed.panels[p * self.packed.depth..][..self.depth];
        let values = self.a.values.get(first * self.a.row_stride..).unwrap_or_default();
        let mut sums = [[0.0; PANEL]; ROWS];
        if self.a.depth_stride == 1 {
            sum_rows::<ROWS, FUSED>(panel, values, self.a.row_stride, &mut sums);
        } else {
            sum_columns::<ROWS, FUSED>(panel, values, self.a.depth_stride, &mut sums);
        }
        let column = p * PANEL;
        let width = PANEL.min(self.packed.columns - column);
        for (r, sums) in sums.iter().enumerate() {
            let out = &mut out[(first + r) * self.stride + column..][..width];
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
        ROWS
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

fn check_matrix(name: &str, values: usize, rows: usize, columns: usize, stride: usize) {
    assert!(columns <= stride || rows < 2, "{name}: rows of {columns} begin {stride} apart");
    let needed = if rows == 0 { 0 } else { (rows - 1) * stride + columns };
    assert!(values >= needed, "{name}: {values} values, expected {needed}");
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
    fn products_equal_the_definition_for_every_remainder() {
        for rows in [1, 2, 3, 5, 6, 7, 13, 16, 23] {
            for (depth, columns) in [(1, 1), (3, 15), (8, 16), (17, 33), (0, 4)] {
                let (a, m) = (numbers(rows * depth, rows), numbers(depth * columns, columns));
                let expected = naive(rows, depth, columns, &a, &m);
                let packed = Packed::new(&m, depth, columns);
                let mut out = vec![f32::NAN; rows * columns];
                packed.multiply(rows, Left::rows(&a, depth), Start::Zero, &mut out, columns);
                assert_eq!(out, expected, "{rows} x {depth} x {columns}");

                packed.multiply(rows, Left::rows(&a, depth), Start::Output, &mut out, columns);
                let twice: Vec<f32> = expected.iter().map(|x| 2.0 * x).collect();
                assert_eq!(out, twice);

                let transposed: Vec<f32> =
                    (0..depth * rows).map(|i| a[i % rows * depth + i / rows]).collect();
                let bias = numbers(columns, 1);
                let left = Left::transposed(&transposed, rows);
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
            Packed::transposed(&weight, columns, depth).panels,
            Packed::new(&m, depth, columns).panels
        );
    }

    #[test]
    fn a_prefix_of_the_depth_and_strides_are_respected() {
        let m = numbers(4 * 3, 1);
        let packed = Packed::new(&m, 4, 3);
        let a = numbers(6, 2);
        let mut out = vec![0.0; 2 * 5];
        packed.multiply_first(2, 2, Left::rows(&a, 1), Start::Zero, &mut out, 5);
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
        let packed = Packed::new(&m, depth, columns);
        let mut together = vec![0.0; rows * columns];
        packed.multiply(rows, Left::rows(&a, depth), Start::Zero, &mut together, columns);
        for r in 0..rows {
            let mut alone = vec![0.0; columns];
            let row = Left::rows(&a[r * depth..][..depth], depth);
            packed.multiply(1, row, Start::Zero, &mut alone, columns);
            assert_eq!(alone, together[r * columns..][..columns]);
        }
    }
}
