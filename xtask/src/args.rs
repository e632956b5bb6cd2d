//! What the user typed.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;
use textgan_corpus::Shard;

/// Trains generative adversarial networks on text, from raw text to a report.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, or nothing to do; 1 something failed; 2 the command line or the config is \
wrong; 130 and 143 stopped by Ctrl-C or SIGTERM (the same command goes on from there)."
)]
pub struct Cli {
    /// Threads to use. Results do not depend on it.
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// No bars and no rates, only what happened.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring a run up to date: every stage that has something to do, in order.
    Pipeline(Pipeline),
    /// Look at your text and write a config that suits it.
    New(New),
    /// Bring the runs of a sweep up to date, several seeds and settings of one experiment, and
    /// compare them in one table.
    Sweep(Sweep),
    /// Repeat a benchmark of the field: its algorithms, each over its seeds, in one table beside what
    /// was published; without a name, list the benchmarks.
    Reproduce(Reproduce),
    /// Read, clean and split the corpus (one stage alone).
    Ingest(Ingest),
    /// Learn the vocabulary and encode the corpus (one stage alone).
    Tokenize(OneStage),
    /// Train the generator (one stage alone).
    Train(OneStage),
    /// Measure the generator (one stage alone).
    Evaluate(OneStage),
    /// Write the report (one stage alone).
    Report(OneStage),
    /// Write texts with a trained generator, to stdout.
    Generate(Box<Generate>),
    /// Serve a page to play with a run's generator and its discriminator.
    #[cfg(feature = "play")]
    Play(Play),
    /// Serve a run's report, drawn anew while it trains.
    #[cfg(feature = "play")]
    Watch(Watch),
    /// Score a text file of generated sentences against one of real ones; no run is needed.
    Score(Score),
    /// Say whether finished runs are better than their maximum-likelihood checkpoints, or than another run.
    Compare(Compare),
    /// Write a run's metrics as CSV and its texts as a dataset with a card, for other tools.
    Export(Export),
    /// List the runs in a folder, those of its sweeps too.
    List(List),
    /// Show one run: stages, files, sizes, headline numbers.
    Show(Show),
    /// Show the config with every knob explained, or its JSON Schema.
    Config(ShowConfig),
    /// Print a shell's completions, or write manual pages.
    Completions(Completions),
    /// Run all tests of the workspace.
    Test(Forwarded),
    /// Check format, lints, documentation and dependencies.
    Ci,
    /// Time the hot paths and the bars of the README.
    Bench(Bench),
    /// Feed hostile files to a reader of outside bytes; without a name, list the targets.
    Fuzz(Fuzz),
}

impl Command {
    /// Whether processes that are started together share it out.
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Pipeline(_)
            | Self::Tokenize(_)
            | Self::Train(_)
            | Self::Evaluate(_)
            | Self::Report(_) => true,
            Self::Ingest(args) => {
                args.merge.is_none() && !matches!(args.shard, Some(ShardChoice::Named(_)))
            }
            _ => false,
        }
    }
}

#[derive(Debug, Args)]
pub struct Fuzz {
    /// The fuzz target, such as `jsonl`.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// How long.
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub seconds: u64,
    /// How many inputs at most.
    #[arg(long, value_name = "N")]
    pub runs: Option<u64>,
    /// A sanitizer of the compiler, such as `address`, which looks at C libraries too; the compiler's checks for overflow are on
    /// then, and it is ten times as slow.
    #[arg(long, default_value = "none", value_name = "NAME")]
    pub sanitizer: String,
}

/// Where a page is served.
#[cfg(feature = "play")]
#[derive(Debug, Args)]
pub struct Address {
    /// The address to listen at; beyond this machine's own, visitors need the token that is printed.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub address: std::net::IpAddr,
    /// The port; 0 is any that is free.
    #[arg(long, value_name = "N", default_value_t = 7878)]
    pub port: u16,
    /// A token of your own that visitors need.
    #[arg(long, value_name = "TEXT")]
    pub token: Option<String>,
}

#[cfg(feature = "play")]
#[derive(Debug, Args)]
pub struct Play {
    /// The run's folder, or its name under `runs/`.
    #[arg(long, value_name = "DIR", default_value = "runs/quickstart")]
    pub run: PathBuf,
    #[command(flatten)]
    pub at: Address,
}

#[cfg(feature = "play")]
#[derive(Debug, Args)]
pub struct Watch {
    /// The run's folder, or its name under `runs/`.
    #[arg(long, value_name = "DIR", default_value = "runs/quickstart")]
    pub run: PathBuf,
    /// In the terminal, without a server.
    #[cfg(feature = "tui")]
    #[arg(long)]
    pub terminal: bool,
    #[command(flatten)]
    pub at: Address,
}

#[derive(Debug, Args)]
pub struct Export {
    /// The run's folder, or its name under `runs/`.
    #[arg(long, value_name = "DIR", default_value = "runs/quickstart")]
    pub run: PathBuf,
    /// The folder to make.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    #[arg(required_unless_present = "man", value_name = "SHELL")]
    pub shell: Option<clap_complete::Shell>,
    /// Write manual pages into this folder.
    #[arg(long, value_name = "DIR")]
    pub man: Option<PathBuf>,
}

