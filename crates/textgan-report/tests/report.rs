//! A report from whatever there is, and clear errors for what cannot be read.

use std::fs;
use std::path::Path;
use textgan_artifact::{Fingerprint, Header, Manifest, RunDir};
use textgan_report::{Error, Sources, render, report};

const METRICS: &str = r#"{"event":"begin","phase":0,"kind":"maximum-likelihood","step":0,"phase_step":0,"values":{}}
{"event":"train","phase":0,"kind":"maximum-likelihood","step":10,"phase_step":10,"values":{"nll":3.5,"strange_number":1.5},"kinds":{"nll":{"unit":"nats-per-token","group":"likelihood"}}}
{"event":"train","phase":0,"kind":"maximum-likelihood","step":20,"phase_step":20,"values":{"nll":2.5,"strange_number":null}}
{"event":"evaluation","phase":0,"kind":"maximum-likelihood","step":20,"phase_step":20,"values":{"validation_loss":2.6,"bleu_4":0.5,"self_bleu_4":0.25}}
{"event":"alarm","phase":1,"kind":"adversarial","step":25,"phase_step":5,"note":"collapse: report","values":{"value":0.2}}
{"event":"train","phase":1,"kind":"adversarial","step":30,"phase_step":10,"values":{"generator_loss":0.7}}
"#;
const SAMPLES: &str = r#"{"phase":0,"step":10,"index":0,"label":"indoors","greedy":"a <b>man</b>","sampled":"</table><script>alert(1)</script>"}
{"phase":0,"step":20,"index":0,"label":"indoors","greedy":"","sampled":"a dog & a cat"}
"#;
const EVALUATION: &str = r#"{"format":1,"tokens":"word","future":true,
"model":{"temperature":{"temperature":1.0,"rule":"fixed","candidates":[]},"measures":[
 {"name":"bleu-4","value":0.5,"better":"higher","protocol":"2,000 samples","note":null},
 {"name":"self-bleu-4","value":0.6,"better":"lower","protocol":"2,000 samples","note":null},
 {"name":"nll-ratio","value":null,"better":"sideways","protocol":"exact","note":"not the <grammar> corpus"}],
 "sweep":{"temperatures":[1.0,0.5],"measures":[
  {"name":"nll-oracle","better":"lower","protocol":"swept <oracle>","values":[9.25,7.5]},
  {"name":"nll-test","better":"lower","protocol":"swept","values":[7.5,8.5]},
  {"name":"bleu-4","better":"higher","protocol":"swept","values":[0.25,0.5]},
  {"name":"self-bleu-4","better":"lower","protocol":"swept","values":[0.25,null]},
  {"name":"frechet","better":"lower","protocol":"swept","values":[0.5,0.75]}],
  "published":[{"name":"others","quality":"nll-oracle","diversity":"nll-test","source":"some <paper>","points":[{"temperature":1.0,"quality":9.5,"diversity":7.75}]}]}},
"baseline":{"temperature":null,"sweep":{"temperatures":[1.0],"measures":[
  {"name":"bleu-4","better":"higher","protocol":"swept","values":[0.375]},
  {"name":"self-bleu-4","better":"lower","protocol":"swept","values":[0.375]}]},"measures":[{"name":"bleu-4","value":0.4,"better":"higher","protocol":"","note":null}]},
"changes":[{"name":"bleu-4","change":0.1,"low":0.05,"high":0.15,"adjusted_p":0.01,"batches":10,"better":"higher","protocol":""},
 {"name":"self-bleu-4","change":0.1,"low":0.05,"high":0.15,"adjusted_p":0.01,"batches":10,"better":"lower","protocol":""}],
"training_text":[]}"#;

