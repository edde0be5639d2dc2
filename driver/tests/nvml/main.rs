//! NVIDIA GPUs, from a library whose GPUs are described in a file, and from the real one where there is one.

#![cfg(feature = "nvml")]

mod card;
mod counters;
mod dynamic;
mod node;
mod program;
mod properties;
#[path = "../support/slices.rs"]
mod slices;
mod source;
