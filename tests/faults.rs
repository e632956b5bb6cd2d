//! Faults that the first build had, one test a kind: work lost, text lost, numbers that say more than they
//! know.

use std::fs;

use crate::program::{Program, Said};

const TINY: [&str; 5] = ["pipeline", "--config", "tiny.toml", "--run", "run"];

fn tiny(program: &Program, arguments: &[&str]) -> Said {
    program.run(&[&TINY[..], arguments].concat())
}

fn sources(path: &str, keys: &str) -> String {
    format!("corpus.sources=[{{ kind = 'files', path = '{path}'{keys} }}]")
}

/// What ingesting a file of that name says.
fn ingested(program: &Program, name: &str, keys: &str, arguments: &[&str]) -> Said {
    let set = sources(name, keys);
    tiny(program, &[&["--set", &set, "--until", "ingest"], arguments].concat())
}

fn weights(program: &Program, run: &str) -> Vec<u8> {
    fs::read(program.path(run).join("train/model/model.safetensors")).unwrap()
}

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

/// 15, 19, 24: a tiny corpus runs to its end, and says what its numbers are worth.
#[test]
fn twenty_lines_run_to_the_end_with_a_warning() {
    let program = Program::new();
    let lines: String = (0..20).map(|i| format!("a man rides horse {} today\n", i % 7)).collect();
    program.write("mine.txt", lines);
    let set = sources("mine.txt", "");
    let said = tiny(&program, &["--set", &set, "--set", "tokenizer.vocabulary_size=8"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("the test split has 1 texts"), "{}", said.stderr);
    assert!(said.stderr.contains("are unknown, and match nothing"), "{}", said.stderr);
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

/// 26, 27: what is wrong on the command line is said with code 2.
#[test]
fn wrong_command_lines_have_code_two() {
    let program = Program::new();
    tiny(&program, &["--until", "train"]);
    for (arguments, expected) in [
        (&["--temperature", "0"][..], "temperature"),
        (&["--temperature", "-1"], "temperature"),
        (&["--temperature", "1e-39"], "greedy"),
        (&["--count", "0"], "--count 0"),
        (&["--label", "x"], "the model's labels are `indoors`"),
        (&["--top-k", "0"], "top_k"),
        (&["--prompt", "zebra"], "--prompt: the vocabulary lacks a word of \"zebra\""),
        (&["--run", "nowhere"], "nowhere is not there"),
        (&["--model", "nowhere"], "--model nowhere"),
    ] {
        let run: &[&str] = if arguments[0] == "--run" { &[] } else { &["--run", "run"] };
        let said = program.run(&[&["generate"], run, arguments].concat());
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.stderr);
        assert!(said.error().contains(expected), "{arguments:?}: {}", said.error());
    }
    let said = tiny(&program, &["--set", "extends='quickstart.toml'"]);
    assert_eq!(said.code, Some(2));
    assert!(said.error().contains("--config"), "{}", said.error());
}

/// 24, 25: `new` looks at the text, and what it writes runs to its end.
#[test]
fn a_config_is_made_for_ones_own_text() {
    let program = Program::new();
    let sentence = |i: usize| {
        format!(
            "the {} man , who rides horse {} , is here .",
            ["old", "tall", "kind"][i % 3],
            i % 9
        )
    };
    program.write("twenty.txt", (0..20).map(|i| sentence(i) + "\n").collect::<String>());
    let names = ["Ada", "Grace", "Alan", "Kurt", "Emmy", "Sofia"];
    program.write(
        "names.txt",
        (0..300).map(|i| format!("{}{}\n", names[i % 6], i % 7)).collect::<String>(),
    );
    let row = |i: usize| format!("{i},\"{}\",{}\n", sentence(i), ["good", "bad"][i % 2]);
    program.write(
        "reviews.csv",
        format!("id,review,class\n{}", (0..120).map(row).collect::<String>()),
    );
    program.write(
        "latin.txt",
        (0..40)
            .flat_map(|i| format!("un caf\u{e9} de {i} ans .\n").chars().collect::<Vec<_>>())
            .map(|c| c as u8)
            .collect::<Vec<u8>>(),
    );
    for (file, found, kept) in [
        ("twenty.txt", "20 texts", "kind = \"character\""),
        ("names.txt", "300 texts", "kind = \"character\""),
        ("reviews.csv", "labels: the column `class`", "text = \"review\""),
        ("latin.txt", "encoding: windows-1252", "encoding = \"windows-1252\""),
    ] {
        let config = format!("{}.toml", file.split('.').next().unwrap());
        let said = program.succeeds(&["new", &config, "--from", file]);
        assert!(said.stderr.contains(found), "{file}: {}", said.stderr);
        let text = fs::read_to_string(program.path(&config)).unwrap();
        assert!(text.contains(kept), "{file}: {text}");
        let said = program.run(&["new", &config, "--from", file]);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        assert!(said.error().contains("--force"), "{}", said.error());
    }
    for config in ["twenty.toml", "reviews.toml"] {
        program.succeeds(&["pipeline", "--config", config, "--quick"]);
        let run = config.replace(".toml", "-quick");
        let report = program.path("runs").join(run).join("report/report.html");
        assert!(fs::read_to_string(report).unwrap().contains("This was a try"), "{config}");
    }
    program.write("few.txt", "One sentence. And another!\n");
    let said = program.run(&["new", "x.toml", "--from", "few.txt"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.error().contains("few.txt has 2 different sentences"), "{}", said.error());
    assert!(!program.path("x.toml").exists());
    // Repeats are no more texts, and documents beyond the look are counted all the same.
    program.write("alike.txt", "the same line again .\n".repeat(20));
    let said = program.run(&["new", "x.toml", "--from", "alike.txt"]);
    assert!(said.error().contains("alike.txt has 1 different"), "{}", said.error());
    let rows: Vec<_> = (0..30_000)
        .map(|i| serde_json::json!({ "text": format!("Headline {i}. More!") }))
        .collect();
    program.write("rows.json", serde_json::to_vec(&rows).unwrap());
    let said = program.succeeds(&["new", "rows.toml", "--from", "rows.json"]);
    assert!(said.stderr.contains("30000 texts"), "{}", said.stderr);
    let said = program.run(&["new", "x.toml", "--from", "absent"]);
    assert!(said.code == Some(2) && said.error().contains("absent"), "{}", said.stderr);
}

/// 26: a key of the file can be taken away.
#[test]
fn a_key_can_be_unset() {
    let program = Program::new();
    let shown = |arguments: &[&str]| {
        program.succeeds(&[&["config", "--config", "tiny.toml"], arguments].concat()).stdout
    };
    assert!(shown(&[]).contains("max_length = 40"));
    assert!(!shown(&["--set", "tokenizer.max_length="]).contains("max_length = 40"));
    assert!(shown(&["--set", "phase.2="]).matches("[[phase]]").count() == 2);
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

/// 25: text that comes over the standard input is kept beside its config.
#[test]
fn a_config_is_made_for_what_is_piped_in() {
    use std::io::Write as _;
    let program = Program::new();
    let mut child = program
        .command(&["new", "piped.toml", "--from", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let text: String = (0..50).map(|i| format!("a man rides {i} horses today .\n")).collect();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = Said::from(child.wait_with_output().unwrap());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("piped.txt"), "{}", said.stderr);
    assert_eq!(fs::read_to_string(program.path("piped.txt")).unwrap(), text);
    assert!(fs::read_to_string(program.path("piped.toml")).unwrap().contains("piped.txt"));
    let said = program.run(&["new", "other.toml", "--from", "-"]);
    assert!(said.code == Some(2) && said.error().contains("standard input"), "{}", said.stderr);
    assert!(!program.path("other.txt").exists() && !program.path("other.toml").exists());
}

/// Kind 25: a book of three lines has sentences enough for every split.
#[test]
fn a_few_long_documents_are_held_out_by_the_sentence() {
    let program = Program::new();
    let chapter = |chapter: usize| -> String {
        let sentence = |i: usize| format!("Guest {chapter} of house {i} met {} dogs. ", i % 7);
        (0..120).map(sentence).collect::<String>() + "\n"
    };
    program.write("book.txt", (0..3).map(chapter).collect::<String>());
    let said = program.succeeds(&["new", "book.toml", "--from", "book.txt"]).stderr;
    assert!(said.contains("cut into sentences") && said.contains("360 sentences"), "{said}");
    let config = fs::read_to_string(program.path("book.toml")).unwrap();
    assert!(config.contains("by = \"sentence\""), "{config}");
    program.succeeds(&["pipeline", "--config", "book.toml", "--run", "run", "--until", "tokenize"]);
    for split in ["train", "valid", "test"] {
        assert!(
            program.path(&format!("run/tokenize/{split}-00000-of-00001.parquet")).is_file(),
            "{split}"
        );
    }
}
