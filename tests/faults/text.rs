//! Kinds 10 to 14, 21 and 25: text that is lost, changed or taken for something else.

use std::fs;

use super::{ingested, sources, tiny};
use crate::program::Program;

/// 10: an open quote swallows no records, and a quote in TSV is a quote.
#[test]
fn quotes_swallow_nothing() {
    let program = Program::new();
    let rows: String = (0..200).map(|i| format!("{i},a man rides horse {i}\n")).collect();
    program.write("open.csv", format!("id,text\n{}", rows.replacen(",a man", ",\"a man", 1)));
    let said = ingested(&program, "open.csv", "", &[]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.error().contains("open.csv, line 2") && said.error().contains("never closed"),
        "{}",
        said.error()
    );
    let said = ingested(&program, "open.csv", ", quoted = false", &[]);
    assert!(said.stderr.contains("read 200 documents"), "{}", said.stderr);
    program.write("after.csv", format!("id,text\n7,\"a\" man\n{rows}"));
    let said = ingested(&program, "after.csv", "", &[]);
    assert!(said.error().contains("after a closing quote"), "{}", said.error());
    program.write("fine.csv", format!("id,text\n7,\"a, \"\"b\"\"\nc\"\n{rows}"));
    let said = ingested(&program, "fine.csv", "", &["--force"]);
    assert!(said.stderr.contains("read 201 documents"), "{}", said.stderr);
    program.write("a.tsv", format!("id\ttext\n7\t\"a man\n{}", rows.replace(',', "\t")));
    let said = ingested(&program, "a.tsv", "", &["--force"]);
    assert!(said.stderr.contains("read 201 documents"), "{}", said.stderr);
}

/// 11: encodings are read as what they are, and what cannot be is counted.
#[test]
fn encodings_are_read_and_faults_counted() {
    let program = Program::new();
    let text = "un caf\u{e9} au lait\n".repeat(60);
    let utf16: Vec<u8> =
        std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    program.write("utf16.txt", utf16);
    program.write(
        "latin.txt",
        text.replace('\u{e9}', "\u{1}")
            .bytes()
            .map(|b| if b == 1 { 0xE9 } else { b })
            .collect::<Vec<u8>>(),
    );
    for (file, encoding) in
        [("utf16.txt", "strict"), ("latin.txt", "latin-1"), ("latin.txt", "windows-1252")]
    {
        let set = format!("corpus.encoding='{encoding}'");
        let said = ingested(&program, file, "", &["--set", &set, "--force"]);
        assert!(said.stderr.contains("read 60 documents"), "{}", said.stderr);
        assert!(!said.stderr.contains("could not be decoded"), "{}", said.stderr);
        // 14 bytes of ASCII and a character of two.
        assert!(
            said.stderr.contains("train: 54 rows, 216 words (mean 4.0, longest 4), 864 bytes"),
            "{}",
            said.stderr
        );
    }
    let said = ingested(&program, "latin.txt", "", &[]);
    assert!(said.error().contains("windows-1252"), "{}", said.error());
    let said =
        ingested(&program, "latin.txt", "", &["--set", "corpus.encoding='replace'", "--force"]);
    assert!(said.stderr.contains("60 characters that could not be decoded"), "{}", said.stderr);
    let said = ingested(&program, "latin.txt", "", &["--set", "corpus.encoding='klingon'"]);
    assert!(said.error().contains("is no encoding"), "{}", said.error());
    program.write(
        "half.jsonl",
        "{\"text\": \"a \\ud83d man\"}\n{\"text\": \"a \\ud83d\\ude00 man\"}\n".repeat(30),
    );
    let said = ingested(&program, "half.jsonl", "", &[]);
    assert!(said.error().contains("half a surrogate pair"), "{}", said.error());
    let said =
        ingested(&program, "half.jsonl", "", &["--set", "corpus.encoding='replace'", "--force"]);
    assert!(said.stderr.contains("30 characters that could not be decoded"), "{}", said.stderr);
}

