//! What an algorithm can do in a step.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor};
use textgan_models::{Generator, Sequences};
use textgan_nn::Parameters;
use textgan_random::Key;

use crate::algorithm::{Bounds, Loss, Update};
use crate::config::Temperature;
use crate::generated::Generated;
use crate::memory::Memory;
use crate::meter::Meter;
use crate::metric::{Group, Metric, MetricKind, Unit};
use crate::networks::Networks;
use crate::replicas::{Meeting, Outcome};
use crate::state::Replica;
use crate::{Error, Result};

/// A step of a phase: where it is, and what may be done in it. Everything that changes the run goes
/// through here, so checkpoints, averages, clipping and the log are nobody's business but the loop's.
pub struct Step<'s, 'a> {
    pub(crate) networks: &'s Networks<'a>,
    pub(crate) moment: &'s Moment<'s>,
    /// Where the replicas of this step meet.
    pub(crate) meeting: &'s Meeting<'s>,
    /// Place of this one among those of this process, and among all.
    pub(crate) place: usize,
    pub(crate) replica_number: usize,
    pub(crate) replica: &'s mut Replica,
    /// Updates in this phase, by learner.
    pub(crate) updates: BTreeMap<String, u64>,
    /// What the first replica of a process says for all beside the progress bar.
    pub(crate) meter: Option<&'s mut Meter>,
}

/// Where a run is when it makes a step.
pub(crate) struct Moment<'m> {
    /// The phase's key.
    pub key: Key,
    /// The phase, from 0, and its `kind`.
    pub phase: usize,
    pub kind: &'static str,
    /// Steps made over all phases.
    pub step: u64,
    /// Steps made in this phase, of how many.
    pub phase_step: u64,
    pub steps: u64,
    /// Whether anything in the step was decided by that.
    pub follows_length: AtomicBool,
    /// What the full learning rates are multiplied by.
    pub scale: f64,
    pub gate_open: bool,
    /// The folder of the last good checkpoint.
    pub checkpoint: &'m Path,
}

