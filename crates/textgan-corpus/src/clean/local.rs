//! Steps that look at one row only.

use super::sentences::Splitter;
use super::stop_words::Remover;
use super::text;
use crate::config::{Language, Length};
use crate::{Error, Step, UnicodeForm};
use whatlang::{Detector, Lang};

/// A language is judged by this many characters of a row: more would cost time, not errors.
const LANGUAGE_CHARACTERS: usize = 4096;

/// A step that needs nothing but the row, ready to be applied.
pub(super) enum Local {
    Unicode(UnicodeForm),
    Control,
    Whitespace { keep_lines: bool },
    LowerCase,
    Sentences(Splitter),
    Length(Length),
    Language { keep: Vec<Lang>, config: Language, detector: Detector },
    StopWords(Remover),
}

/// What a step says about a text.
pub(super) enum Verdict {
    Same,
    Changed(String),
    /// Several texts, or none, in its place.
    Split(Vec<String>),
    Dropped(String),
}

impl Local {
    /// The step, if it is one of these.
    pub(super) fn new(step: &Step) -> Option<Self> {
        Some(match step {
            Step::Unicode { form } => Self::Unicode(*form),
            Step::Control {} => Self::Control,
            Step::Whitespace(config) => Self::Whitespace { keep_lines: config.keep_lines },
            Step::LowerCase {} => Self::LowerCase,
            Step::Sentences(config) => Self::Sentences(Splitter::new(config)),
            Step::Length(config) => Self::Length(config.clone()),
            Step::Language(config) => Self::Language {
                keep: config
                    .keep
                    .iter()
                    .filter_map(|code| Lang::from_code(code.as_str()))
                    .collect(),
                config: config.clone(),
                detector: Detector::new(),
            },
            Step::StopWords(config) => Self::StopWords(Remover::new(config)),
            Step::ExactDuplicates {} | Step::NearDuplicates(_) | Step::CrossSplit(_) => {
                return None;
            }
        })
    }

    pub(super) fn splits(&self) -> bool {
        matches!(self, Self::Sentences(_))
    }

    pub(super) fn apply(&self, text: &str) -> Verdict {
        let rewritten = match self {
            Self::Unicode(form) => text::normalise(text, *form),
            Self::Control => text::remove_control(text),
            Self::Whitespace { keep_lines } => text::collapse_whitespace(text, *keep_lines),
            Self::LowerCase => text::lower_case(text),
            Self::StopWords(remover) => remover.remove(text),
            Self::Sentences(splitter) => return one_or_more(text, splitter.split(text)),
            Self::Length(config) => return measure(text, config),
            Self::Language { keep, config, detector } => {
                return language(text, keep, config, detector);
            }
        };
        match rewritten {
            None => Verdict::Same,
            Some(text) if text.trim().is_empty() => Verdict::Dropped("nothing is left".into()),
            Some(text) => Verdict::Changed(text),
        }
    }
}

fn one_or_more(text: &str, mut sentences: Vec<String>) -> Verdict {
    match sentences.len() {
        0 => Verdict::Dropped("no sentence".into()),
        1 if sentences[0] == text => Verdict::Same,
        1 => Verdict::Changed(sentences.remove(0)),
        _ => Verdict::Split(sentences),
    }
}

fn measure(text: &str, config: &Length) -> Verdict {
    let characters = text.chars().count();
    let words = text.split_whitespace().count();
    for (n, min, max, unit) in [
        (characters, config.min_characters, config.max_characters, "characters"),
        (words, config.min_words, config.max_words, "words"),
    ] {
        if n < min {
            return Verdict::Dropped(format!("{n} {unit}, fewer than {min}"));
        }
        if let Some(max) = max
            && n > max
        {
            return Verdict::Dropped(format!("{n} {unit}, more than {max}"));
        }
    }
    Verdict::Same
}

fn language(text: &str, keep: &[Lang], config: &Language, detector: &Detector) -> Verdict {
    let end = text.char_indices().nth(LANGUAGE_CHARACTERS).map_or(text.len(), |(at, _)| at);
    if text[..end].chars().count() < config.min_characters {
        return Verdict::Same;
    }
    match detector.detect(&text[..end]) {
        Some(info)
            if !keep.contains(&info.lang()) && info.confidence() >= config.min_confidence =>
        {
            Verdict::Dropped(format!("{}, confidence {:.2}", info.lang().code(), info.confidence()))
        }
        _ => Verdict::Same,
    }
}

