//! Every format, packed in every way, read to the same documents.

use crate::support::{Folder, as_read, gzip, tar, zstd};
use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, LargeStringArray, RecordBatch,
    StringArray, StringViewArray,
};
use arrow::datatypes::Int32Type;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::sync::Arc;
use textgan_corpus::{OracleSource, Split, read_documents};
use textgan_random::Key;

const DOCUMENTS: [&str; 3] = ["first, \"quoted\"", "zweites \u{fc}ber", "third line"];

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// The same three documents in each format.
fn formats() -> Vec<(&'static str, Vec<u8>)> {
    let [a, b, c] = DOCUMENTS;
    let jsonl: String = DOCUMENTS
        .iter()
        .map(|text| json!({ "x": [1, { "y": 2 }], "text": text }).to_string() + "\r\n")
        .collect();
    let csv = format!("n,text\n1,\"{}\"\n2,{b}\n3,{c}\n", a.replace('"', "\"\""));
    let tsv = format!("text\tn\n\"{}\"\t1\n{b}\t2\n{c}\t3\n", a.replace('"', "\"\""));
    let html = format!(
        "<html><head><title>no</title><body><p>{a}</p><p>{b}</p><div>{c}</div></body></html>"
    );
    let texts: ArrayRef = Arc::new(StringArray::from(DOCUMENTS.to_vec()));
    vec![
        ("a.txt", format!("\u{feff}{a}\r\n{b}\n\n{c}").into_bytes()),
        ("a.jsonl", (jsonl + "\n").into_bytes()),
        ("a.csv", format!("\u{feff}{csv}").into_bytes()),
        ("a.tsv", tsv.into_bytes()),
        ("a.html", html.into_bytes()),
        ("a.parquet", parquet(vec![("text", texts)])),
    ]
}

