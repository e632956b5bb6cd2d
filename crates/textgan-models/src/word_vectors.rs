use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use textgan_random::Key;

use crate::{Error, Result};

/// The longest line that is read; a longer one is no word vector.
const LONGEST_LINE: u64 = 1 << 20;

/// The vectors of a vocabulary's words, out of a text file as word2vec, GloVe and fastText write it:
/// a word a line, then its numbers, separated by blanks. A first line with two whole numbers (how
/// many words, how many numbers each) is skipped.
///
/// Files are large and vocabularies small, so only the vectors of wanted words are kept. Words are
/// compared as they are; of a word that is there twice, the first line counts.
#[derive(Clone, Debug, PartialEq)]
pub struct WordVectors {
    width: usize,
    /// One a word of the vocabulary, in its order.
    vectors: Vec<Option<Vec<f32>>>,
}

impl WordVectors {
    /// Reads the vectors of `words`, `width` numbers each.
    ///
    /// # Errors
    /// When the file cannot be read, a line is not a word and `width` finite numbers (the message
    /// names it), or the file has none of the words.
    pub fn read(path: &Path, words: &[String], width: usize) -> Result<Self> {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (id, word) in words.iter().enumerate() {
            places.entry(word).or_default().push(id);
        }
        let mut vectors = vec![None; words.len()];
        let mut lines = Lines::open(path)?;
        while let Some((number, line)) = lines.next_line()? {
            if number == 1 && is_header(line) {
                continue;
            }
            let wrong =
                |message: String| Err(Error::file(path, format!("line {number} {message}")));
            let Some((word, numbers)) = split(line, width) else {
                return wrong(format!("is not a word and {width} numbers"));
            };
            let Some(ids) = places.get(word) else { continue };
            let mut vector = Vec::with_capacity(width);
            for number in numbers.split_ascii_whitespace() {
                match number.parse::<f32>() {
                    Ok(value) if value.is_finite() => vector.push(value),
                    _ => return wrong(format!("has `{number}`, which is not a finite number")),
                }
            }
            for &id in ids {
                vectors[id].get_or_insert_with(|| vector.clone());
            }
        }
        if vectors.iter().all(Option::is_none) {
            let message = "has none of the vocabulary's words; do they differ in case?";
            return Err(Error::file(path, message));
        }
        Ok(Self { width, vectors })
    }

    /// How many words of the vocabulary have a vector.
    pub fn found(&self) -> usize {
        self.vectors.iter().flatten().count()
    }

    /// The embeddings, `[words, width]`. Words that the file lacks get normal draws as large as
    /// the vectors are on average, word `i` from `key.index(i)`.
    pub fn table(&self, key: &Key) -> Vec<f32> {
        let squares: f64 =
            self.vectors.iter().flatten().flatten().map(|&x| f64::from(x) * f64::from(x)).sum();
        let std = (squares / (self.found() * self.width).max(1) as f64).sqrt() as f32;
        let mut table = Vec::with_capacity(self.vectors.len() * self.width);
        for (id, vector) in (0..).zip(&self.vectors) {
            match vector {
                Some(vector) => table.extend(vector),
                None => {
                    let mut stream = key.index(id).stream();
                    table.extend((0..self.width).map(|_| stream.normal() * std));
                }
            }
        }
        table
    }
}

fn is_header(line: &str) -> bool {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    fields.len() == 2 && fields.iter().all(|field| field.parse::<u64>().is_ok())
}

/// The word, which may have blanks in it, and the last `width` fields.
fn split(line: &str, width: usize) -> Option<(&str, &str)> {
    let line = line.trim_end();
    let mut at = line.len();
    for _ in 0..width {
        at = line[..at].trim_end_matches(' ').rfind(' ')?;
    }
    let word = line[..at].trim_end_matches(' ');
    if word.is_empty() { None } else { Some((word, &line[at..])) }
}

/// The lines of a file, without their end, one at a time in the same buffer.
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let reader = BufReader::with_capacity(1 << 16, file);
        Ok(Self { path: path.into(), reader, line: Vec::new(), number: 0 })
    }

    fn next_line(&mut self) -> Result<Option<(u64, &str)>> {
        use std::io::Read;
        self.line.clear();
        self.number += 1;
        let read = (&mut self.reader)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut self.line)
            .map_err(Error::io(&self.path))?;
        if read == 0 {
            return Ok(None);
        }
        let wrong = |message| Error::file(&self.path, format!("line {} {message}", self.number));
        if read as u64 == LONGEST_LINE {
            return Err(wrong("is longer than a megabyte: not a text file of word vectors"));
        }
        let line = std::str::from_utf8(&self.line)
            .map_err(|_| wrong("is not UTF-8: not a text file of word vectors"))?;
        Ok(Some((self.number, line.trim_end_matches(['\n', '\r']))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn read(content: &[u8], vocabulary: &[&str], width: usize) -> Result<WordVectors> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors.txt");
        std::fs::write(&path, content).unwrap();
        WordVectors::read(&path, &words(vocabulary), width)
    }

    #[test]
    fn the_table_follows_the_vocabulary() -> Result<()> {
        let key = Key::root(1);
        for header in ["", "4 2\n"] {
            let text = format!("{header}cat 1 2\r\n. . 5 6\nbat 9 9\ncat 7 7\ndog -3 4e-1 \n");
            let vectors = read(text.as_bytes(), &["<pad>", "dog", "cat", ". ."], 2)?;
            assert_eq!(vectors.found(), 3);
            let table = vectors.table(&key);
            assert_eq!(table[2..], [-3.0, 0.4, 1.0, 2.0, 5.0, 6.0]);
            assert!(table[0] != 0.0 && table[0] != table[1]);
            assert_eq!(table, vectors.table(&key));
        }
        Ok(())
    }

    #[test]
    fn a_word_that_is_a_number_is_no_header() -> Result<()> {
        let vectors = read(b"7 1\n8 2\n", &["8"], 1)?;
        assert_eq!(vectors.table(&Key::root(1)), [2.0]);
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |content: &[u8], expected: &str| {
            let message = read(content, &["cat"], 2).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("vectors.txt"), "{message}");
        };
        check(b"cat 1 2\ndog 1\n", "line 2 is not a word and 2 numbers");
        check(b"cat 1 x\n", "line 1 has `x`");
        check(b"cat 1 NaN\n", "line 1 has `NaN`");
        check(b"Cat 1 2\n", "none of the vocabulary's words");
        check(b"\xff\xfe\n", "line 1 is not UTF-8");
        check(&[b'x'; 3 << 20], "longer than a megabyte");
        assert!(WordVectors::read(Path::new("missing"), &words(&["a"]), 2).is_err());
    }
}
