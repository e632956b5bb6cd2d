//! What there is: format, encoding, columns, and what a document is.

use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use textgan_corpus::{Encoding, Files, Label, Unit};

use crate::exit::Refusal;

/// Bytes of the first file that are looked at.
const BEGINNING: u64 = 1 << 20;
/// A column is a label if it has at most so many values ...
const MOST_CLASSES: usize = 30;
/// ... and a row in so many repeats one.
const REPEATED: usize = 4;

/// The text, as far as its first file tells.
pub struct Looked {
    pub source: Files,
    pub encoding: Encoding,
    /// Whether documents hold many sentences each.
    running: bool,
    /// What was found, as lines to read.
    found: Vec<String>,
}

impl Looked {
    /// Looks at a file or folder.
    ///
    /// # Errors
    /// There is nothing, or nothing that can be read.
    pub fn at(path: &Path) -> Result<Self> {
        let mut source = Files::new(path.to_string_lossy());
        let first = first_file(path)?;
        let name = first.to_string_lossy().to_ascii_lowercase();
        let packed =
            [".gz", ".zst", ".tgz", ".tar", ".parquet"].iter().any(|end| name.ends_with(end));
        let mut looked = Self {
            source: source.clone(),
            encoding: Encoding::Strict,
            running: false,
            found: Vec::new(),
        };
        if packed {
            return Ok(looked);
        }
        let mut bytes = Vec::new();
        let read = File::open(&first).and_then(|file| file.take(BEGINNING).read_to_end(&mut bytes));
        read.with_context(|| format!("cannot read {}", first.display()))?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Refusal::new(format!("{} has no text", first.display())).into());
        }
        let marked = bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]);
        // One or two have strayed into texts before.
        if !marked && bytes.iter().filter(|byte| **byte == 0).count() > bytes.len() / 1_000 + 1 {
            let message = format!("{} is no text: it is full of bytes of 0", first.display());
            return Err(Refusal::new(message).into());
        }
        looked.encoding = encoding(&bytes);
        if let Encoding::Named(encoding) = looked.encoding {
            looked.found.push(format!("encoding: {} (it is not UTF-8)", encoding.name()));
        }
        let text = text(&bytes, looked.encoding);
        if let Some(rows) = rows(&name, &text) {
            let columns = Columns::of(&rows);
            let Some(column) = columns.text() else {
                let message =
                    format!("{}: no column of text among {:?}", first.display(), columns.names());
                return Err(Refusal::new(message).into());
            };
            looked
                .found
                .push(format!("text: the column `{column}` of {}", columns.names().join(", ")));
            if let Some(label) = columns.label(&column) {
                looked.found.push(format!("labels: the column `{label}`"));
                source.label = Some(Label::Column(label));
            }
            looked.running = are_long(columns.of_name(&column));
            source.text = column;
        } else if is_wrapped(&text) {
            looked.found.push(
                "a document is a paragraph: lines are wrapped, and blank lines part them".into(),
            );
            source.unit = Unit::Paragraph;
            looked.running = true;
        } else {
            looked.running = are_long(text.lines());
        }
        if looked.running {
            looked.found.push("documents are long: they are cut into sentences".to_owned());
        }
        looked.source = source;
        Ok(looked)
    }

    /// Has the documents cut into sentences, as they are too few.
    pub fn cut_into_sentences(&mut self) {
        self.running = true;
        self.found.push("documents are few: they are cut into sentences".to_owned());
    }

    /// Whether documents are to be cut into sentences.
    pub fn is_running_text(&self) -> bool {
        self.running
    }

    /// The cleaning that every text gets.
    pub fn steps(&self) -> Vec<&'static str> {
        let mut steps = vec!["nfc", "control", "whitespace"];
        if self.is_running_text() {
            steps.push("sentences");
        }
        steps
    }

    /// What was found, as lines to read.
    pub fn lines(&self) -> Vec<String> {
        self.found.clone()
    }
}

/// The first file, in the order of names, that is no hidden one.
fn first_file(path: &Path) -> Result<PathBuf> {
    let metadata = fs::metadata(path).map_err(|error| {
        Refusal::new(format!("--from {}: {error}; give a file or a folder", path.display()))
    })?;
    if metadata.is_file() {
        return Ok(path.to_owned());
    }
    if !metadata.is_dir() {
        let message = format!(
            "--from {}: a pipe, device or socket; --from - reads the standard input",
            path.display()
        );
        return Err(Refusal::new(message).into());
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    entries.retain(|path| {
        !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
    });
    entries.sort();
    entries
        .iter()
        .find_map(|entry| first_file(entry).ok())
        .ok_or_else(|| Refusal::new(format!("{} has no files", path.display())).into())
}

fn encoding(bytes: &[u8]) -> Encoding {
    let marked = bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]);
    match std::str::from_utf8(bytes) {
        _ if marked => Encoding::Strict,
        Ok(_) => Encoding::Strict,
        // Cut in the midst of a character, where the look ended.
        Err(fault) if fault.error_len().is_none() => Encoding::Strict,
        Err(_) => Encoding::try_from("windows-1252".to_owned()).unwrap_or(Encoding::Replace),
    }
}

