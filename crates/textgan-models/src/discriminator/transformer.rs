use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_nn::kernels::{Precision, Rotary};
use textgan_nn::{Builder, Init, Mode, Parameters, ops};

use super::embedding::TokenEmbedding;
use super::score::Score;
use super::{
    Discriminator, DiscriminatorConfig, EmbeddingConfig, Tokens, at_least_one, check_dropout,
};
use crate::generator::{Block, Body};
use crate::{Error, Result, Sizes, TransformerConfig};

/// A causal transformer and a logit of its state, which scores prefixes: the body of the transformer
/// generator, as wide as the embeddings of the tokens, so that it can begin with a generator's weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerDiscriminatorConfig {
    /// The embeddings of the tokens; their width is that of the residual stream, a multiple of twice
    /// `heads`.
    pub embedding: EmbeddingConfig,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the SwiGLU layer; when absent, 8/3 of the stream's rounded up to a multiple of 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feed_forward: Option<usize>,
    /// Dropout of what attention and SwiGLU add to the residual stream, and before the logit.
    pub dropout: f32,
}

impl Default for TransformerDiscriminatorConfig {
    fn default() -> Self {
        Self {
            embedding: EmbeddingConfig::default(),
            layers: 2,
            heads: 4,
            feed_forward: None,
            dropout: 0.1,
        }
    }
}

impl TransformerDiscriminatorConfig {
    pub(super) fn validate(&self, sizes: &Sizes) -> Result<()> {
        self.embedding.validate()?;
        check_dropout(self.dropout)?;
        let body = self.body(sizes);
        at_least_one(&[
            ("layers", self.layers),
            ("heads", self.heads),
            ("feed_forward", body.feed_forward_width()),
        ])?;
        match body.width.is_multiple_of(2 * self.heads) {
            true => Ok(()),
            false => Err(Error::config(
                "discriminator.embedding.width",
                format!("{} is not a multiple of twice the {} heads", body.width, self.heads),
            )),
        }
    }

    /// The generator that has these blocks.
    pub(super) fn body(&self, sizes: &Sizes) -> TransformerConfig {
        TransformerConfig {
            width: self.embedding.width(sizes),
            layers: self.layers,
            heads: self.heads,
            feed_forward: self.feed_forward,
            dropout: self.dropout,
            ..TransformerConfig::default()
        }
    }
}

pub(super) struct TransformerDiscriminator {
    config: DiscriminatorConfig,
    sizes: Sizes,
    pub(super) parameters: Parameters,
    embedding: TokenEmbedding,
    body: TransformerConfig,
    blocks: Vec<Block>,
    norm: Tensor,
    rotary: Rotary,
    score: Score,
}

impl TransformerDiscriminator {
    /// Its parameters are with the builder; `parameters` is empty.
    pub fn new(
        config: &TransformerDiscriminatorConfig,
        sizes: &Sizes,
        builder: &mut Builder<'_>,
    ) -> Result<Self> {
        config.validate(sizes)?;
        let embedding = TokenEmbedding::new(builder, &config.embedding, sizes)?;
        let body = config.body(sizes);
        let blocks = (0..config.layers)
            .map(|index| Block::new(&mut builder.child(&format!("model.layers.{index}")), &body))
            .collect::<Result<_>>()?;
        let norm = builder.child("model.norm").get("weight", body.width, Init::Ones)?;
        let positions = sizes.max_length + 1;
        Ok(Self {
            config: DiscriminatorConfig::Transformer(config.clone()),
            sizes: *sizes,
            parameters: Parameters::new(),
            embedding,
            blocks,
            norm,
            rotary: Rotary::new(body.width / body.heads, positions, body.rope_theta),
            score: Score::new(builder, body.width, sizes)?,
            body,
        })
    }
}

impl Discriminator for TransformerDiscriminator {
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
        true
    }

    fn features(&self, tokens: &Tokens<'_>, lengths: &[usize], mode: Mode<'_>) -> Result<Tensor> {
        let x = self.embedding.forward(tokens, lengths)?;
        let (batch, time, width) = x.dims3()?;
        if time > self.sizes.max_length + 1 {
            let room = self.sizes.max_length;
            let message = format!("{time} a row, and this discriminator reads {room} and the end");
            return Err(Error::argument("tokens", message));
        }
        // Without padding: tokens of one text after those of another; and back, where what lies beyond a
        // row's length is its last state again.
        let row = |(row, &length): (usize, &usize)| row * time..row * time + length;
        let packed = lengths.iter().enumerate().flat_map(row).map(|place| place as u32);
        let packed = Tensor::from_iter(packed, x.device())?;
        let mut first = 0;
        let mut padded = Vec::with_capacity(batch * time);
        for &length in lengths {
            padded.extend((0..time).map(|place| (first + place.min(length - 1)) as u32));
            first += length;
        }
        let padded = Tensor::from_vec(padded, batch * time, x.device())?;

        let mut stream = x.reshape((batch * time, width))?.index_select(&packed, 0)?;
        let body = Body { layout: &self.body, rotary: &self.rotary, precision: Precision::F32 };
        for (index, block) in self.blocks.iter().enumerate() {
            stream = block.forward(&stream, lengths, body, index, mode)?;
        }
        let hidden = ops::rms_norm(&stream, &self.norm, self.body.norm_epsilon)?;
        let hidden = hidden.index_select(&padded, 0)?.reshape((batch, time, width))?;
        Ok(ops::dropout(&hidden, self.body.dropout, mode, "score")?)
    }

    fn realness(
        &self,
        tokens: &Tokens<'_>,
        lengths: &[usize],
        labels: Option<&[u32]>,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        self.score.forward(&self.features(tokens, lengths, mode)?, labels)
    }

    fn frozen(&self) -> Result<Box<dyn Discriminator>> {
        super::frozen(&self.config, self)
    }
}
