//! The players, and what an objective may ask of them.

use candle_core::{Device, Tensor};
use textgan_models::{
    Conditions, Context, Discriminator, Generator, NoiseConfig, NoiseEncoder, SamplingOptions,
    Sequences, Tokens, build_generator, sample, whole,
};
use textgan_nn::{Mode, Parameters};
use textgan_random::Key;

use crate::Result;
use crate::config::Judged;
use crate::data::TrainData;

/// Who is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Player {
    /// The generator, and the noise encoder with it.
    Generator,
    /// The discriminator.
    Discriminator,
}

/// The networks of a run.
pub(crate) struct Game<'a> {
    /// What is read.
    pub data: &'a TrainData<'a>,
    /// The noise.
    pub noise: NoiseConfig,
    /// Bound on the length of samples, below the generator's own.
    pub sample_length: Option<usize>,
    /// Writes.
    pub generator: Box<dyn Generator>,
    /// Completes sentences in its place; absent where it does so itself.
    pub rollout_policy: Option<Box<dyn Generator>>,
    /// The discriminator; absent from runs that only maximise likelihood.
    pub judges: Option<Judges>,
    /// `q(z | x)`; absent from runs without a latent objective.
    pub encoder: Option<NoiseEncoder>,
}

/// The discriminator twice, over the same weights.
pub(crate) struct Judges {
    /// Its weights get gradients.
    pub learning: Box<dyn Discriminator>,
    /// Its weights get none: for the generator's updates, and for looking.
    pub frozen: Box<dyn Discriminator>,
}

impl Judges {
    /// Both forms of `discriminator`.
    pub fn new(discriminator: Box<dyn Discriminator>) -> Result<Self> {
        Ok(Self { frozen: discriminator.frozen()?, learning: discriminator })
    }
}

/// One update of one player: its place in the run, which names every random draw it makes.
pub(crate) struct Turn {
    /// Who is updated.
    pub player: Player,
    /// This update's key: of the phase, the player, and the number of the update.
    pub key: Key,
    /// The step of the phase, from 0.
    pub step: u64,
    /// The steps of the whole phase.
    pub steps: u64,
    /// Real sentences of the player's own part of the training text.
    pub real: Sequences,
    /// The moving average of returns before this update.
    pub moving_average: Option<f64>,
}

/// What an update descends, and what is worth writing down about it.
pub(crate) struct Loss {
    /// A scalar with its graph.
    pub value: Tensor,
    /// Named numbers for the log.
    pub facts: Vec<(&'static str, f64)>,
    /// The moving average of returns after this update.
    pub moving_average: Option<f64>,
}

/// Sentences that the generator has just written, with all that is needed to score them again.
pub(crate) struct Fresh {
    /// The sentences.
    pub sequences: Sequences,
    /// Their noise, `[batch, noise]`.
    pub noise: Tensor,
    /// Log-probability of every token, the end included, in nats.
    pub log_probs: Vec<Vec<f32>>,
}

impl Fresh {
    /// What the generator was conditioned on.
    pub fn context(&self) -> Context<'_> {
        Context { noise: &self.noise, labels: self.sequences.labels() }
    }

    /// Mean surprise of the generator at its own words, nats per token: an estimate of its entropy.
    pub fn nll(&self) -> f64 {
        let words = self.log_probs.iter().flatten();
        -words.map(|&x| f64::from(x)).sum::<f64>() / self.sequences.tokens() as f64
    }
}

