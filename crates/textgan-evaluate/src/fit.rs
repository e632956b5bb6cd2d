//! How the networks that measure learn: in few steps, watched by held-out text.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_artifact::Progress;
use textgan_nn::{AdamConfig, Optimizer, Parameters};
use textgan_random::Key;

use crate::{Error, Result};

/// Batches whose texts are sorted by length before they are cut: texts of like length have little
/// padding.
const WINDOW: usize = 8;

/// Steps over which the learning rate rises.
const WARM_UP: u64 = 30;

/// How a network that measures learns: AdamW (Loshchilov and Hutter, 2019), the learning rate up in
/// a line and down in half a cosine wave, the weights of the lowest held-out loss kept.
///
/// Its length is in steps, not in passes over the texts: time does not grow with their number, and
/// few texts are read often enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FitConfig {
    /// The most updates.
    pub steps: u64,
    /// Texts in a batch.
    pub batch_size: usize,
    /// The highest learning rate.
    pub learning_rate: f32,
    /// Decoupled decay of matrices, as a share of the learning rate.
    pub weight_decay: f32,
    /// Updates between two looks at the held-out loss.
    pub validate_every: u64,
    /// Looks without an improvement after which it ends early.
    pub patience: u32,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            steps: 1_200,
            batch_size: 32,
            learning_rate: 3e-3,
            weight_decay: 0.05,
            validate_every: 100,
            patience: 3,
        }
    }
}

impl FitConfig {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// [`Error::Config`] names the key and the fix.
    pub fn validate(&self) -> Result<()> {
        for (key, number) in [
            ("fit.steps", self.steps),
            ("fit.batch_size", self.batch_size as u64),
            ("fit.validate_every", self.validate_every),
            ("fit.patience", self.patience.into()),
        ] {
            if number == 0 {
                let message = "0 leaves nothing to learn; give at least 1".to_owned();
                return Err(Error::Config { key, message });
            }
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            let message = format!("{} is not a positive number", self.learning_rate);
            return Err(Error::Config { key: "fit.learning_rate", message });
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            let message = format!("{} is negative or not a number", self.weight_decay);
            return Err(Error::Config { key: "fit.weight_decay", message });
        }
        Ok(())
    }

    /// The learning rate of update `step`, counted from 0.
    fn rate(&self, step: u64) -> f32 {
        let rise = ((step + 1) as f64 / (WARM_UP + 1) as f64).min(1.0);
        let way = step as f64 / self.steps as f64;
        let left = 0.5 * (1.0 + (std::f64::consts::PI * way).cos());
        (f64::from(self.learning_rate) * rise * left) as f32
    }
}

/// A network and the texts that it learns from.
pub(crate) trait Learner {
    /// What it is, for messages.
    const NAME: &'static str;

    fn parameters(&self) -> &Parameters;

    /// Tokens of each text.
    fn lengths(&self) -> Vec<usize>;

    /// The loss of the texts `rows`, a scalar with its graph; dropout is drawn from `dropout`.
    fn loss(&self, rows: &[usize], dropout: &Key) -> Result<Tensor>;

    /// The loss of texts that it does not learn from.
    fn held_out_loss(&self) -> Result<f64>;
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fitted {
    /// The update after which the weights were best, which are kept.
    pub kept_step: u64,
    /// The held-out loss there.
    pub loss: f64,
}

/// Teaches `learner` its texts; it has the best weights afterwards.
pub(crate) fn fit<L: Learner>(
    learner: &L,
    config: &FitConfig,
    key: &Key,
    progress: &dyn Progress,
) -> Result<Fitted> {
    config.validate()?;
    let adam = AdamConfig {
        learning_rate: config.learning_rate,
        weight_decay: config.weight_decay,
        ..AdamConfig::default()
    };
    let mut optimizer = Optimizer::new(adam, learner.parameters())?;
    let best = learner.parameters().deep_clone()?;
    let mut fitted = Fitted { kept_step: 0, loss: f64::INFINITY };
    let mut looks_in_vain = 0;
    let mut batches = Batches::new(learner.lengths(), config.batch_size, key.child("batches"));
    for step in 0..config.steps {
        if progress.stop_requested() {
            return Err(Error::Interrupted);
        }
        let loss = learner.loss(&batches.next(), &key.child("dropout").index(step))?;
        let gradients = loss.backward().map_err(textgan_nn::Error::from)?;
        optimizer.step(&gradients, config.rate(step))?;

        let steps = step + 1;
        if !steps.is_multiple_of(config.validate_every) && steps < config.steps {
            continue;
        }
        let loss = learner.held_out_loss()?;
        if !loss.is_finite() {
            return Err(Error::Diverged { network: L::NAME, steps });
        }
        if loss < fitted.loss {
            fitted = Fitted { kept_step: steps, loss };
            best.copy_from(learner.parameters())?;
            looks_in_vain = 0;
        } else {
            looks_in_vain += 1;
            if looks_in_vain == config.patience {
                break;
            }
        }
    }
    learner.parameters().copy_from(&best)?;
    Ok(fitted)
}

/// An endless sequence of batches: every text once an epoch, in an order that the epoch names.
struct Batches {
    lengths: Vec<usize>,
    batch_size: usize,
    key: Key,
    epoch: u64,
    /// What is left of the epoch.
    left: Vec<Vec<usize>>,
}

impl Batches {
    fn new(lengths: Vec<usize>, batch_size: usize, key: Key) -> Self {
        Self { lengths, batch_size, key, epoch: 0, left: Vec::new() }
    }

    fn next(&mut self) -> Vec<usize> {
        loop {
            match self.left.pop() {
                Some(batch) => return batch,
                None => self.left = self.shuffled(),
            }
        }
    }

    fn shuffled(&mut self) -> Vec<Vec<usize>> {
        let key = self.key.index(self.epoch);
        self.epoch += 1;
        let mut rows: Vec<usize> = (0..self.lengths.len()).collect();
        key.child("rows").stream().shuffle(&mut rows);
        for window in rows.chunks_mut(WINDOW.saturating_mul(self.batch_size)) {
            window.sort_by_key(|&row| self.lengths[row]);
        }
        let mut batches: Vec<Vec<usize>> =
            rows.chunks(self.batch_size).map(<[usize]>::to_vec).collect();
        key.child("batches").stream().shuffle(&mut batches);
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_reads_every_text_once_in_an_order_of_its_own() {
        let lengths = (0..50).map(|row| row * 7 % 13).collect();
        let mut batches = Batches::new(lengths, 8, Key::root(1));
        let mut epoch = || (0..7).flat_map(|_| batches.next()).collect::<Vec<usize>>();
        let (first, second) = (epoch(), epoch());
        assert_ne!(first, second);
        for mut rows in [first, second] {
            rows.sort_unstable();
            assert_eq!(rows, (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_rate_rises_and_falls() {
        let config = FitConfig { steps: 100, learning_rate: 1.0, ..FitConfig::default() };
        assert!(config.rate(0) < 0.04);
        assert!(config.rate(29) > 0.75);
        assert!((config.rate(50) - 0.5).abs() < 1e-6);
        assert!(config.rate(99) < 1e-3);
    }
}
