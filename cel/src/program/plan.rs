//! From a checked tree to steps.

use std::sync::Arc;

use super::steps::{
    AttributeId, Base, By, Call, Candidate, Element, Fold, Qualifier, Slot, Step, StepId, Steps,
};
use crate::check::{Checked, Reference};
use crate::compile_error::CompileError;
use crate::declarations::{CallCost, cost_one};
use crate::error::EvaluationError;
use crate::go_regex::GoRegex;
use crate::library;
use crate::registry::{Declared, Registry};
use crate::standard;
use crate::syntax::{ACCUMULATOR, Comprehension, Entry, Kind, NodeId, Tree};
use crate::types::Type;
use crate::value::{Map, Value};

/// Folded results larger than this are computed at run time instead of being kept.
const MAX_FOLDED_WEIGHT: u64 = 64;

type Planned = Result<StepId, CompileError>;

/// Plans a whole expression. To be called on a large stack.
pub(crate) fn plan(
    source: &str,
    tree: &Tree,
    root: NodeId,
    checked: &Checked,
    registry: &Registry,
) -> Result<(Steps, StepId), CompileError> {
    let mut planner = Planner {
        source,
        tree,
        checked,
        registry,
        steps: Steps::default(),
        scopes: Vec::new(),
        depth: 0,
        folds: true,
    };
    planner.steps.cel_0_29 = registry.has_cel_0_29();
    let root = planner.node(root)?;
    Ok((planner.steps, root))
}

struct Planner<'a> {
    source: &'a str,
    tree: &'a Tree,
    checked: &'a Checked,
    registry: &'a Registry,
    steps: Steps,
    scopes: Vec<(String, Slot)>,
    depth: usize,
    /// Whether calls of constants are made beforehand.
    folds: bool,
}

