use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use textgan_artifact::table::{TokenRow, read_split};
use textgan_artifact::{Progress, write_atomic};
use textgan_generate::{Drawn, Labels, Model, Options};
use textgan_metrics::References;
use textgan_random::Key;
use textgan_tokenizer::{Statistics, Tokenizer};

use crate::draws::Draws;
use crate::embedded::Embedded;
use crate::embedder::Embedder;
use crate::evaluation::{
    Better, Choice, ControlScores, Evaluation, Measure, SWEPT, Scores, ShownText, Sweep,
};
use crate::exact::{HeldOut, HeldOutSweep, Samples};
use crate::judged::{Judges, Splits, Spoken};
use crate::likelihood::Likelihoods;
use crate::memorisation::{Audit, Auditor, Found};
use crate::quality::{self, MOST_TOKENS, Protocol, Real};
use crate::series::{Series, changes, shares_of_lengths};
use crate::verdict::{Duel, Judgement, Pairing, judge};
use crate::{Decoding, Error, EvaluateConfig, Result, Truth, summary, temperature};

/// Version of the layout of `evaluation.json`.
const FORMAT: u32 = 4;

/// What is evaluated, and against what.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// Folder of the trained model.
    pub model: &'a Path,
    /// Folder of the discriminator that chooses its samples, where there are candidates.
    pub discriminator: Option<&'a Path>,
    /// Folder of the maximum-likelihood checkpoint to compare with.
    pub baseline: Option<&'a Path>,
    /// Folders of generators that other means made of that checkpoint, by name.
    pub controls: &'a [(String, PathBuf)],
    /// Whether the checkpoint had learned all that its likelihood had to give, where that was measured.
    pub converged: Option<bool>,
    /// Folder of the tokenize stage: the three splits and `stats.json`.
    pub tokens: &'a Path,
    /// The distribution that the corpus was drawn from, where it is known.
    pub truth: Option<Truth<'a>>,
}

/// Names the random streams of the texts that [`evaluate`] scores, of its own key: whoever draws from it with
/// the labels of the training text, over and over, gets the same texts.
pub fn samples_key(key: &Key) -> Key {
    key.child("samples")
}

