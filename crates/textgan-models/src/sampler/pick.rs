//! Choosing one token from one row of logits.

use textgan_nn::kernels::{self, row_max};
use textgan_random::Stream;

use super::SamplingOptions;
use crate::special::SPECIALS;
use crate::{BOS, PAD, UNK};

/// Room to work in; what was in it before changes nothing.
#[derive(Clone, Debug)]
pub(super) struct Room {
    weights: Vec<f32>,
    order: Vec<u32>,
}

impl Room {
    pub fn new(vocab: usize) -> Self {
        Self { weights: vec![0.0; vocab], order: Vec::new() }
    }
}

/// A token, and the logarithm of the sum of `exp(logit)` over the whole vocabulary if choosing told
/// it on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    pub token: u32,
    log_sum: Option<f32>,
}

impl Choice {
    /// A token that was not chosen.
    pub fn forced(token: u32) -> Self {
        Self { token, log_sum: None }
    }

    /// The log-probability (nats) of the token; `None` when the logits are not finite.
    pub fn log_prob(self, logits: &[f32], room: &mut Room) -> Option<f32> {
        let log_sum = self.log_sum.unwrap_or_else(|| {
            let max = row_max(logits);
            max + weigh(logits, max, 1.0, &[], &mut room.weights).ln()
        });
        log_sum.is_finite().then(|| logits[self.token as usize] - log_sum)
    }
}

/// Chooses a token; `None` when the logits are not finite. One uniform draw, or none if greedy.
pub(super) fn choose(
    logits: &[f32],
    options: &SamplingOptions,
    stream: &mut Stream,
    room: &mut Room,
) -> Option<Choice> {
    if options.greedy {
        return Some(Choice::forced(likeliest(logits, options)?));
    }
    let (sum, log_sum) = leave(logits, options, room)?;
    let token = kernels::pick(&room.weights, stream.uniform() * sum) as u32;
    // Infinite where what is refused is so likely that only a sum shifted by it can tell.
    Some(Choice { token, log_sum: log_sum.filter(|sum| sum.is_finite()) })
}

/// The chance of every token to be chosen; `None` when the logits are not finite.
pub(super) fn distribution(logits: &[f32], options: &SamplingOptions) -> Option<Vec<f32>> {
    let mut room = Room::new(logits.len());
    if options.greedy {
        room.weights[likeliest(logits, options)? as usize] = 1.0;
        return Some(room.weights);
    }
    let (sum, _) = leave(logits, options, &mut room)?;
    room.weights.iter_mut().for_each(|weight| *weight /= sum);
    Some(room.weights)
}

/// The tokens that are never chosen.
fn refused(options: &SamplingOptions) -> &'static [u32] {
    if options.forbid_unknown { &[PAD, UNK, BOS] } else { &[PAD, BOS] }
}

/// The largest logit of those that may be chosen.
fn largest(logits: &[f32], refused: &[u32]) -> f32 {
    (0..SPECIALS)
        .filter(|id| !refused.contains(id))
        .map(|id| logits[id as usize])
        .fold(row_max(&logits[SPECIALS as usize..]), f32::max)
}

fn likeliest(logits: &[f32], options: &SamplingOptions) -> Option<u32> {
    let refused = refused(options);
    let max = largest(logits, refused);
    let token = (0..).zip(logits).position(|(id, &l)| l == max && !refused.contains(&id))?;
    Some(token as u32)
}

/// Leaves the weights of what may be chosen in `room`, and returns their sum and, where the temperature is 1,
/// the logarithm of the sum of `exp(logit)` over the whole vocabulary.
fn leave(logits: &[f32], options: &SamplingOptions, room: &mut Room) -> Option<(f32, Option<f32>)> {
    let Room { weights, order } = room;
    let refused = refused(options);
    // Shifted by the largest logit that may be chosen, so that neither a cold temperature nor a
    // likely refused token can make every weight vanish.
    let max = largest(logits, refused);
    let sum = weigh(logits, max, 1.0 / options.temperature, refused, weights);
    if !sum.is_finite() {
        return None;
    }
    let log_sum = (options.temperature == 1.0).then(|| {
        let refused = refused.iter().map(|&id| (logits[id as usize] - max).exp());
        max + (sum + refused.sum::<f32>()).ln()
    });
    let sum = truncate(weights, options, order).unwrap_or(sum);
    let sum = options.min_p.map_or(sum, |share| leave_likely(weights, share));
    Some((sum, log_sum))
}

