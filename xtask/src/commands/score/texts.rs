//! Plain text files as sentences of token ids.

use anyhow::{Result, anyhow, bail};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::exit::Refusal;

/// A file of sentences, one a line.
pub struct Texts {
    path: PathBuf,
    text: String,
}

/// Numbers for words, shared by all files of a comparison.
#[derive(Default)]
pub struct Words<'a> {
    known: HashMap<&'a str, u32>,
    next: u32,
}

/// How files of generated sentences write a word that the vocabulary does not have.
const UNKNOWN: &str = "<unk>";

impl Texts {
    /// Reads a file. A line without a word is an empty sentence, which scores 0; a byte order mark and the
    /// line ends of other systems are no words.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|error| unreadable(path, error))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
            anyhow!("{}:{line}: not UTF-8 text", path.display())
        })?;
        let text = text.strip_prefix('\u{FEFF}').map(str::to_owned).unwrap_or(text);
        let texts = Self { path: path.to_path_buf(), text };
        if texts.text.split_whitespace().next().is_none() {
            bail!("{}: the file has no words: give one sentence a line", path.display());
        }
        Ok(texts)
    }

    /// Refuses an empty line: a real sentence has words.
    pub fn all_real(self) -> Result<Self> {
        let blank = self.text.lines().position(|line| line.split_whitespace().next().is_none());
        match blank {
            Some(line) => {
                bail!("{}: an empty line where a sentence should be", self.place(line))
            }
            None => Ok(self),
        }
    }

    pub fn len(&self) -> usize {
        self.text.lines().count()
    }

    /// The words of each sentence, numbered.
    pub fn numbered<'a>(&'a self, words: &mut Words<'a>) -> Vec<Vec<u32>> {
        let mut number = |word: &'a str| {
            let next = words.next;
            match word {
                // What is unknown matches nothing, itself least of all.
                UNKNOWN => words.next += 1,
                _ => match words.known.entry(word) {
                    Entry::Occupied(known) => return *known.get(),
                    Entry::Vacant(new) => {
                        new.insert(next);
                        words.next += 1;
                    }
                },
            }
            next
        };
        let lines = self.text.lines();
        lines.map(|line| line.split_whitespace().map(&mut number).collect()).collect()
    }

    /// Where a sentence stands, for a message.
    pub fn place(&self, sentence: usize) -> String {
        format!("{}:{}", self.path.display(), sentence + 1)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A sentence as it was written.
    pub fn sentence(&self, sentence: usize) -> &str {
        self.text.lines().nth(sentence).unwrap_or_default().trim()
    }
}

/// A file that is none is a fault of the command line.
fn unreadable(path: &Path, error: io::Error) -> anyhow::Error {
    let message = format!("cannot read {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => Refusal::new(message).into(),
        _ => anyhow!(message),
    }
}
