//! In which orders the devices of one request have to be tried.

use crate::constraints::ConstraintKind;
use crate::problem::{Problem, Setting};
use crate::profile::{AllInAlternatives, Enumeration, SecondCapacityCheck, Undo};

use super::candidate::Chosen;

/// The selections of devices for one request that the search goes through, in lexicographic order.
///
/// Where upstream tries permutations, all of them fail or none does as long as the order in which the devices of a
/// request are chosen leaves no trace: the same devices are taken from the books, evaluated and constrained. The
/// first permutation that works is then the one in rising order, because it comes before its rearrangements, and the
/// errors met on the way are the same, because what a rearrangement looks at was looked at before. So rising orders
/// are enough, and the search is spared the factorial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selections {
    /// Rising positions.
    Combinations,
    /// Rising positions, but a device that can be shared may follow itself.
    Multisets,
    /// All orders: what was tried before may change what comes later, so nothing may be left out.
    Permutations,
}

impl Selections {
    pub(super) fn new(setting: &Setting<'_>, problem: &Problem<'_>, chosen: &Chosen<'_>) -> Self {
        if setting.profile.enumeration == Enumeration::Combinations {
            Self::Combinations
        } else if leaves_traces(setting, problem, chosen) {
            Self::Permutations
        } else if (0..setting.view.len()).any(|position| chosen.is_shareable(chosen.device(position))) {
            Self::Multisets
        } else {
            Self::Combinations
        }
    }
}

/// Whether giving up or refusing a device may leave something behind, or its place among the devices of its request
/// matters.
fn leaves_traces(setting: &Setting<'_>, problem: &Problem<'_>, chosen: &Chosen<'_>) -> bool {
    let profile = setting.profile;
    let capacity = setting.features.consumable_capacity;
    let all_devices = problem.choices.iter().any(|choice| choice.all_devices.is_some());
    if capacity && profile.second_capacity_check == SecondCapacityCheck::DeviceAtOrdinal {
        return true;
    }
    let remembers_requests = problem.choices.iter().any(|choice| {
        let constraints = &problem.claims[choice.claim as usize].constraints;
        let mut distinct = choice
            .constraints
            .iter()
            .filter(|constraint| constraints[**constraint as usize].kind == ConstraintKind::Distinct);
        choice.count > 1 && distinct.next().is_some()
    });
    let changes_alternative = profile.all_in_alternatives == AllInAlternatives::FirstAlternative
        && problem.choices.iter().any(|choice| choice.all_devices.is_some() && choice.parent.is_some());
    if remembers_requests || changes_alternative || chosen.layout().mixes_pools() {
        return true;
    }
    if profile.undo == Undo::Complete {
        return false;
    }
    if capacity && all_devices {
        return true;
    }
    let with_counters = |position: &u32| {
        chosen.layout().consumption(*position).is_some_and(|(_, consumption)| !consumption.is_empty())
    };
    let constrained = problem.claims.iter().any(|claim| !claim.constraints.is_empty());
    (0..setting.view.len()).filter(with_counters).any(|position| {
        let device = chosen.device(position);
        let tainted = setting.features.device_taints && !device.taints.is_empty();
        constrained || tainted || chosen.is_shareable(device)
    })
}
