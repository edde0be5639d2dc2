//! Makes a failing problem small.

use drayage_allocator::Features;
use drayage_allocator::objects::AllocationMode;

use crate::problem::Problem;

/// Takes parts away as long as `fails` stays true.
pub fn shrink(mut problem: Problem, mut fails: impl FnMut(&Problem) -> bool) -> Problem {
    loop {
        let Some(smaller) = smaller(&problem).into_iter().find(|candidate| fails(candidate)) else {
            return problem;
        };
        problem = smaller;
    }
}

fn smaller(problem: &Problem) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut with = |change: &dyn Fn(&mut Problem)| {
        let mut candidate = problem.clone();
        change(&mut candidate);
        if candidate != *problem {
            found.push(candidate);
        }
    };
    with(&|p| p.features = Features::default());
    without_each(&mut with, problem.claims.len(), |p, at| drop(p.claims.remove(at)));
    without_each(&mut with, problem.slices.len(), |p, at| {
        let gone = p.slices.remove(at);
        for slice in p.slices.iter_mut().filter(|slice| slice.pool_id() == gone.pool_id()) {
            slice.pool.resource_slice_count -= 1;
        }
    });
    without_each(&mut with, problem.slices.len(), |p, at| drop(p.slices.remove(at)));
    without_each(&mut with, problem.classes.len(), |p, at| drop(p.classes.remove(at)));
    for at in 0..problem.slices.len() {
        let slice = &problem.slices[at];
        without_each(&mut with, slice.devices.len(), |p, device| drop(p.slices[at].devices.remove(device)));
        without_each(&mut with, slice.shared_counters.len(), |p, set| {
            drop(p.slices[at].shared_counters.remove(set));
        });
        with(&|p| {
            let slice = &mut p.slices[at];
            slice.node_selector = None;
            slice.node_name = None;
            slice.per_device_node_selection = None;
            slice.all_nodes = true;
        });
        for index in 0..slice.devices.len() {
            let keys: Vec<String> = slice.devices[index].attributes.keys().cloned().collect();
            for key in keys {
                with(&|p| drop(p.slices[at].devices[index].attributes.remove(&key)));
            }
            let keys: Vec<String> = slice.devices[index].capacity.keys().cloned().collect();
            for key in keys {
                with(&|p| drop(p.slices[at].devices[index].capacity.remove(&key)));
                with(&|p| {
                    if let Some(capacity) = p.slices[at].devices[index].capacity.get_mut(&key) {
                        capacity.request_policy = None;
                    }
                });
            }
            with(&|p| p.slices[at].devices[index].taints.clear());
            with(&|p| p.slices[at].devices[index].consumes_counters.clear());
            with(&|p| p.slices[at].devices[index].binding_conditions = None);
            with(&|p| p.slices[at].devices[index].binding_failure_conditions = None);
            with(&|p| p.slices[at].devices[index].binds_to_node = false);
            with(&|p| p.slices[at].devices[index].allow_multiple_allocations = None);
            with(&|p| p.slices[at].devices[index].node_selector = None);
        }
    }
    for at in 0..problem.classes.len() {
        without_each(&mut with, problem.classes[at].selectors.len(), |p, selector| {
            p.classes[at].selectors.remove(selector);
        });
        with(&|p| p.classes[at].config.clear());
    }
    for at in 0..problem.claims.len() {
        let claim = &problem.claims[at];
        without_each(&mut with, claim.requests.len(), |p, request| {
            drop(p.claims[at].requests.remove(request));
        });
        without_each(&mut with, claim.constraints.len(), |p, index| {
            drop(p.claims[at].constraints.remove(index));
        });
        without_each(&mut with, claim.config.len(), |p, index| drop(p.claims[at].config.remove(index)));
        for index in 0..claim.constraints.len() {
            with(&|p| p.claims[at].constraints[index].requests.clear());
        }
        for index in 0..claim.requests.len() {
            let subs = claim.requests[index].first_available.len();
            if subs > 1 {
                without_each(&mut with, subs, |p, sub| {
                    p.claims[at].requests[index].first_available.remove(sub);
                });
            }
            with(&|p| {
                if let Some(exact) = &mut p.claims[at].requests[index].exactly {
                    exact.selectors.clear();
                }
            });
            with(&|p| {
                if let Some(exact) = &mut p.claims[at].requests[index].exactly {
                    exact.capacity = None;
                }
            });
            with(&|p| {
                if let Some(exact) = &mut p.claims[at].requests[index].exactly {
                    exact.tolerations.clear();
                    exact.admin_access = None;
                }
            });
            with(&|p| {
                if let Some(exact) = &mut p.claims[at].requests[index].exactly
                    && exact.allocation_mode == AllocationMode::ExactCount
                    && exact.count > 1
                {
                    exact.count -= 1;
                }
            });
            for sub in 0..subs {
                with(&|p| p.claims[at].requests[index].first_available[sub].selectors.clear());
                with(&|p| p.claims[at].requests[index].first_available[sub].capacity = None);
                with(&|p| p.claims[at].requests[index].first_available[sub].tolerations.clear());
                with(&|p| {
                    let sub = &mut p.claims[at].requests[index].first_available[sub];
                    if sub.allocation_mode == AllocationMode::ExactCount && sub.count > 1 {
                        sub.count -= 1;
                    }
                });
            }
        }
    }
    for id in &problem.held_devices {
        with(&|p| p.held_devices.retain(|held| held != id));
    }
    for id in &problem.held_shares {
        with(&|p| p.held_shares.retain(|held| held != id));
    }
    for id in problem.held_capacity.keys() {
        with(&|p| drop(p.held_capacity.remove(id)));
    }
    found
}

/// Takes a change of the problem as one candidate.
type With<'w> = dyn FnMut(&dyn Fn(&mut Problem)) + 'w;

fn without_each(with: &mut With<'_>, count: usize, remove: impl Fn(&mut Problem, usize)) {
    for at in 0..count {
        with(&|problem| remove(problem, at));
    }
}
