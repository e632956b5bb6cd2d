//! Steps of whole algorithms, of the sizes of TextGAN-PyTorch's run scripts: LSTM 32, V 5000, T 20, B 64.

use anyhow::{Context as _, Result};
use candle_core::{Device, Tensor};
use textgan_models::{
    BOS, CnnDiscriminatorConfig, Conditions, Context, Discriminator, DiscriminatorConfig,
    EmbeddingConfig, Generator, GeneratorConfig, LEAK_PARAMETERS, LeakConfig, LstmConfig, Prefix,
    Reader, RelationalConfig, Sampler, SamplingOptions, Sequences, Sizes, Start, Tokens,
    build_discriminator, build_generator, rollouts, sample,
};
use textgan_nn::kernels::Precision;
use textgan_nn::ops::{self, GumbelOptions, Relaxation, softplus};
use textgan_nn::{AdamConfig, Mode, Optimizer, Parameters};
use textgan_random::Key;

use super::works::{NO_NOISE, Work, no_noise, texts};

const BATCH: usize = 64;
const SIZES: Sizes = Sizes { vocab: 5000, labels: 0, max_length: 20 };
const ALL: Conditions<'_> = Conditions { rows: BATCH, noise: &[], labels: None };

fn generator(config: &GeneratorConfig) -> Result<Box<dyn Generator>> {
    Ok(build_generator(config, &NO_NOISE, &SIZES, &Key::root(1), &Device::Cpu)?)
}

fn discriminator(config: CnnDiscriminatorConfig) -> Result<Box<dyn Discriminator>> {
    let config = DiscriminatorConfig::Cnn(config);
    Ok(build_discriminator(&config, &SIZES, None, &Key::root(3), &Device::Cpu)?)
}

/// SeqGAN's widths; the peers' highway layer has one matrix.
fn twelve_widths() -> CnnDiscriminatorConfig {
    CnnDiscriminatorConfig { shared_highway: true, ..CnnDiscriminatorConfig::seqgan() }
}

/// Texts written now, and a sampler.
fn written(generator: &dyn Generator, key: &Key) -> Result<(Box<dyn Sampler>, Sequences)> {
    let mut sampler = generator.sampler()?;
    let texts = sample(sampler.as_mut(), &ALL, &[], &SamplingOptions::default(), key, 0)?;
    Ok((sampler, texts.sequences(None)?))
}

/// Has a sampler remember some texts, all but the last words.
fn read(sampler: &mut dyn Sampler, texts: &Sequences) -> Result<()> {
    sampler.begin(&ALL)?;
    let mut tokens = vec![BOS; BATCH];
    let mut nobody: Vec<Reader<'_>> = Vec::with_capacity(BATCH);
    nobody.resize_with(BATCH, || Box::new(|_| ()));
    for position in 1..texts.time() {
        sampler.step_each(&tokens, &mut nobody)?;
        let places = texts.targets().chunks_exact(texts.time());
        tokens.iter_mut().zip(places).for_each(|(token, text)| *token = text[position - 1]);
    }
    Ok(())
}

fn probability(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// The loss of texts whose words are weighted.
fn weighted(generator: &dyn Generator, texts: &Sequences, weights: &[f32]) -> Result<Tensor> {
    let noise = no_noise(BATCH)?;
    let context = Context { noise: &noise, labels: None };
    let hidden = generator.hidden(&context, texts, Mode::Evaluate)?.flatten_to(1)?;
    let (head, targets) = (generator.head(), texts.targets());
    Ok(ops::head_cross_entropy(&hidden, head, targets, weights, Precision::F32)?.loss)
}

/// Samples, rolls every prefix out 16 times, scores the rollouts, and makes words likelier by what
/// their prefixes came to (SeqGAN; Yu et al., 2017).
pub fn seqgan_step() -> Result<Work> {
    const ROLLOUTS: usize = 16;
    let config = LstmConfig { embedding: 32, hidden: 32, ..LstmConfig::default() };
    let generator = generator(&GeneratorConfig::Lstm(config))?;
    let judge = discriminator(twelve_widths())?.frozen()?;
    let mut optimizer = Optimizer::new(AdamConfig::default(), generator.parameters())?;
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        let key = Key::root(8).index(step);
        let (mut sampler, texts) = written(generator.as_ref(), &key.child("texts"))?;
        let (key, options) = (key.child("rollouts"), SamplingOptions::default());
        let rollouts = rollouts(sampler.as_mut(), &ALL, &texts, ROLLOUTS, &options, &key)?;
        let scores = judge.scores(&rollouts.sequences(None)?)?;
        let mut weights = vec![0.0; texts.batch() * texts.time()];
        for (&(text, kept), scores) in rollouts.prefixes.iter().zip(scores.chunks(ROLLOUTS)) {
            let total: f32 = scores.iter().map(|&logit| probability(logit)).sum();
            weights[text * texts.time() + kept - 1] = total / ROLLOUTS as f32;
        }
        for (text, &score) in judge.scores(&texts)?.iter().enumerate() {
            weights[text * texts.time() + texts.lengths()[text] - 1] = probability(score);
        }
        optimizer.step(&weighted(generator.as_ref(), &texts, &weights)?.backward()?, 1e-2)?;
        Ok(())
    }))
}

