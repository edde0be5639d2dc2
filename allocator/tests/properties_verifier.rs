//! The verifier against the reference: it accepts what is right, and rejects what was tampered with.

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_allocator::objects::{
    AllocationResult, AttributeValue, ConfigurationSource, Device, DeviceAllocationConfiguration,
    DeviceRequestAllocationResult, DeviceTaint, DeviceToleration,
};
use drayage_conformance::generate::{self, Weights};
use drayage_conformance::problem::Problem;
use drayage_conformance::random::Random;
use drayage_conformance::reference::{self, Verdict};

/// Random problems with the reference's answer, share IDs made unique.
fn solved(
    seeds: std::ops::Range<u64>,
    weights: Weights,
) -> impl Iterator<Item = (u64, Problem, Vec<AllocationResult>)> {
    seeds.filter_map(move |seed| {
        let problem = generate::problem(seed, weights);
        let Verdict::Allocated(mut results) = reference::solve(&problem).verdict else { return None };
        let devices = results.iter_mut().flat_map(|result| &mut result.results);
        for (number, share_id) in devices.filter_map(|device| device.share_id.as_mut()).enumerate() {
            *share_id = format!("share-{number}");
        }
        Some((seed, problem, results))
    })
}

#[test]
fn answers_of_the_reference_are_accepted() {
    let mut accepted = 0;
    for (seed, problem, results) in solved(0..4_000, Weights::ALL).chain(solved(8_000..9_500, Weights::CLEAN))
    {
        if let Err(found) = problem.verify(&results) {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            panic!(
                "seed {seed}: {}\n{results:?}\n{}",
                found.join("\n"),
                drayage_conformance::json::problem(&problem)
            );
        }
        accepted += 1;
    }
    assert!(accepted > 1_200, "{accepted} answers");
}

/// Changes problem and answer so that the answer is wrong; false where there is nothing to change.
type Tamper = fn(&mut Random, &mut Problem, &mut Vec<AllocationResult>) -> bool;

