//! A report of a run folder, or of a made-up run.
//!
//! `cargo run -p textgan-report --example report -- RUN OUT_FOLDER`; without arguments it invents the
//! artifacts of a small run in a temporary folder, to show what the page looks like.

use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use textgan_artifact::RunDir;
use textgan_report::report;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (run, out) = match arguments.as_slice() {
        [run, out] => (RunDir::open(run)?, PathBuf::from(out)),
        [] => {
            let path = std::env::temp_dir().join("textgan-report-example").join("captions-gan");
            fs::create_dir_all(&path)?;
            let run = if path.join("lock").exists() {
                RunDir::open(&path)?
            } else {
                RunDir::create(&path)?
            };
            invent(run.path())?;
            (run, path)
        }
        _ => return Err("usage: report [RUN OUT_FOLDER]".into()),
    };
    println!("{}", report(&run, &out)?.display());
    Ok(())
}

/// The artifacts of a run that never was.
fn invent(run: &Path) -> Result<(), Box<dyn std::error::Error>> {
    for stage in ["ingest", "tokenize", "train", "evaluate"] {
        fs::create_dir_all(run.join(stage))?;
    }
    fs::write(run.join("config.toml"), CONFIG)?;
    let write = |name: &str, value: &Value| fs::write(run.join(name), format!("{value:#}\n"));
    write("ingest/stats.json", &ingest())?;
    write("tokenize/stats.json", &tokenize())?;
    write("train/summary.json", &summary())?;
    write("evaluate/evaluation.json", &evaluation())?;
    fs::write(run.join("train/metrics.jsonl"), metrics())?;
    fs::write(run.join("train/samples.jsonl"), samples())?;
    Ok(())
}

const CONFIG: &str = r#"# Resolved: every default filled in.
seed = 1

[corpus]
sources = [{ kind = "synthetic", documents = 20000 }]

[noise]
dimension = 32

[generator]
kind = "transformer"
width = 96
layers = 2

[[phase]]
kind = "maximum-likelihood"
epochs = 10
learning_rate = 0.002
latent = { rate = 2.0 }

[[phase]]
kind = "adversarial"
steps = 240
divergence = "relativistic"
"#;

