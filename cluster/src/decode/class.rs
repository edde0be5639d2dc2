//! DeviceClass, in every version.

use drayage_allocator::objects::DeviceClass;

use super::common::{opaque, selectors};
use crate::fields::{Fields, object};

/// The `spec` of a class. The caller sets the name.
pub(crate) fn spec(spec: &Fields<'_, '_>) -> DeviceClass {
    spec.not_considered("suitableNodes", "nodes suitable for a class ended with Kubernetes 1.31");
    DeviceClass {
        name: String::new(),
        selectors: selectors(spec),
        config: spec.list("config", |item| object(item, opaque)).unwrap_or_default(),
        extended_resource_name: spec.text("extendedResourceName"),
    }
}
