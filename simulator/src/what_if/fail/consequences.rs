//! What one failure leads to.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::{AllocationResult, DeviceId, DeviceTaint, DeviceToleration, ResourceSlice};
use rustc_hash::FxHashMap;

use super::homeless::{Lost, broken_gangs, place_anew};
use super::units::Unit;
use crate::report::UnitReport;
use crate::schedule::{Borne, ClusterState, PodId, PodPlace, SimulateError, bears_device_taint};
use crate::what_if::drain::{is_daemon_set_pod, is_mirror_pod};
use crate::what_if::ground::Ground;

/// The taint of devices that are said to have failed.
pub const FAILED: &str = "drayage.dev/failed";

/// Who uses which device, looked up once for many failures.
#[derive(Debug, Default)]
pub(super) struct Users {
    of_device: FxHashMap<DeviceId, Vec<(PodId, Vec<DeviceToleration>)>>,
}

impl Users {
    /// Reads all allocations.
    pub(super) fn new(state: &ClusterState) -> Self {
        let mut users = Self::default();
        let running =
            state.pods().filter(|(_, _, place)| matches!(place, PodPlace::Node(_) | PodPlace::Elsewhere));
        for (pod, _, _) in running {
            for claim in state.claims_of(pod) {
                let allocation = state.claim(claim).and_then(|claim| claim.allocation);
                users.add(pod, allocation);
            }
        }
        users
    }

    fn add(&mut self, pod: PodId, allocation: Option<&AllocationResult>) {
        for result in allocation.into_iter().flat_map(|allocation| &allocation.results) {
            self.of_device.entry(result.device_id()).or_default().push((pod, result.tolerations.clone()));
        }
    }

    /// The pods that a taint on a device evicts, and after how many seconds.
    fn evicted_by<'u>(
        &'u self,
        device: &DeviceId,
        taint: &'u DeviceTaint,
    ) -> impl Iterator<Item = (PodId, Option<i64>)> + 'u {
        let users = self.of_device.get(device).map_or(&[][..], Vec::as_slice);
        users.iter().filter_map(|(pod, tolerations)| match bears_device_taint(tolerations, taint) {
            Borne::No => Some((*pod, None)),
            Borne::For(seconds) => Some((*pod, Some(seconds))),
            Borne::Always => None,
        })
    }
}

/// Lets a unit fail in a fork of `base`, and sees what becomes of the pods. With `detail`, every evicted pod is
/// reported on.
pub(super) fn consequences(
    ground: &Ground<'_>,
    base: &ClusterState,
    users: &Users,
    unit: &Unit,
    number: usize,
    detail: bool,
) -> Result<(UnitReport, ClusterState), SimulateError> {
    let mut state = base.clone();
    let mut report = UnitReport {
        number,
        kind: unit.kind.to_owned(),
        name: unit.name.clone(),
        nodes: unit.nodes.len(),
        ..UnitReport::default()
    };
    let mut evicted: BTreeMap<PodId, Option<i64>> = BTreeMap::new();
    let mut failed_devices: BTreeSet<DeviceId> = unit.devices.iter().cloned().collect();
    taint(ground, &mut state, users, unit, &mut evicted, &mut failed_devices);
    let failed_nodes: BTreeSet<&str> =
        unit.nodes.iter().filter_map(|&at| state.node(at).map(|node| node.metadata.name.as_str())).collect();
    for slice in local_slices(base, &failed_nodes) {
        let devices = slice.devices.iter();
        failed_devices
            .extend(devices.map(|device| DeviceId { pool: slice.pool_id(), device: device.name.clone() }));
    }
    report.devices = failed_devices.len();
    let mut from: BTreeMap<PodId, String> = BTreeMap::new();
    for &id in evicted.keys() {
        from.insert(id, place(base, id));
    }
    for &at in &unit.nodes {
        for id in state.remove_node(at) {
            from.insert(id, place(base, id));
            evicted.insert(id, None);
        }
    }
    for &id in evicted.keys() {
        state.evict(id);
    }
    let stay_gone = |id: &PodId| {
        let Some((pod, place)) = base.pod(*id) else { return false };
        let on_failed_node = matches!(place, PodPlace::Node(at) if unit.nodes.contains(&at));
        on_failed_node && (is_daemon_set_pod(pod) || is_mirror_pod(pod))
    };
    let (gone, homeless): (Vec<PodId>, Vec<PodId>) = evicted.keys().copied().partition(stay_gone);
    report.gone_with_node = gone.len();
    for id in gone {
        state.delete(id);
    }
    let lost = homeless.into_iter().map(|id| {
        let after = evicted.get(&id).copied().flatten();
        (id, Lost { from: from.remove(&id).unwrap_or_default(), after, ..Lost::default() })
    });
    let lost = lost.collect();
    place_anew(ground, &mut state, lost, detail, &mut report)?;
    report.broken_gangs = broken_gangs(base, &state);
    Ok((report, state))
}

