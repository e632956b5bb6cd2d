//! A share of successes and what chance allows.

/// `ln(n choose k)` for all `k`.
fn ln_choose(n: usize) -> Vec<f64> {
    let mut row = Vec::with_capacity(n + 1);
    let mut value = 0.0;
    row.push(value);
    for k in 0..n {
        value += ((n - k) as f64 / (k + 1) as f64).ln();
        row.push(value);
    }
    row
}

/// `P(X >= k)` for `X` binomial with `n` trials that succeed with `0 < share < 1`, where `choose`
/// is [`ln_choose`] of `n`.
fn upper_tail(choose: &[f64], k: usize, share: f64) -> f64 {
    let n = choose.len() - 1;
    let (yes, no) = (share.ln(), (-share).ln_1p());
    // From the far end, where terms are least, so that they are not lost.
    let term = |i: usize| (choose[i] + i as f64 * yes + (n - i) as f64 * no).exp();
    (k..=n).rev().map(term).sum::<f64>().min(1.0)
}

/// `P(X >= successes)` when each of `trials` succeeds with probability 1/2: the exact one-sided
/// p-value against guessing. It is 0 where it is below the least number there is.
pub(crate) fn p_value_against_half(successes: usize, trials: usize) -> f64 {
    upper_tail(&ln_choose(trials), successes, 0.5)
}

/// The exact two-sided 95 % interval of a share (Clopper and Pearson, 1934).
pub(crate) fn interval(successes: usize, trials: usize) -> [f64; 2] {
    let choose = ln_choose(trials);
    let low = |successes: usize| {
        if successes == 0 {
            return 0.0;
        }
        // The tail rises with the share; 60 halvings leave less than the precision of a share.
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            match upper_tail(&choose, successes, middle) < 0.025 {
                true => low = middle,
                false => high = middle,
            }
        }
        low
    };
    [low(successes), 1.0 - low(trials - successes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `binomtest(k, n).proportion_ci(0.95, "exact")` and
    /// `binomtest(k, n, alternative="greater").pvalue` of SciPy 1.17.1.
    #[test]
    fn intervals_and_p_values_equal_scipys() {
        for (successes, trials, low, high, p) in [
            (0, 12, 0.0, 0.26464846939705117, 1.0),
            (5, 20, 0.08657146910143455, 0.49104587170795755, 0.9940910339355469),
            (12, 12, 0.7353515306029488, 1.0, 0.000244140625),
            (61, 100, 0.5073144796322998, 0.7059895851465829, 0.017600100108852428),
            (1537, 3000, 0.49427550262656267, 0.5303670851636335, 0.09129539290771513),
            (2400, 6000, 0.3875719062387727, 0.41252540497954854, 1.0),
            (5999, 6000, 0.9990717464624074, 0.999995780374253, 0.0),
        ] {
            let found = interval(successes, trials);
            assert!((found[0] - low).abs() < 1e-9, "{successes} of {trials}: {found:?}");
            assert!((found[1] - high).abs() < 1e-9, "{successes} of {trials}: {found:?}");
            let found = p_value_against_half(successes, trials);
            assert!((found - p).abs() < 1e-9, "{successes} of {trials}: {found}");
        }
    }
}
