//! Bytes of other encodings become UTF-8.

use crate::Encoding;
use encoding_rs_io::DecodeReaderBytesBuilder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Marks of UTF-16 at the beginning of a file, little and big endian.
const MARKS: [[u8; 2]; 2] = [[0xFF, 0xFE], [0xFE, 0xFF]];

/// Whether a file begins like one of UTF-16.
pub(super) fn is_marked(path: &Path) -> bool {
    let mut beginning = [0; 2];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut beginning));
    read.is_ok() && MARKS.contains(&beginning)
}

/// `reader` as UTF-8: by a byte order mark, or by the encoding that is named. UTF-8 passes as it is, right
/// or wrong.
pub(super) fn decoded<'a>(
    mut reader: Box<dyn BufRead + 'a>,
    encoding: Encoding,
) -> io::Result<Box<dyn BufRead + 'a>> {
    // A buffer is filled with all that is at hand, so a file's first two bytes come together.
    let beginning = reader.fill_buf()?;
    let is_marked = MARKS.iter().any(|mark| beginning.starts_with(mark));
    let named = encoding.named();
    if !is_marked && named.is_none() {
        return Ok(reader);
    }
    let decoder = DecodeReaderBytesBuilder::new()
        .encoding(named)
        .bom_override(true)
        .strip_bom(true)
        .build(reader);
    Ok(Box::new(BufReader::with_capacity(128 << 10, decoder)))
}
