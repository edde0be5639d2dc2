//! The static cost estimate: the range in which the run-time cost of an expression lies for any device.
//!
//! It follows cel-go's estimator with the rules that Kubernetes adds, because the API server refuses a selector
//! whose estimated maximum is above the limit.

mod sizes;

use std::collections::BTreeMap;

use crate::check::{Checked, Reference};
use crate::declarations::{CallEstimate, CostEstimate, Operand, SizeEstimate};
use crate::registry::Registry;
use crate::syntax::{ACCUMULATOR, Comprehension, Entry, Kind, NodeId, Tree};
use crate::types::Type;
use crate::value::Value;
use sizes::{Path, Step, size_of_path};

/// What making a list costs.
const LIST: CostEstimate = CostEstimate::fixed(10);
/// What making a map costs.
const MAP: CostEstimate = CostEstimate::fixed(30);
const ZERO: CostEstimate = CostEstimate::fixed(0);
const ONE: CostEstimate = CostEstimate::fixed(1);

/// Estimates the cost of a checked expression. To be called on a large stack.
pub(crate) fn estimate(tree: &Tree, root: NodeId, checked: &Checked, registry: &Registry) -> CostEstimate {
    let length = tree.len();
    let mut estimator = Estimator {
        tree,
        checked,
        registry,
        paths: vec![None; length],
        sizes: vec![None; length],
        entries: vec![None; length],
        locals: BTreeMap::new(),
    };
    estimator.cost(root)
}

/// Sizes of the keys and values (of the elements, for a list) of a container.
#[derive(Clone, Copy)]
struct EntrySizes {
    is_list: bool,
    key: SizeEstimate,
    value: SizeEstimate,
}

impl EntrySizes {
    fn union(self, other: Self) -> Self {
        Self { is_list: self.is_list, key: self.key.union(other.key), value: self.value.union(other.value) }
    }
}

/// What is known of a variable of a comprehension.
#[derive(Clone)]
struct Local {
    path: Option<Path>,
    size: Option<SizeEstimate>,
    entries: Option<EntrySizes>,
}

struct Estimator<'a> {
    tree: &'a Tree,
    checked: &'a Checked,
    registry: &'a Registry,
    /// Where in `device` the value of a node comes from.
    paths: Vec<Option<Path>>,
    sizes: Vec<Option<SizeEstimate>>,
    entries: Vec<Option<EntrySizes>>,
    locals: BTreeMap<&'a str, Vec<Local>>,
}

impl<'a> Estimator<'a> {
    fn cost(&mut self, node: NodeId) -> CostEstimate {
        let tree = self.tree;
        match tree.kind(node) {
            Kind::Literal(_) => ZERO,
            Kind::Ident(name) => {
                self.paths[node.index()] = match self.local(name) {
                    Some(local) => local.path.clone(),
                    None => Some(vec![Step::Name(name.clone())]),
                };
                ONE
            }
            Kind::Select { operand, field, presence } => {
                let sum = self.cost(*operand);
                if *presence {
                    return sum;
                }
                let has_fields = matches!(
                    self.type_of(*operand),
                    Type::Map(..) | Type::Object(_) | Type::Parameter(_) | Type::Variable(_)
                );
                let mut path = self.path(*operand).unwrap_or_default();
                path.push(Step::Name(field.clone()));
                self.paths[node.index()] = Some(path);
                if has_fields { sum.plus(ONE) } else { sum }
            }
            Kind::Call { function, target, arguments } => self.call(node, function, *target, arguments),
            Kind::List { elements, .. } => self.list(node, elements),
            Kind::Map { entries } => self.map(node, entries),
            Kind::Message { fields, .. } => {
                fields.iter().fold(CostEstimate::fixed(40), |sum, field| sum.plus(self.cost(field.value)))
            }
            Kind::Comprehension(comprehension) if tree.is_bind(comprehension) => {
                self.bind(node, comprehension)
            }
            Kind::Comprehension(comprehension) => self.comprehension(node, comprehension),
        }
    }

