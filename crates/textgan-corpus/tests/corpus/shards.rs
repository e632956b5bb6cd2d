//! One corpus by several processes: the bytes of one.

use crate::support::{Folder, contents, gzip};
use serde_json::{Value, json};
use std::path::PathBuf;
use textgan_artifact::Quiet;
use textgan_corpus::{
    CorpusConfig, Error, Shard, ShardInputs, Stats, ingest, ingest_shard, merge_shards,
};
use textgan_random::Key;

/// A shard of a corpus in a folder of its own.
fn shard(folder: &Folder, config: &CorpusConfig, number: u32, count: u32) -> PathBuf {
    let out = folder.path(&format!("shard-{number}-of-{count}"));
    let shard = Shard::new(number, count).unwrap();
    ingest_shard(config, &Key::root(3), shard, &out, &Quiet).unwrap();
    out
}

fn merge(folder: &Folder, config: &CorpusConfig, shards: &[PathBuf]) -> Result<Stats, Error> {
    merge_shards(config, &Key::root(3), shards, &folder.path("merged"), &Quiet)
}

/// Files of several kinds, some of them empty of text, with duplicates within and across them.
fn files() -> Folder {
    let folder = Folder::new();
    let line =
        |i: u64| format!("Sentence {} of text {}. And  another ONE, {}!\n", i % 97, i % 301, i % 5);
    for file in 0..7 {
        let lines = (file * 150..(file + 1) * 150 + file * 40).map(line).collect::<String>();
        folder.write(&format!("many/{file}.txt"), lines);
    }
    folder.write("packed.txt.gz", gzip((0..300).map(|i| line(i * 3)).collect::<String>()));
    folder.write("a.html", "<html><body><p>A page.</p><p>Sentence 3 of text 3.</p></body></html>");
    folder.write("b.html", "<html><body></body></html>");
    folder.write("test.txt", (0..200).map(|i| line(i * 7)).collect::<String>());
    folder.write(
        "some.jsonl",
        (0..100)
            .map(|i| {
                format!(
                    "{{\"text\": \"number {}\", \"n\": {i}, \"kind\": \"k{}\"}}\n",
                    i % 60,
                    i % 3
                )
            })
            .collect::<String>(),
    );
    folder
}

fn configs() -> Vec<Value> {
    let all = json!(["many", "packed.txt.gz", "b.html", "a.html", { "kind": "synthetic", "documents": 2500 }]);
    let labels = json!({ "kind": "files", "path": "some.jsonl", "label": { "column": "kind" }, "metadata": ["n"] });
    vec![
        json!({ "sources": all }),
        json!({
            "sources": all,
            "steps": ["nfc", "whitespace", "sentences", { "step": "length", "min_words": 3 }, "exact-duplicates",
                "lower-case", { "step": "near-duplicates", "threshold": 0.7 }, "exact-duplicates",
                { "step": "cross-split", "action": "remove" }],
            "split": { "valid": 0.1, "test": 0.1, "by": "sentence" },
            "rows_per_shard": 400,
        }),
        json!({
            "sources": ["many", labels, { "kind": "files", "path": "packed.txt.gz", "limit": 123 }],
            "steps": [{ "step": "near-duplicates", "threshold": 0.8 }, "exact-duplicates", "whitespace", "cross-split"],
            "test": { "sources": "test.txt" },
            "valid": { "sources": "many/1.txt", "clean": "all" },
        }),
        json!({ "sources": ["many", "b.html"], "steps": ["exact-duplicates", "sentences"],
            "split": { "by": "sentence" }, "test": { "sources": "test.txt", "clean": "text" } }),
    ]
}

#[test]
fn shards_make_the_bytes_of_one_process() {
    let folder = files();
    for (index, config) in configs().into_iter().enumerate() {
        let config = folder.config(config);
        let whole = folder.path("whole");
        let stats = ingest(&config, &Key::root(3), &whole, &Quiet).unwrap();
        let whole = contents(&whole);
        for count in [1, 2, 3, 16] {
            let mut shards: Vec<PathBuf> =
                (1..=count).map(|number| shard(&folder, &config, number, count)).collect();
            // In whatever order they come.
            shards.rotate_left(count as usize / 2);
            let merged = merge(&folder, &config, &shards).unwrap();
            assert_eq!(merged, stats, "config {index}, {count} shards");
            assert!(contents(&folder.path("merged")) == whole, "config {index}, {count} shards");
        }
    }
}

