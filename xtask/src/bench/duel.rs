//! Ours beside peers: processes that take turns, so both meet the same machine.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use super::artifact::Scratch;
use super::works;

/// One comparison.
pub struct Duel {
    /// Its name, as both sides know it.
    pub name: &'static str,
    /// The most that our time may be of the peer's.
    pub bar: f64,
    /// What is compared.
    pub what: &'static str,
    /// Who the peer is.
    pub opponent: Opponent,
}

/// Who our side is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Opponent {
    /// This program on one thread, where it has more.
    OneThread,
    /// The same work written for PyTorch in `peer.py`, in its fastest variant.
    PyTorch,
    /// TextGAN-PyTorch's own classes, out of a checkout of it. A step of it takes the better part
    /// of a minute, so it is tried in one variant, and less often.
    TextGanPyTorch,
    /// The package mauve-text, which clusters with faiss.
    MauveText,
    /// The package sentence-transformers, with batches of several sizes.
    SentenceTransformers,
}

/// Where peers are found.
#[derive(Clone, Copy)]
pub struct Peers<'a> {
    /// The interpreter that has PyTorch.
    pub python: &'a Path,
    /// A checkout of TextGAN-PyTorch.
    pub textgan_pytorch: Option<&'a Path>,
}

/// What a work needs beside its name.
#[derive(Clone, Copy)]
pub struct Needs<'a> {
    /// The folder of a BERT encoder.
    pub encoder: Option<&'a Path>,
}

/// All comparisons, in the order of the table.
pub const DUELS: &[Duel] = &[
    Duel {
        name: "likelihood-big",
        bar: 0.80,
        what: "transformer step, V 5000 d 256 L 4 T 32 B 64, f32",
        opponent: Opponent::PyTorch,
    },
    Duel {
        name: "likelihood-big-bf16",
        bar: 0.95,
        what: "the same, products of bf16 (PyTorch: autocast)",
        opponent: Opponent::PyTorch,
    },
    Duel {
        name: "likelihood-big-threads",
        // 1.7 times as fast on two; more threads have no higher bar.
        bar: 0.588,
        what: "the first row on all threads against one",
        opponent: Opponent::OneThread,
    },
    Duel {
        name: "likelihood-small",
        bar: 0.50,
        what: "transformer step, V 4682 d 64 L 2 T 37 B 64, f32",
        opponent: Opponent::PyTorch,
    },
    Duel {
        name: "discriminator-gru",
        bar: 0.50,
        what: "GRU discriminator step, embed 64 hidden 128 T 37 B 64",
        opponent: Opponent::PyTorch,
    },
    Duel {
        name: "discriminator-cnn",
        bar: 0.80,
        what: "CNN discriminator step, SeqGAN's 12 widths, T 20 B 64",
        opponent: Opponent::PyTorch,
    },
    Duel {
        name: "generator-loop",
        bar: 0.35,
        what: "straight-through generator step against a token loop",
        opponent: Opponent::PyTorch,
    },
    Duel {
        name: "generator-one-pass",
        bar: 0.75,
        what: "the same against PyTorch scoring in one pass",
        opponent: Opponent::PyTorch,
    },
    Duel {
        name: "sample-small",
        bar: 0.10,
        what: "64 x 37 tokens, d 64 L 2",
        opponent: Opponent::PyTorch,
    },
    Duel {
        name: "sample-big",
        bar: 0.45,
        what: "64 x 37 tokens, d 256 L 4",
        opponent: Opponent::PyTorch,
    },
    Duel {
        name: "seqgan-step",
        bar: 0.12,
        what: "SeqGAN generator step, LSTM 32 V 5000 T 20 B 64, 16 rollouts, 12 widths",
        opponent: Opponent::TextGanPyTorch,
    },
    Duel {
        name: "relgan-step",
        bar: 0.12,
        what: "RelGAN step of both players, memory 512 V 5000 T 20 B 64, 64 representations",
        opponent: Opponent::TextGanPyTorch,
    },
    Duel {
        name: "leakgan-step",
        bar: 0.12,
        what: "LeakGAN generator step, LSTM 32 V 5000 T 20 B 64, 4 rollouts every 4 words, 12 widths",
        opponent: Opponent::TextGanPyTorch,
    },
    Duel {
        name: "ratio-discriminator-step",
        bar: 0.35,
        what: "logistic step of a language model on log-ratios, GRU 192 beside LSTM 32, V 619 T 16 B 128",
        opponent: Opponent::PyTorch,
    },
    Duel {
        name: "ratio-discriminator-step-5600",
        bar: 0.35,
        what: "the same, V 5600",
        opponent: Opponent::PyTorch,
    },
    Duel {
        name: "expected-policy-gradient-step",
        bar: 0.35,
        what: "expected policy gradient of LSTM 32 against GRU 192, V 619 T 16 B 128",
        opponent: Opponent::PyTorch,
    },
    Duel {
        name: "expected-policy-gradient-step-5600",
        bar: 0.35,
        what: "the same, V 5600",
        opponent: Opponent::PyTorch,
    },
    Duel {
        name: "metrics/mauve",
        bar: 1.0,
        what: "MAUVE of 10,000 embeddings beside 10,000, 1,000 clusters",
        opponent: Opponent::MauveText,
    },
    Duel {
        name: "metrics/encoder",
        bar: 1.0,
        what: "embeddings of 1,000 captions by the encoder of --encoder",
        opponent: Opponent::SentenceTransformers,
    },
];

