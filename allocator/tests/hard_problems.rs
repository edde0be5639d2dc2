//! Problems on which a plain walk takes exponentially many steps. They are answered in a few hundred.

use std::sync::Arc;

use drayage_allocator::objects::{
    AttributeValue, CounterSet, Device, DeviceCapacity, DeviceClass, DeviceConstraint,
    DeviceCounterConsumption, DeviceRequest, DeviceSelector, DeviceSubRequest, ExactDeviceRequest, Node,
    Quantity, ResourceClaim, ResourcePool, ResourceSlice,
};
use drayage_allocator::{AllocatedState, Allocator, Answer, Features, Inventory, Outcome, Profile};

/// Far more than any of these problems needs, far less than a plain walk takes.
const FEW_STEPS: u64 = 2_000;

fn quantity(text: &str) -> Quantity {
    text.parse().expect("a quantity")
}

/// Devices of one slice on the node.
struct Cluster {
    slice: ResourceSlice,
}

impl Cluster {
    fn new(devices: usize) -> Self {
        let devices =
            (0..devices).map(|index| Device { name: format!("device-{index:02}"), ..Device::default() });
        let slice = ResourceSlice {
            name: "slice".to_owned(),
            driver: "gpu.example.com".to_owned(),
            pool: ResourcePool { name: "node-1".to_owned(), generation: 1, resource_slice_count: 1 },
            node_name: Some("node-1".to_owned()),
            devices: devices.collect(),
            ..ResourceSlice::default()
        };
        Self { slice }
    }

    /// Gives each device an integer attribute.
    fn with(mut self, attribute: &str, value: impl Fn(usize) -> i64) -> Self {
        for (index, device) in self.slice.devices.iter_mut().enumerate() {
            device.attributes.insert(attribute.to_owned(), AttributeValue::Int(value(index)));
        }
        self
    }

    fn changing(mut self, change: impl Fn(usize, &mut Device)) -> Self {
        for (index, device) in self.slice.devices.iter_mut().enumerate() {
            change(index, device);
        }
        self
    }

    /// Adds a slice with one counter set of one counter.
    fn slices(&self, counters: Option<&str>) -> Vec<ResourceSlice> {
        let mut slices = vec![self.slice.clone()];
        if let Some(amount) = counters {
            slices[0].pool.resource_slice_count = 2;
            let counter = [("units".to_owned(), quantity(amount))].into();
            slices.push(ResourceSlice {
                name: "counters".to_owned(),
                devices: Vec::new(),
                shared_counters: vec![CounterSet { name: "set".to_owned(), counters: counter }],
                ..slices[0].clone()
            });
        }
        slices
    }

    fn ask(&self, counters: Option<&str>, claims: &[ResourceClaim]) -> Answer {
        let inventory = Arc::new(Inventory::new(self.slices(counters)));
        let class = DeviceClass { name: "gpu".to_owned(), ..DeviceClass::default() };
        let mut allocator = Allocator::new(inventory, [class], Profile::V1_36, Features::default());
        let node = Node { name: "node-1".to_owned(), ..Node::default() };
        let claims: Vec<&ResourceClaim> = claims.iter().collect();
        allocator.allocate(&AllocatedState::new(), &node, &claims, &mut String::new, FEW_STEPS)
    }
}

fn consuming(amount: &str) -> Vec<DeviceCounterConsumption> {
    let counters = [("units".to_owned(), quantity(amount))].into();
    vec![DeviceCounterConsumption { counter_set: "set".to_owned(), counters, ..Default::default() }]
}

fn request(name: &str, count: i64, selector: &str) -> DeviceRequest {
    let exactly = ExactDeviceRequest {
        device_class_name: "gpu".to_owned(),
        selectors: vec![DeviceSelector { cel: Some(selector.to_owned()) }],
        count,
        ..ExactDeviceRequest::default()
    };
    DeviceRequest { name: name.to_owned(), exactly: Some(exactly), first_available: Vec::new() }
}

fn claim(requests: Vec<DeviceRequest>, constraints: Vec<DeviceConstraint>) -> ResourceClaim {
    ResourceClaim { name: "claim".to_owned(), requests, constraints, ..ResourceClaim::default() }
}

