//! `export`: what a run wrote, for other people's tools: metrics as CSV, texts as a dataset with a card.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Write as _, stdout};
use std::path::Path;
use textgan_artifact::table::{Sample, SplitReader, TableWriter};
use textgan_artifact::{Manifest, RunDir, publish};

use crate::args::Export;
use crate::exit::Refusal;
use crate::overview;
use crate::stages::{self, GENERATE, TRAIN};

pub fn run(args: Export) -> Result<()> {
    let run = overview::open(args.run)?;
    let path = run.path();
    if args.to.exists() {
        let message = format!("{} is there already: name a new folder", args.to.display());
        return Err(Refusal::new(message).into());
    }
    let beside =
        args.to.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    fs::create_dir_all(beside).with_context(|| format!("cannot make {}", beside.display()))?;
    let draft = tempfile::Builder::new().prefix(".export-").tempdir_in(beside);
    let draft = draft.with_context(|| format!("cannot write into {}", beside.display()))?;
    let folder = draft.path().join("export");
    write(&run, path, &folder)?;
    publish(&folder, &args.to)?;
    writeln!(stdout(), "{}: metrics.csv, dataset/", args.to.display())?;
    Ok(())
}

fn write(run: &RunDir, path: &Path, out: &Path) -> Result<()> {
    let (train, generated) = (run.stage_dir(TRAIN)?, run.stage_dir(GENERATE)?);
    for folder in [&train, &generated] {
        Manifest::read(folder)?.verify(folder)?;
    }
    let dataset = out.join("dataset");
    fs::create_dir_all(&dataset).with_context(|| format!("cannot make {}", dataset.display()))?;
    let metrics = csv(&train.join("metrics.jsonl"))?;
    let save = |name: &Path, text: &str| {
        fs::write(name, text).with_context(|| format!("cannot write {}", name.display()))
    };
    save(&out.join("metrics.csv"), &metrics)?;
    let mut table = TableWriter::<Sample>::create(dataset.join("train.parquet"))?;
    let mut texts = 0;
    for batch in SplitReader::<Sample>::open(&generated, "samples")? {
        let batch = batch?;
        texts += batch.len();
        table.write(&batch)?;
    }
    table.finish()?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let verdict = stages::evaluation(run)?.and_then(|found| found.judgement);
    let verdict = verdict.map(|judgement| judgement.sentence).unwrap_or_default();
    save(&dataset.join("README.md"), &card(&name, texts, &verdict))
}

/// A line of `metrics.jsonl`, as far as a table has it.
#[derive(Deserialize)]
struct Line {
    event: String,
    phase: usize,
    kind: String,
    step: u64,
    phase_step: u64,
    #[serde(default)]
    values: BTreeMap<String, Option<f64>>,
}

/// The metrics, one number a row: what pandas calls the long form.
fn csv(path: &Path) -> Result<String> {
    let read = || format!("cannot read {}", path.display());
    let text = fs::read_to_string(path).with_context(read)?;
    let mut out = String::from("phase,kind,event,step,phase_step,name,value\n");
    for (number, line) in text.lines().enumerate() {
        let line: Line = serde_json::from_str(line)
            .with_context(|| format!("{}, line {}", path.display(), number + 1))?;
        let Line { event, phase, kind, step, phase_step, values } = line;
        for (name, value) in values {
            let value = value.map_or(String::new(), |value| value.to_string());
            // Kinds and names are identifiers: nothing in them needs quotes.
            writeln!(out, "{phase},{kind},{event},{step},{phase_step},{name},{value}")?;
        }
    }
    Ok(out)
}

/// The card of a folder that `datasets.load_dataset` reads.
fn card(name: &str, texts: usize, verdict: &str) -> String {
    // A JSON string is one of YAML too.
    let title = serde_json::Value::from(format!("Texts of {name}"));
    format!(
        "---\npretty_name: {title}\ntask_categories:\n- text-generation\ntags:\n- textgan\n- synthetic\n\
         configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: train.parquet\n---\n\n\
         # Texts of {name}\n\n{texts} texts that a generator wrote from noise, as its run published them.\n\n{verdict}\n\n\
         | column | what |\n|---|---|\n\
         | `id` | number of the text; it names its random stream |\n\
         | `text`, `tokens` | the text, and its tokens |\n\
         | `label` | number of the category it was written for |\n\
         | `noise` | the noise vector it was made from |\n\
         | `log_prob`, `token_log_probs` | log-probability in nats at temperature 1, whole and by token, the end included |\n\
         | `realness`, `token_realness` | the logit of whoever judged in training: of the whole, and after each token |\n\
         | `temperature` | that it was drawn at; 0 is greedy |\n"
    )
}
