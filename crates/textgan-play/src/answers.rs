//! Requests of the page to answers: plain functions, without a network.

use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use textgan_generate::textgan_artifact::table::Sample;
use textgan_generate::textgan_models::{BOS, EOS, PAD};
use textgan_generate::textgan_random::Key;
use textgan_generate::{Error, Model, Options};

use crate::Playground;
use crate::playground::Choice;

/// The most texts of one request.
const MOST_TEXTS: usize = 16;
/// The most characters of a text or a prompt.
const MOST_CHARACTERS: usize = 2000;
/// The most tokens that may come next which are told.
const MOST_CANDIDATES: usize = 16;
/// Texts of a duel; one of them is real.
const DUELLISTS: u64 = 5;

/// A text of a duel, and its label if it has one.
type Contender = (String, Option<String>);

/// A request that cannot be answered: the status and one sentence.
#[derive(Debug)]
pub(crate) struct Refused(pub StatusCode, pub String);

type Answer<T> = Result<T, Refused>;

fn bad(message: impl Into<String>) -> Refused {
    Refused(StatusCode::BAD_REQUEST, message.into())
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Option { .. } | Error::Model(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let message = match error {
            // It is a request, and no table of a config, that the key is of.
            Error::Option { key, message } => format!("{key}: {message}"),
            other => other.to_string(),
        };
        Self(status, message)
    }
}

/// A request's body: one with a key that it does not have is refused, as a misspelt one would be passed over.
pub(crate) trait Asked: DeserializeOwned {
    /// Its keys, but for those of decoding.
    const KEYS: &'static [&'static str];
    /// Whether it says how tokens are picked.
    const DECODES: bool = false;

    /// Reads it.
    fn read(body: serde_json::Value) -> Answer<Self> {
        let unprocessable = |message: String| Refused(StatusCode::UNPROCESSABLE_ENTITY, message);
        let known = |key: &&String| {
            Self::KEYS.contains(&key.as_str())
                || Self::DECODES && Decoding::KEYS.contains(&key.as_str())
        };
        let mut keys = body.as_object().into_iter().flat_map(|body| body.keys());
        if let Some(key) = keys.find(|key| !known(key)) {
            let decoding = if Self::DECODES { Decoding::KEYS } else { &[] };
            let all = [Self::KEYS, decoding].concat().join(", ");
            return Err(unprocessable(format!("{key}: there is no such key; there are {all}")));
        }
        serde_json::from_value(body).map_err(|error| unprocessable(error.to_string()))
    }
}

/// Answer to `GET api/model`.
#[derive(Serialize)]
pub(crate) struct About<'a> {
    name: &'a str,
    verdict: Option<&'a str>,
    models: &'a [Choice],
    noise: usize,
    labels: Vec<String>,
    max_length: usize,
    vocabulary: usize,
    detector: Option<Detector>,
    real_texts: bool,
    defaults: Defaults,
    limits: Limits,
}

#[derive(Serialize)]
struct Detector {
    kind: &'static str,
    title: &'static str,
}

#[derive(Serialize)]
struct Defaults {
    temperature: f32,
    top_k: Option<usize>,
    top_p: Option<f32>,
    min_p: Option<f32>,
}

#[derive(Serialize)]
struct Limits {
    texts: usize,
    characters: usize,
}

/// How tokens are picked.
#[derive(Deserialize)]
pub(crate) struct Decoding {
    temperature: Option<f32>,
    #[serde(default)]
    greedy: bool,
    top_k: Option<usize>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    label: Option<String>,
}

impl Decoding {
    const KEYS: &'static [&'static str] =
        &["temperature", "greedy", "top_k", "top_p", "min_p", "label"];

    fn options(self, of: &Options) -> Options {
        let Self { temperature, greedy, top_k, top_p, min_p, label } = self;
        Options {
            temperature,
            greedy,
            top_k,
            top_p,
            min_p,
            label,
            forbid_unknown: of.forbid_unknown,
            ..Options::default()
        }
    }
}

