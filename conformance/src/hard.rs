//! Problems on which a plain walk takes far too long: the shapes that are known to blow up, in random sizes.
//!
//! Half of them, about, have no solution, and the rest have one that is far from the walk's beginning. A problem is
//! named by shape and seed.

use std::collections::BTreeMap;

use drayage_allocator::objects::{
    AttributeValue, CounterSet, Device, DeviceCapacity, DeviceClass, DeviceConstraint,
    DeviceCounterConsumption, DeviceRequest, DeviceSelector, DeviceSubRequest, ExactDeviceRequest, Node,
    Quantity, ResourceClaim, ResourcePool, ResourceSlice,
};

use crate::problem::Problem;
use crate::random::Random;

const DRIVER: &str = "gpu.example.com";

/// A kind of hard problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Partitions of devices that draw on several counters each; too many, or only small ones fit.
    Partitions,
    /// Partitions that must be of one parent device.
    PartitionsOfOne,
    /// Counters of two kinds, of which every partition needs much of the one or the other.
    TwoCounters,
    /// Requests of one device each whose values must differ, each with its own choice of values.
    Distinct,
    /// Requests of several devices whose alternatives ask for different numbers.
    Alternatives,
    /// As many devices as a claim can have, for requests that compete.
    Slots,
    /// Devices that agree in several attributes at once.
    Matching,
    /// Several claims for the same few devices.
    Claims,
    /// Shares of devices beside devices that cannot be shared.
    Shares,
    /// Values that must differ over some requests and be equal over others.
    DistinctAndMatching,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Partitions,
        Self::PartitionsOfOne,
        Self::TwoCounters,
        Self::Distinct,
        Self::Alternatives,
        Self::Slots,
        Self::Matching,
        Self::Claims,
        Self::Shares,
        Self::DistinctAndMatching,
    ];
}

/// The problem of a shape and seed.
pub fn problem(shape: Shape, seed: u64) -> Problem {
    let mut random = Random::new(seed ^ 0x6861_7264);
    let mut problem = match shape {
        Shape::Partitions => partitions(&mut random, false),
        Shape::PartitionsOfOne => partitions(&mut random, true),
        Shape::TwoCounters => two_counters(&mut random),
        Shape::Distinct => distinct(&mut random),
        Shape::Alternatives => alternatives(&mut random),
        Shape::Slots => slots(&mut random),
        Shape::Matching => matching(&mut random),
        Shape::Claims => claims(&mut random),
        Shape::Shares => shares(&mut random),
        Shape::DistinctAndMatching => distinct_and_matching(&mut random),
    };
    problem.name = format!("{shape:?}-{seed}");
    problem
}

fn quantity(text: &str) -> Quantity {
    text.parse().expect("a quantity")
}

fn number(value: usize) -> i64 {
    i64::try_from(value).expect("a small number")
}

fn between(random: &mut Random, least: usize, most: usize) -> usize {
    least + random.below(most - least + 1)
}

/// A node with one slice of devices, and one of counters if there are any.
fn cluster(devices: Vec<Device>, counters: Vec<CounterSet>, claims: Vec<ResourceClaim>) -> Problem {
    let slice = ResourceSlice {
        name: "slice".to_owned(),
        driver: DRIVER.to_owned(),
        pool: ResourcePool {
            name: "node-1".to_owned(),
            generation: 1,
            resource_slice_count: if counters.is_empty() { 1 } else { 2 },
        },
        node_name: Some("node-1".to_owned()),
        devices,
        ..ResourceSlice::default()
    };
    let mut slices = vec![slice];
    if !counters.is_empty() {
        slices.push(ResourceSlice {
            name: "slice-of-counters".to_owned(),
            devices: Vec::new(),
            shared_counters: counters,
            ..slices[0].clone()
        });
    }
    Problem {
        node: Node { name: "node-1".to_owned(), ..Node::default() },
        classes: vec![DeviceClass { name: "gpu".to_owned(), ..DeviceClass::default() }],
        slices,
        claims,
        ..Problem::default()
    }
}

