//! An algorithm under way, and what it hands to the loop.

use candle_core::Tensor;
use textgan_models::Sequences;
use textgan_nn::Parameters;
use textgan_random::Key;

use crate::Result;
use crate::config::OptimizerConfig;
use crate::data::Rows;
use crate::generated::Texts;
use crate::metric::Metric;
use crate::step::Step;

/// An algorithm in the midst of its phase: handles to its networks, and no state of its own that
/// changes. What it must remember between steps is in [`Step::memory`]; so a run that is killed goes
/// on to the same bits without the algorithm knowing of checkpoints. Several replicas of a step may be made beside each
/// other, on parts of a batch (`train.replicas`): weights that it changes by itself it changes in [`Step::once`].
pub trait Algorithm: Send + Sync {
    /// What its optimizers move.
    fn learners(&self) -> Vec<Learner>;

    /// One step, as the paper writes it: take an [`Update`], compute its [`Loss`], descend it; as
    /// often as the algorithm asks for.
    ///
    /// # Errors
    /// Of tensor operations, and of [`Step::descend`].
    fn step(&self, step: &mut Step<'_, '_>) -> Result<()>;

    /// Who judges texts in this phase, for held-out accuracy, gates and alarms.
    fn critic(&self) -> Option<&dyn Critic> {
        None
    }

    /// What the algorithm itself measures on held-out text, at each evaluation of its phase. What it
    /// draws for that is named by `key`, which is the same at every evaluation.
    ///
    /// # Errors
    /// Of tensor operations.
    fn measure(&self, _held_out: &[Sequences], _key: &Key) -> Result<Measured> {
        Ok(Measured::default())
    }
}

/// What an algorithm found on held-out text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// The numbers.
    pub metrics: Vec<Metric>,
    /// What the phase tries to raise, where it is none of the numbers that every phase of its role
    /// has.
    pub score: Option<f64>,
}

/// Who tells real text from generated text.
pub trait Critic {
    /// What its loss reads, any number of logits of these texts: positive for real.
    ///
    /// # Errors
    /// Of tensor operations.
    fn logits(&self, texts: &Texts<'_>) -> Result<Vec<f32>>;

    /// How real each text looks as a whole, one logit a text.
    ///
    /// # Errors
    /// Of tensor operations.
    fn scores(&self, texts: &Texts<'_>) -> Result<Vec<f32>> {
        self.logits(texts)
    }

    /// How well formed each text looks to it, one number a text: what damaged text is told by. That of
    /// real text is compared with that of the same text damaged, which no generator may ever write.
    ///
    /// # Errors
    /// Of tensor operations.
    fn fluency(&self, texts: &Texts<'_>) -> Result<Vec<f32>> {
        self.scores(texts)
    }

    /// The logit that parts real from generated, given the mean logits of both.
    fn threshold(&self, mean_real: f64, mean_fake: f64) -> f64;
}

/// What one optimizer moves, and how.
#[derive(Clone)]
pub struct Learner {
    /// Its name: of its draws, of its files in checkpoints and of its metrics.
    pub name: &'static str,
    /// Its weights.
    pub parameters: Parameters,
    /// Its optimizer.
    pub optimizer: OptimizerConfig,
    /// Its full learning rate.
    pub learning_rate: f64,
    /// The rows of the training split that it reads.
    pub reads: Rows,
    /// Whether its batches hold texts of like length, which saves padding. One that is compared with
    /// samples should not: samples come as they come.
    pub sorted: bool,
    /// What its matrices are brought back into after each update.
    pub bounds: Bounds,
    /// Whether it learns where a game is played blind, though nothing that it moves writes: what expects returns
    /// judges nobody.
    pub learns_blind: bool,
    /// Whether its optimizer's moments pass from a phase to the next, where both move the same weights under
    /// the same name.
    pub carries: bool,
}

impl Learner {
    /// One that reads texts of like length, has no bounds and begins with an optimizer that knows
    /// nothing.
    pub fn new(
        name: &'static str,
        parameters: Parameters,
        optimizer: &OptimizerConfig,
        learning_rate: f64,
        reads: Rows,
    ) -> Self {
        Self {
            name,
            parameters,
            optimizer: optimizer.clone(),
            learning_rate,
            reads,
            sorted: true,
            bounds: Bounds::default(),
            learns_blind: false,
            carries: false,
        }
    }
}

/// What the matrices of a network are kept within; embeddings and biases are spared.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// Largest distance of a weight from 0.
    pub weight: Option<f64>,
    /// Largest singular value of a matrix.
    pub spectral_norm: Option<f64>,
}

/// One update of one learner: its place in the run, which names every random draw it makes.
#[derive(Clone, Debug)]
pub struct Update {
    /// Place of the learner among the algorithm's.
    pub(crate) learner: usize,
    /// This update's key: of the phase, the learner, and the number of the update.
    pub key: Key,
    /// Real texts of the learner's own part of the training split.
    pub real: Sequences,
}

/// What an update descends, and what is worth writing down about it.
#[derive(Clone, Debug)]
pub struct Loss {
    /// A scalar with its graph.
    pub value: Tensor,
    /// Numbers for the log.
    pub metrics: Vec<Metric>,
    /// How often a discriminator was right, where this is its loss: what the alarms watch.
    pub accuracy: Option<Accuracy>,
}

impl Loss {
    /// A loss and its numbers.
    pub fn new(value: Tensor, metrics: Vec<Metric>) -> Self {
        Self { value, metrics, accuracy: None }
    }
}

/// How often a discriminator is right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// About real text.
    pub real: f64,
    /// About generated text.
    pub fake: f64,
}

impl Accuracy {
    /// Counted from the logits of real and of generated text; `threshold` makes of their means the
    /// logit that parts them.
    pub fn of(threshold: impl Fn(f64, f64) -> f64, real: &[f32], fake: &[f32]) -> Self {
        let mean = |x: &[f32]| x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len().max(1) as f64;
        let threshold = threshold(mean(real), mean(fake));
        let share = |x: &[f32], right: &dyn Fn(f64) -> bool| {
            x.iter().filter(|&&x| right(f64::from(x))).count() as f64 / x.len().max(1) as f64
        };
        Self { real: share(real, &|x| x > threshold), fake: share(fake, &|x| x <= threshold) }
    }

    /// Over both kinds of text alike.
    pub fn mean(self) -> f64 {
        0.5 * (self.real + self.fake)
    }
}