impl Opponent {
    /// Turns that each side takes.
    fn rounds(self) -> usize {
        match self {
            Self::OneThread | Self::PyTorch | Self::SentenceTransformers => 5,
            Self::TextGanPyTorch | Self::MauveText => 3,
        }
    }

    /// The variants that are tried.
    fn variants(self) -> &'static [(&'static str, &'static str, bool)] {
        match self {
            Self::OneThread => &[("one thread", "1", false)],
            Self::PyTorch => &VARIANTS,
            Self::TextGanPyTorch => &VARIANTS[1..2],
            Self::MauveText => &[("its defaults", "eager", false)],
            Self::SentenceTransformers => &[
                ("batches of 16", "16", true),
                ("batches of 32", "32", true),
                ("batches of 64", "64", true),
            ],
        }
    }
}

/// Removes PyTorch's page faults: glibc keeps what it was given.
const MALLOC: &str =
    "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=2147483648";

/// The variants of the peer; the fastest counts.
const VARIANTS: [(&str, &str, bool); 4] = [
    ("eager", "eager", false),
    ("eager, malloc tuned", "eager", true),
    ("compiled", "compile", false),
    ("compiled, malloc tuned", "compile", true),
];

/// What a duel found; times in milliseconds a call, memory in MB at its peak.
pub struct Outcome {
    pub ours_ms: f64,
    pub ours_mb: f64,
    pub peer: Option<Peer>,
}

/// The fastest variant of the peer.
pub struct Peer {
    pub ms: f64,
    pub mb: f64,
    pub name: String,
}

impl Duel {
    /// Times our side, and the peer's where there is one; nothing where something is needed that is
    /// not there.
    pub fn fight(&self, peers: Option<Peers<'_>>, needs: Needs<'_>) -> Result<Option<Outcome>> {
        let folder = Scratch::new("duel")?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let threads = rayon::current_num_threads().to_string();
        let ours = |threads: &str| {
            let mut serve = Command::new(&program);
            serve.args(["bench", "--threads", threads, "--serve", self.name]);
            serve
        };
        let mut serve = ours(&threads);
        // What both sides read, beside their names.
        let mut shared = Vec::new();
        match self.opponent {
            Opponent::OneThread if rayon::current_num_threads() == 1 => {
                eprintln!("{}: left out; it needs two threads", self.name);
                return Ok(None);
            }
            Opponent::OneThread | Opponent::PyTorch => {}
            Opponent::TextGanPyTorch => {
                shared.extend(peers.and_then(|peers| peers.textgan_pytorch).map(Path::to_owned));
            }
            Opponent::MauveText => shared.push(works::embeddings(&folder.0)?),
            Opponent::SentenceTransformers => {
                let Some(encoder) = needs.encoder else {
                    eprintln!("{}: left out; name a BERT folder with --encoder", self.name);
                    return Ok(None);
                };
                serve.arg("--encoder").arg(encoder);
                shared.extend([encoder.to_owned(), works::caption_file(&folder.0)?]);
            }
        }
        let mut sides = vec![(String::new(), Side::start(serve)?)];
        let absent = self.opponent == Opponent::TextGanPyTorch && shared.is_empty();
        if absent && peers.is_some() {
            eprintln!(
                "{}: no peer; name a checkout of williamSYSU/TextGAN-PyTorch with --textgan-pytorch",
                self.name
            );
        }
        let variants = self.opponent.variants();
        for &(name, variant, tuned) in variants {
            let mut command = match (self.opponent, peers.filter(|_| !absent)) {
                (Opponent::OneThread, _) => ours(variant),
                (_, None) => break,
                (_, Some(peers)) => {
                    let mut command = Command::new(peers.python);
                    command.arg(script()).args([self.name, variant, &threads]).args(&shared);
                    command
                }
            };
            if tuned {
                command.env("GLIBC_TUNABLES", MALLOC);
            }
            match Side::start(command) {
                Ok(side) => sides.push((format!("{}, {name}", side.version), side)),
                // The plain one must run; a compiler may be missing or give up.
                Err(error) if variant == variants[0].1 => return Err(error),
                Err(_) => eprintln!("{}: PyTorch did not compile this; left out", self.name),
            }
        }
        let rounds = self.opponent.rounds();
        let mut times = vec![Vec::with_capacity(rounds); sides.len()];
        let mut peaks = vec![0.0; sides.len()];
        for _ in 0..rounds {
            for (i, (_, side)) in sides.iter_mut().enumerate() {
                let turn = side.turn()?;
                times[i].push(turn.ms);
                peaks[i] = turn.mb;
            }
        }
        let mut medians = times.iter_mut().map(|times| {
            times.sort_by(f64::total_cmp);
            times[rounds / 2]
        });
        let ours_ms = medians.next().unwrap_or(f64::NAN);
        let peers = medians.zip(&peaks[1..]).zip(&sides[1..]);
        let peer = peers
            .map(|((ms, &mb), (name, _))| Peer { ms, mb, name: name.clone() })
            .min_by(|a, b| a.ms.total_cmp(&b.ms));
        Ok(Some(Outcome { ours_ms, ours_mb: peaks[0], peer }))
    }
}