/// `POST api/generate`.
#[derive(Deserialize)]
pub(crate) struct Generate {
    model: String,
    texts: usize,
    #[serde(default)]
    seed: u64,
    noise: Option<Vec<Vec<f32>>>,
    prompt: Option<String>,
    #[serde(flatten)]
    decoding: Decoding,
}

impl Asked for Generate {
    const KEYS: &'static [&'static str] = &["model", "texts", "seed", "noise", "prompt"];
    const DECODES: bool = true;
}

#[derive(Serialize)]
pub(crate) struct Generated {
    texts: Vec<Text>,
}

#[derive(Serialize)]
struct Text {
    text: String,
    tokens: Vec<Token>,
    log_prob: f32,
    realness: Option<f32>,
    ended: bool,
    noise: Vec<f32>,
    label: Option<String>,
}

#[derive(Serialize)]
struct Token {
    id: u32,
    text: String,
    probability: f32,
    realness: Option<f32>,
}

/// `POST api/next`.
#[derive(Deserialize)]
pub(crate) struct Follow {
    model: String,
    #[serde(default)]
    noise: Vec<f32>,
    #[serde(default)]
    ids: Vec<u32>,
    #[serde(flatten)]
    decoding: Decoding,
}

impl Asked for Follow {
    const KEYS: &'static [&'static str] = &["model", "noise", "ids"];
    const DECODES: bool = true;
}

#[derive(Serialize)]
pub(crate) struct Candidates {
    candidates: Vec<Candidate>,
    left: usize,
    end: f32,
}

#[derive(Serialize)]
struct Candidate {
    id: u32,
    text: String,
    probability: f32,
    raw: f32,
}

/// `POST api/realness`.
#[derive(Deserialize)]
pub(crate) struct Judge {
    model: Option<String>,
    text: String,
    label: Option<String>,
}

impl Asked for Judge {
    const KEYS: &'static [&'static str] = &["model", "text", "label"];
}

#[derive(Serialize)]
pub(crate) struct Judgement {
    realness: f32,
    tokens: Vec<JudgedToken>,
    unknown: Vec<String>,
}

#[derive(Serialize)]
struct JudgedToken {
    text: String,
    realness: Option<f32>,
}

/// `POST api/duel`, and `api/duel/answer` with a choice.
#[derive(Deserialize)]
pub(crate) struct Duel {
    model: String,
    seed: u64,
    choice: Option<usize>,
}

impl Asked for Duel {
    const KEYS: &'static [&'static str] = &["model", "seed", "choice"];
}

#[derive(Serialize)]
pub(crate) struct Round {
    texts: Vec<String>,
}

#[derive(Serialize)]
pub(crate) struct Outcome {
    real: usize,
    right: bool,
    detector: Option<usize>,
    realness: Option<Vec<f32>>,
}

impl Playground {
    fn named(&self, id: &str) -> Answer<std::sync::Arc<Model>> {
        match self.model(id) {
            None => Err(Refused(StatusCode::NOT_FOUND, format!("there is no model {id:?}"))),
            Some(Ok(model)) => Ok(model),
            Some(Err(error)) => Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        }
    }

    fn first(&self) -> &str {
        self.choices.first().map_or("", |choice| &choice.id)
    }

