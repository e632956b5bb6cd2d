//! Tables keep their rows, their bytes and their manners.

use std::fs;
use std::path::Path;
use textgan_artifact::Error;
use textgan_artifact::table::{
    self, Document, Dropped, Row, Sample, ShardedWriter, SplitReader, TableReader, TableWriter,
    TokenRow,
};

fn document(id: u64) -> Document {
    Document {
        id,
        text: format!("document {id}: «déjà vu» 🦀"),
        label: (!id.is_multiple_of(3)).then(|| format!("label {}", id % 2)),
        source: "a.txt".into(),
        metadata: id.is_multiple_of(5).then(|| format!(r#"{{"n":{id}}}"#)),
    }
}

fn sample(id: u64) -> Sample {
    Sample {
        id,
        text: format!("text {id}"),
        tokens: (4..4 + id as u32 % 7).collect(),
        label: id.is_multiple_of(2).then_some(id as u32),
        noise: vec![-0.0, id as f32, f32::MIN_POSITIVE],
        log_prob: -1.5 * id as f32,
        token_log_probs: vec![-0.1; id as usize % 4],
        realness: id.is_multiple_of(3).then_some(0.25),
        token_realness: Vec::new(),
        temperature: 1.0,
    }
}

fn write<R: Row>(path: &Path, rows: &[R]) {
    let mut writer = TableWriter::create(path).unwrap();
    writer.write(rows).unwrap();
    assert_eq!(writer.finish().unwrap(), rows.len() as u64);
}

fn returns<R: Row + PartialEq + std::fmt::Debug>(rows: Vec<R>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    write(&path, &rows);
    assert_eq!(table::read::<R>(&path).unwrap(), rows);
    // Nothing but the table is left.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn every_row_type_returns_unchanged() {
    for count in [0, 1, 2_500, 20_000] {
        returns((0..count).map(document).collect());
        returns((0..count).map(sample).collect());
        returns(
            (0..count)
                .map(|id| TokenRow {
                    id,
                    label: id.is_multiple_of(2).then_some(3),
                    tokens: vec![7; id as usize % 5],
                    cut: id.is_multiple_of(3),
                })
                .collect(),
        );
        returns(
            (0..count)
                .map(|id| Dropped {
                    id,
                    text: "t".into(),
                    source: "s".into(),
                    split: "train".into(),
                    step: "duplicates".into(),
                    reason: format!("same as {id}"),
                })
                .collect(),
        );
    }
}

#[test]
fn bytes_depend_on_the_rows_only() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..10_000).map(document).collect();
    let whole = folder.path().join("whole.parquet");
    write(&whole, &rows);
    let pieces = folder.path().join("pieces.parquet");
    let mut writer = TableWriter::create(&pieces).unwrap();
    for (index, chunk) in rows.chunks(37).enumerate() {
        if index % 2 == 0 {
            writer.write(chunk).unwrap();
        } else {
            chunk.iter().for_each(|row| writer.push(row.clone()).unwrap());
        }
    }
    writer.finish().unwrap();
    assert!(fs::read(whole).unwrap() == fs::read(pieces).unwrap());
}

#[test]
fn large_rows_end_a_row_group_early() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let rows: Vec<_> =
        (0..5).map(|id| Document { text: "x".repeat(20 << 20), ..document(id) }).collect();
    write(&path, &rows);
    let mut ids = Vec::new();
    for batch in TableReader::<Document>::open(&path).unwrap() {
        ids.extend(batch.unwrap().iter().map(|row| row.id));
    }
    assert_eq!(ids, [0, 1, 2, 3, 4]);
}

#[test]
fn a_dropped_writer_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TableWriter::create(folder.path().join("t.parquet")).unwrap();
    writer.push(document(1)).unwrap();
    drop(writer);
    let mut shards = ShardedWriter::create(folder.path(), "train", 2).unwrap();
    shards.write(&(0..5).map(document).collect::<Vec<_>>()).unwrap();
    drop(shards);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn shards_have_fixed_rows_and_honest_names() {
    let folder = tempfile::tempdir().unwrap();
    for (split, count, files) in [("train", 7, 3), ("valid", 6, 2), ("test", 0, 1)] {
        let rows: Vec<_> = (0..count).map(document).collect();
        let mut writer = ShardedWriter::create(folder.path(), split, 3).unwrap();
        writer.write(&rows).unwrap();
        assert_eq!(writer.finish().unwrap(), count);
        let shards = table::shards(folder.path(), split).unwrap();
        assert_eq!(shards.len(), files, "{split}");
        assert!(shards[0].ends_with(format!("{split}-00000-of-{files:05}.parquet")));
        assert_eq!(table::read_split::<Document>(folder.path(), split).unwrap(), rows);
        assert_eq!(SplitReader::<Document>::open(folder.path(), split).unwrap().rows(), count);
    }
    let names = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 6, "temporary names are gone");
}

