//! Saved folders.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::Device;
use textgan_models::{
    Context, Error, Generator, ModelCard, Placement, load_card, load_generator, save_generator,
};
use textgan_nn::Mode;

use crate::{all_generators, draw_noise, generator, sequences, transformer};

fn card() -> ModelCard {
    ModelCard {
        title: "Captions".into(),
        labels: ["indoors", "outdoors", "neither"].map(String::from).into(),
        facts: vec![("validation loss".into(), "3.2 nats | token".into())],
        license: Some("mit".into()),
        ..ModelCard::default()
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().into(), fs::read(&path).unwrap()))
        .collect()
}

fn logits(generator: &dyn Generator) -> Vec<u32> {
    let sequences = sequences();
    let (_, noise) = draw_noise(sequences.batch());
    let context = Context { noise: &noise, labels: sequences.labels() };
    let logits = generator.logits(&context, &sequences, Mode::Evaluate).unwrap();
    logits.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|x| x.to_bits()).collect()
}

#[test]
fn a_loaded_generator_is_the_saved_one_bit_for_bit() {
    let root = tempfile::tempdir().unwrap();
    let tokenizer = root.path().join("tokenizer.json");
    fs::write(&tokenizer, "{}").unwrap();
    for (name, generator) in all_generators() {
        let (first, second) = (root.path().join("first"), root.path().join("second"));
        save_generator(&first, generator.as_ref(), Some(&tokenizer), &card()).unwrap();
        let loaded = load_generator(&first, &Device::Cpu).unwrap();
        assert_eq!(loaded.architecture(), generator.architecture(), "{name}");
        assert_eq!(loaded.noise(), generator.noise(), "{name}");
        assert_eq!(loaded.sizes(), generator.sizes(), "{name}");
        assert!(logits(loaded.as_ref()) == logits(generator.as_ref()), "{name}");
        assert_eq!(load_card(&first).unwrap(), card());

        let again = Some(first.join("tokenizer.json"));
        save_generator(&second, loaded.as_ref(), again.as_deref(), &card()).unwrap();
        let (first, second) = (files(&first), files(&second));
        assert!(first == second, "{name}: saved again, the bytes differ");
        let names: Vec<&str> = first.keys().map(String::as_str).collect();
        let expected = [
            "README.md",
            "checksums.txt",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        ];
        assert_eq!(names, expected);
    }
}

#[test]
fn weights_have_the_names_of_hugging_face() {
    let names = |tied| {
        let generator = generator(&transformer(tied), Placement::Begin);
        generator.parameters().iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    let tied = names(true);
    for name in [
        "label_embedding.weight",
        "model.embed_tokens.weight",
        "model.layers.2.input_layernorm.weight",
        "model.layers.2.mlp.down_proj.weight",
        "model.layers.2.mlp.gate_proj.weight",
        "model.layers.2.mlp.up_proj.weight",
        "model.layers.2.post_attention_layernorm.weight",
        "model.layers.2.self_attn.k_proj.weight",
        "model.layers.2.self_attn.o_proj.weight",
        "model.layers.2.self_attn.q_proj.weight",
        "model.layers.2.self_attn.v_proj.weight",
        "model.norm.weight",
        "noise_projection.weight",
    ] {
        assert!(tied.iter().any(|found| found == name), "{name} is not among {tied:?}");
    }
    assert!(!tied.iter().any(|name| name == "lm_head.weight"));
    assert!(names(false).iter().any(|name| name == "lm_head.weight"));
}

#[test]
fn a_damaged_folder_is_refused_with_the_file_named() {
    let root = tempfile::tempdir().unwrap();
    let check = |file: &str, damage: &dyn Fn(&Path), expected: &str| {
        let folder = root.path().join("model");
        let generator = generator(&transformer(true), Placement::Begin);
        save_generator(&folder, generator.as_ref(), None, &card()).unwrap();
        damage(&folder.join(file));
        let error = load_generator(&folder, &Device::Cpu).err().expect("it was loaded");
        let message = error.to_string();
        assert!(message.contains(file) && message.contains(expected), "{message}");
    };
    let replace = |from: &'static str, to: &'static str| {
        move |path: &Path| {
            let text = fs::read_to_string(path).unwrap();
            assert!(text.contains(from));
            fs::write(path, text.replace(from, to)).unwrap();
        }
    };
    check("config.json", &|path| fs::remove_file(path).unwrap(), "No such file");
    check("config.json", &|path| fs::write(path, "{").unwrap(), "line 1");
    check("config.json", &|path| fs::write(path, "{}").unwrap(), "textgan");
    check("config.json", &replace("\"format_version\": 1", "\"format_version\": 9"), "version 9");
    check("config.json", &replace("\"layers\": 3", "\"layer\": 3"), "unknown field `layer`");
    check(
        "config.json",
        &replace("\"model_type\": \"llama\"", "\"model_type\": \"x\""),
        "model_type",
    );
    check("model.safetensors", &|path| fs::remove_file(path).unwrap(), "No such file");
    check("model.safetensors", &|path| fs::write(path, "no").unwrap(), "safetensors");
    let narrower = |path: &Path| {
        let config = path.with_file_name("config.json");
        replace("\"layers\": 3", "\"layers\": 2")(&config);
    };
    check("model.safetensors", &narrower, "it holds 16464 weights");
}

#[test]
fn a_card_names_every_label_or_none() {
    let root = tempfile::tempdir().unwrap();
    let generator = generator(&transformer(true), Placement::Begin);
    let card = ModelCard { labels: vec!["one".into()], ..ModelCard::default() };
    let error = save_generator(&root.path().join("model"), generator.as_ref(), None, &card);
    assert!(matches!(error, Err(Error::Argument { .. })));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "nothing was written");
}