/// Cleaning steps for single texts, without files: everything but the steps that compare rows.
///
/// ```
/// use textgan_corpus::{Cleaner, Sentences, Step};
///
/// let cleaner = Cleaner::new(&[Step::Sentences(Sentences::default()), Step::LowerCase {}])?;
/// let sentences: Vec<String> = cleaner.clean("Dr. Who came. He left.").into_iter().flatten().collect();
/// assert_eq!(sentences, ["dr. who came.", "he left."]);
/// # Ok::<(), textgan_corpus::Error>(())
/// ```
pub struct Cleaner {
    steps: Vec<(&'static str, Local)>,
}

/// Why a cleaner rejected a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The step.
    pub step: &'static str,
    /// Its reason.
    pub reason: String,
}

impl Cleaner {
    /// Prepares steps.
    ///
    /// # Errors
    /// [`Error::Config`] for parameters out of range and for steps that compare rows.
    pub fn new(steps: &[Step]) -> Result<Self, Error> {
        crate::config::validate_steps(steps)?;
        let steps = steps
            .iter()
            .map(|step| match Local::new(step) {
                Some(local) => Ok((step.name(), local)),
                None => Err(Error::config(
                    format!("corpus.steps.{}", step.name()),
                    "compares rows, so it cannot be applied to a single text",
                )),
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { steps })
    }

    /// What the steps make of a text: the text itself, several after sentence splitting, or why it
    /// was rejected.
    pub fn clean(&self, text: &str) -> Vec<Result<String, Rejected>> {
        let mut texts = vec![Ok(text.to_string())];
        for (step, local) in &self.steps {
            texts = texts.into_iter().flat_map(|text| apply(step, local, text)).collect();
        }
        texts
    }
}

fn apply(
    step: &'static str,
    local: &Local,
    text: Result<String, Rejected>,
) -> Vec<Result<String, Rejected>> {
    let Ok(text) = text else { return vec![text] };
    match local.apply(&text) {
        Verdict::Same => vec![Ok(text)],
        Verdict::Changed(text) => vec![Ok(text)],
        Verdict::Split(texts) => texts.into_iter().map(Ok).collect(),
        Verdict::Dropped(reason) => vec![Err(Rejected { step, reason })],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn clean(steps: serde_json::Value, text: &str) -> Vec<Result<String, String>> {
        let config: crate::CorpusConfig =
            serde_json::from_value(json!({ "steps": steps })).unwrap();
        let cleaned = Cleaner::new(&config.steps).unwrap().clean(text);
        cleaned
            .into_iter()
            .map(|text| text.map_err(|r| format!("{}: {}", r.step, r.reason)))
            .collect()
    }

    #[test]
    fn order_is_the_configured_one() {
        let short_first = json!([{ "step": "length", "max_characters": 3 }, "whitespace"]);
        assert_eq!(
            clean(short_first, " ab  "),
            [Err("length: 5 characters, more than 3".to_string())]
        );
        let short_last = json!(["whitespace", { "step": "length", "max_characters": 3 }]);
        assert_eq!(clean(short_last, " ab  "), [Ok("ab".to_string())]);
    }

    #[test]
    fn sentences_are_judged_one_by_one() {
        let steps = json!(["sentences", { "step": "length", "min_words": 2 }]);
        let cleaned = clean(steps, "Go. They went home. Ah!");
        assert_eq!(
            cleaned,
            [
                Err("length: 1 words, fewer than 2".to_string()),
                Ok("They went home.".to_string()),
                Err("length: 1 words, fewer than 2".to_string()),
            ]
        );
    }

    #[test]
    fn other_languages_are_dropped_when_it_is_clear() {
        let steps = json!([{ "step": "language", "keep": ["eng"] }]);
        let english = "This is an ordinary English sentence about the weather of last week.";
        assert_eq!(clean(steps.clone(), english), [Ok(english.to_string())]);
        let german =
            "Das ist ein gew\u{f6}hnlicher deutscher Satz \u{fc}ber das Wetter der letzten Woche.";
        let dropped = clean(steps.clone(), german);
        assert!(
            matches!(&dropped[..], [Err(reason)] if reason.starts_with("language: deu")),
            "{dropped:?}"
        );
        assert_eq!(clean(steps, "Hund"), [Ok("Hund".to_string())]);
    }

    #[test]
    fn nothing_left_is_a_reason() {
        assert_eq!(
            clean(json!(["control"]), "\u{0}\u{1}"),
            [Err("control: nothing is left".to_string())]
        );
    }

    #[test]
    fn comparing_steps_are_refused() {
        let error = Cleaner::new(&[Step::ExactDuplicates {}]).map(drop).unwrap_err();
        assert!(error.to_string().contains("exact-duplicates"), "{error}");
    }
}
