//! `status.allocation` of a claim, in every version.

use std::sync::Arc;

use drayage_allocator::objects::{
    AllocationResult, ConfigurationSource, DeviceAllocationConfiguration, DeviceRequestAllocationResult,
};

use super::common::{node_selector, opaque, texts_or_none, tolerations};
use crate::fields::{Fields, Item, object};

/// `AllocationResult`
pub(crate) fn allocation(fields: &Fields<'_, '_>) -> AllocationResult {
    fields.skip(&["allocationTimestamp", "controller"]);
    let (results, config) = fields
        .object("devices", |devices| {
            let results = devices.list("results", |item| object(item, device_result)).unwrap_or_default();
            let config = devices.list("config", configuration).unwrap_or_default();
            (results, config)
        })
        .unwrap_or_default();
    AllocationResult {
        results,
        config,
        node_selector: fields.object("nodeSelector", node_selector).map(Arc::new),
    }
}

fn device_result(fields: &Fields<'_, '_>) -> DeviceRequestAllocationResult {
    DeviceRequestAllocationResult {
        request: fields.string("request"),
        driver: fields.string("driver"),
        pool: fields.string("pool"),
        device: fields.string("device"),
        admin_access: fields.boolean("adminAccess"),
        tolerations: tolerations(fields),
        binding_conditions: texts_or_none(fields, "bindingConditions"),
        binding_failure_conditions: texts_or_none(fields, "bindingFailureConditions"),
        share_id: fields.text("shareID"),
        consumed_capacity: fields.quantity_map("consumedCapacity"),
        skip_node_operations: fields.texts("skipNodeOperations"),
    }
}

fn configuration(item: Item<'_, '_>) -> Option<DeviceAllocationConfiguration> {
    let fields = item.fields()?;
    let source = match fields.text("source").as_deref() {
        Some("FromClass") => Some(ConfigurationSource::Class),
        Some("FromClaim") => Some(ConfigurationSource::Claim),
        _ => {
            item.wrong("`source` must be `FromClass` or `FromClaim`", None);
            None
        }
    };
    let (requests, opaque) = (fields.texts("requests"), opaque(&fields));
    fields.finish();
    Some(DeviceAllocationConfiguration { source: source?, requests, opaque })
}
