//! The random clusters of `simulator/tests/support`, which the comparison with the scheduler in one process has too.

#![expect(dead_code, reason = "shared with tests, which use more of it")]

#[path = "../../../simulator/tests/support/configurations.rs"]
mod configurations;
#[path = "../../../simulator/tests/support/extended.rs"]
mod extended;
#[path = "../../../simulator/tests/support/families.rs"]
mod families;
#[path = "../../../simulator/tests/support/preempting.rs"]
mod preempting;
#[path = "../../../simulator/tests/support/scheduler.rs"]
mod scheduler;
#[path = "../../../simulator/tests/support/mod.rs"]
mod support;
#[path = "../../../simulator/tests/support/teams.rs"]
mod teams;
#[path = "../../../simulator/tests/support/volumes.rs"]
mod volumes;

use serde_json::Value;

pub(crate) use support::Numbers;

/// The objects of a cluster of a family.
pub(crate) fn objects(family: &str, seed: u64) -> Vec<Value> {
    families::case(family, seed).objects
}
