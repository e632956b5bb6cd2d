//! The main numbers as a table for a terminal.

use crate::evaluation::{Better, Change, Evaluation, Measure, Point, PublishedCurve, Sweep};
use crate::exact::at_quality;
use crate::verdict::{Finding, Pair, Rival};

/// The curves of a sweep that are printed, quality first.
const CURVES: [[&str; 2]; 3] =
    [["bleu-4", "self-bleu-4"], ["lm-score", "reverse-lm-score"], ["nll-oracle", "nll-test"]];

/// One line a measure: name, baseline, model, and the change with its interval.
pub(crate) fn table(evaluation: &Evaluation) -> Vec<String> {
    let model = &evaluation.model;
    let width = model.measures.iter().map(|measure| measure.name.len()).max().unwrap_or(0);
    let mut lines = vec![match &evaluation.baseline {
        Some(baseline) => format!(
            "{:width$}  {:>10}  {:>10}  change with its 95 % interval; better and worse hold together (temperatures {} and {})",
            "measure",
            "baseline",
            "model",
            baseline.temperature.temperature,
            model.temperature.temperature,
        ),
        None => format!(
            "{:width$}  {:>10}  (temperature {})",
            "measure", "model", model.temperature.temperature
        ),
    }];
    for measure in &model.measures {
        let name = &measure.name;
        let mut line = format!("{name:width$}");
        if let Some(baseline) = &evaluation.baseline {
            line += &format!("  {:>10}", number(baseline.get(name)));
        }
        line += &format!("  {:>10}", number(Some(measure)));
        if let Some(change) = evaluation.changes.iter().find(|change| change.name == *name) {
            line += &format!("  {}", verdict(change));
            line += &of_batches(change, measure);
        }
        lines.push(line);
    }
    if let Some(judgement) = &evaluation.judgement {
        lines.extend(judgement.findings.iter().flat_map(rivals));
    }
    for [quality, diversity] in CURVES {
        lines.extend(model.sweep.iter().flat_map(|sweep| curve(sweep, quality, diversity)));
    }
    lines.extend(evaluation.judgement.iter().map(|judgement| judgement.sentence.clone()));
    lines
}

/// One line a rival: what the model's advantage over it is, averaged over the shared range.
fn rivals(finding: &Finding) -> Vec<String> {
    let Pair { quality, diversity } = &finding.pair;
    let head = format!("{quality} at equal {diversity}: rival, range, model, rival's, advantage");
    let line = |rival: &Rival| {
        let Rival { name, range, model, rival, advantage, .. } = rival;
        let (mean, low, high) = (advantage.mean, advantage.low, advantage.high);
        format!(
            "  {name:16}  {:.3} to {:.3}  {model:.4}  {rival:.4}  {mean:+.4} [{low:+.4}, {high:+.4}]",
            range[0], range[1]
        )
    };
    std::iter::once(head).chain(finding.rivals.iter().map(line)).collect()
}

/// One line a temperature, beside the published curves where they have the same quality.
fn curve(sweep: &Sweep, quality: &str, diversity: &str) -> Vec<String> {
    let points = sweep.curve(quality, diversity);
    if points.is_empty() {
        return Vec::new();
    }
    let same =
        |theirs: &&PublishedCurve| (&*theirs.quality, &*theirs.diversity) == (quality, diversity);
    let published: Vec<_> = sweep.published.iter().filter(same).collect();
    let mut head = format!("{:>11}  {quality:>11}  {diversity:>11}", "temperature");
    for theirs in &published {
        head += &format!("  {diversity} at the same {quality}, published: {}", theirs.name);
    }
    let line = |point: &Point| {
        let (q, d) = (point.quality, point.diversity);
        let mut line = format!("{:>11}  {q:>11.4}  {d:>11.4}", point.temperature);
        for theirs in &published {
            let there = at_quality(&theirs.points, q).map_or("-".to_owned(), |d| format!("{d:.4}"));
            line += &format!("  {there:>10}");
        }
        line
    };
    std::iter::once(head).chain(points.iter().map(line)).collect()
}

/// What the change is the difference of, where that is not what stands beside it.
fn of_batches(change: &Change, measure: &Measure) -> String {
    match (change.of_batches, measure.value) {
        (Some([baseline, model]), Some(whole)) if (model - whole).abs() >= 5e-4 * whole.abs() => {
            format!("  (a batch: {baseline:.4}, {model:.4})")
        }
        _ => String::new(),
    }
}

/// A number without the sign of nothing.
fn signless(text: String) -> String {
    let is_zero = |text: &str| text.bytes().all(|byte| matches!(byte, b'-' | b'+' | b'0' | b'.'));
    match text.strip_prefix('-') {
        Some(positive) if is_zero(&text) => positive.to_owned(),
        _ => text,
    }
}

fn signed(value: f64) -> String {
    match signless(format!("{value:.4}")) {
        negative if negative.starts_with('-') => negative,
        positive => format!("+{positive}"),
    }
}

fn number(measure: Option<&Measure>) -> String {
    match measure.and_then(|measure| measure.value) {
        Some(value) if value.abs() >= 1_000.0 => format!("{value:.1}"),
        Some(value) => signless(format!("{value:.4}")),
        None => "-".to_owned(),
    }
}

fn verdict(change: &Change) -> String {
    let Change { change: mean, low, high, better, .. } = change;
    let word = match better {
        _ if !change.is_separated() => "",
        Better::Neither => "",
        Better::Higher if *mean > 0.0 => "  better",
        Better::Lower if *mean < 0.0 => "  better",
        _ => "  worse",
    };
    let [mean, low, high] = [mean, low, high].map(|value| signed(*value));
    format!("{mean} [{low}, {high}]{word}")
}
