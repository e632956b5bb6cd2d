use std::collections::HashSet;
use std::path::{Path, PathBuf};

use textgan_artifact::table::{TokenRow, read_split};
use textgan_artifact::{ALONE, Progress, Team, write_atomic};
use textgan_metrics::References;
use textgan_nn::in_threads;
use textgan_random::Key;
use textgan_tokenizer::{Statistics, Tokenizer};

use crate::bench::{Bench, Measured, measures};
use crate::embedded::Embedded;
use crate::embedder::Embedder;
use crate::evaluation::Evaluation;
use crate::judged::{Judges, Splits};
use crate::memorisation::Auditor;
use crate::quality::{MOST_TOKENS, Real};
use crate::series::{changes, shares_of_lengths};
use crate::writer::Writer;
use crate::{Error, EvaluateConfig, Result, Truth, summary};

/// Version of the layout of `evaluation.json`.
const FORMAT: u32 = 4;

/// What is evaluated, and against what.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// Folder of the trained model.
    pub model: &'a Path,
    /// Folder of the discriminator that chooses its samples, where there are candidates.
    pub discriminator: Option<&'a Path>,
    /// Folder of the maximum-likelihood checkpoint to compare with.
    pub baseline: Option<&'a Path>,
    /// Folders of generators that other means made of that checkpoint, by name.
    pub controls: &'a [(String, PathBuf)],
    /// Whether the checkpoint had learned all that its likelihood had to give, where that was measured.
    pub converged: Option<bool>,
    /// Folder of the tokenize stage: the three splits and `stats.json`.
    pub tokens: &'a Path,
    /// The distribution that the corpus was drawn from, where it is known.
    pub truth: Option<Truth<'a>>,
}

/// Names the random streams of the texts that [`evaluate`] scores, of its own key: whoever draws from it with
/// the labels of the training text, over and over, gets the same texts.
pub fn samples_key(key: &Key) -> Key {
    key.child("samples")
}

