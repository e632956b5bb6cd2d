//! The tables that stages exchange.

use super::columns::{
    Columns, batch, field, flags, list_field, lists, numbers, optional, optional_numbers,
    optional_text, text,
};
use super::row::Row;
use crate::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Float32Type, Schema, SchemaRef, UInt32Type, UInt64Type};
use std::sync::{Arc, LazyLock};

/// One document of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its position in the corpus as read, over all splits; it stays with whatever becomes of it.
    pub id: u64,
    /// The text, cleaned.
    pub text: String,
    /// Its category, if the source has one.
    pub label: Option<String>,
    /// Where it came from.
    pub source: String,
    /// Anything else that the source said, as JSON.
    pub metadata: Option<String>,
}

/// A document that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// As in [`Document`].
    pub id: u64,
    /// The text (its beginning if it is long).
    pub text: String,
    /// Where it came from.
    pub source: String,
    /// The split that it was in.
    pub split: String,
    /// The cleaning step that dropped it.
    pub step: String,
    /// Why.
    pub reason: String,
}

/// A row of one of several ingestions that share a corpus: cleaned as far as a row can be by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardRow {
    /// The stream that it was read in: the test split's files, the validation split's, the corpus.
    pub stream: u32,
    /// The number of its document in what its shard has of the stream.
    pub document: u64,
    /// The text as it is so far.
    pub text: String,
    /// Its category, if the source has one.
    pub label: Option<String>,
    /// Where it came from.
    pub source: String,
    /// Anything else that the source said, as JSON.
    pub metadata: Option<String>,
    /// The step that dropped it, if one has.
    pub step: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// A hash of the text in words of 32 bits, if it will be asked for; else nothing.
    pub hash: Vec<u32>,
    /// What near-duplicates are found by, likewise.
    pub signature: Vec<u32>,
}

/// A document as token ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// As in [`Document`].
    pub id: u64,
    /// Index of its category in the sorted list of labels.
    pub label: Option<u32>,
    /// The content: no begin, end or padding token.
    pub tokens: Vec<u32>,
    /// Whether the document goes on: these are the first of its tokens, and its end is not after them.
    pub cut: bool,
}

/// A generated text.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its number; it names the random stream that it was drawn from.
    pub id: u64,
    /// The text, detokenised.
    pub text: String,
    /// Its tokens: content only.
    pub tokens: Vec<u32>,
    /// The category it was generated for.
    pub label: Option<u32>,
    /// The noise vector it was generated from.
    pub noise: Vec<f32>,
    /// Log-probability of the whole given the noise, in nats, at temperature 1.
    pub log_prob: f32,
    /// The same by token, the end token included.
    pub token_log_probs: Vec<f32>,
    /// The discriminator's logit for the whole.
    pub realness: Option<f32>,
    /// The discriminator's logit after each token.
    pub token_realness: Vec<f32>,
    /// The temperature it was drawn at; 0 is greedy.
    pub temperature: f32,
}

macro_rules! schema {
    ($($field:expr),* $(,)?) => {{
        static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(vec![$($field),*])));
        SCHEMA.clone()
    }};
}

