//! Problems recorded one a line: a node, its cluster's objects, and claims to allocate together.
//!
//! The format, all objects as in `resource.k8s.io/v1`:
//!
//! | field | meaning |
//! |---|---|
//! | `name` | text that identifies the problem |
//! | `node`, `classes`, `slices`, `claims` | the objects; claims are to be allocated together, in order |
//! | `allocatedDevices` | ids `driver/pool/device` that other claims hold exclusively |
//! | `allocatedSharedDeviceIDs` | shares that others hold, `driver/pool/device/shareID` |
//! | `allocatedCapacity` | what shares consume: id, then capacity name, then quantity |
//! | `features` | the allocator's feature switches, off where absent |
//! | `channel` | which of upstream's implementations answered: `stable`, `incubating` or `experimental` |
//! | `results`, `error`, `expectError`, `steps` | the recorded answer, if there is one |

use std::collections::BTreeMap;

use drayage_allocator::Features;
use drayage_allocator::objects::{
    AllocationResult, DeviceClass, DeviceId, Node, PoolId, Quantity, ResourceClaim, ResourceSlice,
    SharedDeviceId,
};

use crate::decode::common::name_and_namespace;
use crate::decode::{ResourceVersion, claim, class, result, slice};
use crate::fields::{Fields, FindingKind, Findings, Item, object};
use crate::json;

/// One problem and, where it was recorded, its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `name`
    pub name: String,
    /// `channel`: `stable`, `incubating` or `experimental`; empty if absent.
    pub channel: String,
    /// `node`
    pub node: Node,
    /// `classes`
    pub classes: Vec<DeviceClass>,
    /// `slices`
    pub slices: Vec<ResourceSlice>,
    /// `claims`, to be allocated together
    pub claims: Vec<ResourceClaim>,
    /// `allocatedDevices`
    pub allocated_devices: Vec<DeviceId>,
    /// `allocatedSharedDeviceIDs`
    pub allocated_shared_devices: Vec<SharedDeviceId>,
    /// `allocatedCapacity`
    pub allocated_capacity: BTreeMap<DeviceId, BTreeMap<String, Quantity>>,
    /// `features`; a switch that is absent is off, whatever a release's default is.
    pub features: Features,
    /// The recorded answer.
    pub recorded: Recorded,
}

/// What was recorded as the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// `results`: one for each claim; `None` where there is no solution, an error, or no record.
    pub results: Option<Vec<AllocationResult>>,
    /// `results` as it was written.
    pub results_json: Option<serde_json::Value>,
    /// `error`: the text of the error.
    pub error: Option<String>,
    /// `expectError`
    pub expect_error: bool,
    /// `steps`: how many search steps it took.
    pub steps: Option<u64>,
}

/// The line is no problem in this format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProblemError {
    /// Not JSON.
    #[error("column {column}: {message}")]
    Syntax {
        /// Column in the line, from 1, in bytes.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A value of the wrong type.
    #[error("column {column}: `{field}`: {message}")]
    Field {
        /// Column in the line, from 1, in bytes.
        column: usize,
        /// Path of the field, such as `claims[0].spec.devices.requests[0].name`.
        field: String,
        /// What is wrong.
        message: String,
    },
}

/// Reads one line.
///
/// Fields that are unknown are ignored; objects are kept with whatever faults they have, because a problem may be
/// about just these.
pub fn read_line(line: &str) -> Result<Problem, ProblemError> {
    let node = json::parse(line)
        .map_err(|error| ProblemError::Syntax { column: error.at + 1, message: error.message })?;
    let findings = Findings::default();
    let problem = object(Item::root(&node, &findings), problem);
    for finding in findings.take() {
        if let FindingKind::Wrong { message, .. } = finding.kind {
            return Err(ProblemError::Field {
                column: finding.at + 1,
                field: finding.path.to_string(),
                message,
            });
        }
    }
    problem.ok_or_else(|| ProblemError::Syntax { column: 1, message: "expected an object".to_owned() })
}

fn problem(fields: &Fields<'_, '_>) -> Problem {
    Problem {
        name: fields.string("name"),
        channel: fields.string("channel"),
        node: fields.object("node", node).unwrap_or_default(),
        classes: fields.list("classes", |item| object(item, device_class)).unwrap_or_default(),
        slices: fields.list("slices", |item| object(item, resource_slice)).unwrap_or_default(),
        claims: fields.list("claims", |item| object(item, resource_claim)).unwrap_or_default(),
        allocated_devices: fields.list("allocatedDevices", device_id).unwrap_or_default(),
        allocated_shared_devices: fields
            .list("allocatedSharedDeviceIDs", shared_device_id)
            .unwrap_or_default(),
        allocated_capacity: allocated_capacity(fields),
        features: fields.object("features", features).unwrap_or(Features::NONE),
        recorded: recorded(fields),
    }
}

