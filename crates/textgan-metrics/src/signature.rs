//! Signatures: what a number was measured with, so that only numbers that compare are compared.

use crate::Smoothing;
use crate::corpus::CorpusSmoothing;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Metric {
    /// [`crate::bleu`].
    Bleu {
        /// The order.
        n: usize,
        /// The smoothing method.
        smoothing: Smoothing,
    },
    /// [`crate::self_bleu`].
    SelfBleu {
        /// The order.
        n: usize,
        /// The smoothing method.
        smoothing: Smoothing,
    },
    /// [`crate::corpus_bleu`].
    CorpusBleu {
        /// The order.
        n: usize,
        /// The smoothing method.
        smoothing: CorpusSmoothing,
    },
    /// [`crate::ms_jaccard`].
    MsJaccard {
        /// The order.
        n: usize,
    },
    /// [`crate::distinct_n`].
    Distinct {
        /// The order.
        n: usize,
    },
    /// [`crate::unique_ngrams`].
    Unique {
        /// The order.
        n: usize,
    },
    /// [`crate::ngram_entropy`].
    Entropy {
        /// The order.
        n: usize,
    },
    /// [`crate::zipf_coefficient`].
    Zipf {
        /// Of how many tokens.
        most: usize,
    },
    /// [`crate::length_distance`].
    LengthDistance,
    /// [`crate::embedding_similarity`].
    EmbeddingSimilarity {
        /// Of neighbours how far away.
        window: usize,
    },
    /// [`crate::exact_copy_rate`].
    ExactCopies,
    /// [`crate::longest_runs`].
    LongestRuns,
    /// [`crate::Nearest`].
    Nearest,
}

/// Which texts were measured, and how they became tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Texts<'a> {
    /// How many samples.
    pub samples: usize,
    /// How many references, or training sentences.
    pub references: usize,
    /// What a token is, such as `whitespace` or `word-4704`.
    pub tokens: &'a str,
    /// What became of upper and lower case, such as `mixed` (nothing) or `lower`.
    pub case: &'a str,
}

impl Texts<'_> {
    /// The signature of a metric of these texts.
    ///
    /// ```
    /// use textgan_metrics::{Metric, Smoothing, Texts};
    ///
    /// let texts = Texts { samples: 9984, references: 10000, tokens: "whitespace", case: "mixed" };
    /// let signature = texts.signature(Metric::Bleu { n: 4, smoothing: Smoothing::Epsilon });
    /// assert!(signature.starts_with(
    ///     "bleu|n:4|smoothing:nltk-1|weights:uniform|samples:9984|references:10000|\
    ///      tokens:whitespace|case:mixed|tool:textgan-metrics-"
    /// ));
    /// ```
    pub fn signature(&self, metric: Metric) -> String {
        let Self { samples, references, tokens, case } = self;
        let (what, against) = metric.describe();
        let references = match against {
            Against::References => format!("|references:{references}"),
            Against::Training => format!("|training:{references}"),
            Against::Others => "|references:others".to_owned(),
            Against::Nothing => String::new(),
        };
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "{what}|samples:{samples}{references}|tokens:{tokens}|case:{case}|\
             tool:textgan-metrics-{version}"
        )
    }
}

/// What samples are compared with.
enum Against {
    References,
    Training,
    Others,
    Nothing,
}

impl Metric {
    fn describe(self) -> (String, Against) {
        use Against::{Nothing, Others, References, Training};
        let bleu = |name: &str, n: usize, smoothing: Smoothing| {
            format!("{name}|n:{n}|smoothing:nltk-{}|weights:uniform", smoothing.number())
        };
        match self {
            Self::Bleu { n, smoothing } => (bleu("bleu", n, smoothing), References),
            Self::SelfBleu { n, smoothing } => (bleu("self-bleu", n, smoothing), Others),
            Self::CorpusBleu { n, smoothing } => {
                let smoothing = match smoothing {
                    CorpusSmoothing::None => "none".to_owned(),
                    CorpusSmoothing::Floor(value) => format!("floor[{value}]"),
                    CorpusSmoothing::AddK(value) => format!("add-k[{value}]"),
                    CorpusSmoothing::Exp => "exp".to_owned(),
                };
                (format!("corpus-bleu|n:{n}|smoothing:{smoothing}"), References)
            }
            Self::MsJaccard { n } => (format!("ms-jaccard|n:{n}"), References),
            Self::Distinct { n } => (format!("distinct|n:{n}"), Nothing),
            Self::Unique { n } => (format!("unique-ngrams|n:{n}"), Nothing),
            Self::Entropy { n } => (format!("ngram-entropy|n:{n}|unit:nats"), Nothing),
            Self::Zipf { most } => (format!("zipf|most:{most}"), Nothing),
            Self::LengthDistance => ("length-distance|kind:wasserstein-1".to_owned(), References),
            Self::EmbeddingSimilarity { window } => {
                (format!("embsim|vectors:ppmi|window:{window}"), References)
            }
            Self::ExactCopies => ("exact-copies".to_owned(), Training),
            Self::LongestRuns => ("longest-runs|unit:tokens".to_owned(), Training),
            Self::Nearest => ("nearest|distance:token-edit".to_owned(), Training),
        }
    }
}
