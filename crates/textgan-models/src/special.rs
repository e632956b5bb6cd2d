/// Fills the positions after the end of a sequence; never a target, never sampled.
pub const PAD: u32 = 0;
/// Stands for a word that the vocabulary lacks.
pub const UNK: u32 = 1;
/// Begins a sequence: the first input of a generator; never a target, never sampled.
pub const BOS: u32 = 2;
/// Ends a sequence: the last target of a generator.
pub const EOS: u32 = 3;

/// The number of special tokens; content begins at this id.
pub(crate) const SPECIALS: u32 = 4;
