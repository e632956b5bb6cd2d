//! Processes that make one run together: `mpirun -n N target/debug/xtask pipeline`.
//!
//! All are started alike. The first leads: it owns the folder, looks at the stages and makes most of them; of one that can
//! be shared out it tells the others, who otherwise wait. What went wrong, wherever, is said once, by the one who leads.

#[cfg(feature = "mpi")]
mod mpi;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use textgan_artifact::{Error, Progress, RunDir, Team};

use crate::exit::{self, Failed};
use crate::stage::Stage;

/// What the others are to do next.
#[derive(Serialize, Deserialize)]
enum Order {
    /// Their part of the stage at this place of the list.
    Share(usize),
    /// Nothing more.
    Part,
}

/// Where the others wait for an [`Order`].
const ORDERS: &str = "orders";

/// The processes that were started together with this one; mostly none.
///
/// # Errors
/// If there are several and this program cannot reach them.
pub fn join() -> Result<Team> {
    let of =
        ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"].into_iter().find_map(|name| std::env::var(name).ok());
    match of.and_then(|size| size.parse().ok()) {
        None | Some(0 | 1) => Ok(Team::default()),
        Some(size) => reach(size),
    }
}

#[cfg(feature = "mpi")]
fn reach(_: usize) -> Result<Team> {
    Ok(Team::over(mpi::Mpi::join()?))
}

#[cfg(not(feature = "mpi"))]
fn reach(size: usize) -> Result<Team> {
    Err(exit::Refusal::new(format!(
        "{size} processes were started to make one run, and this program was built without MPI: build it by \
         `cargo build --package xtask --features mpi`, or start one"
    ))
    .into())
}

/// What all processes have been told, if they have been told the same; `text` says what that is.
///
/// # Errors
/// Of this process if it leads, or else of another that cannot go on; without a word if another leads.
pub fn agree<T>(
    team: &Team,
    told: Result<T>,
    text: impl FnOnce(&T) -> Result<String>,
) -> Result<T> {
    if team.size() == 1 {
        return told;
    }
    let told = told.and_then(|told| Ok((text(&told)?, told)));
    let mine: Result<&String, String> = match &told {
        Ok((text, _)) => Ok(text),
        Err(error) => Err(exit::chain(error)),
    };
    let all: Vec<Result<String, String>> =
        team.share("config", mine.map(String::to_owned))?.into_iter().collect();
    if !team.leads() {
        let alike = all.iter().all(|other| other.is_ok() && *other == all[0]);
        return match told {
            Ok((_, told)) if alike => Ok(told),
            _ => Err(Failed.into()),
        };
    }
    let (text, told) = told?;
    for (rank, other) in all.into_iter().enumerate() {
        let problem = match other {
            Ok(other) if other == text => continue,
            Ok(_) => "it was told another config".to_owned(),
            Err(problem) => problem,
        };
        return Err(Error::Teammate { rank, problem }.into());
    }
    Ok(told)
}

/// Calls `work`, which shares stages out, and lets the others go.
///
/// # Errors
/// What `work` says.
pub fn lead<T>(team: &Team, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let done = work();
    if team.size() > 1 {
        // Those who are not there any more need not be told.
        let _ = team.tell(ORDERS, Some(Order::Part));
    }
    done
}

/// Calls the others to their part of the stage at this place of the list.
///
/// # Errors
/// When they are out of reach.
pub fn call(team: &Team, stage: usize) -> Result<()> {
    match team.size() {
        1 => Ok(()),
        _ => Ok(team.tell(ORDERS, Some(Order::Share(stage))).map(|_| ())?),
    }
}

/// Does what the one who leads asks for, until there is nothing more.
///
/// # Errors
/// When that one is out of reach. What goes wrong in a stage, it hears and tells.
pub fn follow(
    team: &Team,
    folder: &Path,
    stages: &[Box<dyn Stage + '_>],
    progress: &dyn Progress,
) -> Result<()> {
    let hushed = Hushed(progress);
    while let Order::Share(place) = team.tell(ORDERS, None)? {
        let run = RunDir::open(folder)
            .with_context(|| format!("process {} does not see the run", team.rank()));
        let made = run.and_then(|run| {
            let partial = run.partial_dir(stages[place].name())?;
            Ok(stages[place].run(&run, &partial, &hushed)?)
        });
        // The one who leads has been told by the stage itself.
        drop(made);
    }
    Ok(())
}

/// Says nothing, and passes on that the user asked to stop.
struct Hushed<'a>(&'a dyn Progress);

impl Progress for Hushed<'_> {
    fn begin(&self, _label: &str, _total: Option<u64>) {}
    fn advance(&self, _n: u64) {}
    fn message(&self, _line: &str) {}
    fn status(&self, _text: &str) {}
    fn finish(&self) {}

    fn stop_requested(&self) -> bool {
        self.0.stop_requested()
    }
}
