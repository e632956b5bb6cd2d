//! A generator and a discriminator whose networks the library does not know: built, sampled, saved and
//! loaded like its own.
//!
//! The generator is Elman's network (1990), `h_t = tanh(E x_t + U h_(t-1) + N z)`, the discriminator a bag
//! of words. `cargo run -p textgan-models --example outside_network`

use std::path::Path;

use candle_core::{D, Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use textgan_models::{
    Conditions, Context, Discriminator, Generator, ModelCard, NoiseConfig, Placement, Result,
    Sampler, SamplingOptions, Sequences, Sizes, StepModel, Tile, TiledSampler, Tokens,
    load_discriminator_with, load_generator_with, sample, save_discriminator, save_generator,
};
use textgan_nn::kernels::Precision;
use textgan_nn::{Builder, Init, Mode, Parameters, ops};
use textgan_random::Key;

/// The numbers of an architecture.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Elman {
    /// Width of the state.
    pub width: usize,
}

/// The differentiable face.
pub struct ElmanGenerator {
    config: Elman,
    noise: NoiseConfig,
    sizes: Sizes,
    parameters: Parameters,
    /// `[vocab, width]`.
    embedding: Tensor,
    /// `[width, width]`.
    recurrent: Tensor,
    /// `[width, noise]`.
    projection: Tensor,
    /// `[vocab, width]`.
    head: Tensor,
}

impl ElmanGenerator {
    /// Fresh weights from `key`.
    pub fn new(config: Elman, noise: &NoiseConfig, sizes: &Sizes, key: &Key) -> Result<Self> {
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, *key, &Device::Cpu);
        let (width, init) = (config.width, Init::Normal { std: 0.4 });
        let mut get = |name: &str, rows, columns| {
            builder.child(name).get("weight", (rows, columns), init.clone())
        };
        let embedding = get("embedding", sizes.vocab, width)?;
        let recurrent = get("recurrent", width, width)?;
        let projection = get("noise", width, noise.dimension)?;
        let head = get("head", sizes.vocab, width)?;
        let (noise, sizes) = (noise.clone(), *sizes);
        Ok(Self { config, noise, sizes, parameters, embedding, recurrent, projection, head })
    }

    /// As it was saved.
    pub fn load(folder: &Path) -> Result<Box<dyn Generator>> {
        load_generator_with(folder, |saved| {
            let width = saved.architecture["width"].as_u64().unwrap_or(0) as usize;
            let (config, key) = (Elman { width }, Key::root(0));
            Ok(Box::new(Self::new(config, &saved.noise, &saved.sizes, &key)?))
        })
    }
}

impl Generator for ElmanGenerator {
    fn architecture(&self) -> Value {
        json!({ "kind": "elman", "width": self.config.width })
    }

    fn copy(&self) -> Result<Box<dyn Generator>> {
        let copy = Self::new(self.config, &self.noise, &self.sizes, &Key::root(0))?;
        copy.parameters.copy_from(&self.parameters)?;
        Ok(Box::new(copy))
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

    fn hidden(&self, context: &Context<'_>, sequences: &Sequences, _: Mode<'_>) -> Result<Tensor> {
        let (batch, time) = (sequences.batch(), sequences.time());
        let x = ops::embedding(&self.embedding, &sequences.inputs(), (batch, time))?;
        let told = context.noise.matmul(&self.projection.t()?)?;
        let mut state = Tensor::zeros((batch, self.config.width), x.dtype(), x.device())?;
        let mut states = Vec::with_capacity(time);
        for place in 0..time {
            let input = (x.narrow(1, place, 1)?.squeeze(1)? + &told)?;
            state = (input + state.matmul(&self.recurrent.t()?)?)?.tanh()?;
            states.push(state.clone());
        }
        Ok(Tensor::stack(&states, 1)?)
    }

    fn head(&self) -> &Tensor {
        &self.head
    }

    fn precision(&self) -> Precision {
        Precision::F32
    }

    fn set_precision(&mut self, _: Precision) {}

    fn sampler(&self) -> Result<Box<dyn Sampler>> {
        let values = |x: &Tensor| -> Result<Vec<f32>> { Ok(x.flatten_all()?.to_vec1()?) };
        Ok(Box::new(TiledSampler::new(ElmanWeights {
            width: self.config.width,
            noise: self.noise.dimension,
            sizes: self.sizes,
            embedding: values(&self.embedding)?,
            recurrent: values(&self.recurrent)?,
            projection: values(&self.projection)?,
            head: values(&self.head)?,
        })))
    }
}

/// The inference face. A row remembers its state after every token, so that any of its beginnings can be
/// continued.
struct ElmanWeights {
    width: usize,
    noise: usize,
    sizes: Sizes,
    embedding: Vec<f32>,
    recurrent: Vec<f32>,
    projection: Vec<f32>,
    head: Vec<f32>,
}

/// `out += matrix x`.
fn add_product(matrix: &[f32], x: &[f32], out: &mut [f32]) {
    if !x.is_empty() {
        for (out, row) in out.iter_mut().zip(matrix.chunks_exact(x.len())) {
            *out += row.iter().zip(x).map(|(a, b)| a * b).sum::<f32>();
        }
    }
}

impl StepModel for ElmanWeights {
    type Scratch = ();

