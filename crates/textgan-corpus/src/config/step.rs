//! The cleaning steps and their parameters.

use super::short::Short;
use crate::Error;
use schemars::JsonSchema;
use serde::de::value::MapDeserializer;
use serde::{Deserialize, Serialize};

/// One cleaning step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "step", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Step {
    /// Unicode normalisation (UAX #15). Short: `"nfc"`, `"nfkc"`, `"nfd"`, `"nfkd"`.
    Unicode {
        /// The normal form.
        form: UnicodeForm,
    },
    /// Removes control characters (but not tab and line ends), zero-width spaces, byte-order
    /// marks, marks of text direction, soft hyphens and noncharacters.
    Control {},
    /// Turns each run of white space into one space and trims both ends.
    Whitespace(Whitespace),
    /// Lower-cases, by the rules of Unicode.
    LowerCase {},
    /// Splits a document into its sentences (UAX #29), each a row of its own.
    Sentences(Sentences),
    /// Drops rows that are too short or too long.
    Length(Length),
    /// Drops rows in other languages.
    Language(Language),
    /// Removes stop words.
    StopWords(StopWords),
    /// Drops rows whose text an earlier row had.
    ExactDuplicates {},
    /// Drops rows that are nearly an earlier row, by MinHash (Broder, 1997) with banding.
    NearDuplicates(NearDuplicates),
    /// Compares the splits with each other: rows whose text another split has.
    CrossSplit(CrossSplit),
}

/// A Unicode normal form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum UnicodeForm {
    /// Canonical composition: the same text in one spelling.
    #[default]
    Nfc,
    /// Compatibility composition: also unifies ligatures, full-width letters and the like.
    Nfkc,
    /// Canonical decomposition.
    Nfd,
    /// Compatibility decomposition.
    Nfkd,
}

/// Parameters of [`Step::Whitespace`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Whitespace {
    /// Keep line ends: a run that has one becomes one line end, not a space.
    pub keep_lines: bool,
}

/// Parameters of [`Step::Sentences`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sentences {
    /// Words after which a full stop does not end a sentence, without that stop.
    pub abbreviations: Vec<String>,
}

impl Default for Sentences {
    fn default() -> Self {
        let common = "Mr Mrs Ms Dr Prof St Sr Jr vs etc e.g i.e No Gen Col Sen Rep Gov Lt Capt Rev Inc Ltd Co Corp Jan Feb Aug Sept Oct Nov Dec";
        Self { abbreviations: common.split(' ').map(String::from).collect() }
    }
}

/// Parameters of [`Step::Length`]. Characters are Unicode scalar values; words are what white
/// space separates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Length {
    /// Fewest characters.
    pub min_characters: usize,
    /// Most characters; without it, any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_characters: Option<usize>,
    /// Fewest words.
    pub min_words: usize,
    /// Most words; without it, any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_words: Option<usize>,
}

/// Parameters of [`Step::Language`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// The languages that stay, as ISO 639-3 codes: `["eng", "deu"]`.
    pub keep: Vec<String>,
    /// A row is dropped only when the detector is at least this sure, in `0..=1`, that it is in
    /// another language.
    #[serde(default = "default_confidence")]
    pub min_confidence: f64,
    /// Rows with fewer characters stay: a few words do not tell a language.
    #[serde(default = "default_language_characters")]
    pub min_characters: usize,
}

fn default_confidence() -> f64 {
    0.5
}

fn default_language_characters() -> usize {
    20
}

/// Parameters of [`Step::StopWords`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopWords {
    /// The language of the list, as an ISO 639-1 code: `"en"`.
    pub language: String,
    /// Words removed as well.
    #[serde(default)]
    pub extra: Vec<String>,
    /// Words of the list that stay.
    #[serde(default)]
    pub keep: Vec<String>,
}

/// Parameters of [`Step::NearDuplicates`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NearDuplicates {
    /// The estimated Jaccard similarity of two rows' shingles from which they count as the same,
    /// in `0..=1`.
    pub threshold: f64,
    /// Hashes in a signature. The estimate's standard error is at most `0.5 / sqrt(permutations)`;
    /// a
    /// kept row takes this many bytes of memory, and about 25 for each of its bands (18 by default).
    pub permutations: usize,
    /// What a shingle is made of.
    pub shingle: Shingle,
    /// How many of these in a row make a shingle.
    pub size: usize,
}

impl Default for NearDuplicates {
    fn default() -> Self {
        Self { threshold: 0.8, permutations: 128, shingle: Shingle::Words, size: 3 }
    }
}

/// What a shingle is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Shingle {
    /// Words, separated by white space.
    #[default]
    Words,
    /// Characters: for languages that do not separate words.
    Characters,
}

/// Parameters of [`Step::CrossSplit`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CrossSplit {
    /// What happens to rows that another split has.
    pub action: SharedAction,
}

/// What happens to a row whose text another split has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SharedAction {
    /// It is dropped from `sources`, so splits with files of their own keep all they have. Of two
    /// splits that are both drawn from `sources`, the one that had it first keeps it. Rows of an
    /// untouched split are compared as the steps before this one would have written them.
    #[default]
    Remove,
    /// It stays and is counted.
    Count,
}

/// What a step may be called where nothing else is said of it.
const SHORT: &[&str] = &[
    "nfc",
    "nfkc",
    "nfd",
    "nfkd",
    "control",
    "whitespace",
    "lower-case",
    "sentences",
    "length",
    "language",
    "stop-words",
    "exact-duplicates",
    "near-duplicates",
    "cross-split",
];