/// 12: classes are those of the training text, and every text has one of them.
#[test]
fn labels_are_those_of_the_training_text() {
    let program = Program::new();
    let rows = |labels: &[&str]| -> String {
        let row = |i: usize| {
            format!(
                "{{\"text\": \"a man rides {i}\", \"label\": \"{}\"}}\n",
                labels[i % labels.len()]
            )
        };
        (0..90).map(row).collect()
    };
    program.write("train.jsonl", rows(&["a", "b"]));
    program.write("same.jsonl", rows(&["b"]));
    program.write("other.jsonl", rows(&["a", "-1"]));
    program.write("blank.jsonl", rows(&["a", " "]));
    let label = ", label = { column = 'label' }";
    let with_test = |file: &str, label: &str| {
        let test =
            format!("corpus.test={{ sources = [{{ kind = 'files', path = '{file}'{label} }}] }}");
        let train = sources("train.jsonl", ", label = { column = 'label' }");
        tiny(&program, &["--set", &train, "--set", &test, "--until", "tokenize", "--force"])
    };
    let said = with_test("same.jsonl", label);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let labels = fs::read_to_string(program.path("run/tokenize/labels.json")).unwrap();
    assert_eq!(serde_json::from_str::<Vec<String>>(&labels).unwrap(), ["a", "b"]);
    for (file, label, expected) in [
        ("other.jsonl", label, "the label `-1`, which no text of the training split has"),
        ("blank.jsonl", label, "has no label"),
        ("same.jsonl", "", "has no label"),
    ] {
        let said = with_test(file, label);
        assert!(
            said.error().contains("test split") && said.error().contains(expected),
            "{}",
            said.error()
        );
    }
}

/// 25: JSON arrays, keys inside objects, and Markdown are read.
#[test]
fn json_arrays_and_nested_keys_are_read() {
    let program = Program::new();
    let objects: Vec<String> = (0..60)
        .map(|i| format!("{{\"post\": {{\"body\": \"a [man], rides {i}\", \"by\": \"x\"}}}}"))
        .collect();
    program.write("posts.json", format!("\u{FEFF}[\n{}\n]\n", objects.join(",\n")));
    let said = ingested(
        &program,
        "posts.json",
        ", text = 'post.body', label = { column = 'post.by' }",
        &[],
    );
    assert!(
        said.stderr.contains("read 60 documents") && said.stderr.contains("1 labels"),
        "{}",
        said.stderr
    );
    program.write("cut.json", format!("[{}", objects.join(",")));
    let said = ingested(&program, "cut.json", ", text = 'post.body'", &[]);
    assert!(
        said.error().contains("cut.json") && said.error().contains("within the array"),
        "{}",
        said.error()
    );
    program.write("one.json", &objects[0]);
    let said = ingested(&program, "one.json", ", text = 'post.body'", &[]);
    assert!(said.error().contains("not an array"), "{}", said.error());
    program.write("notes.md", "a man rides a horse\n\n".repeat(60));
    let said = ingested(&program, "notes.md", "", &["--force"]);
    assert!(said.stderr.contains("read 60 documents"), "{}", said.stderr);
}

/// 13: a text that is cut is not taught as one that ended.
#[test]
fn a_cut_is_not_an_end() {
    let program = Program::new();
    // No text ends within six words.
    program.write("long.txt", "a man rides a horse in the old town today\n".repeat(80));
    let set = sources("long.txt", "");
    let arguments = ["--set", &set, "--set", "tokenizer.max_length=6", "--set", "phase.0.steps=80"];
    let arguments =
        [&arguments[..], &["--set", "phase.0.learning_rate=1e-2", "--until", "train"]].concat();
    assert_eq!(tiny(&program, &arguments).code, Some(0));
    let texts = program.succeeds(&["generate", "--run", "run", "-n", "50"]).stdout;
    let whole = texts.lines().filter(|text| text.split(' ').count() == 6).count();
    assert!(whole > 45, "{whole} of 50 go on to the cut: {texts}");
}

/// 14: the digits of a number beyond 64 bits stay.
#[test]
fn great_numbers_of_json_keep_their_digits() {
    let program = Program::new();
    let row =
        |i: usize| format!("{{\"text\": \"ant bee {i}\", \"id\": 1234567890123456789012345{i}}}\n");
    program.write("a.jsonl", (0..60).map(row).collect::<String>());
    let said = ingested(&program, "a.jsonl", ", metadata = ['id']", &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let rows: Vec<textgan_artifact::table::Document> =
        textgan_artifact::table::read_split(&program.path("run/ingest"), "train").unwrap();
    let kept = rows.iter().filter(|row| {
        row.metadata
            .as_deref()
            .is_some_and(|metadata| metadata.contains("1234567890123456789012345"))
    });
    assert!(!rows.is_empty() && kept.count() == rows.len(), "{rows:?}");
}

/// 21: an empty sample counts as 0.
#[test]
fn an_empty_sample_scores_nothing() {
    let program = Program::new();
    program.write("samples.txt", "\u{FEFF}a man rides a horse\r\n\r\na dog runs in a park\r\n");
    program.write("references.txt", "a man rides a horse\na dog runs in a park\n");
    let said = program.succeeds(&[
        "score",
        "--samples",
        "samples.txt",
        "--references",
        "references.txt",
        "--json",
    ]);
    let scores: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let bleu = scores["bleu"].clone();
    assert!(bleu.to_string().contains("0.66"), "{bleu}");
}
