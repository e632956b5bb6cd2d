//! From realness to the weight of each word's gradient, in plain numbers. Sentences differ in
//! length, so everything here is `[sentence][word]`.

use crate::config::{Baseline, Judged, RewardScore};

/// How fast the moving average follows, per update.
const MOVING_AVERAGE_STEP: f64 = 0.1;

impl RewardScore {
    /// What the realness logit is worth.
    pub fn of(self, logit: f32) -> f32 {
        match self {
            Self::Probability => (0.5 * logit).tanh(),
            Self::Sigmoid => 0.5 * (0.5 * logit).tanh() + 0.5,
            Self::LogSigmoid => -((-logit).max(0.0) + (-logit.abs()).exp().ln_1p()),
            Self::Logit => logit,
        }
    }
}

/// What each word earns by itself, given the `realness` of every prefix.
pub(crate) fn rewards(score: RewardScore, judged: Judged, realness: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let sentence = |realness: &Vec<f32>| {
        let last = realness.len().saturating_sub(1);
        let word = |(place, &logit): (usize, &f32)| match judged {
            Judged::Whole if place < last => 0.0,
            _ => score.of(logit),
        };
        realness.iter().enumerate().map(word).collect()
    };
    realness.iter().map(sentence).collect()
}

/// What each word earns by itself and by what follows it; a later reward shrinks by `discount` per
/// word between.
pub(crate) fn returns(rewards: &[Vec<f32>], discount: f32) -> Vec<Vec<f32>> {
    let sentence = |rewards: &Vec<f32>| {
        let mut returns = rewards.clone();
        for place in (1..returns.len()).rev() {
            returns[place - 1] += discount * returns[place];
        }
        returns
    };
    rewards.iter().map(sentence).collect()
}

/// What later words earn for a word: `lambda r_(t+1) + lambda^2 r_(t+2) + ..`, less the mean of that over
/// the batch's other sentences at its place.
pub(crate) fn of_later(rewards: &[Vec<f32>], lambda: f32) -> Vec<Vec<f32>> {
    let sentence = |rewards: &Vec<f32>| {
        let mut later = vec![0.0; rewards.len()];
        for place in (1..rewards.len()).rev() {
            later[place - 1] = lambda * (rewards[place] + later[place]);
        }
        later
    };
    leave_one_out(&rewards.iter().map(sentence).collect::<Vec<_>>())
}

/// The returns less their baseline, and the moving average after this batch.
pub(crate) fn advantages(
    returns: &[Vec<f32>],
    baseline: Baseline,
    moving_average: Option<f64>,
) -> (Vec<Vec<f32>>, Option<f64>) {
    match baseline {
        Baseline::None => (returns.to_vec(), None),
        Baseline::MovingAverage => {
            let words = returns.iter().map(Vec::len).sum::<usize>().max(1) as f64;
            let mean = returns.iter().flatten().map(|&x| f64::from(x)).sum::<f64>() / words;
            let old = moving_average.unwrap_or(0.0);
            let minus = |sentence: &Vec<f32>| sentence.iter().map(|&x| x - old as f32).collect();
            (returns.iter().map(minus).collect(), Some(old + MOVING_AVERAGE_STEP * (mean - old)))
        }
        Baseline::LeaveOneOut => (leave_one_out(returns), None),
    }
}

/// Makes the advantages of a batch have mean 0 and standard deviation 1.
pub(crate) fn whiten(advantages: &mut [Vec<f32>]) {
    let (total, count) = sum(advantages.iter().flatten());
    let mean = total / count.max(1.0);
    let squares: f64 = advantages.iter().flatten().map(|&x| (f64::from(x) - mean).powi(2)).sum();
    let deviation = (squares / count.max(1.0)).sqrt().max(1e-8);
    for advantage in advantages.iter_mut().flatten() {
        *advantage = ((f64::from(*advantage) - mean) / deviation) as f32;
    }
}

/// Each return less the mean of the other sentences' at the same word, over those that reach it.
/// The others are independent of this sentence, so the gradient stays unbiased. A word that no
/// other sentence reaches is compared with the others' last words.
fn leave_one_out(returns: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let longest = returns.iter().map(Vec::len).max().unwrap_or(0);
    let sums: Vec<(f64, f64)> =
        (0..longest).map(|place| sum(returns.iter().filter_map(|s| s.get(place)))).collect();
    let ends = sum(returns.iter().filter_map(|s| s.last()));
    let sentence = |sentence: &Vec<f32>| {
        let end = f64::from(sentence.last().copied().unwrap_or(0.0));
        let word = |(place, &own): (usize, &f32)| {
            let (total, count) = sums[place];
            let baseline = match (count > 1.0, ends.1 > 1.0) {
                (true, _) => (total - f64::from(own)) / (count - 1.0),
                (false, true) => (ends.0 - end) / (ends.1 - 1.0),
                (false, false) => 0.0,
            };
            own - baseline as f32
        };
        sentence.iter().enumerate().map(word).collect()
    };
    returns.iter().map(sentence).collect()
}

