//! A trial that any training can be put to: that it gives the same bytes whatever happened to it.
//!
//! It is what this crate's own tests ask of its algorithms, for algorithms of other crates to be asked
//! too: see `tests/outside.rs`.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use textgan_artifact::{Progress, Quiet, Team};

use crate::{Outputs, Result, Summary};

/// Runs `training` undisturbed, then stops it on request and kills it at `deaths` moments each, and
/// runs it on one thread and on two; every folder must end with the same bytes.
///
/// `training` trains into a folder, or goes on in it, and shows a [`Progress`] where it is: asking that
/// whether to stop is where it is stopped or killed. A kill is a panic there, after which nothing of
/// the process is left but its files.
///
/// # Errors
/// Of the training, and of files that cannot be read.
///
/// # Panics
/// With the names of the files that differ, if the training is not up to it.
pub fn same_bytes_whatever_happens(
    training: impl Fn(&Path, &dyn Progress) -> Result<Summary> + Sync,
    deaths: usize,
) -> Result<()> {
    let whole = folder("whole")?;
    let questions = Interrupting::new(i64::MAX, false);
    training(&whole, &questions)?;
    let asked = i64::MAX - questions.left.load(Ordering::Relaxed);
    let expected = files(&whole)?;

    let moments =
        (0..deaths as i64).map(|death| 1 + asked * (2 * death + 1) / (2 * deaths as i64 + 1));
    for (moment, kill) in moments.flat_map(|moment| [(moment, false), (moment, true)]) {
        let out = folder("disturbed")?;
        let interrupting = Interrupting::new(moment, kill);
        let first = catch_unwind(AssertUnwindSafe(|| training(&out, &interrupting)));
        match (kill, first) {
            (true, Err(_)) => {}
            (false, Ok(Err(error))) if error.is_interrupted() => {}
            (_, Ok(outcome)) => panic!("it was not stopped at question {moment}: {outcome:?}"),
            (false, Err(_)) => panic!("it panicked when it was asked to stop at question {moment}"),
        }
        training(&out, &Quiet)?;
        assert_same(&expected, &files(&out)?, &format!("disturbed at question {moment}"));
        textgan_artifact::remove_folder(&out)?;
    }
    for threads in [1, 2] {
        let out = folder("threads")?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let Ok(pool) = pool else { panic!("a pool of {threads} threads") };
        pool.install(|| training(&out, &Quiet))?;
        assert_same(&expected, &files(&out)?, &format!("on {threads} threads"));
        textgan_artifact::remove_folder(&out)?;
    }
    Ok(textgan_artifact::remove_folder(&whole)?)
}

/// Runs `training` by one process, then shared out over teams of 2 to `replicas` (threads take the part of processes), and
/// stopped by the last of a team of two, to be finished by a team of another size; every folder must end with the same
/// bytes. `training` has as many [replicas](crate::TrainConfig::replicas).
///
/// # Errors
/// Of the training, and of files that cannot be read.
///
/// # Panics
/// With the names of the files that differ, if the training is not up to it.
pub fn same_bytes_in_any_team(
    training: impl Fn(Outputs<'_>, &dyn Progress) -> Result<Summary> + Sync,
    replicas: usize,
) -> Result<()> {
    let whole = folder("whole")?;
    let questions = Interrupting::new(i64::MAX, false);
    training(Outputs::from(&whole), &questions)?;
    let asked = i64::MAX - questions.left.load(Ordering::Relaxed);
    let expected = files(&whole)?;
    // The outcome of rank 0, and whether all of them came to the same.
    let in_team =
        |size: usize, out: &Path, progress: &(dyn Fn(usize) -> Box<dyn Progress> + Sync)| {
            let one = |team: Team| {
                training(Outputs::from(out).with_team(&team), progress(team.rank()).as_ref())
            };
            std::thread::scope(|scope| {
                let teams = Team::of_threads(size).into_iter();
                let threads: Vec<_> = teams.map(|team| scope.spawn(|| one(team))).collect();
                let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
                let outcomes = outcomes.into_iter().map(|outcome| match outcome {
                    Ok(outcome) => outcome,
                    Err(panic) => std::panic::resume_unwind(panic),
                });
                outcomes.collect::<Vec<_>>()
            })
        };
    for size in 2..=replicas {
        let out = folder("team")?;
        for outcome in in_team(size, &out, &|_| Box::new(Quiet)) {
            outcome?;
        }
        assert_same(&expected, &files(&out)?, &format!("in a team of {size}"));
        textgan_artifact::remove_folder(&out)?;
    }
    let out = folder("stopped")?;
    let last = |rank: usize| -> Box<dyn Progress> {
        match rank {
            // It is asked less often than one alone, who evaluates all.
            1 => Box::new(Interrupting::new(asked / 4, false)),
            _ => Box::new(Quiet),
        }
    };
    for outcome in in_team(2, &out, &last) {
        match outcome {
            Err(error) if error.is_interrupted() => {}
            outcome => panic!("a team of which one was asked to stop: {outcome:?}"),
        }
    }
    for outcome in in_team(replicas, &out, &|_| Box::new(Quiet)) {
        outcome?;
    }
    assert_same(&expected, &files(&out)?, "stopped in a team of 2");
    textgan_artifact::remove_folder(&out)?;
    Ok(textgan_artifact::remove_folder(&whole)?)
}

/// A new folder; several trials may go on in one process.
fn folder(name: &str) -> Result<PathBuf> {
    static FOLDERS: AtomicI64 = AtomicI64::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let name = format!("textgan-trial-{}-{number}-{name}", std::process::id());
    let path = std::env::temp_dir().join(name);
    textgan_artifact::remove_folder(&path)?;
    std::fs::create_dir_all(&path).map_err(crate::error::io("create", &path))?;
    Ok(path)
}

/// Asks to stop, or dies, at the `left`th time it is asked whether to.
struct Interrupting {
    left: AtomicI64,
    kill: bool,
}

impl Interrupting {
    fn new(questions: i64, kill: bool) -> Self {
        Self { left: AtomicI64::new(questions), kill }
    }
}

impl Progress for Interrupting {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn message(&self, _: &str) {}
    fn status(&self, _: &str) {}
    fn finish(&self) {}

    fn stop_requested(&self) -> bool {
        let now = self.left.fetch_sub(1, Ordering::Relaxed) <= 1;
        assert!(!(now && self.kill), "killed");
        now
    }
}

/// Every file below `folder` with its bytes.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).map_err(crate::error::io("read", &at))? {
            let path = entry.map_err(crate::error::io("read", &at))?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).map_err(crate::error::io("read", &path))?;
                let name =
                    path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
                found.insert(name, bytes);
            }
        }
    }
    Ok(found)
}

fn assert_same(one: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>, what: &str) {
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(one), names(other), "{what}: other files");
    let differ: Vec<&String> =
        one.iter().filter(|(name, bytes)| other[*name] != **bytes).map(|(name, _)| name).collect();
    assert!(differ.is_empty(), "{what}: {differ:?} differ");
}
