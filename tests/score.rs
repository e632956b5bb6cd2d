//! `score`: two text files, no run.

use serde_json::Value;
use std::fs;
use std::path::Path;

use crate::program::{Program, Said};

const REFERENCES: &str =
    "a man rides a brown horse\na woman rides a red bicycle\ntwo cats sleep on the sofa\n";
const SAMPLES: &str =
    "a man rides a horse\na woman rides a red bicycle\ntwo cats sleep on a horse\n";

fn with_files() -> Program {
    let program = Program::new();
    program.write("samples.txt", SAMPLES);
    program.write("references.txt", REFERENCES);
    program
}

fn score(program: &Program, more: &[&str]) -> Said {
    let files = ["score", "--samples", "samples.txt", "--references", "references.txt"];
    program.run(&[&files[..], more].concat())
}

fn json(said: &Said) -> Value {
    assert_eq!(said.code, Some(0), "{said:?}");
    serde_json::from_str(&said.stdout).unwrap()
}

/// No list may hold a null where a number belongs.
fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn two_files_give_all_text_metrics() {
    let program = with_files();
    let said = score(&program, &["--json"]);
    let scores = json(&said);
    let words = |text: &str| -> Vec<Vec<u32>> {
        let known: Vec<&str> =
            SAMPLES.split_whitespace().chain(REFERENCES.split_whitespace()).collect();
        let number = |word| known.iter().position(|known| *known == word).unwrap() as u32;
        text.lines().map(|line| line.split_whitespace().map(number).collect()).collect()
    };
    let (samples, references) = (words(SAMPLES), words(REFERENCES));
    assert_eq!(
        numbers(&scores["bleu"]),
        textgan_metrics::bleu(&samples, &references, 5).unwrap()[1..]
    );
    assert_eq!(
        numbers(&scores["self_bleu"]),
        textgan_metrics::self_bleu(&samples, 5).unwrap()[1..]
    );
    for name in ["ms_jaccard", "distinct", "unique_ngrams", "ngram_entropy"] {
        assert_eq!(numbers(&scores[name]).len(), 4, "{name}");
    }
    for name in ["corpus_bleu", "length_distance", "zipf"] {
        assert!(scores[name].is_f64(), "{name}");
    }
    assert_eq!(numbers(&scores["references"]["self_bleu"]).len(), 4);
    let signature = scores["signatures"]["bleu"].as_str().unwrap();
    assert!(signature.starts_with("bleu|n:5|smoothing:nltk-1|"), "{signature}");
    assert!(signature.contains("|samples:3|references:3|tokens:whitespace|case:mixed|"));
    assert!(scores.get("memorisation").is_none());
    for name in ["bleu-2", "self-bleu-5", "ms-jaccard-4", "zipf"] {
        assert!(said.stderr.contains(name), "{name}: {}", said.stderr);
    }
    // Without --json stdout stays empty, and threads change nothing.
    let plain = score(&program, &[]);
    assert_eq!((plain.code, plain.stdout.as_str()), (Some(0), ""));
    assert_eq!(score(&program, &["--json", "--threads", "3"]).stdout, said.stdout);
}

