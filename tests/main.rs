//! Behaviour of the program through the real binary: one module a promise.

mod bench;
mod compare;
mod configs;
mod faults;
mod golden;
mod guides;
mod house;
mod input;
mod interruption;
mod outside;
mod program;
mod runs;
mod score;
mod shards;
mod sweep;
