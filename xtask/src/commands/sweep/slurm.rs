//! `sweep --backend slurm`: the runs as the tasks of a job array.
//!
//! The command submits, waits and makes the table; a task makes one run, by the same code as a sweep on one machine.
//! All of them see the folder of the sweep. What is done is read from there, and what is at work is asked of Slurm by
//! a name that belongs to the folder; so it does not matter how often command or tasks are killed.

use anyhow::{Context, Result, anyhow, bail};
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};
use textgan_artifact::{Progress, hash_bytes, write_atomic};

use super::left;
use super::make::{self, Ending};
use super::plan::{Plan, Run};
use crate::args::Sweep;
use crate::config::PhaseKind;
use crate::exit::Refusal;
use crate::terminal::Terminal;

/// How often a run is submitted that neither ends, nor says why, nor comes any further.
const ATTEMPTS: usize = 3;
/// Tasks of an array: one fewer than Slurm takes unless it is told otherwise.
const MOST: usize = 1000;
/// Between two questions to Slurm.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long one of Slurm's programs may take to answer.
const ANSWER: Duration = Duration::from_secs(60);
/// How long Slurm may be out of reach while the command waits, as it is while its controller starts again.
const PATIENCE: Duration = Duration::from_secs(600);

/// Brings all runs up to date as tasks of arrays, as many at once as was asked for, with `threads` each.
///
/// # Errors
/// When another command makes this sweep, when Slurm does not take an array, or is out of reach for long.
pub fn all<O: PhaseKind>(
    plan: &Plan<O>,
    args: &Sweep,
    threads: usize,
    terminal: &Terminal,
) -> Result<Vec<Ending>> {
    let desk = Desk::new(&plan.folder, args)?;
    let _lock = desk.lock()?;
    let runs: Vec<&Run<O>> = plan.runs().collect();
    let is_done = |run: &Run<O>| left::of(run).is_ok_and(|left| left.is_empty());
    // What failed before is tried again, also what fails while tasks of an earlier command are at work.
    runs.iter().try_for_each(|run| remove(&desk.failed(run)))?;
    if !desk.tasks(terminal)?.is_empty() {
        terminal.message("tasks that an earlier command submitted are at work");
        desk.wait(terminal)?;
    }
    // How often each was submitted as far as it is.
    let mut attempts: Vec<(usize, String)> = vec![(0, String::new()); runs.len()];
    while !terminal.stop_requested() {
        let mut open = Vec::new();
        for (run, (count, reached)) in runs.iter().zip(&mut attempts) {
            if open.len() == MOST || is_done(run) || desk.failure(run).is_some() {
                continue;
            }
            let now = progress(run);
            *count = if *reached == now { *count + 1 } else { 1 };
            *reached = now;
            if *count <= ATTEMPTS {
                open.push(run.name.as_str());
            }
        }
        if open.is_empty() {
            break;
        }
        desk.submit(&open, args, threads, terminal)?;
        terminal.message(&format!("submitted an array of {} runs", open.len()));
        desk.wait(terminal)?;
    }
    let ending = |run: &&Run<O>| match (is_done(run), desk.failure(run)) {
        (true, _) => Ending::Done,
        (false, Some(why)) => Ending::Failed(why),
        (false, None) if terminal.stop_requested() => Ending::Stopped,
        (false, None) => Ending::Failed(format!(
            "its task ended {ATTEMPTS} times without a word and without coming further; see the logs in {}",
            desk.folder.display()
        )),
    };
    Ok(runs.iter().map(ending).collect())
}

/// What a task does: the run on this line of the list that was submitted.
///
/// # Errors
/// When there is no such run, and whatever the run fails with, which is written down for the command that waits.
pub fn task<O: PhaseKind>(
    plan: &Plan<O>,
    args: &Sweep,
    line: usize,
    terminal: &Terminal,
) -> Result<()> {
    let desk = Desk::new(&plan.folder, args)?;
    let list = desk.list();
    let names = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
    let run = names.lines().nth(line).and_then(|name| plan.runs().find(|run| run.name == name));
    let Some(run) = run else {
        let message = format!("--task {line}: {} names no run of this sweep there", list.display());
        return Err(Refusal::new(message).into());
    };
    remove(&desk.failed(run))?;
    match make::single(plan, run, terminal) {
        Ending::Done => Ok(()),
        Ending::Stopped => Err(anyhow!("stopped; it goes on from here when it is submitted again")),
        Ending::Failed(why) => {
            write_atomic(desk.failed(run), why.as_bytes())?;
            Err(anyhow!("{why}"))
        }
    }
}

