//! Several runs on one page: what is said of them, their curves, their numbers, and what their configs differ in.

use std::collections::BTreeMap;

use crate::chart::{Dot, scatter};
use crate::html::{Text, title, value};
use crate::record::{Better, Evaluation, Measure, Pair, Sweep};
use crate::section::samples::words;
use crate::section::{Section, curves, table};
use crate::{Error, Sources, page, sources};

/// Texts of each run that are shown.
const TEXTS: usize = 10;

/// A page that compares runs, from their evaluations and configs; `said` are verdicts on them, a sentence each.
///
/// # Errors
/// A file that is there but cannot be read or understood.
pub fn compare(runs: &[Sources], said: &[String]) -> Result<String, Error> {
    let read = |run: &Sources| {
        Ok(Compared {
            name: run.name.clone(),
            evaluation: sources::json(&run.evaluation)?,
            config: sources::text(&run.config)?,
        })
    };
    let runs: Vec<Compared> = runs.iter().map(read).collect::<Result<_, Error>>()?;
    let names: Vec<&str> = runs.iter().map(|run| &*run.name).collect();
    let sections = [
        Section { id: "said", title: "In short", body: sentences(said) },
        Section { id: "curves", title: "Quality against diversity", body: overlaid(&runs) },
        Section { id: "scores", title: "Scores", body: numbers(&runs) },
        Section { id: "texts", title: "What they write", body: texts(&runs) },
        Section { id: "config", title: "What their configs differ in", body: differences(&runs) },
    ];
    Ok(page::page(&names.join(", "), &sections, false))
}

struct Compared {
    name: String,
    evaluation: Option<Evaluation>,
    config: Option<String>,
}

type Body = Result<String, &'static str>;

fn sentences(said: &[String]) -> Body {
    let items: Vec<String> = said.iter().map(|one| format!("<li>{}</li>", Text(one))).collect();
    match items.is_empty() {
        true => Err("Nothing was said of these runs."),
        false => Ok(format!("<ul class=\"lead\">{}</ul>", items.concat())),
    }
}

/// The pairs of measures that the runs were judged by, or the usual one.
fn pairs(runs: &[Compared]) -> Vec<Pair> {
    let judged = runs.iter().filter_map(|run| run.evaluation.as_ref()?.judgement.as_ref());
    let mut pairs: Vec<Pair> = Vec::new();
    for pair in judged.flat_map(|judgement| &judgement.findings).map(|finding| &finding.pair) {
        if !pairs.iter().any(|known| known == pair) {
            pairs.push(pair.clone());
        }
    }
    if pairs.is_empty() {
        pairs.push(Pair { quality: "bleu-4".to_owned(), diversity: "self-bleu-4".to_owned() });
    }
    pairs
}

fn overlaid(runs: &[Compared]) -> Body {
    let chart = |pair: &Pair| {
        let curve = |run: &Compared| -> Option<Vec<Dot>> {
            let sweep: &Sweep = run.evaluation.as_ref()?.model.sweep.as_ref()?;
            curves::batched(sweep, &pair.diversity, &pair.quality)
        };
        let groups: Vec<(&str, Vec<Dot>)> =
            runs.iter().filter_map(|run| Some((&*run.name, curve(run)?))).collect();
        let (right, up) = (title(&pair.diversity), title(&pair.quality));
        let heading = format!("{up} against {}", right.to_lowercase());
        let note = "means of disjoint batches of samples, by temperature, with 95 % intervals";
        scatter(&heading, note, [&*right, &up], &groups)
    };
    let plots: Vec<String> = pairs(runs).iter().filter_map(chart).collect();
    match plots.is_empty() {
        true => Err("No curves: `evaluate.sweep` asks for several temperatures."),
        false => Ok(format!("<div class=\"plots\">{}</div>", plots.concat())),
    }
}

fn measures(run: &Compared) -> Vec<&Measure> {
    run.evaluation.as_ref().map_or(Vec::new(), |found| found.model.measures.iter().collect())
}

