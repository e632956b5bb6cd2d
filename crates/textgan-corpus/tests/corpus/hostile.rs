//! Broken and hostile input: one clear message with file and fix, and nothing left behind.

use crate::support::{Folder, as_read, gzip, tar, zstd};
use serde_json::{Value, json};
use textgan_corpus::{Error, Split};

/// What one case is about, its files, its config, and parts of the message.
struct Case {
    name: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
    config: Value,
    message: Vec<&'static str>,
}

fn case(
    name: &'static str,
    file: &'static str,
    bytes: impl Into<Vec<u8>>,
    message: &[&'static str],
) -> Case {
    Case {
        name,
        files: vec![(file, bytes.into())],
        config: as_read(json!(file)),
        message: message.to_vec(),
    }
}

/// A Parquet file with a column of texts, `caption`, and one of numbers, `n`.
fn captions() -> Vec<u8> {
    let texts = arrow::array::StringArray::from(vec!["x"]);
    let numbers = arrow::array::Int64Array::from(vec![1]);
    let columns: [(&str, arrow::array::ArrayRef); 2] =
        [("caption", std::sync::Arc::new(texts)), ("n", std::sync::Arc::new(numbers))];
    let batch = arrow::array::RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn cases() -> Vec<Case> {
    let truncated = |bytes: Vec<u8>| bytes[..bytes.len() - 20].to_vec();
    let text: String = (0..2000).map(|i| format!("line {i} of a text\n")).collect();
    let corrupt = {
        let mut bytes = gzip(&text);
        let middle = bytes.len() / 2;
        bytes[middle..middle + 50].fill(0xAA);
        bytes
    };
    // Many lines, so that no document is too long before the expansion is.
    let bomb: String = ("y".repeat(1000) + "\n").repeat(30_000);
    let columns =
        |path: &str, text: &str| as_read(json!({ "kind": "files", "path": path, "text": text }));
    let parquet = captions();
    let mut cases = vec![
        case("empty file", "a.txt", "", &["empty", "a.txt"]),
        case("blank lines", "a.txt", "\n \n\n", &["empty", "only blank lines"]),
        case(
            "not UTF-8",
            "a.txt",
            b"one\ntwo\nthr\xE9e\n".to_vec(),
            &["a.txt, line 3", "byte 11", "encoding = \"replace\""],
        ),
        case(
            "not UTF-8 in CSV",
            "a.csv",
            b"n,text\n12,gr\xFCn\n".to_vec(),
            &["a.csv, line 2", "byte 12"],
        ),
        case(
            "not UTF-8 in JSON",
            "a.jsonl",
            b"{\"text\": \"\xFF\"}".to_vec(),
            &["a.jsonl, line 1", "byte 10"],
        ),
        case(
            "a line too long",
            "a.txt",
            "x".repeat(1_100_000),
            &["a.txt, line 1", "1048576 bytes", "max_document_bytes", "oversized"],
        ),
        case(
            "truncated gzip",
            "a.txt.gz",
            truncated(gzip(&text)),
            &["a.txt.gz", "truncated", "gzip"],
        ),
        case(
            "truncated zstd",
            "a.txt.zst",
            truncated(zstd(&text)),
            &["a.txt.zst", "truncated", "Zstandard"],
        ),
        case("not gzip", "a.txt.gz", text.as_str(), &["a.txt.gz", "gzip", "fetch it again"]),
        case("not zstd", "a.txt.zst", text.as_str(), &["a.txt.zst", "Zstandard"]),
        case("damaged gzip", "a.txt.gz", corrupt, &["a.txt.gz", "gzip"]),
        case("gzip bomb", "a.txt.gz", gzip(&bomb), &["a.txt.gz", "bomb", "max_expansion"]),
        case("zstd bomb", "a.txt.zst", zstd(&bomb), &["a.txt.zst", "bomb"]),
        case("gzip bomb of one line", "a.txt.gz", gzip("z".repeat(30_000_000)), &["bomb"]),
        case(
            "gzip bomb in a tar",
            "a.tar",
            tar(&[("b.txt.gz", &gzip(&bomb))]),
            &["a.tar/b.txt.gz", "bomb"],
        ),
        case(
            "truncated tar",
            "a.tar",
            tar(&[("b.txt", text.as_bytes())])[..5000].to_vec(),
            &["a.tar/b.txt", "truncated"],
        ),
        case("not a tar", "a.tar", text.as_str(), &["a.tar"]),
        case("tar that escapes", "a.tar", tar(&[("../b.txt", b"x")]), &["../b.txt", "outside"]),
        case(
            "tar with an absolute path",
            "a.tar.gz",
            gzip(tar(&[("/etc/b.txt", b"x")])),
            &["/etc/b.txt", "outside"],
        ),
        case(
            "tar of nothing known",
            "a.tar",
            tar(&[("b.bin", b"x")]),
            &["a.tar", "no file of a known format"],
        ),
        case("unknown format", "a.bin", "x", &["a.bin", "`format`"]),
        case("JSON lines, not an array", "a.json", "{}", &["a.json", "jsonl"]),
        case("an array of JSON", "a.jsonl", "[{\"text\": 1}]", &["a.jsonl, line 1", "an array"]),
        case("broken JSON", "a.jsonl", "{\"text\": \"x\"}\n{\"text\": ", &["a.jsonl, line 2"]),
        case(
            "JSON after JSON",
            "a.jsonl",
            "{\"text\": \"x\"} {\"text\": \"y\"}",
            &["a.jsonl, line 1", "trailing"],
        ),
        case(
            "missing key",
            "a.jsonl",
            "{\"text\": \"x\"}\n{\"caption\": \"x\", \"id\": 1}",
            &["a.jsonl, line 2", "`text`", "are `caption`, `id`"],
        ),
        case("a number for text", "a.jsonl", "{\"text\": 1}", &["a.jsonl, line 1", "not a string"]),
        case("nested JSON", "a.jsonl", "[".repeat(200_000), &["a.jsonl, line 1"]),
        case(
            "missing column",
            "a.csv",
            "caption,id\nx,1\n",
            &["a.csv", "`text`", "are `caption`, `id`"],
        ),
        case("uneven CSV", "a.csv", "text,n\nx,1\ny\n", &["a.csv, line 3", "1 fields where 2"]),
        case(
            "open quote",
            "a.csv",
            format!("text\n\"{}", "x\n".repeat(5_000_000)),
            &["a.csv, line 2", "quote", "max_document_bytes"],
        ),
        case("empty CSV", "a.csv", "text\n", &["empty"]),
        case("not Parquet", "a.parquet", text.as_str(), &["a.parquet", "Parquet"]),
        case(
            "missing Parquet column",
            "a.parquet",
            parquet.clone(),
            &["a.parquet", "`text`", "are `caption`, `n`"],
        ),
    ];
    let mut with = |name, files: Vec<(&'static str, Vec<u8>)>, config, message: &[&'static str]| {
        cases.push(Case { name, files, config, message: message.to_vec() });
    };
    with(
        "wrong Parquet type",
        vec![("a.parquet", parquet)],
        columns("a.parquet", "n"),
        &["`n`", "Int64", "text is needed"],
    );
    with("missing file", vec![], as_read(json!("none.txt")), &["none.txt", "no such file"]);
    with("no match", vec![], as_read(json!("none/*.txt")), &["none/*.txt", "pattern"]);
    with(
        "folder of nothing known",
        vec![("d/a.doc", b"x".to_vec())],
        as_read(json!("d")),
        &["known format", "1 skipped"],
    );
    with(
        "one line",
        vec![("a.txt", b"alone\n".to_vec())],
        json!({ "sources": "a.txt" }),
        &["1 document", "cannot be split", "train, valid, test"],
    );
    with(
        "a split left empty by steps",
        vec![("a.txt", text.clone().into_bytes())],
        json!({ "sources": "a.txt", "steps": [{ "step": "length", "min_words": 50 }] }),
        &["`train`", "length", "corpus.steps"],
    );
    with(
        "a split too small to be drawn",
        vec![("a.txt", b"1\n2\n3\n4\n".to_vec())],
        json!({ "sources": "a.txt", "split": { "valid": 0.001, "test": 0.001 } }),
        &["`valid`", "corpus.split"],
    );
    with(
        "an own split without documents",
        vec![("a.txt", text.into_bytes()), ("t.txt", b"\n".to_vec())],
        json!({ "sources": "a.txt", "test": { "sources": "t.txt" } }),
        &["`test`", "check its sources"],
    );
    with(
        "a grammar with a fault",
        vec![("g.toml", b"x = 1".to_vec())],
        json!({ "sources": { "kind": "synthetic", "grammar": "g.toml" } }),
        &["g.toml"],
    );
    with(
        "a file above the limit",
        vec![("a.txt.zst", zstd("some words of text\n".repeat(500)))],
        json!({ "sources": "a.txt.zst", "limits": { "max_file_bytes": 1000 } }),
        &["a.txt.zst", "max_file_bytes"],
    );
    cases
}

#[test]
fn every_fault_has_one_clear_message() {
    for Case { name, files, config, message } in cases() {
        let folder = Folder::new();
        for (file, bytes) in files {
            folder.write(file, bytes);
        }
        let refusal = folder.refusal(config);
        for part in message {
            assert!(refusal.contains(part), "{name}: `{part}` is not in: {refusal}");
        }
        // A fault in a grammar is shown with its lines.
        assert!(name.contains("grammar") || !refusal.contains('\n'), "{name}: {refusal}");
    }
}

/// A gigabyte without a line end is neither read to its end nor into memory.
#[test]
fn a_gigabyte_in_one_line() {
    let folder = Folder::new();
    let file = std::fs::File::create(folder.path("a.txt")).unwrap();
    file.set_len(1 << 30).unwrap();
    let began = std::time::Instant::now();
    let message = folder.refusal(as_read(json!("a.txt")));
    assert!(message.contains("line 1") && message.contains("max_document_bytes"), "{message}");
    assert!(began.elapsed().as_secs() < 5, "read on for {:?}", began.elapsed());
}

#[test]
#[cfg(not(feature = "hub"))]
fn the_hub_needs_its_feature() {
    let message = Folder::new().refusal(as_read(json!("hf://datasets/owner/name/x.parquet")));
    assert!(message.contains("`owner/name`") && message.contains("feature `hub`"), "{message}");
}

#[test]
fn other_files_in_the_folder_stay() {
    let folder = Folder::with("one\ntwo\n");
    folder.write("out/notes.txt", "mine");
    folder.write("out/train-00000.parquet.unnamed.part", "left by a killed run");
    folder.write("out/train-00003-of-00009.parquet", "of an older run");
    let outcome = folder.ingest(as_read(json!("a.txt"))).unwrap();
    assert_eq!(outcome.texts(Split::Train), ["one", "two"]);
    let names: Vec<String> =
        crate::support::contents(&outcome.out).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["dropped.parquet", "notes.txt", "stats.json", "train-00000-of-00001.parquet"]
    );
}

/// A tar's long names are read with a bound; ordinary ones, in either way of writing them, are read.
#[test]
fn names_in_a_tar_are_bounded() {
    let entry = |kind: ::tar::EntryType, name: &str, bytes: &[u8]| {
        let mut header = ::tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        (header, bytes.to_vec())
    };
    let archive = |entries: Vec<(::tar::Header, Vec<u8>)>| {
        let mut builder = ::tar::Builder::new(Vec::new());
        for (header, bytes) in entries {
            builder.append(&header, &bytes[..]).unwrap();
        }
        builder.into_inner().unwrap()
    };
    use ::tar::EntryType::{GNULongName, Regular, XHeader};
    let long = format!("{}/b.txt\0", "d".repeat(300));
    let record = format!("path={}/c.txt\n", "p".repeat(200));
    let pax = format!("{} {record}", record.len() + 4);
    let good = archive(vec![
        entry(GNULongName, "x", long.as_bytes()),
        entry(Regular, "short", b"one\n"),
        entry(XHeader, "y", pax.as_bytes()),
        entry(Regular, "short", b"two\n"),
    ]);
    let folder = Folder::new();
    folder.write("a.tar", good);
    let outcome = folder.ingest(as_read(json!("a.tar"))).unwrap();
    assert_eq!(outcome.train(), ["one", "two"]);
    let sources: Vec<String> =
        outcome.rows(textgan_corpus::Split::Train).into_iter().map(|row| row.source).collect();
    assert!(sources[0].ends_with("d/b.txt") && sources[1].ends_with("p/c.txt"), "{sources:?}");

    let endless = archive(vec![
        entry(GNULongName, "x", &vec![b'a'; 1 << 20]),
        entry(Regular, "short", b"one\n"),
    ]);
    folder.write("b.tar", endless);
    let message = folder.refusal(as_read(json!("b.tar")));
    assert!(message.contains("a name of more than"), "{message}");
}

/// Any byte of a Parquet file changed: it is read or refused, also where the library panics, which some of these make it do.
#[test]
fn damaged_parquet_is_read_or_refused() {
    let folder = Folder::new();
    let whole = captions();
    let config = as_read(json!({ "kind": "files", "path": "a.parquet", "text": "caption" }));
    let mut caught = 0;
    for at in 0..whole.len() {
        for change in [0x01, 0x80, 0xFF] {
            let mut damaged = whole.clone();
            damaged[at] ^= change;
            folder.write("a.parquet", damaged);
            // What is left may be a file whose one row has no text.
            match folder.ingest(config.clone()).map(|_| ()) {
                Err(Error::Damaged { file, message, .. }) => {
                    assert!(file.contains("a.parquet"), "{at}, {change:x}: {file}");
                    caught += usize::from(message.contains("the file is damaged ("));
                }
                Ok(())
                | Err(
                    Error::Malformed { .. }
                    | Error::MissingColumn { .. }
                    | Error::EmptySplit { .. },
                ) => {}
                Err(error) => panic!("{at}, {change:x}: {error}"),
            }
        }
    }
    assert!(caught > 0, "the library panics at none of these any more");
}
