//! From records to rows: the part of reading that runs in parallel.

use super::html;
use super::record::{Origin, Payload, Record, Rules};
use crate::clean::{Fate, Precomputed, READ, Row};
use crate::{Encoding, Error, Label, Oversized, Place, Split};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The rows of a record, the `document` of its stream: one, or several for an HTML page.
pub(crate) fn decode(
    record: Record,
    document: u64,
    split: Split,
    rules: &Rules,
) -> Result<Vec<Row>, Error> {
    let place = record.place();
    let Record { origin, offset, payload, .. } = record;
    let decoder = Decoder { origin: &origin, place: &place, document, split, rules };
    let constant = || match &origin.files.label {
        Some(Label::Constant(label)) => Some(label.clone()),
        Some(Label::Folder) => origin.folder.clone(),
        Some(Label::Column(_)) | None => None,
    };
    Ok(match payload {
        Payload::Text(bytes) => {
            vec![decoder.row(rules.text(bytes, &place, offset)?, constant(), None)?]
        }
        Payload::Html(bytes) => {
            let page = rules.text(bytes, &place, offset)?;
            if let Some(reason) = html::cannot_be_parsed(&page) {
                return Ok(vec![decoder.dropped(page, reason)]);
            }
            // The config is checked before anything is read.
            let selector = scraper::Selector::parse(&origin.files.selector)
                .map_err(|_| Error::config("corpus.sources.selector", "is not a CSS selector"))?;
            let texts = html::documents(&page, &selector, origin.files.unit);
            texts
                .into_iter()
                .map(|text| decoder.row(text, constant(), None))
                .collect::<Result<_, _>>()?
        }
        Payload::Json(bytes) => {
            let line = rules.text(bytes, &place, offset)?;
            let fields = json(&line, &origin, &place, rules)?;
            decoder.fields(fields.text, fields.label.or_else(constant), fields.metadata)?
        }
        Payload::Csv(record, columns) => {
            let field = |column: usize| {
                let bytes = record.get(column).unwrap_or_default();
                let before: usize =
                    (0..column).map(|c| record.get(c).map_or(0, <[u8]>::len) + 1).sum();
                rules.text(bytes.to_vec(), &place, offset + before as u64)
            };
            let mut metadata = Map::new();
            for (name, column) in &columns.metadata {
                metadata.insert(name.clone(), field(*column)?.into());
            }
            let label = columns.label.map(field).transpose()?.or_else(constant);
            decoder.fields(Some(field(columns.text)?), label, object(metadata))?
        }
        Payload::Fields { text, label, metadata } => {
            decoder.fields(text, label.or_else(constant), metadata)?
        }
        Payload::Sample(key, truth) => {
            let (text, label) = truth.sample(&mut key.stream());
            vec![decoder.row(text, label, None)?]
        }
        Payload::Beginning(bytes) => {
            let reason = format!("longer than {} bytes", rules.limits.max_document_bytes);
            vec![decoder.dropped(String::from_utf8_lossy(&bytes).into_owned(), reason)]
        }
    })
}

struct Decoder<'a> {
    origin: &'a Origin,
    place: &'a Place,
    document: u64,
    split: Split,
    rules: &'a Rules,
}

impl Decoder<'_> {
    fn fields(
        &self,
        text: Option<String>,
        label: Option<String>,
        metadata: Option<String>,
    ) -> Result<Vec<Row>, Error> {
        Ok(vec![match text {
            Some(text) => self.row(text, label, metadata)?,
            None => self.dropped(String::new(), format!("`{}` is null", self.origin.files.text)),
        }])
    }

    fn row(
        &self,
        text: String,
        label: Option<String>,
        metadata: Option<String>,
    ) -> Result<Row, Error> {
        let limits = &self.rules.limits;
        if text.len() as u64 > limits.max_document_bytes {
            return match limits.oversized {
                Oversized::Drop => {
                    Ok(self
                        .dropped(text, format!("longer than {} bytes", limits.max_document_bytes)))
                }
                Oversized::Refuse => Err(Error::TooLong {
                    place: self.place.clone(),
                    what: "document",
                    limit: limits.max_document_bytes,
                    max_document_bytes: limits.max_document_bytes,
                }),
            };
        }
        if text.trim().is_empty() {
            return Ok(self.dropped(text, "no text".into()));
        }
        Ok(Row { label, metadata, ..self.bare(text, Fate::Kept) })
    }

    fn dropped(&self, text: String, reason: String) -> Row {
        self.bare(text, Fate::Dropped { step: READ, reason })
    }

    fn bare(&self, text: String, fate: Fate) -> Row {
        let source = Arc::clone(&self.origin.file);
        let Self { document, split, .. } = *self;
        let precomputed = Precomputed::default();
        Row { text, label: None, metadata: None, source, document, split, fate, precomputed }
    }
}

