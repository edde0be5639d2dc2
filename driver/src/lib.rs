//! Parts of a kubelet plugin for Dynamic Resource Allocation (DRA).
//!
//! - [`kubelet`]: the sockets that the kubelet talks to.

mod checksum;
pub mod kubelet;
