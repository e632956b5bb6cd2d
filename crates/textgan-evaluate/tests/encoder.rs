//! Sentence embeddings equal those of sentence-transformers.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use textgan_evaluate::Error;
use textgan_evaluate::embedding::SentenceEncoder;

/// A tiny random encoder; `golden_encoder.py` made it.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/encoder")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// A copy of the tiny encoder, changed.
fn changed(change: impl FnOnce(&Path)) -> (tempfile::TempDir, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("encoder");
    copy(&folder(), &path);
    change(&path);
    (scratch, path)
}

fn edit(file: PathBuf, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(file, value.to_string()).unwrap();
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// The embeddings of the golden sentences are the golden ones.
fn check(encoder: &SentenceEncoder, sentences: &Value, golden: &Value, tolerance: f32) {
    let found = encoder.encode(&strings(sentences)).unwrap();
    let golden = golden.as_array().unwrap();
    assert_eq!(found.len(), golden.len() * encoder.dimensions());
    let mut worst = 0f32;
    for (row, expected) in found.chunks(encoder.dimensions()).zip(golden) {
        let expected = expected.as_array().unwrap();
        assert_eq!(row.len(), expected.len());
        for (x, expected) in row.iter().zip(expected) {
            worst = worst.max((x - expected.as_f64().unwrap() as f32).abs());
        }
    }
    assert!(worst < tolerance, "off by {worst}");
}

fn golden() -> Value {
    serde_json::from_str(include_str!("golden_encoder.json")).unwrap()
}

#[test]
fn a_tiny_encoder_gives_the_rows_of_sentence_transformers() {
    let golden = golden();
    let encoder = SentenceEncoder::load(&folder()).unwrap();
    assert_eq!((encoder.dimensions(), encoder.max_tokens()), (16, 12));
    check(&encoder, &golden["sentences"], &golden["mean"], 1e-5);
}

#[test]
fn the_first_token_alone_and_no_normalization() {
    let golden = golden();
    let (_scratch, path) = changed(|path| {
        let modes = json!({"word_embedding_dimension": 16, "pooling_mode_cls_token": true,
            "pooling_mode_mean_tokens": false});
        std::fs::write(path.join("1_Pooling/config.json"), modes.to_string()).unwrap();
        edit(path.join("modules.json"), |modules| drop(modules.as_array_mut().unwrap().pop()));
    });
    let first = SentenceEncoder::load(&path).unwrap();
    check(&first, &golden["sentences"], &golden["first"], 1e-5);
}

#[test]
fn minilm_gives_the_rows_of_sentence_transformers() {
    let Some(folder) = std::env::var_os("TEXTGAN_MINILM") else {
        eprintln!("skipped: TEXTGAN_MINILM does not name a folder of all-MiniLM-L6-v2");
        return;
    };
    let golden: Value = serde_json::from_str(include_str!("golden_minilm.json")).unwrap();
    let encoder = SentenceEncoder::load(Path::new(&folder)).unwrap();
    assert_eq!((encoder.dimensions(), encoder.max_tokens()), (384, 256));
    check(&encoder, &golden["sentences"], &golden["embeddings"], 1e-5);
}

#[test]
fn bits_depend_neither_on_threads_nor_on_company() {
    let golden = golden();
    let sentences = strings(&golden["sentences"]);
    let encoder = SentenceEncoder::load(&folder()).unwrap();
    let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let alone: Vec<Vec<u32>> =
        sentences.iter().map(|text| bits(&encoder.encode(&[text]).unwrap())).collect();
    // Enough for several batches, in another order.
    let many: Vec<&str> = sentences.iter().rev().copied().cycle().take(303).collect();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let together = pool.install(|| encoder.encode(&many)).unwrap();
        for (i, row) in together.chunks(encoder.dimensions()).enumerate() {
            let expected = &alone[sentences.len() - 1 - i % sentences.len()];
            assert_eq!(&bits(row), expected, "sentence {i}, {threads} threads");
        }
    }
    assert!(encoder.encode::<&str>(&[]).unwrap().is_empty());
}

#[test]
fn a_name_tells_encoders_apart() {
    let name = |path: &Path| SentenceEncoder::load(path).unwrap().name().to_owned();
    let tiny = name(&folder());
    let (kind, hash) = tiny.rsplit_once('-').unwrap();
    assert_eq!(kind, "bert-16");
    assert!(hash.len() == 12 && hash.chars().all(|digit| digit.is_ascii_hexdigit()));
    assert_eq!(name(&changed(|_| ()).1), tiny, "the folder does not matter");

    let weights = |path: &Path| {
        let file = path.join("model.safetensors");
        let mut bytes = std::fs::read(&file).unwrap();
        let last = bytes.len() - 4;
        bytes[last] ^= 1;
        std::fs::write(file, bytes).unwrap();
    };
    let length = |path: &Path| {
        edit(path.join("sentence_bert_config.json"), |config| config["max_seq_length"] = json!(11));
    };
    let modules = |path: &Path| {
        edit(path.join("modules.json"), |modules| drop(modules.as_array_mut().unwrap().pop()));
    };
    let mut names = vec![tiny];
    for change in [&weights as &dyn Fn(&Path), &length, &modules] {
        let (_scratch, path) = changed(change);
        names.push(name(&path));
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4, "{names:?}");
}

