//! Language models as a yardstick: fluency and coverage in nats per token.
//!
//! Two numbers of one set of samples, each from a small language model that is trained for it:
//!
//! - the *LM score*: what samples cost a model of real text. It is low when they read well, also
//!   when they all read the same (de Masson d'Autume et al., 2019; Caccia et al., 2020);
//! - the *reverse LM score*: what real held-out text costs a model of the samples (Zhao et al.,
//!   2018). What the samples never say is dear, so it is low when they cover real text.
//!
//! Neither says much without the other. Both depend on the model, its texts and their number: two
//! numbers compare only when [`LanguageModel::protocol`] says the same, and never with a generator's
//! own likelihood.
//!
//! ```
//! use textgan_artifact::Quiet;
//! use textgan_evaluate::{FitConfig, LanguageModel, LanguageModelConfig};
//! use textgan_random::Key;
//!
//! let fit = FitConfig { steps: 60, ..FitConfig::default() };
//! let config = LanguageModelConfig { width: 16, fit, ..LanguageModelConfig::default() };
//! // Token 4 is always followed by 5.
//! let texts: Vec<Vec<u32>> = (0..40).map(|i| [4, 5].repeat(1 + i % 3)).collect();
//! let model = LanguageModel::train(&config, &texts, None, 7, 8, &Key::root(1), &Quiet)?;
//!
//! let likely = model.score("samples", &[vec![4, 5, 4, 5]])?;
//! let unlikely = model.score("samples", &[vec![5, 5, 4, 4]])?;
//! assert_eq!(likely.tokens, [5]); // The end counts.
//! assert!(likely.per_token() < unlikely.per_token());
//! # Ok::<(), textgan_evaluate::Error>(())
//! ```

use candle_core::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_artifact::Progress;
use textgan_models::{
    Context, Generator, GeneratorConfig, NoiseConfig, Sequences, Sizes, TransformerConfig,
    build_generator, token_log_probs,
};
use textgan_nn::kernels::Precision;
use textgan_nn::{Mode, Parameters, ops};
use textgan_random::Key;

use crate::fit::{FitConfig, Fitted, Learner, fit};
use crate::likelihood::Likelihood;
use crate::{Error, Result, texts};

/// The language model that measures: a small transformer
/// ([`TransformerConfig`]) whose head shares the weights of its embedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageModelConfig {
    /// Width of the residual stream; a multiple of twice `heads`.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Dropout of embeddings, of what blocks add to the stream and of the last state.
    pub dropout: f32,
    /// Share of the texts that is held out to watch the others by, where no other text is given for
    /// that.
    pub held_out: f64,
    /// How it learns.
    pub fit: FitConfig,
}

impl Default for LanguageModelConfig {
    fn default() -> Self {
        let fit = FitConfig::default();
        Self { width: 128, layers: 2, heads: 4, dropout: 0.1, held_out: 0.1, fit }
    }
}

impl LanguageModelConfig {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// [`Error::Config`] names the key and the fix. What describes no network is refused when it is
    /// built.
    pub fn validate(&self) -> Result<()> {
        if !(self.held_out > 0.0 && self.held_out < 1.0) {
            let message = format!("{} is not between 0 and 1", self.held_out);
            return Err(Error::Config { key: "held_out", message });
        }
        self.fit.validate()
    }

    /// The configuration in one line without spaces, such as
    /// `transformer-128x2|heads:4|dropout:0.1|...`: a part of every protocol.
    pub fn name(&self) -> String {
        let Self { width, layers, heads, dropout, held_out, fit } = self;
        let FitConfig { steps, batch_size, learning_rate, weight_decay, validate_every, patience } =
            fit;
        format!(
            "transformer-{width}x{layers}|heads:{heads}|dropout:{dropout}|held-out:{held_out}|steps:{steps}|\
             batch:{batch_size}|rate:{learning_rate}|decay:{weight_decay}|\
             validate-every:{validate_every}|patience:{patience}"
        )
    }

