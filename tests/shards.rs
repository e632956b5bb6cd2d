//! `ingest --shard` and `--merge`: one corpus by several processes.

use std::fs;

use crate::program::Program;

/// A corpus of several files beside a grammar.
fn with_files() -> Program {
    let program = Program::new();
    for file in 0..6 {
        let line = |i: usize| format!("text {} of  file {} goes on for a while\n", i % 40, i % 7);
        program.write(&format!("texts/{file}.txt"), (file * 20..200).map(line).collect::<String>());
    }
    program.write(
        "c.toml",
        "seed = 3\n[corpus]\nsources = [\"texts\", { kind = \"synthetic\", documents = 2000 }]\n\
         steps = [\"whitespace\", \"exact-duplicates\", { step = \"near-duplicates\", threshold = 0.9 }]\n\
         [[phase]]\nkind = \"maximum-likelihood\"\nsteps = 2\n",
    );
    program
}

fn ingest<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["ingest", "--config", "c.toml", "--run", "many"], more].concat()
}

#[test]
fn shards_are_merged_to_the_run_of_one_process() {
    let program = with_files();
    program.succeeds(&["ingest", "--config", "c.toml", "--run", "one"]);

    // Side by side, two of them started by others.
    let mut processes = vec![program.command(&ingest(&["--shard", "1/3"])).spawn().unwrap()];
    for rank in ["1", "2"] {
        let mut command = program.command(&ingest(&["--shard", "auto"]));
        command.env("OMPI_COMM_WORLD_RANK", rank).env("OMPI_COMM_WORLD_SIZE", "3");
        processes.push(command.spawn().unwrap());
    }
    assert!(processes.iter_mut().all(|process| process.wait().unwrap().success()));
    let said = program.succeeds(&ingest(&["--shard", "2/3"]));
    assert!(said.stderr.contains("nothing to do"), "{}", said.stderr);
    program.succeeds(&ingest(&["--merge", "3"]));
    assert_eq!(program.manifests("many"), program.manifests("one"));
    // What was merged is what the run's own ingestion makes.
    let said = program.succeeds(&ingest(&[]));
    assert!(said.stderr.contains("nothing to do"), "{}", said.stderr);
}

#[test]
fn a_merge_says_which_shard_is_to_be_made_again() {
    let program = with_files();
    let refused = |more: &[&str]| {
        let said = program.run(&ingest(more));
        assert_ne!(said.code, Some(0));
        said.error().to_owned()
    };
    program.succeeds(&ingest(&["--shard", "1/2"]));
    assert!(refused(&["--merge", "2"]).contains("--shard 2/2"));
    program.succeeds(&ingest(&["--shard", "2/2"]));
    assert!(refused(&["--merge", "2", "--set", "seed=4"]).contains("--shard 1/2"));
    assert!(program.names("many").iter().all(|name| name != "ingest"), "nothing was merged");

    let last = program.path("texts/5.txt");
    let text = fs::read_to_string(&last).unwrap();
    fs::write(&last, text.replace("goes", "went")).unwrap();
    // The files come before the grammar.
    assert!(refused(&["--merge", "2"]).contains("shard 1/2"), "a file was changed");
    program.succeeds(&ingest(&["--shard", "1/2"]));
    // A file of another size moves the border between the shards: both are to be made again.
    fs::write(&last, text.repeat(30)).unwrap();
    assert!(refused(&["--merge", "2"]).contains("shard 1/2"));
    program.succeeds(&ingest(&["--shard", "1/2"]));
    assert!(refused(&["--merge", "2"]).contains("shard 2/2"));
    program.succeeds(&ingest(&["--shard", "2/2"]));
    let table = "many/shards/00001-of-00002/ingest-shard/rows-00000-of-00001.parquet";
    let mut bytes = fs::read(program.path(table)).unwrap();
    bytes[100] ^= 1;
    program.write(table, bytes);
    assert!(refused(&["--merge", "2"]).contains("rows-00000-of-00001.parquet"));
    assert!(refused(&["--shard", "1/2"]).contains("rows-00000-of-00001.parquet"));
    program.succeeds(&ingest(&["--shard", "1/2", "--force"]));
    program.succeeds(&ingest(&["--merge", "2"]));
    for (shard, problem) in
        [("0/2", "there is no shard 0 of 2"), ("2", "write 2/4"), ("auto", "name it")]
    {
        assert!(refused(&["--shard", shard]).contains(problem), "{shard}");
    }
}
