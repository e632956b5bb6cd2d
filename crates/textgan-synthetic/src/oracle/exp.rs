//! The exponential function, in a form that compilers turn into vector instructions.

/// `e^x` for `x <= 80`, to a few units in the last place; below about -87 it is 0.
///
/// `2^n` times a Taylor polynomial of `e^r`, where `x = n ln 2 + r` and `|r| <= ln 2 / 2`; `n` is
/// rounded by adding `1.5 * 2^23`, after which it stands in the low bits of the sum.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let tiny = x < -87.0;
    let x = if tiny { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let series = 1.0 / 720.0 + r * (1.0 / 5040.0);
    let series = 1.0 / 120.0 + r * series;
    let series = 1.0 / 24.0 + r * series;
    let series = 1.0 / 6.0 + r * series;
    let series = 1.0 + r * (1.0 + r * (0.5 + r * series));
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if tiny { 0.0 } else { series * power }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    let x = if x < -80.0 { -80.0 } else { x };
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_exact_as_the_type() {
        for i in -86_000..80_000 {
            let x = i as f32 * 1e-3;
            let (found, expect) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / expect - 1.0).abs() < 3e-7, "e^{x} = {found}, not {expect}");
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 3e-7, "tanh {x}");
        }
        assert_eq!((exp(0.0), exp(-100.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert!(sigmoid(1e30) == 1.0 && sigmoid(-1e30) < 1e-30);
    }
}