/// Writes `exp(scale (logit - max))`, 0 for what is refused, and returns the sum.
fn weigh(logits: &[f32], max: f32, scale: f32, refused: &[u32], weights: &mut [f32]) -> f32 {
    let (special_logits, content_logits) = logits.split_at(SPECIALS as usize);
    let (special, content) = weights.split_at_mut(SPECIALS as usize);
    let mut sum = kernels::exp_sum(content_logits, max, scale, content);
    for (id, (weight, logit)) in (0..).zip(special.iter_mut().zip(special_logits)) {
        *weight = if refused.contains(&id) { 0.0 } else { (scale * (logit - max)).exp() };
        sum += *weight;
    }
    sum
}

/// Sets the weights that `top_k` and `top_p` cut to zero, and returns the sum of the others; `None`
/// when nothing is to be cut. Of equal weights the lower ids stay.
fn truncate(weights: &mut [f32], options: &SamplingOptions, order: &mut Vec<u32>) -> Option<f32> {
    let keep = options.top_k.unwrap_or(usize::MAX).min(weights.len());
    if keep == weights.len() && options.top_p.is_none_or(|p| p >= 1.0) {
        return None;
    }
    let by_weight = |a: &u32, b: &u32| {
        weights[*b as usize].total_cmp(&weights[*a as usize]).then_with(|| a.cmp(b))
    };
    order.clear();
    order.extend(0..weights.len() as u32);
    if keep < order.len() {
        order.select_nth_unstable_by(keep - 1, by_weight);
    }
    let mut kept = keep;
    if let Some(p) = options.top_p {
        order[..keep].sort_unstable_by(by_weight);
        let enough = p * sum_of(weights, &order[..keep]);
        let mut sum = 0.0;
        let reaches = |id: &u32| {
            sum += weights[*id as usize];
            sum >= enough
        };
        kept = order[..keep].iter().position(reaches).map_or(keep, |last| last + 1);
    }
    let (kept, cut) = order.split_at_mut(kept);
    for &id in cut.iter() {
        weights[id as usize] = 0.0;
    }
    // In a constant order, whatever order the selection left.
    kept.sort_unstable();
    Some(sum_of(weights, kept))
}

/// Sets the weights below `share` of the largest to zero, and returns the sum of the others.
fn leave_likely(weights: &mut [f32], share: f32) -> f32 {
    let least = share * row_max(weights);
    let mut sum = 0.0;
    for weight in weights {
        *weight = if *weight < least { 0.0 } else { *weight };
        sum += *weight;
    }
    sum
}

