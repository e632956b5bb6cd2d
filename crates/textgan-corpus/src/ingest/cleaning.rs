//! Cleaning in two halves: what a row needs by itself, and what compares rows with each other.

use super::Stream;
use super::shard::ShardStats;
use crate::clean::{Extent, Pipeline, Registry, Row};
use crate::read::{self, Origin, Record, Rules};
use crate::split::Draw;
use crate::stats::{MemoryStats, ReadStats, SharedStats, StepStats};
use crate::{Clean, CorpusConfig, Error, SharedAction, Split, SplitBy, Step};
use rayon::prelude::*;
use std::sync::Arc;
use textgan_random::Key;

/// The rows of a record, or what is wrong with it, and where it came from.
type Decoded = Result<Vec<Row>, (Arc<Origin>, Error)>;

/// The state of cleaning, over all batches.
pub(super) struct Cleaning<'a> {
    steps: &'a [Step],
    streams: &'a [Stream<'a>],
    pipelines: Vec<Pipeline>,
    registry: Option<Registry>,
    draw: Draw,
    /// Documents that have drawn a split.
    drawn: u64,
    /// The split of the last of them.
    last: Split,
    /// Whether sentences are drawn, once they are cut.
    by_sentence: bool,
    /// Documents read, by stream.
    pub(super) documents: Vec<u64>,
    text_bytes: u64,
    replaced: u64,
}

impl<'a> Cleaning<'a> {
    pub(super) fn new(config: &'a CorpusConfig, key: &Key, streams: &'a [Stream<'a>]) -> Self {
        let by_sentence = config.split.by == SplitBy::Sentence;
        let pipeline = |stream: &Stream<'_>| {
            let extent = match stream.own {
                Some((_, Clean::AsIs | Clean::Text)) => Extent::Rewriting,
                Some((_, Clean::All)) | None => Extent::All,
            };
            let own = stream.own.is_some();
            Pipeline::new(&config.steps, extent, own, by_sentence && !own)
        };
        let held_out = config.held_out();
        let draws = held_out.valid + held_out.test > 0.0;
        Self {
            steps: &config.steps,
            streams,
            pipelines: streams.iter().map(pipeline).collect(),
            registry: registry(&config.steps, draws),
            draw: Draw::new(held_out, &key.child("split")),
            drawn: 0,
            last: Split::Train,
            by_sentence,
            documents: vec![0; streams.len()],
            text_bytes: 0,
            replaced: 0,
        }
    }

    /// Decodes records of a stream and does with their rows what needs no others.
    pub(super) fn per_row(
        &mut self,
        index: usize,
        records: Vec<Record>,
        rules: &Rules,
    ) -> Result<Vec<Row>, Error> {
        let first = self.documents[index];
        self.documents[index] += records.len() as u64;
        let own = self.streams[index].own;
        let split = own.map_or(Split::Train, |(split, _)| split);
        let decoded: Vec<Decoded> = records
            .into_par_iter()
            .enumerate()
            .map(|(place, record)| {
                let origin = Arc::clone(&record.origin);
                let rows = read::decode(record, first + place as u64, split, rules);
                rows.map_err(|error| (origin, error))
            })
            .collect();
        let mut rows = Vec::with_capacity(decoded.len());
        for decoded in decoded {
            // The first error in the order of the corpus, whatever thread met it.
            rows.append(&mut decoded.map_err(|(origin, error)| origin.located(error))?);
        }
        self.text_bytes += rows.iter().map(|row| row.text.len() as u64).sum::<u64>();
        self.replaced +=
            rows.iter().map(|row| row.text.matches('\u{FFFD}').count() as u64).sum::<u64>();
        Ok(match own {
            Some((_, Clean::AsIs)) => rows,
            _ => self.pipelines[index].per_row(rows),
        })
    }

