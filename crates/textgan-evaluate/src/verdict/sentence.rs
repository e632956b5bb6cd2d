//! A verdict in words.

use super::{Outcome, Part, Place, Verdict};

impl Verdict {
    /// The verdict in one sentence.
    pub fn sentence(&self, model: &str, baseline: &str) -> String {
        let parts = |outcome| self.parts(outcome);
        match self.outcome {
            Outcome::Better => self.one_way("better", Outcome::Better, model, baseline),
            Outcome::Worse => self.one_way("worse", Outcome::Worse, model, baseline),
            Outcome::Mixed => format!(
                "{model} is better than {baseline} {} and worse {}.",
                list(&parts(Outcome::Better)),
                list(&parts(Outcome::Worse))
            ),
            Outcome::NotSeparated => {
                format!("{model} and {baseline} are not separated{}.", self.extent(" anywhere"))
            }
            Outcome::Apart => format!(
                "{model} and {baseline} cannot be compared: no Self-BLEU-4 and no BLEU-4 is \
                 reached by both; give `evaluate.sweep` more temperatures."
            ),
        }
    }

    fn one_way(&self, word: &str, outcome: Outcome, model: &str, baseline: &str) -> String {
        let (there, all) = (self.parts(outcome), self.all_parts());
        if there == all {
            let everywhere =
                if all == [Part::Sampled] { "" } else { " in every part of the curve" };
            return format!("{model} is {word} than {baseline}{everywhere}{}.", self.extent(","));
        }
        format!(
            "{model} is {word} than {baseline} {}; elsewhere they are not separated.",
            list(&there)
        )
    }

    fn extent(&self, before: &str) -> String {
        match self.range {
            Some([low, high]) => {
                format!("{before} where a batch has a Self-BLEU-4 of {low:.3} to {high:.3}")
            }
            None => String::new(),
        }
    }

    fn parts(&self, outcome: Outcome) -> Vec<Part> {
        distinct(self.places.iter().filter(|place| place.outcome == outcome))
    }

    fn all_parts(&self) -> Vec<Part> {
        distinct(self.places.iter())
    }
}

fn distinct<'a>(places: impl Iterator<Item = &'a Place>) -> Vec<Part> {
    let mut parts: Vec<Part> = places.map(|place| place.part).collect();
    parts.sort();
    parts.dedup();
    parts
}

fn list(parts: &[Part]) -> String {
    let words: Vec<&str> = parts.iter().map(|part| part.words()).collect();
    words.join(" and ")
}

impl Part {
    /// Where it is, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Diverse => "at the diverse end",
            Self::Middle => "in the middle",
            Self::Repetitive => "at the repetitive end",
            Self::Sampled => "where it was sampled",
        }
    }
}
