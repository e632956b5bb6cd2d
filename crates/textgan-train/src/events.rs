//! TensorBoard's event files: records of protocol-buffer messages with checksums.
//!
//! A record is its length (`u64`), a checksum of that, the message, a checksum of the message, all
//! little-endian. Only what scalars and texts need is written here. The time of an event is its step, so
//! that the bytes do not depend on the clock.

/// The first record of a file, which names the format.
pub(crate) fn header() -> Vec<u8> {
    let mut event = time(0);
    bytes_field(&mut event, 3, b"brain.Event:2");
    record(&event)
}

/// One record with the scalars of one step.
pub(crate) fn scalars<'a>(step: u64, values: impl Iterator<Item = (&'a str, f64)>) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut scalar = Vec::new();
        bytes_field(&mut scalar, 1, tag.as_bytes());
        scalar.push(2 << 3 | FIXED32);
        scalar.extend((value as f32).to_le_bytes());
        bytes_field(&mut summary, 1, &scalar);
    }
    let mut event = time(step);
    bytes_field(&mut event, 5, &summary);
    record(&event)
}

/// One record with a text, as TensorBoard's plugin for texts reads it: a tensor of one string.
pub(crate) fn text(step: u64, tag: &str, text: &str) -> Vec<u8> {
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
    let mut event = time(step);
    bytes_field(&mut event, 5, &summary);
    record(&event)
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

/// The event fields `wall_time` and `step`.
fn time(step: u64) -> Vec<u8> {
    let mut event = vec![1 << 3 | FIXED64];
    event.extend((step as f64).to_le_bytes());
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
        let record = scalars(300, [("loss", 0.5)].into_iter());
        let length = u64::from_le_bytes(record[..8].try_into().expect("8 bytes")) as usize;
        assert_eq!(record.len(), length + 16);
        assert_eq!(record[8..12], masked(crc32c(&record[..8])).to_le_bytes());
        let message = &record[12..12 + length];
        assert_eq!(record[12 + length..], masked(crc32c(message)).to_le_bytes());
        let mut expected = vec![0x09];
        expected.extend(300f64.to_le_bytes());
        expected.extend([0x10, 0xac, 0x02, 0x2a, 13, 0x0a, 11, 0x0a, 4]);
        expected.extend(b"loss");
        expected.extend([0x15, 0, 0, 0, 0x3f]);
        assert_eq!(message, expected);
        assert!(header().windows(13).any(|window| window == b"brain.Event:2"));
    }
}
