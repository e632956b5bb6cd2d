//! From sources to records, one after the other, in memory that one record bounds.

mod archive;
#[cfg(feature = "cloud")]
mod cloud;
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

#[cfg(feature = "cloud")]
pub(crate) use cloud::Object;
pub(crate) use decode::decode;
pub(crate) use guard::Watch;
pub(crate) use locate::local_files;
pub use locate::public_address;
pub(crate) use record::{Origin, Record, Rules};

use crate::stats::ReadStats;
use crate::{Error, Files, Format, OracleSource, Oversized, Place, Source, Synthetic, Unit};
use guard::{Input, Packing};
use lines::{Length, Lines, Rest};
use locate::{Address, Located, format_of, hint_for, locate, parse_address};
use record::{Payload, Truth};
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow::{self, Break, Continue};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
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

/// A part of a source, which one process reads whole.
pub(crate) enum Part {
    /// All of it. Nobody knows before what is behind an address, or where a limit over files falls.
    Whole {
        /// Its size, if it is known.
        bytes: Option<u64>,
    },
    /// One of its local files.
    File {
        path: PathBuf,
        bytes: u64,
        /// Files that were passed over on the way to this one.
        skipped: u64,
    },
    /// The lines of a local file that begin in a range of its bytes.
    Lines { path: PathBuf, range: Range<u64>, skipped: u64 },
    /// An object of a store.
    #[cfg(feature = "cloud")]
    Object { object: cloud::Object, skipped: u64 },
    /// Samples of a known distribution, by number.
    Samples(Range<u64>),
}

impl Part {
    /// Takes `next` in, if it goes on where this one ends.
    pub(crate) fn join(&mut self, next: &Self) -> bool {
        let (range, more) = match (self, next) {
            (Self::Samples(range), Self::Samples(more)) => (range, more),
            (Self::Lines { path, range, .. }, Self::Lines { path: same, range: more, .. })
                if *path == *same =>
            {
                (range, more)
            }
            _ => return false,
        };
        let follows = range.end == more.start;
        if follows {
            range.end = more.end;
        }
        follows
    }
}

/// Samples in a piece of a part, at least.
const PIECE_SAMPLES: u64 = 1024;
/// Bytes in a piece of a file, at least.
const PIECE_BYTES: u64 = 1 << 20;
/// Pieces of a part, at most.
const PIECES: u64 = 4096;

/// The parts of a source, in the order of reading.
pub(crate) fn parts(source: &Source) -> Result<Vec<Part>, Error> {
    let files = match source {
        Source::Synthetic(Synthetic { documents, .. })
        | Source::Oracle(OracleSource { documents, .. }) => {
            return Ok(vec![Part::Samples(0..*documents)]);
        }
        Source::Files(files) => files,
    };
    let path = match parse_address(&files.path)? {
        Address::Local(path) => path,
        #[cfg(feature = "cloud")]
        Address::Objects(address) if files.limit.is_none() => {
            let (objects, mut skipped) = cloud::list(address, files)?;
            check_pin(files, objects.len())?;
            let part = |object| Part::Object { object, skipped: std::mem::take(&mut skipped) };
            return Ok(objects.into_iter().map(part).collect());
        }
        Address::Url(_) | Address::Hub(_) | Address::Objects(_) => {
            return Ok(vec![Part::Whole { bytes: None }]);
        }
    };
    let Located { paths, mut skipped } = locate(path, files)?;
    check_pin(files, paths.len())?;
    let size = |path: &PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
    if files.limit.is_some() {
        return Ok(vec![Part::Whole { bytes: Some(paths.iter().map(size).sum()) }]);
    }
    let part = |path| {
        let (bytes, skipped) = (size(&path), std::mem::take(&mut skipped));
        Part::File { path, bytes, skipped }
    };
    Ok(paths.into_iter().map(part).collect())
}

/// A hash pins one file.
fn check_pin(files: &Files, count: usize) -> Result<(), Error> {
    if files.blake3.is_none() || count == 1 {
        return Ok(());
    }
    let message = format!("pins one file, but `{}` names {count}", files.path);
    Err(Error::config("corpus.sources.blake3", message))
}

