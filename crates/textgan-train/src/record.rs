//! The files that grow while training: `metrics.jsonl`, `samples.jsonl`, and beside them TensorBoard's.
//!
//! A checkpoint remembers their lengths and hashes, and a resumed run cuts them there: what a killed run
//! had written past its last checkpoint is written again, the same.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use textgan_artifact::open_plain;

use crate::error::io;
use crate::events::Events;
use crate::metric::MetricKind;
use crate::state::{Extent, Written};
use crate::{Error, Result};

/// The names of the growing files.
pub(crate) const GROWING: [&str; 2] = ["metrics.jsonl", "samples.jsonl"];

/// One line of `metrics.jsonl`.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    /// `begin`, `train`, `evaluation`, `alarm` or `end`.
    pub event: &'a str,
    /// The phase, from 0.
    pub phase: usize,
    /// Its `kind`.
    pub kind: &'a str,
    /// Steps made over all phases.
    pub step: u64,
    /// Steps made in this phase.
    pub phase_step: u64,
    /// What there is to say in words: an alarm's name and action, a reason to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'a str>,
    /// The numbers, by name.
    pub values: &'a BTreeMap<String, f64>,
    /// Unit and group of those of them that stand here for the first time.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<&'a str, MetricKind>,
}

/// One line of `samples.jsonl`: the texts of a fixed noise vector at a step.
#[derive(Debug, Serialize)]
pub(crate) struct SampleLine<'a> {
    /// The phase, from 0.
    pub phase: usize,
    /// Steps made over all phases.
    pub step: u64,
    /// Number of the noise vector.
    pub index: usize,
    /// Name of the label, where the model is conditional.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<&'a str>,
    /// The likeliest word at each place.
    pub greedy: String,
    /// Words drawn at temperature 1, by the same random numbers at every step.
    pub sampled: String,
}

/// The open files.
#[derive(Debug)]
pub(crate) struct Record {
    metrics: Growing,
    samples: Growing,
    /// TensorBoard's, if it is wanted.
    events: Option<Events>,
}

impl Record {
    /// Opens the files in `folder`, cut to what was `written`, and a file of events in another, if one is given: numbers and
    /// texts of the `step` that training goes on from are said there again.
    pub fn open(
        folder: &Path,
        written: &Written,
        events: Option<&Path>,
        step: u64,
    ) -> Result<Self> {
        let metrics = Growing::open(folder.join("metrics.jsonl"), &written.metrics)?;
        let samples = Growing::open(folder.join("samples.jsonl"), &written.samples)?;
        let mut events = events.map(|folder| Events::begin(folder, step)).transpose()?;
        if let Some(events) = events.as_mut().filter(|_| step > 0) {
            for line in metrics.lines(|line: &Numbers| line.step == step)? {
                // JSON has no other word for what is no number.
                let value = |value: &Option<f64>| value.unwrap_or(f64::NAN);
                let values = line.values.iter().map(|(name, found)| (name.as_str(), value(found)));
                say(events, &line.event, step, values)?;
            }
            for line in samples.lines(|line: &Texts| line.step == step)? {
                show(events, step, line.index, &line.greedy, &line.sampled)?;
            }
        }
        Ok(Self { metrics, samples, events })
    }

    /// Appends a line of metrics, and its numbers to TensorBoard's file.
    pub fn line(&mut self, line: &Line<'_>) -> Result<()> {
        self.metrics.json(line)?;
        let Some(events) = &mut self.events else { return Ok(()) };
        let values = line.values.iter().map(|(name, value)| (name.as_str(), *value));
        say(events, line.event, line.step, values)
    }

    /// Appends a histogram to TensorBoard's file; `values` are asked for if there is one.
    pub fn histogram(
        &mut self,
        step: u64,
        tag: &str,
        values: impl FnOnce() -> Result<Vec<f32>>,
    ) -> Result<()> {
        match &mut self.events {
            Some(events) => events.histogram(step, tag, &values()?),
            None => Ok(()),
        }
    }