/// Taints devices that fail, or takes them away where the release knows no taints, and applies rules. Gathers who is
/// evicted.
fn taint(
    ground: &Ground<'_>,
    state: &mut ClusterState,
    users: &Users,
    unit: &Unit,
    evicted: &mut BTreeMap<PodId, Option<i64>>,
    failed: &mut BTreeSet<DeviceId>,
) {
    let with_taints = ground.options.gates.features().device_taints;
    let failure =
        DeviceTaint { key: FAILED.to_owned(), value: String::new(), effect: "NoExecute".to_owned() };
    let mut add = |evicting: (PodId, Option<i64>)| {
        let (id, after) = evicting;
        // The earliest counts.
        let known = evicted.entry(id).or_insert(after);
        *known = match (*known, after) {
            (Some(known), Some(after)) => Some(known.min(after)),
            _ => None,
        };
    };
    for device in &unit.devices {
        if with_taints {
            users.evicted_by(device, &failure).for_each(&mut add);
            state.taint_device(device, &failure);
        } else {
            let users = users.of_device.get(device).into_iter().flatten();
            users.for_each(|(pod, _)| add((*pod, None)));
            remove_device(state, device);
        }
    }
    for rule in &unit.rules {
        let selects =
            |wanted: &Option<String>, actual: &str| wanted.as_deref().is_none_or(|wanted| wanted == actual);
        for slice in state.slices() {
            if !selects(&rule.driver, &slice.driver) || !selects(&rule.pool, &slice.pool.name) {
                continue;
            }
            for device in slice.devices.iter().filter(|device| selects(&rule.device, &device.name)) {
                let id = DeviceId { pool: slice.pool_id(), device: device.name.clone() };
                if with_taints && rule.taint.effect == "NoExecute" {
                    users.evicted_by(&id, &rule.taint).for_each(&mut add);
                }
                failed.insert(id);
            }
        }
        if with_taints {
            state.apply_taint_rule(rule);
        }
    }
}

fn remove_device(state: &mut ClusterState, device: &DeviceId) {
    let slices: Vec<ResourceSlice> = state.slices_of_pool(&device.pool).cloned().collect();
    for mut slice in slices {
        let before = slice.devices.len();
        slice.devices.retain(|other| other.name != device.device);
        if slice.devices.len() < before {
            state.publish(slice);
        }
    }
}

/// The slices of these nodes alone.
fn local_slices<'s>(
    state: &'s ClusterState,
    nodes: &'s BTreeSet<&str>,
) -> impl Iterator<Item = &'s ResourceSlice> {
    nodes.iter().flat_map(|node| state.slices_of_node(node))
}

fn place(state: &ClusterState, id: PodId) -> String {
    let Some((pod, place)) = state.pod(id) else { return String::new() };
    let node = match place {
        PodPlace::Node(at) => state.node(at).map(|node| node.metadata.name.clone()),
        _ => None,
    };
    node.or_else(|| pod.spec.node_name.clone()).unwrap_or_default()
}
