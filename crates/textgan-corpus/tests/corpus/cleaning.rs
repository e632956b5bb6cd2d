//! Steps in their order, and the reasons of what they drop.

use crate::support::Folder;
use serde_json::{Value, json};
use textgan_corpus::Split;

fn steps(steps: Value) -> Value {
    json!({ "sources": "a.txt", "steps": steps, "split": { "valid": 0, "test": 0 } })
}

#[test]
fn dropped_rows_are_kept_with_their_reason() {
    let folder = Folder::with("A  b\nab\na b\nx\n\u{1}\n");
    let config = steps(
        json!(["control", "whitespace", "lower-case", { "step": "length", "min_characters": 2 }, "exact-duplicates"]),
    );
    let outcome = folder.ingest(config).unwrap();
    assert_eq!(outcome.train(), ["a b", "ab"]);
    assert_eq!(
        outcome.reasons(),
        [
            "exact-duplicates: a b: an earlier row has the same text",
            "length: x: 1 characters, fewer than 2",
            "control: \u{1}: nothing is left",
        ]
    );
    // Ids say where in the corpus each row was.
    let mut ids: Vec<u64> = outcome.dropped().iter().map(|row| row.id).collect();
    ids.extend(outcome.rows(Split::Train).iter().map(|row| row.id));
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2, 3, 4]);

    let counts: Vec<_> = outcome
        .stats
        .steps
        .iter()
        .map(|s| (s.step.as_str(), s.rows, s.changed, s.dropped))
        .collect();
    assert_eq!(
        counts,
        [
            ("control", 5, 0, 1),
            ("whitespace", 4, 1, 0),
            ("lower-case", 4, 1, 0),
            ("length", 4, 0, 1),
            ("exact-duplicates", 3, 0, 1)
        ]
    );
    let stored: textgan_corpus::Stats =
        serde_json::from_slice(&std::fs::read(outcome.out.join("stats.json")).unwrap()).unwrap();
    assert_eq!(stored, outcome.stats);
}

#[test]
fn sentences_become_rows_and_labels_stay_with_them() {
    let folder = Folder::new();
    folder.write(
        "a.jsonl",
        "{\"text\": \"One here. Two here.\", \"l\": \"x\"}\n{\"text\": \"Three.\", \"l\": \"y\"}\n",
    );
    let config = json!({
        "sources": { "kind": "files", "path": "a.jsonl", "label": { "column": "l" } },
        "steps": ["sentences"],
        "split": { "valid": 0, "test": 0 },
    });
    let outcome = folder.ingest(config).unwrap();
    let rows: Vec<_> =
        outcome.rows(Split::Train).into_iter().map(|r| (r.id, r.text, r.label.unwrap())).collect();
    let row = |id, text: &str, label: &str| (id, text.to_string(), label.to_string());
    assert_eq!(rows, [row(0, "One here.", "x"), row(1, "Two here.", "x"), row(2, "Three.", "y")]);
    assert_eq!(outcome.stats.steps[0].added, 1);
}

#[test]
fn near_duplicates_of_earlier_rows_go() {
    let base: Vec<String> = (0..40).map(|i| format!("w{i}")).collect();
    let mut near = base.clone();
    near[39] = "changed".into();
    let mut far = base.clone();
    far.iter_mut().skip(1).step_by(2).for_each(|word| word.push('x'));
    let folder = Folder::with(&[base.join(" "), near.join(" "), far.join(" ")].join("\n"));
    let outcome = folder.ingest(steps(json!(["near-duplicates"]))).unwrap();
    assert_eq!(outcome.train(), [base.join(" "), far.join(" ")]);
    assert!(
        outcome.dropped()[0].reason.contains("estimated similarity 0.9"),
        "{}",
        outcome.dropped()[0].reason
    );
    assert_eq!(outcome.stats.memory[0].rows, 2);
    assert!(outcome.stats.memory[0].bytes > 0);
}

#[test]
fn languages_and_stop_words() {
    let folder = Folder::with(
        "The weather was fine all over the country yesterday.\nDas Wetter war gestern im ganzen Land sehr sch\u{f6}n.\n",
    );
    let config = steps(
        json!([{ "step": "language", "keep": ["eng"] }, { "step": "stop-words", "language": "en" }]),
    );
    let outcome = folder.ingest(config).unwrap();
    assert_eq!(outcome.train(), ["weather fine country yesterday."]);
    assert!(outcome.reasons()[0].contains("deu"), "{:?}", outcome.reasons());
}

#[test]
fn a_document_too_long_is_dropped_when_asked() {
    let folder = Folder::new();
    folder.write("a.txt", format!("{}\nshort\n", "x".repeat(3_000_000)));
    folder.write(
        "a.jsonl",
        format!("{{\"text\": \"{}\"}}\n{{\"text\": \"short\"}}\n", "x".repeat(3_000)),
    );
    folder.write("a.csv", format!("text\n{}\nshort\n", "x".repeat(3_000)));
    for path in ["a.txt", "a.jsonl", "a.csv"] {
        let config = json!({
            "sources": path, "steps": [], "split": { "valid": 0, "test": 0 },
            "limits": { "max_document_bytes": 1_000, "oversized": "drop" },
        });
        let outcome = folder.ingest(config).unwrap();
        assert_eq!(outcome.train(), ["short"], "{path}");
        let dropped = outcome.dropped();
        assert_eq!(
            (dropped[0].step.as_str(), dropped[0].reason.as_str()),
            ("read", "longer than 1000 bytes"),
            "{path}"
        );
        assert!(dropped[0].text.starts_with("xxx"), "{path}");
        assert_eq!(outcome.stats.read.dropped, 1);
    }
}

#[test]
fn wrong_bytes_can_be_replaced() {
    let folder = Folder::new();
    folder.write("a.txt", b"gr\xFCn\nok\n");
    let mut config = steps(json!([]));
    config["encoding"] = json!("replace");
    assert_eq!(folder.ingest(config).unwrap().train(), ["gr\u{FFFD}n", "ok"]);
}

#[test]
fn the_default_rewrites_and_removes_nothing() {
    let folder = Folder::with(&"a  caption e\u{301}\n".repeat(100));
    let outcome = folder.ingest(json!({ "sources": "a.txt" })).unwrap();
    let rows: u64 = outcome.stats.splits.values().map(|split| split.rows).sum();
    assert_eq!(rows, 100);
    assert_eq!(outcome.train()[0], "a caption \u{e9}");
    assert!(outcome.stats.shared.iter().any(|shared| shared.rows > 0));
}

#[test]
fn a_page_nested_without_end_is_dropped() {
    let folder = Folder::new();
    folder.write("d/a.html", "<div>".repeat(1_000_000));
    folder.write("d/b.html", "<p>fine");
    let outcome = folder.ingest(crate::support::as_read(json!("d"))).unwrap();
    assert_eq!(outcome.train(), ["fine"]);
    assert_eq!(outcome.dropped()[0].reason, "its tags nest more than 1000 deep");
}
