//! Lines and paragraphs of bounded length.

use std::io::{self, BufRead};

/// How far an overlong record is followed before it is refused: long enough for the guard against
/// decompression bombs to speak first, since that is the better explanation.
const FOLLOWED: u64 = 16 << 20;

/// How long a record was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// It is whole in the buffer.
    Whole,
    /// It is longer than allowed; the buffer has its beginning.
    TooLong,
}

/// What to do with the rest of a record that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Pass over it, to read on behind it.
    Skip,
    /// Leave it: the file will be refused.
    Leave,
}

/// Reads records from bytes, keeping count of lines and bytes.
pub(crate) struct Lines<R> {
    reader: R,
    max: u64,
    rest: Rest,
    /// Lines begun so far.
    pub(crate) line: u64,
    /// Bytes read so far.
    pub(crate) offset: u64,
    /// Blank lines read so far.
    pub(crate) blank: u64,
}

/// Bytes that some programs put before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R, max: u64, rest: Rest) -> Self {
        Self { reader, max, rest, line: 0, offset: 0, blank: 0 }
    }

    /// The same, of a reader that begins so many bytes into its file, where a line does. Lines are counted as if
    /// there were one before.
    pub(crate) fn at(self, offset: u64) -> Self {
        Self { line: u64::from(offset > 0), offset, ..self }
    }

    /// Reads a line into `buffer` (cleared first), without its end; `None` at the end of the file.
    pub(crate) fn read_line(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<Length>> {
        buffer.clear();
        self.append_line(buffer)
    }

    /// Reads lines up to a blank one, joined by `\n`.
    pub(crate) fn read_paragraph(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<Length>> {
        buffer.clear();
        let mut whole = Length::Whole;
        loop {
            let begin = buffer.len();
            if begin > 0 {
                buffer.push(b'\n');
            }
            let read = self.append_line(buffer)?;
            let blank = read == Some(Length::Whole) && is_blank(&buffer[begin..]);
            if read.is_none() || blank {
                buffer.truncate(begin);
                match read {
                    Some(_) if begin == 0 => {
                        self.blank += 1;
                        continue;
                    }
                    None if begin == 0 => return Ok(None),
                    _ => return Ok(Some(whole)),
                }
            }
            if read == Some(Length::TooLong) || buffer.len() as u64 > self.max {
                buffer.truncate(self.max as usize);
                whole = Length::TooLong;
                if self.rest == Rest::Leave {
                    return Ok(Some(whole));
                }
            }
        }
    }

    /// Reads the rest of the file.
    pub(crate) fn read_all(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<Length>> {
        buffer.clear();
        let mut length = Length::Whole;
        let mut over = 0;
        loop {
            let available = self.reader.fill_buf()?;
            if available.is_empty() {
                break;
            }
            let n = available.len();
            let room = (self.max - buffer.len() as u64).min(n as u64) as usize;
            buffer.extend_from_slice(&available[..room]);
            self.reader.consume(n);
            self.offset += n as u64;
            if room < n {
                length = Length::TooLong;
                over += (n - room) as u64;
                if self.rest == Rest::Leave && over > FOLLOWED {
                    break;
                }
            }
        }
        self.line = 1;
        strip_mark(buffer, 0);
        Ok((!buffer.is_empty()).then_some(length))
    }

    /// Appends a line to `buffer`, whose length stays within the limit.
    fn append_line(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<Length>> {
        let begin = buffer.len();
        let mut read = 0_u64;
        let mut over = 0_u64;
        loop {
            let available = self.reader.fill_buf()?;
            if available.is_empty() {
                break;
            }
            let end = memchr(available);
            let content = &available[..end.unwrap_or(available.len())];
            let room =
                self.max.saturating_sub(buffer.len() as u64).min(content.len() as u64) as usize;
            buffer.extend_from_slice(&content[..room]);
            over += (content.len() - room) as u64;
            let n = content.len() + usize::from(end.is_some());
            self.reader.consume(n);
            read += n as u64;
            if end.is_some() || (self.rest == Rest::Leave && over > FOLLOWED) {
                break;
            }
        }
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        self.offset += read;
        if self.line == 1 {
            strip_mark(buffer, begin);
        }
        // A carriage return may be the one byte over the limit.
        if over == 0 && buffer.len() > begin && buffer.last() == Some(&b'\r') {
            buffer.pop();
        }
        Ok(Some(if over > 0 { Length::TooLong } else { Length::Whole }))
    }
}

/// Whether a line has nothing but ASCII white space.
pub(crate) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

fn strip_mark(buffer: &mut Vec<u8>, begin: usize) {
    if buffer[begin..].starts_with(BYTE_ORDER_MARK) {
        buffer.drain(begin..begin + BYTE_ORDER_MARK.len());
    }
}

/// The place of the first line end, searched in blocks that the compiler vectorises.
fn memchr(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 64;
    let mut start = 0;
    for block in bytes.chunks_exact(BLOCK) {
        if block.iter().fold(false, |found, &b| found | (b == b'\n')) {
            break;
        }
        start += BLOCK;
    }
    bytes[start..].iter().position(|&b| b == b'\n').map(|at| start + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    fn lines(bytes: &[u8], max: u64, buffer: usize) -> Vec<(Vec<u8>, Length)> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, bytes), max, Rest::Skip);
        let mut line = Vec::new();
        std::iter::from_fn(|| {
            lines.read_line(&mut line).unwrap().map(|length| (line.clone(), length))
        })
        .collect()
    }

    fn paragraphs(bytes: &[u8], max: u64) -> Vec<(Vec<u8>, Length)> {
        let mut lines = Lines::new(BufReader::with_capacity(3, bytes), max, Rest::Skip);
        let mut text = Vec::new();
        std::iter::from_fn(|| {
            lines.read_paragraph(&mut text).unwrap().map(|length| (text.clone(), length))
        })
        .collect()
    }

    #[test]
    fn line_ends_and_marks_are_not_content() {
        let read = lines(b"\xEF\xBB\xBFone\r\ntwo\n\nfour", 100, 4);
        let texts: Vec<&[u8]> = read.iter().map(|(line, _)| line.as_slice()).collect();
        assert_eq!(texts, [b"one".as_slice(), b"two", b"", b"four"]);
    }

    #[test]
    fn a_line_too_long_keeps_its_beginning_and_the_next_is_read() {
        let read = lines(b"12345678\nok\n12345", 5, 3);
        assert_eq!(
            read,
            [
                (b"12345".to_vec(), Length::TooLong),
                (b"ok".to_vec(), Length::Whole),
                (b"12345".to_vec(), Length::Whole)
            ]
        );
    }

    #[test]
    fn paragraphs_end_at_blank_lines() {
        let read = paragraphs(b"\n\na\nb\n \t\n\nc\nd", 100);
        assert_eq!(read, [(b"a\nb".to_vec(), Length::Whole), (b"c\nd".to_vec(), Length::Whole)]);
        let read = paragraphs(b"aaa\nbbb\nccc\nddd\n\nd\n", 5);
        assert_eq!(read, [(b"aaa\nb".to_vec(), Length::TooLong), (b"d".to_vec(), Length::Whole)]);
    }

    #[test]
    fn a_refused_line_is_not_followed_to_its_end() {
        struct Endless(u64);
        impl io::Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(b'x');
                self.0 += buffer.len() as u64;
                assert!(self.0 < 2 * FOLLOWED, "read on");
                Ok(buffer.len())
            }
        }
        let mut lines = Lines::new(BufReader::new(Endless(0)), 1 << 10, Rest::Leave);
        let mut buffer = Vec::new();
        assert_eq!(lines.read_line(&mut buffer).unwrap(), Some(Length::TooLong));
        assert_eq!(buffer.len(), 1 << 10);
        let mut lines = Lines::new(BufReader::new(Endless(0)), 1 << 10, Rest::Leave);
        assert_eq!(lines.read_all(&mut buffer).unwrap(), Some(Length::TooLong));
    }

    proptest! {
        #[test]
        fn buffers_do_not_matter(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..300), buffer in 1_usize..200) {
            prop_assert_eq!(lines(&bytes, 50, buffer), lines(&bytes, 50, 1 << 16));
        }

        #[test]
        fn lines_are_those_of_a_split(text in "[a-c\n]{0,200}") {
            let read: Vec<Vec<u8>> = lines(text.as_bytes(), 1 << 20, 7).into_iter().map(|(line, _)| line).collect();
            let expected: Vec<Vec<u8>> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
