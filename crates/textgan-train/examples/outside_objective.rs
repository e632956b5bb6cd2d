//! An algorithm of another crate, with a network of its own, in the loop of this one.
//!
//! `NoiseRecovery` makes noise matter without an encoder: a guesser reads what the generator wrote and
//! guesses the noise that it was made of; the generator learns to predict real text, and to write so
//! that the guess comes near (the variational bound on mutual information of InfoGAN; Chen et al.,
//! 2016, with the policy gradient in the place of a path through words).
//!
//! It writes its own step and remembers nothing but a mean that it asks the loop to keep; batches,
//! optimizers, checkpoints, resume, metrics and the log are the loop's. `tests/outside.rs` stops and
//! kills it.
//!
//! ```text
//! cargo run -p textgan-train --example outside_objective
//! ```

use std::path::Path;
use std::sync::Arc;

use candle_core::{D, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_artifact::table::TokenRow;
use textgan_artifact::{Progress, Quiet};
use textgan_models::{
    Context, Generator, GeneratorConfig, LstmConfig, ModelCard, NoiseConfig, Sequences,
};
use textgan_nn::layers::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use textgan_nn::{Builder, Mode, Parameters, ops};
use textgan_random::Key;
use textgan_train::{
    Algorithm, Extended, Group, Learner, Loss, Metric, Network, Networks, Objective, OneOf,
    OptimizerConfig, Phase, Plan, Recipe, Result, Role, Rows, Step, Summary, TrainConfig,
    TrainData, Unit, train,
};

/// What a `[[phase]]` of this program may be: an objective of its own, or one of the library's.
pub type Mine = Extended<Own>;

/// The objectives of this program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Own {
    /// See [`NoiseRecovery`].
    NoiseRecovery(NoiseRecovery),
}

impl OneOf for Own {
    fn chosen(&self) -> &dyn Objective {
        match self {
            Self::NoiseRecovery(objective) => objective,
        }
    }
}

/// `kind = "noise-recovery"`: likelihood of real text, and noise that can be guessed from what it made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NoiseRecovery {
    /// Full learning rate of both networks.
    pub learning_rate: f64,
    /// Weight of the guess beside the likelihood, per nat.
    pub weight: f32,
}

impl Default for NoiseRecovery {
    fn default() -> Self {
        Self { learning_rate: 1e-2, weight: 1.0 }
    }
}

impl Objective for NoiseRecovery {
    fn kind(&self) -> &'static str {
        "noise-recovery"
    }

    fn role(&self) -> Role {
        Role::Generator
    }

    fn check(&self, plan: &Plan<'_>) -> std::result::Result<(), String> {
        match plan.noise.dimension {
            0 => Err("there is no noise to recover: noise.dimension is 0".to_owned()),
            _ => Ok(()),
        }
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let guesser = networks.custom("guesser", |sizes, noise, key| {
            Ok(Guesser::new(sizes.vocab, noise.dimension, key)?)
        })?;
        Ok(Box::new(Recovering { config: self.clone(), generator: networks.generator(), guesser }))
    }
}

/// Guesses noise from the words of a text, in any order.
struct Guesser {
    parameters: Parameters,
    embedding: Embedding,
    output: Linear,
}

impl Guesser {
    fn new(vocab: usize, noise: usize, key: &Key) -> textgan_nn::Result<Self> {
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, *key, &Device::Cpu);
        let embedding =
            Embedding::new(&mut builder.child("embedding"), &EmbeddingConfig::new(vocab, 16))?;
        let output = Linear::new(&mut builder.child("output"), &LinearConfig::new(16, noise))?;
        Ok(Self { parameters, embedding, output })
    }

    /// The squared distance of the guess from `noise`, halved: nats of a unit Gaussian, `[batch]`.
    fn distance(&self, texts: &Sequences, noise: &Tensor) -> Result<Tensor> {
        let (batch, time) = (texts.batch(), texts.time());
        let words = self.embedding.forward(texts.targets(), (batch, time))?;
        let weights = Tensor::from_vec(texts.weights(), (batch, time, 1), &Device::Cpu)?;
        let guess = self.output.forward(&words.broadcast_mul(&weights)?.sum(1)?)?;
        Ok(((guess - noise)?.sqr()?.sum(D::Minus1)? * 0.5)?)
    }
}

