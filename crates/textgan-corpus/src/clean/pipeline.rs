//! A list of steps applied to the rows of one stream, batch by batch.

use super::Row;
use super::cross_split::Registry;
use super::distinct::{DistinctSet, TextHash};
use super::local::{Local, Verdict};
use super::minhash::{Index, MinHash};
use crate::split::Draw;
use crate::stats::{MemoryStats, StepStats};
use crate::{SharedAction, Step};
use rayon::prelude::*;

/// Rows that one task takes at once: enough to make its start cheap.
const CHUNK: usize = 128;

/// How much of the configured steps a stream goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Steps that rewrite; `cross-split` only looks.
    Rewriting,
    /// All steps.
    All,
}

/// The steps for one stream, with what they remember of it.
pub(crate) struct Pipeline {
    steps: Vec<Running>,
    /// How many of the first steps need nothing but the row itself.
    per_row: usize,
    /// Whether what those leave draws its splits: the last of them has cut it into sentences.
    draws: bool,
    extent: Extent,
    /// Whether the stream is a split with files of its own.
    own: bool,
}

struct Running {
    kind: Kind,
    stats: StepStats,
    name: &'static str,
}

enum Kind {
    /// Not applied to this stream.
    Skipped,
    Local(Local),
    Exact(DistinctSet),
    Near(Box<(MinHash, Index)>),
    CrossSplit,
}

impl Pipeline {
    /// `draws` says that sentences draw their splits once they are cut.
    pub(crate) fn new(steps: &[Step], extent: Extent, own: bool, draws: bool) -> Self {
        let running = |step: &Step| {
            let kind = match (step, Local::new(step)) {
                (Step::CrossSplit(_), _) => Kind::CrossSplit,
                _ if extent == Extent::Rewriting && !step.rewrites() => Kind::Skipped,
                (_, Some(local)) => Kind::Local(local),
                (Step::NearDuplicates(config), _) => {
                    let minhash = MinHash::new(config);
                    let index = Index::new(&minhash);
                    Kind::Near(Box::new((minhash, index)))
                }
                _ => Kind::Exact(DistinctSet::new()),
            };
            let stats = StepStats { step: step.name().into(), ..StepStats::default() };
            Running { kind, stats, name: step.name() }
        };
        let steps: Vec<Running> = steps.iter().map(running).collect();
        let draws_after =
            |step: &Running| draws && matches!(&step.kind, Kind::Local(local) if local.splits());
        let is_per_row = |step: &Running| matches!(step.kind, Kind::Skipped | Kind::Local(_));
        let first = steps.iter().take_while(|step| is_per_row(step)).count();
        // What is dropped later has drawn its split all the same.
        let drawn = steps[..first].iter().position(draws_after);
        let per_row = drawn.map_or(first, |position| position + 1);
        Self { steps, per_row, draws: drawn.is_some(), extent, own }
    }

    /// Applies the first steps, those that need nothing but the row itself, and computes what the
    /// [others](Self::across_rows) will ask of it, too. Rows come out in the order of those they came from, dropped ones included.
    pub(crate) fn per_row(&mut self, mut rows: Vec<Row>) -> Vec<Row> {
        let (per_row, across_rows) = self.steps.split_at_mut(self.per_row);
        for step in per_row {
            let Running { kind: Kind::Local(local), name, stats } = step else { continue };
            rows = match local.splits() {
                true => split(local, name, rows, stats),
                false => rewrite(local, name, rows, stats),
            };
        }
        // A text that will be rewritten is not asked before.
        let asked = across_rows.iter().take_while(|step| !matches!(step.kind, Kind::Local(_)));
        let (mut hashed, mut minhash) = (false, None);
        for step in asked {
            match &step.kind {
                Kind::Exact(_) | Kind::CrossSplit => hashed = true,
                Kind::Near(near) => minhash = minhash.or(Some(&near.0)),
                Kind::Skipped | Kind::Local(_) => {}
            }
        }
        rows.par_iter_mut().with_min_len(CHUNK).filter(|row| row.is_kept()).for_each(|row| {
            row.precomputed.hash = hashed.then(|| TextHash::of(&row.text));
            row.precomputed.signature =
                minhash.map(|minhash| Box::new(minhash.signature(&row.text)));
        });
        rows
    }

    /// Applies the steps after those of [`per_row`](Self::per_row), which compare rows with others; `draw` gives every
    /// sentence its split when it has been cut.
    pub(crate) fn across_rows(
        &mut self,
        mut rows: Vec<Row>,
        mut registry: Option<&mut Registry>,
        mut draw: Option<&mut Draw>,
    ) -> Vec<Row> {
        let (extent, own) = (self.extent, self.own);
        if self.draws {
            draw_each(&mut rows, draw.as_deref_mut());
        }
        for step in &mut self.steps[self.per_row..] {
            let (name, stats) = (step.name, &mut step.stats);
            match &mut step.kind {
                Kind::Skipped => {}
                Kind::Local(local) if local.splits() => {
                    rows = split(local, name, rows, stats);
                    draw_each(&mut rows, draw.as_deref_mut());
                }
                Kind::Local(local) => rows = rewrite(local, name, rows, stats),
                Kind::Exact(seen) => {
                    let hashes = each_kept(&rows, hash);
                    judge(&mut rows, hashes, name, stats, |_, hash| {
                        (!seen.insert(hash)).then(|| "an earlier row has the same text".to_string())
                    });
                }
                Kind::Near(near) => {
                    let (minhash, index) = near.as_mut();
                    let signatures = rows.par_iter_mut().with_min_len(CHUNK).map(|row| {
                        // Taken: another such step has another signature.
                        let precomputed = row.precomputed.signature.take();
                        let precomputed = precomputed.filter(|signature| minhash.fits(signature));
                        let made = || Box::new(minhash.signature(&row.text));
                        row.is_kept().then(|| precomputed.unwrap_or_else(made))
                    });
                    let signatures = signatures.collect();
                    judge(&mut rows, signatures, name, stats, |_, signature| {
                        if signature.is_empty() {
                            return None;
                        }
                        let similarity = index.find_or_insert(&signature)?;
                        Some(format!(
                            "an earlier row is nearly the same (estimated similarity {similarity:.2})"
                        ))
                    });
                }
                Kind::CrossSplit => {
                    let Some(registry) = registry.as_deref_mut() else { continue };
                    let stays =
                        registry.action == SharedAction::Count || extent == Extent::Rewriting;
                    let hashes = each_kept(&rows, hash);
                    judge(&mut rows, hashes, name, stats, |row, hash| {
                        let other = registry.meet(row.split, hash, own, stays)?;
                        (!stays).then(|| format!("the split `{other}` has the same text"))
                    });
                }
            }
        }
        rows
    }