/// Measures `inputs` and writes `evaluation.json` into `out`, a folder that exists; a table of the
/// main numbers goes to `progress`.
///
/// Both models are measured with the same noise vectors and random streams, all named by `key`.
///
/// # Errors
/// [`Error::Config`] when the configuration cannot work, [`Error::Vocabulary`] when model and data
/// do not belong together, [`Error::Interrupted`] when `progress` asks to stop, and those of
/// reading, sampling and writing.
pub fn evaluate(
    inputs: &Inputs<'_>,
    config: &EvaluateConfig,
    key: &Key,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Evaluation> {
    config.validate()?;
    let writer = Writer::of(inputs, config)?;
    let data = Data::read(inputs.tokens)?;
    let test = sentences(&data.test);
    let train: Vec<&[u32]> = data.train.iter().map(|row| row.tokens.as_slice()).collect();
    let copies: HashSet<&[u32]> = train.iter().copied().collect();
    progress.begin("evaluating the held-out text", None);
    let tokenizer = Tokenizer::load(inputs.tokens.join("tokenizer.json"))?;
    let embedder = Embedder::new(config.encoder.as_deref(), &tokenizer)?;
    let embedded = Embedded::new(embedder, &test, "test", config.embedded_texts)?;
    let vocab = tokenizer.vocab_size();
    let auditor = Auditor::new(&train, &copies, tokenizer, &data.tokens, config.batches)?;
    let held_out = auditor.audit(&spread(&test, config.audited_texts), "split:test")?;
    let (training, validation) = (sentences(&data.train), sentences(&data.valid));
    let longest = training.iter().chain(&validation).chain(&test).map(Vec::len).max().unwrap_or(1);
    let splits = Splits { train: &training, valid: &validation, test: &test };
    let judges = Judges::new(config, splits, (vocab, longest), key.child("judges"), progress)?;
    progress.finish();
    let bench = Bench {
        config,
        key,
        progress,
        truth: inputs.truth,
        tokens: &data.tokens,
        tokenizer: auditor.tokenizer(),
        train: &data.train,
        valid: &data.valid,
        test: &data.test,
        real: Real { references: References::new(&test, MOST_TOKENS)?, train: &copies },
        embedded,
        judges: &judges,
        auditor: &auditor,
        held_out: &held_out,
        validation: &validation,
        real_lengths: shares_of_lengths(&test),
        labels: data.train.iter().filter_map(|row| row.label).collect(),
    };

    bench.warn();
    let model = bench.measure("the trained model", writer)?;
    // Where a discriminator chooses and has taught nobody, the generator alone is what it is compared with.
    let alone =
        inputs.baseline.or((config.candidates > 1).then_some(inputs.model)).map(Writer::alone);
    let baseline = match alone {
        Some(alone) => Some(bench.measure("the maximum-likelihood checkpoint", alone)?),
        None => None,
    };
    let controls = match (alone, &config.sweep[..]) {
        (Some(alone), [_, _, ..]) => bench.controls(writer, alone, inputs.controls)?,
        _ => Vec::new(),
    };
    let judgement = match &baseline {
        Some(baseline) => bench.judge(&model, baseline, &controls, inputs.converged)?,
        None => None,
    };
    let evaluation = Evaluation {
        format: FORMAT,
        tokens: data.tokens.clone(),
        changes: match &baseline {
            Some(baseline) => changes(&model.series, &baseline.series)?,
            None => Vec::new(),
        },
        controls,
        judgement,
        texts: bench.shown(&model, baseline.as_ref())?,
        model: model.scores(),
        baseline: baseline.map(Measured::scores),
        training_text: measures(bench.training_text()?),
        held_out: Some(held_out.memorisation.clone()),
    };
    let mut bytes = serde_json::to_vec_pretty(&evaluation).map_err(Error::Json)?;
    bytes.push(b'\n');
    write_atomic(out.join("evaluation.json"), &bytes)?;
    for line in summary::table(&evaluation) {
        progress.message(&line);
    }
    Ok(evaluation)
}

/// Texts on the way between two noise vectors, both ends included.
const STEPS: usize = 11;
/// Texts that are shown to a reader.
const SHOWN: usize = 24;
/// The most ways that are walked.
const MOST_WALKS: usize = 50;

/// The share of the words of the longer of two texts that are not in their place: Levenshtein's distance over its
/// length.
fn changed(a: &[u32], b: &[u32]) -> f64 {
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (row, x) in a.iter().enumerate() {
        let mut left = row + 1;
        let mut corner = std::mem::replace(&mut above[0], left);
        for (y, cell) in b.iter().zip(&mut above[1..]) {
            left = (corner + usize::from(x != y)).min(left + 1).min(*cell + 1);
            corner = std::mem::replace(cell, left);
        }
    }
    above[b.len()] as f64 / a.len().max(b.len()).max(1) as f64
}

/// A generator, and who chooses among its samples.
#[derive(Clone, Copy)]
struct Writer<'a> {
    model: &'a Path,
    discriminator: Option<&'a Path>,
    candidates: usize,
}

impl<'a> Writer<'a> {
    /// The model as it is configured.
    fn of(inputs: &Inputs<'a>, config: &EvaluateConfig) -> Result<Self> {
        let EvaluateConfig { candidates, .. } = *config;
        if candidates > 1 && inputs.discriminator.is_none() {
            let message =
                "there is no discriminator to choose by: the run has trained none; leave it out";
            return Err(Error::Config { key: "candidates", message: message.to_owned() });
        }
        let discriminator = inputs.discriminator.filter(|_| candidates > 1);
        Ok(Self { model: inputs.model, discriminator, candidates })
    }

