//! Answers recorded problems, one at a time.

use std::sync::Arc;

use drayage_allocator::{AllocatedState, Allocator, Implementation, Inventory, Outcome, Profile};
use drayage_cluster::problems::Problem;
use drayage_cluster::write::allocation_result_json;

use super::devices::share_id;
use crate::report::{ProblemAnswer, ProblemError, ProblemOutcome};

/// Allocates a problem's claims on its node, in a release's profile and with the problem's own features.
///
/// A problem that says which of upstream's implementations answered it is answered as that one does; otherwise the
/// features decide, as upstream lets them.
///
/// `budget` is the number of search steps after which the answer is `undecided`.
pub fn run_problem(problem: &Problem, profile: Profile, budget: u64) -> ProblemAnswer {
    let profile = Implementation::by_name(&problem.channel)
        .map_or(profile, |implementation| profile.of_implementation(implementation));
    let inventory = Arc::new(Inventory::new(problem.slices.clone()));
    let mut allocator = Allocator::new(inventory, problem.classes.iter().cloned(), profile, problem.features);
    let mut state = AllocatedState::new();
    for device in &problem.allocated_devices {
        state.insert_device(device);
    }
    for share in &problem.allocated_shared_devices {
        state.insert_share(share);
    }
    for (device, amounts) in &problem.allocated_capacity {
        state.insert_capacity(device, amounts);
    }
    let mut shares = 0;
    let mut next_share = || {
        shares += 1;
        share_id(shares)
    };
    let claims: Vec<_> = problem.claims.iter().collect();
    let answer = allocator.allocate(&state, &problem.node, &claims, &mut next_share, budget);
    // Upstream's call also returns an error where nothing fits and a pool is invalid.
    let error = answer
        .error()
        .map(|error| ProblemError { kind: error.kind().as_str().to_owned(), message: error.to_string() });
    let (outcome, results) = match answer.outcome {
        _ if error.is_some() => (ProblemOutcome::Error, None),
        Outcome::Allocated(results) => {
            (ProblemOutcome::Allocated, Some(results.iter().map(allocation_result_json).collect()))
        }
        Outcome::Unsatisfiable { .. } => (ProblemOutcome::Unsatisfiable, None),
        Outcome::Error(_) => (ProblemOutcome::Error, None),
        Outcome::Undecided => (ProblemOutcome::Undecided, None),
    };
    ProblemAnswer { name: problem.name.clone(), outcome, results, error, steps: answer.steps }
}
