//! Tar archives, read through without unpacking to disk.

use super::guard::{Input, Packing};
use super::{Flow, Reading, Sink, format_of, read_input};
use crate::stats::ReadStats;
use crate::{Compression, Error, Files, Format};
use std::io::{self, Read};
use std::ops::ControlFlow::{Break, Continue};
use std::path::Path;
use std::sync::Arc;
use tar::{EntryType, PaxExtensions};

/// The most bytes of a name, or of other records about an entry.
const MOST_DESCRIPTION: u64 = 64 << 10;

pub(super) fn read(
    input: Input<'_>,
    layout: &Arc<Files>,
    reading: &Reading<'_>,
    stats: &mut ReadStats,
    sink: &mut Sink<'_>,
) -> Result<Flow, Error> {
    let Input { file: archive, reader, faults } = input;
    let mut tar = tar::Archive::new(reader);
    let (mut read, mut skipped) = (0_u64, 0_u64);
    let mut long_name: Option<Vec<u8>> = None;
    let failed = |error| faults.error(one_line(error));
    // Raw: the crate would read a name of any length into memory.
    for entry in tar.entries().map_err(failed)?.raw(true) {
        let mut entry = entry.map_err(failed)?;
        match entry.header().entry_type() {
            EntryType::GNULongName => {
                let mut name = bounded(&mut entry).map_err(failed)?;
                name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
                long_name = Some(name);
                continue;
            }
            EntryType::XHeader => {
                let records = bounded(&mut entry).map_err(failed)?;
                for record in PaxExtensions::new(&records) {
                    let record = record.map_err(failed)?;
                    match record.key_bytes() {
                        b"path" => long_name = Some(record.value_bytes().to_vec()),
                        // Its own size is what everything behind it is found by.
                        b"size" if record.value_bytes() != entry.size().to_string().as_bytes() => {
                            let error = io::Error::other("an entry has its size in a PAX record");
                            return Err(failed(error));
                        }
                        _ => {}
                    }
                }
                continue;
            }
            EntryType::GNULongLink | EntryType::XGlobalHeader => continue,
            _ => {}
        }
        let path = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let path = String::from_utf8_lossy(&path).into_owned();
        if escapes(&path) {
            return Err(Error::UnsafePath { archive: archive.to_string(), entry: path });
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = path.trim_start_matches("./");
        // Archives hold their own format, so a `format = "tar"` says nothing of the entries.
        let format =
            layout.format.filter(|format| *format != Format::Tar).or_else(|| format_of(path));
        let hidden = path.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
        let Some(format) = format.filter(|format| *format != Format::Tar && !hidden) else {
            skipped += 1;
            continue;
        };
        let name = format!("{archive}/{path}");
        let packing = Packing::new(Compression::Auto, &name.to_ascii_lowercase());
        let left = entry.size();
        let whole = Whole { inner: entry, left };
        let inner = Input::new(
            name.as_str().into(),
            whole,
            packing,
            reading.rules.limits,
            &reading.watch,
            false,
        )?;
        if let Break(()) = read_input(inner, &name, format, layout, reading, stats, sink)? {
            return Ok(Break(()));
        }
        read += 1;
    }
    stats.skipped_files += skipped;
    if read == 0 {
        return Err(Error::NoKnownFormat { path: Path::new(&*archive).to_path_buf(), skipped });
    }
    Ok(Continue(()))
}

/// The content of an entry that describes the next one.
fn bounded(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    entry.take(MOST_DESCRIPTION + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MOST_DESCRIPTION {
        let message = format!("a name of more than {MOST_DESCRIPTION} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(content)
}

/// The `tar` crate quotes the header that it could not read, line ends and all; a message is a line.
fn one_line(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.split_once('\n') {
        Some((first, _)) => io::Error::new(error.kind(), first.trim_end().to_owned()),
        None => error,
    }
}

/// Whether a name in an archive leads out of it. Nothing is ever written under such a name, but an
/// archive that has one was made to do harm, or carelessly.
fn escapes(path: &str) -> bool {
    let absolute = path.starts_with(['/', '\\'])
        || matches!(path.as_bytes(), [drive, b':', b'/' | b'\\', ..] if drive.is_ascii_alphabetic());
    absolute || path.split(['/', '\\']).any(|part| part == "..")
}

/// An entry that must have all the bytes its header announces.
struct Whole<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if n == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::escapes;

    #[test]
    fn only_names_inside_are_safe() {
        for path in ["a.txt", "./a/b.txt", "a/./b.txt", "..a/b..txt", "c:d.txt"] {
            assert!(!escapes(path), "{path}");
        }
        for path in
            ["/etc/passwd", "../a.txt", "a/../../b.txt", "a/..", r"..\a.txt", r"c:\a", "c:/a"]
        {
            assert!(escapes(path), "{path}");
        }
    }
}