/// Measures `inputs` and writes `evaluation.json` into `out`, a folder that exists; a table of the
/// main numbers goes to `progress`.
///
/// Both models are measured with the same noise vectors and random streams, all named by `key`.
///
/// # Errors
/// [`Error::Config`] when the configuration cannot work, [`Error::Vocabulary`] when model and data
/// do not belong together, [`Error::Interrupted`] when `progress` asks to stop, and those of
/// reading, sampling and writing.
pub fn evaluate(
    inputs: &Inputs<'_>,
    config: &EvaluateConfig,
    key: &Key,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Evaluation> {
    evaluate_in(&ALONE, inputs, config, key, out, progress)
}

/// The same by several processes, each of which measures some of the models; the first writes. They all read the same
/// folders and call this with the same.
///
/// # Errors
/// As [`evaluate`], and when another process cannot go on.
pub fn evaluate_in(
    team: &Team,
    inputs: &Inputs<'_>,
    config: &EvaluateConfig,
    key: &Key,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Evaluation> {
    let evaluated = in_threads(|| evaluate_together(team, inputs, config, key, out, progress));
    // Whom another told to give up has nothing to tell.
    if let Err(error) = &evaluated
        && !matches!(error, Error::Artifact(textgan_artifact::Error::Teammate { .. }))
    {
        team.fail(&error.to_string());
    }
    evaluated
}

fn evaluate_together(
    team: &Team,
    inputs: &Inputs<'_>,
    config: &EvaluateConfig,
    key: &Key,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Evaluation> {
    config.validate()?;
    team.check_processors()?;
    let writer = Writer::of(inputs, config)?;
    let data = Data::read(inputs.tokens)?;
    let test = sentences(&data.test);
    let train: Vec<&[u32]> = data.train.iter().map(|row| row.tokens.as_slice()).collect();
    let copies: HashSet<&[u32]> = train.iter().copied().collect();
    progress.begin("evaluating the held-out text", None);
    let tokenizer = Tokenizer::load(inputs.tokens.join("tokenizer.json"))?;
    let embedder = Embedder::new(config.encoder.as_deref(), &tokenizer)?;
    let embedded = Embedded::new(embedder, &test, "test", config.embedded_texts)?;
    let vocab = tokenizer.vocab_size();
    let auditor = Auditor::new(&train, &copies, tokenizer, &data.tokens, config.batches)?;
    let held_out = auditor.audit(&spread(&test, config.audited_texts), "split:test")?;
    let (training, validation) = (sentences(&data.train), sentences(&data.valid));
    let longest = training.iter().chain(&validation).chain(&test).map(Vec::len).max().unwrap_or(1);
    let splits = Splits { train: &training, valid: &validation, test: &test };
    let judges = Judges::new(config, splits, (vocab, longest), key.child("judges"), progress)?;
    progress.finish();
    let bench = Bench {
        config,
        key,
        progress,
        truth: inputs.truth,
        tokens: &data.tokens,
        tokenizer: auditor.tokenizer(),
        train: &data.train,
        valid: &data.valid,
        test: &data.test,
        real: Real { references: References::new(&test, MOST_TOKENS)?, train: &copies },
        embedded,
        judges: &judges,
        auditor: &auditor,
        held_out: &held_out,
        validation: &validation,
        real_lengths: shares_of_lengths(&test),
        labels: data.train.iter().filter_map(|row| row.label).collect(),
    };

    bench.warn();
    // Where a discriminator chooses and has taught nobody, the generator alone is what it is compared with.
    let alone =
        inputs.baseline.or((config.candidates > 1).then_some(inputs.model)).map(Writer::alone);
    let measured = bench.all(team, writer, alone, inputs.controls)?;
    let (model, baseline, controls) = (measured.model, measured.baseline, measured.controls);
    let judgement = match &baseline {
        Some(baseline) => bench.judge(&model, baseline, &controls, inputs.converged)?,
        None => None,
    };
    let evaluation = Evaluation {
        format: FORMAT,
        tokens: data.tokens.clone(),
        changes: match &baseline {
            Some(baseline) => changes(&model.series, &baseline.series)?,
            None => Vec::new(),
        },
        controls,
        judgement,
        texts: bench.shown(&model, baseline.as_ref())?,
        model: model.scores(),
        baseline: baseline.map(Measured::scores),
        training_text: measures(measured.training_text),
        held_out: Some(held_out.memorisation.clone()),
    };
    let mut bytes = serde_json::to_vec_pretty(&evaluation).map_err(Error::Json)?;
    bytes.push(b'\n');
    if team.leads() {
        write_atomic(out.join("evaluation.json"), &bytes)?;
    }
    // Whoever fails until here is heard.
    team.wait("evaluated")?;
    for line in summary::table(&evaluation) {
        progress.message(&line);
    }
    Ok(evaluation)
}

/// The splits of a tokenize stage.
struct Data {
    train: Vec<TokenRow>,
    valid: Vec<TokenRow>,
    test: Vec<TokenRow>,
    /// What a token is, such as `word-4704`.
    tokens: String,
}

impl Data {
    fn read(folder: &Path) -> Result<Self> {
        let split = |split| {
            let rows: Vec<TokenRow> = read_split(folder, split)?;
            if rows.is_empty() {
                return Err(Error::EmptySplit { folder: folder.to_owned(), split });
            }
            Ok(rows)
        };
        let statistics = Statistics::load(folder)?;
        Ok(Self {
            train: split("train")?,
            valid: split("valid")?,
            test: split("test")?,
            tokens: format!("{}-{}", statistics.vocabulary.kind, statistics.vocabulary.size),
        })
    }
}

pub(crate) fn sentences(rows: &[TokenRow]) -> Vec<Vec<u32>> {
    rows.iter().map(|row| row.tokens.clone()).collect()
}

/// At most `count` texts, spread over all.
pub(crate) fn spread(texts: &[Vec<u32>], count: usize) -> Vec<Vec<u32>> {
    let count = count.min(texts.len());
    (0..count).map(|i| texts[i * texts.len() / count].clone()).collect()
}
