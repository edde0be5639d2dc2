//! The scores of the study. Each has the study's whole numbers: rounding makes ties, and ties decide much.

use std::fmt;
use std::str::FromStr;

use super::fragment::{Room, Typical};
use super::trace::Shape;

/// The most CPUs of a node that scores are scaled to, in thousandths.
const MOST_CPU_MILLI: f64 = 128_000.0;
/// The most GPUs of a node that scores are scaled to, in thousandths.
const MOST_GPU_MILLI: i64 = 8000;

/// How nodes are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// A node at random, and a GPU at random for a share.
    Random,
    /// Nodes whose free CPUs and GPUs, as a vector, agree least with what the pod asks for.
    DotProduct,
    /// Nodes that have pods of the same number of GPUs, and few others.
    GpuClustering,
    /// Shared GPUs first, then idle GPUs of used nodes, then unused nodes.
    GpuPacking,
    /// Nodes with the least CPUs and GPUs left.
    BestFit,
    /// Nodes whose fragment grows least: fragmentation gradient descent.
    Fgd,
}

impl Policy {
    /// All of them, in the study's order.
    pub const ALL: [Self; 6] =
        [Self::Random, Self::DotProduct, Self::GpuClustering, Self::GpuPacking, Self::BestFit, Self::Fgd];

    /// Its name in the study's tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "Random",
            Self::DotProduct => "DotProd",
            Self::GpuClustering => "GpuClustering",
            Self::GpuPacking => "GpuPacking",
            Self::BestFit => "BestFit",
            Self::Fgd => "FGD",
        }
    }

    /// The score of a node that the pod fits on, and for FGD the GPU that gives it.
    pub(super) fn score(self, view: &NodeView<'_>, shape: &Shape, typical: &Typical) -> (i64, Option<usize>) {
        match self {
            Self::Random => (0, None),
            Self::DotProduct => (dot_product(view.room, shape), None),
            Self::GpuClustering => (gpu_clustering(view, shape), None),
            Self::GpuPacking => (gpu_packing(view.room, shape), None),
            Self::BestFit => (best_fit(view.room, shape), None),
            Self::Fgd => fgd(view, shape, typical),
        }
    }

    /// Whether scores are stretched to 0..=100 over the nodes before the best is taken.
    pub(super) fn is_stretched(self) -> bool {
        self == Self::BestFit
    }

    /// Whether a score depends on nothing but the node's own state and the shape.
    pub(super) fn is_scored(self) -> bool {
        self != Self::Random
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that no policy has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "policy `{0}` is unknown, expected one of `Random`, `DotProd`, `GpuClustering`, `GpuPacking`, `BestFit`, `FGD`"
)]
pub struct UnknownPolicy(String);

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

/// What scores see of a node.
pub(super) struct NodeView<'a> {
    pub(super) room: &'a Room,
    pub(super) model: &'a str,
    /// The fragment of the room.
    pub(super) fragment: f64,
    /// The kinds of pods that run there: number of GPUs, 0 for a share of one.
    pub(super) kinds: &'a [usize],
}

/// The kind of a pod for clustering.
pub(super) fn kind(shape: &Shape) -> usize {
    if shape.is_share() { 0 } else { shape.gpus }
}

#[expect(clippy::cast_precision_loss, reason = "thousandths of CPUs and GPUs are small")]
#[expect(clippy::cast_possible_truncation, reason = "the study cuts the fraction off")]
fn dot_product(room: &Room, shape: &Shape) -> i64 {
    let cpu = room.cpu_milli as f64 / MOST_CPU_MILLI * (shape.cpu_milli as f64 / MOST_CPU_MILLI);
    let most_gpu = MOST_GPU_MILLI as f64;
    let gpu = room.gpu_milli() as f64 / most_gpu * (shape.total_gpu_milli() as f64 / most_gpu);
    // The average over both resources; the less they agree, the better.
    (100.0 * (1.0 - f64::midpoint(cpu, gpu))) as i64
}