fn run(folder: &Path) -> RunDir {
    let run = RunDir::create(folder.join("my <run>")).unwrap();
    for stage in ["ingest", "tokenize", "train", "evaluate"] {
        fs::create_dir_all(run.path().join(stage)).unwrap();
    }
    let write = |name: &str, text: &str| fs::write(run.path().join(name), text).unwrap();
    write(
        "config.toml",
        "# resolved\nseed = 1\n\n[corpus]\nsources = \"<own>.txt\"\n\n[evaluate]\nsamples = 5000\n\n[[phase]]\nevaluation = { samples = 500 }\n",
    );
    write(
        "ingest/stats.json",
        r#"{"read":{"documents":12345},"splits":{"test":{"rows":5},"train":{"rows":10,"words":95,"labels":{"indoors":4}}}}"#,
    );
    write(
        "tokenize/stats.json",
        r#"{"vocabulary":{"size":99,"kind":"word"},"splits":{"train":{"lengths":{"counts":[0,3,9]}}}}"#,
    );
    write("train/metrics.jsonl", METRICS);
    write("train/samples.jsonl", SAMPLES);
    write("evaluate/evaluation.json", EVALUATION);
    let fingerprint = Fingerprint::new("ingest", 1).finish().unwrap();
    Manifest::write(&run.path().join("ingest"), Header::new("ingest", 1, fingerprint)).unwrap();
    run
}

#[test]
fn a_whole_run_is_on_the_page_and_its_text_stays_text() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path());
    let path = report(&run, folder.path()).unwrap();
    let page = fs::read_to_string(&path).unwrap();
    for expected in [
        "<title>my &lt;run&gt;",
        "1 measure better",
        "1 worse",
        "12,345 documents",
        "a &lt;b&gt;man&lt;/b&gt;",
        "(nothing)",
        "&lt;/table&gt;&lt;script&gt;alert(1)",
        "not the &lt;grammar&gt; corpus",
        "Strange number",
        "collapse: report",
        "&lt;own&gt;.txt",
        "Lengths of the train split",
        "What was trained on what?",
        "of 500 samples, those of the scores of 5,000",
        "Quality against diversity, exactly",
        "Distance from real text",
        "Fréchet distance",
        "swept &lt;oracle&gt;",
        "Published: others",
        "some &lt;paper&gt;",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(!page.contains("alert(1)</script>"));
    assert!(!page.contains("NaN"), "no chart has a place that is not a number");
    assert_eq!(
        fs::read_to_string(report(&run, folder.path()).unwrap()).unwrap(),
        page,
        "the same bytes again"
    );
}

#[test]
fn nothing_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let page = render(&Sources::of_run(&run(folder.path())).unwrap()).unwrap();
    // The one address is the name of the SVG namespace, in the script.
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for fetch in ["http:", "https:", "src=", "@import", "url(", "<link", "fetch("] {
        assert!(!page.contains(fetch), "{fetch}");
    }
}

#[test]
fn every_element_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let page = render(&Sources::of_run(&run(folder.path())).unwrap()).unwrap();
    let body = &page[page.find("<body>").unwrap()..page.find("<script>").unwrap()];
    let mut open = Vec::new();
    for tag in body.split('<').skip(1) {
        let tag = &tag[..tag.find('>').unwrap_or_else(|| panic!("`{tag}` has no end"))];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closing {name}");
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
    }
    assert_eq!(open, ["body"]);
}

#[test]
fn what_is_absent_is_said_to_be() {
    let page = render(&Sources::default()).unwrap();
    for absent in [
        "No evaluation.json",
        "No metrics.jsonl",
        "No samples.jsonl",
        "No stats.json",
        "No config.toml",
    ] {
        assert!(page.contains(absent), "{absent}");
    }
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path());
    for gone in ["evaluate", "tokenize"] {
        fs::remove_dir_all(run.path().join(gone)).unwrap();
    }
    let page = render(&Sources::of_run(&run).unwrap()).unwrap();
    assert!(
        page.contains("No evaluation.json") && page.contains("No stats.json of the tokenize stage")
    );
}

#[test]
fn a_training_that_goes_on_is_shown_up_to_its_last_whole_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path());
    let partial = run.path().join("train.partial");
    fs::rename(run.path().join("train"), &partial).unwrap();
    fs::write(partial.join("metrics.jsonl"), format!("{METRICS}{{\"event\":\"tra")).unwrap();
    let page = render(&Sources::of_run(&run).unwrap()).unwrap();
    assert!(page.contains("Training has not finished"));
    assert!(page.contains("Likelihood"));
}

