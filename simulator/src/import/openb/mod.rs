//! The openb GPU trace (Alibaba, published with "Beware of Fragmentation", USENIX ATC 2023).
//!
//! Two tables become objects: a node list (`sn,cpu_milli,memory_mib,gpu,model`) and a pod list (`name`,
//! `cpu_milli`, `memory_mib`, `num_gpu`, `gpu_milli` and, where present, `gpu_spec`, `qos`, `pod_phase`,
//! `creation_time`, `deletion_time`, `scheduled_time`; other columns have no influence).
//!
//! - A node becomes a Node and, with GPUs, one ResourceSlice: device `gpu-<i>` with the attributes `model` and
//!   `index`. Every GPU allows multiple allocations and has the capacity `milli: 1000`, so that whole and
//!   shared use meet on the same device (KEP-5075).
//! - A pod that wants whole GPUs requests `num_gpu` devices with `milli: 1000` each; one that shares a GPU
//!   requests one device with its `gpu_milli`. `gpu_spec`, models separated by `|`, becomes a selector.
//! - Pods of equal demand share one ResourceClaimTemplate.
//! - Every pod comes out pending, whatever its phase was; `creation_time`, seconds since the trace began, counts
//!   from 2023-01-01, which is arbitrary but keeps the order. How long it ran becomes an annotation that
//!   [`replay`](crate::replay) reads.

mod error;
mod objects;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::{self, Read};

use serde_json::Value;

pub use error::ImportError;

/// Name of the driver, of its attributes' domain, and of the device class.
pub const DRIVER: &str = "gpu.openb.example.com";
/// Namespace of pods and claim templates.
pub const NAMESPACE: &str = "openb";
/// Thousandths of a GPU: the capacity of every device.
pub const WHOLE_GPU: u32 = 1000;

/// A table and the name under which errors speak of it.
#[derive(Debug)]
pub struct Table<R> {
    /// File name.
    pub name: String,
    /// The text, comma-separated with a header line.
    pub content: R,
}

/// What was converted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nodes.
    pub nodes: usize,
    /// GPUs of all nodes.
    pub gpus: usize,
    /// Pods.
    pub pods: usize,
    /// Claim templates: distinct demands for GPUs.
    pub claim_templates: usize,
}

/// Converts both tables and hands every object to `sink`, in the order of the tables. Neither table is kept in
/// memory.
pub fn convert(
    nodes: Table<impl Read>,
    pods: Table<impl Read>,
    sink: &mut dyn FnMut(&Value) -> io::Result<()>,
) -> Result<Counts, ImportError> {
    let mut counts = Counts::default();
    sink(&objects::namespace())?;
    sink(&objects::device_class())?;

    let mut names = BTreeSet::new();
    for row in table::nodes(nodes)? {
        let (place, row) = row?;
        if !names.insert(row.name.clone()) {
            return Err(place.invalid("sn", &row.name, "is there twice"));
        }
        counts.nodes += 1;
        counts.gpus += row.gpus as usize;
        sink(&objects::node(&row))?;
        if row.gpus > 0 {
            sink(&objects::slice(&row))?;
        }
    }

    names.clear();
    let mut templates = BTreeSet::new();
    for row in table::pods(pods)? {
        let (place, row) = row?;
        if !names.insert(row.name.clone()) {
            return Err(place.invalid("name", &row.name, "is there twice"));
        }
        counts.pods += 1;
        if let Some(demand) = &row.demand
            && templates.insert(demand.clone())
        {
            counts.claim_templates += 1;
            sink(&objects::claim_template(demand))?;
        }
        sink(&objects::pod(&row))?;
    }
    Ok(counts)
}