fn object(metadata: Map<String, Value>) -> Option<String> {
    (!metadata.is_empty()).then(|| Value::Object(metadata).to_string())
}

struct JsonFields {
    text: Option<String>,
    label: Option<String>,
    metadata: Option<String>,
}

/// The wanted fields of a JSON line. The rest is passed over without being built.
fn json(line: &str, origin: &Origin, place: &Place, rules: &Rules) -> Result<JsonFields, Error> {
    let files = &origin.files;
    let malformed = |message: String| Error::Malformed { place: place.clone(), message };
    // Numbers are of interest as labels and metadata alone.
    let line = match (&files.label, &files.metadata[..]) {
        (Some(Label::Column(_)), _) | (_, [_, ..]) => with_great_integers_quoted(line),
        _ => Cow::Borrowed(line),
    };
    let line = &*line;
    let mut deserializer = serde_json::Deserializer::from_str(line);
    let found = Wanted(origin).deserialize(&mut deserializer).and_then(|found| {
        deserializer.end()?;
        Ok(found)
    });
    let found = match found {
        // Half a pair of UTF-16 in an escape is as wrong as a byte that is no UTF-8.
        Err(_) if rules.encoding != Encoding::Strict && has_lone_surrogate(line) => {
            return json(&without_lone_surrogates(line), origin, place, rules);
        }
        found => found,
    };
    let found = found.map_err(|e| {
        let hint = if has_lone_surrogate(line) {
            " (half a surrogate pair; corpus.encoding = \"replace\" puts U+FFFD in its place)"
        } else if line.trim_start().starts_with('[') {
            " (an array: this is JSON, not JSON lines; write one object a line)"
        } else {
            ""
        };
        malformed(format!("not a JSON object: {e}{hint}"))
    })?;

    let found = found.or_nested(line, files);
    let missing = |column: &str| {
        let keys = serde_json::from_str::<Map<String, Value>>(line)
            .map_or(Vec::new(), |m| m.into_iter().map(|(k, _)| k).collect());
        Error::MissingColumn { place: place.clone(), column: column.to_string(), present: keys }
    };
    let text = match found.text {
        None => return Err(missing(&files.text)),
        Some(Scalar::Text(text)) => Some(text),
        Some(Scalar::Null) => None,
        Some(Scalar::Plain(_) | Scalar::Nested) => {
            return Err(malformed(format!(
                "`{}` is not a string; name another key with `text`",
                files.text
            )));
        }
    };
    let label = match (&files.label, found.label) {
        (Some(Label::Column(name)), None) => return Err(missing(name)),
        (Some(Label::Column(name)), Some(Scalar::Nested)) => {
            return Err(malformed(format!("the label `{name}` is an array or object")));
        }
        (_, Some(Scalar::Text(label) | Scalar::Plain(label))) => Some(label),
        _ => None,
    };
    let mut metadata = Map::new();
    for (name, value) in files.metadata.iter().zip(found.metadata) {
        metadata.insert(name.clone(), value.ok_or_else(|| missing(name))?);
    }
    Ok(JsonFields { text, label, metadata: object(metadata) })
}

/// Reads a JSON object, keeping only what the layout names.
struct Wanted<'a>(&'a Origin);

#[derive(Default)]
struct Found {
    text: Option<Scalar>,
    label: Option<Scalar>,
    metadata: Vec<Option<Value>>,
}

impl Found {
    /// Values that no key of the whole name has are looked for inside objects: `post.body`.
    fn or_nested(mut self, line: &str, files: &crate::Files) -> Self {
        let nested = |name: &str| name.contains('.');
        let label = match &files.label {
            Some(Label::Column(name)) => Some(name.as_str()),
            _ => None,
        };
        let wanted = (self.text.is_none() && nested(&files.text))
            || (self.label.is_none() && label.is_some_and(nested))
            || files
                .metadata
                .iter()
                .zip(&self.metadata)
                .any(|(name, found)| found.is_none() && nested(name));
        if !wanted {
            return self;
        }
        let Ok(object) = serde_json::from_str::<Value>(line) else { return self };
        let at = |name: &str| name.split('.').try_fold(&object, |value, part| value.get(part));
        self.text = self.text.or_else(|| at(&files.text).map(scalar));
        self.label = self.label.or_else(|| at(label?).map(scalar));
        for (name, found) in files.metadata.iter().zip(&mut self.metadata) {
            if found.is_none() {
                *found = at(name).cloned();
            }
        }
        self
    }
}

