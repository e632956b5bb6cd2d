//! Runs beside each other, which take equal stages from one another instead of making them again.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;
use textgan_artifact::{Manifest, Progress, RunDir};

use super::inspection::Recipe;

/// How often one who waits looks whether he was asked to stop.
const GLANCE: Duration = Duration::from_millis(100);

/// The folders of runs that belong together. Some may not be there yet, and some may be under way in
/// other threads: of those that want the same stage, one makes it while the others wait.
#[derive(Debug, Default)]
pub struct Siblings {
    folders: Vec<PathBuf>,
    under_way: Mutex<Vec<Making>>,
    ended: Condvar,
}

/// A stage that somebody is making.
#[derive(Clone, Debug, PartialEq)]
struct Making {
    stage: &'static str,
    recipe: Recipe,
}

/// The right to make a stage; while it lives, the siblings that want the same wait.
pub(super) struct Turn<'a> {
    siblings: &'a Siblings,
    making: Making,
}

/// A finished stage of a sibling.
pub(super) struct Found<'a> {
    /// The sibling.
    pub run: &'a Path,
    /// The stage's folder in it.
    pub folder: PathBuf,
    pub manifest: Manifest,
}

impl Siblings {
    /// The runs in these folders.
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders, ..Self::default() }
    }

    /// Waits until nobody else makes the same; `None` if `progress` asked to stop before.
    pub(super) fn turn(
        &self,
        stage: &'static str,
        recipe: &Recipe,
        progress: &dyn Progress,
    ) -> Option<Turn<'_>> {
        let making = Making { stage, recipe: recipe.clone() };
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.contains(&making) {
            progress.message(&format!("{stage}: waiting for a run that makes the same"));
        }
        while under_way.contains(&making) {
            if progress.stop_requested() {
                return None;
            }
            let waited = self.ended.wait_timeout(under_way, GLANCE);
            under_way = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        under_way.push(making.clone());
        Some(Turn { siblings: self, making })
    }

    /// What the siblings of the run in `own` hold of `stage` as it would be made from `recipe`.
    pub(super) fn holding<'a>(
        &'a self,
        own: &Path,
        stage: &str,
        recipe: &Recipe,
    ) -> impl Iterator<Item = Found<'a>> {
        self.folders.iter().filter(move |run| *run != own).filter_map(move |run| {
            // A link is no sibling, and one that cannot be read will say so itself.
            let folder = run.symlink_metadata().ok().filter(|found| found.is_dir());
            let folder = folder.and_then(|_| RunDir::open(run).ok())?.stage_dir(stage).ok()?;
            let manifest = Manifest::read(&folder).ok()?;
            (Recipe::of(&manifest) == *recipe).then_some(Found { run, folder, manifest })
        })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut under_way = self.siblings.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|making| *making != self.making);
        self.siblings.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;
    use textgan_artifact::Quiet;

    fn recipe(fingerprint: &str) -> Recipe {
        let fingerprint = fingerprint.to_string();
        Recipe { fingerprint, format_version: 1, inputs: [].into() }
    }

    #[test]
    fn one_makes_what_several_want() {
        let siblings = Siblings::default();
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            let turn = siblings.turn("train", &recipe("a"), &Quiet).unwrap();
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(5));
            inside.fetch_sub(1, Ordering::SeqCst);
            drop(turn);
        };
        thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
        assert_eq!(most.into_inner(), 1);
        // Another recipe, and another stage, are nobody's concern.
        let _turn = siblings.turn("train", &recipe("a"), &Quiet);
        assert!(siblings.turn("train", &recipe("b"), &Quiet).is_some());
        assert!(siblings.turn("generate", &recipe("a"), &Quiet).is_some());
    }

    #[test]
    fn one_who_waits_can_be_stopped() {
        struct Stopping(AtomicBool);
        impl Progress for Stopping {
            fn begin(&self, _label: &str, _total: Option<u64>) {}
            fn advance(&self, _n: u64) {}
            fn message(&self, _line: &str) {
                self.0.store(true, Ordering::SeqCst);
            }
            fn status(&self, _text: &str) {}
            fn finish(&self) {}
            fn stop_requested(&self) -> bool {
                self.0.load(Ordering::SeqCst)
            }
        }
        let siblings = Siblings::default();
        let _turn = siblings.turn("train", &recipe("a"), &Quiet);
        let stopping = Stopping(AtomicBool::new(false));
        assert!(siblings.turn("train", &recipe("a"), &stopping).is_none());
    }
}
