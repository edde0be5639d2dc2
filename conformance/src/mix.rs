//! The mix of random problems that a release is compared on.

use drayage_allocator::Features;
use drayage_cel::Release;

use crate::fit;
use crate::generate::{self, Weights};
use crate::newer;
use crate::problem::Problem;
use crate::random::Random;
use crate::release::Target;

/// The problem of a seed for a release: nothing in it needs a feature that the release does not have.
pub fn problem(seed: u64, target: Target) -> Problem {
    let mut random = Random::new(seed ^ 0x6d69_785f_7365_6564);
    let lists = target.features().list_type_attributes && random.percent(25);
    let weights = if lists {
        Weights::LISTS
    } else {
        random.weighted(&[(35, Weights::CLEAN), (35, Weights::ALL), (30, Weights::HARD)])
    };
    let mut problem = generate::problem(seed, weights);
    problem.features = features(&mut random, target);
    problem.features.list_type_attributes |= lists;
    if target.release >= Release::V1_37 {
        newer::extend(&mut problem, &mut random, weights.faults > 0);
    }
    fit::fit(&mut problem, &mut random);
    // What 1.37 added makes solutions rarer.
    let (once, again) = if target.release >= Release::V1_37 { (100, 40) } else { (60, 0) };
    for percent in [once, again] {
        if random.percent(percent) {
            fit::ease(&mut problem, &mut random);
        }
    }
    if random.percent(2) {
        fit::fill(&mut problem, &mut random);
    }
    if target.has_random_pool_order() {
        // Go walks a small map from a random entry on, in the order in which entries came. With slices sorted by
        // pool, the order by name is a likely one. The order within a pool stays random.
        problem.slices.sort_by_key(drayage_allocator::objects::ResourceSlice::pool_id);
    }
    problem
}

/// Features of which each implementation of the release gets its share: upstream takes the most stable one that
/// has all that are on.
fn features(random: &mut Random, target: Target) -> Features {
    let all = target.features();
    let defaults = Features::for_release(target.release);
    // What the middle implementation of old releases and the stable one of new releases have.
    let few = Features {
        admin_access: true,
        prioritized_list: true,
        partitionable_devices: true,
        device_taints: true,
        ..Features::NONE
    };
    let without_lists = Features { list_type_attributes: false, ..all };
    let (base, off) = random.weighted(&[
        (30, (defaults, 0)),
        (25, (without_lists, 0)),
        (15, (without_lists, 20)),
        (12, (few, 0)),
        (8, (few, 25)),
        (7, (all, 10)),
        (3, (Features::NONE, 0)),
    ]);
    let mut features = base;
    let switches = [
        &mut features.admin_access,
        &mut features.prioritized_list,
        &mut features.partitionable_devices,
        &mut features.device_taints,
        &mut features.device_binding_and_status,
        &mut features.consumable_capacity,
        &mut features.list_type_attributes,
        &mut features.fractional_capacity_range,
        &mut features.optional_node_operations,
        &mut features.derived_attributes,
        &mut features.compatibility_groups,
    ];
    for switch in switches {
        *switch &= !random.percent(off);
    }
    features
}
