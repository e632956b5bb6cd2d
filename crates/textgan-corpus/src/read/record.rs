//! What readers hand over: bytes of one document, still to be decoded.

use crate::{Encoding, Error, Files, Limits, Place};
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::Arc;
use textgan_random::{Key, Stream};
use textgan_synthetic::{Grammar, Oracle};

/// Where records come from: one file and the layout the config gives it.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) file: Arc<str>,
    pub(crate) files: Arc<Files>,
    /// The name of the folder that the file is in.
    pub(crate) folder: Option<String>,
    /// The byte of the file from which on lines were counted.
    pub(crate) start: u64,
}

impl Origin {
    pub(crate) fn new(name: &str, layout: &Arc<Files>) -> Self {
        let folder = name.rsplit_once('/').and_then(|(parent, _)| parent.rsplit('/').next());
        Self {
            file: name.into(),
            files: Arc::clone(layout),
            folder: folder.map(String::from),
            start: 0,
        }
    }

    /// The error with its line as it is counted from the beginning of the file.
    pub(crate) fn located(&self, mut error: Error) -> Error {
        // It must be told, if need be with a line that is too low.
        if self.start > 0
            && let Some(place) = error.place_mut().filter(|place| place.line > 0)
            && let Ok(lines) = lines_before(Path::new(&*self.file), self.start)
        {
            place.line += lines;
        }
        error
    }
}

/// The lines that a reader of the lines from byte `start` on did not count.
fn lines_before(path: &Path, start: u64) -> io::Result<u64> {
    let Some(end) = start.checked_sub(1) else { return Ok(0) };
    let mut reader = io::BufReader::with_capacity(128 << 10, File::open(path)?).take(end);
    let mut lines = 0;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(lines);
        }
        lines += buffer.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let read = buffer.len();
        reader.consume(read);
    }
}

/// One document as it lies in its file. Decoding it is left to the parallel part.
pub(crate) struct Record {
    pub(crate) origin: Arc<Origin>,
    /// Line or record from 1, or 0.
    pub(crate) line: u64,
    /// Where it begins in the (unpacked) file, if known.
    pub(crate) offset: u64,
    pub(crate) payload: Payload,
}

pub(crate) enum Payload {
    Text(Vec<u8>),
    Json(Vec<u8>),
    Html(Vec<u8>),
    Csv(csv::ByteRecord, Arc<super::csv::Columns>),
    /// Already text: a row of a Parquet file.
    Fields {
        text: Option<String>,
        label: Option<String>,
        metadata: Option<String>,
    },
    /// A sample of a known distribution, and the name of its random stream.
    Sample(Key, Truth),
    /// The beginning of a document that is too long.
    Beginning(Vec<u8>),
}

/// The distribution that a source draws from.
#[derive(Clone)]
pub(crate) enum Truth {
    Embedded(&'static Grammar),
    Own(Arc<Grammar>),
    Oracle { oracle: Arc<Oracle>, length: usize },
}

impl Truth {
    /// A text and its label.
    pub(crate) fn sample(&self, stream: &mut Stream) -> (String, Option<String>) {
        let grammar = match self {
            Self::Embedded(grammar) => grammar,
            Self::Own(grammar) => grammar.as_ref(),
            Self::Oracle { oracle, length } => {
                return (oracle.text(&oracle.sample(*length, stream)), None);
            }
        };
        let (text, label) = grammar.sample(stream);
        (text, label.map(str::to_owned))
    }
}

impl Record {
    pub(crate) fn place(&self) -> Place {
        Place { file: Arc::clone(&self.origin.file), line: self.line }
    }

    /// Roughly the memory that the record takes.
    pub(crate) fn bytes(&self) -> usize {
        64 + match &self.payload {
            Payload::Text(bytes)
            | Payload::Json(bytes)
            | Payload::Html(bytes)
            | Payload::Beginning(bytes) => bytes.len(),
            Payload::Csv(record, _) => record.as_slice().len(),
            Payload::Fields { text, metadata, .. } => {
                text.as_ref().map_or(0, String::len) + metadata.as_ref().map_or(0, String::len)
            }
            Payload::Sample(..) => 200,
        }
    }
}

/// The rules by which bytes become text.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) encoding: Encoding,
    pub(crate) limits: Limits,
}

impl Rules {
    /// Bytes to text; `offset` is where they begin in the file.
    pub(crate) fn text(&self, bytes: Vec<u8>, place: &Place, offset: u64) -> Result<String, Error> {
        String::from_utf8(bytes).or_else(|error| match self.encoding {
            Encoding::Replace | Encoding::Named(_) => {
                Ok(String::from_utf8_lossy(error.as_bytes()).into_owned())
            }
            Encoding::Strict => {
                let at = error.utf8_error().valid_up_to() as u64;
                // Where all other bytes above ASCII are of it, too, it is most likely this one.
                let hint = match std::str::from_utf8(error.as_bytes()) {
                    Err(fault) if fault.error_len() == Some(1) => {
                        ", as in files in Latin-1: name that with corpus.encoding = \"windows-1252\""
                    }
                    _ => "",
                };
                Err(Error::NotUtf8 { place: place.clone(), byte: offset + at, hint })
            }
        })
    }
}
