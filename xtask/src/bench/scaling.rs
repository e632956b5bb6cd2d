//! How training would go on more cores and more machines: a cost model, its parts measured here one by one, and held against
//! what two cores do.
//!
//! A step of `R` replicas on `P` machines of `c` cores takes `ceil(R / P c)` times what a replica's part takes on one core
//! while the others work too, then the sum of the replicas' gradients, an update on all cores of a machine, what it takes
//! replicas to come together (measured with parts of one text), and between machines the exchange of gradients: each sends and
//! receives `2 W (P - 1) / P` weights' worth of bytes, in two rounds.

use anyhow::{Result, anyhow};
use rayon::ThreadPoolBuilder;
use std::time::Instant;
use textgan_artifact::Quiet;
use textgan_artifact::table::TokenRow;
use textgan_models::{
    GeneratorConfig, LstmConfig, ModelCard, NoiseConfig, TransformerConfig, build_generator,
};
use textgan_nn::{AdamConfig, Optimizer};
use textgan_random::Key;
use textgan_train::{
    BuiltIn, MaximumLikelihood, Outputs, Phase, Recipe, TrainConfig, TrainData, train,
};

use super::Row;
use super::works::NO_NOISE;

/// What two cores take, of what the model says: the further of both generators.
pub const SCALING: Row = Row {
    name: "scaling/model",
    unit: "off",
    bar: Some(0.15),
    what: "the cost model of more cores beside two cores; prints its table",
    slow: true,
    measure: scaling,
};

/// A generator and its batch, likelihood.
struct Case {
    name: &'static str,
    generator: GeneratorConfig,
    vocab: usize,
    tokens: usize,
    batch: usize,
    /// Steps that are timed.
    steps: u64,
}

/// What a step is made of, in seconds.
struct Parts {
    /// Of a replica with so many texts, alone on one core: by halves of the batch.
    work: Vec<(usize, f64)>,
    /// How much longer it takes where the other core works too.
    crowded: f64,
    /// Of the optimizer on one core.
    update: f64,
    /// Of adding a replica's gradients.
    sum: f64,
    /// Of two replicas' coming together, on one core and on two.
    meeting: [f64; 2],
    weights: f64,
}

fn cases() -> [Case; 2] {
    let lstm = LstmConfig { embedding: 16, hidden: 16, ..LstmConfig::default() };
    let transformer = TransformerConfig {
        width: 256,
        layers: 4,
        heads: 4,
        tied: false,
        ..TransformerConfig::default()
    };
    [
        Case {
            name: "LSTM 16, V 700 (the quickstart's size)",
            generator: GeneratorConfig::Lstm(lstm),
            vocab: 700,
            tokens: 14,
            batch: 64,
            steps: 400,
        },
        Case {
            name: "transformer d 256 L 4, V 5000",
            generator: GeneratorConfig::Transformer(transformer),
            vocab: 5000,
            tokens: 31,
            batch: 64,
            steps: 8,
        },
    ]
}

fn scaling() -> Result<f64> {
    let mut furthest = 0.0f64;
    for case in cases() {
        let parts = case.parts()?;
        let together = |threads: usize| in_pool(threads, || case.step_seconds(2, case.batch));
        println!("{}, batch {}: {:.2} M weights", case.name, case.batch, parts.weights / 1e6);
        for threads in [1, 2] {
            let (found, said) = (together(threads)??, parts.step(2, 1, threads, None));
            let off = found / said - 1.0;
            furthest = furthest.max(off.abs());
            println!(
                "  2 replicas, {threads} core{}: {:.2} ms a step, the model says {:.2} ({:+.0} %)",
                if threads == 1 { "" } else { "s" },
                found * 1e3,
                said * 1e3,
                off * 100.0
            );
        }
        let [one, two] = parts.meeting.map(|seconds| seconds * 1e3);
        println!("  coming together takes {one:.2} ms on one core, {two:.2} ms on two");
        println!(
            "  one core's work is {:.0} % slower where the other works too",
            100.0 * (parts.crowded - 1.0)
        );
        parts.table(case.batch);
    }
    Ok(furthest)
}