fn matching(attribute: &str) -> DeviceConstraint {
    DeviceConstraint {
        match_attribute: Some(format!("gpu.example.com/{attribute}")),
        ..DeviceConstraint::default()
    }
}

fn distinct(attribute: &str) -> DeviceConstraint {
    DeviceConstraint {
        distinct_attribute: Some(format!("gpu.example.com/{attribute}")),
        ..DeviceConstraint::default()
    }
}

fn assert_impossible(answer: &Answer) {
    assert_eq!(answer.outcome, Outcome::Unsatisfiable { invalid_pools: false }, "{} steps", answer.steps);
}

fn devices(answer: Answer) -> Vec<String> {
    match answer.outcome {
        Outcome::Allocated(results) => {
            results.iter().flat_map(|result| &result.results).map(|device| device.device.clone()).collect()
        }
        other => panic!("{other:?} after {} steps", answer.steps),
    }
}

#[test]
fn one_more_than_there_are() {
    for count in 2..=32 {
        let answer = Cluster::new(count - 1)
            .ask(None, &[claim(vec![request("r", i64::try_from(count).unwrap(), "true")], Vec::new())]);
        assert_impossible(&answer);
    }
}

#[test]
fn one_more_than_share_a_value() {
    // 20 devices on each of two roots, 21 wanted on one root.
    let cluster = Cluster::new(40).with("root", |index| i64::try_from(index % 2).unwrap());
    assert_impossible(&cluster.ask(None, &[claim(vec![request("r", 21, "true")], vec![matching("root")])]));
    let found = devices(cluster.ask(None, &[claim(vec![request("r", 20, "true")], vec![matching("root")])]));
    assert_eq!(found.len(), 20);
    assert_eq!((found[0].as_str(), found[1].as_str()), ("device-00", "device-02"));
}

#[test]
fn a_value_with_too_few_devices_comes_first() {
    // The first root has 15 devices, the second 17.
    let cluster = Cluster::new(32).with("root", |index| i64::from(index >= 15));
    let found = devices(cluster.ask(None, &[claim(vec![request("r", 16, "true")], vec![matching("root")])]));
    assert_eq!(found.first().map(String::as_str), Some("device-15"));
}

#[test]
fn five_of_eight_on_one_numa_node() {
    let cluster = Cluster::new(8).with("numa", |index| i64::from(index >= 4));
    assert_impossible(&cluster.ask(None, &[claim(vec![request("r", 5, "true")], vec![matching("numa")])]));
}

#[test]
fn values_of_two_constraints_do_not_go_together() {
    // Eight devices on each NUMA node and eight on each root, but only four on both.
    let cluster = Cluster::new(16)
        .with("numa", |index| i64::from(index >= 8))
        .with("root", |index| i64::from(index % 8 >= 4));
    let constraints = || vec![matching("numa"), matching("root")];
    assert_impossible(&cluster.ask(None, &[claim(vec![request("r", 5, "true")], constraints())]));
    assert_eq!(devices(cluster.ask(None, &[claim(vec![request("r", 4, "true")], constraints())])).len(), 4);
}

#[test]
fn twenty_requests_for_nineteen_devices() {
    let requests = |count: usize| (0..count).map(|index| request(&format!("r{index}"), 1, "true")).collect();
    assert_impossible(&Cluster::new(19).ask(None, &[claim(requests(20), Vec::new())]));
    assert_eq!(devices(Cluster::new(20).ask(None, &[claim(requests(20), Vec::new())])).len(), 20);
}

#[test]
fn twenty_claims_for_nineteen_devices() {
    let claims = vec![claim(vec![request("r", 1, "true")], Vec::new()); 20];
    assert_impossible(&Cluster::new(19).ask(None, &claims));
}

#[test]
fn a_later_request_that_nothing_matches() {
    let never = request("never", 1, "device.driver == 'nobody'");
    let answer =
        Cluster::new(30).ask(None, &[claim(vec![request("r", 12, "true"), never.clone()], Vec::new())]);
    assert_impossible(&answer);
    let claims = [claim(vec![request("r", 12, "true")], Vec::new()), claim(vec![never], Vec::new())];
    assert_impossible(&Cluster::new(30).ask(None, &claims));
}

