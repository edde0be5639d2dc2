//! `metadata`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{put, put_list, put_some, put_text};
use crate::objects::{Metadata, OwnerReference};

/// `metadata` as JSON. A UID that stands in for a missing one (see [`crate::load()`]) is left out.
pub fn metadata_json(metadata: &Metadata) -> Value {
    let mut object = Map::new();
    put_text(&mut object, "name", &metadata.name);
    put_text(&mut object, "namespace", &metadata.namespace);
    if !is_stand_in(&metadata.uid) {
        put_text(&mut object, "uid", &metadata.uid);
    }
    put_texts_by_key(&mut object, "labels", &metadata.labels);
    put_texts_by_key(&mut object, "annotations", &metadata.annotations);
    put_list(&mut object, "ownerReferences", &metadata.owner_references, owner_json);
    put_some(&mut object, "creationTimestamp", metadata.creation_timestamp.as_deref());
    put_some(&mut object, "deletionTimestamp", metadata.deletion_timestamp.as_deref());
    put_some(&mut object, "resourceVersion", metadata.resource_version.as_deref());
    Value::Object(object)
}

/// A real UID has no colon.
fn is_stand_in(uid: &str) -> bool {
    uid.contains(':')
}

pub(super) fn put_texts_by_key(
    object: &mut Map<String, Value>,
    key: &str,
    values: &BTreeMap<String, String>,
) {
    if !values.is_empty() {
        let texts = values.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
        object.insert(key.to_owned(), Value::Object(texts.collect()));
    }
}

/// The reference keeps a stand-in, because the API requires a UID here.
fn owner_json(owner: &OwnerReference) -> Value {
    let mut object = Map::new();
    put(&mut object, "apiVersion", &owner.api_version);
    put(&mut object, "kind", &owner.kind);
    put(&mut object, "name", &owner.name);
    put(&mut object, "uid", &owner.uid);
    put_some(&mut object, "controller", owner.controller.then_some(true));
    put_some(&mut object, "blockOwnerDeletion", owner.block_owner_deletion.then_some(true));
    Value::Object(object)
}
