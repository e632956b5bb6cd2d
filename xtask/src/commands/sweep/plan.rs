//! All runs of a sweep, each with its config checked, before anything is made.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use textgan_artifact::safe_join;
use textgan_train::BuiltIn;

use super::names;
use crate::config::{Assignment, CellOfSweep, Corpora, Draft, Loaded, PhaseKind, SweepFile};
use crate::exit::Refusal;

/// A sweep, resolved.
pub struct Plan<O = BuiltIn> {
    pub name: String,
    /// Where its runs are.
    pub folder: PathBuf,
    pub cells: Vec<Cell<O>>,
    /// The columns of the table; `None` for what the evaluations have.
    pub measures: Option<Vec<String>>,
    /// The cell that those are compared with which have no checkpoint of their own.
    pub baseline: Option<String>,
    /// How the published figures were measured.
    pub protocol: Option<String>,
    config: PathBuf,
    seeds: Vec<u64>,
    corpora: Corpora,
    set: Vec<Assignment>,
}

/// A setting, over seeds.
pub struct Cell<O> {
    pub name: String,
    /// Its config, where it is not that of the sweep.
    pub config: Option<PathBuf>,
    /// What it alone has.
    pub set: Vec<Assignment>,
    /// What others say that it measures.
    pub published: BTreeMap<String, f64>,
    pub runs: Vec<Run<O>>,
}

/// A setting with one seed.
pub struct Run<O> {
    /// Its folder, as seen from that of the sweep.
    pub name: String,
    pub seed: u64,
    pub folder: PathBuf,
    pub experiment: Loaded<O>,
}

impl<O: PhaseKind> Plan<O> {
    /// Reads the file of a sweep and the config that it varies.
    ///
    /// # Errors
    /// A [`Refusal`] that names what is wrong where, and in which cell.
    pub fn read(file: &Path, folder: Option<PathBuf>) -> Result<Self> {
        let sweep = SweepFile::read(file)?;
        let folder = folder.unwrap_or_else(|| Path::new("runs").join(&sweep.name));
        Self::new(sweep, folder).with_context(|| file.display().to_string())
    }

    fn new(sweep: SweepFile, folder: PathBuf) -> Result<Self> {
        if folder.join("lock").is_file() {
            let message = format!(
                "{} is a run, and no place for others; name a folder with --folder",
                folder.display()
            );
            return Err(Refusal::new(message).into());
        }
        let base = Draft::read(Some(&sweep.config))?;
        let settings = names::settings(&sweep)?;
        let mut seeds = sweep.seeds;
        let mut cells = Vec::new();
        let mut corpus = None;
        for CellOfSweep { name, config, set, published, .. } in settings {
            let within = || format!("cell {name}");
            let mut draft = match &config {
                Some(path) => Draft::read(Some(path)).with_context(within)?,
                None => base.clone(),
            };
            draft.lay(&sweep.set).and_then(|()| draft.lay(&set)).with_context(within)?;
            let loaded: Loaded<O> = draft.finish().with_context(within)?;
            if loaded.written.quick {
                let message = "`quick` is for one run: a table of tries would say nothing";
                return Err(Refusal::new(message)).with_context(within);
            }
            let seeds = seeds.get_or_insert_with(|| vec![loaded.config.seed]);
            // One corpus for all: that of the first cell, whatever config another one has.
            let corpus =
                *corpus.get_or_insert(loaded.config.corpus.seed.unwrap_or(loaded.config.seed));
            let corpus = (sweep.corpora == Corpora::Shared).then_some(corpus);
            let run = |&seed| run(&sweep.name, &folder, &name, seed, &loaded, corpus);
            let runs = seeds.iter().map(run).collect::<Result<_>>().with_context(within)?;
            cells.push(Cell { name, config, set, published, runs });
        }
        Ok(Self {
            name: sweep.name,
            folder,
            cells,
            measures: sweep.measures,
            baseline: sweep.baseline,
            protocol: sweep.protocol,
            config: sweep.config,
            seeds: seeds.unwrap_or_default(),
            corpora: sweep.corpora,
            set: sweep.set,
        })
    }

    /// All runs, cell by cell.
    pub fn runs(&self) -> impl Iterator<Item = &Run<O>> {
        self.cells.iter().flat_map(|cell| &cell.runs)
    }

    /// The file with nothing left to defaults, and each cell of its grid by itself.
    ///
    /// # Errors
    /// A number that JSON does not have.
    pub fn resolved(&self) -> Result<Value> {
        let cell = |cell: &Cell<O>| {
            let mut value = json!({ "name": cell.name, "set": object(&cell.set)? });
            if let Some(config) = &cell.config {
                value["config"] = json!(config);
            }
            Ok(value)
        };
        Ok(json!({
            "name": self.name,
            "config": self.config,
            "seeds": self.seeds,
            "corpora": self.corpora,
            "set": object(&self.set)?,
            "cells": self.cells.iter().map(cell).collect::<Result<Vec<_>>>()?,
            "measures": self.measures,
            "baseline": self.baseline,
            "protocol": self.protocol,
        }))
    }
}

