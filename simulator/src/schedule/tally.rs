//! Counts why nodes refuse a pod, and words it as the scheduler does.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::placement::{PlacementRefusal, Placements};
use super::resources::{ResourceId, ResourceNames, Shortage, amount_text};
use super::volumes::VolumeRefusal;
use crate::report::{Nearest, Reason};

/// Why a node refuses a pod: the verdict of the first filter that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    /// One of the filters that depend on nothing that changes.
    Placement(PlacementRefusal),
    /// A host port is taken.
    Ports,
    /// The node has room for no more pods.
    Pods,
    /// Too little of a resource.
    Resource(ResourceId),
    /// The pod's volumes.
    Volume(VolumeRefusal),
    /// The node lacks a label of a topology spread constraint.
    SpreadLabel,
    /// Too many pods in the node's part of the topology.
    Spread,
    /// A pod that the pod's affinity requires is not near.
    PodAffinity,
    /// A pod that the pod's anti-affinity forbids is near.
    PodAntiAffinity,
    /// A pod that is near forbids the pod by its anti-affinity.
    ExistingAntiAffinity,
    /// An extended resource that neither the node nor a device class offers.
    NotOffered,
    /// A claim is allocated for other nodes.
    ClaimElsewhere,
    /// The allocator finds no devices.
    Devices {
        /// And some pool of the node is invalid.
        invalid_pools: bool,
    },
}

impl Refusal {
    /// Whether the pod may fit once others have left the node: `Unschedulable` rather than
    /// `UnschedulableAndUnresolvable` upstream. Of resources that holds where the empty node has enough.
    pub(crate) fn is_resolvable(self) -> bool {
        matches!(
            self,
            Self::Ports
                | Self::Pods
                | Self::Resource(_)
                | Self::Spread
                | Self::PodAntiAffinity
                | Self::ExistingAntiAffinity
        )
    }

    /// The plugin that refuses.
    pub(crate) fn plugin(self) -> &'static str {
        match self {
            Self::Placement(PlacementRefusal::Unschedulable) => "NodeUnschedulable",
            Self::Placement(PlacementRefusal::Taint(_)) => "TaintToleration",
            Self::Placement(
                PlacementRefusal::Affinity | PlacementRefusal::AddedAffinity | PlacementRefusal::NotNamed,
            ) => "NodeAffinity",
            Self::Ports => "NodePorts",
            Self::Pods | Self::Resource(_) => "NodeResourcesFit",
            Self::Volume(refusal) => refusal.plugin(),
            Self::SpreadLabel | Self::Spread => "PodTopologySpread",
            Self::PodAffinity | Self::PodAntiAffinity | Self::ExistingAntiAffinity => "InterPodAffinity",
            Self::NotOffered | Self::ClaimElsewhere | Self::Devices { .. } => "DynamicResources",
        }
    }

    /// The text in the scheduler's message.
    fn message(self, names: &ResourceNames) -> String {
        match self {
            Self::Placement(PlacementRefusal::Unschedulable) => "node(s) were unschedulable".to_owned(),
            Self::Placement(PlacementRefusal::Taint(_)) => "node(s) had untolerated taint(s)".to_owned(),
            Self::Placement(PlacementRefusal::Affinity) => {
                "node(s) didn't match Pod's node affinity/selector".to_owned()
            }
            Self::Placement(PlacementRefusal::AddedAffinity) => {
                "node(s) didn't match scheduler-enforced node affinity".to_owned()
            }
            Self::Placement(PlacementRefusal::NotNamed) => {
                "node(s) didn't satisfy plugin(s) [NodeAffinity]".to_owned()
            }
            Self::Ports => "node(s) didn't have free ports for the requested pod ports".to_owned(),
            Self::Pods => "Too many pods".to_owned(),
            Self::Resource(id) => format!("Insufficient {}", names.name(id)),
            Self::Volume(refusal) => refusal.message().to_owned(),
            Self::SpreadLabel => {
                "node(s) didn't match pod topology spread constraints (missing required label)".to_owned()
            }
            Self::Spread => "node(s) didn't match pod topology spread constraints".to_owned(),
            Self::PodAffinity => "node(s) didn't match pod affinity rules".to_owned(),
            Self::PodAntiAffinity => "node(s) didn't match pod anti-affinity rules".to_owned(),
            Self::ExistingAntiAffinity => {
                "node(s) didn't satisfy existing pods anti-affinity rules".to_owned()
            }
            Self::NotOffered => "cannot fit resource".to_owned(),
            Self::ClaimElsewhere => "resourceclaim not available on the node".to_owned(),
            Self::Devices { invalid_pools } => lack_of_devices(invalid_pools).to_owned(),
        }
    }

    /// Whether a reason's text says that the allocator finds no devices.
    pub(crate) fn is_lack_of_devices(reason: &str) -> bool {
        [false, true].iter().any(|&invalid_pools| reason == lack_of_devices(invalid_pools))
    }

    /// The text of a report: the scheduler's, but with the taint.
    fn reason(self, names: &ResourceNames, placements: &Placements) -> String {
        match self {
            Self::Placement(PlacementRefusal::Taint(number)) => match placements.taint(number) {
                Some(taint) if taint.value.is_empty() => {
                    format!("node(s) had untolerated taint {{{}:{}}}", taint.key, taint.effect)
                }
                Some(taint) => {
                    format!(
                        "node(s) had untolerated taint {{{}={}:{}}}",
                        taint.key, taint.value, taint.effect
                    )
                }
                None => self.message(names),
            },
            _ => self.message(names),
        }
    }
}

