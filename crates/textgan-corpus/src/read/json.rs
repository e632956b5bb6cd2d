//! An array of JSON objects, one record each.

use super::guard::Input;
use super::record::{Origin, Payload, Record};
use super::{Flow, Reading, Sink};
use crate::{Error, Place};
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;

/// Finds where the elements of an array begin and end; what is in them is for the parallel part.
#[derive(Default)]
struct Scan {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Whether the element at hand is over before `byte`, at a separator or the end of the array.
    fn ends_before(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b',' | b']' if self.depth == 0 => return true,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        false
    }
}

pub(super) fn read(
    input: Input<'_>,
    origin: &Arc<Origin>,
    reading: &Reading<'_>,
    sink: &mut Sink<'_>,
) -> Result<Flow, Error> {
    let Input { file, mut reader, faults } = input;
    let limit = reading.rules.limits.max_record_bytes();
    let malformed = |line: u64, message: &str| Error::Malformed {
        place: Place { file: Arc::clone(&file), line },
        message: message.to_owned(),
    };
    let (mut element, mut scan) = (Vec::new(), Scan::default());
    // Of the array: whether it has begun, and whether it is over.
    let (mut begun, mut over) = (false, false);
    let (mut line, mut begin, mut offset, mut number) = (1, 1, 0, 0_u64);
    loop {
        let available = reader.fill_buf().map_err(|error| faults.error(error))?;
        if available.is_empty() {
            return match (begun, over) {
                (true, true) => Ok(Continue(())),
                (false, _) => {
                    Err(malformed(line, "not an array of objects; one object a line is `jsonl`"))
                }
                _ => Err(malformed(line, "the file ends within the array: it is cut")),
            };
        }
        let length = available.len();
        let mut found = Vec::new();
        for &byte in available {
            offset += 1;
            line += u64::from(byte == b'\n');
            let blank = byte.is_ascii_whitespace();
            if !begun {
                // A byte order mark and blanks may come first.
                match byte {
                    b'[' => begun = true,
                    0xEF | 0xBB | 0xBF => {}
                    _ if blank => {}
                    _ => {
                        let message = "not an array of objects; one object a line is `jsonl`";
                        return Err(malformed(line, message));
                    }
                }
            } else if over {
                if !blank {
                    return Err(malformed(line, "there is more after the end of the array"));
                }
            } else if scan.ends_before(byte) {
                over = byte == b']';
                let whole = std::mem::take(&mut element);
                match whole.is_empty() {
                    // Nothing but an empty array may have no element at its end.
                    true if over && number == 0 => {}
                    true => return Err(malformed(line, "an element of the array is missing")),
                    false => {
                        number += 1;
                        found.push((begin, offset - whole.len() as u64, whole));
                    }
                }
            } else if !(blank && element.is_empty()) {
                if element.is_empty() {
                    begin = line;
                }
                element.push(byte);
                if element.len() as u64 > limit {
                    return Err(Error::TooLong {
                        place: Place { file: Arc::clone(&file), line: begin },
                        what: "JSON object",
                        limit,
                        max_document_bytes: reading.rules.limits.max_document_bytes,
                    });
                }
            }
        }
        reader.consume(length);
        for (line, offset, bytes) in found {
            let payload = Payload::Json(bytes);
            if let Break(()) = sink(Record { origin: Arc::clone(origin), line, offset, payload })? {
                return Ok(Break(()));
            }
        }
    }
}
