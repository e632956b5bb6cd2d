//! What the evaluation measured, beside the maximum-likelihood checkpoint of the same run.

use super::{Section, table};
use crate::chart::{Dot, interval, scatter};
use crate::html::{Text, changes, title, value};
use crate::record::{
    Advantage, Better, Change, Evaluation, Finding, Judgement, Measure, Point, PublishedCurve,
    Rival, Scores, Sweep, Verdict,
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
                + &curves(evaluation)
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

/// The verdict on the game, and what it is made of.
fn game(judgement: &Judgement) -> String {
    let class = match judgement.outcome {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::Open => "open",
    };
    let mut out =
        format!("<p class=\"lead\"><b class=\"{class}\">{}</b></p>", Text(&judgement.sentence));
    for Finding { pair, rivals } in &judgement.findings {
        out += &format!(
            "<h3>{} at equal {}</h3><p class=\"small muted\">Averaged over the range that both curves \
             reach. Ways of decoding are open to the model too, and compared alike.</p>",
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
        "<p class=\"lead\">Against the maximum-likelihood checkpoint of the same run, training made <b class=\"better\">{better} measure{} better</b> and <b class=\"worse\">{worse} worse</b>; {open} {} not separated from no change. Each interval is of 95 %; what is called better or worse holds for all {} together (Holm, 1979). What decides is the verdict, chosen beforehand.</p>",
        if better == 1 { "" } else { "s" },
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
    let mut head = vec!["Measure", "Model", "Maximum likelihood", "Change [95 % interval]", ""];
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
            "<span title=\"{}\">{}</span> {arrow}",
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
            format!("{}{note}", Text(&measure.protocol)),
        ]);
    }
    format!(
        "<details><summary>How each number was measured</summary><p>One token is one {}.</p>{}</details>",
        Text(if evaluation.tokens.is_empty() {
            "token of the run's tokenizer"
        } else {
            &evaluation.tokens
        }),
        table(&["Measure", "Protocol"], 2, &rows)
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
            "<li>{name}: temperature <b>{}</b>. <span class=\"muted\">{}</span></li>",
            choice.temperature,
            Text(&choice.rule)
        );
        let dots = choice.candidates.iter().map(|c| Dot {
            x: c.self_bleu_4,
            y: c.bleu_4,
            text: c.temperature.to_string(),
            chosen: (c.temperature - choice.temperature).abs() < 1e-6,
        });
        groups.push((name, dots.collect()));
    }
    if words.is_empty() {
        return String::new();
    }
    let plot = scatter(
        "Quality against diversity",
        "BLEU-4 on the validation split (up) over Self-BLEU-4 (right; less is more varied), by temperature",
        &groups,
    );
    format!(
        "<h3>Temperature</h3><ul>{words}</ul><div class=\"plots\">{}</div>",
        plot.unwrap_or_default()
    )
}

/// What a chart of a sweep shows.
struct Curve {
    title: &'static str,
    /// Upward; a measure.
    up: &'static str,
    /// To the right; a measure, or the temperature itself.
    right: Right,
    /// What a reader should know.
    note: &'static str,
}

#[derive(Clone, Copy)]
enum Right {
    Measure(&'static str),
    Temperature,
}

const CURVES: [Curve; 4] = [
    Curve {
        title: "Quality against diversity",
        up: "bleu-4",
        right: Right::Measure("self-bleu-4"),
        note: "more is better up, less is better to the right",
    },
    Curve {
        title: "Fluency against coverage",
        up: "reverse-lm-score",
        right: Right::Measure("lm-score"),
        note: "nats per token of two language models, less is better in both",
    },
    Curve {
        title: "Quality against diversity, exactly",
        up: "nll-test",
        right: Right::Measure("nll-oracle"),
        note: "less is better in both",
    },
    Curve {
        title: "Distance from real text",
        up: "frechet",
        right: Right::Temperature,
        note: "less is better",
    },
];

/// The measures of a sweep against each other, for the model, its baseline and what was published.
fn curves(evaluation: &Evaluation) -> String {
    let Some(sweep) = &evaluation.model.sweep else { return String::new() };
    let baseline = evaluation.baseline.as_ref().and_then(|scores| scores.sweep.as_ref());
    let sides = [("Model", Some(sweep)), ("Maximum likelihood", baseline)];
    let (mut plots, mut notes) = (String::new(), String::new());
    for curve in &CURVES {
        let mut groups: Vec<(&str, Vec<Dot>)> =
            sides.iter().filter_map(|&(name, sweep)| Some((name, dots(sweep?, curve)))).collect();
        let published: Vec<&PublishedCurve> =
            sweep.published.iter().filter(|theirs| curve.has(theirs)).collect();
        let names: Vec<String> =
            published.iter().map(|theirs| format!("Published: {}", theirs.name)).collect();
        for (name, theirs) in names.iter().zip(&published) {
            groups.push((name, theirs.points.iter().map(|point| curve.published(point)).collect()));
            notes +=
                &format!("<li>Published {}: {}.</li>", Text(&theirs.name), Text(&theirs.source));
        }
        let unit = match curve.right {
            Right::Measure(right) => format!(
                "{} (up) over {} (right), by temperature; {}",
                title(curve.up),
                title(right),
                curve.note
            ),
            Right::Temperature => {
                format!("{} (up) by temperature; {}", title(curve.up), curve.note)
            }
        };
        let Some(plot) = scatter(curve.title, &unit, &groups) else { continue };
        plots += &plot;
        for measure in curve.measures().filter_map(|name| sweep.get(name)) {
            notes += &format!("<li class=\"small muted\">{}</li>", Text(&measure.protocol));
        }
    }
    format!("<h3>Over temperatures</h3><div class=\"plots\">{plots}</div><ul>{notes}</ul>")
}

impl Curve {
    fn measures(&self) -> impl Iterator<Item = &'static str> {
        let right = match self.right {
            Right::Measure(name) => Some(name),
            Right::Temperature => None,
        };
        std::iter::once(self.up).chain(right)
    }

    fn has(&self, theirs: &PublishedCurve) -> bool {
        let pair = [&*theirs.quality, &*theirs.diversity];
        matches!(self.right, Right::Measure(right) if pair == [right, self.up])
    }

    fn published(&self, point: &Point) -> Dot {
        dot(point.quality, point.diversity, point.temperature)
    }
}

fn dots(sweep: &Sweep, curve: &Curve) -> Vec<Dot> {
    let values = |name| sweep.get(name).map_or(&[][..], |measure| &measure.values);
    let up = values(curve.up).iter();
    let temperatures = sweep.temperatures.iter().copied();
    let right: Vec<Option<f64>> = match curve.right {
        Right::Measure(name) => values(name).to_vec(),
        Right::Temperature => temperatures.clone().map(Some).collect(),
    };
    let places = right.into_iter().zip(up).zip(temperatures);
    places.filter_map(|((x, &y), temperature)| Some(dot(x?, y?, temperature))).collect()
}

fn dot(x: f64, y: f64, temperature: f64) -> Dot {
    Dot { x, y, text: temperature.to_string(), chosen: false }
}