impl Planner<'_> {
    fn error(&self, node: NodeId, message: impl std::fmt::Display) -> CompileError {
        let message = format!("program instantiation failed: {message}");
        CompileError::at(self.source, self.tree.offset(node) as usize, message)
    }

    fn node(&mut self, node: NodeId) -> Planned {
        self.depth += 1;
        self.steps.depth = self.steps.depth.max(self.depth);
        let planned = self.plan_node(node);
        self.depth -= 1;
        planned
    }

    fn plan_node(&mut self, node: NodeId) -> Planned {
        if let Some(Reference::Type(type_)) = &self.checked.references[node.index()] {
            return Ok(self.steps.push(Step::Constant(Value::Type(Arc::new(type_.clone())))));
        }
        let tree = self.tree;
        match tree.kind(node) {
            Kind::Literal(value) => Ok(self.steps.push(Step::Constant(value.clone()))),
            Kind::Ident(name) => {
                self.no_type(node)?;
                let base = match self.slot(name) {
                    Some(slot) => Base::Variable(slot),
                    None => Base::Device,
                };
                Ok(self.attribute_step(base))
            }
            Kind::Select { operand, field, presence } => {
                let operand = self.node(*operand)?;
                let by = By::constant(Value::string(field));
                let (step, attribute) = self.as_attribute(operand);
                let qualifier = Qualifier { by, optional: false, presence: *presence };
                self.qualify(attribute, &qualifier);
                if !*presence {
                    return Ok(step);
                }
                Ok(self.steps.push(Step::Attribute { attribute, presence: true }))
            }
            Kind::Call { function, target, arguments } => {
                let operands: Vec<NodeId> = target.iter().chain(arguments).copied().collect();
                self.call(node, function, &operands)
            }
            Kind::List { elements, optional } => self.list(elements, optional),
            Kind::Map { entries } => self.map(node, entries),
            Kind::Message { .. } => Err(self.error(node, "messages are not supported")),
            Kind::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    /// cel-go takes a variable that holds a type for the name of one.
    fn no_type(&self, node: NodeId) -> Result<(), CompileError> {
        match (self.tree.kind(node), &self.checked.types[node.index()]) {
            (Kind::Ident(name), Type::Type(_)) => {
                Err(self.error(node, format!("reference to undefined type: {name}")))
            }
            _ => Ok(()),
        }
    }

    fn slot(&self, name: &str) -> Option<Slot> {
        self.scopes.iter().rev().find(|(known, _)| known == name).map(|(_, slot)| *slot)
    }

    fn attribute_step(&mut self, base: Base) -> StepId {
        let attribute = self.steps.push_attribute(base);
        self.steps.push(Step::Attribute { attribute, presence: false })
    }

    /// The attribute that a step is, or a new one on top of it.
    fn as_attribute(&mut self, step: StepId) -> (StepId, AttributeId) {
        if let Step::Attribute { attribute, .. } = self.steps.step(step) {
            return (step, *attribute);
        }
        let attribute = self.steps.push_attribute(Base::Step(step));
        (self.steps.push(Step::Attribute { attribute, presence: false }), attribute)
    }

    /// Adds a qualifier; on a conditional to both sides, as cel-go does.
    fn qualify(&mut self, attribute: AttributeId, qualifier: &Qualifier) {
        let at = &mut self.steps.attributes[attribute.0 as usize];
        if let Base::Conditional { truthy, falsy, .. } = at.base {
            self.qualify(truthy, qualifier);
            self.qualify(falsy, qualifier);
        } else {
            at.qualifiers.push(qualifier.clone());
        }
    }

    fn call(&mut self, node: NodeId, function: &str, operands: &[NodeId]) -> Planned {
        let mut arguments = Vec::with_capacity(operands.len());
        if let Some(step) = self.in_place(function, operands)? {
            return Ok(step);
        }
        for &operand in operands {
            arguments.push(self.node(operand)?);
        }
        match (function, arguments.as_slice()) {
            ("_&&_", &[left, right]) => Ok(self.steps.push(Step::And(left, right))),
            ("_||_", &[left, right]) => Ok(self.steps.push(Step::Or(left, right))),
            ("@not_strictly_false", &[operand]) => Ok(self.steps.push(Step::NotStrictlyFalse(operand))),
            ("_?_:_", &[condition, truthy, falsy]) => {
                let truthy = self.branch(truthy);
                let falsy = self.branch(falsy);
                Ok(self.attribute_step(Base::Conditional { condition, truthy, falsy }))
            }
            ("_[_]", &[operand, index]) => self.index(node, operand, index, false),
            ("_[?_]" | "_?._", &[operand, index]) => self.index(node, operand, index, true),
            ("or" | "orValue", &[optional, otherwise]) if self.is_optional_alternative(node) => {
                let unwrap = function == "orValue";
                Ok(self.steps.push(Step::Otherwise { optional, otherwise, unwrap }))
            }
            _ => self.plain_call(node, arguments),
        }
    }

    fn is_optional_alternative(&self, node: NodeId) -> bool {
        match &self.checked.references[node.index()] {
            Some(Reference::Overloads { function, overloads }) if overloads.len() == 1 => self
                .registry
                .function(function)
                .and_then(|declared| declared.overloads.get(overloads[0]))
                .is_some_and(|overload| {
                    matches!(overload.id, "optional_or_optional" | "optional_orValue_value")
                }),
            _ => true,
        }
    }

    /// One side of a conditional. An attribute is resolved there without the cost of its variable.
    fn branch(&mut self, step: StepId) -> AttributeId {
        match self.steps.step(step) {
            Step::Attribute { attribute, .. } => *attribute,
            _ => self.steps.push_attribute(Base::Step(step)),
        }
    }

    fn index(&mut self, node: NodeId, operand: StepId, index: StepId, optional: bool) -> Planned {
        let by = match self.steps.step(index) {
            Step::Constant(
                value @ (Value::Bool(_)
                | Value::Int(_)
                | Value::Uint(_)
                | Value::Double(_)
                | Value::String(_)),
            ) => By::constant(value.clone()),
            Step::Constant(other) => {
                return Err(self.error(node, format!("invalid qualifier type: {}", other.type_name())));
            }
            Step::Attribute { attribute, .. } => By::Attribute(*attribute),
            _ => By::Step(index),
        };
        let (step, attribute) = self.as_attribute(operand);
        self.qualify(attribute, &Qualifier { by, optional, presence: false });
        Ok(step)
    }

    fn plain_call(&mut self, node: NodeId, arguments: Vec<StepId>) -> Planned {
        let Some(Reference::Overloads { function, overloads }) = &self.checked.references[node.index()]
        else {
            return Err(self.error(node, "unresolved call"));
        };
        let Some(declared) = self.registry.function(function) else {
            return Err(self.error(node, "unresolved call"));
        };
        let chosen: Vec<_> = overloads.iter().filter_map(|&at| declared.overloads.get(at)).collect();
        let only = if let [only] = chosen.as_slice() { Some(*only) } else { None };
        let constants: Option<Vec<Value>> =
            arguments.iter().map(|&argument| self.steps.constant(argument).cloned()).collect();
        if only.is_some_and(|overload| overload.id == "in_list")
            && let [item, list] = arguments.as_slice()
            && let Some(Value::List(elements)) = self.steps.constant(*list)
        {
            if elements.is_empty() {
                return Ok(self.steps.push(Step::Constant(Value::Bool(false))));
            }
            if elements.iter().all(is_scalar) {
                let list = Value::List(Arc::clone(elements));
                return Ok(self.steps.push(Step::Among { item: *item, list }));
            }
        }
        let cost: CallCost = match only {
            Some(overload) => overload.cost,
            None => chosen.iter().find_map(|overload| overload.cost_by_name).unwrap_or(cost_one),
        };
        let cost_takes = only.and_then(|overload| overload.cost_takes);
        if *function == "matches"
            && let [text, pattern] = arguments.as_slice()
            && let Some(Value::String(pattern)) = self.steps.constant(*pattern)
        {
            let pattern_text = Value::String(Arc::clone(pattern));
            let pattern = standard::compile_pattern(pattern).map_err(|reason| self.error(node, reason))?;
            return Ok(self.steps.push(Step::Matches { text: *text, pattern, pattern_text, cost }));
        }
        let pattern = match arguments.get(1).and_then(|&step| self.steps.constant(step)) {
            Some(Value::String(pattern)) if matches!(*function, "find" | "findAll") => {
                Some(standard::compile_pattern(pattern).map_err(|reason| self.error(node, reason))?)
            }
            _ => None,
        };
        let candidates = candidates(declared, only.map(|overload| overload.id), arguments.len());
        // More than two operands, `format`, choosing between overloads at run time, and a constant expression for a search, both turn a call into
        // one of the general kind upstream.
        let stops_early = arguments.len() > 2
            || *function == "format"
            || only.is_none()
                && candidates.iter().all(|candidate| candidate.guarded)
                // One implementation for all of its overloads.
                && *function != "@sortByAssociatedKeys"
            || matches!(*function, "find" | "findAll")
                && arguments.get(1).is_some_and(|&pattern| self.steps.constant(pattern).is_some());
        let call =
            Call { function: declared.name, arguments, candidates, pattern, stops_early, cost, cost_takes };
        let folds = self.folds || standard::is_conversion(call.function);
        let Some(values) = constants.filter(|_| folds) else {
            return Ok(self.steps.push(Step::Call(Box::new(call))));
        };
        let result = call.apply(&values);
        if standard::is_conversion(call.function) {
            return match result {
                Ok(value) => Ok(self.steps.push(Step::Constant(value))),
                Err(error) => Err(self.error(node, error)),
            };
        }
        if result.as_ref().is_ok_and(|value| value.weight() > MAX_FOLDED_WEIGHT) {
            return Ok(self.steps.push(Step::Call(Box::new(call))));
        }
        let cost = (call.cost)(&values, result.as_ref().unwrap_or(&Value::Null));
        Ok(self.steps.push(Step::Folded { value: result, cost }))
    }

    fn list(&mut self, elements: &[NodeId], optional: &[bool]) -> Planned {
        let mut planned = Vec::with_capacity(elements.len());
        for (&element, &optional) in elements.iter().zip(optional) {
            planned.push(Element { step: self.node(element)?, optional });
        }
        let constants: Option<Vec<Value>> =
            planned.iter().map(|element| self.constant_element(*element)).collect();
        if let Some(Ok(list)) = constants.map(Value::list) {
            return Ok(self.steps.push(Step::Constant(list)));
        }
        Ok(self.steps.push(Step::List(planned)))
    }

    fn constant_element(&self, element: Element) -> Option<Value> {
        if element.optional { None } else { self.steps.constant(element.step).cloned() }
    }

    fn map(&mut self, node: NodeId, entries: &[Entry<NodeId>]) -> Planned {
        let mut planned = Vec::with_capacity(entries.len());
        for entry in entries {
            // A key may be found by where it is only: each turn of a loop makes its own.
            let folds = std::mem::replace(&mut self.folds, false);
            let key = self.node(entry.key);
            self.folds = folds;
            let key = key?;
            planned.push((key, Element { step: self.node(entry.value)?, optional: entry.optional }));
        }
        let constants: Option<Vec<(Value, Value)>> = planned
            .iter()
            .map(|(key, value)| Some((self.steps.constant(*key)?.clone(), self.constant_element(*value)?)))
            .collect();
        let Some(constants) = constants else { return Ok(self.steps.push(Step::Map(planned))) };
        let mut map = Map::new();
        for (key, value) in constants {
            map.insert(key, value).map_err(|error: EvaluationError| self.error(node, error))?;
        }
        Ok(self.steps.push(Step::Constant(Value::Map(Arc::new(map)))))
    }

    fn comprehension(&mut self, comprehension: &Comprehension) -> Planned {
        let initial = self.node(comprehension.initial)?;
        let range = self.node(comprehension.range)?;
        let accumulator = self.steps.push_slot(Some(initial));
        let first = self.steps.push_slot(None);
        let second = comprehension.second_variable.as_ref().map(|_| self.steps.push_slot(None));
        let outer = self.scopes.len();
        self.scopes.push((comprehension.variable.clone(), first));
        self.scopes.extend(comprehension.second_variable.clone().zip(second));
        // Looked up first where names collide.
        self.scopes.push((comprehension.accumulator.clone(), accumulator));
        let condition = self.node(comprehension.condition)?;
        // The step of `cel.bind` is never taken.
        let step = if self.tree.is_bind(comprehension) {
            self.no_type(comprehension.step)?;
            condition
        } else {
            self.node(comprehension.step)?
        };
        // The result does not see the iteration variables.
        self.scopes.truncate(outer);
        self.scopes.push((comprehension.accumulator.clone(), accumulator));
        let result = self.node(comprehension.result)?;
        self.scopes.truncate(outer);
        let fold = Fold { range, first, second, accumulator, condition, step, result };
        Ok(self.steps.push(Step::Fold(Box::new(fold))))
    }

    /// The steps of `map` and its relatives that grow their own accumulator, so that it is not copied.
    fn in_place(&mut self, function: &str, operands: &[NodeId]) -> Result<Option<StepId>, CompileError> {
        let Some(&first) = operands.first() else { return Ok(None) };
        let slot = match self.tree.kind(first) {
            Kind::Ident(name) if name == ACCUMULATOR => self.slot(name),
            _ => None,
        };
        let Some(slot) = slot else { return Ok(None) };
        let step = match (function, operands) {
            ("_+_", &[_, list]) => {
                let Kind::List { elements, optional } = self.tree.kind(list) else { return Ok(None) };
                let ([element], [false]) = (elements.as_slice(), optional.as_slice()) else {
                    return Ok(None);
                };
                let element = self.node(*element)?;
                let constant = self.steps.constant(element).is_some();
                Step::Append { slot, element, constant }
            }
            ("cel.@mapInsert", &[_, value]) => Step::Insert { slot, key: None, value: self.node(value)? },
            ("cel.@mapInsert", &[_, key, value]) => {
                let key = Some(self.node(key)?);
                Step::Insert { slot, key, value: self.node(value)? }
            }
            _ => return Ok(None),
        };
        Ok(Some(self.steps.push(step)))
    }
}

fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::String(_))
}

