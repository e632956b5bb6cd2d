//! Whether the numbers of several runs can be compared at all.

use anyhow::{Result, bail};
use textgan_evaluate::verdict::MEASURES;

use super::finished::Finished;

/// Digits of a hash that tell two apart for a reader.
const DIGITS: usize = 12;

/// Refuses runs whose curves were measured differently, or against different text.
///
/// # Errors
/// Names both runs and everything in which they differ, with both values.
pub fn check(runs: &[&Finished]) -> Result<()> {
    let Some((first, rest)) = runs.split_first() else { return Ok(()) };
    for other in rest {
        let mut differences = protocols(first, other)?;
        differences.extend(data(first, other));
        if differences.is_empty() {
            continue;
        }
        let hint = if first.data == other.data {
            ""
        } else {
            "; runs learn from the same corpus where `corpus` is the same and `corpus.seed` is set"
        };
        bail!("{} and {} do not compare: {}{hint}", first.name, other.name, differences.join(", "));
    }
    Ok(())
}

/// What differs in how the measures of a curve were taken: each part once, with both values.
fn protocols(a: &Finished, b: &Finished) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    let mut differ = |what: &str, a: &str, b: &str| {
        let difference = format!("{what} is {a} in one and {b} in the other");
        if a != b && !differences.contains(&difference) {
            differences.push(difference);
        }
    };
    let (a, b) = (a.model()?, b.model()?);
    for name in MEASURES {
        let (Some(a), Some(b)) = (a.get(name), b.get(name)) else { continue };
        let (ours, theirs) = (parts(&a.protocol), parts(&b.protocol));
        for (what, ours) in &ours {
            let theirs = theirs.iter().find(|(other, _)| other == what);
            differ(what, ours, theirs.map_or("absent", |(_, theirs)| theirs));
        }
        for (what, theirs) in &theirs {
            if ours.iter().all(|(other, _)| other != what) {
                differ(what, "absent", theirs);
            }
        }
        let batches = |swept: &textgan_evaluate::Swept| {
            format!("{}x{}", swept.batches.first().map_or(0, Vec::len), swept.batch_size)
        };
        differ("batches", &batches(a), &batches(b));
    }
    Ok(differences)
}

/// `key:value` of each part of a protocol; the first part is a name.
fn parts(protocol: &str) -> Vec<(&str, &str)> {
    protocol.split('|').map(|part| part.split_once(':').unwrap_or(("measure", part))).collect()
}

/// Which files of the tokenised corpus differ.
fn data<'a>(a: &'a Finished, b: &'a Finished) -> Vec<String> {
    let short =
        |hash: Option<&'a String>| hash.map_or("absent", |hash| hash.get(..DIGITS).unwrap_or(hash));
    let mut files: Vec<&String> = a.data.keys().chain(b.data.keys()).collect();
    files.sort();
    files.dedup();
    files
        .into_iter()
        .filter(|file| a.data.get(*file) != b.data.get(*file))
        .map(|file| {
            let (ours, theirs) = (short(a.data.get(file)), short(b.data.get(file)));
            format!("{file} is {ours} in one and {theirs} in the other")
        })
        .collect()
}
