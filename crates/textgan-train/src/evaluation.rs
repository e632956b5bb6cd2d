//! What is measured on held-out text while training.

use textgan_artifact::Team;
use textgan_metrics::{References, distinct_n, self_bleu};
use textgan_models::{Generator, Sequences};
use textgan_random::Key;

use crate::Result;
use crate::algorithm::{Accuracy, Algorithm, Critic};
use crate::config::{Damage, EvaluationConfig, GateConfig, TrainConfig};
use crate::data::TrainData;
use crate::gate;
use crate::generated::{Generated, Texts};
use crate::losses::likelihood::marginal_nll;
use crate::memory::StoredText;
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{PlannedPhase, Role};

/// Sentences sampled at a time: between two looks at the stop button.
const CHUNK: usize = 100;

/// Longest n-gram of the BLEU of an evaluation.
const ORDER: usize = 4;

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Evaluation {
    /// Every number.
    pub metrics: Vec<Metric>,
    /// What a phase tries to raise; absent where it has no such thing.
    pub score: Option<f64>,
    /// Distinct bigrams of the samples, as a fraction of all.
    pub distinct: Option<f64>,
    /// How well a discriminator tells text with each kind of damage: area under the ROC curve.
    pub damage: Vec<(Damage, f64)>,
    /// The critic's logits of held-out texts and of samples.
    pub logits: Option<[Vec<f32>; 2]>,
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
    /// together; with `games`, the whole split as references too.
    pub fn new(data: &TrainData<'_>, config: &TrainConfig, games: bool) -> Result<Self> {
        let mut rows: Vec<_> = data.valid.iter().take(config.validation_sentences).collect();
        rows.sort_by_key(|row| row.tokens.len());
        let batches =
            rows.chunks(config.batch_size).map(|rows| data.sequences(rows.iter().copied()));
        let batches = batches.collect::<Result<Vec<_>>>()?;
        let references = match games {
            true => {
                let sentences: Vec<&[u32]> =
                    data.valid.iter().map(|row| row.tokens.as_slice()).collect();
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
        team: &Team,
        generator: &dyn Generator,
        key: &Key,
        noise: usize,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<f64>> {
        let sum = |batch: usize| -> Result<Option<f64>> {
            let sentences = marginal_nll(generator, &self.batches[batch], key, noise, stop)?;
            Ok(sentences.map(|sentences| sentences.iter().sum()))
        };
        let sums = team.map("validation loss", self.batches.len(), sum)?;
        let total: Option<f64> = sums.into_iter().sum();
        Ok(total.map(|total| total / self.tokens as f64))
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
    team: &Team,
    networks: &Networks<'_>,
    held_out: &HeldOut,
    phase: PlannedPhase<'_>,
    algorithm: &dyn Algorithm,
    keys: EvaluationKeys,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Evaluation>> {
    let (config, generator) = (networks.plan().train, networks.generator());
    let role = phase.objective.role();
    let mut found = Evaluation {
        metrics: Vec::new(),
        score: None,
        distinct: None,
        damage: Vec::new(),
        logits: None,
    };
    if role != Role::Discriminator {
        let noise = config.validation_noise;
        let Some(loss) = held_out.loss(team, generator.as_ref(), &keys.noise, noise, stop)? else {
            return Ok(None);
        };
        found.note("validation_loss", loss, Unit::NatsPerToken, Group::Likelihood);
        found.score = Some(-loss);
    }
    if let Some(critic) = algorithm.critic() {
        let settings = &phase.settings.evaluation;
        let Some(samples) =
            draw(team, networks, generator.as_ref(), settings.samples, &keys.samples, stop)?
        else {
            return Ok(None);
        };
        let [real, fake] = held_out_logits(networks.data(), critic, &samples)?;
        let accuracy = Accuracy::of(|real, fake| critic.threshold(real, fake), &real, &fake);
        found.logits = Some([real, fake]);
        for (name, value) in
            [("held_out_accuracy_real", accuracy.real), ("held_out_accuracy_fake", accuracy.fake)]
        {
            found.note(name, value, Unit::Share, Group::Discriminator);
        }
        found.gate(networks.data(), critic, settings, &samples, &keys.samples.child("damage"))?;
        if let (Role::Game, Some(references)) = (role, &held_out.references) {
            found.judge(&samples, references, settings)?;
        }
    }
    let measured = algorithm.measure(&held_out.batches, &keys.noise)?;
    found.metrics.extend(measured.metrics);
    found.score = measured.score.or(found.score);
    Ok(Some(found))
}

impl Evaluation {
    fn note(&mut self, name: &'static str, value: f64, unit: Unit, group: Group) {
        self.metrics.push(Metric::new(name, value, unit, group));
    }

    /// Shows the critic damaged text beside real text, samples beside real text, and where that is
    /// known, ill-formed samples beside well-formed ones.
    fn gate(
        &mut self,
        data: &TrainData<'_>,
        critic: &dyn Critic,
        settings: &EvaluationConfig,
        samples: &[Generated],
        key: &Key,
    ) -> Result<()> {
        let pairs = data.confusions(&settings.confusions)?;
        let (mut real, mut whole, mut damaged) =
            (Vec::new(), Vec::new(), vec![Vec::new(); Damage::ALL.len()]);
        let rows: Vec<_> = data.valid.iter().take(settings.samples.max(1)).collect();
        for (number, rows) in (0..).zip(rows.chunks(CHUNK)) {
            let texts = data.sequences(rows.iter().copied())?;
            let undamaged = Texts { sequences: &texts, noise: None };
            real.extend(critic.scores(&undamaged)?);
            whole.extend(critic.fluency(&undamaged)?);
            for (damage, scores) in Damage::ALL.into_iter().zip(&mut damaged) {
                if damage == Damage::Confused && pairs.is_empty() {
                    continue;
                }
                let key = key.index(number);
                let changed = gate::damaged(&texts, damage, data.vocab_size, &pairs, &key);
                let changed =
                    Sequences::from_samples(&changed, &vec![true; texts.batch()], texts.labels())?;
                scores.extend(critic.fluency(&Texts { sequences: &changed, noise: None })?);
            }
        }
        let mut fake = Vec::new();
        for batch in samples {
            fake.extend(critic.scores(&batch.texts())?);
        }
        if let Some(well_formed) = data.well_formed {
            let batches = samples.iter().map(|batch| &batch.sequences);
            let texts = batches.flat_map(|batch| (0..batch.batch()).map(|row| batch.row(row)));
            let (mut well, mut ill) = (Vec::new(), Vec::new());
            for (text, &score) in texts.zip(&fake) {
                if well_formed(text) { well.push(score) } else { ill.push(score) }
            }
            if let Some(auc) = gate::auc(&well, &ill) {
                self.note("auc_ill_formed", auc, Unit::Share, Group::Discriminator);
            }
        }
        if let Some(auc) = gate::auc(&real, &fake) {
            self.note("auc_generated", auc, Unit::Share, Group::Discriminator);
        }
        for (damage, scores) in Damage::ALL.into_iter().zip(&damaged) {
            let Some(auc) = gate::auc(&whole, scores) else { continue };
            self.note(damage.metric(), auc, Unit::Share, Group::Discriminator);
            self.damage.push((damage, auc));
        }
        Ok(())
    }

    /// Whether the discriminator knows what the gate asks for.
    pub fn passes(&self, gate: &GateConfig) -> bool {
        gate.on.iter().all(|wanted| {
            self.damage.iter().any(|(damage, auc)| damage == wanted && *auc >= gate.auc)
        })
    }

    /// How well the discriminator tells damage that any text can have.
    pub fn sees(&self) -> Option<f64> {
        let of = |wanted| self.damage.iter().find(|(damage, _)| *damage == wanted);
        let (swapped, replaced) = (of(Damage::Swapped)?, of(Damage::Replaced)?);
        Some(0.5 * (swapped.1 + replaced.1))
    }

    /// Quality and diversity of the samples, and the score made of them.
    fn judge(
        &mut self,
        samples: &[Generated],
        references: &References,
        settings: &EvaluationConfig,
    ) -> Result<()> {
        let batches = samples.iter().map(|batch| &batch.sequences);
        let samples: Vec<&[u32]> =
            batches.flat_map(|batch| (0..batch.batch()).map(|row| batch.row(row))).collect();
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
        let score = quality - settings.diversity_weight * repetition;
        self.score = Some(score);
        self.distinct = Some(distinct);
        for (name, value, unit) in [
            ("bleu_4", quality, Unit::Share),
            ("self_bleu_4", repetition, Unit::Share),
            ("distinct_2", distinct, Unit::Share),
            ("score", score, Unit::Plain),
        ] {
            self.note(name, value, unit, Group::Samples);
        }
        Ok(())
    }
}

impl Damage {
    /// The name of how well it is told.
    fn metric(self) -> &'static str {
        match self {
            Self::Swapped => "auc_swapped",
            Self::Replaced => "auc_replaced",
            Self::Cut => "auc_cut",
            Self::Confused => "auc_confused",
        }
    }
}

/// A chunk of samples, and the log-probabilities of their tokens.
type Drawn = (Vec<StoredText>, Vec<Vec<f32>>);

/// Samples for an evaluation, with the labels of validation sentences.
fn draw(
    team: &Team,
    networks: &Networks<'_>,
    generator: &dyn Generator,
    count: usize,
    key: &Key,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Vec<Generated>>> {
    let data = networks.data();
    let chunk = |chunk: usize| -> Result<Option<Drawn>> {
        if stop() {
            return Ok(None);
        }
        let first = chunk * CHUNK;
        let rows = CHUNK.min(count - first);
        let label = |row: usize| data.valid[row % data.valid.len()].label.unwrap_or_default();
        let labels: Option<Vec<u32>> =
            (!data.labels.is_empty()).then(|| (first..first + rows).map(label).collect());
        let drawn = Generated::draw(generator, key, first as u64, rows, labels.as_deref())?;
        Ok(Some((drawn.stored()?, drawn.log_probs)))
    };
    let drawn: Option<Vec<Drawn>> =
        team.map("samples", count.div_ceil(CHUNK), chunk)?.into_iter().collect();
    let again = |(texts, log_probs): Drawn| Generated::from_stored(&texts, log_probs);
    drawn.map(|drawn| drawn.into_iter().map(again).collect()).transpose()
}

/// The logits of real text that neither network was trained on, and of samples.
fn held_out_logits(
    data: &TrainData<'_>,
    critic: &dyn Critic,
    samples: &[Generated],
) -> Result<[Vec<f32>; 2]> {
    let mut real = Vec::new();
    let mut fake = Vec::new();
    let mut first = 0;
    for batch in samples {
        let count = batch.sequences.batch();
        let rows = (first..first + count).map(|row| &data.valid[row % data.valid.len()]);
        first += count;
        let held_out = data.sequences(rows)?;
        real.extend(critic.logits(&Texts { sequences: &held_out, noise: None })?);
        fake.extend(critic.logits(&batch.texts())?);
    }
    Ok([real, fake])
}
