//! What is measured on held-out text while training.

use std::collections::BTreeMap;

use textgan_metrics::{References, distinct_n, self_bleu};
use textgan_models::{Sequences, Tokens};
use textgan_nn::Mode;
use textgan_random::Key;

use crate::Result;
use crate::config::{ConvergenceConfig, Judged, Phase, TrainConfig};
use crate::divergence::Divergence;
use crate::game::Game;
use crate::objective::Accuracy;

/// Sentences sampled at a time: between two looks at the stop button.
const CHUNK: usize = 100;

/// Longest n-gram of the BLEU of an evaluation.
const ORDER: usize = 4;

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Evaluation {
    /// Every number, by name.
    pub values: BTreeMap<String, f64>,
    /// What a phase tries to raise; absent where it has no such thing.
    pub score: Option<f64>,
    /// Distinct bigrams of the samples, as a fraction of all.
    pub distinct: Option<f64>,
}

/// Held-out sentences, cut into batches.
pub(crate) struct HeldOut {
    batches: Vec<Sequences>,
    tokens: usize,
    /// All of the split, as references of BLEU-4; only for runs with adversarial phases.
    references: Option<References>,
}

impl HeldOut {
    /// The first `config.validation_sentences` of the validation split, those of like length
    /// together.
    pub fn new(game: &Game<'_>, config: &TrainConfig, phases: &[Phase]) -> Result<Self> {
        let mut rows: Vec<_> = game.data.valid.iter().take(config.validation_sentences).collect();
        rows.sort_by_key(|row| row.tokens.len());
        let batches =
            rows.chunks(config.batch_size).map(|rows| game.data.sequences(rows.iter().copied()));
        let batches = batches.collect::<Result<Vec<_>>>()?;
        let references = match phases.iter().any(|phase| matches!(phase, Phase::Adversarial(_))) {
            true => {
                let sentences: Vec<&[u32]> =
                    game.data.valid.iter().map(|row| row.tokens.as_slice()).collect();
                Some(References::new(&sentences, ORDER)?)
            }
            false => None,
        };
        Ok(Self { tokens: batches.iter().map(Sequences::tokens).sum(), batches, references })
    }

    /// `-ln(1/K sum_k p(x | z_k))` in nats per token, over all held-out sentences; `None` if
    /// stopped.
    pub fn loss(
        &self,
        game: &Game<'_>,
        key: &Key,
        noise: usize,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<f64>> {
        let mut total = 0.0;
        for batch in &self.batches {
            match game.marginal_nll(batch, key, noise, stop)? {
                Some(sentences) => total += sentences.iter().sum::<f64>(),
                None => return Ok(None),
            }
        }
        Ok(Some(total / self.tokens as f64))
    }

    /// Computes the loss of the middle batch for one noise vector, for its duration.
    pub fn probe(&self, game: &Game<'_>, key: &Key) -> Result<()> {
        let batch = &self.batches[self.batches.len() / 2];
        game.marginal_nll(batch, key, 1, &|| false)?;
        Ok(())
    }

    /// The number of batches.
    pub fn batches(&self) -> usize {
        self.batches.len()
    }
}

/// The keys of an evaluation. They are the same at every step, so that two evaluations differ by
/// the weights only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EvaluationKeys {
    /// The noise vectors of the validation loss.
    pub noise: Key,
    /// The samples.
    pub samples: Key,
}

