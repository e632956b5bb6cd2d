//! From sources to records, one after the other, in memory that one record bounds.

mod archive;
mod csv;
mod decode;
mod encoding;
mod fetch;
mod guard;
mod html;
#[cfg(feature = "hub")]
mod hub;
mod json;
mod lines;
mod locate;
mod parquet;
mod record;

pub(crate) use decode::decode;
pub(crate) use guard::Watch;
pub(crate) use locate::local_files;
pub use locate::public_address;
pub(crate) use record::{Record, Rules};

use crate::stats::ReadStats;
use crate::{Error, Files, Format, OracleSource, Oversized, Place, Source, Synthetic, Unit};
use guard::{Input, Packing};
use lines::{Length, Lines, Rest};
use locate::{Address, format_of, hint_for, locate, parse_address};
use record::{Origin, Payload, Truth};
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow::{self, Break, Continue};
use std::path::Path;
use std::sync::Arc;
use textgan_random::Key;
use textgan_synthetic::Grammar;

/// Whether a reader should go on.
pub(crate) type Flow = ControlFlow<()>;

/// Where readers put records.
pub(crate) type Sink<'a> = dyn FnMut(Record) -> Result<Flow, Error> + 'a;

/// What all readers of an ingestion share.
pub(crate) struct Reading<'a> {
    pub(crate) rules: Rules,
    pub(crate) watch: Watch,
    /// The folder for files without a name: downloads, and Parquet from archives.
    pub(crate) spool: &'a Path,
}

/// Refuses a CSS selector that cannot be parsed.
pub(crate) fn check_selector(selector: &str) -> Result<(), Error> {
    scraper::Selector::parse(selector).map(drop).map_err(|_| {
        Error::config(
            "corpus.sources.selector",
            format!("is `{selector}`, which is not a CSS selector"),
        )
    })
}

/// Refuses an address of an unknown kind.
pub(crate) fn check_address(path: &str) -> Result<(), Error> {
    parse_address(path).map(drop)
}

/// Reads a source to its end or its limit. Samples of a known distribution are drawn below
/// `key`.
pub(crate) fn read_source(
    source: &Source,
    key: Key,
    reading: &Reading<'_>,
    stats: &mut ReadStats,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    match source {
        Source::Synthetic(synthetic) => read_synthetic(synthetic, key, sink),
        Source::Oracle(oracle) => read_oracle(oracle, key, sink),
        Source::Files(files) => {
            let mut left = files.limit.unwrap_or(u64::MAX);
            let mut limited = |record: Record| {
                let flow = sink(record)?;
                left -= 1;
                Ok(if left == 0 { Break(()) } else { flow })
            };
            read_files(files, reading, stats, &mut limited)
        }
    }
}

fn read_synthetic(synthetic: &Synthetic, key: Key, sink: &mut Sink<'_>) -> Result<(), Error> {
    let (grammar, file) = match &synthetic.grammar {
        None => (Truth::Embedded(Grammar::embedded()), "textgan-synthetic".into()),
        Some(path) => {
            let file = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
                std::io::ErrorKind::NotFound => Error::Missing { path: path.clone() },
                _ => Error::Read { file: file.clone(), source },
            })?;
            let grammar = Grammar::from_toml(&text)
                .map_err(|source| Error::Grammar { path: path.clone(), source })?;
            (Truth::Own(Arc::new(grammar)), file)
        }
    };
    draw(&file, &grammar, synthetic.documents, key, sink)
}

fn read_oracle(source: &OracleSource, key: Key, sink: &mut Sink<'_>) -> Result<(), Error> {
    let oracle = Arc::new(source.oracle()?);
    let name = oracle.name().to_owned();
    draw(&name, &Truth::Oracle { oracle, length: source.length }, source.documents, key, sink)
}

