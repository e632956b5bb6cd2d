use crate::Error;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use textgan_artifact::RunDir;
use textgan_artifact::table::{Sample, SplitReader};

/// The files a report is made of. Each may be absent: its section then says so.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The title: usually the name of the run's folder.
    pub name: String,
    /// The resolved config, TOML.
    pub config: PathBuf,
    /// Its text, where that is known better than from the file.
    pub config_text: Option<String>,
    /// `stats.json` of ingestion.
    pub ingest: PathBuf,
    /// `stats.json` of tokenization.
    pub tokenize: PathBuf,
    /// `metrics.jsonl` of training.
    pub metrics: PathBuf,
    /// `samples.jsonl` of training.
    pub samples: PathBuf,
    /// `summary.json` of training.
    pub training: PathBuf,
    /// `evaluation.json`.
    pub evaluation: PathBuf,
    /// The folder of generated texts, `samples-*.parquet`.
    pub texts: PathBuf,
    /// `log.jsonl` of the run: when, where, how long.
    pub log: PathBuf,
    /// Folders of stages, whose manifests say what decided them.
    pub stages: Vec<PathBuf>,
    /// Training is still going on (or was interrupted): its last line may be half written.
    pub unfinished: bool,
    /// The page is served while it changes: it loads the script `live.js` of its server, and nothing else.
    pub live: bool,
}

impl Sources {
    /// The files of a run folder. Where training has not finished, those it has written so far.
    ///
    /// # Errors
    /// A run folder that cannot be read.
    pub fn of_run(run: &RunDir) -> Result<Self, Error> {
        let mut train = run.stage_dir("train")?;
        let unfinished = !train.is_dir();
        if unfinished {
            train = run.partial_dir("train")?;
        }
        let path = run.path().canonicalize().unwrap_or_else(|_| run.path().to_owned());
        let stages = ["ingest", "tokenize", "train", "evaluate", "generate"];
        Ok(Self {
            name: path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
            config: run.join("config.toml")?,
            config_text: None,
            ingest: run.stage_dir("ingest")?.join("stats.json"),
            tokenize: run.stage_dir("tokenize")?.join("stats.json"),
            metrics: train.join("metrics.jsonl"),
            samples: train.join("samples.jsonl"),
            training: train.join("summary.json"),
            evaluation: run.stage_dir("evaluate")?.join("evaluation.json"),
            texts: run.stage_dir("generate")?,
            log: run.join("log.jsonl")?,
            stages: stages.iter().map(|stage| run.stage_dir(stage)).collect::<Result<_, _>>()?,
            unfinished,
            live: false,
        })
    }

    /// The files of a run that goes on: of a training that is made again, what it has written so far, and nothing of
    /// what was made of the one before.
    ///
    /// # Errors
    /// A run folder that cannot be read.
    pub fn of_live_run(run: &RunDir) -> Result<Self, Error> {
        let sources = Self { live: true, ..Self::of_run(run)? };
        let train = run.partial_dir("train")?;
        if !train.is_dir() {
            return Ok(sources);
        }
        Ok(Self {
            metrics: train.join("metrics.jsonl"),
            samples: train.join("samples.jsonl"),
            training: train.join("summary.json"),
            evaluation: PathBuf::new(),
            texts: PathBuf::new(),
            unfinished: true,
            ..sources
        })
    }

    /// What the files are now, by size and time: when this changes, the page has.
    pub fn version(&self) -> String {
        let files = [&self.config, &self.ingest, &self.tokenize, &self.metrics, &self.samples];
        let files =
            files.into_iter().chain([&self.training, &self.evaluation, &self.texts, &self.log]);
        let state = |path: &PathBuf| {
            let found = std::fs::metadata(path).ok();
            let changed = found.as_ref().and_then(|found| found.modified().ok());
            let changed = changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            (found.map(|found| found.len()), changed.map(|since| since.as_millis()))
        };
        format!("{:?}", files.map(state).collect::<Vec<_>>())
    }
}

/// The text of a file, or `None` when there is no such file.
pub(crate) fn text(path: &Path) -> Result<Option<String>, Error> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

/// The first generated texts; none where there is no such folder.
pub(crate) fn texts(folder: &Path) -> Result<Vec<Sample>, Error> {
    if folder.as_os_str().is_empty() || !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut batches = SplitReader::open(folder, "samples")?;
    Ok(batches.next().transpose()?.unwrap_or_default())
}

/// A JSON file, or `None` when there is no such file.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(text) = text(path)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| format(path, None, &error))
}

/// A file of one JSON object a line. Half a last line is passed over where it may be one.
pub(crate) fn lines<T: DeserializeOwned>(path: &Path, growing: bool) -> Result<Vec<T>, Error> {
    let Some(text) = text(path)? else { return Ok(Vec::new()) };
    let whole = if growing { text.rfind('\n').map_or(0, |end| end + 1) } else { text.len() };
    text[..whole]
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| {
            serde_json::from_str(line).map_err(|error| format(path, Some(i + 1), &error))
        })
        .collect()
}

fn format(path: &Path, line: Option<usize>, error: &serde_json::Error) -> Error {
    Error::Format { path: path.to_owned(), line, message: error.to_string() }
}
