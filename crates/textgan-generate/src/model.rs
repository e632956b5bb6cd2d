use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use textgan_artifact::table::Sample;
use textgan_artifact::{Progress, Quiet};
use textgan_models::{Generator, load_card, load_generator};
use textgan_random::Key;
use textgan_tokenizer::Tokenizer;

use crate::critic::Critic;
use crate::{Drawn, Error, Labels, Options, Result};

/// A trained generator with its vocabulary, ready to write.
///
/// Immutable after loading: one model can be shared between threads.
pub struct Model {
    folder: PathBuf,
    generator: Box<dyn Generator>,
    tokenizer: Tokenizer,
    labels: Vec<String>,
    pub(crate) critic: Option<Critic>,
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
        Ok(Self { folder, generator, tokenizer, labels, critic: None })
    }

    /// Takes its weights from another file, of a checkpoint of the same training: the generator as it was
    /// then.
    ///
    /// # Errors
    /// Names the file that is missing, or whose weights are those of another network.
    pub fn with_weights(self, file: impl AsRef<Path>) -> Result<Self> {
        self.generator.parameters().load(file.as_ref()).map_err(textgan_models::Error::from)?;
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
        let (labels, key) = (self.chosen_labels(options)?, options.key(None));
        self.generate_batches(options, labels, &key, &Quiet, |batch| {
            samples.extend(batch);
            Ok::<(), Error>(())
        })?;
        Ok(samples)
    }

    /// Makes `options.count` texts with these labels and hands them over a batch at a time, in order.
    ///
    /// # Errors
    /// [`Error::Option`] for options that cannot work with this model, [`Error::Interrupted`] when
    /// `progress` asks to stop, and what `visit` returns, which ends the work.
    pub fn generate_batches<E: From<Error>>(
        &self,
        options: &Options,
        labels: Labels<'_>,
        key: &Key,
        progress: &dyn Progress,
        mut visit: impl FnMut(Vec<Sample>) -> Result<(), E>,
    ) -> Result<(), E> {
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
    ///
    /// # Errors
    /// [`Error::Option`] for a label that there is not.
    pub fn chosen_labels(&self, options: &Options) -> Result<Labels<'static>> {
        match &options.label {
            None if self.labels.is_empty() => Ok(Labels::None),
            None => Ok(Labels::Uniform),
            Some(name) => self.label_named(name).map(Labels::One),
        }
    }

    /// The label of a text that stands alone: the one that is named, else the first.
    pub(crate) fn label_of_row(&self, options: &Options) -> Result<Option<u32>> {
        Ok(match self.chosen_labels(options)? {
            Labels::One(label) => Some(label),
            Labels::Uniform => Some(0),
            _ => None,
        })
    }

    /// The number of a label.
    pub(crate) fn label_named(&self, name: &str) -> Result<u32> {
        let refuse = |message| Err(Error::Option { key: "label", message });
        if self.labels.is_empty() {
            return refuse(format!("this model has no labels; leave `{name}` out"));
        }
        match self.labels.iter().position(|label| label == name) {
            Some(id) => Ok(id as u32),
            None => refuse(format!(
                "the model's labels are `{}`, and `{name}` is none of them",
                self.labels.join("`, `")
            )),
        }
    }

    /// Refuses noise that is not of `rows` vectors of this model.
    pub(crate) fn check_noise(&self, noise: &[f32], rows: usize) -> Result<()> {
        let dimension = self.generator.noise().dimension;
        let message = match noise.len() {
            length if length != rows * dimension => {
                format!("{length} numbers are not {rows} vectors of {dimension}")
            }
            _ if noise.iter().all(|value| value.is_finite()) => return Ok(()),
            _ => "not all of it are finite numbers".to_owned(),
        };
        Err(Error::Option { key: "noise", message })
    }

    /// Rows of the samples table: text, probabilities and, with a discriminator, realness.
    pub(crate) fn samples(
        &self,
        first: u64,
        drawn: &Drawn,
        options: &Options,
    ) -> Result<Vec<Sample>> {
        let realness = self.realness(drawn)?;
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
                    temperature: options.heat(),
                })
            })
            .collect()
    }

    /// A noise matrix on the device of the model, `[rows, noise]`.
    pub fn noise_tensor(&self, noise: Vec<f32>, rows: usize) -> Result<Tensor> {
        let dimension = self.generator.noise().dimension;
        Ok(Tensor::from_vec(noise, (rows, dimension), &Device::Cpu)?)
    }
}