    fn type_of(&self, node: NodeId) -> &'a Type {
        &self.checked.types[node.index()]
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.get(name).and_then(|stack| stack.last())
    }

    fn push_local(&mut self, name: &'a str, local: Local) {
        self.locals.entry(name).or_default().push(local);
    }

    fn pop_local(&mut self, name: &str) {
        if let Some(stack) = self.locals.get_mut(name) {
            stack.pop();
        }
    }

    fn path(&self, node: NodeId) -> Option<Path> {
        if let Kind::Ident(name) = self.tree.kind(node)
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths[node.index()].clone()
    }

    /// The size of a node's value, as far as known.
    fn size(&mut self, node: NodeId) -> Option<SizeEstimate> {
        if let Some(size) = self.sizes[node.index()] {
            return Some(size);
        }
        if let Some(size) = literal_size(self.tree.kind(node)) {
            return Some(size);
        }
        if let Some(size) = self.path(node).as_ref().and_then(size_of_path) {
            self.sizes[node.index()] = Some(size);
            return Some(size);
        }
        if is_scalar(self.type_of(node)) {
            return Some(ONE);
        }
        match self.tree.kind(node) {
            Kind::Ident(name) => self.local(name).and_then(|local| local.size),
            _ => None,
        }
    }

    fn size_or_unknown(&mut self, node: NodeId) -> SizeEstimate {
        self.size(node).unwrap_or(SizeEstimate::UNKNOWN)
    }

    fn entry_sizes(&self, node: NodeId) -> Option<EntrySizes> {
        self.entries[node.index()].or_else(|| match self.tree.kind(node) {
            Kind::Ident(name) => self.local(name).and_then(|local| local.entries),
            _ => None,
        })
    }

    fn operand(&mut self, node: NodeId) -> Operand<'a> {
        let type_ = self.type_of(node);
        let known_size = self.size(node);
        let from_accumulator = |path: &Path| matches!(path.first(), Some(Step::Name(name)) if name == ACCUMULATOR || name == "__result__");
        let path = self.path(node).filter(|path| !path.is_empty() && !from_accumulator(path));
        let element = type_.parameters().first().map(|element| {
            let path = path.map(|mut path| {
                path.push(Step::Items);
                path
            });
            (*element, path.as_ref().and_then(size_of_path))
        });
        let int_literal = match self.tree.kind(node) {
            Kind::Literal(Value::Int(value)) => Some(*value),
            _ => None,
        };
        Operand { type_, known_size, element, int_literal }
    }

    fn call(
        &mut self,
        node: NodeId,
        function: &str,
        target: Option<NodeId>,
        arguments: &[NodeId],
    ) -> CostEstimate {
        if let ("dyn", [argument]) = (function, arguments) {
            let cost = self.cost(*argument).plus(ONE);
            self.copy_sizes(node, *argument);
            return cost;
        }
        let argument_costs: Vec<CostEstimate> =
            arguments.iter().map(|&argument| self.cost(argument)).collect();
        let mut operands: Vec<Operand<'a>> =
            arguments.iter().map(|&argument| self.operand(argument)).collect();
        let Some(Reference::Overloads { function: name, overloads }) = &self.checked.references[node.index()]
        else {
            return ZERO;
        };
        let mut sum = ZERO;
        if let Some(target) = target {
            sum = self.cost(target);
            operands.insert(0, self.operand(target));
        }
        let registry = self.registry;
        let Some(declared) = registry.function(name) else { return sum };
        let mut total: Option<CostEstimate> = None;
        let mut result_size: Option<SizeEstimate> = None;
        for overload in overloads.iter().filter_map(|&at| declared.overloads.get(at)) {
            let estimate = match overload.id {
                "logical_and" | "logical_or" => junction(&argument_costs),
                "conditional" => self.conditional(node, arguments, &argument_costs),
                id => {
                    if matches!(id, "add_string" | "add_bytes" | "add_list")
                        && let [left, right] = arguments
                    {
                        self.entries[node.index()] = self
                            .entry_sizes(*left)
                            .zip(self.entry_sizes(*right))
                            .map(|(left, right)| left.union(right))
                            .or(self.entries[node.index()]);
                    }
                    let call = (overload.estimate)(&operands);
                    let cost = argument_costs.iter().fold(call.cost, |sum, &cost| sum.plus(cost));
                    CallEstimate { cost, ..call }
                }
            };
            total = Some(total.map_or(estimate.cost, |total| total.union(estimate.cost)));
            result_size = match (result_size, estimate.result_size) {
                (Some(known), Some(this)) => Some(known.union(this)),
                (known, this) => known.or(this),
            };
            let step = match overload.id {
                "index_list" => Some(Step::Items),
                "index_map" => Some(Step::Values),
                _ => None,
            };
            if let (Some(step), Some(&container)) = (step, arguments.first()) {
                result_size = self.entry_sizes(container).map(|entries| entries.value);
                let mut path = self.path(container).unwrap_or_default();
                path.push(step);
                self.paths[node.index()] = Some(path);
            }
            if result_size.is_none() {
                result_size = self.size(node);
            }
        }
        if result_size.is_some() {
            self.sizes[node.index()] = result_size;
        }
        sum.plus(total.unwrap_or(ZERO))
    }

    fn conditional(&mut self, node: NodeId, arguments: &[NodeId], costs: &[CostEstimate]) -> CallEstimate {
        let (&[_, truthy, falsy], &[condition_cost, truthy_cost, falsy_cost]) = (arguments, costs) else {
            return CallEstimate::of(ONE);
        };
        let size = self.size_or_unknown(truthy).union(self.size_or_unknown(falsy));
        if let (Some(a), Some(b)) = (self.entry_sizes(truthy), self.entry_sizes(falsy)) {
            self.entries[node.index()] = Some(a.union(b));
        }
        CallEstimate::sized(condition_cost.plus(truthy_cost.union(falsy_cost)), size)
    }

    fn list(&mut self, node: NodeId, elements: &[NodeId]) -> CostEstimate {
        let mut sum = LIST;
        let mut value = empty_or_least(elements.is_empty());
        for &element in elements {
            sum = sum.plus(self.cost(element));
            value = value.union(self.size_or_unknown(element));
        }
        self.entries[node.index()] = Some(EntrySizes { is_list: true, key: ONE, value });
        sum
    }

    fn map(&mut self, node: NodeId, entries: &[Entry<NodeId>]) -> CostEstimate {
        let mut sum = MAP;
        let mut key = empty_or_least(entries.is_empty());
        let mut value = key;
        for entry in entries {
            sum = sum.plus(self.cost(entry.key)).plus(self.cost(entry.value));
            key = key.union(self.size_or_unknown(entry.key));
            value = value.union(self.size_or_unknown(entry.value));
        }
        self.entries[node.index()] = Some(EntrySizes { is_list: false, key, value });
        sum
    }

    fn copy_sizes(&mut self, to: NodeId, from: NodeId) {
        if let Some(size) = self.size(from) {
            self.sizes[to.index()] = Some(size);
        }
        if let Some(entries) = self.entry_sizes(from) {
            self.entries[to.index()] = Some(entries);
        }
    }

    /// A variable that stands for the value of a node.
    fn bound_to(&mut self, node: NodeId) -> Local {
        Local { path: self.path(node), size: self.size(node), entries: self.entry_sizes(node) }
    }

    fn bind(&mut self, node: NodeId, comprehension: &'a Comprehension) -> CostEstimate {
        let mut sum = self.cost(comprehension.range).plus(self.cost(comprehension.initial));
        let local = self.bound_to(comprehension.initial);
        self.push_local(&comprehension.accumulator, local);
        sum = sum.plus(self.cost(comprehension.result));
        self.pop_local(&comprehension.accumulator);
        // Without the variable in scope, as upstream has it.
        self.copy_sizes(node, comprehension.result);
        sum
    }

    fn comprehension(&mut self, node: NodeId, comprehension: &'a Comprehension) -> CostEstimate {
        let mut sum = self.cost(comprehension.range).plus(self.cost(comprehension.initial));
        let accumulator = self.bound_to(comprehension.initial);
        self.push_local(&comprehension.accumulator, accumulator);

        let range_entries = self.entry_sizes(comprehension.range);
        let is_list = range_entries
            .map_or(matches!(self.type_of(comprehension.range), Type::List(_)), |entries| entries.is_list);
        let range_path = self.path(comprehension.range);
        let part = |step: Step, size: Option<SizeEstimate>| {
            let mut path = range_path.clone().unwrap_or_default();
            path.push(step);
            Local { path: Some(path), size, entries: None }
        };
        let key = range_entries.map(|entries| entries.key);
        let value = range_entries.map(|entries| entries.value);
        if let Some(second) = &comprehension.second_variable {
            let (first_step, second_step) =
                if is_list { (Step::Indices, Step::Items) } else { (Step::Keys, Step::Values) };
            self.push_local(&comprehension.variable, part(first_step, key));
            self.push_local(second, part(second_step, value));
        } else if is_list {
            self.push_local(&comprehension.variable, part(Step::Items, value));
        } else {
            self.push_local(&comprehension.variable, part(Step::Keys, key));
        }
        let turn = self.cost(comprehension.condition).plus(self.cost(comprehension.step));
        self.pop_local(&comprehension.variable);
        if let Some(second) = &comprehension.second_variable {
            self.pop_local(second);
        }
        sum = sum.plus(self.cost(comprehension.result));
        self.pop_local(&comprehension.accumulator);

        let turns = self.size_or_unknown(comprehension.range);
        sum = sum.plus(turns.times(turn));
        match self.tree.kind(comprehension.initial) {
            Kind::Literal(_) => self.sizes[node.index()] = self.size(comprehension.initial),
            Kind::List { .. } | Kind::Map { .. } => {
                self.sizes[node.index()] = Some(turns);
                if let Some(entries) = self.entry_sizes(comprehension.step) {
                    self.entries[node.index()] = Some(entries);
                }
            }
            _ => {}
        }
        sum
    }
}

/// `&&` and `||` may stop after the first operand.
fn junction(costs: &[CostEstimate]) -> CallEstimate {
    match costs {
        [left, right] => CallEstimate::of(CostEstimate { min: left.min, max: left.plus(*right).max }),
        _ => CallEstimate::of(ONE),
    }
}

/// The neutral element of `union`, or zero for a literal without elements.
fn empty_or_least(is_empty: bool) -> SizeEstimate {
    SizeEstimate { min: if is_empty { 0 } else { u64::MAX }, max: 0 }
}

fn literal_size(kind: &Kind) -> Option<SizeEstimate> {
    Some(SizeEstimate::fixed(match kind {
        Kind::Literal(value) => value.cost_size(),
        Kind::List { elements, .. } => elements.len() as u64,
        Kind::Map { entries } => entries.len() as u64,
        _ => return None,
    }))
}

/// Types whose values all have size 1.
fn is_scalar(type_: &Type) -> bool {
    match type_ {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        Type::Optional(held) => is_scalar(held),
        _ => false,
    }
}
