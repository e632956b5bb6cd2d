//! Corpora whose truth is known.
//!
//! A language model is usually judged by other models, or by counting. On a corpus drawn from a
//! known distribution it can be *measured*: what share of its samples is possible at all, how far
//! its likelihoods are from the best there is, how much of the distribution it covers.
//!
//! [`Grammar`] is such a distribution: a probabilistic grammar with features (agreement, labels)
//! and finitely many sentences. It is compiled to an acyclic automaton, so probabilities, entropy,
//! next-word distributions and expected counts are exact, not estimated. The built-in one
//! ([`Grammar::embedded`]) writes captions of scenes indoors and outdoors.
//!
//! [`Oracle`] is another: an LSTM with known parameters, the synthetic task of SeqGAN and its
//! successors. It draws sequences of a given length and scores any sequence exactly.
//!
//! [`Rules`] are what is known of a language whose probabilities nobody knows: whether a text is
//! well-formed. SMILES, molecules as text, is one.
//!
//! ```
//! use textgan_random::Key;
//! use textgan_synthetic::Grammar;
//!
//! let grammar = Grammar::embedded();
//! let mut stream = Key::root(7).child("captions").stream();
//! let (caption, label) = grammar.sample(&mut stream);
//! assert!(grammar.grammatical(&caption));
//! assert!(grammar.labels().iter().any(|l| Some(l.as_str()) == label));
//!
//! // Exact, in nats: what this caption costs, and what captions cost on average at best.
//! let cost = -grammar.log_prob(&caption).unwrap();
//! let best = grammar.entropy()?;
//! assert!(cost.is_finite() && (22.0..30.0).contains(&best));
//!
//! // What is wrong with a sentence that the grammar cannot say.
//! let fault = grammar.explain("two men in a red shirt is riding a bicycle").unwrap_err();
//! assert_eq!(fault.before, "two men in a red shirt");
//! assert_eq!(fault.found.as_deref(), Some("is"));
//! # Ok::<(), textgan_synthetic::Error>(())
//! ```

mod ambiguity;
mod automaton;
mod belief;
mod coverage;
mod error;
mod fault;
mod grammar;
mod oracle;
mod plain;
mod rules;
mod source;
mod statistics;

// What signatures here speak of, in the versions that they mean.
pub use textgan_random;

pub use coverage::Coverage;
pub use error::Error;
pub use fault::Fault;
pub use grammar::{Estimate, Grammar};
pub use oracle::{Oracle, OracleSizes};
pub use rules::{Rules, SmilesFault};

/// The blocks of the README, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