    fn alone(model: &'a Path) -> Self {
        Self { model, discriminator: None, candidates: 1 }
    }

    /// How its samples are drawn, for protocols.
    fn told(self, drawn: String) -> String {
        match self.candidates {
            1 => drawn,
            candidates => format!("{drawn}|chosen-of:{candidates}"),
        }
    }

    fn load(self) -> Result<Model> {
        let model = Model::load(self.model)?;
        match self.discriminator {
            Some(folder) => Ok(model.with_discriminator(folder)?),
            None => Ok(model),
        }
    }
}

/// The splits of a tokenize stage.
struct Data {
    train: Vec<TokenRow>,
    valid: Vec<TokenRow>,
    test: Vec<TokenRow>,
    /// What a token is, such as `word-4704`.
    tokens: String,
}

impl Data {
    fn read(folder: &Path) -> Result<Self> {
        let split = |split| {
            let rows: Vec<TokenRow> = read_split(folder, split)?;
            if rows.is_empty() {
                return Err(Error::EmptySplit { folder: folder.to_owned(), split });
            }
            Ok(rows)
        };
        let statistics = Statistics::load(folder)?;
        Ok(Self {
            train: split("train")?,
            valid: split("valid")?,
            test: split("test")?,
            tokens: format!("{}-{}", statistics.vocabulary.kind, statistics.vocabulary.size),
        })
    }
}

fn sentences(rows: &[TokenRow]) -> Vec<Vec<u32>> {
    rows.iter().map(|row| row.tokens.clone()).collect()
}

/// At most `count` texts, spread over all.
fn spread(texts: &[Vec<u32>], count: usize) -> Vec<Vec<u32>> {
    let count = count.min(texts.len());
    (0..count).map(|i| texts[i * texts.len() / count].clone()).collect()
}

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

fn measures(series: Vec<Series>) -> Vec<Measure> {
    series.into_iter().map(|series| series.measure).collect()
}

/// What was found of one model.
struct Measured {
    choice: Choice,
    series: Vec<Series>,
    sweep: Option<Sweep>,
    audit: Audit,
    /// The first of its texts, and their labels.
    shown: Vec<(Option<String>, String)>,
}

impl Measured {
    fn scores(self) -> Scores {
        Scores {
            temperature: self.choice,
            measures: measures(self.series),
            sweep: self.sweep,
            memorisation: Some(self.audit),
        }
    }
}

/// Everything that each model is measured with.
struct Bench<'a> {
    config: &'a EvaluateConfig,
    key: &'a Key,
    progress: &'a dyn Progress,
    truth: Option<Truth<'a>>,
    tokens: &'a str,
    tokenizer: &'a Tokenizer,
    train: &'a [TokenRow],
    valid: &'a [TokenRow],
    test: &'a [TokenRow],
    real: Real<'a>,
    embedded: Embedded,
    judges: &'a Judges<'a>,
    auditor: &'a Auditor<'a>,
    /// The audit of the test split.
    held_out: &'a Found,
    validation: &'a [Vec<u32>],
    /// The share of the test split that has each number of tokens.
    real_lengths: Vec<f64>,
    /// Labels of the train split: samples get the same mixture.
    labels: Vec<u32>,
}

/// Fewer real texts than this leave measures that compare with them with next to nothing to say.
const FEW_TEXTS: usize = 200;
/// A share of unknown words above which scores speak of something else than the text.
const MANY_UNKNOWN: f64 = 0.01;