/// Cuts a part into pieces: samples anywhere, and a file of lines of text that is neither packed nor in another encoding.
pub(crate) fn cut(part: Part, files: Option<&Files>, rules: Rules) -> Vec<Part> {
    let pieces = |whole: Range<u64>, size: u64| {
        let starts = whole.clone().step_by(usize::try_from(size).unwrap_or(usize::MAX));
        starts.map(move |start| start..start.saturating_add(size).min(whole.end))
    };
    if let Part::Samples(range) = part {
        let size = PIECE_SAMPLES.max((range.end - range.start).div_ceil(PIECES));
        return pieces(range, size).map(Part::Samples).collect();
    }
    let (Part::File { path, bytes, skipped }, Some(files)) = (&part, files) else {
        return vec![part];
    };
    let name = path.to_string_lossy();
    let has_lines = match files.format.or_else(|| format_of(&name)) {
        Some(Format::Text) => files.unit == Unit::Line,
        Some(Format::Jsonl) => true,
        _ => false,
    };
    let is_plain = Packing::new(files.compression, &name.to_ascii_lowercase()) == Packing::None
        && files.blake3.is_none()
        && rules.encoding.named().is_none()
        && *bytes <= rules.limits.max_file_bytes;
    if !has_lines || !is_plain || *bytes <= PIECE_BYTES || encoding::is_marked(path) {
        return vec![part];
    }
    let size = PIECE_BYTES.max(bytes.div_ceil(PIECES));
    let lines = |range: Range<u64>| Part::Lines {
        path: path.clone(),
        skipped: if range.start == 0 { *skipped } else { 0 },
        range,
    };
    pieces(0..*bytes, size).map(lines).collect()
}

/// Reads a part of a source to its end or its limit. Samples of a known distribution are drawn below
/// `key`.
pub(crate) fn read_part(
    source: &Source,
    part: &Part,
    key: Key,
    reading: &Reading<'_>,
    stats: &mut ReadStats,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    match (source, part) {
        (Source::Synthetic(synthetic), Part::Samples(range)) => {
            read_synthetic(synthetic, range.clone(), key, reading, sink)
        }
        (Source::Oracle(oracle), Part::Samples(range)) => {
            read_oracle(oracle, range.clone(), key, reading, sink)
        }
        (Source::Files(files), Part::File { path, skipped, .. }) => {
            stats.skipped_files += skipped;
            read_local(path, &Arc::new(files.clone()), reading, stats, sink).map(drop)
        }
        (Source::Files(files), Part::Lines { path, range, skipped }) => {
            stats.skipped_files += skipped;
            read_range(path, range, &Arc::new(files.clone()), reading, stats, sink).map(drop)
        }
        #[cfg(feature = "cloud")]
        (Source::Files(files), Part::Object { object, skipped }) => {
            stats.skipped_files += skipped;
            read_object(object, &Arc::new(files.clone()), reading, stats, sink).map(drop)
        }
        (Source::Files(files), Part::Whole { .. } | Part::Samples(_)) => {
            let mut left = files.limit.unwrap_or(u64::MAX);
            let mut limited = |record: Record| {
                let flow = sink(record)?;
                left -= 1;
                Ok(if left == 0 { Break(()) } else { flow })
            };
            read_files(files, reading, stats, &mut limited)
        }
        // Sources of samples are cut into nothing else.
        (Source::Synthetic(_) | Source::Oracle(_), _) => Ok(()),
    }
}

fn read_synthetic(
    synthetic: &Synthetic,
    numbers: Range<u64>,
    key: Key,
    reading: &Reading<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
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
    draw(&file, &grammar, numbers, key, reading, sink)
}

fn read_oracle(
    source: &OracleSource,
    numbers: Range<u64>,
    key: Key,
    reading: &Reading<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let oracle = Arc::new(source.oracle()?);
    let name = oracle.name().to_owned();
    draw(&name, &Truth::Oracle { oracle, length: source.length }, numbers, key, reading, sink)
}

