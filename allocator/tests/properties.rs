//! Properties of the allocator on random problems. `DRAYAGE_PROBLEMS` sets how many; a failure is shrunk and
//! printed as a line in the format of recorded problems.

use std::sync::Arc;

use drayage_allocator::objects::{AllocationMode, DeviceId};
use drayage_allocator::{Outcome, Profile};
use drayage_conformance::generate::{self, Weights};
use drayage_conformance::problem::{Problem, without_share_ids};
use drayage_conformance::random::Random;
use drayage_conformance::reference::{self, Verdict};
use drayage_conformance::shrink::shrink;

/// How many random problems each property looks at.
fn count(default: u64) -> u64 {
    std::env::var("DRAYAGE_PROBLEMS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Asserts that `holds` for problems of many seeds; shrinks what fails.
fn for_all(seeds: u64, weights: Weights, holds: impl Fn(&Problem) -> Result<(), String>) {
    for seed in 0..seeds {
        let problem = generate::problem(seed, weights);
        if holds(&problem).is_err() {
            let small = shrink(problem, |candidate| holds(candidate).is_err());
            let why = holds(&small).unwrap_err();
            panic!("seed {seed}: {why}\n{}", drayage_conformance::json::problem(&small));
        }
    }
}

fn agrees_with_reference(problem: &Problem) -> Result<(), String> {
    let answer = without_share_ids(problem.solve().outcome);
    let reference = reference::solve(problem).verdict;
    if reference.agrees(&answer) {
        Ok(())
    } else {
        Err(format!("reference: {reference:?}\nallocator: {answer:?}"))
    }
}

#[test]
fn random_problems_are_a_good_mix() {
    let (mut allocated, mut unsatisfiable, mut errors, mut long) = (0, 0, 0, 0);
    for seed in 0..2_000 {
        match reference::solve(&generate::problem(seed, Weights::ALL)).verdict {
            Verdict::Allocated(results) => allocated += usize::from(!results.is_empty()),
            Verdict::Unsatisfiable { .. } => unsatisfiable += 1,
            Verdict::Error(_) => errors += 1,
            Verdict::TooLong => long += 1,
        }
    }
    assert!(allocated > 500, "{allocated} of 2000 are satisfiable");
    assert!(unsatisfiable > 500, "{unsatisfiable} of 2000 are unsatisfiable");
    assert!(errors > 200, "{errors} of 2000 end in an error");
    assert!(long < 20, "{long} of 2000 are too long for the reference");
}

#[test]
fn reference_gives_the_same_answer() {
    for_all(count(6_000), Weights::ALL, agrees_with_reference);
}

#[test]
fn reference_gives_the_same_answer_on_clean_problems() {
    for_all(count(3_000), Weights::CLEAN, agrees_with_reference);
}

#[test]
fn reference_gives_the_same_answer_with_list_attributes() {
    for_all(count(2_000), Weights::LISTS, agrees_with_reference);
}

/// Here the search has to study the problem: see `search::guide`.
#[test]
fn reference_gives_the_same_answer_on_hard_problems() {
    for_all(count(3_000), Weights::HARD, agrees_with_reference);
}

#[test]
fn verifier_accepts_every_answer() {
    for_all(count(1_000), Weights::HARD, accepted_by_verifier);
    for_all(count(2_000), Weights::ALL, accepted_by_verifier);
}

fn accepted_by_verifier(problem: &Problem) -> Result<(), String> {
    match problem.solve().outcome {
        Outcome::Allocated(results) => problem.verify(&results).map_err(|found| {
            let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
            format!("{}\n{results:?}", lines.join("\n"))
        }),
        _ => Ok(()),
    }
}

/// Whatever was asked before, and whatever is remembered from it, equal questions get equal answers.
#[test]
fn answers_do_not_depend_on_earlier_questions() {
    for_all(count(400), Weights::ALL, |problem| {
        let mut allocator = problem.allocator(Profile::V1_36_3.pinned());
        let first = problem.ask(&mut allocator);
        // Other questions to the same allocator: fewer claims, nothing held, another node.
        let mut others = [problem.clone(), problem.clone(), problem.clone()];
        others[0].claims.pop();
        others[1].held_devices.clear();
        others[1].held_capacity.clear();
        others[2].node.name = "node-2".to_owned();
        let before: Vec<_> = others.iter().map(|other| other.ask(&mut allocator)).collect();
        let again = problem.ask(&mut allocator);
        if first != again {
            return Err(format!("first: {first:?}\nagain: {again:?}"));
        }
        for (other, answer) in others.iter().zip(before) {
            let fresh = other.solve();
            if fresh.outcome != answer.outcome {
                return Err(format!("fresh: {:?}\nafter others: {:?}", fresh.outcome, answer.outcome));
            }
        }
        Ok(())
    });
}

/// The order in which slices and classes are listed means nothing, as long as the slices of a pool agree on
/// how many they are and class names are unique. (Errors may differ in which of several is met first, when
/// node selectors are malformed.)
#[test]
fn order_of_input_does_not_matter() {
    for_all(count(1_000), Weights::CLEAN, |problem| {
        let mut random = Random::new(7);
        let mut other = problem.clone();
        random.shuffle(&mut other.slices);
        random.shuffle(&mut other.classes);
        let (one, other) = (problem.solve().outcome, other.solve().outcome);
        let agree = |problem: &Problem| {
            problem.slices.iter().all(|slice| {
                let of_pool = problem.slices.iter().filter(|other| other.pool_id() == slice.pool_id());
                of_pool
                    .filter(|other| other.pool.generation == slice.pool.generation)
                    .all(|other| other.pool.resource_slice_count == slice.pool.resource_slice_count)
            })
        };
        if one == other || !agree(problem) { Ok(()) } else { Err(format!("{one:?}\n{other:?}")) }
    });
}

/// Names of claims, requests, alternatives and classes carry no meaning.
#[test]
fn renaming_changes_nothing_else() {
    let renamed = |name: &str| if name.is_empty() { String::new() } else { format!("new-{name}") };
    let reference_to_request = move |name: &str| match name.split_once('/') {
        Some((base, sub)) => format!("{}/{}", renamed(base), renamed(sub)),
        None => renamed(name),
    };
    for_all(count(1_000), Weights::ALL, |problem| {
        let mut other = problem.clone();
        for class in &mut other.classes {
            class.name = renamed(&class.name);
        }
        for claim in &mut other.claims {
            claim.name = renamed(&claim.name);
            for request in &mut claim.requests {
                request.name = renamed(&request.name);
                if let Some(exact) = &mut request.exactly {
                    exact.device_class_name = renamed(&exact.device_class_name);
                }
                for sub in &mut request.first_available {
                    sub.name = renamed(&sub.name);
                    sub.device_class_name = renamed(&sub.device_class_name);
                }
            }
            let lists = claim.constraints.iter_mut().map(|constraint| &mut constraint.requests);
            for name in lists.chain(claim.config.iter_mut().map(|entry| &mut entry.requests)).flatten() {
                *name = reference_to_request(name);
            }
        }
        let mut expected = problem.solve().outcome;
        if let Outcome::Allocated(results) = &mut expected {
            for result in Arc::make_mut(results) {
                let devices = result.results.iter_mut().map(|device| &mut device.request);
                for name in devices.chain(result.config.iter_mut().flat_map(|entry| &mut entry.requests)) {
                    *name = reference_to_request(name);
                }
            }
        }
        let actual = other.solve().outcome;
        let same = match (&expected, &actual) {
            (Outcome::Error(one), Outcome::Error(other)) => one.kind() == other.kind(),
            (one, other) => one == other,
        };
        if same { Ok(()) } else { Err(format!("expected: {expected:?}\nactual: {actual:?}")) }
    });
}

/// Removing a device that nobody holds, from a pool that stays complete, never makes an unsatisfiable problem
/// satisfiable. Where it may, and why the problems here are without it:
///
/// - `allocationMode: All` asks for every matching device, so fewer devices are a smaller request;
/// - an invalid pool can become valid when a duplicate or a wrong consumption goes away, and a pool with
///   binding conditions can move to another place in the order;
/// - a device held by another claim takes counters, which come back when it is gone;
/// - 1.36's `distinctAttribute` over a request with several devices forgets values when it backtracks, so that
///   its answer depends on the walk; the same holds for `matchAttribute` over list attributes, and for counter
///   books shared by pools of one name;
/// - errors: a device on which a selector fails ends the search, removing it goes on.
#[test]
fn removing_a_device_never_helps() {
    let mut looked_at = 0;
    for seed in 0..count(1_200) {
        let mut problem = generate::problem(seed, Weights::CLEAN);
        for claim in &mut problem.claims {
            for constraint in &mut claim.constraints {
                constraint.distinct_attribute = None;
            }
            claim.constraints.retain(|constraint| constraint.match_attribute.is_some());
        }
        let all = problem.claims.iter().flat_map(|claim| &claim.requests).any(|request| {
            let mut modes = request.first_available.iter().map(|sub| &sub.allocation_mode);
            let exact = request.exactly.as_ref().map(|exact| &exact.allocation_mode);
            modes.any(|mode| *mode != AllocationMode::ExactCount)
                || exact.is_some_and(|mode| *mode != AllocationMode::ExactCount)
        });
        let mut names: Vec<_> =
            problem.slices.iter().map(|slice| (&slice.pool.name, &slice.driver)).collect();
        names.sort();
        names.dedup();
        let shared_name = names.windows(2).any(|pair| pair[0].0 == pair[1].0);
        if all || shared_name || problem.solve().outcome != (Outcome::Unsatisfiable { invalid_pools: false })
        {
            continue;
        }
        looked_at += 1;
        for slice in 0..problem.slices.len() {
            for device in 0..problem.slices[slice].devices.len() {
                let mut fewer = problem.clone();
                fewer.slices[slice].devices.remove(device);
                let gone = &problem.slices[slice].devices[device];
                let is_gone =
                    |id: &DeviceId| id.device == gone.name && id.pool == problem.slices[slice].pool_id();
                let held = problem.held_devices.iter().any(is_gone)
                    || problem.held_capacity.keys().any(is_gone)
                    || problem.held_shares.iter().any(|share| is_gone(&share.device));
                if held {
                    continue;
                }
                let outcome = fewer.solve().outcome;
                assert!(
                    matches!(outcome, Outcome::Unsatisfiable { .. }),
                    "seed {seed}: without {} in slice {}: {outcome:?}\n{}",
                    gone.name,
                    problem.slices[slice].name,
                    drayage_conformance::json::problem(&problem),
                );
            }
        }
    }
    assert!(looked_at > 20, "only {looked_at} problems were of use");
}
