use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_nn::kernels::CellKind;
use textgan_nn::layers::{Linear, LinearConfig, Recurrent, RecurrentConfig};
use textgan_nn::{Builder, Init, Mode, ops};

use super::built::{Frame, Made, Network};
use super::conditioning::{self, Conditioning, unit_rows};
use super::{Guidance, Sizes, at_least_one, check_dropout, positive};
use crate::discriminator::{CnnDiscriminator, CnnDiscriminatorConfig, PrefixReader};
use crate::sampler::{LeakWeights, TiledSampler};
use crate::{Context, EmbeddingConfig, Error, NoiseConfig, Placement, Result, Sampler, Sequences};

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

/// The layers of its own.
pub(crate) struct LeakNetwork {
    pub(crate) layout: LeakConfig,
    leak: CnnDiscriminator,
    pub(crate) worker: Recurrent,
    pub(crate) manager: Recurrent,
    /// From the manager's state to a goal.
    pub(crate) goal: Linear,
    /// From a goal to what the worker is told, without a bias.
    pub(crate) told: Linear,
}

impl LeakNetwork {
    /// What reads prefixes with the weights of now.
    pub(crate) fn prefix_reader(&self) -> Result<PrefixReader> {
        self.leak.prefix_reader()
    }

    /// The features of every prefix, and the goals that they lead to.
    fn guide(&self, sequences: &Sequences, mode: Mode<'_>) -> Result<Guidance> {
        let (batch, time) = (sequences.batch(), sequences.time());
        let reader = self.prefix_reader()?;
        let shape = (batch, time + 1, reader.features());
        let features = Tensor::from_vec(reader.all(sequences), shape, self.told.weight().device())?;
        let read = features.narrow(1, 0, time)?.contiguous()?;
        let states = self.manager.forward(&read, sequences.lengths(), None, mode)?;
        let goals = self.goal.forward(&states)?;
        let length = (reader.features() as f64).sqrt();
        Ok(Guidance { features, goals: (unit_rows(&goals)? * (1.0 / length))? })
    }
}

impl Network for LeakNetwork {
    type Layout = LeakConfig;

    fn make(
        layout: &LeakConfig,
        noise: &NoiseConfig,
        sizes: &Sizes,
        builder: &mut Builder<'_>,
    ) -> Result<Made<Self>> {
        layout.validate()?;
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
        let std = conditioning::state_std(noise.placement, layout.embedding_std);
        let width = layout.condition_width(noise.placement);
        let conditioning = Conditioning::new(builder, width, noise, sizes.labels, std)?;
        let network = Self { layout: layout.clone(), leak, worker, manager, goal, told };
        Ok(Made { embedding, conditioning, head, network })
    }

    fn is_told(&self, name: &str) -> bool {
        name.split('.').next() == Some(LEAK_PARAMETERS)
    }

    fn guidance(&self, sequences: &Sequences, mode: Mode<'_>) -> Result<Option<Guidance>> {
        self.guide(sequences, mode).map(Some)
    }

    fn hidden(
        &self,
        frame: &Frame,
        context: &Context<'_>,
        sequences: &Sequences,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        let (batch, time) = (sequences.batch(), sequences.time());
        let LeakConfig { hidden, goal, horizon, .. } = self.layout;
        let (x, vector) =
            frame.embedded(context, sequences, self.layout.embedding_dropout, mode)?;
        let initial = match vector {
            Some(vector) => {
                let state = vector.reshape((1, batch, hidden))?;
                Some(Tensor::cat(&[&state, &state.zeros_like()?], 2)?)
            }
            None => None,
        };
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

    fn sampler(&self, frame: &Frame) -> Result<Box<dyn Sampler>> {
        Ok(Box::new(TiledSampler::new(LeakWeights::new(frame, self)?)))
    }
}
