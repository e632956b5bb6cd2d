//! CSV and TSV.

use super::record::{Origin, Payload, Record};
use super::{Flow, Reading, Sink};
use crate::read::guard::Input;
use crate::{Error, Format, Label, Place};
use std::io::{self, Read};
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
    let mut reader = ::csv::ReaderBuilder::new()
        .delimiter(if format == Format::Tsv { b'\t' } else { b',' })
        .has_headers(files.columns.is_empty())
        .buffer_capacity(BUFFER)
        .from_reader(Budgeted { inner: reader, left: Arc::clone(&budget) });

    let fail = |error: ::csv::Error, line: u64| -> Error {
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
