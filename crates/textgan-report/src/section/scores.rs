//! What the evaluation measured, beside the maximum-likelihood checkpoint of the same run.

use super::meaning::meaning;
use super::{Section, table};
use crate::chart::{Dot, interval, scatter};
use crate::html::{Text, changes, title, value};
use crate::record::{
    Advantage, Better, Change, Evaluation, Finding, Judgement, Measure, Rival, Scores,
};

/// Measures shown large, if they are there.
const HEADLINES: [&str; 9] = [
    "grammatical",
    "test-nll-ratio",
    "nll-oracle",
    "nll-test",
    "test-perplexity",
    "bleu-4",
    "self-bleu-4",
    "distinct-greedy",
    "exact-copies",
];
const MOST_HEADLINES: usize = 6;

pub(crate) fn section(evaluation: Option<&Evaluation>) -> Section {
    let body = evaluation
        .map(|evaluation| {
            evaluation.judgement.as_ref().map_or(String::new(), game)
                + &verdict(evaluation)
                + &headlines(evaluation)
                + &measures(evaluation)
                + &temperatures(evaluation)
        })
        .ok_or("No evaluation.json: the evaluate stage writes it.");
    Section { id: "scores", title: "Scores", body }
}

/// Whether a change is an improvement, as a word that is also a class of the style sheet.
pub(super) fn judge(change: &Change) -> &'static str {
    match change.better {
        _ if change.adjusted_p >= 0.05 => "open",
        Better::Neither => "changed",
        Better::Higher if change.change > 0.0 => "better",
        Better::Lower if change.change < 0.0 => "better",
        _ => "worse",
    }
}

/// The word as it is shown.
pub(super) fn said(word: &'static str) -> &'static str {
    if word == "open" { "not separated" } else { word }
}

/// What the verdict on the game is made of.
fn game(judgement: &Judgement) -> String {
    let mut out = String::new();
    for Finding { pair, rivals } in &judgement.findings {
        out += &format!(
            "<h3>{} at equal {1}</h3><p class=\"small muted\">Averaged over the range of {1} that both \
             curves reach. Ways of decoding are open to the model too, and compared alike.</p>",
            Text(&title(&pair.quality)),
            Text(&title(&pair.diversity).to_lowercase())
        );
        let row = |rival: &Rival| {
            let Rival { name, range: [from, to], model, rival, advantage } = rival;
            let Advantage { mean, low, high } = advantage;
            vec![
                Text(&title(name)).to_string(),
                format!("{from:.3} to {to:.3}"),
                value(*model),
                value(*rival),
                format!("{mean:+.4} [{low:+.4}, {high:+.4}]"),
            ]
        };
        let rows: Vec<Vec<String>> = rivals.iter().map(row).collect();
        out +=
            &table(&["Rival", "Range", "Model", "Rival's", "Advantage [together 95 %]"], 1, &rows);
    }
    out
}

fn verdict(evaluation: &Evaluation) -> String {
    if evaluation.baseline.is_none() {
        return "<p class=\"lead\">This run has no maximum-likelihood checkpoint to compare with.</p>"
            .to_owned();
    }
    let count = |word| evaluation.changes.iter().filter(|change| judge(change) == word).count();
    let (better, worse, open) = (count("better"), count("worse"), count("open"));
    format!(
        "<p class=\"lead\">Against the maximum-likelihood checkpoint of the same run, training made <b class=\"better\">{better} measure{} better</b> and <b class=\"{}\">{worse} worse</b>; {open} {} not separated from no change. Each interval is of 95 %; what is called better or worse holds for all {} together (Holm, 1979). What decides is the verdict, chosen beforehand.</p>",
        if better == 1 { "" } else { "s" },
        if worse == 0 { "open" } else { "worse" },
        if open == 1 { "is" } else { "are" },
        evaluation.changes.len(),
    )
}

fn headlines(evaluation: &Evaluation) -> String {
    let mut out = String::from("<div class=\"cards\">");
    let shown = HEADLINES
        .iter()
        .filter_map(|name| find(&evaluation.model, name))
        .filter_map(|measure| Some((measure, measure.value?)))
        .take(MOST_HEADLINES);
    for (measure, number) in shown {
        let change = evaluation.changes.iter().find(|change| change.name == measure.name);
        let below = match change {
            Some(change) => {
                let word = judge(change);
                let [change] = changes([change.change]);
                format!("<span class=\"{word}\"><b>{change}</b> {}</span>", said(word))
            }
            None => {
                match evaluation.baseline.as_ref().and_then(|b| find(b, &measure.name)?.value) {
                    Some(baseline) => {
                        format!("<span class=\"muted\">{} before</span>", value(baseline))
                    }
                    None => String::new(),
                }
            }
        };
        out += &format!(
            "<div class=\"card\"><span class=\"name\">{}</span><span class=\"value\">{}</span>{below}</div>",
            Text(&title(&measure.name)),
            value(number)
        );
    }
    out + "</div>"
}

fn find<'a>(scores: &'a Scores, name: &str) -> Option<&'a Measure> {
    scores.measures.iter().find(|measure| measure.name == name)
}

