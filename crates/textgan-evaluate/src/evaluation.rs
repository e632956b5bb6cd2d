use serde::{Deserialize, Serialize};

use crate::memorisation::{Audit, Memorisation};
use crate::verdict::Judgement;

/// How samples and texts of a sweep are drawn, in protocols.
pub(crate) const SWEPT: &str = "temperature:swept";

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
    /// The first texts that were scored, beside those of the baseline from the same noise, and real ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<ShownText>,
    /// What else was made of the baseline, or of its samples: curves of what a claim must beat.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<ControlScores>,
    /// Whether the model is better than all of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
    /// What the test split has of the training text: what samples are held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<Memorisation>,
}

/// A text of the model, and what stands beside it for a reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownText {
    /// The label that it was written for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The text.
    pub model: String,
    /// What the baseline writes from the same noise and random stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// A text of the test split; nothing binds it to the other two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real: Option<String>,
}

/// A control: its curve, over temperatures or over another knob.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlScores {
    /// Its name, such as `likelihood` or `rejection`.
    pub name: String,
    /// Its curve.
    pub sweep: Sweep,
    /// Of a way of decoding: the curve of the model, decoded alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Sweep>,
}

/// Everything that was measured of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// How its temperature was chosen.
    pub temperature: Choice,
    /// The numbers.
    pub measures: Vec<Measure>,
    /// Some of them at several temperatures, where that was asked for: what curves are drawn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Sweep>,
    /// What its samples have of the training text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memorisation: Option<Audit>,
}

/// Measures of one model at several temperatures. Two of them make a curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// What is varied: the temperature, unless it is said otherwise.
    #[serde(default = "temperature")]
    pub parameter: String,
    /// Its values, in the order of the configuration.
    pub temperatures: Vec<f32>,
    /// Each at all of them.
    pub measures: Vec<Swept>,
    /// Curves that others have published under the same protocol.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PublishedCurve>,
}

fn temperature() -> String {
    "temperature".to_owned()
}

/// One measure at the temperatures of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Swept {
    /// Its name, such as `bleu-4`.
    pub name: String,
    /// Which direction is an improvement.
    pub better: Better,
    /// Everything that two of them must share to be comparable, but for the temperatures.
    pub protocol: String,
    /// Its value at each temperature; `None` where it is not defined.
    pub values: Vec<Option<f64>>,
    /// How many items each batch has; 0 where there are no batches.
    pub batch_size: usize,
    /// Its values on disjoint batches, `[temperature][batch]`. Batch `i` has the same noise and the
    /// same random streams at every temperature, so it has a curve of its own.
    pub batches: Vec<Vec<f64>>,
}

/// One temperature of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The temperature.
    pub temperature: f32,
    /// The measure of quality there, such as `nll-oracle`.
    pub quality: f64,
    /// The measure of diversity there, such as `nll-test`.
    pub diversity: f64,
}

/// A curve that others have published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublishedCurve {
    /// Of which model.
    pub name: String,
    /// The measure of quality, such as `nll-oracle`.
    pub quality: String,
    /// The measure of diversity, such as `nll-test`.
    pub diversity: String,
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
    /// Of a share of independent items: its exact 95 % interval (Clopper and Pearson, 1934).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

/// How one number differs between two models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The measure.
    pub name: String,
    /// Model minus baseline: of a share, of whole sets, else the mean over the batches.
    pub change: f64,
    /// Mean over the batches of the baseline, and of the model: what `change` is the difference of. Those
    /// of whole sets differ from them where a measure depends on how many texts there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_batches: Option<[f64; 2]>,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// How probable a change as great is by chance alone, two-sided.
    pub p: f64,
    /// The same for all changes of the table together (Holm, 1979).
    pub adjusted_p: f64,
    /// Disjoint batches; 0 of a share, which needs none.
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
            interval: None,
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
            interval: None,
        }
    }
}

impl Change {
    /// Whether the change stands out from chance among all of its table, at the level of 5 %.
    pub fn is_separated(&self) -> bool {
        self.adjusted_p < crate::verdict::LEVEL
    }
}

impl Scores {
    /// The measure of that name.
    pub fn get(&self, name: &str) -> Option<&Measure> {
        self.measures.iter().find(|measure| measure.name == name)
    }
}

impl Sweep {
    /// The measure of that name.
    pub fn get(&self, name: &str) -> Option<&Swept> {
        self.measures.iter().find(|measure| measure.name == name)
    }

    /// Two measures against each other, in the order of the temperatures. A temperature where one
    /// of them is not defined is no point of the curve.
    pub fn curve(&self, quality: &str, diversity: &str) -> Vec<Point> {
        let (Some(quality), Some(diversity)) = (self.get(quality), self.get(diversity)) else {
            return Vec::new();
        };
        let values = quality.values.iter().zip(&diversity.values);
        let point = |(&temperature, (&quality, &diversity)): (_, (&Option<_>, &Option<_>))| {
            Some(Point { temperature, quality: quality?, diversity: diversity? })
        };
        self.temperatures.iter().zip(values).filter_map(point).collect()
    }
}
