//! Text-generation metrics over token ids: exact BLEU, Self-BLEU, distinct n and friends, as pure functions.
