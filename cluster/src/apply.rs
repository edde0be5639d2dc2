//! Objects that are added to a snapshot that is there already.

use std::sync::Arc;

use crate::objects::{
    Claim, ClaimTemplate, Class, CsiDriver, CsiNode, DisruptionBudget, GangWorkload, Metadata, Namespace,
    Node, Origin, PersistentVolume, PersistentVolumeClaim, Pod, PodGroup, PodSpec, PriorityClass, Service,
    Slice, StorageCapacity, StorageClass, TaintRule, Workload,
};
use crate::snapshot::Snapshot;

/// What all lists of a snapshot hold.
trait Listed {
    /// What tells it apart from others of its list.
    fn key(&self) -> (&'static str, &str, &str);
    fn origin(&mut self) -> &mut Origin;
}

fn name(metadata: &Metadata) -> (&'static str, &str, &str) {
    ("", &metadata.namespace, &metadata.name)
}

macro_rules! listed {
    ($($kind:ty),* $(,)?) => {
        $(impl Listed for $kind {
            fn key(&self) -> (&'static str, &str, &str) {
                name(&self.metadata)
            }
            fn origin(&mut self) -> &mut Origin {
                &mut self.origin
            }
        })*
    };
}

listed!(
    Node,
    Claim,
    ClaimTemplate,
    Class,
    Slice,
    TaintRule,
    Namespace,
    PriorityClass,
    Service,
    DisruptionBudget,
    PodGroup,
    GangWorkload,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    CsiNode,
    CsiDriver,
    StorageCapacity
);

impl Listed for Arc<Pod> {
    fn key(&self) -> (&'static str, &str, &str) {
        name(&self.metadata)
    }

    fn origin(&mut self) -> &mut Origin {
        &mut Self::make_mut(self).origin
    }
}

impl Listed for Workload {
    fn key(&self) -> (&'static str, &str, &str) {
        (self.kind.as_str(), &self.metadata.namespace, &self.metadata.name)
    }

    fn origin(&mut self) -> &mut Origin {
        &mut self.origin
    }
}

impl Snapshot {
    /// Adds objects that were read for themselves, as `kubectl apply` would: one of the same kind and name takes the
    /// place of what was there. Pods get the priority that the classes of both say.
    pub fn apply(&mut self, mut other: Self) {
        let first_source = self.sources.list.len();
        self.sources.list.append(&mut other.sources.list);
        macro_rules! merge_all {
            ($($list:ident),* $(,)?) => {
                $(merge(&mut self.$list, other.$list, first_source);)*
            };
        }
        merge(&mut self.priority_classes, other.priority_classes, first_source);
        for pod in &mut other.pods {
            self.set_priority(&mut Arc::make_mut(pod).spec);
        }
        for workload in &mut other.workloads {
            self.set_priority(&mut workload.template.spec);
        }
        merge_all!(
            nodes,
            pods,
            claims,
            claim_templates,
            classes,
            slices,
            taint_rules,
            workloads,
            namespaces,
            services,
            disruption_budgets,
            pod_groups,
            gang_workloads,
            persistent_volumes,
            persistent_volume_claims,
            storage_classes,
            csi_nodes,
            csi_drivers,
            storage_capacities,
        );
        self.ignored.append(&mut other.ignored);
        self.notices.append(&mut other.notices);
        self.omitted_notices += other.omitted_notices;
    }

    /// The priority that the class says, as the API server's admission has it.
    fn set_priority(&self, spec: &mut PodSpec) {
        let named = spec.priority_class_name.as_ref();
        let class = match named {
            Some(name) => self.priority_classes.iter().find(|class| class.metadata.name == *name),
            None => self
                .priority_classes
                .iter()
                .filter(|class| class.global_default)
                .min_by_key(|class| class.value),
        };
        if let Some(class) = class {
            spec.priority = Some(class.value);
            spec.preemption_policy = Some(class.preemption_policy.clone());
        }
    }
}

fn merge<T: Listed>(list: &mut Vec<T>, added: Vec<T>, first_source: usize) {
    if added.is_empty() {
        return;
    }
    let mut new = Vec::new();
    for mut object in added {
        if let Some(range) = &mut object.origin().range {
            range.source += first_source;
        }
        let found = list.binary_search_by(|other| other.key().cmp(&object.key()));
        match found.ok().and_then(|at| list.get_mut(at)) {
            Some(place) => *place = object,
            None => new.push(object),
        }
    }
    list.append(&mut new);
    list.sort_by(|left, right| left.key().cmp(&right.key()));
}

#[cfg(test)]
mod tests {
    use crate::{FieldPath, Input, LoadOptions, load};

    fn read(name: &str, text: &str) -> crate::Snapshot {
        let input = Input::Bytes { name: name.to_owned(), bytes: text.as_bytes().to_vec() };
        load(&[input], LoadOptions::default()).unwrap()
    }

    const CLASS: &str = "
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 100
---
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{name: main}]}
";
    const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: b}
spec: {priorityClassName: high, containers: [{name: main}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a, labels: {new: 'yes'}}
spec: {containers: [{name: main}]}
";

    #[test]
    fn objects_are_added_and_take_the_place_of_others_of_their_name() {
        let mut snapshot = read("one.yaml", CLASS);
        snapshot.apply(read("two.yaml", PODS));
        let names: Vec<&str> = snapshot.pods.iter().map(|pod| pod.metadata.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(snapshot.pod("default", "a").unwrap().metadata.labels.contains_key("new"));
        let added = snapshot.pod("default", "b").unwrap();
        assert_eq!(added.spec.priority, Some(100));
        let place = snapshot.sources.place(&added.origin, &FieldPath::fields("metadata.name")).unwrap();
        assert_eq!((place.source.as_str(), place.line), ("two.yaml", 4));
    }
}
