//! From pools to slices: how devices and counters are spread over ResourceSlices.

use std::{collections::BTreeMap, fmt::Write as _};

use drayage_allocator::objects::ResourceSlice;
use drayage_cluster::{Input, LoadErrors, LoadOptions, load};
use serde_json::{Map, Value, json};

use crate::devices::{Fields, Pool, PoolDevice};

/// Devices in one slice.
const MOST_DEVICES: usize = 128;
/// Devices in one slice as soon as one of them has taints, consumes counters or has a list as attribute.
const MOST_SPECIAL_DEVICES: usize = 64;
/// Counter sets in one slice.
const MOST_COUNTER_SETS: usize = 8;

/// How slices are to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Since Kubernetes 1.35 counters are in slices of their own; before, in those of the devices that take from them.
    pub counters_apart: bool,
    /// Taints may come and go: slices are filled as if every device had one, so that a taint moves no device.
    pub taints: bool,
}

/// A pool that cannot be spread over slices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Before Kubernetes 1.35 devices of one counter set have to be in one slice.
    #[error(
        "pool `{pool}`: {devices} devices share counters, more than the {MOST_SPECIAL_DEVICES} of one slice"
    )]
    TooManyPartitions {
        /// The pool.
        pool: String,
        /// How many devices belong together.
        devices: usize,
    },
}

/// What one slice of a pool holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SliceContent {
    /// `spec.devices` in the form of `resource.k8s.io/v1`.
    pub devices: Vec<PoolDevice>,
    /// `spec.sharedCounters`.
    pub shared_counters: Vec<Value>,
}

/// Whether a device halves the room in its slice.
fn is_special(device: &PoolDevice) -> bool {
    let lists = ["ints", "bools", "strings", "versions"];
    let fields = device.fields.map();
    let attributes = fields.get("attributes").and_then(Value::as_object);
    let has_list = |value: &Value| lists.iter().any(|list| value.get(list).is_some());
    let some = |name: &str| fields.get(name).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    some("taints")
        || some("consumesCounters")
        || attributes.is_some_and(|attributes| attributes.values().any(has_list))
}

/// Spreads a pool over slices, always in the same way. A pool without devices is one empty slice: the driver is there
/// and has nothing to offer.
///
/// # Errors
///
/// See [`LayoutError`].
pub fn spread(pool: &Pool, layout: Layout) -> Result<Vec<SliceContent>, LayoutError> {
    let special = layout.taints || pool.devices.iter().any(is_special);
    let limit = if special { MOST_SPECIAL_DEVICES } else { MOST_DEVICES };
    let mut slices: Vec<SliceContent> = Vec::new();
    if layout.counters_apart || pool.shared_counters.is_empty() {
        slices.extend(
            pool.shared_counters
                .chunks(MOST_COUNTER_SETS)
                .map(|sets| SliceContent { devices: Vec::new(), shared_counters: sets.to_vec() }),
        );
        slices.extend(
            pool.devices
                .chunks(limit)
                .map(|devices| SliceContent { devices: devices.to_vec(), shared_counters: Vec::new() }),
        );
    } else {
        let mut current = SliceContent::default();
        for group in groups(pool) {
            if group.devices.len() > limit {
                let devices = group.devices.len();
                return Err(LayoutError::TooManyPartitions { pool: pool.name.clone(), devices });
            }
            let full = current.devices.len() + group.devices.len() > limit
                || current.shared_counters.len() + group.shared_counters.len() > MOST_COUNTER_SETS;
            if full && current != SliceContent::default() {
                slices.push(std::mem::take(&mut current));
            }
            current.devices.extend(group.devices);
            current.shared_counters.extend(group.shared_counters);
        }
        slices.push(current);
    }
    if slices.is_empty() {
        slices.push(SliceContent::default());
    }
    Ok(slices)
}

