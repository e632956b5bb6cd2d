//! An objective of another crate gets what those of this one have.

#[path = "../examples/outside_objective.rs"]
#[allow(unused, reason = "an example has more than its test needs")]
mod outside_objective;

use textgan_artifact::Quiet;

/// Stopped at ten moments and killed at ten, on one thread and on two: the same bytes.
#[test]
fn an_outside_objective_resumes_to_the_same_bytes() {
    textgan_train::trial::same_bytes_whatever_happens(outside_objective::run, 10)
        .expect("training");
}

/// Its network learns, is kept in checkpoints, and its noise can be guessed from what it writes.
#[test]
fn an_outside_objective_trains_a_network_of_its_own() {
    let out = tempfile::tempdir().expect("a folder");
    let summary = outside_objective::run(out.path(), &Quiet).expect("training");
    assert_eq!(summary.phases[1].kind, "noise-recovery");
    assert_eq!(summary.phases[1].updates["guesser"], 300);
    assert!(summary.metrics.contains_key("guess"));
    let metrics = std::fs::read_to_string(out.path().join("metrics.jsonl")).expect("metrics");
    let guesses: Vec<f64> = metrics
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<serde_json::Value>(line).ok()?["values"]["guess"].as_f64()
        })
        .collect();
    // Two dimensions of noise are one nat that cannot be guessed, until the generator writes so that
    // they can.
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (first, last) = (mean(&guesses[..10]), mean(&guesses[guesses.len() - 10..]));
    assert!(last < 0.93 * first, "{guesses:?}");
    let latest = std::fs::read_to_string(out.path().join("checkpoints/latest")).expect("a name");
    assert!(
        out.path().join("checkpoints").join(latest.trim()).join("guesser.safetensors").exists()
    );
}