    /// Does with rows that [`per_row`](Self::per_row) gave, in order, what needs those before them.
    pub(super) fn across_rows(&mut self, index: usize, mut rows: Vec<Row>) -> Vec<Row> {
        let stream = self.streams[index];
        let pipeline = &mut self.pipelines[index];
        if matches!(stream.own, Some((_, Clean::AsIs))) {
            if let Some(registry) = &mut self.registry {
                // Other rows are compared with what the steps would have made of these.
                let copies = pipeline.per_row(rows.clone());
                pipeline.across_rows(copies, Some(registry), None);
            }
            return rows;
        }
        let mut sentences = None;
        if stream.own.is_none() {
            match self.by_sentence {
                true => sentences = Some(&mut self.draw),
                false => rows.iter_mut().for_each(|row| {
                    // Documents without rows draw too.
                    while self.drawn <= row.document {
                        self.last = self.draw.next();
                        self.drawn += 1;
                    }
                    row.split = self.last;
                }),
            }
        }
        pipeline.across_rows(rows, self.registry.as_mut(), sentences)
    }

    /// What [`per_row`](Self::per_row) has done so far.
    pub(super) fn shard(&self, readers: &ReadStats) -> ShardStats {
        let steps = |pipeline: &Pipeline| pipeline.stats().cloned().collect();
        ShardStats {
            read: self.read(readers),
            documents: self.documents.clone(),
            steps: self.pipelines.iter().map(steps).collect(),
        }
    }

    /// Takes over what [`per_row`](Self::per_row) has done elsewhere.
    pub(super) fn add(&mut self, shard: &ShardStats) {
        for (pipeline, steps) in self.pipelines.iter_mut().zip(&shard.steps) {
            pipeline.add(steps);
        }
        for (documents, more) in self.documents.iter_mut().zip(&shard.documents) {
            *documents += more;
        }
        self.text_bytes += shard.read.text_bytes;
        self.replaced += shard.read.replaced;
    }

    /// What was read, by the readers and by decoding.
    pub(super) fn read(&self, readers: &ReadStats) -> ReadStats {
        ReadStats {
            documents: self.documents.iter().sum(),
            text_bytes: self.text_bytes,
            replaced: self.replaced,
            ..readers.clone()
        }
    }

    /// Rows that splits share, and what finding out took.
    pub(super) fn remembered(&self) -> (Vec<SharedStats>, Vec<MemoryStats>) {
        let step = self.steps.iter().find(|step| matches!(step, Step::CrossSplit(_)));
        let (shared, mut memory) = match (&self.registry, step) {
            (Some(registry), Some(step)) => (registry.shared(), vec![registry.memory(step.name())]),
            _ => (Vec::new(), Vec::new()),
        };
        memory.extend(self.pipelines.iter().flat_map(Pipeline::memory));
        memory.retain(|memory| memory.rows > 0);
        (shared, memory)
    }

    /// What the steps did to the streams they were applied to.
    pub(super) fn step_stats(&self) -> Vec<StepStats> {
        let mut sums: Vec<StepStats> = self
            .steps
            .iter()
            .map(|step| StepStats { step: step.name().into(), ..StepStats::default() })
            .collect();
        for pipeline in &self.pipelines {
            for (sum, stats) in sums.iter_mut().zip(pipeline.stats()) {
                sum.add(stats);
            }
        }
        sums
    }
}

fn registry(steps: &[Step], draws: bool) -> Option<Registry> {
    let at = steps.iter().position(|step| matches!(step, Step::CrossSplit(_)))?;
    let action = match &steps[at] {
        Step::CrossSplit(config) => config.action,
        _ => SharedAction::default(),
    };
    // Rows that were made distinct, and not rewritten since, are distinct across splits too.
    let last_rewrite = steps[..at].iter().rposition(Step::rewrites);
    let last_exact = steps[..at].iter().rposition(|step| *step == Step::ExactDuplicates {});
    let distinct = last_exact.is_some() && last_exact > last_rewrite;
    Some(Registry::new(action, draws && !distinct))
}
