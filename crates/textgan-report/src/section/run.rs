//! The run in a few sentences: what was trained on what, whether it is better, whether it copies; and the facts.

use super::Section;
use super::scores::judge;
use crate::html::{Text, count, percent};
use crate::record::{Evaluation, LogLine, Training, Verdict};
use std::collections::BTreeMap;

/// What the section is made from.
pub(crate) struct Facts<'a> {
    pub config: Option<&'a toml::Table>,
    pub training: Option<&'a Training>,
    pub evaluation: Option<&'a Evaluation>,
    pub log: &'a [LogLine],
}

/// What a run is that was only tried.
const QUICK: &str = "<p class=\"notice\"><b>This was a try of about a minute</b>, of few texts and few steps \
                     (<code>quick = true</code>): it shows that all works. Its numbers, and the answers here, say nothing \
                     of the experiment.</p>";

pub(crate) fn section(facts: &Facts<'_>) -> Section {
    let answers = [
        ("What was trained on what?", learned(facts)),
        ("Did the discriminator make the generator better?", better(facts.evaluation)),
        ("Does it copy its training text?", copies(facts.evaluation)),
    ];
    let answers: String = answers
        .into_iter()
        .map(|(question, answer)| format!("<dt>{question}</dt><dd>{answer}</dd>"))
        .collect();
    let is_quick = facts.config.and_then(|config| config.get("quick")?.as_bool());
    let caution = if is_quick == Some(true) { QUICK } else { "" };
    let body = format!("{caution}<dl class=\"answers\">{answers}</dl>{}", circumstances(facts));
    Section { id: "run", title: "In short", body: Ok(body) }
}

/// `The generator, an LSTM of 22,144 parameters, learned from 95,000 sentences of ...`.
fn learned(facts: &Facts<'_>) -> String {
    let Some(training) = facts.training else {
        return "Nothing yet: training has not finished.".to_owned();
    };
    let kind = facts
        .config
        .and_then(|config| config.get("generator")?.get("kind")?.as_str())
        .map_or("network", named);
    let article = if kind.starts_with("LSTM") { "an" } else { "a" };
    let mut out = format!(
        "The generator, {article} {} of {} parameters, learned from {} sentences of {}",
        Text(kind),
        count(training.generator_parameters),
        count(training.train_sentences),
        corpus(facts.config)
    );
    let phases: Vec<String> = training
        .phases
        .iter()
        .filter(|phase| phase.control.is_none() && phase.updates.contains_key("generator"))
        .map(|phase| {
            let kept = match phase.kept_step {
                Some(0) => " (no step was better than its beginning, which was kept)".to_owned(),
                Some(step) if step < phase.steps => format!(" (step {} was kept)", count(step)),
                _ => String::new(),
            };
            let kind = phase.kind.replace('-', " ");
            format!("{} for {} steps{kept}", Text(&kind), count(phase.steps))
        })
        .collect();
    if !phases.is_empty() {
        out += &format!(": {}", phases.join(", then "));
    }
    if let Some(parameters) = training.discriminator_parameters {
        out += &format!(". The network that judges it has {} parameters", count(parameters));
    }
    out + "."
}

fn named(kind: &str) -> &str {
    match kind {
        "lstm" => "LSTM",
        "relational-memory" => "relational memory network",
        other => other,
    }
}

/// Where the text came from, as the config says it.
fn corpus(config: Option<&toml::Table>) -> String {
    let sources = config.and_then(|config| config.get("corpus")?.get("sources"));
    let all = match sources {
        None => return "a corpus".to_owned(),
        Some(toml::Value::Array(all)) => all.iter().collect(),
        Some(one) => vec![one],
    };
    // The way up from the run's folder says nothing to a reader.
    let named = |path: &str| format!("<code>{}</code>", Text(path.trim_start_matches("../")));
    let told = |source: &toml::Value| match source {
        toml::Value::String(path) => named(path),
        toml::Value::Table(table) => match table.get("kind").and_then(toml::Value::as_str) {
            Some("synthetic") => {
                "the built-in captions, whose grammar gives every sentence a known probability"
                    .to_owned()
            }
            Some("oracle") => "an oracle LSTM, whose probabilities are known".to_owned(),
            _ => {
                let place = ["path", "url", "repository"]
                    .into_iter()
                    .find_map(|key| table.get(key)?.as_str());
                place.map_or("a corpus".to_owned(), named)
            }
        },
        _ => "a corpus".to_owned(),
    };
    const NAMED: usize = 3;
    let mut names: Vec<String> = all.iter().take(NAMED).map(|source| told(source)).collect();
    if all.len() > NAMED {
        names.push(format!("{} more", all.len() - NAMED));
    }
    names.join(", ")
}

