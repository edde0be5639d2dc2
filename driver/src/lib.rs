//! A kubelet plugin for Dynamic Resource Allocation (DRA).
//!
//! - [`kubelet`]: the two sockets that the kubelet talks to, for kubelets 1.32 to 1.37.
//! - [`node`]: puts the others together: from a call of the kubelet to a CDI device.
//! - [`claims`]: what is prepared on this node, on disk, through crashes, reboots and damage.
//! - [`guard`]: whether a claim may have its devices beside those of others.
//! - [`devices`]: what the node has: inventories on paper, PCI functions, or a source of your own.
//! - [`health`]: whether they work, for the kubelet and as taints.
//! - [`api`]: the API server, which claims are read from and slices are written to.
//! - [`publish`]: what the scheduler sees of them, as ResourceSlices.
//! - [`cdi`]: the files that tell the container runtime what a claim's containers get.
//! - [`files`]: the operations on files that claims and CDI need, so that tests can fail any of them.
//! - [`metrics`]: what is counted on the way.
//! - [`webhook`]: refuses configuration of claims before a pod waits for them.
//! - [`runtime`]: a whole driver, in the order that start and stop need; the command `dray-driver` runs it.

pub mod api;
pub mod cdi;
mod checksum;
pub mod claims;
pub mod devices;
pub mod files;
pub mod guard;
pub mod health;
pub mod kubelet;
pub mod metrics;
pub mod node;
pub mod publish;
pub mod runtime;
pub mod webhook;