/// A file of lines is cut wherever a shard ends, and still every line is read once and named by its number.
#[test]
fn a_great_file_is_shared_too() {
    let folder = Folder::new();
    folder.write("texts/README", "of no known format");
    let mut text = "\u{FEFF}first\r\n\n".to_owned();
    for i in 0..90_000 {
        text += &format!("line number {i} {}\n", "word ".repeat(i % 11));
        if i % 1000 == 0 {
            text += "\n  \n\u{FEFF}marked in the middle\n";
        }
    }
    assert!(text.len() > 3 << 20);
    text += "the last has no end";
    folder.write("texts/great.txt", &text);
    let config = json!({ "sources": "texts", "limits": { "max_document_bytes": 100 } });
    let config = folder.config(config);
    let whole = folder.path("whole");
    let stats = ingest(&config, &Key::root(3), &whole, &Quiet).unwrap();
    let whole = contents(&whole);
    for count in [2, 3, 7] {
        let of = |number| {
            let out = folder.path(&format!("{number}-of-{count}"));
            let shard = Shard::new(number, count).unwrap();
            let read = ingest_shard(&config, &Key::root(3), shard, &out, &Quiet).unwrap();
            assert!(count > 3 || read.documents > 90_000 / u64::from(2 * count), "{read:?}");
            out
        };
        let shards: Vec<PathBuf> = (1..=count).map(of).collect();
        assert_eq!(merge(&folder, &config, &shards).unwrap(), stats);
        assert!(contents(&folder.path("merged")) == whole, "{count} shards");
    }

    // The same line is wrong for all.
    let at = text.len() * 3 / 4;
    let at = at + text[at..].find("number").unwrap();
    let mut bytes = text.into_bytes();
    bytes[at] = 0xFF;
    folder.write("texts/great.txt", bytes);
    let out = folder.path("out");
    let error = ingest(&config, &Key::root(3), &out, &Quiet).unwrap_err().to_string();
    assert!(error.contains("great.txt, line ") && error.contains("not UTF-8"), "{error}");
    let errors = (1..=4).filter_map(|number| {
        let shard = Shard::new(number, 4).unwrap();
        ingest_shard(&config, &Key::root(3), shard, &out, &Quiet).err()
    });
    assert_eq!(errors.map(|error| error.to_string()).collect::<Vec<_>>(), [error]);
}

/// Every shard has something to do, and what all of them read is what one process reads.
#[test]
fn the_work_is_shared() {
    let folder = files();
    for config in configs() {
        let config = folder.config(config);
        let of = |number| ShardInputs::new(&config, Shard::new(number, 3).unwrap()).unwrap().files;
        let shares: Vec<Vec<PathBuf>> = (1..=3).map(of).collect();
        let mut all = shares.concat();
        all.sort();
        all.dedup();
        assert_eq!(all, config.inputs().unwrap());
        let read = |number| -> u64 {
            let out = folder.path("one");
            let shard = Shard::new(number, 3).unwrap();
            ingest_shard(&config, &Key::root(3), shard, &out, &Quiet).unwrap().text_bytes
        };
        assert!((1..=3).all(|number| read(number) > 0));
    }
}

#[test]
fn a_merge_refuses_what_is_not_all_of_one_corpus() {
    let folder = files();
    let [config, other] = [0, 1].map(|index| folder.config(configs()[index].clone()));
    let shards = [1, 2, 3].map(|number| shard(&folder, &config, number, 3));
    let refusal = |shards: &[PathBuf]| {
        let error = merge(&folder, &config, shards).unwrap_err();
        let left: Vec<_> = std::fs::read_dir(folder.path("merged")).into_iter().flatten().collect();
        assert!(left.is_empty(), "{error}: left {left:?}");
        error.to_string()
    };
    assert!(refusal(&[]).contains("no shards are given"));
    assert!(refusal(&shards[..2]).contains("shard 3/3 is missing"));
    let twice = [shards.to_vec(), vec![shards[1].clone()]].concat();
    assert!(refusal(&twice).contains("shard 2/3 is there twice"));
    let mixed = [shards.to_vec(), vec![shard(&folder, &config, 4, 4)]].concat();
    assert!(refusal(&mixed).contains("it is shard 4/4, and others are of 3"));
    let error = merge(&folder, &other, &shards).unwrap_err().to_string();
    assert!(error.contains("made by another config or seed"), "{error}");
    let error = merge_shards(&config, &Key::root(4), &shards, &folder.path("merged"), &Quiet);
    assert!(error.unwrap_err().to_string().contains("made by another config or seed"));
    // A folder of a shard is not written into.
    let before = contents(&shards[1]);
    let error = merge_shards(&config, &Key::root(3), &shards, &shards[1], &Quiet).unwrap_err();
    assert!(error.to_string().contains("would write into this shard"), "{error}");
    assert!(contents(&shards[1]) == before);
}

