//! Elementary functions that the compiler turns into vector code, and sums in a constant order.
//!
//! Everything here is a plain expression or loop, inlined into functions made by
//! [`simd!`](super::dispatch::simd). Polynomials are those of the Cephes library (Moshier, 1989).

#![allow(clippy::excessive_precision)] // Coefficients as they were published.

/// Sums and maxima are kept in this many lanes whatever the instruction set, so they have the same
/// order, hence the same bits, on all of them.
pub(crate) const LANES: usize = 16;

/// `e^x` within two units in the last place, and 0 below [`NOTHING`]; `x` is at most 88.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    // Adding 1.5 * 2^23 rounds to an integer n and leaves it in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    // ln 2 in two parts, the first exact in few bits.
    let f = n.mul_add(-0.693_359_4, x);
    let f = n.mul_add(2.121_944_4e-4, f);
    let mut p = 1.987_569_1e-4_f32;
    p = p.mul_add(f, 1.398_2e-3);
    p = p.mul_add(f, 8.333_452e-3);
    p = p.mul_add(f, 4.166_579_6e-2);
    p = p.mul_add(f, 1.666_666_6e-1);
    p = p.mul_add(f, 5.0e-1);
    p = p.mul_add(f * f, f) + 1.0;
    // n is in -126..=127: the factor is 2^n.
    let y = p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < NOTHING { 0.0 } else { y }
}

/// What [`exp`] takes for nothing, far below the rounding of a sum that has 1 in it. Were it kept, a
/// model that knows which words are impossible would give them probabilities whose gradients are
/// subnormal numbers, which processors multiply up to a hundred times slower than others.
const NOTHING: f32 = -50.0;

/// `ln x` for positive normal numbers.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    // x = m 2^e with m in sqrt(1/2)..sqrt(2).
    const ROOT_HALF: u32 = 0x3f35_04f3;
    let e = (x.to_bits().wrapping_sub(ROOT_HALF) as i32) >> 23;
    let f = f32::from_bits(x.to_bits().wrapping_sub((e << 23) as u32)) - 1.0;
    let e = e as f32;
    let mut p = 7.037_683_6e-2_f32;
    p = p.mul_add(f, -1.151_461e-1);
    p = p.mul_add(f, 1.167_699_9e-1);
    p = p.mul_add(f, -1.242_014_1e-1);
    p = p.mul_add(f, 1.424_932_3e-1);
    p = p.mul_add(f, -1.666_805_8e-1);
    p = p.mul_add(f, 2.000_071_5e-1);
    p = p.mul_add(f, -2.499_999_4e-1);
    p = p.mul_add(f, 3.333_333e-1);
    let square = f * f;
    let p = (p * f).mul_add(square, e * -2.121_944_4e-4);
    let p = square.mul_add(-0.5, p);
    e.mul_add(0.693_359_4, f + p)
}

/// `ln(1 + x)` for `x >= 0`, also where `1 + x` is rounded away (Kahan's correction).
#[inline(always)]
pub(crate) fn ln_1p(x: f32) -> f32 {
    let u = 1.0 + x;
    let ratio = x / (u - 1.0);
    if u == 1.0 { x } else { ln(u) * ratio }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent, within `2e-7`.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// `f` of each lane. Loops over slices that may overlap, as far as the compiler can see, stay scalar;
/// over arrays they do not.
#[inline(always)]
pub(crate) fn lanes(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    let mut y = [0.0; LANES];
    for (j, y) in y.iter_mut().enumerate() {
        *y = f(j);
    }
    y
}

/// The lanes of `x` from `at` on, zeros after its end.
#[inline(always)]
pub(crate) fn load(x: &[f32], at: usize) -> [f32; LANES] {
    match x.get(at..at + LANES).and_then(|block| block.try_into().ok()) {
        Some(block) => block,
        None => {
            let mut lanes = [0.0; LANES];
            for (lane, x) in lanes.iter_mut().zip(&x[at..]) {
                *lane = *x;
            }
            lanes
        }
    }
}

/// Writes lanes to `y` from `at` on, as many as there is place for.
#[inline(always)]
pub(crate) fn store(y: &mut [f32], at: usize, lanes: [f32; LANES]) {
    match y.get_mut(at..at + LANES) {
        Some(block) => block.copy_from_slice(&lanes),
        None => {
            for (y, lane) in y[at..].iter_mut().zip(lanes) {
                *y = lane;
            }
        }
    }
}

/// Adds up the lanes of a sum, in order.
#[inline(always)]
pub(crate) fn total(lanes: [f32; LANES]) -> f32 {
    lanes.iter().sum()
}

/// `sum x_i`.
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let blocks = x.chunks_exact(LANES);
    for (lane, x) in lanes.iter_mut().zip(blocks.remainder()) {
        *lane += x;
    }
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane += x;
        }
    }
    total(lanes)
}

