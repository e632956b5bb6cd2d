//! The parts of a `tokenizer.json` that are the same in every file of this crate.

use serde_json::{Value, json};

use crate::special;

/// A whole file around a model.
pub(crate) fn file(pre_tokenizer: Value, decoder: Value, model: Value) -> Value {
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_specials(),
        "normalizer": null,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": begin_first(),
        "decoder": decoder,
        "model": model,
    })
}

/// The entry of an added token.
pub(crate) fn added_token(id: u32, name: &str) -> Value {
    json!({
        "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true
    })
}

/// The entries of the special tokens.
pub(crate) fn added_specials() -> Vec<Value> {
    (0..).zip(special::NAMES).map(|(id, name)| added_token(id, name)).collect()
}

/// Has Hugging Face put `<s>` before a text, as the models here expect. This crate leaves that to
/// the models.
pub(crate) fn begin_first() -> Value {
    let begin = special::NAMES[special::BEGIN as usize];
    let single = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
    let token = json!({"SpecialToken": {"id": begin, "type_id": 0}});
    json!({
        "type": "TemplateProcessing",
        "single": [token, single("A")],
        "pair": [token, single("A"), single("B")],
        "special_tokens": {
            begin: {"id": begin, "ids": [special::BEGIN], "tokens": [begin]}
        }
    })
}
