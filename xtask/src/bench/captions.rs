//! Scores of ten thousand captions, and Self-BLEU beside the programs that others use.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use textgan_metrics::{exact_copy_rate, longest_runs, self_bleu};
use textgan_random::Key;
use textgan_synthetic::Grammar;

use super::artifact::Scratch;
use super::{Row, median_seconds};

const SAMPLES: u64 = 10_000;
const TRAINING: u64 = 1_000_000;
const MOST: usize = 5;

pub const SELF_BLEU: Row = Row {
    name: "metrics/self-bleu",
    unit: "s",
    bar: Some(0.5),
    what: "exact Self-BLEU-2..5 of 10,000 captions of the grammar; --peer: beside fast-bleu and NLTK",
    slow: false,
    measure: || ours(&numbered(&captions("samples", SAMPLES))),
};

pub const COPIES: Row = Row {
    name: "metrics/copies",
    unit: "s",
    bar: Some(30.0),
    what: "exact copies and longest copied runs of 10,000 captions, in 1,000,000",
    slow: true,
    measure: || {
        let mut captions = captions("samples", SAMPLES);
        captions.extend(self::captions("training", TRAINING));
        let mut samples = numbered(&captions);
        drop(captions);
        let training = samples.split_off(SAMPLES as usize);
        let begin = std::time::Instant::now();
        exact_copy_rate(&samples, &training)?;
        longest_runs(&samples, &training)?;
        Ok(begin.elapsed().as_secs_f64())
    },
};

/// Another program's Self-BLEU of the same captions.
#[derive(Deserialize)]
pub struct Peer {
    /// Its name and version.
    pub name: String,
    /// How long all captions take it.
    pub seconds: f64,
    /// How many were timed; if not all, the time is scaled.
    pub timed: usize,
    self_bleu: Vec<f64>,
}

impl Peer {
    /// The most that our time may be of this program's.
    pub fn bar(&self) -> f64 {
        if self.name.starts_with("nltk") { 1e-3 } else { 1.0 / 20.0 }
    }
}

/// Our seconds and those of the programs that the interpreter `python` has. They must agree on the
/// scores, as far as they give those of all captions.
pub fn beside_peers(python: &Path) -> Result<(f64, Vec<Peer>)> {
    let captions = captions("samples", SAMPLES);
    let sentences = numbered(&captions);
    let folder = Scratch::new("self-bleu")?;
    let path = folder.0.join("captions.txt");
    std::fs::write(&path, captions.join("\n") + "\n")?;
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/textgan-metrics/benches/peer.py");
    let mut command = Command::new(python);
    let output = command.arg(script).arg(&path).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {}", python.display()))?;
    if !output.status.success() {
        bail!("the peers failed; their message is above");
    }
    let peers = String::from_utf8(output.stdout)?
        .lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect::<Result<Vec<Peer>>>()?;
    let scores = self_bleu(&sentences, MOST)?;
    for peer in peers.iter().filter(|peer| peer.timed == sentences.len()) {
        for (found, expected) in scores[1..].iter().zip(&peer.self_bleu) {
            if (found - expected).abs() > 1e-6 {
                bail!("{} has a Self-BLEU of {expected}, ours is {found}", peer.name);
            }
        }
    }
    Ok((ours(&sentences)?, peers))
}

fn ours(sentences: &[Vec<u32>]) -> Result<f64> {
    median_seconds(|| Ok(self_bleu(sentences, MOST).map(drop)?))
}

/// Captions of the grammar, drawn from the streams that `name` names.
pub fn captions(name: &str, count: u64) -> Vec<String> {
    let grammar = Grammar::embedded();
    let key = Key::root(1).child(name);
    (0..count).map(|index| grammar.sample(&mut key.index(index).stream()).0).collect()
}

/// Their words as numbers.
pub fn numbered(captions: &[String]) -> Vec<Vec<u32>> {
    let mut words = HashMap::new();
    let mut number = |word| {
        let next = words.len() as u32;
        *words.entry(word).or_insert(next)
    };
    captions.iter().map(|text| text.split(' ').map(&mut number).collect()).collect()
}