/// The implementations a call may end at: the one overload that the checker settled on, or else every one
/// that takes this number of values.
fn candidates(declared: &Declared, only: Option<&str>, arity: usize) -> Vec<Candidate> {
    declared
        .overloads
        .iter()
        .filter(|overload| overload.parameters.len() == arity && only.is_none_or(|id| overload.id == id))
        .map(|overload| Candidate {
            parameters: overload.parameters.clone(),
            guarded: overload.guarded,
            evaluate: overload.evaluate,
        })
        .collect()
}

impl Call {
    /// An error that ends the evaluation where upstream cannot compute the cost of a call with these operands.
    pub(super) fn check_cost(&self, values: &[Value]) -> Result<(), EvaluationError> {
        if self.cost_takes.is_some_and(|takes| !takes(values)) {
            let what = format!("the cost of `{}` cannot be computed of such an operand", self.function);
            return Err(EvaluationError::Internal(what));
        }
        Ok(())
    }

    /// Calls the first implementation that takes these values.
    pub(super) fn apply(&self, values: &[Value]) -> Result<Value, EvaluationError> {
        if let Some(pattern) = &self.pattern {
            return library::search(self.function, values, pattern);
        }
        let takes = |candidate: &&Candidate| {
            !candidate.guarded
                || candidate
                    .parameters
                    .iter()
                    .zip(values)
                    .all(|(parameter, value): (&Type, &Value)| parameter.admits(value))
        };
        match self.candidates.iter().find(takes) {
            Some(candidate) => (candidate.evaluate)(values),
            None => Err(EvaluationError::no_such_overload(self.function)),
        }
    }

    /// The work of a search with a regular expression, which may be out of all proportion to its cost.
    pub(super) fn search_work(&self, values: &[Value]) -> u64 {
        if !matches!(self.function, "find" | "findAll" | "matches") {
            return 0;
        }
        match (values, &self.pattern) {
            ([Value::String(text), ..], Some(pattern)) => pattern.search_work(text),
            ([Value::String(text), Value::String(pattern), ..], None) => GoRegex::work(pattern, text),
            _ => 0,
        }
    }
}