fn lack_of_devices(invalid_pools: bool) -> &'static str {
    if invalid_pools { "invalid resource pools were encountered" } else { "cannot allocate all claims" }
}

/// How many nodes refuse, and how close the closest came.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    nodes: usize,
    /// Smallest shortage and its node.
    nearest: Option<(i64, usize)>,
}

/// The refusals of one pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    counts: FxHashMap<Refusal, Count>,
    claims_elsewhere: Vec<usize>,
    without_devices: Vec<usize>,
    /// Nodes on which the pod might fit if others left; `None` where nobody wants to know.
    resolvable: Option<Vec<usize>>,
}

impl Tally {
    /// Forgets everything, to be used for the next pod.
    pub(crate) fn clear(&mut self) {
        self.counts.clear();
        self.claims_elsewhere.clear();
        self.without_devices.clear();
        self.resolvable.iter_mut().for_each(Vec::clear);
    }

    /// Says whether nodes are to be gathered on which the pod might fit if others left.
    pub(crate) fn gather_resolvable(&mut self, wanted: bool) {
        self.resolvable = wanted.then(Vec::new);
    }

    /// Whether such nodes are gathered.
    pub(crate) fn gathers_resolvable(&self) -> bool {
        self.resolvable.is_some()
    }

    /// Adds a node on which the pod might fit if others left.
    pub(crate) fn add_resolvable(&mut self, node: usize) {
        self.resolvable.iter_mut().for_each(|nodes| nodes.push(node));
    }

    /// The nodes on which the pod might fit if others left, in the order they were looked at.
    pub(crate) fn resolvable(&self) -> &[usize] {
        self.resolvable.as_deref().unwrap_or_default()
    }

    /// Counts a node that DynamicResources refuses.
    pub(crate) fn add_device_refusal(&mut self, refusal: Refusal, node: usize) {
        self.add(refusal);
        match refusal {
            Refusal::ClaimElsewhere => self.claims_elsewhere.push(node),
            Refusal::Devices { .. } => self.without_devices.push(node),
            _ => {}
        }
    }

    /// Nodes that only lack a claim which is allocated for other nodes.
    pub(crate) fn nodes_with_claims_elsewhere(&self) -> &[usize] {
        &self.claims_elsewhere
    }

    /// Nodes on which the allocator finds no devices, in their order.
    pub(crate) fn nodes_without_devices(&self) -> &[usize] {
        &self.without_devices
    }

    /// Counts a node.
    pub(crate) fn add(&mut self, refusal: Refusal) {
        self.counts.entry(refusal).or_default().nodes += 1;
    }

    /// Counts nodes.
    pub(crate) fn add_all(&mut self, refusal: Refusal, nodes: usize) {
        if nodes > 0 {
            self.counts.entry(refusal).or_default().nodes += nodes;
        }
    }

    /// Counts a node that has too little.
    pub(crate) fn add_shortage(&mut self, shortage: Shortage, node: usize) {
        let (refusal, missing) = match shortage {
            Shortage::Pods => (Refusal::Pods, 1),
            Shortage::Resource(id, missing) => (Refusal::Resource(id), missing),
        };
        let count = self.counts.entry(refusal).or_default();
        count.nodes += 1;
        if count.nearest.is_none_or(|(least, _)| missing < least) {
            count.nearest = Some((missing, node));
        }
    }

    /// The reasons, most nodes first, without those of devices, which are told apart elsewhere.
    pub(crate) fn reasons(
        &self,
        names: &ResourceNames,
        placements: &Placements,
        node_name: impl Fn(usize) -> String,
    ) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = self
            .counts
            .iter()
            .map(|(&refusal, count)| Reason {
                plugin: refusal.plugin().to_owned(),
                reason: refusal.reason(names, placements),
                nodes: count.nodes,
                nearest: match (refusal, count.nearest) {
                    (Refusal::Resource(id), Some((missing, node))) => Some(Nearest {
                        node: node_name(node),
                        message: format!("short by {}", amount_text(id, missing)),
                    }),
                    _ => None,
                },
                devices: Vec::new(),
            })
            .collect();
        sort(&mut reasons);
        reasons
    }

    /// The line that the scheduler writes into the pod's condition.
    pub(crate) fn message(&self, names: &ResourceNames, nodes: usize) -> String {
        let mut histogram: BTreeMap<String, usize> = BTreeMap::new();
        for (refusal, count) in &self.counts {
            *histogram.entry(refusal.message(names)).or_default() += count.nodes;
        }
        let mut parts: Vec<String> =
            histogram.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        parts.sort();
        if parts.is_empty() {
            return "no nodes available to schedule pods".to_owned();
        }
        format!("0/{nodes} nodes are available: {}.", parts.join(", "))
    }
}

/// Most nodes first, then by plugin and reason.
pub(crate) fn sort(reasons: &mut [Reason]) {
    reasons.sort_by(|left, right| {
        (right.nodes, &left.plugin, &left.reason).cmp(&(left.nodes, &right.plugin, &right.reason))
    });
}