fn device(index: usize, attributes: &[(&str, usize)]) -> Device {
    let attribute = |(name, value): &(&str, usize)| ((*name).to_owned(), AttributeValue::Int(number(*value)));
    Device {
        name: format!("device-{index:03}"),
        attributes: attributes.iter().map(attribute).collect(),
        ..Device::default()
    }
}

fn counters(amounts: &[(&str, usize)]) -> BTreeMap<String, Quantity> {
    amounts.iter().map(|(name, amount)| ((*name).to_owned(), quantity(&amount.to_string()))).collect()
}

fn claim(index: usize, requests: Vec<DeviceRequest>, constraints: Vec<DeviceConstraint>) -> ResourceClaim {
    ResourceClaim { name: format!("claim-{index}"), requests, constraints, ..ResourceClaim::default() }
}

fn request(index: usize, count: usize, selector: Option<String>) -> DeviceRequest {
    let exactly = ExactDeviceRequest {
        device_class_name: "gpu".to_owned(),
        selectors: selector.map(|text| DeviceSelector { cel: Some(text) }).into_iter().collect(),
        count: number(count),
        ..ExactDeviceRequest::default()
    };
    DeviceRequest { name: format!("request-{index}"), exactly: Some(exactly), first_available: Vec::new() }
}

fn alternative(index: usize, count: usize, selector: Option<String>) -> DeviceSubRequest {
    DeviceSubRequest {
        name: format!("alternative-{index}"),
        device_class_name: "gpu".to_owned(),
        selectors: selector.map(|text| DeviceSelector { cel: Some(text) }).into_iter().collect(),
        count: number(count),
        ..DeviceSubRequest::default()
    }
}

fn one_of(attribute: &str, values: &[usize]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    format!("device.attributes['{DRIVER}'].{attribute} in [{}]", values.join(", "))
}

fn equal(attribute: &str, requests: &[usize]) -> DeviceConstraint {
    DeviceConstraint {
        requests: requests.iter().map(|index| format!("request-{index}")).collect(),
        match_attribute: Some(format!("{DRIVER}/{attribute}")),
        ..DeviceConstraint::default()
    }
}

fn different(attribute: &str, requests: &[usize]) -> DeviceConstraint {
    DeviceConstraint {
        requests: requests.iter().map(|index| format!("request-{index}")).collect(),
        distinct_attribute: Some(format!("{DRIVER}/{attribute}")),
        ..DeviceConstraint::default()
    }
}

/// What a partition of a size takes of its parent: slices, memory and engines, as with MIG.
const SIZES: [(usize, [usize; 3]); 5] =
    [(1, [1, 1, 0]), (2, [2, 2, 1]), (3, [3, 4, 1]), (4, [4, 4, 2]), (7, [7, 8, 3])];

fn partitions(random: &mut Random, of_one: bool) -> Problem {
    let parents = between(random, 2, if of_one { 6 } else { 8 });
    let each = (128 / parents).min(between(random, 8, 20));
    let set = |parent: usize| CounterSet {
        name: format!("parent-{parent}"),
        counters: counters(&[("engines", 4), ("memory", 8), ("slices", 7)]),
    };
    let mut devices = Vec::new();
    for parent in 0..parents {
        for _ in 0..each {
            let (size, takes) = SIZES[random.below(SIZES.len())];
            let mut partition = device(devices.len(), &[("parent", parent), ("size", size)]);
            let [slices, memory, engines] = takes;
            partition.consumes_counters = vec![DeviceCounterConsumption {
                counter_set: format!("parent-{parent}"),
                counters: counters(&[("engines", engines), ("memory", memory), ("slices", slices)]),
                ..DeviceCounterConsumption::default()
            }];
            devices.push(partition);
        }
    }
    let mut requests = Vec::new();
    let mut left = if of_one { between(random, 4, 8) } else { between(random, 8, 30) };
    while left > 0 {
        let count = between(random, 1, left.min(8));
        left -= count;
        let sizes: Vec<usize> = SIZES.iter().map(|(size, _)| *size).filter(|_| random.percent(45)).collect();
        let selector = (!sizes.is_empty()).then(|| one_of("size", &sizes));
        requests.push(request(requests.len(), count, selector));
    }
    let constraints = if of_one { vec![equal("parent", &[])] } else { Vec::new() };
    cluster(devices, (0..parents).map(set).collect(), vec![claim(0, requests, constraints)])
}

