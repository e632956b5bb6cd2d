use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::{Error, Result, layout, special};

/// Rewrites a `tokenizer.json` so that the special tokens have the ids `0..4` and the rest follows
/// in its old order. A file that is so already stays byte for byte.
///
/// The model's own unknown token is renamed to ours. Its other special tokens stay as they are:
/// ordinary tokens that text may contain.
pub(crate) fn renumber(json: &[u8]) -> Result<String> {
    let bad = |message: String| Error::Tokenizers { action: "not a tokenizer.json", message };
    let text = std::str::from_utf8(json).map_err(|error| bad(error.to_string()))?;
    let mut file: Value = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
    let Some(vocabulary) = file.pointer("/model/vocab") else {
        return Err(bad("there is no model.vocab in it".into()));
    };

    let scores: Option<HashMap<String, Value>> = vocabulary
        .as_array()
        .map(|pieces| pieces.iter().map(|piece| (name_of(&piece[0]), piece[1].clone())).collect());
    let mut tokens: Vec<(u64, String)> = match vocabulary {
        Value::Array(pieces) => {
            (0..).zip(pieces).map(|(id, piece)| (id, name_of(&piece[0]))).collect()
        }
        Value::Object(ids) => ids
            .iter()
            .map(|(name, id)| match id.as_u64() {
                Some(id) => Ok((id, name.clone())),
                None => Err(bad(format!("the id of token {name:?} is {id}"))),
            })
            .collect::<Result<_>>()?,
        _ => return Err(bad("model.vocab is neither a list nor a table".into())),
    };
    tokens.sort_unstable();
    if (0..).zip(special::NAMES).all(|(id, name)| {
        tokens.get(id).is_some_and(|token| token.0 == id as u64 && token.1 == name)
    }) {
        return Ok(text.to_owned());
    }

    let unknown_name = special::NAMES[special::UNKNOWN as usize];
    let own_unknown = match file.pointer("/model/unk_id").and_then(Value::as_u64) {
        Some(id) => tokens.iter().find(|token| token.0 == id).map(|token| token.1.clone()),
        None => file.pointer("/model/unk_token").and_then(Value::as_str).map(str::to_owned),
    };
    let replaced: HashSet<&str> =
        special::NAMES.into_iter().chain(own_unknown.as_deref()).collect();
    let names: Vec<&str> = special::NAMES
        .into_iter()
        .chain(tokens.iter().map(|token| token.1.as_str()).filter(|name| !replaced.contains(name)))
        .collect();

    // Added tokens that the model lacks come after it, in their old order.
    let known: HashMap<&str, u32> = names.iter().copied().zip(0..).collect();
    let mut added = layout::added_specials();
    let mut old: Vec<Value> =
        file.get("added_tokens").and_then(Value::as_array).cloned().unwrap_or_default();
    old.sort_by_key(|token| token["id"].as_u64());
    let mut next = names.len() as u32;
    for token in old {
        let Value::Object(mut token) = token else {
            return Err(bad(format!("the added token {token} is no table")));
        };
        let name = token.get("content").map(name_of).unwrap_or_default();
        if replaced.contains(name.as_str()) {
            continue;
        }
        let id = known.get(name.as_str()).copied().unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        token.insert("id".to_owned(), id.into());
        added.push(token.into());
    }

    let vocabulary: Value = match &scores {
        Some(scores) => {
            let score = |name| scores.get(name).cloned().unwrap_or_else(|| 0.0.into());
            names.iter().map(|&name| Value::from(vec![name.into(), score(name)])).collect()
        }
        None => {
            let ids: Map<String, Value> =
                names.iter().zip(0u32..).map(|(&name, id)| (name.into(), id.into())).collect();
            ids.into()
        }
    };
    if scores.is_some() {
        file["model"]["unk_id"] = special::UNKNOWN.into();
    } else if own_unknown.is_some() {
        file["model"]["unk_token"] = unknown_name.into();
    }
    file["model"]["vocab"] = vocabulary;
    file["added_tokens"] = added.into();
    file["post_processor"] = layout::begin_first();
    file["truncation"] = Value::Null;
    file["padding"] = Value::Null;
    Ok(file.to_string())
}

fn name_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Tokenizer;

    fn adopted(file: &Value) -> Tokenizer {
        Tokenizer::from_json(renumber(file.to_string().as_bytes()).unwrap().as_bytes()).unwrap()
    }

    fn own_special(id: u32, name: &str) -> Value {
        layout::added_token(id, name)
    }

    #[test]
    fn a_word_piece_file_keeps_its_pieces() {
        let tokenizer = adopted(&json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
            "added_tokens": [own_special(0, "[PAD]"), own_special(1, "[UNK]"), own_special(5, "[X]")],
            "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": false},
            "model": {
                "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": {"[PAD]": 0, "[UNK]": 1, "walk": 2, "##ing": 3, "dog": 4}
            }
        }));
        assert_eq!(tokenizer.vocab_size(), 4 + 4 + 1);
        let tokens = tokenizer.encode("dog walking zebra").unwrap();
        assert_eq!(tokens, [7, 5, 6, special::UNKNOWN]);
        assert_eq!(tokenizer.decode(&tokens).unwrap(), "dog walking <unk>");
        assert_eq!(tokenizer.id("[X]"), Some(8));
    }

    /// Found by fuzzing: a number among the added tokens.
    #[test]
    fn an_added_token_that_is_none_is_refused() {
        let file =
            json!({"added_tokens": [7], "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}});
        let message = renumber(file.to_string().as_bytes()).unwrap_err().to_string();
        assert!(message.contains("the added token 7 is no table"), "{message}");
    }

    #[test]
    fn a_unigram_file_keeps_its_scores() {
        let tokenizer = adopted(&json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
            "added_tokens": [], "pre_tokenizer": {"type": "WhitespaceSplit"},
            "post_processor": null, "decoder": null,
            "model": {
                "type": "Unigram", "unk_id": 1, "byte_fallback": false,
                "vocab": [["</s>", 0.0], ["<UNK>", 0.0], ["ab", -1.0], ["a", -3.0], ["b", -3.0]]
            }
        }));
        assert_eq!(tokenizer.encode("ab ba ?").unwrap(), [4, 6, 5, special::UNKNOWN]);
    }

    #[test]
    fn a_file_in_order_stays_byte_for_byte() {
        let model = json!({
            "type": "WordLevel", "unk_token": "<unk>",
            "vocab": {"<pad>": 0, "<unk>": 1, "<s>": 2, "</s>": 3, "a": 4}
        });
        let file = layout::file(json!({"type": "WhitespaceSplit"}), Value::Null, model).to_string();
        assert_eq!(renumber(file.as_bytes()).unwrap(), file);
    }

    #[test]
    fn what_is_no_tokenizer_says_so() {
        for bad in
            ["", "{}", "[1]", r#"{"model": {"vocab": 3}}"#, r#"{"model": {"vocab": {"a": -1}}}"#]
        {
            let message = renumber(bad.as_bytes()).unwrap_err().to_string();
            assert!(message.starts_with("not a tokenizer.json"), "{bad}: {message}");
        }
    }
}
