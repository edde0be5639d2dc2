//! Evaluation of steps, with the run-time cost that cel-go counts.

use std::sync::Arc;

use smallvec::SmallVec;

use super::steps::{AttributeId, Base, By, Call, Element, Fold, Qualifier, Slot, Step, StepId, Steps};
use crate::error::EvaluationError;
use crate::rewrapped::{rewrapped, usable};
use crate::standard;
use crate::value::{Key, List, MAX_WEIGHT, Map, Value};

type Evaluated = Result<Value, EvaluationError>;

/// What making a list costs.
const LIST_COST: u64 = 10;
/// What making a map costs.
const MAP_COST: u64 = 30;
/// How many elements may be looked at beyond what the cost counts, in comparisons above all: upstream has no
/// such limit, but a deadline.
const MAX_WORK: u64 = 1 << 28;

/// One evaluation.
pub(super) struct Evaluator<'a> {
    steps: &'a Steps,
    device: &'a Value,
    slots: Vec<SlotState>,
    cost: u64,
    limit: u64,
    work: u64,
}

/// A variable of a comprehension.
#[derive(Clone)]
enum SlotState {
    /// Not looked at yet.
    Initial,
    Set(Evaluated),
}

/// A value on the way through qualifiers: borrowed from the device or a constant as long as possible.
enum Current<'v> {
    Borrowed(&'v Value),
    Owned(Value),
}

