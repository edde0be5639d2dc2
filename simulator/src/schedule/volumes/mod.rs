//! Volumes of pods: the plugins VolumeRestrictions, NodeVolumeLimits, VolumeBinding and VolumeZone.
//!
//! Claims that are bound tie their pods to the nodes of their volume. Claims of a class that waits for its consumer get
//! the smallest volume that suits on the chosen node, or a new one where the class can make it. An input without any
//! claim for a volume says nothing of volumes, and then they are taken to be there everywhere.

mod binding;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drayage_allocator::objects::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use drayage_allocator::persistent::Map;
use drayage_cluster::Snapshot;
use drayage_cluster::objects::{
    CsiNode, PersistentVolume, PersistentVolumeClaim, Pod, PodVolume, PodVolumeClaim, StorageCapacity,
    StorageClass,
};

pub(crate) use plan::{VolumePlan, VolumeRefusal};

/// The annotation of a claim that has its volume for good.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// The annotation of a class that claims without a class get.
const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// Volumes, claims for them and who uses these. Copies share what does not change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volumes {
    /// Whether the input says anything of volumes.
    known: bool,
    /// By `namespace/name`.
    claims: Map<String, Arc<PersistentVolumeClaim>>,
    by_name: Map<String, Arc<PersistentVolume>>,
    /// Names of the volumes of a class, sorted.
    by_class: Map<String, Arc<Vec<String>>>,
    /// How many pods on nodes use a claim, by `namespace/name`.
    users: Map<String, u32>,
    storage: Arc<Storage>,
}

/// What does not change.
#[derive(Debug, Default)]
struct Storage {
    classes: BTreeMap<String, StorageClass>,
    nodes: BTreeMap<String, CsiNode>,
    /// Drivers whose volumes are only made where there is room for them.
    with_capacity: BTreeSet<String>,
    capacities: Vec<StorageCapacity>,
    /// The class that claims without a class get.
    default_class: Option<String>,
}

impl Storage {
    /// Fills in what the API server fills in.
    fn complete(&self, claim: &mut PersistentVolumeClaim) {
        if claim.spec.storage_class_name.is_none() && claim.spec.volume_name.is_empty() {
            claim.spec.storage_class_name.clone_from(&self.default_class);
        }
    }
}

/// The newest of the default classes.
fn default_class(objects: &Snapshot) -> Option<String> {
    let is_default = |class: &&StorageClass| {
        class.metadata.annotations.get(IS_DEFAULT).is_some_and(|value| value == "true")
    };
    let newest = objects
        .storage_classes
        .iter()
        .filter(is_default)
        .max_by_key(|class| (class.metadata.creation_timestamp.clone(), class.metadata.name.clone()));
    newest.map(|class| class.metadata.name.clone())
}

impl Volumes {
    pub(crate) fn new(objects: &Snapshot) -> Self {
        let storage = Storage {
            classes: objects
                .storage_classes
                .iter()
                .map(|class| (class.metadata.name.clone(), class.clone()))
                .collect(),
            nodes: objects.csi_nodes.iter().map(|node| (node.metadata.name.clone(), node.clone())).collect(),
            with_capacity: objects
                .csi_drivers
                .iter()
                .filter(|driver| driver.storage_capacity)
                .map(|driver| driver.metadata.name.clone())
                .collect(),
            capacities: objects.storage_capacities.clone(),
            default_class: default_class(objects),
        };
        let mut volumes = Self { storage: Arc::new(storage), ..Self::default() };
        for claim in &objects.persistent_volume_claims {
            volumes.add_claim(claim.clone());
        }
        for volume in &objects.persistent_volumes {
            volumes.add_volume(volume.clone());
        }
        volumes.known = !objects.persistent_volume_claims.is_empty();
        volumes
    }

    /// Whether pods have volumes of which the input says nothing.
    pub(crate) fn are_unknown(&self, pods: &[Arc<Pod>]) -> bool {
        !self.known && pods.iter().any(|pod| !pod.spec.volumes.is_empty())
    }

    fn add_claim(&mut self, mut claim: PersistentVolumeClaim) {
        self.storage.complete(&mut claim);
        self.claims.insert(claim.metadata.full_name(), Arc::new(claim));
    }

    /// The claim of a pod's volume; the controller makes one for every ephemeral volume.
    fn claim_of(&self, pod: &Pod, volume: &PodVolume) -> Option<Arc<PersistentVolumeClaim>> {
        let name = volume.claim_name(&pod.metadata.name);
        if let Some(found) = self.claim(&pod.metadata.namespace, &name) {
            return Some(Arc::clone(found));
        }
        let PodVolumeClaim::Ephemeral(_, spec) = &volume.claim else { return None };
        let mut claim =
            PersistentVolumeClaim { spec: spec.as_ref().clone(), ..PersistentVolumeClaim::default() };
        claim.metadata.namespace.clone_from(&pod.metadata.namespace);
        claim.metadata.uid = format!("PersistentVolumeClaim:{}/{name}", pod.metadata.namespace);
        claim.metadata.name = name;
        claim.metadata.owner_references = vec![pod.as_controller()];
        self.storage.complete(&mut claim);
        Some(Arc::new(claim))
    }

