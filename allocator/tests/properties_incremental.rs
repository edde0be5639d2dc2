//! An inventory, an allocator and a state that were changed step by step are those built from scratch, and forks do
//! not see each other.

use std::sync::Arc;

use drayage_allocator::objects::{AllocationResult, ResourceSlice};
use drayage_allocator::{AllocatedState, Allocator, Features, Inventory, Outcome, Profile};
use drayage_conformance::generate::{self, Weights};
use drayage_conformance::problem::Problem;
use drayage_conformance::random::Random;

/// How many random problems each property looks at.
fn count(default: u64) -> u64 {
    std::env::var("DRAYAGE_PROBLEMS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The question of the problem on two nodes.
fn outcomes(problem: &Problem, allocator: &mut Allocator) -> [Outcome; 2] {
    let mut other = problem.clone();
    let name = if problem.node.name == "node-2" { "node-1" } else { "node-2" };
    name.clone_into(&mut other.node.name);
    [problem.ask(allocator).outcome, other.ask(allocator).outcome]
}

fn rebuilt(problem: &Problem, allocator: &Allocator) -> Allocator {
    let slices: Vec<ResourceSlice> = allocator.inventory().slices().cloned().collect();
    assert_eq!(
        slices.iter().map(|slice| slice.devices.len()).sum::<usize>(),
        allocator.inventory().device_count()
    );
    let classes = problem.classes.clone();
    Allocator::new(Arc::new(Inventory::new(slices)), classes, Profile::V1_36, problem.features)
}

/// Adds, replaces or removes a slice. What comes is from another problem, so that all kinds of slices meet.
fn change(random: &mut Random, allocator: &mut Allocator, from: &Problem) {
    let names: Vec<String> = allocator.inventory().slices().map(|slice| slice.name.clone()).collect();
    let any = |random: &mut Random, length: usize| random.below(length.max(1));
    let name = names.get(any(random, names.len())).cloned();
    match (random.below(3), from.slices.get(any(random, from.slices.len())).cloned(), name) {
        (0, Some(slice), _) => allocator.publish(slice),
        (1, Some(slice), Some(name)) => allocator.publish(ResourceSlice { name, ..slice }),
        (_, _, Some(name)) => assert!(allocator.withdraw(&name)),
        _ => assert!(!allocator.withdraw("no such slice")),
    }
}

#[test]
fn a_changed_inventory_is_like_a_rebuilt_one() {
    for seed in 0..count(200) {
        let mut random = Random::new(seed);
        let problem = generate::problem(seed, Weights::ALL);
        let mut allocator = problem.allocator(Profile::V1_36);
        for step in 0..4 {
            let other = generate::problem(seed * 5 + step, Weights::ALL);
            let mut fork = allocator.clone();
            let before = outcomes(&problem, &mut allocator);
            change(&mut random, &mut fork, &other);
            let expected = outcomes(&problem, &mut rebuilt(&problem, &fork));
            assert_eq!(outcomes(&problem, &mut fork), expected, "seed {seed}, step {step}");
            assert_eq!(
                outcomes(&problem, &mut allocator),
                before,
                "seed {seed}, step {step}: the fork shows"
            );
            allocator = fork;
        }
    }
}

#[test]
fn a_changed_state_is_like_a_rebuilt_one() {
    let features = Features::default();
    for seed in 0..count(100) {
        let mut random = Random::new(seed);
        // Allocations of several problems, held together: their pools have the same names.
        let mut held: Vec<AllocationResult> = Vec::new();
        let mut state = AllocatedState::new();
        let problem = generate::problem(seed, Weights::ALL);
        for step in 0..6 {
            let fork = state.clone();
            let before = asked(&problem, &fork);
            match random.below(3) {
                0 if !held.is_empty() => {
                    let freed = held.swap_remove(random.below(held.len()));
                    state.remove(&freed, features);
                }
                _ => {
                    let other = generate::problem(seed * 7 + step, Weights::HARD);
                    if let Outcome::Allocated(results) = other.solve().outcome {
                        let mut results = Arc::unwrap_or_clone(results);
                        // Two claims never hold one device exclusively, nor one share ID.
                        results.retain(|result| !overlaps(result, &held));
                        for result in results {
                            if !overlaps(&result, &held) {
                                state.insert(&result, features);
                                held.push(result);
                            }
                        }
                    }
                }
            }
            let mut again = AllocatedState::new();
            for result in &held {
                again.insert(result, features);
            }
            assert_eq!(asked(&problem, &state), asked(&problem, &again), "seed {seed}, step {step}");
            assert_eq!(asked(&problem, &fork), before, "seed {seed}, step {step}: the fork shows");
        }
    }
}

/// Whatever was asked before, with whatever held, a question gets the answer of an allocator that was asked nothing.
#[test]
fn earlier_questions_change_no_answer() {
    for seed in 0..count(100) {
        let mut random = Random::new(seed);
        let problem = generate::problem(seed, Weights::ALL);
        let mut renamed = problem.claims.clone();
        for claim in &mut renamed {
            claim.name.push_str("-again");
        }
        let mut others = problem.claims.clone();
        others.extend(generate::problem(seed + 1, Weights::HARD).claims);
        others.rotate_left(1);
        let questions = [&problem.claims, &renamed, &others];
        let mut declaring = problem.node.clone();
        declaring.declared_features.insert("DRAOptionalNodeOperations".to_owned());
        let mut labelled = problem.node.clone();
        labelled.labels.insert("label".to_owned(), "other".to_owned());
        let nodes = [&problem.node, &declaring, &labelled];
        let mut states = vec![AllocatedState::new(), problem.state()];
        if let Outcome::Allocated(results) = problem.solve().outcome {
            let mut more = problem.state();
            results.iter().take(1).for_each(|result| more.insert(result, problem.features));
            states.push(more);
        }

        let new = problem.allocator(Profile::V1_36);
        let mut asked = new.clone();
        for step in 0..24 {
            // Mostly the same, so that answers are asked for again.
            let pick = |random: &mut Random, of: usize| if random.percent(70) { 0 } else { random.below(of) };
            let claims: Vec<_> = questions[pick(&mut random, questions.len())].iter().collect();
            let node = nodes[pick(&mut random, nodes.len())];
            let state = &states[pick(&mut random, states.len())];
            let budget = if random.percent(10) { 5 } else { 20_000 };
            let ask = |allocator: &mut Allocator| {
                let mut shares = 0;
                let mut share_ids = || {
                    shares += 1;
                    format!("share-{shares}")
                };
                allocator.allocate(state, node, &claims, &mut share_ids, budget)
            };
            assert_eq!(ask(&mut asked), ask(&mut new.clone()), "seed {seed}, step {step}");
            let mut compiled = asked.for_inventory(new.inventory().clone());
            assert_eq!(ask(&mut compiled), ask(&mut new.clone()), "seed {seed}, step {step}: compiled");
        }
    }
}

fn overlaps(result: &AllocationResult, held: &[AllocationResult]) -> bool {
    let devices = || held.iter().flat_map(|held| &held.results);
    result.results.iter().any(|device| devices().any(|other| other.device_id() == device.device_id()))
}

fn asked(problem: &Problem, state: &AllocatedState) -> Outcome {
    let mut allocator = problem.allocator(Profile::V1_36);
    let claims: Vec<_> = problem.claims.iter().collect();
    allocator.allocate(state, &problem.node, &claims, &mut String::new, 100_000).outcome
}
