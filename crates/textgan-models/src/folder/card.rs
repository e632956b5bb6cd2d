use serde::{Deserialize, Serialize};

/// What a person should know of a saved model, and the names of its labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelCard {
    /// Title of the README.
    pub title: String,
    /// What the model was made for and how, one paragraph or several, in Markdown.
    pub description: String,
    /// Names of the labels, by id; empty for a generator without labels.
    pub labels: Vec<String>,
    /// Languages, as codes such as `en`.
    pub languages: Vec<String>,
    /// The licence of the weights, as Hugging Face names it, such as `mit`.
    pub license: Option<String>,
    /// Names of the data it was trained on.
    pub datasets: Vec<String>,
    /// Rows of the table of facts: what, and its value. A figure should say its protocol.
    pub facts: Vec<(String, String)>,
}

impl ModelCard {
    /// The front matter that Hugging Face reads.
    pub(super) fn front_matter(&self, library: &str) -> String {
        let mut lines = vec!["---".to_owned()];
        lines.extend(self.license.iter().map(|license| format!("license: {}", quoted(license))));
        let mut list = |key: &str, items: &[String]| {
            if !items.is_empty() {
                lines.push(format!("{key}:"));
                lines.extend(items.iter().map(|item| format!("- {}", quoted(item))));
            }
        };
        list("language", &self.languages);
        list("datasets", &self.datasets);
        list("tags", &["textgan".to_owned(), "text-generation".to_owned()]);
        lines.push(format!("library_name: {library}"));
        lines.push("pipeline_tag: text-generation".to_owned());
        lines.push("---\n".to_owned());
        lines.join("\n")
    }

    /// Title, description and facts.
    pub(super) fn body(&self) -> String {
        let title = if self.title.is_empty() { "A text generator" } else { &self.title };
        let mut body = format!("# {title}\n");
        if !self.description.is_empty() {
            body += &format!("\n{}\n", self.description.trim());
        }
        if !self.facts.is_empty() {
            body += "\n| | |\n|---|---|\n";
            for (what, value) in &self.facts {
                body += &format!("| {} | {} |\n", cell(what), cell(value));
            }
        }
        if !self.labels.is_empty() {
            body += "\nLabels:";
            for (id, label) in self.labels.iter().enumerate() {
                body += &format!(
                    " {id} `{label}`{}",
                    if id + 1 < self.labels.len() { "," } else { ".\n" }
                );
            }
        }
        body
    }
}

/// A YAML string: JSON's are a part of YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Text for one cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
