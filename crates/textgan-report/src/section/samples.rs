//! Texts of fixed noise vectors, by step: the same vector says something else as training goes on.

use super::{Section, table};
use crate::html::{Text, count, title};
use crate::record::{Line, Sample};
use std::collections::{BTreeMap, BTreeSet};

/// Steps shown in full.
const MOST_STEPS: usize = 12;
/// Noise vectors whose texts are followed through the steps.
const FOLLOWED: usize = 10;

pub(crate) fn section(samples: &[Sample], lines: &[Line]) -> Section {
    let body = if samples.is_empty() {
        Err("No samples.jsonl: the train stage writes it, if `sample_every` asks for samples.")
    } else {
        Ok(followed(samples, lines) + &by_step(samples, lines))
    };
    Section { id: "samples", title: "Samples by step", body }
}

/// At most [`MOST_STEPS`] of the steps: the first, the last, and others evenly between.
fn chosen(samples: &[Sample]) -> (Vec<(usize, u64)>, usize) {
    let steps: Vec<(usize, u64)> =
        samples.iter().map(|s| (s.phase, s.step)).collect::<BTreeSet<_>>().into_iter().collect();
    let last = steps.len() - 1;
    if steps.len() <= MOST_STEPS {
        return (steps, 0);
    }
    let picked: BTreeSet<usize> = (0..MOST_STEPS).map(|i| i * last / (MOST_STEPS - 1)).collect();
    let shown: Vec<(usize, u64)> = picked.into_iter().map(|i| steps[i]).collect();
    let left_out = last + 1 - shown.len();
    (shown, left_out)
}

fn place(phase: usize, step: u64, lines: &[Line]) -> String {
    let kind = lines.iter().find(|line| line.phase == phase).map_or(String::new(), |line| {
        format!(" <span class=\"muted\">{}</span>", Text(&title(&line.kind).to_lowercase()))
    });
    format!("{}{kind}", count(step))
}

/// A noise vector by its number, and the label that was asked for with it.
fn named(vector: usize, label: Option<&String>) -> String {
    vector.to_string() + &label.map_or(String::new(), |label| format!(", {}", Text(label)))
}

/// A text as a cell of a table.
pub(crate) fn words(text: Option<&String>) -> String {
    match text {
        None => String::new(),
        Some(text) if text.trim().is_empty() => "<span class=\"muted\">(nothing)</span>".to_owned(),
        Some(text) => Text(text).to_string(),
    }
}

/// The greedy text of a few noise vectors at each step.
fn followed(samples: &[Sample], lines: &[Line]) -> String {
    let (steps, left_out) = chosen(samples);
    let vectors: Vec<usize> = samples
        .iter()
        .map(|s| s.index)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .take(FOLLOWED)
        .collect();
    let texts: BTreeMap<(usize, u64, usize), &Sample> =
        samples.iter().map(|s| ((s.phase, s.step, s.index), s)).collect();
    let mut head = vec!["Noise".to_owned()];
    head.extend(steps.iter().map(|&(phase, step)| format!("Step {}", place(phase, step, lines))));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = vectors
        .iter()
        .map(|&vector| {
            let label = samples.iter().find(|s| s.index == vector).and_then(|s| s.label.as_ref());
            let mut row = vec![named(vector, label)];
            row.extend(steps.iter().map(|&(phase, step)| {
                let sample = texts.get(&(phase, step, vector));
                words(sample.and_then(|s| s.greedy.as_ref().or(s.sampled.as_ref())))
            }));
            row
        })
        .collect();
    let more = if left_out > 0 {
        format!(" {left_out} steps between are left out; all are in samples.jsonl.")
    } else {
        String::new()
    };
    format!(
        "<p>A film strip: the most likely text of {} fixed noise vectors as training goes on, a row each.{more}</p>{}",
        vectors.len(),
        table(&head, usize::MAX, &rows).replace("<table>", "<table class=\"texts strip\">")
    )
}

/// All vectors of each step, greedy and drawn; the last step is open.
fn by_step(samples: &[Sample], lines: &[Line]) -> String {
    let (steps, _) = chosen(samples);
    let mut out = String::from("<h3>Every vector, greedy and drawn</h3>");
    for (i, &(phase, step)) in steps.iter().enumerate() {
        let mut rows = Vec::new();
        for sample in samples.iter().filter(|s| (s.phase, s.step) == (phase, step)) {
            rows.push(vec![
                named(sample.index, sample.label.as_ref()),
                words(sample.greedy.as_ref()),
                words(sample.sampled.as_ref()),
            ]);
        }
        let head = ["Noise", "Greedy", "Drawn at temperature 1"];
        out += &format!(
            "<details{}><summary>Step {}</summary>{}</details>",
            if i + 1 == steps.len() { " open" } else { "" },
            place(phase, step, lines),
            table(&head, usize::MAX, &rows).replace("<table>", "<table class=\"texts\">")
        );
    }
    out
}
