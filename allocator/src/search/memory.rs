//! What is left of a problem, written down so that equal remainders are equal.

use smallvec::SmallVec;

use crate::compatibility::Common;
use crate::constraints::{AttributeClass, ConstraintState};
use crate::problem::Problem;

use super::candidate::Chosen;
use super::guide::Guide;
use super::walk::Place;

/// Everything the search from a place on can see of what was chosen before. If the search fails from one place, it
/// fails from every place with an equal remainder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Remainder(Box<[u64]>);

/// Writes the remainder of a problem at a place. `None` where an amount is beyond 128 bits.
pub(crate) fn remainder(
    guide: &Guide,
    problem: &Problem<'_>,
    chosen: &Chosen<'_>,
    place: &Place,
) -> Option<Remainder> {
    let number = guide.number(place)?;
    let request = guide.requests.get(number as usize)?;
    let mut words = Words::default();
    words.push(u64::from(number));
    words.push(place.choice.map_or(u64::MAX, u64::from));
    words.push(u64::try_from(place.ordinal).ok()?);
    words.push(u64::try_from(chosen.results(place.claim)).ok()?);

    // In the middle of a request only devices behind the latest can be chosen for it.
    let current = place.choice.filter(|_| place.ordinal > 0);
    let looks_ahead =
        |class: u32| current.is_some_and(|choice| guide.candidates[choice as usize].classes.contains(&class));
    let mut touched: Vec<(u32, u32)> = chosen
        .devices()
        .iter()
        .filter_map(|device| Some((guide.class_of[device.position as usize]?, device.position)))
        .filter(|(class, _)| request.classes.contains(*class as usize))
        .filter(|(class, _)| guide.classes[*class as usize].kind.is_none())
        .collect();
    touched.sort_unstable();
    touched.dedup();
    if let Some(choice) = current {
        let classes = guide.candidates[choice as usize].classes.iter();
        for class in classes.filter(|class| guide.classes[**class as usize].kind.is_none()) {
            let members = &guide.classes[*class as usize].members;
            let behind = members.partition_point(|position| *position < place.start);
            words.push(u64::from(*class));
            words.push(u64::try_from(behind).ok()?);
        }
    }
    let mut rest = touched.as_slice();
    while let Some((class, _)) = rest.first().copied() {
        let count = rest.partition_point(|(other, _)| *other == class);
        let (same, others) = rest.split_at(count);
        rest = others;
        words.push(u64::from(class));
        words.push(u64::try_from(count).ok()?);
        // The devices of a class may be swapped, so their states are sorted.
        let mut states = Vec::with_capacity(count);
        for (_, position) in same {
            let mut state = Words::default();
            state.push(u64::from(looks_ahead(class) && *position >= place.start));
            if guide.admin_access {
                state.push_marks(chosen, *position)?;
            }
            if let Some(share) = chosen.share(*position) {
                for amount in share.consumed.values() {
                    state.push_amount(amount.nano_units()?);
                }
            }
            states.push(state.0);
        }
        words.push_sorted(states)?;
    }
    let mut kinds: SmallVec<[u32; 4]> =
        request.classes.ones().filter_map(|class| guide.classes[class].kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let mut states = Vec::new();
        for (position, left) in guide.kinds[kind as usize].left(chosen, number)? {
            let mut state = Words::default();
            let ahead = guide.class_of[position as usize].is_some_and(looks_ahead);
            state.push(u64::from(ahead && position >= place.start));
            if guide.admin_access {
                state.push_marks(chosen, position)?;
            }
            for amount in left {
                state.push_amount(amount);
            }
            states.push(state.0);
        }
        words.push(u64::from(kind));
        words.push_sorted(states)?;
    }
    for book in request.books.ones() {
        for amount in chosen.consumed_counters(u32::try_from(book).ok()?) {
            words.push_amount(amount.nano_units()?);
        }
    }
    for common in chosen.common_groups() {
        match common {
            Common::Open => words.push(0),
            Common::NoGroups => words.push(1),
            Common::Groups(groups) => {
                words.push(2 + u64::try_from(groups.len()).ok()?);
                words.0.extend(groups.iter().copied().map(u64::from));
            }
        }
    }
    // At the entry of a claim its constraints have seen nothing.
    if place.request > 0 || place.choice.is_some() {
        let claim = &problem.claims[place.claim as usize];
        let relevant = |index: u32| {
            let later = guide.requests[number as usize..].iter();
            later.take_while(|request| request.claim == place.claim).any(|request| {
                request.choices.clone().any(|choice| problem.choice(choice).constraints.contains(&index))
            })
        };
        for (index, state) in (0_u32..).zip(chosen.constraints(place.claim)).take(claim.constraints.len()) {
            if relevant(index) {
                words.push_constraint(state);
            }
        }
    }
    Some(Remainder(words.0.into_boxed_slice()))
}

#[derive(Default)]
struct Words(Vec<u64>);

impl Words {
    fn push(&mut self, word: u64) {
        self.0.push(word);
    }

    fn push_amount(&mut self, amount: i128) {
        let bits = amount.cast_unsigned();
        self.push(u64::try_from(bits >> 64).unwrap_or_default());
        self.push(u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default());
    }

    /// The claims that have chosen a device.
    fn push_marks(&mut self, chosen: &Chosen<'_>, position: u32) -> Option<()> {
        let marks: SmallVec<[u32; 4]> = chosen.marks(position).collect();
        self.push(u64::try_from(marks.len()).ok()?);
        self.0.extend(marks.into_iter().map(u64::from));
        Some(())
    }

    /// States of devices that may be swapped.
    fn push_sorted(&mut self, mut states: Vec<Vec<u64>>) -> Option<()> {
        states.sort_unstable();
        self.push(u64::try_from(states.len()).ok()?);
        for state in states {
            self.push(u64::try_from(state.len()).ok()?);
            self.0.extend(state);
        }
        Some(())
    }

    fn push_class(&mut self, class: AttributeClass) {
        self.push(match class {
            AttributeClass::Missing => 0,
            // A value that cannot be derived is never remembered.
            AttributeClass::Incomparable | AttributeClass::Fault(_) => 1,
            AttributeClass::Value(value) => 2 + u64::from(value),
        });
    }

    fn push_constraint(&mut self, state: &ConstraintState) {
        let mut values: Vec<AttributeClass> = match state {
            ConstraintState::Match { devices: 0, .. } | ConstraintState::Common { devices: 0, .. } => {
                Vec::new()
            }
            ConstraintState::Match { first, .. } => vec![*first],
            ConstraintState::Common { elements, .. } => {
                elements.iter().copied().map(AttributeClass::Value).collect()
            }
            ConstraintState::LatestOfRequest { values, .. } => {
                values.iter().map(|(_, value)| *value).collect()
            }
            ConstraintState::EveryDevice { values } => values.clone(),
        };
        values.sort_unstable();
        self.push(u64::try_from(values.len()).unwrap_or(u64::MAX));
        for value in values {
            self.push_class(value);
        }
    }
}
