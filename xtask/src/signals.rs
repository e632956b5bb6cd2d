//! Ctrl-C and SIGTERM: the first asks the work at hand to save itself, the second ends at once.

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How long the work at hand may take to save itself. Every file is published whole, so ending in
/// the middle of a stage is safe; it only costs what that stage has done since its last checkpoint.
const PATIENCE: Duration = Duration::from_millis(4_000);

/// Which signal has come, if any.
#[derive(Clone, Debug, Default)]
pub struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Listens for SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn listen() -> io::Result<Self> {
        let signals = Self::default();
        let once = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag down and raises it.
            flag::register_conditional_default(signal, once.clone())?;
            flag::register(signal, once.clone())?;
            flag::register_usize(signal, signals.0.clone(), signal as usize)?;
        }
        // A file that grows beyond what the shell allows is an error of the write, not the end without a word.
        flag::register(SIGXFSZ, Arc::default())?;
        let watched = signals.clone();
        thread::spawn(move || watched.end_in_time());
        Ok(signals)
    }

    /// The signal that has come.
    pub fn received(&self) -> Option<i32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => i32::try_from(signal).ok(),
        }
    }

    fn end_in_time(&self) {
        loop {
            thread::sleep(Duration::from_millis(100));
            if let Some(signal) = self.received() {
                thread::sleep(PATIENCE);
                eprintln!("stopped; the same command goes on from here");
                std::process::exit(128 + signal);
            }
        }
    }
}
