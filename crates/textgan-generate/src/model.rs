use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use textgan_artifact::table::Sample;
use textgan_artifact::{Progress, Quiet};
use textgan_models::{
    Discriminator, Generator, Sequences, Tokens, load_card, load_discriminator, load_generator,
    whole,
};
use textgan_nn::Mode;
use textgan_random::Key;
use textgan_tokenizer::Tokenizer;

use crate::{Drawn, Error, Labels, Options, Result};

/// A trained generator with its vocabulary, ready to write.
///
/// Immutable after loading: one model can be shared between threads.
pub struct Model {
    folder: PathBuf,
    generator: Box<dyn Generator>,
    tokenizer: Tokenizer,
    labels: Vec<String>,
    discriminator: Option<Box<dyn Discriminator>>,
}

impl Model {
    /// Reads a model folder: `config.json`, `model.safetensors`, `tokenizer.json`.
    ///
    /// # Errors
    /// Names the file that is missing or wrong; [`Error::Vocabulary`] when its parts belong to
    /// different runs.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref().to_owned();
        let generator = load_generator(&folder, &Device::Cpu)?;
        let labels = load_card(&folder)?.labels;
        let tokenizer = Tokenizer::load(folder.join("tokenizer.json"))?;
        let (ours, its) = (tokenizer.vocab_size(), generator.sizes().vocab);
        if ours != its {
            return Err(Error::Vocabulary { folder, tokenizer: ours, model: its });
        }
        Ok(Self { folder, generator, tokenizer, labels, discriminator: None })
    }

    /// Adds a discriminator, which then scores the realness of every sample.
    ///
    /// # Errors
    /// Names the file that is missing or wrong.
    pub fn with_discriminator(mut self, folder: impl AsRef<Path>) -> Result<Self> {
        self.discriminator = Some(load_discriminator(folder.as_ref(), &Device::Cpu)?);
        Ok(self)
    }

    /// The folder it was read from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The network.
    pub fn generator(&self) -> &dyn Generator {
        &*self.generator
    }

    /// The vocabulary.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The names of the labels, by id; empty for a model that takes none.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Makes `options.count` texts. Text `i` depends on the seed and `i`, not on the count.
    ///
    /// # Errors
    /// [`Error::Option`] for options that cannot work with this model.
    pub fn generate(&self, options: &Options) -> Result<Vec<Sample>> {
        let mut samples = Vec::with_capacity(options.count);
        self.generate_batches(options, &options.key(None), &Quiet, |batch| {
            samples.extend(batch);
            Ok::<(), Error>(())
        })?;
        Ok(samples)
    }

    /// Makes `options.count` texts and hands them over a batch at a time, in order.
    ///
    /// # Errors
    /// [`Error::Option`] for options that cannot work with this model, [`Error::Interrupted`] when
    /// `progress` asks to stop, and what `visit` returns, which ends the work.
    pub fn generate_batches<E: From<Error>>(
        &self,
        options: &Options,
        key: &Key,
        progress: &dyn Progress,
        mut visit: impl FnMut(Vec<Sample>) -> Result<(), E>,
    ) -> Result<(), E> {
        let labels = self.chosen_labels(options)?;
        let mut source = self.source(options, key)?;
        let mut first = 0;
        while first < options.count {
            if progress.stop_requested() {
                return Err(Error::Interrupted.into());
            }
            let rows = options.batch_size.min(options.count - first);
            let drawn = self.chosen(&mut source, options, first as u64, rows, labels)?;
            visit(self.samples(first as u64, &drawn, options)?)?;
            progress.advance(rows as u64);
            first += rows;
        }
        Ok(())
    }

    /// The label that the options name, or an equal chance for each.
    pub(crate) fn chosen_labels(&self, options: &Options) -> Result<Labels<'static>> {
        let refuse = |message| Err(Error::Option { key: "label", message });
        match &options.label {
            None if self.labels.is_empty() => Ok(Labels::None),
            None => Ok(Labels::Uniform),
            Some(name) if self.labels.is_empty() => {
                refuse(format!("this model was trained without labels; leave {name:?} out"))
            }
            Some(name) => match self.labels.iter().position(|label| label == name) {
                Some(id) => Ok(Labels::One(id as u32)),
                None => refuse(format!("{name:?} is none of {}", self.labels.join(", "))),
            },
        }
    }

    /// Rows of the samples table: text, probabilities and, with a discriminator, realness.
    pub(crate) fn samples(
        &self,
        first: u64,
        drawn: &Drawn,
        options: &Options,
    ) -> Result<Vec<Sample>> {
        let realness = match &self.discriminator {
            Some(discriminator) => self.realness(&**discriminator, drawn)?,
            None => Vec::new(),
        };
        (0..drawn.tokens.len())
            .map(|row| {
                let token_log_probs = drawn.log_probs[row].clone();
                Ok(Sample {
                    id: first + row as u64,
                    text: self.tokenizer.decode(&drawn.tokens[row])?,
                    tokens: drawn.tokens[row].clone(),
                    label: drawn.labels.as_ref().map(|labels| labels[row]),
                    noise: drawn.noise_of(row).to_vec(),
                    log_prob: token_log_probs.iter().sum(),
                    token_log_probs,
                    realness: realness.get(row).map(|(whole, _)| *whole),
                    token_realness: realness
                        .get(row)
                        .map_or_else(Vec::new, |(_, each)| each.clone()),
                    temperature: if options.greedy { 0.0 } else { options.temperature },
                })
            })
            .collect()
    }

    /// The discriminator's logit of each text as a whole, if there is a discriminator.
    pub(crate) fn whole_realness(&self, drawn: &Drawn) -> Result<Option<Vec<f32>>> {
        let Some(discriminator) = &self.discriminator else { return Ok(None) };
        let rows = Sequences::from_samples(&drawn.tokens, &drawn.ended, drawn.labels.as_deref())?;
        Ok(Some(discriminator.scores(&rows)?))
    }

    /// The whole score and the score of every prefix, a row each.
    fn realness(
        &self,
        discriminator: &dyn Discriminator,
        drawn: &Drawn,
    ) -> Result<Vec<(f32, Vec<f32>)>> {
        let rows = Sequences::from_samples(&drawn.tokens, &drawn.ended, drawn.labels.as_deref())?;
        let scores = discriminator.realness(
            &Tokens::Hard(rows.targets()),
            rows.lengths(),
            rows.labels(),
            Mode::Evaluate,
        )?;
        let whole: Vec<f32> = whole(&scores, rows.lengths())?.to_vec1()?;
        let each: Vec<Vec<f32>> = scores.to_vec2()?;
        Ok(whole
            .into_iter()
            .zip(each.into_iter().zip(rows.lengths()))
            .map(|(whole, (each, &length))| (whole, each[..length].to_vec()))
            .collect())
    }

    /// A noise matrix on the device of the model, `[rows, noise]`.
    pub fn noise_tensor(&self, noise: Vec<f32>, rows: usize) -> Result<Tensor> {
        let dimension = self.generator.noise().dimension;
        Ok(Tensor::from_vec(noise, (rows, dimension), &Device::Cpu)?)
    }
}