impl Current<'_> {
    fn get(&self) -> &Value {
        match self {
            Current::Borrowed(value) => value,
            Current::Owned(value) => value,
        }
    }

    fn into_owned(self) -> Value {
        match self {
            Current::Borrowed(value) => value.clone(),
            Current::Owned(value) => value,
        }
    }
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(steps: &'a Steps, device: &'a Value, limit: u64) -> Self {
        Self { steps, device, slots: vec![SlotState::Initial; steps.slots.len()], cost: 0, limit, work: 0 }
    }

    pub(super) fn cost(&self) -> u64 {
        self.cost
    }

    fn charge(&mut self, cost: u64) -> Result<(), EvaluationError> {
        // Upstream's sum wraps around: the price of `flatten` with a negative depth is close to the largest number.
        self.cost = self.cost.wrapping_add(cost);
        if self.cost > self.limit { Err(EvaluationError::CostLimitExceeded) } else { Ok(()) }
    }

    pub(super) fn evaluate(&mut self, id: StepId) -> Evaluated {
        let steps = self.steps;
        match steps.step(id) {
            Step::Constant(value) => Ok(value.clone()),
            Step::Folded { value, cost } => {
                self.charge(*cost)?;
                value.clone()
            }
            Step::Attribute { attribute, presence } => {
                let value = self.resolve(*attribute);
                if let Err(error) = &value
                    && error.is_final()
                {
                    return value;
                }
                let conditional = matches!(steps.attribute(*attribute).base, Base::Conditional { .. });
                match (conditional, presence) {
                    (false, false) => self.charge(1)?,
                    (true, true) => self.cost = self.cost.saturating_sub(1),
                    _ => {}
                }
                match value {
                    Ok(Value::Optional(held)) if *presence => Ok(Value::Bool(held.is_some())),
                    other => other,
                }
            }
            Step::And(left, right) => self.junction(*left, *right, false),
            Step::Or(left, right) => self.junction(*left, *right, true),
            Step::NotStrictlyFalse(operand) => {
                let value = self.evaluate(*operand);
                if let Err(error) = &value
                    && error.is_final()
                {
                    return value;
                }
                self.charge(1)?;
                Ok(Value::Bool(!matches!(value, Ok(Value::Bool(false)))))
            }
            Step::Call(call) => self.call(call),
            Step::Matches { text, pattern, pattern_text, cost } => {
                let text = self.evaluate(*text)?;
                self.charge(cost(&[text.clone(), pattern_text.clone()], &Value::Null))?;
                match &text {
                    Value::String(text) => {
                        self.spend(pattern.search_work(text))?;
                        Ok(Value::Bool(pattern.is_match(text)))
                    }
                    _ => Err(EvaluationError::no_such_overload("matches")),
                }
            }
            Step::Among { item, list } => {
                let item = self.evaluate(*item)?;
                let Value::List(list) = list else { return Err(EvaluationError::no_such_overload("")) };
                self.spend(list.len() as u64)?;
                Ok(Value::Bool(list.iter().any(|element| element.equals(&item) == Ok(true))))
            }
            Step::Otherwise { optional, otherwise, unwrap } => match self.evaluate(*optional)? {
                Value::Optional(None) => self.evaluate(*otherwise),
                Value::Optional(Some(value)) if *unwrap => usable(value.as_ref().clone()),
                other @ Value::Optional(_) => Ok(other),
                _ if self.steps.cel_0_29 => Err(EvaluationError::no_such_overload("")),
                other => Ok(other),
            },
            Step::List(elements) => self.list(elements),
            Step::Map(entries) => self.map(entries),
            Step::Fold(fold) => self.fold(fold),
            Step::Append { slot, element, constant } => self.append(*slot, *element, *constant),
            Step::Insert { slot, key, value } => self.insert(*slot, *key, *value),
        }
    }

    /// Counts work that the cost does not.
    fn spend(&mut self, work: u64) -> Result<(), EvaluationError> {
        self.work = self.work.saturating_add(work);
        if self.work > MAX_WORK { Err(EvaluationError::TooLarge) } else { Ok(()) }
    }

    /// `&&` and `||`: the deciding value wins over errors, wherever it stands.
    fn junction(&mut self, left: StepId, right: StepId, deciding: bool) -> Evaluated {
        let mut first_error = None;
        for operand in [left, right] {
            match self.evaluate(operand) {
                Ok(Value::Bool(value)) if value == deciding => return Ok(Value::Bool(deciding)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => {
                    first_error.get_or_insert_with(|| EvaluationError::no_such_overload(""));
                }
                Err(error) if error.is_final() => return Err(error),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map_or(Ok(Value::Bool(!deciding)), Err)
    }

    fn call(&mut self, call: &Call) -> Evaluated {
        let mut values: SmallVec<[Value; 3]> = SmallVec::new();
        let mut error = None;
        for &argument in &call.arguments {
            match self.evaluate(argument) {
                Ok(value) => values.push(value),
                Err(this) if this.is_final() => return Err(this),
                Err(this) if call.stops_early && values.len() + 1 < call.arguments.len() => return Err(this),
                Err(this) => {
                    error.get_or_insert(this);
                    values.push(Value::Null);
                }
            }
        }
        if let Some(error) = error {
            call.check_cost(&values)?;
            self.charge((call.cost)(&values, &Value::Null))?;
            return Err(error);
        }
        if matches!(call.function, "_+_")
            && matches!(values.first(), Some(Value::String(_) | Value::Bytes(_)))
        {
            // Before the memory is taken, as the cost of a concatenation follows from its operands.
            self.charge((call.cost)(&values, &Value::Null))?;
            let weight = values.iter().fold(0_u64, |sum, value| sum.saturating_add(value.weight()));
            return if weight > MAX_WEIGHT { Err(EvaluationError::TooLarge) } else { call.apply(&values) };
        }
        self.spend(
            values.iter().fold(1_u64, |sum, value| sum.saturating_add(value.weight())).min(MAX_WEIGHT),
        )?;
        self.spend(call.search_work(&values))?;
        let result = call.apply(&values);
        call.check_cost(&values)?;
        self.charge((call.cost)(&values, result.as_ref().unwrap_or(&Value::Null)))?;
        if let Ok(value) = &result {
            self.spend(value.weight())?;
            if value.weight() > MAX_WEIGHT {
                return Err(EvaluationError::TooLarge);
            }
        }
        result
    }

    fn list(&mut self, elements: &[Element]) -> Evaluated {
        let mut items = Vec::with_capacity(elements.len());
        let mut error = None;
        for element in elements {
            match self
                .evaluate(element.step)
                .and_then(|value| included(value, element.optional, "list element"))
            {
                Ok(value) => items.extend(value),
                Err(this) => {
                    error = Some(this);
                    break;
                }
            }
        }
        if let Some(error) = error {
            if !error.is_final() {
                self.charge(LIST_COST)?;
            }
            return Err(error);
        }
        self.charge(LIST_COST)?;
        Value::list(items)
    }

    fn map(&mut self, entries: &[(StepId, Element)]) -> Evaluated {
        let built = self.map_entries(entries);
        if let Err(error) = &built
            && error.is_final()
        {
            return built;
        }
        self.charge(MAP_COST)?;
        built
    }

    fn map_entries(&mut self, entries: &[(StepId, Element)]) -> Evaluated {
        let mut map = Map::new();
        for (key, element) in entries {
            let key = self.evaluate(*key)?;
            let value = self.evaluate(element.step)?;
            match included(value, element.optional, "entry")? {
                Some(value) => map.insert(key, value)?,
                None => map.remove(&key),
            }
        }
        Ok(Value::Map(Arc::new(map)))
    }

    fn slot(&mut self, slot: Slot) -> Evaluated {
        match &self.slots[slot.index()] {
            SlotState::Set(value) => value.clone(),
            SlotState::Initial => {
                let value = match self.steps.slots[slot.index()] {
                    Some(initial) => self.evaluate(initial),
                    None => Ok(Value::Null),
                };
                if !value.as_ref().is_err_and(EvaluationError::is_final) {
                    self.slots[slot.index()] = SlotState::Set(value.clone());
                }
                value
            }
        }
    }

    fn set(&mut self, slot: Slot, value: Evaluated) {
        self.slots[slot.index()] = SlotState::Set(value);
    }

    fn take(&mut self, slot: Slot) -> Evaluated {
        self.slot(slot)?;
        match std::mem::replace(&mut self.slots[slot.index()], SlotState::Initial) {
            SlotState::Set(value) => value,
            SlotState::Initial => Ok(Value::Null),
        }
    }

    fn fold(&mut self, fold: &Fold) -> Evaluated {
        let range = self.evaluate(fold.range)?;
        // The same comprehension may run again within an outer one.
        self.slots[fold.accumulator.index()] = SlotState::Initial;
        match (&range, fold.second) {
            (Value::List(list), None) => {
                for item in list.iter() {
                    self.set(fold.first, Ok(item.clone()));
                    if !self.turn(fold)? {
                        break;
                    }
                }
            }
            (Value::List(list), Some(second)) => {
                for (at, item) in list.iter().enumerate() {
                    self.set(fold.first, Ok(Value::Int(i64::try_from(at).unwrap_or(i64::MAX))));
                    self.set(second, Ok(item.clone()));
                    if !self.turn(fold)? {
                        break;
                    }
                }
            }
            (Value::Map(map), second) => {
                for (key, value) in map.iter() {
                    self.set(fold.first, Ok(key.to_value()));
                    if let Some(second) = second {
                        self.set(second, Ok(value.clone()));
                    }
                    if !self.turn(fold)? {
                        break;
                    }
                }
            }
            (other, None) => {
                return Err(EvaluationError::other(format!(
                    "got '{}', expected iterable type",
                    other.type_name()
                )));
            }
            (other, Some(_)) => {
                let message = format!("unsupported comprehension range type: {}", other.type_name());
                return Err(EvaluationError::other(message));
            }
        }
        match self.evaluate(fold.result)? {
            // A loop makes its own list, which counts where keys of maps are found by where they are.
            Value::List(list) if list.is_empty() && fold.step != fold.condition => {
                Ok(Value::list(Vec::new())?)
            }
            other => Ok(other),
        }
    }

    /// One turn of a loop; false where the condition ends it. Only final errors end the evaluation here.
    fn turn(&mut self, fold: &Fold) -> Result<bool, EvaluationError> {
        match self.evaluate(fold.condition) {
            Ok(Value::Bool(false)) => return Ok(false),
            Err(error) if error.is_final() => return Err(error),
            _ => {}
        }
        let value = self.evaluate(fold.step);
        if let Err(error) = &value
            && error.is_final()
        {
            return Err(error.clone());
        }
        self.set(fold.accumulator, value);
        Ok(true)
    }

    fn append(&mut self, slot: Slot, element: StepId, constant: bool) -> Evaluated {
        let accumulated = match self.take(slot) {
            Err(error) if error.is_final() => return Err(error),
            other => other,
        };
        self.charge(1)?;
        let element = match self.evaluate(element) {
            Err(error) if error.is_final() => return Err(error),
            other => other,
        };
        self.charge(if constant { 0 } else { LIST_COST })?;
        self.charge(1)?;
        let accumulated = accumulated?;
        let element = element?;
        let Value::List(mut list) = accumulated else { return Err(EvaluationError::no_such_overload("")) };
        // Not shared as a rule; `push` on a copy otherwise.
        Arc::make_mut(&mut list).push(element)?;
        Ok(Value::List(list))
    }

    fn insert(&mut self, slot: Slot, key: Option<StepId>, value: StepId) -> Evaluated {
        let accumulated = match self.take(slot) {
            Err(error) if error.is_final() => return Err(error),
            other => other,
        };
        self.charge(1)?;
        if let Some(key) = key {
            // Three operands: the first error ends the call, which counts only if that was the last operand.
            let accumulated = accumulated?;
            let key = self.evaluate(key)?;
            let value = match self.evaluate(value) {
                Err(error) if error.is_final() => return Err(error),
                other => other,
            };
            self.charge(1)?;
            return inserted(accumulated, [(key, value?)]);
        }
        let value = match self.evaluate(value) {
            Err(error) if error.is_final() => return Err(error),
            other => other,
        };
        self.charge(1)?;
        let accumulated = accumulated?;
        let Value::Map(entries) = value? else {
            return Err(EvaluationError::no_such_overload("cel.@mapInsert"));
        };
        self.spend(entries.len() as u64)?;
        inserted(accumulated, entries.iter().map(|(key, value)| (key.to_value(), value.clone())))
    }

    fn resolve(&mut self, id: AttributeId) -> Evaluated {
        let steps = self.steps;
        let attribute = steps.attribute(id);
        let current = match attribute.base {
            Base::Device => Current::Borrowed(self.device),
            Base::Variable(slot) => Current::Owned(self.slot(slot)?),
            Base::Step(step) => Current::Owned(self.evaluate(step)?),
            Base::Conditional { condition, truthy, falsy } => {
                return match self.evaluate(condition)? {
                    Value::Bool(true) => self.resolve(truthy),
                    Value::Bool(false) => self.resolve(falsy),
                    _ => Err(EvaluationError::no_such_overload("")),
                };
            }
        };
        if attribute.qualifiers.is_empty() && !matches!(current.get(), Value::Optional(_)) {
            return usable(current.into_owned());
        }
        self.apply(current, &attribute.qualifiers)
    }

    fn apply<'v>(&mut self, start: Current<'v>, qualifiers: &'v [Qualifier]) -> Evaluated {
        let mut optional = false;
        let mut current = match start {
            Current::Owned(Value::Optional(held)) => match held {
                None => return Ok(Value::NONE),
                Some(value) => {
                    optional = true;
                    let value = value.as_ref().clone();
                    Current::Owned(if self.steps.cel_0_29 { value } else { rewrapped(value) })
                }
            },
            other => other,
        };
        for qualifier in qualifiers {
            optional = optional || qualifier.optional;
            let mut known = None;
            let key = match &qualifier.by {
                By::Constant(value, key) => {
                    known = key.as_ref();
                    Current::Borrowed(value)
                }
                By::Attribute(attribute) => {
                    let key = self.resolve(*attribute);
                    Current::Owned(self.qualifier_key(key, optional)?)
                }
                By::Step(step) => {
                    let key = self.evaluate(*step);
                    Current::Owned(self.qualifier_key(key, optional)?)
                }
            };
            if qualifier.presence {
                let present = present(&current, key.get());
                self.charge(1)?;
                current = Current::Owned(Value::Bool(present?));
                continue;
            }
            match qualified(current, key.get(), known) {
                Ok(Some(next)) => {
                    self.charge(1)?;
                    current = next;
                }
                // An index beyond the list is only "not there" for an optional.
                Ok(None) | Err(EvaluationError::IndexOutOfBounds(_)) if optional => return Ok(Value::NONE),
                Ok(None) => {
                    self.charge(1)?;
                    return Err(EvaluationError::NoSuchKey(standard::text::key(key.get())));
                }
                Err(error) => {
                    if !optional {
                        self.charge(1)?;
                    }
                    return Err(error);
                }
            }
        }
        let value = current.into_owned();
        if optional { Ok(Value::some(value)) } else { usable(value) }
    }

    /// The key of a qualifier; where there is none the qualifier still costs, unless it is optional.
    fn qualifier_key(&mut self, key: Evaluated, optional: bool) -> Evaluated {
        match key {
            Err(error) if !error.is_final() && !optional => {
                self.charge(1)?;
                Err(error)
            }
            other => other,
        }
    }
}

/// The value of an element or entry; none where an optional one holds nothing.
fn included(value: Value, optional: bool, what: &str) -> Result<Option<Value>, EvaluationError> {
    match value {
        Value::Optional(held) if optional => Ok(held.map(|value| value.as_ref().clone())),
        other if optional => Err(EvaluationError::other(format!(
            "cannot initialize optional {what} from non-optional value {other}"
        ))),
        other => Ok(Some(other)),
    }
}

fn inserted(map: Value, entries: impl IntoIterator<Item = (Value, Value)>) -> Evaluated {
    let Value::Map(mut map) = map else { return Err(EvaluationError::no_such_overload("cel.@mapInsert")) };
    let entries_so_far = Arc::make_mut(&mut map);
    for (key, value) in entries {
        if entries_so_far.contains(&key) {
            return Err(EvaluationError::other(format!("insert failed: key {key} already exists")));
        }
        entries_so_far.insert(key, value)?;
    }
    Ok(Value::Map(map))
}

/// Selects or indexes; none where a map has no such key or the value has no keys at all.
/// `known`: the key in the form in which maps have it, where that is known beforehand.
fn qualified<'v>(
    current: Current<'v>,
    key: &Value,
    known: Option<&Key>,
) -> Result<Option<Current<'v>>, EvaluationError> {
    if !is_qualifier(key) {
        return Err(EvaluationError::other(format!("invalid qualifier type: {}", key.type_name())));
    }
    match current {
        Current::Borrowed(Value::Map(map)) => {
            Ok(match known.map_or_else(|| map.get(key), |key| map.get_key(key)) {
                Some(value) => Some(Current::Borrowed(value)),
                None => map.select(key).map(Current::Owned),
            })
        }
        Current::Owned(Value::Map(map)) => Ok(map.select(key).map(Current::Owned)),
        Current::Borrowed(Value::List(list)) => element(list, key).map(|item| Some(Current::Borrowed(item))),
        Current::Owned(Value::List(list)) => {
            element(&list, key).map(|item| Some(Current::Owned(item.clone())))
        }
        _ => Ok(None),
    }
}

