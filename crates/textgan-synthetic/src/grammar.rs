use crate::Error;
use crate::automaton::{Automaton, END};
use crate::belief::Belief;
use crate::plain::{self, Plain};
use crate::source::Source;
use crate::statistics::Statistics;
use std::collections::HashMap;
use std::sync::LazyLock;
use textgan_random::Stream;

/// The grammar of the built-in corpus, as text.
pub(crate) const CAPTIONS: &str = include_str!("../captions.toml");

static EMBEDDED: LazyLock<Grammar> = LazyLock::new(|| {
    Grammar::from_toml(CAPTIONS)
        .expect("the embedded grammar is valid: `tests/captions.rs` loads it")
});

/// A probabilistic grammar of finitely many sentences, about which everything is known exactly.
///
/// Sentences are words separated by single spaces. All logarithms are natural: a log-probability
/// is in nats for the whole sentence, its end included.
pub struct Grammar {
    name: String,
    words: Vec<String>,
    ids: HashMap<String, u32>,
    labels: Vec<String>,
    /// One for each label, or a single one.
    priors: Vec<f64>,
    /// How many alternatives each symbol has, in the order of the automaton's choices.
    pub(crate) alternatives: Vec<u32>,
    pub(crate) automaton: Automaton,
    pub(crate) statistics: Statistics,
}