/// An update of the discriminator and one of the generator by the relativistic loss, through the Gumbel softmax
/// (RelGAN; Nie et al., 2019): a memory of 512 numbers, 64 representations.
pub fn relgan_step() -> Result<Work> {
    let memory = RelationalConfig { head_width: 256, ..RelationalConfig::default() };
    let generator = generator(&GeneratorConfig::RelationalMemory(memory))?;
    let judge = discriminator(CnnDiscriminatorConfig {
        embedding: EmbeddingConfig::Learned { width: 64, std: 0.5 },
        filters: vec![(2, 300), (3, 300), (4, 300), (5, 300)],
        representations: 64,
        shared_highway: true,
        features: 100,
        ..CnnDiscriminatorConfig::default()
    })?;
    let frozen = judge.frozen()?;
    let mut of_generator = Optimizer::new(AdamConfig::default(), generator.parameters())?;
    let mut of_judge = Optimizer::new(AdamConfig::default(), judge.parameters())?;
    let real = texts(SIZES.vocab, SIZES.max_length, BATCH)?;
    let noise = no_noise(BATCH)?;
    let mut step = 0;
    let opinion =
        |judge: &dyn Discriminator, tokens: &Tokens<'_>, texts: &Sequences, mode: Mode<'_>| {
            judge.opinions(tokens, texts.lengths(), None, mode)
        };
    Ok(Box::new(move || {
        step += 1;
        let mixed = |key: &Key| -> Result<(Sequences, Tensor)> {
            let (_, texts) = written(generator.as_ref(), &key.child("texts"))?;
            let context = Context { noise: &noise, labels: None };
            let hidden = generator.hidden(&context, &texts, Mode::Evaluate)?.flatten_to(1)?;
            let options =
                GumbelOptions { relaxation: Relaxation::Soft, temperature: 0.5, excluded: &[] };
            let (head, embedding) = (generator.head(), judge.embedding().detach());
            let words = ops::gumbel_head(&hidden, head, &embedding, texts.targets(), options, key)?;
            let words = words.reshape((texts.batch(), texts.time(), ()))?;
            Ok((texts, words))
        };
        let key = Key::root(9).index(step);
        let (of_real, of_fake) = (key.child("real"), key.child("fake"));
        let real_tokens = Tokens::Hard(real.targets());
        let (texts, words) = mixed(&key.child("discriminator"))?;
        let words = words.detach();
        let r = opinion(judge.as_ref(), &real_tokens, &real, Mode::Train(&of_real))?;
        let f = opinion(judge.as_ref(), &Tokens::Soft(&words), &texts, Mode::Train(&of_fake))?;
        let loss = softplus(&(f - r)?)?.mean_all()?;
        of_judge.step(&loss.backward()?, 1e-4)?;

        let (texts, words) = mixed(&key.child("generator"))?;
        let r = opinion(frozen.as_ref(), &real_tokens, &real, Mode::Evaluate)?;
        let f = opinion(frozen.as_ref(), &Tokens::Soft(&words), &texts, Mode::Evaluate)?;
        let loss = softplus(&(r - f)?)?.mean_all()?;
        of_generator.step(&loss.backward()?, 1e-4)?;
        Ok(())
    }))
}

