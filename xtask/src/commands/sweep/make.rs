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

/// How the runs of a sweep get on.
struct Pace {
    jobs: usize,
    so_far: Mutex<SoFar>,
}

struct SoFar {
    /// Runs that have not ended.
    left: usize,
    /// Runs that were made now, and the seconds that they took together.
    made: usize,
    seconds: f64,
}

impl Pace {
    fn new(runs: usize, jobs: usize) -> Self {
        let so_far = SoFar { left: runs, made: 0, seconds: 0.0 };
        Self { jobs: jobs.max(1), so_far: Mutex::new(so_far) }
    }

    /// Notes that a run has ended, which took so many seconds if it was made now. Then what the others will take, at
    /// most: some may be up to date already.
    fn after(&self, seconds: Option<f64>) -> Option<String> {
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        so_far.left -= 1;
        so_far.made += usize::from(seconds.is_some());
        so_far.seconds += seconds?;
        let SoFar { left, made, seconds } = *so_far;
        let rest = seconds / made as f64 * left as f64 / self.jobs as f64;
        let runs = counted(left, "run");
        (left > 0).then(|| format!("{runs} left: up to about {}", duration(rest)))
    }
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
    let pace = Pace::new(runs.len(), jobs);
    let noted = |(ending, seconds)| {
        if let Some(message) = pace.after(seconds) {
            terminal.message(&message);
        }
        ending
    };
    if jobs <= 1 {
        let in_turn = |(index, run): (usize, &&Run<O>)| {
            terminal.message(&format!("{} ({} of {})", run.name, index + 1, runs.len()));
            noted(one(run, &siblings, terminal))
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
            let ending = noted(ended);
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

/// How a run ended, and how many seconds it took, if it was made now.
fn one<O: PhaseKind>(
    run: &Run<O>,
    siblings: &Siblings,
    progress: &Terminal,
) -> (Ending, Option<f64>) {
    if progress.stop_requested() {
        return (Ending::Stopped, None);
    }
    let begun = Instant::now();
    let result = up_to_date(run, siblings, progress);
    progress.finish();
    match result {
        Ok(outcome) if outcome.ran.is_empty() && outcome.taken.is_empty() => {
            progress.message("up to date");
            (Ending::Done, None)
        }
        Ok(_) => (Ending::Done, Some(begun.elapsed().as_secs_f64())),
        Err(_) if progress.stop_requested() => (Ending::Stopped, None),
        Err(error) => {
            let why = exit::chain(&error);
            progress.message(&format!("failed: {why}"));
            (Ending::Failed(why), None)
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
        .by_config(crate::config::resolved(&experiment.written, &run.folder)?);
    let mut runner = runner.beside(siblings);
    write_config(&experiment.written, runner.run_dir().path())?;
    runner.bring_up_to_date(&Selection::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_takes_as_long_as_what_was_made() {
        let pace = Pace::new(5, 2);
        assert_eq!(pace.after(None), None, "up to date");
        assert_eq!(pace.after(Some(60.0)).unwrap(), "3 runs left: up to about 90 s");
        assert_eq!(pace.after(Some(20.0)).unwrap(), "2 runs left: up to about 40 s");
        assert_eq!(pace.after(None), None, "failed");
        assert_eq!(pace.after(Some(20.0)), None, "the last");
    }
}
