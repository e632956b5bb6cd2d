//! Discriminators and the noise encoder: gradients, padding, hard and soft tokens, folders.

use candle_core::{D, DType, Device, Tensor};
use serde_json::json;
use textgan_models::{
    CnnDiscriminatorConfig, Context, Discriminator, DiscriminatorConfig, EmbeddingConfig,
    EncoderKind, GeneratorConfig, LstmConfig, NoiseConfig, NoiseEncoder, NoiseEncoderConfig,
    Result, RnnDiscriminatorConfig, Sequences, Sizes, Tokens, TransformerConfig,
    TransformerDiscriminatorConfig, build_discriminator, build_generator, generator_layers,
    load_discriminator, save_discriminator, whole,
};
use textgan_nn::kernels::CellKind;
use textgan_nn::{Mode, Parameters, ops};
use textgan_random::Key;

const SIZES: Sizes = Sizes { vocab: 30, labels: 3, max_length: 8 };
const LABELS: [u32; 4] = [2, 0, 1, 1];

fn sequences() -> Sequences {
    let rows: [&[u32]; 4] = [&[4, 5, 6, 7, 8], &[9], &[], &[10, 11, 5]];
    Sequences::from_rows(&rows, Some(&LABELS), SIZES.max_length).unwrap()
}

fn configs() -> Vec<DiscriminatorConfig> {
    let learned = EmbeddingConfig::Learned { width: 12, std: 0.5 };
    let rnn =
        RnnDiscriminatorConfig { embedding: learned.clone(), hidden: 10, ..Default::default() };
    let transformer = TransformerDiscriminatorConfig {
        embedding: learned.clone(),
        heads: 2,
        ..Default::default()
    };
    let cnn = CnnDiscriminatorConfig {
        embedding: learned,
        filters: vec![(1, 4), (2, 5), (5, 3), (9, 2)],
        ..Default::default()
    };
    vec![
        DiscriminatorConfig::Rnn(rnn.clone()),
        DiscriminatorConfig::Rnn(RnnDiscriminatorConfig {
            cell: CellKind::Lstm,
            layers: 2,
            ..rnn.clone()
        }),
        DiscriminatorConfig::Rnn(RnnDiscriminatorConfig {
            bidirectional: true,
            layers: 2,
            ..rnn.clone()
        }),
        DiscriminatorConfig::Rnn(RnnDiscriminatorConfig {
            embedding: EmbeddingConfig::OneHot {},
            ..rnn
        }),
        DiscriminatorConfig::Cnn(cnn.clone()),
        DiscriminatorConfig::Cnn(CnnDiscriminatorConfig { shared_highway: true, ..cnn.clone() }),
        DiscriminatorConfig::Cnn(CnnDiscriminatorConfig {
            representations: 3,
            highway: false,
            features: 6,
            ..cnn.clone()
        }),
        DiscriminatorConfig::Cnn(CnnDiscriminatorConfig {
            embedding: EmbeddingConfig::OneHot {},
            ..cnn
        }),
        DiscriminatorConfig::Transformer(transformer),
    ]
}

