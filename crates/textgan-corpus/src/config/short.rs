//! Short forms in configs: a string for a table, a single item for a list.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// What a lone string stands for.
pub(crate) trait Short: Sized {
    /// The item that `text` is short for, or why there is none.
    fn from_short(text: &str) -> Result<Self, serde::de::value::Error>;
}

/// Reads one item or a list of them, each as a table or a string.
pub(crate) fn many<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Short + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Many::<T>::deserialize(deserializer)?.items)
}

/// One item or several; exists for its schema and as the target of [`many`].
pub(crate) struct Many<T> {
    items: Vec<T>,
}

impl<'de, T: Short + Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ManyVisitor(PhantomData))
    }
}

struct ManyVisitor<T>(PhantomData<T>);

impl<'de, T: Short + Deserialize<'de>> Visitor<'de> for ManyVisitor<T> {
    type Value = Many<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a table or a list of these")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Many { items: vec![T::from_short(text).map_err(E::custom)?] })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(Many { items: vec![T::deserialize(MapAccessDeserializer::new(map))?] })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        let items = Vec::<One<T>>::deserialize(SeqAccessDeserializer::new(seq))?;
        Ok(Many { items: items.into_iter().map(|one| one.0).collect() })
    }
}

struct One<T>(T);

impl<'de, T: Short + Deserialize<'de>> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneVisitor(PhantomData))
    }
}

struct OneVisitor<T>(PhantomData<T>);

impl<'de, T: Short + Deserialize<'de>> Visitor<'de> for OneVisitor<T> {
    type Value = One<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a table")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::from_short(text).map(One).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(One).map_err(A::Error::custom)
    }
}

impl<T: JsonSchema> JsonSchema for Many<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("ManyOf{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [
            { "type": "string" },
            table,
            { "type": "array", "items": { "anyOf": [{ "type": "string" }, table] } },
        ] })
    }
}
