//! textgan's generators, tokenizers and metrics in Python. The README has every call.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use textgan_generate::textgan_artifact::table::Sample;
use textgan_generate::Options;
use textgan_metrics::{References, self_bleu};

/// The orders of BLEU and Self-BLEU.
const BLEU: std::ops::RangeInclusive<usize> = 2..=5;
/// The orders of distinct n-grams.
const DISTINCT: std::ops::RangeInclusive<usize> = 1..=4;

fn refused(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A trained generator, and whoever judges its texts.
#[pyclass(frozen)]
struct Model {
    model: textgan_generate::Model,
}

#[pymethods]
impl Model {
    /// Reads a model folder, and a discriminator's or a language model's beside it.
    #[new]
    #[pyo3(signature = (folder, *, discriminator = None, language_model = None))]
    fn new(
        folder: PathBuf,
        discriminator: Option<PathBuf>,
        language_model: Option<PathBuf>,
    ) -> PyResult<Self> {
        let mut model = textgan_generate::Model::load(folder).map_err(refused)?;
        if let Some(folder) = discriminator {
            model = model.with_discriminator(folder).map_err(refused)?;
        }
        if let Some(folder) = language_model {
            model = model.with_language_model(folder).map_err(refused)?;
        }
        Ok(Self { model })
    }

    /// The names of the labels; none of a model without.
    #[getter]
    fn labels(&self) -> Vec<String> {
        self.model.labels().to_vec()
    }

    /// Length of a noise vector; 0 of a model that takes none.
    #[getter]
    fn noise_dimension(&self) -> usize {
        self.model.generator().noise().dimension
    }

    /// The most tokens of a text.
    #[getter]
    fn max_length(&self) -> usize {
        self.model.generator().sizes().max_length
    }

    /// Texts as dicts: `text`, `tokens`, `label`, `noise`, `log_prob`, `token_log_probs`, `realness`,
    /// `token_realness`. With `noise`, a list of vectors, one text of each.
    #[pyo3(signature = (count = 16, *, seed = 0, temperature = 1.0, greedy = false, top_k = None, top_p = None, min_p = None,
        label = None, prompt = None, candidates = 1, noise = None))]
    #[allow(clippy::too_many_arguments)]
    fn generate<'py>(
        &self,
        py: Python<'py>,
        count: usize,
        seed: u64,
        temperature: f32,
        greedy: bool,
        top_k: Option<usize>,
        top_p: Option<f32>,
        min_p: Option<f32>,
        label: Option<String>,
        prompt: Option<String>,
        candidates: usize,
        noise: Option<Vec<Vec<f32>>>,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let options = Options {
            count: noise.as_ref().map_or(count, Vec::len),
            seed: Some(seed),
            temperature: Some(temperature),
            greedy,
            top_k,
            top_p,
            min_p,
            label,
            prompt,
            candidates,
            ..Options::default()
        };
        let dimension = self.noise_dimension();
        if let Some(row) = noise.iter().flatten().find(|row| row.len() != dimension) {
            return Err(refused(format!("noise: a vector has {} numbers, not {dimension}", row.len())));
        }
        // Others may run while it computes.
        let samples = py.detach(|| match noise {
            Some(rows) => {
                let key = options.key(None);
                self.model.generate_from(rows.concat(), options.count, &options, &key)
            }
            None => self.model.generate(&options),
        });
        samples.map_err(refused)?.into_iter().map(|sample| self.dict(py, sample)).collect()
    }

    /// How real a text looks: a dict of `realness`, the logit of the whole, `token_realness`, after each token and
    /// the end, and `tokens`; `None` without anybody to judge.
    #[pyo3(signature = (text, *, label = None))]
    fn judge<'py>(
        &self,
        py: Python<'py>,
        text: &str,
        label: Option<&str>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let judged = py.detach(|| self.model.judge(text, label)).map_err(refused)?;
        let Some(judged) = judged else { return Ok(None) };
        let dict = PyDict::new(py);
        dict.set_item("tokens", judged.tokens)?;
        dict.set_item("realness", judged.realness)?;
        dict.set_item("token_realness", judged.token_realness)?;
        Ok(Some(dict))
    }
}

