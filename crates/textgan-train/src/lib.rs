//! Training text GANs: objectives, the training loop, checkpoints that resume to the same bits.