impl Network for Guesser {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

/// The phase under way.
struct Recovering {
    config: NoiseRecovery,
    generator: Arc<dyn Generator>,
    guesser: Arc<Guesser>,
}

impl Algorithm for Recovering {
    fn learners(&self) -> Vec<Learner> {
        let optimizer = OptimizerConfig::default();
        let learner = |name, parameters: &Parameters| {
            let rate = self.config.learning_rate;
            Learner::new(name, parameters.clone(), &optimizer, rate, Rows::Generator)
        };
        vec![
            learner("generator", self.generator.parameters()),
            learner("guesser", self.guesser.parameters()),
        ]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        // The guesser learns from what the generator writes now.
        let update = step.update("guesser")?;
        let fake = step.sample(&update, self.generator.as_ref())?;
        let loss = self.guesser.distance(&fake.sequences, &fake.noise)?.mean_all()?;
        let nats = f64::from(loss.to_scalar::<f32>()?);
        let metric = Metric::new("guess", nats, Unit::NatsPerText, Group::Game).live("guess");
        step.descend(update, Loss::new(loss, vec![metric]))?;

        // The generator learns from real text, and from how well its noise was guessed.
        let update = step.update("generator")?;
        let fake = step.sample(&update, self.generator.as_ref())?;
        let distances = self.guesser.distance(&fake.sequences, &fake.noise)?.detach();
        let rewards: Vec<f32> = distances.to_vec1::<f32>()?.iter().map(|nats| -nats).collect();
        let mean = rewards.iter().map(|&x| f64::from(x)).sum::<f64>() / rewards.len() as f64;
        let before = step.memory().number("mean reward").unwrap_or(mean);
        step.memory().set_number("mean reward", Some(before + 0.1 * (mean - before)));
        let share = self.config.weight / rewards.len() as f32;
        let recovered = self.weighted(&fake.context(), &fake.sequences, |row| {
            (rewards[row] - before as f32) * share
        })?;
        let noise = generator_noise(self.generator.as_ref(), &update.key, update.real.batch())?;
        let context = Context { noise: &noise, labels: update.real.labels() };
        let per_token = 1.0 / update.real.tokens() as f32;
        let likelihood = self.weighted(&context, &update.real, |_| per_token)?;
        let nll = f64::from(likelihood.to_scalar::<f32>()?);
        let metric = Metric::new("nll", nll, Unit::NatsPerToken, Group::Likelihood).live("loss");
        step.descend(update, Loss::new((recovered + likelihood)?, vec![metric]))
    }
}

impl Recovering {
    /// `-sum ln p(word)`, each word weighted as its text is.
    fn weighted(
        &self,
        context: &Context<'_>,
        texts: &Sequences,
        weight: impl Fn(usize) -> f32,
    ) -> Result<Tensor> {
        let generator = self.generator.as_ref();
        let hidden = generator.hidden(context, texts, Mode::Evaluate)?.flatten_to(1)?;
        let time = texts.time();
        let real = texts.weights();
        let weights: Vec<f32> =
            real.iter().enumerate().map(|(place, real)| real * weight(place / time)).collect();
        let (head, precision) = (generator.head(), generator.precision());
        Ok(ops::head_cross_entropy(&hidden, head, texts.targets(), &weights, precision)?.loss)
    }
}

fn generator_noise(generator: &dyn Generator, key: &Key, rows: usize) -> Result<Tensor> {
    let noise = generator.noise();
    let vectors = noise.draw(&key.child("noise"), 0, rows);
    Ok(Tensor::from_vec(vectors, (rows, noise.dimension), &Device::Cpu)?)
}

/// A run of two phases: the library's maximum likelihood, then the algorithm of this file.
const PHASES: &str = r#"
[[phase]]
kind = "maximum-likelihood"
steps = 20
learning_rate = 1e-2

[[phase]]
kind = "noise-recovery"
steps = 300
weight = 3.0
evaluation = { every = 100 }
"#;

/// The phases of a config file.
#[derive(Deserialize)]
struct File {
    phase: Vec<Phase<Mine>>,
}

/// Trains on a language of four words into `out`, or goes on there.
///
/// # Errors
/// Those of [`train`].
///
/// # Panics
/// Never: the phases above are valid.
pub fn run(out: &Path, progress: &dyn Progress) -> Result<Summary> {
    let Ok(File { phase: phases }) = toml::from_str(PHASES) else { unreachable!("valid phases") };
    let row = |id: u64| TokenRow {
        id,
        label: None,
        tokens: (0..2 + id % 3).map(|place| 4 + ((id + place * id) % 4) as u32).collect(),
        cut: false,
    };
    let rows: Vec<TokenRow> = (0..80).map(row).collect();
    let data = TrainData {
        train: &rows[..64],
        valid: &rows[64..],
        labels: &[],
        vocab_size: 8,
        max_length: 6,
        decode: &|tokens| format!("{tokens:?}"),
        words: None,
        tokenizer: None,
        id: None,
        well_formed: None,
        card: &ModelCard::default(),
    };
    let generator = LstmConfig { embedding: 8, hidden: 8, ..LstmConfig::default() };
    let recipe = Recipe {
        train: &TrainConfig { batch_size: 16, checkpoint_every: 50, ..TrainConfig::default() },
        phases: &phases,
        noise: &NoiseConfig { dimension: 2, ..NoiseConfig::default() },
        generator: &GeneratorConfig::Lstm(generator),
        discriminator: None,
    };
    train(&recipe, &data, &Key::root(1), out, progress)
}

#[allow(dead_code, reason = "the test of this file has another main")]
fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let out = tempfile::tempdir()?;
    let summary = run(out.path(), &Quiet)?;
    for phase in &summary.phases {
        println!("{}: {:?} {:?}", phase.kind, phase.updates, phase.evaluation);
    }
    Ok(())
}
