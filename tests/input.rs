//! Bad input: an exit code, one clear message with the file and what to do, nothing half-written.

use std::fs;
use std::io::Write;

use crate::program::{Program, is_tidy};

/// Runs the tiny experiment on another corpus, as far as training.
fn refusal(program: &Program, arguments: &[&str]) -> String {
    let pipeline = ["pipeline", "--config", "tiny.toml", "--run", "run", "--until", "train"];
    let said = program.run(&[&pipeline[..], arguments].concat());
    assert!(matches!(said.code, Some(1 | 2)), "{arguments:?}: {said:?}");
    assert!(is_tidy(&program.path("run")), "{arguments:?}: {:?}", program.names("run"));
    said.error().to_string()
}

fn sources(path: &str) -> String {
    format!("corpus.sources=[{{ kind = 'files', path = '{path}' }}]")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn captions(count: usize) -> String {
    (0..count).map(|i| format!("a man rides horse number {i}\n")).collect()
}

#[test]
fn bad_corpora_are_refused() {
    let program = Program::new();
    program.write("empty.txt", "");
    program.write("one.txt", "a single line\n");
    program.write("latin.txt", b"caf\xe9 au lait\n".repeat(50));
    let packed = gzip(captions(5000).as_bytes());
    program.write("cut.txt.gz", &packed[..packed.len() / 2]);
    program.write("table.parquet", "not parquet at all");
    program.write("rows.jsonl", "{\"txt\": \"a\"}\n".repeat(50));
    program.write("broken.jsonl", "{\"text\": \n");
    program.write("photo.jpg", "x");
    for (file, expect) in [
        ("absent.txt", &["absent.txt"][..]),
        ("empty.txt", &["empty"]),
        ("one.txt", &["1"]),
        ("latin.txt", &["latin.txt", "UTF-8"]),
        ("cut.txt.gz", &["cut.txt.gz"]),
        ("table.parquet", &["table.parquet"]),
        ("rows.jsonl", &["rows.jsonl", "text", "txt"]),
        ("broken.jsonl", &["broken.jsonl"]),
        ("photo.jpg", &["photo.jpg", "format"]),
    ] {
        let error = refusal(&program, &["--set", &sources(file)]);
        for expect in expect {
            assert!(error.contains(expect), "{file}: {error}");
        }
    }
}

#[test]
fn a_gzip_bomb_is_refused() {
    let program = Program::new();
    program.write("bomb.txt.gz", gzip(&b"a\n".repeat(64 << 20)));
    let error = refusal(&program, &["--set", &sources("bomb.txt.gz")]);
    assert!(error.contains("bomb.txt.gz") && error.contains("max_expansion"), "{error}");
}

#[test]
fn a_line_without_end_is_refused_in_little_memory() {
    let program = Program::new();
    let mut file = fs::File::create(program.path("line.txt")).unwrap();
    // A hole of a gigabyte reads as zeros and takes no room.
    file.write_all(b"begin ").unwrap();
    file.set_len(1 << 30).unwrap();
    let error = refusal(&program, &["--set", &sources("line.txt")]);
    assert!(error.contains("line.txt") && error.contains("max_document_bytes"), "{error}");
}

#[test]
fn a_table_without_the_column_is_refused() {
    use textgan_artifact::table::{TableWriter, TokenRow};
    let program = Program::new();
    let mut writer = TableWriter::create(program.path("tokens.parquet")).unwrap();
    writer.push(TokenRow { id: 0, label: None, tokens: vec![4], cut: false }).unwrap();
    writer.finish().unwrap();
    let error = refusal(&program, &["--set", &sources("tokens.parquet")]);
    assert!(error.contains("tokens.parquet") && error.contains("`text`"), "{error}");
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let program = Program::new();
    for (assignment, expect) in [
        ("tokenizer.vocabulary_size=3", &["vocabulary_size"][..]),
        ("generator.width=1000000000", &["memory"]),
        ("generator.width=200000", &["memory"]),
        ("generator.heads=3", &["heads"]),
        ("train.batch_size=0", &["batch_size"]),
        ("corpus.split={ valid = 0.0 }", &["valid"]),
    ] {
        let error = refusal(&program, &["--set", assignment]);
        for expect in expect {
            assert!(error.contains(expect), "{assignment}: {error}");
        }
    }
}

#[test]
fn a_vocabulary_larger_than_the_data_is_refused() {
    let program = Program::new();
    let bpe = ["--set", "tokenizer.kind=byte-bpe", "--set", "tokenizer.vocabulary_size=100000"];
    let error = refusal(&program, &bpe);
    assert!(error.contains("vocabulary_size"), "{error}");
}

#[test]
fn other_folders_are_no_runs() {
    let program = Program::new();
    program.write("photos/holiday.jpg", "x");
    let said = program.run(&["pipeline", "--config", "tiny.toml", "--run", "photos"]);
    assert_eq!(said.code, Some(2));
    assert!(said.error().contains("photos is not a textgan run"), "{said:?}");
    let said = program.run(&["show", "photos"]);
    assert_eq!(said.code, Some(2));
    assert!(said.error().contains("photos is no run"), "{said:?}");
    assert_eq!(program.names("photos"), ["holiday.jpg"]);
    program.write("file", "x");
    let said = program.run(&["pipeline", "--config", "tiny.toml", "--run", "file"]);
    assert_eq!(said.code, Some(1));
    assert!(said.error().contains("file"), "{said:?}");
}

#[test]
fn a_run_in_use_is_refused() {
    let program = Program::new();
    let run = textgan_artifact::RunDir::create(program.path("run")).unwrap();
    let _lock = run.lock().unwrap();
    let said = program.run(&["pipeline", "--config", "tiny.toml", "--run", "run"]);
    assert_eq!(said.code, Some(1));
    let holder = format!("in use by process {}", std::process::id());
    assert!(said.error().contains(&holder), "{said:?}");
}

#[cfg(unix)]
#[test]
fn links_out_of_the_run_are_refused() {
    let program = Program::new();
    program.write("elsewhere/precious.txt", "x");
    textgan_artifact::RunDir::create(program.path("run")).unwrap();
    std::os::unix::fs::symlink(program.path("elsewhere"), program.path("run/ingest")).unwrap();
    let said = program.run(&["pipeline", "--config", "tiny.toml", "--run", "run"]);
    assert_eq!(said.code, Some(1));
    assert!(said.error().contains("would leave the folder"), "{said:?}");
    assert_eq!(program.names("elsewhere"), ["precious.txt"]);
}

/// On a file system of one megabyte, where the system lets an ordinary user mount one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_to_be_full() {
    use crate::program::Said;
    let program = Program::new();
    fs::create_dir(program.path("small")).unwrap();
    let script = "mount -t tmpfs -o size=1m none small || exit 99
        \"$0\" pipeline --config tiny.toml --set corpus.sources='[{ kind = \"synthetic\", documents = 60000 }]' --run small/run --until ingest
        code=$?
        ls small/run >&2
        exit $code";
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_xtask"))
        .current_dir(program.path(""))
        .output();
    let Ok(output) = output else { return eprintln!("skipped: there is no `unshare` here") };
    let said = Said::from(output);
    if said.code != Some(1) && !said.stderr.contains("error: ") {
        return eprintln!("skipped: cannot mount a small file system here: {}", said.stderr);
    }
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.error().contains("the disk is full"), "{said:?}");
    assert!(!said.stderr.contains("ingest.partial\n"), "{said:?}");
}
