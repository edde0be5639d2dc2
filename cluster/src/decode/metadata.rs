//! `metadata`.

use crate::fields::{Fields, object};
use crate::objects::{Metadata, OwnerReference};

/// The `metadata` of an object whose fields are given; empty where there is none.
pub(crate) fn metadata(object: &Fields<'_, '_>) -> Metadata {
    object.object("metadata", read).unwrap_or_default()
}

fn read(fields: &Fields<'_, '_>) -> Metadata {
    fields.skip(&[
        "managedFields",
        "generation",
        "generateName",
        "selfLink",
        "finalizers",
        "deletionGracePeriodSeconds",
        "clusterName",
    ]);
    Metadata {
        name: fields.string("name"),
        namespace: fields.string("namespace"),
        uid: fields.string("uid"),
        labels: fields.text_map("labels"),
        annotations: fields.text_map("annotations"),
        owner_references: fields
            .list("ownerReferences", |item| object(item, owner_reference))
            .unwrap_or_default(),
        creation_timestamp: fields.text("creationTimestamp"),
        deletion_timestamp: fields.text("deletionTimestamp"),
        resource_version: fields.text("resourceVersion"),
    }
}

fn owner_reference(fields: &Fields<'_, '_>) -> OwnerReference {
    OwnerReference {
        api_version: fields.string("apiVersion"),
        kind: fields.string("kind"),
        name: fields.string("name"),
        uid: fields.string("uid"),
        controller: fields.flag("controller"),
        block_owner_deletion: fields.flag("blockOwnerDeletion"),
    }
}