fn build(config: &DiscriminatorConfig) -> Box<dyn Discriminator> {
    build_discriminator(config, &SIZES, None, &Key::root(1), &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(left: &Tensor, right: &Tensor, what: &str) {
    assert_eq!(left.dims(), right.dims(), "{what}");
    for (a, b) in values(left).iter().zip(values(right)) {
        assert!((a - b).abs() < 1e-5, "{what}: {a} and {b}");
    }
}

/// Every variable has a gradient that is not zero everywhere.
fn assert_trains(parameters: &Parameters, loss: &Tensor, what: &str) -> Result<()> {
    let gradients = loss.backward()?;
    for (name, variable) in parameters.iter() {
        let gradient = gradients.get(variable).unwrap_or_else(|| panic!("{what}: {name}"));
        assert!(values(gradient).iter().any(|&g| g != 0.0), "{what}: {name} has a zero gradient");
        assert!(values(gradient).iter().all(|g| g.is_finite()), "{what}: {name}");
    }
    Ok(())
}

#[test]
fn every_variable_gets_a_gradient() -> Result<()> {
    let texts = sequences();
    let key = Key::root(7);
    for config in configs() {
        let network = build(&config);
        for mode in [Mode::Evaluate, Mode::Train(&key)] {
            let tokens = Tokens::Hard(texts.targets());
            let realness = network.realness(&tokens, texts.lengths(), texts.labels(), mode)?;
            let logits = whole(&realness, texts.lengths())?;
            let loss = ops::bce_with_logits(&logits, &logits.ones_like()?)?;
            assert_trains(network.parameters(), &loss, &format!("{config:?}"))?;
        }
    }
    Ok(())
}

/// Without a graph, in pieces, and as many texts as you like.
#[test]
fn scores_are_the_realness_of_whole_texts() -> Result<()> {
    let texts = sequences();
    for config in configs() {
        let network = build(&config);
        for (name, variable) in network.parameters().iter() {
            // So that label embeddings, which begin at zero, take part.
            let mut numbers = vec![0.0; variable.elem_count()];
            Key::root(3).child(name).stream().fill_normal(&mut numbers);
            numbers.iter_mut().for_each(|x| *x *= 0.2);
            variable.set(&Tensor::from_vec(numbers, variable.dims(), &Device::Cpu)?)?;
        }
        let realness = network.realness(
            &Tokens::Hard(texts.targets()),
            texts.lengths(),
            texts.labels(),
            Mode::Evaluate,
        )?;
        let expected = values(&whole(&realness, texts.lengths())?);
        let few = network.scores(&texts)?;
        for (found, expected) in few.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{config:?}: {found} {expected}");
        }
        let copies: Vec<usize> = (0..3000).map(|i| i % 4).collect();
        let many = texts.select(&copies)?;
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let scores = pool.install(|| network.frozen()?.scores(&many))?;
            assert_eq!(scores.len(), 3000);
            for (score, copy) in scores.iter().zip(&copies) {
                assert_eq!(*score, few[*copy], "{config:?}: other texts or threads matter");
            }
        }
    }
    Ok(())
}

#[test]
fn padding_changes_no_score() -> Result<()> {
    let texts = sequences();
    let (batch, time) = (texts.batch(), texts.time());
    for config in configs() {
        let network = build(&config);
        let score = |ids: &[u32], lengths: &[usize], labels: &[u32]| {
            let tokens = Tokens::Hard(ids);
            network.realness(&tokens, lengths, Some(labels), Mode::Evaluate).unwrap()
        };
        let expected = score(texts.targets(), texts.lengths(), &LABELS);

        let mut wider = Vec::new();
        for (row, &length) in texts.targets().chunks_exact(time).zip(texts.lengths()) {
            wider.extend(&row[..length]);
            wider.extend((length..time + 3).map(|i| 4 + i as u32));
        }
        let padded = score(&wider, texts.lengths(), &LABELS);
        assert_eq!(padded.dims(), [batch, time + 3]);
        assert_close(&padded.narrow(1, 0, time)?, &expected, &format!("{config:?}"));
        let last = whole(&expected, texts.lengths())?;
        for t in time..time + 3 {
            assert_close(&padded.narrow(1, t, 1)?.squeeze(1)?, &last, "beyond the length");
        }

        // A row alone has the score that it has in a batch.
        for (row, &length) in texts.lengths().iter().enumerate() {
            let ids = &texts.targets()[row * time..][..length];
            let alone = score(ids, &[length], &LABELS[row..=row]);
            let what = format!("{config:?}, row {row} alone");
            assert_close(&whole(&alone, &[length])?, &last.narrow(0, row, 1)?, &what);
        }
    }
    Ok(())
}

#[test]
fn soft_tokens_that_are_hard_score_as_hard_ones() -> Result<()> {
    let texts = sequences();
    let (batch, time) = (texts.batch(), texts.time());
    for config in configs() {
        let network = build(&config);
        let ids = Tensor::new(texts.targets(), &Device::Cpu)?.unsqueeze(1)?;
        let places = Tensor::arange(0u32, SIZES.vocab as u32, &Device::Cpu)?.unsqueeze(0)?;
        let one_hot = ids.broadcast_eq(&places)?.to_dtype(DType::F32)?;
        let soft = ops::matmul(&one_hot, network.embedding())?.reshape((batch, time, ()))?;
        let [hard, soft] = [Tokens::Hard(texts.targets()), Tokens::Soft(&soft)].map(|tokens| {
            network.realness(&tokens, texts.lengths(), Some(&LABELS), Mode::Evaluate).unwrap()
        });
        assert_close(&hard, &soft, &format!("{config:?}"));
    }
    Ok(())
}

