use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use textgan_artifact::Progress;
use textgan_artifact::table::ShardedWriter;
use textgan_random::Key;

use crate::{Error, Labels, Model, Options, Result};

const ROWS_PER_SHARD: u64 = 1 << 18;

/// What a run of [`generate`] made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Texts written.
    pub samples: u64,
    /// Tokens in them.
    pub tokens: u64,
    /// Texts that were cut at the greatest length.
    pub cut: u64,
}

/// Writes `options.count` texts of `model` into `out`, a folder that exists:
/// `samples-*.parquet` ([`Sample`](textgan_artifact::table::Sample)s) and `samples.txt`, one text a
/// line (a line break inside a text is written `\n`).
///
/// Memory holds one batch. `labels` are those of the texts unless the options name one; `key` names the random streams unless the options have a seed.
///
/// # Errors
/// [`Error::Option`] for options that cannot work with this model, [`Error::Interrupted`] when
/// `progress` asks to stop, and those of writing.
pub fn generate(
    model: &Model,
    options: &Options,
    labels: Labels<'_>,
    key: &Key,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Summary> {
    let path = out.join("samples.txt");
    let failed = |source| Error::File { path: path.clone(), source };
    let mut lines = BufWriter::new(File::create(&path).map_err(failed)?);
    let mut rows = ShardedWriter::create(out, "samples", ROWS_PER_SHARD)?;
    let mut summary = Summary { samples: 0, tokens: 0, cut: 0 };

    let labels = match options.label {
        Some(_) => model.chosen_labels(options)?,
        None => labels,
    };
    progress.begin("generating", Some(options.count as u64));
    model.generate_batches(options, labels, &options.key(Some(key)), progress, |batch| {
        for sample in &batch {
            writeln!(lines, "{}", sample.text.replace('\n', "\\n")).map_err(failed)?;
            summary.samples += 1;
            summary.tokens += sample.tokens.len() as u64;
            summary.cut += u64::from(sample.token_log_probs.len() <= sample.tokens.len());
        }
        batch.into_iter().try_for_each(|sample| rows.push(sample))?;
        Ok::<(), Error>(())
    })?;
    rows.finish()?;
    lines.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
    progress.finish();
    Ok(summary)
}
