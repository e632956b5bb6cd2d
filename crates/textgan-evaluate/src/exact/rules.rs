//! What rules say exactly: whether a text is well-formed.

use textgan_synthetic::Rules;

use super::{Exact, HeldOut, Samples};
use crate::Result;
use crate::evaluation::Better;
use crate::series::Series;

impl Exact for Rules {
    fn samples(&self, samples: &Samples<'_>) -> Result<Vec<Series>> {
        let truths = well_formed(*self, samples)?;
        let protocol = format!("well-formed|rules:{self}|samples:{}|{}", truths.len(), samples.how);
        Ok(samples.shares("well-formed", &truths, &protocol).to_vec())
    }

    fn greedy(&self, samples: &Samples<'_>) -> Result<Vec<Series>> {
        let truths = well_formed(*self, samples)?;
        let name = "well-formed-greedy";
        let protocol = format!("{name}|rules:{self}|noise-vectors:{}", truths.len());
        Ok(vec![Series::share_of(name, &truths, Better::Higher, &protocol, samples.batches)])
    }

    fn held_out(&self, _: &HeldOut<'_>) -> Result<Vec<Series>> {
        Ok(Vec::new())
    }
}

fn well_formed(rules: Rules, samples: &Samples<'_>) -> Result<Vec<bool>> {
    let tokenizer = samples.model.tokenizer();
    let decoded = samples.drawn.tokens.iter().map(|tokens| tokenizer.decode(tokens));
    Ok(decoded.map(|text| text.map(|text| rules.well_formed(&text))).collect::<Result<_, _>>()?)
}