#[test]
fn prefixes_are_scored_by_what_was_read() -> Result<()> {
    let texts = sequences();
    let time = texts.time();
    for config in configs() {
        let network = build(&config);
        let score = |ids: &[u32], lengths: &[usize]| {
            let tokens = Tokens::Hard(ids);
            network.realness(&tokens, lengths, None, Mode::Evaluate).unwrap()
        };
        let prefixes = score(texts.targets(), texts.lengths()).narrow(0, 0, 1)?;
        let length = texts.lengths()[0];
        for end in 1..=length {
            let prefix = score(&texts.targets()[..end], &[end]).narrow(1, end - 1, 1)?;
            let found = prefixes.narrow(1, end - 1, 1)?;
            match network.reads_prefixes() {
                true => assert_close(&found, &prefix, &format!("{config:?}")),
                false => assert_eq!(values(&found), values(&prefixes.narrow(1, time - 1, 1)?)),
            }
        }
    }
    Ok(())
}

#[test]
fn labels_change_scores_once_they_are_learned() -> Result<()> {
    let texts = sequences();
    for config in configs() {
        let network = build(&config);
        let score = |labels: Option<&[u32]>| {
            let tokens = Tokens::Hard(texts.targets());
            values(&network.realness(&tokens, texts.lengths(), labels, Mode::Evaluate).unwrap())
        };
        assert_eq!(score(None), score(Some(&LABELS)), "zero at first");
        let table = network.parameters().get("label_embedding.weight").unwrap();
        table.set(&table.ones_like()?)?;
        assert_ne!(score(None), score(Some(&LABELS)), "{config:?}");

        let tokens = Tokens::Hard(texts.targets());
        let unknown = Some(&[0, 1, 2, 3][..]);
        let lengths = texts.lengths();
        assert!(network.realness(&tokens, lengths, unknown, Mode::Evaluate).is_err());
    }
    Ok(())
}

#[test]
fn a_frozen_network_follows_the_weights_and_trains_the_reader_only() -> Result<()> {
    let texts = sequences();
    for config in configs() {
        let network = build(&config);
        let frozen = network.frozen()?;
        assert!(frozen.parameters().is_empty());
        let score = |network: &dyn Discriminator, tokens: &Tokens<'_>| {
            network.realness(tokens, texts.lengths(), Some(&LABELS), Mode::Evaluate).unwrap()
        };
        let bias = network.parameters().get("score.bias").unwrap();
        bias.set(&Tensor::new(&[3f32], &Device::Cpu)?)?;
        let hard = Tokens::Hard(texts.targets());
        assert_eq!(values(&score(network.as_ref(), &hard)), values(&score(frozen.as_ref(), &hard)));
        assert!(!score(frozen.as_ref(), &hard).track_op(), "{config:?}");

        let (_, width) = network.embedding().dims2()?;
        let soft =
            candle_core::Var::ones((texts.batch(), texts.time(), width), DType::F32, &Device::Cpu)?;
        let soft = (soft.as_tensor(), Tokens::Soft(soft.as_tensor()));
        let gradient = |network: &dyn Discriminator| -> Result<Vec<f32>> {
            let gradients = score(network, &soft.1).sum_all()?.backward()?;
            Ok(values(gradients.get(soft.0).unwrap()))
        };
        assert_eq!(gradient(network.as_ref())?, gradient(frozen.as_ref())?, "{config:?}");
    }
    Ok(())
}

#[test]
fn dropout_follows_the_key() -> Result<()> {
    let texts = sequences();
    let (one, two) = (Key::root(1), Key::root(2));
    for config in configs() {
        let network = build(&config);
        let score = |mode: Mode<'_>| {
            let tokens = Tokens::Hard(texts.targets());
            values(&network.realness(&tokens, texts.lengths(), None, mode).unwrap())
        };
        assert_eq!(score(Mode::Train(&one)), score(Mode::Train(&one)));
        assert_ne!(score(Mode::Train(&one)), score(Mode::Train(&two)));
        assert_ne!(score(Mode::Train(&one)), score(Mode::Evaluate));
    }
    Ok(())
}

#[test]
fn a_seed_makes_the_same_network() {
    for config in configs() {
        let build = |seed| {
            build_discriminator(&config, &SIZES, None, &Key::root(seed), &Device::Cpu).unwrap()
        };
        let weights = |network: &dyn Discriminator| -> Vec<f32> {
            network.parameters().iter().flat_map(|(_, variable)| values(variable)).collect()
        };
        assert_eq!(weights(build(1).as_ref()), weights(build(1).as_ref()));
        assert_ne!(weights(build(1).as_ref()), weights(build(2).as_ref()));
    }
}

