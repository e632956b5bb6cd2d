//! What the intervals and the verdict say of pairs of equal models: next to nothing.

use std::collections::{HashMap, HashSet};

use textgan_metrics::References;
use textgan_random::Key;
use textgan_synthetic::Grammar;

use crate::evaluation::{Better, Sweep};
use crate::quality::{self, MOST_TOKENS, Protocol, Real};
use crate::series::{Series, changes};
use crate::verdict::{Duel, Outcome, Pair, Pairing, judge};

const PAIRS: u64 = 200;
const SAMPLES: usize = 200;
const BATCHES: usize = 10;
/// A model's knob: how many words of its captions are replaced.
const KNOB: [f32; 4] = [0.0, 0.1, 0.2, 0.3];

/// Says captions of the grammar with some words replaced.
struct Speaker {
    grammar: &'static Grammar,
    ids: HashMap<String, u32>,
    words: Vec<String>,
}

impl Speaker {
    fn new() -> Self {
        let grammar = Grammar::embedded();
        let mut stream = Key::root(1).stream();
        let (mut ids, mut words) = (HashMap::new(), Vec::new());
        for _ in 0..2_000 {
            for word in grammar.sample(&mut stream).0.split(' ') {
                ids.entry(word.to_owned()).or_insert_with(|| {
                    words.push(word.to_owned());
                    words.len() as u32 + 3
                });
            }
        }
        Self { grammar, ids, words }
    }

    /// Captions as tokens, and whether each is grammatical.
    fn say(&self, key: &Key, replaced: f32) -> (Vec<Vec<u32>>, Vec<bool>) {
        let mut stream = key.stream();
        let mut caption = || {
            let (text, _) = self.grammar.sample(&mut stream);
            let mut word = |word: &str| match stream.uniform() < replaced {
                true => self.words[stream.below(self.words.len() as u64) as usize].clone(),
                false => word.to_owned(),
            };
            let said: Vec<String> = text.split(' ').map(&mut word).collect();
            let tokens = said.iter().map(|word| self.ids.get(word).copied().unwrap_or(4));
            (tokens.collect(), self.grammar.grammatical(&said.join(" ")))
        };
        (0..SAMPLES).map(|_| caption()).unzip()
    }

    /// Everything that is measured of a model, by the value of its knob.
    fn measure(&self, real: &Real<'_>, key: &Key) -> Vec<Vec<Series>> {
        let protocol = Protocol { tokens: "word".to_owned(), drawn: "knob".to_owned() };
        let at = |(place, &replaced): (usize, &f32)| {
            let (tokens, grammatical) = self.say(&key.index(place as u64), replaced);
            let mut series = quality::measure(&tokens, real, &protocol, BATCHES);
            let name = "grammatical";
            series.push(Series::share_of(name, &grammatical, Better::Higher, name, BATCHES));
            series
        };
        KNOB.iter().enumerate().map(at).collect()
    }
}

#[test]
fn equal_models_are_rarely_separated() {
    let speaker = Speaker::new();
    let (held_out, _) = speaker.say(&Key::root(2).child("held-out"), 0.0);
    let train: HashSet<&[u32]> = held_out.iter().take(50).map(Vec::as_slice).collect();
    let references = References::new(&held_out, MOST_TOKENS).expect("references");
    let real = Real { references, train: &train };
    let pairs = ["grammatical", "bleu-4"]
        .map(|quality| Pair { quality: quality.to_owned(), diversity: "distinct-3".to_owned() });

    let (mut verdicts, mut tables) = (0, 0);
    let mut alone: HashMap<String, usize> = HashMap::new();
    for pair in 0..PAIRS {
        let key = Key::root(3).index(pair);
        let model = speaker.measure(&real, &key.child("model"));
        let baseline = speaker.measure(&real, &key.child("baseline"));

        let table = changes(&model[1], &baseline[1]).expect("changes");
        tables += usize::from(table.iter().any(crate::Change::is_separated));
        for change in table.iter().filter(|change| change.p < 0.05) {
            *alone.entry(change.name.clone()).or_default() += 1;
        }

        let (ours, theirs) = (Sweep::of(&KNOB, &model), Sweep::of(&KNOB, &baseline));
        let duel = Duel {
            name: "temperature".to_owned(),
            model: vec![&ours],
            rival: vec![&theirs],
            pairing: Pairing::Paired,
        };
        let judgement = judge(&[duel], &pairs, Some(true)).expect("a judgement");
        assert_ne!(judgement.outcome, Outcome::Apart);
        verdicts += usize::from(judgement.outcome != Outcome::NotSeparated);
    }
    assert!(verdicts <= 10, "{verdicts} of {PAIRS} verdicts separate equal models");
    assert!(tables <= 10, "{tables} of {PAIRS} tables separate equal models");
    // Of 200 at 5 %, more than 19 would be chance once in 100 measures.
    assert!(alone.values().all(|&count| count <= 19), "{alone:?}");
    println!("verdicts {verdicts}, tables {tables}, alone {alone:?}");
}
