//! A page to play with a generator.
//!
//! `cargo run -p textgan-play --example play -- MODEL [DISCRIMINATOR]`, two folders that a training left; Ctrl-C
//! ends it. Without arguments it says so and ends.

use std::path::PathBuf;
use textgan_generate::Model;
use textgan_play::{Playground, Server, Settings, Site};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<PathBuf> = std::env::args().skip(1).map(PathBuf::from).collect();
    let (model, discriminator) = match arguments.as_slice() {
        [model, rest @ ..] if rest.len() < 2 => (model.clone(), rest.first().cloned()),
        _ => {
            println!("usage: play MODEL [DISCRIMINATOR]");
            return Ok(());
        }
    };
    let load = move |_: &str| {
        let model = Model::load(&model)?;
        Ok(match &discriminator {
            Some(folder) => model.with_discriminator(folder)?,
            None => model,
        })
    };
    let playground = Playground::new("a generator", load).with_model("model", "The model");
    let server = Server::bind(Site::playground(playground), &Settings::default())?;
    println!("open {}", server.url());
    Ok(server.run(|| false)?)
}