impl Case {
    fn parts(&self) -> Result<Parts> {
        let sizes = textgan_models::Sizes { vocab: self.vocab, labels: 0, max_length: self.tokens };
        let model = build_generator(
            &self.generator,
            &NO_NOISE,
            &sizes,
            &Key::root(1),
            &candle_core::Device::Cpu,
        )?;
        let gradients = model
            .parameters()
            .iter()
            .map(|(_, weights)| Ok(weights.ones_like()?))
            .collect::<Result<Vec<_>>>()?;
        let mut optimizer = Optimizer::new(AdamConfig::default(), model.parameters())?;
        let update = in_pool(1, || {
            super::median_seconds(|| Ok(optimizer.descend(&gradients, 1e-6).map(|_| ())?))
        })??;
        let flat: Vec<f32> = vec![1.0; model.parameters().count()];
        let mut total = flat.clone();
        let sum = super::median_seconds(|| {
            total.iter_mut().zip(&flat).for_each(|(total, one)| *total += one);
            Ok(())
        })?;
        let mut work = Vec::new();
        let mut texts = self.batch;
        while texts > 0 {
            let whole = in_pool(1, || self.step_seconds(1, texts))??;
            work.push((texts, (whole - update).max(1e-9)));
            texts /= 2;
        }
        let half = work[1].1 + update;
        let beside = std::thread::scope(|scope| {
            let one = || in_pool(1, || self.step_seconds(1, self.batch / 2));
            let other = scope.spawn(one);
            let ours = one()??;
            let theirs =
                other.join().map_err(|_| anyhow!("the other core's work panicked"))???;
            Ok::<_, anyhow::Error>(0.5 * (ours + theirs))
        })?;
        let weights = model.parameters().count() as f64;
        let crowded = (beside / half).max(1.0);
        let mut parts = Parts { work, crowded, update, sum, meeting: [0.0; 2], weights };
        for threads in [1, 2] {
            let found = in_pool(threads, || self.step_seconds(2, 2))??;
            let (work, others) = parts.split(2.0, 2, 1, threads, None);
            parts.meeting[threads - 1] = (found - work - others.iter().sum::<f64>()).max(0.0);
        }
        Ok(parts)
    }

    /// What a step takes on the threads of the pool that this is called in.
    fn step_seconds(&self, replicas: usize, batch: usize) -> Result<f64> {
        let mut stream = Key::root(3).stream();
        let mut row = |id: u64| {
            let word = |_| 4 + stream.below(self.vocab as u64 - 4) as u32;
            TokenRow { id, label: None, tokens: (0..self.tokens).map(word).collect(), cut: false }
        };
        let rows: Vec<TokenRow> = (0..(batch * 16) as u64).map(&mut row).collect();
        let data = TrainData {
            train: &rows,
            valid: &rows[..1],
            labels: &[],
            vocab_size: self.vocab,
            max_length: self.tokens,
            decode: &|_| String::new(),
            words: None,
            tokenizer: None,
            id: None,
            well_formed: None,
            card: &ModelCard::default(),
        };
        let config = TrainConfig {
            batch_size: batch,
            replicas,
            checkpoint_every: u64::MAX,
            sample_every: 0,
            first_snapshot: 0,
            log_every: 1000,
            validation_noise: 1,
            ..TrainConfig::default()
        };
        let noise = NoiseConfig { ..NO_NOISE };
        let run = |steps: u64| -> Result<f64> {
            let phases = [Phase::<BuiltIn>::of_steps(steps, MaximumLikelihood::default())];
            let recipe = Recipe {
                train: &config,
                phases: &phases,
                noise: &noise,
                generator: &self.generator,
                discriminator: None,
            };
            let folder = tempfile::tempdir()?;
            let begin = Instant::now();
            train(&recipe, &data, &Key::root(1), Outputs::from(folder.path()), &Quiet)?;
            Ok(begin.elapsed().as_secs_f64())
        };
        // What a run begins and ends with is the same in both.
        let more = self.steps * (self.batch / batch).min(8) as u64;
        let times = (0..3).map(|_| Ok((run(2 + more)? - run(2)?) / more as f64));
        // The least: whatever else the machine does only adds.
        times.reduce(|one, other| Ok(one?.min(other?))).unwrap_or(Ok(f64::NAN))
    }
}

