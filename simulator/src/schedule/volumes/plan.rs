//! What the plugins find out about a pod before they look at nodes, and what they then say of a node.

use std::collections::BTreeSet;
use std::sync::Arc;

use drayage_allocator::objects::Node;
use drayage_cluster::objects::{PersistentVolume, PersistentVolumeClaim, Pod, PodVolumeClaim};

use super::binding::{Lack, is_reachable};
use super::{BIND_COMPLETED, Volumes};
use crate::schedule::pods::{PodId, Pods};
use crate::schedule::profile::{FilterPlugin, SchedulerProfile};

/// Labels by which volumes and nodes are in zones and regions, the old ones first.
const ZONES: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// Why a node does not suit the volumes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum VolumeRefusal {
    /// Another pod uses a claim that only one may use.
    InUse,
    /// The node can have no more volumes of a driver.
    Limit,
    /// A volume is not reachable from the node.
    NodeAffinity,
    /// No volume for a claim is there.
    NoVolume,
    /// There is no room to make one.
    NoRoom,
    /// A claim is bound to a volume that is not there.
    Missing,
    /// A volume is in another zone.
    Zone,
}

impl VolumeRefusal {
    pub(crate) fn plugin(self) -> &'static str {
        match self {
            Self::InUse => "VolumeRestrictions",
            Self::Limit => "NodeVolumeLimits",
            Self::NodeAffinity | Self::NoVolume | Self::NoRoom | Self::Missing => "VolumeBinding",
            Self::Zone => "VolumeZone",
        }
    }

    /// The scheduler's text.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::InUse => {
                "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by \
                 another pod"
            }
            Self::Limit => "node(s) exceed max volume count",
            Self::NodeAffinity => "node(s) didn't match PersistentVolume's node affinity",
            Self::NoVolume => "node(s) didn't find available persistent volumes to bind",
            Self::NoRoom => "node(s) did not have enough free storage",
            Self::Missing => "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
            Self::Zone => "node(s) had no available volume zone",
        }
    }
}

/// The volumes of a pod, as far as the plugins look at them.
#[derive(Debug, Default)]
pub(crate) struct VolumePlan {
    in_use: bool,
    bound: Vec<Option<Arc<PersistentVolume>>>,
    waiting: Vec<Arc<PersistentVolumeClaim>>,
    zones: Vec<(&'static str, &'static str, BTreeSet<String>)>,
    /// What CSI drivers attach for the pod: drivers and volumes.
    attached: BTreeSet<(String, String)>,
}

impl VolumePlan {
    /// Whether every node suits.
    pub(crate) fn is_empty(&self) -> bool {
        !self.in_use
            && self.bound.is_empty()
            && self.waiting.is_empty()
            && self.zones.is_empty()
            && self.attached.is_empty()
    }
}

impl Volumes {
    /// Looks at the volumes of a pod; or the plugin and the reason why no node suits.
    pub(crate) fn plan(
        &self,
        pod: &Pod,
        profile: &SchedulerProfile,
    ) -> Result<VolumePlan, (&'static str, String)> {
        let mut plan = VolumePlan::default();
        let is_told = self.known
            || pod.spec.volumes.iter().all(|volume| matches!(volume.claim, PodVolumeClaim::Ephemeral(..)));
        if pod.spec.volumes.is_empty() || !is_told {
            return Ok(plan);
        }
        let applies = |plugin| profile.filters_by(plugin);
        let mut claims: Vec<(bool, String, Option<Arc<PersistentVolumeClaim>>)> = Vec::new();
        for volume in &pod.spec.volumes {
            let name = volume.claim_name(&pod.metadata.name);
            let is_named = matches!(volume.claim, PodVolumeClaim::Named(_));
            let claim = self.claim_of(pod, volume);
            claims.push((is_named, name, claim));
        }
        let missing = |name: &str| format!("persistentvolumeclaim \"{name}\" not found");
        if applies(FilterPlugin::VolumeRestrictions) {
            for (_, name, claim) in claims.iter().filter(|(is_named, ..)| *is_named) {
                let claim = claim.as_ref().ok_or_else(|| ("VolumeRestrictions", missing(name)))?;
                let is_for_one = claim.spec.access_modes.iter().any(|mode| mode == "ReadWriteOncePod");
                let users = self.users.get(&claim.metadata.full_name()).copied().unwrap_or_default();
                plan.in_use |= is_for_one && users > 0;
            }
        }
        if applies(FilterPlugin::VolumeBinding) {
            self.plan_binding(pod, &claims, &mut plan).map_err(|message| ("VolumeBinding", message))?;
        }
        if applies(FilterPlugin::VolumeZone) {
            for (_, name, claim) in claims.iter().filter(|(is_named, ..)| *is_named) {
                let claim = claim.as_ref().ok_or_else(|| ("VolumeZone", missing(name)))?;
                self.plan_zone(claim, &mut plan).map_err(|message| ("VolumeZone", message))?;
            }
        }
        if applies(FilterPlugin::NodeVolumeLimits) {
            plan.attached = self.attached_of(pod);
        }
        Ok(plan)
    }

