//! Processes that make one run together: `mpirun -n N target/debug/xtask pipeline`.
//!
//! All are started alike. The first leads: it owns the folder, looks at the stages and makes most of them; of one that can
//! be shared out it tells the others, who otherwise wait. What went wrong, wherever, is said once, by the one who leads.

#[cfg(feature = "mpi")]
mod mpi;

use anyhow::Result;
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
/// Where all come after a stage.
const DONE: &str = "done";

/// The processes that were started together with this one; mostly none.
///
/// # Errors
/// If there are several and this program cannot reach them.
pub fn join() -> Result<Team> {
    match started(|name| std::env::var(name).ok()) {
        Some((_, size)) if size > 1 => reach(size),
        _ => Ok(Team::default()),
    }
}

/// Refuses processes that were started together for work which each of them would do as a whole.
///
/// # Errors
/// If there are several; said once, by the first.
pub fn alone() -> Result<()> {
    match started(|name| std::env::var(name).ok()) {
        None | Some((_, 0 | 1)) => Ok(()),
        Some((0, size)) => Err(exit::Refusal::new(format!(
            "{size} processes were started, and each would do all that this command does: start one. Those that make a run \
             together are pipeline and its stages; of a sweep, --jobs and --backend slurm"
        ))
        .into()),
        Some(_) => Err(Failed.into()),
    }
}

/// Which of how many processes an MPI has started this one as, by what it left in `variable`s.
pub fn started(variable: impl Fn(&str) -> Option<String>) -> Option<(usize, usize)> {
    let number = |name: &str| variable(name)?.parse().ok();
    let names = [("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE")];
    names.into_iter().find_map(|(rank, size)| Some((number(rank).unwrap_or(0), number(size)?)))
}

#[cfg(feature = "mpi")]
fn reach(size: usize) -> Result<Team> {
    Ok(Team::over(mpi::Mpi::join(size)?))
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
        let part = || {
            let run = RunDir::open(folder)?;
            let partial = run.partial_dir(stages[place].name())?;
            stages[place].run(&run, &partial, &hushed)
        };
        // What went wrong is told by the one who leads.
        let _ = together(team, part);
    }
    Ok(())
}

/// Does this process's part of a stage, and waits for the others, whatever became of it.
///
/// # Errors
/// What `part` says, or else what stopped another process.
pub fn together(team: &Team, part: impl FnOnce() -> Result<()>) -> Result<()> {
    let mine = part();
    if team.size() == 1 {
        return mine;
    }
    // Who only heard of another's failure has nothing to tell of it.
    let heard = |error: &anyhow::Error| {
        error.chain().any(|cause| matches!(cause.downcast_ref(), Some(Error::Teammate { .. })))
    };
    let told = mine.as_ref().err().filter(|error| !heard(error)).map(exit::chain);
    let all = loop {
        match team.share(DONE, told.clone()) {
            // Others were still in the midst of it, and are on their way here now.
            Err(Error::Teammate { .. }) => {}
            all => break all?,
        }
    };
    match (&mine, all.into_iter().enumerate().find_map(|(rank, told)| Some((rank, told?)))) {
        (Err(error), _) if !heard(error) => mine,
        (_, Some((rank, problem))) => Err(Error::Teammate { rank, problem }.into()),
        (_, None) => mine,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use textgan_artifact::{Fingerprint, Quiet};

    /// Calls `work` in every thread of a team.
    fn in_team<T: Send>(size: usize, work: impl Fn(&Team) -> T + Sync) -> Vec<T> {
        let work = &work;
        std::thread::scope(|scope| {
            let threads: Vec<_> = Team::of_threads(size)
                .into_iter()
                .map(|team| scope.spawn(move || work(&team)))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        })
    }

    #[test]
    fn all_are_told_the_same_or_one_says_why_not() {
        let agreed = |told: fn(usize) -> Result<&'static str>| {
            in_team(3, |team| {
                let found = agree(team, told(team.rank()), |text| Ok((*text).to_owned()));
                found.map_or_else(|error| error.to_string(), str::to_owned)
            })
        };
        assert_eq!(agreed(|_| Ok("config")), ["config"; 3]);
        let other = agreed(|rank| Ok(if rank == 2 { "other" } else { "config" }));
        assert!(other[0].contains("process 2") && other[0].contains("another config"), "{other:?}");
        assert_eq!(other[1..], ["failed"; 2], "the others say nothing of their own");
        let blind = agreed(|rank| match rank {
            1 => Err(anyhow::anyhow!("no such file")),
            _ => Ok("config"),
        });
        assert!(blind[0].contains("process 1") && blind[0].contains("no such file"), "{blind:?}");
        assert_eq!(
            agreed(|_| Err(anyhow::anyhow!("no config"))),
            ["no config", "failed", "failed"]
        );
    }

    /// A stage of which a process may fail: before the others meet in it, in the midst, or at its end.
    struct Shared {
        done: Mutex<Vec<usize>>,
        trouble: Option<(usize, usize)>,
    }

    impl Shared {
        fn part(&self, team: &Team) -> Result<()> {
            for moment in 0..3 {
                if self.trouble == Some((team.rank(), moment)) {
                    let error = anyhow::anyhow!("its disk is full");
                    // What a library's function does once it has met the others.
                    if moment == 1 {
                        team.fail(&error.to_string());
                    }
                    return Err(error);
                }
                if moment < 2 {
                    team.wait(["ready", "trained"][moment])?;
                }
            }
            self.done.lock().expect("no panic").push(team.rank());
            Ok(())
        }
    }

    struct Part<'a>(&'a Shared, &'a Team);

    impl Stage for Part<'_> {
        fn name(&self) -> &'static str {
            "shared"
        }
        fn inputs(&self, _: &RunDir) -> Result<Vec<crate::stage::Input>> {
            Ok(Vec::new())
        }
        fn fingerprint(&self) -> Fingerprint {
            Fingerprint::new("shared", 1)
        }
        fn run(&self, _: &RunDir, _: &Path, _: &dyn Progress) -> Result<()> {
            self.0.part(self.1)
        }
    }

    #[test]
    fn the_others_do_their_part_until_they_are_let_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run");
        RunDir::create(&path).expect("a run");
        let moments = (0..3).flat_map(|rank| (0..3).map(move |moment| Some((rank, moment))));
        for trouble in std::iter::once(None).chain(moments) {
            let shared = Shared { done: Mutex::default(), trouble };
            let done = in_team(3, |team| match team.leads() {
                true => lead(team, || {
                    call(team, 0)?;
                    together(team, || shared.part(team))?;
                    call(team, 0)?;
                    together(team, || shared.part(team))
                })
                .map_err(|error| error.to_string()),
                false => {
                    let stages: Vec<Box<dyn Stage + '_>> = vec![Box::new(Part(&shared, team))];
                    follow(team, &path, &stages, &Quiet).map_err(|error| error.to_string())
                }
            });
            let said = match trouble {
                None => Ok(()),
                Some((0, _)) => Err("its disk is full".to_owned()),
                Some((rank, _)) => {
                    Err(format!("process {rank} of this run failed: its disk is full"))
                }
            };
            assert_eq!(done, [said, Ok(()), Ok(())], "{trouble:?}");
            if trouble.is_none() {
                assert_eq!(shared.done.lock().expect("no panic").len(), 6, "all, twice each");
            }
        }
    }
}
