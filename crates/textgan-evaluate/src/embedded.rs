//! Samples beside real text, as sentence embeddings.

use rayon::prelude::*;
use textgan_random::Key;

use crate::Result;
use crate::change::batches;
use crate::embedder::Embedder;
use crate::embedding::{Embeddings, FrechetTarget, Neighbourhoods, mauve, neighbourhoods};
use crate::evaluation::{Better, Measure};
use crate::series::Series;

/// The neighbour that a neighbourhood reaches to: prdc's default.
const NEIGHBOUR: usize = 5;

/// Real text that samples are compared with.
pub(crate) struct Embedded {
    embedder: Embedder,
    real: Vec<f32>,
    /// Absent of fewer texts than a covariance takes.
    target: Option<FrechetTarget>,
    /// The real texts: a part of the protocol.
    texts: String,
    /// Most texts of a set that is compared by neighbourhoods and clusters, whose time is quadratic.
    most: usize,
}

impl Embedded {
    pub fn new(embedder: Embedder, real: &[Vec<u32>], split: &str, most: usize) -> Result<Self> {
        let embedded = embedder.embed(real)?;
        let target = match real.len() {
            0 | 1 => None,
            _ => Some(FrechetTarget::new(Embeddings::new(&embedded, embedder.dimensions())?)?),
        };
        let texts = format!("{split}-{}", real.len());
        Ok(Self { embedder, real: embedded, target, texts, most })
    }

    /// The Fréchet distance of samples and of their batches. It falls with their number.
    pub fn frechet(
        &self,
        samples: &[Vec<u32>],
        tokens: &str,
        drawn: &str,
        count: usize,
    ) -> Result<Series> {
        self.frechet_of(&self.embedder.embed(samples)?, tokens, drawn, count)
    }

    /// [`Self::frechet`], neighbourhoods and MAUVE. The last two are taken of a batch of samples beside a
    /// batch of real text, so their changes are those of sets of a batch's size, as Self-BLEU's are.
    pub fn measure(
        &self,
        samples: &[Vec<u32>],
        tokens: &str,
        drawn: &str,
        count: usize,
        key: &Key,
    ) -> Result<Vec<Series>> {
        let embedded = self.embedder.embed(samples)?;
        let dimensions = self.embedder.dimensions();
        let mut series = vec![self.frechet_of(&embedded, tokens, drawn, count)?];
        let first = |rows: &'_ [f32]| rows.len().min(self.most * dimensions);
        let real = Embeddings::new(&self.real[..first(&self.real)], dimensions)?;
        let ours = Embeddings::new(&embedded[..first(&embedded)], dimensions)?;
        let protocol = |name: &str, how: &str| {
            format!(
                "{name}|embedding:{}|{how}|samples:{}|references:{} of {}|\
                 references-of-a-batch:{}|tokens:{tokens}|{drawn}",
                self.embedder.name(),
                ours.rows(),
                real.rows(),
                self.texts,
                real.rows() / count
            )
        };
        let mut push = |name: &str, whole: f64, parts: Vec<f64>, how: &str| {
            let measure = Measure::new(name, whole, Better::Higher, &protocol(name, how));
            series.push(match parts.is_empty() {
                true => Series::single(measure),
                false => Series::batched(measure, ours.rows() / count, parts),
            });
        };
        // Disjoint batches of samples, each beside a batch of real text of its own.
        let pairs: Vec<[Embeddings<'_>; 2]> = batches(real.rows(), count)
            .into_iter()
            .zip(batches(ours.rows(), count))
            .map(|(theirs, own)| [real.part(theirs), ours.part(own)])
            .collect();
        let reach = |least: usize| {
            move |[real, ours]: &[Embeddings<'_>; 2]| real.rows().min(ours.rows()) >= least
        };
        if reach(NEIGHBOUR + 1)(&[real, ours]) {
            let found = neighbourhoods(real, ours, NEIGHBOUR)?;
            let parts: Vec<Neighbourhoods> = match pairs.iter().all(reach(NEIGHBOUR + 1)) {
                true => pairs
                    .iter()
                    .map(|&[real, ours]| neighbourhoods(real, ours, NEIGHBOUR))
                    .collect::<Result<_>>()?,
                false => Vec::new(),
            };
            let how = format!("neighbour:{NEIGHBOUR}");
            let mut each = |name: &str, of: fn(&Neighbourhoods) -> f64| {
                push(name, of(&found), parts.iter().map(of).collect(), &how);
            };
            each("precision", |found| found.precision);
            each("recall", |found| found.recall);
            each("density", |found| found.density);
            each("coverage", |found| found.coverage);
        }
        if !reach(2)(&[real, ours]) {
            let few = format!("{} real texts are too few", real.rows());
            let protocol = protocol("mauve", "clusters:none");
            let measure = Measure::undefined("mauve", Better::Higher, &protocol, &few);
            series.push(Series::single(measure));
            return Ok(series);
        }
        let found = mauve(real, ours, None, key)?;
        let parts = match pairs.iter().all(reach(2)) {
            true => (0..)
                .zip(&pairs)
                .map(|(batch, &[real, ours])| Ok(mauve(real, ours, None, &key.index(batch))?.score))
                .collect::<Result<_>>()?,
            false => Vec::new(),
        };
        push("mauve", found.score, parts, &format!("clusters:a-tenth-{}|scale:5", found.clusters));
        Ok(series)
    }

    fn frechet_of(
        &self,
        embedded: &[f32],
        tokens: &str,
        drawn: &str,
        count: usize,
    ) -> Result<Series> {
        let dimensions = self.embedder.dimensions();
        let samples = embedded.len() / dimensions;
        let Some(target) = &self.target else {
            let protocol = format!("frechet|references:{}|tokens:{tokens}|{drawn}", self.texts);
            let few = "there is one real text, which has no covariance";
            let measure = Measure::undefined("frechet", Better::Lower, &protocol, few);
            return Ok(Series::single(measure));
        };
        let distance = |rows: &[f32]| target.distance(Embeddings::new(rows, dimensions)?);
        let parts: Result<Vec<f64>> = batches(samples, count)
            .par_iter()
            .map(|range| distance(&embedded[range.start * dimensions..range.end * dimensions]))
            .collect();
        let protocol = format!(
            "frechet|embedding:{}|samples:{samples}|references:{}|tokens:{tokens}|{drawn}",
            self.embedder.name(),
            self.texts
        );
        let measure = Measure::new("frechet", distance(embedded)?, Better::Lower, &protocol);
        Ok(Series::batched(measure, samples / count, parts?))
    }
}