    fn plan_binding(
        &self,
        pod: &Pod,
        claims: &[(bool, String, Option<Arc<PersistentVolumeClaim>>)],
        plan: &mut VolumePlan,
    ) -> Result<(), String> {
        for (_, name, claim) in claims {
            let claim =
                claim.as_ref().ok_or_else(|| format!("persistentvolumeclaim \"{name}\" not found"))?;
            if claim.phase == "Lost" {
                let volume = &claim.spec.volume_name;
                return Err(format!(
                    "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\""
                ));
            }
            if claim.metadata.deletion_timestamp.is_some() {
                return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
            }
        }
        for (is_named, name, claim) in claims {
            let owner = claim.as_ref().and_then(|claim| claim.metadata.controller());
            if !is_named && owner.is_none_or(|owner| owner.uid != pod.metadata.uid) {
                let full_name = format!("{}/{name}", pod.metadata.namespace);
                return Err(format!(
                    "PVC {full_name} was not created for pod {} (pod is not owner)",
                    pod.metadata.full_name()
                ));
            }
        }
        for (_, _, claim) in claims {
            let Some(claim) = claim else { continue };
            let volume = &claim.spec.volume_name;
            if !volume.is_empty() && claim.metadata.annotations.contains_key(BIND_COMPLETED) {
                plan.bound.push(self.by_name.get(volume).cloned());
                continue;
            }
            let class =
                claim.spec.storage_class_name.as_ref().and_then(|name| self.storage.classes.get(name));
            if volume.is_empty() && class.is_some_and(|class| class.waits_for_consumer) {
                plan.waiting.push(Arc::clone(claim));
            } else {
                return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
            }
        }
        Ok(())
    }

    fn plan_zone(&self, claim: &PersistentVolumeClaim, plan: &mut VolumePlan) -> Result<(), String> {
        let name = &claim.spec.volume_name;
        if name.is_empty() {
            let class_name = claim.spec.storage_class_name.as_deref().unwrap_or_default();
            if class_name.is_empty() {
                return Err("PersistentVolumeClaim had no pv name and storageClass name".to_owned());
            }
            let class = self.storage.classes.get(class_name);
            let class =
                class.ok_or_else(|| format!("storageclass.storage.k8s.io \"{class_name}\" not found"))?;
            return if class.waits_for_consumer {
                Ok(())
            } else {
                Err("PersistentVolume had no name".to_owned())
            };
        }
        let volume =
            self.by_name.get(name).ok_or_else(|| format!("persistentvolume \"{name}\" not found"))?;
        for (label, newer) in ZONES {
            let Some(value) = volume.metadata.labels.get(label) else { continue };
            let values: BTreeSet<String> = value.split("__").map(|zone| zone.trim().to_owned()).collect();
            if !values.contains("") {
                plan.zones.push((label, newer, values));
            }
        }
        Ok(())
    }

    /// Calls `found` with each reason of the first plugin that refuses a node. `there` are the pods that it has.
    pub(crate) fn each_refusal(
        &self,
        plan: &VolumePlan,
        node: &Node,
        there: &[PodId],
        pods: &Pods,
        mut found: impl FnMut(VolumeRefusal),
    ) {
        if plan.in_use {
            return found(VolumeRefusal::InUse);
        }
        if !plan.attached.is_empty() && self.exceeds_limit(plan, node, there, pods) {
            return found(VolumeRefusal::Limit);
        }
        let mut refused = false;
        let mut refuse = |refusal| {
            refused = true;
            found(refusal);
        };
        let missing = plan.bound.iter().position(Option::is_none);
        let unreachable = plan
            .bound
            .iter()
            .position(|volume| volume.as_ref().is_some_and(|volume| !is_reachable(volume, node)));
        // The first claim that is not well decides.
        let is_missing = missing.is_some_and(|missing| unreachable.is_none_or(|other| missing < other));
        if unreachable.is_some() && !is_missing {
            refuse(VolumeRefusal::NodeAffinity);
        }
        match self.bindings(&plan.waiting, node) {
            Ok(_) => {}
            Err(Lack::Volume) => refuse(VolumeRefusal::NoVolume),
            Err(Lack::Room) => refuse(VolumeRefusal::NoRoom),
        }
        if is_missing {
            refuse(VolumeRefusal::Missing);
        }
        if !refused && !is_in_zones(plan, node) {
            found(VolumeRefusal::Zone);
        }
    }

    fn exceeds_limit(&self, plan: &VolumePlan, node: &Node, there: &[PodId], pods: &Pods) -> bool {
        let Some(drivers) = self.storage.nodes.get(&node.name).map(|node| &node.drivers) else {
            return false;
        };
        if drivers.values().all(|driver| driver.limit.is_none()) {
            return false;
        }
        let mut attached: BTreeSet<(String, String)> = BTreeSet::new();
        for entry in there.iter().filter_map(|&id| pods.get(id)) {
            attached.extend(self.attached_of(&entry.pod));
        }
        let more: Vec<&(String, String)> =
            plan.attached.iter().filter(|volume| !attached.contains(*volume)).collect();
        let drivers_of_more: BTreeSet<&String> = more.iter().map(|(driver, _)| driver).collect();
        drivers_of_more.into_iter().any(|driver| {
            let Some(limit) = drivers.get(driver).and_then(|driver| driver.limit) else { return false };
            let here = attached.iter().filter(|(of, _)| of == driver).count();
            let new = more.iter().filter(|(of, _)| of == driver).count();
            i64::try_from(here + new).unwrap_or(i64::MAX) > limit
        })
    }

    /// Binds the claims of a pod that waited for a node.
    pub(crate) fn commit(&mut self, plan: &VolumePlan, node: &Node) {
        let Ok(bindings) = self.bindings(&plan.waiting, node) else { return };
        for (claim, volume) in &bindings.found {
            self.bind(claim, volume);
        }
        for claim in &bindings.made {
            self.provision(claim, node);
        }
    }
}

fn is_in_zones(plan: &VolumePlan, node: &Node) -> bool {
    // A node that says nothing of zones is in a cluster of one.
    if !ZONES.iter().any(|(label, _)| node.labels.contains_key(*label)) {
        return true;
    }
    plan.zones.iter().all(|(label, newer, values)| {
        let value = node.labels.get(*label).or_else(|| node.labels.get(*newer));
        value.is_some_and(|value| values.contains(value))
    })
}
