//! Matrix products on one thread, over strided views, and over constant tiles on all threads.

#![allow(unsafe_code)] // `gemm` takes pointers; the bounds are checked here, for every call.

use ::gemm::Parallelism;
use rayon::prelude::*;

/// A matrix inside a slice: element `(i, j)` is at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after the other.
    ///
    /// # Panics
    /// If the slice is shorter than `rows * columns`.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Rows that begin `row_stride` apart: some columns of a wider matrix.
    ///
    /// # Panics
    /// If the slice is too short.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(
            rows == 0 || columns == 0 || (rows - 1) * row_stride + columns <= data.len(),
            "a matrix of {rows} x {columns}, stride {row_stride}, in {} numbers",
            data.len()
        );
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// The transpose of the same numbers.
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// `out = a b`, or `out += a b` to `accumulate`, on the calling thread. Rows of `out` begin
/// `out_stride` apart.
///
/// # Panics
/// If the inner dimensions differ, or `out` is too short or its rows overlap.
pub fn product(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], out_stride: usize, accumulate: bool) {
    let (rows, columns) = (a.rows, b.columns);
    assert_eq!(a.columns, b.rows, "inner dimensions");
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(out_stride >= columns || rows == 1, "rows of the result overlap");
    assert!((rows - 1) * out_stride + columns <= out.len(), "the result is too short");
    // SAFETY: `Matrix` has checked that its farthest element is inside its slice (transposing keeps
    // the set of elements), `out` was checked above, and it cannot alias the inputs, being `&mut`.
    unsafe {
        ::gemm::gemm(
            rows,
            columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Rows of the result that one task computes. A constant: bits must not depend on the threads.
pub(crate) const TILE: usize = 64;
/// The same where the sum is long and the result has few rows: gradients of weights.
const GRADIENT_TILE: usize = 32;

/// `c[m, n] = a[m, k] b[n, k]^T`, or `c += ..` to `accumulate`, on all threads of the pool.
///
/// # Panics
/// If a slice is too short.
pub fn matmul_nt(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    b: &[f32],
    c: &mut [f32],
    accumulate: bool,
) {
    let b = Matrix::new(b, n, k).transposed();
    tiles(m, n, k, TILE, &|first, rows| Matrix::new(&a[first * k..], rows, k), b, c, accumulate);
}

/// `c[m, n] = a[m, k] b[k, n]`, or `c += ..` to `accumulate`, on all threads of the pool.
///
/// # Panics
/// If a slice is too short.
pub fn matmul_nn(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    b: &[f32],
    c: &mut [f32],
    accumulate: bool,
) {
    let b = Matrix::new(b, k, n);
    tiles(m, n, k, TILE, &|first, rows| Matrix::new(&a[first * k..], rows, k), b, c, accumulate);
}

/// `c[m, n] = a[k, m]^T b[k, n]`, or `c += ..` to `accumulate`, on all threads of the pool.
///
/// # Panics
/// If a slice is too short.
pub fn matmul_tn(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    b: &[f32],
    c: &mut [f32],
    accumulate: bool,
) {
    let b = Matrix::new(b, k, n);
    let columns = |first, count| Matrix::strided(&a[first..], k, count, m).transposed();
    tiles(m, n, k, GRADIENT_TILE, &columns, b, c, accumulate);
}

fn tiles<'a>(
    m: usize,
    n: usize,
    k: usize,
    tile: usize,
    a: &(dyn Fn(usize, usize) -> Matrix<'a> + Sync),
    b: Matrix<'_>,
    c: &mut [f32],
    accumulate: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    let c = &mut c[..m * n];
    if k == 0 {
        if !accumulate {
            c.fill(0.0);
        }
        return;
    }
    c.par_chunks_mut(tile * n).enumerate().for_each(|(i, c)| {
        product(a(i * tile, c.len() / n), b, c, n, accumulate);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 997) as f32 / 997.0 - 0.5).collect()
    }

    fn transposed(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        (0..rows * columns).map(|i| x[(i % rows) * columns + i / rows]).collect()
    }

    #[test]
    fn all_forms_agree_with_three_loops() {
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (64, 33, 20), (150, 40, 65), (5, 3, 0), (0, 3, 2)] {
            let (a, b) = (numbers(m * k, 1), numbers(n * k, 2));
            let mut expected = numbers(m * n, 3);
            let before = expected.clone();
            for i in 0..m {
                for j in 0..n {
                    expected[i * n + j] += (0..k).map(|l| a[i * k + l] * b[j * k + l]).sum::<f32>();
                }
            }
            let check = |f: &dyn Fn(&mut [f32], bool)| {
                let mut added = before.clone();
                f(&mut added, true);
                let mut written = before.clone();
                f(&mut written, false);
                for i in 0..m * n {
                    assert!((added[i] - expected[i]).abs() < 1e-4, "{m} {n} {k}");
                    assert!((written[i] + before[i] - expected[i]).abs() < 1e-4, "{m} {n} {k}");
                }
            };
            let (at, bt) = (transposed(&a, m, k), transposed(&b, n, k));
            check(&|c, accumulate| matmul_nt(m, n, k, &a, &b, c, accumulate));
            check(&|c, accumulate| matmul_nn(m, n, k, &a, &bt, c, accumulate));
            check(&|c, accumulate| matmul_tn(m, n, k, &at, &bt, c, accumulate));
        }
    }

    #[test]
    #[should_panic(expected = "in 5 numbers")]
    fn a_short_slice_is_refused() {
        Matrix::new(&[0.0; 5], 2, 3);
    }
}
