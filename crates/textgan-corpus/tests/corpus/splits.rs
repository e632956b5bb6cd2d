//! Splits: drawn, or read from files of their own.

use crate::support::Folder;
use serde_json::json;
use std::collections::BTreeSet;
use textgan_corpus::Split;

fn numbered(n: usize) -> String {
    (0..n).map(|i| format!("caption {i}\n")).collect()
}

#[test]
fn drawn_splits_have_their_parts_and_share_no_document() {
    let folder = Folder::with(&numbered(1000));
    let config = json!({ "sources": "a.txt", "split": { "valid": 0.1, "test": 0.05 } });
    let outcome = folder.ingest(config).unwrap();
    let counts: Vec<u64> = outcome.stats.splits.values().map(|split| split.rows).collect();
    assert_eq!(counts, [850, 100, 50]);
    let all: BTreeSet<String> = Split::ALL.iter().flat_map(|&split| outcome.texts(split)).collect();
    assert_eq!(all.len(), 1000);
}

#[test]
fn sentences_of_a_document_stay_in_its_split() {
    let text: String = (0..200).map(|i| format!("This is {i}. And so is {i}.\n")).collect();
    let folder = Folder::with(&text);
    let outcome = folder.ingest(json!({ "sources": "a.txt", "steps": ["sentences"], "split": { "valid": 0.2, "test": 0.2 } })).unwrap();
    for split in Split::ALL {
        let texts = outcome.texts(split);
        assert!(!texts.is_empty());
        for pair in texts.chunks(2) {
            let number = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
            assert_eq!(number(&pair[0]), number(&pair[1]));
        }
    }
}

/// A few long documents have enough sentences for every split, and their order, seed and parts decide as ever.
#[test]
fn sentences_of_a_few_documents_can_be_drawn() {
    let text: String = (0..3)
        .map(|document| {
            (0..100).map(|i| format!("This is {document} of {i}. ")).collect::<String>() + "\n"
        })
        .collect();
    let folder = Folder::with(&text);
    let config = |by: &str, steps: serde_json::Value| json!({ "sources": "a.txt", "steps": steps, "split": { "valid": 0.1, "test": 0.1, "by": by } });
    let refused =
        folder.ingest(config("document", json!(["sentences"]))).err().unwrap().to_string();
    assert!(refused.contains("split"), "{refused}");
    let outcome = folder.ingest(config("sentence", json!(["whitespace", "sentences"]))).unwrap();
    let counts: Vec<u64> = outcome.stats.splits.values().map(|split| split.rows).collect();
    assert_eq!(counts, [240, 30, 30]);
    for document in ["0", "1", "2"] {
        let of = |text: &String| text.contains(&format!("is {document} of"));
        assert!(outcome.texts(Split::Test).iter().any(of), "evenly along the corpus");
    }
    let refused =
        folder.ingest(config("sentence", json!(["whitespace"]))).err().unwrap().to_string();
    assert!(refused.contains("corpus.split.by") && refused.contains("sentences"), "{refused}");
}

#[test]
fn a_split_with_its_own_file_is_not_touched() {
    let folder = Folder::with("shared  text\nonly train\nonly train\nSHARED text\n");
    let untouched = ["Shared  Text", "Shared  Text", " spaced ", "e\u{301}"];
    folder.write("test.txt", untouched.join("\n"));
    let steps = json!(["nfc", "whitespace", "lower-case", { "step": "length", "min_words": 2 }, "exact-duplicates", "cross-split"]);
    let config = |clean: &str| {
        json!({
            "sources": "a.txt", "steps": steps, "split": { "valid": 0 },
            "test": { "sources": "test.txt", "clean": clean },
        })
    };
    let outcome = folder.ingest(config("as-is")).unwrap();
    assert_eq!(outcome.texts(Split::Test), untouched);
    // The training rows are compared with what the steps would have made of the test rows.
    assert_eq!(outcome.train(), ["only train"]);
    assert!(
        outcome
            .reasons()
            .contains(&"cross-split: shared text: the split `test` has the same text".to_string())
    );

    let outcome = folder.ingest(config("text")).unwrap();
    assert_eq!(outcome.texts(Split::Test), ["shared text", "shared text", "spaced", "\u{e9}"]);

    let outcome = folder.ingest(config("all")).unwrap();
    assert_eq!(outcome.texts(Split::Test), ["shared text"]);
}

#[test]
fn what_splits_share_can_be_counted_only() {
    let folder = Folder::with("a\nb\nc\nb\n");
    folder.write("valid.txt", "b\nx\n");
    folder.write("test.txt", "c\nx\n");
    let config = json!({
        "sources": "a.txt", "steps": [{ "step": "cross-split", "action": "count" }],
        "valid": { "sources": "valid.txt" }, "test": { "sources": "test.txt" },
    });
    let outcome = folder.ingest(config).unwrap();
    assert_eq!(outcome.train(), ["a", "b", "c", "b"]);
    let shared: Vec<_> =
        outcome.stats.shared.iter().map(|s| (s.split, s.also_in, s.rows)).collect();
    assert_eq!(
        shared,
        [
            (Split::Train, Split::Valid, 2),
            (Split::Train, Split::Test, 1),
            (Split::Valid, Split::Test, 1)
        ]
    );
}

#[test]
fn drawn_splits_can_be_kept_apart() {
    let folder = Folder::with(&numbered(50).repeat(20));
    for steps in [json!(["cross-split"]), json!(["exact-duplicates", "cross-split"])] {
        let config =
            json!({ "sources": "a.txt", "steps": steps, "split": { "valid": 0.1, "test": 0.1 } });
        let outcome = folder.ingest(config).unwrap();
        let sets: Vec<BTreeSet<String>> =
            Split::ALL.iter().map(|&split| outcome.texts(split).into_iter().collect()).collect();
        assert!(
            sets[0].is_disjoint(&sets[1])
                && sets[0].is_disjoint(&sets[2])
                && sets[1].is_disjoint(&sets[2])
        );
    }
}

#[test]
fn distinct_rows_are_not_remembered_twice() {
    let folder = Folder::with(&numbered(500));
    let memory = |steps: serde_json::Value| {
        let outcome = folder.ingest(json!({ "sources": "a.txt", "steps": steps })).unwrap();
        outcome.stats.memory.iter().map(|m| (m.step.clone(), m.rows)).collect::<Vec<_>>()
    };
    assert_eq!(
        memory(json!(["exact-duplicates", "cross-split"])),
        [("exact-duplicates".to_string(), 500)]
    );
    assert_eq!(memory(json!(["cross-split"])), [("cross-split".to_string(), 500)]);
}

#[test]
fn a_split_may_be_left_out() {
    let folder = Folder::with(&numbered(20));
    let outcome =
        folder.ingest(json!({ "sources": "a.txt", "split": { "valid": 0.1, "test": 0 } })).unwrap();
    assert!(textgan_artifact::table::shards(&outcome.out, "test").is_err());
    assert_eq!(outcome.texts(Split::Valid).len(), 2);
}

#[test]
fn splits_are_cut_into_shards() {
    let folder = Folder::with(&numbered(100));
    let config =
        json!({ "sources": "a.txt", "rows_per_shard": 40, "split": { "valid": 0, "test": 0.1 } });
    let outcome = folder.ingest(config).unwrap();
    let shards = textgan_artifact::table::shards(&outcome.out, "train").unwrap();
    assert_eq!(shards.len(), 3);
    assert_eq!(outcome.train().len(), 90);
}
