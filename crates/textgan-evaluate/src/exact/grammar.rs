//! What a grammar says exactly: whether a text is grammatical, and how probable it is.

use textgan_generate::{Drawn, Model};
use textgan_synthetic::Grammar;

use super::{Exact, HeldOut, Samples};
use crate::Result;
use crate::evaluation::{Better, Measure};
use crate::series::Series;

impl Exact for Grammar {
    fn samples(&self, samples: &Samples<'_>) -> Result<Vec<Series>> {
        of_samples(self, samples)
    }

    fn greedy(&self, samples: &Samples<'_>) -> Result<Vec<Series>> {
        let texts = texts(samples.model, samples.drawn)?;
        let truths: Vec<bool> = texts.iter().map(|text| self.grammatical(text)).collect();
        let protocol =
            format!("grammatical-greedy|grammar:{}|noise-vectors:{}", self.name(), texts.len());
        let name = "grammatical-greedy";
        Ok(vec![Series::share_of(name, &truths, Better::Higher, &protocol, samples.batches)])
    }

    fn held_out(&self, held_out: &HeldOut<'_>) -> Result<Vec<Series>> {
        Ok(vec![ratio(self, held_out)?])
    }
}

/// Scores of samples by the grammar that made the corpus.
fn of_samples(grammar: &Grammar, of: &Samples<'_>) -> Result<Vec<Series>> {
    let Samples { model, drawn: samples, how: drawn, batches, .. } = *of;
    let texts = texts(model, samples)?;
    let count = texts.len();
    let nll: Vec<Option<f64>> =
        texts.iter().map(|text| grammar.log_prob(text).map(|log_prob| -log_prob)).collect();
    let protocol =
        |what: &str| format!("{what}|grammar:{}|samples:{count}|{drawn}", grammar.name());

    let grammatical: Vec<bool> = nll.iter().map(Option::is_some).collect();
    let mut series = of.shares("grammatical", &grammatical, &protocol("grammatical")).to_vec();

    let defined: Vec<f64> = nll.iter().flatten().copied().collect();
    let grammar_nll = protocol("grammar-nll|nats-a-text|of:grammatical-samples");
    series.push(Series::single(if defined.is_empty() {
        Measure::undefined(
            "grammar-nll",
            Better::Neither,
            &grammar_nll,
            "no sample is grammatical, so none has a probability",
        )
    } else {
        let mean = defined.iter().sum::<f64>() / defined.len() as f64;
        let mut measure = Measure::new("grammar-nll", mean, Better::Neither, &grammar_nll);
        if let Ok(entropy) = grammar.entropy() {
            measure.note = Some(format!("the grammar's own texts have {entropy:.4}"));
        }
        measure
    }));

    if !model.labels().is_empty() {
        let right: Vec<bool> = (0..count)
            .map(|row| {
                let label =
                    samples.labels.as_ref().and_then(|labels| label_name(model, labels[row]));
                log_prob(grammar, &texts[row], label).is_some()
            })
            .collect();
        let protocol = protocol("grammatical-for-label");
        series.push(Series::share_of(
            "grammatical-for-label",
            &right,
            Better::Higher,
            &protocol,
            batches,
        ));
    }

    let coverage = grammar.coverage(&texts)?;
    for (name, value, better) in [
        ("coverage-mass", coverage.mass, Better::Higher),
        ("coverage-words", coverage.words, Better::Higher),
        ("coverage-choices", coverage.choices, Better::Higher),
        ("choice-divergence", coverage.divergence, Better::Lower),
    ] {
        series.push(Series::single(Measure::new(name, value, better, &protocol(name))));
    }
    Ok(series)
}

/// The model's likelihood of held-out texts as a multiple of the grammar's own, over the texts
/// that the grammar can say.
fn ratio(grammar: &Grammar, held_out: &HeldOut<'_>) -> Result<Series> {
    let HeldOut { model, rows, likelihood, split, .. } = *held_out;
    let vectors = held_out.likelihoods.noise();
    let (mut ours, mut exact, mut left_out) = (0.0, 0.0, 0_usize);
    for (row, nll) in rows.iter().zip(&likelihood.nll) {
        let text = model.tokenizer().decode(&row.tokens)?;
        let label = row.label.and_then(|label| label_name(model, label));
        match log_prob(grammar, &text, label) {
            Some(log_prob) => {
                ours += nll;
                exact -= log_prob;
            }
            None => left_out += 1,
        }
    }
    let name = format!("{split}-nll-ratio");
    let protocol = format!(
        "{name}|grammar:{}|texts:{split}-{}|noise-vectors:{vectors}|given:{}",
        grammar.name(),
        rows.len() - left_out,
        if model.labels().is_empty() { "nothing" } else { "label" },
    );
    let why = "the grammar can say none of these texts";
    let mut measure = if exact > 0.0 {
        Measure::new(&name, ours / exact, Better::Lower, &protocol)
    } else {
        Measure::undefined(&name, Better::Lower, &protocol, why)
    };
    if left_out > 0 && measure.note.is_none() {
        measure.note = Some(format!(
            "{left_out} texts left out: shortened, or with words unknown to the model"
        ));
    }
    Ok(Series::single(measure))
}

/// Exact log-probability, given the label where there is one that the grammar knows.
fn log_prob(grammar: &Grammar, text: &str, label: Option<&str>) -> Option<f64> {
    match label.filter(|&label| grammar.labels().iter().any(|known| known == label)) {
        Some(label) => grammar.log_prob_given_label(text, label).ok().flatten(),
        None => grammar.log_prob(text),
    }
}

fn texts(model: &Model, samples: &Drawn) -> Result<Vec<String>> {
    Ok(samples
        .tokens
        .iter()
        .map(|tokens| model.tokenizer().decode(tokens))
        .collect::<Result<_, _>>()?)
}

fn label_name(model: &Model, label: u32) -> Option<&str> {
    model.labels().get(label as usize).map(String::as_str)
}
