//! Faults that the first build had, one test a kind: work lost, text lost, numbers that say more than they
//! know.

mod custody;
mod ease;
mod text;

use std::fs;

use crate::program::{Program, Said};

const TINY: [&str; 5] = ["pipeline", "--config", "tiny.toml", "--run", "run"];

fn tiny(program: &Program, arguments: &[&str]) -> Said {
    program.run(&[&TINY[..], arguments].concat())
}

fn sources(path: &str, keys: &str) -> String {
    format!("corpus.sources=[{{ kind = 'files', path = '{path}'{keys} }}]")
}

/// What ingesting a file of that name says.
fn ingested(program: &Program, name: &str, keys: &str, arguments: &[&str]) -> Said {
    let set = sources(name, keys);
    tiny(program, &[&["--set", &set, "--until", "ingest"], arguments].concat())
}

fn weights(program: &Program, run: &str) -> Vec<u8> {
    fs::read(program.path(run).join("train/model/model.safetensors")).unwrap()
}
