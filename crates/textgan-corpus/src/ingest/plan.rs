//! Which part of the input is whose, when several processes share it.

use super::{Piece, Stream, pieces, rules, streams};
use crate::read::{self, Part};
use crate::{CorpusConfig, Error, Source};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use textgan_artifact::hash_bytes;
use textgan_random::Key;

/// What a piece counts whose size nobody knows.
const UNKNOWN_BYTES: u64 = 64 << 20;
/// About the size of a sample of a grammar or an oracle, in bytes.
const SAMPLE_BYTES: u64 = 64;

/// A shard of an ingestion, `2/4` in text: the second of four.
///
/// ```
/// use textgan_corpus::Shard;
///
/// let shard: Shard = "2/4".parse()?;
/// assert_eq!((shard.number(), shard.count()), (2, 4));
/// assert_eq!(shard.to_string(), "2/4");
/// assert!("0/4".parse::<Shard>().is_err() && "5/4".parse::<Shard>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    number: u32,
    count: u32,
}

impl Shard {
    /// Shard `number`, from 1, of `count`.
    ///
    /// # Errors
    /// There is no such shard.
    pub fn new(number: u32, count: u32) -> Result<Self, String> {
        match (1..=count).contains(&number) {
            true => Ok(Self { number, count }),
            false => Err(format!("there is no shard {number} of {count}: they are 1/N to N/N")),
        }
    }

    /// Which one, from 1.
    pub fn number(self) -> u32 {
        self.number
    }

    /// Of how many.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Those of `pieces` that are this shard's: each belongs to the shard that its middle lies in when the input is
    /// cut into shards of like size. So they are in the order of reading within shards and across them.
    fn of<T>(self, pieces: Vec<T>, size: impl Fn(&T) -> u64) -> Vec<T> {
        let total: u128 = pieces.iter().map(|piece| u128::from(size(piece))).sum();
        let mut before = 0_u128;
        let mut mine = Vec::new();
        for piece in pieces {
            let size = u128::from(size(&piece));
            let middle = 2 * before + size;
            before += size;
            let shard = (middle * u128::from(self.count)).checked_div(2 * total).unwrap_or(0);
            if shard.min(u128::from(self.count - 1)) == u128::from(self.number - 1) {
                mine.push(piece);
            }
        }
        mine
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(number, count)| {
            Some((number.trim().parse().ok()?, count.trim().parse().ok()?))
        });
        let Some((number, count)) = numbers else {
            return Err(format!("`{text}` is no shard: write 2/4 for the second of four"));
        };
        Self::new(number, count)
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

/// What a shard of a corpus reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardInputs {
    /// The files of this machine, sorted.
    pub files: Vec<PathBuf>,
    /// A hash of how the input is cut, which the sizes of all files decide: shards of different cuts are not of one
    /// corpus.
    pub cut: String,
}

impl ShardInputs {
    /// Of a shard of the corpus of `config`.
    ///
    /// # Errors
    /// A file that is not there.
    pub fn new(config: &CorpusConfig, shard: Shard) -> Result<Self, Error> {
        let streams = streams(config);
        // Which samples are drawn is no matter here.
        let Share { pieces, cut } = Share::new(config, &streams, &Key::root(0), shard)?;
        let mut files = Vec::new();
        for Piece { source, part, .. } in &pieces {
            match part {
                Part::File { path, .. } | Part::Lines { path, .. } => files.push(path.clone()),
                #[cfg(feature = "cloud")]
                Part::Object { .. } => {}
                Part::Whole { .. } | Part::Samples(_) => files.append(&mut source.inputs()?),
            }
        }
        files.sort();
        files.dedup();
        Ok(Self { files, cut })
    }
}

/// A shard's part of the input.
pub(super) struct Share<'a> {
    /// In the order of reading, those that follow each other in a file as one.
    pub(super) pieces: Vec<Piece<'a>>,
    /// See [`ShardInputs::cut`].
    pub(super) cut: String,
}

impl<'a> Share<'a> {
    pub(super) fn new(
        config: &CorpusConfig,
        streams: &[Stream<'a>],
        key: &Key,
        shard: Shard,
    ) -> Result<Self, Error> {
        let mut small = Vec::new();
        for Piece { stream, source, key, part } in pieces(streams, key)? {
            let files = match source {
                Source::Files(files) => Some(files),
                Source::Synthetic(_) | Source::Oracle(_) => None,
            };
            let parts = read::cut(part, files, rules(config));
            small.extend(parts.into_iter().map(|part| Piece { stream, source, key, part }));
        }
        let cut = cut(&small);
        let mut mine: Vec<Piece<'a>> = Vec::new();
        for piece in shard.of(small, Piece::weight) {
            let last = mine.last_mut().filter(|last| last.stream == piece.stream);
            let joined = last.is_some_and(|last| {
                let same = std::ptr::eq(last.source, piece.source);
                same && last.part.join(&piece.part)
            });
            if !joined {
                mine.push(piece);
            }
        }
        Ok(Self { pieces: mine, cut })
    }
}

/// A hash of all pieces of an input.
fn cut(pieces: &[Piece<'_>]) -> String {
    let describe = |piece: &Piece<'_>| match &piece.part {
        Part::Whole { bytes } => format!("{} whole {bytes:?}\n", piece.stream),
        Part::File { path, bytes, .. } => format!("{} file {path:?} {bytes}\n", piece.stream),
        Part::Lines { path, range, .. } => format!("{} lines {path:?} {range:?}\n", piece.stream),
        #[cfg(feature = "cloud")]
        Part::Object { object, .. } => {
            let read::Object { name, bytes, version } = object;
            format!("{} object {name:?} {bytes} {version:?}\n", piece.stream)
        }
        Part::Samples(range) => format!("{} samples {range:?}\n", piece.stream),
    };
    hash_bytes(pieces.iter().map(describe).collect::<String>().as_bytes())
}

impl Piece<'_> {
    /// How much work it is, beside others.
    fn weight(&self) -> u64 {
        match (&self.part, self.size()) {
            (Part::Samples(_), Some(samples)) => samples * SAMPLE_BYTES,
            (_, size) => size.unwrap_or(UNKNOWN_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every piece is in one shard, in order, and shards of like pieces are of like size.
    #[test]
    fn shards_share_everything_once() {
        for (pieces, count) in [(1, 1), (1, 4), (7, 3), (100, 16), (0, 2), (5, 5)] {
            let all: Vec<u64> = (0..pieces).collect();
            for size in [(|_: &u64| 1) as fn(&u64) -> u64, |x| *x, |_| 0] {
                let mut joined = Vec::new();
                for number in 1..=count {
                    let shard = Shard::new(number, count).unwrap();
                    joined.extend(shard.of(all.clone(), size));
                }
                assert_eq!(joined, all, "{pieces} in {count}");
            }
        }
        let sizes: Vec<usize> = (1..=16)
            .map(|number| Shard::new(number, 16).unwrap().of(vec![(); 160], |()| 1).len())
            .collect();
        assert_eq!(sizes, [10; 16]);
    }
}