#[test]
fn a_saved_network_has_the_same_bits() -> Result<()> {
    let root = tempfile::tempdir().unwrap();
    let texts = sequences();
    for config in configs() {
        let folders = [root.path().join("one"), root.path().join("two")];
        let network = build(&config);
        save_discriminator(&folders[0], network.as_ref())?;
        let loaded = load_discriminator(&folders[0], &Device::Cpu)?;
        assert_eq!((loaded.architecture(), loaded.sizes()), (json!(config), &SIZES));
        let score = |network: &dyn Discriminator| {
            let tokens = Tokens::Hard(texts.targets());
            let labels = texts.labels();
            values(&network.realness(&tokens, texts.lengths(), labels, Mode::Evaluate).unwrap())
        };
        assert_eq!(score(network.as_ref()), score(loaded.as_ref()));

        save_discriminator(&folders[1], loaded.as_ref())?;
        for file in ["config.json", "model.safetensors"] {
            let bytes = |folder: &std::path::Path| std::fs::read(folder.join(file)).unwrap();
            assert_eq!(bytes(&folders[0]), bytes(&folders[1]));
        }
    }
    Ok(())
}

#[test]
fn folders_that_are_none_are_refused_by_name() -> Result<()> {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("network");
    save_discriminator(&folder, build(&configs()[0]).as_ref())?;
    let check = |from: &str, to: &str, expected: &str| {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let message = load_discriminator(&folder, &Device::Cpu).err().unwrap().to_string();
        std::fs::write(&path, text).unwrap();
        assert!(message.contains(expected), "{message}");
    };
    check("textgan-discriminator", "llama", "config.json: `model_type` is not");
    check("\"format_version\": 1", "\"format_version\": 2", "format version 2");
    check(
        "\"hidden\": 10",
        "\"hidden\": 11",
        "it holds 1121 weights, and config.json describes 1230",
    );
    check("\"hidden\": 10", "\"hiden\": 10", "unknown field `hiden`");
    std::fs::remove_file(folder.join("model.safetensors")).unwrap();
    let message = load_discriminator(&folder, &Device::Cpu).err().unwrap().to_string();
    assert!(message.contains("model.safetensors"), "{message}");
    Ok(())
}

#[test]
fn the_parameter_count_is_that_of_the_built_network() -> Result<()> {
    for config in configs() {
        for labels in [0, 3] {
            let sizes = Sizes { labels, ..SIZES };
            let network = build_discriminator(&config, &sizes, None, &Key::root(1), &Device::Cpu)?;
            let fixed = match config.embedding() {
                EmbeddingConfig::OneHot {} => SIZES.vocab * SIZES.vocab,
                _ => 0,
            };
            let count = (network.parameters().count() + fixed) as u64;
            assert_eq!(config.parameter_count(&sizes)?, count, "{config:?}");
        }
        let sizes = Sizes { vocab: usize::MAX, ..SIZES };
        assert!(config.parameter_count(&sizes).is_err());
    }
    Ok(())
}

/// Features are what the logit is linear in: a logit is `w . f + b` with the score's weights.
#[test]
fn logits_are_linear_in_the_features() -> Result<()> {
    let texts = sequences();
    for config in configs() {
        let network = build(&config);
        let tokens = Tokens::Hard(texts.targets());
        let features = network.features(&tokens, texts.lengths(), Mode::Evaluate)?;
        let weight =
            |name: &str| network.parameters().get(name).expect("a score").as_tensor().clone();
        let logits = ops::linear(&features, &weight("score.weight"), Some(&weight("score.bias")))?;
        let shape = (texts.batch(), texts.time());
        let logits = logits.squeeze(2)?.broadcast_as(shape)?.contiguous()?;
        // Labels have no weight at first.
        let realness =
            network.realness(&tokens, texts.lengths(), texts.labels(), Mode::Evaluate)?;
        assert_close(&logits, &realness.contiguous()?, &format!("{config:?}"));
    }
    Ok(())
}

