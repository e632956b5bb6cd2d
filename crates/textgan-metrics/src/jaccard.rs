//! MS-Jaccard: the overlap of two sets' n-grams as multisets.

use crate::Error;
use crate::error::check;
use crate::grams::Grams;

/// MS-Jaccard-1 to MS-Jaccard-`max_n` of two sets; element `n - 1` is MS-Jaccard-`n`.
///
/// For each order the n-grams are counted per sentence of their set; the sum of the smaller counts
/// over the sum of the larger is the Jaccard index of the two multisets. MS-Jaccard-`n` is the
/// geometric mean over the orders up to `n` (Montahaei et al., 2019). It is 1 for equal sets, falls
/// with quality and with diversity, and is zero from an order on at which neither set has an n-gram.
///
/// # Errors
/// No samples or references, or only empty ones; `max_n` of zero.
pub fn ms_jaccard<S, R>(samples: &[S], references: &[R], max_n: usize) -> Result<Vec<f64>, Error>
where
    S: AsRef<[u32]>,
    R: AsRef<[u32]>,
{
    if max_n == 0 {
        return Err(Error::Order);
    }
    check("samples", samples)?;
    check("references", references)?;
    let mut grams = Grams::new(max_n);
    let mut counts = vec![Vec::new(); max_n];
    count(samples.iter().map(AsRef::as_ref), 0, &mut grams, &mut counts)?;
    count(references.iter().map(AsRef::as_ref), 1, &mut grams, &mut counts)?;
    let sizes = [samples.len() as f64, references.len() as f64];
    let mut logarithms = 0.0;
    let scores = (1..).zip(&counts).map(|(n, counts)| {
        let (mut smaller, mut larger) = (0.0, 0.0);
        for &[a, b] in counts {
            let (a, b) = (f64::from(a) / sizes[0], f64::from(b) / sizes[1]);
            smaller += a.min(b);
            larger += a.max(b);
        }
        // The logarithm of zero is minus infinity, and the score zero from there on.
        logarithms += if larger > 0.0 { (smaller / larger).ln() } else { f64::NEG_INFINITY };
        (logarithms / f64::from(n)).exp()
    });
    Ok(scores.collect())
}

/// Adds a set's n-grams to the counts of that side.
fn count<'a>(
    set: impl Iterator<Item = &'a [u32]>,
    side: usize,
    grams: &mut Grams,
    counts: &mut [Vec<[u32; 2]>],
) -> Result<(), Error> {
    let mut ids = Vec::new();
    for sentence in set {
        grams.add(sentence, &mut ids, |n, ids| {
            let counts = &mut counts[n - 1];
            for &id in ids {
                let id = id as usize;
                if id == counts.len() {
                    counts.push([0; 2]);
                }
                counts[id][side] += 1;
            }
        })?;
    }
    Ok(())
}