/// One run of a cell whose config is `loaded`.
fn run<O: PhaseKind>(
    sweep: &str,
    folder: &Path,
    cell: &str,
    seed: u64,
    loaded: &Loaded<O>,
    corpus: Option<u64>,
) -> Result<Run<O>> {
    let mut config = loaded.config.clone();
    if let Some(seed) = corpus {
        config.corpus.seed.get_or_insert(seed);
    }
    config.seed = seed;
    config.validate()?;
    let title = format!("{sweep}: {cell}, seed {seed}");
    let name = format!("{cell}/seed-{seed}");
    let path = safe_join(folder, &name)?;
    let below = path.ancestors().take_while(|part| *part != folder);
    if let Some(link) = below.into_iter().find(|part| part.is_symlink()) {
        return Err(Refusal::new(format!("{} is a symbolic link", link.display())).into());
    }
    Ok(Run { name, seed, folder: path, experiment: Loaded::new(title, config) })
}

fn object(set: &[Assignment]) -> Result<Map<String, Value>> {
    set.iter().map(|assignment| Ok((assignment.key.clone(), assignment.json()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "seed = 7\ncorpus.sources = { kind = 'synthetic', documents = 30 }\n\
                        generator.kind = 'lstm'\nphase = [{ kind = 'maximum-likelihood', steps = 1 }]\n";

    fn plan(text: &str) -> Result<Plan> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("base.toml"), BASE)?;
        let file = folder.path().join("s.toml");
        std::fs::write(&file, format!("config = 'base.toml'\n{text}"))?;
        Plan::read(&file, None)
    }

    fn seeds(plan: &Plan) -> Vec<(u64, Option<u64>)> {
        let configs = plan.runs().map(|run| &run.experiment.config);
        configs.map(|config| (config.seed, config.corpus.seed)).collect()
    }

    #[test]
    fn seeds_share_a_corpus_unless_the_sweep_says_otherwise() {
        for (text, expect) in [
            ("", &[(7, Some(7))][..]),
            ("seeds = [1, 2]", &[(1, Some(7)), (2, Some(7))]),
            ("seeds = [1, 2]\nset = { 'corpus.seed' = 3 }", &[(1, Some(3)), (2, Some(3))]),
            ("seeds = [1, 2]\ncorpora = 'of-each-seed'", &[(1, None), (2, None)]),
        ] {
            assert_eq!(seeds(&plan(text).unwrap()), expect, "{text}");
        }
    }

    #[test]
    fn a_cell_has_what_all_have_and_what_it_alone_has() {
        let plan = plan(
            "seeds = [1, 2]\n[set]\ngenerator = { hidden = 20 }\n'noise.dimension' = 3\n\
             [grid]\n'noise.dimension' = [4, 5]\n\
             [[cell]]\nname = 'other'\nset = { generator = { kind = 'transformer', width = 8 } }\n",
        )
        .unwrap();
        let runs: Vec<&str> = plan.runs().map(|run| run.name.as_str()).collect();
        assert_eq!(runs[..2], ["dimension=4/seed-1", "dimension=4/seed-2"]);
        assert_eq!(runs[2..4], ["dimension=5/seed-1", "dimension=5/seed-2"]);
        assert_eq!(runs[4..], ["other/seed-1", "other/seed-2"]);
        let run = plan.runs().next().unwrap();
        assert_eq!(run.folder, Path::new("runs/s/dimension=4/seed-1"));
        let configs = |index: usize| {
            let config = &plan.cells[index].runs[0].experiment.config;
            (config.noise.dimension, serde_json::to_value(&config.generator).unwrap())
        };
        let (dimension, generator) = configs(0);
        assert_eq!((dimension, &generator["hidden"]), (4, &json!(20)));
        assert_eq!(configs(1).0, 5);
        // Another kind drops what belongs to the one before.
        let (dimension, generator) = configs(2);
        assert_eq!((dimension, &generator["width"]), (3, &json!(8)));
        let resolved = plan.resolved().unwrap();
        assert_eq!(resolved["seeds"], json!([1, 2]));
        assert_eq!(resolved["cells"][1]["set"], json!({ "noise.dimension": 5 }));
        assert_eq!(resolved["set"]["generator"], json!({ "hidden": 20 }));
    }

    #[test]
    fn the_examples_can_be_planned() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
        for folder in ["sweeps", "benchmarks"] {
            for file in std::fs::read_dir(configs.join(folder)).unwrap() {
                let plan: Plan = Plan::read(&file.unwrap().path(), None).unwrap();
                assert!(plan.runs().count() > 0, "{}", plan.name);
            }
        }
    }
}
