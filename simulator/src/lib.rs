//! The library behind the `dray` command: what schedules where, on which devices, and why not.
//!
//! - [`gates`]: feature gates and their defaults by release
//! - [`schedule`]: the scheduling cycle over a snapshot of a cluster
//! - [`report`]: its answer as data
//! - [`what_if`]: nodes that fail, go or come, and what more fits
//! - [`fragmentation`]: how much of the idle devices pods can use
//! - [`replay`]: a cluster through time
//! - [`lab`]: node-scoring policies compared on public traces
//! - [`import`]: public traces turned into Kubernetes objects

pub mod fragmentation;
pub mod gates;
pub mod import;
pub mod lab;
pub mod replay;
pub mod report;
pub mod schedule;
pub mod what_if;