    fn network(&self) -> GeneratorConfig {
        GeneratorConfig::Transformer(TransformerConfig {
            width: self.width,
            layers: self.layers,
            heads: self.heads,
            tied: true,
            dropout: self.dropout,
            embedding_dropout: self.dropout,
            head_dropout: self.dropout,
            ..TransformerConfig::default()
        })
    }
}

/// A language model that was trained to measure text with.
pub struct LanguageModel {
    generator: Box<dyn Generator>,
    config: LanguageModelConfig,
    key: Key,
    training_texts: usize,
    fitted: Fitted,
}

impl LanguageModel {
    /// Trains a model of `train`, texts of token ids below `vocab` without an end, cut at `max_length`.
    /// It keeps the weights that predict `valid` best; without `valid` a share of `train` is held
    /// out for that ([`LanguageModelConfig::held_out`]).
    ///
    /// Every draw is named by `key`, and the bits of the model do not depend on the number of
    /// threads.
    ///
    /// # Errors
    /// [`Error::Config`] when the configuration cannot work, [`Error::Texts`] when a set has no
    /// texts, only empty ones, tokens outside of the vocabulary, or a single text where a share is
    /// to be held out; [`Error::Diverged`] when the loss is not a number; [`Error::Interrupted`]
    /// when `progress` asks to stop.
    pub fn train(
        config: &LanguageModelConfig,
        train: &[Vec<u32>],
        valid: Option<&[Vec<u32>]>,
        vocab: usize,
        max_length: usize,
        key: &Key,
        progress: &dyn Progress,
    ) -> Result<Self> {
        config.validate()?;
        texts::check("training texts", train, vocab)?;
        let [train, valid] = match valid {
            Some(valid) => [train.to_vec(), valid.to_vec()],
            None => hold_out(train, config.held_out, &key.child("held-out"))?,
        };
        texts::check("training texts", &train, vocab)?;
        texts::check("validation texts", &valid, vocab)?;

        let sizes = Sizes { vocab, labels: 0, max_length };
        let noise = NoiseConfig { dimension: 0, ..NoiseConfig::default() };
        let init = key.child("init");
        let generator = build_generator(&config.network(), &noise, &sizes, &init, &Device::Cpu)?;
        let student = Student { generator: &*generator, train: &train, valid: &valid };
        let fitted = fit(&student, &config.fit, &key.child("fit"), progress)?;
        let (config, training_texts) = (config.clone(), train.len());
        Ok(Self { generator, config, key: *key, training_texts, fitted })
    }

    /// What each of `rows` costs, its end counted; `texts` says which they are, for messages.
    /// What is beyond the greatest length is left out, and so is the end of such a text.
    ///
    /// # Errors
    /// [`Error::Texts`] when there are no texts, only empty ones, tokens outside of the vocabulary,
    /// or a text whose probability is not a number.
    pub fn score(&self, texts: &'static str, rows: &[Vec<u32>]) -> Result<Likelihood> {
        texts::check(texts, rows, self.generator.sizes().vocab)?;
        let likelihood = score(&*self.generator, rows)?;
        match likelihood.nll.iter().position(|nll| !nll.is_finite()) {
            Some(row) => {
                let message = format!(
                    "text {row} (counted from 0) has a probability that is not a number; lower \
                     `learning_rate`"
                );
                Err(Error::Texts { texts, message })
            }
            None => Ok(likelihood),
        }
    }

    /// Everything that two scores must share to be comparable, beside the texts that are scored: the
    /// configuration, the seed as the first bytes of its key, and the number of training texts.
    pub fn protocol(&self) -> String {
        let [a, b, c, d, ..] = self.key.as_bytes();
        format!(
            "{}|seed:{a:02x}{b:02x}{c:02x}{d:02x}|training-texts:{}",
            self.config.name(),
            self.training_texts
        )
    }

    /// How many texts it learned from, those that were held out not counted.
    pub fn training_texts(&self) -> usize {
        self.training_texts
    }

