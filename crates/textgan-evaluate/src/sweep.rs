//! Measures over temperatures, from the measures at each.

use crate::evaluation::{Measure, Sweep, Swept};
use crate::series::Series;

impl Sweep {
    /// From the same measures at each of the temperatures.
    pub(crate) fn of(temperatures: &[f32], at: &[Vec<Series>]) -> Self {
        let names = at.first().map_or(&[][..], Vec::as_slice);
        let measures = names.iter().map(|first| swept(first, at)).collect();
        let parameter = "temperature".to_owned();
        Self { parameter, temperatures: temperatures.to_vec(), measures, published: Vec::new() }
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
