//! `new`: a config that suits one's own text, made by looking at it.

mod look;
mod suit;

use anyhow::{Context, Result};
use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use textgan_artifact::{Progress, write_atomic};
use textgan_corpus::CorpusConfig;

use crate::args::New;
use crate::config;
use crate::exit::Refusal;
use crate::terminal::{Terminal, counted};
use look::Looked;
use suit::Suited;

pub fn run(args: New, terminal: &Terminal) -> Result<()> {
    if args.file.exists() && !args.force {
        let message = format!("{} is there already; --force replaces it", args.file.display());
        return Err(Refusal::new(message).into());
    }
    let piped = if args.from == Path::new("-") { Some(Piped::keep(&args)?) } else { None };
    let from = piped.as_ref().map_or(&*args.from, |piped| &piped.file);
    let mut looked = Looked::at(from)?;
    let (mut documents, mut whole) = read(&looked, terminal)?;
    if different(&documents) < FEWEST_DOCUMENTS && !looked.is_running_text() {
        // There may be enough sentences in them.
        looked.cut_into_sentences();
        (documents, whole) = read(&looked, terminal)?;
    }
    if different(&documents) < FEWEST_DOCUMENTS {
        let what = if looked.is_running_text() { "sentence" } else { "text" };
        return Err(Refusal::new(format!(
            "{} has {}, of which some are to learn from, some to choose by and some to measure on: give {FEWEST_DOCUMENTS} or more",
            from.display(),
            counted(different(&documents), &format!("different {what}"))
        ))
        .into());
    }
    // Of a few long documents none could be held out whole.
    let by_sentence = looked.is_running_text() && whole < FEW_DOCUMENTS;
    let suited = Suited::to(&documents, looked.is_running_text(), by_sentence);
    let text = suited.config(&looked, from, folder_of(&args.file))?;
    // What is written must be a config; else nothing is.
    let draft = tempfile_beside(&args.file)?;
    fs::write(draft.path(), &text)
        .with_context(|| format!("cannot write {}", draft.path().display()))?;
    let loaded: config::Loaded = config::load(Some(draft.path()), &[])?;
    loaded.validate()?;
    write_atomic(&args.file, text.as_bytes())?;
    if let Some(piped) = piped {
        terminal.message(&format!("kept what came in as {}", piped.file.display()));
        piped.stay();
    }
    for line in looked.lines().into_iter().chain(suited.lines()) {
        terminal.message(&line);
    }
    let file = args.file.display();
    terminal.message(&format!("wrote {file}; try it, then run it:"));
    terminal.message(&format!("  cargo xtask pipeline --config {file} --quick"));
    terminal.message(&format!("  cargo xtask pipeline --config {file}"));
    Ok(())
}

/// Text that came over the standard input, kept in a file beside the config: a run that can be repeated reads
/// files. It goes again where nothing comes of it.
struct Piped {
    file: PathBuf,
    stays: bool,
}

impl Piped {
    fn keep(args: &New) -> Result<Self> {
        let mut input = BufReader::new(std::io::stdin().lock());
        let beginning = input.fill_buf().context("cannot read the standard input")?;
        let ending = match beginning.trim_ascii_start().first() {
            None => return Err(Refusal::new("nothing came over the standard input").into()),
            Some(b'{') => "jsonl",
            Some(b'[') => "json",
            Some(_) => "txt",
        };
        let file = args.file.with_extension(ending);
        let write = || format!("cannot write {}", file.display());
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(!args.force).create(true).truncate(args.force);
        let mut kept = options.open(&file).with_context(write)?;
        let piped = Self { file: file.clone(), stays: false };
        std::io::copy(&mut input, &mut kept).with_context(write)?;
        kept.sync_all().with_context(write)?;
        Ok(piped)
    }

    fn stay(mut self) {
        self.stays = true;
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        if !self.stays {
            let _ = fs::remove_file(&self.file);
        }
    }
}

/// Fewer documents than this are held out by the sentence.
const FEW_DOCUMENTS: u64 = 100;
/// Of so many that differ, a split of 12 % has one.
const FEWEST_DOCUMENTS: usize = 9;
/// Most documents that are looked at.
const LOOKED_AT: u64 = 200_000;

/// The documents as ingestion reads them, cut into sentences where that is what will be learned; and how many
/// there were before.
fn read(
    looked: &Looked,
    terminal: &Terminal,
) -> Result<(Vec<textgan_artifact::table::Document>, u64)> {
    let mut source = looked.source.clone();
    source.limit = Some(LOOKED_AT);
    let short: CorpusConfig =
        serde_json::from_value(serde_json::json!({ "steps": looked.steps() }))?;
    let corpus = CorpusConfig {
        sources: vec![textgan_corpus::Source::Files(source)],
        split: textgan_corpus::Fractions { valid: 0.0, test: 0.0, ..Default::default() },
        encoding: looked.encoding,
        ..short
    };
    let out = tempfile::tempdir().context("cannot make a folder for a look at the text")?;
    let key = textgan_random::Key::root(0);
    let quiet = Stopping(terminal);
    let stats = textgan_corpus::ingest(&corpus, &key, out.path(), &quiet)?;
    Ok((textgan_artifact::table::read_split(out.path(), "train")?, stats.read.documents))
}

fn different(documents: &[textgan_artifact::table::Document]) -> usize {
    documents.iter().map(|document| &document.text).collect::<HashSet<_>>().len()
}

/// Says nothing, but stops when asked to.
struct Stopping<'a>(&'a Terminal);

impl Progress for Stopping<'_> {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn message(&self, _: &str) {}
    fn status(&self, _: &str) {}
    fn finish(&self) {}

    fn stop_requested(&self) -> bool {
        self.0.stop_requested()
    }
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A file in the same folder, whose relative paths mean the same.
fn tempfile_beside(file: &Path) -> Result<tempfile::NamedTempFile> {
    let folder = folder_of(file);
    let made = tempfile::Builder::new().suffix(".toml").tempfile_in(folder);
    made.with_context(|| format!("cannot write into {}", folder.display()))
}