    /// Passes over the training texts up to the weights that were kept.
    pub fn epochs(&self) -> f64 {
        let read = self.fitted.kept_step as f64 * self.config.fit.batch_size as f64;
        read / self.training_texts as f64
    }

    /// The lowest loss of the validation texts, in nats per token: that of the weights it has.
    pub fn validation_loss(&self) -> f64 {
        self.fitted.loss
    }
}

/// A seeded cut of `rows` into those to learn from and a `share` to watch by, at least one each.
fn hold_out(rows: &[Vec<u32>], share: f64, key: &Key) -> Result<[Vec<Vec<u32>>; 2]> {
    if rows.len() < 2 {
        let message = "a single one leaves none to hold out; give at least 2".to_owned();
        return Err(Error::Texts { texts: "training texts", message });
    }
    let mut rows = rows.to_vec();
    key.stream().shuffle(&mut rows);
    let held_out = (rows.len() as f64 * share).round() as usize;
    let valid = rows.split_off(rows.len() - held_out.clamp(1, rows.len() - 1));
    Ok([rows, valid])
}

/// A generator without noise, and what it learns from.
struct Student<'a> {
    generator: &'a dyn Generator,
    train: &'a [Vec<u32>],
    valid: &'a [Vec<u32>],
}

impl Learner for Student<'_> {
    const NAME: &'static str = "language model";

    fn parameters(&self) -> &Parameters {
        self.generator.parameters()
    }

    fn lengths(&self) -> Vec<usize> {
        self.train.iter().map(Vec::len).collect()
    }

    /// Nats per token.
    fn loss(&self, rows: &[usize], dropout: &Key) -> Result<Tensor> {
        let sequences = sequences(self.generator, self.train, rows)?;
        let noise = no_noise(rows.len())?;
        let context = Context { noise: &noise, labels: None };
        let hidden = self.generator.hidden(&context, &sequences, Mode::Train(dropout))?;
        let hidden = hidden.flatten_to(1).map_err(textgan_nn::Error::from)?;
        let share = 1.0 / sequences.tokens() as f32;
        let weights: Vec<f32> = sequences.weights().iter().map(|weight| weight * share).collect();
        let head = self.generator.head();
        Ok(ops::head_cross_entropy(&hidden, head, sequences.targets(), &weights, Precision::F32)?
            .loss)
    }

    fn held_out_loss(&self) -> Result<f64> {
        Ok(score(self.generator, self.valid)?.per_token())
    }
}

/// Texts that are scored at once.
const BATCH: usize = 64;

fn score(generator: &dyn Generator, rows: &[Vec<u32>]) -> Result<Likelihood> {
    // Texts of like length are read together, so that little of a batch is padding.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| rows[row].len());
    let mut likelihood = Likelihood { nll: vec![0.0; rows.len()], tokens: vec![0; rows.len()] };
    for chunk in order.chunks(BATCH) {
        let sequences = sequences(generator, rows, chunk)?;
        let noise = no_noise(chunk.len())?;
        let context = Context { noise: &noise, labels: None };
        let log_probs = token_log_probs(generator, &context, &sequences)?;
        let scored = log_probs.chunks_exact(sequences.time()).zip(sequences.lengths());
        for (&row, (log_probs, &length)) in chunk.iter().zip(scored) {
            likelihood.nll[row] =
                -log_probs[..length].iter().map(|&log_prob| f64::from(log_prob)).sum::<f64>();
            likelihood.tokens[row] = length;
        }
    }
    Ok(likelihood)
}

fn sequences(generator: &dyn Generator, rows: &[Vec<u32>], chosen: &[usize]) -> Result<Sequences> {
    let rows: Vec<&[u32]> = chosen.iter().map(|&row| rows[row].as_slice()).collect();
    Ok(Sequences::from_rows(&rows, None, generator.sizes().max_length)?)
}

/// Noise of no dimension, `[rows, 0]`.
fn no_noise(rows: usize) -> Result<Tensor> {
    Ok(Tensor::zeros((rows, 0), DType::F32, &Device::Cpu).map_err(textgan_nn::Error::from)?)
}