const TAMPERS: &[(&str, Tamper)] = &[
    ("a claim's result is missing", |_, _, results| results.pop().is_some()),
    ("a device is missing", |random, _, results| {
        change_devices(random, results, |random, devices| {
            devices.remove(random.below(devices.len()));
        })
    }),
    ("a device is there twice", |random, _, results| {
        change_devices(random, results, |random, devices| {
            let at = random.below(devices.len());
            devices.insert(at, devices[at].clone());
        })
    }),
    ("two devices are in another order", |random, _, results| {
        let many = results.iter_mut().find(|result| result.results.len() > 1);
        many.is_some_and(|result| {
            let at = random.below(result.results.len() - 1);
            result.results.swap(at, at + 1);
            true
        })
    }),
    ("a device does not exist", |random, _, results| {
        change_device(random, results, |device| device.device.push_str("-not"))
    }),
    ("a request does not exist", |random, _, results| {
        change_device(random, results, |device| device.request.push_str("-not"))
    }),
    ("a device is gone from its slice", |random, problem, results| {
        with_device(random, problem, results, |device, _| {
            device.name.push_str("-gone");
            true
        })
    }),
    ("another claim holds the device", |random, problem, results| {
        let Some(result) = any_device(random, results) else { return false };
        if result.admin_access.is_some() {
            return false;
        }
        problem.held_devices.insert(result.device_id())
    }),
    ("a selector is false for the device", |random, problem, results| {
        let Some(result) = any_device(random, results) else { return false };
        let base = result.request.split('/').next().unwrap_or_default().to_owned();
        let requests = problem.claims.iter_mut().flat_map(|claim| &mut claim.requests);
        for request in requests.filter(|request| request.name == base) {
            if let Some(exact) = &mut request.exactly {
                exact.selectors.push(never());
            }
            for sub in &mut request.first_available {
                sub.selectors.push(never());
            }
        }
        true
    }),
    ("a class is gone", |random, problem, results| {
        let used = any_device(random, results).is_some();
        problem.classes.clear();
        used
    }),
    ("a taint is not tolerated", |random, problem, results| {
        if !problem.features.device_taints {
            return false;
        }
        with_device(random, problem, results, |device, result| {
            let effect = "NoSchedule".to_owned();
            device.taints.push(DeviceTaint { key: "new".to_owned(), value: "new".to_owned(), effect });
            !result.tolerations.iter().any(|toleration| toleration.key.is_empty())
        })
    }),
    ("a counter is exhausted", |random, problem, results| {
        if !problem.features.partitionable_devices {
            return false;
        }
        // The pool of this name must be the only one, and the device the only share of itself.
        let driver_pools: BTreeMap<_, _> =
            problem.slices.iter().map(|slice| (slice.pool.name.clone(), slice.driver.clone())).collect();
        let ambiguous = problem.slices.iter().any(|slice| driver_pools[&slice.pool.name] != slice.driver);
        let sharing = problem.features.consumable_capacity;
        !ambiguous
            && with_device(random, problem, results, |device, _| {
                let exclusive = !sharing || device.allow_multiple_allocations != Some(true);
                let counters =
                    device.consumes_counters.iter_mut().flat_map(|taken| taken.counters.values_mut());
                let last = counters.last();
                last.is_some_and(|amount| {
                    *amount = "1000".parse().unwrap();
                    exclusive
                })
            })
    }),
    ("another amount of capacity is consumed", |random, _, results| {
        let amounts = results.iter_mut().flat_map(|result| &mut result.results);
        let mut amounts: Vec<_> = amounts.flat_map(|device| device.consumed_capacity.values_mut()).collect();
        if amounts.is_empty() {
            return false;
        }
        let at = random.below(amounts.len());
        *amounts[at] = amounts[at].checked_add(&"1".parse().unwrap()).unwrap();
        true
    }),
    ("a device has less capacity than is consumed", |random, problem, results| {
        with_device(random, problem, results, |device, result| {
            let consumed = result.consumed_capacity.iter().find(|(_, amount)| !amount.is_zero());
            consumed.is_some_and(|(name, _)| {
                let capacity = device.capacity.get_mut(name).unwrap();
                // Without a default the full value would be taken, whatever it is.
                capacity.value = "0".parse().unwrap();
                true
            })
        })
    }),
    ("a share ID is missing or too many", |random, _, results| {
        change_device(random, results, |device| {
            device.share_id = match device.share_id {
                Some(_) => None,
                None => Some("share-more".to_owned()),
            };
        })
    }),
    ("two shares have one ID", |_, _, results| {
        let devices = results.iter_mut().flat_map(|result| &mut result.results);
        let ids: Vec<_> = devices.filter_map(|device| device.share_id.as_mut()).collect();
        let many = ids.len() > 1;
        for share_id in ids {
            "same".clone_into(share_id);
        }
        many
    }),
    ("a toleration is added", |random, _, results| {
        change_device(random, results, |device| device.tolerations.push(DeviceToleration::default()))
    }),
    ("admin access is turned", |random, _, results| {
        change_device(random, results, |device| {
            device.admin_access = if device.admin_access.is_some() { None } else { Some(true) };
        })
    }),
    ("binding conditions are changed", |random, _, results| {
        change_device(random, results, |device| {
            device.binding_conditions = match device.binding_conditions {
                Some(_) => None,
                None => Some(vec!["attached".to_owned()]),
            };
        })
    }),
    ("a configuration entry is missing or too many", |random, _, results| {
        let Some(result) = results.first_mut() else { return false };
        if result.results.is_empty() {
            return false;
        }
        if random.percent(50) && result.config.pop().is_some() {
            return true;
        }
        let source = ConfigurationSource::Claim;
        result.config.push(DeviceAllocationConfiguration { source, requests: Vec::new(), opaque: None });
        true
    }),
    ("the node selector is another", |random, _, results| {
        if results.is_empty() {
            return false;
        }
        let at = random.below(results.len());
        results[at].node_selector = match results[at].node_selector {
            Some(_) => None,
            None => Some(Arc::default()),
        };
        true
    }),
    ("an attribute does not match", |random, problem, results| {
        let constraints = problem.claims.iter().zip(results.iter());
        let mut found = constraints.flat_map(|(claim, result)| {
            let over_all = claim.constraints.iter().filter(|constraint| constraint.requests.is_empty());
            over_all
                .filter_map(|constraint| constraint.match_attribute.clone())
                .map(|name| (name, result.clone()))
        });
        let Some((attribute, result)) = found.find(|(_, result)| result.results.len() > 1) else {
            return false;
        };
        let ids: Vec<_> = result.results.iter().map(DeviceRequestAllocationResult::device_id).collect();
        if ids.iter().all(|id| *id == ids[0]) {
            return false;
        }
        with_device(random, problem, &[result], |device, _| {
            let id = attribute.split_once('/').map_or(attribute.as_str(), |(_, id)| id);
            device.attributes.remove(id);
            device.attributes.insert(attribute.clone(), AttributeValue::String("another".to_owned()));
            true
        })
    }),
];