    fn vocab_size(&self) -> usize {
        self.sizes.vocab
    }

    fn noise_dimension(&self) -> usize {
        self.noise
    }

    fn label_count(&self) -> usize {
        0
    }

    fn max_length(&self) -> usize {
        self.sizes.max_length
    }

    fn scratch(&self, _: usize) {}

    fn condition_size(&self) -> usize {
        self.width
    }

    fn state_size(&self) -> usize {
        (self.sizes.max_length + 2) * self.width
    }

    fn condition(&self, noise: &[f32], _: Option<u32>, condition: &mut [f32]) {
        add_product(&self.projection, noise, condition);
    }

    fn start(&self, _: &[f32], _: &mut [f32]) {}

    fn copy_state(&self, from: &[f32], to: &mut [f32], tokens: usize) {
        let used = (tokens + 1) * self.width;
        to[..used].copy_from_slice(&from[..used]);
    }

    fn step(&self, tile: Tile<'_>, (): &mut ()) {
        let (width, vocab, state_size) = (self.width, self.sizes.vocab, self.state_size());
        for (row, (&token, &position)) in tile.tokens.iter().zip(tile.positions).enumerate() {
            let mut next = tile.conditions[row * width..][..width].to_vec();
            let word = &self.embedding[token as usize * width..][..width];
            next.iter_mut().zip(word).for_each(|(x, word)| *x += word);
            let states = &mut tile.states[row * state_size..][..state_size];
            add_product(&self.recurrent, &states[position * width..][..width], &mut next);
            next.iter_mut().for_each(|x| *x = x.tanh());
            states[(position + 1) * width..][..width].copy_from_slice(&next);
            let logits = &mut tile.logits[row * vocab..][..vocab];
            logits.fill(0.0);
            add_product(&self.head, &next, logits);
        }
    }
}

/// The mean embedding of a text's words, and a logit of it.
pub struct BagOfWords {
    sizes: Sizes,
    parameters: Parameters,
    embedding: Tensor,
    score: Tensor,
}

impl BagOfWords {
    /// Fresh weights from `key`.
    pub fn new(sizes: &Sizes, width: usize, key: &Key) -> Result<Self> {
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, *key, &Device::Cpu);
        let (embedding, score) = Self::weights(&mut builder, sizes, width)?;
        Ok(Self { sizes: *sizes, parameters, embedding, score })
    }

    fn weights(builder: &mut Builder<'_>, sizes: &Sizes, width: usize) -> Result<(Tensor, Tensor)> {
        let init = Init::Normal { std: 0.4 };
        let embedding =
            builder.child("embedding").get("weight", (sizes.vocab, width), init.clone())?;
        Ok((embedding, builder.child("score").get("weight", (1, width), init)?))
    }

    /// As it was saved.
    pub fn load(folder: &Path) -> Result<Box<dyn Discriminator>> {
        load_discriminator_with(folder, |architecture, sizes| {
            let width = architecture["width"].as_u64().unwrap_or(0) as usize;
            Ok(Box::new(Self::new(sizes, width, &Key::root(0))?))
        })
    }
}

impl Discriminator for BagOfWords {
    fn architecture(&self) -> Value {
        json!({ "kind": "bag-of-words", "width": self.score.dims()[1] })
    }

    fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn embedding(&self) -> &Tensor {
        &self.embedding
    }

    fn reads_prefixes(&self) -> bool {
        false
    }

    fn features(&self, tokens: &Tokens<'_>, lengths: &[usize], _: Mode<'_>) -> Result<Tensor> {
        let batch = lengths.len();
        let words = match tokens {
            Tokens::Hard(ids) => ops::embedding(&self.embedding, ids, (batch, ids.len() / batch))?,
            Tokens::Soft(mixtures) => (*mixtures).clone(),
        };
        let time = words.dim(1)?;
        let share = |row: usize, place: usize| match place < lengths[row] {
            true => 1.0 / lengths[row] as f32,
            false => 0.0,
        };
        let shares = (0..batch * time).map(|i| share(i / time, i % time));
        let shares = Tensor::from_iter(shares, words.device())?.reshape((batch, time, 1))?;
        Ok(words.broadcast_mul(&shares)?.sum_keepdim(1)?)
    }

    fn realness(
        &self,
        tokens: &Tokens<'_>,
        lengths: &[usize],
        _: Option<&[u32]>,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        let features = self.features(tokens, lengths, mode)?;
        let logits = ops::linear(&features, &self.score, None)?.squeeze(D::Minus1)?;
        let time = match tokens {
            Tokens::Hard(ids) => ids.len() / lengths.len(),
            Tokens::Soft(mixtures) => mixtures.dim(1)?,
        };
        Ok(logits.broadcast_as((lengths.len(), time))?)
    }

    fn frozen(&self) -> Result<Box<dyn Discriminator>> {
        let mut builder = Builder::frozen(&self.parameters, &Device::Cpu);
        let width = self.score.dims()[1];
        let (embedding, score) = Self::weights(&mut builder, &self.sizes, width)?;
        Ok(Box::new(Self { sizes: self.sizes, parameters: Parameters::new(), embedding, score }))
    }
}

/// Samples of both, as they are and as they come back from disk.
pub fn run(folder: &Path) -> Result<()> {
    let sizes = Sizes { vocab: 20, labels: 0, max_length: 6 };
    let noise = NoiseConfig { dimension: 3, placement: Placement::Every, code: None };
    let key = Key::root(1);
    let generator =
        ElmanGenerator::new(Elman { width: 12 }, &noise, &sizes, &key.child("generator"))?;
    let discriminator = BagOfWords::new(&sizes, 8, &key.child("discriminator"))?;
    save_generator(&folder.join("generator"), &generator, None, &ModelCard::default())?;
    save_discriminator(&folder.join("discriminator"), &discriminator)?;
    let loaded = ElmanGenerator::load(&folder.join("generator"))?;
    let judge = BagOfWords::load(&folder.join("discriminator"))?;

    let rows = 4;
    let vectors = noise.draw(&key.child("noise"), 0, rows);
    let conditions = Conditions { rows, noise: &vectors, labels: None };
    let write = |generator: &dyn Generator| {
        let options = SamplingOptions::default();
        sample(generator.sampler()?.as_mut(), &conditions, &[], &options, &key.child("text"), 0)
    };
    let (samples, again) = (write(&generator)?, write(loaded.as_ref())?);
    assert_eq!(samples.tokens, again.tokens, "a saved generator writes the same");
    let texts = samples.sequences(None)?;
    let scores = discriminator.scores(&texts)?;
    assert_eq!(scores, judge.scores(&texts)?, "a saved discriminator judges the same");

    // Both faces say the same of what was written.
    let z = Tensor::from_vec(vectors.clone(), (rows, noise.dimension), &Device::Cpu)?;
    let context = Context { noise: &z, labels: None };
    let said = textgan_models::token_log_probs(&generator, &context, &texts)?;
    for (row, said) in said.chunks_exact(texts.time()).enumerate() {
        println!(
            "{:?}: ln p = {:.2}, realness {:.2}",
            texts.row(row),
            said.iter().sum::<f32>(),
            scores[row]
        );
    }
    Ok(())
}

#[allow(dead_code, reason = "the test that includes this file calls `run`")]
fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("textgan-outside-{}", std::process::id()));
    let done = run(&folder);
    let _ = std::fs::remove_dir_all(&folder);
    done
}