#[test]
fn the_training_file_tells_what_was_copied() {
    let program = with_files();
    program.write(
        "train.txt",
        "a dog\na woman rides a red bicycle\nyou see two cats sleep on the mat\n",
    );
    let said = score(&program, &["--json", "--train", "train.txt"]);
    let audit = &json(&said)["memorisation"];
    assert_eq!(audit["samples"]["exact_copies"], 1.0 / 3.0);
    assert_eq!(audit["references"]["exact_copies"], 1.0 / 3.0);
    let runs = audit["longest_runs"].as_array().unwrap();
    let run = |i: usize| (runs[i]["text"].as_str().unwrap(), runs[i]["length"].as_u64().unwrap());
    assert_eq!(run(0), ("a woman rides a red bicycle", 6));
    assert_eq!(run(1), ("two cats sleep on", 4));
    assert_eq!((&runs[1]["sample_line"], &runs[1]["train_line"]), (&3.into(), &3.into()));
    // Samples share 2 ("rides a"), 6 and 4 tokens, references 2, 6 and 5.
    assert_eq!(audit["samples"]["longest_run"]["mean"], 4.0);
    assert_eq!(audit["references"]["longest_run"]["mean"], 13.0 / 3.0);
    assert_eq!(audit["longest_run_distance"], 1.0 / 3.0);
    let nearest = audit["nearest"].as_array().unwrap();
    assert_eq!((&nearest[0]["distance"], &nearest[0]["sample_line"]), (&0.into(), &2.into()));
    assert_eq!(nearest[1]["train"], "a woman rides a red bicycle");
    assert_eq!(nearest[1]["distance"], 3); // woman -> man, red gone, bicycle -> horse
    for text in ["two cats sleep on", "samples.txt:3, from train.txt:3", "longest-run-max"] {
        assert!(said.stderr.contains(text), "{text}: {}", said.stderr);
    }
}

#[test]
fn bad_files_are_refused_with_file_and_line() {
    let many = REFERENCES.repeat(40);
    for (name, bytes, expect) in [
        ("samples.txt", &b""[..], &["samples.txt", "no words"][..]),
        ("samples.txt", b"\n \t\n", &["samples.txt", "no words"]),
        ("samples.txt", b"one sample alone\n", &["samples.txt:1", "single sample"]),
        ("samples.txt", b"a b\nc\xff d\n", &["samples.txt:2", "UTF-8"]),
        ("samples.txt", b"a b\nc d\n", &["samples.txt:2", "2 samples", "3 references"]),
        ("references.txt", b"", &["references.txt", "no words"]),
        ("references.txt", b"a\n\nb\n", &["references.txt:2", "empty line"]),
        ("references.txt", many.as_bytes(), &["samples.txt:3", "references.txt", "120"]),
        ("train.txt", b"", &["train.txt", "no words"]),
        ("train.txt", b"a\nb\n\n", &["train.txt:3", "empty line"]),
    ] {
        let program = with_files();
        program.write("train.txt", "a dog\n");
        program.write(name, bytes);
        let said = score(&program, &["--json", "--train", "train.txt"]);
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
        for expect in expect {
            assert!(said.error().contains(expect), "{expect}: {said:?}");
        }
    }
    let program = with_files();
    let said = program.run(&["score", "--samples", "absent.txt", "--references", "references.txt"]);
    assert_eq!(said.code, Some(2));
    assert!(said.error().contains("absent.txt"), "{said:?}");
}

#[test]
fn degenerate_samples_have_scores_and_no_nan() {
    let program = with_files();
    program.write("samples.txt", "a\na\na\n");
    let said = score(&program, &["--json", "--train", "references.txt"]);
    let scores = json(&said);
    assert_eq!(scores["zipf"], Value::Null);
    assert_eq!(numbers(&scores["distinct"]), [1.0 / 3.0, 0.0, 0.0, 0.0]);
    let said = said.stdout + &said.stderr;
    assert!(!said.contains("NaN") && !said.contains("inf"), "{said}");
}

/// Published samples get their published scores from the program too; see `textgan-metrics`, whose
/// test of them compares every model and order.
#[test]
fn published_samples_get_their_published_scores() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let (samples, references) =
        (data.join("texygen-samples/mle.txt"), data.join("image-coco/test.txt"));
    if !samples.exists() || !references.exists() {
        return eprintln!("skipped: {} is not here; see datasets/README.md", samples.display());
    }
    let program = Program::new();
    fs::copy(samples, program.path("samples.txt")).unwrap();
    fs::copy(references, program.path("references.txt")).unwrap();
    let scores = json(&score(&program, &["--json"]));
    for (name, published) in
        [("bleu", [0.731, 0.497, 0.305, 0.189]), ("self_bleu", [0.916, 0.769, 0.583, 0.408])]
    {
        for (found, published) in numbers(&scores[name]).into_iter().zip(published) {
            assert!((found - published).abs() < 0.003, "{name}: {found}, published {published}");
        }
    }
}
