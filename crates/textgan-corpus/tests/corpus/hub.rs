//! A dataset on the hub, against a server on loopback that speaks as the hub does.

use crate::address::{ok, serve};
use crate::support::{Folder, as_read};
use serde_json::json;

const COMMIT: &str = "0123456789012345678901234567890123456789";

fn server() -> String {
    serve(|path| {
        let file = |body: &str| {
            let etag = textgan_artifact::hash_bytes(body.as_bytes());
            let range = format!("bytes 0-0/{}", body.len());
            ok(
                &format!(
                    "x-repo-commit: {COMMIT}\r\netag: \"{etag}\"\r\nContent-Range: {range}\r\n"
                ),
                body.as_bytes(),
            )
        };
        match path {
            "/api/datasets/owner/name/revision/refs%2Fconvert%2Fparquet" => {
                let names = ["d/train/1.txt", "d/train/0.txt", "d/test/0.txt"];
                let siblings: Vec<_> =
                    names.iter().map(|name| json!({ "rfilename": name })).collect();
                ok("", json!({ "siblings": siblings, "sha": COMMIT }).to_string().as_bytes())
            }
            "/datasets/owner/name/resolve/refs%2Fconvert%2Fparquet/d/train/0.txt" => file("zero\n"),
            "/datasets/owner/name/resolve/refs%2Fconvert%2Fparquet/d/train/1.txt" => file("one\n"),
            _ => {
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
            }
        }
    })
}

/// The environment says where the hub is, so this test runs in a process of its own: itself.
#[test]
fn a_dataset_is_read_like_files() {
    let folder = Folder::new();
    if std::env::var("HF_ENDPOINT").is_ok_and(|url| url.starts_with("http://127.0.0.1")) {
        let outcome = folder
            .ingest(as_read(json!("hf://datasets/owner/name@~parquet/d/train/*.txt")))
            .unwrap();
        assert_eq!(outcome.train(), ["zero", "one"]);
        let source = &outcome.rows(textgan_corpus::Split::Train)[0].source;
        assert_eq!(source, "hf://datasets/owner/name@refs/convert/parquet/d/train/0.txt");
        let none =
            folder.ingest(as_read(json!("hf://datasets/owner/name@~parquet/x/*"))).map(|o| o.stats);
        assert!(none.unwrap_err().to_string().contains("no file matches `x/*`"));
        let absent =
            folder.ingest(as_read(json!("hf://datasets/owner/absent/x/*"))).map(|o| o.stats);
        assert!(absent.unwrap_err().to_string().contains("check the name"));
        return;
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["hub::a_dataset_is_read_like_files", "--exact"])
        .env("HF_ENDPOINT", server())
        .env("HF_HOME", folder.path("home"))
        .status()
        .unwrap();
    assert!(status.success());
}
