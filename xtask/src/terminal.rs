//! Progress on stderr: a bar on a terminal, plain lines elsewhere. Stdout is for results.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use textgan_artifact::Progress;

use crate::signals::Signals;

/// Time between two plain lines about the same task.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// `text` on one line that does nothing to a terminal: names of files may hold control characters.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A number of things, as one says it.
pub fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Shows progress, and passes on that the user asked to stop.
pub struct Terminal {
    signals: Signals,
    bars: bool,
    quiet: bool,
    /// What stands before every line.
    prefix: String,
    task: Mutex<Option<Task>>,
}

struct Task {
    label: String,
    total: Option<u64>,
    done: u64,
    status: String,
    begun: Instant,
    said: Instant,
    bar: ProgressBar,
}

impl Terminal {
    /// With bars if stderr is a terminal; with `quiet`, facts only.
    pub fn new(signals: Signals, quiet: bool) -> Self {
        let bars = std::io::stderr().is_terminal() && !quiet;
        Self { signals, bars, quiet, prefix: String::new(), task: Mutex::new(None) }
    }

    /// For one of several works that go on at once: no bars, and its name before every line.
    pub fn named(&self, name: &str) -> Self {
        let (signals, prefix) = (self.signals.clone(), format!("{name}: "));
        Self { signals, bars: false, quiet: self.quiet, prefix, task: Mutex::new(None) }
    }

    /// The signal that asked to stop, if one did.
    pub fn stopped_by(&self) -> Option<i32> {
        self.signals.received()
    }

    fn with_task(&self, change: impl FnOnce(&mut Task)) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.as_mut() {
            change(task);
        }
    }

    fn line(&self, line: &str) {
        let prefixed: String =
            line.split('\n').map(|line| format!("{}{}\n", self.prefix, one_line(line))).collect();
        // A closed stderr is no reason to stop working.
        let _ = std::io::stderr().write_all(prefixed.as_bytes());
    }

    fn plain(&self, task: &mut Task) {
        if self.quiet || self.bars || task.said.elapsed() < PLAIN_INTERVAL {
            return;
        }
        task.said = Instant::now();
        let share = match task.total {
            Some(total) if total > 0 => format!("{} of {total}", task.done),
            _ => task.done.to_string(),
        };
        self.line(format!("  {}: {share}  {}", task.label, task.status).trim_end());
    }
}

impl Progress for Terminal {
    fn begin(&self, label: &str, total: Option<u64>) {
        self.finish();
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let template = match total {
            Some(_) => "  {prefix} [{bar:24}] {human_pos}/{human_len} {eta} left {wide_msg}",
            None => "  {spinner} {prefix} {human_pos} {elapsed} {wide_msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(label.to_string());
        if self.bars {
            bar.enable_steady_tick(Duration::from_millis(200));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let now = Instant::now();
        let task = Task {
            label: label.to_string(),
            total,
            done: 0,
            status: String::new(),
            begun: now,
            said: now,
            bar,
        };
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    fn advance(&self, n: u64) {
        self.with_task(|task| {
            task.done += n;
            task.bar.inc(n);
            self.plain(task);
        });
    }

    fn message(&self, line: &str) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        match task.as_ref() {
            Some(task) if self.bars => task.bar.suspend(|| self.line(line)),
            _ => self.line(line),
        }
    }

    fn status(&self, text: &str) {
        self.with_task(|task| {
            task.status = text.to_string();
            task.bar.set_message(text.to_string());
            self.plain(task);
        });
    }

    fn finish(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(task) = task else { return };
        task.bar.finish_and_clear();
        let seconds = task.begun.elapsed().as_secs_f64();
        if !self.quiet && seconds >= 1.0 {
            let done = if task.done > 0 { format!("{} in ", task.done) } else { String::new() };
            self.line(&format!("  {}: {done}{}", task.label, duration(seconds)));
        }
    }

    fn stop_requested(&self) -> bool {
        self.stopped_by().is_some()
    }
}

/// Seconds as a person would say them.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), s % 60.0),
        s => format!("{:.0} h {:02.0} min", (s / 3600.0).floor(), (s % 3600.0) / 60.0),
    }
}

/// Bytes as a person would say them.
pub fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_well() {
        for (seconds, expect) in
            [(0.04, "0.0 s"), (61.0, "61 s"), (200.0, "3 min 20 s"), (7500.0, "2 h 05 min")]
        {
            assert_eq!(duration(seconds), expect);
        }
        for (bytes, expect) in
            [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_000_000_000, "2.0 GB")]
        {
            assert_eq!(size(bytes), expect);
        }
    }
}