    pub(crate) fn about(&self) -> Answer<About<'_>> {
        let model = self.named(self.first())?;
        let sizes = model.generator().sizes();
        let Options { temperature, top_k, top_p, min_p, .. } = self.options;
        Ok(About {
            name: &self.name,
            verdict: self.verdict.as_deref(),
            models: &self.choices,
            noise: model.generator().noise().dimension,
            labels: model.labels().to_vec(),
            max_length: sizes.max_length,
            vocabulary: sizes.vocab,
            detector: model.critic_kind().map(|kind| Detector {
                kind,
                title: match kind {
                    "discriminator" => "the discriminator that the generator learned against",
                    _ => "the language model that the generator learned against, beside the generator",
                },
            }),
            real_texts: !self.real_texts.is_empty(),
            defaults: Defaults { temperature: temperature.unwrap_or(1.0), top_k, top_p, min_p },
            limits: Limits { texts: MOST_TEXTS, characters: MOST_CHARACTERS },
        })
    }

    pub(crate) fn generate(&self, asked: Generate) -> Answer<Generated> {
        let model = self.named(&asked.model)?;
        if !(1..=MOST_TEXTS).contains(&asked.texts) {
            return Err(bad(format!("texts: {} is outside 1 to {MOST_TEXTS}", asked.texts)));
        }
        let prompt = asked.prompt.filter(|prompt| !prompt.trim().is_empty());
        within("prompt", prompt.as_deref().unwrap_or_default())?;
        let count = asked.texts;
        let options = Options { count, prompt, ..asked.decoding.options(&self.options) };
        let key = Key::root(asked.seed).child("generate");
        let samples = match asked.noise {
            Some(rows) if rows.len() != count => {
                return Err(bad(format!("noise: {} rows for {count} texts", rows.len())));
            }
            Some(rows) => {
                let dimension = model.generator().noise().dimension;
                if let Some(row) = rows.iter().find(|row| row.len() != dimension) {
                    let message =
                        format!("noise: a row has {} numbers, not {dimension}", row.len());
                    return Err(bad(message));
                }
                model.generate_from(rows.concat(), count, &options, &key)?
            }
            None => model.generate(&Options { seed: Some(asked.seed), ..options })?,
        };
        let texts =
            samples.into_iter().map(|sample| text(&model, sample)).collect::<Answer<_>>()?;
        Ok(Generated { texts })
    }

    pub(crate) fn follow(&self, asked: Follow) -> Answer<Candidates> {
        let model = self.named(&asked.model)?;
        let options = asked.decoding.options(&self.options);
        let vocab = model.generator().sizes().vocab as u32;
        if let Some(id) = asked.ids.iter().find(|id| **id >= vocab || [PAD, BOS, EOS].contains(*id))
        {
            return Err(bad(format!("ids: {id} is no word of the vocabulary of {vocab}")));
        }
        let next = model.next(&asked.noise, &asked.ids, &options)?;
        let end = next.end();
        // The end is told apart: it is no word.
        let is_word = |id: &usize| next.given[*id] > 0.0 && *id != EOS as usize;
        let mut ids: Vec<usize> = (0..next.given.len()).filter(is_word).collect();
        ids.sort_by(|a, b| next.given[*b].total_cmp(&next.given[*a]).then(a.cmp(b)));
        let left = ids.len().saturating_sub(MOST_CANDIDATES);
        ids.truncate(MOST_CANDIDATES);
        let pieces = ids.iter().map(|id| piece(&model, &asked.ids, *id as u32));
        let candidates = ids.iter().zip(pieces).map(|(&id, text)| {
            let (probability, raw) = (next.chosen[id], next.given[id]);
            Ok(Candidate { id: id as u32, text: text?, probability, raw })
        });
        Ok(Candidates { candidates: candidates.collect::<Answer<_>>()?, left, end })
    }

    pub(crate) fn judge(&self, asked: &Judge) -> Answer<Judgement> {
        let model = self.named(asked.model.as_deref().unwrap_or(self.first()))?;
        within("text", &asked.text)?;
        if asked.text.trim().is_empty() {
            return Err(bad("text: there is nothing to judge"));
        }
        let Some(judged) = model.judge(&asked.text, asked.label.as_deref())? else {
            return Err(bad("this run has trained no discriminator"));
        };
        let pieces = model.pieces(&judged.tokens)?;
        let realness = added(&judged.token_realness, model.judges_words());
        let tokens = pieces.into_iter().zip(realness);
        let unknown = asked.text.split_whitespace().filter(|word| !model.knows(word));
        Ok(Judgement {
            realness: judged.realness,
            tokens: tokens.map(|(text, realness)| JudgedToken { text, realness }).collect(),
            unknown: unknown.take(MOST_TEXTS).map(str::to_owned).collect(),
        })
    }

    /// The texts of a round, and which one is real.
    fn round(&self, asked: &Duel) -> Answer<(std::sync::Arc<Model>, Vec<Contender>, usize)> {
        let model = self.named(&asked.model)?;
        if self.real_texts.is_empty() {
            return Err(bad("there are no real texts to play with"));
        }
        let mut stream = Key::root(asked.seed).child("duel").stream();
        let real = stream.below(self.real_texts.len() as u64) as usize;
        let place = stream.below(DUELLISTS) as usize;
        let Options { temperature, top_k, top_p, min_p, forbid_unknown, .. } = self.options;
        let samples = model.generate(&Options {
            count: DUELLISTS as usize - 1,
            seed: Some(asked.seed),
            temperature,
            top_k,
            top_p,
            min_p,
            forbid_unknown,
            ..Options::default()
        })?;
        let label = |id: Option<u32>| model.labels().get(id? as usize).cloned();
        let mut texts: Vec<Contender> =
            samples.into_iter().map(|sample| (sample.text, label(sample.label))).collect();
        texts.insert(place, self.real_texts[real].clone());
        Ok((model, texts, place))
    }

    pub(crate) fn duel(&self, asked: &Duel) -> Answer<Round> {
        let texts = self.round(asked)?.1;
        Ok(Round { texts: texts.into_iter().map(|(text, _)| text).collect() })
    }

    pub(crate) fn outcome(&self, asked: &Duel) -> Answer<Outcome> {
        let Some(choice) = asked.choice.filter(|choice| (*choice as u64) < DUELLISTS) else {
            return Err(bad(format!("choice: give one of 0 to {}", DUELLISTS - 1)));
        };
        let (model, texts, real) = self.round(asked)?;
        let judged = |(text, label): &Contender| {
            Ok(model.judge(text, label.as_deref())?.map(|judged| judged.realness))
        };
        let realness: Option<Vec<f32>> =
            texts.iter().map(judged).collect::<Answer<Vec<_>>>()?.into_iter().collect();
        let detector = realness.as_ref().and_then(|realness| {
            (0..realness.len()).max_by(|&a, &b| realness[a].total_cmp(&realness[b]))
        });
        Ok(Outcome { real, right: choice == real, detector, realness })
    }
}