/// Where the escapes `\uXXXX` of half a surrogate pair are, alone.
fn lone_surrogates(line: &str) -> Vec<usize> {
    let bytes = line.as_bytes();
    let code = |at: usize| {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match code(at) {
            Some(0xD800..=0xDBFF) if matches!(code(at + 6), Some(0xDC00..=0xDFFF)) => at += 12,
            Some(0xD800..=0xDFFF) => {
                found.push(at);
                at += 6;
            }
            _ => at += 2,
        }
    }
    found
}

fn has_lone_surrogate(line: &str) -> bool {
    !lone_surrogates(line).is_empty()
}

fn without_lone_surrogates(line: &str) -> String {
    let mut whole = line.to_owned();
    for at in lone_surrogates(line) {
        whole.replace_range(at..at + 6, "\\ufffd");
    }
    whole
}

/// The line with each integer of more digits than 64 bits hold as a string of the same digits: as a number it
/// would become another one.
fn with_great_integers_quoted(line: &str) -> Cow<'_, str> {
    let bytes = line.as_bytes();
    let mut out = String::new();
    let (mut at, mut copied, mut in_string) = (0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => in_string = !in_string,
            b'\\' if in_string => at += 1,
            b'-' | b'0'..=b'9' if !in_string => {
                let digit = |b: &&u8| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let end = at + bytes[at..].iter().take_while(digit).count();
                let number = &line[at..end];
                let is_integer = !number.contains(['.', 'e', 'E']);
                if is_integer && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
                    out += &line[copied..at];
                    out = out + "\"" + number + "\"";
                    copied = end;
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    if copied == 0 { Cow::Borrowed(line) } else { Cow::Owned(out + &line[copied..]) }
}

enum Scalar {
    Text(String),
    /// A number or a truth value, as written.
    Plain(String),
    Null,
    Nested,
}

/// What one key of an object is wanted for.
#[derive(Clone, Copy)]
struct Roles {
    text: bool,
    label: bool,
    metadata: Option<usize>,
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let files = &self.0.files;
        let mut found = Found { metadata: vec![None; files.metadata.len()], ..Found::default() };
        while let Some(roles) = map.next_key_seed(Key(self.0))? {
            match roles {
                Roles { text: false, label: false, metadata: None } => {
                    map.next_value::<IgnoredAny>()?;
                }
                Roles { text: true, label: false, metadata: None } => {
                    found.text = Some(map.next_value_seed(AsScalar)?)
                }
                _ => {
                    let value: Value = map.next_value()?;
                    if roles.text {
                        found.text = Some(scalar(&value));
                    }
                    if roles.label {
                        found.label = Some(scalar(&value));
                    }
                    if let Some(index) = roles.metadata {
                        found.metadata[index] = Some(value);
                    }
                }
            }
        }
        Ok(found)
    }
}

struct Key<'a>(&'a Origin);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Roles;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Roles, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Roles;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Roles, E> {
        let files = &self.0.files;
        Ok(Roles {
            text: key == files.text,
            label: matches!(&files.label, Some(Label::Column(name)) if name == key),
            metadata: files.metadata.iter().position(|name| name == key),
        })
    }
}

fn scalar(value: &Value) -> Scalar {
    match value {
        Value::Null => Scalar::Null,
        Value::String(text) => Scalar::Text(text.clone()),
        Value::Bool(_) | Value::Number(_) => Scalar::Plain(value.to_string()),
        Value::Array(_) | Value::Object(_) => Scalar::Nested,
    }
}

/// The common case, a string, without a detour.
struct AsScalar;

impl<'de> DeserializeSeed<'de> for AsScalar {
    type Value = Scalar;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AsScalar {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_string()))
    }

    fn visit_string<E>(self, text: String) -> Result<Scalar, E> {
        Ok(Scalar::Text(text))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Plain(value.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nested)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nested)
    }
}

#[cfg(test)]
mod tests {
    use super::with_great_integers_quoted;

    #[test]
    fn great_integers_keep_their_digits() {
        for (line, expected) in [
            (r#"{"a": 18446744073709551616, "b": 1}"#, r#"{"a": "18446744073709551616", "b": 1}"#),
            (
                r#"[-9223372036854775809,"\"123456789012345678901"]"#,
                r#"["-9223372036854775809","\"123456789012345678901"]"#,
            ),
            (r#"{"a": 18446744073709551615}"#, r#"{"a": 18446744073709551615}"#),
            (r#"{"b": 1e300, "c": -3.25}"#, r#"{"b": 1e300, "c": -3.25}"#),
            ("", ""),
        ] {
            assert_eq!(with_great_integers_quoted(line), expected);
        }
    }
}
