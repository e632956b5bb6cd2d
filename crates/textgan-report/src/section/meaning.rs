//! Every measure in one sentence.

/// The measures of an evaluation, and of families the members that are asked for most.
pub const MEASURES: &[&str] = &[
    "bleu-2",
    "bleu-3",
    "bleu-4",
    "bleu-5",
    "self-bleu-2",
    "self-bleu-3",
    "self-bleu-4",
    "self-bleu-5",
    "distinct-1",
    "distinct-2",
    "distinct-3",
    "distinct-4",
    "test-nll",
    "test-perplexity",
    "test-nll-ratio",
    "validation-nll",
    "validation-perplexity",
    "validation-nll-ratio",
    "nll-oracle",
    "nll-test",
    "grammatical",
    "grammatical-at-equal-length",
    "grammatical-for-label",
    "grammatical-greedy",
    "grammar-nll",
    "well-formed",
    "well-formed-at-equal-length",
    "coverage-mass",
    "coverage-words",
    "coverage-choices",
    "choice-divergence",
    "distinct-greedy",
    "interpolation-change",
    "unknown-tokens",
    "exact-copies",
    "mean-length",
    "frechet",
    "precision",
    "recall",
    "density",
    "coverage",
    "mauve",
    "lm-score",
    "reverse-lm-score",
    "ms-jaccard",
    "two-sample-accuracy",
    "copied-run",
    "copied-share",
    "distance-to-training",
    "well-formed-greedy",
    "nll-validation",
    "nll-test-at-nll-oracle-9",
    "nll-test-at-nll-oracle-8",
    "nll-test-at-nll-oracle-7",
];

/// What a measure says, for somebody who has not met it; `None` of a name that no evaluation gives one.
pub fn meaning(name: &str) -> Option<&'static str> {
    let counted =
        |family| name.strip_prefix(family).is_some_and(|of| matches!(of.parse(), Ok(1u8..=9)));
    Some(match name {
        "test-nll" | "validation-nll" | "nll-test" | "nll-validation" => {
            "How surprised the generator is by real text it never saw, nats a token (of the oracle: a text); less is better, and leaving out a kind of sentence is punished."
        }
        "test-perplexity" | "validation-perplexity" => {
            "The same as a number of words: as unsure as if it chose among so many equally likely ones."
        }
        "test-nll-ratio" | "validation-nll-ratio" => {
            "Its surprise at unseen text over that of the grammar itself, which nothing can beat: 1 is perfect."
        }
        "nll-oracle" => {
            "How surprised the true distribution is by what the generator writes: quality alone, blind to missing variety."
        }
        "grammar-nll" => {
            "How surprised the grammar is by its grammatical texts, nats; beside the grammar's own entropy."
        }
        "grammatical" => "The share of its texts that the grammar can produce.",
        "grammatical-at-equal-length" | "well-formed-at-equal-length" => {
            "The same if its texts had the lengths of real ones, so that writing shorter earns nothing."
        }
        "grammatical-for-label" => "The share that is grammatical and of the asked category.",
        "grammatical-greedy" | "well-formed-greedy" => {
            "The share of its most probable texts, one a noise vector, that is grammatical, or well formed."
        }
        "well-formed" => "The share of its texts that the rules of the language accept.",
        "coverage-mass" => "How much of the grammar's probability its texts reach.",
        "coverage-words" => "The share of the grammar's words that it uses.",
        "coverage-choices" => "The share of the grammar's choices that it makes at least once.",
        "choice-divergence" => {
            "How far the frequencies of its choices are from the grammar's, nats; 0 is the same."
        }
        "distinct-greedy" => {
            "Of many noise vectors, the share whose most probable texts differ: near 0, the noise says nothing."
        }
        "interpolation-change" => {
            "The share of words that change in one step of ten from one noise vector to another: little is smooth, none is deaf."
        }
        "unknown-tokens" => "The share of its tokens that stand for unknown words.",
        "exact-copies" => "The share of its texts that stand in the training text word for word.",
        "copied-run" => {
            "The longest run of tokens that a text has in common with one training sentence, on average."
        }
        "copied-share" => "That run as a share of the text.",
        "distance-to-training" => {
            "The share of a text's tokens to change to get its nearest training sentence: 0 is a copy."
        }
        "mean-length" => "Tokens a text, on average.",
        "frechet" => {
            "How far its texts are from real ones as clouds of points of their meaning: 0 is the same mean and spread."
        }
        "precision" => "The share of its texts that lie among real ones.",
        "recall" => "The share of real texts that lie among its own.",
        "density" => "How thickly real texts lie around its own; about 1 is as among themselves.",
        "coverage" => "The share of real texts that have one of its own nearby.",
        "mauve" => {
            "How well its texts and real ones overlap, from 0 to 1: both nonsense and lost variety lower it."
        }
        "lm-score" => {
            "How surprised a language model trained on real text is by its texts: quality."
        }
        "reverse-lm-score" => {
            "How surprised a language model trained on its texts is by real ones: quality and variety together."
        }
        "ms-jaccard" => {
            "How alike the frequencies of word sequences are in its texts and in real ones, from 0 to 1."
        }
        _ if counted("self-bleu-") => {
            "How much its texts resemble each other in runs of words: less is more varied."
        }
        _ if counted("bleu-") => {
            "How much of its runs of words occur in real texts: local quality, blind to variety."
        }
        _ if counted("distinct-") => {
            "Different runs of so many words over all such runs: more is more varied."
        }
        _ if name.starts_with("nll-test-at-nll-oracle-") => {
            "How surprised the generator is by the oracle's texts at the temperature where its own are that likely to the oracle."
        }
        "two-sample-accuracy" => {
            "How well a fresh classifier tells its texts from real ones: one half is guessing, which is the best."
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{MEASURES, meaning};

    #[test]
    fn measures_are_explained_by_their_own_name_or_their_family() {
        let contains = |name, text| meaning(name).is_some_and(|meaning| meaning.contains(text));
        assert!(contains("bleu-5", "runs of words"));
        assert!(contains("self-bleu-2", "resemble each other"));
        assert!(contains("test-nll-ratio", "1 is perfect"));
        for unknown in ["my-own", "bleu", "bleu4", "bleu-44", "distinct3"] {
            assert_eq!(meaning(unknown), None, "{unknown}");
        }
        assert!(MEASURES.iter().all(|name| meaning(name).is_some()));
    }
}
