//! Kinds 1 to 9: whose work is in a run, and what may read, change and remove it.

use std::fs;

use super::{ingested, sources, tiny, weights};
use crate::program::Program;

/// 1: training goes on only from a checkpoint of the same seed, network, text and settings.
#[test]
fn a_resume_is_no_chimera() {
    let program = Program::new();
    program.write("a.txt", "ant bee cat dog\n".repeat(80));
    program.write("b.txt", "bee dog ant elk\n".repeat(80));
    let first = tiny(&program, &["--set", &sources("a.txt", ""), "--until", "train"]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    for (changed, expected) in [
        (&["--set", "seed=9"][..], "ingest would be made first"),
        (&["--set", "train.batch_size=8"], "train.batch_size was 16 and is now 8"),
        (&["--set", "generator.rope_theta=77"], "generator.rope_theta"),
        (&["--set", "noise.placement='every'"], "noise.placement"),
    ] {
        let set = sources("a.txt", "");
        let extended = [&["--set", &set, "--until", "train", "--extend"], changed].concat();
        let said = tiny(&program, &extended);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        assert!(!program.path("run/train.partial").exists(), "nothing is left of it");
        assert!(said.error().contains(expected), "{}", said.error());
    }
    let said = tiny(&program, &["--set", &sources("b.txt", ""), "--until", "train", "--extend"]);
    assert!(said.error().contains("ingest would be made first"), "{}", said.error());
    assert!(!said.stderr.contains("ingest (its"), "it was: {}", said.stderr);
    // More steps are no other experiment.
    let more = [
        "--set",
        &sources("a.txt", ""),
        "--set",
        "phase.2.steps=4",
        "--until",
        "train",
        "--extend",
    ];
    let said = tiny(&program, &more);
    assert!(said.stderr.contains("going on from what is finished"), "{}", said.stderr);
}

/// 2: a whole run can be extended; what cannot go on from itself is made again.
#[test]
fn a_whole_run_can_be_extended() {
    let program = Program::new();
    tiny(&program, &[]);
    let said = tiny(&program, &["--extend", "--set", "phase.2.steps=4"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("report: done"), "{}", said.stderr);
    // What is refused leaves all as it was, the config too.
    let config = fs::read(program.path("run/config.toml")).unwrap();
    let shorter = tiny(&program, &["--extend", "--set", "phase.2.steps=3"]);
    assert_eq!(shorter.code, Some(2), "{}", shorter.stderr);
    assert!(shorter.error().contains("phase.2.steps was 4 and is now 3"), "{}", shorter.error());
    assert_eq!(fs::read(program.path("run/config.toml")).unwrap(), config);
    assert!(!program.path("run/train.partial").exists());
    // So it does what another config has half done.
    let (half_done, note) = ("run/train.partial", "run/train.partial.json");
    program.copy("run/train", half_done);
    fs::remove_file(program.path("run/train.partial/manifest.json")).unwrap();
    program.write(note, r#"{"fingerprint":"of another","format_version":1,"inputs":{}}"#);
    let state = || (fs::read(program.path(note)).unwrap(), program.files(half_done));
    let before = state();
    let shorter = tiny(&program, &["--extend", "--set", "phase.2.steps=3"]);
    assert_eq!(shorter.code, Some(2), "{}", shorter.stderr);
    assert_eq!(state(), before);
    assert!(!program.path("run/aside").exists());
    // Extended by nothing, it is still all there.
    let before = weights(&program, "run");
    let said = tiny(&program, &["--extend", "--from", "train", "--set", "phase.2.steps=4"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(weights(&program, "run"), before);
}

/// 3: what a later command asks changes nothing about what a stage was made by.
#[test]
fn a_stage_keeps_the_config_that_made_it() {
    let program = Program::new();
    let curves = [
        "--set",
        "corpus.seed=3",
        "--set",
        "evaluate.sweep=[0.5,1.0]",
        "--set",
        "evaluate.samples=40",
    ];
    assert_eq!(tiny(&program, &curves).code, Some(0));
    let mut copy = std::process::Command::new("cp");
    copy.arg("-r").arg(program.path("run")).arg(program.path("copy"));
    assert!(copy.status().unwrap().success());
    let other = [
        "pipeline",
        "--config",
        "tiny.toml",
        "--run",
        "copy",
        "--set",
        "seed=9",
        "--until",
        "ingest",
    ];
    program.succeeds(&[&other[..], &curves].concat());
    // They are one run twice, whatever the second one's config says now.
    let said = program.run(&["compare", "run", "copy"]);
    assert!(said.error().contains("the same seed (3)"), "{}", said.error());
    // Nor does it name what was trained: the texts are those of the run's own seed.
    let texts = |run| program.succeeds(&["generate", "--run", run, "-n", "3"]).stdout;
    assert_eq!(texts("run"), texts("copy"));
}

/// 4: finished or half-done training is set aside when a key changes, not removed.
#[test]
fn old_work_is_set_aside() {
    let program = Program::new();
    tiny(&program, &["--until", "train"]);
    let before = weights(&program, "run");
    let said = tiny(&program, &["--until", "train", "--set", "phase.0.learning_rate=2e-3"]);
    assert!(said.stderr.contains("set aside"), "{}", said.stderr);
    assert_ne!(weights(&program, "run"), before);
    let aside = program.path("run/aside/train-1/model/model.safetensors");
    assert_eq!(fs::read(aside).unwrap(), before);
    // The old config has its old work again, and the new one can have its own.
    let changed = weights(&program, "run");
    let said = tiny(&program, &["--until", "train"]);
    assert!(said.stderr.contains("taken back from") && !said.stderr.contains("train: done"));
    assert_eq!(weights(&program, "run"), before);
    assert!(
        program.path("run/aside/train-2").is_dir() && !program.path("run/aside/train-1").exists()
    );
    assert!(tiny(&program, &["--until", "train"]).stderr.contains("nothing to do"));
    let said = tiny(&program, &["--until", "train", "--set", "phase.0.learning_rate=2e-3"]);
    assert!(said.stderr.contains("taken back from"), "{}", said.stderr);
    assert_eq!(weights(&program, "run"), changed);
    let shown = program.succeeds(&["show", "run"]).stdout;
    assert!(shown.contains("train-1") && shown.contains("run/aside/train-1"), "{shown}");
}

/// 5, 9: a run remembers its config, and a command that comes to nothing leaves nothing.
#[test]
fn a_run_remembers_its_config_and_a_refusal_leaves_none() {
    let program = Program::new();
    tiny(
        &program,
        &["--until", "ingest", "--set", "corpus.sources=[{ kind = 'synthetic', documents = 222 }]"],
    );
    let said = program.succeeds(&["pipeline", "--run", "run", "--until", "ingest"]);
    assert!(said.stderr.contains("nothing to do"), "{}", said.stderr);
    let said = program.run(&[
        "pipeline",
        "--config",
        "tiny.toml",
        "--run",
        "new",
        "--set",
        &sources("no.txt", ""),
    ]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(!program.path("new").exists());
}

/// 6: what runs have made is no text to learn from.
#[test]
fn a_run_does_not_read_its_own_output() {
    let program = Program::new();
    program.write("data/a.txt", "a man rides a horse\n".repeat(60));
    for _ in 0..2 {
        for pattern in ["data", "**/*.txt"] {
            let set = sources(pattern, "");
            let run = ["pipeline", "--config", "tiny.toml", "--run", "data/runs/r", "--set", &set];
            let said = program.run(&[&run[..], &["--until", "train", "--force"]].concat());
            assert!(said.stderr.contains("read 60 documents from 1 files"), "{}", said.stderr);
        }
    }
}

/// 7: weights begin only a network that computes the same with them.
#[test]
fn weights_begin_only_what_they_were_of() {
    let program = Program::new();
    program.write("a.txt", "ant bee cat dog\n".repeat(80));
    program.write("b.txt", "ant bee cat elk\n".repeat(80));
    tiny(&program, &["--set", &sources("a.txt", ""), "--until", "train"]);
    let from = |text: &str, what: &str| {
        let set = sources(text, "");
        let run = ["pipeline", "--config", "tiny.toml", "--run", "other", "--until", "train"];
        let run =
            [&run[..], &["--set", &set, "--set", what, "--set", "generator.heads=1"]].concat();
        program.run(&run).error().to_owned()
    };
    let error = from("a.txt", "train.init_from='run/train/model'");
    assert!(error.contains("generator.heads is 2, and this run's is 1"), "{error}");
    let error = from("b.txt", "train.init_discriminator_from='run/train/discriminator'");
    assert!(error.contains("tokenizer"), "{error}");
}

/// 8: where output cannot be written, that is an error and no panic.
#[cfg(unix)]
#[test]
fn a_full_device_is_an_error_and_no_panic() {
    let program = Program::new();
    tiny(&program, &["--until", "ingest"]);
    for command in [&["show", "run"][..], &["list", "."]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let said = program.command(command).stdout(full).output().unwrap();
        let stderr = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("error:") && !stderr.contains("panicked"), "{stderr}");
    }
}

/// 9a: no file outside a run is written by way of a link in it.
#[cfg(unix)]
#[test]
fn no_link_in_a_run_is_followed() {
    use std::os::unix::fs::symlink;

    let program = Program::new();
    program.write("victim", "precious");
    tiny(&program, &["--until", "ingest"]);
    for name in ["lock", "log.jsonl", "hashes.json.tmp", "config.toml.tmp"] {
        let path = program.path("run").join(name);
        let _ = fs::remove_file(&path);
        symlink(program.path("victim"), &path).unwrap();
        tiny(&program, &["--until", "ingest", "--force"]);
        assert_eq!(fs::read_to_string(program.path("victim")).unwrap(), "precious", "{name}");
        let _ = fs::remove_file(&path);
        fs::write(program.path("run/lock"), "").unwrap();
    }
}

/// 9c: a damaged run says so, wherever it is looked at, and hides no other.
#[test]
fn damage_is_said_and_hides_nothing() {
    let program = Program::new();
    tiny(&program, &["--until", "generate"]);
    program.succeeds(&["pipeline", "--config", "tiny.toml", "--run", "whole", "--until", "ingest"]);
    let file = program.path("run/train/model/model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    let said = program.run(&["generate", "--run", "run", "-n", "1"]);
    assert!(said.error().contains("model.safetensors"), "{}", said.error());
    let said = program.run(&["show", "run", "--verify"]);
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains("model.safetensors") && said.stdout.contains("as it was written"));
    fs::write(program.path("run/train/manifest.json"), "{").unwrap();
    let said = program.succeeds(&["list", "."]);
    assert!(said.stdout.contains("damaged") && said.stdout.contains("whole"), "{}", said.stdout);
}

/// 9d: what a config declares is compared with what there is before room is made for it.
#[test]
fn declared_sizes_are_compared_first() {
    let program = Program::new();
    tiny(&program, &["--until", "train"]);
    let path = program.path("run/train/model/config.json");
    let whole = fs::read_to_string(&path).unwrap();
    for (key, value) in [("vocab", 1_000_000_000u64), ("max_length", 1 << 62), ("labels", 1 << 40)]
    {
        let mut json: serde_json::Value = serde_json::from_str(&whole).unwrap();
        json["textgan"]["sizes"][key] = value.into();
        fs::write(&path, json.to_string()).unwrap();
        let said = program.run(&["generate", "--model", "run/train/model", "-n", "1"]);
        assert_eq!(said.code, Some(1), "{key}: {}", said.stderr);
    }
}

/// 9e: what is secret in an address is not stored.
#[test]
fn secrets_of_addresses_are_not_stored() {
    let program = Program::new();
    let set = sources("http://user:word@127.0.0.1:9/a.txt?token=5", "");
    let said = program.run(&["config", "--config", "tiny.toml", "--set", &set]);
    assert!(said.stdout.contains("http://127.0.0.1:9/a.txt"), "{}", said.stdout);
    assert!(!said.stdout.contains("word@") && !said.stdout.contains("token=5"), "{}", said.stdout);
}

/// 9f: a tokenizer file that is random, has holes, knows nothing or never ends is refused by name.
#[test]
fn tokenizer_files_give_the_same_every_time_and_end() {
    let program = Program::new();
    program.write("a.txt", "ab ba abc\n".repeat(60));
    let vocabulary = |ids: &str| {
        format!(
            r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
            "pre_tokenizer":{{"type":"WhitespaceSplit"}},"post_processor":null,"decoder":null,
            "model":{{"type":"BPE","dropout":null,"unk_token":"<unk>","continuing_subword_prefix":null,
            "end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"vocab":{{{ids}}},"merges":[]}}}}"#
        )
    };
    let specials = r#""<pad>":0,"<unk>":1,"<s>":2,"</s>":3"#;
    let whole = vocabulary(&format!(r#"{specials},"a":4,"b":5,"c":6"#));
    let word_piece =
        whole.replace(r#""type":"BPE""#, r#""type":"WordPiece","max_input_chars_per_word":100000"#);
    let doubled = r#"{"type":"Replace","pattern":{"String":"a"},"content":"aa"}"#;
    let chain = format!(
        r#""normalizer":{{"type":"Sequence","normalizers":[{}]}}"#,
        [doubled; 40].join(",")
    );
    for (file, expected) in [
        (whole.replace(r#""dropout":null"#, r#""dropout":0.5"#), "dropout"),
        (vocabulary(&format!(r#"{specials},"a":4,"b":9"#)), "without a hole"),
        (vocabulary(specials), "no token in it"),
        (word_piece, "max_input_chars_per_word"),
        (whole.replace(r#""normalizer":null"#, &chain), "normalizer"),
    ] {
        program.write("tokenizer.json", file);
        let tokenizer = "tokenizer={ kind = 'file', path = 'tokenizer.json', max_length = 12 }";
        let set = sources("a.txt", "");
        let said = tiny(&program, &["--set", &set, "--set", tokenizer, "--until", "tokenize"]);
        assert_eq!(said.code, Some(1), "{expected}: {}", said.stderr);
        assert!(said.error().contains(expected), "{expected}: {}", said.error());
    }
}

/// 9g: what may never end is not waited for.
#[test]
#[cfg(unix)]
fn pipes_and_devices_are_not_waited_for() {
    let program = Program::new();
    let pipe = program.path("pipe.toml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    program.write("extends.toml", "extends = \"pipe.toml\"\n");
    for (arguments, code, expected) in [
        (&["pipeline", "--config", "pipe.toml"][..], 2, "not a file"),
        (&["pipeline", "--config", "extends.toml"], 2, "not a file"),
        (&["pipeline", "--config", "/dev/zero"], 2, "not a file"),
        (&["new", "x.toml", "--from", "pipe.toml"], 2, "a pipe, device or socket"),
    ] {
        let said = program.run(arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.stderr);
        assert!(said.error().contains(expected), "{arguments:?}: {}", said.error());
    }
    for path in ["pipe.toml", "/dev/zero"] {
        let said = ingested(&program, path, ", format = 'text'", &[]);
        assert!(said.error().contains("a pipe, device or socket"), "{}", said.error());
    }
}
