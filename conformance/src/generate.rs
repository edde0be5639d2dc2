//! Random allocation problems, small enough for the reference and weighted over all features.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::Features;
use drayage_allocator::objects::{
    AllocationMode, AttributeValue, CapacityRequestPolicy, CapacityRequestPolicyRange,
    ConfigurationForRequests, CounterSet, Device, DeviceCapacity, DeviceClass, DeviceConstraint,
    DeviceCounterConsumption, DeviceId, DeviceRequest, DeviceSelector, DeviceSubRequest, DeviceTaint,
    DeviceToleration, ExactDeviceRequest, Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm,
    OpaqueDeviceConfiguration, Quantity, ResourceClaim, ResourcePool, ResourceSlice, SharedDeviceId,
};

use crate::problem::Problem;
use crate::random::Random;
use crate::selectors::{FRAGILE, USUAL};

const DRIVERS: [&str; 2] = ["gpu.example.com", "nic.example.com"];
const NODE: &str = "node-1";

/// What kinds of trouble a problem may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Faulty input of any kind, in a thousand.
    pub faults: usize,
    /// Selectors that may fail, in a hundred.
    pub fragile_selectors: usize,
    /// Random feature switches instead of the default ones, in a hundred.
    pub random_features: usize,
    /// The feature of list-typed attributes, in a hundred of those with random features.
    pub list_attributes: usize,
    /// Whether to ask for much that few devices can give.
    pub hard: bool,
}

impl Weights {
    /// Everything, faults included.
    pub const ALL: Self =
        Self { faults: 9, fragile_selectors: 8, random_features: 25, list_attributes: 0, hard: false };
    /// As all, with list-typed attributes.
    pub const LISTS: Self =
        Self { faults: 2, fragile_selectors: 2, random_features: 100, list_attributes: 100, hard: false };
    /// Much to try before the answer is found: many like devices, requests for several of them, constraints.
    pub const HARD: Self = Self { hard: true, ..Self::CLEAN };
    /// Nothing that ends in an error, and the default features.
    pub const CLEAN: Self =
        Self { faults: 0, fragile_selectors: 0, random_features: 0, list_attributes: 0, hard: false };
}

/// The problem that belongs to a seed.
pub fn problem(seed: u64, weights: Weights) -> Problem {
    let mut generator = Generator { random: Random::new(seed), weights };
    generator.problem(format!("random-{seed}"))
}

struct Generator {
    random: Random,
    weights: Weights,
}

fn quantity(number: usize) -> Quantity {
    number.to_string().parse().unwrap()
}

impl Generator {
    fn fault(&mut self) -> bool {
        self.random.per_mille(self.weights.faults)
    }