/// A discriminator that begins as a generator has that generator's states: after the beginning and some
/// words the generator is where the discriminator is after the beginning, were it a word, and those.
#[test]
fn a_discriminator_can_begin_as_a_generator() -> Result<()> {
    let noise = NoiseConfig { dimension: 0, ..NoiseConfig::default() };
    let sizes = Sizes { labels: 0, ..SIZES };
    let lstm = LstmConfig { embedding: 12, hidden: 10, layers: 2, ..LstmConfig::default() };
    let transformer = TransformerConfig { width: 12, heads: 2, ..TransformerConfig::default() };
    let embedding = EmbeddingConfig::Learned { width: 12, std: 0.5 };
    let rnn = RnnDiscriminatorConfig {
        embedding: embedding.clone(),
        cell: CellKind::Lstm,
        hidden: 10,
        layers: 2,
        ..Default::default()
    };
    let causal = TransformerDiscriminatorConfig { embedding, heads: 2, ..Default::default() };
    let pairs = [
        (GeneratorConfig::Lstm(lstm), DiscriminatorConfig::Rnn(rnn.clone())),
        (GeneratorConfig::Transformer(transformer), DiscriminatorConfig::Transformer(causal)),
    ];
    for (generator, discriminator) in &pairs {
        let key = Key::root(3);
        let generator = build_generator(generator, &noise, &sizes, &key, &Device::Cpu)?;
        let network = build_discriminator(discriminator, &sizes, None, &key, &Device::Cpu)?;
        for (own, other) in generator_layers(network.as_ref(), generator.as_ref())? {
            own.set(other)?;
        }
        let texts = Sequences::from_rows(&[&[4, 5, 6], &[9]], None, sizes.max_length)?;
        let empty = Tensor::zeros((2, 0), DType::F32, &Device::Cpu)?;
        let context = Context { noise: &empty, labels: None };
        let states = generator.hidden(&context, &texts, Mode::Evaluate)?;
        // What the generator has read at each place.
        let read = Tokens::Hard(&texts.inputs());
        let features = network.features(&read, texts.lengths(), Mode::Evaluate)?;
        for (row, &length) in texts.lengths().iter().enumerate() {
            let part = |x: &Tensor| x.get(row)?.narrow(0, 0, length);
            assert_close(&part(&states)?, &part(&features)?, "states");
        }
    }
    let key = Key::root(3);
    let (generator, _) = &pairs[1];
    let generator = build_generator(generator, &noise, &sizes, &key, &Device::Cpu)?;
    let network =
        build_discriminator(&DiscriminatorConfig::Rnn(rnn), &sizes, None, &key, &Device::Cpu)?;
    let error = generator_layers(network.as_ref(), generator.as_ref()).unwrap_err().to_string();
    assert!(
        error.contains("the generator has no rnn.") && error.contains("transformer"),
        "{error}"
    );
    Ok(())
}

#[test]
fn word_vectors_are_where_training_begins() -> Result<()> {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("vectors.txt");
    std::fs::write(&path, "cat 1 2 3\ndog 4 5 6\n").unwrap();
    let mut words: Vec<String> = (0..SIZES.vocab).map(|id| format!("word{id}")).collect();
    words[7] = "dog".to_owned();
    let config = DiscriminatorConfig::Rnn(RnnDiscriminatorConfig {
        embedding: EmbeddingConfig::WordVectors { path: path.clone(), width: 3 },
        ..Default::default()
    });
    let build = |words| build_discriminator(&config, &SIZES, words, &Key::root(1), &Device::Cpu);
    let network = build(Some(&words))?;
    assert_eq!(network.embedding().to_vec2::<f32>()?[7], [4.0, 5.0, 6.0]);
    assert!(network.parameters().get("embedding.weight").is_some());

    // Once saved, the file is not needed.
    let folder = root.path().join("network");
    save_discriminator(&folder, network.as_ref())?;
    std::fs::remove_file(&path).unwrap();
    let loaded = load_discriminator(&folder, &Device::Cpu)?;
    assert_eq!(values(loaded.embedding()), values(network.embedding()));

    let message = |words| build(words).err().unwrap().to_string();
    assert!(message(Some(&words)).contains("vectors.txt"));
    assert!(message(None).contains("discriminator.embedding.kind"));
    assert!(message(Some(&words[1..])).contains("29 for a vocabulary of 30"));
    Ok(())
}

