//! Curves of training.

use super::{Section, table};
use crate::chart::{Chart, Mark, Phase, Point, Series};
use crate::html::{Text, count, title};
use crate::record::{Group, Line, MetricKind, Training, Unit};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// A chart of all metrics of a kind: its title, unit, the fixed range of its axis and its level.
type Plan = (
    Group,
    Unit,
    &'static str,
    &'static str,
    Option<RangeInclusive<f64>>,
    Option<(f64, &'static str)>,
);

const PLANS: [Plan; 9] = [
    (Group::Likelihood, Unit::NatsPerToken, "Likelihood", "nats per token", None, None),
    (Group::Samples, Unit::Share, "Quality and diversity", "share", Some(0.0..=1.0), None),
    (Group::Game, Unit::Plain, "Losses of the game", "by its divergence", None, None),
    (Group::Game, Unit::NatsPerToken, "The game", "nats per token", None, None),
    (Group::Game, Unit::NatsPerText, "The game, by text", "nats per text", None, None),
    (
        Group::Discriminator,
        Unit::Share,
        "What the discriminator sees",
        "share judged rightly",
        Some(0.0..=1.0),
        Some((0.5, "guessing")),
    ),
    (Group::Likelihood, Unit::NatsPerText, "Noise", "KL divergence, nats per text", None, None),
    (Group::Samples, Unit::Plain, "Convergence score", "higher is better", None, None),
    (Group::Optimizer, Unit::Plain, "Gradient norms", "before clipping", None, None),
];

pub(crate) fn section(
    lines: &[Line],
    training: Option<&Training>,
    unfinished: bool,
    config: Option<&toml::Table>,
) -> Section {
    let body = if lines.is_empty() && training.is_none() {
        Err("No metrics.jsonl: the train stage writes it.")
    } else {
        let mut out = String::new();
        if unfinished {
            out += "<p class=\"notice\">Training has not finished: this is what it has written so far.</p>";
        }
        out += &training.map_or(String::new(), overview);
        out += &curves(lines);
        out += &counts(lines, config).unwrap_or_default();
        Ok(out + &alarms(lines))
    };
    Section { id: "training", title: "Training", body }
}

/// That measures which depend on how many samples there are do not compare with the scores.
fn counts(lines: &[Line], config: Option<&toml::Table>) -> Option<String> {
    lines.iter().find(|line| line.values.contains_key("self_bleu_4"))?;
    let samples = |value: &toml::Value| value.get("samples")?.as_integer();
    let scored = samples(config?.get("evaluate")?)?;
    let phases = config?.get("phase")?.as_array()?.iter();
    let seen: BTreeSet<i64> =
        phases.filter_map(|phase| samples(phase.get("evaluation")?)).filter(|n| *n > 0).collect();
    let seen: Vec<String> = seen.into_iter().map(|number| count(number as u64)).collect();
    Some(format!(
        "<p class=\"small muted\">Self-BLEU and distinct n-grams above are of {} samples, those of the scores of {}: \
         both depend on how many there are, so they do not compare.</p>",
        seen.join(" or "),
        count(scored as u64)
    ))
}

fn overview(training: &Training) -> String {
    let mut out = format!("<p>Generator: {} parameters", count(training.generator_parameters));
    if let Some(parameters) = training.discriminator_parameters {
        out += &format!("; discriminator: {}", count(parameters));
    }
    out += &format!(
        ". {} training and {} validation sentences.</p>",
        count(training.train_sentences),
        count(training.valid_sentences)
    );
    let rows: Vec<Vec<String>> = training
        .phases
        .iter()
        .map(|phase| {
            let kept =
                phase.kept_step.map_or("last".to_owned(), |step| format!("step {}", count(step)));
            vec![
                match &phase.control {
                    Some(name) => format!(
                        "{} <span class=\"muted\">(control {})</span>",
                        Text(&title(&phase.kind)),
                        Text(name)
                    ),
                    None => Text(&title(&phase.kind)).to_string(),
                },
                Text(&phase.ended.replace('-', " ")).to_string(),
                count(phase.steps),
                updates(&phase.updates),
                kept,
            ]
        })
        .collect();
    out + &table(&["Phase", "Ended", "Steps", "Updates", "Weights kept"], 2, &rows)
}

/// `generator 240, discriminator 480`.
fn updates(updates: &BTreeMap<String, u64>) -> String {
    let words: Vec<String> =
        updates.iter().map(|(name, &number)| format!("{} {}", Text(name), count(number))).collect();
    words.join(", ")
}

fn curves(lines: &[Line]) -> String {
    let phases = phases(lines);
    let marks: Vec<Mark> = lines
        .iter()
        .filter(|line| line.event == "alarm")
        .map(|line| Mark {
            phase: line.phase,
            step: line.step as f64,
            text: format!(
                "step {}: alarm, {}",
                line.step,
                line.note.as_deref().unwrap_or("unnamed")
            ),
        })
        .collect();
    let mut planned: BTreeSet<&str> = ["value"].into();
    let mut out = String::from("<div class=\"plots\">");
    let mut add = |name: &str, unit: &str, names: &[&str], range: Option<(f64, f64)>, level| {
        let chart = Chart {
            title: name,
            unit,
            series: names.iter().map(|name| series(lines, name)).collect(),
            phases: &phases,
            marks: &marks,
            range,
            level,
        };
        out += &chart.figure().unwrap_or_default();
    };
    let kinds: BTreeMap<&str, MetricKind> = lines
        .iter()
        .flat_map(|line| &line.kinds)
        .map(|(name, kind)| (name.as_str(), *kind))
        .collect();
    for (group, unit, name, unit_name, range, level) in &PLANS {
        let of_kind = |(_, kind): &(&&str, &MetricKind)| (kind.group, kind.unit) == (*group, *unit);
        let names: Vec<&str> = kinds.iter().filter(of_kind).map(|(name, _)| *name).collect();
        planned.extend(&names);
        // Beside gradient norms a learning rate would lie on the axis.
        let (rates, names): (Vec<&str>, Vec<&str>) =
            names.into_iter().partition(|name| name.ends_with("learning_rate"));
        add(name, unit_name, &names, range.as_ref().map(|r| (*r.start(), *r.end())), *level);
        add("Learning rates", "of the optimizer", &rates, None, None);
    }
    let others: BTreeSet<&str> = lines
        .iter()
        .filter(|line| line.event == "train" || line.event == "evaluation")
        .flat_map(|line| line.values.keys().map(String::as_str))
        .filter(|name| !planned.contains(name))
        .collect();
    for name in others {
        add(&title(name), "", &[name], None, None);
    }
    out + "</div>"
}

/// The phases in order, with the steps they span.
fn phases(lines: &[Line]) -> Vec<Phase> {
    let count = lines.iter().map(|line| line.phase + 1).max().unwrap_or(0);
    (0..count)
        .map(|phase| {
            let of = || lines.iter().filter(move |line| line.phase == phase);
            let steps = || of().map(|line| line.step as f64);
            Phase {
                kind: of().next().map_or(String::new(), |line| title(&line.kind)),
                from: steps().fold(f64::INFINITY, f64::min).min(steps().next().unwrap_or(0.0)),
                to: steps().fold(0.0, f64::max),
            }
        })
        .collect()
}

fn series(lines: &[Line], name: &str) -> Series {
    let points = lines
        .iter()
        .filter(|line| line.event != "alarm")
        .filter_map(|line| {
            let value = (*line.values.get(name)?)?;
            value.is_finite().then_some(Point { phase: line.phase, step: line.step as f64, value })
        })
        .collect();
    let name = title(name);
    Series { name, points }
}

fn alarms(lines: &[Line]) -> String {
    let rows: Vec<String> = lines
        .iter()
        .filter(|line| line.event == "alarm")
        .map(|line| {
            let value = line.values.get("value").copied().flatten();
            format!(
                "<li>Step {}, {}: {}{}</li>",
                count(line.step),
                Text(&title(&line.kind).to_lowercase()),
                Text(line.note.as_deref().unwrap_or("unnamed")),
                value.map_or(String::new(), |v| format!(" ({})", crate::html::value(v)))
            )
        })
        .collect();
    if rows.is_empty() {
        return "<p class=\"small muted\">No alarm went off.</p>".to_owned();
    }
    format!("<h3>Alarms</h3><ul>{}</ul>", rows.concat())
}