impl Model {
    fn dict<'py>(&self, py: Python<'py>, sample: Sample) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let label = sample.label.and_then(|id| self.model.labels().get(id as usize).cloned());
        dict.set_item("text", sample.text)?;
        dict.set_item("tokens", sample.tokens)?;
        dict.set_item("label", label)?;
        dict.set_item("noise", sample.noise)?;
        dict.set_item("log_prob", sample.log_prob)?;
        dict.set_item("token_log_probs", sample.token_log_probs)?;
        dict.set_item("realness", sample.realness)?;
        dict.set_item("token_realness", sample.token_realness)?;
        Ok(dict)
    }
}

/// A vocabulary.
#[pyclass(frozen)]
struct Tokenizer {
    tokenizer: textgan_tokenizer::Tokenizer,
}

#[pymethods]
impl Tokenizer {
    /// Reads a `tokenizer.json`.
    #[new]
    fn new(file: PathBuf) -> PyResult<Self> {
        Ok(Self { tokenizer: textgan_tokenizer::Tokenizer::load(file).map_err(refused)? })
    }

    /// The number of tokens.
    #[getter]
    fn vocab_size(&self) -> usize {
        self.tokenizer.vocab_size()
    }

    /// The tokens of a text, without begin and end.
    fn encode(&self, text: &str) -> PyResult<Vec<u32>> {
        self.tokenizer.encode(text).map_err(refused)
    }

    /// The text of tokens.
    fn decode(&self, tokens: Vec<u32>) -> PyResult<String> {
        self.tokenizer.decode(&tokens).map_err(refused)
    }
}

/// A sentence: a string, whose words are what white space parts, or a list of words.
#[derive(FromPyObject)]
enum Sentence {
    Text(String),
    Words(Vec<String>),
}

/// Numbers for words, shared by samples and references. What is unknown matches nothing, itself least of all.
#[derive(Default)]
struct Numbers {
    known: HashMap<String, u32>,
    next: u32,
}

impl Numbers {
    fn of(&mut self, sentences: &[Sentence]) -> Vec<Vec<u32>> {
        let mut number = |word: &str| {
            if word != "<unk>" && let Some(known) = self.known.get(word) {
                return *known;
            }
            let next = self.next;
            self.next += 1;
            if word != "<unk>" {
                self.known.insert(word.to_owned(), next);
            }
            next
        };
        let each = sentences.iter().map(|sentence| match sentence {
            Sentence::Text(text) => text.split_whitespace().map(&mut number).collect(),
            Sentence::Words(words) => words.iter().map(|word| number(word)).collect(),
        });
        each.collect()
    }
}

/// By order, as text: `{"2": .., "3": ..}`.
type ByOrder = BTreeMap<String, f64>;

/// BLEU against the references, Self-BLEU (exact: each sample against all others) and distinct n-grams, each by its
/// order.
#[pyfunction]
fn score(
    py: Python<'_>,
    samples: Vec<Sentence>,
    references: Vec<Sentence>,
) -> PyResult<BTreeMap<&'static str, ByOrder>> {
    let mut numbers = Numbers::default();
    let (samples, references) = (numbers.of(&samples), numbers.of(&references));
    let measured = py.detach(|| {
        let most = *BLEU.end();
        let bleu = References::new(&references, most)?.score(&samples)?.mean();
        let own = self_bleu(&samples, most)?;
        let orders = |scores: &[f64]| BLEU.map(|n| (n.to_string(), scores[n - 1])).collect();
        let distinct = DISTINCT.map(|n| Ok((n.to_string(), textgan_metrics::distinct_n(&samples, n)?)));
        let distinct: Result<ByOrder, textgan_metrics::Error> = distinct.collect();
        Ok([("bleu", orders(&bleu)), ("self_bleu", orders(&own)), ("distinct", distinct?)].into())
    });
    measured.map_err(|error: textgan_metrics::Error| refused(error))
}

/// Generators, tokenizers and metrics of textgan.
#[pymodule]
mod textgan {
    #[pymodule_export]
    use super::{Model, Tokenizer, score};
}
