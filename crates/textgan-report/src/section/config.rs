//! What decided the run: its resolved config and the fingerprints of its stages.

use super::{Section, table};
use crate::html::{Text, count};
use textgan_artifact::Manifest;

pub(crate) fn section(config: Option<&str>, manifests: &[Manifest]) -> Section {
    let body = match config {
        None if manifests.is_empty() => Err("No config.toml and no manifest of a finished stage."),
        _ => Ok(config.map_or("<p class=\"absent\">No config.toml.</p>".to_owned(), toml)
            + &stages(manifests)),
    };
    Section { id: "config", title: "Configuration", body }
}

/// The config with its tables, keys and comments set apart.
fn toml(config: &str) -> String {
    let mut out = String::from(
        "<p>The whole config, with every default filled in.</p><pre class=\"config\" tabindex=\"0\">",
    );
    for line in config.trim_end().lines() {
        let text = line.trim_start();
        out += &if text.starts_with('#') {
            format!("<span class=\"muted\">{}</span>\n", Text(line))
        } else if text.starts_with('[') && text.ends_with(']') && !text.contains('=') {
            format!("<b>{}</b>\n", Text(line))
        } else if let Some((key, value)) = line.split_once(" = ") {
            format!("<span class=\"k\">{}</span> = {}\n", Text(key), Text(value))
        } else {
            format!("{}\n", Text(line))
        };
    }
    out + "</pre>"
}

fn stages(manifests: &[Manifest]) -> String {
    if manifests.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = manifests
        .iter()
        .map(|manifest| {
            let bytes = manifest.files.values().map(|file| file.bytes).sum();
            let short: String = manifest.fingerprint.chars().take(16).collect();
            vec![
                Text(&manifest.stage).to_string(),
                format!("<code title=\"{}\">{}</code>", Text(&manifest.fingerprint), Text(&short)),
                Text(&manifest.instruction_set).to_string(),
                count(manifest.files.len() as u64),
                count(bytes),
            ]
        })
        .collect();
    format!(
        "<h3>Artifacts</h3><p>The same fingerprint and instruction set give the same bytes again.</p>{}",
        table(&["Stage", "Fingerprint", "Instruction set", "Files", "Bytes"], 3, &rows)
    )
}