fn node(fields: &Fields<'_, '_>) -> Node {
    let mut node = fields
        .object("metadata", |metadata| Node {
            name: metadata.string("name"),
            labels: metadata.text_map("labels"),
            ..Node::default()
        })
        .unwrap_or_default();
    fields.object("status", |status| {
        node.declared_features = status.texts("declaredFeatures").into_iter().collect();
    });
    node
}

fn device_class(fields: &Fields<'_, '_>) -> DeviceClass {
    let mut class = fields.object("spec", class::spec).unwrap_or_default();
    (class.name, _) = name_and_namespace(fields);
    class
}

fn resource_slice(fields: &Fields<'_, '_>) -> ResourceSlice {
    let mut slice = fields.object("spec", |spec| slice::spec(spec, ResourceVersion::V1)).unwrap_or_default();
    (slice.name, _) = name_and_namespace(fields);
    slice
}

fn resource_claim(fields: &Fields<'_, '_>) -> ResourceClaim {
    let mut claim = fields.object("spec", |spec| claim::spec(spec, ResourceVersion::V1)).unwrap_or_default();
    (claim.name, claim.namespace) = name_and_namespace(fields);
    claim
}

/// The names are those of Go's `Features`.
fn features(fields: &Fields<'_, '_>) -> Features {
    Features {
        admin_access: fields.flag("AdminAccess"),
        prioritized_list: fields.flag("PrioritizedList"),
        partitionable_devices: fields.flag("PartitionableDevices"),
        device_taints: fields.flag("DeviceTaints"),
        device_binding_and_status: fields.flag("DeviceBindingAndStatus"),
        device_status: fields.flag("DeviceStatus"),
        consumable_capacity: fields.flag("ConsumableCapacity"),
        list_type_attributes: fields.flag("ListTypeAttributes"),
        fractional_capacity_range: fields.flag("FractionalCapacityRange"),
        optional_node_operations: fields.flag("OptionalNodeOperations"),
        derived_attributes: fields.flag("DerivedAttributes"),
        compatibility_groups: fields.flag("CompatibilityGroups"),
    }
}

fn recorded(fields: &Fields<'_, '_>) -> Recorded {
    Recorded {
        results: fields.list("results", |item| object(item, result::allocation)),
        results_json: fields.get("results").map(Item::to_json),
        error: fields.text("error"),
        expect_error: fields.flag("expectError"),
        steps: fields.integer("steps").and_then(|steps| u64::try_from(steps).ok()),
    }
}

fn device_id(item: Item<'_, '_>) -> Option<DeviceId> {
    let text = item.text()?;
    let id = parse_device_id(&text);
    if id.is_none() {
        item.wrong(format!("`{text}` is not of the form `driver/pool/device`"), None);
    }
    id
}

/// Drivers and devices hold no slash, pools may.
fn parse_device_id(text: &str) -> Option<DeviceId> {
    let (driver, rest) = text.split_once('/')?;
    let (pool, device) = rest.rsplit_once('/')?;
    let pool = PoolId { driver: driver.to_owned(), pool: pool.to_owned() };
    Some(DeviceId { pool, device: device.to_owned() })
}

fn shared_device_id(item: Item<'_, '_>) -> Option<SharedDeviceId> {
    let text = item.text()?;
    let id = text.rsplit_once('/').and_then(|(device, share_id)| {
        Some(SharedDeviceId { device: parse_device_id(device)?, share_id: share_id.to_owned() })
    });
    if id.is_none() {
        item.wrong(format!("`{text}` is not of the form `driver/pool/device/share`"), None);
    }
    id
}

fn allocated_capacity(fields: &Fields<'_, '_>) -> BTreeMap<DeviceId, BTreeMap<String, Quantity>> {
    let mut capacity = BTreeMap::new();
    let Some(map) = fields.get("allocatedCapacity") else { return capacity };
    for (text, item) in map.entries() {
        let Some(id) = parse_device_id(text) else {
            item.wrong(format!("`{text}` is not of the form `driver/pool/device`"), None);
            continue;
        };
        let amounts = item.entries().filter_map(|(name, amount)| Some((name.to_owned(), amount.quantity()?)));
        capacity.insert(id, amounts.collect());
    }
    capacity
}