fn within(key: &str, text: &str) -> Answer<()> {
    match text.chars().count() {
        length if length > MOST_CHARACTERS => {
            Err(bad(format!("{key}: {length} characters, and at most {MOST_CHARACTERS} are read")))
        }
        _ => Ok(()),
    }
}

/// The text of a token after others.
fn piece(model: &Model, before: &[u32], id: u32) -> Answer<String> {
    let after: Vec<u32> = before.iter().copied().chain([id]).collect();
    Ok(model.pieces(&after)?.pop().unwrap_or_default())
}

/// What each token added to the logit; nothing where the critic only knows whole texts.
fn added(logits: &[f32], by_word: bool) -> impl Iterator<Item = Option<f32>> {
    let before = [0.0].into_iter().chain(logits.iter().copied());
    let steps: Vec<f32> = logits.iter().zip(before).map(|(after, before)| after - before).collect();
    steps
        .into_iter()
        .map(Some)
        .map(move |step| step.filter(|_| by_word))
        .chain(std::iter::repeat(None))
}

fn text(model: &Model, sample: Sample) -> Answer<Text> {
    let pieces = model.pieces(&sample.tokens)?;
    let realness = added(&sample.token_realness, model.judges_words());
    let tokens = sample.tokens.iter().zip(pieces).zip(&sample.token_log_probs).zip(realness);
    Ok(Text {
        tokens: tokens
            .map(|(((&id, text), log_prob), realness)| Token {
                id,
                text,
                probability: log_prob.exp(),
                realness,
            })
            .collect(),
        ended: sample.token_log_probs.len() > sample.tokens.len(),
        text: sample.text,
        log_prob: sample.log_prob,
        realness: sample.realness,
        noise: sample.noise,
        label: sample.label.and_then(|id| model.labels().get(id as usize).cloned()),
    })
}
