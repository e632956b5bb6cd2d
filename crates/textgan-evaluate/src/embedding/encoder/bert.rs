//! BERT over sentences of any lengths, one after the other.

use candle_transformers::models::bert::Config;
use textgan_nn::kernels::{
    Cache, Packed, Start, Strided, add_layer_norm, attend, gelu, keys_len, store_key,
};

use super::tensors::Tensors;
use crate::Result;

/// The weights, as its products read them.
pub struct Bert {
    heads: usize,
    /// `[vocabulary, width]`.
    words: Vec<f32>,
    /// What is added to the token of each place, `[places, width]`: its position and the first
    /// segment, which is all of a single sentence.
    places: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    /// Queries, keys and values beside each other.
    qkv: Dense,
    mix: Dense,
    mix_norm: Norm,
    up: Dense,
    down: Dense,
    down_norm: Norm,
}

impl Bert {
    /// # Errors
    /// A weight that is missing, or of another shape than the configuration says.
    pub fn new(config: &Config, tensors: &Tensors) -> Result<Self> {
        let Config { hidden_size: width, intermediate_size: inner, .. } = *config;
        let epsilon = config.layer_norm_eps as f32;
        let norm = |name: &str| Norm::new(tensors, name, width, epsilon);
        let table = |name: &str, rows: usize| {
            tensors.get(&format!("embeddings.{name}_embeddings.weight"), &[rows, width])
        };
        let segments = table("token_type", config.type_vocab_size)?;
        let mut places = table("position", config.max_position_embeddings)?;
        for place in places.chunks_exact_mut(width) {
            place.iter_mut().zip(&segments[..width]).for_each(|(x, segment)| *x += segment);
        }
        let layer = |number: usize| {
            let name = |part: &str| format!("encoder.layer.{number}.{part}");
            let qkv = ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
            Ok(Layer {
                qkv: Dense::new(tensors, &qkv, width, width)?,
                mix: Dense::new(tensors, &[name("attention.output.dense")], width, width)?,
                mix_norm: norm(&name("attention.output.LayerNorm"))?,
                up: Dense::new(tensors, &[name("intermediate.dense")], width, inner)?,
                down: Dense::new(tensors, &[name("output.dense")], inner, width)?,
                down_norm: norm(&name("output.LayerNorm"))?,
            })
        };
        Ok(Self {
            heads: config.num_attention_heads,
            words: table("word", config.vocab_size)?,
            places,
            norm: norm("embeddings.LayerNorm")?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
        })
    }

    /// Numbers of a hidden state.
    pub fn width(&self) -> usize {
        self.norm.weight.len()
    }

    /// The hidden states of all tokens, `[tokens of all sentences, width]`, on the calling thread.
    /// The bits of a sentence do not depend on those beside it.
    ///
    /// # Panics
    /// If a token is not of the vocabulary, or a sentence longer than there are places.
    pub fn forward(&self, sentences: &[Vec<u32>]) -> Vec<f32> {
        let width = self.width();
        let tokens: usize = sentences.iter().map(Vec::len).sum();
        let mut x = Vec::with_capacity(tokens * width);
        let mut added = Vec::with_capacity(tokens * width);
        for sentence in sentences {
            let words =
                sentence.iter().map(|&token| &self.words[token as usize * width..][..width]);
            words.for_each(|word| x.extend_from_slice(word));
            added.extend_from_slice(&self.places[..sentence.len() * width]);
        }
        self.norm.add(&mut x, &added);
        let mut qkv = vec![0.0; tokens * 3 * width];
        let mut mixed = vec![0.0; tokens * width];
        let mut inner = Vec::new();
        for layer in &self.layers {
            layer.qkv.apply(&x, &mut qkv);
            let mut first = 0;
            for sentence in sentences {
                let rows = first..first + sentence.len();
                first = rows.end;
                let qkv = &qkv[rows.start * 3 * width..rows.end * 3 * width];
                self.attention(qkv, &mut mixed[rows.start * width..rows.end * width]);
            }
            layer.mix.apply(&mixed, &mut added);
            layer.mix_norm.add(&mut x, &added);
            inner.resize(tokens * layer.up.bias.len(), 0.0);
            layer.up.apply(&x, &mut inner);
            gelu(&mut inner);
            layer.down.apply(&inner, &mut added);
            layer.down_norm.add(&mut x, &added);
        }
        x
    }

    /// Every token of a sentence looks at every other (Vaswani et al., 2017): `qkv` is
    /// `[time, 3 width]`, `out` `[time, width]`.
    fn attention(&self, qkv: &[f32], out: &mut [f32]) {
        let width = self.width();
        let positions = out.len() / width;
        if positions == 0 {
            return;
        }
        let mut keys = vec![0.0; keys_len(positions, width)];
        for (position, qkv) in qkv.chunks_exact(3 * width).enumerate() {
            store_key(&qkv[width..2 * width], position, &mut keys);
        }
        let values = &qkv[2 * width..];
        let cache = Cache { keys: &keys, values, stride: 3 * width, positions };
        let mut scores = Vec::new();
        for (qkv, out) in qkv.chunks_exact(3 * width).zip(out.chunks_exact_mut(width)) {
            attend(self.heads, &qkv[..width], cache, &mut scores, out);
        }
    }
}

/// `x W^T + b`.
struct Dense {
    weight: Packed,
    bias: Vec<f32>,
}

impl Dense {
    /// Layers over the same inputs, beside each other.
    fn new(tensors: &Tensors, names: &[String], inputs: usize, outputs: usize) -> Result<Self> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            weight.extend(tensors.get(&format!("{name}.weight"), &[outputs, inputs])?);
            bias.extend(tensors.get(&format!("{name}.bias"), &[outputs])?);
        }
        let weight = Packed::new(Strided::transposed(&weight, inputs), inputs, bias.len());
        Ok(Self { weight, bias })
    }

    /// `x` is `[rows, inputs]`, `y` `[rows, outputs]`.
    fn apply(&self, x: &[f32], y: &mut [f32]) {
        let (inputs, outputs) = (self.weight.depth(), self.weight.columns());
        let rows = Strided::rows(x, inputs);
        self.weight.multiply(x.len() / inputs, rows, Start::Bias(&self.bias), y, outputs);
    }
}

/// A layer norm.
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    fn new(tensors: &Tensors, name: &str, width: usize, epsilon: f32) -> Result<Self> {
        let part = |part: &str| tensors.get(&format!("{name}.{part}"), &[width]);
        Ok(Self { weight: part("weight")?, bias: part("bias")?, epsilon })
    }

    /// `x = norm(x + added)`, rows of the width.
    fn add(&self, x: &mut [f32], added: &[f32]) {
        add_layer_norm(x, added, &self.weight, &self.bias, self.epsilon);
    }
}
