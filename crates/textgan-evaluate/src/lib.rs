//! Model-based evaluation of text generators: perplexity, exact grammar scores, comparisons with intervals.
