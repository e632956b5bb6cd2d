//! What an algorithm can do in a step.

use std::path::PathBuf;

use textgan_models::Generator;
use textgan_random::Key;

use crate::algorithm::{Loss, Update};
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
        if let Some(bound) = side.learner.weight_clip {
            clip_weights(side, bound)?;
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
            phase: self.state.phase + 1,
            kind: self.course.kind,
            checkpoint: self.checkpoint.clone(),
        }
    }
}

const GRADIENT_NORM: &str = "gradient_norm";
const LEARNING_RATE: &str = "learning_rate";
/// How every network calls its table of word embeddings.
const EMBEDDING: &str = "embedding";

/// Keeps every matrix of a layer within `bound` of 0. What a Lipschitz bound has no need of is spared:
/// embeddings, which words are looked up in and no product is taken with, and biases.
fn clip_weights(side: &crate::run::Side, bound: f64) -> Result<()> {
    for (name, variable) in side.learner.parameters.iter() {
        let is_embedding = name.split('.').any(|part| part == EMBEDDING);
        if is_embedding || variable.rank() < 2 {
            continue;
        }
        variable.set(&variable.as_detached_tensor().clamp(-bound, bound)?)?;
    }
    Ok(())
}