impl Parts {
    /// The seconds of a replica's part of so many texts, on a line between what was measured.
    fn work(&self, texts: f64) -> f64 {
        let above = self.work.iter().rev().find(|(at, _)| *at as f64 >= texts);
        let below = self.work.iter().find(|(at, _)| *at as f64 <= texts);
        match (below, above) {
            (Some(&(low, a)), Some(&(high, b))) if high > low => {
                a + (b - a) * (texts - low as f64) / (high - low) as f64
            }
            (Some(&(_, a)), _) | (None, Some(&(_, a))) => a,
            (None, None) => 0.0,
        }
    }

    /// A step of a batch as it was measured, cut into `replicas`, on so many machines and cores; between machines at so
    /// many bytes a second.
    fn step(&self, replicas: usize, machines: usize, cores: usize, wire: Option<f64>) -> f64 {
        let (work, others) = self.split(self.work[0].0 as f64, replicas, machines, cores, wire);
        work + others.iter().sum::<f64>()
    }

    /// Seconds of the replicas' work, and of the sum, the update, the meeting, and the exchange.
    fn split(
        &self,
        batch: f64,
        replicas: usize,
        machines: usize,
        cores: usize,
        wire: Option<f64>,
    ) -> (f64, [f64; 4]) {
        let here = replicas.div_ceil(machines);
        let crowded = if cores.min(here) > 1 { self.crowded } else { 1.0 };
        let work = here.div_ceil(cores) as f64 * self.work(batch / replicas as f64) * crowded;
        // A memory's rate is not a core's: more than four do not add or update faster.
        let fast = cores.min(4) as f64;
        let sum = if replicas > 1 { here as f64 * self.sum / fast } else { 0.0 };
        let update = self.update / fast;
        let exchange = wire.filter(|_| machines > 1).map_or(0.0, |rate| {
            /// Seconds until a message has arrived, however short.
            const LATENCY: f64 = 25e-6;
            let bytes = 2.0 * 4.0 * self.weights * (machines - 1) as f64 / machines as f64;
            bytes / rate + 4.0 * LATENCY * (machines as f64).log2().ceil()
        });
        let meeting = if here > 1 { self.meeting[cores.min(2) - 1] } else { 0.0 };
        (work, [sum, update, meeting, exchange])
    }

    /// How many times as fast as one core, of a batch that stays as it is and of one that grows with the cores; and what
    /// most of the rest is.
    fn table(&self, batch: usize) {
        const GIGABIT: f64 = 1e9 / 8.0;
        println!(
            "  {:>8} {:>6} {:>9} {:>24} {:>34}",
            "machines", "cores", "Gb/s", "this batch: times, bound", "as much a core: times, bound"
        );
        let alone = self.step(1, 1, 1, None);
        let lines = [(1, 1, None), (1, 2, None), (1, 16, None), (1, 64, None)];
        let wired = [10.0, 100.0]
            .into_iter()
            .flat_map(|gigabits| [2, 8, 64].map(|machines| (machines, 16, Some(gigabits))));
        for (machines, cores, gigabits) in lines.into_iter().chain(wired) {
            let wire = gigabits.map(|gigabits| gigabits * GIGABIT);
            let all = machines * cores;
            let strong = all.min(batch);
            let told = |grown: f64, replicas: usize| {
                let (work, others) =
                    self.split(batch as f64 * grown, replicas, machines, cores, wire);
                let whole = work + others.iter().sum::<f64>();
                let names = ["adding gradients", "the update", "the meeting", "the exchange"];
                let most = others.iter().zip(names).max_by(|a, b| a.0.total_cmp(b.0));
                let bound = match most {
                    Some((&seconds, name)) if seconds > 0.5 * work => name,
                    // Small parts keep a core busy with what does not shrink.
                    _ if work / grown > 1.5 * self.work[0].1 / all as f64 => "small parts",
                    _ => "the work",
                };
                (grown * alone / whole, bound)
            };
            let (times, bound) = told(1.0, strong);
            let (more, other) = told(all as f64, all);
            println!(
                "  {machines:>8} {cores:>6} {:>9} {:>24} {:>34}",
                gigabits.map_or("-".to_owned(), |gigabits| gigabits.to_string()),
                format!("{times:.1}, {bound}"),
                format!("{more:.1}, {other}")
            );
        }
    }
}

/// Calls `work` in a pool of so many threads.
fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    Ok(ThreadPoolBuilder::new().num_threads(threads).build()?.install(work))
}
