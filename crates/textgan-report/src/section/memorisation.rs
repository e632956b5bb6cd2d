//! What samples have of the training text, beside held-out text.

use super::run::copies;
use super::scores::{judge, said};
use super::{Section, table};
use crate::chart::{Dot, scatter};
use crate::html::{Text, changes, count, title, value};
use crate::record::{Audit, CopiedRun, Evaluation, Memorisation};

pub(crate) fn section(evaluation: Option<&Evaluation>) -> Section {
    let audit = evaluation
        .and_then(|evaluation| Some((evaluation, evaluation.model.memorisation.as_ref()?)));
    let body = audit
        .map(|(evaluation, audit)| {
            let baseline =
                evaluation.baseline.as_ref().and_then(|scores| scores.memorisation.as_ref());
            let held_out = evaluation.held_out.as_ref();
            lead(Some(evaluation))
                + &measures(audit, baseline, held_out)
                + &runs(audit, baseline, held_out)
                + &shown(&audit.samples)
        })
        .ok_or("No memorisation audit in evaluation.json: the evaluate stage writes it.");
    Section { id: "memorisation", title: "Memorisation", body }
}

fn lead(evaluation: Option<&Evaluation>) -> String {
    format!(
        "<p class=\"lead\">{}</p><p>Real texts that were never trained on share runs of words with the training text too. Only what goes beyond them was memorised.</p>",
        copies(evaluation)
    )
}

fn measures(audit: &Audit, baseline: Option<&Audit>, held_out: Option<&Memorisation>) -> String {
    let number = |of: Option<&Memorisation>, name: &str| {
        let found = of.and_then(|of| of.get(name)?.value);
        found.map_or("<span class=\"muted\">\u{2013}</span>".to_owned(), value)
    };
    let row = |measure: &crate::record::Measure| {
        let name = &measure.name;
        let beyond = audit.beyond.iter().find(|change| change.name == *name);
        let beyond = beyond.map_or(String::new(), |change| {
            let word = judge(change);
            let [mean, low, high] = changes([change.change, change.low, change.high]);
            format!(
                "<span class=\"{word}\">{mean}</span> <span class=\"muted\">[{low}, {high}] {}</span>",
                said(word)
            )
        });
        vec![
            format!("<span title=\"{}\">{}</span>", Text(&measure.protocol), Text(&title(name))),
            number(Some(&audit.samples), name),
            number(baseline.map(|audit| &audit.samples), name),
            number(held_out, name),
            beyond,
        ]
    };
    let rows: Vec<Vec<String>> = audit.samples.measures.iter().map(row).collect();
    let head =
        ["Measure", "Model", "Maximum likelihood", "Held-out text", "Model beyond held-out text"];
    table(&head, 1, &rows)
        + "<p class=\"small muted\">Copied run: tokens of the longest run that a text has in common with one training sentence; copied share: that run as a share of the text. Distance to training: tokens to insert, delete or replace to get the nearest training sentence, as a share of the longer of the two. Intervals of 95 % over disjoint batches.</p>"
}

/// Share of texts by the longest run that they copy.
fn runs(audit: &Audit, baseline: Option<&Audit>, held_out: Option<&Memorisation>) -> String {
    let sides = [
        ("Model", Some(&audit.samples)),
        ("Maximum likelihood", baseline.map(|audit| &audit.samples)),
        ("Held-out text", held_out),
    ];
    let group = |(name, of): (&'static str, Option<&Memorisation>)| {
        let of = of?;
        let mut left = of.texts;
        let dots = of.runs.iter().enumerate().map(|(length, texts)| {
            let share = left as f64 / of.texts.max(1) as f64;
            left = left.saturating_sub(*texts);
            Dot::at(length as f64, share)
        });
        Some((name, dots.collect::<Vec<_>>()))
    };
    let groups: Vec<(&str, Vec<Dot>)> = sides.into_iter().filter_map(group).collect();
    let plot = scatter(
        "Copied runs",
        "of the longest run of tokens that a text has in common with a training sentence",
        ["tokens of the run, at least", "share of texts"],
        &groups,
    );
    format!("<div class=\"plots\">{}</div>", plot.unwrap_or_default())
}

fn shown(samples: &Memorisation) -> String {
    if samples.longest.is_empty() {
        return String::new();
    }
    let row = |found: &CopiedRun| {
        vec![
            count(found.tokens),
            marked(&found.text, &found.run),
            marked(&found.training, &found.run),
        ]
    };
    let rows: Vec<Vec<String>> = samples.longest.iter().map(row).collect();
    let table = table(&["Tokens", "Sample", "Training sentence"], usize::MAX, &rows);
    format!(
        "<h3>The longest copied runs</h3>{}",
        table.replace("<table>", "<table class=\"texts\">")
    )
}

/// The text with the run in it marked.
fn marked(text: &str, run: &str) -> String {
    match text.split_once(run) {
        Some((before, after)) if !run.is_empty() => {
            format!("{}<mark>{}</mark>{}", Text(before), Text(run), Text(after))
        }
        _ => Text(text).to_string(),
    }
}
