use textgan_models::{Conditions, NoiseConfig, Sampler, SamplingOptions, sample};
use textgan_random::Key;

use crate::{Error, Model, Options, Result};

/// Sequences as they were sampled: token ids, their probabilities and what they were made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawn {
    /// Content tokens of each row, the prompt included.
    pub tokens: Vec<Vec<u32>>,
    /// Whether the row was ended by the model; `false` where it was cut at the greatest length.
    pub ended: Vec<bool>,
    /// Log-probability (nats) of each token of each row under the model itself, at temperature 1
    /// and without truncation; the end is the last one where the row was ended.
    pub log_probs: Vec<Vec<f32>>,
    /// Noise, `[rows, noise]`.
    pub noise: Vec<f32>,
    /// One label a row, for a model with labels.
    pub labels: Option<Vec<u32>>,
}

impl Drawn {
    /// The noise vector of a row.
    pub fn noise_of(&self, row: usize) -> &[f32] {
        let dimension = self.noise.len() / self.tokens.len().max(1);
        &self.noise[row * dimension..][..dimension]
    }

    /// Exchanges a row for that of `other`, which has the same labels.
    fn take(&mut self, row: usize, other: &Self) {
        self.tokens[row] = other.tokens[row].clone();
        self.ended[row] = other.ended[row];
        self.log_probs[row] = other.log_probs[row].clone();
        let dimension = self.noise.len() / self.tokens.len().max(1);
        let noise = row * dimension..(row + 1) * dimension;
        self.noise[noise.clone()].copy_from_slice(&other.noise[noise]);
    }

    fn append(&mut self, next: Self) {
        self.tokens.extend(next.tokens);
        self.ended.extend(next.ended);
        self.log_probs.extend(next.log_probs);
        self.noise.extend(next.noise);
        if let Some(labels) = next.labels {
            self.labels.get_or_insert_default().extend(labels);
        }
    }
}

/// Which label each row gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels<'a> {
    /// The model takes none.
    None,
    /// All rows the same.
    One(u32),
    /// Each label with the same probability, from the random stream of the row.
    Uniform,
    /// Row `i` the label at `i`, from the beginning again when they run out.
    Rows(&'a [u32]),
}

/// Samples rows by number; row `i` is always the same.
pub(crate) struct Source<'a> {
    sampler: Box<dyn Sampler>,
    options: SamplingOptions,
    prompt: Vec<u32>,
    noise: NoiseConfig,
    label_count: u64,
    key: &'a Key,
}

impl Model {
    /// Samples `count` sequences, as token ids.
    ///
    /// # Errors
    /// [`Error::Option`] for options that cannot work with this model.
    pub fn draw(
        &self,
        options: &Options,
        labels: Labels,
        key: &Key,
        count: usize,
    ) -> Result<Drawn> {
        let mut source = self.source(options, key)?;
        let mut drawn = Drawn::default();
        let mut first = 0;
        while first < count {
            let rows = options.batch_size.min(count - first);
            drawn.append(self.chosen(&mut source, options, first as u64, rows, labels)?);
            first += rows;
        }
        Ok(drawn)
    }

    /// Rows `first..first + rows`: of several candidates one each, or what the generator writes alone.
    pub(crate) fn chosen(
        &self,
        source: &mut Source<'_>,
        options: &Options,
        first: u64,
        rows: usize,
        labels: Labels<'_>,
    ) -> Result<Drawn> {
        let mut chosen = source.draw(first, rows, labels)?;
        if options.candidates == 1 {
            return Ok(chosen);
        }
        let Some(mut best) = self.whole_realness(&chosen)? else {
            let message =
                "there is no discriminator to choose by: the run has trained none; leave it out";
            return Err(Error::Option { key: "candidates", message: message.to_owned() });
        };
        // The largest of logits with Gumbel noise is a draw by their softmax, which needs no sum and so no
        // second look at candidates.
        let key = *source.key;
        let mut streams: Vec<_> =
            (first..).take(rows).map(|row| key.child("chosen").index(row).stream()).collect();
        best.iter_mut().zip(&mut streams).for_each(|(logit, stream)| *logit += stream.gumbel());
        for candidate in 1..options.candidates as u64 {
            let key = key.child("candidates").index(candidate);
            let noise = source.noise.draw(&key.child("noise"), first, rows);
            let drawn = source.draw_named(&key, noise, first, rows, chosen.labels.clone())?;
            let logits = self.whole_realness(&drawn)?.unwrap_or_default();
            for (row, (logit, stream)) in logits.into_iter().zip(&mut streams).enumerate() {
                let noisy = logit + stream.gumbel();
                if noisy > best[row] {
                    best[row] = noisy;
                    chosen.take(row, &drawn);
                }
            }
        }
        Ok(chosen)
    }