/// Numbers that look like noise and are always the same.
fn wobble(step: u64, salt: u64) -> f64 {
    let mut x = (step.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ salt.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^= x >> 32;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^= x >> 32;
    (x >> 11) as f64 / (1u64 << 53) as f64 - 0.5
}

fn metrics() -> String {
    let mut out = String::new();
    let mut line = |event: &str,
                    phase: usize,
                    kind: &str,
                    step: u64,
                    note: Option<&str>,
                    values: Value| {
        let mut object =
            json!({ "event": event, "phase": phase, "kind": kind, "step": step, "values": values });
        if let Some(note) = note {
            object["note"] = json!(note);
        }
        if step == 0 {
            object["kinds"] = kinds();
        }
        // Writing into a String cannot fail.
        let _ = writeln!(out, "{object}");
    };
    let ml = "maximum-likelihood";
    line("begin", 0, ml, 0, None, json!({}));
    for step in (10..=2000).step_by(10) {
        let t = step as f64;
        let nll =
            2.21 + 3.9 * (-t / 160.0).exp() + 0.35 * (-t / 900.0).exp() + 0.05 * wobble(step, 1);
        line(
            "train",
            0,
            ml,
            step,
            None,
            json!({
                "nll": nll, "kl": 2.0 + 0.9 * (-t / 300.0).exp() + 0.05 * wobble(step, 2),
                "learning_rate": 0.002 * (t / 200.0).min(1.0) * (1.0 - 0.9 * t / 2000.0),
                "generator_gradient_norm": 0.5 + 1.2 * (-t / 200.0).exp() + 0.15 * wobble(step, 3),
            }),
        );
        if step % 200 == 0 {
            line(
                "evaluation",
                0,
                ml,
                step,
                None,
                json!({
                    "validation_loss": nll + 0.02 + 0.03 * wobble(step, 4),
                    "bleu_4": 0.62 - 0.5 * (-t / 300.0).exp(), "self_bleu_4": 0.55 - 0.4 * (-t / 350.0).exp(),
                    "distinct_2": 0.31 + 0.3 * (-t / 200.0).exp(),
                }),
            );
        }
    }
    for step in (2010..=2100).step_by(10) {
        let t = (step - 2000) as f64;
        line(
            "train",
            1,
            "discriminator",
            step,
            None,
            json!({
                "discriminator_loss": 0.45 + 0.25 * (-t / 30.0).exp(),
                "accuracy_real": 0.71 - 0.2 * (-t / 30.0).exp(), "accuracy_fake": 0.74 - 0.2 * (-t / 25.0).exp(),
            }),
        );
    }
    for step in (2105..=2340).step_by(5) {
        let t = (step - 2100) as f64;
        line(
            "train",
            2,
            "adversarial",
            step,
            None,
            json!({
                "generator_loss": 0.9 - 0.0008 * t + 0.12 * wobble(step, 5),
                "discriminator_loss": 0.55 + 0.0005 * t + 0.05 * wobble(step, 6),
                "accuracy_real": 0.66 - 0.0004 * t + 0.05 * wobble(step, 7),
                "accuracy_fake": 0.68 - 0.0004 * t + 0.05 * wobble(step, 8),
                "nll": 2.23 + 0.05 * wobble(step, 9), "temperature": 1.0 + 0.004 * t,
                "generator_gradient_norm": 0.4 + 0.1 * wobble(step, 10),
                "discriminator_gradient_norm": 0.8 + 0.2 * wobble(step, 11),
            }),
        );
        if (step - 2100) % 40 == 0 {
            line(
                "evaluation",
                2,
                "adversarial",
                step,
                None,
                json!({
                    "validation_loss": 2.26 + 0.0001 * t, "bleu_4": 0.618 + 0.0002 * t, "self_bleu_4": 0.549 + 0.0001 * t,
                    "distinct_2": 0.31 - 0.0001 * t, "score": 0.34 + 0.0001 * t,
                    "held_out_accuracy_real": 0.6, "held_out_accuracy_fake": 0.66,
                }),
            );
        }
    }
    line(
        "alarm",
        2,
        "adversarial",
        2260,
        Some("discriminator won: report"),
        json!({ "value": 0.93 }),
    );
    out
}

/// What the metrics are counted in, and what they are drawn beside.
fn kinds() -> Value {
    let names = [
        ("nats-per-token", "likelihood", &["nll", "validation_loss"][..]),
        ("nats-per-text", "likelihood", &["kl"]),
        ("plain", "game", &["generator_loss", "discriminator_loss", "temperature"]),
        (
            "share",
            "discriminator",
            &["accuracy_real", "accuracy_fake", "held_out_accuracy_real", "held_out_accuracy_fake"],
        ),
        ("share", "samples", &["bleu_4", "self_bleu_4", "distinct_2"]),
        ("plain", "samples", &["score"]),
        (
            "plain",
            "optimizer",
            &["learning_rate", "generator_gradient_norm", "discriminator_gradient_norm"],
        ),
    ];
    let mut kinds = json!({});
    for (unit, group, names) in names {
        for name in names {
            kinds[*name] = json!({ "unit": unit, "group": group });
        }
    }
    kinds
}

fn samples() -> String {
    const TEXTS: [[&str; 4]; 4] = [
        ["the the the the", "a a the", "the the in", ""],
        [
            "a man is in the the kitchen",
            "two dogs are a in the park",
            "there is a man",
            "a woman the",
        ],
        [
            "a man is reading a book in the kitchen",
            "two dogs are chasing a bone",
            "there is a woman in a red shirt",
            "the chef is cooking a pizza",
        ],
        [
            "a man in a gray suit is reading a book",
            "two brown dogs are chasing one rat",
            "there is a woman riding a bicycle near the river",
            "the tired chef is serving two pizzas",
        ],
    ];
    let mut out = String::new();
    for (texts, (phase, step)) in TEXTS.iter().zip([(0, 200), (0, 800), (0, 2000), (2, 2340)]) {
        for (index, text) in texts.iter().enumerate() {
            let label = ["indoors", "outdoors"][index % 2];
            let sample = json!({ "phase": phase, "step": step, "index": index, "label": label, "greedy": text, "sampled": TEXTS[3][(index + 1) % 4] });
            let _ = writeln!(out, "{sample}");
        }
    }
    out
}

fn summary() -> Value {
    let phase = |kind: &str, steps: u64, g: u64, d: u64, kept: Option<u64>| json!({ "kind": kind, "steps": steps, "ended": "step-limit", "updates": { "generator": g, "discriminator": d }, "kept_step": kept, "evaluation": {} });
    json!({
        "steps": 2340, "generator_parameters": 286_000, "discriminator_parameters": 141_000, "train_sentences": 18_000, "valid_sentences": 1_000,
        "phases": [phase("maximum-likelihood", 2000, 2000, 0, Some(1800)), phase("discriminator", 100, 0, 100, None), phase("adversarial", 240, 240, 480, Some(2260))],
    })
}

fn evaluation() -> Value {
    let rows = [
        ("test-loss", 2.262, 2.259, "lower"),
        ("test-nll-ratio", 1.024, 1.023, "lower"),
        ("grammatical", 0.957, 0.931, "higher"),
        ("bleu-2", 0.934, 0.931, "higher"),
        ("bleu-3", 0.802, 0.797, "higher"),
        ("bleu-4", 0.621, 0.612, "higher"),
        ("bleu-5", 0.443, 0.437, "higher"),
        ("self-bleu-4", 0.561, 0.549, "lower"),
        ("distinct-2", 0.303, 0.31, "higher"),
        ("distinct-greedy", 0.713, 0.742, "higher"),
        ("exact-copies", 0.0, 0.0, "lower"),
        ("mean-length", 9.91, 9.84, "neither"),
    ];
    let measure = |name: &str, value: f64, better: &str| json!({ "name": name, "value": value, "better": better, "protocol": "2,000 samples, temperature 1, every test sentence a reference", "note": null });
    let changes: Vec<Value> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.0 != "distinct-greedy")
        .map(|(i, (name, model, baseline, better))| {
            let change: f64 = model - baseline;
            let half = (change.abs() * (0.4 + 1.3 * (i as f64 * 0.7).sin().abs())).max(0.0002);
            json!({ "name": name, "change": change, "low": change - half, "high": change + half, "adjusted_p": if half < change.abs() { 0.01 } else { 1.0 }, "batches": 10, "better": better, "protocol": "" })
        })
        .collect();
    let scores = |column: usize| {
        let candidates: Vec<Value> = [0.7, 0.8, 0.9, 1.0, 1.1]
            .iter()
            .map(|t| (t, 0.012 * column as f64))
            .map(|(t, less)| json!({ "temperature": t, "bleu_4": 0.9 - less - 0.28 * t * t, "self_bleu_4": 0.95 - less - 0.4 * t * t }))
            .collect();
        let measures: Vec<Value> = rows
            .iter()
            .map(|row| measure(row.0, if column == 0 { row.1 } else { row.2 }, row.3))
            .collect();
        json!({ "temperature": { "temperature": 1.0, "rule": "the highest BLEU-4 on the validation split whose Self-BLEU-4 is at most 0.60", "candidates": candidates }, "measures": measures, "memorisation": audit(column) })
    };
    json!({
        "format": 1, "tokens": "word", "model": scores(0), "baseline": scores(1), "changes": changes,
        "held_out": memorisation(0.012, &[0, 20, 190, 310, 260, 130, 60, 20, 7, 3]),
        "training_text": [measure("bleu-4", 0.632, "higher"), measure("self-bleu-4", 0.548, "lower"), measure("exact-copies", 1.0, "lower")],
    })
}

