//! How much of a node's idle GPUs the typical pods cannot use.

use std::collections::BTreeMap;

use super::trace::{Shape, TraceNode, TracePod};

/// What of a node is free.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Room {
    /// Thousandths of a CPU.
    pub cpu_milli: i64,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// Thousandths of every GPU.
    pub gpus: Vec<i64>,
}

impl Room {
    /// An empty node.
    pub fn of(node: &TraceNode) -> Self {
        Self { cpu_milli: node.cpu_milli, memory_mib: node.memory_mib, gpus: vec![1000; node.gpus] }
    }

    /// Whether there are enough GPUs with enough left; for a pod without GPUs, whether there is any GPU at all.
    fn has_gpus_for(&self, shape: &Shape) -> bool {
        let fitting = self.gpus.iter().filter(|&&left| left >= shape.gpu_milli).count();
        fitting > 0 && fitting >= shape.gpus
    }

    /// The number of GPUs nobody uses.
    pub(super) fn idle_gpus(&self) -> usize {
        self.gpus.iter().filter(|&&left| left == 1000).count()
    }

    /// Thousandths of GPUs in all.
    pub fn gpu_milli(&self) -> i64 {
        self.gpus.iter().sum()
    }
}

/// Why a shape can or cannot use a node's idle GPUs, in the order in which the study adds them up.
#[derive(Clone, Copy)]
enum Use {
    LackBoth,
    LackGpu,
    Satisfied,
    LackCpu,
    /// Without GPUs, and the CPUs suffice.
    CpuOnly,
    /// Without GPUs, and the CPUs do not suffice.
    CpuOnlyLackCpu,
    NoAccess,
}

const USES: usize = Use::NoAccess as usize + 1;

/// The typical pods: the most popular shapes that together make up 95 % of the pods, with their shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Typical {
    shapes: Vec<(Shape, f64)>,
}

/// Percent of pods that the typical shapes have to cover.
const COVERED_PERCENT: f64 = 95.0;

impl Typical {
    /// The typical pods of a workload.
    #[expect(clippy::cast_precision_loss, reason = "numbers of pods are small")]
    pub fn new(pods: &[TracePod]) -> Self {
        let mut counts: BTreeMap<&Shape, usize> = BTreeMap::new();
        for pod in pods {
            *counts.entry(&pod.shape).or_default() += 1;
        }
        let mut by_count: Vec<(usize, &Shape)> =
            counts.into_iter().map(|(shape, count)| (count, shape)).collect();
        // Of equally popular shapes, the study takes the larger one first.
        by_count.sort_by(|left, right| right.cmp(left));
        let total = pods.len() as f64;
        let wanted = COVERED_PERCENT * total / 100.0;
        let mut covered = 0.0;
        let mut shapes = Vec::new();
        for (count, shape) in by_count {
            if covered >= wanted {
                break;
            }
            covered += count as f64;
            shapes.push((shape.clone(), count as f64 / total));
        }
        for (_, share) in &mut shapes {
            *share /= covered / total;
        }
        Self { shapes }
    }

    /// The shapes with their shares of the pods, most popular first; the shares add up to 1.
    pub fn shapes(&self) -> &[(Shape, f64)] {
        &self.shapes
    }

    /// The node's fragment: thousandths of idle GPUs that a typical pod could not use on average. All of them count
    /// for a pod that does not fit and for one without GPUs; for a pod that fits, those GPUs that have too little.
    #[expect(clippy::cast_precision_loss, reason = "thousandths of GPUs are small")]
    pub fn fragment(&self, room: &Room, model: &str) -> f64 {
        let idle = room.gpu_milli();
        let mut amounts = [0.0; USES];
        for (shape, share) in &self.shapes {
            let kind = usable(room, shape, model);
            let mut amount = idle;
            if matches!(kind, Use::Satisfied) {
                let too_small: i64 = room.gpus.iter().filter(|&&left| left < shape.gpu_milli).sum();
                amounts[Use::LackGpu as usize] += share * too_small as f64;
                amount -= too_small;
            }
            amounts[kind as usize] += share * amount as f64;
        }
        // In this order, so that rounding agrees with the study's.
        let mut sum = 0.0;
        for (kind, amount) in amounts.iter().enumerate() {
            if kind != Use::Satisfied as usize {
                sum += amount;
            }
        }
        sum
    }
}

fn usable(room: &Room, shape: &Shape, model: &str) -> Use {
    let cpu = room.cpu_milli >= shape.cpu_milli;
    if shape.gpu_milli == 0 {
        return if cpu { Use::CpuOnly } else { Use::CpuOnlyLackCpu };
    }
    if !shape.accepts(model) {
        return Use::NoAccess;
    }
    match (room.has_gpus_for(shape), cpu) {
        (true, true) => Use::Satisfied,
        (true, false) => Use::LackCpu,
        (false, true) => Use::LackGpu,
        (false, false) => Use::LackBoth,
    }
}
