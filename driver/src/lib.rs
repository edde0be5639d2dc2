//! Parts of a kubelet plugin for Dynamic Resource Allocation (DRA).
//!
//! - [`kubelet`]: the two sockets that the kubelet talks to, for kubelets 1.32 to 1.37.
//! - [`claims`]: what is prepared on this node, on disk, through crashes, reboots and damage.
//! - [`cdi`]: the files that tell the container runtime what a claim's containers get.
//! - [`files`]: the operations on files that the other two need, so that tests can fail any of them.
//!
//! A plugin puts them together: it implements [`kubelet::NodePlugin`] with a [`claims::Claims`], whose functions block
//! on disks and devices and therefore belong on a thread for blocking work.
//!
//! Absent as yet: publishing ResourceSlices, real and fake devices, Kubernetes' API, metrics, and a program.

pub mod cdi;
mod checksum;
pub mod claims;
pub mod devices;
pub mod files;
pub mod kubelet;
