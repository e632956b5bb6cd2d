//! Configs: refused with the line and the nearest name, shown with every knob explained.

use crate::program::Program;

#[test]
fn without_arguments_there_is_help() {
    let said = Program::new().run(&[]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("pipeline") && said.stderr.contains("Usage"), "{said:?}");
}

#[test]
fn wrong_configs_are_refused_before_anything_is_made() {
    let program = Program::new();
    program.write("key.toml", "[train]\nbatch_sise = 3\n");
    program.write("value.toml", "[generator]\nkind = \"transfomer\"\n");
    program.write("syntax.toml", "seed = \n");
    program.write("range.toml", "[tokenizer]\nmax_length = 0\n");
    program.write("base.toml", "extends = \"key.toml\"\n");
    program.write("latin.toml", b"name = \"caf\xe9\"\n");
    for (arguments, expect) in [
        (
            &["--config", "key.toml"][..],
            &["key.toml:2: unknown key `train.batch_sise`; did you mean `batch_size`?"][..],
        ),
        (&["--config", "base.toml"], &["key.toml:2"]),
        (&["--config", "value.toml"], &["value.toml:2", "did you mean `transformer`?"]),
        (&["--config", "syntax.toml"], &["syntax.toml:1"]),
        (&["--config", "range.toml"], &["max_length"]),
        (&["--config", "latin.toml"], &["latin.toml", "UTF-8"]),
        (&["--config", "absent.toml"], &["cannot read the config absent.toml"]),
        (&["--set", "train.batch_sise=3"], &["--set train.batch_sise", "`batch_size`"]),
        (&["--set", "seed"], &["key=value"]),
        (&["--from", "tran"], &["no stage `tran`", "train"]),
        (&["--threads", "0"], &["--threads 0"]),
    ] {
        let said = program.run(&[&["pipeline", "--run", "made"], arguments].concat());
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:?}");
        for expect in expect {
            assert!(said.error().contains(expect), "{arguments:?}: {said:?}");
        }
        assert!(!program.path("made/ingest").exists());
    }
}

#[test]
fn the_shown_config_is_a_config() {
    let program = Program::new();
    let shown = program.succeeds(&["config", "--config", "tiny.toml", "--set", "seed=5"]).stdout;
    assert!(shown.contains("seed = 5\n") && shown.contains("# "), "{shown}");
    program.write("shown.toml", &shown);
    let again = program.succeeds(&["config", "--config", "shown.toml"]).stdout;
    assert_eq!(again, shown);
}

#[test]
fn the_schema_is_json() {
    let schema = Program::new().succeeds(&["config", "--schema"]).stdout;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert!(schema["properties"]["train"]["description"].is_string());
}
