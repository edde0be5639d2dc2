//! What a fact is about, before it is written out.

/// Which fact it is. Their order is the order of preference: where several could explain a failure, the first is
/// the one that readers expect, because what follows it matters only for devices that pass it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key<'a> {
    Demand { claim: usize, request: usize },
    ClassTerm { class: &'a str, index: usize, term: &'a str },
    Gate(&'static str),
    NodeSelection,
    RequestTerm { ask: usize, index: usize, term: &'a str },
    Pool(usize),
    CapacityMissing(&'a str),
    CapacityPolicy { ask: usize, capacity: &'a str },
    Constraint { claim: usize, index: usize },
    Taint { key: &'a str, value: &'a str, effect: &'a str },
    Once,
    Held,
    Counter(usize),
    Groups(usize),
    Capacity(&'a str),
    ClaimLimit(usize),
}