fn never() -> drayage_allocator::objects::DeviceSelector {
    drayage_allocator::objects::DeviceSelector { cel: Some("false".to_owned()) }
}

fn any_device(random: &mut Random, results: &[AllocationResult]) -> Option<DeviceRequestAllocationResult> {
    let devices: Vec<_> = results.iter().flat_map(|result| &result.results).collect();
    if devices.is_empty() { None } else { Some((*random.pick(&devices)).clone()) }
}

fn change_devices(
    random: &mut Random,
    results: &mut [AllocationResult],
    change: impl Fn(&mut Random, &mut Vec<DeviceRequestAllocationResult>),
) -> bool {
    let mut lists: Vec<_> =
        results.iter_mut().map(|result| &mut result.results).filter(|list| !list.is_empty()).collect();
    if lists.is_empty() {
        return false;
    }
    let at = random.below(lists.len());
    change(random, lists[at]);
    true
}

fn change_device(
    random: &mut Random,
    results: &mut [AllocationResult],
    change: impl Fn(&mut DeviceRequestAllocationResult),
) -> bool {
    change_devices(random, results, |random, devices| {
        let at = random.below(devices.len());
        change(&mut devices[at]);
    })
}

/// Changes an allocated device where its slice publishes it.
fn with_device(
    random: &mut Random,
    problem: &mut Problem,
    results: &[AllocationResult],
    change: impl Fn(&mut Device, &DeviceRequestAllocationResult) -> bool,
) -> bool {
    let Some(result) = any_device(random, results) else { return false };
    let id = result.device_id();
    let slices = problem.slices.iter_mut().filter(|slice| slice.pool_id() == id.pool);
    let mut devices = slices.flat_map(|slice| &mut slice.devices).filter(|device| device.name == id.device);
    let mut changed = false;
    // All generations that publish it.
    devices.by_ref().for_each(|device| changed |= change(device, &result));
    changed
}

#[test]
fn tampered_answers_are_rejected() {
    let mut applied = vec![0; TAMPERS.len()];
    for (seed, problem, results) in solved(20_000..22_500, Weights::ALL) {
        for (index, (name, tamper)) in TAMPERS.iter().enumerate() {
            let (mut problem, mut results) = (problem.clone(), results.clone());
            let mut random = Random::new(seed);
            if tamper(&mut random, &mut problem, &mut results) {
                applied[index] += 1;
                assert!(
                    problem.verify(&results).is_err(),
                    "seed {seed}, {name}: accepted\n{results:?}\n{}",
                    drayage_conformance::json::problem(&problem),
                );
            }
        }
    }
    for ((name, _), applied) in TAMPERS.iter().zip(applied) {
        assert!(applied > 3, "{name}: tried {applied} times only");
    }
}
