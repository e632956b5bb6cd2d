//! candle operations with a backward pass, layers, seeded initialisation and optimizers with saved state.
