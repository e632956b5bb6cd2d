//! Matrix products of plain matrices, on all threads of the pool.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::{Packed, Start, Strided};

/// Rows that one task of an elementwise pass takes. A constant: bits must not depend on the threads.
pub(crate) const TILE: usize = 64;

/// `c[m, n] = a[m, k] b[n, k]^T`, or `c += ..` to `accumulate`.
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
    multiply([m, n, k], Strided::rows(a, k), Strided::transposed(b, k), c, accumulate);
}

/// `c[m, n] = a[m, k] b[k, n]`, or `c += ..` to `accumulate`.
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
    multiply([m, n, k], Strided::rows(a, k), Strided::rows(b, n), c, accumulate);
}

/// `c[m, n] = a[k, m]^T b[k, n]`, or `c += ..` to `accumulate`.
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
    multiply([m, n, k], Strided::transposed(a, m), Strided::rows(b, n), c, accumulate);
}

/// `c = a b`, or `c += a b`. The side that is smaller by so much that the result may be turned for
/// it is the one that is packed: `c = (b^T a^T)^T` has the same sums.
fn multiply(
    [m, n, k]: [usize; 3],
    a: Strided<'_>,
    b: Strided<'_>,
    c: &mut [f32],
    accumulate: bool,
) {
    if m * (k + 2 * n) >= n * k {
        let start = if accumulate { Start::Output } else { Start::Zero };
        return Packed::new(b, k, n).multiply_on_all_threads(m, a, start, c, n);
    }
    let mut turned = Buffer::new(n * m);
    Packed::new(a.turned(), k, m).multiply_on_all_threads(
        n,
        b.turned(),
        Start::Zero,
        &mut turned,
        m,
    );
    c[..m * n].par_chunks_exact_mut(n).enumerate().for_each(|(row, c)| {
        for (c, turned) in c.iter_mut().zip(turned[row..].iter().step_by(m)) {
            *c = if accumulate { *c + turned } else { *turned };
        }
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
        for (m, n, k) in [
            (1, 1, 1),
            (3, 5, 7),
            (64, 33, 20),
            (150, 40, 65),
            (5, 3, 0),
            (0, 3, 2),
            (100, 150, 1100),
            (800, 20, 5),
            (10, 300, 70),
            (17, 200, 90),
        ] {
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
                    assert!((added[i] - expected[i]).abs() < 2e-4, "{m} {n} {k}");
                    assert!((written[i] + before[i] - expected[i]).abs() < 2e-4, "{m} {n} {k}");
                }
            };
            let (at, bt) = (transposed(&a, m, k), transposed(&b, n, k));
            check(&|c, accumulate| matmul_nt(m, n, k, &a, &b, c, accumulate));
            check(&|c, accumulate| matmul_nn(m, n, k, &a, &bt, c, accumulate));
            check(&|c, accumulate| matmul_tn(m, n, k, &at, &bt, c, accumulate));
        }
    }
}
