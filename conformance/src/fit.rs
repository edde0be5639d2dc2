//! Fits a random problem to the features that are on, so that few problems end in the first error about a feature that
//! is off, and makes some problems easier or larger than the generator does.

use drayage_allocator::objects::{AllocationMode, DeviceRequest, ExactDeviceRequest};

use crate::problem::Problem;
use crate::random::Random;

/// Takes away what needs a feature that is off, most of the time.
pub fn fit(problem: &mut Problem, random: &mut Random) {
    let features = problem.features;
    let mut drop_unless = |on: bool| !on && random.percent(85);
    let alternatives = drop_unless(features.prioritized_list);
    let capacity = drop_unless(features.consumable_capacity);
    let distinct = drop_unless(features.consumable_capacity);
    let admin = drop_unless(features.admin_access);
    let partitions = drop_unless(features.partitionable_devices);
    for claim in &mut problem.claims {
        for request in &mut claim.requests {
            if alternatives {
                take_first(request);
            }
            if capacity {
                request.exactly.iter_mut().for_each(|exact| exact.capacity = None);
                request.first_available.iter_mut().for_each(|sub| sub.capacity = None);
            }
            if let Some(exact) = request.exactly.as_mut().filter(|_| admin) {
                exact.admin_access = None;
            }
        }
        if distinct {
            claim.constraints.retain(|constraint| constraint.match_attribute.is_some());
        }
        if alternatives {
            // Names of alternatives mean nothing any more.
            let lists = claim.constraints.iter_mut().map(|constraint| &mut constraint.requests);
            for names in lists.chain(claim.config.iter_mut().map(|entry| &mut entry.requests)) {
                names.retain(|name| !name.contains('/'));
            }
        }
    }
    if partitions {
        for slice in &mut problem.slices {
            slice.devices.iter_mut().for_each(|device| device.consumes_counters.clear());
        }
    }
}

/// Makes a problem easier: fewer devices wanted, fewer held, fewer constraints.
pub fn ease(problem: &mut Problem, random: &mut Random) {
    problem.held_devices.retain(|_| random.percent(60));
    for claim in &mut problem.claims {
        claim.constraints.retain(|_| random.percent(75));
        for request in &mut claim.requests {
            let exactly = request.exactly.iter_mut().map(|exact| &mut exact.count);
            for count in exactly.chain(request.first_available.iter_mut().map(|sub| &mut sub.count)) {
                if *count > 1 && random.percent(60) {
                    *count -= 1;
                }
            }
        }
    }
    // Whoever wants several devices finds more of them.
    for (index, slice) in problem.slices.iter_mut().enumerate().filter(|_| random.percent(40)) {
        if let Some(last) = slice.devices.last().cloned() {
            for number in 1..=2 {
                let mut spare = last.clone();
                spare.name = format!("spare-{index}-{number}-{}", slice.devices.len());
                spare.taints.clear();
                slice.devices.push(spare);
            }
        }
    }
}

/// Lets one request ask for as many devices as a result holds, or one more, sometimes of a slice that has so many.
pub fn fill(problem: &mut Problem, random: &mut Random) {
    let wanted = random.weighted(&[(3, 20), (4, 31), (6, 32), (3, 33)]);
    if random.percent(60)
        && let Some(slice) = problem.slices.iter_mut().find(|slice| !slice.devices.is_empty())
    {
        let first = slice.devices[0].clone();
        for number in slice.devices.len()..34 {
            let mut device = first.clone();
            device.name = format!("many-{number}");
            slice.devices.push(device);
        }
    }
    let mut requests = problem.claims.iter_mut().flat_map(|claim| &mut claim.requests);
    if let Some(exact) = requests.find_map(|request| request.exactly.as_mut()) {
        exact.allocation_mode = AllocationMode::ExactCount;
        exact.count = wanted;
    }
}

fn take_first(request: &mut DeviceRequest) {
    if request.first_available.is_empty() {
        return;
    }
    let sub = request.first_available.remove(0);
    request.first_available.clear();
    request.exactly = Some(ExactDeviceRequest {
        device_class_name: sub.device_class_name,
        selectors: sub.selectors,
        allocation_mode: sub.allocation_mode,
        count: sub.count,
        admin_access: None,
        tolerations: sub.tolerations,
        capacity: sub.capacity,
        derived_attributes: sub.derived_attributes,
    });
}
