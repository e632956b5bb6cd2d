//! Plain addresses, against a server on loopback.

use crate::support::{Folder, as_read, gzip};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

/// Answers requests by path, in a thread of its own that lives as long as the test program.
pub fn serve(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            reader.read_line(&mut request).unwrap();
            let mut header = String::new();
            while reader.read_line(&mut header).is_ok_and(|n| n > 2) {
                header.clear();
            }
            let path = request.split(' ').nth(1).unwrap_or_default();
            let _ = stream.write_all(&answer(path));
        }
    });
    format!("http://{address}")
}

pub fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn server() -> String {
    serve(|path| match path {
        "/a.jsonl.gz?download=1" => ok("", &gzip("{\"text\": \"one\"}\n{\"text\": \"two\"}\n")),
        "/plain" => ok("", b"one\ntwo\n"),
        "/broken.txt" => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\nonly this"
                .to_vec()
        }
        "/part.txt" => {
            b"HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\nConnection: close\r\n\r\none\n"
                .to_vec()
        }
        _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
    })
}

#[test]
fn addresses_are_read_like_files() {
    let url = server();
    let folder = Folder::new();
    let outcome = folder.ingest(as_read(json!(format!("{url}/a.jsonl.gz?download=1")))).unwrap();
    assert_eq!(outcome.train(), ["one", "two"]);
    assert_eq!(outcome.rows(textgan_corpus::Split::Train)[0].source, format!("{url}/a.jsonl.gz"));

    let hash = textgan_artifact::hash_bytes(b"one\ntwo\n");
    let source = json!({ "kind": "files", "path": format!("{url}/plain"), "format": "text", "blake3": hash });
    let outcome = folder.ingest(as_read(source)).unwrap();
    assert_eq!(outcome.train(), ["one", "two"]);
    let names: Vec<String> =
        crate::support::contents(&outcome.out).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["dropped.parquet", "stats.json", "train-00000-of-00001.parquet"]);
}

#[test]
fn what_a_server_does_wrong_is_said() {
    let url = server();
    let pinned = json!({ "kind": "files", "path": format!("{url}/plain"), "format": "text", "blake3": "0".repeat(64) });
    let limited = json!({ "sources": { "kind": "files", "path": format!("{url}/plain"), "format": "text" }, "limits": { "max_download_bytes": 3 } });
    for (config, expect) in [
        (as_read(json!(format!("{url}/none.txt"))), "404"),
        (as_read(json!(format!("{url}/broken.txt"))), "broke off"),
        (as_read(json!(format!("{url}/part.txt"))), "206"),
        (as_read(json!(format!("{url}/plain"))), "`format`"),
        (as_read(json!("http://127.0.0.1:1/a.txt")), "cannot be fetched"),
        (as_read(pinned), "BLAKE3"),
        (limited, "max_download_bytes"),
    ] {
        let message = Folder::new().refusal(config);
        assert!(message.contains(expect), "{expect}: {message}");
    }
}

/// A server that never sends the rest, and one that sends a byte at a time.
#[test]
fn a_download_has_a_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
            std::thread::spawn(move || {
                while stream.write_all(b"a").is_ok() {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
            });
        }
    });
    let config = json!({
        "sources": { "kind": "files", "path": format!("http://{address}/a.txt"), "format": "text" },
        "limits": { "max_download_seconds": 1 },
    });
    let message = Folder::new().refusal(config);
    assert!(message.contains("max_download_seconds"), "{message}");
}

/// A connection that is reset in the middle gives no text, whether or not a length was announced.
#[test]
fn a_body_that_is_cut_is_not_taken_for_whole() {
    let url = serve(|path| {
        match path {
        "/chunked.txt" => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n8\r\none\ntwo\n\r\n"
                .to_vec()
        }
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\none\ntwo\n".to_vec(),
    }
    });
    for path in ["chunked.txt", "length.txt"] {
        let message = Folder::new().refusal(as_read(json!(format!("{url}/{path}"))));
        assert!(message.contains("broke off"), "{path}: {message}");
    }
}
