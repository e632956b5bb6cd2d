//! The grammar, and scores over token ids.

use textgan_metrics::self_bleu;
use textgan_random::Key;
use textgan_synthetic::Grammar;

use super::{Row, median_seconds};

const SENTENCES: u64 = 20_000;
const SAMPLES: usize = 10_000;

pub const GRAMMAR: Row = Row {
    name: "synthetic/sample",
    unit: "k/s",
    bar: None,
    what: "sentences drawn from the built-in grammar, one thread",
    slow: false,
    measure: || {
        let grammar = Grammar::embedded();
        let key = Key::root(1);
        let seconds = median_seconds(|| {
            for index in 0..SENTENCES {
                grammar.sample(&mut key.index(index).stream());
            }
            Ok(())
        })?;
        Ok(SENTENCES as f64 / seconds / 1e3)
    },
};

pub const SELF_BLEU: Row = Row {
    name: "metrics/self-bleu-4",
    unit: "s",
    bar: None,
    what: "exact Self-BLEU-4 of 10,000 sentences of the grammar, words numbered",
    slow: false,
    measure: || {
        let grammar = Grammar::embedded();
        let key = Key::root(1);
        let mut words = std::collections::BTreeMap::new();
        let mut sentences = Vec::with_capacity(SAMPLES);
        for index in 0..SAMPLES as u64 {
            let (text, _) = grammar.sample(&mut key.index(index).stream());
            let mut sentence = Vec::new();
            for word in text.split(' ') {
                let next = words.len() as u32;
                sentence.push(*words.entry(word.to_string()).or_insert(next));
            }
            sentences.push(sentence);
        }
        median_seconds(|| Ok(self_bleu(&sentences, 4).map(drop)?))
    },
};
