//! What a measure of fragmentation says.

use serde::Serialize;

use super::Assumptions;

/// How much of the idle devices of a cluster its pods can use. Amounts count devices: a shared device counts with
/// the part that is left of its scarcest capacity, and each counter set of partitionable devices as one device with
/// the part that is left of its scarcest counter.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FragmentationReport {
    /// [`API_VERSION`](super::API_VERSION)
    pub api_version: &'static str,
    /// `FragmentationReport`
    pub kind: &'static str,
    /// What was assumed.
    #[serde(flatten)]
    pub assumptions: Assumptions,
    /// Devices that are on one node.
    pub devices: f64,
    /// What nobody holds and no taint keeps away.
    pub idle: f64,
    /// What of it a typical pod cannot use on average.
    pub fragment: f64,
    /// The fragment by what keeps pods away.
    pub stranded: Stranded,
    /// The typical demands, most pods first.
    pub demands: Vec<DemandReport>,
    /// Every node with devices, by name.
    pub nodes: Vec<NodeFragment>,
    /// Kinds of devices, by driver and profile.
    pub profiles: Vec<ProfileReport>,
}

/// A fragment by cause. All but `counters` add up to the fragment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stranded {
    /// A pod would fit if it requested no CPU.
    pub cpu: f64,
    /// A pod would fit if it requested no memory.
    pub memory: f64,
    /// A pod would fit if it requested neither.
    pub cpu_and_memory: f64,
    /// A pod would fit without the constraints between its devices, such as one NUMA node for all.
    pub alignment: f64,
    /// No single obstacle: too few devices of the right kind, taints or affinity of the node.
    pub devices: f64,
    /// What filling a node with a demand that fits leaves over.
    pub rest: f64,
    /// Idle parts of partitionable devices where no partition fits any more, for any pod. Counted apart.
    pub counters: f64,
}

impl Stranded {
    /// Adds amounts of another node.
    pub(crate) fn add(&mut self, other: &Self) {
        self.cpu += other.cpu;
        self.memory += other.memory;
        self.cpu_and_memory += other.cpu_and_memory;
        self.alignment += other.alignment;
        self.devices += other.devices;
        self.rest += other.rest;
        self.counters += other.counters;
    }

    /// The largest cause of the fragment with its name; `None` where nothing is stranded.
    pub fn largest(&self) -> Option<(&'static str, f64)> {
        [
            ("cpu", self.cpu),
            ("memory", self.memory),
            ("cpu and memory", self.cpu_and_memory),
            ("alignment", self.alignment),
            ("devices", self.devices),
            ("rest", self.rest),
        ]
        .into_iter()
        .filter(|&(_, amount)| amount > 0.0)
        .max_by(|left, right| left.1.total_cmp(&right.1))
    }
}

/// Pods that demand the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DemandReport {
    /// What they request, in short.
    pub demand: String,
    /// CPU that their containers request.
    pub cpu: String,
    /// Memory that their containers request.
    pub memory: String,
    /// One of them, as `namespace/name`.
    pub example: String,
    /// How many there are.
    pub pods: usize,
    /// Their part of all pods with a typical demand.
    pub share: f64,
    /// Nodes on which one more of them fits.
    pub fits_on_nodes: usize,
    /// How many more of them the devices of those nodes are enough for, each node by itself.
    pub copies: usize,
}

/// The fragment of one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeFragment {
    /// The node.
    pub node: String,
    /// Its devices.
    pub devices: f64,
    /// What is idle.
    pub idle: f64,
    /// What a typical pod cannot use on average.
    pub fragment: f64,
    /// By cause.
    pub stranded: Stranded,
}

/// Devices that agree in driver, product, model, type and profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileReport {
    /// Driver.
    pub driver: String,
    /// What the devices are.
    pub profile: String,
    /// How many there are on nodes.
    pub devices: usize,
    /// How many could be allocated now, if nothing else was, to pods that tolerate no taints.
    pub placeable: usize,
    /// Nodes that have at least one of them.
    pub nodes: usize,
    /// The most on one node: the largest request for them that could be met.
    pub most_on_one_node: usize,
}
