//! The four special tokens, which have the same ids in every vocabulary.
//!
//! Text never encodes to padding, begin or end: where a text happens to contain their names, it
//! becomes [`UNKNOWN`] or ordinary pieces. Models add begin and end themselves.

/// Id of `<pad>`, which fills a batch up.
pub const PAD: u32 = 0;
/// Id of `<unk>`, which stands for what the vocabulary lacks.
pub const UNKNOWN: u32 = 1;
/// Id of `<s>`, the token before the first.
pub const BEGIN: u32 = 2;
/// Id of `</s>`, the token after the last.
pub const END: u32 = 3;

/// Names by id.
pub const NAMES: [&str; 4] = ["<pad>", "<unk>", "<s>", "</s>"];

/// Whether `id` is a special token that no text encodes to.
pub fn is_control(id: u32) -> bool {
    matches!(id, PAD | BEGIN | END)
}
