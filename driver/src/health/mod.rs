//! Whether devices work, told twice from one state machine: to the kubelet for pods that have them, and as taints for
//! the scheduler.

mod machine;
mod taints;

pub use machine::{HealthMachine, HealthRules, Verdict};
pub use taints::{Effect, TaintRules};
