//! Which of several groups grows: cluster-autoscaler's expanders.

use std::fmt;
use std::str::FromStr;

use super::plan::float;
use crate::what_if::random::Random;

/// One expander. In a chain each narrows down what the one before left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expander {
    /// The least CPU and memory that new nodes would leave unused, in shares.
    LeastWaste,
    /// The most pods helped.
    MostPods,
    /// The fewest nodes.
    LeastNodes,
    /// The lowest price for what the pods need, with a preference for nodes that suit the cluster's size.
    Price,
    /// The highest number in a table of names.
    Priority,
    /// Any.
    Random,
}

/// No expander has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown expander `{name}`; there are least-waste, most-pods, least-nodes, price, priority and random"
)]
pub struct UnknownExpander {
    /// What was written.
    pub name: String,
}

impl Expander {
    /// Cluster-autoscaler's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeastWaste => "least-waste",
            Self::MostPods => "most-pods",
            Self::LeastNodes => "least-nodes",
            Self::Price => "price",
            Self::Priority => "priority",
            Self::Random => "random",
        }
    }
}

impl fmt::Display for Expander {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Expander {
    type Err = UnknownExpander;

    fn from_str(name: &str) -> Result<Self, UnknownExpander> {
        use Expander::{LeastNodes, LeastWaste, MostPods, Price, Priority, Random};
        [LeastWaste, MostPods, LeastNodes, Price, Priority, Random]
            .into_iter()
            .find(|expander| expander.as_str() == name)
            .ok_or_else(|| UnknownExpander { name: name.to_owned() })
    }
}

/// What a group offers, as far as expanders look at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offer {
    /// Name of the group.
    pub group: String,
    /// Nodes it would add, at least one.
    pub nodes: usize,
    /// Pods it would help.
    pub pods: usize,
    /// CPU of one node's capacity, in thousandths.
    pub node_milli_cpu: i64,
    /// Memory of one node's capacity, in bytes.
    pub node_memory: i64,
    /// CPU that the pods request, in thousandths.
    pub pods_milli_cpu: i64,
    /// Memory that the pods request, in bytes.
    pub pods_memory: i64,
    /// Price of a node for an hour.
    pub node_price: Option<f64>,
    /// Whether the node has the label by which the provider marks GPU nodes.
    pub has_gpu_label: bool,
}

/// What expanders know besides the offers.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpanderContext {
    /// Nodes of the cluster, from which the preferred size of a node follows.
    pub nodes: usize,
    /// Price of one CPU for an hour, for pods.
    pub cpu_price: f64,
    /// Price of one GiB of memory for an hour, for pods.
    pub gib_price: f64,
    /// Names, or patterns in them as [`PriorityTable`] has them, with their number.
    pub priorities: PriorityTable,
}

impl Default for ExpanderContext {
    /// The prices are those of cluster-autoscaler's GCE provider.
    fn default() -> Self {
        Self { nodes: 0, cpu_price: 0.033_174, gib_price: 0.004_446, priorities: PriorityTable::default() }
    }
}

/// The table of the expander `priority`: numbers, and patterns of names.
#[derive(Clone, Debug, Default)]
pub struct PriorityTable {
    rows: Vec<(i64, regex::Regex)>,
}

impl PartialEq for PriorityTable {
    fn eq(&self, other: &Self) -> bool {
        let rows = |table: &Self| {
            table.rows.iter().map(|(number, pattern)| (*number, pattern.to_string())).collect::<Vec<_>>()
        };
        rows(self) == rows(other)
    }
}

impl PriorityTable {
    /// Adds a row. The pattern is a regular expression that may match anywhere in a name.
    pub fn add(&mut self, number: i64, pattern: &str) -> Result<(), regex::Error> {
        self.rows.push((number, regex::Regex::new(pattern)?));
        Ok(())
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn of(&self, group: &str) -> Option<i64> {
        // Upstream starts at -1, so lower numbers never win.
        let matching = self.rows.iter().filter(|(_, pattern)| pattern.is_match(group));
        matching.map(|(number, _)| *number).filter(|number| *number >= -1).max()
    }
}

/// What a choice came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The offer that is taken.
    pub taken: usize,
    /// The offers that the chain left, `taken` among them. Upstream draws one of several.
    pub equal: Vec<usize>,
}