/// Devices that have to be in one slice because they take from the same counter sets, with these.
fn groups(pool: &Pool) -> Vec<SliceContent> {
    let names = |device: &PoolDevice| -> Vec<String> {
        let taken = device.fields.get("consumesCounters");
        let name = |taken: &Value| taken["counterSet"].as_str().map(str::to_owned);
        taken.as_ref().and_then(Value::as_array).into_iter().flatten().filter_map(name).collect()
    };
    // Group of every counter set seen so far; groups that turn out to belong together are joined.
    let mut group_of: BTreeMap<String, usize> = BTreeMap::new();
    let mut groups: Vec<SliceContent> = Vec::new();
    for device in &pool.devices {
        let names = names(device);
        let mut known: Vec<usize> = names.iter().filter_map(|name| group_of.get(name).copied()).collect();
        known.sort_unstable();
        known.dedup();
        let target = known.first().copied().unwrap_or_else(|| {
            groups.push(SliceContent::default());
            groups.len() - 1
        });
        for joined in known.into_iter().skip(1) {
            let devices = groups.get_mut(joined).map(|group| std::mem::take(&mut group.devices));
            if let Some(group) = groups.get_mut(target) {
                group.devices.extend(devices.unwrap_or_default());
            }
            for group in group_of.values_mut().filter(|group| **group == joined) {
                *group = target;
            }
        }
        group_of.extend(names.into_iter().map(|name| (name, target)));
        if let Some(group) = groups.get_mut(target) {
            group.devices.push(device.clone());
        }
    }
    let mut unused = SliceContent::default();
    for set in &pool.shared_counters {
        let group = set["name"].as_str().and_then(|name| group_of.get(name));
        match group.and_then(|group| groups.get_mut(*group)) {
            Some(group) => group.shared_counters.push(set.clone()),
            None => unused.shared_counters.push(set.clone()),
        }
    }
    groups.push(unused);
    groups.retain(|group| *group != SliceContent::default());
    groups
}

/// `spec` of a slice in the form of `resource.k8s.io/v1`, without devices and counters.
pub(super) fn head(driver: &str, node: &str, pool: &str, generation: i64, count: usize) -> Fields {
    let mut head = Map::new();
    head.insert("driver".to_owned(), json!(driver));
    head.insert("nodeName".to_owned(), json!(node));
    head.insert(
        "pool".to_owned(),
        json!({ "name": pool, "generation": generation, "resourceSliceCount": count }),
    );
    head.into()
}

/// `spec` of a slice with this [`head`]. Devices are copied as the text that they are.
pub(super) fn spec(head: &Fields, content: &SliceContent) -> Fields {
    let mut text = head.text().to_owned();
    text.pop();
    // Writing into memory does not fail.
    if !content.devices.is_empty() {
        text.push_str(if text == "{" { "\"devices\":[" } else { ",\"devices\":[" });
        for (number, device) in content.devices.iter().enumerate() {
            let fields = device.fields.text().strip_prefix('{').unwrap_or_default();
            let name = Value::from(device.name.as_str());
            let (before, between) = (if number > 0 { "," } else { "" }, if fields == "}" { "" } else { "," });
            let _ = write!(text, "{before}{{\"name\":{name}{between}{fields}");
        }
        text.push(']');
    }
    if !content.shared_counters.is_empty() {
        let comma = if text == "{" { "" } else { "," };
        let _ = write!(text, "{comma}\"sharedCounters\":{}", Value::Array(content.shared_counters.clone()));
    }
    text.push('}');
    Fields::of_object(text)
}

