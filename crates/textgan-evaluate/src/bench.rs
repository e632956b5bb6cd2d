//! What is measured of one model, by everything that all models are measured with.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use textgan_artifact::Progress;
use textgan_artifact::table::TokenRow;
use textgan_generate::{Drawn, Labels, Model};
use textgan_random::Key;
use textgan_tokenizer::Tokenizer;

use crate::draws::Draws;
use crate::embedded::Embedded;
use crate::evaluate::{samples_key, sentences, spread};
use crate::evaluation::{Better, Choice, Measure, SWEPT, Scores, ShownText, Sweep};
use crate::exact::{HeldOut, HeldOutSweep, Samples};
use crate::judged::{Judges, Spoken};
use crate::likelihood::Likelihoods;
use crate::memorisation::{Audit, Auditor, Found};
use crate::quality::{self, Protocol, Real};
use crate::series::Series;
use crate::writer::Writer;
use crate::{Error, EvaluateConfig, Result, Truth, temperature};

/// Texts that are shown to a reader.
const SHOWN: usize = 24;

/// The first texts that were drawn, each with its label if it has one.
fn first_texts(model: &Model, drawn: &Drawn) -> Result<Vec<(Option<String>, String)>> {
    let texts = drawn.tokens.iter().take(SHOWN).enumerate();
    texts
        .map(|(row, tokens)| {
            let label =
                drawn.labels.as_ref().and_then(|labels| model.labels().get(labels[row] as usize));
            Ok((label.cloned(), model.tokenizer().decode(tokens)?))
        })
        .collect()
}

pub(crate) fn measures(series: Vec<Series>) -> Vec<Measure> {
    series.into_iter().map(|series| series.measure).collect()
}

/// What was found of one model.
#[derive(Serialize, Deserialize)]
pub(crate) struct Measured {
    choice: Choice,
    pub series: Vec<Series>,
    pub sweep: Option<Sweep>,
    audit: Audit,
    /// The first of its texts, and their labels.
    shown: Vec<(Option<String>, String)>,
}

impl Measured {
    pub fn scores(self) -> Scores {
        Scores {
            temperature: self.choice,
            measures: measures(self.series),
            sweep: self.sweep,
            memorisation: Some(self.audit),
        }
    }
}

/// Everything that each model is measured with.
pub(crate) struct Bench<'a> {
    pub config: &'a EvaluateConfig,
    pub key: &'a Key,
    pub progress: &'a dyn Progress,
    pub truth: Option<Truth<'a>>,
    pub tokens: &'a str,
    pub tokenizer: &'a Tokenizer,
    pub train: &'a [TokenRow],
    pub valid: &'a [TokenRow],
    pub test: &'a [TokenRow],
    pub real: Real<'a>,
    pub embedded: Embedded,
    pub judges: &'a Judges<'a>,
    pub auditor: &'a Auditor<'a>,
    /// The audit of the test split.
    pub held_out: &'a Found,
    pub validation: &'a [Vec<u32>],
    /// The share of the test split that has each number of tokens.
    pub real_lengths: Vec<f64>,
    /// Labels of the train split: samples get the same mixture.
    pub labels: Vec<u32>,
}

/// Fewer real texts than this leave measures that compare with them with next to nothing to say.
const FEW_TEXTS: usize = 200;
/// A share of unknown words above which scores speak of something else than the text.
const MANY_UNKNOWN: f64 = 0.01;