    /// Appends a sample, and its texts to TensorBoard's file.
    pub fn sample(&mut self, line: &SampleLine<'_>) -> Result<()> {
        self.samples.json(line)?;
        let Some(events) = &mut self.events else { return Ok(()) };
        show(events, line.step, line.index, &line.greedy, &line.sampled)
    }

    /// Forces everything to the disk; what a checkpoint may then rely on.
    pub fn sync(&mut self) -> Result<Written> {
        for file in [&mut self.metrics, &mut self.samples] {
            file.sync()?;
        }
        Ok(Written { metrics: self.metrics.extent(), samples: self.samples.extent() })
    }
}

/// What TensorBoard shows of a [`Line`].
#[derive(Deserialize)]
struct Numbers {
    event: String,
    step: u64,
    values: BTreeMap<String, Option<f64>>,
}

/// What TensorBoard shows of a [`SampleLine`].
#[derive(Deserialize)]
struct Texts {
    step: u64,
    index: usize,
    greedy: String,
    sampled: String,
}

/// Numbers, under `event/name`.
fn say<'a>(
    events: &mut Events,
    event: &str,
    step: u64,
    values: impl Iterator<Item = (&'a str, f64)>,
) -> Result<()> {
    let tagged: Vec<_> = values.map(|(name, value)| (format!("{event}/{name}"), value)).collect();
    if tagged.is_empty() {
        return Ok(());
    }
    events.scalars(step, tagged.iter().map(|(tag, value)| (tag.as_str(), *value)))
}

/// The texts of a fixed noise vector, under `samples/index`.
fn show(events: &mut Events, step: u64, index: usize, greedy: &str, sampled: &str) -> Result<()> {
    // The page shows Markdown: a blank line keeps the two apart.
    events.text(step, &format!("samples/{index}"), &format!("{greedy}\n\n{sampled}"))
}

/// A file written at its end only, whose length is known without asking the system.
#[derive(Debug)]
struct Growing {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
    hasher: blake3::Hasher,
}

