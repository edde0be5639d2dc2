//! Pods that taints with the effect `NoExecute` evict, as the controllers for taints of devices and of nodes do.

use drayage_allocator::objects::{DeviceId, DeviceTaint, DeviceToleration};
use drayage_allocator::taints::tolerates;
use drayage_cel::Timestamp;
use drayage_cluster::objects::{Taint, TaintRule, Toleration};
use drayage_cluster::{Snapshot, matching};
use rustc_hash::FxHashMap;

use super::cluster_state::ClusterState;
use super::pods::{PodId, PodPlace};

const NO_EXECUTE: &str = "NoExecute";

/// How long a pod bears a taint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Borne {
    /// Not at all.
    No,
    /// For so many seconds from when the taint was added.
    For(i64),
    /// For good.
    Always,
}

/// How long the tolerations of an allocated device bear a taint of it: for good if one of them has no seconds, else for
/// the shortest time. Only tolerations that name the effect `NoExecute` count.
pub(crate) fn bears_device_taint(tolerations: &[DeviceToleration], taint: &DeviceTaint) -> Borne {
    let mut borne = Borne::No;
    let counts =
        |toleration: &&DeviceToleration| toleration.effect == NO_EXECUTE && tolerates(toleration, taint);
    for toleration in tolerations.iter().filter(counts) {
        let Some(seconds) = toleration.toleration_seconds else { return Borne::Always };
        let seconds = seconds.max(0);
        borne = Borne::For(if let Borne::For(known) = borne { known.min(seconds) } else { seconds });
    }
    borne
}

/// How long a pod bears the taints of its node: of the tolerations that are used, each the first for a taint, the
/// shortest time counts, and those without seconds do not.
fn bears_node_taints<'t>(
    tolerations: &[Toleration],
    taints: impl Iterator<Item = &'t Taint>,
) -> (Borne, Option<&'t Taint>) {
    let (mut borne, mut why) = (Borne::Always, None);
    for taint in taints.filter(|taint| taint.effect == NO_EXECUTE) {
        let used = tolerations.iter().find(|toleration| matching::tolerates(toleration, taint));
        let Some(used) = used else { return (Borne::No, Some(taint)) };
        if let Some(seconds) = used.toleration_seconds.map(|seconds| seconds.max(0))
            && !matches!(borne, Borne::For(known) if known <= seconds)
        {
            (borne, why) = (Borne::For(seconds), Some(taint));
        }
    }
    (borne, why)
}

/// When taints of devices with the effect `NoExecute` were added, where the input says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaintTimes {
    /// By device, with the taint's key and value.
    of_devices: FxHashMap<DeviceId, Vec<(String, String, Timestamp)>>,
    rules: Vec<(TaintRule, Timestamp)>,
}

impl TaintTimes {
    pub(crate) fn new(objects: &Snapshot, with_rules: bool) -> Self {
        let parsed = |text: &str| Timestamp::parse(text).and_then(Result::ok);
        let mut times = Self::default();
        for slice in objects.slices.iter().filter(|slice| !slice.taint_times.is_empty()) {
            for device in &slice.spec.devices {
                let of_device = slice.taint_times.get(&device.name).into_iter().flatten();
                for (taint, time) in device.taints.iter().zip(of_device) {
                    let Some(time) = time.as_deref().and_then(parsed) else { continue };
                    let id = DeviceId { pool: slice.spec.pool_id(), device: device.name.clone() };
                    let entry = (taint.key.clone(), taint.value.clone(), time);
                    times.of_devices.entry(id).or_default().push(entry);
                }
            }
        }
        for rule in objects.taint_rules.iter().filter(|_| with_rules) {
            let time = rule.time_added.as_deref().and_then(parsed);
            times.rules.extend(time.map(|time| (rule.clone(), time)));
        }
        times
    }

