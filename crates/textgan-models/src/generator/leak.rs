use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_nn::kernels::{CellKind, Precision};
use textgan_nn::layers::{Linear, LinearConfig, Recurrent, RecurrentConfig};
use textgan_nn::{Builder, Init, Mode, Parameters, ops};
use textgan_random::Key;

use super::conditioning::{Conditioning, unit_rows};
use super::{GeneratorConfig, Guidance, Sizes, at_least_one, check_batch, check_dropout, positive};
use crate::discriminator::{CnnDiscriminator, CnnDiscriminatorConfig, PrefixReader};
use crate::sampler::{LeakWeights, TiledSampler};
use crate::{
    Context, EmbeddingConfig, Error, Generator, NoiseConfig, Placement, Result, Sampler, Sequences,
};

/// The generator of LeakGAN (Guo et al., 2018, arXiv 1709.08624): a manager reads what the discriminator's features
/// say of the text so far and sets a goal, a direction in which they should move; a worker writes the words, told the
/// sum of the last goals.
///
/// With `g_t` the manager's goal, a unit vector, `w_t = W (g_t + .. + g_(t-c+1))` and `h_t` the worker's state, the
/// logits are linear in the products of every number of `w_t` with every number of `h_t`: the paper's `O_t w_t`,
/// without its temperature and without the factor that its code multiplies logits with in sampling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LeakConfig {
    /// Width of the worker's embeddings.
    pub embedding: usize,
    /// Width of the worker's state.
    pub hidden: usize,
    /// Width of the manager's state.
    pub manager: usize,
    /// Numbers that goals become before the worker is told them.
    pub goal: usize,
    /// How many goals the worker is told together, and how many words a goal looks ahead (the paper's `c`).
    pub horizon: usize,
    /// The network whose features are leaked: that of the `[discriminator]` table.
    pub leak: CnnDiscriminatorConfig,
    /// Dropout of the worker's embeddings.
    pub embedding_dropout: f32,
    /// Dropout of what the head reads.
    pub head_dropout: f32,
    /// Standard deviation of the initial embeddings.
    pub embedding_std: f32,
}

impl Default for LeakConfig {
    fn default() -> Self {
        Self {
            embedding: 32,
            hidden: 32,
            manager: 32,
            goal: 16,
            horizon: 4,
            leak: CnnDiscriminatorConfig::default(),
            embedding_dropout: 0.0,
            head_dropout: 0.0,
            embedding_std: 0.1,
        }
    }
}

/// The first part of the names of the weights that are the discriminator's.
pub const LEAK_PARAMETERS: &str = "leak";

impl LeakConfig {
    pub(super) fn validate(&self) -> Result<()> {
        at_least_one(&[
            ("embedding", self.embedding),
            ("hidden", self.hidden),
            ("manager", self.manager),
            ("goal", self.goal),
            ("horizon", self.horizon),
        ])?;
        positive(&[("embedding_std", self.embedding_std)])?;
        check_dropout(&[
            ("embedding_dropout", self.embedding_dropout),
            ("head_dropout", self.head_dropout),
        ])?;
        self.leak.validate()?;
        if matches!(self.leak.embedding, EmbeddingConfig::WordVectors { .. }) {
            let message = "a discriminator that leaks learns its embeddings: set embedding.kind = \"learned\"";
            return Err(Error::config("generator.leak", message));
        }
        if self.leak.representations != 1 || self.leak.features != 0 {
            let message = "a discriminator that leaks has one representation, and no layer of `features` after what \
                           its filters find: set representations = 1 and features = 0";
            return Err(Error::config("generator.leak", message));
        }
        Ok(())
    }

    /// Width of what the head reads.
    pub(crate) fn read(&self) -> usize {
        self.goal.saturating_mul(self.hidden)
    }

    /// Width of the vector that noise and label make: the worker's initial state, or what is added to an
    /// embedding.
    pub(crate) fn condition_width(&self, placement: Placement) -> usize {
        match placement {
            Placement::Begin => self.hidden,
            Placement::Every => self.embedding,
        }
    }
}

/// The differentiable face.
pub(crate) struct LeakGenerator {
    config: GeneratorConfig,
    parameters: Parameters,
    pub(crate) noise: NoiseConfig,
    pub(crate) sizes: Sizes,
    pub(crate) layout: LeakConfig,
    precision: Precision,
    pub(crate) embedding: Tensor,
    pub(crate) conditioning: Conditioning,
    leak: CnnDiscriminator,
    pub(crate) worker: Recurrent,
    pub(crate) manager: Recurrent,
    /// From the manager's state to a goal.
    pub(crate) goal: Linear,
    /// From a goal to what the worker is told, without a bias.
    pub(crate) told: Linear,
    pub(crate) head: Tensor,
}

