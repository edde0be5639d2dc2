//! Volumes, claims for them, and what storage says of nodes.

use super::common::node_selector;
use super::disruption::label_selector;
use super::metadata::metadata;
use crate::fields::{Fields, object};
use crate::objects::{
    CsiDriver, CsiNode, CsiNodeDriver, Origin, PersistentVolume, PersistentVolumeClaim, StorageCapacity,
    StorageClass, VolumeClaimSpec,
};

/// `core/v1` `PersistentVolume`
pub(crate) fn persistent_volume(fields: &Fields<'_, '_>, origin: Origin) -> PersistentVolume {
    let mut volume = PersistentVolume { metadata: metadata(fields), origin, ..PersistentVolume::default() };
    fields.object("spec", |spec| {
        volume.capacity = spec.quantity_map("capacity").remove("storage");
        volume.access_modes = spec.texts("accessModes");
        volume.volume_mode = volume_mode(spec);
        volume.storage_class_name = spec.string("storageClassName");
        volume.attributes_class_name = spec.string("volumeAttributesClassName");
        volume.node_affinity =
            spec.object("nodeAffinity", |affinity| affinity.object("required", node_selector)).flatten();
        volume.claim = spec.object("claimRef", |claim| {
            claim.skip_all();
            (claim.string("namespace"), claim.string("name"), claim.string("uid"))
        });
        volume.csi = spec.object("csi", |csi| {
            csi.skip_all();
            (csi.string("driver"), csi.string("volumeHandle"))
        });
        // Which other kind of storage it is has no part in scheduling.
        spec.skip_all();
    });
    let phase = fields.object("status", |status| {
        status.skip_all();
        status.string("phase")
    });
    let untold = if volume.claim.is_some() { "Bound" } else { "Available" };
    volume.phase = phase.filter(|phase| !phase.is_empty()).unwrap_or_else(|| untold.to_owned());
    volume
}

fn volume_mode(fields: &Fields<'_, '_>) -> String {
    fields.text("volumeMode").filter(|mode| !mode.is_empty()).unwrap_or_else(|| "Filesystem".to_owned())
}

/// `core/v1` `PersistentVolumeClaim`
pub(crate) fn persistent_volume_claim(fields: &Fields<'_, '_>, origin: Origin) -> PersistentVolumeClaim {
    let mut claim =
        PersistentVolumeClaim { metadata: metadata(fields), origin, ..PersistentVolumeClaim::default() };
    claim.spec = fields.object("spec", claim_spec).unwrap_or_default();
    let phase = fields.object("status", |status| {
        status.skip_all();
        status.string("phase")
    });
    claim.phase = phase.unwrap_or_default();
    claim
}

/// `PersistentVolumeClaimSpec`
pub(crate) fn claim_spec(fields: &Fields<'_, '_>) -> VolumeClaimSpec {
    fields.skip(&["dataSource", "dataSourceRef"]);
    VolumeClaimSpec {
        volume_name: fields.string("volumeName"),
        storage_class_name: fields.text("storageClassName"),
        attributes_class_name: fields.string("volumeAttributesClassName"),
        access_modes: fields.texts("accessModes"),
        volume_mode: volume_mode(fields),
        request: fields
            .object("resources", |resources| {
                resources.skip(&["limits"]);
                resources.quantity_map("requests").remove("storage")
            })
            .flatten(),
        selector: fields.object("selector", label_selector),
    }
}

/// `storage.k8s.io/v1` `StorageClass`
pub(crate) fn storage_class(fields: &Fields<'_, '_>, origin: Origin) -> StorageClass {
    fields.skip(&["parameters", "reclaimPolicy", "mountOptions", "allowVolumeExpansion"]);
    let expression = |fields: &Fields<'_, '_>| (fields.string("key"), fields.texts("values"));
    let term = |fields: &Fields<'_, '_>| {
        fields.list("matchLabelExpressions", |item| object(item, expression)).unwrap_or_default()
    };
    StorageClass {
        metadata: metadata(fields),
        origin,
        provisioner: fields.string("provisioner"),
        waits_for_consumer: fields.string("volumeBindingMode") == "WaitForFirstConsumer",
        allowed_topologies: fields.list("allowedTopologies", |item| object(item, term)).unwrap_or_default(),
    }
}

/// `storage.k8s.io/v1` `CSINode`
pub(crate) fn csi_node(fields: &Fields<'_, '_>, origin: Origin) -> CsiNode {
    let driver = |fields: &Fields<'_, '_>| {
        fields.skip(&["nodeID"]);
        let limit = fields.object("allocatable", |allocatable| allocatable.integer("count")).flatten();
        (fields.string("name"), CsiNodeDriver { limit, topology_keys: fields.texts("topologyKeys") })
    };
    let drivers = fields
        .object("spec", |spec| spec.list("drivers", |item| object(item, driver)).unwrap_or_default())
        .unwrap_or_default();
    CsiNode { metadata: metadata(fields), origin, drivers: drivers.into_iter().collect() }
}

/// `storage.k8s.io/v1` `CSIDriver`
pub(crate) fn csi_driver(fields: &Fields<'_, '_>, origin: Origin) -> CsiDriver {
    let storage_capacity = fields.object("spec", |spec| {
        spec.skip_all();
        spec.flag("storageCapacity")
    });
    CsiDriver { metadata: metadata(fields), origin, storage_capacity: storage_capacity.unwrap_or_default() }
}

/// `storage.k8s.io/v1` `CSIStorageCapacity`
pub(crate) fn storage_capacity(fields: &Fields<'_, '_>, origin: Origin) -> StorageCapacity {
    let (most, all) = (fields.quantity("maximumVolumeSize"), fields.quantity("capacity"));
    StorageCapacity {
        metadata: metadata(fields),
        origin,
        storage_class_name: fields.string("storageClassName"),
        node_topology: fields.object("nodeTopology", label_selector),
        limit: most.or(all),
    }
}