/// The measure of that name and protocol; names alone may stand for two splits.
fn same<'a>(scores: &'a Scores, measure: &Measure) -> Option<&'a Measure> {
    let mut named = scores.measures.iter().filter(|m| m.name == measure.name);
    let first = named.next()?;
    let exact =
        std::iter::once(first).chain(named.clone()).find(|m| m.protocol == measure.protocol);
    exact.or(named.next().is_none().then_some(first))
}

fn measures(evaluation: &Evaluation) -> String {
    let copying = !evaluation.training_text.is_empty();
    let mut head = vec![
        "Measure",
        "Model",
        "Maximum likelihood",
        "Change [95 % interval]",
        "Against no change",
    ];
    if copying {
        head.push("Training text");
    }
    let mut rows = Vec::new();
    for measure in &evaluation.model.measures {
        let arrow = match measure.better {
            Better::Higher => "<span class=\"muted\" title=\"higher is better\">\u{2191}</span>",
            Better::Lower => "<span class=\"muted\" title=\"lower is better\">\u{2193}</span>",
            Better::Neither => "",
        };
        let name = format!(
            "<span title=\"{}\">{}</span>\u{a0}{arrow}",
            Text(&measure.protocol),
            Text(&title(&measure.name))
        );
        let baseline = evaluation.baseline.as_ref().and_then(|b| same(b, measure));
        let change = evaluation.changes.iter().find(|change| change.name == measure.name);
        let (text, drawn) = change.map_or((String::new(), String::new()), |change| {
            let word = judge(change);
            let [mean, low, high] = changes([change.change, change.low, change.high]);
            (
                format!(
                    "<span class=\"{word}\">{mean}</span> <span class=\"muted\">[{low}, {high}]</span>"
                ),
                format!(
                    "{}<span class=\"said {word}\">{}</span>",
                    interval(change.change, change.low, change.high, word),
                    said(word)
                ),
            )
        });
        let mut row = vec![name, cell(Some(measure)), cell(baseline), text, drawn];
        if copying {
            row.push(cell(evaluation.training_text.iter().find(|m| m.name == measure.name)));
        }
        rows.push(row);
    }
    let mut out = table(&head, 1, &rows);
    out += &format!(
        "<p class=\"small muted\">\u{2191} higher is better, \u{2193} lower is better. Intervals are over disjoint batches of samples or texts{}; those of shares are exact. {}</p>",
        evaluation
            .changes
            .iter()
            .find(|change| change.batches > 0)
            .map_or(String::new(), |change| format!(" ({})", change.batches)),
        if copying {
            "The last column scores sentences of the training text as if they were samples: what copying would get."
        } else {
            ""
        }
    );
    out + &protocols(evaluation)
}

fn cell(measure: Option<&Measure>) -> String {
    match measure {
        None => "<span class=\"muted\">\u{2013}</span>".to_owned(),
        Some(measure) => match (measure.value, &measure.note) {
            (Some(number), None) => value(number),
            (Some(number), Some(note)) => {
                format!("<span title=\"{}\">{}<sup>*</sup></span>", Text(note), value(number))
            }
            (None, note) => format!(
                "<span class=\"muted\" title=\"{}\">not defined<sup>*</sup></span>",
                Text(note.as_deref().unwrap_or_default())
            ),
        },
    }
}

/// How each number was measured: two numbers compare only when this is the same.
fn protocols(evaluation: &Evaluation) -> String {
    let mut rows = Vec::new();
    for measure in &evaluation.model.measures {
        let note = measure.note.as_ref().map_or(String::new(), |note| {
            format!(" <span class=\"muted\">* {}</span>", Text(note))
        });
        rows.push(vec![
            Text(&title(&measure.name)).to_string(),
            meaning(&measure.name).unwrap_or_default().to_owned(),
            format!("{}{note}", Text(&measure.protocol)),
        ]);
    }
    format!(
        "<details><summary>What each number says, and how it was measured</summary><p>One token is one {}.</p>{}</details>",
        Text(if evaluation.tokens.is_empty() {
            "token of the run's tokenizer"
        } else {
            &evaluation.tokens
        }),
        table(&["Measure", "What it says", "Protocol"], usize::MAX, &rows)
    )
}

fn temperatures(evaluation: &Evaluation) -> String {
    let sides =
        [("Model", Some(&evaluation.model)), ("Maximum likelihood", evaluation.baseline.as_ref())];
    let mut groups = Vec::new();
    let mut words = String::new();
    for (name, scores) in sides {
        let Some(choice) = scores.and_then(|scores| scores.temperature.as_ref()) else { continue };
        words += &format!(
            "<li>{name}: temperature <b>{}</b>, <span class=\"muted\">{}</span></li>",
            choice.temperature,
            Text(&choice.rule)
        );
        let dots = choice.candidates.iter().map(|c| Dot {
            text: c.temperature.to_string(),
            chosen: (c.temperature - choice.temperature).abs() < 1e-6,
            ..Dot::at(c.self_bleu_4, c.bleu_4)
        });
        groups.push((name, dots.collect()));
    }
    if words.is_empty() {
        return String::new();
    }
    let plot = scatter(
        "Quality against diversity",
        "on the validation split, by temperature; less Self-BLEU is more varied",
        ["Self-BLEU-4", "BLEU-4"],
        &groups,
    );
    format!(
        "<h3>Temperature</h3><ul>{words}</ul><div class=\"plots\">{}</div>",
        plot.unwrap_or_default()
    )
}
