//! Objects of a bucket, against a server on loopback that speaks as S3 does.

use crate::address::{ok, serve};
use crate::support::{Folder, as_read, contents, gzip};
use serde_json::json;
use std::path::PathBuf;
use textgan_artifact::Quiet;
use textgan_corpus::{Shard, ShardInputs, Split, ingest, ingest_shard, merge_shards};
use textgan_random::Key;

const OBJECTS: [(&str, &str); 8] = [
    ("texts/1.txt", "one\n"),
    ("texts/0.txt", "zero\n"),
    ("texts/more/2.txt", "two\n"),
    ("texts/.hidden/3.txt", "three\n"),
    ("texts/picture.png", "no text"),
    // As tools leave it in the place of a folder; and in the order of folders, not of bytes.
    ("texts/", ""),
    ("texts/more.txt", "more\n"),
    ("texts/A.txt", "capital\n"),
];

/// A bucket named `bucket`, and one named `closed`.
fn server() -> String {
    serve(|path| {
        let (resource, query) = path.split_once('?').unwrap_or((path, ""));
        if resource.starts_with("/closed") {
            let denied = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return denied.into();
        }
        if resource.trim_end_matches('/') == "/bucket" {
            let prefix = query.split('&').find_map(|part| part.strip_prefix("prefix="));
            let prefix = prefix.unwrap_or_default().replace("%2F", "/");
            let listed =
                OBJECTS.iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(key, body)| {
                    format!(
                        "<Contents><Key>{key}</Key><Size>{}</Size><ETag>\"{}\"</ETag>\
                     <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>",
                        body.len(),
                        &textgan_artifact::hash_bytes(body.as_bytes())[..8]
                    )
                });
            let listed: String = listed.collect();
            let answer = format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
            );
            return ok("Content-Type: application/xml\r\n", answer.as_bytes());
        }
        let key = resource.strip_prefix("/bucket/").unwrap_or_default();
        let headers = "ETag: \"e\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
        match OBJECTS.iter().find(|(other, _)| *other == key) {
            Some((_, body)) => ok(headers, body.as_bytes()),
            None if key == "packed.txt.gz" => ok(headers, &gzip("packed\n")),
            None => {
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
            }
        }
    })
}

/// The environment says where the store is, so this test runs in a process of its own: itself.
#[test]
fn objects_are_read_like_files() {
    if std::env::var_os("TEXTGAN_TEST_CHILD").is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["cloud::objects_are_read_like_files", "--exact"])
            .env_remove("AWS_ENDPOINT_URL_S3")
            .env("AWS_ENDPOINT", server())
            // What the store must not take for its own, and what is no text.
            .envs([("TEXTGAN_TEST_CHILD", "yes"), ("TOKEN", "another's"), ("READ_TIMEOUT", "30")])
            .env("ODD", <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xFF"))
            .envs([("AWS_ALLOW_HTTP", "true"), ("AWS_REGION", "us-east-1")])
            .envs([("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")])
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let folder = Folder::new();
    for (path, expected) in [
        ("s3://bucket/texts", &["zero", "one", "capital", "two", "more"][..]),
        ("s3://bucket/texts/", &["zero", "one", "capital", "two", "more"]),
        ("s3://bucket/texts/*.txt", &["zero", "one", "capital", "more"]),
        ("s3://bucket/texts/[a-z]*.txt", &["more"]),
        ("s3://bucket/*/*/*.txt", &["two"]),
        ("s3://bucket/texts/[1-9].txt", &["one"]),
        ("s3://bucket/texts/1.txt", &["one"]),
        ("s3://bucket/packed.txt.gz", &["packed"]),
    ] {
        assert_eq!(folder.ingest(as_read(json!(path))).unwrap().train(), expected, "{path}");
    }
    let outcome = folder.ingest(as_read(json!("s3://bucket/texts"))).unwrap();
    assert_eq!(outcome.rows(Split::Train)[3].source, "s3://bucket/texts/more/2.txt");
    assert_eq!((outcome.stats.read.files, outcome.stats.read.skipped_files), (5, 1));

    let source = |path: &str, more: serde_json::Value| {
        let mut source = json!({ "kind": "files", "path": path });
        source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        as_read(json!([source]))
    };
    let two = folder.ingest(source("s3://bucket/texts", json!({ "limit": 2 }))).unwrap();
    assert_eq!(two.train(), ["zero", "one"]);
    let pin = json!({ "blake3": textgan_artifact::hash_bytes(b"one\n") });
    folder.ingest(source("s3://bucket/texts/1.txt", pin.clone())).unwrap();
    assert!(folder.refusal(source("s3://bucket/texts/0.txt", pin.clone())).contains("0.txt"));
    assert!(folder.refusal(source("s3://bucket/texts", pin)).contains("names 5"));

    for (path, because) in [
        ("s3://bucket/absent/x.txt", "no such object or folder, or no match"),
        ("s3://bucket/texts/*.csv", "no such object or folder, or no match"),
        ("s3://bucket/texts/*.png", "no file of a known format"),
        ("s3://closed/a.txt", "AWS_ACCESS_KEY_ID"),
    ] {
        let refusal = folder.refusal(as_read(json!(path)));
        assert!(refusal.contains(because) && !refusal.contains("secret"), "{path}: {refusal}");
    }
    let limits =
        json!({ "sources": "s3://bucket/texts/1.txt", "limits": { "max_download_bytes": 3 } });
    assert!(folder.refusal(limits).contains("max_download_bytes"));

    // Shards share the objects.
    let config = folder.config(as_read(json!("s3://bucket/texts")));
    let whole = folder.path("whole");
    ingest(&config, &Key::root(3), &whole, &Quiet).unwrap();
    let shards: Vec<PathBuf> = (1..=3)
        .map(|number| {
            let (out, shard) = (folder.path(&number.to_string()), Shard::new(number, 3).unwrap());
            assert!(ShardInputs::new(&config, shard).unwrap().files.is_empty());
            let read = ingest_shard(&config, &Key::root(3), shard, &out, &Quiet).unwrap();
            assert!((1..=2).contains(&read.documents), "shard {number}");
            out
        })
        .collect();
    let merged = folder.path("merged");
    merge_shards(&config, &Key::root(3), &shards, &merged, &Quiet).unwrap();
    assert!(contents(&merged) == contents(&whole));
}
