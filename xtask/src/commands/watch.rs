//! `watch`: the report of a run, drawn anew while it goes on.

use anyhow::Result;
use std::path::PathBuf;
use textgan_artifact::RunDir;
use textgan_play::{Live, Site};
use textgan_report::Sources;

use super::serve;
use crate::args::Watch;
use crate::overview;
use crate::terminal::Terminal;

pub fn run(args: Watch, terminal: &Terminal) -> Result<()> {
    let path = overview::open(args.run)?.path().to_owned();
    #[cfg(feature = "tui")]
    if args.terminal {
        return super::dashboard::run(&path, terminal);
    }
    serve(Site::live(Page { run: path }), &args.at, "watch", terminal)
}

struct Page {
    run: PathBuf,
}

impl Page {
    fn sources(&self) -> Result<Sources> {
        Ok(Sources::of_live_run(&RunDir::open(&self.run)?)?)
    }
}

impl Live for Page {
    fn version(&self) -> String {
        self.sources().map_or_else(|error| error.to_string(), |sources| sources.version())
    }

    fn page(&self) -> Result<String, String> {
        let page = || Ok::<_, anyhow::Error>(textgan_report::render(&self.sources()?)?);
        page().map_err(|error| format!("{error:#}"))
    }
}
