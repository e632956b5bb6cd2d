//! The table of a sweep for people: a row a cell, in lines as long as its columns.

use textgan_artifact::Progress;

use super::table::{Column, Estimate, Judgement, Row, Table};

/// The columns where none are asked for, of those that there are. The file has all of them.
pub const USUAL: [&str; 6] =
    ["test-nll", "bleu-4", "self-bleu-4", "distinct-3", "grammatical", "exact-copies"];

/// Prints the table and the verdicts.
pub fn print(table: &Table, progress: &dyn Progress) {
    for line in lines(table) {
        progress.message(&line);
    }
    if table.cells.iter().any(|row| row.runs.len() > 1) {
        progress.message("Means over seeds, each with an interval of 95 % of its own.");
    }
    for row in &table.cells {
        match &row.judgement {
            Judgement::Verdict(comparison) => {
                progress.message(&comparison.sentence);
                if let Some(judgement) = &comparison.judgement {
                    progress.message(&format!("{}: {}", row.name, judgement.sentence));
                }
            }
            Judgement::NoVerdict(why) => {
                progress.message(&format!("{}: no verdict: {why}", row.name));
            }
        }
    }
}

fn lines(table: &Table) -> Vec<String> {
    let usual = USUAL.map(String::from);
    let names = table.asked.as_deref().unwrap_or(&usual);
    let names: Vec<&String> = names.iter().filter(|name| table.known.contains(name)).collect();
    let header = ["cell", "seeds", ""].map(String::from).into_iter();
    let mut rows: Vec<Vec<String>> =
        vec![header.chain(names.iter().map(|n| (*n).clone())).collect()];
    rows.extend(table.cells.iter().flat_map(|row| cells(row, &names)));
    let widths: Vec<usize> = (0..names.len() + 3)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: Vec<String>| {
        let padded: Vec<String> =
            row.iter().zip(&widths).map(|(text, &width)| format!("{text:width$}")).collect();
        padded.join("  ").trim_end().to_string()
    };
    rows.into_iter().map(line).collect()
}

/// Up to three lines: the model, its checkpoint, and how they differ.
fn cells(row: &Row, names: &[&String]) -> Vec<Vec<String>> {
    let of = |pick: &dyn Fn(&Column) -> String| -> Vec<String> {
        let column = |name: &&String| row.measures.iter().find(|column| column.name == **name);
        names.iter().map(|name| column(name).map_or_else(String::new, pick)).collect()
    };
    let optional = |estimate: &Option<Estimate>, sign| {
        estimate.as_ref().map_or_else(String::new, |estimate| text(estimate, sign))
    };
    let seeds = match row.failed.len() {
        0 => row.runs.len().to_string(),
        failed => format!("{} of {}", row.runs.len(), row.runs.len() + failed),
    };
    let mut lines = vec![("model", of(&|column| text(&column.model, false)))];
    if row.measures.iter().any(|column| column.baseline.is_some()) {
        lines.push(("baseline", of(&|column| optional(&column.baseline, false))));
        lines.push(("difference", of(&|column| optional(&column.difference, true))));
    }
    let mut name = [row.name.clone(), seeds];
    let line = |(what, numbers): (&str, Vec<String>)| {
        let name = std::mem::take(&mut name);
        name.into_iter().chain([what.to_string()]).chain(numbers).collect()
    };
    lines.into_iter().map(line).collect()
}

fn text(estimate: &Estimate, sign: bool) -> String {
    let number = |value: f64| if sign { format!("{value:+.4}") } else { format!("{value:.4}") };
    match (estimate.mean, estimate.interval) {
        (Some(mean), Some([low, high])) => {
            format!("{} [{}, {}]", number(mean), number(low), number(high))
        }
        (Some(mean), None) => number(mean),
        (None, _) => "-".to_string(),
    }
}