/// Evaluates as `phase` asks; `None` if `stop` says so in between.
pub(crate) fn evaluate(
    game: &Game<'_>,
    held_out: &HeldOut,
    phase: &Phase,
    config: &TrainConfig,
    keys: EvaluationKeys,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Evaluation>> {
    let mut found = Evaluation { values: BTreeMap::new(), score: None, distinct: None };
    if !matches!(phase, Phase::Discriminator(_)) {
        let Some(loss) = held_out.loss(game, &keys.noise, config.validation_noise, stop)? else {
            return Ok(None);
        };
        found.values.insert("validation_loss".to_owned(), loss);
        found.score = Some(-loss);
    }
    let (samples, divergence, judged) = match phase {
        Phase::MaximumLikelihood(_) => return Ok(Some(found)),
        Phase::Discriminator(phase) => (config.batch_size, phase.divergence, phase.judged),
        Phase::Adversarial(phase) => (phase.convergence.samples, phase.divergence, phase.judged),
    };
    let Some(samples) = draw(game, samples, &keys.samples, stop)? else { return Ok(None) };
    let accuracy = held_out_accuracy(game, &samples, divergence, judged)?;
    found.values.insert("held_out_accuracy_real".to_owned(), accuracy.real);
    found.values.insert("held_out_accuracy_fake".to_owned(), accuracy.fake);
    if let (Phase::Adversarial(phase), Some(references)) = (phase, &held_out.references) {
        found.judge(&samples, references, &phase.convergence)?;
    }
    Ok(Some(found))
}

impl Evaluation {
    /// Quality and diversity of the samples, and the score made of them.
    fn judge(
        &mut self,
        samples: &[Sequences],
        references: &References,
        convergence: &ConvergenceConfig,
    ) -> Result<()> {
        let samples: Vec<&[u32]> =
            samples.iter().flat_map(|batch| (0..batch.batch()).map(|row| batch.row(row))).collect();
        let last = |scores: Vec<f64>| scores.last().copied().unwrap_or_default();
        let (quality, repetition, distinct) = if samples.iter().all(|sample| sample.is_empty()) {
            // Nothing but the end, over and over: as bad as it gets, but a number.
            (0.0, 1.0, 0.0)
        } else {
            let quality = last(references.score(&samples)?.mean());
            (
                quality,
                last(self_bleu(&samples, ORDER)?),
                distinct_n(&samples, 2).unwrap_or_default(),
            )
        };
        let score = quality - convergence.diversity_weight * repetition;
        self.score = Some(score);
        self.distinct = Some(distinct);
        for (name, value) in [
            ("bleu_4", quality),
            ("self_bleu_4", repetition),
            ("distinct_2", distinct),
            ("score", score),
        ] {
            self.values.insert(name.to_owned(), value);
        }
        Ok(())
    }
}

/// Samples for an evaluation, with the labels of validation sentences.
fn draw(
    game: &Game<'_>,
    count: usize,
    key: &Key,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Vec<Sequences>>> {
    let valid = game.data.valid;
    let mut batches = Vec::new();
    for first in (0..count).step_by(CHUNK) {
        if stop() {
            return Ok(None);
        }
        let rows = CHUNK.min(count - first);
        let label = |row: usize| valid[row % valid.len()].label.unwrap_or_default();
        let labels: Option<Vec<u32>> =
            (!game.data.labels.is_empty()).then(|| (first..first + rows).map(label).collect());
        batches.push(game.fresh(key, first as u64, rows, labels.as_deref())?.sequences);
    }
    Ok(Some(batches))
}

/// The discriminator on real text that neither network was trained on, against samples.
fn held_out_accuracy(
    game: &Game<'_>,
    samples: &[Sequences],
    divergence: Divergence,
    judged: Judged,
) -> Result<Accuracy> {
    let mut real = Vec::new();
    let mut fake = Vec::new();
    let mut first = 0;
    for batch in samples {
        let rows =
            (first..first + batch.batch()).map(|row| &game.data.valid[row % game.data.valid.len()]);
        first += batch.batch();
        let held_out = game.data.sequences(rows)?;
        let judge = |sequences: &Sequences| -> Result<Vec<f32>> {
            let logits =
                game.judge(&Tokens::Hard(sequences.targets()), sequences, judged, Mode::Evaluate)?;
            Ok(logits.detach().to_vec1::<f32>()?)
        };
        real.extend(judge(&held_out)?);
        fake.extend(judge(batch)?);
    }
    Ok(Accuracy::of(divergence, &real, &fake))
}
