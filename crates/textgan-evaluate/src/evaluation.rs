use serde::{Deserialize, Serialize};

/// What `evaluation.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Version of this layout.
    pub format: u32,
    /// Tokens that count as one unit, such as `word`.
    pub tokens: String,
    /// The trained model.
    pub model: Scores,
    /// The maximum-likelihood checkpoint of the same run, when there is one.
    pub baseline: Option<Scores>,
    /// From the baseline to the model.
    pub changes: Vec<Change>,
    /// Sentences of the train split, scored as if they were samples: what copying would score.
    pub training_text: Vec<Measure>,
}

/// Everything that was measured of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// How its temperature was chosen.
    pub temperature: Choice,
    /// The numbers.
    pub measures: Vec<Measure>,
    /// How two of them trade against each other as the temperature changes, where that was asked
    /// for and the truth allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curve: Option<Curve>,
}

/// Quality and diversity of one model at several temperatures; less is better in both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// What `quality` is, such as `nll-oracle`.
    pub quality: String,
    /// What `diversity` is, such as `nll-test`.
    pub diversity: String,
    /// How both were measured.
    pub protocol: String,
    /// In the order of the temperatures in the configuration.
    pub points: Vec<Point>,
    /// What others have published under the same protocol.
    pub published: Vec<PublishedCurve>,
}

/// One temperature of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The temperature.
    pub temperature: f32,
    /// What samples at it cost the truth.
    pub quality: f64,
    /// What samples of the truth cost the model at it.
    pub diversity: f64,
}

/// A curve that others have published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublishedCurve {
    /// Of which model.
    pub name: String,
    /// Where it was published.
    pub source: String,
    /// Its points.
    pub points: Vec<Point>,
}

/// How a temperature was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The temperature that the samples were drawn at.
    pub temperature: f32,
    /// The rule, in words.
    pub rule: String,
    /// What the validation split said; empty when there was nothing to choose.
    pub candidates: Vec<Candidate>,
}

/// One temperature on the validation split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The temperature.
    pub temperature: f32,
    /// BLEU-4 against the validation split.
    pub bleu_4: f64,
    /// Self-BLEU-4 of the same samples.
    pub self_bleu_4: f64,
}

/// Which direction is an improvement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// It depends, or the target is a given value.
    Neither,
}

/// One number and how it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Its name, such as `bleu-4`.
    pub name: String,
    /// Its value; `None` when it is not defined here, and `note` says why.
    pub value: Option<f64>,
    /// Which direction is an improvement.
    pub better: Better,
    /// Everything that two numbers must share to be comparable.
    pub protocol: String,
    /// What a reader should know.
    pub note: Option<String>,
}

/// How one number differs between two models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The measure.
    pub name: String,
    /// Mean over the batches of (model minus baseline).
    pub change: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// Disjoint batches.
    pub batches: usize,
    /// Which direction is an improvement.
    pub better: Better,
    /// How it was measured.
    pub protocol: String,
}

impl Measure {
    /// A number; one that is not finite is kept as undefined, never as NaN.
    pub(crate) fn new(name: impl Into<String>, value: f64, better: Better, protocol: &str) -> Self {
        let finite = value.is_finite();
        Self {
            name: name.into(),
            value: finite.then_some(value),
            better,
            protocol: protocol.to_owned(),
            note: (!finite).then(|| "out of the range of numbers".to_owned()),
        }
    }

    /// A number that is not defined here, and why.
    pub(crate) fn undefined(name: &str, better: Better, protocol: &str, why: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: None,
            better,
            protocol: protocol.to_owned(),
            note: Some(why.to_owned()),
        }
    }
}

impl Scores {
    /// The measure of that name.
    pub fn get(&self, name: &str) -> Option<&Measure> {
        self.measures.iter().find(|measure| measure.name == name)
    }
}