/// The pools as the allocator sees them, and as the API server would check them.
///
/// # Errors
///
/// What the API server would refuse in the first slice that it would refuse, with the field. Places are those of a document `POOL/NUMBER` that nobody has
/// written.
pub fn allocator_slices(
    driver: &str,
    node: &str,
    pools: &[Pool],
) -> Result<Vec<ResourceSlice>, Box<LoadErrors>> {
    let layout = Layout { counters_apart: true, taints: true };
    let mut slices = Vec::new();
    for pool in pools {
        // With counters apart no pool is refused.
        let contents = spread(pool, layout).unwrap_or_default();
        for (number, content) in contents.iter().enumerate() {
            let head = head(driver, node, &pool.name, 1, contents.len());
            let object = format!(
                "{{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceSlice\",\
                 \"metadata\":{{\"name\":\"{number:05}-{}\"}},\"spec\":{}}}",
                slices.len(),
                spec(&head, content).text()
            );
            let name = format!("{}/{number}.json", pool.name);
            let input = Input::Bytes { name, bytes: object.into_bytes() };
            // One after the other: what is read takes many times the memory of what it is made into.
            let snapshot = load(&[input], LoadOptions::default()).map_err(Box::new)?;
            slices.extend(snapshot.allocator_slices(false));
        }
    }
    Ok(slices)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device(name: String, sets: &[usize], tainted: bool) -> PoolDevice {
        let mut fields = Map::new();
        if !sets.is_empty() {
            let taken: Vec<Value> = sets
                .iter()
                .map(|set| json!({"counterSet": format!("set-{set}"), "counters": {"slots": {"value": "1"}}}))
                .collect();
            fields.insert("consumesCounters".to_owned(), Value::Array(taken));
        }
        if tainted {
            fields.insert("taints".to_owned(), json!([{"key": "a", "effect": "NoSchedule"}]));
        }
        PoolDevice { name, fields: fields.into() }
    }

    fn pool(devices: Vec<PoolDevice>, sets: usize) -> Pool {
        let set = |set| json!({"name": format!("set-{set}"), "counters": {"slots": {"value": "9"}}});
        Pool { name: "node-1".to_owned(), devices, shared_counters: (0..sets).map(set).collect() }
    }

    proptest! {
        /// Nothing is lost or doubled, limits hold, and counters are where the layout wants them.
        #[test]
        fn every_device_is_in_one_slice_within_the_limits(
            devices in prop::collection::vec((prop::collection::vec(0..12_usize, 0..3), any::<bool>()), 0..300),
            counters_apart: bool,
            taints: bool,
        ) {
            let devices: Vec<PoolDevice> = devices
                .iter()
                .enumerate()
                .map(|(number, (sets, tainted))| device(format!("d{number}"), sets, *tainted))
                .collect();
            let pool = pool(devices.clone(), 12);
            let layout = Layout { counters_apart, taints };
            let Ok(slices) = spread(&pool, layout) else {
                prop_assert!(!counters_apart);
                return Ok(());
            };
            let mut seen: Vec<&str> =
                slices.iter().flat_map(|slice| &slice.devices).map(|device| device.name.as_str()).collect();
            seen.sort_unstable();
            let mut names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
            names.sort_unstable();
            prop_assert_eq!(seen, names);
            prop_assert_eq!(slices.iter().map(|slice| slice.shared_counters.len()).sum::<usize>(), 12);
            for slice in &slices {
                let special = slice.devices.iter().any(is_special);
                let limit = if special { 64 } else { 128 };
                prop_assert!(slice.devices.len() <= limit);
                prop_assert!(!counters_apart || slice.devices.is_empty() || slice.shared_counters.is_empty());
                if !counters_apart {
                    for taken in slice.devices.iter().filter_map(|device| device.fields.get("consumesCounters")) {
                        let there = slice.shared_counters.iter().any(|set| set["name"] == taken[0]["counterSet"]);
                        prop_assert!(there);
                    }
                }
            }
        }
    }

    proptest! {
        /// The text that is put together is the one that a serializer would write.
        #[test]
        fn a_specification_is_its_head_with_devices_and_counters(
            names in prop::collection::vec("[a-c\"\\\\é]{0,3}", 0..4),
            sets in 0..3_usize,
        ) {
            let devices: Vec<PoolDevice> = names
                .into_iter()
                .enumerate()
                .map(|(number, name)| device(name, if number % 2 == 0 { &[] } else { &[0] }, number == 3))
                .collect();
            let pool = pool(devices, sets);
            let content = SliceContent { devices: pool.devices, shared_counters: pool.shared_counters };
            let head = head("gpu.example.com", "node \"1\"", "p", 7, 2);
            let mut expected = head.map();
            if !content.devices.is_empty() {
                expected.insert("devices".to_owned(), json!(content.devices));
            }
            if !content.shared_counters.is_empty() {
                expected.insert("sharedCounters".to_owned(), json!(content.shared_counters));
            }
            prop_assert_eq!(spec(&head, &content).map(), expected);
        }
    }

    #[test]
    fn a_pool_without_devices_is_one_empty_slice() {
        let slices = spread(&pool(Vec::new(), 0), Layout { counters_apart: true, taints: false });
        assert_eq!(slices, Ok(vec![SliceContent::default()]));
    }

    #[test]
    fn a_taint_moves_no_device_where_taints_may_come() {
        let layout = Layout { counters_apart: true, taints: true };
        let names = |tainted: bool| -> Vec<Vec<String>> {
            let devices =
                (0..200).map(|number| device(format!("d{number}"), &[], tainted && number == 7)).collect();
            let slices = spread(&pool(devices, 0), layout).expect("slices");
            let names = |slice: SliceContent| slice.devices.into_iter().map(|device| device.name).collect();
            slices.into_iter().map(names).collect()
        };
        assert_eq!(names(false), names(true));
    }

    #[test]
    fn what_the_api_server_would_refuse_is_refused_here() {
        let mut wrong = device("Upper_Case".to_owned(), &[], false);
        wrong.fields.insert("attributes".to_owned(), json!({"a": {"int": 1, "string": "b"}}));
        let errors =
            allocator_slices("gpu.example.com", "node-1", &[pool(vec![wrong], 0)]).expect_err("refused");
        assert!(errors.to_string().contains("an attribute has one value"), "{errors}");
    }
}