#[test]
fn a_damaged_file_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path());
    fs::write(run.path().join("train/metrics.jsonl"), format!("{METRICS}oops\n")).unwrap();
    let error = render(&Sources::of_run(&run).unwrap()).unwrap_err();
    assert!(matches!(&error, Error::Format { line: Some(7), .. }), "{error}");
    assert!(
        error.to_string().contains("metrics.jsonl, line 7, is not what was expected"),
        "{error}"
    );

    fs::remove_file(run.path().join("train/metrics.jsonl")).unwrap();
    fs::write(run.path().join("evaluate/evaluation.json"), "{}").unwrap();
    let error = render(&Sources::of_run(&run).unwrap()).unwrap_err().to_string();
    assert!(
        error.contains("evaluation.json is not what was expected: missing field `model`"),
        "{error}"
    );

    fs::remove_file(run.path().join("evaluate/evaluation.json")).unwrap();
    fs::create_dir(run.path().join("evaluate/evaluation.json")).unwrap();
    let error = render(&Sources::of_run(&run).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error}");
}

#[test]
fn long_trainings_stay_a_small_page() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = folder.path().join("metrics.jsonl");
    let samples = folder.path().join("samples.jsonl");
    let lines: String = (0..50_000)
        .map(|step| format!("{{\"event\":\"train\",\"kind\":\"maximum-likelihood\",\"step\":{step},\"values\":{{\"nll\":{}}}}}\n", 2.0 + 1.0 / (step + 1) as f64))
        .collect();
    fs::write(&metrics, lines).unwrap();
    let lines: String = (0..500)
        .map(|step| format!("{{\"step\":{step},\"index\":0,\"greedy\":\"text of step {step}\"}}\n"))
        .collect();
    fs::write(&samples, lines).unwrap();
    let page = render(&Sources { metrics, samples, ..Sources::default() }).unwrap();
    assert!(page.len() < 60_000, "{} bytes", page.len());
    assert!(page.contains("text of step 0<") && page.contains("text of step 499<"));
    assert!(page.contains("488 steps between are left out"));
}

#[test]
fn two_measures_of_one_name_keep_their_own_baselines() {
    let folder = tempfile::tempdir().unwrap();
    let evaluation = folder.path().join("evaluation.json");
    let side = |valid: f64, test: f64| {
        format!(
            r#"{{"measures":[{{"name":"nll-ratio","value":{valid},"protocol":"valid"}},{{"name":"nll-ratio","value":{test},"protocol":"test"}}]}}"#
        )
    };
    let text = format!(r#"{{"model":{},"baseline":{}}}"#, side(1.1, 1.2), side(1.3, 1.4));
    fs::write(&evaluation, text).unwrap();
    let page = render(&Sources { evaluation, ..Sources::default() }).unwrap();
    for row in ["1.100</td><td class=\"n\">1.300", "1.200</td><td class=\"n\">1.400"] {
        assert!(page.contains(row), "{row}");
    }
}

#[test]
fn the_audit_marks_what_was_copied_and_stands_beside_held_out_text() {
    let folder = tempfile::tempdir().unwrap();
    let evaluation = folder.path().join("evaluation.json");
    let copies = |value: f64| {
        format!(
            r#"{{"texts":4,"protocol":"p","measures":[{{"name":"exact-copies","value":{value}}}],
            "runs":[0,1,3],"longest":[{{"tokens":2,"run":"red <b> bird","text":"a red <b> bird",
            "training":"red <b> bird sings"}}]}}"#
        )
    };
    let text = format!(
        r#"{{"model":{{"measures":[],"memorisation":{{"samples":{},"beyond":[{{"name":"exact-copies",
        "change":0.25,"low":0.1,"high":0.4,"adjusted_p":0.01,"better":"lower"}}]}}}},"held_out":{}}}"#,
        copies(0.5),
        copies(0.25)
    );
    fs::write(&evaluation, text).unwrap();
    let page = render(&Sources { evaluation, ..Sources::default() }).unwrap();
    assert!(page.contains("Yes, more than real text does: <b>50.00 %</b> of its texts"));
    assert!(page.contains("of real texts that it never saw, <b>25.00 %</b> do"));
    assert!(page.contains("a <mark>red &lt;b&gt; bird</mark>"));
    assert!(page.contains("<mark>red &lt;b&gt; bird</mark> sings"));
    assert!(page.contains("[+0.1000, +0.4000] worse"));
    let without = render(&Sources::default()).unwrap();
    assert!(without.contains("No memorisation audit"));
}
