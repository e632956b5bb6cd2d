//! The server through its socket: answers, refusals, and what costs nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use textgan_generate::Model;
use textgan_play::{Live, LoadError, Playground, Server, Settings, Site};

include!("../../textgan-generate/tests/fixture/model_folder.rs");

/// A server on a thread of its own, which ends with it.
struct Running {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn of(site: Site, settings: &Settings) -> Self {
        let server = Server::bind(site, settings).unwrap();
        let address = server.address();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let thread = std::thread::spawn(move || {
            server.run(|| asked.load(Ordering::Relaxed)).unwrap();
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// Status and body of a request as it stands.
    fn raw(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        (status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.raw(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let (status, text) = self.raw(&format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ));
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn playground(labels: &[&str]) -> (tempfile::TempDir, Playground) {
    let folder = model_folder(labels);
    let path = folder.path().to_owned();
    let load = move |id: &str| {
        let model = Model::load(path.join("model"))?;
        match id {
            "model" => Ok(model.with_discriminator(path.join("discriminator"))?),
            "alone" => Ok(model),
            _ => Err(LoadError::from("the folder is gone")),
        }
    };
    let playground = Playground::new("a <run>", load)
        .with_model("model", "Trained model")
        .with_model("alone", "Alone")
        .with_model("gone", "Gone")
        .with_real_texts(vec![("a real text".to_owned(), None)]);
    (folder, playground)
}

#[test]
fn the_page_and_its_answers() {
    let (_folder, playground) = playground(&["x", "y"]);
    let server = Running::of(Site::playground(playground), &Settings::default());
    let (status, page) = server.get("/");
    assert_eq!(status, 200);
    assert!(page.contains("script.js") && !page.contains("http:"), "{page}");
    let (status, about) = server.get("/api/model");
    let about: Value = serde_json::from_str(&about).unwrap();
    assert_eq!(
        (status, &about["name"], &about["real_texts"]),
        (200, &json!("a <run>"), &json!(true))
    );
    assert_eq!(about["labels"], json!(["x", "y"]));
    let dimension = about["noise"].as_u64().unwrap() as usize;

    let ask = json!({ "model": "model", "texts": 3, "seed": 5, "temperature": 0.7, "label": "y" });
    let (status, first) = server.post("/api/generate", &ask);
    assert_eq!(status, 200, "{first}");
    assert_eq!(server.post("/api/generate", &ask).1, first, "the same again");
    let texts = first["texts"].as_array().unwrap();
    assert_eq!(texts.len(), 3);
    for text in texts {
        let tokens = text["tokens"].as_array().unwrap();
        let joined: String = tokens.iter().map(|token| token["text"].as_str().unwrap()).collect();
        assert_eq!(joined, text["text"].as_str().unwrap());
        assert_eq!(text["label"], "y");
        assert!(text["realness"].is_f64());
    }
    let noise = vec![vec![0.5; dimension]; 2];
    let walk = json!({ "model": "alone", "texts": 2, "noise": noise, "greedy": true });
    let (status, walk) = server.post("/api/generate", &walk);
    assert_eq!(status, 200, "{walk}");
    assert_eq!(walk["texts"][0]["text"], walk["texts"][1]["text"], "the same noise, greedily");
    assert!(walk["texts"][0]["realness"].is_null());

    let next = json!({ "model": "model", "noise": vec![0.0; dimension], "ids": [5], "top_k": 2 });
    let (status, next) = server.post("/api/next", &next);
    assert_eq!(status, 200, "{next}");
    let chances = next["candidates"].as_array().unwrap();
    let sum: f64 = chances.iter().map(|one| one["probability"].as_f64().unwrap()).sum();
    // Two are left, of which one may be the end.
    assert!((sum + next["end"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{next}");

    let (status, judged) = server.post("/api/realness", &json!({ "text": "zebra" }));
    assert_eq!((status, &judged["unknown"]), (200, &json!(["zebra"])), "{judged}");
    let round = json!({ "model": "model", "seed": 9, "choice": 1 });
    let (_, duel) = server.post("/api/duel", &round);
    let (status, outcome) = server.post("/api/duel/answer", &round);
    assert_eq!(status, 200, "{outcome}");
    let real = outcome["real"].as_u64().unwrap() as usize;
    assert_eq!(duel["texts"][real], "a real text");
    assert_eq!(outcome["right"], json!(real == 1));
    assert_eq!(outcome["realness"].as_array().unwrap().len(), 5);
}

#[test]
fn what_is_wrong_is_refused_in_a_sentence() {
    let (_folder, playground) = playground(&[]);
    let server = Running::of(Site::playground(playground), &Settings::default());
    for (path, body, expected, what) in [
        ("/api/generate", json!({ "model": "none", "texts": 1 }), 404, "no model"),
        ("/api/generate", json!({ "model": "gone", "texts": 1 }), 500, "folder is gone"),
        ("/api/generate", json!({ "model": "model", "texts": 100_000 }), 400, "outside 1 to 16"),
        ("/api/generate", json!({ "model": "model", "texts": 1, "noise": [[1.0]] }), 400, "noise"),
        (
            "/api/generate",
            json!({ "model": "model", "texts": 1, "temperature": -1 }),
            400,
            "temperature",
        ),
        ("/api/generate", json!({ "model": "model", "texts": 1, "label": "x" }), 400, "label"),
        (
            "/api/generate",
            json!({ "model": "model", "texts": 1, "prompt": "y".repeat(9000) }),
            400,
            "characters",
        ),
        ("/api/generate", json!({ "texts": 1 }), 422, "model"),
        (
            "/api/next",
            json!({ "model": "model", "noise": [], "ids": [4_000_000_000u32] }),
            400,
            "vocabulary",
        ),
        ("/api/realness", json!({ "text": "" }), 400, "nothing to judge"),
        ("/api/realness", json!({ "text": "a", "model": "alone" }), 400, "no discriminator"),
        ("/api/duel/answer", json!({ "model": "model", "seed": 1, "choice": 5 }), 400, "choice"),
        ("/nowhere", json!({}), 404, "nothing here"),
        ("/api/model", json!({}), 405, "another way"),
    ] {
        let (status, answer) = server.post(path, &body);
        let said = answer["error"].as_str().unwrap_or_default();
        assert_eq!(status, expected, "{path} {body}: {answer}");
        assert!(said.contains(what), "{path}: {said}");
    }
    let huge = format!(
        "POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\nConnection: close\r\n\r\n{}",
        "x".repeat(70_000)
    );
    assert_eq!(server.raw(&huge).0, 413);
    let form = "POST /api/duel HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    assert_eq!(server.raw(form).0, 415, "what another site's page may send without asking");
    for host in ["[::1]", "[::1]:80", "127.0.0.2", "localhost:9"] {
        let named = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(server.raw(&named).0, 200, "{host}");
    }
    let twice = r#"{"model":"model","seed":1,"seed":2}"#;
    let twice = format!(
        "POST /api/duel HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{twice}",
        twice.len()
    );
    assert_eq!(server.raw(&twice).0, 422);
    let rebound = "GET / HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n";
    assert_eq!(server.raw(rebound).0, 403);
    assert_eq!(server.raw("nonsense\r\n\r\n").0, 400);
    assert_eq!(server.get("/api/model").0, 200, "and it goes on");
}

#[test]
fn requests_that_nearly_make_sense_are_refused_too() {
    let (_folder, playground) = playground(&[]);
    let server = Running::of(Site::playground(playground), &Settings::default());
    let ragged = json!([vec![0.0; 33], vec![0.0; 31]]);
    for (path, body, expected, what) in [
        (
            "/api/generate",
            json!({ "model": "model", "texts": 2, "noise": ragged }),
            400,
            "a row has",
        ),
        (
            "/api/generate",
            json!({ "model": "model", "texts": 1, "temprature": 1 }),
            422,
            "temprature",
        ),
        ("/api/next", json!({ "model": "model", "noise": [], "ids": [2] }), 400, "no word"),
        ("/api/duel", json!({ "model": "model", "seed": 1, "greedy": true }), 422, "greedy"),
        ("/api/duel", json!([1]), 422, "an object"),
    ] {
        let (status, answer) = server.post(path, &body);
        let said = answer["error"].as_str().unwrap_or_default();
        assert!(status == expected && said.contains(what), "{path} {body}: {status} {answer}");
    }
}

#[test]
fn beyond_loopback_a_token_is_needed() {
    let (_folder, playground) = playground(&[]);
    let mut settings = Settings::at(([0, 0, 0, 0], 0).into());
    settings.token = Some("secret".to_owned());
    for wrong in ["", "a b", "a&b"] {
        let settings = {
            let mut other = settings.clone();
            other.token = Some(wrong.to_owned());
            other
        };
        let site = Site::playground(self::playground(&[]).1);
        assert!(Server::bind(site, &settings).err().unwrap().to_string().contains("token"));
    }
    let site = Site::playground(playground);
    let server = Server::bind(site, &settings).unwrap();
    assert!(server.url().ends_with("?token=secret"), "{}", server.url());
    let address = SocketAddr::from(([127, 0, 0, 1], server.address().port()));
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let thread = std::thread::spawn(move || server.run(|| asked.load(Ordering::Relaxed)).unwrap());
    let server = Running { address, stop, thread: Some(thread) };
    assert_eq!(server.get("/").0, 401);
    assert_eq!(server.get("/?token=secre").0, 401);
    assert_eq!(server.get("/?token=secret").0, 200);
    assert_eq!(server.get("/script.js").0, 200);
    let header =
        "GET /api/model HTTP/1.1\r\nHost: x\r\nX-Token: secret\r\nConnection: close\r\n\r\n";
    assert_eq!(server.raw(header).0, 200);
}

/// Many at once: none fails, and those that never send anything stand in nobody's way.
#[test]
fn many_visitors_are_answered() {
    let (_folder, playground) = playground(&[]);
    let server = Running::of(Site::playground(playground), &Settings::default());
    let idle: Vec<TcpStream> =
        (0..50).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    let failed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for visitor in 0..100 {
            let (server, failed) = (&server, &failed);
            scope.spawn(move || {
                let ask = json!({ "model": "model", "texts": 4, "seed": visitor });
                if server.post("/api/generate", &ask).0 != 200 {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(failed.load(Ordering::Relaxed), 0);
    drop(idle);
}

#[test]
fn a_live_page_says_when_it_has_changed() {
    /// How often it has changed, and how often it was drawn.
    struct Page(Arc<AtomicUsize>, Arc<AtomicUsize>);
    impl Live for Page {
        fn version(&self) -> String {
            self.0.load(Ordering::Relaxed).to_string()
        }
        fn page(&self) -> Result<String, String> {
            self.1.fetch_add(1, Ordering::Relaxed);
            match self.0.load(Ordering::Relaxed) {
                0 => Ok("<!doctype html><p>so far".to_owned()),
                _ => Err("line 3 of metrics.jsonl is broken".to_owned()),
            }
        }
    }
    let (changes, drawn) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let page = Page(changes.clone(), drawn.clone());
    let server = Running::of(Site::live(page), &Settings::default());
    for _ in 0..3 {
        assert_eq!(server.get("/"), (200, "<!doctype html><p>so far".to_owned()));
    }
    assert_eq!(drawn.load(Ordering::Relaxed), 1, "one drawing for all who look");
    assert_eq!(server.get("/version").1, "0");
    changes.store(1, Ordering::Relaxed);
    assert_eq!(server.get("/version").1, "1");
    let (status, said) = server.get("/");
    assert!(status == 500 && said.contains("line 3"), "{said}");
    assert!(server.get("/live.js").1.contains("version"));
}
