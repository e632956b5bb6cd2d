//! `score`: the text metrics for two plain text files, without a run.

mod audit;
mod table;
mod texts;

use anyhow::{Result, bail};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{Write, stdout};
use textgan_artifact::Progress;
use textgan_metrics::{
    CorpusSmoothing, EmbSim, Error, Lengths, Metric, References, Smoothing, Texts as Signed,
    distinct_n, distinct_sentences, embedding_similarity, length_distance, lengths, ms_jaccard,
    ngram_entropy, self_bleu, unique_ngrams, zipf_coefficient,
};

use self::audit::Audit;
use self::texts::{Texts, Words};
use crate::args::Score;
use crate::terminal::Terminal;

/// The orders of BLEU, and of what counts n-grams.
const BLEU: [usize; 4] = [2, 3, 4, 5];
const COUNTED: [usize; 4] = [1, 2, 3, 4];
/// Corpus BLEU's order, Zipf's number of tokens and EmbSim's window, as in the programs they are from.
const CORPUS_ORDER: usize = 4;
const ZIPF_TOKENS: usize = 5000;
const WINDOW: usize = 1;

/// A generator that writes in batches may lack the last one; more than this share may not be missing.
const MISSING: f64 = 0.01;

pub fn run(args: Score, terminal: &Terminal) -> Result<()> {
    let read = |path| {
        terminal.begin("reading", None);
        Texts::read(path)
    };
    let samples = read(&args.samples)?;
    let references = read(&args.references)?.all_real()?;
    let train = args.train.as_deref().map(|path| read(path)?.all_real()).transpose()?;
    check_counts(&samples, &references)?;
    let mut words = Words::default();
    let samples = Numbered::new(&samples, &mut words);
    let references = Numbered::new(&references, &mut words);
    let train = train.as_ref().map(|train| Numbered::new(train, &mut words));

    terminal.begin("scoring", None);
    let mut scores = Scores::new(&samples, &references)?;
    if let Some(train) = &train {
        terminal.begin("looking for copies", None);
        scores.memorisation = Some(Audit::new(&samples, &references, train)?);
        let texts = signed(samples.tokens.len(), train.tokens.len());
        for (name, metric) in [
            ("memorisation.exact_copies", Metric::ExactCopies),
            ("memorisation.longest_run", Metric::LongestRuns),
            ("memorisation.nearest", Metric::Nearest),
        ] {
            scores.signatures.insert(name, texts.signature(metric));
        }
    }
    terminal.finish();
    table::print(&scores, &samples, &references, train.as_ref());
    if args.json {
        writeln!(stdout().lock(), "{}", serde_json::to_string_pretty(&scores)?)?;
    }
    Ok(())
}

/// A file, and its words as numbers.
struct Numbered<'a> {
    texts: &'a Texts,
    tokens: Vec<Vec<u32>>,
}

impl<'a> Numbered<'a> {
    fn new(texts: &'a Texts, words: &mut Words<'a>) -> Self {
        Self { texts, tokens: texts.numbered(words) }
    }
}

/// Self-BLEU, distinct n-grams and entropy depend on how many sentences there are, so samples that
/// are fewer than the references would look more varied than they are.
fn check_counts(samples: &Texts, references: &Texts) -> Result<()> {
    let (have, need) = (samples.len(), references.len());
    let name = samples.path().display();
    if have == 1 {
        bail!("{name}:1: a single sample: Self-BLEU compares samples with each other");
    }
    if (have as f64) < (1.0 - MISSING) * need as f64 {
        bail!(
            "{name}:{have}: the file ends after {have} samples, but {} has {need} references; \
             diversity depends on the number, so give as many samples or cut the references \
             (`head -n {have}`)",
            references.path().display()
        );
    }
    Ok(())
}

