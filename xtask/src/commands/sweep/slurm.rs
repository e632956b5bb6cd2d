//! `sweep --backend slurm`: the runs as the tasks of a job array.
//!
//! The command submits, waits and makes the table; a task makes one run, by the same code as a sweep on one machine.
//! All of them see the folder of the sweep. What is done is read from there and not from Slurm, whose memory of
//! jobs is short; so it does not matter how often command or tasks are killed.

use anyhow::{Context, Result, anyhow, bail};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use textgan_artifact::{Progress, write_atomic};

use super::left;
use super::make::{self, Ending};
use super::plan::Plan;
use crate::args::Sweep;
use crate::config::PhaseKind;
use crate::exit::Refusal;
use crate::terminal::Terminal;

/// How often a run is submitted that neither ends nor says why.
const ATTEMPTS: usize = 3;
/// Between two questions to Slurm.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long Slurm may be out of reach, as it is while its controller starts again.
const PATIENCE: Duration = Duration::from_secs(600);

/// Brings all runs up to date as tasks of arrays, as many at once as was asked for with `threads` each.
///
/// # Errors
/// When Slurm does not take the array, or is out of reach for long.
pub fn all<O: PhaseKind>(
    plan: &Plan<O>,
    args: &Sweep,
    threads: usize,
    terminal: &Terminal,
) -> Result<Vec<Ending>> {
    let desk = Desk::new(plan.folder.join("slurm"))?;
    let runs: Vec<_> = plan.runs().collect();
    let is_done = |index: usize| left::of(runs[index]).is_ok_and(|left| left.is_empty());
    let mut attached = desk.array_at_work()?;
    if attached.is_none() {
        desk.forget()?;
    }
    for _ in 0..ATTEMPTS {
        let open = |&index: &usize| !is_done(index) && desk.failure(index).is_none();
        let open: Vec<usize> = (0..runs.len()).filter(open).collect();
        let array = match attached.take() {
            Some(array) => {
                terminal.message(&format!("array {array} of an earlier command is at work"));
                array
            }
            None if open.is_empty() => break,
            None => {
                let array = desk.submit(&open, args, threads)?;
                let count = open.len();
                terminal.message(&format!("array {array} submitted, of {count} runs"));
                array
            }
        };
        desk.wait(&array, terminal)?;
        if terminal.stop_requested() {
            break;
        }
    }
    let ending = |index: usize| match (is_done(index), desk.failure(index)) {
        (true, _) => Ending::Done,
        (false, Some(why)) => Ending::Failed(why),
        (false, None) if terminal.stop_requested() => Ending::Stopped,
        (false, None) => Ending::Failed(format!(
            "its task ended {ATTEMPTS} times without a word; see {}",
            desk.log(index).display()
        )),
    };
    Ok((0..runs.len()).map(ending).collect())
}

/// What a task does: the run of this number.
///
/// # Errors
/// When there is no such run, and whatever the run fails with, which is written down for the command that waits.
pub fn task<O: PhaseKind>(plan: &Plan<O>, index: usize, terminal: &Terminal) -> Result<()> {
    let desk = Desk::new(plan.folder.join("slurm"))?;
    match make::single(plan, index, terminal)? {
        Ending::Done => Ok(()),
        Ending::Stopped => Err(anyhow!("stopped; it goes on from here when it is submitted again")),
        Ending::Failed(why) => {
            write_atomic(desk.failed(index), why.as_bytes())?;
            Err(anyhow!("{why}"))
        }
    }
}

/// The folder where command and tasks leave each other word: the number of the array at work, why a run failed, and
/// what tasks print.
struct Desk(PathBuf);

impl Desk {
    fn new(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }

    fn failed(&self, index: usize) -> PathBuf {
        self.0.join(format!("{index}.failed"))
    }

    fn log(&self, index: usize) -> PathBuf {
        self.0.join(format!("{index}.log"))
    }

    fn array(&self) -> PathBuf {
        self.0.join("array")
    }

    /// Why the run of this number failed, if it did.
    fn failure(&self, index: usize) -> Option<String> {
        fs::read_to_string(self.failed(index)).ok()
    }

