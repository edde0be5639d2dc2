//! The measure over all nodes.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::{Device, PoolId, ResourceSlice};

use super::demand::{Demand, typical};
use super::idle::{Held, NodeDevices};
use super::probe::{Probe, Without};
use super::profiles;
use crate::report::{API_VERSION, DemandReport, FragmentationReport, NodeFragment, Stranded};
use crate::schedule::{ClusterState, Observer, Options, Prepared, SimulateError, assumptions};

/// What the measure knowingly leaves out.
const APPROXIMATIONS: [&str; 3] = [
    "devices that are not on one node are left out",
    "claims that several pods share demand no devices",
    "a node is filled with at most 128 pods of one demand",
];

/// A node is filled with at most so many pods of one demand.
const MOST_COPIES: usize = 128;

/// Measures the cluster as the objects describe it: pods that wait take nothing, but their demands count. Devices
/// that are not on one node are left out.
pub fn measure(
    prepared: &Prepared,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<FragmentationReport, SimulateError> {
    let mut prepared = prepared.clone();
    profiles::add_class(&mut prepared.snapshot);
    let options = Options { explain: false, explain_in_full: false, threads: 1, ..options.clone() };
    let state = ClusterState::new(&prepared, &options);
    let slices: Vec<ResourceSlice> = newest(&state);
    let devices = by_node(&state, &slices);
    let mut held = Held::default();
    for allocation in state.claims().filter_map(|claim| claim.allocation) {
        held.add(allocation);
    }
    let demands = typical(&state);
    let pods: usize = demands.iter().map(|demand| demand.pods).sum();

    let mut fork = state.clone();
    let mut trials: Vec<Trial> =
        demands.iter().enumerate().map(|(at, demand)| Trial::new(&mut fork, demand, at)).collect();
    let mut assumptions = assumptions(&prepared, &options, &state);
    assumptions.approximations.extend(APPROXIMATIONS.map(str::to_owned));
    let mut report = FragmentationReport {
        api_version: API_VERSION,
        kind: "FragmentationReport",
        assumptions,
        devices: 0.0,
        idle: 0.0,
        fragment: 0.0,
        stranded: Stranded::default(),
        demands: Vec::new(),
        nodes: Vec::new(),
        profiles: Vec::new(),
    };
    let mut pools: BTreeMap<PoolId, Vec<&ResourceSlice>> = BTreeMap::new();
    for slice in &slices {
        pools.entry(slice.pool_id()).or_default().push(slice);
    }
    for (done, (&node, here)) in devices.iter().enumerate() {
        observer.progress(done, devices.len());
        let name = state.node(node).map(|node| node.metadata.name.as_str());
        let mut local = NodeDevices::default();
        let pools_here: BTreeSet<PoolId> = here.iter().map(|(slice, _)| slice.pool_id()).collect();
        // Counters may be in slices of their own.
        for slice in pools_here.iter().filter_map(|pool| pools.get(pool)).flatten() {
            let all = slice.node_name.is_some();
            local.add(slice, |device| all || device.node_name.as_deref() == name);
        }
        let amount = local.amount(&held);
        let mut of_node = NodeFragment {
            node: state.node(node).map(|node| node.metadata.name.clone()).unwrap_or_default(),
            devices: amount.devices,
            idle: amount.idle,
            fragment: 0.0,
            stranded: Stranded { counters: amount.counters, ..Stranded::default() },
        };
        for trial in &mut trials {
            let weight = share(trial.pods, pods);
            let (cause, left) = trial.on(&mut fork, node, &local, &held, amount.idle)?;
            of_node.fragment += weight * left;
            *cause.of(&mut of_node.stranded) += weight * left;
        }
        report.devices += of_node.devices;
        report.idle += of_node.idle;
        report.fragment += of_node.fragment;
        report.stranded.add(&of_node.stranded);
        report.nodes.push(of_node);
    }
    report.demands = trials
        .iter()
        .zip(&demands)
        .map(|(trial, demand)| DemandReport {
            demand: demand.describe(),
            cpu: demand.requested("cpu"),
            memory: demand.requested("memory"),
            example: demand.pod.metadata.full_name(),
            pods: demand.pods,
            share: share(demand.pods, pods),
            fits_on_nodes: trial.fits_on,
            copies: trial.copies,
        })
        .collect();
    report.profiles = profiles::placeable(&state, &devices)?;
    Ok(report)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of pods are small")]
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Slices of the newest generation of their pools.
fn newest(state: &ClusterState) -> Vec<ResourceSlice> {
    let mut generations: BTreeMap<PoolId, i64> = BTreeMap::new();
    for slice in state.slices() {
        let newest = generations.entry(slice.pool_id()).or_insert(slice.pool.generation);
        *newest = (*newest).max(slice.pool.generation);
    }
    let is_newest =
        |slice: &&ResourceSlice| generations.get(&slice.pool_id()) == Some(&slice.pool.generation);
    state.slices().filter(is_newest).cloned().collect()
}

/// The devices that are on one node, by its number.
fn by_node<'a>(
    state: &ClusterState,
    slices: &'a [ResourceSlice],
) -> BTreeMap<usize, Vec<(&'a ResourceSlice, &'a Device)>> {
    let mut devices: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    for slice in slices {
        for device in &slice.devices {
            let name = slice.node_name.as_deref().or(device.node_name.as_deref());
            if let Some(node) = name.and_then(|name| state.find_node(name)) {
                devices.entry(node).or_default().push((slice, device));
            }
        }
    }
    devices
}

/// What keeps a demand from a node's idle devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Cpu,
    Memory,
    CpuAndMemory,
    Alignment,
    /// No obstacle that was taken away helped: too few devices of the right kind, taints, affinity.
    Devices,
    /// The demand fits; this is what filling the node leaves.
    Rest,
}

