//! The program, in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// An experiment of seconds: every stage real, every network tiny.
pub const TINY: &str = include_str!("tiny.toml");

/// A working directory with the program in it.
pub struct Program {
    folder: tempfile::TempDir,
}

/// What a call of the program said and did.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    /// With the tiny experiment as `tiny.toml`.
    pub fn new() -> Self {
        let program = Self { folder: tempfile::tempdir().unwrap() };
        program.write("tiny.toml", TINY);
        program
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            // Its own pool spins while it waits, which starves tests that run side by side.
            .env("CANDLE_NUM_THREADS", "1");
        command
    }

    /// The example `laboratory`: the same program with an objective of another crate.
    pub fn laboratory(&self, arguments: &[&str]) -> Said {
        let binary = Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name("examples/laboratory");
        let mut command = Command::new(binary);
        command.current_dir(self.folder.path()).args(arguments).stdin(Stdio::null());
        Said::from(command.env("CANDLE_NUM_THREADS", "1").output().unwrap())
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        Said::from(self.command(arguments).output().unwrap())
    }

    /// Runs, and expects success.
    pub fn succeeds(&self, arguments: &[&str]) -> Said {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:#?}");
        said
    }

    /// The names in a folder, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The files of a folder and of those in it, by path, with what they hold.
    pub fn files(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        for name in self.names(folder) {
            let path = format!("{folder}/{name}");
            match self.path(&path).is_dir() {
                true => files.extend(self.files(&path)),
                false => files.push((path.clone(), fs::read(self.path(&path)).unwrap())),
            }
        }
        files
    }

    /// Copies a folder.
    pub fn copy(&self, from: &str, to: &str) {
        for (path, bytes) in self.files(from) {
            self.write(&path.replacen(from, to, 1), bytes);
        }
    }

    /// The manifests of a run, by stage, as text; but that of the report, which says when it was made, and where.
    pub fn manifests(&self, run: &str) -> Vec<(String, String)> {
        let stages = self.names(run).into_iter().filter(|stage| stage != "report");
        stages
            .filter_map(|stage| {
                let path = self.path(run).join(&stage).join("manifest.json");
                Some((stage, fs::read_to_string(path).ok()?))
            })
            .collect()
    }
}

impl Said {
    pub fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The one message of a failure.
    pub fn error(&self) -> &str {
        let errors: Vec<_> =
            self.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "one clear message: {}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        errors[0]
    }
}

/// Everything that a failed run may leave in its folder: nothing half-written.
pub fn is_tidy(run: &Path) -> bool {
    let Ok(entries) = fs::read_dir(run) else { return true };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.into_iter().all(|name| {
        !name.contains(".partial") && !name.ends_with(".tmp") && !name.ends_with(".old")
    })
}
