//! NumPy's own file format, version 1, as far as an oracle needs it: little-endian `f32` in C order.

use crate::Error;
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";
const FIX: &str = "write it with numpy.save(path, array.astype(\"<f4\"))";

/// The values of an array and its shape.
pub(super) fn read(path: &Path) -> Result<(Vec<f32>, Vec<usize>), Error> {
    let unreadable = |source| Error::ReadArray { path: path.to_path_buf(), source };
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Error::array(path, format!("is not a file; {FIX}")));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    parse(&bytes).map_err(|problem| Error::array(path, format!("{problem}; {FIX}")))
}

fn parse(bytes: &[u8]) -> Result<(Vec<f32>, Vec<usize>), String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("is not a NumPy file")?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or("ends in its header")?;
    if *version != [1, 0] {
        return Err(format!("is of format version {}.{}, not 1.0", version[0], version[1]));
    }
    let (length, rest) = rest.split_first_chunk::<2>().ok_or("ends in its header")?;
    let (header, values) = rest
        .split_at_checked(usize::from(u16::from_le_bytes(*length)))
        .ok_or("ends in its header")?;
    let header = std::str::from_utf8(header).map_err(|_| "has a header that is no text")?;
    let entry = |key: &str| {
        let (_, value) = header.split_once(&format!("'{key}':"))?;
        Some(value.trim_start())
    };
    if !entry("descr").is_some_and(|value| value.starts_with("'<f4'")) {
        return Err("does not hold little-endian 32-bit floats".to_owned());
    }
    if !entry("fortran_order").is_some_and(|value| value.starts_with("False")) {
        return Err("is stored column by column".to_owned());
    }
    let shape = entry("shape").and_then(shape).ok_or("has no shape in its header")?;
    let size = shape.iter().try_fold(4_usize, |size, &side| size.checked_mul(side));
    if size != Some(values.len()) {
        return Err(format!("has {} bytes of values, which is not {shape:?}", values.len()));
    }
    let (values, _) = values.as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(format!("holds {} as value {at}, which is no finite number", values[at]));
    }
    Ok((values, shape))
}

/// `(5000, 32)` or `(32,)`.
fn shape(text: &str) -> Option<Vec<usize>> {
    let (sides, _) = text.strip_prefix('(')?.split_once(')')?;
    let sides = sides.split(',').map(str::trim).filter(|side| !side.is_empty());
    sides.map(|side| side.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, values: &[f32]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    #[test]
    fn arrays_are_read_and_all_else_is_named() {
        let header = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n")
        };
        let good = file(&header("<f4", "False", "(2, 1)"), &[1.5, -2.0]);
        assert_eq!(parse(&good), Ok((vec![1.5, -2.0], vec![2, 1])));
        let flat = file(&header("<f4", "False", "(2,)"), &[1.5, -2.0]);
        assert_eq!(parse(&flat).unwrap().1, [2]);
        let mut second = good.clone();
        second[6] = 2;
        for (bytes, expect) in [
            (b"PK\x03\x04".to_vec(), "not a NumPy file"),
            (second, "version 2.0"),
            (good[..20].to_vec(), "ends in its header"),
            (good[..good.len() - 1].to_vec(), "7 bytes of values"),
            (file(&header("<f8", "False", "(1,)"), &[1.0, 1.0]), "32-bit floats"),
            (file(&header("<f4", "True", "(2, 1)"), &[1.0, 1.0]), "column by column"),
            (file(&header("<f4", "False", "2"), &[1.0, 1.0]), "no shape"),
            (file(&header("<f4", "False", "(9999999999, 9999999999)"), &[1.0]), "bytes of values"),
            (file(&header("<f4", "False", "(1,)"), &[f32::NAN]), "finite"),
        ] {
            let problem = parse(&bytes).unwrap_err();
            assert!(problem.contains(expect), "{problem} should say {expect}");
        }
    }
}
