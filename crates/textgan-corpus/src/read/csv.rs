//! CSV and TSV.

use super::record::{Origin, Payload, Record};
use super::{Flow, Reading, Sink};
use crate::read::guard::Input;
use crate::{Error, Format, Label, Place};
use std::io::{self, Read};
use std::ops::ControlFlow::{Break, Continue};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Where the wanted columns are.
pub(crate) struct Columns {
    pub(crate) text: usize,
    pub(crate) label: Option<usize>,
    /// Names and places.
    pub(crate) metadata: Vec<(String, usize)>,
}

const BUFFER: usize = 64 << 10;

pub(super) fn read(
    input: Input<'_>,
    origin: &Arc<Origin>,
    format: Format,
    reading: &Reading<'_>,
    sink: &mut Sink<'_>,
) -> Result<Flow, Error> {
    let Input { file, reader, faults } = input;
    let max = reading.rules.limits.max_record_bytes();
    let budget = Arc::new(AtomicU64::new(0));
    let refill = || budget.store(max.saturating_add(BUFFER as u64), Relaxed);
    refill();
    let files = &origin.files;
    let delimiter = if format == Format::Tsv { b'\t' } else { b',' };
    let quoted = files.quoted.unwrap_or(format == Format::Csv);
    let wrong = Arc::new(OnceLock::new());
    let mut reader = ::csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(files.columns.is_empty())
        .quoting(quoted)
        .buffer_capacity(BUFFER)
        .from_reader(Quotes {
            inner: Budgeted { inner: reader, left: Arc::clone(&budget) },
            delimiter,
            state: if quoted { At::FieldStart } else { At::NoQuotes },
            line: 1,
            opened: 1,
            wrong: Arc::clone(&wrong),
        });

    let fail = |error: ::csv::Error, line: u64| -> Error {
        let place = |line| Place { file: Arc::clone(&file), line };
        if let Some((line, message)) = wrong.get() {
            return Error::Malformed { place: place(*line), message: (*message).to_owned() };
        }
        let place = |line| Place { file: Arc::clone(&file), line };
        let line = error.position().map_or(line, ::csv::Position::line);
        let message = error.to_string();
        match error.into_kind() {
            ::csv::ErrorKind::Io(_) if budget.load(Relaxed) == 0 => Error::TooLong {
                place: place(line),
                what: "record (is a quote left open?)",
                limit: max,
                max_document_bytes: reading.rules.limits.max_document_bytes,
            },
            ::csv::ErrorKind::Io(source) => faults.error(source),
            ::csv::ErrorKind::UnequalLengths { expected_len, len, .. } => Error::Malformed {
                place: place(line),
                message: format!(
                    "a record of {len} fields where {expected_len} are expected; is a quote or separator wrong?"
                ),
            },
            _ => Error::Malformed { place: place(line), message },
        }
    };

    let names: Vec<String> = if files.columns.is_empty() {
        let header = reader.byte_headers().map_err(|e| fail(e, 1))?;
        header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    } else {
        files.columns.clone()
    };
    if names.is_empty() {
        return Ok(Continue(()));
    }
    let columns = Arc::new(find(&names, origin)?);
    let mut record = ::csv::ByteRecord::new();
    loop {
        refill();
        let begin = reader.position().line();
        if !reader.read_byte_record(&mut record).map_err(|e| fail(e, begin))? {
            return Ok(Continue(()));
        }
        let (line, offset) = record.position().map_or((begin, 0), |p| (p.line(), p.byte()));
        if record.len() != names.len() {
            let message = format!(
                "a record of {} fields where `columns` names {}",
                record.len(),
                names.len()
            );
            return Err(Error::Malformed { place: Place { file, line }, message });
        }
        let payload = Payload::Csv(std::mem::take(&mut record), Arc::clone(&columns));
        if let Break(()) = sink(Record { origin: Arc::clone(origin), line, offset, payload })? {
            return Ok(Break(()));
        }
    }
}

fn find(names: &[String], origin: &Origin) -> Result<Columns, Error> {
    let find = |wanted: &str| {
        names.iter().position(|name| name == wanted).ok_or_else(|| Error::MissingColumn {
            place: Place::whole(&origin.file),
            column: wanted.to_string(),
            present: names.to_vec(),
        })
    };
    let files = &origin.files;
    Ok(Columns {
        text: find(&files.text)?,
        label: match &files.label {
            Some(Label::Column(name)) => Some(find(name)?),
            _ => None,
        },
        metadata: files
            .metadata
            .iter()
            .map(|name| Ok((name.clone(), find(name)?)))
            .collect::<Result<_, Error>>()?,
    })
}

/// Where a stream of fields is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    FieldStart,
    InField,
    InQuotes,
    /// After a quote within quotes: another makes one quote of text, all else must end the field.
    AfterQuote,
    /// Quotes are text here.
    NoQuotes,
}

/// A stream that ends in an error where quotes are wrong: characters after a closing one, or the end of
/// the file before it. Else an open quote would swallow all the records that follow.
struct Quotes<R> {
    inner: R,
    delimiter: u8,
    state: At,
    line: u64,
    /// The line of the last opening quote.
    opened: u64,
    wrong: Arc<OnceLock<(u64, &'static str)>>,
}

impl<R> Quotes<R> {
    fn look(&mut self, byte: u8) -> io::Result<()> {
        let ends = byte == self.delimiter || byte == b'\n' || byte == b'\r';
        self.state = match (self.state, byte) {
            (At::NoQuotes, _) => At::NoQuotes,
            (At::FieldStart, b'"') => {
                self.opened = self.line;
                At::InQuotes
            }
            (At::InQuotes, b'"') => At::AfterQuote,
            (At::AfterQuote, b'"') | (At::InQuotes, _) => At::InQuotes,
            _ if ends => At::FieldStart,
            (At::AfterQuote, _) => {
                return Err(self.refuse(
                    "characters after a closing quote, in a field whose quote opens here; double the quotes \
                     that are text, or set `quoted = false` for the source",
                ));
            }
            _ => At::InField,
        };
        self.line += u64::from(byte == b'\n');
        Ok(())
    }

    fn refuse(&self, message: &'static str) -> io::Error {
        let _ = self.wrong.set((self.opened, message));
        io::Error::other(message)
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if n == 0 && !buffer.is_empty() && self.state == At::InQuotes {
            return Err(self.refuse(
                "a quote that opens here is never closed; close it, or set `quoted = false` for the source",
            ));
        }
        if self.state != At::NoQuotes {
            buffer[..n].iter().try_for_each(|&byte| self.look(byte))?;
        }
        Ok(n)
    }
}

/// A stream that ends in an error when a budget is used up, so that one record with an open quote
/// is not collected for ever.
struct Budgeted<R> {
    inner: R,
    left: Arc<AtomicU64>,
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.load(Relaxed);
        if left == 0 {
            return Err(io::Error::other("record too long"));
        }
        let room = (buffer.len() as u64).min(left) as usize;
        let n = self.inner.read(&mut buffer[..room])?;
        self.left.store(left - n as u64, Relaxed);
        Ok(n)
    }
}
