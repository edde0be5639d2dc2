//! NVIDIA GPUs, from a library whose GPUs are described in a file, and from the real one where there is one.

#![cfg(feature = "nvml")]

mod card;
mod program;
mod properties;
mod source;
