//! A kubelet and an API server as drivers for Dynamic Resource Allocation see them, for tests.
//!
//! Nothing here knows a driver: a plugin in any language can be tested over its sockets. What matters to plugins behaves
//! as in the kubelets of 1.32 to 1.37, whose sources and behaviour it was written from:
//!
//! | what | where |
//! |---|---|
//! | dialling: the path of the socket as `:authority`, raw or percent-encoded, or `localhost` | [`wire`] |
//! | what differs between releases | [`release`] |
//! | registration by the folder of sockets, its deadlines and back-off, connections, removal of slices | [`kubelet`] |
//! | pods: all or nothing, pauses of 60 to 90 and 11 to 15 seconds, both in virtual time | [`kubelet`] |
//! | claims: cache, checkpoint, answers that are appended | [`claims`] |
//! | health: timeouts, notices that are lost, what a pod's status shows | [`health`] |
//! | the container runtime's reading of CDI files: version floors, conflicts, what containers get | [`cdi`] |
//! | API server: watches, conflicts, lost answers, fields that are dropped, outages | [`api_server`] |
//! | the same kubelet over one connection that the test makes itself | [`session`] |
//!
//! With a paused Tokio clock and [`sockets::MemorySockets`] a test of an hour takes milliseconds; with
//! [`sockets::HostSockets`] the kubelet finds a driver that runs as a process.
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use drayage_fake_kubelet::{kubelet::{Kubelet, Settings}, release::Release, sockets::MemorySockets};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
//! let sockets = MemorySockets::new(Path::new("/var/lib/kubelet/plugins_registry"));
//! let kubelet = Kubelet::start(Settings::new(Release::V1_37), Arc::new(sockets.clone()), Arc::new(|_| {}));
//! // A file that nobody listens on is tried with growing pauses.
//! sockets.leave_stale(Path::new("/var/lib/kubelet/plugins_registry/gpu.example.com-reg.sock"));
//! tokio::time::sleep(std::time::Duration::from_secs(60)).await;
//! assert!(kubelet.plugins().is_empty());
//! assert_eq!(kubelet.events().len(), 8, "the removal of all slices, then a try at 0, 1, 3, 6, 11, 20 and 37 seconds");
//! # });
//! ```

pub mod api_server;
pub mod calls;
pub mod cdi;
pub mod claims;
pub mod health;
pub mod kubelet;
pub mod messages;
pub mod random;
pub mod release;
pub mod session;
pub mod sockets;
pub mod wire;