#[test]
fn a_merge_refuses_what_was_changed() {
    let folder = files();
    let config = folder.config(configs()[0].clone());
    let shards = [1, 2].map(|number| shard(&folder, &config, number, 2));
    let refused = |because: &str| {
        let error = merge(&folder, &config, &shards).unwrap_err().to_string();
        assert!(error.contains(because), "{error}");
    };
    let changed = |name: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>, because: &str| {
        let path = shards[1].join(name);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, change(bytes.clone())).unwrap();
        refused(because);
        std::fs::write(&path, bytes).unwrap();
    };
    let (manifest, table) = ("shard.json", "rows-00000-of-00001.parquet");
    changed(manifest, &|bytes| bytes[..bytes.len() / 2].to_vec(), "shard.json cannot be read");
    changed(table, &|bytes| bytes[..bytes.len() - 9].to_vec(), "was changed since it was made");
    let other = std::fs::read(shards[0].join(table)).unwrap();
    changed(table, &|_| other.clone(), "was changed since it was made");
    let edited = |from: &'static str, to: &'static str| {
        move |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(from, to).into_bytes()
    };
    changed(manifest, &edited("\"documents\": [", "\"documents\": [1,"), "shard.json was changed");
    changed(manifest, &edited("\"step\": \"", "\"step\": 1, \"x\": \""), "cannot be read");
    merge(&folder, &config, &shards).unwrap();
    for name in [table, manifest] {
        std::fs::remove_file(shards[1].join(name)).unwrap();
        refused(if name == table { "rows" } else { "it is no shard, or not finished" });
    }
}

/// The sizes of files decide where the input is cut, so a shard that was made before a file grew does not fit those
/// that were made after, though it read nothing that changed.
#[test]
fn shards_of_different_cuts_are_not_merged() {
    let folder = Folder::new();
    let lines = |n: usize| (0..n).map(|i| format!("line {i}, of some words\n")).collect::<String>();
    folder.write("texts/a.txt", lines(200_000));
    folder.write("texts/b.txt", lines(50_000));
    let config = folder.config(json!({ "sources": "texts" }));
    let inputs = |number| ShardInputs::new(&config, Shard::new(number, 2).unwrap()).unwrap();
    let before = inputs(1);
    let mut shards = vec![shard(&folder, &config, 1, 2), shard(&folder, &config, 2, 2)];
    folder.write("texts/b.txt", lines(120_000));
    assert_eq!(inputs(1).files, before.files);
    assert_ne!(inputs(1).cut, before.cut);
    shards[1] = shard(&folder, &config, 2, 2);
    let error = merge(&folder, &config, &shards).unwrap_err().to_string();
    assert!(error.contains("make all of them again"), "{error}");
    shards[0] = shard(&folder, &config, 1, 2);
    let whole = folder.path("whole");
    ingest(&config, &Key::root(3), &whole, &Quiet).unwrap();
    merge(&folder, &config, &shards).unwrap();
    assert!(contents(&folder.path("merged")) == contents(&whole));
}

/// Lines that are longer than a piece of a file, dropped or refused; a file that two sources read; one in UTF-16.
#[test]
fn odd_files_are_shared_too() {
    let folder = Folder::new();
    let mut text = String::new();
    for i in 0..60 {
        text += &"long ".repeat(if i % 20 == 7 { 500_000 } else { 300 * i });
        text += &format!("line {i}\n\n");
    }
    folder.write("long.txt", &text);
    let utf_16: Vec<u8> =
        [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    folder.write("wide.txt", utf_16);
    let limits = |oversized: &str| json!({ "max_document_bytes": 100_000, "oversized": oversized });
    let sources = json!(["long.txt", { "kind": "files", "path": "long.txt", "limit": 9 }, "wide.txt", "long.txt",
        { "kind": "files", "path": "long.txt", "unit": "paragraph" }]);
    let config = folder.config(json!({ "sources": sources, "limits": limits("drop") }));
    let whole = folder.path("whole");
    ingest(&config, &Key::root(3), &whole, &Quiet).unwrap();
    for count in [2, 5] {
        let shards: Vec<PathBuf> =
            (1..=count).map(|number| shard(&folder, &config, number, count)).collect();
        merge(&folder, &config, &shards).unwrap();
        assert!(contents(&folder.path("merged")) == contents(&whole), "{count}");
    }
    // Each shard that reads a line that is too long calls it by its number, whatever else of the file it reads.
    let config = folder.config(json!({ "sources": sources, "limits": limits("refuse") }));
    for number in 1..=5 {
        let shard = Shard::new(number, 5).unwrap();
        let Err(error) = ingest_shard(&config, &Key::root(3), shard, &folder.path("out"), &Quiet)
        else {
            continue;
        };
        let error = error.to_string();
        let line = error.split("line ").nth(1).and_then(|rest| rest.split(':').next());
        let line: usize = line.unwrap().parse().unwrap();
        let long = [7, 27, 47].map(|i| 2 * i + 1);
        assert!(long.contains(&line), "shard {number}: {error}");
    }
}