/// The repository is where this program was built.
fn script() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/textgan-nn/benches/peer.py")
}

/// A process that times its work whenever it reads a line.
struct Side {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    version: String,
}

#[derive(Deserialize)]
struct Hello {
    version: String,
}

#[derive(Deserialize)]
struct Turn {
    ms: f64,
    mb: f64,
}

impl Side {
    fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let mut side = Self { child, input, output, version: String::new() };
        let hello: Hello = side.read().with_context(|| format!("{name} does not answer"))?;
        side.version = hello.version;
        Ok(side)
    }

    fn turn(&mut self) -> Result<Turn> {
        self.input.as_mut().context("no input")?.write_all(b"\n")?;
        self.read()
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("it stopped; its message is above");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It ends when its input does.
        self.input = None;
        let _ = self.child.wait();
    }
}

/// The other end of [`Side`], for our works.
pub fn serve(name: &str, needs: Needs<'_>) -> Result<()> {
    // On a thread of the pool, as training is.
    textgan_nn::in_threads(|| serve_turns(name, needs))
}

fn serve_turns(name: &str, needs: Needs<'_>) -> Result<()> {
    let mut work = works::work(name, needs)?;
    let begin = Instant::now();
    for call in 0..3 {
        // A long one is warm after its first call.
        if call == 0 || begin.elapsed().as_secs_f64() < 5.0 {
            work()?;
        }
    }
    println!("{}", json!({ "version": concat!("textgan ", env!("CARGO_PKG_VERSION")) }));
    for line in std::io::stdin().lines() {
        line?;
        let (begin, mut times) = (Instant::now(), Vec::new());
        while is_short(begin.elapsed().as_secs_f64(), times.len()) {
            let start = Instant::now();
            work()?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        println!("{}", json!({ "ms": times[times.len() / 2], "mb": peak_memory() }));
    }
    Ok(())
}

/// Whether a turn goes on: for a second and three calls, but not for minutes. As in `peer.py`.
fn is_short(seconds: f64, calls: usize) -> bool {
    seconds < 1.0 || (calls < 3 && seconds < 10.0)
}

/// The most memory that this process has had, in MB; NaN where the system does not say.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    kilobytes.map_or(f64::NAN, |kilobytes: f64| kilobytes / 1024.0)
}

/// The best rate of a matrix product in this process, in Gflop/s: what a step is held against.
pub fn peak_rate() -> f64 {
    let n = 1024;
    let (a, b, mut c) = (vec![1e-3; n * n], vec![1e-3; n * n], vec![0.0; n * n]);
    let rate = |_| {
        let begin = Instant::now();
        textgan_nn::kernels::matmul_nt(n, n, n, &a, &b, &mut c, false);
        2.0 * (n * n * n) as f64 / begin.elapsed().as_secs_f64() / 1e9
    };
    (0..12).map(rate).fold(0.0, f64::max)
}
