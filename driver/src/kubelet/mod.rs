//! What the kubelet talks to.

pub mod transport;
