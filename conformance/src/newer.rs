//! What 1.37 added, put into random problems: compatibility groups, derived attributes, node operations to skip, and
//! capacities in fractions.

use drayage_allocator::objects::{
    CapacityRequestPolicyRange, DeviceConstraint, DeviceDerivedAttribute, DeviceRequest, Quantity,
    ResourceClaim,
};

use crate::problem::Problem;
use crate::random::Random;

/// Expressions that rarely fail, for derived attributes.
const USUAL: &[&str] = &[
    r#"device.attributes["gpu.example.com"].?index.orValue(7)"#,
    r#"device.attributes[device.driver].?model.orValue("none")"#,
    r#"device.attributes["net.example.com"].?rack.orValue("r1")"#,
    "device.driver",
    r#"device.allowMultipleAllocations ? "shared" : "own""#,
    r#""memory" in device.capacity[device.driver]"#,
    r#"device.attributes["net.example.com"].?rack.orValue("r1").matches("r[12]") ? 1 : 2"#,
    r#"device.attributes["gpu.example.com"].?version.orValue(semver("9.0.0"))"#,
    r#"device.driver == "gpu.example.com" ? ["l1", "l2"] : ["l2", "l3"]"#,
    r#"device.attributes["net.example.com"].?links.orValue(["l1"])"#,
    "[1, 2, 3].filter(n, n != device.attributes[device.driver].?index.orValue(2))",
];

/// Expressions that fail on some devices, or always.
const FRAGILE: &[&str] = &[
    r#"device.attributes["gpu.example.com"].index"#,
    r#"device.attributes["net.example.com"].rack"#,
    r#"device.capacity[device.driver].memory.compareTo(quantity("3"))"#,
    "dyn(1.5)",
    "dyn([dyn(1), dyn(device.driver)])",
    "device.attributes",
    "dyn([])",
    "not CEL",
];

/// The names under which requests derive attributes; the others are published too.
const NAMES: &[&str] =
    &["derived/key", "gpu.example.com/index", "net.example.com/rack", "nic.example.com/model"];

/// Adds what the features of the problem allow, and rarely what they do not.
pub fn extend(problem: &mut Problem, random: &mut Random, faults: bool) {
    let features = problem.features;
    let mut wanted = |on: bool, usual: usize| random.percent(if on { usual } else { 1 });
    let groups = wanted(features.compatibility_groups, 60);
    let derived = wanted(features.derived_attributes, 60);
    let operations = wanted(features.optional_node_operations, 50);
    let fractions = wanted(features.fractional_capacity_range, 40);
    if groups {
        add_groups(problem, random);
    }
    if derived {
        for claim in &mut problem.claims {
            derive(claim, random, faults);
        }
    }
    if operations {
        if random.percent(88) {
            problem.node.declared_features.insert("DRAOptionalNodeOperations".to_owned());
        }
        problem.node.declared_features.insert("Other".to_owned());
        for slice in &mut problem.slices {
            let skipped: &[&str] = match random.below(6) {
                0 | 1 => &["*"],
                2 => &["NodePrepareResources", "NodeUnprepareResources"],
                _ => &[],
            };
            slice.skip_node_operations = skipped.iter().map(|name| (*name).to_owned()).collect();
        }
    }
    if fractions {
        add_fractions(problem, random, faults);
    }
}

fn add_groups(problem: &mut Problem, random: &mut Random) {
    let devices = problem.slices.iter_mut().flat_map(|slice| &mut slice.devices);
    let none = random.weighted(&[(5, 10), (2, 50), (1, 90)]);
    for draw in devices.flat_map(|device| &mut device.consumes_counters) {
        if random.percent(none) {
            continue;
        }
        for name in ["full", "half", "mixed"] {
            if draw.compatibility_groups.len() < 2 && random.percent(55) {
                draw.compatibility_groups.push(name.to_owned());
            }
        }
        random.shuffle(&mut draw.compatibility_groups);
    }
}

fn derive(claim: &mut ResourceClaim, random: &mut Random, faults: bool) {
    let names: Vec<String> = claim.requests.iter().map(|request| request.name.clone()).collect();
    let derived = |random: &mut Random| -> Vec<DeviceDerivedAttribute> {
        let mut list = Vec::new();
        for _ in 0..random.weighted(&[(3, 0), (5, 1), (2, 2)]) {
            let fragile = random.percent(if faults { 12 } else { 0 });
            let expression = if fragile { random.pick(FRAGILE) } else { random.pick(USUAL) };
            list.push(DeviceDerivedAttribute {
                name: (*random.pick(NAMES)).to_owned(),
                expression: (*expression).to_owned(),
            });
        }
        list
    };
    let mut any = false;
    for DeviceRequest { exactly, first_available, .. } in &mut claim.requests {
        if let Some(exactly) = exactly {
            exactly.derived_attributes = derived(random);
            any |= !exactly.derived_attributes.is_empty();
        }
        for alternative in first_available {
            alternative.derived_attributes = derived(random);
            any |= !alternative.derived_attributes.is_empty();
        }
    }
    if any {
        let attribute =
            Some((*random.pick(&["derived/key", "derived/key", "gpu.example.com/index"])).to_owned());
        let (match_attribute, distinct_attribute) =
            if random.percent(65) { (attribute, None) } else { (None, attribute) };
        let requests = if random.percent(70) { Vec::new() } else { names };
        let constraint = DeviceConstraint { requests, match_attribute, distinct_attribute };
        let at = random.below(claim.constraints.len() + 1);
        claim.constraints.insert(at, constraint);
    }
}

fn one_of(random: &mut Random, texts: &[&str]) -> Quantity {
    let text = *random.pick::<&str>(texts);
    text.parse().expect("the texts here are quantities")
}

fn add_fractions(problem: &mut Problem, random: &mut Random, faults: bool) {
    const AMOUNTS: &[&str] = &["0", "500m", "1", "1500m", "2", "2500m", "1Ki", "300m", "1250m", "4"];
    const STEPS: &[&str] = &["250m", "500m", "1", "300m", "1Ki", "2"];
    // Beyond thousandths, or beyond 64 bits.
    const EXTREME: &[&str] = &["100u", "9223372036854775807", "10E", "1n", "9223372036854775", "-1"];
    let amount = |random: &mut Random| {
        let extreme = faults && random.percent(6);
        one_of(random, if extreme { EXTREME } else { AMOUNTS })
    };
    let devices = problem.slices.iter_mut().flat_map(|slice| &mut slice.devices);
    for policy in devices.flat_map(|device| device.capacity.values_mut()) {
        if let Some(policy) = policy.request_policy.as_mut().filter(|_| random.percent(60)) {
            policy.valid_values = None;
            policy.default = Some(amount(random));
            policy.valid_range = Some(CapacityRequestPolicyRange {
                min: Some(amount(random)),
                max: random.percent(40).then(|| one_of(random, &["3", "4500m", "8"])),
                step: random.percent(70).then(|| one_of(random, STEPS)),
            });
        }
    }
    for request in problem.claims.iter_mut().flat_map(|claim| &mut claim.requests) {
        let alternatives = request.first_available.iter_mut().map(|alternative| &mut alternative.capacity);
        let exactly = request.exactly.iter_mut().map(|exactly| &mut exactly.capacity);
        for requested in exactly.chain(alternatives).flatten().flat_map(|amounts| amounts.values_mut()) {
            if random.percent(60) {
                *requested = amount(random);
            }
        }
    }
}
