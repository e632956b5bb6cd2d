//! What the models were trained on.

use super::{Section, table};
use crate::chart::bars;
use crate::html::{Text, count, percent, title};
use crate::record::{Ingest, Tokenize};

pub(crate) fn section(ingest: Option<&Ingest>, tokenize: Option<&Tokenize>) -> Section {
    let body =
        match (ingest, tokenize) {
            (None, None) => Err("No stats.json: the ingest and tokenize stages write one each."),
            _ => Ok(ingest.map_or(absent("ingest"), corpus)
                + &tokenize.map_or(absent("tokenize"), tokens)),
        };
    Section { id: "data", title: "Data", body }
}

fn absent(stage: &str) -> String {
    format!("<p class=\"absent\">No stats.json of the {stage} stage.</p>")
}

fn corpus(ingest: &Ingest) -> String {
    let read = &ingest.read;
    let from = match read.files {
        0 => "made by a built-in source".to_owned(),
        1 => "read from 1 file".to_owned(),
        files => format!("read from {} files", count(files)),
    };
    let mut out = format!(
        "<h3>Corpus</h3><p>{} documents {from}, {} bytes of text; {} could not be used.</p>",
        count(read.documents),
        count(read.text_bytes),
        count(read.dropped)
    );
    let order = |name: &String| ["train", "valid", "test"].iter().position(|s| s == name);
    let mut splits: Vec<_> = ingest.splits.iter().collect();
    splits.sort_by_key(|(name, _)| order(name).unwrap_or(usize::MAX));
    let rows: Vec<Vec<String>> = splits
        .iter()
        .map(|(name, split)| {
            let labels: Vec<String> = split
                .labels
                .iter()
                .take(8)
                .map(|(label, rows)| format!("{} {}", Text(label), count(*rows)))
                .collect();
            let mean = if split.rows == 0 { 0.0 } else { split.words as f64 / split.rows as f64 };
            vec![
                Text(&title(name)).to_string(),
                labels.join(", "),
                count(split.rows),
                count(split.dropped),
                count(split.words),
                format!("{mean:.1}"),
            ]
        })
        .collect();
    out += &table(&["Split", "Labels", "Kept", "Dropped", "Words", "Words a row"], 2, &rows);
    if !ingest.steps.is_empty() {
        let rows: Vec<Vec<String>> = ingest
            .steps
            .iter()
            .map(|step| {
                let name = Text(&title(&step.step)).to_string();
                [step.rows, step.changed, step.added, step.dropped].into_iter().fold(
                    vec![name],
                    |mut row, number| {
                        row.push(count(number));
                        row
                    },
                )
            })
            .collect();
        out += &format!(
            "<details><summary>Cleaning steps, in order</summary>{}</details>",
            table(&["Step", "Rows", "Changed", "Added", "Dropped"], 1, &rows)
        );
    }
    for shared in &ingest.shared {
        out += &format!(
            "<p>{} rows of {} are also in {}.</p>",
            count(shared.rows),
            Text(&shared.split),
            Text(&shared.also_in)
        );
    }
    out
}

fn tokens(tokenize: &Tokenize) -> String {
    let vocabulary = &tokenize.vocabulary;
    let mut out = format!(
        "<h3>Tokens</h3><p>Vocabulary: {} tokens, kind {}",
        count(vocabulary.size),
        Text(&vocabulary.kind)
    );
    if let Some(coverage) = vocabulary.coverage {
        out += &format!(", covering {} of the training text", percent(coverage));
    }
    out += ".";
    if let Some(note) = &vocabulary.note {
        out += &format!(" <span class=\"muted\">{}.</span>", Text(note.trim_end_matches('.')));
    }
    out += "</p>";
    let order = |name: &String| ["train", "valid", "test"].iter().position(|s| s == name);
    let mut splits: Vec<_> = tokenize.splits.iter().collect();
    splits.sort_by_key(|(name, _)| order(name).unwrap_or(usize::MAX));
    let rows: Vec<Vec<String>> = splits
        .iter()
        .map(|(name, split)| {
            vec![
                Text(&title(name)).to_string(),
                count(split.sequences),
                count(split.tokens),
                percent(split.unknown_rate),
                format!("{:.1}", split.lengths.mean),
                count(split.lengths.median),
                count(split.lengths.percentile_95),
                count(split.longest),
                count(split.truncated + split.dropped),
            ]
        })
        .collect();
    out += &table(
        &[
            "Split",
            "Sequences",
            "Tokens",
            "Unknown",
            "Mean length",
            "Median",
            "95 %",
            "Longest",
            "Cut or dropped",
        ],
        1,
        &rows,
    );
    let lengths = splits.iter().find(|(name, _)| *name == "train").or(splits.first()).and_then(
        |(name, split)| {
            bars(
                &format!("Lengths of the {name} split"),
                "sequences by number of tokens",
                ["tokens", "sequences"],
                &split.lengths.counts,
            )
        },
    );
    out + &lengths.map_or(String::new(), |plot| format!("<div class=\"plots\">{plot}</div>"))
}
