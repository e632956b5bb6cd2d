//! A config as TOML in which every key stands with its documentation and its value.

use serde_json::{Map, Value};

/// Prints `config` as TOML. With `schema`, its JSON Schema, each key is preceded by its description,
/// and keys without a value are listed as comments.
pub fn toml(config: &Value, schema: Option<&Value>) -> String {
    let mut printer = Printer { text: String::new(), schema };
    if let Value::Object(table) = config {
        printer.table("", table, schema.into_iter().collect());
    }
    printer.text.trim_start().to_string()
}

struct Printer<'a> {
    text: String,
    schema: Option<&'a Value>,
}

impl<'a> Printer<'a> {
    /// Scalars first, then tables, then lists of tables: the order that TOML asks for.
    fn table(&mut self, path: &str, table: &Map<String, Value>, schemas: Vec<&'a Value>) {
        let known = self.properties(&schemas, table);
        let known_as = |key: &str| known.iter().find(|known| known.name == key);
        for (key, value) in table.iter().filter(|(_, value)| is_plain(value)) {
            self.describe(known_as(key));
            self.text += &format!("{} = {}\n", name(key), inline(value));
        }
        for known in &known {
            if table.get(&known.name).is_none_or(Value::is_null) {
                self.describe(Some(known));
                self.text += &format!("# {} = (unset)\n", name(&known.name));
            }
        }
        for (key, value) in table.iter().filter(|(_, value)| !is_plain(value)) {
            let path = if path.is_empty() { name(key) } else { format!("{path}.{}", name(key)) };
            let known = known_as(key);
            let schema = known.map(|known| known.schema);
            match value {
                Value::Object(inner) => {
                    self.text.push('\n');
                    self.describe(known);
                    self.text += &format!("[{path}]\n");
                    self.table(&path, inner, schema.into_iter().collect());
                }
                Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        let Value::Object(inner) = item else { continue };
                        self.text.push('\n');
                        if index == 0 {
                            self.describe(known);
                        }
                        self.text += &format!("[[{path}]]\n");
                        let item_schema = schema.map(|schema| self.items(schema));
                        self.table(&path, inner, item_schema.into_iter().collect());
                    }
                }
                _ => {}
            }
        }
    }

    fn describe(&mut self, known: Option<&Known<'_>>) {
        let Some(description) = known.and_then(|known| self.description(known)) else { return };
        let after_header = self.text.lines().next_back().is_some_and(|line| line.starts_with('['));
        if !after_header && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
        for line in description.lines() {
            self.text += format!("# {line}").trim_end();
            self.text.push('\n');
        }
    }

    fn description(&self, known: &Known<'_>) -> Option<String> {
        let own = |schema: &Value| schema.get("description")?.as_str().map(str::to_string);
        let mut text = own(known.schema).or_else(|| own(self.resolve(known.schema)))?;
        let mut choices = self.choices(known.schema);
        choices.extend(known.forms.iter().cloned());
        if !choices.is_empty() {
            text += &format!("\nOne of: {}.", choices.join(", "));
        }
        Some(text)
    }

    /// The strings that a value may be, if it is an enumeration.
    fn choices(&self, schema: &Value) -> Vec<String> {
        let schema = self.resolve(schema);
        let mut found = Vec::new();
        if let Some(Value::Array(values)) = schema.get("enum") {
            found.extend(values.iter().filter(|value| value.is_string()).map(inline));
        }
        if let Some(value) = schema.get("const").filter(|value| value.is_string()) {
            found.push(inline(value));
        }
        for key in ["oneOf", "anyOf"] {
            for inner in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
                found.extend(self.choices(inner));
            }
        }
        found
    }

    /// The keys that a table may have, with the schema of each, in the order of declaration. Where
    /// a table has several forms, those of the form that it has.
    fn properties(&self, schemas: &[&'a Value], table: &Map<String, Value>) -> Vec<Known<'a>> {
        let mut found: Vec<Known<'a>> = Vec::new();
        for schema in schemas {
            for schema in [*schema, self.resolve(schema)] {
                if let Some(Value::Object(properties)) = schema.get("properties") {
                    for (key, inner) in properties {
                        if !found.iter().any(|known| known.name == *key) {
                            let forms = Vec::new();
                            found.push(Known { name: key.clone(), schema: inner, forms });
                        }
                    }
                }
                for key in ["allOf", "oneOf", "anyOf"] {
                    let forms = || schema.get(key).and_then(Value::as_array).into_iter().flatten();
                    for form in forms().filter(|form| self.fits(form, table)) {
                        for mut known in self.properties(&[form], table) {
                            if found.iter().any(|earlier| earlier.name == known.name) {
                                continue;
                            }
                            if known.schema.get("const").is_some() {
                                // The key that names the form is explained by the form itself, and
                                // the others are named.
                                let named = |form| constant(form, &known.name).map(inline);
                                known.forms = forms().filter_map(named).collect();
                                known.schema = form;
                            }
                            found.push(known);
                        }
                    }
                }
            }
        }
        found
    }

    /// Whether the constant keys of a form (`kind = "lstm"`) are those of the table.
    fn fits(&self, form: &Value, table: &Map<String, Value>) -> bool {
        let Some(properties) = form.get("properties").and_then(Value::as_object) else {
            return true;
        };
        properties.iter().all(|(key, schema)| match schema.get("const") {
            Some(constant) => table.get(key) == Some(constant),
            None => true,
        })
    }

    /// The schema of a list's items.
    fn items(&self, schema: &'a Value) -> &'a Value {
        let schema = self.resolve(schema);
        if let Some(items) = schema.get("items") {
            return items;
        }
        let forms = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        forms.filter_map(|form| form.get("items")).next().unwrap_or(schema)
    }

    /// Follows `$ref` into the root's definitions.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let reference = schema.get("$ref").and_then(Value::as_str);
        let target =
            reference.and_then(|reference| self.schema?.pointer(reference.strip_prefix('#')?));
        target.unwrap_or(schema)
    }
}

/// A key that a table may have.
struct Known<'a> {
    name: String,
    schema: &'a Value,
    /// What else the key may be, if it names the form of its table.
    forms: Vec<String>,
}

