//! Sentence embeddings of a BERT encoder that a folder holds.

mod bert;
mod folder;
#[cfg(feature = "hub")]
pub mod hub;
mod tensors;

use std::path::Path;

use rayon::prelude::*;
use tokenizers::Tokenizer;

use crate::{Error, Result};
use bert::Bert;
use folder::{Folder, Pooling};

/// Tokens that go through the layers together, or one longer sentence: enough for the weights,
/// which are read once for all of them, and few enough for a cache to hold what lies between two
/// layers. Speed only: no bit depends on it.
const BATCH: usize = 384;

/// An encoder of sentences: BERT (Devlin et al., 2019), then one row of numbers for all of a
/// sentence (Reimers and Gurevych, 2019), as in the models of sentence-transformers.
///
/// The rows equal those of sentence-transformers up to rounding. Their bits depend neither on the
/// number of threads nor on which other texts are encoded in the same call: sentences are never
/// padded, and every sum is one of a single sentence.
///
/// ```no_run
/// use std::path::Path;
/// use textgan_evaluate::embedding::{Embeddings, SentenceEncoder, frechet_distance};
///
/// let encoder = SentenceEncoder::load(Path::new("all-MiniLM-L6-v2"))?;
/// let real = encoder.encode(&["a dog on a bed .", "a cat on a mat ."])?;
/// let fake = encoder.encode(&["a dog on a dog .", "a mat on a cat ."])?;
/// let real = Embeddings::new(&real, encoder.dimensions())?;
/// let fake = Embeddings::new(&fake, encoder.dimensions())?;
/// println!("{}: {}", encoder.name(), frechet_distance(real, fake)?);
/// # Ok::<(), textgan_evaluate::Error>(())
/// ```
pub struct SentenceEncoder {
    name: String,
    tokenizer: Tokenizer,
    lower_case: bool,
    max_tokens: usize,
    bert: Bert,
    pooling: Pooling,
    normalize: bool,
}

impl SentenceEncoder {
    /// Loads a folder in the layout of sentence-transformers: `config.json`, `model.safetensors` and
    /// `tokenizer.json`, and where they are present `modules.json` with what it names,
    /// `sentence_bert_config.json`, `config_sentence_transformers.json` and `tokenizer_config.json`.
    ///
    /// Without `modules.json` the mean of the tokens is the embedding, and is not normalised.
    ///
    /// # Errors
    /// A file that is missing or cannot be read, weights that are there as a pickle only, a
    /// setting that this encoder has not (pooling other than mean and CLS, further modules, a
    /// default prompt, an architecture or activation other than BERT's), or weights that do not fit
    /// the configuration.
    pub fn load(folder: &Path) -> Result<Self> {
        let Folder { name, config, tensors, tokenizer, lower_case, max_tokens, pooling, normalize } =
            Folder::read(folder)?;
        let bert = Bert::new(&config, &tensors)?;
        Ok(Self { name, tokenizer, lower_case, max_tokens, bert, pooling, normalize })
    }

    /// What to store with every number that was measured in these embeddings: `bert-384-` and twelve
    /// hexadecimal digits of a hash of the weights, the configuration, the tokenizer and how
    /// sentences are cut, pooled and normalised.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Numbers of an embedding.
    pub fn dimensions(&self) -> usize {
        self.bert.width()
    }

    /// Tokens after which a sentence is cut, the first and the last, which are the encoder's own,
    /// counted.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The embeddings, `[texts, dimensions]`, in the order of the texts.
    ///
    /// # Errors
    /// A text that the tokenizer refuses.
    pub fn encode<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<f32>> {
        let sentences: Vec<Vec<u32>> =
            texts.par_iter().map(|text| self.tokens(text.as_ref())).collect::<Result<_>>()?;
        let width = self.dimensions();
        let mut embeddings = vec![0.0; texts.len() * width];
        let mut batches = Vec::new();
        let (mut sentences, mut rows) = (sentences.as_slice(), embeddings.as_mut_slice());
        while !sentences.is_empty() {
            let (batch, later) = sentences.split_at(batch(sentences));
            let (to, later_rows) = rows.split_at_mut(batch.len() * width);
            batches.push((batch, to));
            (sentences, rows) = (later, later_rows);
        }
        batches.into_par_iter().for_each(|(batch, rows)| self.embed(batch, rows));
        Ok(embeddings)
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = match self.lower_case {
            true => self.tokenizer.encode_fast(text.to_lowercase(), true),
            false => self.tokenizer.encode_fast(text, true),
        };
        let refused = |source: tokenizers::Error| Error::EncoderText {
            encoder: self.name.clone(),
            text: text.to_owned(),
            problem: source.to_string(),
        };
        Ok(encoding.map_err(refused)?.get_ids().to_vec())
    }

    /// Writes the embeddings of some sentences, `[sentences, dimensions]`, which are zeros before.
    fn embed(&self, sentences: &[Vec<u32>], rows: &mut [f32]) {
        let width = self.dimensions();
        let hidden = self.bert.forward(sentences);
        let mut states = hidden.chunks_exact(width);
        for (sentence, row) in sentences.iter().zip(rows.chunks_exact_mut(width)) {
            let pooled = match self.pooling {
                Pooling::Mean => sentence.len(),
                Pooling::First => sentence.len().min(1),
            };
            for (i, state) in states.by_ref().take(sentence.len()).enumerate() {
                if i < pooled {
                    row.iter_mut().zip(state).for_each(|(sum, x)| *sum += x);
                }
            }
            // A tokenizer without tokens of its own leaves an empty text empty: a row of zeros.
            let mut scale = 1.0 / pooled.max(1) as f32;
            if self.normalize {
                scale = 1.0 / row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            }
            row.iter_mut().for_each(|x| *x *= scale);
        }
    }
}

/// How many of the first sentences make a batch; at least one.
fn batch(sentences: &[Vec<u32>]) -> usize {
    let mut tokens = 0;
    let fits = |sentence: &&Vec<u32>| {
        tokens += sentence.len();
        tokens <= BATCH
    };
    sentences.iter().take_while(fits).count().max(1)
}
