//! PodGroup.

use super::metadata::metadata;
use crate::fields::Fields;
use crate::objects::{Origin, PodGroup};

/// `PodGroup` of `scheduling.k8s.io` or, with `spec.minMember`, of `scheduling.x-k8s.io`.
pub(crate) fn pod_group(fields: &Fields<'_, '_>, origin: Origin) -> PodGroup {
    let mut group = PodGroup { metadata: metadata(fields), origin, ..PodGroup::default() };
    fields.skip(&["status"]);
    fields.object("spec", |spec| {
        spec.skip(&["podGroupTemplateRef", "workloadRef", "scheduleTimeoutSeconds"]);
        spec.not_considered(
            "schedulingConstraints",
            "pods of a group are not kept in one part of a topology",
        );
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
        group.min_count = of_policy.flatten().or_else(|| spec.integer("minMember"));
    });
    group
}
