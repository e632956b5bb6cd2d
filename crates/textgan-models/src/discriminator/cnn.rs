use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_nn::layers::{Linear, LinearConfig, TextConv, TextConvConfig};
use textgan_nn::{Builder, Init, Mode, Parameters, ops};

use super::embedding::TokenEmbedding;
use super::hard::HardReader;
use super::pieces;
use super::prefixes::PrefixReader;
use super::score::Score;
use super::{
    Discriminator, DiscriminatorConfig, EmbeddingConfig, Tokens, at_least_one, check_dropout,
};
use crate::{Error, Result, Sequences, Sizes};

/// Convolutions over the text, the maximum over time, and a logit (Kim, 2014; in SeqGAN, Yu et al.,
/// 2017). It scores whole texts only.
///
/// With several `representations` an embedding is cut into as many parts, the same network reads
/// each, and the logit is the mean of theirs, as a loss is the mean of the losses (RelGAN; Nie et al., 2019).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CnnDiscriminatorConfig {
    /// The embeddings of the tokens.
    pub embedding: EmbeddingConfig,
    /// The filters, as pairs: tokens a filter covers, and how many filters of that width there are.
    pub filters: Vec<(usize, usize)>,
    /// Into how many parts an embedding is cut.
    pub representations: usize,
    /// Whether a highway layer follows the maximum over time (Srivastava et al., 2015).
    pub highway: bool,
    /// Whether transform and gate of the highway layer share their weights, as they do in
    /// TextGAN-PyTorch.
    pub shared_highway: bool,
    /// Width of a linear layer before the logit, as in RelGAN; 0 for none.
    pub features: usize,
    /// Dropout before the logit.
    pub dropout: f32,
}

impl Default for CnnDiscriminatorConfig {
    fn default() -> Self {
        Self {
            embedding: EmbeddingConfig::default(),
            filters: vec![(1, 50), (2, 100), (3, 100), (4, 100), (5, 50)],
            representations: 1,
            highway: true,
            shared_highway: false,
            features: 0,
            dropout: 0.25,
        }
    }
}

impl CnnDiscriminatorConfig {
    /// The twelve widths that SeqGAN takes for texts of 20 tokens.
    ///
    /// ```
    /// let config = textgan_models::CnnDiscriminatorConfig::seqgan();
    /// assert_eq!(config.filters.iter().map(|(_, count)| count).sum::<usize>(), 1720);
    /// ```
    pub fn seqgan() -> Self {
        let widths = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20];
        let counts = [100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160];
        Self { filters: widths.into_iter().zip(counts).collect(), ..Self::default() }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        self.embedding.validate()?;
        at_least_one(&[("representations", self.representations)])?;
        let empty = self.filters.iter().any(|&(width, count)| width == 0 || count == 0);
        if empty || self.filters.is_empty() {
            let message = "expected pairs of a width and a number of filters, none of them 0";
            return Err(Error::config("discriminator.filters", message));
        }
        if self.shared_highway && !self.highway {
            let message = "there is no highway layer; set `highway` too";
            return Err(Error::config("discriminator.shared_highway", message));
        }
        check_dropout(self.dropout)
    }

    /// Width of one representation.
    pub(super) fn part(&self, sizes: &Sizes) -> Result<usize> {
        let width = self.embedding.width(sizes);
        match width % self.representations {
            0 => Ok(width / self.representations),
            _ => {
                let message = format!("{} does not divide the width {width}", self.representations);
                Err(Error::config("discriminator.representations", message))
            }
        }
    }
}

pub(crate) struct CnnDiscriminator {
    config: DiscriminatorConfig,
    sizes: Sizes,
    pub(super) parameters: Parameters,
    embedding: TokenEmbedding,
    representations: usize,
    convolution: TextConv,
    highway: Option<Highway>,
    features: Option<Linear>,
    score: Score,
    dropout: f32,
}

impl CnnDiscriminator {
    /// Its parameters are with the builder; `parameters` is empty.
    pub fn new(
        config: &CnnDiscriminatorConfig,
        sizes: &Sizes,
        builder: &mut Builder<'_>,
    ) -> Result<Self> {
        config.validate()?;
        let embed = config.part(sizes)?;
        let embedding = TokenEmbedding::new(builder, &config.embedding, sizes)?;
        let filters = TextConvConfig { embed, filters: config.filters.clone() };
        let convolution = TextConv::new(builder, &filters)?;
        let width = convolution.output();
        let highway = match config.highway {
            true => {
                Some(Highway::new(&mut builder.child("highway"), width, config.shared_highway)?)
            }
            false => None,
        };
        let (features, width) = match config.features {
            0 => (None, width),
            features => {
                let config = LinearConfig::new(width, features);
                (Some(Linear::new(&mut builder.child("features"), &config)?), features)
            }
        };
        Ok(Self {
            config: DiscriminatorConfig::Cnn(config.clone()),
            sizes: *sizes,
            parameters: Parameters::new(),
            embedding,
            representations: config.representations,
            convolution,
            highway,
            features,
            score: Score::new(builder, width, sizes)?,
            dropout: config.dropout,
        })
    }

    /// What reads prefixes of texts as this network, of one representation and with no layer of `features`, reads whole
    /// ones, with the weights of now.
    pub fn prefix_reader(&self) -> Result<PrefixReader> {
        let highway = self.highway.as_ref().map_or(Vec::new(), Highway::weights);
        PrefixReader::new(self.embedding.table(), &self.convolution, &highway)
    }

    /// How many features that finds.
    pub fn prefix_features(&self) -> usize {
        self.convolution.output()
    }

