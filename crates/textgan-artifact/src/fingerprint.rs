//! What decides an output, hashed.

use crate::{Error, Result};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Builds the fingerprint of a stage from everything that decides its output besides the input
/// files: its configuration, its seed, the version of its format.
///
/// The hash is taken over canonical JSON (keys sorted, no spaces), so the order in which fields are
/// declared or given does not matter.
///
/// ```
/// use textgan_artifact::Fingerprint;
///
/// let one = Fingerprint::new("train", 1).field("seed", &7).field("steps", &100).finish()?;
/// let same = Fingerprint::new("train", 1).field("steps", &100).field("seed", &7).finish()?;
/// let other = Fingerprint::new("train", 2).field("seed", &7).field("steps", &100).finish()?;
/// assert_eq!(one, same);
/// assert_ne!(one, other);
/// # Ok::<(), textgan_artifact::Error>(())
/// ```
#[derive(Debug)]
pub struct Fingerprint {
    stage: String,
    format_version: u32,
    fields: BTreeMap<String, Value>,
    failed: Option<Error>,
}

impl Fingerprint {
    /// Starts the fingerprint of a stage whose files have format `format_version`.
    pub fn new(stage: impl Into<String>, format_version: u32) -> Self {
        Self { stage: stage.into(), format_version, fields: BTreeMap::new(), failed: None }
    }

    /// Adds a named part. A second part of the same name replaces the first.
    #[must_use]
    pub fn field(mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => {
                self.fields.insert(name.to_string(), value);
            }
            Err(error) => {
                let what = format!("`{name}` of stage `{}`", self.stage);
                self.failed.get_or_insert(Error::Json { what, message: error.to_string() });
            }
        }
        self
    }

    /// The stage that it belongs to.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// The version of that stage's files.
    pub fn format_version(&self) -> u32 {
        self.format_version
    }

    /// The parts added so far, by name.
    pub fn fields(&self) -> &BTreeMap<String, Value> {
        &self.fields
    }

    /// The hash, in hex.
    ///
    /// # Errors
    /// [`Error::Json`] when a part had no JSON form.
    pub fn finish(self) -> Result<String> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let fields = Value::Object(self.fields.into_iter().collect());
        let whole = serde_json::json!({
            "fields": fields,
            "format_version": self.format_version,
            "stage": self.stage,
        });
        Ok(crate::hash_bytes(canonical_json(&whole).as_bytes()))
    }
}

/// JSON with sorted keys and no spaces: one text for one value.
pub fn canonical_json(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(canonical_json).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(entries) => {
            let sorted: BTreeMap<_, _> = entries.iter().collect();
            let entries: Vec<_> = sorted
                .into_iter()
                .map(|(key, value)| {
                    format!("{}:{}", Value::String(key.clone()), canonical_json(value))
                })
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value: Value =
            serde_json::from_str(r#"{"b": [{"z": 1, "a": "\"é"}], "a": null, "c": 0.1}"#).unwrap();
        assert_eq!(canonical_json(&value), r#"{"a":null,"b":[{"a":"\"é","z":1}],"c":0.1}"#);
    }

    #[test]
    fn every_part_counts() {
        let print = |stage: &str, version, name: &str, value: i32| {
            Fingerprint::new(stage, version).field(name, &value).finish().unwrap()
        };
        let base = print("a", 1, "x", 1);
        for other in [
            print("b", 1, "x", 1),
            print("a", 2, "x", 1),
            print("a", 1, "y", 1),
            print("a", 1, "x", 2),
        ] {
            assert_ne!(base, other);
        }
        // Pinned: a change here makes every existing run stale.
        assert_eq!(base.len(), 64);
    }

    #[test]
    fn a_value_without_json_is_an_error() {
        let map: BTreeMap<Vec<u8>, i32> = [(vec![1], 1)].into();
        let error = Fingerprint::new("a", 1).field("map", &map).finish().unwrap_err();
        assert!(error.to_string().contains("`map` of stage `a`"), "{error}");
    }
}