impl LeakGenerator {
    pub(crate) fn new(
        layout: &LeakConfig,
        noise: &NoiseConfig,
        sizes: &Sizes,
        key: &Key,
        device: &Device,
    ) -> Result<Self> {
        layout.validate()?;
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, *key, device);
        let init = Init::Normal { std: layout.embedding_std };
        let embedding =
            builder.child("embedding").get("weight", (sizes.vocab, layout.embedding), init)?;
        let leak = CnnDiscriminator::new(&layout.leak, sizes, &mut builder.child(LEAK_PARAMETERS))?;
        let features = leak.prefix_features();
        let lstm = |inputs, hidden| RecurrentConfig::new(CellKind::Lstm, inputs, hidden);
        let worker = lstm(layout.embedding, layout.hidden);
        let worker = Recurrent::new(&mut builder.child("worker"), &worker)?;
        let manager = lstm(features, layout.manager);
        let manager = Recurrent::new(&mut builder.child("manager"), &manager)?;
        let goal = LinearConfig::new(layout.manager, features);
        let goal = Linear::new(&mut builder.child("goal"), &goal)?;
        // A goal has a length of 1, so the sum of the last ones comes out of the order of 1.
        let std = 1.0 / (layout.horizon as f32).sqrt();
        let told = LinearConfig {
            bias: false,
            init: Init::Normal { std },
            ..LinearConfig::new(features, layout.goal)
        };
        let told = Linear::new(&mut builder.child("told"), &told)?;
        let head =
            builder.child("head").get("weight", (sizes.vocab, layout.read()), Init::FanIn)?;
        let std = match noise.placement {
            // A hidden state is of the order of a half.
            Placement::Begin => 0.5,
            Placement::Every => layout.embedding_std,
        };
        let width = layout.condition_width(noise.placement);
        let conditioning = Conditioning::new(&mut builder, width, noise, sizes.labels, std)?;
        Ok(Self {
            config: GeneratorConfig::Leak(layout.clone()),
            parameters,
            noise: noise.clone(),
            precision: Precision::F32,
            sizes: *sizes,
            layout: layout.clone(),
            embedding,
            conditioning,
            leak,
            worker,
            manager,
            goal,
            told,
            head,
        })
    }

    /// What reads prefixes with the weights of now.
    pub(crate) fn prefix_reader(&self) -> Result<PrefixReader> {
        self.leak.prefix_reader()
    }

    /// The features of every prefix, and the goals that they lead to.
    fn guide(&self, sequences: &Sequences, mode: Mode<'_>) -> Result<Guidance> {
        let (batch, time) = (sequences.batch(), sequences.time());
        let reader = self.prefix_reader()?;
        let shape = (batch, time + 1, reader.features());
        let features = Tensor::from_vec(reader.all(sequences), shape, self.embedding.device())?;
        let read = features.narrow(1, 0, time)?.contiguous()?;
        let states = self.manager.forward(&read, sequences.lengths(), None, mode)?;
        let goals = self.goal.forward(&states)?;
        let length = (reader.features() as f64).sqrt();
        Ok(Guidance { features, goals: (unit_rows(&goals)? * (1.0 / length))? })
    }
}

impl Generator for LeakGenerator {
    fn architecture(&self) -> serde_json::Value {
        super::architecture(&self.config)
    }

    fn copy(&self) -> Result<Box<dyn Generator>> {
        super::copy(&self.config, self)
    }

    fn noise(&self) -> &NoiseConfig {
        &self.noise
    }

    fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn is_told(&self, name: &str) -> bool {
        name.split('.').next() == Some(LEAK_PARAMETERS)
    }

    fn guidance(&self, sequences: &Sequences, mode: Mode<'_>) -> Result<Option<Guidance>> {
        check_batch(&self.sizes, sequences)?;
        self.guide(sequences, mode).map(Some)
    }

    fn hidden(
        &self,
        context: &Context<'_>,
        sequences: &Sequences,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        check_batch(&self.sizes, sequences)?;
        let (batch, time) = (sequences.batch(), sequences.time());
        let LeakConfig { hidden, goal, horizon, .. } = self.layout;
        let mut x = ops::embedding(&self.embedding, &sequences.inputs(), (batch, time))?;
        let mut initial = None;
        if let Some(vector) = self.conditioning.vector(context, batch)? {
            match self.noise.placement {
                Placement::Begin => {
                    let state = vector.reshape((1, batch, hidden))?;
                    initial = Some(Tensor::cat(&[&state, &state.zeros_like()?], 2)?);
                }
                Placement::Every => x = x.broadcast_add(&vector.unsqueeze(1)?)?,
            }
        }
        x = ops::dropout(&x, self.layout.embedding_dropout, mode, "embedding")?;
        let states = self.worker.forward(&x, sequences.lengths(), initial.as_ref(), mode)?;
        // The sum over the last goals is a product with a band of ones; what is made of goals is linear in them.
        let told = self.told.forward(&self.guide(sequences, mode)?.goals)?;
        let band = (0..time * time).map(|at| (at / time, at % time));
        let band = band.map(|(now, then)| f32::from(then <= now && now < then + horizon));
        let band = Tensor::from_iter(band, told.device())?.reshape((1, time, time))?;
        let told = band.broadcast_as((batch, time, time))?.contiguous()?.matmul(&told)?;
        let told = told.reshape((batch, time, goal, 1))?;
        let read = told.broadcast_mul(&states.reshape((batch, time, 1, hidden))?)?;
        let read = read.reshape((batch, time, goal * hidden))?;
        Ok(ops::dropout(&read, self.layout.head_dropout, mode, "head")?)
    }

    fn head(&self) -> &Tensor {
        &self.head
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    fn codes(&self, noise: &Tensor) -> Result<Option<Tensor>> {
        self.conditioning.codes(noise)
    }

    fn sampler(&self) -> Result<Box<dyn Sampler>> {
        Ok(Box::new(TiledSampler::new(LeakWeights::new(self)?)))
    }
}
