//! What a `tokenizer.json` may do: give the same tokens every time, in bounded time and memory.

use serde_json::Value;

use crate::{Error, Result};

/// The most times that normalizers, or decoders, may lengthen a text together.
const MOST_EXPANSION: usize = 100;

/// The longest word that WordPiece may cut: the time grows with the square of its length.
const LONGEST_WORD: u64 = 1_000;

/// Refuses a file that would make runs differ or never end.
pub(crate) fn check(json: &[u8]) -> Result<()> {
    let refuse =
        |message: String| Err(Error::Tokenizers { action: "not a usable tokenizer.json", message });
    // What is no JSON is refused by whoever reads it whole.
    let Ok(file) = serde_json::from_slice::<Value>(json) else { return Ok(()) };
    let model = &file["model"];
    if model["dropout"].as_f64().is_some_and(|share| share != 0.0) {
        return refuse(format!(
            "model.dropout is {}, so the same text gives other tokens every time; set it to null",
            model["dropout"]
        ));
    }
    if model["max_input_chars_per_word"].as_u64().is_some_and(|longest| longest > LONGEST_WORD) {
        return refuse(format!(
            "model.max_input_chars_per_word is {}; words of more than {LONGEST_WORD} characters take too long to cut",
            model["max_input_chars_per_word"]
        ));
    }
    for part in ["normalizer", "decoder"] {
        let expansion = expansion(&file[part]);
        if expansion > MOST_EXPANSION {
            return refuse(format!(
                "its {part} replaces and prepends so much that a text may become {MOST_EXPANSION} times as long; \
                 take such steps out"
            ));
        }
    }
    Ok(())
}

/// How many times as long as before a text can be after a step and those in it.
fn expansion(step: &Value) -> usize {
    match step["type"].as_str() {
        Some("Sequence") => {
            let steps = ["normalizers", "decoders"].iter().filter_map(|name| step[name].as_array());
            steps.flatten().map(expansion).fold(1, usize::saturating_mul)
        }
        Some("Replace") => {
            let content = step["content"].as_str().unwrap_or_default().len();
            match step["pattern"]["String"].as_str() {
                Some(pattern) if !pattern.is_empty() => content.div_ceil(pattern.len()).max(1),
                // An expression may match nothing, between any two bytes.
                _ => content + 1,
            }
        }
        // Once before a text, or before each piece of it.
        Some("Prepend") => step["prepend"].as_str().unwrap_or_default().len() + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(file: &Value) -> Option<String> {
        check(file.to_string().as_bytes()).err().map(|error| error.to_string())
    }

    #[test]
    fn what_is_random_or_never_ends_is_refused() {
        let replace = |pattern: &str, content: &str| json!({"type": "Replace", "pattern": {"String": pattern}, "content": content});
        let chain = |count: usize| json!({"normalizer": {"type": "Sequence", "normalizers": vec![replace("a", "aa"); count]}});
        for (bad, expect) in [
            (json!({"model": {"dropout": 0.1}}), "model.dropout"),
            (json!({"model": {"max_input_chars_per_word": 4000}}), "max_input_chars_per_word"),
            (chain(30), "normalizer"),
            (json!({"decoder": replace("a", &"b".repeat(200))}), "decoder"),
        ] {
            let message = refused(&bad).unwrap_or_default();
            assert!(message.contains(expect), "{bad}: {message}");
        }
        let gpt = json!({"model": {"dropout": null}, "normalizer": replace(" ", "\u{2581}")});
        for good in [gpt, chain(6), json!({"model": {"dropout": 0.0}}), json!([])] {
            assert_eq!(refused(&good), None);
        }
    }
}
