//! How library functions talk to whoever waits for them.

/// Where a long function reports what it does, and asks whether it should stop.
///
/// One task is under way at a time: [`begin`](Progress::begin), any number of
/// [`advance`](Progress::advance), then [`finish`](Progress::finish). Nothing that is said here may
/// reach a result: it may hold clocks and thread counts.
pub trait Progress: Send + Sync {
    /// A task starts: its name, and how many units it has if that is known.
    fn begin(&self, label: &str, total: Option<u64>);
    /// `n` more units are done.
    fn advance(&self, n: u64);
    /// A fact worth keeping on the screen: a line above the bar.
    fn message(&self, line: &str);
    /// Text beside the bar, replaced by the next one: losses, rates.
    fn status(&self, text: &str);
    /// The task ended.
    fn finish(&self);
    /// Whether the caller wants the function to save what it can and return.
    fn stop_requested(&self) -> bool;
}

/// Says nothing and never stops.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _label: &str, _total: Option<u64>) {}
    fn advance(&self, _n: u64) {}
    fn message(&self, _line: &str) {}
    fn status(&self, _text: &str) {}
    fn finish(&self) {}
    fn stop_requested(&self) -> bool {
        false
    }
}
