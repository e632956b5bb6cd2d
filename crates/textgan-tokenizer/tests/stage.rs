//! The tokenize stage, Parquet to Parquet.

use std::path::Path;

use textgan_artifact::Quiet;
use textgan_artifact::table::{Document, ShardedWriter, TokenRow, read_split};
use textgan_tokenizer::{Error, Kind, Overlong, Tokenizer, TokenizerConfig, tokenize};

fn write_documents(folder: &Path, split: &str, texts: &[(&str, Option<&str>)]) {
    let documents: Vec<Document> = (0..)
        .zip(texts)
        .map(|(id, (text, label))| Document {
            id,
            text: (*text).to_owned(),
            label: label.map(str::to_owned),
            source: "test".to_owned(),
            metadata: None,
        })
        .collect();
    let mut writer = ShardedWriter::create(folder, split, 2).unwrap();
    writer.write(&documents).unwrap();
    writer.finish().unwrap();
}

fn read_rows(folder: &Path, split: &str) -> Vec<TokenRow> {
    read_split(folder, split).unwrap()
}

struct Folders {
    documents: tempfile::TempDir,
    out: tempfile::TempDir,
}

impl Folders {
    fn new() -> Self {
        let folders =
            Self { documents: tempfile::tempdir().unwrap(), out: tempfile::tempdir().unwrap() };
        let documents = folders.documents.path();
        write_documents(
            documents,
            "train",
            &[
                ("a dog runs", Some("outdoors")),
                ("a cat sleeps on a bed", Some("indoors")),
                (" ", None),
            ],
        );
        write_documents(documents, "valid", &[("a bird sings", Some("outdoors"))]);
        write_documents(documents, "test", &[("a cat runs", Some("indoors"))]);
        folders
    }

    fn tokenize(&self, config: &TokenizerConfig) -> Result<textgan_tokenizer::Statistics, Error> {
        tokenize(config, self.documents.path(), self.out.path(), &Quiet)
    }
}

#[test]
fn every_split_is_encoded_in_order_and_counted() {
    let folders = Folders::new();
    let statistics =
        folders.tokenize(&TokenizerConfig { max_length: 4, ..TokenizerConfig::default() }).unwrap();
    let tokenizer = Tokenizer::load(folders.out.path().join("tokenizer.json")).unwrap();

    let train = read_rows(folders.out.path(), "train");
    assert_eq!(
        train.iter().map(|row| (row.id, row.label)).collect::<Vec<_>>(),
        [(0, Some(1)), (1, Some(0))]
    );
    assert_eq!(tokenizer.decode(&train[1].tokens).unwrap(), "a cat sleeps on");

    assert_eq!(statistics.labels, ["indoors", "outdoors"]);
    let labels = std::fs::read_to_string(folders.out.path().join("labels.json")).unwrap();
    assert_eq!(serde_json::from_str::<Vec<String>>(&labels).unwrap(), statistics.labels);

    let train = &statistics.splits["train"];
    assert_eq!((train.documents, train.sequences, train.empty, train.truncated), (3, 2, 1, 1));
    assert_eq!((train.longest, train.tokens, train.unknown), (6, 7, 0));
    assert_eq!(train.lengths.counts, [0, 0, 0, 1, 1]);
    assert_eq!(
        (train.lengths.mean, train.lengths.median, train.lengths.percentile_95),
        (3.5, 3, 4)
    );

    // "bird" and "sings" are not in the train split.
    let valid = &statistics.splits["valid"];
    assert_eq!((valid.tokens, valid.unknown), (3, 2));
    let stored = std::fs::read(folders.out.path().join("stats.json")).unwrap();
    assert_eq!(
        serde_json::from_slice::<textgan_tokenizer::Statistics>(&stored).unwrap(),
        statistics
    );
}

#[test]
fn overlong_documents_can_be_dropped() {
    let folders = Folders::new();
    let config =
        TokenizerConfig { max_length: 4, overlong: Overlong::Drop, ..TokenizerConfig::default() };
    let statistics = folders.tokenize(&config).unwrap();
    assert_eq!(statistics.splits["train"].dropped, 1);
    assert_eq!(read_rows(folders.out.path(), "train").len(), 1);
}

#[test]
fn a_split_with_nothing_left_is_an_error_that_names_it() {
    let folders = Folders::new();
    let config =
        TokenizerConfig { max_length: 2, overlong: Overlong::Drop, ..TokenizerConfig::default() };
    let message = folders.tokenize(&config).unwrap_err().to_string();
    assert!(message.contains("the train split"), "{message}");
    assert!(message.contains("3 documents, 3 dropped"), "{message}");

    let folders = Folders::new();
    write_documents(folders.documents.path(), "valid", &[]);
    let message = folders.tokenize(&TokenizerConfig::default()).unwrap_err().to_string();
    assert!(message.contains("the valid split"), "{message}");
}

#[test]
fn an_adopted_tokenizer_gives_the_same_rows() {
    let folders = Folders::new();
    folders.tokenize(&TokenizerConfig::default()).unwrap();
    let again = Folders::new();
    let config = TokenizerConfig {
        kind: Kind::File,
        path: Some(folders.out.path().join("tokenizer.json")),
        ..TokenizerConfig::default()
    };
    again.tokenize(&config).unwrap();
    for split in ["train", "valid", "test"] {
        let rows = |folders: &Folders| {
            read_rows(folders.out.path(), split)
                .into_iter()
                .map(|row| row.tokens)
                .collect::<Vec<_>>()
        };
        assert_eq!(rows(&again), rows(&folders));
    }
}