    pub(crate) fn source<'a>(&self, options: &Options, key: &'a Key) -> Result<Source<'a>> {
        options.validate()?;
        let prompt = match &options.prompt {
            Some(prompt) => self.prompt_tokens(prompt, options)?,
            None => Vec::new(),
        };
        Ok(Source {
            sampler: self.generator().sampler()?,
            options: options.sampling(),
            prompt,
            noise: self.generator().noise().clone(),
            label_count: self.labels().len() as u64,
            key,
        })
    }

    fn prompt_tokens(&self, prompt: &str, options: &Options) -> Result<Vec<u32>> {
        let refuse = |message| Err(Error::Option { key: "prompt", message });
        let tokens = self.tokenizer().encode(prompt)?;
        if tokens.contains(&textgan_tokenizer::special::UNKNOWN) {
            let known = self.tokenizer().decode(&tokens)?;
            return refuse(format!(
                "the vocabulary lacks a word of {prompt:?}, it reads {known:?}; use words of the \
                 training text"
            ));
        }
        let limit = self.generator().sizes().max_length;
        let limit = options.max_length.map_or(limit, |length| length.min(limit));
        if tokens.len() >= limit {
            return refuse(format!(
                "{} tokens leave nothing to continue in texts of at most {limit}; shorten it",
                tokens.len()
            ));
        }
        Ok(tokens)
    }
}

impl Source<'_> {
    /// Rows `first..first + rows`, sampled together.
    pub(crate) fn draw(&mut self, first: u64, rows: usize, labels: Labels) -> Result<Drawn> {
        let noise = self.noise.draw(&self.key.child("noise"), first, rows);
        let labels = self.labels(first, rows, labels);
        self.draw_from(noise, first, rows, labels)
    }

    /// Rows from these noise vectors, `[rows, noise]`.
    pub(crate) fn draw_from(
        &mut self,
        noise: Vec<f32>,
        first: u64,
        rows: usize,
        labels: Option<Vec<u32>>,
    ) -> Result<Drawn> {
        let key = *self.key;
        self.draw_named(&key, noise, first, rows, labels)
    }

    /// The same, with the picks of tokens named by another key.
    fn draw_named(
        &mut self,
        key: &Key,
        noise: Vec<f32>,
        first: u64,
        rows: usize,
        labels: Option<Vec<u32>>,
    ) -> Result<Drawn> {
        let conditions = Conditions { rows, noise: &noise, labels: labels.as_deref() };
        let samples = sample(
            &mut *self.sampler,
            &conditions,
            &self.prompt,
            &self.options,
            &key.child("tokens"),
            first,
        )?;
        Ok(Drawn {
            tokens: samples.tokens,
            ended: samples.ended,
            log_probs: samples.log_probs,
            noise,
            labels,
        })
    }

    pub(crate) fn labels(&self, first: u64, rows: usize, labels: Labels) -> Option<Vec<u32>> {
        let numbers = first..first + rows as u64;
        match labels {
            Labels::None => None,
            Labels::One(label) => Some(vec![label; rows]),
            Labels::Uniform => {
                let key = self.key.child("labels");
                let draw = |row| key.index(row).stream().below(self.label_count) as u32;
                Some(numbers.map(draw).collect())
            }
            Labels::Rows(given) => {
                Some(numbers.map(|row| given[row as usize % given.len()]).collect())
            }
        }
    }
}