#[test]
fn a_later_request_needs_what_an_earlier_one_takes() {
    // Only the first five devices are special, and five special ones are wanted last.
    let cluster = Cluster::new(24).with("special", |index| i64::from(index < 5));
    let special = "device.attributes['gpu.example.com'].special == 1";
    let requests = vec![request("any", 15, "true"), request("special", 5, special)];
    let found = devices(cluster.ask(None, &[claim(requests, Vec::new())]));
    assert_eq!(found[0], "device-05");
    assert_eq!(found[15], "device-00");
    let requests = vec![request("any", 20, "true"), request("special", 5, special)];
    assert_impossible(&cluster.ask(None, &[claim(requests, Vec::new())]));
}

#[test]
fn counters_for_half_of_the_devices() {
    let cluster = Cluster::new(24).changing(|_, device| device.consumes_counters = consuming("2"));
    assert_impossible(&cluster.ask(Some("23"), &[claim(vec![request("r", 12, "true")], Vec::new())]));
    assert_eq!(
        devices(cluster.ask(Some("24"), &[claim(vec![request("r", 12, "true")], Vec::new())])).len(),
        12
    );
}

#[test]
fn counters_that_only_small_partitions_fit() {
    // Eight large partitions first, then sixteen small ones; ten devices fit only if all are small.
    let cluster = Cluster::new(24).changing(|index, device| {
        device.consumes_counters = consuming(if index < 8 { "4" } else { "1" });
    });
    let found = devices(cluster.ask(Some("10"), &[claim(vec![request("r", 10, "true")], Vec::new())]));
    assert_eq!(found[0], "device-08");
    assert_impossible(&cluster.ask(Some("9"), &[claim(vec![request("r", 10, "true")], Vec::new())]));
}

#[test]
fn alternatives_that_all_need_too_much() {
    let alternatives = |index: usize| {
        let alternative = |name: &str, count| DeviceSubRequest {
            name: name.to_owned(),
            device_class_name: "gpu".to_owned(),
            count,
            ..DeviceSubRequest::default()
        };
        DeviceRequest {
            name: format!("r{index}"),
            exactly: None,
            first_available: vec![alternative("many", 4), alternative("some", 3), alternative("few", 2)],
        }
    };
    let requests: Vec<DeviceRequest> = (0..8).map(alternatives).collect();
    assert_impossible(&Cluster::new(15).ask(None, &[claim(requests.clone(), Vec::new())]));
    assert_eq!(devices(Cluster::new(16).ask(None, &[claim(requests, Vec::new())])).len(), 16);
}

#[test]
fn too_few_values_to_differ() {
    let cluster = Cluster::new(24).with("rack", |index| i64::try_from(index % 7).unwrap());
    let requests: Vec<DeviceRequest> = (0..8).map(|index| request(&format!("r{index}"), 1, "true")).collect();
    assert_impossible(&cluster.ask(None, &[claim(requests.clone(), vec![distinct("rack")])]));
    let answer = cluster.ask(None, &[claim(requests[..7].to_vec(), vec![distinct("rack")])]);
    assert_eq!(devices(answer).len(), 7);
}

#[test]
fn shares_that_do_not_fit() {
    // Eight devices of 10 units, shares of 4: sixteen fit.
    let cluster = Cluster::new(8).changing(|_, device| {
        device.allow_multiple_allocations = Some(true);
        let capacity = DeviceCapacity { value: quantity("10"), request_policy: None };
        device.capacity = [("units".to_owned(), capacity)].into();
    });
    let requests = |count: usize| {
        (0..count).map(|index| {
            let mut request = request(&format!("r{index}"), 1, "true");
            if let Some(exactly) = &mut request.exactly {
                exactly.capacity = Some([("units".to_owned(), quantity("4"))].into());
            }
            request
        })
    };
    assert_eq!(devices(cluster.ask(None, &[claim(requests(16).collect(), Vec::new())])).len(), 16);
    assert_impossible(&cluster.ask(None, &[claim(requests(17).collect(), Vec::new())]));
}