    /// A failure of an earlier command is tried again.
    fn forget(&self) -> Result<()> {
        let read = || format!("cannot read {}", self.0.display());
        for entry in fs::read_dir(&self.0).with_context(read)? {
            let path = entry.with_context(read)?.path();
            if path.extension().is_some_and(|end| end == "failed") {
                fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// The array that an earlier command submitted and did not live to see the end of.
    fn array_at_work(&self) -> Result<Option<String>> {
        let array = match fs::read_to_string(self.array()) {
            Ok(text) => text.trim().to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(self.array().display().to_string()),
        };
        Ok((!tasks(&array)?.is_empty()).then_some(array))
    }

    /// Submits the runs of these numbers; gives the number of the array.
    fn submit(&self, runs: &[usize], args: &Sweep, threads: usize) -> Result<String> {
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let numbers: Vec<String> = runs.iter().map(usize::to_string).collect();
        let folder = self.0.parent().unwrap_or(Path::new("."));
        // `exec`, so that signals meant for the task reach the run, which then saves itself.
        let script = format!(
            "#!/bin/sh\nexec {} sweep {} --folder {} --threads {threads} --quiet --task \"$SLURM_ARRAY_TASK_ID\"\n",
            quoted(&program)?,
            quoted(&args.file)?,
            quoted(folder)?,
        );
        let mut command = Command::new("sbatch");
        command
            .arg("--parsable")
            .arg(format!("--array={}%{}", numbers.join(","), args.on.jobs))
            .arg(format!("--cpus-per-task={threads}"))
            .arg("--job-name=textgan-sweep")
            .arg(format!("--output={}", self.0.join("%a.log").display()))
            .arg("--open-mode=append")
            .args(&args.on.sbatch);
        let said = said_by(command, &script)?;
        // The number, and the name of the cluster where there are several.
        let array = said.trim().split(';').next().unwrap_or_default().to_owned();
        if array.is_empty() || !array.bytes().all(|byte| byte.is_ascii_digit()) {
            bail!("sbatch did not say the number of the array, but: {}", said.trim());
        }
        write_atomic(self.array(), array.as_bytes())?;
        Ok(array)
    }

    /// Waits until no task is waiting or at work; ends them if that is asked for.
    fn wait(&self, array: &str, terminal: &Terminal) -> Result<()> {
        let mut reached = Instant::now();
        let mut before = None;
        loop {
            match tasks(array) {
                Ok(states) => {
                    reached = Instant::now();
                    let waiting = states.iter().filter(|state| *state == "PENDING").count();
                    let now = (states.len() - waiting, waiting);
                    if now == (0, 0) {
                        return Ok(());
                    }
                    if before.replace(now) != Some(now) {
                        let (running, waiting) = now;
                        terminal.message(&format!("{running} at work, {waiting} waiting"));
                    }
                }
                Err(error) if reached.elapsed() > PATIENCE => return Err(error),
                Err(_) => {}
            }
            let next = Instant::now() + INTERVAL;
            while Instant::now() < next {
                if terminal.stop_requested() {
                    let mut command = Command::new("scancel");
                    command.arg(array);
                    said_by(command, "")?;
                    return Ok(());
                }
                sleep(Duration::from_millis(100));
            }
        }
    }
}

/// The states of the tasks of an array that have not ended.
fn tasks(array: &str) -> Result<Vec<String>> {
    let mut command = Command::new("squeue");
    command.args(["--noheader", "--array", "--format=%T", "--jobs", array]);
    match said_by(command, "") {
        Ok(said) => Ok(said.lines().map(|line| line.trim().to_owned()).collect()),
        // One that Slurm has forgotten has ended.
        Err(error) if error.to_string().contains("Invalid job id") => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// What one of Slurm's programs says on stdout, given `input` on stdin.
fn said_by(mut command: Command, input: &str) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::Error::from(Refusal::new(format!(
            "{name} is not installed: --backend slurm is for a machine that can submit to Slurm"
        ))),
        _ => anyhow!("cannot start {name}: {error}"),
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading it says why below.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| format!("{name} was lost"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A path as a word of a shell.
fn quoted(path: &Path) -> Result<String> {
    let path = std::path::absolute(path)?;
    let text = path.to_str().ok_or_else(|| anyhow!("{} is not Unicode", path.display()))?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_words_of_a_shell() {
        assert_eq!(quoted(Path::new("/a b/it's")).unwrap(), r"'/a b/it'\''s'");
    }
}
