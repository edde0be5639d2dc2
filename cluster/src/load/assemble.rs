//! What needs all objects at once: order, duplicates, priorities.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fault::Fault;
use crate::objects::{
    Claim, ClaimTemplate, Class, CsiDriver, CsiNode, DisruptionBudget, GangWorkload, Metadata, Namespace,
    Node, ObjectReference, Origin, PersistentVolume, PersistentVolumeClaim, Pod, PodGroup, PriorityClass,
    Service, Slice, StorageCapacity, StorageClass, TaintRule, Workload,
};
use crate::path::FieldPath;
use crate::snapshot::Snapshot;
use crate::source::Sources;

use super::{Pending, Report};

/// Sorts all lists, drops second copies, refuses contradicting ones, and sets the priorities of pods.
pub(super) fn assemble(snapshot: &mut Snapshot, report: &mut Report) {
    let sources = &snapshot.sources;
    unique(&mut snapshot.nodes, sources, report);
    unique(&mut snapshot.pods, sources, report);
    unique(&mut snapshot.claims, sources, report);
    unique(&mut snapshot.claim_templates, sources, report);
    unique(&mut snapshot.classes, sources, report);
    unique(&mut snapshot.slices, sources, report);
    unique(&mut snapshot.taint_rules, sources, report);
    unique(&mut snapshot.workloads, sources, report);
    unique(&mut snapshot.namespaces, sources, report);
    unique(&mut snapshot.services, sources, report);
    unique(&mut snapshot.priority_classes, sources, report);
    unique(&mut snapshot.disruption_budgets, sources, report);
    unique(&mut snapshot.pod_groups, sources, report);
    unique(&mut snapshot.gang_workloads, sources, report);
    unique(&mut snapshot.persistent_volumes, sources, report);
    unique(&mut snapshot.persistent_volume_claims, sources, report);
    unique(&mut snapshot.storage_classes, sources, report);
    unique(&mut snapshot.csi_nodes, sources, report);
    unique(&mut snapshot.csi_drivers, sources, report);
    unique(&mut snapshot.storage_capacities, sources, report);
    for claim in &mut snapshot.claims {
        claim.spec.namespace.clone_from(&claim.metadata.namespace);
    }
    let priorities = Priorities::of(&snapshot.priority_classes);
    for pod in &mut snapshot.pods {
        let pod = Arc::make_mut(pod);
        let unknown = priorities.apply(&mut pod.spec);
        report_unknown(unknown, ObjectReference::of(pod), &pod.origin, &snapshot.sources, report);
    }
    for workload in &mut snapshot.workloads {
        let unknown = priorities.apply(&mut workload.template.spec);
        let origin = workload.origin.within(&FieldPath::fields("spec.template"));
        report_unknown(unknown, ObjectReference::of(workload), &origin, &snapshot.sources, report);
    }
}

fn report_unknown(
    unknown: Option<String>,
    object: ObjectReference,
    origin: &Origin,
    sources: &Sources,
    report: &mut Report,
) {
    if let Some(class) = unknown {
        let field = FieldPath::fields("spec.priorityClassName");
        let fault = Fault::of_field(
            sources,
            object,
            origin,
            field,
            format!("the input has no PriorityClass `{class}`; the priority is taken to be 0"),
        );
        report.notice(Pending::whole(fault));
    }
}

/// Priorities by class.
struct Priorities<'s> {
    by_name: BTreeMap<&'s str, (i32, &'s str)>,
    default: (i32, &'s str),
}

const PREEMPTS: &str = "PreemptLowerPriority";

impl<'s> Priorities<'s> {
    fn of(classes: &'s [PriorityClass]) -> Self {
        let mut by_name = BTreeMap::from([
            ("system-cluster-critical", (2_000_000_000, PREEMPTS)),
            ("system-node-critical", (2_000_001_000, PREEMPTS)),
        ]);
        by_name.extend(
            classes
                .iter()
                .map(|class| (class.metadata.name.as_str(), (class.value, class.preemption_policy.as_str()))),
        );
        // of several default classes the API server takes the one with the lowest value
        let default = classes
            .iter()
            .filter(|class| class.global_default)
            .min_by_key(|class| class.value)
            .map_or((0, PREEMPTS), |class| (class.value, class.preemption_policy.as_str()));
        Self { by_name, default }
    }

