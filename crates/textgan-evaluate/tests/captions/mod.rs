//! Texts of the caption grammar as token ids.

use textgan_random::Key;
use textgan_synthetic::Grammar;

/// The id of the first word: those below are special.
pub const FIRST: u32 = 4;

/// More tokens than any caption has.
pub const MAX_LENGTH: usize = 40;

/// One more than the greatest id.
pub fn vocab() -> usize {
    FIRST as usize + Grammar::embedded().vocabulary().len()
}

/// `count` captions that `kept` keeps, drawn from streams that `key` names.
pub fn captions(key: &Key, count: usize, kept: impl Fn(&str) -> bool) -> Vec<Vec<u32>> {
    let words: Vec<&str> =
        Grammar::embedded().vocabulary().into_iter().map(|(word, _)| word).collect();
    let id = |word: &str| FIRST + words.iter().position(|&other| other == word).unwrap() as u32;
    let draw = |index: u64| Grammar::embedded().sample(&mut key.index(index).stream()).0;
    let texts = (0..).map(draw).filter(|text| kept(text)).take(count);
    texts.map(|text| text.split_whitespace().map(id).collect()).collect()
}

/// What `compute` gives on `threads` threads.
pub fn on_threads<T: Send>(threads: usize, compute: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(compute)
}
