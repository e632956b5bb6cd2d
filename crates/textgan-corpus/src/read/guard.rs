//! Byte streams that count what passes and refuse bombs.

use crate::{Compression, Error, Limits};
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Expansion is judged from here on: small files of one repeated line pack extremely well.
const JUDGED_FROM: u64 = 8 << 20;

/// What a reading thread shares with its streams.
#[derive(Clone)]
pub(crate) struct Watch {
    /// Bytes read from disk so far, over all files.
    pub(crate) bytes: Arc<AtomicU64>,
    /// Set when the caller wants the reading to end.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { bytes: Arc::default(), stop: Arc::default() }
    }
}

/// Why a guarded stream refused to go on; travels inside an [`io::Error`].
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Stopped,
    Bomb { packed: u64, unpacked: u64 },
    TooLarge,
}

/// The counters of one stream.
#[derive(Default)]
struct Meter {
    packed: AtomicU64,
    unpacked: AtomicU64,
}

/// A stream of unpacked bytes with its name and its guards.
pub(crate) struct Input<'a> {
    pub(crate) file: Arc<str>,
    pub(crate) reader: Box<dyn BufRead + 'a>,
    pub(crate) faults: Faults,
}

/// Turns what goes wrong in a stream into an [`Error`] that names the file and the fix.
#[derive(Clone)]
pub(crate) struct Faults {
    file: Arc<str>,
    what: &'static str,
    limits: Limits,
    refusal: Arc<std::sync::OnceLock<Refusal>>,
}

impl<'a> Input<'a> {
    /// Unpacks `reader`. `watch` counts its bytes, if they come straight from disk.
    pub(crate) fn new(
        file: Arc<str>,
        reader: impl Read + 'a,
        packing: Packing,
        limits: Limits,
        watch: &Watch,
        from_disk: bool,
    ) -> Result<Self, Error> {
        let meter = Arc::new(Meter::default());
        let faults = Faults {
            file: Arc::clone(&file),
            what: packing.name(),
            limits,
            refusal: Arc::default(),
        };
        let counted = Counted {
            inner: BufReader::with_capacity(128 << 10, reader),
            meter: Arc::clone(&meter),
            watch: watch.clone(),
            from_disk,
            refusal: Arc::clone(&faults.refusal),
        };
        let guarded = |reader| Guarded {
            inner: reader,
            meter,
            limits,
            packed: packing != Packing::None,
            refusal: Arc::clone(&faults.refusal),
        };
        let reader: Box<dyn BufRead + 'a> = match packing {
            Packing::None => Box::new(guarded(Box::new(counted) as Box<dyn BufRead + 'a>)),
            Packing::Gzip => {
                let decoder = flate2::bufread::MultiGzDecoder::new(counted);
                Box::new(guarded(Box::new(BufReader::with_capacity(128 << 10, decoder))))
            }
            Packing::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(counted)
                    .map_err(|e| faults.error(e))?;
                Box::new(guarded(Box::new(BufReader::with_capacity(128 << 10, decoder))))
            }
        };
        Ok(Self { file, reader, faults })
    }
}

impl Faults {
    /// The error behind an I/O error of the stream.
    pub(crate) fn error(&self, source: io::Error) -> Error {
        let file = self.file.to_string();
        let what = self.what;
        match self.refusal.get() {
            Some(Refusal::Stopped) => return Error::Interrupted,
            Some(&Refusal::Bomb { packed, unpacked }) => {
                return Error::Bomb {
                    file,
                    packed,
                    unpacked,
                    max_expansion: self.limits.max_expansion,
                };
            }
            Some(Refusal::TooLarge) => {
                return Error::TooLarge {
                    file,
                    limit: self.limits.max_file_bytes,
                    key: "max_file_bytes",
                };
            }
            None => {}
        }
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Error::Truncated { file, what },
            _ if what == Packing::None.name()
                || source.raw_os_error().is_some_and(|code| code > 0) =>
            {
                Error::Read { file, source }
            }
            _ => Error::Damaged { file, what, message: source.to_string() },
        }
    }
}

/// How bytes are packed, once the name has been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    pub(crate) fn new(compression: Compression, name: &str) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip,
            Compression::Zstd => Self::Zstd,
            Compression::Auto => match ending(name) {
                "gz" | "tgz" => Self::Gzip,
                "zst" | "zstd" | "tzst" => Self::Zstd,
                _ => Self::None,
            },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "data",
            Self::Gzip => "gzip data",
            Self::Zstd => "Zstandard data",
        }
    }
}

/// The last ending of a file name, as written in lower case; empty if there is none.
pub(crate) fn ending(name: &str) -> &str {
    let file = name.rsplit('/').next().unwrap_or(name);
    match file.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => ending,
        _ => "",
    }
}

/// Counts packed bytes exactly, as the decoder consumes them.
struct Counted<R> {
    inner: BufReader<R>,
    meter: Arc<Meter>,
    watch: Watch,
    from_disk: bool,
    refusal: Arc<std::sync::OnceLock<Refusal>>,
}

impl<R: Read> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.watch.stop.load(Relaxed) {
            let _ = self.refusal.set(Refusal::Stopped);
            return Err(io::Error::other("stopped"));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.meter.packed.fetch_add(n as u64, Relaxed);
        if self.from_disk {
            self.watch.bytes.fetch_add(n as u64, Relaxed);
        }
        self.inner.consume(n);
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        copy_out(self, buffer)
    }
}

/// Counts unpacked bytes and refuses too many.
struct Guarded<R> {
    inner: R,
    meter: Arc<Meter>,
    limits: Limits,
    packed: bool,
    refusal: Arc<std::sync::OnceLock<Refusal>>,
}

impl<R: BufRead> BufRead for Guarded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let unpacked = self.meter.unpacked.load(Relaxed);
        let packed = self.meter.packed.load(Relaxed);
        let refusal = if unpacked > self.limits.max_file_bytes {
            Some(Refusal::TooLarge)
        } else if self.packed
            && unpacked > JUDGED_FROM
            && unpacked / self.limits.max_expansion > packed
        {
            Some(Refusal::Bomb { packed, unpacked })
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let _ = self.refusal.set(refusal);
            return Err(io::Error::other("refused"));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.meter.unpacked.fetch_add(n as u64, Relaxed);
        self.inner.consume(n);
    }
}

impl<R: BufRead> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        copy_out(self, buffer)
    }
}

/// `Read` by way of `BufRead`.
fn copy_out(reader: &mut impl BufRead, buffer: &mut [u8]) -> io::Result<usize> {
    let available = reader.fill_buf()?;
    let n = available.len().min(buffer.len());
    buffer[..n].copy_from_slice(&available[..n]);
    reader.consume(n);
    Ok(n)
}
