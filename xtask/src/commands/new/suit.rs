//! What suits a text: tokens, lengths, networks, and how long to train.

use anyhow::Result;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use textgan_artifact::table::Document;
use textgan_corpus::{Encoding, Label, Unit};

use super::look::Looked;
use crate::terminal::counted;

/// Numbers that a config is made from.
pub struct Suited {
    documents: usize,
    duplicates: usize,
    /// What the text is made of, as a reader counts it: how many, of what, and how many different ones.
    made_of: (usize, &'static str, usize),
    tokens: Tokens,
    max_length: usize,
    /// Mean tokens of a document, about.
    mean: f64,
    width: usize,
    batch: usize,
    epochs: u64,
    /// Part of the text for each of the held-out splits.
    held_out: f64,
    sentences: bool,
    by_sentence: bool,
    labels: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tokens {
    Character,
    Word,
    Bpe(usize),
}

/// Weights of an LSTM of width `w` that are multiplied a token, without vocabulary: `8 w^2`.
const TOKENS_A_SECOND: f64 = 150_000.0;
/// Seconds that likelihood may take, about.
const PATIENCE: f64 = 240.0;

impl Suited {
    pub fn to(documents: &[Document], sentences: bool, by_sentence: bool) -> Self {
        let count = documents.len();
        let texts = || documents.iter().map(|document| document.text.as_str());
        let unique: HashSet<&str> = texts().collect();
        let mut frequency: HashMap<&str, usize> = HashMap::new();
        for word in texts().flat_map(str::split_whitespace) {
            *frequency.entry(word).or_default() += 1;
        }
        let words: usize = frequency.values().sum();
        let characters: usize = texts().map(|text| text.chars().count()).sum();
        let marks = [".", ",", "!", "?", "''", "``"];
        let parted: usize = marks.iter().filter_map(|mark| frequency.get(mark)).sum();
        // About as many of the words to come are unknown as of these there is one.
        let single = frequency.values().filter(|&&count| count == 1).count();
        let a_document = words as f64 / count.max(1) as f64;
        let has_spaces = words * 12 > characters;
        let tokens = match () {
            // No words to speak of, or too few to know most of those to come.
            () if !has_spaces || a_document < 2.5 || words < 3_000 => Tokens::Character,
            () if parted * 40 > words && single * 50 < words => Tokens::Word,
            () => Tokens::Bpe((frequency.len() / 2).clamp(500, 8_000).min(words / 8)),
        };
        let made_of = match has_spaces && a_document >= 2.5 {
            true => (words, "word", frequency.len()),
            false => {
                let different: HashSet<char> = texts().flat_map(str::chars).collect();
                (characters, "character", different.len())
            }
        };
        let length = |text: &str| match tokens {
            Tokens::Character => text.chars().count(),
            Tokens::Word => text.split_whitespace().count(),
            Tokens::Bpe(_) => text.split_whitespace().count() * 8 / 5 + 1,
        };
        let mut lengths: Vec<usize> = texts().map(length).collect();
        lengths.sort_unstable();
        let most = lengths.get(lengths.len().saturating_sub(1) * 98 / 100).copied().unwrap_or(1);
        let limit = if tokens == Tokens::Character { 240 } else { 100 };
        let all: usize = lengths.iter().map(|&length| length.min(limit)).sum();
        let width = match all {
            0..20_000 => 48,
            20_000..300_000 => 96,
            _ => 160,
        };
        let seconds = all as f64 / (TOKENS_A_SECOND * (64.0 / width as f64).powi(2).min(1.0));
        let labels: HashSet<&str> =
            documents.iter().filter_map(|document| document.label.as_deref()).collect();
        Self {
            documents: count,
            duplicates: count - unique.len(),
            made_of,
            tokens,
            max_length: most.clamp(4, limit),
            mean: all as f64 / count.max(1) as f64,
            width,
            batch: (count / 12).clamp(4, 64),
            epochs: ((PATIENCE / seconds.max(1e-3)) as u64).clamp(4, 60),
            // A few hundred where there are enough, and some of everything.
            held_out: (500.0 / count.max(1) as f64).clamp(0.02, 0.12),
            sentences,
            by_sentence,
            labels: labels.len(),
        }
    }

    /// What was found and chosen, as lines to read.
    pub fn lines(&self) -> Vec<String> {
        let Self { documents, made_of: (units, unit, distinct), duplicates, .. } = self;
        let what = if self.sentences { "sentence" } else { "text" };
        let (texts, all) = (counted(*documents, what), counted(*units, unit));
        let mut lines = vec![format!("{texts}, {all}, {distinct} of them different")];
        if *duplicates > 0 {
            let repeats = counted(*duplicates, "repeat");
            lines.push(format!("{repeats} of a text before; exact duplicates are removed"));
        }
        if self.labels > 0 {
            lines.push(counted(self.labels, "label"));
        }
        if *documents < 1_000 {
            lines.push(
                "this is little to learn from: samples will be pieces of it, and measures of so few texts say little"
                    .to_owned(),
            );
        }
        let steps = self.epochs * (self.documents / self.batch).max(1) as u64;
        let factor = (self.width as f64 / 64.0).powi(2).max(1.0);
        let seconds = steps as f64 * self.batch as f64 * self.mean / TOKENS_A_SECOND * factor;
        let minutes = 3.0 * seconds / 60.0;
        lines.push(match minutes < 1.5 {
            true => "the whole run should take a minute or less on two cores".to_owned(),
            false => format!("the whole run should take about {minutes:.0} minutes on two cores"),
        });
        lines
    }

    /// The config, for a file in `folder`.
    ///
    /// # Errors
    /// A path that cannot be written relative to it.
    pub fn config(&self, looked: &Looked, from: &Path, folder: &Path) -> Result<String> {
        let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let path = crate::config::relative(folder, from);
        let mut source = format!("kind = \"files\", path = {}", quote(&path.to_string_lossy()));
        if looked.source.unit == Unit::Paragraph {
            source += ", unit = \"paragraph\"";
        }
        if looked.source.text != "text" {
            source += &format!(", text = {}", quote(&looked.source.text));
        }
        if let Some(Label::Column(label)) = &looked.source.label {
            source += &format!(", label = {{ column = {} }}", quote(label));
        }
        let encoding = match looked.encoding {
            Encoding::Strict => String::new(),
            other => format!("encoding = {}\n", quote(&String::from(other))),
        };
        let mut steps: Vec<String> = looked.steps().iter().map(|step| quote(step)).collect();
        if self.duplicates > 0 {
            steps.push(quote("exact-duplicates"));
        }
        steps.push(quote("cross-split"));
        let tokenizer = match self.tokens {
            Tokens::Character => "kind = \"character\"".to_owned(),
            Tokens::Word => {
                "kind = \"word\"\nmin_frequency = 2\nvocabulary_size = 20000".to_owned()
            }
            Tokens::Bpe(size) => format!("kind = \"byte-bpe\"\nvocabulary_size = {size}"),
        };
        let Self { max_length, width, batch, epochs, held_out, .. } = self;
        let samples = (self.documents / 2).clamp(100, 2_000);
        let batches = if samples < 500 { 5 } else { 10 };
        let model = width * 2;
        let steps = steps.join(", ");
        let by = if self.by_sentence { ", by = \"sentence\"" } else { "" };
        Ok(format!(
            r#"# Made by `cargo xtask new` from {from}. `cargo xtask config --show` explains every knob.
#
# A small LSTM turns noise into texts: it learns by maximum likelihood, then plays against a larger language
# model. The report says whether the game made it better than more likelihood, any temperature or
# truncation would have.
seed = 1

[corpus]
sources = {{ {source} }}
{encoding}steps = [{steps}]
split = {{ valid = {held_out:.3}, test = {held_out:.3}{by} }}

[tokenizer]
{tokenizer}
max_length = {max_length}

[noise]
dimension = 8
placement = "every"

[generator]
kind = "lstm"
embedding = {width}
hidden = {width}
head_dropout = 0.2

[train]
batch_size = {batch}
checkpoint_every = 500
sample_every = 500
controls = ["likelihood"]

# Noise matters because an encoder may tell the generator `rate` nats of each text through it.
[[phase]]
kind = "maximum-likelihood"
epochs = {epochs}
learning_rate = 5e-3
schedule = {{ warmup_share = 0.05, decay = "cosine", final_fraction = 0.02 }}
latent = {{ rate = 3.0 }}
evaluation = {{ every = 500 }}

# The discriminator: how real a word looks is how much likelier this model makes it.
[[phase]]
kind = "language-model"
epochs = {model_epochs}
network = {{ kind = "lstm", embedding = {width}, hidden = {model}, head_dropout = 0.3, embedding_dropout = 0.2 }}
learning_rate = 3e-3
schedule = {{ warmup_share = 0.05, decay = "cosine", final_fraction = 0.05 }}
evaluation = {{ every = 200, patience = 4 }}

[[phase]]
kind = "likelihood-ratio"
steps = 300
learning_rate = 5e-4
schedule = {{ warmup_share = 0.1, decay = "cosine", final_fraction = 0.05 }}
evaluation = {{ every = 100, samples = {samples} }}

[generate]
count = 100

[evaluate]
samples = {samples}
batches = {batches}
noise_vectors = 16
greedy_texts = 200
sweep = [0.6, 0.7, 0.8, 0.9, 1.0]
controls = ["truncation"]
"#,
            from = from.display(),
            model_epochs = (epochs / 2).max(2),
        ))
    }
}
