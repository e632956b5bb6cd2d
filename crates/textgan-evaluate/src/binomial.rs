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

/// Successes among trials that are alike and independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Count {
    pub successes: usize,
    pub trials: usize,
}

impl Count {
    pub fn of(truths: &[bool]) -> Self {
        let successes = truths.iter().filter(|truth| **truth).count();
        Self { successes, trials: truths.len() }
    }

    pub fn share(self) -> f64 {
        self.successes as f64 / self.trials.max(1) as f64
    }

    /// [`interval`] of the share.
    pub fn interval(self) -> [f64; 2] {
        interval(self.successes, self.trials)
    }

    /// The 95 % interval of this share minus another, from the exact intervals of both (the method of
    /// variance estimates recovery; Zou and Donner, 2008). It has a width also where neither has an event.
    pub fn minus(self, other: Self) -> [f64; 2] {
        let ([low, high], [other_low, other_high]) = (self.interval(), other.interval());
        let (share, other) = (self.share(), other.share());
        let difference = share - other;
        [
            difference - (share - low).hypot(other_high - other),
            difference + (high - share).hypot(other - other_low),
        ]
    }

    /// The exact two-sided p-value that both shares are the same (Fisher, 1934): how probable a table with
    /// these sums is that is no more probable than this one.
    pub fn p_value(self, other: Self) -> f64 {
        let all = self.successes + other.successes;
        let (ours, theirs) = (ln_choose(self.trials), ln_choose(other.trials));
        let least = all.saturating_sub(other.trials);
        let most = all.min(self.trials);
        let ln_weight = |successes: usize| ours[successes] + theirs[all - successes];
        let weights = least..=most;
        let top = weights.clone().map(ln_weight).fold(f64::NEG_INFINITY, f64::max);
        // Equal ones may differ by rounding.
        let here = ln_weight(self.successes) + 1e-7;
        let (mut sum, mut as_rare) = (0.0, 0.0);
        for ln in weights.map(ln_weight) {
            let weight = (ln - top).exp();
            sum += weight;
            if ln <= here {
                as_rare += weight;
            }
        }
        as_rare / sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use textgan_random::Key;

    /// `fisher_exact` of SciPy 1.17.1.
    #[test]
    fn p_values_of_two_shares_equal_scipys() {
        for (a, m, b, n, p) in [
            (0, 10, 0, 10, 1.0),
            (3, 10, 7, 10, 0.178_895_407_997_575_2),
            (0, 2000, 5, 2000, 0.062_343_769_580_123_31),
            (1500, 2000, 1560, 2000, 0.027_762_421_810_953_24),
            (12, 50, 30, 200, 0.140_706_309_374_172_86),
            (1, 1, 0, 5, 1.0 / 6.0),
        ] {
            let [ours, theirs] =
                [(a, m), (b, n)].map(|(successes, trials)| Count { successes, trials });
            let found = ours.p_value(theirs);
            assert!((found - p).abs() < 1e-9, "{a} of {m}, {b} of {n}: {found} {p}");
            assert!((theirs.p_value(ours) - found).abs() < 1e-9);
        }
    }

    /// Of 60 true shares so small that most sets have no event, and of differences of such shares.
    #[test]
    fn intervals_without_events_cover_what_is_true() {
        let mut stream = Key::root(7).child("shares").stream();
        let trials = 500;
        let mut draw = |share: f64| Count {
            successes: (0..trials).filter(|_| stream.uniform_f64() < share).count(),
            trials,
        };
        let (mut covered, mut covered_differences, mut empty) = (0, 0, 0);
        for i in 0..60 {
            let (a, b) = (i as f64 / 60.0 * 2e-3, (i % 7) as f64 * 1e-4);
            let (ours, theirs) = (draw(a), draw(b));
            empty += usize::from(ours.successes == 0);
            let ([low, high], [from, to]) = (ours.interval(), ours.minus(theirs));
            assert!(low < high && from < to);
            covered += usize::from((low..=high).contains(&a));
            covered_differences += usize::from((from..=to).contains(&(a - b)));
        }
        assert!(empty >= 30, "{empty}");
        assert!(covered >= 57 && covered_differences >= 57, "{covered} {covered_differences}");
    }

    #[test]
    fn a_difference_is_within_what_the_shares_allow() {
        let of = |successes, trials| Count { successes, trials };
        let [low, high] = of(0, 1000).minus(of(0, 1000));
        assert!((high - 0.003_682).abs() < 1e-6 && low == -high, "{low} {high}");
        let [low, high] = of(60, 100).minus(of(40, 100));
        assert!(low > 0.0 && low < 0.2 && high > 0.2 && high < 0.4, "{low} {high}");
    }

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