/// Loading a copy of the folder after `change` is refused, and the message says `words`.
fn refused(change: impl FnOnce(&Path), words: &[&str]) {
    let (_scratch, path) = changed(change);
    let Err(error) = SentenceEncoder::load(&path) else { panic!("loaded, despite {words:?}") };
    assert!(matches!(
        error,
        Error::EncoderFile { .. } | Error::EncoderKey { .. } | Error::EncoderWeight { .. }
    ));
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} lacks {word:?}");
    }
}

#[test]
fn a_folder_that_is_no_encoder_is_refused() {
    for file in ["config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"] {
        let remove = |path: &Path| std::fs::remove_file(path.join(file)).unwrap();
        refused(remove, &[file, "is missing", "layout of sentence-transformers"]);
        let spoil = |path: &Path| std::fs::write(path.join(file), "{").unwrap();
        refused(spoil, &[file]);
    }
    let pickle = |path: &Path| {
        std::fs::rename(path.join("model.safetensors"), path.join("pytorch_model.bin")).unwrap();
    };
    refused(pickle, &["pytorch_model.bin", "pickle", "safe_serialization=True"]);
}

#[test]
fn settings_that_are_not_supported_are_refused() {
    let config = |key: &'static str, value: Value| {
        move |path: &Path| edit(path.join("config.json"), |config| config[key] = value)
    };
    refused(config("model_type", json!("roberta")), &["config.json", "model_type", "roberta"]);
    refused(config("hidden_act", json!("gelu_new")), &["hidden_act", "gelu_new", "\"gelu\""]);
    let relative = config("position_embedding_type", json!("relative_key"));
    refused(relative, &["config.json", "relative_key"]);
    refused(config("num_attention_heads", json!(3)), &["num_attention_heads is 3", "16"]);
    refused(config("num_attention_heads", json!(0)), &["num_attention_heads is 0"]);
    refused(config("vocab_size", json!(20)), &["tokenizer.json", "vocab_size", "20"]);
    refused(config("max_position_embeddings", json!(2)), &["max_seq_length", "2 tokens"]);
    let pooling = |value: Value| {
        move |path: &Path| {
            std::fs::write(path.join("1_Pooling/config.json"), value.to_string()).unwrap()
        }
    };
    refused(pooling(json!({"pooling_mode": "max"})), &["1_Pooling", "pooling_mode", "max"]);
    let both = json!({"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true});
    refused(pooling(both), &["mean_tokens", "max_tokens"]);
    refused(pooling(json!({})), &["pooling_mode"]);
    let wide = json!({"pooling_mode_mean_tokens": true, "word_embedding_dimension": 32});
    refused(pooling(wide), &["word_embedding_dimension is 32", "16"]);
    let prompt = |path: &Path| {
        edit(path.join("config_sentence_transformers.json"), |config| {
            config["default_prompt_name"] = json!("query");
        });
    };
    refused(prompt, &["config_sentence_transformers.json", "default_prompt_name is \"query\""]);
    let dense = |path: &Path| {
        edit(path.join("modules.json"), |modules| {
            modules[2]["type"] = json!("sentence_transformers.models.Dense");
        });
    };
    refused(dense, &["modules.json", "Transformer, Pooling, Dense"]);
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let config = |key: &'static str, value: Value| {
        move |path: &Path| edit(path.join("config.json"), |config| config[key] = value)
    };
    let more = config("num_hidden_layers", json!(3));
    refused(more, &["model.safetensors", "encoder.layer.2.", "is missing"]);
    let wider = config("intermediate_size", json!(48));
    refused(wider, &["intermediate.dense.weight", "[32, 16]", "[48, 16]"]);
    let nan = |path: &Path| {
        let file = path.join("model.safetensors");
        let mut bytes = std::fs::read(&file).unwrap();
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(file, bytes).unwrap();
    };
    refused(nan, &["model.safetensors", "not finite"]);
}

/// Whose tokenizer adds nothing to it.
#[test]
fn an_empty_text_is_a_row_of_zeros() {
    let (_scratch, path) = changed(|path| {
        edit(path.join("tokenizer.json"), |tokenizer| tokenizer["post_processor"] = Value::Null);
    });
    let encoder = SentenceEncoder::load(&path).unwrap();
    let found = encoder.encode(&["", "a dog", ""]).unwrap();
    let rows: Vec<bool> = found.chunks(16).map(|row| row.iter().all(|&x| x == 0.0)).collect();
    assert_eq!(rows, [true, false, true]);
}