fn audit(column: usize) -> Value {
    let runs =
        [[0, 12, 160, 300, 280, 150, 65, 22, 8, 3], [0, 14, 170, 300, 270, 150, 62, 22, 9, 3]];
    json!({
        "samples": memorisation(0.013, &runs[column]),
        "beyond": [
            { "name": "exact-copies", "change": 0.001, "low": -0.003, "high": 0.005, "adjusted_p": 0.6, "batches": 10, "better": "lower" },
            { "name": "copied-run", "change": 0.21, "low": 0.14, "high": 0.28, "adjusted_p": 0.001, "batches": 10, "better": "lower" },
        ],
    })
}

fn memorisation(copies: f64, runs: &[usize]) -> Value {
    let texts: usize = runs.iter().sum();
    let tokens: usize = runs.iter().enumerate().map(|(length, texts)| length * texts).sum();
    let measure = |name: &str, value: f64| json!({ "name": name, "value": value, "better": "lower", "protocol": "of train-18000" });
    json!({
        "texts": texts, "protocol": "memorisation|of:train-18000", "runs": runs,
        "measures": [measure("exact-copies", copies), measure("copied-run", tokens as f64 / texts as f64)],
        "longest": [{ "tokens": 9, "run": "a dog sleeps on the mat near the door", "text": "a dog sleeps on the mat near the door .", "training": "there a dog sleeps on the mat near the door" }],
    })
}

fn ingest() -> Value {
    json!({
        "read": { "files": 1, "documents": 20_000, "text_bytes": 1_012_345, "dropped": 0 },
        "steps": [{ "step": "whitespace", "rows": 20_000, "changed": 0, "added": 0, "dropped": 0 }, { "step": "cross-split", "rows": 20_000, "changed": 0, "added": 0, "dropped": 3 }],
        "splits": {
            "train": { "rows": 18_000, "dropped": 0, "words": 177_660, "labels": { "indoors": 9_021, "outdoors": 8_979 } },
            "valid": { "rows": 1_000, "dropped": 2, "words": 9_874, "labels": { "indoors": 496, "outdoors": 504 } },
            "test": { "rows": 1_000, "dropped": 1, "words": 9_811, "labels": { "indoors": 512, "outdoors": 488 } },
        },
        "shared": [],
    })
}

fn tokenize() -> Value {
    let split = |sequences: u64| {
        let counts: Vec<u64> = [
            0., 0., 0., 0., 0., 0.01, 0.079, 0.127, 0.137, 0.143, 0.153, 0.144, 0.09, 0.05, 0.04,
            0.023, 0.005,
        ]
        .iter()
        .map(|p| (p * sequences as f64) as u64)
        .collect();
        json!({ "sequences": sequences, "tokens": sequences * 9, "unknown_rate": 0.0002, "truncated": 0, "dropped": 0, "longest": 16, "lengths": { "mean": 9.87, "median": 10, "percentile_95": 14, "counts": counts } })
    };
    json!({
        "vocabulary": { "kind": "word", "size": 619, "coverage": 1.0, "note": null },
        "splits": { "train": split(18_000), "valid": split(1_000), "test": split(1_000) },
    })
}
