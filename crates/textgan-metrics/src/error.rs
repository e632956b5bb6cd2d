/// Why a metric has no value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A set without sentences.
    #[error("there are no {set}: a score needs at least one")]
    Nothing {
        /// Which set: samples, references, training sentences.
        set: &'static str,
    },
    /// A set whose sentences are all empty.
    #[error("all {count} {set} are empty sentences: there is nothing to score")]
    AllEmpty {
        /// Which set.
        set: &'static str,
        /// How many there are.
        count: usize,
    },
    /// One sentence is empty, where the caller asked to refuse that.
    #[error("{set} number {index} (counted from 0) is an empty sentence")]
    EmptySentence {
        /// Which set.
        set: &'static str,
        /// Its position in the set.
        index: usize,
    },
    /// Self-BLEU of a single sample: there is no other to compare it with.
    #[error("Self-BLEU compares samples with each other: one sample is not enough")]
    OneSample,
    /// An n-gram order of zero.
    #[error("n-grams need at least one token: n must be 1 or more")]
    Order,
    /// More sentences or distinct n-grams than fit 32-bit counters.
    #[error("more than {} sentences or distinct n-grams: split the set", u32::MAX - 1)]
    TooMany,
    /// A smoothing method has no value for a sample: method 6 needs a matching 3-gram.
    #[error(
        "smoothing method {method} has no value for sample number {sample} (counted from 0), which \
         shares no 3-gram with its references: take another method"
    )]
    Undefined {
        /// Its position in the set.
        sample: usize,
        /// NLTK's number of the method.
        method: usize,
    },
    /// A smoothing value that is negative or not a number.
    #[error("a smoothing value of {value} is not a count: give 0 or more")]
    SmoothingValue {
        /// The value.
        value: String,
    },
    /// Samples with references of their own, and not as many lists of references.
    #[error("{samples} samples, but references of {references}: each sample needs its own")]
    Unpaired {
        /// How many samples.
        samples: usize,
        /// How many lists of references.
        references: usize,
    },
    /// A sample whose list of references is empty.
    #[error("sample number {sample} (counted from 0) has no reference")]
    NoReference {
        /// Its position in the set.
        sample: usize,
    },
    /// A line needs two points.
    #[error("Zipf's coefficient needs at least two different tokens, there {}", are(*tokens))]
    Rank {
        /// How many different tokens were looked at.
        tokens: usize,
    },
    /// A window that holds no neighbour.
    #[error("a window of 0 tokens has no neighbours: give 1 or more")]
    Window,
    /// A spread needs two values.
    #[error("an interval needs at least two batches, there {}", are(*batches))]
    Batches {
        /// How many there were.
        batches: usize,
    },
    /// More batches than samples to fill them.
    #[error("{samples} samples do not fill {batches} batches")]
    Samples {
        /// How many samples there are.
        samples: usize,
        /// How many batches were asked for.
        batches: usize,
    },
    /// A value that is infinite or not a number.
    #[error("batch {batch} (counted from 0) has the value {value}, which is no number to average")]
    NotFinite {
        /// Which batch.
        batch: usize,
        /// Its value.
        value: String,
    },
    /// A confidence that no interval has.
    #[error("an interval cannot hold with confidence {confidence}: give a number between 0 and 1")]
    Confidence {
        /// What was asked for.
        confidence: String,
    },
}

fn are(batches: usize) -> String {
    if batches == 1 { "is 1".to_owned() } else { format!("are {batches}") }
}

/// Refuses a set with an empty sentence.
///
/// The metrics themselves accept one: a model that says nothing is a bad model, and an empty
/// sample scores 0. In a file that a person wrote, an empty line is a mistake to point at.
///
/// # Errors
/// The first empty sentence.
pub fn refuse_empty<S: AsRef<[u32]>>(set: &'static str, sentences: &[S]) -> Result<(), Error> {
    match sentences.iter().position(|s| s.as_ref().is_empty()) {
        Some(index) => Err(Error::EmptySentence { set, index }),
        None => Ok(()),
    }
}

/// A set with at least one sentence, of which at least one says something.
pub(crate) fn check<S: AsRef<[u32]>>(set: &'static str, sentences: &[S]) -> Result<(), Error> {
    if sentences.is_empty() {
        return Err(Error::Nothing { set });
    }
    if sentences.iter().all(|s| s.as_ref().is_empty()) {
        return Err(Error::AllEmpty { set, count: sentences.len() });
    }
    if sentences.len() >= u32::MAX as usize {
        return Err(Error::TooMany);
    }
    Ok(())
}
