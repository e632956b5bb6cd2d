//! What an algorithm can do in a step.

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use textgan_models::{Generator, Sequences};
use textgan_nn::Parameters;
use textgan_random::Key;

use crate::algorithm::{Bounds, Loss, Update};
use crate::generated::Generated;
use crate::memory::Memory;
use crate::meter::Meter;
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::run::Course;
use crate::state::State;
use crate::{Error, Result};

/// A step of a phase: where it is, and what may be done in it. Everything that changes the run goes
/// through here, so checkpoints, averages, clipping and the log are nobody's business but the loop's.
pub struct Step<'s, 'a> {
    pub(crate) networks: &'s Networks<'a>,
    pub(crate) course: &'s mut Course,
    pub(crate) state: &'s mut State,
    pub(crate) meter: &'s mut Meter,
    /// The phase's key.
    pub(crate) key: Key,
    /// The folder of the last good checkpoint.
    pub(crate) checkpoint: PathBuf,
}

impl<'a> Step<'_, 'a> {
    /// The number of this step in its phase, from 0.
    pub fn number(&self) -> u64 {
        self.state.phase_step
    }

    /// The steps of the whole phase.
    pub fn steps(&self) -> u64 {
        self.course.steps
    }

    /// The networks of the run.
    pub fn networks(&self) -> &Networks<'a> {
        self.networks
    }

    /// Whether the generator may move: the discriminator has passed the phase's gate, or there is
    /// none.
    pub fn gate_is_open(&self) -> bool {
        self.state.gate_open
    }

    /// What the algorithm remembers between steps.
    pub fn memory(&mut self) -> &mut Memory {
        &mut self.state.memory
    }

    /// The next update of the learner of this name: what it reads, and the name of what it draws.
    ///
    /// # Errors
    /// When the algorithm has declared no such learner.
    pub fn update(&mut self, learner: &'static str) -> Result<Update> {
        let place = self.course.sides.iter().position(|side| side.learner.name == learner);
        let Some(place) = place else {
            let problem = format!("an algorithm moves {learner}, which is not among its learners");
            return Err(Error::Train { problem });
        };
        let number = self.state.updates.get(learner).copied().unwrap_or(0);
        let data = self.networks.data();
        let rows = self.course.sides[place].batches.batch(number);
        Ok(Update {
            learner: place,
            key: self.key.child(learner).index(number),
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
        let batches = &mut self.course.sides[update.learner].batches;
        let rows = batches.of_lengths(lengths, &update.key.child("lengths"));
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
        let older = self.state.memory.texts(OLDER);
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
        self.state.memory.keep_texts(OLDER, texts, most);
        Ok(shown)
    }

    /// Descends `loss`: one step of the optimizer of `update`'s learner, and of no other. The graph
    /// ends here.
    ///
    /// # Errors
    /// [`Error::NonFinite`] before a step that would ruin the weights.
    pub fn descend(&mut self, update: Update, loss: Loss) -> Result<()> {
        let name = self.course.sides[update.learner].learner.name;
        if !f64::from(loss.value.to_scalar::<f32>()?).is_finite() {
            return Err(self.non_finite(format!("the {name} loss")));
        }
        let gradients = loss.value.backward()?;
        let fraction = self.course.fraction(self.state.phase_step);
        let side = &mut self.course.sides[update.learner];
        let rate = side.learner.learning_rate * fraction * self.state.learning_rate_scale;
        let stats = match side.optimizer.step(&gradients, rate as f32) {
            Err(textgan_nn::Error::NonFinite { name: of, .. }) => {
                return Err(self.non_finite(format!("the {name} gradient (of {of})")));
            }
            stats => stats?,
        };
        let bounds = side.learner.bounds;
        if bounds != Bounds::default() {
            keep_within(bounds, &side.learner.parameters)?;
        }
        let updates = self.state.updates.entry(name.to_owned()).or_default();
        if let Some(average) = &side.average {
            average.update(*updates)?;
        }
        *updates += 1;
        let optimizer = [(GRADIENT_NORM, f64::from(stats.grad_norm)), (LEARNING_RATE, rate)];
        for (what, value) in optimizer {
            self.state.note(&format!("{name}_{what}"), value, Unit::Plain, Group::Optimizer);
        }
        if let Some(accuracy) = loss.accuracy {
            self.state.note_accuracy(accuracy);
        }
        self.meter.read(update.real.tokens());
        for metric in loss.metrics {
            self.note(metric);
        }
        Ok(())
    }

    /// Takes note of a number for the log: its mean over the steps between two lines is written.
    pub fn note(&mut self, metric: Metric) {
        self.state.note(metric.name, metric.value, metric.kind.unit, metric.kind.group);
        self.meter.show(&metric);
    }

    fn non_finite(&self, what: String) -> Error {
        Error::NonFinite {
            what,
            step: self.state.step,
            phase: self.state.phase,
            kind: self.course.kind,
            checkpoint: self.checkpoint.clone(),
        }
    }
}

const GRADIENT_NORM: &str = "gradient_norm";
const LEARNING_RATE: &str = "learning_rate";
/// How every network calls its table of word embeddings.
const EMBEDDING: &str = "embedding";

/// Brings every matrix of a layer back within its bounds. What a Lipschitz bound has no need of is spared:
/// embeddings, which words are looked up in and no product is taken with, and biases.
fn keep_within(bounds: Bounds, parameters: &Parameters) -> Result<()> {
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