impl Bench<'_> {
    /// Says what makes numbers say less than they seem to.
    pub fn warn(&self) {
        let texts = self.test.len();
        if texts < FEW_TEXTS {
            self.progress.message(&format!(
                "the test split has {texts} texts: BLEU, recall, coverage, MAUVE and the Frechet distance of so \
                 few say little; hold out more of the corpus"
            ));
        }
        let tokens = self.test.iter().flat_map(|row| &row.tokens);
        let unknown =
            tokens.clone().filter(|&&token| token == textgan_tokenizer::special::UNKNOWN).count();
        let share = unknown as f64 / tokens.count().max(1) as f64;
        if share > MANY_UNKNOWN {
            self.progress.message(&format!(
                "{:.1} % of the tokens of the test split are unknown, and match nothing in BLEU: a larger \
                 tokenizer.vocabulary_size, or kind = \"byte-bpe\", would know them",
                100.0 * share
            ));
        }
    }

    pub fn measure(&self, name: &str, writer: Writer<'_>) -> Result<Measured> {
        let Self { config, key, progress, .. } = *self;
        progress.begin(&format!("evaluating {name}"), None);
        let model = writer.load()?;
        self.check(&model)?;
        let labels = self.labels_for(&model);

        progress.status("choosing the temperature");
        // The samples that are reported are among those that are chosen from: their Self-BLEU is
        // within the bound, and the test split has had no say.
        let draws = Draws::new(&model, labels, samples_key(key), config);
        let draws = draws.of_candidates(writer.candidates);
        let choice = temperature::choose(&draws, self.validation, config)?;
        self.go_on()?;

        progress.status("sampling");
        let temperature = choice.temperature;
        let samples = draws.at(temperature)?;
        self.go_on()?;

        progress.status("BLEU and diversity");
        let drawn = writer.told(format!("temperature:{temperature}"));
        let protocol = Protocol { tokens: self.tokens.to_owned(), drawn: drawn.clone() };
        let mut series = quality::measure(&samples.tokens, &self.real, &protocol, config.batches);
        let exact = self.truth.map(Truth::exact);
        if let Some(exact) = exact {
            series.extend(exact.samples(&self.samples(&model, &samples, &drawn))?);
        }
        self.go_on()?;

        progress.status("embeddings");
        let count = config.batches;
        let key_of_clusters = self.key.child("clusters");
        series.extend(self.embedded.measure(
            &samples.tokens,
            self.tokens,
            &drawn,
            count,
            &key_of_clusters,
        )?);
        self.go_on()?;

        progress.status("language models and classifier");
        let spoken = self.spoken(&draws, temperature)?;
        let found = spoken.get(&temperature.to_bits());
        series.extend(found.into_iter().flat_map(|found| found.series(self.tokens, &drawn)));
        series.extend(self.judges.classifier(&samples.tokens, self.tokens, &drawn)?);
        self.go_on()?;

        progress.status("memorisation");
        let audited = samples.tokens.len().min(config.audited_texts);
        let found = self.auditor.audit(&samples.tokens[..audited], &drawn)?;
        let audit = found.beside(self.held_out)?;
        // Exact copies are among the measures of quality.
        series.extend(found.series.into_iter().skip(1));
        self.go_on()?;

        progress.status("greedy texts");
        series.extend(self.greedy(&model, labels)?);
        self.go_on()?;

        progress.status("likelihood");
        for (split, rows) in [("validation", self.valid), ("test", self.test)] {
            series.extend(self.likelihood(&model, split, rows)?);
        }

        let sweep = match config.sweep[..] {
            [] => None,
            _ => Some(self.sweep(&model, &draws, &spoken)?),
        };
        if let (Some(exact), Some(sweep)) = (exact, &sweep) {
            series.extend(exact.matched(sweep));
        }
        let shown = first_texts(&model, &samples)?;
        progress.finish();
        Ok(Measured { choice, series, sweep, audit, shown })
    }

    /// The first texts of both, at the same noise, beside real ones spread over the test split.
    pub fn shown(&self, model: &Measured, baseline: Option<&Measured>) -> Result<Vec<ShownText>> {
        let real = spread(&sentences(self.test), model.shown.len());
        let row = |(at, (label, text)): (usize, &(Option<String>, String))| {
            let real = real.get(at).map(|tokens| self.tokenizer.decode(tokens)).transpose()?;
            let baseline = baseline.and_then(|baseline| baseline.shown.get(at));
            Ok(ShownText {
                label: label.clone(),
                model: text.clone(),
                baseline: baseline.map(|(_, text)| text.clone()),
                real,
            })
        };
        model.shown.iter().enumerate().map(row).collect()
    }

    /// What language models find of the samples at `temperature` and at those of the sweep, by the bits
    /// of the temperature.
    fn spoken(&self, draws: &Draws<'_>, temperature: f32) -> Result<HashMap<u32, Spoken>> {
        if !self.judges.language_models() {
            return Ok(HashMap::new());
        }
        let mut temperatures = vec![temperature];
        temperatures.extend(self.config.sweep.iter().filter(|&&other| other != temperature));
        let drawn = temperatures.iter().map(|&at| draws.at(at)).collect::<Result<Vec<_>>>()?;
        let sets: Vec<&[Vec<u32>]> = drawn.iter().map(|drawn| &drawn.tokens[..]).collect();
        let spoken = self.judges.language(&sets)?;
        Ok(temperatures.into_iter().map(f32::to_bits).zip(spoken).collect())
    }

    /// Quality and diversity at each temperature of the sweep.
    fn sweep(
        &self,
        model: &Model,
        draws: &Draws<'_>,
        spoken: &HashMap<u32, Spoken>,
    ) -> Result<Sweep> {
        let EvaluateConfig { sweep: temperatures, batches, .. } = self.config;
        let exact = self.truth.map(Truth::exact);
        self.progress.status("quality against diversity");
        let mut at: Vec<Vec<Series>> = temperatures.iter().map(|_| Vec::new()).collect();
        if let Some(exact) = exact {
            at = exact.swept(&HeldOutSweep {
                model,
                temperatures,
                rows: self.texts(self.test),
                split: "test",
                likelihoods: &self.likelihoods(model),
                batches: *batches,
            })?;
        }
        let protocol = Protocol { tokens: self.tokens.to_owned(), drawn: SWEPT.to_owned() };
        let mut length = 0;
        for (&temperature, series) in temperatures.iter().zip(&mut at) {
            self.progress.status(&format!("quality against diversity, temperature {temperature}"));
            let drawn = draws.at(temperature)?;
            length = length.max(drawn.tokens.iter().map(Vec::len).max().unwrap_or(0));
            series.extend(quality::measure(&drawn.tokens, &self.real, &protocol, *batches));
            series.push(self.embedded.frechet(&drawn.tokens, self.tokens, SWEPT, *batches)?);
            let found = spoken.get(&temperature.to_bits());
            series.extend(found.into_iter().flat_map(|found| found.series(self.tokens, SWEPT)));
            if let Some(exact) = exact {
                series.extend(exact.samples(&self.samples(model, &drawn, SWEPT))?);
            }
            self.go_on()?;
        }
        let mut sweep = Sweep::of(temperatures, &at);
        sweep.published = exact.map_or(Vec::new(), |exact| exact.published(length));
        Ok(sweep)
    }

    pub fn samples<'a>(&'a self, model: &'a Model, drawn: &'a Drawn, how: &'a str) -> Samples<'a> {
        let (batches, real_lengths) = (self.config.batches, &self.real_lengths[..]);
        Samples { model, drawn, how, batches, real_lengths }
    }

    /// The mixture of labels that samples get.
    pub fn labels_for(&self, model: &Model) -> Labels<'_> {
        match (model.labels(), &self.labels[..]) {
            ([], _) => Labels::None,
            (_, []) => Labels::Uniform,
            (_, labels) => Labels::Rows(labels),
        }
    }

    pub fn check(&self, model: &Model) -> Result<()> {
        let size = model.generator().sizes().vocab;
        let rows = self.train.iter().chain(self.valid).chain(self.test);
        match rows.flat_map(|row| &row.tokens).max() {
            Some(&data) if data as usize >= size => {
                Err(Error::Vocabulary { folder: model.folder().to_owned(), model: size, data })
            }
            _ => Ok(()),
        }
    }

    fn likelihood(&self, model: &Model, split: &str, rows: &[TokenRow]) -> Result<Vec<Series>> {
        let config = self.config;
        let rows = self.texts(rows);
        let likelihoods = self.likelihoods(model);
        let likelihood = likelihoods.of(rows)?;
        let vectors = likelihoods.noise();
        let protocol = format!(
            "nll|nats-a-token|texts:{split}-{}|end-token:counted|noise-vectors:{vectors}|tokens:{}",
            rows.len(),
            self.tokens
        );
        let nll = likelihood.per_token();
        let nll_name = format!("{split}-nll");
        let mut series = vec![
            likelihood.series(&nll_name, &protocol, config.batches),
            Series::single(Measure::new(
                format!("{split}-perplexity"),
                nll.exp(),
                Better::Lower,
                &format!("exp({protocol})"),
            )),
        ];
        if let Some(truth) = self.truth {
            let (likelihood, likelihoods) = (&likelihood, &likelihoods);
            let batches = config.batches;
            let held_out = HeldOut { model, rows, split, likelihood, likelihoods, batches };
            series.extend(truth.exact().held_out(&held_out)?);
        }
        Ok(series)
    }

    fn likelihoods<'a>(&'a self, model: &'a Model) -> Likelihoods<'a> {
        Likelihoods {
            model,
            key: self.key.child("likelihood"),
            noise_vectors: self.config.noise_vectors,
            batches: self.config.batches,
            batch_size: self.config.batch_size,
            progress: self.progress,
        }
    }

    /// The texts of a split whose likelihood is measured.
    fn texts<'a>(&self, rows: &'a [TokenRow]) -> &'a [TokenRow] {
        &rows[..rows.len().min(self.config.likelihood_texts.unwrap_or(usize::MAX))]
    }

    /// As many sentences of the train split as there are samples, spread over it.
    pub fn training_text(&self) -> Result<Vec<Series>> {
        let rows = spread(&sentences(self.train), self.config.samples);
        let protocol =
            Protocol { tokens: self.tokens.to_owned(), drawn: "from:train-split".to_owned() };
        let mut series = quality::measure(&rows, &self.real, &protocol, self.config.batches);
        let (count, key) = (self.config.batches, self.key.child("clusters"));
        let drawn = &protocol.drawn;
        series.extend(self.embedded.measure(&rows, self.tokens, drawn, count, &key)?);
        // Real text against real text: where the splits differ, so do these.
        let spoken = self.judges.language(&[&rows])?;
        series.extend(spoken.iter().flat_map(|found| found.series(self.tokens, drawn)));
        series.extend(self.judges.classifier(&rows, self.tokens, drawn)?);
        Ok(series)
    }

    pub fn go_on(&self) -> Result<()> {
        if self.progress.stop_requested() { Err(Error::Interrupted) } else { Ok(()) }
    }
}
