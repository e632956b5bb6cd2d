//! Codes of texts, and who tells them from codes of noise.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use textgan_models::{Discriminator, Sequences, Sizes, Tokens, build_discriminator, unit_rows};
use textgan_nn::layers::{Linear, LinearConfig};
use textgan_nn::{Builder, Mode, Parameters, ops};
use textgan_random::Key;

use super::arae::Arae;
use crate::Result;
use crate::networks::{Judges, Network};

/// From texts to codes, by the features of a discriminator's body.
pub(super) struct CodeEncoder {
    /// Of body and output; what the body's own judgement is made of is nobody's.
    pub parameters: Parameters,
    pub body: Judges,
    pub output: Linear,
    pub parts: usize,
}

impl CodeEncoder {
    pub fn new(config: &Arae, sizes: &Sizes, width: usize, key: &Key) -> Result<Self> {
        // A label is the generator's to read beside the code.
        let sizes = Sizes { labels: 0, ..*sizes };
        let body =
            build_discriminator(&config.encoder, &sizes, None, &key.child("body"), &Device::Cpu)?;
        let body = Judges { frozen: body.frozen()?.into(), learning: body.into() };
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, *key, &Device::Cpu);
        let output = LinearConfig::new(config.encoder.features(&sizes), width / config.parts);
        let output = Linear::new(&mut builder.child("output"), &output)?;
        for (name, variable) in body.learning.parameters().iter() {
            if !name.starts_with("score") {
                parameters.insert(format!("body.{name}"), variable.clone())?;
            }
        }
        Ok(Self { parameters, body, output, parts: config.parts })
    }

    /// `[batch, code]`.
    pub fn codes(&self, texts: &Sequences, mode: Mode<'_>) -> Result<Tensor> {
        let tokens = Tokens::Hard(texts.targets());
        let features = self.features(&self.body.learning, &tokens, texts, mode)?;
        self.joined(&self.output.forward(&features)?)
    }

    /// The same of mixtures of words of the body's [embedding](Discriminator::embedding), by weights that get no
    /// gradient.
    pub fn codes_of_mixtures(&self, mixtures: &Tensor, texts: &Sequences) -> Result<Tensor> {
        let tokens = Tokens::Soft(mixtures);
        let features = self.features(&self.body.frozen, &tokens, texts, Mode::Evaluate)?;
        let bias = self.output.bias().map(Tensor::detach);
        let weight = self.output.weight().detach();
        self.joined(&ops::linear(&features, &weight, bias.as_ref())?)
    }

    /// What the body knows at the end of each part, `[batch * parts, features]`.
    pub fn features(
        &self,
        body: &Arc<dyn Discriminator>,
        tokens: &Tokens<'_>,
        texts: &Sequences,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        let features = body.features(tokens, texts.lengths(), mode)?;
        let (batch, places, width) = features.dims3()?;
        let ends = texts.lengths().iter().enumerate().flat_map(|(row, &length)| {
            let (length, parts) = (length.min(places), self.parts);
            (1..=parts).map(move |part| (row * places + (part * length).div_ceil(parts) - 1) as u32)
        });
        let ends = Tensor::from_iter(ends, features.device())?;
        Ok(features.reshape((batch * places, width))?.index_select(&ends, 0)?)
    }

    /// Parts, `[batch * parts, width]`, side by side: `[batch, code]`.
    pub fn joined(&self, parts: &Tensor) -> Result<Tensor> {
        let (rows, width) = parts.dims2()?;
        Ok(unit_rows(&parts.reshape((rows / self.parts, width * self.parts))?)?)
    }
}

impl Network for CodeEncoder {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

/// Tells codes of texts, positive, from codes of noise: as a whole, and by windows of their parts.
pub(super) struct CodeCritic {
    pub parameters: Parameters,
    pub whole: [Linear; 3],
    pub window: Option<Windows>,
}

/// A critic of all windows of a code.
pub(super) struct Windows {
    pub layers: [Linear; 3],
    /// Parts of a code, and width of one.
    pub parts: usize,
    pub part: usize,
    /// Parts of a window.
    pub window: usize,
}

impl CodeCritic {
    pub fn new(config: &Arae, width: usize, key: &Key) -> Result<Self> {
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, *key, &Device::Cpu);
        let hidden = config.critic_hidden;
        let layers = |builder: &mut Builder<'_>, width: usize| -> Result<[Linear; 3]> {
            let mut layer = |name: &str, input, output| {
                Linear::new(&mut builder.child(name), &LinearConfig::new(input, output))
            };
            Ok([layer("0", width, hidden)?, layer("1", hidden, hidden)?, layer("2", hidden, 1)?])
        };
        let whole = layers(&mut builder, width)?;
        let (parts, part, window) = (config.parts, width / config.parts, config.window);
        let window = match window {
            0 => None,
            _ => {
                let layers = layers(&mut builder.child("window"), window * part)?;
                Some(Windows { layers, parts, part, window })
            }
        };
        Ok(Self { parameters, whole, window })
    }

    /// `[batch, code]` to `[batch]`.
    pub fn logits(&self, codes: &Tensor) -> Result<Tensor> {
        let judge = |[first, second, last]: &[Linear; 3], codes: &Tensor| -> Result<Tensor> {
            let x = second.forward(&first.forward(codes)?.relu()?)?.relu()?;
            Ok(last.forward(&x)?.squeeze(1)?)
        };
        let whole = judge(&self.whole, codes)?;
        let Some(Windows { layers, parts, part, window }) = &self.window else { return Ok(whole) };
        let windows: Vec<Tensor> = (0..=parts - window)
            .map(|first| codes.narrow(1, first * part, window * part))
            .collect::<candle_core::Result<_>>()?;
        let judged = judge(layers, &Tensor::cat(&windows, 0)?.contiguous()?)?;
        let judged = judged.reshape((windows.len(), codes.dim(0)?))?.mean(0)?;
        Ok((whole + judged)?)
    }
}

impl Network for CodeCritic {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}