fn two_counters(random: &mut Random) -> Problem {
    let count = between(random, 40, 120);
    let wanted = between(random, 8, 24);
    let devices: Vec<Device> = (0..count)
        .map(|index| {
            let lean = random.below(4);
            let mut partition = device(index, &[("kind", lean)]);
            let (memory, cores) =
                (between(random, 1, 3) + 4 * (lean / 2), between(random, 1, 3) + 4 * (lean % 2));
            partition.consumes_counters = vec![DeviceCounterConsumption {
                counter_set: "set".to_owned(),
                counters: counters(&[("cores", cores), ("memory", memory)]),
                ..DeviceCounterConsumption::default()
            }];
            partition
        })
        .collect();
    let amount = wanted * between(random, 2, 4);
    let set = CounterSet {
        name: "set".to_owned(),
        counters: counters(&[("cores", amount), ("memory", amount + random.below(8))]),
    };
    let half = wanted / 2;
    let requests = vec![
        request(0, half, Some(one_of("kind", &[1, 2]))),
        request(1, wanted - half, Some(one_of("kind", &[0, 2, 3]))),
    ];
    cluster(devices, vec![set], vec![claim(0, requests, Vec::new())])
}

fn distinct(random: &mut Random) -> Problem {
    let values = between(random, 8, 32);
    let devices = (0..128).map(|index| device(index, &[("rail", random.below(values)), ("kind", index % 3)]));
    let devices: Vec<Device> = devices.collect();
    let wanted = between(random, values / 2 + 1, (values + 2).min(32));
    let narrow = between(random, 2, 8);
    let requests = (0..wanted).map(|index| {
        // Later requests have less to choose from.
        let some = if index * 2 < wanted { values } else { narrow };
        let mut allowed: Vec<usize> = (0..some).map(|_| random.below(values)).collect();
        allowed.sort_unstable();
        allowed.dedup();
        request(index, 1, Some(one_of("rail", &allowed)))
    });
    let requests = requests.collect();
    cluster(devices, Vec::new(), vec![claim(0, requests, vec![different("rail", &[])])])
}

fn alternatives(random: &mut Random) -> Problem {
    let kinds = between(random, 2, 4);
    let count = between(random, 20, 128);
    let devices: Vec<Device> = (0..count)
        .map(|index| device(index, &[("kind", random.below(kinds)), ("numa", index % 4)]))
        .collect();
    let wanted = between(random, 4, 8);
    let requests = (0..wanted).map(|index| {
        let mut of = request(index, 1, None);
        of.exactly = None;
        // The last alternatives of all requests together are no more than a claim can have.
        let least = 32 / wanted;
        let ranks = between(random, 2, 4);
        of.first_available = (0..ranks)
            .map(|rank| {
                let kind = random.below(kinds);
                alternative(rank, least + (ranks - 1 - rank) * 2, Some(one_of("kind", &[kind])))
            })
            .collect();
        of
    });
    let requests: Vec<DeviceRequest> = requests.collect();
    let constraints = if random.percent(50) { vec![equal("numa", &[])] } else { Vec::new() };
    cluster(devices, Vec::new(), vec![claim(0, requests, constraints)])
}