/// Asks for `documents` samples of `truth`.
fn draw(
    name: &str,
    truth: &Truth,
    documents: u64,
    key: Key,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let files = Arc::new(Files::new(name));
    let origin = Arc::new(Origin { file: name.into(), files, folder: None });
    for index in 0..documents {
        let payload = Payload::Sample(key.index(index), truth.clone());
        if let Break(()) =
            sink(Record { origin: Arc::clone(&origin), line: 0, offset: 0, payload })?
        {
            break;
        }
    }
    Ok(())
}

fn read_files(
    files: &Files,
    reading: &Reading<'_>,
    stats: &mut ReadStats,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let layout = Arc::new(files.clone());
    match parse_address(&files.path)? {
        Address::Local(path) => {
            let located = locate(path, files)?;
            stats.skipped_files += located.skipped;
            if files.blake3.is_some() && located.paths.len() != 1 {
                let message =
                    format!("pins one file, but `{}` names {}", files.path, located.paths.len());
                return Err(Error::config("corpus.sources.blake3", message));
            }
            for path in located.paths {
                let name = path.to_string_lossy();
                let open = || {
                    File::open(&path).map_err(|source| match source.kind() {
                        std::io::ErrorKind::NotFound => Error::Missing { path: path.clone() },
                        _ => Error::Read { file: name.to_string(), source },
                    })
                };
                if let Some(expected) = &files.blake3 {
                    let found = textgan_artifact::hash_file(&path)?;
                    check_hash(&name, expected, &found)?;
                }
                if let Break(()) = read_file(open()?, &name, &layout, reading, stats, sink)? {
                    break;
                }
            }
            Ok(())
        }
        Address::Url(url) => {
            let fetched = fetch::fetch(url, reading)?;
            if let Some(expected) = &files.blake3 {
                check_hash(&public_address(url), expected, &fetched.blake3)?;
            }
            read_file(fetched.file, &public_address(url), &layout, reading, stats, sink).map(drop)
        }
        #[cfg(feature = "hub")]
        Address::Hub(address) => {
            for (name, path) in hub::fetch(&files.path, &address)? {
                let file = File::open(&path)
                    .map_err(|source| Error::Read { file: name.clone(), source })?;
                if let Break(()) = read_file(file, &name, &layout, reading, stats, sink)? {
                    break;
                }
            }
            Ok(())
        }
        #[cfg(not(feature = "hub"))]
        Address::Hub(hub) => Err(Error::NoHub { repository: hub.repository.into() }),
    }
}

fn check_hash(file: &str, expected: &str, found: &str) -> Result<(), Error> {
    if expected.eq_ignore_ascii_case(found) {
        return Ok(());
    }
    Err(Error::HashMismatch {
        file: file.into(),
        expected: expected.to_ascii_lowercase(),
        found: found.into(),
    })
}

/// Reads a file from disk; `name` tells its format, unless the layout does.
fn read_file(
    file: File,
    name: &str,
    layout: &Arc<Files>,
    reading: &Reading<'_>,
    stats: &mut ReadStats,
    sink: &mut Sink<'_>,
) -> Result<Flow, Error> {
    let format = layout
        .format
        .or_else(|| format_of(name))
        .ok_or_else(|| Error::UnknownFormat { file: name.into(), hint: hint_for(name) })?;
    let packing = Packing::new(layout.compression, &name.to_ascii_lowercase());
    if format == Format::Parquet && packing == Packing::None {
        stats.files += 1;
        return parquet::read(file, &origin(name, layout), reading, sink);
    }
    let input = Input::new(name.into(), file, packing, reading.rules.limits, &reading.watch, true)?;
    if format == Format::Tar {
        return archive::read(input, layout, reading, stats, sink);
    }
    read_input(input, name, format, layout, reading, stats, sink)
}