/// Which experiment.
#[derive(Debug, Args)]
pub struct Experiment {
    /// The experiment's config; without it, the built-in quickstart.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override a value of the config, such as `train.batch_size=32` or `phase.0.steps=100`; `KEY=` takes it away, and a
    /// list at a place of a list stands there in its stead (`phase.1=[]`).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub assignments: Vec<String>,
}

/// Which experiment, and where.
#[derive(Debug, Args)]
pub struct Target {
    #[command(flatten)]
    pub experiment: Experiment,
    /// The run's folder; without it, `runs/` and the name of the config.
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct New {
    /// The config to write, such as `mine.toml`.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Your text: a file, a folder, or `-` for the standard input, which is kept in a file beside the config.
    #[arg(long, value_name = "PATH")]
    pub from: PathBuf,
    /// Replace the config if it is there.
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Pipeline {
    #[command(flatten)]
    pub target: Target,
    /// Redo this stage and all after it, even where nothing changed.
    #[arg(long, value_name = "STAGE")]
    pub from: Option<String>,
    /// Stop after this stage.
    #[arg(long, value_name = "STAGE")]
    pub until: Option<String>,
    /// Redo everything (or all from `--from` on) from nothing, half-done work included.
    #[arg(long)]
    pub force: bool,
    /// Make it a run of about a minute: few steps, few texts. Its folder is `runs/NAME-quick`.
    #[arg(long)]
    pub quick: bool,
    /// Let training go on from its own finished state: for more steps, or more phases, than before.
    #[arg(long)]
    pub extend: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The file, in TOML; only `config` is needed:
  config    the experiment that is varied, relative to the file
  seeds     values of `seed`, such as [1, 2, 3]; without it, that of the config
  corpora   \"shared\" (the seeds learn from one corpus) or \"of-each-seed\"
  set       values of the config that all runs have, such as { \"train.batch_size\" = 32 }
  measures  the columns of the table, such as [\"test-nll\", \"bleu-4\"]
  baseline  the cell that those are compared with which have no checkpoint of their own
  protocol  how the `published` figures of the cells were measured
  [grid]    lists of values, each with each, such as \"generator.hidden\" = [12, 32]
  [[cell]]  one more setting, with a `name` and a `set` of its own, if need be a `config` of its own,
            and `published` figures, such as { \"nll-oracle\" = 9.038 }")]
pub struct Sweep {
    /// The file of the sweep: which config is varied, and how; `configs/sweeps` has examples.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The folder of its runs; without it, `runs/` and the name of the file.
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    #[command(flatten)]
    pub on: Place,
    /// List the runs and what is left to do in each, and do nothing.
    #[arg(long, conflicts_with = "json")]
    pub dry_run: bool,
    /// Print the table as JSON on stdout.
    #[arg(long)]
    pub json: bool,
    /// Make the run on this line of the list that was submitted: what a task of an array does.
    #[arg(long, value_name = "LINE", hide = true)]
    pub task: Option<usize>,
}

/// Where the runs of a sweep are made.
#[derive(Debug, Args)]
pub struct Place {
    /// Make so many runs at once, on this machine each with its share of the threads.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub jobs: usize,
    /// Where the runs are made: here, or as the tasks of a Slurm array, each with `--threads` cores (1 without it).
    #[arg(long, value_enum, default_value_t = Backend::Local)]
    pub backend: Backend,
    /// An option for `sbatch`, such as `--sbatch=--partition=long`; may be given again.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub sbatch: Vec<String>,
}

/// Who makes the runs of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// This machine.
    Local,
    /// The nodes of a cluster, which see the folder of the sweep.
    Slurm,
}

#[derive(Debug, Args)]
pub struct Reproduce {
    /// The benchmark, such as `captions`.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// The folder of its runs; without it, `runs/reproduce-` and the name.
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    #[command(flatten)]
    pub on: Place,
    /// List the runs and what is left to do in each, and do nothing.
    #[arg(long, conflicts_with = "json")]
    pub dry_run: bool,
    /// Print the table as JSON on stdout.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A corpus can be ingested by several processes, on one machine or on many that see the folder of the run:
  for i in 1 2 3 4; do cargo xtask ingest --config FILE --shard $i/4 & done; wait
  sbatch --array=1-4 --wrap 'xtask ingest --config FILE --shard auto'
  mpirun -n 4 xtask ingest --config FILE --shard auto
  cargo xtask ingest --config FILE --merge 4
The last command writes the bytes that one process would have written.")]
pub struct Ingest {
    #[command(flatten)]
    pub stage: OneStage,
    /// Read and clean one shard of the corpus only, for `--merge`: `2/4` is the second of four, `auto` the one that a
    /// Slurm array, `srun` or `mpirun` started this process for.
    #[arg(long, value_name = "I/N", conflicts_with = "merge")]
    pub shard: Option<ShardChoice>,
    /// Merge the N shards that are there.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub merge: Option<u32>,
}

/// Which shard of a corpus.
#[derive(Clone, Copy, Debug)]
pub enum ShardChoice {
    /// That one.
    Named(Shard),
    /// The one that the process was started for.
    Auto,
}

impl FromStr for ShardChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Named),
        }
    }
}