impl Game<'_> {
    /// Noise vectors `first .. first + rows` of `key`, `[rows, noise]`.
    pub fn noise(&self, key: &Key, first: u64, rows: usize) -> Result<Tensor> {
        let noise = self.noise.draw(key, first, rows);
        Ok(Tensor::from_vec(noise, (rows, self.noise.dimension), &Device::Cpu)?)
    }

    /// Samples a sentence for each of the noise vectors `first .. first + rows` of `key`, at
    /// temperature 1 and without truncation: from the generator's own distribution.
    pub fn fresh(
        &self,
        key: &Key,
        first: u64,
        rows: usize,
        labels: Option<&[u32]>,
    ) -> Result<Fresh> {
        let options =
            SamplingOptions { max_length: self.sample_length, ..SamplingOptions::default() };
        let vectors = self.noise.draw(&key.child("noise"), first, rows);
        let conditions = Conditions { rows, noise: &vectors, labels };
        let mut sampler = self.generator.sampler()?;
        let samples =
            sample(sampler.as_mut(), &conditions, &[], &options, &key.child("tokens"), first)?;
        let sequences = samples.sequences(labels)?;
        let noise = Tensor::from_vec(vectors, (rows, self.noise.dimension), &Device::Cpu)?;
        Ok(Fresh { sequences, noise, log_probs: samples.log_probs })
    }

    /// The discriminator's opinion of `tokens`, which `sequences` gives the lengths and labels of:
    /// `[batch]`, or `[tokens]` where prefixes are judged. Only in training do its weights get
    /// gradients.
    pub fn judge(
        &self,
        tokens: &Tokens<'_>,
        sequences: &Sequences,
        judged: Judged,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        let judges = self.judges();
        let network = match mode {
            Mode::Train(_) => &judges.learning,
            Mode::Evaluate => &judges.frozen,
        };
        let realness = network.realness(tokens, sequences.lengths(), sequences.labels(), mode)?;
        match judged {
            Judged::Whole => Ok(whole(&realness, sequences.lengths())?),
            Judged::Prefixes => Ok(realness.flatten_all()?.index_select(&places(sequences)?, 0)?),
        }
    }

    /// Who completes sentences.
    pub fn policy(&self) -> &dyn Generator {
        self.rollout_policy.as_deref().unwrap_or(self.generator.as_ref())
    }

    /// Makes the rollout policy a copy of the generator.
    pub fn begin_policy(&mut self) -> Result<()> {
        let generator = self.generator.as_ref();
        let (config, noise, sizes) = (generator.config(), generator.noise(), generator.sizes());
        // What it begins with is overwritten.
        let policy = build_generator(config, noise, sizes, &Key::root(0), &Device::Cpu)?;
        policy.parameters().copy_from(generator.parameters())?;
        self.rollout_policy = Some(policy);
        Ok(())
    }

    /// Lets the rollout policy, where there is one, follow the generator: see
    /// [`MonteCarlo::lag`](crate::MonteCarlo::lag).
    pub fn follow(&self, lag: f32) -> Result<()> {
        let Some(policy) = &self.rollout_policy else { return Ok(()) };
        Ok(policy.parameters().approach(self.generator.parameters(), lag)?)
    }

    /// The discriminator.
    ///
    /// # Panics
    /// Never in a checked run: phases that need a discriminator are refused without one.
    pub fn judges(&self) -> &Judges {
        match &self.judges {
            Some(judges) => judges,
            None => unreachable!("phases that need a discriminator are refused without one"),
        }
    }

    /// The parameters of all networks, each with the name of its file.
    pub fn networks(&self) -> Vec<(&'static str, &Parameters)> {
        let mut networks = vec![("generator", self.generator.parameters())];
        networks.extend(
            self.judges.as_ref().map(|judges| ("discriminator", judges.learning.parameters())),
        );
        networks.extend(self.encoder.as_ref().map(|network| ("encoder", network.parameters())));
        networks
    }
}

/// Places of the tokens of a padded `[batch, time]`, flattened: `[tokens]`.
pub(crate) fn places(sequences: &Sequences) -> Result<Tensor> {
    let time = sequences.time();
    let row = |(row, &length): (usize, &usize)| row * time..row * time + length;
    let places: Vec<u32> =
        sequences.lengths().iter().enumerate().flat_map(row).map(|place| place as u32).collect();
    let count = places.len();
    Ok(Tensor::from_vec(places, count, &Device::Cpu)?)
}
