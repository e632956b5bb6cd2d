//! Plain text files as sentences of token ids.

use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of sentences, one a line.
pub struct Texts {
    path: PathBuf,
    text: String,
}

/// Numbers for words, shared by all files of a comparison.
#[derive(Default)]
pub struct Words<'a>(HashMap<&'a str, u32>);

impl Texts {
    /// Reads a file whose every line has a word.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
            anyhow::anyhow!("{}:{line}: not UTF-8 text", path.display())
        })?;
        let texts = Self { path: path.to_path_buf(), text };
        if texts.text.is_empty() {
            bail!("{}: the file is empty: give one sentence a line", path.display());
        }
        let blank = texts.text.lines().position(|line| line.split_whitespace().next().is_none());
        if let Some(line) = blank {
            bail!("{}: an empty line where a sentence should be", texts.place(line));
        }
        Ok(texts)
    }

    pub fn len(&self) -> usize {
        self.text.lines().count()
    }

    /// The words of each sentence, numbered.
    pub fn numbered<'a>(&'a self, words: &mut Words<'a>) -> Vec<Vec<u32>> {
        let mut number = |word: &'a str| {
            let next = words.0.len() as u32;
            *words.0.entry(word).or_insert(next)
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
