//! What the generators of this crate have in common.

use candle_core::{Device, Tensor};
use textgan_nn::kernels::Precision;
use textgan_nn::{Builder, Mode, Parameters, ops};
use textgan_random::Key;

use super::conditioning::Conditioning;
use super::{Generator, GeneratorConfig, Guidance, Sizes, build_generator};
use crate::{Context, Error, NoiseConfig, Placement, Result, Sampler, Sequences};

/// A generator of this crate: the layers that all of them have around a network of its own.
pub(crate) struct Built<N> {
    config: GeneratorConfig,
    parameters: Parameters,
    frame: Frame,
    network: N,
}

/// The layers around a network, and what it is told.
pub(crate) struct Frame {
    pub noise: NoiseConfig,
    pub sizes: Sizes,
    pub precision: Precision,
    /// `[vocab, embedding]`.
    pub embedding: Tensor,
    pub conditioning: Conditioning,
    /// `[vocab, width]`.
    pub head: Tensor,
}

/// A network with the layers around it, as its config makes them.
pub(crate) struct Made<N> {
    pub embedding: Tensor,
    pub conditioning: Conditioning,
    pub head: Tensor,
    pub network: N,
}

/// What tells one generator from another.
pub(crate) trait Network: Sized + Send + Sync {
    /// Its config.
    type Layout;

    /// Makes its layers and those around it, with weights of the builder's.
    fn make(
        layout: &Self::Layout,
        noise: &NoiseConfig,
        sizes: &Sizes,
        builder: &mut Builder<'_>,
    ) -> Result<Made<Self>>;

    /// See [`Generator::hidden`]; the sequences fit the sizes.
    fn hidden(
        &self,
        frame: &Frame,
        context: &Context<'_>,
        sequences: &Sequences,
        mode: Mode<'_>,
    ) -> Result<Tensor>;

    /// See [`Generator::sampler`].
    fn sampler(&self, frame: &Frame) -> Result<Box<dyn Sampler>>;

    /// See [`Generator::is_told`].
    fn is_told(&self, _name: &str) -> bool {
        false
    }

    /// See [`Generator::guidance`]; the sequences fit the sizes.
    fn guidance(&self, _sequences: &Sequences, _mode: Mode<'_>) -> Result<Option<Guidance>> {
        Ok(None)
    }
}

impl<N: Network> Built<N> {
    /// `layout` is that of `config`.
    pub fn new(
        config: &GeneratorConfig,
        layout: &N::Layout,
        noise: &NoiseConfig,
        sizes: &Sizes,
        key: &Key,
        device: &Device,
    ) -> Result<Box<Self>> {
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, *key, device);
        let made = N::make(layout, noise, sizes, &mut builder)?;
        let Made { embedding, conditioning, head, network } = made;
        let (noise, sizes, precision) = (noise.clone(), *sizes, Precision::F32);
        let frame = Frame { noise, sizes, precision, embedding, conditioning, head };
        Ok(Box::new(Self { config: config.clone(), parameters, frame, network }))
    }
}

impl Frame {
    /// The embeddings of what a recurrent network reads, `[batch, time, embedding]`, and the vector of noise and label
    /// that it begins with, if it does.
    pub fn embedded(
        &self,
        context: &Context<'_>,
        sequences: &Sequences,
        dropout: f32,
        mode: Mode<'_>,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let shape = (sequences.batch(), sequences.time());
        let mut x = ops::embedding(&self.embedding, &sequences.inputs(), shape)?;
        let mut beginning = self.conditioning.vector(context, sequences.batch())?;
        if self.noise.placement == Placement::Every
            && let Some(vector) = beginning.take()
        {
            x = x.broadcast_add(&vector.unsqueeze(1)?)?;
        }
        Ok((ops::dropout(&x, dropout, mode, "embedding")?, beginning))
    }

    /// Refuses a batch that the generator cannot read.
    fn check(&self, sequences: &Sequences) -> Result<()> {
        let Sizes { vocab, max_length, .. } = self.sizes;
        if sequences.time() > max_length + 1 {
            let message = format!(
                "{} tokens, and this generator has room for {max_length} and the end",
                sequences.time()
            );
            return Err(Error::argument("sequences", message));
        }
        match sequences.targets().iter().find(|&&id| id as usize >= vocab) {
            Some(id) => {
                let message = format!("token {id} is outside a vocabulary of {vocab}");
                Err(Error::argument("sequences", message))
            }
            None => Ok(()),
        }
    }
}

impl<N: Network> Generator for Built<N> {
    fn architecture(&self) -> serde_json::Value {
        serde_json::json!(self.config)
    }

    fn copy(&self) -> Result<Box<dyn Generator>> {
        // What it begins with is overwritten.
        let (key, device) = (Key::root(0), self.frame.head.device());
        let mut copy =
            build_generator(&self.config, &self.frame.noise, &self.frame.sizes, &key, device)?;
        copy.parameters().copy_from(&self.parameters)?;
        copy.set_precision(self.frame.precision);
        Ok(copy)
    }

    fn noise(&self) -> &NoiseConfig {
        &self.frame.noise
    }

    fn sizes(&self) -> &Sizes {
        &self.frame.sizes
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn hidden(
        &self,
        context: &Context<'_>,
        sequences: &Sequences,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        self.frame.check(sequences)?;
        self.network.hidden(&self.frame, context, sequences, mode)
    }

    fn head(&self) -> &Tensor {
        &self.frame.head
    }

    fn precision(&self) -> Precision {
        self.frame.precision
    }

    fn set_precision(&mut self, precision: Precision) {
        self.frame.precision = precision;
    }

    fn sampler(&self) -> Result<Box<dyn Sampler>> {
        self.network.sampler(&self.frame)
    }

    fn codes(&self, noise: &Tensor) -> Result<Option<Tensor>> {
        self.frame.conditioning.codes(noise)
    }

    fn is_told(&self, name: &str) -> bool {
        self.network.is_told(name)
    }

    fn guidance(&self, sequences: &Sequences, mode: Mode<'_>) -> Result<Option<Guidance>> {
        self.frame.check(sequences)?;
        self.network.guidance(sequences, mode)
    }
}