#[test]
fn configurations_that_describe_nothing_are_refused_by_key() {
    let rnn = RnnDiscriminatorConfig::default;
    let cnn = CnnDiscriminatorConfig::default;
    let learned = |width, std| EmbeddingConfig::Learned { width, std };
    let cases = [
        (DiscriminatorConfig::Rnn(RnnDiscriminatorConfig { hidden: 0, ..rnn() }), "hidden"),
        (DiscriminatorConfig::Rnn(RnnDiscriminatorConfig { layers: 0, ..rnn() }), "layers"),
        (DiscriminatorConfig::Rnn(RnnDiscriminatorConfig { dropout: 1.0, ..rnn() }), "dropout"),
        (
            DiscriminatorConfig::Rnn(RnnDiscriminatorConfig {
                embedding: learned(0, 1.0),
                ..rnn()
            }),
            "embedding.width",
        ),
        (
            DiscriminatorConfig::Rnn(RnnDiscriminatorConfig {
                embedding: learned(4, f32::NAN),
                ..rnn()
            }),
            "embedding.std",
        ),
        (DiscriminatorConfig::Cnn(CnnDiscriminatorConfig { filters: vec![], ..cnn() }), "filters"),
        (
            DiscriminatorConfig::Cnn(CnnDiscriminatorConfig { representations: 5, ..cnn() }),
            "representations",
        ),
    ];
    for (config, key) in cases {
        let error = build_discriminator(&config, &SIZES, None, &Key::root(1), &Device::Cpu);
        let message = error.err().unwrap().to_string();
        assert!(message.contains(&format!("discriminator.{key}`")), "{message}");
        let counted = config.parameter_count(&SIZES).unwrap_err().to_string();
        assert_eq!(counted, message);
    }
}

#[test]
fn tokens_that_do_not_fit_are_refused() -> Result<()> {
    let network = build(&configs()[0]);
    let refused = |tokens: &Tokens<'_>, lengths: &[usize], expected: &str| {
        let error = network.realness(tokens, lengths, None, Mode::Evaluate);
        let message = error.err().unwrap().to_string();
        assert!(message.contains(expected), "{message}");
    };
    refused(&Tokens::Hard(&[1, 2, 3]), &[1, 1], "3 tokens for 2 rows");
    refused(&Tokens::Hard(&[]), &[], "0 tokens for 0 rows");
    refused(&Tokens::Hard(&[1, 30]), &[2], "token 30 is outside a vocabulary of 30");
    refused(&Tokens::Hard(&[1, 2]), &[3], "3 is not within 1 to 2");
    refused(&Tokens::Hard(&[1, 2]), &[0], "0 is not within 1 to 2");
    let soft = Tensor::zeros((2, 3, 11), DType::F32, &Device::Cpu)?;
    refused(&Tokens::Soft(&soft), &[3, 3], "expected [2, time, 12]");
    Ok(())
}

#[test]
fn encoders_train_and_ignore_padding() -> Result<()> {
    let noise = NoiseConfig { dimension: 5, ..NoiseConfig::default() };
    let texts = sequences();
    let key = Key::root(9);
    for kind in [EncoderKind::Bag, EncoderKind::Gru] {
        let config = NoiseEncoderConfig { kind, embedding: 6, width: 7, dropout: 0.2 };
        let encoder = NoiseEncoder::new(&config, &noise, &SIZES, &Key::root(1), &Device::Cpu)?;
        let count = encoder.parameters().count() as u64;
        assert_eq!(config.parameter_count(&noise, &SIZES)?, count);

        let (mean, log_variance) = encoder.posterior(&texts, Mode::Train(&key))?;
        assert_eq!(mean.dims(), [4, 5]);
        let loss = (mean.sqr()?.sum_all()? + log_variance.exp()?.sum(D::Minus1)?.sum_all()?)?;
        assert_trains(encoder.parameters(), &loss, &format!("{kind:?}"))?;

        let (mean, log_variance) = encoder.posterior(&texts, Mode::Evaluate)?;
        let near_prior = values(&mean).iter().chain(&values(&log_variance)).all(|x| x.abs() < 0.7);
        assert!(near_prior, "{mean} {log_variance}");
        let alone = texts.select(&[1])?;
        assert!(alone.time() < texts.time());
        let (alone, _) = encoder.posterior(&alone, Mode::Evaluate)?;
        assert_close(&alone, &mean.narrow(0, 1, 1)?, &format!("{kind:?}"));

        let unknown = Sequences::from_rows(&[&[99]], None, 8)?;
        assert!(encoder.posterior(&unknown, Mode::Evaluate).is_err());
        let none = NoiseConfig { dimension: 0, ..NoiseConfig::default() };
        assert!(NoiseEncoder::new(&config, &none, &SIZES, &Key::root(1), &Device::Cpu).is_err());
    }
    Ok(())
}