fn sum<'a>(values: impl Iterator<Item = &'a f32>) -> (f64, f64) {
    values.fold((0.0, 0.0), |(total, count), &value| (total + f64::from(value), count + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_their_formulas() {
        for logit in [-200.0f32, -3.0, 0.0, 0.7, 200.0] {
            let sigmoid = 1.0 / (1.0 + (-f64::from(logit)).exp());
            assert!(
                (f64::from(RewardScore::Probability.of(logit)) - (2.0 * sigmoid - 1.0)).abs()
                    < 1e-6
            );
            let log = if logit < -100.0 { f64::from(logit) } else { sigmoid.ln() };
            assert!(
                (f64::from(RewardScore::LogSigmoid.of(logit)) - log).abs()
                    < 1e-5 * (1.0 + log.abs())
            );
            assert_eq!(RewardScore::Logit.of(logit), logit);
        }
    }

    #[test]
    fn rewards_go_where_the_opinion_is() {
        let realness = [vec![1.0, 2.0, 3.0], vec![5.0]];
        let whole = rewards(RewardScore::Logit, Judged::Whole, &realness);
        assert_eq!(whole, [vec![0.0, 0.0, 3.0], vec![5.0]]);
        assert_eq!(returns(&whole, 1.0), [vec![3.0, 3.0, 3.0], vec![5.0]]);
        let prefixes = rewards(RewardScore::Logit, Judged::Prefixes, &realness);
        assert_eq!(prefixes, realness);
        assert_eq!(returns(&prefixes, 0.5), [vec![2.75, 3.5, 3.0], vec![5.0]]);
    }

    #[test]
    fn later_words_earn_for_earlier_ones() {
        let later = of_later(&[vec![1.0, 2.0, 4.0], vec![3.0, 6.0]], 0.5);
        // First words: 0.5 (2 + 0.5 * 4) = 2 and 0.5 * 6 = 3, each less the other; second: 2 and 0.
        assert_eq!(later, [vec![-1.0, 2.0, 0.0], vec![1.0, -2.0]]);
    }

    #[test]
    fn leaving_one_out_compares_with_the_others() {
        let (advantages, memory) = advantages(
            &[vec![3.0, 1.0, 9.0], vec![1.0, 2.0], vec![8.0]],
            Baseline::LeaveOneOut,
            None,
        );
        assert_eq!(memory, None);
        // Third word: only the first sentence reaches it; the others end on 2 and 8.
        assert_eq!(
            advantages,
            [vec![3.0 - 4.5, -1.0, 9.0 - 5.0], vec![1.0 - 5.5, 1.0], vec![8.0 - 2.0]]
        );
        let (alone, _) = super::advantages(&[vec![2.0]], Baseline::LeaveOneOut, None);
        assert_eq!(alone, [vec![2.0]]);
    }

    #[test]
    fn whitened_advantages_have_mean_0_and_deviation_1() {
        let mut advantages = vec![vec![1.0, 3.0], vec![5.0, 3.0]];
        whiten(&mut advantages);
        let root = 2f32.sqrt();
        let expected = [vec![-root, 0.0], vec![root, 0.0]];
        for (found, expected) in advantages.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-6, "{advantages:?}");
        }
        let mut alike = vec![vec![2.0; 3]];
        whiten(&mut alike);
        assert_eq!(alike, [vec![0.0; 3]]);
    }

    #[test]
    fn a_moving_average_is_from_before_the_batch() {
        let returns = [vec![1.0, 3.0], vec![2.0]];
        let (first, memory) = advantages(&returns, Baseline::MovingAverage, None);
        assert_eq!(first, returns);
        assert_eq!(memory, Some(0.2));
        let (second, memory) = advantages(&returns, Baseline::MovingAverage, Some(1.0));
        assert_eq!(second, [vec![0.0, 2.0], vec![1.0]]);
        assert_eq!(memory, Some(1.1));
    }
}