    /// Sets priority and preemption policy; gives the name of a class that does not exist.
    fn apply(&self, spec: &mut crate::objects::PodSpec) -> Option<String> {
        let (class, unknown) = match &spec.priority_class_name {
            None => (self.default, None),
            Some(name) => match self.by_name.get(name.as_str()) {
                Some(class) => (*class, None),
                None => ((0, PREEMPTS), spec.priority.is_none().then(|| name.clone())),
            },
        };
        spec.priority.get_or_insert(class.0);
        spec.preemption_policy.get_or_insert_with(|| class.1.to_owned());
        unknown
    }
}

/// What all kinds of the snapshot have.
trait Object: Clone + PartialEq {
    fn metadata(&self) -> &Metadata;
    fn origin(&self) -> &Origin;
    fn set_origin(&mut self, origin: Origin);
    fn kind(&self) -> &'static str;
}

macro_rules! objects {
    ($($kind:ty => $name:expr),* $(,)?) => {
        $(impl Object for $kind {
            fn metadata(&self) -> &Metadata {
                &self.metadata
            }
            fn origin(&self) -> &Origin {
                &self.origin
            }
            fn set_origin(&mut self, origin: Origin) {
                self.origin = origin;
            }
            fn kind(&self) -> &'static str {
                let name: fn(&$kind) -> &'static str = $name;
                name(self)
            }
        })*
    };
}

objects! {
    Node => |_| "Node",
    Pod => |_| "Pod",
    Claim => |_| "ResourceClaim",
    ClaimTemplate => |_| "ResourceClaimTemplate",
    Class => |_| "DeviceClass",
    Slice => |_| "ResourceSlice",
    TaintRule => |_| "DeviceTaintRule",
    Workload => |workload| workload.kind.as_str(),
    Namespace => |_| "Namespace",
    PriorityClass => |_| "PriorityClass",
    Service => |_| "Service",
    DisruptionBudget => |_| "PodDisruptionBudget",
    PodGroup => |_| "PodGroup",
    GangWorkload => |_| "Workload",
    PersistentVolume => |_| "PersistentVolume",
    PersistentVolumeClaim => |_| "PersistentVolumeClaim",
    StorageClass => |_| "StorageClass",
    CsiNode => |_| "CSINode",
    CsiDriver => |_| "CSIDriver",
    StorageCapacity => |_| "CSIStorageCapacity",
}

impl<T: Object> Object for Arc<T> {
    fn metadata(&self) -> &Metadata {
        self.as_ref().metadata()
    }
    fn origin(&self) -> &Origin {
        self.as_ref().origin()
    }
    fn set_origin(&mut self, origin: Origin) {
        Self::make_mut(self).set_origin(origin);
    }
    fn kind(&self) -> &'static str {
        self.as_ref().kind()
    }
}

impl ObjectReference {
    fn of(object: &impl Object) -> Self {
        let metadata = object.metadata();
        Self {
            kind: object.kind().to_owned(),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
        }
    }
}

/// Sorts by kind, namespace and name; of equal objects the one that was read first stays.
fn unique<T: Object>(objects: &mut Vec<T>, sources: &Sources, report: &mut Report) {
    objects.sort_by(|left, right| {
        let key = |object: &T| (object.kind(), object.origin().position());
        left.kind()
            .cmp(right.kind())
            .then_with(|| left.metadata().namespace.cmp(&right.metadata().namespace))
            .then_with(|| left.metadata().name.cmp(&right.metadata().name))
            .then_with(|| key(left).cmp(&key(right)))
    });
    objects.dedup_by(|second, first| {
        let same_name = first.kind() == second.kind()
            && first.metadata().namespace == second.metadata().namespace
            && first.metadata().name == second.metadata().name;
        if !same_name || second.metadata().name.is_empty() {
            return false;
        }
        let first_place = sources
            .place(first.origin(), &FieldPath::root())
            .map_or_else(String::new, |place| format!(", first at {place}"));
        let second_place = second.origin().clone();
        second.set_origin(first.origin().clone());
        let identical = first == second;
        let message = if identical {
            format!("is given twice with the same content{first_place}")
        } else {
            format!("is given twice with different content{first_place}")
        };
        let fault =
            Fault::of_field(sources, ObjectReference::of(second), &second_place, FieldPath::root(), message);
        if identical {
            report.notice(Pending::whole(fault));
        } else {
            report.error(Pending::whole(fault.with_hint("keep one of the two")));
        }
        true
    });
}