impl Grammar {
    /// The built-in caption grammar (`captions.toml`), with the labels `indoors` and `outdoors`.
    pub fn embedded() -> &'static Self {
        &EMBEDDED
    }

    /// The built-in caption grammar's own text, a worked example of the format.
    pub fn embedded_toml() -> &'static str {
        CAPTIONS
    }

    /// Reads a grammar; the format is described in the crate's README.
    ///
    /// # Errors
    /// TOML that cannot be read, unknown keys, symbols that are undefined, unused or recursive, and
    /// grammars too large for memory.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let source = Source::parse(text)?;
        let plain = plain::bind(&source)?;
        let automaton = Automaton::build(&plain)?;
        let Plain { symbols, words, starts } = plain;
        let priors: Vec<f64> = starts.iter().map(|s| s.probability).collect();
        let alternatives: Vec<u32> = symbols.iter().map(|s| s.alternatives.len() as u32).collect();
        let choices = alternatives.iter().sum::<u32>() as usize;
        let statistics = Statistics::new(&automaton, &priors, words.len(), choices);
        let ids = words.iter().enumerate().map(|(i, word)| (word.clone(), i as u32)).collect();
        let labels = starts.into_iter().filter_map(|s| s.label).collect();
        Ok(Self {
            name: source.name,
            words,
            ids,
            labels,
            priors,
            alternatives,
            automaton,
            statistics,
        })
    }

    /// The grammar's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The labels, in the order of the file; empty when the grammar has none.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The probability of each label, in the order of [`Grammar::labels`].
    pub fn label_probabilities(&self) -> &[f64] {
        if self.labels.is_empty() { &[] } else { &self.priors }
    }

    /// Every word with the number of times it is expected in a sentence, most frequent first.
    pub fn vocabulary(&self) -> Vec<(&str, f64)> {
        let mut words: Vec<(&str, f64)> = self
            .words
            .iter()
            .map(String::as_str)
            .zip(self.statistics.word_counts.iter().copied())
            .collect();
        words.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        words
    }

    /// Draws a sentence and its label (if the grammar has labels). One draw of `stream` for the
    /// label and one a word, the end included.
    pub fn sample(&self, stream: &mut Stream) -> (String, Option<&str>) {
        let start = pick(self.priors.iter().copied(), stream);
        let text = self.sample_from(start, stream);
        (text, self.labels.get(start).map(String::as_str))
    }

    /// Draws a sentence of one label.
    ///
    /// # Errors
    /// A label that the grammar does not have.
    pub fn sample_with_label(&self, label: &str, stream: &mut Stream) -> Result<String, Error> {
        Ok(self.sample_from(self.label_index(label)?, stream))
    }

    fn sample_from(&self, start: usize, stream: &mut Stream) -> String {
        let mut text = String::new();
        let mut state = self.automaton.starts[start];
        loop {
            let arcs = self.automaton.arcs(state);
            let arc = &arcs[pick(arcs.iter().map(|arc| arc.probability), stream)];
            if arc.word == END {
                return text;
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&self.words[arc.word as usize]);
            state = arc.next;
        }
    }

    /// The exact log-probability of a sentence in nats, summed over all its derivations and
    /// labels; `None` when it is not a sentence of the grammar.
    pub fn log_prob(&self, sentence: &str) -> Option<f64> {
        self.explain(sentence).ok()
    }

    /// The exact log-probability of a sentence under one label, in nats.
    ///
    /// # Errors
    /// A label that the grammar does not have.
    pub fn log_prob_given_label(&self, sentence: &str, label: &str) -> Result<Option<f64>, Error> {
        let start = self.label_index(label)?;
        Ok(self.log_prob_from(start, sentence))
    }

    fn log_prob_from(&self, start: usize, sentence: &str) -> Option<f64> {
        let mut belief = Belief::new(&self.automaton, [(self.automaton.starts[start], 1.0)]);
        let mut log_prob = 0.0;
        for word in sentence.split_whitespace() {
            log_prob += belief.advance(*self.ids.get(word)?)?;
        }
        Some(log_prob + belief.advance(END)?)
    }

    /// The probability of each label given the sentence, in the order of [`Grammar::labels`];
    /// `None` when it is not a sentence of the grammar or the grammar has no labels.
    pub fn label_posterior(&self, sentence: &str) -> Option<Vec<f64>> {
        let joint: Vec<f64> = (0..self.labels.len())
            .map(|i| self.log_prob_from(i, sentence).map_or(0.0, |l| self.priors[i] * l.exp()))
            .collect();
        let total: f64 = joint.iter().sum();
        (total > 0.0).then(|| joint.iter().map(|p| p / total).collect())
    }

    /// Whether the grammar can say this sentence.
    pub fn grammatical(&self, sentence: &str) -> bool {
        self.log_prob(sentence).is_some()
    }

    /// The exact distribution of the next word after a prefix, most likely first; `None` in the
    /// place of a word is the end of the sentence. `None` when no sentence begins like this.
    pub fn next_words(&self, prefix: &str) -> Option<Vec<(Option<&str>, f64)>> {
        let mut belief = self.belief();
        for word in prefix.split_whitespace() {
            belief.advance(*self.ids.get(word)?)?;
        }
        let mut next: Vec<(Option<&str>, f64)> =
            belief.next().into_iter().map(|(word, p)| (self.word(word), p)).collect();
        next.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Some(next)
    }

    /// The exact entropy of a sentence in nats: the smallest mean negative log-likelihood that any
    /// model of this corpus can reach.
    ///
    /// # Errors
    /// When a sentence has two derivations or two labels, the entropy of derivations, which is
    /// what can be computed, is larger than that of sentences: see [`Grammar::estimate_entropy`].
    pub fn entropy(&self) -> Result<f64, Error> {
        match crate::ambiguity::witness(&self.automaton) {
            None => Ok(self.statistics.derivation_entropy),
            Some(words) => {
                let sentence =
                    words.iter().filter_map(|&w| self.word(w)).collect::<Vec<_>>().join(" ");
                Err(Error::Ambiguous { sentence })
            }
        }
    }

    /// The entropy of a sentence in nats estimated from fresh samples, with its standard error.
    ///
    /// # Errors
    /// Fewer than two samples: there is no standard error then.
    pub fn estimate_entropy(&self, samples: usize, stream: &mut Stream) -> Result<Estimate, Error> {
        if samples < 2 {
            return Err(Error::NoSamples);
        }
        let losses: Vec<f64> = (0..samples)
            .filter_map(|_| self.log_prob(&self.sample(stream).0))
            .map(|l| -l)
            .collect();
        let n = losses.len() as f64;
        let mean = losses.iter().sum::<f64>() / n;
        let variance = losses.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Ok(Estimate { mean, standard_error: (variance / n).sqrt() })
    }

    /// The exact distribution of the number of words: element `n` is the probability of a
    /// sentence of `n` words.
    pub fn length_distribution(&self) -> &[f64] {
        &self.statistics.lengths
    }

    /// The exact mean number of words of a sentence.
    pub fn mean_length(&self) -> f64 {
        self.statistics.word_counts.iter().sum()
    }

    /// The word of an arc; `None` for the end.
    pub(crate) fn word(&self, word: u32) -> Option<&str> {
        self.words.get(word as usize).map(String::as_str)
    }

    pub(crate) fn word_id(&self, word: &str) -> Option<u32> {
        self.ids.get(word).copied()
    }

    /// Where a sentence of unknown label may begin.
    pub(crate) fn belief(&self) -> Belief<'_> {
        let starts = self.automaton.starts.iter().copied();
        Belief::new(&self.automaton, starts.zip(self.priors.iter().copied()))
    }

    /// The probability of each start, labels or not.
    pub(crate) fn priors(&self) -> &[f64] {
        &self.priors
    }

    fn label_index(&self, label: &str) -> Result<usize, Error> {
        self.labels.iter().position(|l| l == label).ok_or_else(|| Error::UnknownLabel {
            label: label.to_owned(),
            known: self.labels.join(", "),
        })
    }
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammar")
            .field("name", &self.name)
            .field("words", &self.words.len())
            .field("labels", &self.labels)
            .field("states", &self.automaton.states())
            .finish_non_exhaustive()
    }
}

/// A mean over samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error.
    pub standard_error: f64,
}

/// Draws an index with these probabilities, which sum to 1 up to rounding.
fn pick(probabilities: impl Iterator<Item = f64>, stream: &mut Stream) -> usize {
    let mut left = stream.uniform_f64();
    let mut last = 0;
    for (index, probability) in probabilities.enumerate() {
        last = index;
        left -= probability;
        if left < 0.0 {
            break;
        }
    }
    last
}
