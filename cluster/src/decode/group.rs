//! PodGroup.

use super::metadata::metadata;
use crate::fields::{Fields, object};
use crate::objects::{GangWorkload, Origin, PodGroup};

/// `PodGroup` of `scheduling.k8s.io` or, with `spec.minMember`, of `scheduling.x-k8s.io`.
pub(crate) fn pod_group(fields: &Fields<'_, '_>, origin: Origin) -> PodGroup {
    let mut group = PodGroup { metadata: metadata(fields), origin, ..PodGroup::default() };
    fields.skip(&["status"]);
    fields.object("spec", |spec| {
        spec.skip(&["podGroupTemplateRef", "workloadRef", "scheduleTimeoutSeconds"]);
        spec.not_considered("resourceClaims", "claims of groups are not made");
        spec.not_considered("minResources", "resources of a group are not looked at beforehand");
        for key in ["priority", "priorityClassName", "preemptionPolicy", "disruptionMode"] {
            spec.not_considered(key, "groups are not evicted together");
        }
        spec.not_considered("parentCompositePodGroupName", "groups of groups are not considered");
        let of_policy = spec.object("schedulingPolicy", |policy| {
            policy.skip(&["basic"]);
            policy.object("gang", |gang| gang.integer("minCount")).flatten()
        });
        let constraints = spec.object("schedulingConstraints", |constraints| {
            constraints.list("topology", |item| object(item, |topology| topology.text("key")))
        });
        // The API allows one.
        group.topology_key = constraints.flatten().and_then(|keys| keys.into_iter().next().flatten());
        group.min_count = of_policy.flatten().or_else(|| spec.integer("minMember"));
    });
    group
}

/// `Workload` of `scheduling.k8s.io/v1alpha1`.
pub(crate) fn gang_workload(fields: &Fields<'_, '_>, origin: Origin) -> GangWorkload {
    let mut workload = GangWorkload { metadata: metadata(fields), origin, ..GangWorkload::default() };
    fields.object("spec", |spec| {
        spec.skip(&["controllerRef"]);
        let group = |group: &Fields<'_, '_>| {
            let of_policy = group.object("policy", |policy| {
                policy.skip(&["basic"]);
                policy.object("gang", |gang| gang.integer("minCount")).flatten()
            });
            (group.string("name"), of_policy.flatten())
        };
        workload.groups = spec.list("podGroups", |item| object(item, group)).unwrap_or_default();
    });
    workload
}
