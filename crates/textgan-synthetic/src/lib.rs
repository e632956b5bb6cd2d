//! Corpora whose truth is known: a caption grammar with exact sentence probabilities.
