//! The library behind the `dray` command: what schedules where, on which devices, and why not.
//!
//! - [`gates`]: feature gates and their defaults by release
//! - [`schedule`]: the scheduling cycle over a snapshot of a cluster
//! - [`random`]: numbers from a seed
//! - [`report`]: its answer as data
//! - [`what_if`]: nodes that fail, go or come, and what more fits
//! - [`scenario`]: what-ifs one after the other, and what is expected of them
//! - [`fragmentation`]: how much of the idle devices pods can use
//! - [`replay`]: a cluster through time
//! - [`lab`]: node-scoring policies compared on public traces
//! - [`explain`]: why one pod is where it is
//! - [`snapshot`]: an input made small, with one finding kept
//! - [`compare`]: the answers of two releases or two inputs side by side
//! - [`import`]: public traces turned into Kubernetes objects

pub mod compare;
pub mod explain;
pub mod fragmentation;
pub mod gates;
pub mod import;
pub mod lab;
pub mod random;
pub mod replay;
pub mod report;
pub mod scenario;
pub mod schedule;
pub mod snapshot;
pub mod what_if;
