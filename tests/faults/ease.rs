//! Kinds 15, 19 and 24 to 27: first runs, wrong command lines, configs for one's own text.

use std::fs;

use super::{sources, tiny};
use crate::program::{Program, Said};

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
