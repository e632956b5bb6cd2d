//! `generate`: texts from a trained generator.

use anyhow::Result;
use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::path::Path;
use textgan_artifact::table::{Sample, TableWriter};
use textgan_generate::{Model, Options};

use crate::args::Generate;
use crate::exit::Refusal;
use crate::stages::Drawing;
use crate::terminal::{Terminal, one_line};
use crate::trained::Trained;

/// Texts of an interpolation, both ends included, where no count is given.
const STEPS: usize = 9;

pub fn run(args: Generate, terminal: &Terminal) -> Result<()> {
    write(args, terminal).map_err(|error| match error.downcast_ref() {
        // What does not go with the model is wrong with the command line.
        Some(textgan_generate::Error::Option { key, message }) => {
            Refusal::new(format!("--{}: {message}", key.replace('_', "-"))).into()
        }
        _ => error,
    })
}

fn write(args: Generate, terminal: &Terminal) -> Result<()> {
    let (model, drawing) = source(&args)?;
    let configured = drawing.as_ref().map(|drawing| drawing.options.clone()).unwrap_or_default();
    let options = options(&args, Options { count: Options::default().count, ..configured });
    options.validate().map_err(Refusal::new)?;
    if options.count == 0 {
        return Err(Refusal::new("--count 0 asks for nothing: give at least 1").into());
    }
    let labels = match &drawing {
        Some(drawing) if options.label.is_none() => drawing.labels(&model),
        _ => model.chosen_labels(&options)?,
    };
    let key = options.key(drawing.as_ref().map(|drawing| &drawing.key));
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
        let made = model.generate_batches(&options, labels, &key, terminal, |batch| {
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

/// The model that is asked for, and how its run draws texts.
fn source(args: &Generate) -> Result<(Model, Option<Drawing>)> {
    let own = |model: Model| -> Result<Model> {
        match &args.discriminator {
            Some(folder) => {
                check_folder("--discriminator", folder)?;
                Ok(model.with_discriminator(folder)?)
            }
            None => Ok(model),
        }
    };
    if let Some(folder) = &args.model {
        check_folder("--model", folder)?;
        return Ok((own(Model::load(folder)?)?, None));
    }
    let trained = Trained::of(&args.run)?;
    let mut model = Model::load(trained.model())?;
    if let Some(step) = args.step {
        model = model.with_weights(trained.step(step)?)?;
    }
    let model = match args.discriminator {
        Some(_) => own(model)?,
        None => trained.judged(model)?,
    };
    let drawing = trained.drawing(&model)?;
    Ok((model, Some(drawing)))
}

fn check_folder(option: &str, folder: &Path) -> Result<(), Refusal> {
    match folder.is_dir() {
        true => Ok(()),
        false => {
            Err(Refusal::new(format!("{option} {}: there is no such folder", folder.display())))
        }
    }
}

fn options(args: &Generate, base: Options) -> Options {
    Options {
        count: args.count.unwrap_or(base.count),
        seed: args.seed.or(base.seed),
        temperature: args.temperature.or(base.temperature),
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