#[derive(Debug, Args)]
pub struct OneStage {
    #[command(flatten)]
    pub target: Target,
    /// Redo it even if nothing changed.
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Generate {
    /// A model folder; without it, that of the run.
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// A discriminator folder, to score realness; without it, that of the run, if there is one.
    #[arg(long, value_name = "DIR")]
    pub discriminator: Option<PathBuf>,
    /// The run whose model writes.
    #[arg(long, value_name = "DIR", default_value = "runs/quickstart")]
    pub run: PathBuf,
    /// The run's generator as it was after this step, of those that training left (`train.first_snapshot`).
    #[arg(long, value_name = "N", conflicts_with = "model")]
    pub step: Option<u64>,
    /// How many texts.
    #[arg(long, short = 'n', value_name = "N")]
    pub count: Option<usize>,
    /// Names the noise: the same seed gives the same texts.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Below 1 is more cautious, above 1 more daring.
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub temperature: Option<f32>,
    /// Pick among the K most probable tokens.
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    /// Pick among the most probable tokens that together reach this probability.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f32>,
    /// Pick among the tokens at least so many times as probable as the most probable one.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub min_p: Option<f32>,
    /// Always pick the most probable token.
    #[arg(long)]
    pub greedy: bool,
    /// Write as many texts for each and let the discriminator choose one, by its logit.
    #[arg(long, value_name = "N")]
    pub candidates: Option<usize>,
    /// The most tokens a text may have.
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
    /// Write texts of this category.
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Continue this text.
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Walk from the noise of text A to the noise of text B (their numbers, from 0).
    #[arg(long, value_names = ["A", "B"], num_args = 2)]
    pub interpolate: Option<Vec<u64>>,
    /// Also write the texts with their probabilities to this Parquet file.
    #[arg(long, value_name = "FILE")]
    pub parquet: Option<PathBuf>,
    /// Print each text as a line of JSON with its log-probability and realness.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Score {
    /// Generated sentences: one a line, tokens separated by spaces.
    #[arg(long, value_name = "FILE")]
    pub samples: PathBuf,
    /// Real sentences that the generator has not seen, in the same form.
    #[arg(long, value_name = "FILE")]
    pub references: PathBuf,
    /// The sentences it was trained on: also ask what was copied from them.
    #[arg(long, value_name = "FILE")]
    pub train: Option<PathBuf>,
    /// Print the scores as JSON on stdout.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Compare {
    /// Runs, as folders or as names under `runs/`. Those whose configs differ only in `seed` are
    /// training seeds of one experiment.
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// A run to compare with; may be given again for more of its training seeds. Without it, each
    /// run is compared with its own maximum-likelihood checkpoint.
    #[arg(long, value_name = "RUN")]
    pub baseline: Vec<PathBuf>,
    /// As JSON, a line for each experiment.
    #[arg(long)]
    pub json: bool,
    /// Also write a page with all of them side by side: curves, scores, texts, and what their configs differ in.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct List {
    /// The folder that holds the runs.
    #[arg(default_value = "runs")]
    pub folder: PathBuf,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Show {
    /// The run's folder, or its name under `runs/`.
    pub run: PathBuf,
    /// Read every file of every finished stage again, and say whether it is as it was written.
    #[arg(long)]
    pub verify: bool,
}

#[derive(Debug, Args)]
pub struct ShowConfig {
    #[command(flatten)]
    pub experiment: Experiment,
    /// Print the resolved config, every key with its documentation (this is the default).
    #[arg(long, conflicts_with = "schema")]
    pub show: bool,
    /// Print the JSON Schema of config files, for editors.
    #[arg(long)]
    pub schema: bool,
}

#[derive(Debug, Args)]
pub struct Forwarded {
    /// Passed on to `cargo test`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Bench {
    /// Only rows whose name contains this; without it, all but those that take minutes.
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// Also time PyTorch in turns with ours, and check the ratios against their bars; with
    /// `--only metrics/self-bleu`, fast-bleu and NLTK.
    #[arg(long)]
    pub peer: bool,
    /// The Python interpreter that has the peer.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: PathBuf,
    /// A checkout of TextGAN-PyTorch, the peer of `seqgan-step`.
    #[arg(long, value_name = "FOLDER")]
    pub textgan_pytorch: Option<PathBuf>,
    /// The folder of a BERT encoder (as sentence-transformers saves it), for `metrics/encoder`; the
    /// build needs the feature `encoder`.
    #[arg(long, value_name = "FOLDER")]
    pub encoder: Option<PathBuf>,
    /// As JSON lines.
    #[arg(long)]
    pub json: bool,
    /// Be one side of a comparison: time this work for every line read.
    #[arg(long, hide = true, value_name = "WORK")]
    pub serve: Option<String>,
}