fn better(evaluation: Option<&Evaluation>) -> String {
    let Some(evaluation) = evaluation else {
        return "Not known: nothing was evaluated yet.".to_owned();
    };
    match &evaluation.judgement {
        Some(judgement) => {
            let class = match judgement.outcome {
                Verdict::Better => "better",
                Verdict::Worse => "worse",
                Verdict::Open => "open",
            };
            // What it comes to stands out; what that rests on follows.
            let (said, why) = judgement.sentence.split_once(':').unwrap_or((&judgement.sentence, ""));
            let colon = if why.is_empty() { "" } else { ":" };
            format!("<b class=\"{class}\">{}{colon}</b>{}", Text(said), Text(why))
        }
        None if evaluation.baseline.is_none() => {
            "There was no game after maximum likelihood, so there is nothing to compare.".to_owned()
        }
        None => "No verdict was asked for: <code>evaluate.sweep</code> and <code>evaluate.verdict</code> give one; the scores below compare single measures.".to_owned(),
    }
}

/// The share of samples that stand in the training text, beside what real text has of it.
pub(super) fn copies(evaluation: Option<&Evaluation>) -> String {
    let audit = evaluation.and_then(|evaluation| evaluation.model.memorisation.as_ref());
    let Some(audit) = audit else { return "Not known: no audit was made.".to_owned() };
    let of = |memorisation: &crate::record::Memorisation| {
        memorisation.get("exact-copies").and_then(|measure| measure.value)
    };
    let Some(samples) = of(&audit.samples) else { return "Not known.".to_owned() };
    let held_out = evaluation.and_then(|evaluation| evaluation.held_out.as_ref()).and_then(of);
    let Some(real) = held_out else {
        return format!(
            "<b>{}</b> of its texts stand in the training text word for word.",
            percent(samples)
        );
    };
    let beyond = audit.beyond.iter().find(|change| change.name == "exact-copies");
    let word = match beyond.map(judge) {
        Some("worse") => "Yes, more than real text does",
        Some("better") => "No, less than real text does",
        Some(_) => "Not more than real text does, as far as can be told",
        None if samples > real => "More than real text does",
        None => "Not more than real text does",
    };
    format!(
        "{word}: <b>{}</b> of its texts stand in the training text word for word; of real texts that it never saw, <b>{}</b> do.",
        percent(samples),
        percent(real)
    )
}

/// When, where, how long, and how to do it again.
fn circumstances(facts: &Facts<'_>) -> String {
    let mut rows = Vec::new();
    let mut row = |name: &str, text: String| rows.push(format!("<dt>{name}</dt><dd>{text}</dd>"));
    if let Some(seed) = facts.config.and_then(|config| config.get("seed")?.as_integer()) {
        row("Seed", seed.to_string());
    }
    if let Some(last) = facts.log.last() {
        row("Made", date(last.time));
        row("Took", duration(took(facts.log)));
        let machine = if last.machine.is_empty() { "a machine" } else { &last.machine };
        row(
            "On",
            format!(
                "{}, {} thread{} <span class=\"muted\">({})</span>",
                Text(machine),
                last.threads,
                if last.threads == 1 { "" } else { "s" },
                Text(&last.instruction_set)
            ),
        );
    }
    row(
        "Again",
        "<code>cargo xtask pipeline --config config.toml</code>, with the config of this run's folder: the same \
         seed and instruction set give the same bits, but for the time and the machine here"
            .to_owned(),
    );
    format!("<dl class=\"facts\">{}</dl>", rows.concat())
}

/// How long the stages took that the run has: of one that was stopped and gone on with all its parts, of one that
/// was made again the last time.
fn took(log: &[LogLine]) -> f64 {
    let (mut before, mut whole) = (BTreeMap::<&str, f64>::new(), BTreeMap::<&str, f64>::new());
    for line in log {
        let Some(seconds) = line.seconds else { continue };
        match &*line.event {
            "stopped" => *before.entry(&line.stage).or_default() += seconds,
            _ => {
                let stopped = before.remove(&*line.stage).unwrap_or(0.0);
                whole.insert(&line.stage, stopped + seconds);
            }
        }
    }
    whole.values().sum()
}

fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A day and a time of day, UTC, of seconds since 1970 (Hinnant's algorithm for days).
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest % 3600 / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_796_057_812, "2026-11-30 16:56 UTC"),
        ] {
            assert_eq!(date(seconds), expected);
        }
        let line = |stage: &str, event: &str, seconds| LogLine {
            time: 0,
            stage: stage.to_owned(),
            event: event.to_owned(),
            seconds,
            threads: 1,
            instruction_set: String::new(),
            machine: String::new(),
        };
        let log = [
            line("train", "begin", None),
            line("train", "stopped", Some(100.0)),
            line("train", "end", Some(20.0)),
            line("evaluate", "end", Some(7.0)),
            line("evaluate", "end", Some(5.0)),
        ];
        assert_eq!(took(&log), 125.0);
        assert_eq!(duration(3.44), "3.4 s");
        assert_eq!(duration(178.2), "2 min 58 s");
        assert_eq!(duration(7_500.0), "2 h 5 min");
    }
}