impl Row for Document {
    const REPETITIVE: &'static [&'static str] = &["label", "source"];

    fn schema() -> SchemaRef {
        schema![
            field("id", DataType::UInt64),
            field("text", DataType::Utf8),
            optional("label", DataType::Utf8),
            field("source", DataType::Utf8),
            optional("metadata", DataType::Utf8),
        ]
    }

    fn bytes(&self) -> usize {
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        8 + self.text.len() + optional(&self.label) + self.source.len() + optional(&self.metadata)
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch> {
        batch(
            Self::schema(),
            vec![
                numbers::<UInt64Type>(rows.iter().map(|row| row.id)),
                text(rows.iter().map(|row| row.text.as_str())),
                optional_text(rows.iter().map(|row| row.label.as_deref())),
                text(rows.iter().map(|row| row.source.as_str())),
                optional_text(rows.iter().map(|row| row.metadata.as_deref())),
            ],
        )
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>> {
        let columns = Columns(batch);
        let ids = columns.numbers::<UInt64Type>("id")?.into_iter();
        let texts = columns.text("text")?.into_iter();
        let labels = columns.optional_text("label")?.into_iter();
        let sources = columns.text("source")?.into_iter();
        let metadata = columns.optional_text("metadata")?.into_iter();
        Ok(ids
            .zip(texts)
            .zip(labels.zip(sources).zip(metadata))
            .map(|((id, text), ((label, source), metadata))| Self {
                id,
                text,
                label,
                source,
                metadata,
            })
            .collect())
    }
}

impl Row for Dropped {
    const REPETITIVE: &'static [&'static str] = &["source", "split", "step", "reason"];

    fn schema() -> SchemaRef {
        schema![
            field("id", DataType::UInt64),
            field("text", DataType::Utf8),
            field("source", DataType::Utf8),
            field("split", DataType::Utf8),
            field("step", DataType::Utf8),
            field("reason", DataType::Utf8),
        ]
    }

    fn bytes(&self) -> usize {
        8 + self.text.len()
            + self.source.len()
            + self.split.len()
            + self.step.len()
            + self.reason.len()
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch> {
        batch(
            Self::schema(),
            vec![
                numbers::<UInt64Type>(rows.iter().map(|row| row.id)),
                text(rows.iter().map(|row| row.text.as_str())),
                text(rows.iter().map(|row| row.source.as_str())),
                text(rows.iter().map(|row| row.split.as_str())),
                text(rows.iter().map(|row| row.step.as_str())),
                text(rows.iter().map(|row| row.reason.as_str())),
            ],
        )
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>> {
        let columns = Columns(batch);
        let ids = columns.numbers::<UInt64Type>("id")?.into_iter();
        let texts = columns.text("text")?.into_iter();
        let sources = columns.text("source")?.into_iter();
        let splits = columns.text("split")?.into_iter();
        let steps = columns.text("step")?.into_iter();
        let reasons = columns.text("reason")?.into_iter();
        Ok(ids
            .zip(texts.zip(sources))
            .zip(splits.zip(steps.zip(reasons)))
            .map(|((id, (text, source)), (split, (step, reason)))| Self {
                id,
                text,
                source,
                split,
                step,
                reason,
            })
            .collect())
    }
}

impl Row for ShardRow {
    const REPETITIVE: &'static [&'static str] = &["label", "source", "step", "reason"];

    fn schema() -> SchemaRef {
        schema![
            field("stream", DataType::UInt32),
            field("document", DataType::UInt64),
            field("text", DataType::Utf8),
            optional("label", DataType::Utf8),
            field("source", DataType::Utf8),
            optional("metadata", DataType::Utf8),
            optional("step", DataType::Utf8),
            optional("reason", DataType::Utf8),
            list_field("hash", DataType::UInt32),
            list_field("signature", DataType::UInt32),
        ]
    }

    fn bytes(&self) -> usize {
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let texts = self.text.len() + self.source.len();
        let others = [&self.label, &self.metadata, &self.step, &self.reason];
        let others: usize = others.into_iter().map(optional).sum();
        12 + texts + others + 4 * (self.hash.len() + self.signature.len())
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch> {
        batch(
            Self::schema(),
            vec![
                numbers::<UInt32Type>(rows.iter().map(|row| row.stream)),
                numbers::<UInt64Type>(rows.iter().map(|row| row.document)),
                text(rows.iter().map(|row| row.text.as_str())),
                optional_text(rows.iter().map(|row| row.label.as_deref())),
                text(rows.iter().map(|row| row.source.as_str())),
                optional_text(rows.iter().map(|row| row.metadata.as_deref())),
                optional_text(rows.iter().map(|row| row.step.as_deref())),
                optional_text(rows.iter().map(|row| row.reason.as_deref())),
                lists::<UInt32Type>(rows.iter().map(|row| row.hash.as_slice())),
                lists::<UInt32Type>(rows.iter().map(|row| row.signature.as_slice())),
            ],
        )
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>> {
        let columns = Columns(batch);
        let streams = columns.numbers::<UInt32Type>("stream")?.into_iter();
        let documents = columns.numbers::<UInt64Type>("document")?.into_iter();
        let texts = columns.text("text")?.into_iter();
        let labels = columns.optional_text("label")?.into_iter();
        let sources = columns.text("source")?.into_iter();
        let metadata = columns.optional_text("metadata")?.into_iter();
        let steps = columns.optional_text("step")?.into_iter();
        let reasons = columns.optional_text("reason")?.into_iter();
        let hashes = columns.lists::<UInt32Type>("hash")?.into_iter();
        let signatures = columns.lists::<UInt32Type>("signature")?.into_iter();
        Ok(streams
            .zip(documents)
            .zip(texts.zip(labels))
            .zip(sources.zip(metadata))
            .zip(steps.zip(reasons))
            .zip(hashes.zip(signatures))
            .map(|((((place, what), from), fate), (hash, signature))| {
                let ((stream, document), (text, label)) = (place, what);
                let ((source, metadata), (step, reason)) = (from, fate);
                Self {
                    stream,
                    document,
                    text,
                    label,
                    source,
                    metadata,
                    step,
                    reason,
                    hash,
                    signature,
                }
            })
            .collect())
    }
}

impl Row for TokenRow {
    fn schema() -> SchemaRef {
        schema![
            field("id", DataType::UInt64),
            optional("label", DataType::UInt32),
            list_field("tokens", DataType::UInt32),
            field("cut", DataType::Boolean),
        ]
    }

    fn bytes(&self) -> usize {
        17 + 4 * self.tokens.len()
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch> {
        batch(
            Self::schema(),
            vec![
                numbers::<UInt64Type>(rows.iter().map(|row| row.id)),
                optional_numbers::<UInt32Type>(rows.iter().map(|row| row.label)),
                lists::<UInt32Type>(rows.iter().map(|row| row.tokens.as_slice())),
                flags(rows.iter().map(|row| row.cut)),
            ],
        )
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>> {
        let columns = Columns(batch);
        let ids = columns.numbers::<UInt64Type>("id")?.into_iter();
        let labels = columns.optional_numbers::<UInt32Type>("label")?.into_iter();
        let tokens = columns.lists::<UInt32Type>("tokens")?.into_iter();
        let cut = columns.flags("cut")?.into_iter();
        Ok(ids
            .zip(labels.zip(tokens.zip(cut)))
            .map(|(id, (label, (tokens, cut)))| Self { id, label, tokens, cut })
            .collect())
    }
}

impl Row for Sample {
    fn schema() -> SchemaRef {
        schema![
            field("id", DataType::UInt64),
            field("text", DataType::Utf8),
            list_field("tokens", DataType::UInt32),
            optional("label", DataType::UInt32),
            list_field("noise", DataType::Float32),
            field("log_prob", DataType::Float32),
            list_field("token_log_probs", DataType::Float32),
            optional("realness", DataType::Float32),
            list_field("token_realness", DataType::Float32),
            field("temperature", DataType::Float32),
        ]
    }

    fn bytes(&self) -> usize {
        let numbers = self.tokens.len()
            + self.noise.len()
            + self.token_log_probs.len()
            + self.token_realness.len();
        24 + self.text.len() + 4 * numbers
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch> {
        batch(
            Self::schema(),
            vec![
                numbers::<UInt64Type>(rows.iter().map(|row| row.id)),
                text(rows.iter().map(|row| row.text.as_str())),
                lists::<UInt32Type>(rows.iter().map(|row| row.tokens.as_slice())),
                optional_numbers::<UInt32Type>(rows.iter().map(|row| row.label)),
                lists::<Float32Type>(rows.iter().map(|row| row.noise.as_slice())),
                numbers::<Float32Type>(rows.iter().map(|row| row.log_prob)),
                lists::<Float32Type>(rows.iter().map(|row| row.token_log_probs.as_slice())),
                optional_numbers::<Float32Type>(rows.iter().map(|row| row.realness)),
                lists::<Float32Type>(rows.iter().map(|row| row.token_realness.as_slice())),
                numbers::<Float32Type>(rows.iter().map(|row| row.temperature)),
            ],
        )
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>> {
        let columns = Columns(batch);
        let ids = columns.numbers::<UInt64Type>("id")?.into_iter();
        let texts = columns.text("text")?.into_iter();
        let tokens = columns.lists::<UInt32Type>("tokens")?.into_iter();
        let labels = columns.optional_numbers::<UInt32Type>("label")?.into_iter();
        let noises = columns.lists::<Float32Type>("noise")?.into_iter();
        let log_probs = columns.numbers::<Float32Type>("log_prob")?.into_iter();
        let token_log_probs = columns.lists::<Float32Type>("token_log_probs")?.into_iter();
        let realness = columns.optional_numbers::<Float32Type>("realness")?.into_iter();
        let token_realness = columns.lists::<Float32Type>("token_realness")?.into_iter();
        let temperatures = columns.numbers::<Float32Type>("temperature")?.into_iter();
        Ok(ids
            .zip(texts.zip(tokens))
            .zip(labels.zip(noises))
            .zip(log_probs.zip(token_log_probs))
            .zip(realness.zip(token_realness).zip(temperatures))
            .map(|(((what, given), how_likely), ((realness, token_realness), temperature))| {
                let (id, (text, tokens)) = what;
                let (label, noise) = given;
                let (log_prob, token_log_probs) = how_likely;
                Self {
                    id,
                    text,
                    tokens,
                    label,
                    noise,
                    log_prob,
                    token_log_probs,
                    realness,
                    token_realness,
                    temperature,
                }
            })
            .collect())
    }
}