/// Whether a value may select or index.
fn is_qualifier(key: &Value) -> bool {
    matches!(key, Value::String(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Bool(_))
}

fn element<'l>(list: &'l List, key: &Value) -> Result<&'l Value, EvaluationError> {
    let index = match key {
        Value::Int(index) => Some(*index),
        Value::Uint(index) => i64::try_from(*index).ok(),
        Value::Double(_) => match Key::find(key) {
            Some(Key::Int(index)) => Some(index),
            _ => {
                return Err(EvaluationError::other(format!(
                    "unsupported index value {} in list",
                    standard::text::key(key)
                )));
            }
        },
        other => {
            return Err(EvaluationError::other(format!(
                "unsupported index type '{}' in list",
                other.type_name()
            )));
        }
    };
    index
        .and_then(|index| usize::try_from(index).ok())
        .and_then(|index| list.get(index))
        .ok_or_else(|| EvaluationError::IndexOutOfBounds(standard::text::key(key)))
}

fn present(current: &Current<'_>, key: &Value) -> Result<bool, EvaluationError> {
    match current.get() {
        Value::Map(map) => Ok(map.select(key).is_some()),
        Value::List(list) => match element(list, key) {
            Ok(_) => Ok(true),
            Err(EvaluationError::IndexOutOfBounds(_)) => Ok(false),
            Err(error) => Err(error),
        },
        _ => Ok(false),
    }
}
