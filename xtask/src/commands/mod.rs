//! The commands, one file each.

mod bench;
mod ci;
mod compare;
mod completions;
mod config;
#[cfg(feature = "tui")]
mod dashboard;
mod export;
mod fuzz;
mod generate;
mod ingest;
mod list;
mod new;
mod pipeline;
#[cfg(feature = "play")]
mod play;
mod reproduce;
mod score;
mod show;
mod stage;
mod sweep;
mod test;
#[cfg(feature = "play")]
mod watch;

use anyhow::{Context, Result};

use crate::args::{Cli, Command};
use crate::config::PhaseKind;
use crate::exit::{Interrupted, Refusal};
use crate::signals::Signals;
use crate::stages;
use crate::team;
use crate::terminal::Terminal;

/// Does what the command line asks for.
///
/// # Errors
/// See [`crate::exit`].
pub fn run<O: PhaseKind>(cli: Cli) -> Result<()> {
    if let Some(threads) = cli.threads {
        if threads == 0 {
            return Err(Refusal::new("--threads 0: give at least 1").into());
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global().context("cannot start the threads")?;
    }
    if !cli.command.is_shared() {
        team::alone()?;
    }
    let signals = Signals::listen().context("cannot listen for signals")?;
    let terminal = Terminal::new(signals, cli.quiet);
    let result = match cli.command {
        Command::Pipeline(args) => pipeline::run::<O>(args, &terminal),
        Command::New(args) => new::run(args, &terminal),
        Command::Sweep(args) => sweep::run::<O>(args, cli.threads, &terminal),
        Command::Reproduce(args) => reproduce::run::<O>(args, cli.threads, &terminal),
        Command::Ingest(args) => ingest::run::<O>(args, &terminal),
        Command::Tokenize(args) => stage::run::<O>(stages::TOKENIZE, args, &terminal),
        Command::Train(args) => stage::run::<O>(stages::TRAIN, args, &terminal),
        Command::Evaluate(args) => stage::run::<O>(stages::EVALUATE, args, &terminal),
        Command::Report(args) => stage::run::<O>(stages::REPORT, args, &terminal),
        Command::Generate(args) => generate::run(*args, &terminal),
        #[cfg(feature = "play")]
        Command::Play(args) => play::run(args, &terminal),
        #[cfg(feature = "play")]
        Command::Watch(args) => watch::run(args, &terminal),
        Command::Score(args) => score::run(args, &terminal),
        Command::Compare(args) => compare::run(args),
        Command::Export(args) => export::run(args),
        Command::Completions(args) => completions::run(args),
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Config(args) => config::run::<O>(args),
        Command::Test(args) => test::run(args),
        Command::Ci => ci::run(),
        Command::Bench(args) => bench::run(args),
        Command::Fuzz(args) => fuzz::run(args),
    };
    textgan_artifact::Progress::finish(&terminal);
    // Whatever a stage says when it is asked to stop, it did stop because it was asked to.
    match (result, terminal.stopped_by()) {
        (Err(error), Some(signal)) => {
            Err(Interrupted { signal, message: format!("{error:#}") }.into())
        }
        (result, _) => result,
    }
}

/// Serves a site until it is asked to stop, which is how it ends well.
#[cfg(feature = "play")]
fn serve(
    site: textgan_play::Site,
    at: &crate::args::Address,
    what: &str,
    terminal: &Terminal,
) -> Result<()> {
    use textgan_artifact::Progress;
    let mut settings = textgan_play::Settings::at((at.address, at.port).into());
    settings.token = at.token.clone();
    let server = textgan_play::Server::bind(site, &settings)?;
    let message = format!("{what}: open {} (Ctrl-C ends it)\n", server.url());
    std::io::Write::write_all(&mut std::io::stdout(), message.as_bytes())?;
    server.run(|| terminal.stop_requested())?;
    Ok(())
}