fn text(bytes: &[u8], encoding: Encoding) -> String {
    let utf16 = |from: fn([u8; 2]) -> u16| {
        let units: Vec<u16> =
            bytes.chunks_exact(2).skip(1).map(|pair| from([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match encoding {
        _ if bytes.starts_with(&[0xFF, 0xFE]) => utf16(u16::from_le_bytes),
        _ if bytes.starts_with(&[0xFE, 0xFF]) => utf16(u16::from_be_bytes),
        // Which letter a byte is does not matter here.
        Encoding::Named(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
        _ => String::from_utf8_lossy(bytes).trim_start_matches('\u{FEFF}').to_owned(),
    }
}

type Row = Vec<(String, Value)>;

/// The records of a file that has columns.
fn rows(name: &str, text: &str) -> Option<Vec<Row>> {
    // The last line may be cut.
    let whole = text.rfind('\n').map_or(text, |end| &text[..end]);
    let separated = |separator: u8| {
        let quoting = separator == b',';
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .quoting(quoting)
            .flexible(true)
            .from_reader(whole.as_bytes());
        let names: Vec<String> = reader.headers().ok()?.iter().map(str::to_owned).collect();
        let rows = reader.records().filter_map(Result::ok).map(|record| {
            let fields = record.iter().map(|field| Value::String(field.to_owned()));
            names.iter().cloned().zip(fields).collect()
        });
        Some(rows.collect())
    };
    match name.rsplit('.').next()? {
        "csv" => separated(b','),
        "tsv" => separated(b'\t'),
        "jsonl" | "ndjson" => Some(
            whole.lines().filter_map(|line| serde_json::from_str(line).ok()).map(fields).collect(),
        ),
        "json" => match serde_json::from_str::<Value>(text) {
            Ok(Value::Array(items)) => Some(items.into_iter().map(fields).collect()),
            // Longer than the look: its whole objects are found one by one.
            _ => {
                let inner = text.trim_start().strip_prefix('[')?;
                let mut values = serde_json::Deserializer::from_str(inner).into_iter::<Value>();
                values.next().and_then(Result::ok).map(|first| vec![fields(first)])
            }
        },
        _ => None,
    }
}

/// The values of an object by key, those of inner objects as `outer.inner`.
fn fields(value: Value) -> Row {
    let Value::Object(object) = value else { return Vec::new() };
    let mut row = Vec::new();
    for (name, value) in object {
        match value {
            Value::Object(inner) => {
                row.extend(inner.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            value => row.push((name, value)),
        }
    }
    row
}

/// The columns of some rows, with their values as text.
struct Columns {
    values: Vec<(String, Vec<String>)>,
    rows: usize,
}

impl Columns {
    fn of(rows: &[Row]) -> Self {
        let mut places = BTreeMap::new();
        let mut values: Vec<(String, Vec<String>)> = Vec::new();
        for (name, value) in rows.iter().flatten() {
            let place = *places.entry(name.clone()).or_insert_with(|| {
                values.push((name.clone(), Vec::new()));
                values.len() - 1
            });
            match value {
                Value::String(text) => values[place].1.push(text.clone()),
                Value::Number(_) | Value::Bool(_) => values[place].1.push(value.to_string()),
                _ => {}
            }
        }
        Self { values, rows: rows.len() }
    }

    fn names(&self) -> Vec<String> {
        self.values.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The values of a column.
    fn of_name(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.values.iter().filter(move |(known, _)| known == name);
        values.flat_map(|(_, values)| values.iter().map(String::as_str))
    }

    /// The column with the longest values that are no addresses.
    fn text(&self) -> Option<String> {
        let mean = |values: &[String]| {
            let texts = values.iter().filter(|value| !value.contains("://"));
            texts.map(String::len).sum::<usize>() as f64 / values.len().max(1) as f64
        };
        let longest = self.values.iter().max_by(|a, b| mean(&a.1).total_cmp(&mean(&b.1)))?;
        (mean(&longest.1) > 0.0).then(|| longest.0.clone())
    }

    /// The column, other than that of the text, that sorts rows into classes.
    fn label(&self, text: &str) -> Option<String> {
        let classes = |values: &[String]| values.iter().collect::<BTreeSet<_>>().len();
        let is_label = |values: &[String]| {
            let count = classes(values);
            let filled = values.iter().all(|value| !value.trim().is_empty() && value.len() < 40);
            filled
                && values.len() == self.rows
                && (2..=MOST_CLASSES).contains(&count)
                && count * REPEATED <= self.rows
        };
        let mut labels =
            self.values.iter().filter(|(name, values)| name != text && is_label(values));
        let named = |name: &str| {
            ["label", "class", "category", "topic", "sentiment"]
                .iter()
                .any(|word| name.contains(word))
        };
        let all: Vec<&String> = labels.by_ref().map(|(name, _)| name).collect();
        all.iter().find(|name| named(&name.to_lowercase())).copied().cloned()
    }
}

/// Characters of a document that is more than a sentence or two.
const LONG: usize = 400;

/// Whether most documents are long.
fn are_long<'a>(documents: impl Iterator<Item = &'a str>) -> bool {
    let filled: Vec<&str> = documents.filter(|text| !text.trim().is_empty()).collect();
    let long = filled.iter().filter(|text| text.chars().count() > LONG).count();
    long * 2 > filled.len()
}

/// Whether lines are those of a page, and paragraphs lie between blank lines.
fn is_wrapped(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let filled: Vec<&&str> = lines.iter().filter(|line| !line.trim().is_empty()).collect();
    let blank = lines.len() - filled.len();
    let ends = |line: &str| {
        line.trim_end().ends_with(['.', '!', '?', '"', '\u{201D}', ':', ';', '\u{3002}'])
    };
    let open = filled.iter().filter(|line| !ends(line)).count();
    let long = filled.iter().filter(|line| line.chars().count() > 50).count();
    blank * 20 > filled.len() && open * 2 > filled.len() && long * 2 > filled.len()
}