    /// When a taint came to a device.
    fn of(&self, device: &DeviceId, taint: &DeviceTaint) -> Option<Timestamp> {
        let is_taint = |key: &str, value: &str| key == taint.key && value == taint.value;
        let of_device = self.of_devices.get(device).into_iter().flatten();
        let known = of_device.filter(|(key, value, _)| is_taint(key, value)).map(|(_, _, time)| *time);
        let of_rules = self.rules.iter().filter(|(rule, _)| {
            let selects = |wanted: &Option<String>, actual: &str| {
                wanted.as_deref().is_none_or(|wanted| wanted == actual)
            };
            is_taint(&rule.taint.key, &rule.taint.value)
                && selects(&rule.driver, &device.pool.driver)
                && selects(&rule.pool, &device.pool.pool)
                && selects(&rule.device, &device.device)
        });
        known.chain(of_rules.map(|(_, time)| *time)).min()
    }
}

/// What evicts a pod: after so many seconds, in words, and when, where that is known.
type Cause = (i64, String, Option<Timestamp>);

/// The cause that comes first: one that evicts at once, else the earliest, and of several the first in words.
fn first(causes: Vec<Cause>) -> Option<Cause> {
    let dated = causes.iter().all(|(_, _, at)| at.is_some());
    let key = |(after, why, at): &Cause| {
        let at = at.filter(|_| dated).map(Timestamp::seconds);
        (*after > 0, at.filter(|_| *after > 0), *after, why.clone())
    };
    causes.into_iter().min_by_key(key)
}

/// A running pod that a taint evicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Eviction {
    pub(crate) pod: PodId,
    /// Where it runs.
    pub(crate) node: usize,
    /// What evicts it, in words.
    pub(crate) why: String,
    /// After so many seconds; `None` is at once.
    pub(crate) after: Option<i64>,
    /// When that is, where the taint says when it was added.
    pub(crate) at: Option<Timestamp>,
}

impl ClusterState {
    /// Evicts the running pods that do not bear a taint of their node or of their devices. They wait for another node,
    /// as the copies that controllers make for them. Returned are these and those whose time is not over.
    pub(super) fn evict_by_taints(&mut self) -> Vec<Eviction> {
        let evictions = self.evictions();
        for eviction in evictions.iter().filter(|eviction| eviction.after.is_none()) {
            self.evict(eviction.pod);
        }
        evictions
    }

    fn evictions(&self) -> Vec<Eviction> {
        let mut tainted: FxHashMap<DeviceId, Vec<&DeviceTaint>> = FxHashMap::default();
        if self.options.gates.features().device_taints {
            for slice in self.devices.slices() {
                for device in &slice.devices {
                    let evicting = device.taints.iter().filter(|taint| taint.effect == NO_EXECUTE);
                    let evicting: Vec<&DeviceTaint> = evicting.collect();
                    if !evicting.is_empty() {
                        let id = DeviceId { pool: slice.pool_id(), device: device.name.clone() };
                        tainted.entry(id).or_default().extend(evicting);
                    }
                }
            }
        }
        let is_tainted = |at: usize| {
            let taints = self.nodes.get(at).map(|state| &state.node.taints);
            taints.is_some_and(|taints| taints.iter().any(|taint| taint.effect == NO_EXECUTE))
        };
        let mut evictions = Vec::new();
        for (id, entry) in self.pods.iter() {
            let PodPlace::Node(at) = entry.place else { continue };
            let deleting = entry.pod.metadata.deletion_timestamp.is_some();
            // The kubelet keeps the pods of its own files.
            let mirror = entry.pod.metadata.annotations.contains_key("kubernetes.io/config.mirror");
            if deleting || mirror || (tainted.is_empty() && !is_tainted(at)) {
                continue;
            }
            let mut found: Vec<Cause> = Vec::new();
            if let Some(state) = self.nodes.get(at) {
                let (borne, taint) = bears_node_taints(&entry.pod.spec.tolerations, state.node.taints.iter());
                let key = taint.map_or("", |taint| taint.key.as_str());
                // Controllers count from when they first see it, whatever `timeAdded` says.
                found.extend(
                    time(borne)
                        .map(|after| (after, format!("taint `{key}` of node `{}`", state.name()), None)),
                );
            }
            if !tainted.is_empty() {
                for claim in self.claims_of(id) {
                    let allocation = self.claims.get(claim).and_then(|entry| entry.allocation.as_deref());
                    for result in allocation.iter().flat_map(|allocation| &allocation.results) {
                        let device = result.device_id();
                        for taint in tainted.get(&device).into_iter().flatten() {
                            let borne = bears_device_taint(&result.tolerations, taint);
                            let name = format!("{}/{}/{}", result.driver, result.pool, result.device);
                            let why = format!("taint `{}` of device `{name}`", taint.key);
                            found.extend(time(borne).map(|after| {
                                let added = self.taint_times.of(&device, taint);
                                let at = added
                                    .and_then(|added| added.checked_add(after.checked_mul(1_000_000_000)?));
                                (after, why, at)
                            }));
                        }
                    }
                }
            }
            if let Some((after, why, when)) = first(found) {
                let after = (after > 0).then_some(after);
                evictions.push(Eviction {
                    pod: id,
                    node: at,
                    why,
                    after,
                    at: when.filter(|_| after.is_some()),
                });
            }
        }
        evictions
    }
}

