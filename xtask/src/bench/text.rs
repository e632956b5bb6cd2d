//! The grammar.

use textgan_random::Key;
use textgan_synthetic::Grammar;

use super::{Row, median_seconds};

const SENTENCES: u64 = 20_000;

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
