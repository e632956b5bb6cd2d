//! Quantiles of Student's t-distribution.

/// The value that a t-distributed variable with `freedom` degrees of freedom stays under with
/// probability `p`, for `p` in `(0.5, 1)`.
pub(crate) fn quantile(p: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while cumulative(high, freedom) < p && high < 1e12 {
        low = high;
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if cumulative(middle, freedom) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// `P(T <= t)` for `t >= 0`.
fn cumulative(t: f64, freedom: f64) -> f64 {
    1.0 - 0.5 * two_sided(t, freedom)
}

/// `P(|T| >= |t|)`, by the incomplete beta function; 0 where `t` is infinite.
pub(crate) fn two_sided(t: f64, freedom: f64) -> f64 {
    incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

/// The regularised incomplete beta function `I_x(a, b)`, by its continued fraction
/// (Lentz's method; Press et al., Numerical Recipes, section 6.4).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front =
        (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(a, b, x) / a
    } else {
        1.0 - front * fraction(b, a, 1.0 - x) / b
    }
}

fn fraction(a: f64, b: f64, x: f64) -> f64 {
    let guard = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..10_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        h *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    h
}

/// Logarithm of the gamma function (Lanczos, 1964; g = 7, nine terms).
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        let pi = std::f64::consts::PI;
        return (pi / (pi * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let mut sum = 0.999_999_999_999_809_9;
    for (i, term) in TERMS.iter().enumerate() {
        sum += term / (x + i as f64 + 1.0);
    }
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::{quantile, two_sided};

    /// `2 * scipy.stats.t.sf(t, freedom)` of SciPy 1.17.1.
    #[test]
    fn p_values_equal_scipys() {
        for (t, freedom, p) in [
            (0.0, 9.0, 1.0),
            (2.262_157_162_740_991_6, 9.0, 0.05),
            (-1.0, 3.0, 0.391_002_218_955_770_65),
            (12.5, 4.7, 8.733_005_587_973_773e-5),
            (f64::INFINITY, 9.0, 0.0),
        ] {
            let found = two_sided(t, freedom);
            assert!((found - p).abs() < 1e-10, "{t}: {found} {p}");
        }
    }

    #[test]
    fn quantiles_equal_scipys() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../tests/golden.json")).unwrap();
        for (freedom, expected) in golden["t_quantile_975"].as_object().unwrap() {
            let expected = expected.as_f64().unwrap();
            let found = quantile(0.975, freedom.parse().unwrap());
            assert!((found - expected).abs() < 1e-9 * expected, "{freedom}: {found} {expected}");
        }
    }
}
