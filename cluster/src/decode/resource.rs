//! Whole objects of `resource.k8s.io`, metadata and status included.

use std::sync::Arc;

use drayage_allocator::objects::{DeviceId, DeviceTaint, PoolId, SharedDeviceId};

use super::metadata::metadata;
use super::{ResourceVersion, claim, class, result, slice};
use crate::fields::{Fields, Item, object};
use crate::objects::{
    AllocatedDeviceStatus, Claim, ClaimTemplate, Class, Condition, ConsumerReference, Origin, Slice,
    TaintRule,
};

/// `ResourceClaim`
pub(crate) fn resource_claim(fields: &Fields<'_, '_>, origin: Origin, version: ResourceVersion) -> Claim {
    let mut claim = Claim {
        metadata: metadata(fields),
        origin,
        spec: fields.object("spec", |spec| claim::spec(spec, version)).unwrap_or_default(),
        ..Claim::default()
    };
    claim.spec.name.clone_from(&claim.metadata.name);
    fields.object("status", |status| {
        status.skip(&["driverName"]);
        status.not_considered(
            "deallocationRequested",
            "deallocation by a controller ended with Kubernetes 1.31",
        );
        claim.allocation = status.object("allocation", result::allocation);
        claim.allocation_timestamp = status
            .get("allocation")
            .and_then(Item::fields)
            .and_then(|allocation| allocation.text("allocationTimestamp"));
        claim.reserved_for = status.list("reservedFor", |item| object(item, consumer)).unwrap_or_default();
        claim.devices = status.list("devices", |item| object(item, device_status)).unwrap_or_default();
    });
    claim
}

fn consumer(fields: &Fields<'_, '_>) -> ConsumerReference {
    ConsumerReference {
        api_group: fields.string("apiGroup"),
        resource: fields.string("resource"),
        name: fields.string("name"),
        uid: fields.string("uid"),
    }
}

fn device_status(fields: &Fields<'_, '_>) -> AllocatedDeviceStatus {
    fields.skip(&["data", "networkData"]);
    let condition = |fields: &Fields<'_, '_>| {
        fields.skip(&["lastTransitionTime", "reason", "message", "observedGeneration"]);
        Condition { kind: fields.string("type"), status: fields.string("status") }
    };
    AllocatedDeviceStatus {
        device: SharedDeviceId {
            device: DeviceId {
                pool: PoolId { driver: fields.string("driver"), pool: fields.string("pool") },
                device: fields.string("device"),
            },
            share_id: fields.string("shareID"),
        },
        conditions: fields.list("conditions", |item| object(item, condition)).unwrap_or_default(),
    }
}

/// `ResourceClaimTemplate`
pub(crate) fn claim_template(
    fields: &Fields<'_, '_>,
    origin: Origin,
    version: ResourceVersion,
) -> ClaimTemplate {
    let mut template = ClaimTemplate { metadata: metadata(fields), origin, ..ClaimTemplate::default() };
    fields.object("spec", |spec| {
        let for_claims = metadata(spec);
        template.claim_labels = for_claims.labels;
        template.claim_annotations = for_claims.annotations;
        template.spec = spec.object("spec", |spec| claim::spec(spec, version)).unwrap_or_default();
    });
    template
}

/// `DeviceClass`
pub(crate) fn device_class(fields: &Fields<'_, '_>, origin: Origin) -> Class {
    let mut spec = fields.object("spec", class::spec).unwrap_or_default();
    let metadata = metadata(fields);
    spec.name.clone_from(&metadata.name);
    Class { metadata, origin, spec }
}

/// `ResourceSlice`
pub(crate) fn resource_slice(fields: &Fields<'_, '_>, origin: Origin, version: ResourceVersion) -> Slice {
    let read = fields.object("spec", |spec| slice::spec_with_times(spec, version));
    let (mut spec, taint_times) = read.unwrap_or_default();
    let metadata = metadata(fields);
    spec.name.clone_from(&metadata.name);
    Slice { metadata, origin, spec: Arc::new(spec), taint_times }
}

/// `DeviceTaintRule`
pub(crate) fn taint_rule(fields: &Fields<'_, '_>, origin: Origin) -> TaintRule {
    fields.skip(&["status"]);
    let mut rule = TaintRule { metadata: metadata(fields), origin, ..TaintRule::default() };
    fields.object("spec", |spec| {
        spec.object("deviceSelector", |selector| {
            for key in ["deviceClassName", "selectors"] {
                selector.not_considered(
                    key,
                    "rules select by driver, pool and device only since Kubernetes 1.35",
                );
            }
            rule.driver = selector.text("driver");
            rule.pool = selector.text("pool");
            rule.device = selector.text("device");
        });
        let taint = spec.object("taint", |taint| (slice::taint(taint), slice::time_added(taint)));
        (rule.taint, rule.time_added) = taint.unwrap_or_else(|| (DeviceTaint::default(), None));
    });
    rule
}