/// Reads an unpacked stream of any format but an archive.
fn read_input(
    mut input: Input<'_>,
    name: &str,
    format: Format,
    layout: &Arc<Files>,
    reading: &Reading<'_>,
    stats: &mut ReadStats,
    sink: &mut Sink<'_>,
) -> Result<Flow, Error> {
    stats.files += 1;
    let origin = origin(name, layout);
    if format != Format::Parquet {
        input.reader = encoding::decoded(input.reader, reading.rules.encoding)
            .map_err(|error| input.faults.error(error))?;
    }
    match format {
        Format::Csv | Format::Tsv => csv::read(input, &origin, format, reading, sink),
        Format::Parquet => {
            let file = spool(&mut input, reading)?;
            parquet::read(file, &origin, reading, sink)
        }
        Format::Text | Format::Jsonl | Format::Html => {
            read_lines(input, &origin, format, reading, stats, sink)
        }
        Format::Json => json::read(input, &origin, reading, sink),
        Format::Tar => Err(Error::UnknownFormat {
            file: name.into(),
            hint: "; an archive in an archive is not read",
        }),
    }
}

fn origin(name: &str, layout: &Arc<Files>) -> Arc<Origin> {
    let folder = name.rsplit_once('/').and_then(|(parent, _)| parent.rsplit('/').next());
    Arc::new(Origin {
        file: name.into(),
        files: Arc::clone(layout),
        folder: folder.map(String::from),
    })
}

fn read_lines(
    input: Input<'_>,
    origin: &Arc<Origin>,
    format: Format,
    reading: &Reading<'_>,
    stats: &mut ReadStats,
    sink: &mut Sink<'_>,
) -> Result<Flow, Error> {
    let limits = reading.rules.limits;
    let (max, unit) = match format {
        Format::Text => (limits.max_document_bytes, origin.files.unit),
        Format::Html => (limits.max_record_bytes(), Unit::File),
        _ => (limits.max_record_bytes(), Unit::Line),
    };
    let rest = match limits.oversized {
        Oversized::Refuse => Rest::Leave,
        Oversized::Drop => Rest::Skip,
    };
    let mut lines = Lines::new(input.reader, max, rest);
    let mut buffer = Vec::new();
    let flow = loop {
        let offset = lines.offset;
        let (read, what) = match unit {
            Unit::Line => (lines.read_line(&mut buffer), "line"),
            Unit::Paragraph => (lines.read_paragraph(&mut buffer), "paragraph"),
            Unit::File => (lines.read_all(&mut buffer), "file"),
        };
        let Some(length) = read.map_err(|e| input.faults.error(e))? else { break Continue(()) };
        if length == Length::Whole && lines::is_blank(&buffer) {
            lines.blank += 1;
            continue;
        }
        let line = if unit == Unit::File { 0 } else { lines.line };
        if length == Length::TooLong && rest == Rest::Leave {
            return Err(Error::TooLong {
                place: Place { file: Arc::clone(&origin.file), line },
                what,
                limit: max,
                max_document_bytes: limits.max_document_bytes,
            });
        }
        let bytes = std::mem::take(&mut buffer);
        let payload = match (length, format) {
            (Length::TooLong, _) => Payload::Beginning(bytes),
            (_, Format::Jsonl) => Payload::Json(bytes),
            (_, Format::Html) => Payload::Html(bytes),
            _ => Payload::Text(bytes),
        };
        if let Break(()) = sink(Record { origin: Arc::clone(origin), line, offset, payload })? {
            break Break(());
        }
    };
    stats.blank_lines += lines.blank;
    Ok(flow)
}

/// Writes a stream to a file without a name, for readers that seek.
fn spool(input: &mut Input<'_>, reading: &Reading<'_>) -> Result<File, Error> {
    let fail = |source| Error::Write { path: reading.spool.to_path_buf(), source };
    let mut file = tempfile::tempfile_in(reading.spool).map_err(fail)?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        let n = input.reader.read(&mut buffer).map_err(|e| input.faults.error(e))?;
        if n == 0 {
            break;
        }
        std::io::Write::write_all(&mut file, &buffer[..n]).map_err(fail)?;
    }
    std::io::Seek::rewind(&mut file).map_err(fail)?;
    Ok(file)
}
