//! What the generator writes, beside its baseline at the same noise and real text; and how real each word looked.

use super::{Section, table};
use crate::html::Text;
use crate::record::{Evaluation, Scores, ShownText};
use textgan_artifact::table::Sample;

/// Texts whose words are tinted.
const TINTED: usize = 12;

/// `chosen` says that the model's texts are each the discriminator's choice among several.
pub(crate) fn section(
    evaluation: Option<&Evaluation>,
    samples: &[Sample],
    chosen: bool,
) -> Section {
    let body = match evaluation {
        Some(evaluation) if !evaluation.texts.is_empty() => {
            Ok(beside(evaluation, chosen) + &tinted(samples))
        }
        _ if samples.is_empty() => Err("No texts: the evaluate and generate stages write them."),
        _ => Ok(tinted(samples)),
    };
    Section { id: "texts", title: "What it writes", body }
}

fn beside(evaluation: &Evaluation, chosen: bool) -> String {
    let shown = &evaluation.texts;
    let temperature =
        |scores: &Scores| scores.temperature.as_ref().map_or(1.0, |choice| choice.temperature);
    let ours = temperature(&evaluation.model);
    let theirs = evaluation.baseline.as_ref().map_or(ours, temperature);
    let at = |temperature: f64| match ours == theirs {
        true => String::new(),
        false => format!(", temperature {temperature}"),
    };
    let (ours, theirs) = (format!("Trained model{}", at(ours)), at(theirs));
    let theirs = match chosen {
        true => format!("The generator alone{theirs}"),
        false => format!("Maximum likelihood, same noise{theirs}"),
    };
    let baseline = shown.iter().any(|text| text.baseline.is_some());
    let mut head = vec!["Noise", &*ours];
    head.extend(baseline.then_some(&*theirs));
    head.push("Real text");
    let cell = super::samples::words;
    let row = |(number, text): (usize, &ShownText)| {
        let label = text.label.as_ref().map_or(String::new(), |label| format!(", {}", Text(label)));
        let mut row = vec![format!("{number}{label}"), cell(Some(&text.model))];
        row.extend(baseline.then(|| cell(text.baseline.as_ref())));
        row.push(cell(text.real.as_ref()));
        row
    };
    let rows: Vec<Vec<String>> = shown.iter().enumerate().map(row).collect();
    format!(
        "<p>The first texts of those that were scored, none picked{}. The real texts are of the test split and belong to no noise.</p>{}",
        if chosen {
            ""
        } else if baseline {
            "; both generators had the same noise and the same random stream, so what differs is what the game changed"
        } else {
            ""
        },
        table(&head, usize::MAX, &rows).replace("<table>", "<table class=\"texts\">")
    )
}

/// How many nats a word must add to be tinted more strongly.
const STEPS: [f32; 3] = [0.25, 1.0, 2.5];

/// The published texts, each word tinted by what it adds to the logit of realness.
fn tinted(samples: &[Sample]) -> String {
    let rows: Vec<Vec<String>> = samples
        .iter()
        .take(TINTED)
        .filter_map(|sample| Some(vec![realness(sample)?, words(sample)?]))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<h3>How real each word looked</h3><p>What each word adds to the logit of whoever judges, in nats: \
         <span class=\"r3\">much more real</span> <span class=\"r1\">a little</span> \
         <span class=\"f1\">a little less</span> <span class=\"f3\">much less</span>. The number is the logit of the whole: \
         0 is undecided, above it looks real. Point at a word for its number.</p>{}",
        table(&["Logit", "Text"], usize::MAX, &rows)
            .replace("<table>", "<table class=\"texts tinted\">")
    )
}

fn realness(sample: &Sample) -> Option<String> {
    sample.realness.map(|logit| format!("{logit:+.2}").replace('-', "\u{2212}"))
}

/// The words in their tints, where a token is a word and each prefix has a logit of its own.
fn words(sample: &Sample) -> Option<String> {
    let words: Vec<&str> = sample.text.split_whitespace().collect();
    let logits = &sample.token_realness;
    let told = logits.windows(2).any(|pair| pair[0] != pair[1]);
    if words.len() != sample.tokens.len() || logits.len() < words.len() || !told {
        return None;
    }
    let before = [0.0].into_iter().chain(logits.iter().copied());
    let added = logits.iter().zip(before).map(|(after, before)| after - before);
    let tint = |(word, added): (&&str, f32)| {
        let strength = STEPS.iter().filter(|step| added.abs() >= **step).count();
        let class = match strength {
            0 => return format!("<span title=\"{added:+.2}\">{}</span>", Text(word)),
            _ if added > 0.0 => 'r',
            _ => 'f',
        };
        format!("<span class=\"{class}{strength}\" title=\"{added:+.2}\">{}</span>", Text(word))
    };
    Some(words.iter().zip(added).map(tint).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_tinted_by_what_they_add() {
        let sample = Sample {
            id: 0,
            text: "a <b> c".to_owned(),
            tokens: vec![4, 5, 6],
            label: None,
            noise: Vec::new(),
            log_prob: 0.0,
            token_log_probs: Vec::new(),
            realness: Some(-1.5),
            token_realness: vec![0.1, 3.1, 1.9, -1.5],
            temperature: 1.0,
        };
        let told = words(&sample).unwrap();
        assert_eq!(
            told,
            "<span title=\"+0.10\">a</span> <span class=\"r3\" title=\"+3.00\">&lt;b&gt;</span> \
             <span class=\"f2\" title=\"-1.20\">c</span>"
        );
        assert_eq!(realness(&sample).unwrap(), "\u{2212}1.50");
        // Whole texts alone, or tokens that are no words.
        assert!(words(&Sample { token_realness: vec![1.0; 4], ..sample.clone() }).is_none());
        assert!(words(&Sample { tokens: vec![4], ..sample }).is_none());
    }
}