fn time(borne: Borne) -> Option<i64> {
    match borne {
        Borne::No => Some(0),
        Borne::For(seconds) => Some(seconds),
        Borne::Always => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toleration(effect: &str, seconds: Option<i64>) -> DeviceToleration {
        DeviceToleration {
            key: "broken".to_owned(),
            operator: "Exists".to_owned(),
            effect: effect.to_owned(),
            toleration_seconds: seconds,
            ..DeviceToleration::default()
        }
    }

    fn taint() -> DeviceTaint {
        DeviceTaint { key: "broken".to_owned(), value: String::new(), effect: NO_EXECUTE.to_owned() }
    }

    /// A toleration with seconds used to count before one without.
    #[test]
    fn a_toleration_without_seconds_holds_for_good() {
        let tolerations = [toleration(NO_EXECUTE, Some(5)), toleration(NO_EXECUTE, None)];
        assert_eq!(bears_device_taint(&tolerations, &taint()), Borne::Always);
        let tolerations = [toleration(NO_EXECUTE, Some(5)), toleration(NO_EXECUTE, Some(-3))];
        assert_eq!(bears_device_taint(&tolerations, &taint()), Borne::For(0));
    }

    /// A toleration for every effect used to keep pods from being evicted.
    #[test]
    fn only_tolerations_that_name_the_effect_keep_from_eviction() {
        assert_eq!(bears_device_taint(&[toleration("", None)], &taint()), Borne::No);
        assert_eq!(bears_device_taint(&[toleration("NoSchedule", None)], &taint()), Borne::No);
    }

    #[test]
    fn the_shortest_time_of_the_tolerations_used_counts_for_nodes() {
        let taint =
            |key: &str| Taint { key: key.to_owned(), value: String::new(), effect: NO_EXECUTE.to_owned() };
        let bears = |key: &str, seconds| Toleration {
            key: key.to_owned(),
            operator: "Exists".to_owned(),
            toleration_seconds: seconds,
            ..Toleration::default()
        };
        let taints = [taint("a"), taint("b")];
        let of = |tolerations: &[Toleration]| bears_node_taints(tolerations, taints.iter()).0;
        assert_eq!(of(&[bears("a", None)]), Borne::No);
        assert_eq!(of(&[bears("a", None), bears("b", Some(9))]), Borne::For(9));
        assert_eq!(of(&[bears("", None)]), Borne::Always);
        assert_eq!(of(&[bears("a", Some(4)), bears("", Some(7))]), Borne::For(4));
    }
}
