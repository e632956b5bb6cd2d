//! `generate`: texts from a trained generator.

use anyhow::Result;
use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::path::PathBuf;
use textgan_artifact::table::{Sample, TableWriter};
use textgan_artifact::{HashCache, Manifest, RunDir};
use textgan_generate::{Model, Options};
use textgan_random::Key;

use crate::args::Generate;
use crate::config;
use crate::exit::Refusal;
use crate::terminal::{Terminal, one_line};

/// Texts of an interpolation, both ends included, where no count is given.
const STEPS: usize = 9;

pub fn run(args: Generate, terminal: &Terminal) -> Result<()> {
    let source = Source::of(&args)?;
    let mut model = Model::load(&source.model)?;
    if let Some(folder) = &source.discriminator {
        model = model.with_discriminator(folder)?;
    }
    let options = options(&args, source.options);
    options.validate().map_err(Refusal::new)?;
    if options.count == 0 {
        return Err(Refusal::new("--count 0 asks for nothing: give at least 1").into());
    }
    if let Some(label) = &options.label
        && !model.labels().contains(label)
    {
        let known = model.labels().join("`, `");
        let message = match model.labels().is_empty() {
            true => format!("--label {label}: this model has no labels"),
            false => format!("--label {label}: the model's labels are `{known}`"),
        };
        return Err(Refusal::new(message).into());
    }
    let key = options.key(source.key.as_ref());
    let mut table = args.parquet.as_ref().map(TableWriter::<Sample>::create).transpose()?;
    let mut output = BufWriter::new(stdout().lock());

    let mut failure = None;
    let mut print = |samples: Vec<Sample>| -> Result<()> {
        for sample in &samples {
            if args.json {
                let line = serde_json::json!({
                    "id": sample.id,
                    "text": sample.text,
                    "label": sample.label.and_then(|id| model.labels().get(id as usize)),
                    "log_prob": sample.log_prob,
                    "realness": sample.realness,
                });
                writeln!(output, "{line}")?;
            } else {
                let text = sample.text.replace('\n', "\\n");
                // A model of bytes may write codes that a terminal obeys.
                let text = if stdout().is_terminal() { one_line(&text) } else { text };
                writeln!(output, "{text}")?;
            }
        }
        match &mut table {
            Some(table) => Ok(table.write(&samples)?),
            None => Ok(()),
        }
    };
    if let Some([from, to]) = args.interpolate.as_deref() {
        let steps = args.count.unwrap_or(STEPS);
        print(model.interpolate(*from, *to, steps, &options, &key)?)?;
    } else {
        let made = model.generate_batches(&options, &key, terminal, |batch| {
            print(batch).map_err(|error| {
                failure = Some(error);
                textgan_generate::Error::Interrupted
            })
        });
        // What stopped the printing says more than that it was stopped.
        match failure {
            Some(error) => return Err(error),
            None => made?,
        }
    }
    output.flush()?;
    drop(output);
    if let Some(table) = table {
        table.finish()?;
    }
    Ok(())
}

/// Where the model comes from, and what its run says of generating.
struct Source {
    model: PathBuf,
    discriminator: Option<PathBuf>,
    options: Options,
    key: Option<Key>,
}

impl Source {
    fn of(args: &Generate) -> Result<Self> {
        let discriminator = args.discriminator.clone();
        if let Some(model) = args.model.clone() {
            return Ok(Self { model, discriminator, options: Options::default(), key: None });
        }
        let run = RunDir::open(&args.run)?;
        let train = run.stage_dir("train")?;
        let own = Some(train.join("discriminator")).filter(|folder| folder.is_dir());
        let trained = Manifest::read(&train)?;
        trained.verify_cached(&train, &mut HashCache::load(run.join("hashes.json")?))?;
        // What the run itself generated with says most, if it is of this model.
        let generated = Manifest::read(&run.stage_dir("generate")?).ok().filter(|generated| {
            let file = "model/model.safetensors";
            let read = generated.inputs.get(&format!("train/{file}"));
            read == trained.files.get(file).map(|entry| &entry.hash)
        });
        let config =
            config::of_stage::<serde_json::Value>(&run, generated.as_ref().unwrap_or(&trained))?
                .config;
        Ok(Self {
            model: train.join("model"),
            discriminator: discriminator.or(own),
            options: Options { count: Options::default().count, ..config.generate },
            key: Some(Key::root(config.seed).child("generate")),
        })
    }
}

fn options(args: &Generate, base: Options) -> Options {
    Options {
        count: args.count.unwrap_or(base.count),
        seed: args.seed.or(base.seed),
        temperature: args.temperature.unwrap_or(base.temperature),
        top_k: args.top_k.or(base.top_k),
        top_p: args.top_p.or(base.top_p),
        min_p: args.min_p.or(base.min_p),
        greedy: args.greedy || base.greedy,
        max_length: args.max_length.or(base.max_length),
        label: args.label.clone().or(base.label),
        prompt: args.prompt.clone().or(base.prompt),
        candidates: args.candidates.unwrap_or(base.candidates),
        ..base
    }
}