    /// From what was found, `[batch * representations, width]`, to features of each representation,
    /// `[batch, representations, features]`.
    fn conclude(&self, features: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        let mut features = ops::dropout(features, self.dropout, mode, "score")?;
        if let Some(layer) = &self.features {
            features = layer.forward(&features)?;
        }
        let (rows, width) = features.dims2()?;
        let parts = self.representations;
        Ok(features.reshape((rows / parts, parts, width))?)
    }

    /// The features of each representation.
    fn parts(&self, tokens: &Tokens<'_>, lengths: &[usize], mode: Mode<'_>) -> Result<Tensor> {
        let x = self.embedding.forward(tokens, lengths)?;
        let (batch, time, width) = x.dims3()?;
        let parts = self.representations;
        // Each part of a row becomes a row of its own, beside the others.
        let (x, lengths) = match parts {
            1 => (x, lengths.to_vec()),
            _ => {
                let x = x.reshape((batch, time, parts, width / parts))?.transpose(1, 2)?;
                let x = x.contiguous()?.reshape((batch * parts, time, width / parts))?;
                let lengths = lengths.iter().flat_map(|&length| std::iter::repeat_n(length, parts));
                (x, lengths.collect())
            }
        };
        let mut features = self.convolution.forward(&x, &lengths)?;
        if let Some(highway) = &self.highway {
            features = highway.forward(&features)?;
        }
        self.conclude(&features, mode)
    }

    /// Their mean, `[batch, 1, features]`: a logit is linear in the features, so the mean of the logits is
    /// the logit of the mean.
    fn mean(&self, features: Tensor) -> Result<Tensor> {
        Ok(match self.representations {
            1 => features,
            parts => (features.sum_keepdim(1)? * (1.0 / parts as f64))?,
        })
    }
}

impl Discriminator for CnnDiscriminator {
    fn architecture(&self) -> serde_json::Value {
        serde_json::json!(self.config)
    }

    fn footprint(&self, time: usize) -> usize {
        self.config.footprint(&self.sizes, time)
    }

    fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn embedding(&self) -> &Tensor {
        self.embedding.table()
    }

    fn reads_prefixes(&self) -> bool {
        false
    }

    fn features(&self, tokens: &Tokens<'_>, lengths: &[usize], mode: Mode<'_>) -> Result<Tensor> {
        self.mean(self.parts(tokens, lengths, mode)?)
    }

    fn opinions(
        &self,
        tokens: &Tokens<'_>,
        lengths: &[usize],
        labels: Option<&[u32]>,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        self.score.forward(&self.parts(tokens, lengths, mode)?, labels)
    }

    fn realness(
        &self,
        tokens: &Tokens<'_>,
        lengths: &[usize],
        labels: Option<&[u32]>,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        let features = self.features(tokens, lengths, mode)?;
        let shape = (lengths.len(), tokens.time(lengths.len())?);
        Ok(self.score.forward(&features, labels)?.broadcast_as(shape)?)
    }

    // Products with hard tokens are looked up.
    fn scores(&self, texts: &Sequences) -> Result<Vec<f32>> {
        self.embedding.check_hard(texts.targets(), texts.lengths())?;
        let table = self.embedding.table();
        let highway = self.highway.as_ref().map_or(Vec::new(), Highway::weights);
        let reader = HardReader::new(table, self.representations, &self.convolution, &highway)?;
        let width = self.convolution.output();
        // Features before and after they lie side by side.
        pieces::score(texts, 2 * width * self.representations, |tokens, lengths, labels| {
            let features = reader.features(tokens, lengths);
            let rows = features.len() / width;
            let features = Tensor::from_vec(features, (rows, width), table.device())?;
            let features = self.mean(self.conclude(&features, Mode::Evaluate)?)?;
            Ok(self.score.forward(&features, labels)?.detach().flatten_all()?.to_vec1()?)
        })
    }

    fn frozen(&self) -> Result<Box<dyn Discriminator>> {
        super::frozen(&self.config, self)
    }
}

/// `y = t relu(W_h x + b_h) + (1 - t) x` with `t = sigmoid(W_t x + b_t)` (Srivastava et al., 2015).
/// The gate begins nearly closed, as in SeqGAN, unless it is shared: its bias is -2.
struct Highway {
    /// Transform.
    weight: Tensor,
    bias: Tensor,
    /// Weight and bias; those of the transform where they are shared.
    gate: Option<(Tensor, Tensor)>,
}

impl Highway {
    fn new(builder: &mut Builder<'_>, width: usize, shared: bool) -> Result<Self> {
        let bound = 1.0 / (width as f32).sqrt();
        let mut transform = builder.child("transform");
        let weight = transform.get("weight", (width, width), Init::FanIn)?;
        let bias = transform.get("bias", width, Init::Uniform { bound })?;
        let mut builder = builder.child("gate");
        let gate = match shared {
            true => None,
            false => Some((
                builder.get("weight", (width, width), Init::FanIn)?,
                builder.get("bias", width, Init::Values(vec![-2.0; width]))?,
            )),
        };
        Ok(Self { weight, bias, gate })
    }

    /// Weights and biases of transform and, unless they are shared, gate.
    fn weights(&self) -> Vec<(&Tensor, &Tensor)> {
        let gate = self.gate.iter().map(|(weight, bias)| (weight, bias));
        std::iter::once((&self.weight, &self.bias)).chain(gate).collect()
    }

    /// `[rows, width]` to `[rows, width]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let transformed = ops::linear(x, &self.weight, Some(&self.bias))?;
        let gate = match &self.gate {
            Some((weight, bias)) => ops::linear(x, weight, Some(bias))?,
            None => transformed.clone(),
        };
        let transformed = transformed.relu()?;
        // The sigmoid by way of tanh, which cannot overflow.
        let gate = (((gate * 0.5)?.tanh()? + 1.0)? * 0.5)?;
        Ok((x + (gate * (transformed - x)?)?)?)
    }
}