    /// Adds what [`per_row`](Self::per_row) did elsewhere.
    pub(crate) fn add(&mut self, stats: &[StepStats]) {
        for (step, other) in self.steps.iter_mut().zip(stats) {
            step.stats.add(other);
        }
    }

    pub(crate) fn stats(&self) -> impl Iterator<Item = &StepStats> {
        self.steps.iter().map(|step| &step.stats)
    }

    pub(crate) fn memory(&self) -> impl Iterator<Item = MemoryStats> {
        self.steps.iter().filter_map(|step| {
            let (rows, bytes) = match &step.kind {
                Kind::Exact(seen) => (seen.len(), seen.bytes()),
                Kind::Near(near) => (near.1.len(), near.1.bytes()),
                Kind::Skipped | Kind::Local(_) | Kind::CrossSplit => return None,
            };
            Some(MemoryStats { step: step.name.into(), rows, bytes })
        })
    }
}

/// Gives every row that is kept a split of its own.
fn draw_each(rows: &mut [Row], draw: Option<&mut Draw>) {
    let Some(draw) = draw else { return };
    rows.iter_mut().filter(|row| row.is_kept()).for_each(|row| row.split = draw.next());
}

fn hash(row: &Row) -> TextHash {
    row.precomputed.hash.unwrap_or_else(|| TextHash::of(&row.text))
}

/// A value of each kept row, in parallel; `None` for the dropped ones.
fn each_kept<T: Send>(rows: &[Row], f: impl Fn(&Row) -> T + Sync) -> Vec<Option<T>> {
    rows.par_iter().with_min_len(CHUNK).map(|row| row.is_kept().then(|| f(row))).collect()
}

/// Asks of each kept row, in order, whether it must go.
fn judge<T>(
    rows: &mut [Row],
    values: Vec<Option<T>>,
    name: &'static str,
    stats: &mut StepStats,
    mut reason: impl FnMut(&Row, T) -> Option<String>,
) {
    for (row, value) in rows.iter_mut().zip(values) {
        let Some(value) = value else { continue };
        stats.rows += 1;
        if let Some(reason) = reason(row, value) {
            row.drop_by(name, reason);
            stats.dropped += 1;
        }
    }
}

/// Applies a step that makes one row of one.
fn rewrite(
    local: &Local,
    name: &'static str,
    mut rows: Vec<Row>,
    stats: &mut StepStats,
) -> Vec<Row> {
    let counts: Vec<[u64; 3]> = rows
        .par_chunks_mut(CHUNK)
        .map(|rows| {
            let (mut seen, mut changed, mut dropped) = (0, 0, 0);
            for row in rows.iter_mut().filter(|row| row.is_kept()) {
                seen += 1;
                match local.apply(&row.text) {
                    Verdict::Same | Verdict::Split(_) => {}
                    Verdict::Changed(text) => {
                        row.rewrite(text);
                        changed += 1;
                    }
                    Verdict::Dropped(reason) => {
                        row.drop_by(name, reason);
                        dropped += 1;
                    }
                }
            }
            [seen, changed, dropped]
        })
        .collect();
    for [seen, changed, dropped] in counts {
        stats.rows += seen;
        stats.changed += changed;
        stats.dropped += dropped;
    }
    rows
}

/// Applies a step that may make several rows of one.
fn split(local: &Local, name: &'static str, rows: Vec<Row>, stats: &mut StepStats) -> Vec<Row> {
    let verdicts = each_kept(&rows, |row| local.apply(&row.text));
    let mut out = Vec::with_capacity(rows.len());
    for (mut row, verdict) in rows.into_iter().zip(verdicts) {
        stats.rows += u64::from(verdict.is_some());
        match verdict {
            None | Some(Verdict::Same) => out.push(row),
            Some(Verdict::Changed(text)) => {
                stats.changed += 1;
                row.rewrite(text);
                out.push(row);
            }
            Some(Verdict::Dropped(reason)) => {
                stats.dropped += 1;
                row.drop_by(name, reason);
                out.push(row);
            }
            Some(Verdict::Split(texts)) => {
                stats.changed += 1;
                stats.added += texts.len() as u64 - 1;
                row.rewrite(String::new());
                let part = |text| Row { text, ..row.clone() };
                out.extend(texts.into_iter().map(part));
            }
        }
    }
    out
}
