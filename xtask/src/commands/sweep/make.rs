//! Brings the runs of a sweep up to date, several at once.

use anyhow::{Context, Result};
use rayon::ThreadPool;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;
use textgan_artifact::{ALONE, Progress};

use super::plan::{Plan, Run};
use crate::commands::pipeline::write_config;
use crate::config::PhaseKind;
use crate::exit;
use crate::runner::{Outcome, Runner, Selection, Siblings};
use crate::stages;
use crate::terminal::{Terminal, counted, duration};

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// It is up to date.
    Done,
    /// It failed, and why. Others went on.
    Failed(String),
    /// It was asked to stop, or was not begun because of that.
    Stopped,
}

/// Brings all runs up to date, `jobs` at once, in their order. One that fails does not keep the
/// others from being made; a request to stop does.
///
/// # Errors
/// The system has no threads left; nothing was begun then.
pub fn all<O: PhaseKind>(plan: &Plan<O>, jobs: usize, terminal: &Terminal) -> Result<Vec<Ending>> {
    let runs: Vec<&Run<O>> = plan.runs().collect();
    let siblings = Siblings::new(runs.iter().map(|run| run.folder.clone()).collect());
    let jobs = jobs.min(runs.len());
    let pace = Pace::new(runs.len());
    if jobs <= 1 {
        let in_turn = |(index, run): (usize, &&Run<O>)| {
            terminal.message(&format!("{} ({} of {})", run.name, index + 1, runs.len()));
            pace.after(one(run, &siblings, terminal), terminal)
        };
        return Ok(runs.iter().enumerate().map(in_turn).collect());
    }
    let threads = rayon::current_num_threads();
    let pool = |job: usize| {
        // Threads that cannot be shared out evenly go to the first.
        let share = threads / jobs + usize::from(job < threads % jobs);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(share.max(1)).build();
        pool.context("cannot start the threads")
    };
    let pools = (0..jobs).map(pool).collect::<Result<Vec<_>>>()?;
    let next = AtomicUsize::new(0);
    let endings = Mutex::new(vec![Ending::Stopped; runs.len()]);
    let work = |pool: &ThreadPool| {
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(run) = runs.get(index)
        {
            let named = terminal.named(&run.name);
            let ended = pool.install(|| one(run, &siblings, &named));
            let ending = pace.after(ended, terminal);
            endings.lock().unwrap_or_else(PoisonError::into_inner)[index] = ending;
        }
    };
    thread::scope(|scope| {
        pools.iter().for_each(|pool| drop(scope.spawn(|| work(pool))));
    });
    Ok(endings.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Brings one of the runs up to date, and no other.
pub fn single<O: PhaseKind>(plan: &Plan<O>, run: &Run<O>, terminal: &Terminal) -> Ending {
    let siblings = Siblings::new(plan.runs().map(|run| run.folder.clone()).collect());
    terminal.message(&run.name);
    one(run, &siblings, terminal).0
}

/// How the runs of a sweep get on.
struct Pace {
    begun: Instant,
    runs: usize,
    ended: AtomicUsize,
    made: AtomicUsize,
}

impl Pace {
    fn new(runs: usize) -> Self {
        let none = || AtomicUsize::new(0);
        Self { begun: Instant::now(), runs, ended: none(), made: none() }
    }

    /// Says how long the others will take, if the run that has ended took time itself.
    fn after(&self, (ending, was_made): (Ending, bool), terminal: &Terminal) -> Ending {
        let ended = self.ended.fetch_add(1, Ordering::Relaxed) + 1;
        let made = self.made.fetch_add(usize::from(was_made), Ordering::Relaxed) + 1;
        let left = self.runs - ended;
        if was_made && left > 0 {
            let seconds = self.begun.elapsed().as_secs_f64() * left as f64 / made as f64;
            let (runs, time) = (counted(left, "run"), duration(seconds));
            terminal.message(&format!("{runs} left: about {time}, if they take as long as those before"));
        }
        ending
    }
}

/// How a run ended, and whether there was something to make.
fn one<O: PhaseKind>(run: &Run<O>, siblings: &Siblings, progress: &Terminal) -> (Ending, bool) {
    if progress.stop_requested() {
        return (Ending::Stopped, false);
    }
    let result = up_to_date(run, siblings, progress);
    progress.finish();
    match result {
        Ok(outcome) => {
            let is_fresh = outcome.ran.is_empty() && outcome.taken.is_empty();
            if is_fresh {
                progress.message("up to date");
            }
            (Ending::Done, !is_fresh)
        }
        Err(_) if progress.stop_requested() => (Ending::Stopped, false),
        Err(error) => {
            let why = exit::chain(&error);
            progress.message(&format!("failed: {why}"));
            (Ending::Failed(why), true)
        }
    }
}

fn up_to_date<O: PhaseKind>(
    run: &Run<O>,
    siblings: &Siblings,
    progress: &Terminal,
) -> Result<Outcome> {
    let experiment = &run.experiment;
    let runner = Runner::open(&run.folder, stages::all(experiment, &ALONE), progress)?
        .by_config(crate::config::resolved(&experiment.config, &run.folder)?);
    let mut runner = runner.beside(siblings);
    write_config(&experiment.config, runner.run_dir().path())?;
    runner.bring_up_to_date(&Selection::default())
}
