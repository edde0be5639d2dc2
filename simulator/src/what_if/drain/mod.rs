//! Emptying nodes.

mod rules;

pub use rules::{BlockingReason, DrainOptions, Drainability, drainability, is_daemon_set_pod, is_mirror_pod};