#[test]
fn absent_and_incomplete_shards_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let none = table::shards(folder.path(), "train").unwrap_err().to_string();
    assert!(none.contains("has no Parquet files for split `train`"), "{none}");
    let mut writer = ShardedWriter::create(folder.path(), "train", 1).unwrap();
    writer.write(&[document(0), document(1), document(2)]).unwrap();
    writer.finish().unwrap();
    fs::remove_file(folder.path().join("train-00001-of-00003.parquet")).unwrap();
    let one = table::shards(folder.path(), "train").unwrap_err().to_string();
    assert!(one.contains("lacks train-00001-of-00003.parquet"), "{one}");
    let error = ShardedWriter::<Document>::create(folder.path(), "../x", 1).err().unwrap();
    assert!(matches!(error, Error::Escapes { .. }), "{error}");
}

#[test]
fn wrong_columns_are_named_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    write(&path, &[TokenRow { id: 1, label: None, tokens: vec![5], cut: false }]);
    let missing = table::read::<Document>(&path).unwrap_err();
    let Error::MissingColumn { column, present, .. } = &missing else { panic!("{missing}") };
    assert_eq!((column.as_str(), present.len()), ("text", 4));
    let text = missing.to_string();
    assert!(text.contains("t.parquet") && text.contains("id, label, tokens"), "{text}");

    write(&path, &[document(1)]);
    let wrong = table::read::<TokenRow>(&path).unwrap_err().to_string();
    assert!(wrong.contains("`label`") && wrong.contains("Utf8"), "{wrong}");
}

#[test]
fn what_is_not_parquet_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let absent = table::read::<Document>(&path).unwrap_err().to_string();
    assert!(absent.starts_with("cannot open") && absent.contains("t.parquet"), "{absent}");
    write(&path, &(0..100).map(document).collect::<Vec<_>>());
    let bytes = fs::read(&path).unwrap();
    for broken in [&bytes[..0], &bytes[..bytes.len() / 2], b"id,text\n1,x\n".as_slice()] {
        fs::write(&path, broken).unwrap();
        let error = table::read::<Document>(&path).unwrap_err();
        assert!(matches!(error, Error::Table { .. }), "{error}");
    }
}

/// Found by fuzzing: the library that reads Parquet panics at a column at a place below 0, and at fewer levels than a page
/// says that it has.
#[test]
fn what_the_parquet_library_panics_at_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train-00000-of-00001.parquet");
    let offset: &[u8] = include_bytes!("negative-offset.parquet");
    let levels: &[u8] = include_bytes!("too-few-levels.parquet");
    for damaged in [offset, levels] {
        fs::write(&path, damaged).unwrap();
        let message = table::read::<TokenRow>(&path).unwrap_err().to_string();
        assert!(message.contains("train-00000-of-00001.parquet"), "{message}");
        assert!(message.contains("the file is damaged"), "{message}");
    }
    assert!(!table::is_guarded());
}

/// Row groups are encoded by other threads, but nobody waits for one that waits for him: not a thread of a pool of one,
/// nor a thread that such a one waits for.
#[test]
fn a_busy_pool_still_writes_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<Document> = (0..50_000).map(document).collect();
    let path = |name: &str| folder.path().join(name);
    write(&path("plain"), &rows);
    let plain = fs::read(path("plain")).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| write(&path("inside"), &rows));
    assert!(fs::read(path("inside")).unwrap() == plain);
    // All threads of the global pool wait for plain threads that write.
    rayon::broadcast(|thread| {
        let path = path(&thread.index().to_string());
        std::thread::scope(|scope| {
            scope.spawn(|| write(&path, &rows));
        });
        assert!(fs::read(&path).unwrap() == plain);
    });
}

/// A row group may be as long as a row, and so is the batch that it is read in.
#[test]
fn rows_of_many_megabytes_are_read_a_group_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let text = "x".repeat(20 << 20);
    let rows: Vec<Document> =
        (0..5).map(|id| Document { text: text.clone(), ..document(id) }).collect();
    write(&path, &rows);
    let batches: Vec<Vec<Document>> =
        TableReader::open(&path).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(batches.iter().all(|batch| batch.len() == 1));
    assert!(batches.concat() == rows);
}