impl Short for Step {
    fn from_short(name: &str) -> Result<Self, serde::de::value::Error> {
        // Its long form is told as `unicode`.
        if !SHORT.contains(&name) && name != "unicode" {
            return Err(serde::de::Error::unknown_variant(name, SHORT));
        }
        let form = match name {
            "nfc" => Some(UnicodeForm::Nfc),
            "nfkc" => Some(UnicodeForm::Nfkc),
            "nfd" => Some(UnicodeForm::Nfd),
            "nfkd" => Some(UnicodeForm::Nfkd),
            _ => None,
        };
        match form {
            Some(form) => Ok(Self::Unicode { form }),
            None => Self::deserialize(MapDeserializer::new(std::iter::once(("step", name)))),
        }
    }
}

impl Step {
    /// The name in configs, statistics and `dropped.parquet`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unicode { form: UnicodeForm::Nfc } => "nfc",
            Self::Unicode { form: UnicodeForm::Nfkc } => "nfkc",
            Self::Unicode { form: UnicodeForm::Nfd } => "nfd",
            Self::Unicode { form: UnicodeForm::Nfkd } => "nfkd",
            Self::Control {} => "control",
            Self::Whitespace(_) => "whitespace",
            Self::LowerCase {} => "lower-case",
            Self::Sentences(_) => "sentences",
            Self::Length(_) => "length",
            Self::Language(_) => "language",
            Self::StopWords(_) => "stop-words",
            Self::ExactDuplicates {} => "exact-duplicates",
            Self::NearDuplicates(_) => "near-duplicates",
            Self::CrossSplit(_) => "cross-split",
        }
    }

    /// Whether the step rewrites text, as opposed to judging rows.
    pub fn rewrites(&self) -> bool {
        match self {
            Self::Unicode { .. }
            | Self::Control {}
            | Self::Whitespace(_)
            | Self::LowerCase {}
            | Self::Sentences(_)
            | Self::StopWords(_) => true,
            Self::Length(_)
            | Self::Language(_)
            | Self::ExactDuplicates {}
            | Self::NearDuplicates(_)
            | Self::CrossSplit(_) => false,
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let refuse = |key: &str, message: String| {
            Err(Error::config(format!("corpus.steps.{}.{key}", self.name()), message))
        };
        match self {
            Self::Length(p) => {
                if p.max_characters.is_some_and(|max| max < p.min_characters.max(1)) {
                    return refuse(
                        "max_characters",
                        "is below min_characters or 0: nothing would stay".into(),
                    );
                }
                if p.max_words.is_some_and(|max| max < p.min_words.max(1)) {
                    return refuse(
                        "max_words",
                        "is below min_words or 0: nothing would stay".into(),
                    );
                }
            }
            Self::Language(p) => {
                if p.keep.is_empty() {
                    return refuse(
                        "keep",
                        "is empty; name at least one language, such as \"eng\"".into(),
                    );
                }
                for code in &p.keep {
                    if whatlang::Lang::from_code(code.as_str()).is_none() {
                        let known: Vec<&str> =
                            whatlang::Lang::all().iter().map(|lang| lang.code()).collect();
                        return refuse(
                            "keep",
                            format!("has `{code}`; known are {}", known.join(", ")),
                        );
                    }
                }
                if !(0.0..=1.0).contains(&p.min_confidence) {
                    return refuse(
                        "min_confidence",
                        format!("is {}; it must be in 0..=1", p.min_confidence),
                    );
                }
            }
            Self::StopWords(p) => {
                if stop_words::lookup(&p.language).is_none() {
                    let known = stop_words::available_languages().join(", ");
                    return refuse("language", format!("is `{}`; known are {known}", p.language));
                }
            }
            Self::NearDuplicates(p) => {
                if !(p.threshold > 0.0 && p.threshold <= 1.0) {
                    return refuse(
                        "threshold",
                        format!("is {}; it must be above 0 and at most 1", p.threshold),
                    );
                }
                if !(8..=4096).contains(&p.permutations) {
                    return refuse(
                        "permutations",
                        format!("is {}; it must be in 8..=4096", p.permutations),
                    );
                }
                if !(1..=100).contains(&p.size) {
                    return refuse("size", format!("is {}; it must be in 1..=100", p.size));
                }
            }
            Self::Unicode { .. }
            | Self::Control {}
            | Self::Whitespace(_)
            | Self::LowerCase {}
            | Self::Sentences(_)
            | Self::ExactDuplicates {}
            | Self::CrossSplit(_) => {}
        }
        Ok(())
    }
}

pub(crate) fn validate(steps: &[Step]) -> Result<(), Error> {
    for step in steps {
        step.validate()?;
    }
    if steps.iter().filter(|step| matches!(step, Step::CrossSplit(_))).count() > 1 {
        return Err(Error::config(
            "corpus.steps",
            "has `cross-split` more than once; splits are compared at one place",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_short_form() {
        let schema = serde_json::to_value(schemars::schema_for!(Step)).unwrap();
        let forms = schema["oneOf"].as_array().unwrap().iter();
        let names = forms.map(|form| form["properties"]["step"]["const"].as_str().unwrap());
        let short = names.filter(|name| *name != "unicode").collect::<Vec<_>>();
        let of_unicode = ["nfc", "nfkc", "nfd", "nfkd"];
        assert_eq!([&of_unicode, &short[..]].concat(), SHORT);
        for name in SHORT {
            match Step::from_short(name) {
                Ok(step) => assert_eq!(step.name(), *name),
                // It is known, and says what it needs.
                Err(error) => assert!(error.to_string().contains("missing field"), "{error}"),
            }
        }
    }
}