/// What `key` is in a form that it names.
fn constant<'a>(form: &'a Value, key: &str) -> Option<&'a Value> {
    form.get("properties")?.get(key)?.get("const")
}

/// Whether a value fits on the line of its key.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(_) => false,
        Value::Array(items) => items.is_empty() || !items.iter().all(Value::is_object),
        _ => true,
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Object(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| format!("{} = {}", name(key), inline(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::String(text) => toml::Value::from(text.as_str()).to_string(),
        other => other.to_string(),
    }
}

fn name(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_string()
    } else {
        toml::Value::from(key).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    /// The whole.
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Config {
        /// Where chance begins.
        seed: u64,
        /// Often left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        /// The list
        /// of phases.
        phase: Vec<Phase>,
        inner: Inner,
    }

    /// One part of training.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "kind", rename_all = "kebab-case")]
    enum Phase {
        /// Takes its time.
        Slow(Inner),
        /// Does not.
        Fast {
            /// How fast.
            speed: f32,
        },
    }

    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    struct Inner {
        /// In words.
        width: f32,
        /// Its colour.
        colour: Colour,
    }

    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    enum Colour {
        DarkRed,
        Green,
    }

    #[test]
    fn every_key_has_its_words_and_the_text_reads_back() {
        let inner = Inner { width: 0.1, colour: Colour::DarkRed };
        let config = Config {
            seed: 7,
            limit: None,
            phase: vec![Phase::Slow(inner.clone()), Phase::Fast { speed: 1e-5 }],
            inner,
        };
        let value: Value = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
        let text = toml(&value, Some(&schema));
        for expect in [
            "# Where chance begins.\nseed = 7\n",
            "# Often left out.\n# limit = (unset)\n",
            "# The list\n# of phases.\n[[phase]]\n# Takes its time.\n# One of: \"slow\", \"fast\".\nkind = \"slow\"\n",
            "# In words.\nwidth = 0.1\n",
            "# Its colour.\n# One of: \"dark-red\", \"green\".\ncolour = \"dark-red\"\n",
            "[[phase]]\n# Does not.\n# One of: \"slow\", \"fast\".\nkind = \"fast\"\n",
            "# How fast.\nspeed = 0.00001\n",
        ] {
            assert!(text.contains(expect), "{expect}\nnot in\n{text}");
        }
        let again: Config = toml::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(again).unwrap(), serde_json::to_value(config).unwrap());
    }
}
