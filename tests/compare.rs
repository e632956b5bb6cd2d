//! `compare`: finished runs, from their evaluations alone.

use serde_json::Value;

use crate::program::Program;

/// Makes a run that has curves, of a corpus that does not depend on the seed.
fn make(program: &Program, run: &str, seed: u64, more: &[&str]) {
    let seed = format!("seed={seed}");
    let settings = [
        seed.as_str(),
        "corpus.seed=1",
        "evaluate.sweep=[0.05, 0.2, 0.6, 2.0]",
        "evaluate.samples=32",
        "evaluate.batches=4",
    ];
    let mut arguments = vec!["pipeline", "--config", "tiny.toml", "--run", run];
    for setting in settings.iter().chain(more) {
        arguments.extend(["--set", setting]);
    }
    program.succeeds(&arguments);
}

#[test]
fn runs_are_compared_with_their_checkpoints_with_each_other_and_over_seeds() {
    let program = Program::new();
    make(&program, "runs/a", 1, &[]);
    make(&program, "runs/b", 2, &[]);

    // One run, by its name under `runs`: the batches of the same streams are pairs.
    let said = program.succeeds(&["compare", "a"]).stdout;
    assert!(said.contains("4 disjoint batches of 8 samples"), "{said}");
    let [.., sentence, verdict] = &said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    // Two adversarial steps change next to nothing.
    assert!(
        sentence.starts_with("a and its own maximum-likelihood checkpoint are not separated"),
        "{said}"
    );
    assert!(verdict.starts_with("The game made no difference that shows"), "{said}");
    // It is the one that the evaluation has, and the report.
    for file in ["evaluate/evaluation.json", "report/report.html"] {
        let text = std::fs::read_to_string(program.path("runs/a").join(file)).unwrap();
        // The page sets what it comes to apart from what that rests on.
        assert!(text.replace("</b>", "").contains(verdict), "{file} lacks: {verdict}");
    }

    let said = program.succeeds(&["compare", "a", "runs/b", "--html", "both.html"]).stdout;
    assert!(said.contains("both.html"), "{said}");
    let page = std::fs::read_to_string(program.path("both.html")).unwrap();
    for expected in ["<code>seed</code>", "runs/b", "What they write", "Quality against diversity"]
    {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(!page.contains("<code>train.batch_size</code>"), "what they share is no difference");

    // Two seeds of one experiment are one comparison.
    let said = program.succeeds(&["compare", "runs/a", "runs/b", "--json"]).stdout;
    assert_eq!(said.lines().count(), 1, "{said}");
    let seeds: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(seeds["runs"], serde_json::json!(["runs/a", "runs/b"]));
    assert_eq!(seeds["repeated"][0], "2 training seeds, at 8 samples a batch");
    assert_eq!(seeds["level"], 0.05);
    let places = seeds["places"].as_array().unwrap();
    assert!(!places.is_empty(), "{seeds}");
    for place in places {
        assert_eq!(place["difference"]["batches"], 2, "{place}");
        let [low, mean, high] =
            ["low", "mean", "high"].map(|name| place["difference"][name].as_f64().unwrap());
        assert!(low <= mean && mean <= high, "{place}");
    }

    // A baseline of another experiment: its batches are independent.
    make(&program, "runs/c", 1, &["phase.0.steps=2"]);
    let said = program.succeeds(&["compare", "a", "b", "--baseline", "c", "--json"]).stdout;
    let against: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(against["baseline"], "c");
    assert_eq!(against["repeated"][1], "4 disjoint batches of 8 samples");
    // Experiments that differ are compared one by one.
    assert_eq!(program.succeeds(&["compare", "a", "c", "--json"]).stdout.lines().count(), 2);

    for (arguments, code, why) in [
        (&["compare", "a", "runs/a"][..], 1, "the same experiment with the same seed (1)"),
        (&["compare", "a", "--baseline", "a"], 1, "compared with itself"),
        (&["compare", "a", "--baseline", "b", "--baseline", "c"], 1, "different experiments"),
        (&["compare", "nowhere"], 2, "nowhere is not there"),
    ] {
        let said = program.run(arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
        assert!(said.error().contains(why), "{said:?}");
    }
    assert_eq!(program.run(&["compare"]).code, Some(2));

    // What was changed after it was written is not read.
    let path = program.path("runs/b/evaluate/evaluation.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("bleu-4", "bleu-5", 1)).unwrap();
    let said = program.run(&["compare", "a", "b"]);
    assert_eq!(said.code, Some(1));
    assert!(said.error().contains("evaluation.json was changed"), "{said:?}");
}

#[test]
fn runs_of_different_text_or_protocol_are_refused_with_both_values() {
    let program = Program::new();
    make(&program, "a", 1, &[]);
    let refused = |run: &str| {
        let said = program.run(&["compare", "a", "--baseline", run]);
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
        let error = said.error().to_owned();
        assert!(error.contains(&format!("a and {run} do not compare")), "{error}");
        error
    };
    make(&program, "text", 1, &["corpus.seed=2"]);
    let error = refused("text");
    let hash = |run: &str| {
        let manifest = std::fs::read_to_string(program.path(run).join("tokenize/manifest.json"));
        let manifest: Value = serde_json::from_str(&manifest.unwrap()).unwrap();
        let files = manifest["files"].as_object().unwrap();
        let test = files.iter().find(|(name, _)| name.starts_with("test-")).unwrap();
        test.1["hash"].as_str().unwrap()[..12].to_owned()
    };
    assert!(error.contains(&hash("a")) && error.contains(&hash("text")), "{error}");
    assert!(error.contains("corpus.seed"), "{error}");

    make(&program, "samples", 1, &["evaluate.samples=40"]);
    let error = refused("samples");
    assert!(error.contains("samples is 32 in one and 40 in the other"), "{error}");
    assert!(error.contains("batches is 4x8 in one and 4x10 in the other"), "{error}");
    assert!(!error.contains("parquet"), "{error}");

    // Without a sweep there is no curve.
    make(&program, "plain", 1, &["evaluate.sweep=[]"]);
    let said = program.run(&["compare", "plain"]);
    assert_eq!(said.code, Some(1));
    assert!(said.error().contains("set `evaluate.sweep`"), "{said:?}");
}