fn numbers(runs: &[Compared]) -> Body {
    let all: Vec<Vec<&Measure>> = runs.iter().map(measures).collect();
    let mut order: Vec<&Measure> = Vec::new();
    for measure in all.iter().flatten() {
        if !order.iter().any(|known| known.name == measure.name) {
            order.push(measure);
        }
    }
    if order.is_empty() {
        return Err("No evaluation.json: the evaluate stage writes it.");
    }
    let row = |measure: &&Measure| {
        let arrow = match measure.better {
            Better::Higher => "\u{a0}\u{2191}",
            Better::Lower => "\u{a0}\u{2193}",
            Better::Neither => "",
        };
        let mut row = vec![format!("{}{arrow}", Text(&title(&measure.name)))];
        let mut alike = true;
        for found in all.iter().map(|all| all.iter().find(|other| other.name == measure.name)) {
            alike &= found.is_none_or(|found| found.protocol == measure.protocol);
            row.push(found.and_then(|found| found.value).map_or("\u{2013}".to_owned(), value));
        }
        row.push(if alike { String::new() } else { "other protocols".to_owned() });
        row
    };
    let mut head = vec!["Measure"];
    let names: Vec<String> = runs.iter().map(|run| Text(&run.name).to_string()).collect();
    head.extend(names.iter().map(String::as_str));
    let mut rows: Vec<Vec<String>> = order.iter().map(row).collect();
    // A column that says nothing would only look as if nothing could be compared.
    let mixed = |row: &Vec<String>| row.last().is_some_and(|said| !said.is_empty());
    if rows.iter().any(mixed) {
        head.push("Comparable");
    } else {
        rows.iter_mut().for_each(|row| row.truncate(head.len()));
    }
    Ok(table(&head, 1, &rows)
        + "<p class=\"small muted\">\u{2191} higher is better, \u{2193} lower is better. Numbers of other protocols do not compare. Which differences are more than chance is said above.</p>")
}

fn texts(runs: &[Compared]) -> Body {
    let shown: Vec<&[crate::record::ShownText]> = runs
        .iter()
        .map(|run| run.evaluation.as_ref().map_or(&[][..], |found| &found.texts))
        .collect();
    let most = shown.iter().map(|texts| texts.len()).max().unwrap_or(0).min(TEXTS);
    if most == 0 {
        return Err("No texts: the evaluate stage writes them.");
    }
    let names: Vec<String> = runs.iter().map(|run| Text(&run.name).to_string()).collect();
    let mut head = vec!["Text"];
    head.extend(names.iter().map(String::as_str));
    let row = |number: usize| {
        let cell =
            |texts: &&[crate::record::ShownText]| words(texts.get(number).map(|text| &text.model));
        std::iter::once(number.to_string()).chain(shown.iter().map(cell)).collect()
    };
    let rows: Vec<Vec<String>> = (0..most).map(row).collect();
    Ok(format!(
        "<p>The first texts of those that were scored, none picked. Runs of one seed had the same noise.</p>{}",
        table(&head, usize::MAX, &rows).replace("<table>", "<table class=\"texts\">")
    ))
}

fn differences(runs: &[Compared]) -> Body {
    let read = |run: &Compared| {
        let config = run.config.as_deref()?.parse::<toml::Table>().ok()?;
        let mut keys = BTreeMap::new();
        flatten("", &toml::Value::Table(config), &mut keys);
        Some(keys)
    };
    let Some(configs) = runs.iter().map(read).collect::<Option<Vec<_>>>() else {
        return Err("A run has no config.toml, or one that cannot be read.");
    };
    let mut keys: Vec<&String> = configs.iter().flat_map(|config| config.keys()).collect();
    keys.sort();
    keys.dedup();
    let differs =
        |key: &&&String| configs.windows(2).any(|pair| pair[0].get(**key) != pair[1].get(**key));
    let row = |key: &&String| {
        let cell = |config: &BTreeMap<String, String>| {
            let unset = "<span class=\"muted\">unset</span>".to_owned();
            config.get(*key).map_or(unset, |value| format!("<code>{}</code>", Text(value)))
        };
        let first = format!("<code>{}</code>", Text(key));
        std::iter::once(first).chain(configs.iter().map(cell)).collect()
    };
    let rows: Vec<Vec<String>> = keys.iter().filter(differs).map(row).collect();
    if rows.is_empty() {
        return Ok("<p>Nothing.</p>".to_owned());
    }
    let names: Vec<String> = runs.iter().map(|run| Text(&run.name).to_string()).collect();
    let mut head = vec!["Key"];
    head.extend(names.iter().map(String::as_str));
    Ok(table(&head, usize::MAX, &rows))
}

/// Every value of a config by its path, such as `phase.0.steps`.
fn flatten(path: &str, value: &toml::Value, keys: &mut BTreeMap<String, String>) {
    let under =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        toml::Value::Table(table) => {
            table.iter().for_each(|(name, value)| flatten(&under(name), value, keys));
        }
        toml::Value::Array(all) if all.iter().any(toml::Value::is_table) => {
            let numbered = all.iter().enumerate();
            numbered.for_each(|(at, value)| flatten(&under(&at.to_string()), value, keys));
        }
        _ => {
            keys.insert(path.to_owned(), value.to_string());
        }
    }
}