fn sum_of(weights: &[f32], ids: &[u32]) -> f32 {
    ids.iter().map(|&id| weights[id as usize]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use textgan_random::Key;

    /// Frequencies of 40,000 picks from `logits`.
    fn frequencies(logits: &[f32], options: &SamplingOptions) -> Vec<f64> {
        let (mut stream, mut room) = (Key::root(5).stream(), Room::new(logits.len()));
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..40_000 {
            let choice = choose(logits, options, &mut stream, &mut room).unwrap();
            counts[choice.token as usize] += 1.0 / 40_000.0;
        }
        counts
    }

    fn check(options: SamplingOptions, expected: [f64; 8]) {
        // Probabilities 0.5, 0.2, 0.15, 0.1, 0.05 of ids 3 to 7; the refused ones are the likeliest.
        let logits = [2.0, f32::NEG_INFINITY, 1.0, 0.5f32.ln(), 0.2f32.ln(), 0.15f32.ln()]
            .into_iter()
            .chain([0.1f32.ln(), 0.05f32.ln()])
            .collect::<Vec<_>>();
        let found = frequencies(&logits, &options);
        for (id, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() < 0.01, "{options:?}: id {id}: {found}, {expected}");
            assert!(expected > 0.0 || *found == 0.0, "{options:?}: id {id} was chosen");
        }
    }

    #[test]
    fn frequencies_follow_the_distribution() {
        let all = SamplingOptions::default;
        check(all(), [0., 0., 0., 0.5, 0.2, 0.15, 0.1, 0.05]);
        let z = 0.5f64.sqrt() + 0.2f64.sqrt() + 0.15f64.sqrt() + 0.1f64.sqrt() + 0.05f64.sqrt();
        let warm = |p: f64| p.sqrt() / z;
        check(
            SamplingOptions { temperature: 2.0, ..all() },
            [0., 0., 0., warm(0.5), warm(0.2), warm(0.15), warm(0.1), warm(0.05)],
        );
        let half = 0.7 / 1.0;
        check(
            SamplingOptions { top_k: Some(2), ..all() },
            [0., 0., 0., 0.5 / half, 0.2 / half, 0., 0., 0.],
        );
        check(
            SamplingOptions { top_p: Some(0.8), ..all() },
            [0., 0., 0., 0.5 / 0.85, 0.2 / 0.85, 0.15 / 0.85, 0., 0.],
        );
        check(
            SamplingOptions { top_k: Some(2), top_p: Some(0.5), ..all() },
            [0., 0., 0., 1., 0., 0., 0., 0.],
        );
        check(
            SamplingOptions { min_p: Some(0.25), ..all() },
            [0., 0., 0., 0.5 / 0.85, 0.2 / 0.85, 0.15 / 0.85, 0., 0.],
        );
        check(
            SamplingOptions { min_p: Some(0.0), ..all() },
            [0., 0., 0., 0.5, 0.2, 0.15, 0.1, 0.05],
        );
        check(
            SamplingOptions { top_k: Some(2), min_p: Some(0.5), ..all() },
            [0., 0., 0., 1., 0., 0., 0., 0.],
        );
        check(SamplingOptions::greedy(), [0., 0., 0., 1., 0., 0., 0., 0.]);
        check(SamplingOptions { temperature: 1e-3, ..all() }, [0., 0., 0., 1., 0., 0., 0., 0.]);
    }

    #[test]
    fn what_is_chosen_follows_the_distribution_that_is_told() {
        let logits = [9.0, 0.5, 9.0, -1.0, 2.0, 1.0, 0.0, -3.0];
        for options in [
            SamplingOptions::default(),
            SamplingOptions::greedy(),
            SamplingOptions { temperature: 0.5, forbid_unknown: true, ..Default::default() },
            SamplingOptions { top_k: Some(3), ..Default::default() },
            SamplingOptions { top_p: Some(0.8), min_p: Some(0.2), ..Default::default() },
        ] {
            let told = options.distribution(&logits).unwrap();
            assert!((told.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            for (told, seen) in told.iter().zip(frequencies(&logits, &options)) {
                assert!((f64::from(*told) - seen).abs() < 0.01, "{options:?}: {told} {seen}");
            }
        }
        let broken = [f32::NAN; 8];
        assert!(SamplingOptions::default().distribution(&broken).is_err());
    }

    #[test]
    fn the_unknown_word_can_be_refused() {
        let logits = [0., 9., 0., 0., 1.];
        let options = SamplingOptions { forbid_unknown: true, ..SamplingOptions::greedy() };
        let (mut stream, mut room) = (Key::root(5).stream(), Room::new(5));
        let mut token = |options| choose(&logits, options, &mut stream, &mut room).unwrap().token;
        assert_eq!(token(&options), 4);
        assert_eq!(token(&SamplingOptions::greedy()), UNK);
    }

    #[test]
    fn log_probabilities_are_those_of_the_whole_distribution() {
        let logits: Vec<f32> = (0..300).map(|id| (id as f32 * 0.7).sin() * 3.0).collect();
        let (mut stream, mut room) = (Key::root(5).stream(), Room::new(300));
        let sum: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
        for temperature in [0.5, 1.0] {
            let options = SamplingOptions { temperature, top_k: Some(10), ..Default::default() };
            for _ in 0..50 {
                let choice = choose(&logits, &options, &mut stream, &mut room).unwrap();
                let expected = f64::from(logits[choice.token as usize]) - sum.ln();
                let found = choice.log_prob(&logits, &mut room).unwrap();
                assert!((f64::from(found) - expected).abs() < 1e-5);
            }
        }
        // A refused token may be as likely as it wants.
        let mut logits = logits;
        logits[PAD as usize] = 500.0;
        let choice = choose(&logits, &SamplingOptions::default(), &mut stream, &mut room).unwrap();
        let found = choice.log_prob(&logits, &mut room).unwrap();
        assert!((found - (logits[choice.token as usize] - 500.0)).abs() < 1e-3);
    }

    #[test]
    fn logits_that_are_not_numbers_are_noticed() {
        let (mut stream, mut room) = (Key::root(5).stream(), Room::new(6));
        for bad in [f32::NAN, f32::INFINITY] {
            let logits = [0., 0., 0., 0., bad, 1.];
            let chosen = choose(&logits, &SamplingOptions::default(), &mut stream, &mut room);
            assert_eq!(chosen, None);
            assert_eq!(Choice::forced(5).log_prob(&logits, &mut room), None);
        }
    }
}