#[test]
fn every_format_in_every_packing() {
    type Pack = (&'static str, fn(&str, Vec<u8>) -> Vec<u8>);
    let packings: [Pack; 7] = [
        ("", |_, bytes| bytes),
        (".gz", |_, bytes| gzip(bytes)),
        (".zst", |_, bytes| zstd(bytes)),
        (".tar", |name, bytes| tar(&[("./README", b"x"), (name, &bytes)])),
        (".tar.gz", |name, bytes| gzip(tar(&[(name, &bytes)]))),
        (".tgz", |name, bytes| gzip(tar(&[(&format!("d/{name}.gz"), &gzip(bytes))]))),
        (".tar.zst", |name, bytes| {
            zstd(tar(&[("._junk.txt", b"x"), (&format!("d/{name}.zst"), &zstd(bytes))]))
        }),
    ];
    for (name, bytes) in formats() {
        for (ending, pack) in packings {
            let folder = Folder::new();
            let packed = format!("{name}{ending}");
            folder.write(&packed, pack(name, bytes.clone()));
            // In TSV a quote is text, unless it is said to be none.
            let quoted = name.ends_with("tsv").then_some(true);
            let source = json!({ "kind": "files", "path": packed, "quoted": quoted });
            let outcome =
                folder.ingest(as_read(source)).unwrap_or_else(|e| panic!("{packed}: {e}"));
            assert_eq!(outcome.train(), DOCUMENTS, "{packed}");
        }
    }
}

/// What ingestion keeps, drops and counts, and nothing that it writes.
#[test]
fn documents_can_be_read_without_tables() {
    let folder = Folder::new();
    for (name, bytes) in formats() {
        folder.write(name, bytes);
    }
    folder.write("b.jsonl", "{\"text\": \"\"}\n{\"text\": \"last\", \"of\": \"x\"}\n");
    let source = || json!({ "kind": "files", "path": "?.*", "quoted": true });
    let mut whole = as_read(source());
    // What another split has is not looked for.
    whole["test"] = json!({ "sources": "absent.txt" });
    let config = folder.config(whole);
    let mut read = Vec::new();
    let stats = read_documents(&config, &Key::root(1), |document| {
        read.push(document);
        ControlFlow::Continue(())
    });
    let stats = stats.unwrap();
    let outcome = folder.ingest(as_read(source())).unwrap();
    assert_eq!(read, outcome.rows(Split::Train));
    assert_eq!(stats, outcome.stats.read);
    assert_eq!((stats.documents, stats.dropped), (18, 1));

    let mut first = Vec::new();
    let stats = read_documents(&config, &Key::root(1), |document| {
        first.push(document.text);
        if first.len() == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(first, read[..4].iter().map(|document| document.text.clone()).collect::<Vec<_>>());
    assert_eq!(stats.unwrap().files, 2);

    folder.write("b.jsonl", "{\"text\": \"fine\"}\n{\"text\": \n");
    let mut before = 0;
    let error = read_documents(&config, &Key::root(1), |_| {
        before += 1;
        ControlFlow::Continue(())
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("b.jsonl, line 2") && before == 19, "{before}: {error}");
}

#[test]
fn packed_files_may_have_several_parts() {
    let folder = Folder::new();
    folder.write("a.txt.gz", [gzip("one\n"), gzip("two\n")].concat());
    folder.write("b.txt.zst", [zstd("three\n"), zstd("four\n")].concat());
    let outcome = folder.ingest(as_read(json!(["a.txt.gz", "b.txt.zst"]))).unwrap();
    assert_eq!(outcome.train(), ["one", "two", "three", "four"]);
}

#[test]
fn units_of_text() {
    let folder = Folder::with("one\ntwo\n\n \nthree\n");
    for (unit, expected) in [
        ("line", vec!["one", "two", "three"]),
        ("paragraph", vec!["one\ntwo", "three"]),
        ("file", vec!["one\ntwo\n\n \nthree\n"]),
    ] {
        let source = json!({ "kind": "files", "path": "a.txt", "unit": unit });
        assert_eq!(folder.ingest(as_read(source)).unwrap().train(), expected, "{unit}");
    }
}

#[test]
fn folders_and_patterns_are_read_in_the_order_of_names() {
    let folder = Folder::new();
    for (name, text) in [
        ("data/b.txt", "b"),
        ("data/a/z.txt", "az"),
        ("data/a/b.jsonl", r#"{"text": "ab"}"#),
        ("data/c.txt.gz", ""),
        ("data/.hidden.txt", "hidden"),
        ("data/notes.doc", "notes"),
    ] {
        folder.write(name, text);
    }
    folder.write("data/c.txt.gz", gzip("c"));
    let outcome = folder.ingest(as_read(json!("data"))).unwrap();
    assert_eq!(outcome.train(), ["ab", "az", "b", "c"]);
    assert_eq!((outcome.stats.read.files, outcome.stats.read.skipped_files), (4, 1));
    let source = &outcome.rows(Split::Train)[1].source;
    assert!(source.ends_with("data/a/z.txt"), "{source}");

    let pattern = folder.ingest(as_read(json!("data/**/*.txt*"))).unwrap();
    assert_eq!(pattern.train(), ["az", "b", "c"]);
}

#[test]
fn labels_and_metadata_travel() {
    let folder = Folder::new();
    folder.write("a.jsonl", "{\"t\": \"x\", \"l\": 3, \"m\": {\"k\": [1]}, \"n\": null}\n{\"m\": 1, \"t\": \"y\", \"l\": null, \"n\": \"s\"}");
    folder.write("a.csv", "t,l,m,n\nx,3,u,v\n");
    let dictionary: DictionaryArray<Int32Type> = vec!["dog", "cat", "dog"].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("t", Arc::new(LargeStringArray::from(vec![Some("x"), Some("y"), None]))),
        ("l", Arc::new(dictionary)),
        ("m", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("n", Arc::new(Float64Array::from(vec![Some(0.5), None, Some(1.0)]))),
    ];
    folder.write("a.parquet", parquet(columns));
    let read = |path: &str| {
        let source = json!({ "kind": "files", "path": path, "text": "t", "label": { "column": "l" }, "metadata": ["n", "m"] });
        let outcome = folder.ingest(as_read(source)).unwrap();
        let rows = outcome.rows(Split::Train).into_iter();
        let rows: Vec<_> = rows
            .map(|r| (r.text, r.label.unwrap_or("-".into()), r.metadata.unwrap_or("-".into())))
            .collect();
        (rows, outcome.reasons())
    };
    let row = |text: &str, label: &str, metadata: &str| {
        (text.to_string(), label.to_string(), metadata.to_string())
    };
    assert_eq!(
        read("a.jsonl").0,
        [row("x", "3", r#"{"n":null,"m":{"k":[1]}}"#), row("y", "-", r#"{"n":"s","m":1}"#)]
    );
    assert_eq!(read("a.csv").0, [row("x", "3", r#"{"n":"v","m":"u"}"#)]);
    let (rows, reasons) = read("a.parquet");
    assert_eq!(
        rows,
        [row("x", "dog", r#"{"n":0.5,"m":1}"#), row("y", "cat", r#"{"n":null,"m":2}"#)]
    );
    assert_eq!(reasons, ["read: : `t` is null"]);
}

#[test]
fn labels_of_folders_and_constants() {
    let folder = Folder::new();
    folder.write("data/pos/1.txt", "good");
    folder.write("data/neg/1.txt", "bad");
    folder.write("b.txt", "other");
    folder.write("c.tar", tar(&[("x/pos/1.txt", b"packed")]));
    let sources = json!([
        { "kind": "files", "path": "data", "label": "folder" },
        { "kind": "files", "path": "b.txt", "label": { "constant": "none" } },
        { "kind": "files", "path": "c.tar", "label": "folder" },
    ]);
    let outcome = folder.ingest(as_read(sources)).unwrap();
    let labels: Vec<_> =
        outcome.rows(Split::Train).into_iter().map(|row| row.label.unwrap()).collect();
    assert_eq!(labels, ["neg", "pos", "none", "pos"]);
    assert_eq!(outcome.stats.splits[&Split::Train].labels["pos"], 2);
}

#[test]
fn csv_without_a_header_and_with_lines_in_fields() {
    let folder = Folder::new();
    folder.write("a.csv", "1,\"two\nlines\"\n2,x\n");
    let source = json!({ "kind": "files", "path": "a.csv", "columns": ["id", "text"] });
    assert_eq!(folder.ingest(as_read(source)).unwrap().train(), ["two\nlines", "x"]);
}

#[test]
fn parquet_text_of_any_kind() {
    let folder = Folder::new();
    let view: ArrayRef =
        Arc::new(StringViewArray::from(vec!["a text longer than twelve bytes", "b"]));
    folder.write("a.parquet", parquet(vec![("text", view)]));
    assert_eq!(folder.ingest(as_read(json!("a.parquet"))).unwrap().train().len(), 2);
}

#[test]
fn html_by_selector_and_unit() {
    let folder = Folder::new();
    folder.write("a.html", "<body><nav>menu</nav><p>one<br>two</p><p>three</p></body>");
    for (unit, expected) in [
        ("line", vec!["one", "two", "three"]),
        ("paragraph", vec!["one\ntwo", "three"]),
        ("file", vec!["one\ntwo\nthree"]),
    ] {
        let source = json!({ "kind": "files", "path": "a.html", "unit": unit, "selector": "p" });
        assert_eq!(folder.ingest(as_read(source)).unwrap().train(), expected, "{unit}");
    }
}

#[test]
fn a_limit_ends_a_source_and_not_the_next() {
    let folder = Folder::new();
    folder.write("d/a.txt", "1\n2\n");
    folder.write("d/b.txt", "3\n4\n");
    let sources = json!([{ "kind": "files", "path": "d", "limit": 3 }, "d/a.txt"]);
    assert_eq!(folder.ingest(as_read(sources)).unwrap().train(), ["1", "2", "3", "1", "2"]);
}

#[test]
fn the_built_in_grammar_and_one_of_ones_own() {
    let folder = Folder::new();
    let built_in = |documents: u64| {
        let source = json!({ "kind": "synthetic", "documents": documents });
        let outcome = folder.ingest(as_read(source)).unwrap();
        let grammar = textgan_synthetic::Grammar::embedded();
        for row in outcome.rows(Split::Train) {
            assert!(grammar.grammatical(&row.text), "{}", row.text);
            assert!(grammar.labels().contains(&row.label.unwrap()));
        }
        outcome.train()
    };
    let short = built_in(100);
    let long = built_in(150);
    assert_eq!(long[..100], short);

    folder.write("g.toml", textgan_synthetic::Grammar::embedded_toml());
    let own = json!({ "kind": "synthetic", "documents": 100, "grammar": "g.toml" });
    assert_eq!(folder.ingest(as_read(own)).unwrap().train(), short);
}

#[test]
fn splits_of_the_grammar_are_different_samples() {
    let folder = Folder::new();
    let config = json!({
        "sources": { "kind": "synthetic", "documents": 500 },
        "test": { "sources": { "kind": "synthetic", "documents": 500 } },
        "steps": [],
    });
    let outcome = folder.ingest(config).unwrap();
    assert_ne!(outcome.train()[..100], outcome.texts(Split::Test)[..100]);
}

#[test]
fn sequences_of_an_oracle_are_numbers_of_one_length() {
    let folder = Folder::new();
    let sequences = |documents: u64, length: usize, seed: u64| {
        let source = json!({
            "kind": "oracle", "documents": documents, "length": length, "seed": seed,
        });
        let test = json!({ "sources": source, "clean": "as-is" });
        let config = json!({ "sources": source, "test": test, "split": { "valid": 0.0 } });
        let outcome = folder.ingest(config).unwrap();
        assert_eq!(outcome.stats.splits[&Split::Train].longest_words, length as u64);
        (outcome.train(), outcome.texts(Split::Test))
    };
    let (train, test) = sequences(40, 20, 1);
    let source = OracleSource { seed: 1, ..OracleSource::default() };
    let oracle = source.oracle().unwrap();
    for text in train.iter().chain(&test) {
        let tokens: Option<Vec<u32>> = text.split(' ').map(|word| oracle.token(word)).collect();
        assert_eq!(tokens.expect(text).len(), 20);
    }
    assert_ne!(train, test);
    // Longer and more begin with the same.
    let (longer, _) = sequences(50, 22, 1);
    assert!(longer.iter().zip(&train).all(|(longer, short)| longer.starts_with(short)));
    assert_ne!(sequences(40, 20, 2).0, train);

    let message = folder.refusal(as_read(json!({ "kind": "oracle", "path": "nowhere" })));
    assert!(message.contains("nowhere/embedding.npy"), "{message}");
    let message = folder.refusal(as_read(json!({ "kind": "oracle", "length": 0 })));
    assert!(message.contains("corpus.sources.length"), "{message}");
}

#[test]
fn a_pinned_file_must_be_the_one() {
    let folder = Folder::with("one\n");
    let hash = textgan_artifact::hash_bytes(b"one\n");
    let source = |hash: &str| -> Value {
        as_read(json!({ "kind": "files", "path": "a.txt", "blake3": hash }))
    };
    assert_eq!(folder.ingest(source(&hash.to_uppercase())).unwrap().train(), ["one"]);
    std::fs::remove_dir_all(folder.out()).unwrap();
    let message = folder.refusal(source(&"0".repeat(64)));
    assert!(message.contains(&hash) && message.contains("a.txt"), "{message}");
}
