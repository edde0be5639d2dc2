//! Which devices a scan passes over without looking at them.
//!
//! A device that a `matchAttribute` constraint is going to refuse need not be tried, as long as trying it could not have
//! ended the search with an error. In a view of thousands of devices that is what a search would spend its time on.

use crate::constraints::{AttributeClass, Constraint, ConstraintState};
use crate::problem::{Choice, Problem, Setting};
use crate::profile::{CapacityFaults, SecondCapacityCheck, Undo};
use crate::selectors::Verdicts;

use super::candidate::{Chosen, Refusal};
use super::selections::Selections;

/// Views of up to so many devices are looked at one by one.
const FEW: u32 = 16;

/// What is known of the choices of a problem.
#[derive(Debug)]
pub(super) struct Leaps {
    /// Whether refusals of devices depend on nothing but what is held and chosen, and only grow with it.
    pub(super) steady: bool,
    /// By choice, once asked: whether no device can end the search with an error.
    silent: Vec<Option<bool>>,
}

impl Leaps {
    pub(super) fn new(
        setting: &Setting<'_>,
        problem: &Problem<'_>,
        chosen: &Chosen<'_>,
        selections: Selections,
    ) -> Self {
        let profile = &setting.profile;
        let steady = setting.view.len() > FEW
            && profile.undo == Undo::Complete
            && profile.second_capacity_check == SecondCapacityCheck::SameDevice
            && selections == Selections::Combinations
            && chosen.layout().is_plain();
        Self { steady, silent: if steady { vec![None; problem.choices.len()] } else { Vec::new() } }
    }

    /// The first position from this one on of which a constraint of the choice does not say "no" at once; `None` if that
    /// is none.
    pub(super) fn next(
        &mut self,
        setting: &Setting<'_>,
        problem: &Problem<'_>,
        chosen: &Chosen<'_>,
        number: u32,
        position: u32,
    ) -> Option<u32> {
        if !self.steady {
            return Some(position);
        }
        let choice = problem.choice(number);
        let Some((constraint, value)) = wanted(problem, chosen, choice) else { return Some(position) };
        let silent = self.silent.get_mut(number as usize);
        if !silent.is_some_and(|silent| *silent.get_or_insert_with(|| is_silent(setting, choice))) {
            return Some(position);
        }
        constraint.next_of(value, position)
    }
}

/// A constraint of a choice that wants a certain value, and the value.
fn wanted<'p, 'a>(
    problem: &'p Problem<'a>,
    chosen: &Chosen<'_>,
    choice: &Choice<'_>,
) -> Option<(&'p Constraint<'a>, u32)> {
    let states = chosen.constraints(choice.claim);
    choice.constraints().find_map(|(constraint, derivation)| match states.get(constraint as usize) {
        Some(ConstraintState::Match { first: AttributeClass::Value(value), devices: 1.. })
            if derivation == 0 =>
        {
            let claim = problem.claims.get(choice.claim as usize)?;
            Some((claim.constraints.get(constraint as usize)?, *value))
        }
        _ => None,
    })
}

fn is_silent(setting: &Setting<'_>, choice: &Choice<'_>) -> bool {
    let Setting { inventory, view, profile, features, .. } = setting;
    let silent_capacity = !features.consumable_capacity
        || choice.capacity.is_none()
            && (profile.capacity_faults == CapacityFaults::Ignored || !view.has_negative_capacity(inventory));
    silent_capacity
        && choice.derived.is_empty()
        && view.faults.is_empty()
        && choice.selectors.iter().all(|selector| match &selector.verdicts {
            Some(Verdicts::Column(column)) => column.is_free_of_errors(inventory, view),
            Some(Verdicts::Each(_)) | None => false,
        })
}

/// Whether a refusal of a device while nothing is chosen stands as long as devices are only taken, on whatever node of
/// those that see the same.
pub(super) fn stands(refusal: Refusal) -> bool {
    match refusal {
        Refusal::InUse
        | Refusal::CountersDisabled
        | Refusal::Counters(_)
        | Refusal::Taint
        | Refusal::Constraint(_)
        | Refusal::Capacity => true,
        Refusal::NodeOperations | Refusal::Groups(_) | Refusal::Derivation { .. } | Refusal::Panic { .. } => {
            false
        }
    }
}