fn slots(random: &mut Random) -> Problem {
    let kinds = between(random, 6, 16);
    let count = between(random, 32, 40);
    let devices: Vec<Device> =
        (0..count).map(|index| device(index, &[("kind", random.below(kinds))])).collect();
    let mut requests = Vec::new();
    let mut left = 32;
    while left > 0 {
        let count = between(random, 1, left.min(4));
        left -= count;
        let mut allowed: Vec<usize> = (0..=kinds / 2).map(|_| random.below(kinds)).collect();
        allowed.sort_unstable();
        allowed.dedup();
        requests.push(request(requests.len(), count, Some(one_of("kind", &allowed))));
    }
    cluster(devices, Vec::new(), vec![claim(0, requests, Vec::new())])
}

fn matching(random: &mut Random) -> Problem {
    let (numas, roots) = (between(random, 2, 6), between(random, 2, 8));
    let devices = (0..128).map(|index| {
        device(
            index,
            &[("numa", random.below(numas)), ("root", random.below(roots)), ("kind", random.below(3))],
        )
    });
    let devices: Vec<Device> = devices.collect();
    let most = 128 / (numas * roots) + 4;
    let first = between(random, most / 2, most).clamp(1, 24);
    let second = between(random, 1, 8);
    let requests = vec![
        request(0, first, Some(one_of("kind", &[0, 1]))),
        request(1, second, Some(one_of("kind", &[1, 2]))),
    ];
    let constraints = vec![equal("numa", &[]), equal("root", &[])];
    cluster(devices, Vec::new(), vec![claim(0, requests, constraints)])
}

fn claims(random: &mut Random) -> Problem {
    let roots = between(random, 3, 8);
    let count = between(random, 24, 64);
    let devices: Vec<Device> =
        (0..count).map(|index| device(index, &[("root", random.below(roots))])).collect();
    let wanted = between(random, 3, 7);
    let claims = (0..wanted).map(|index| {
        let size = between(random, 2, count / wanted + 2).min(16);
        claim(index, vec![request(0, size, None)], vec![equal("root", &[])])
    });
    let claims = claims.collect();
    cluster(devices, Vec::new(), claims)
}

fn shares(random: &mut Random) -> Problem {
    let count = between(random, 12, 40);
    let devices: Vec<Device> = (0..count)
        .map(|index| {
            let mut device = device(index, &[("kind", index % 2)]);
            if random.percent(50) {
                device.allow_multiple_allocations = Some(true);
                let value = quantity(&between(random, 8, 16).to_string());
                let capacity = DeviceCapacity { value, request_policy: None };
                device.capacity = [("units".to_owned(), capacity)].into();
            } else {
                let capacity = DeviceCapacity { value: quantity("4"), request_policy: None };
                device.capacity = [("units".to_owned(), capacity)].into();
            }
            device
        })
        .collect();
    let mut left = 32;
    let mut requests = Vec::new();
    while left > 0 && requests.len() < 24 {
        let count = between(random, 1, left.min(3));
        left -= count;
        let mut wanted = request(requests.len(), count, None);
        if let Some(exactly) = &mut wanted.exactly {
            let amount = quantity(&between(random, 2, 9).to_string());
            exactly.capacity = Some([("units".to_owned(), amount)].into());
        }
        requests.push(wanted);
    }
    cluster(devices, Vec::new(), vec![claim(0, requests, Vec::new())])
}

fn distinct_and_matching(random: &mut Random) -> Problem {
    let (rails, numas) = (between(random, 6, 16), between(random, 2, 4));
    let devices = (0..between(random, 32, 128)).map(|index| {
        device(index, &[("rail", random.below(rails)), ("numa", random.below(numas)), ("kind", index % 2)])
    });
    let devices: Vec<Device> = devices.collect();
    let wanted = between(random, 4, rails.min(12) + 1);
    let requests: Vec<DeviceRequest> = (0..wanted)
        .map(|index| {
            let mut allowed: Vec<usize> =
                (0..between(random, 2, rails)).map(|_| random.below(rails)).collect();
            allowed.sort_unstable();
            allowed.dedup();
            request(index, 1, Some(one_of("rail", &allowed)))
        })
        .collect();
    let constraints = vec![different("rail", &[]), equal("numa", &[])];
    cluster(devices, Vec::new(), vec![claim(0, requests, constraints)])
}