/// Samples, completes what lies before each goal four times, and moves manager and worker (LeakGAN; Guo et al.,
/// 2018): a goal every four words, SeqGAN's widths.
pub fn leakgan_step() -> Result<Work> {
    const ROLLOUTS: usize = 4;
    const HORIZON: usize = 4;
    let config = LeakConfig { leak: twelve_widths(), horizon: HORIZON, ..LeakConfig::default() };
    let generator = generator(&GeneratorConfig::Leak(config))?;
    let judge = discriminator(twelve_widths())?.frozen()?;
    let part = |manager: bool| -> Result<Parameters> {
        let mut part = Parameters::new();
        for (name, variable) in generator.parameters().iter() {
            let of_manager = name.starts_with("manager.") || name.starts_with("goal.");
            if of_manager == manager && !name.starts_with(LEAK_PARAMETERS) {
                part.insert(name.to_owned(), variable.clone())?;
            }
        }
        Ok(part)
    };
    let mut of_worker = Optimizer::new(AdamConfig::default(), &part(false)?)?;
    let mut of_manager = Optimizer::new(AdamConfig::default(), &part(true)?)?;
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        let key = Key::root(10).index(step);
        let (mut sampler, texts) = written(generator.as_ref(), &key.child("texts"))?;
        read(sampler.as_mut(), &texts)?;
        let places: Vec<(usize, usize)> = texts
            .lengths()
            .iter()
            .enumerate()
            .flat_map(|(text, &length)| (1..length).step_by(HORIZON).map(move |kept| (text, kept)))
            .collect();
        let key = key.child("rollouts");
        let start = |&(text, kept): &(usize, usize)| Start {
            prefix: Prefix { row: text, tokens: kept },
            token: texts.row(text)[kept - 1],
            key: key.index(text as u64).index(kept as u64),
        };
        let starts: Vec<Start> = places.iter().map(start).collect();
        let completions = sampler.complete(&starts, ROLLOUTS, &SamplingOptions::default())?;
        let owners = places.iter().flat_map(|place| std::iter::repeat_n(place, ROLLOUTS));
        let (rows, ended): (Vec<Vec<u32>>, Vec<bool>) = owners
            .zip(completions)
            .map(|(&(text, kept), completion)| {
                ([&texts.row(text)[..kept], &completion.tokens].concat(), completion.ended)
            })
            .unzip();
        let scores = judge.scores(&Sequences::from_samples(&rows, &ended, None)?)?;

        let guidance = generator.guidance(&texts, Mode::Evaluate)?.context("a manager")?;
        let (features, goals) =
            (guidance.features.to_vec3::<f32>()?, guidance.goals.detach().to_vec3::<f32>()?);
        let unit = |text: usize, from: usize, to: usize| -> Vec<f32> {
            let way: Vec<f32> =
                features[text][to].iter().zip(&features[text][from]).map(|(a, b)| a - b).collect();
            let length = way.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
            way.into_iter().map(|x| x / length).collect()
        };
        let (time, width) = (texts.time(), features[0][0].len());
        let mut ways = vec![0.0; BATCH * time * width];
        for (&(text, kept), scores) in places.iter().zip(scores.chunks(ROLLOUTS)) {
            let worth = scores.iter().map(|&logit| probability(logit)).sum::<f32>();
            let way = unit(text, kept - 1, (kept - 1 + HORIZON).min(texts.lengths()[text]));
            let to = &mut ways[(text * time + kept - 1) * width..][..width];
            to.iter_mut().zip(way).for_each(|(to, way)| *to = worth * way / places.len() as f32);
        }
        let mut weights = vec![0.0; BATCH * time];
        for (text, &length) in texts.lengths().iter().enumerate() {
            for place in 0..length {
                let from = place.saturating_sub(HORIZON - 1)..=place;
                let followed = from.map(|from| -> f32 {
                    unit(text, from, place + 1)
                        .iter()
                        .zip(&goals[text][from])
                        .map(|(w, g)| w * g)
                        .sum()
                });
                weights[text * time + place] = followed.sum::<f32>() / HORIZON as f32;
            }
        }
        let ways = Tensor::from_vec(ways, guidance.goals.dims(), &Device::Cpu)?;
        let manager = (&guidance.goals * ways)?.sum_all()?.neg()?;
        let worker = weighted(generator.as_ref(), &texts, &weights)?;
        of_manager.step(&manager.backward()?, 1e-2)?;
        of_worker.step(&worker.backward()?, 1e-2)?;
        Ok(())
    }))
}
