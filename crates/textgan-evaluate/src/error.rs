use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong; every message names the file or key, and the fix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key of the configuration cannot work.
    #[error("[evaluate] {key}: {message}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong, and the fix.
        message: String,
    },
    /// A split without sequences.
    #[error("{folder}: the {split} split has no sequences; evaluation needs all three splits")]
    EmptySplit {
        /// The folder of the token tables.
        folder: PathBuf,
        /// `train`, `valid` or `test`.
        split: &'static str,
    },
    /// A model that does not fit the data.
    #[error(
        "{folder}: the model has {model} tokens, the data up to id {data}; they belong to different \
         runs"
    )]
    Vocabulary {
        /// The model folder.
        folder: PathBuf,
        /// Tokens of the model.
        model: usize,
        /// The greatest token id of the data.
        data: u32,
    },
    /// A model that gives probabilities that are no numbers.
    #[error("{folder}: the model gives a probability that is not a number for {text:?}")]
    NotANumber {
        /// The model folder.
        folder: PathBuf,
        /// The text.
        text: String,
    },
    /// Threads that could not be started.
    #[error("cannot start threads: {message}; ask for fewer with --threads")]
    Threads {
        /// What the system says.
        message: String,
    },
    /// Texts that a network cannot learn from or cannot read.
    #[error("the {texts}: {message}")]
    Texts {
        /// Which they are.
        texts: &'static str,
        /// What is wrong, and the fix.
        message: String,
    },
    /// A network that measures and got lost while it learned.
    #[error(
        "the {network} has a loss that is not a number after {steps} steps; lower `learning_rate`"
    )]
    Diverged {
        /// What it is.
        network: &'static str,
        /// How many steps it had learned.
        steps: u64,
    },
    /// Embeddings that are not whole rows.
    #[error("{values} numbers are no embeddings of {dimensions}: give whole rows, one or more")]
    EmbeddingShape {
        /// How many numbers there are.
        values: usize,
        /// How many make a row.
        dimensions: usize,
    },
    /// An embedding with a number that is infinite, none, or too large to be squared.
    #[error(
        "embedding number {row} (counted from 0) has a number that is not finite, or beyond 1e15"
    )]
    EmbeddingNotFinite {
        /// Which.
        row: usize,
    },
    /// Embeddings of two kinds.
    #[error("embeddings of {a} and of {b} numbers do not compare: take one encoder for both")]
    EmbeddingWidths {
        /// The width of the first set.
        a: usize,
        /// The width of the second.
        b: usize,
    },
    /// A file of an encoder that is missing, or not what it should be.
    #[error("{path}: {problem}")]
    EncoderFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the fix.
        problem: String,
    },
    /// A setting of an encoder that is not supported.
    #[error("{path}: {key} {problem}")]
    EncoderKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong, and the fix.
        problem: String,
    },
    /// A weight of an encoder that does not fit its configuration.
    #[error("{path}: the tensor {tensor:?} {problem}; it and config.json must be of one encoder")]
    EncoderWeight {
        /// The file of weights.
        path: PathBuf,
        /// The name of the tensor.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
    /// A text that an encoder's tokenizer refuses.
    #[error("the tokenizer of {encoder} refuses {text:?}: {problem}")]
    EncoderText {
        /// The encoder.
        encoder: String,
        /// The text.
        text: String,
        /// What the tokenizer says.
        problem: String,
    },
    /// Too few rows for a distance.
    #[error("{rows} embeddings are too few: this needs at least {least}")]
    TooFewEmbeddings {
        /// How many the smaller set has.
        rows: usize,
        /// How many it needs.
        least: usize,
    },
    /// A neighbourhood that reaches to no neighbour.
    #[error("a neighbourhood of 0 neighbours is empty: give k of 1 or more")]
    NoNeighbours,
    /// As many clusters as there cannot be.
    #[error("{rows} embeddings do not make {clusters} clusters")]
    Clusters {
        /// How many embeddings there are.
        rows: usize,
        /// How many clusters were asked for.
        clusters: usize,
    },
    /// A cluster that does not exist.
    #[error("cluster {label} is none of {clusters}, which are counted from 0")]
    Label {
        /// Its number.
        label: u32,
        /// How many there are.
        clusters: usize,
    },
    /// Curves that cannot be compared with any.
    #[error("curves of quality against diversity: {0}")]
    Curves(&'static str),
    /// Batches of different sizes, whose Self-BLEU means different things.
    #[error(
        "batches of {a} and of {b} sentences do not compare: Self-BLEU rises with their number"
    )]
    BatchSizes {
        /// Sentences in a batch of one.
        a: usize,
        /// Sentences in a batch of another.
        b: usize,
    },
    /// Loading a model or sampling from it failed.
    #[error(transparent)]
    Generate(#[from] textgan_generate::Error),
    /// A model failed.
    #[error(transparent)]
    Model(#[from] textgan_models::Error),
    /// An operation or an optimizer failed.
    #[error(transparent)]
    Network(#[from] textgan_nn::Error),
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenizer(#[from] textgan_tokenizer::Error),
    /// A metric refused.
    #[error(transparent)]
    Metrics(#[from] textgan_metrics::Error),
    /// A vocabulary that is not that of the truth.
    #[error(
        "{folder}: the model's word {word:?} is no token of the oracle {oracle}; evaluate it with the \
         oracle that made its corpus, tokenised by words"
    )]
    Word {
        /// The model folder.
        folder: PathBuf,
        /// The word.
        word: String,
        /// The oracle.
        oracle: String,
    },
    /// The grammar or the oracle refused.
    #[error(transparent)]
    Truth(#[from] textgan_synthetic::Error),
    /// The artifact floor failed.
    #[error(transparent)]
    Artifact(#[from] textgan_artifact::Error),
    /// The evaluation could not be written as JSON.
    #[error("evaluation.json: {0}")]
    Json(serde_json::Error),
    /// The user asked to stop.
    #[error("interrupted while evaluating")]
    Interrupted,
}

impl Error {
    /// Whether the user asked to stop, rather than something having failed.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted)
    }
}
