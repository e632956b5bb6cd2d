//! TensorBoard's event files: records of protocol-buffer messages with checksums.
//!
//! A record is its length (`u64`), a checksum of that, the message, a checksum of the message, all
//! little-endian. Only what scalars, texts and histograms need is written here. Events carry the time of the clock, so
//! these files are a view for people, beside the run's own, and nothing reads them back.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use textgan_artifact::{make_folder, open_plain, plain_folder};

use crate::Result;
use crate::error::io;

/// How TensorBoard knows its files by name; the seconds of the clock follow, and whatever one likes.
const PREFIX: &str = "events.out.tfevents.";
/// The end of the names of ours.
const SUFFIX: &str = ".textgan";
/// Bars of a histogram.
const BARS: usize = 30;

/// A file of events that a process appends to, from where it began or goes on.
#[derive(Debug)]
pub(crate) struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// Begins a file in `folder` for a process that trains from `step` on. Files of earlier processes get another name, which
    /// TensorBoard does not look at, when training begins anew; else it passes over what they have of `step` and after it.
    pub fn begin(folder: &Path, step: u64) -> Result<Self> {
        plain_folder(folder).map_err(io("write", folder))?;
        make_folder(folder)?;
        if step == 0 {
            set_aside(folder)?;
        }
        let (path, file) = create(folder)?;
        let mut events = Self { path, file };
        // TensorBoard finds the version in the first record.
        let mut event = time(0);
        bytes_field(&mut event, 3, b"brain.Event:2");
        events.write(&event)?;
        // A session log that says `START`. Every file needs one: the first that is found is taken for no restart.
        let mut event = time(step);
        bytes_field(&mut event, 7, &[1 << 3 | VARINT, 1]);
        events.write(&event)?;
        Ok(events)
    }

    /// The scalars of one step, by tag.
    pub fn scalars<'a>(
        &mut self,
        step: u64,
        values: impl Iterator<Item = (&'a str, f64)>,
    ) -> Result<()> {
        self.write(&scalars(time(step), values))
    }

    /// A text, as TensorBoard's plugin for texts reads it: a tensor of one string.
    pub fn text(&mut self, step: u64, tag: &str, text: &str) -> Result<()> {
        self.write(&self::text(time(step), tag, text))
    }

    /// How often values are where; nothing for none, and what is not finite does not count.
    pub fn histogram(&mut self, step: u64, tag: &str, values: &[f32]) -> Result<()> {
        match histogram(time(step), tag, values) {
            Some(event) => self.write(&event),
            None => Ok(()),
        }
    }

    fn write(&mut self, event: &[u8]) -> Result<()> {
        self.file.write_all(&record(event)).map_err(io("write", &self.path))
    }
}

/// How names begin that TensorBoard does not know.
const ASIDE: &str = "earlier.";

fn set_aside(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(io("read", folder))? {
        let entry = entry.map_err(io("read", folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let rest = name.strip_prefix(PREFIX).filter(|rest| rest.ends_with(SUFFIX));
        if let Some(rest) = rest {
            let path = entry.path();
            fs::rename(&path, folder.join(format!("{ASIDE}{rest}")))
                .map_err(io("rename", &path))?;
        }
    }
    Ok(())
}

/// A file of a name that is not there yet. TensorBoard reads files in the order of their names.
fn create(folder: &Path) -> Result<(PathBuf, File)> {
    let seconds = now() as u64;
    let mut number = 0;
    loop {
        let path = folder.join(format!("{PREFIX}{seconds:010}.{number}{SUFFIX}"));
        match open_plain(OpenOptions::new().write(true).create_new(true), &path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(io("create", &path)(error)),
        }
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn scalars<'a>(mut event: Vec<u8>, values: impl Iterator<Item = (&'a str, f64)>) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut scalar = Vec::new();
        bytes_field(&mut scalar, 1, tag.as_bytes());
        scalar.push(2 << 3 | FIXED32);
        scalar.extend((value as f32).to_le_bytes());
        bytes_field(&mut summary, 1, &scalar);
    }
    bytes_field(&mut event, 5, &summary);
    event
}

fn text(mut event: Vec<u8>, tag: &str, text: &str) -> Vec<u8> {
    /// `DT_STRING`.
    const STRING: u64 = 7;
    let (mut plugin, mut metadata) = (Vec::new(), Vec::new());
    bytes_field(&mut plugin, 1, b"text");
    bytes_field(&mut metadata, 1, &plugin);
    let (mut dimension, mut shape) = (Vec::new(), Vec::new());
    varint_field(&mut dimension, 1, 1);
    bytes_field(&mut shape, 2, &dimension);
    let mut tensor = Vec::new();
    varint_field(&mut tensor, 1, STRING);
    bytes_field(&mut tensor, 2, &shape);
    bytes_field(&mut tensor, 8, text.as_bytes());
    let (mut value, mut summary) = (Vec::new(), Vec::new());
    bytes_field(&mut value, 1, tag.as_bytes());
    bytes_field(&mut value, 8, &tensor);
    bytes_field(&mut value, 9, &metadata);
    bytes_field(&mut summary, 1, &value);
    bytes_field(&mut event, 5, &summary);
    event
}