/// Asks for the samples of `truth` of these numbers.
fn draw(
    name: &str,
    truth: &Truth,
    numbers: Range<u64>,
    key: Key,
    reading: &Reading<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let files = Arc::new(Files::new(name));
    let origin = Arc::new(Origin { file: name.into(), files, folder: None, start: 0 });
    for index in numbers {
        let payload = Payload::Sample(key.index(index), truth.clone());
        reading.watch.bytes.fetch_add(1, Relaxed);
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
            for path in located.paths {
                if let Break(()) = read_local(&path, &layout, reading, stats, sink)? {
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
        #[cfg(feature = "cloud")]
        Address::Objects(address) => {
            let (objects, skipped) = cloud::list(address, files)?;
            check_pin(files, objects.len())?;
            stats.skipped_files += skipped;
            for object in objects {
                if let Break(()) = read_object(&object, &layout, reading, stats, sink)? {
                    break;
                }
            }
            Ok(())
        }
        #[cfg(not(feature = "cloud"))]
        Address::Objects(address) => Err(Error::NoCloud { address: address.into() }),
    }
}

/// Reads an object of a store.
#[cfg(feature = "cloud")]
fn read_object(
    object: &Object,
    layout: &Arc<Files>,
    reading: &Reading<'_>,
    stats: &mut ReadStats,
    sink: &mut Sink<'_>,
) -> Result<Flow, Error> {
    let fetched = cloud::fetch(object, reading)?;
    if let Some(expected) = &layout.blake3 {
        check_hash(&object.name, expected, &fetched.blake3)?;
    }
    read_file(fetched.file, &object.name, layout, reading, stats, sink)
}

/// Reads a file of this machine.
fn read_local(
    path: &Path,
    layout: &Arc<Files>,
    reading: &Reading<'_>,
    stats: &mut ReadStats,
    sink: &mut Sink<'_>,
) -> Result<Flow, Error> {
    let name = path.to_string_lossy();
    let file = open_local(path)?;
    if let Some(expected) = &layout.blake3 {
        let found = textgan_artifact::hash_file(path)?;
        check_hash(&name, expected, &found)?;
    }
    read_file(file, &name, layout, reading, stats, sink)
}

/// Reads the lines that begin in `range` of a file of this machine, one that [`cut`] has cut.
fn read_range(
    path: &Path,
    range: &Range<u64>,
    layout: &Arc<Files>,
    reading: &Reading<'_>,
    stats: &mut ReadStats,
    sink: &mut Sink<'_>,
) -> Result<Flow, Error> {
    let name = path.to_string_lossy();
    let mut file = open_local(path)?;
    // A line that begins before the range ends after the first line end from the byte before it on.
    let mut start = range.start.saturating_sub(1);
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(start))
        .map_err(|source| Error::Read { file: name.to_string(), source })?;
    let (limits, watch) = (reading.rules.limits, &reading.watch);
    let mut input = Input::new(name.as_ref().into(), file, Packing::None, limits, watch, true)?;
    if range.start > 0 {
        let skipped = std::io::BufRead::skip_until(&mut input.reader, b'\n');
        start += skipped.map_err(|error| input.faults.error(error))? as u64;
    }
    stats.files += u64::from(range.start == 0);
    let format = layout.format.or_else(|| format_of(&name)).unwrap_or(Format::Text);
    let origin = Arc::new(Origin { start: range.start, ..Origin::new(&name, layout) });
    let read = read_lines(input, &origin, format, start..range.end, reading, stats, sink);
    read.map_err(|error| origin.located(error))
}

fn open_local(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Missing { path: path.to_owned() },
        _ => Error::Read { file: path.to_string_lossy().into_owned(), source },
    })
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
            read_lines(input, &origin, format, 0..u64::MAX, reading, stats, sink)
        }
        Format::Json => json::read(input, &origin, reading, sink),
        Format::Tar => Err(Error::UnknownFormat {
            file: name.into(),
            hint: "; an archive in an archive is not read",
        }),
    }
}

fn origin(name: &str, layout: &Arc<Files>) -> Arc<Origin> {
    Arc::new(Origin::new(name, layout))
}

/// Reads the lines that begin in `range` of a file, from its beginning on, where one does.
fn read_lines(
    input: Input<'_>,
    origin: &Arc<Origin>,
    format: Format,
    range: Range<u64>,
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
    let mut lines = Lines::new(input.reader, max, rest).at(range.start);
    let mut buffer = Vec::new();
    let flow = loop {
        let offset = lines.offset;
        if offset >= range.end {
            break Continue(());
        }
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