impl Growing {
    fn open(path: PathBuf, written: &Extent) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(false);
        let mut file = open_plain(&mut options, &path).map_err(io("open", &path))?;
        let length = written.bytes;
        let found = file.metadata().map_err(io("read", &path))?.len();
        if found < length {
            let problem =
                format!("it has {found} bytes, and the checkpoint says that it had {length}");
            return Err(Error::Checkpoint { path, problem });
        }
        file.set_len(length).map_err(io("cut", &path))?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer).map_err(io("read", &path))? {
                0 => break,
                read => hasher.update(&buffer[..read]),
            };
        }
        file.seek(SeekFrom::End(0)).map_err(io("read", &path))?;
        let growing = Self { file: BufWriter::new(file), path, length, hasher };
        match growing.extent() == *written {
            true => Ok(growing),
            false => Err(Error::Checkpoint {
                problem: format!(
                    "its first {length} bytes are not those that the checkpoint was made with"
                ),
                path: growing.path,
            }),
        }
    }

    fn extent(&self) -> Extent {
        let hash = match self.length {
            0 => String::new(),
            _ => self.hasher.finalize().to_hex().to_string(),
        };
        Extent { bytes: self.length, hash }
    }

    /// The lines of the file that are wanted.
    fn lines<T: DeserializeOwned>(&self, wanted: impl Fn(&T) -> bool) -> Result<Vec<T>> {
        let file = File::open(&self.path).map_err(io("read", &self.path))?;
        let mut found = Vec::new();
        for line in BufReader::new(file).lines() {
            let line = line.map_err(io("read", &self.path))?;
            let line: T = serde_json::from_str(&line).map_err(|error| Error::Checkpoint {
                path: self.path.clone(),
                problem: error.to_string(),
            })?;
            if wanted(&line) {
                found.push(line);
            }
        }
        Ok(found)
    }

    fn json(&mut self, line: &impl Serialize) -> Result<()> {
        let mut bytes =
            serde_json::to_vec(line).map_err(|error| io("write", &self.path)(error.into()))?;
        bytes.push(b'\n');
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(io("write", &self.path))?;
        self.length += bytes.len() as u64;
        self.hasher.update(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_data())
            .map_err(io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that goes on says again what the step that it begins with had, of which TensorBoard forgets what others said.
    #[test]
    fn events_of_the_first_step_are_said_again() -> Result<()> {
        let folder = tempfile::tempdir().map_err(io("create", "temporary folder"))?;
        let events = folder.path().join("events");
        let values = BTreeMap::from([("loss".to_owned(), 1.5), ("odd".to_owned(), f64::NAN)]);
        let (event, kind, kinds) = ("train", "maximum-likelihood", BTreeMap::new());
        let line = |step| Line {
            event,
            phase: 0,
            kind,
            step,
            phase_step: step,
            note: None,
            values: &values,
            kinds: kinds.clone(),
        };
        let mut record = Record::open(folder.path(), &Written::default(), Some(&events), 0)?;
        record.line(&line(7))?;
        record.line(&line(8))?;
        let (greedy, sampled) = ("a dog".to_owned(), "a cat".to_owned());
        record.sample(&SampleLine { phase: 0, step: 8, index: 3, label: None, greedy, sampled })?;
        record.histogram(8, "weights", || Ok(vec![0.5; 4]))?;
        let written = record.sync()?;
        drop(record);
        drop(Record::open(folder.path(), &written, Some(&events), 8)?);
        let mut files: Vec<_> = std::fs::read_dir(&events)
            .map_err(io("read", &events))?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        files.sort();
        let [first, second] = &files[..] else { panic!("two files: {files:?}") };
        let count = |path: &PathBuf, what: &str| -> Result<usize> {
            let bytes = std::fs::read(path).map_err(io("read", path))?;
            Ok(bytes.windows(what.len()).filter(|window| *window == what.as_bytes()).count())
        };
        for (what, before, again) in
            [("train/loss", 2, 1), ("train/odd", 2, 1), ("samples/3", 1, 1), ("weights", 1, 0)]
        {
            assert_eq!((count(first, what)?, count(second, what)?), (before, again), "{what}");
        }
        Ok(())
    }

    #[test]
    fn what_was_written_after_the_checkpoint_is_cut() -> Result<()> {
        let folder = tempfile::tempdir().map_err(io("create", "temporary folder"))?;
        let mut record = Record::open(folder.path(), &Written::default(), None, 0)?;
        let values = BTreeMap::from([("loss".to_owned(), 1.5)]);
        let line = |step| Line {
            event: "train",
            phase: 0,
            kind: "maximum-likelihood",
            step,
            phase_step: step,
            note: None,
            values: &values,
            kinds: BTreeMap::new(),
        };
        record.line(&line(1))?;
        let at_checkpoint = record.sync()?;
        record.line(&line(2))?;
        record.sync()?;
        drop(record);

        let bytes = |name: &str| std::fs::read(folder.path().join(name)).map_err(io("read", name));
        let uninterrupted = bytes("metrics.jsonl")?;
        let mut record = Record::open(folder.path(), &at_checkpoint, None, 0)?;
        assert_eq!(bytes("metrics.jsonl")?.len() as u64, at_checkpoint.metrics.bytes);
        record.line(&line(2))?;
        record.sync()?;
        assert_eq!(bytes("metrics.jsonl")?, uninterrupted);
        drop(record);

        // A changed byte of what was written before is not gone on from.
        let mut damaged = bytes("metrics.jsonl")?;
        damaged[5] ^= 1;
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, damaged).map_err(io("write", &path))?;
        let error = Record::open(folder.path(), &at_checkpoint, None, 0).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("metrics.jsonl: its first"), "{error}");
        Ok(())
    }
}