impl Bench<'_> {
    /// Says what makes numbers say less than they seem to.
    fn warn(&self) {
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

    fn measure(&self, name: &str, writer: Writer<'_>) -> Result<Measured> {
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
    fn shown(&self, model: &Measured, baseline: Option<&Measured>) -> Result<Vec<ShownText>> {
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

    /// The curves of what a claim must beat, besides the baseline's own.
    fn controls(
        &self,
        model: Writer<'_>,
        baseline: Writer<'_>,
        folders: &[(String, PathBuf)],
    ) -> Result<Vec<ControlScores>> {
        let mut controls = Vec::new();
        for (name, folder) in folders {
            self.progress.begin(&format!("evaluating the control {name}"), None);
            let model = Model::load(folder)?;
            self.check(&model)?;
            let labels = self.labels_for(&model);
            let draws = Draws::new(&model, labels, samples_key(self.key), self.config);
            let mut at = Vec::new();
            for &temperature in &self.config.sweep {
                at.push((temperature, draws.at(temperature)?.as_ref().clone()));
            }
            let sweep = self.curve(&model, "temperature", &at)?;
            controls.push(ControlScores { name: name.clone(), sweep, model: None });
            self.progress.finish();
        }
        for &decoding in &self.config.controls {
            let name = decoding.name();
            self.progress.begin(&format!("evaluating the control {name}"), None);
            let baseline = self.decoded(decoding, baseline)?;
            let model = self.decoded(decoding, model)?;
            let name = name.to_owned();
            controls.push(ControlScores { name, sweep: baseline, model: Some(model) });
            self.progress.finish();
        }
        Ok(controls)
    }

    /// The curve of a generator whose samples are decoded in another way.
    fn decoded(&self, decoding: Decoding, writer: Writer<'_>) -> Result<Sweep> {
        let model = writer.load()?;
        let labels = self.labels_for(&model);
        let key = samples_key(self.key);
        let at = decoding.draw(&model, writer.candidates, labels, &key, self.config)?;
        self.curve(&model, decoding.parameter(), &at)
    }

    /// Quality and diversity of samples that were drawn at some values of a knob.
    fn curve(&self, model: &Model, parameter: &str, at: &[(f32, Drawn)]) -> Result<Sweep> {
        let drawn = format!("{parameter}:swept");
        let protocol = Protocol { tokens: self.tokens.to_owned(), drawn: drawn.clone() };
        let batches = self.config.batches;
        let mut found = Vec::new();
        for (_, samples) in at {
            let mut series = quality::measure(&samples.tokens, &self.real, &protocol, batches);
            if let Some(exact) = self.truth.map(Truth::exact) {
                series.extend(exact.samples(&self.samples(model, samples, &drawn))?);
            }
            found.push(series);
            self.go_on()?;
        }
        let values: Vec<f32> = at.iter().map(|(value, _)| *value).collect();
        Ok(Sweep { parameter: parameter.to_owned(), ..Sweep::of(&values, &found) })
    }

    /// Whether the model is better than its baseline at any temperature and than every control.
    fn judge(
        &self,
        model: &Measured,
        baseline: &Measured,
        controls: &[ControlScores],
        converged: Option<bool>,
    ) -> Result<Option<Judgement>> {
        let (Some(ours), Some(theirs)) = (&model.sweep, &baseline.sweep) else { return Ok(None) };
        if self.config.sweep.len() < 2 || self.config.verdict.is_empty() {
            return Ok(None);
        }
        let rival = |name: &str, model, sweep| Duel {
            name: name.to_owned(),
            model: vec![model],
            rival: vec![sweep],
            // Both sides have the same noise and streams.
            pairing: Pairing::Paired,
        };
        let mut duels = vec![rival("temperature", ours, theirs)];
        duels.extend(controls.iter().map(|control| {
            rival(&control.name, control.model.as_ref().unwrap_or(ours), &control.sweep)
        }));
        judge(&duels, &self.config.verdict, converged).map(Some)
    }

    fn samples<'a>(&'a self, model: &'a Model, drawn: &'a Drawn, how: &'a str) -> Samples<'a> {
        let (batches, real_lengths) = (self.config.batches, &self.real_lengths[..]);
        Samples { model, drawn, how, batches, real_lengths }
    }

    /// The mixture of labels that samples get.
    fn labels_for(&self, model: &Model) -> Labels<'_> {
        match (model.labels(), &self.labels[..]) {
            ([], _) => Labels::None,
            (_, []) => Labels::Uniform,
            (_, labels) => Labels::Rows(labels),
        }
    }

    fn check(&self, model: &Model) -> Result<()> {
        let size = model.generator().sizes().vocab;
        let rows = self.train.iter().chain(self.valid).chain(self.test);
        match rows.flat_map(|row| &row.tokens).max() {
            Some(&data) if data as usize >= size => {
                Err(Error::Vocabulary { folder: model.folder().to_owned(), model: size, data })
            }
            _ => Ok(()),
        }
    }

    /// The most probable text of each of many noise vectors: whether the noise matters.
    fn greedy(&self, model: &Model, labels: Labels) -> Result<Vec<Series>> {
        let config = self.config;
        let options = Options { greedy: true, batch_size: config.batch_size, ..Options::default() };
        let drawn = model.draw(&options, labels, &self.key.child("greedy"), config.greedy_texts)?;
        let distinct: HashSet<&[u32]> = drawn.tokens.iter().map(Vec::as_slice).collect();
        let share = distinct.len() as f64 / drawn.tokens.len() as f64;
        let protocol =
            format!("distinct-greedy|noise-vectors:{}|tokens:{}", config.greedy_texts, self.tokens);
        let mut series =
            vec![Series::single(Measure::new("distinct-greedy", share, Better::Higher, &protocol))];
        if model.generator().noise().dimension > 0 && config.greedy_texts > 1 {
            series.push(self.interpolated(model)?);
        }
        if let Some(truth) = self.truth {
            series.extend(truth.exact().greedy(&self.samples(model, &drawn, "greedy"))?);
        }
        Ok(series)
    }

    /// How smoothly the most probable text follows the noise: the share of its words that change from one of
    /// [`STEPS`] texts to the next on the way between two noise vectors, mean over steps and over pairs; of the first
    /// label where there are labels. Little is smooth, and nothing at all is noise that does not matter.
    fn interpolated(&self, model: &Model) -> Result<Series> {
        let pairs = (self.config.greedy_texts / 2).min(MOST_WALKS);
        let key = self.key.child("greedy");
        let mut changes = Vec::with_capacity(pairs * (STEPS - 1));
        for pair in 0..pairs as u64 {
            let options = Options::default();
            let walk = model.interpolate(2 * pair, 2 * pair + 1, STEPS, &options, &key)?;
            changes.extend(walk.windows(2).map(|pair| changed(&pair[0].tokens, &pair[1].tokens)));
        }
        let mean = changes.iter().sum::<f64>() / changes.len() as f64;
        let protocol = format!(
            "interpolation-change|walks:{pairs}|texts-a-walk:{STEPS}|label:first|tokens:{}",
            self.tokens
        );
        Ok(Series::single(Measure::new("interpolation-change", mean, Better::Neither, &protocol)))
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
    fn training_text(&self) -> Result<Vec<Series>> {
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

    fn go_on(&self) -> Result<()> {
        if self.progress.stop_requested() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::changed;

    #[test]
    fn changes_are_counted_in_words() {
        for (a, b, expected) in [
            (&[][..], &[][..], 0.0),
            (&[1, 2, 3], &[1, 2, 3], 0.0),
            (&[1, 2, 3, 4], &[1, 9, 3, 4], 0.25),
            (&[1, 2, 3, 4], &[2, 3, 4], 0.25),
            (&[1, 2], &[3, 4, 5, 6], 1.0),
            (&[], &[7, 8], 1.0),
            (&[4, 1, 2, 3], &[1, 2, 3, 4], 0.5),
        ] {
            assert_eq!(changed(a, b), expected, "{a:?} {b:?}");
            assert_eq!(changed(b, a), expected, "{b:?} {a:?}");
        }
    }
}