    fn problem(&mut self, name: String) -> Problem {
        let labels = [("zone", "a"), ("rank", "4")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut problem = Problem {
            name,
            node: Node { name: NODE.to_owned(), labels: BTreeMap::from(labels), ..Node::default() },
            features: self.features(),
            ..Problem::default()
        };
        let mut pools = self.random.weighted(&[(12, 1), (20, 2), (16, 3), (1, 0)]);
        if self.weights.hard {
            pools = self.random.weighted(&[(3, 1), (2, 2)]);
        }
        let mut taken = BTreeSet::new();
        for _ in 0..pools {
            let driver = *self.random.pick(&DRIVERS);
            let pool = *self.random.pick(&["pool-a", "pool-b"]);
            if taken.insert((driver, pool)) {
                self.pool(driver, pool, &mut problem.slices);
            }
        }
        self.random.shuffle(&mut problem.slices);
        for class in ["class-a", "class-b", "class-c"] {
            problem.classes.push(self.class(class));
        }
        let claims = self.random.weighted(&[(68, 1), (25, 2), (6, 3), (1, 0)]);
        for index in 0..claims {
            problem.claims.push(self.claim(index));
        }
        self.hold(&mut problem);
        problem
    }

    fn features(&mut self) -> Features {
        let mut features = Features::default();
        if self.random.percent(self.weights.random_features) {
            let switches = [
                &mut features.admin_access,
                &mut features.prioritized_list,
                &mut features.partitionable_devices,
                &mut features.device_taints,
                &mut features.device_binding_and_status,
                &mut features.consumable_capacity,
            ];
            for switch in switches {
                *switch = !self.random.percent(20);
            }
            features.list_type_attributes = self.random.percent(self.weights.list_attributes);
        }
        features
    }

    fn pool(&mut self, driver: &str, name: &str, slices: &mut Vec<ResourceSlice>) {
        let generation = i64::try_from(1 + self.random.below(2)).unwrap();
        let with_counters = self.random.percent(35);
        let device_slices = self.random.weighted(&[(6, 1), (3, 2), (1, 3)]);
        let count = device_slices + usize::from(with_counters);
        let pool = ResourcePool {
            name: name.to_owned(),
            generation,
            resource_slice_count: i64::try_from(count).unwrap(),
        };
        let empty = ResourceSlice { driver: driver.to_owned(), pool, ..ResourceSlice::default() };
        let prefix = format!("{}-{name}", &driver[..3]);
        let first = slices.len();
        let local = self.random.percent(60);
        let mut next_device = 0;
        for index in 0..device_slices {
            let mut slice = ResourceSlice { name: format!("{prefix}-{index}"), ..empty.clone() };
            self.node_selection(local, &mut slice);
            let mut devices = self.random.weighted(&[(1, 0), (4, 1), (8, 2), (8, 3), (4, 4)]);
            if self.weights.hard {
                devices += 1 + self.random.below(4);
            }
            for _ in 0..devices {
                let device =
                    self.device(next_device, with_counters, slice.per_device_node_selection.is_some());
                // Devices that cannot be told apart are what real nodes have.
                let twin =
                    slice.devices.last().filter(|_| self.weights.hard && self.random.percent(50)).cloned();
                slice.devices.push(twin.map_or(device.clone(), |twin| Device { name: device.name, ..twin }));
                // A number used twice makes the pool invalid.
                next_device += usize::from(!self.fault());
            }
            slices.push(slice);
        }
        if with_counters {
            let mut slice = ResourceSlice { name: format!("{prefix}-counters"), ..empty.clone() };
            self.node_selection(local, &mut slice);
            for set in ["set-1", "set-2"].into_iter().take(1 + self.random.below(2)) {
                let counters = [("x", 2 + self.random.below(6)), ("y", 1 + self.random.below(3))];
                let counters = counters.map(|(name, amount)| (name.to_owned(), quantity(amount)));
                slice.shared_counters.push(CounterSet { name: set.to_owned(), counters: counters.into() });
            }
            if self.fault() {
                slice.devices.push(self.device(next_device, true, false));
            }
            slices.push(slice);
        }
        self.disturb(&prefix, first, slices);
    }

    /// Generations, missing and surplus slices.
    fn disturb(&mut self, prefix: &str, first: usize, slices: &mut Vec<ResourceSlice>) {
        if self.random.percent(4) && slices.len() > first {
            let gone = first + self.random.below(slices.len() - first);
            slices.remove(gone);
        }
        if self.random.percent(8) && slices.len() > first {
            let mut other = slices[first + self.random.below(slices.len() - first)].clone();
            other.name = format!("{prefix}-other");
            other.pool.generation += if self.random.percent(60) { -1 } else { 1 };
            if self.random.percent(40) {
                other.pool.resource_slice_count = 1;
            }
            if self.random.percent(50) {
                other.node_name = Some("node-2".to_owned());
            }
            slices.push(other);
        }
        if self.fault() && slices.len() > first {
            slices[first].pool.resource_slice_count += 1;
        }
    }

    fn node_selection(&mut self, local: bool, slice: &mut ResourceSlice) {
        match self.random.below(20) {
            0 if self.random.percent(60) => slice.node_name = Some("node-2".to_owned()),
            1 | 2 => slice.per_device_node_selection = Some(true),
            3 | 4 => slice.node_selector = Some(self.node_selector()),
            _ if local => slice.node_name = Some(NODE.to_owned()),
            _ => slice.all_nodes = true,
        }
        if self.fault() {
            match self.random.below(4) {
                0 => slice.per_device_node_selection = Some(false),
                1 => slice.all_nodes = false,
                2 => slice.node_name = Some(String::new()),
                _ => slice.node_name = None,
            }
        }
    }

    fn node_selector(&mut self) -> NodeSelector {
        let requirement = |key: &str, operator: &str, values: &[&str]| NodeSelectorRequirement {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let labels = [
            requirement("zone", "In", &["a", "b"]),
            requirement("zone", "In", &["b", "a"]),
            requirement("zone", "NotIn", &["c"]),
            requirement("rank", "Gt", &["3"]),
            requirement("rank", "Lt", &["5"]),
            requirement("zone", "Exists", &[]),
            requirement("spare", "DoesNotExist", &[]),
            requirement("zone", "In", &["b"]),
        ];
        let fields =
            [requirement("metadata.name", "In", &[NODE]), requirement("metadata.name", "NotIn", &["node-2"])];
        let broken = [
            requirement("zone", "Like", &["a"]),
            requirement("zone", "In", &[]),
            requirement("rank", "Gt", &["many"]),
            requirement("zone", "Exists", &["a"]),
        ];
        let terms = if self.fault() { 2 } else { usize::from(!self.fault()) };
        let mut selector = NodeSelector::default();
        for _ in 0..terms {
            let mut term = NodeSelectorTerm::default();
            for _ in 0..=self.random.below(2) {
                term.match_expressions.push(self.random.pick(&labels).clone());
            }
            if self.random.percent(20) {
                term.match_fields.push(self.random.pick(&fields).clone());
            }
            if self.fault() {
                term.match_expressions.push(self.random.pick(&broken).clone());
            }
            if self.fault() {
                term = NodeSelectorTerm::default();
            }
            selector.terms.push(term);
        }
        selector
    }

    fn device(&mut self, number: usize, with_counters: bool, own_nodes: bool) -> Device {
        let mut device = Device { name: format!("device-{number}"), ..Device::default() };
        self.attributes(&mut device.attributes);
        if self.random.percent(30) {
            device.allow_multiple_allocations = Some(!self.random.percent(10));
        }
        let shareable = device.allow_multiple_allocations == Some(true);
        for (name, chance) in [("memory", 45), ("slots", 25)] {
            if self.random.percent(if shareable { chance + 30 } else { chance }) {
                let value = 2 + self.random.below(9);
                let request_policy = self.random.percent(45).then(|| Box::new(self.policy(value)));
                device
                    .capacity
                    .insert(name.to_owned(), DeviceCapacity { value: quantity(value), request_policy });
            }
        }
        if with_counters && self.random.percent(75) {
            for set in ["set-1", "set-2"].into_iter().take(1 + usize::from(self.random.percent(15))) {
                let set = if self.random.percent(5) { "set-2" } else { set };
                let mut counters = BTreeMap::new();
                counters.insert("x".to_owned(), quantity(self.random.below(4)));
                if self.random.percent(40) {
                    counters.insert("y".to_owned(), quantity(1));
                }
                if self.fault() {
                    counters.insert("z".to_owned(), quantity(1));
                }
                let counter_set = set.to_owned();
                device.consumes_counters.push(DeviceCounterConsumption {
                    counter_set,
                    counters,
                    ..DeviceCounterConsumption::default()
                });
            }
        } else if self.fault() {
            let counter_set = "set-9".to_owned();
            device.consumes_counters.push(DeviceCounterConsumption { counter_set, ..Default::default() });
        }
        if own_nodes {
            match self.random.below(6) {
                0 => device.node_name = Some("node-2".to_owned()),
                1 => device.node_selector = Some(self.node_selector()),
                2 => device.all_nodes = true,
                3 if self.fault() => {}
                _ => device.node_name = Some(NODE.to_owned()),
            }
        }
        if self.random.percent(12) {
            device.taints.push(DeviceTaint {
                key: (*self.random.pick(&["broken", "reserved"])).to_owned(),
                value: (*self.random.pick(&["", "yes"])).to_owned(),
                effect: (*self.random.pick(&["NoSchedule", "NoExecute", "None", "NoSchedule"])).to_owned(),
            });
        }
        device.binds_to_node = self.random.percent(6);
        if self.random.percent(8) {
            let empty = self.fault();
            device.binding_conditions = Some(if empty { Vec::new() } else { vec!["attached".to_owned()] });
            device.binding_failure_conditions = self.random.percent(50).then(|| vec!["failed".to_owned()]);
        }
        device
    }

    fn attributes(&mut self, attributes: &mut BTreeMap<String, AttributeValue>) {
        let text = |text: &str| AttributeValue::String(text.to_owned());
        if self.random.percent(80) {
            let name = if self.random.percent(80) { "model" } else { "gpu.example.com/model" };
            let value = match self.random.below(20) {
                0 => AttributeValue::Int(1),
                value => text(if value % 2 == 0 { "a" } else { "b" }),
            };
            attributes.insert(name.to_owned(), value);
        }
        if self.random.percent(80) {
            let index = i64::try_from(self.random.below(3)).unwrap();
            attributes.insert("index".to_owned(), AttributeValue::Int(index));
        }
        if self.random.percent(70) {
            let rack = if self.random.percent(60) { "r1" } else { "r2" };
            attributes.insert("net.example.com/rack".to_owned(), text(rack));
        }
        if self.random.percent(50) {
            attributes.insert("flag".to_owned(), AttributeValue::Bool(self.random.percent(60)));
        }
        if self.random.percent(50) {
            let version = if self.random.percent(50) { "1.0.0" } else { "2.1.0" };
            attributes.insert("version".to_owned(), AttributeValue::Version(version.to_owned()));
        }
        let with_lists = self.weights.random_features > 0
            && self.random.percent(if self.weights.list_attributes > 0 { 60 } else { 5 });
        if with_lists {
            let mut links = Vec::new();
            for link in ["l1", "l2", "l3"] {
                if self.random.percent(50) {
                    links.push(link.to_owned());
                }
            }
            let scalar = self.random.percent(20);
            let value = if scalar { text("l1") } else { AttributeValue::Strings(links) };
            attributes.insert("net.example.com/links".to_owned(), value);
        }
        if self.fault() {
            attributes.insert("odd".to_owned(), AttributeValue::Unset);
        }
        if self.fault() {
            attributes.insert("odd".to_owned(), AttributeValue::Version("not-a-version".to_owned()));
        }
    }

    fn policy(&mut self, value: usize) -> CapacityRequestPolicy {
        let mut policy = CapacityRequestPolicy::default();
        let default = self.random.below(3);
        policy.default = self.random.percent(80).then(|| quantity(default));
        match self.random.below(4) {
            0 => {}
            1 => policy.valid_values = Some([1, 2, 4].map(quantity).to_vec()),
            2 => {
                let step = self.random.percent(60).then(|| quantity(1 + self.random.below(3)));
                let max = self.random.percent(60).then(|| quantity(value - self.random.below(2)));
                policy.valid_range =
                    Some(CapacityRequestPolicyRange { min: Some(quantity(self.random.below(3))), max, step });
            }
            _ => {
                let max = Some(quantity(value.min(3)));
                policy.valid_range = Some(CapacityRequestPolicyRange { min: None, max, step: None });
            }
        }
        if self.fault() {
            policy.valid_values = Some(Vec::new());
        }
        policy
    }

    fn selectors(&mut self, one_in: usize) -> Vec<DeviceSelector> {
        let mut selectors = Vec::new();
        if self.random.percent(one_in) {
            let fragile = self.random.percent(self.weights.fragile_selectors);
            let of = if fragile { FRAGILE } else { USUAL };
            let expression = self.random.pick(of).expression;
            // `false` alone makes dull problems, so it is drawn twice to be kept.
            let expression = if expression == "false" { self.random.pick(of).expression } else { expression };
            selectors.push(DeviceSelector { cel: Some(expression.to_owned()) });
        }
        if self.random.percent(one_in / 5) {
            selectors.push(DeviceSelector { cel: Some(self.random.pick(USUAL).expression.to_owned()) });
        }
        if self.random.per_mille(self.weights.faults / 4) {
            selectors.push(DeviceSelector { cel: None });
        }
        selectors
    }

    fn class(&mut self, name: &str) -> DeviceClass {
        let mut class = DeviceClass { name: name.to_owned(), ..DeviceClass::default() };
        class.selectors = self.selectors(if name == "class-a" { 0 } else { 40 });
        // Upstream dereferences a nil pointer at a class selector that is not CEL.
        class.selectors.retain(|selector| selector.cel.is_some());
        for entry in 0..self.random.below(3) {
            class.config.push((!self.fault()).then(|| opaque(&format!("{name}-{entry}"))));
        }
        class
    }

    fn claim(&mut self, index: usize) -> ResourceClaim {
        let mut claim = ResourceClaim { name: format!("claim-{index}"), ..ResourceClaim::default() };
        claim.namespace = if self.random.percent(80) { "ml".to_owned() } else { String::new() };
        let mut requests = self.random.weighted(&[(60, 1), (30, 2), (9, 3), (1, 0)]);
        if self.weights.hard {
            requests = 1 + self.random.below(2);
        }
        let mut names = Vec::new();
        for request in 0..requests {
            let name = format!("request-{request}");
            names.push(name.clone());
            let mut request = DeviceRequest { name, ..DeviceRequest::default() };
            if self.random.percent(28) {
                for sub in 0..=self.random.below(3) {
                    let exact = self.exact();
                    let sub = format!("sub-{sub}");
                    names.push(format!("{}/{sub}", request.name));
                    request.first_available.push(DeviceSubRequest {
                        name: sub,
                        device_class_name: exact.device_class_name,
                        selectors: exact.selectors,
                        allocation_mode: exact.allocation_mode,
                        count: exact.count,
                        tolerations: exact.tolerations,
                        capacity: exact.capacity,
                        derived_attributes: exact.derived_attributes,
                    });
                }
            } else {
                request.exactly = Some(self.exact());
            }
            claim.requests.push(request);
        }
        let most = 2 * usize::from(self.weights.hard);
        for _ in 0..self.random.weighted(&[(64 - 20 * most, 0), (27, 1), (9 + 5 * most, 2)]) {
            claim.constraints.push(self.constraint(&names));
        }
        for entry in 0..self.random.weighted(&[(70, 0), (20, 1), (10, 2)]) {
            let requests = self.some_of(&names);
            let opaque = (!self.fault()).then(|| opaque(&format!("claim-{index}-{entry}")));
            claim.config.push(ConfigurationForRequests { requests, opaque });
        }
        claim
    }

    fn some_of(&mut self, names: &[String]) -> Vec<String> {
        if self.random.percent(55) {
            return Vec::new();
        }
        names.iter().filter(|_| self.random.percent(60)).cloned().collect()
    }

    fn constraint(&mut self, names: &[String]) -> DeviceConstraint {
        let mut attributes = vec![
            "gpu.example.com/model",
            "gpu.example.com/index",
            "net.example.com/rack",
            "nic.example.com/index",
            "gpu.example.com/version",
            "gpu.example.com/flag",
        ];
        if self.weights.random_features > 0 {
            attributes.push("net.example.com/links");
        }
        if self.fault() {
            attributes = vec!["index"];
        }
        let attribute = Some((*self.random.pick(&attributes)).to_owned());
        let mut constraint =
            DeviceConstraint { requests: self.some_of(names), ..DeviceConstraint::default() };
        if self.random.percent(60) {
            constraint.match_attribute = attribute;
        } else if !self.fault() {
            constraint.distinct_attribute = attribute;
        }
        constraint
    }

    fn exact(&mut self) -> ExactDeviceRequest {
        let class = if self.fault() { *self.random.pick(&["", "missing"]) } else { "" };
        let named = *self.random.pick(&["class-a", "class-a", "class-b", "class-c"]);
        let faulty =
            class == "missing" || (class.is_empty() && self.random.per_mille(self.weights.faults / 4));
        let mut exact = ExactDeviceRequest {
            device_class_name: if faulty { class } else { named }.to_owned(),
            selectors: self.selectors(35),
            count: 1,
            ..ExactDeviceRequest::default()
        };
        if self.fault() {
            exact.allocation_mode = AllocationMode::Other("Some".to_owned());
        } else if self.random.percent(12) {
            exact.allocation_mode = AllocationMode::All;
            exact.count = 0;
        } else {
            exact.count = self.random.weighted(&[(144, 1), (40, 2), (10, 3), (4, 0), (1, 20), (1, 33)]);
            if self.weights.hard {
                exact.count = self.random.weighted(&[(8, 1), (7, 2), (3, 3), (1, 4)]);
            }
        }
        if self.random.percent(8) {
            exact.admin_access = Some(self.random.percent(75));
        }
        if self.random.percent(30) {
            exact.tolerations.push(DeviceToleration {
                key: (*self.random.pick(&["", "broken", "reserved"])).to_owned(),
                operator: (*self.random.pick(&["Exists", "Exists", "Equal", "", "Like"])).to_owned(),
                value: (*self.random.pick(&["", "yes"])).to_owned(),
                effect: (*self.random.pick(&["", "", "NoSchedule", "NoExecute"])).to_owned(),
                toleration_seconds: self.random.percent(10).then_some(60),
            });
        }
        if self.random.percent(20) {
            let mut amounts = BTreeMap::new();
            for (name, chance) in [("memory", 70), ("slots", 20)] {
                if self.random.percent(chance) {
                    amounts.insert(name.to_owned(), quantity(self.random.below(6)));
                }
            }
            exact.capacity = Some(amounts);
        }
        exact
    }

    fn hold(&mut self, problem: &mut Problem) {
        let mut shares = 0;
        for slice in &problem.slices {
            for device in &slice.devices {
                let id = DeviceId { pool: slice.pool_id(), device: device.name.clone() };
                if device.allow_multiple_allocations == Some(true) {
                    if !self.random.percent(25) {
                        continue;
                    }
                    shares += 1;
                    let share_id = format!("held-{shares}");
                    problem.held_shares.insert(SharedDeviceId { device: id.clone(), share_id });
                    let amounts: BTreeMap<String, Quantity> = device
                        .capacity
                        .keys()
                        .map(|name| (name.clone(), quantity(self.random.below(4))))
                        .collect();
                    if !amounts.is_empty() || self.fault() {
                        problem.held_capacity.insert(id, amounts);
                    }
                } else if self.random.percent(12) {
                    problem.held_devices.insert(id);
                } else if self.fault() {
                    let amounts = device.capacity.keys().map(|name| (name.clone(), quantity(2)));
                    problem.held_capacity.insert(id, amounts.collect());
                }
            }
        }
    }
}

fn opaque(parameters: &str) -> OpaqueDeviceConfiguration {
    OpaqueDeviceConfiguration {
        driver: DRIVERS[0].to_owned(),
        parameters: format!("{{\"name\":\"{parameters}\"}}"),
    }
}
