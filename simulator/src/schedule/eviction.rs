//! Pods that taints with the effect `NoExecute` evict, as the controllers for taints of devices and of nodes do.

use drayage_allocator::objects::{DeviceId, DeviceTaint, DeviceToleration};
use drayage_allocator::taints::tolerates;
use drayage_cluster::matching;
use drayage_cluster::objects::{Taint, Toleration};
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
            let mut found: Vec<(i64, String)> = Vec::new();
            if let Some(state) = self.nodes.get(at) {
                let (borne, taint) = bears_node_taints(&entry.pod.spec.tolerations, state.node.taints.iter());
                let key = taint.map_or("", |taint| taint.key.as_str());
                found.extend(
                    time(borne).map(|after| (after, format!("taint `{key}` of node `{}`", state.name()))),
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
                            found.extend(time(borne).map(|after| (after, why)));
                        }
                    }
                }
            }
            // The earliest counts, and of several the first in words.
            if let Some((after, why)) = found.into_iter().min() {
                evictions.push(Eviction { pod: id, node: at, why, after: (after > 0).then_some(after) });
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