fn gpu_clustering(view: &NodeView<'_>, shape: &Shape) -> i64 {
    if shape.gpus == 0 {
        return 0;
    }
    let used = 25 * (MOST_GPU_MILLI - view.room.gpu_milli()) / MOST_GPU_MILLI;
    let base = match (view.kinds.contains(&kind(shape)), view.kinds.len()) {
        (true, 1) => 75,
        (true, _) => 50,
        (false, 0) => 25,
        (false, _) => 0,
    };
    used + base
}

fn gpu_packing(room: &Room, shape: &Shape) -> i64 {
    if shape.gpus == 0 {
        return 0;
    }
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let idle = room.idle_gpus();
    if idle == room.gpus.len() {
        return (33 - number(idle)).max(number(idle));
    }
    let mut fitting: Vec<i64> = room.gpus.iter().copied().filter(|&left| left >= shape.gpu_milli).collect();
    fitting.sort_unstable();
    fitting.truncate(shape.gpus);
    let idle_used = fitting.iter().filter(|&&left| left == 1000).count();
    if idle_used > 0 {
        return (50 - number(idle_used)).max(33);
    }
    let free_percent: i64 = fitting.iter().map(|left| left * 100 / 1000).sum();
    (100 - free_percent / 10).max(50)
}

#[expect(clippy::cast_precision_loss, reason = "thousandths of CPUs and GPUs are small")]
#[expect(clippy::cast_possible_truncation, reason = "the study cuts the fraction off")]
fn best_fit(room: &Room, shape: &Shape) -> i64 {
    let cpu = (room.cpu_milli as f64 - shape.cpu_milli as f64) / MOST_CPU_MILLI * 0.5;
    let gpu = (room.gpu_milli() as f64 - shape.total_gpu_milli() as f64) / MOST_GPU_MILLI as f64 * 0.5;
    ((1.0 - (cpu + gpu)) * 100.0) as i64
}

fn fgd(view: &NodeView<'_>, shape: &Shape, typical: &Typical) -> (i64, Option<usize>) {
    let mut room = view.room.clone();
    room.cpu_milli -= shape.cpu_milli;
    if !shape.is_share() {
        for gpu in exclusive(&view.room.gpus, shape.gpus) {
            if let Some(left) = room.gpus.get_mut(gpu) {
                *left -= shape.gpu_milli;
            }
        }
        return (descent(view.fragment, typical.fragment(&room, view.model)), None);
    }
    let mut best: Option<(i64, usize)> = None;
    for (gpu, &left) in view.room.gpus.iter().enumerate() {
        // GPUs with equally much left give equal scores, and the first of them is taken.
        if left < shape.gpu_milli || view.room.gpus[..gpu].contains(&left) {
            continue;
        }
        room.gpus[gpu] -= shape.gpu_milli;
        let score = descent(view.fragment, typical.fragment(&room, view.model));
        room.gpus[gpu] = left;
        if best.is_none_or(|(best, _)| score > best) {
            best = Some((score, gpu));
        }
    }
    best.map_or((0, None), |(score, gpu)| (score, Some(gpu)))
}

#[expect(clippy::cast_possible_truncation, reason = "the study cuts the fraction off")]
fn descent(before: f64, after: f64) -> i64 {
    let sigmoid = 1.0 / (1.0 + (-(before - after) / 1000.0).exp());
    (sigmoid * 100.0) as i64
}

/// The first idle GPUs.
pub(super) fn exclusive(gpus: &[i64], count: usize) -> impl Iterator<Item = usize> + '_ {
    gpus.iter().enumerate().filter(|&(_, &left)| left == 1000).map(|(gpu, _)| gpu).take(count)
}

/// The GPU for a share that has least left.
pub(super) fn tightest(gpus: &[i64], milli: i64) -> Option<usize> {
    let fitting = gpus.iter().enumerate().filter(|&(_, &left)| left >= milli);
    fitting.min_by_key(|&(_, &left)| left).map(|(gpu, _)| gpu)
}
