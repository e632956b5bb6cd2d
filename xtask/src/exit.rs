//! How the program ends.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done, or nothing to do |
//! | 1 | something failed: the message says what, where and how to go on |
//! | 2 | the command line or the config is wrong; nothing was started |
//! | 130, 143 | stopped by Ctrl-C or SIGTERM; the same command goes on from there |

use std::process::ExitCode;
use std::{fmt, io};

/// A command line or config that cannot be followed.
#[derive(Debug)]
pub struct Refusal(String);

impl Refusal {
    /// With what is wrong and what would be right.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// The user asked to stop.
#[derive(Debug)]
pub struct Interrupted {
    /// The signal's number.
    pub signal: i32,
    /// Where things stand.
    pub message: String,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Interrupted {}

/// A command that ran to its end and found something wrong; it has already said what.
#[derive(Debug)]
pub struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Failed {}

/// Prints what went wrong, once, and picks the exit code.
pub fn report(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if let Some(stop) = error.downcast_ref::<Interrupted>() {
        eprintln!("{stop}");
        return ExitCode::from(u8::try_from(128 + stop.signal).unwrap_or(1));
    }
    if is_closed_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    if error.downcast_ref::<Failed>().is_none() {
        eprintln!("error: {}", chain(&error));
    }
    ExitCode::from(if error.downcast_ref::<Refusal>().is_some() { 2 } else { 1 })
}

/// Whether the reader of stdout went away, as `head` does when it has seen enough.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
}

/// The error and its causes, without the parts that a message repeats from its cause.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text += ": ";
        }
        text += &cause;
    }
    if is_disk_full(error) && !text.contains("the disk is full") {
        text += "; the disk is full: free space there and run again";
    }
    text
}

fn is_disk_full(error: &anyhow::Error) -> bool {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|io| full.contains(&io.kind())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_called_so_whoever_met_it() {
        let io = io::Error::from(io::ErrorKind::StorageFull);
        let error = anyhow::Error::new(io).context("cannot write x");
        assert!(chain(&error).ends_with("the disk is full: free space there and run again"));
    }

    #[test]
    fn causes_are_not_repeated() {
        let io = std::io::Error::other("no such file");
        let error = textgan_artifact::Error::io("read", "a.txt", io);
        let error = anyhow::Error::new(error).context("ingest");
        assert_eq!(chain(&error), "ingest: cannot read a.txt: no such file");
    }
}
