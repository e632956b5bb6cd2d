//! Text generators and discriminators: transformer, RNN and CNN, with a fast sampler and Hugging Face model folders.