/// How far a run is: its stages that are left, and the checkpoints of its training.
fn progress<O: PhaseKind>(run: &Run<O>) -> String {
    let left = left::of(run).unwrap_or_default().join(" ");
    let checkpoints = fs::read_dir(run.folder.join("train.partial/checkpoints"));
    let mut names: Vec<String> = checkpoints
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    format!("{left} {}", names.join(" "))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The folder where command and tasks leave each other word: the runs that were submitted, why one failed, and
/// what tasks print.
struct Desk {
    folder: PathBuf,
    /// What the arrays of this folder are called.
    name: String,
    /// Options for `sbatch` that say which cluster is meant: for the other programs too.
    cluster: Vec<String>,
}

impl Desk {
    fn new(sweep: &Path, args: &Sweep) -> Result<Self> {
        let folder = sweep.join("slurm");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = fs::canonicalize(&folder).with_context(|| folder.display().to_string())?;
        let hash = hash_bytes(folder.as_os_str().as_encoded_bytes());
        let name = format!("textgan-{}", &hash[..16]);
        let is_cluster =
            |option: &&String| option.starts_with("--clusters=") || option.starts_with("-M");
        let cluster = args.on.sbatch.iter().filter(is_cluster).cloned().collect();
        Ok(Self { folder, name, cluster })
    }

    /// Keeps other commands from this sweep until it is dropped.
    fn lock(&self) -> Result<File> {
        let path = self.folder.join("lock");
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                let message =
                    format!("another command makes this sweep: it holds {}", path.display());
                Err(Refusal::new(message).into())
            }
            Err(TryLockError::Error(error)) => Err(error).context(path.display().to_string()),
        }
    }

    fn failed<O>(&self, run: &Run<O>) -> PathBuf {
        self.folder.join(format!("{}.failed", run.name.replace('/', " ")))
    }

    fn list(&self) -> PathBuf {
        self.folder.join("tasks")
    }

    /// Why a run failed, if it did.
    fn failure<O>(&self, run: &Run<O>) -> Option<String> {
        fs::read_to_string(self.failed(run)).ok()
    }

    /// Submits the runs of these names.
    fn submit(
        &self,
        runs: &[&str],
        args: &Sweep,
        threads: usize,
        terminal: &Terminal,
    ) -> Result<()> {
        write_atomic(self.list(), (runs.join("\n") + "\n").as_bytes())?;
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let sweep = self.folder.parent().unwrap_or(&self.folder);
        // `exec`, so that signals meant for the task reach the run, which then saves itself.
        let script = format!(
            "#!/bin/sh\nexec {} sweep {} --folder {} --threads {threads} --quiet --task \"$SLURM_ARRAY_TASK_ID\"\n",
            quoted(&program)?,
            quoted(&args.file)?,
            quoted(sweep)?,
        );
        let logs = self.folder.display().to_string().replace('%', "%%");
        let mut command = Command::new("sbatch");
        // What the runs rely on comes last, and so has the last word.
        command.args(&args.on.sbatch).arg("--parsable").args([
            format!("--array=0-{}%{}", runs.len() - 1, args.on.jobs),
            format!("--cpus-per-task={threads}"),
            format!("--job-name={}", self.name),
            format!("--output={logs}/%a.log"),
            "--open-mode=append".to_owned(),
        ]);
        said_by(command, &script, terminal).map(drop)
    }

    /// The states of the tasks that have not ended.
    fn tasks(&self, terminal: &Terminal) -> Result<Vec<String>> {
        let mut command = Command::new("squeue");
        command.args(["--me", "--noheader", "--array", "--format=%T", "--name", &self.name]);
        command.args(&self.cluster);
        let said = said_by(command, "", terminal)?;
        // With clusters named, a line says which one the next are of.
        let states = said.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(states.filter(|line| !line.starts_with("CLUSTER")).map(str::to_owned).collect())
    }

    /// Waits until no task is waiting or at work; ends them if that is asked for.
    fn wait(&self, terminal: &Terminal) -> Result<()> {
        let mut reached = Instant::now();
        let mut before = None;
        loop {
            match self.tasks(terminal) {
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
                    self.cancel(terminal);
                    return Ok(());
                }
                sleep(Duration::from_millis(100));
            }
        }
    }

    /// Ends the tasks, which save themselves. Who stops is not made to wait for an answer.
    fn cancel(&self, terminal: &Terminal) {
        let mut command = Command::new("scancel");
        command.args(["--me", "--name", &self.name]).args(&self.cluster);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Err(error) = quiet.process_group(0).spawn() {
            let name = &self.name;
            terminal.message(&format!(
                "cannot start scancel ({error}): the tasks go on; end them with scancel --me --name {name}"
            ));
        }
    }
}

/// What one of Slurm's programs says on stdout, given `input` on stdin. A request to stop does not wait for it,
/// but a signal for this program does not end it either: what Slurm has begun to take it takes.
fn said_by(mut command: Command, input: &str, terminal: &Terminal) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.process_group(0).spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::Error::from(Refusal::new(format!(
            "{name} is not installed: --backend slurm is for a machine that can submit to Slurm"
        ))),
        _ => anyhow!("cannot start {name}: {error}"),
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading it says why below.
        let _ = stdin.write_all(input.as_bytes());
    }
    let [out, err] = [
        child.stdout.take().map(|pipe| reader(Box::new(pipe))),
        child.stderr.take().map(|pipe| reader(Box::new(pipe))),
    ];
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().with_context(|| format!("{name} was lost"))? {
            break status;
        }
        let stopped = terminal.stop_requested() && name != "sbatch";
        if stopped || begun.elapsed() > ANSWER {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{name} did not answer in {} s", begun.elapsed().as_secs());
        }
        sleep(Duration::from_millis(20));
    };
    let text = |reader: Option<thread::JoinHandle<String>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    let (out, err) = (text(out), text(err));
    if !status.success() {
        bail!("{name}: {}", err.trim());
    }
    Ok(out)
}

/// Reads a pipe to its end.
fn reader(mut pipe: Box<dyn Read + Send>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What cannot be read is missed where it is looked for.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
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