impl<'a> Step<'_, 'a> {
    /// The number of this step in its phase, from 0.
    pub fn number(&self) -> u64 {
        self.moment.phase_step
    }

    /// The steps of the whole phase. A phase that asks for them would have been another one had it been longer: it can
    /// be repeated, but not be made longer afterwards.
    pub fn steps(&self) -> u64 {
        self.moment.follows_length.store(true, Ordering::Relaxed);
        self.moment.steps
    }

    /// A temperature at this step.
    pub(crate) fn temperature(&self, temperature: Temperature) -> f32 {
        match temperature.start == temperature.end {
            true => temperature.start,
            false => temperature.at(self.number(), self.steps()),
        }
    }

    /// The networks of the run.
    pub fn networks(&self) -> &Networks<'a> {
        self.networks
    }

    /// Whether the generator may move: the discriminator has passed the phase's gate, or there is
    /// none.
    pub fn gate_is_open(&self) -> bool {
        self.moment.gate_open
    }

    /// What the algorithm remembers between steps; each replica has its own.
    pub fn memory(&mut self) -> &mut Memory {
        &mut self.replica.memory
    }

    /// The next update of the learner of this name: what it reads, and the name of what it draws.
    ///
    /// # Errors
    /// When the algorithm has declared no such learner.
    pub fn update(&mut self, learner: &'static str) -> Result<Update> {
        let Some(side) = self.meeting.side(learner) else {
            let problem = format!("an algorithm moves {learner}, which is not among its learners");
            return Err(Error::Train { problem });
        };
        let number = self.updates.get(learner).copied().unwrap_or(0);
        let data = self.networks.data();
        let rows = self.meeting.rows(side, number, self.replica_number);
        let key = self.moment.key.child(learner).index(number);
        Ok(Update {
            learner: side,
            // Replicas draw what is their own; one alone is the whole.
            key: match self.meeting.replicas() {
                1 => key,
                _ => key.child("replica").index(self.replica_number as u64),
            },
            real: data.sequences(rows.iter().map(|&row| &data.train[row]))?,
        })
    }

    /// Texts that `generator` writes now: as many as `update` has real ones, with their labels.
    ///
    /// # Errors
    /// When the generator's logits are not finite.
    pub fn sample(&self, update: &Update, generator: &dyn Generator) -> Result<Generated> {
        let (rows, labels) = (update.real.batch(), update.real.labels());
        Generated::draw(generator, &update.key.child("fresh"), 0, rows, labels)
    }

    /// Real texts of the rows that `update`'s learner reads, each as long as one of `texts`, or as near to
    /// that as there is.
    ///
    /// # Errors
    /// When the rows do not fit the models; not in practice, as they did before.
    pub fn real_like(&mut self, update: &Update, texts: &Sequences) -> Result<Sequences> {
        let data = self.networks.data();
        let lengths = (0..texts.batch()).map(|row| texts.row(row).len());
        let key = update.key.child("lengths");
        let rows = self.meeting.rows_of_lengths(update.learner, lengths, &key);
        data.sequences(rows.iter().map(|&row| &data.train[row]))
    }

    /// `fresh` texts with a `share` of them exchanged for older ones, drawn from the `most` newest that
    /// earlier calls kept; the fresh ones are kept in turn. What the generator thought of older ones is
    /// not known any more: they have no log-probabilities.
    ///
    /// # Errors
    /// When texts do not fit each other; not in practice, as a generator wrote them all.
    pub fn replay(
        &mut self,
        update: &Update,
        fresh: &Generated,
        share: f32,
        most: usize,
    ) -> Result<Generated> {
        const OLDER: &str = "older samples";
        let texts = fresh.stored()?;
        let older = self.replica.memory.texts(OLDER);
        let mut shown = texts.clone();
        let exchanged = match older.is_empty() {
            true => 0,
            false => (share * shown.len() as f32) as usize,
        };
        let mut log_probs = fresh.log_probs.clone();
        let mut stream = update.key.child("replay").stream();
        for row in shown.len() - exchanged..shown.len() {
            shown[row] = older[stream.below(older.len() as u64) as usize].clone();
            log_probs[row].clear();
        }
        let shown = Generated::from_stored(&shown, log_probs)?;
        // All replicas together keep as many.
        self.replica.memory.keep_texts(OLDER, texts, most.div_ceil(self.meeting.replicas()));
        Ok(shown)
    }

    /// Descends `loss`: one step of the optimizer of `update`'s learner, and of no other. The graph
    /// ends here. Where there are replicas this waits until each has come with its loss, and descends their mean.
    ///
    /// # Errors
    /// [`Error::NonFinite`] before a step that would ruin the weights; [`Error::Apart`] if the replicas do not all
    /// come for the same.
    pub fn descend(&mut self, update: Update, loss: Loss) -> Result<()> {
        let (name, scale) = (self.meeting.name(update.learner), self.moment.scale);
        let updates = self.updates.entry(name.to_owned()).or_default();
        let (place, side, made) = (self.place, update.learner, *updates);
        *updates += 1;
        let (rate, stats) = match self.meeting.descend(place, &loss.value, side, scale, made) {
            Ok((rate, Outcome::Moved(stats))) => (rate, stats),
            Ok((_, Outcome::NoNumber(what))) => {
                return Err(self.non_finite(format!("the {name} {what}")));
            }
            // They came for an update, and there was none.
            Ok((_, Outcome::Met)) => return Err(Error::Apart),
            Err(error) => return Err(error),
        };
        let optimizer = [(GRADIENT_NORM, f64::from(stats.grad_norm)), (LEARNING_RATE, rate)];
        let kind = MetricKind { unit: Unit::Plain, group: Group::Optimizer };
        for (what, value) in optimizer {
            self.replica.interval.add(&format!("{name}_{what}"), value, kind);
        }
        if let Some(accuracy) = loss.accuracy {
            self.replica.note_accuracy(accuracy);
        }
        if let Some(meter) = &mut self.meter {
            // The others read about as much.
            meter.read(update.real.tokens() * self.meeting.replicas());
        }
        for metric in loss.metrics {
            self.note(metric);
        }
        Ok(())
    }

    /// Has `work` done once in each process, where there are replicas when all of the process have come this far: for
    /// weights that change other than by [`descend`](Self::descend), which they share.
    ///
    /// # Errors
    /// What `work` says; [`Error::Apart`] if the replicas do not all come here.
    pub fn once(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        self.meeting.once(self.place, work)
    }

    /// Takes note of a number for the log: its mean over the steps between two lines is written, and over the replicas.
    pub fn note(&mut self, metric: Metric) {
        self.replica.interval.add(metric.name, metric.value, metric.kind);
        if let Some(meter) = &mut self.meter {
            meter.show(&metric);
        }
    }

    fn non_finite(&self, what: String) -> Error {
        Error::NonFinite {
            what,
            step: self.moment.step,
            phase: self.moment.phase,
            kind: self.moment.kind,
            checkpoint: self.moment.checkpoint.to_owned(),
        }
    }
}

