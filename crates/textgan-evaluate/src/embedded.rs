//! Samples beside real text, as sentence embeddings.

use rayon::prelude::*;
use textgan_random::Key;

use crate::Result;
use crate::change::batches;
use crate::embedding::{
    DIMENSIONS, Embeddings, FrechetTarget, HASHED_PROJECTION, hashed_projection, mauve,
    neighbourhoods,
};
use crate::evaluation::{Better, Measure};
use crate::series::Series;

/// The neighbour that a neighbourhood reaches to: prdc's default.
const NEIGHBOUR: usize = 5;

/// Real text that samples are compared with.
pub(crate) struct Embedded {
    real: Vec<f32>,
    target: FrechetTarget,
    /// The real texts: a part of the protocol.
    texts: String,
    /// Most texts of a set that is compared by neighbourhoods and clusters, whose time is quadratic.
    most: usize,
}

impl Embedded {
    pub fn new(real: &[Vec<u32>], split: &str, most: usize) -> Result<Self> {
        let embedded = hashed_projection(real);
        let target = FrechetTarget::new(Embeddings::new(&embedded, DIMENSIONS)?)?;
        Ok(Self { real: embedded, target, texts: format!("{split}-{}", real.len()), most })
    }

    /// The Fréchet distance of samples and of their batches. It falls with their number.
    pub fn frechet(
        &self,
        samples: &[Vec<u32>],
        tokens: &str,
        drawn: &str,
        count: usize,
    ) -> Result<Series> {
        self.frechet_of(&hashed_projection(samples), tokens, drawn, count)
    }

    /// [`Self::frechet`], neighbourhoods and MAUVE.
    pub fn measure(
        &self,
        samples: &[Vec<u32>],
        tokens: &str,
        drawn: &str,
        count: usize,
        key: &Key,
    ) -> Result<Vec<Series>> {
        let embedded = hashed_projection(samples);
        let mut series = vec![self.frechet_of(&embedded, tokens, drawn, count)?];
        let first = |rows: &'_ [f32]| rows.len().min(self.most * DIMENSIONS);
        let real = Embeddings::new(&self.real[..first(&self.real)], DIMENSIONS)?;
        let ours = Embeddings::new(&embedded[..first(&embedded)], DIMENSIONS)?;
        let protocol = |name: &str, how: &str| {
            format!(
                "{name}|embedding:{HASHED_PROJECTION}|{how}|samples:{}|references:{} of {}|\
                 tokens:{tokens}|{drawn}",
                ours.rows(),
                real.rows(),
                self.texts
            )
        };
        let mut push = |name: &str, value: f64, how: &str| {
            let measure = Measure::new(name, value, Better::Higher, &protocol(name, how));
            series.push(Series::single(measure));
        };
        if ours.rows().min(real.rows()) > NEIGHBOUR {
            let found = neighbourhoods(real, ours, NEIGHBOUR)?;
            let how = format!("neighbour:{NEIGHBOUR}");
            push("precision", found.precision, &how);
            push("recall", found.recall, &how);
            push("density", found.density, &how);
            push("coverage", found.coverage, &how);
        }
        let found = mauve(real, ours, None, key)?;
        push("mauve", found.score, &format!("clusters:{}|scale:5", found.clusters));
        Ok(series)
    }

    fn frechet_of(
        &self,
        embedded: &[f32],
        tokens: &str,
        drawn: &str,
        count: usize,
    ) -> Result<Series> {
        let distance = |rows: &[f32]| self.target.distance(Embeddings::new(rows, DIMENSIONS)?);
        let samples = embedded.len() / DIMENSIONS;
        let parts: Result<Vec<f64>> = batches(samples, count)
            .par_iter()
            .map(|range| distance(&embedded[range.start * DIMENSIONS..range.end * DIMENSIONS]))
            .collect();
        let protocol = format!(
            "frechet|embedding:{HASHED_PROJECTION}|samples:{samples}|references:{}|\
             tokens:{tokens}|{drawn}",
            self.texts
        );
        let measure = Measure::new("frechet", distance(embedded)?, Better::Lower, &protocol);
        Ok(Series::batched(measure, samples / count, parts?))
    }
}
