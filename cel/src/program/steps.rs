//! The compiled form of an expression: steps that name each other by index.
//!
//! The steps mirror what cel-go plans, because the run-time cost counts its steps: a chain of selections and
//! indexings is one attribute with qualifiers, literals of constants are constants, `in` with a constant list is a
//! look-up, and a conditional is an attribute too.

use crate::declarations::{CallCost, CostTakes, Evaluate};
use crate::error::EvaluationError;
use crate::go_regex::GoRegex;
use crate::types::Type;
use crate::value::{Key, Value};

/// Index of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepId(pub(super) u32);

/// Index of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AttributeId(pub(super) u32);

/// Index of a variable of a comprehension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub(super) u32);

#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// Whether cel-go is at least 0.29.
    pub(super) cel_0_29: bool,
    pub(super) list: Vec<Step>,
    pub(super) attributes: Vec<Attribute>,
    /// For each variable how it starts: accumulators compute their first value when first looked at.
    pub(super) slots: Vec<Option<StepId>>,
    /// How deep steps nest.
    pub(super) depth: usize,
}

#[derive(Debug)]
pub(super) enum Step {
    /// Costs nothing.
    Constant(Value),
    /// A call with constant operands, evaluated beforehand; costs what the call would.
    Folded {
        value: Result<Value, EvaluationError>,
        cost: u64,
    },
    /// A variable or value with qualifiers. `presence`: within `has`.
    Attribute {
        attribute: AttributeId,
        presence: bool,
    },
    And(StepId, StepId),
    Or(StepId, StepId),
    NotStrictlyFalse(StepId),
    Call(Box<Call>),
    /// `matches` with a constant expression.
    Matches {
        text: StepId,
        pattern: GoRegex,
        pattern_text: Value,
        cost: CallCost,
    },
    /// `in` with a constant list of scalars: no cost of its own.
    Among {
        item: StepId,
        list: Value,
    },
    /// `or`, and `orValue` where `unwrap`: no cost of their own.
    Otherwise {
        optional: StepId,
        otherwise: StepId,
        unwrap: bool,
    },
    List(Vec<Element>),
    Map(Vec<(StepId, Element)>),
    Fold(Box<Fold>),
    /// `@result + [element]`, appended in place.
    Append {
        slot: Slot,
        element: StepId,
        constant: bool,
    },
    /// `cel.@mapInsert(@result, …)`, inserted in place.
    Insert {
        slot: Slot,
        key: Option<StepId>,
        value: StepId,
    },
}

/// An element of a list or value of a map; `optional`: left out where it holds nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub(super) step: StepId,
    pub(super) optional: bool,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) function: &'static str,
    pub(super) arguments: Vec<StepId>,
    pub(super) candidates: Vec<Candidate>,
    /// For `find` and `findAll`: the expression, if it is constant.
    pub(super) pattern: Option<GoRegex>,
    /// Whether evaluation stops at the first operand that is an error. cel-go then counts the call only if it
    /// was the last; other calls evaluate all operands and always count.
    pub(super) stops_early: bool,
    pub(super) cost: CallCost,
    /// See [`crate::declarations::Overload::cost_takes`].
    pub(super) cost_takes: Option<CostTakes>,
}

/// One implementation that a call may end at.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) parameters: Vec<Type>,
    pub(super) guarded: bool,
    pub(super) evaluate: Evaluate,
}

#[derive(Debug)]
pub(super) struct Fold {
    pub(super) range: StepId,
    pub(super) first: Slot,
    pub(super) second: Option<Slot>,
    pub(super) accumulator: Slot,
    pub(super) condition: StepId,
    pub(super) step: StepId,
    pub(super) result: StepId,
}

#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) base: Base,
    pub(super) qualifiers: Vec<Qualifier>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Base {
    Device,
    Variable(Slot),
    Step(StepId),
    Conditional { condition: StepId, truthy: AttributeId, falsy: AttributeId },
}

/// A selection or an indexing.
#[derive(Clone, Debug)]
pub(super) struct Qualifier {
    pub(super) by: By,
    pub(super) optional: bool,
    /// Asks whether it is there instead of what it is: the last qualifier within `has`.
    pub(super) presence: bool,
}

#[derive(Clone, Debug)]
pub(super) enum By {
    /// A constant, and the key under which maps have it.
    Constant(Value, Option<Key>),
    /// The value of another attribute, which then costs only its own qualifiers.
    Attribute(AttributeId),
    Step(StepId),
}

impl AttributeId {
    pub(super) fn at(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

impl Slot {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl By {
    pub(super) fn constant(value: Value) -> Self {
        let key = Key::find(&value);
        Self::Constant(value, key)
    }
}

impl Steps {
    pub(super) fn step(&self, id: StepId) -> &Step {
        &self.list[id.0 as usize]
    }

    pub(super) fn attribute(&self, id: AttributeId) -> &Attribute {
        &self.attributes[id.0 as usize]
    }

    pub(super) fn push(&mut self, step: Step) -> StepId {
        self.list.push(step);
        StepId(u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX))
    }

    pub(super) fn push_attribute(&mut self, base: Base) -> AttributeId {
        self.attributes.push(Attribute { base, qualifiers: Vec::new() });
        AttributeId::at(self.attributes.len() - 1)
    }

    pub(super) fn push_slot(&mut self, initial: Option<StepId>) -> Slot {
        self.slots.push(initial);
        Slot(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
    }

    pub(super) fn constant(&self, id: StepId) -> Option<&Value> {
        match self.step(id) {
            Step::Constant(value) => Some(value),
            _ => None,
        }
    }
}
