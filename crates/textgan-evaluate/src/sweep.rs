//! Measures over temperatures, from the measures at each.

use rayon::prelude::*;

use crate::Result;
use crate::change::batches;
use crate::embedding::{
    DIMENSIONS, Embeddings, FrechetTarget, HASHED_PROJECTION, hashed_projection,
};
use crate::evaluation::{Better, Measure, Sweep, Swept};
use crate::series::Series;

impl Sweep {
    /// From the same measures at each of the temperatures.
    pub(crate) fn of(temperatures: &[f32], at: &[Vec<Series>]) -> Self {
        let names = at.first().map_or(&[][..], Vec::as_slice);
        let measures = names.iter().map(|first| swept(first, at)).collect();
        Self { temperatures: temperatures.to_vec(), measures, published: Vec::new() }
    }
}

fn swept(first: &Series, at: &[Vec<Series>]) -> Swept {
    let Measure { name, better, protocol, .. } = &first.measure;
    let mut swept = Swept {
        name: name.clone(),
        better: *better,
        protocol: protocol.clone(),
        values: Vec::with_capacity(at.len()),
        batch_size: first.size,
        batches: Vec::with_capacity(at.len()),
    };
    for series in at {
        let found = series.iter().find(|series| series.measure.name == *name);
        swept.values.push(found.and_then(|series| series.measure.value));
        let batches = found.filter(|series| {
            series.size == first.size && series.batches.iter().all(|value| value.is_finite())
        });
        swept.batches.push(batches.map_or(Vec::new(), |series| series.batches.clone()));
    }
    swept
}

/// Distances of samples from real text in an embedding that needs no encoder.
pub(crate) struct Distances {
    target: FrechetTarget,
    /// The real texts: a part of the protocol.
    texts: String,
}

impl Distances {
    pub fn new(real: &[Vec<u32>], split: &str) -> Result<Self> {
        let embedded = hashed_projection(real);
        let target = FrechetTarget::new(Embeddings::new(&embedded, DIMENSIONS)?)?;
        Ok(Self { target, texts: format!("{split}-{}", real.len()) })
    }

    /// The Fréchet distance of samples and of their batches. It falls with their number.
    pub fn measure(
        &self,
        samples: &[Vec<u32>],
        tokens: &str,
        drawn: &str,
        count: usize,
    ) -> Result<Series> {
        let embedded = hashed_projection(samples);
        let distance = |rows: &[f32]| self.target.distance(Embeddings::new(rows, DIMENSIONS)?);
        let ranges = batches(samples.len(), count);
        let parts: Result<Vec<f64>> = ranges
            .par_iter()
            .map(|range| distance(&embedded[range.start * DIMENSIONS..range.end * DIMENSIONS]))
            .collect();
        let protocol = format!(
            "frechet|embedding:{HASHED_PROJECTION}|samples:{}|references:{}|tokens:{tokens}|{drawn}",
            samples.len(),
            self.texts
        );
        let measure = Measure::new("frechet", distance(&embedded)?, Better::Lower, &protocol);
        Ok(Series::batched(measure, samples.len() / count, parts?))
    }
}
