//! The table of a sweep as a page: a row a cell, ours beside what was published.

use std::fmt::Write;
use textgan_evaluate::verdict::Outcome;

use super::print::USUAL;
use super::table::{Column, Estimate, Judgement, Row, Table};

/// The page, which explains its own columns.
pub fn page(table: &Table) -> String {
    let usual = USUAL.map(String::from);
    let names = table.asked.as_deref().unwrap_or(&usual);
    let names: Vec<&String> = names.iter().filter(|name| table.known.contains(name)).collect();
    let is_published = |name: &str| table.cells.iter().any(|row| row.published.contains_key(name));
    let mut header = vec!["".to_owned(), "seeds".to_owned()];
    for name in &names {
        header.push((*name).clone());
        if is_published(name) {
            header.push("published".to_owned());
        }
    }
    header.push("verdict: advantage over the best rival".to_owned());
    let mut page = String::new();
    line(&mut page, &header);
    line(&mut page, &vec!["---".to_owned(); header.len()]);
    for row in &table.cells {
        let mut cells = vec![row.name.clone(), row.runs.len().to_string()];
        for name in &names {
            let column = row.measures.iter().find(|column| column.name == **name);
            cells.push(column.map_or_else(String::new, numbers));
            if is_published(name) {
                let value = row.published.get(*name);
                cells.push(value.map_or_else(String::new, |value| format!("{value}")));
            }
        }
        cells.push(verdict(row));
        line(&mut page, &cells);
    }
    page += "\nMeans over seeds with intervals of 95 %, and behind them what the run's own maximum-likelihood \
             checkpoint has.";
    if let Some(protocol) = &table.protocol {
        let _ = write!(page, " {protocol}");
    }
    page.push('\n');
    page
}

fn line(page: &mut String, cells: &[String]) {
    *page += "|";
    for cell in cells {
        let _ = write!(page, " {} |", cell.replace('|', "\\|").replace('\n', " "));
    }
    page.push('\n');
}

fn numbers(column: &Column) -> String {
    let mut text = estimate(&column.model);
    if let Some(mean) = column.baseline.as_ref().and_then(|baseline| baseline.mean) {
        let _ = write!(text, "; {}", figure(mean));
    }
    text
}

fn estimate(estimate: &Estimate) -> String {
    match (estimate.mean, estimate.interval) {
        (Some(mean), Some([low, high])) => {
            format!("{} [{}, {}]", figure(mean), figure(low), figure(high))
        }
        (Some(mean), None) => figure(mean),
        (None, _) => "undefined".to_owned(),
    }
}

/// Three decimals, and four of what is near 1 in size.
fn figure(value: f64) -> String {
    if value.abs() < 2.0 { format!("{value:.4}") } else { format!("{value:.3}") }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Better => "better",
        Outcome::Worse => "worse",
        Outcome::Mixed => "mixed",
        Outcome::NotSeparated => "not separated",
        Outcome::Apart => "no diversity in common",
    }
}

fn verdict(row: &Row) -> String {
    let mut text = match &row.judgement {
        Judgement::NoVerdict(why) => why.clone(),
        Judgement::Verdict(comparison) => match &comparison.judgement {
            None => comparison.sentence.clone(),
            Some(judgement) => {
                let mut text = format!("**{}**", word(judgement.outcome));
                for finding in &judgement.findings {
                    let rival = &finding.rivals[finding.best];
                    let of = &rival.advantage;
                    let _ = write!(
                        text,
                        "; {} at equal {}: {:+.3} [{:+.3}, {:+.3}] ({})",
                        finding.pair.quality,
                        finding.pair.diversity,
                        of.mean,
                        of.low,
                        of.high,
                        rival.name
                    );
                }
                if judgement.converged == Some(false) {
                    text += "; its baseline had not converged";
                }
                text
            }
        },
    };
    if !row.failed.is_empty() {
        let _ = write!(text, " ({} runs failed)", row.failed.len());
    }
    text
}