const GRADIENT_NORM: &str = "gradient_norm";
const LEARNING_RATE: &str = "learning_rate";
/// How every network calls its table of word embeddings.
const EMBEDDING: &str = "embedding";

/// Brings every matrix of a layer back within its bounds. What a Lipschitz bound has no need of is spared:
/// embeddings, which words are looked up in and no product is taken with, and biases.
pub(crate) fn keep_within(bounds: Bounds, parameters: &Parameters) -> Result<()> {
    for (name, variable) in parameters.iter() {
        let is_embedding = name.split('.').any(|part| part == EMBEDDING);
        if is_embedding || variable.rank() < 2 {
            continue;
        }
        if let Some(bound) = bounds.weight {
            variable.set(&variable.as_detached_tensor().clamp(-bound, bound)?)?;
        }
        if let Some(bound) = bounds.spectral_norm {
            let weights = variable.as_detached_tensor();
            let norm = spectral_norm(&weights.flatten_from(1)?)?;
            if norm > bound {
                variable.set(&(weights * (bound / norm))?)?;
            }
        }
    }
    Ok(())
}

/// The largest singular value of a matrix, by so many steps of power iteration, which come to it from
/// below. They begin with the same vector each time, so nothing has to be remembered.
fn spectral_norm(matrix: &Tensor) -> Result<f64> {
    const ITERATIONS: usize = 16;
    let columns = matrix.dim(1)?;
    let start = (0..columns).map(|i| 1.0 + 0.5 * (i as f32).cos());
    let mut right = Tensor::from_iter(start, &Device::Cpu)?.unsqueeze(1)?;
    let transposed = matrix.t()?.contiguous()?;
    let length = |x: &Tensor| -> Result<f64> {
        Ok(f64::from(x.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt())
    };
    let mut norm = 0.0;
    for _ in 0..ITERATIONS {
        right = (&right * (1.0 / length(&right)?.max(1e-30)))?;
        let left = matrix.matmul(&right)?;
        norm = length(&left)?;
        right = transposed.matmul(&left)?;
    }
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_for_matrices_and_spare_the_rest() -> Result<()> {
        use candle_core::Var;

        // Singular values 3 and 1, turned.
        let (c, s) = (0.6f32, 0.8f32);
        let matrix = [[3.0 * c, s], [-3.0 * s, c], [0.0, 0.0]];
        let matrix = Tensor::new(&matrix, &Device::Cpu)?;
        assert!((spectral_norm(&matrix)? - 3.0).abs() < 1e-5);
        assert_eq!(spectral_norm(&matrix.zeros_like()?)?, 0.0);

        let bounded = |bounds: Bounds| -> Result<Vec<Tensor>> {
            let mut parameters = Parameters::new();
            for name in ["rnn.weight", "embedding.weight"] {
                parameters.insert(name.to_owned(), Var::from_tensor(&matrix)?)?;
            }
            let bias = Tensor::new(&[9f32, -9.0], &Device::Cpu)?;
            parameters.insert("rnn.bias".to_owned(), Var::from_tensor(&bias)?)?;
            keep_within(bounds, &parameters)?;
            Ok(["rnn.weight", "embedding.weight", "rnn.bias"]
                .iter()
                .filter_map(|name| Some(parameters.get(name)?.as_tensor().clone()))
                .collect())
        };
        let [normed, embedding, bias] =
            &bounded(Bounds { spectral_norm: Some(1.5), weight: None })?[..]
        else {
            panic!("three parameters")
        };
        let difference = (normed - (&matrix * 0.5)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(difference < 1e-5, "{difference}");
        assert_eq!(embedding.to_vec2::<f32>()?, matrix.to_vec2::<f32>()?);
        assert_eq!(bias.to_vec1::<f32>()?, [9.0, -9.0]);
        let within = bounded(Bounds { spectral_norm: Some(3.5), weight: None })?;
        assert_eq!(within[0].to_vec2::<f32>()?, matrix.to_vec2::<f32>()?);
        let clipped = bounded(Bounds { spectral_norm: None, weight: Some(0.7) })?;
        assert_eq!(clipped[0].abs()?.max_all()?.to_scalar::<f32>()?, 0.7);
        Ok(())
    }
}