/// Runs the chain. `None` if there is no offer.
///
/// Of several that the chain leaves, upstream takes a random one; here the seed decides if there is one, else the
/// first by name.
pub fn choose(
    offers: &[Offer],
    chain: &[Expander],
    context: &ExpanderContext,
    seed: Option<u64>,
) -> Option<Choice> {
    let mut random = seed.map(Random::new);
    let mut pick = |left: &[usize]| {
        let by_name = || left.iter().copied().min_by_key(|&at| offers.get(at).map(|offer| &offer.group));
        match &mut random {
            Some(random) => left.get(random.below(left.len())).copied(),
            None => by_name(),
        }
    };
    let mut left: Vec<usize> = (0..offers.len()).collect();
    for expander in chain {
        left = match expander {
            Expander::Random => pick(&left).into_iter().collect(),
            Expander::Priority => by_priority(offers, &left, &context.priorities),
            other => {
                let scores: Vec<(usize, f64)> = left
                    .iter()
                    .filter_map(|&at| Some((at, score(*other, offers.get(at)?, context)?)))
                    .collect();
                // Exactly equal, as upstream compares.
                let best = scores.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
                scores.iter().filter(|(_, score)| score.total_cmp(&best).is_eq()).map(|(at, _)| *at).collect()
            }
        };
        if left.len() <= 1 {
            break;
        }
    }
    let taken = pick(&left)?;
    Some(Choice { taken, equal: left })
}

/// How an expander scores an offer: less is better. `None` where it cannot, or has no score.
pub fn score(expander: Expander, offer: &Offer, context: &ExpanderContext) -> Option<f64> {
    match expander {
        Expander::LeastWaste => Some(waste(offer).0 + waste(offer).1),
        Expander::MostPods => Some(-float(offer.pods)),
        Expander::LeastNodes => Some(float(offer.nodes)),
        Expander::Price => price_score(offer, context),
        Expander::Priority | Expander::Random => None,
    }
}

/// Shares of CPU and memory of the new nodes' capacity that the helped pods do not request. Upstream's figures: pods of
/// DaemonSets and reserves of the system do not count as used.
pub fn waste(offer: &Offer) -> (f64, f64) {
    let share = |node: i64, pods: i64| {
        let available = i128::from(node) * i128::try_from(offer.nodes).unwrap_or(0);
        wide(available - i128::from(pods)) / wide(available)
    };
    (share(offer.node_milli_cpu, offer.pods_milli_cpu), share(offer.node_memory, offer.pods_memory))
}

/// Prices are compared with those of the pods, plus those of a small pod that keeps the ratio steady.
const STEADY_MILLI_CPU: i64 = 500;
const STEADY_MEMORY: i64 = 500 << 20;
/// Stands in for the unfitness of nodes with the GPU label.
const GPU_UNFITNESS: f64 = 1000.0;

fn price_score(offer: &Offer, context: &ExpanderContext) -> Option<f64> {
    let pod_price = |milli_cpu: i64, memory: i64| {
        wide(i128::from(milli_cpu)) / 1000.0 * context.cpu_price
            + wide(i128::from(memory)) / f64::from(1 << 30) * context.gib_price
    };
    let steady = pod_price(STEADY_MILLI_CPU, STEADY_MEMORY);
    let nodes = offer.node_price? * float(offer.nodes);
    let ratio = (nodes + steady) / (pod_price(offer.pods_milli_cpu, offer.pods_memory) + steady);
    let unfitness = if offer.has_gpu_label {
        GPU_UNFITNESS
    } else {
        let preferred = preferred_milli_cpu(context.nodes) / wide(i128::from(offer.node_milli_cpu));
        let unfitness = preferred.max(1.0 / preferred);
        (unfitness - 1.0) * (1.0 - (float(offer.nodes - 1) / 15.0).tanh()) + 1.0
    };
    Some(unfitness * ratio)
}

/// The CPU of a node that suits a cluster of so many nodes.
fn preferred_milli_cpu(nodes: usize) -> f64 {
    match nodes {
        0..=2 => 1000.0,
        3..=6 => 2000.0,
        7..=20 => 4000.0,
        21..=60 => 8000.0,
        61..=200 => 16000.0,
        _ => 32000.0,
    }
}

/// Groups with the highest number; all where no group is in the table.
fn by_priority(offers: &[Offer], left: &[usize], table: &PriorityTable) -> Vec<usize> {
    let numbers: Vec<(usize, i64)> =
        left.iter().filter_map(|&at| Some((at, table.of(&offers.get(at)?.group)?))).collect();
    match numbers.iter().map(|(_, number)| *number).max() {
        Some(highest) => numbers.iter().filter(|(_, number)| *number == highest).map(|(at, _)| *at).collect(),
        None => left.to_vec(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "upstream computes in floats as well")]
fn wide(number: i128) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
