//! Behaviour of the program through the real binary.
