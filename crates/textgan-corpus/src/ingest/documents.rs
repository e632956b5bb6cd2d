//! The documents of a corpus as they are, one after the other.

use super::{Stream, pieces, rules};
use crate::clean::Fate;
use crate::read::{self, Reading, Record, Watch};
use crate::stats::ReadStats;
use crate::{CorpusConfig, Error, Split};
use std::cell::Cell;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use textgan_artifact::table::Document;
use textgan_random::Key;

/// Reads the documents of `config.sources` in order and hands each to `visit`, until it breaks off. They are as they
/// were written: nothing is cleaned, split or stored, and memory is bounded by one of them. What cannot be used (it has no
/// text, or too much) is passed over and counted.
///
/// # Errors
/// [`Error`] says which file, line or key is wrong; `visit` has had the documents before it.
pub fn read_documents(
    config: &CorpusConfig,
    key: &Key,
    mut visit: impl FnMut(Document) -> ControlFlow<()>,
) -> Result<ReadStats, Error> {
    config.validate()?;
    let spool = std::env::temp_dir();
    let reading = Reading { rules: rules(config), watch: Watch::new(), spool: &spool };
    let (mut stats, mut found) = (ReadStats::default(), ReadStats::default());
    let mut id = 0;
    let broke_off = Cell::new(false);
    let mut sink = |record: Record| {
        let origin = Arc::clone(&record.origin);
        let rows = read::decode(record, found.documents, Split::Train, &reading.rules);
        found.documents += 1;
        for row in rows.map_err(|error| origin.located(error))? {
            found.text_bytes += row.text.len() as u64;
            found.replaced += row.text.matches('\u{FFFD}').count() as u64;
            let row_id = id;
            id += 1;
            if let Fate::Dropped { .. } = row.fate {
                found.dropped += 1;
                continue;
            }
            let (text, label, metadata) = (row.text, row.label, row.metadata);
            let source = row.source.to_string();
            if visit(Document { id: row_id, text, label, source, metadata }).is_break() {
                broke_off.set(true);
                return Ok(Break(()));
            }
        }
        Ok(Continue(()))
    };
    // Not of the splits that have files of their own.
    let stream = Stream { sources: &config.sources, own: None };
    for piece in pieces(&[stream], key)? {
        read::read_part(piece.source, &piece.part, piece.key, &reading, &mut stats, &mut sink)?;
        if broke_off.get() {
            break;
        }
    }
    let ReadStats { documents, text_bytes, dropped, replaced, .. } = found;
    Ok(ReadStats { documents, text_bytes, dropped, replaced, ..stats })
}