impl Cause {
    fn of(self, stranded: &mut Stranded) -> &mut f64 {
        match self {
            Self::Cpu => &mut stranded.cpu,
            Self::Memory => &mut stranded.memory,
            Self::CpuAndMemory => &mut stranded.cpu_and_memory,
            Self::Alignment => &mut stranded.alignment,
            Self::Devices => &mut stranded.devices,
            Self::Rest => &mut stranded.rest,
        }
    }
}

/// The pods that stand for one demand.
struct Trial {
    pods: usize,
    whole: Probe,
    /// With one obstacle taken away, in the order in which they are tried.
    relaxed: Vec<(Cause, Probe)>,
    /// Copies that want devices alone.
    copies_of: Vec<Probe>,
    demand: Demand,
    number: usize,
    fits_on: usize,
    copies: usize,
}

impl Trial {
    fn new(state: &mut ClusterState, demand: &Demand, number: usize) -> Self {
        let mut probe =
            |what: &str, without| Probe::new(state, demand, without, &format!("demand-{number}-{what}"));
        let none = Without::default();
        let whole = probe("whole", none);
        let both = Without { cpu: true, memory: true, ..none };
        let mut relaxed = vec![
            (Cause::Cpu, probe("without-cpu", Without { cpu: true, ..none })),
            (Cause::Memory, probe("without-memory", Without { memory: true, ..none })),
            (Cause::CpuAndMemory, probe("without-both", both)),
        ];
        if demand.claims.iter().any(|(_, constraints)| !constraints.is_empty()) {
            relaxed.push((
                Cause::Alignment,
                probe("without-constraints", Without { constraints: true, ..both }),
            ));
        }
        Self {
            pods: demand.pods,
            whole,
            relaxed,
            copies_of: Vec::new(),
            demand: demand.clone(),
            number,
            fits_on: 0,
            copies: 0,
        }
    }

    /// How much of a node's idle devices the demand cannot use, and why. The state is left as it was.
    fn on(
        &mut self,
        state: &mut ClusterState,
        node: usize,
        local: &NodeDevices,
        held: &Held,
        idle: f64,
    ) -> Result<(Cause, f64), SimulateError> {
        if idle <= 0.0 {
            return Ok((Cause::Devices, 0.0));
        }
        if self.whole.fits(state, node)? {
            self.whole.leave(state);
            self.fits_on += 1;
            return Ok((Cause::Rest, self.left(state, node, local, held)?));
        }
        for (cause, probe) in &self.relaxed {
            if probe.fits(state, node)? {
                probe.leave(state);
                return Ok((*cause, idle));
            }
        }
        Ok((Cause::Devices, idle))
    }

    /// Fills the node with pods that want the devices alone, and says what is left.
    fn left(
        &mut self,
        state: &mut ClusterState,
        node: usize,
        local: &NodeDevices,
        held: &Held,
    ) -> Result<f64, SimulateError> {
        let mut filled = held.clone();
        let mut placed = 0;
        while placed < MOST_COPIES {
            if self.copies_of.len() == placed {
                let without = Without { cpu: true, memory: true, constraints: false };
                let name = format!("demand-{}-copy-{placed}", self.number);
                self.copies_of.push(Probe::new(state, &self.demand, without, &name));
            }
            let Some(copy) = self.copies_of.get(placed) else { break };
            if !copy.fits(state, node)? {
                break;
            }
            placed += 1;
            for allocation in copy.holds(state) {
                filled.add(&allocation);
            }
        }
        for copy in self.copies_of.iter().take(placed) {
            copy.leave(state);
        }
        self.copies += placed;
        Ok(local.amount(&filled).idle)
    }
}