/// `HistogramProto`: extent, moments, and bars of equal width.
fn histogram(mut event: Vec<u8>, tag: &str, values: &[f32]) -> Option<Vec<u8>> {
    let values = || values.iter().map(|&x| f64::from(x)).filter(|x| x.is_finite());
    let (min, max) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
    // Equal values are a bar too.
    let width = ((max - min) / BARS as f64).max(f64::from(f32::EPSILON) * max.abs().max(1e-30));
    let mut bars = [0.0; BARS];
    for x in values() {
        bars[(((x - min) / width) as usize).min(BARS - 1)] += 1.0;
    }
    let mut proto = Vec::new();
    let sums = [bars.iter().sum(), values().sum(), values().map(|x| x * x).sum()];
    for (field, value) in (1..).zip([min, max].into_iter().chain(sums)) {
        proto.push(field << 3 | FIXED64);
        proto.extend(f64::to_le_bytes(value));
    }
    let packed =
        |values: &mut dyn Iterator<Item = f64>| values.flat_map(f64::to_le_bytes).collect();
    // Rounding leaves no value above the last.
    let limit = |bar| {
        let limit = min + bar as f64 * width;
        if bar == BARS { limit.max(max) } else { limit }
    };
    let limits: Vec<u8> = packed(&mut (1..=BARS).map(limit));
    let counts: Vec<u8> = packed(&mut bars.into_iter());
    bytes_field(&mut proto, 6, &limits);
    bytes_field(&mut proto, 7, &counts);
    let (mut value, mut summary) = (Vec::new(), Vec::new());
    bytes_field(&mut value, 1, tag.as_bytes());
    bytes_field(&mut value, 5, &proto);
    bytes_field(&mut summary, 1, &value);
    bytes_field(&mut event, 5, &summary);
    Some(event)
}

fn varint_field(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3 | VARINT);
    varint(out, value);
}

/// Wire types of the protocol-buffer encoding.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// The beginning of an event: its fields `wall_time`, which is now, and `step`.
fn time(step: u64) -> Vec<u8> {
    at(now(), step)
}

fn at(wall_time: f64, step: u64) -> Vec<u8> {
    let mut event = vec![1 << 3 | FIXED64];
    event.extend(wall_time.to_le_bytes());
    event.push(2 << 3 | VARINT);
    varint(&mut event, step);
    event
}

fn bytes_field(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | BYTES);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut out = length.to_vec();
    out.extend(masked(crc32c(&length)).to_le_bytes());
    out.extend(message);
    out.extend(masked(crc32c(message)).to_le_bytes());
    out
}

/// TensorFlow's masking of a checksum, for checksums of data that holds checksums.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: these records are small and few.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4.
    #[test]
    fn checksums_are_castagnoli() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_record_is_framed() {
        let message = scalars(at(1.5e9, 300), [("loss", 0.5)].into_iter());
        let record = record(&message);
        let length = u64::from_le_bytes(record[..8].try_into().expect("8 bytes")) as usize;
        assert_eq!(record.len(), length + 16);
        assert_eq!(record[8..12], masked(crc32c(&record[..8])).to_le_bytes());
        assert_eq!(record[12..12 + length], message);
        assert_eq!(record[12 + length..], masked(crc32c(&message)).to_le_bytes());
        let mut expected = vec![0x09];
        expected.extend(1.5e9f64.to_le_bytes());
        expected.extend([0x10, 0xac, 0x02, 0x2a, 13, 0x0a, 11, 0x0a, 4]);
        expected.extend(b"loss");
        expected.extend([0x15, 0, 0, 0, 0x3f]);
        assert_eq!(message, expected);
    }

    #[test]
    fn a_histogram_counts_what_is_finite() {
        let doubles = |bytes: &[u8]| -> Vec<f64> {
            bytes.chunks_exact(8).map(|x| f64::from_le_bytes(x.try_into().expect("8"))).collect()
        };
        for (values, sums) in [
            (&[0.0, 1.0, f32::NAN, 3.0, 3.0, f32::INFINITY][..], [0.0, 3.0, 4.0, 7.0, 19.0]),
            (&[2.0; 5], [2.0, 2.0, 5.0, 10.0, 20.0]),
        ] {
            let event = histogram(Vec::new(), "h", values).expect("values");
            let end = &event[event.len() - 2 * 8 * BARS..];
            let limits = doubles(&event[event.len() - (2 * 8 * BARS + 3)..][..8 * BARS]);
            let counts = doubles(&end[8 * BARS..]);
            assert_eq!(counts.iter().sum::<f64>(), sums[2]);
            assert!(limits.is_sorted() && limits[BARS - 1] >= sums[1], "{limits:?}");
            let first = event.iter().position(|&byte| byte == 1 << 3 | FIXED64).expect("min");
            let found: Vec<f64> =
                (0..5).flat_map(|i| doubles(&event[first + 1 + 9 * i..][..8])).collect();
            assert_eq!(found, sums);
        }
        assert_eq!(histogram(Vec::new(), "h", &[f32::NAN]), None);
    }

    /// A run that begins anew has one file; one that goes on has another, which says from where; none is lost, and none
    /// written through a link.
    #[test]
    fn every_process_has_a_file() -> Result<()> {
        let folder = tempfile::tempdir().map_err(io("create", "temporary folder"))?;
        let count = |prefix: &str| {
            let names = fs::read_dir(folder.path()).into_iter().flatten().flatten();
            names.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).count()
        };
        Events::begin(folder.path(), 0)?.scalars(5, [("a", 1.0)].into_iter())?;
        let other = folder.path().join("events.out.tfevents.1.another");
        fs::write(&other, "").map_err(io("write", &other))?;
        Events::begin(folder.path(), 5)?;
        assert_eq!((count(PREFIX), count(ASIDE)), (3, 0));
        Events::begin(folder.path(), 0)?;
        assert_eq!((count(PREFIX), count(ASIDE)), (2, 2));
        assert!(other.exists());
        let link = folder.path().join("link");
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), &link).map_err(io("link", &link))?;
        #[cfg(unix)]
        assert!(Events::begin(&link, 0).unwrap_err().to_string().contains("symbolic link"));
        Ok(())
    }
}