/// Everything that `--json` prints. Lists of BLEU are of orders 2 to 5, other lists of orders 1 to 4.
#[derive(Serialize)]
struct Scores {
    bleu: Vec<f64>,
    self_bleu: Vec<f64>,
    corpus_bleu: f64,
    ms_jaccard: Vec<f64>,
    embsim: EmbSim,
    length_distance: f64,
    #[serde(flatten)]
    variety: Variety,
    /// The references measured as if they were samples: what real text has.
    references: OfReferences,
    #[serde(skip_serializing_if = "Option::is_none")]
    memorisation: Option<Audit>,
    signatures: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct OfReferences {
    /// None of a single reference.
    self_bleu: Option<Vec<f64>>,
    #[serde(flatten)]
    variety: Variety,
}

/// How varied a set is.
#[derive(Serialize)]
struct Variety {
    distinct: Vec<f64>,
    unique_ngrams: Vec<f64>,
    ngram_entropy: Vec<f64>,
    distinct_sentences: f64,
    /// None where all is one word.
    zipf: Option<f64>,
    lengths: Lengths,
}

impl Scores {
    fn new(samples: &Numbered<'_>, references: &Numbered<'_>) -> Result<Self> {
        let (samples, references) = (&samples.tokens, &references.tokens);
        let most = BLEU[BLEU.len() - 1];
        let orders = |scores: Vec<f64>| BLEU.map(|n| scores[n - 1]).to_vec();
        let index = References::new(references, most)?;
        let corpus = References::new(references, CORPUS_ORDER)?;
        let own = match self_bleu(references, most) {
            Err(Error::OneSample) => None,
            scores => Some(orders(scores?)),
        };
        Ok(Self {
            bleu: orders(index.score(samples)?.mean()),
            self_bleu: orders(self_bleu(samples, most)?),
            corpus_bleu: corpus.corpus_bleu(samples, CorpusSmoothing::Exp)?.score,
            ms_jaccard: orders(ms_jaccard(samples, references, most)?),
            embsim: embedding_similarity(samples, references, WINDOW)?,
            length_distance: length_distance(samples, references)?,
            variety: Variety::of(samples)?,
            references: OfReferences { self_bleu: own, variety: Variety::of(references)? },
            memorisation: None,
            signatures: signatures(samples.len(), references.len()),
        })
    }
}

impl Variety {
    fn of(set: &[Vec<u32>]) -> Result<Self> {
        let each = |metric: fn(&[Vec<u32>], usize) -> Result<f64, Error>| {
            COUNTED.into_iter().map(|n| metric(set, n)).collect::<Result<Vec<f64>, Error>>()
        };
        let zipf = match zipf_coefficient(set, ZIPF_TOKENS) {
            Err(Error::Rank { .. }) => None,
            coefficient => Some(coefficient?),
        };
        Ok(Self {
            distinct: each(distinct_n)?,
            unique_ngrams: each(unique_ngrams)?,
            ngram_entropy: each(ngram_entropy)?,
            distinct_sentences: distinct_sentences(set)?,
            zipf,
            lengths: lengths(set)?,
        })
    }
}

fn signed(samples: usize, references: usize) -> Signed<'static> {
    Signed { samples, references, tokens: "whitespace", case: "mixed" }
}

/// What each number was measured with; of a list, its last order.
fn signatures(samples: usize, references: usize) -> BTreeMap<&'static str, String> {
    let texts = signed(samples, references);
    let (n, counted) = (BLEU[BLEU.len() - 1], COUNTED[COUNTED.len() - 1]);
    let smoothing = Smoothing::default();
    let corpus = CorpusSmoothing::Exp;
    [
        ("bleu", Metric::Bleu { n, smoothing }),
        ("self_bleu", Metric::SelfBleu { n, smoothing }),
        ("corpus_bleu", Metric::CorpusBleu { n: CORPUS_ORDER, smoothing: corpus }),
        ("ms_jaccard", Metric::MsJaccard { n }),
        ("embsim", Metric::EmbeddingSimilarity { window: WINDOW }),
        ("length_distance", Metric::LengthDistance),
        ("distinct", Metric::Distinct { n: counted }),
        ("unique_ngrams", Metric::Unique { n: counted }),
        ("ngram_entropy", Metric::Entropy { n: counted }),
        ("zipf", Metric::Zipf { most: ZIPF_TOKENS }),
    ]
    .into_iter()
    .map(|(name, metric)| (name, texts.signature(metric)))
    .collect()
}