/// `sum x_i y_i`.
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let y = &y[..x.len()];
    let mut lanes = [0.0; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    for (lane, (x, y)) in lanes.iter_mut().zip(xs.remainder().iter().zip(ys.remainder())) {
        *lane = x * y;
    }
    for (x, y) in xs.zip(ys) {
        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *lane = x.mul_add(*y, *lane);
        }
    }
    total(lanes)
}

/// The larger one; `b` if `a` is NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The largest; minus infinity for none.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let blocks = x.chunks_exact(LANES);
    for (lane, x) in lanes.iter_mut().zip(blocks.remainder()) {
        *lane = larger(*x, *lane);
    }
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane = larger(*x, *lane);
        }
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn largest_error(
        f: fn(f32) -> f32,
        exact: fn(f64) -> f64,
        inputs: &[f32],
        relative: bool,
    ) -> f64 {
        let error = |&x: &f32| {
            let (value, exact) = (f64::from(f(x)), exact(f64::from(x)));
            (value - exact).abs() / if relative { exact.abs() } else { 1.0 }
        };
        inputs.iter().map(error).fold(0.0, f64::max)
    }

    #[test]
    fn close_to_the_standard_library() {
        let inputs: Vec<f32> = (-8600..8600).map(|i| i as f32 * 0.01 + 1e-3).collect();
        let something: Vec<f32> = inputs.iter().copied().filter(|&x| x > NOTHING).collect();
        assert!(largest_error(exp, f64::exp, &something, true) < 3e-7);
        assert!(largest_error(sigmoid, |x| 1.0 / (1.0 + (-x).exp()), &inputs, true) < 4e-7);
        assert!(largest_error(tanh, f64::tanh, &inputs, false) < 3e-7);
        let positive: Vec<f32> = inputs.iter().map(|x| x.exp()).collect();
        assert!(largest_error(ln, f64::ln, &positive, false) < 8e-6);
        let near_one: Vec<f32> = (1..4000).map(|i| i as f32 * 5e-4).collect();
        assert!(largest_error(ln, f64::ln, &near_one, false) < 3e-7);
        let tiny: Vec<f32> = (1..1000).map(|i| i as f32 * 1e-9).collect();
        assert!(largest_error(ln_1p, f64::ln_1p, &tiny, true) < 3e-7);
        assert!(largest_error(ln_1p, f64::ln_1p, &near_one, true) < 4e-7);
    }

    #[test]
    fn ends_are_finite() {
        assert!(exp(-1e30) == 0.0 && exp(f32::NEG_INFINITY) == 0.0 && exp(-50.1) == 0.0);
        assert!(exp(-49.9) > 0.0);
        // Who takes the logarithm of what became nothing gets a number.
        assert!((ln(0.0) + 88.0).abs() < 0.1);
        assert!(exp(1e30).is_finite());
        assert_eq!((sigmoid(200.0), tanh(200.0), tanh(-200.0)), (1.0, 1.0, -1.0));
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_of_any_length() {
        for n in 0..70usize {
            let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(sum(&x), (n * n.saturating_sub(1) / 2) as f32);
            assert_eq!(dot(&x, &x), x.iter().map(|x| x * x).sum::<f32>());
            assert_eq!(max(&x), if n == 0 { f32::NEG_INFINITY } else { (n - 1) as f32 });
        }
    }
}
