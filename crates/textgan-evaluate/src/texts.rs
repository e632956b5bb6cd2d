//! What the networks that measure demand of their texts.

use crate::{Error, Result};

/// Refuses texts that are none, that say nothing, or whose ids are outside of the vocabulary;
/// `texts` says which they are.
pub(crate) fn check(texts: &'static str, rows: &[Vec<u32>], vocab: usize) -> Result<()> {
    let refuse = |message: String| Err(Error::Texts { texts, message });
    if rows.is_empty() {
        return refuse("there are none; give some".to_owned());
    }
    if rows.iter().all(Vec::is_empty) {
        return refuse(format!("all {} are empty; give texts with tokens", rows.len()));
    }
    for (row, text) in rows.iter().enumerate() {
        if let Some(id) = text.iter().find(|&&id| id as usize >= vocab) {
            return refuse(format!(
                "token {id} of text {row} (counted from 0) is outside of a vocabulary of {vocab}; \
                 they belong to different runs"
            ));
        }
    }
    Ok(())
}
