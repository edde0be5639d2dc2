//! Nodes and pods of a workload.

use std::io::Read;

use crate::import::openb::{ImportError, Table, table};

/// A node of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceNode {
    /// Name, which decides the order of nodes before they are mixed.
    pub name: String,
    /// Thousandths of a CPU.
    pub cpu_milli: i64,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// Number of GPUs.
    pub gpus: usize,
    /// Model of its GPUs; empty without GPUs.
    pub model: String,
}

/// What a pod asks for, as far as scores look at it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    // The order of the fields is the study's order of shapes that are equally popular.
    /// Thousandths of a CPU.
    pub cpu_milli: i64,
    /// Thousandths of each GPU: 1000 for whole ones, 0 without GPUs.
    pub gpu_milli: i64,
    /// Number of GPUs.
    pub gpus: usize,
    /// Models that will do, joined by `|`; empty for any.
    pub gpu_spec: String,
}

impl Shape {
    /// Whether it wants a part of one GPU.
    pub fn is_share(&self) -> bool {
        self.gpus == 1 && self.gpu_milli < 1000
    }

    /// Thousandths of GPUs in all.
    pub fn total_gpu_milli(&self) -> i64 {
        self.gpu_milli * i64::try_from(self.gpus).unwrap_or(i64::MAX)
    }

    /// Whether GPUs of this model will do. A node without GPUs has the empty model.
    pub fn accepts(&self, model: &str) -> bool {
        self.gpu_spec.is_empty() || self.gpu_spec.split('|').any(|accepted| accepted == model)
    }
}

/// A pod of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracePod {
    /// Name, which decides the order of pods before they are mixed.
    pub name: String,
    /// What it asks for.
    pub shape: Shape,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// Second of its creation since the trace began, where known.
    pub created: Option<u64>,
    /// Second of its deletion, where known.
    pub deleted: Option<u64>,
}

/// A cluster and its workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Nodes by name.
    pub nodes: Vec<TraceNode>,
    /// Pods by name.
    pub pods: Vec<TracePod>,
}

impl Trace {
    /// Reads the two tables of the openb trace.
    pub fn read(nodes: Table<impl Read>, pods: Table<impl Read>) -> Result<Self, ImportError> {
        // The reader refuses what is above 2^40.
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut trace = Self::default();
        for row in table::nodes(nodes)? {
            let (_, row) = row?;
            trace.nodes.push(TraceNode {
                name: row.name,
                cpu_milli: number(row.cpu_milli),
                memory_mib: number(row.memory_mib),
                gpus: row.gpus as usize,
                model: if row.gpus > 0 { row.model } else { String::new() },
            });
        }
        for row in table::pods(pods)? {
            let (_, row) = row?;
            let (gpus, gpu_milli, gpu_spec) = match row.demand {
                Some(demand) => (demand.gpus as usize, i64::from(demand.milli), row.gpu_spec),
                None => (0, 0, String::new()),
            };
            trace.pods.push(TracePod {
                name: row.name,
                shape: Shape { cpu_milli: number(row.cpu_milli), gpu_milli, gpus, gpu_spec },
                memory_mib: number(row.memory_mib),
                created: row.creation_second,
                deleted: row.deletion_second,
            });
        }
        trace.nodes.sort_by(|left, right| left.name.cmp(&right.name));
        trace.pods.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(trace)
    }

    /// Thousandths of GPUs of all nodes.
    pub fn capacity_milli(&self) -> i64 {
        self.nodes.iter().map(|node| i64::try_from(node.gpus).unwrap_or(i64::MAX) * 1000).sum()
    }
}