    fn add_volume(&mut self, volume: PersistentVolume) {
        let name = volume.metadata.name.clone();
        let of_class = self.by_class.get(&volume.storage_class_name);
        let mut names = of_class.map(|names| names.to_vec()).unwrap_or_default();
        names.push(name.clone());
        names.sort();
        names.dedup();
        self.by_class.insert(volume.storage_class_name.clone(), Arc::new(names));
        self.by_name.insert(name, Arc::new(volume));
    }

    fn claim(&self, namespace: &str, name: &str) -> Option<&Arc<PersistentVolumeClaim>> {
        self.claims.get(&format!("{namespace}/{name}"))
    }

    /// Name of the volume that a claim has.
    pub(crate) fn volume_of(&self, namespace: &str, claim: &str) -> Option<&str> {
        let name = self.claim(namespace, claim)?.spec.volume_name.as_str();
        (!name.is_empty()).then_some(name)
    }

    /// Takes note of a pod that comes to a node (1) or leaves one (-1).
    pub(crate) fn note_pod(&mut self, pod: &Pod, by: i32) {
        for volume in &pod.spec.volumes {
            let name = format!("{}/{}", pod.metadata.namespace, volume.claim_name(&pod.metadata.name));
            let users = self.users.get(&name).copied().unwrap_or_default();
            self.users.insert(name, users.saturating_add_signed(by));
        }
    }

    /// Binds a claim to a volume that is there.
    fn bind(&mut self, claim: &PersistentVolumeClaim, volume: &PersistentVolume) {
        let metadata = &claim.metadata;
        let mut bound = volume.clone();
        bound.claim = Some((metadata.namespace.clone(), metadata.name.clone(), metadata.uid.clone()));
        "Bound".clone_into(&mut bound.phase);
        self.by_name.insert(bound.metadata.name.clone(), Arc::new(bound));
        let mut claim = claim.clone();
        claim.spec.volume_name.clone_from(&volume.metadata.name);
        claim.metadata.annotations.insert(BIND_COMPLETED.to_owned(), "yes".to_owned());
        "Bound".clone_into(&mut claim.phase);
        self.claims.insert(claim.metadata.full_name(), Arc::new(claim));
    }

    /// Makes a volume for a claim on a node, reachable from all nodes that agree in the labels by which the driver tells
    /// places apart there.
    fn provision(&mut self, claim: &PersistentVolumeClaim, node: &drayage_allocator::objects::Node) {
        let class_name = claim.spec.storage_class_name.clone().unwrap_or_default();
        let provisioner = self.storage.classes.get(&class_name).map(|class| class.provisioner.clone());
        let provisioner = provisioner.unwrap_or_default();
        let driver = self.storage.nodes.get(&node.name).and_then(|node| node.drivers.get(&provisioner));
        let same = |key: &String| NodeSelectorRequirement {
            key: key.clone(),
            operator: "In".to_owned(),
            values: node.labels.get(key).cloned().into_iter().collect(),
        };
        let keys: Vec<NodeSelectorRequirement> =
            driver.map(|driver| driver.topology_keys.iter().map(same).collect()).unwrap_or_default();
        let term = NodeSelectorTerm { match_expressions: keys, match_fields: Vec::new() };
        let name = format!("pvc-{}", claim.metadata.uid);
        let mut volume = PersistentVolume {
            capacity: claim.spec.request.clone(),
            access_modes: claim.spec.access_modes.clone(),
            volume_mode: claim.spec.volume_mode.clone(),
            storage_class_name: class_name,
            node_affinity: (!term.match_expressions.is_empty()).then(|| NodeSelector { terms: vec![term] }),
            csi: Some((provisioner, name.clone())),
            ..PersistentVolume::default()
        };
        volume.metadata.name = name;
        self.add_volume(volume.clone());
        self.bind(claim, &volume);
    }

    /// The driver that attaches a claim's volume, and what it calls the volume; `None` where no CSI driver does.
    fn attached(&self, claim: &PersistentVolumeClaim) -> Option<(String, String)> {
        if let Some(volume) = self.by_name.get(&claim.spec.volume_name) {
            return volume.csi.clone().filter(|(driver, handle)| !driver.is_empty() && !handle.is_empty());
        }
        let class = self.storage.classes.get(claim.spec.storage_class_name.as_deref()?)?;
        Some((class.provisioner.clone(), format!("-{}", claim.metadata.full_name())))
    }

    /// The volumes that CSI drivers attach for a pod: drivers and volumes.
    fn attached_of(&self, pod: &Pod) -> BTreeSet<(String, String)> {
        let claims = pod.spec.volumes.iter().filter_map(|volume| self.claim_of(pod, volume));
        claims.filter_map(|claim| self.attached(&claim)).collect()
    }
}
