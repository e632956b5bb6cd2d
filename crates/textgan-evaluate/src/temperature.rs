use textgan_metrics::{References, self_bleu};

use crate::draws::Draws;
use crate::evaluation::{Candidate, Choice};
use crate::{EvaluateConfig, Result};

/// The n-gram length that temperatures are chosen by.
const N: usize = 4;

/// Chooses a temperature on the validation split.
pub(crate) fn choose(
    draws: &Draws<'_>,
    validation: &[Vec<u32>],
    config: &EvaluateConfig,
) -> Result<Choice> {
    if let [temperature] = config.temperatures[..] {
        let rule = "the only one configured".to_owned();
        return Ok(Choice { temperature, rule, candidates: Vec::new() });
    }
    let references = References::new(validation, N)?;
    let mut candidates = Vec::with_capacity(config.temperatures.len());
    for &temperature in &config.temperatures {
        let samples = draws.at(temperature)?;
        candidates.push(Candidate {
            temperature,
            bleu_4: references.score(&samples.tokens)?.mean()[N - 1],
            self_bleu_4: self_bleu(&samples.tokens, N)?[N - 1],
        });
    }
    Ok(pick(candidates, config.self_bleu_bound.unwrap_or(f64::INFINITY), config.samples))
}

fn pick(candidates: Vec<Candidate>, bound: f64, samples: usize) -> Choice {
    let best = candidates
        .iter()
        .filter(|candidate| candidate.self_bleu_4 <= bound)
        .max_by(|a, b| a.bleu_4.total_cmp(&b.bleu_4));
    let rest = candidates.iter().min_by(|a, b| a.self_bleu_4.total_cmp(&b.self_bleu_4));
    let rule = format!(
        "highest BLEU-4 against the validation split among those of Self-BLEU-4 at most {bound} \
         ({samples} samples each){}",
        if best.is_some() { "" } else { "; none qualified, so the lowest Self-BLEU-4" }
    );
    let temperature = best.or(rest).map_or(1.0, |candidate| candidate.temperature);
    Choice { temperature, rule, candidates }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_within_the_bound_wins_and_else_the_most_diverse() {
        let candidates = [(0.8, 0.5, 0.8), (0.9, 0.4, 0.6), (1.0, 0.3, 0.5)].map(
            |(temperature, bleu_4, self_bleu_4)| Candidate { temperature, bleu_4, self_bleu_4 },
        );
        let chosen = |bound| pick(candidates.to_vec(), bound, 10);
        assert_eq!(chosen(0.6).temperature, 0.9);
        assert_eq!(chosen(1.0).temperature, 0.8);
        assert_eq!(chosen(0.1).temperature, 1.0);
        assert!(chosen(0.1).rule.contains("none qualified"));
    }
}
