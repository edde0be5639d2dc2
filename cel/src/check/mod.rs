//! The static checker: which overloads a call may mean, and the type of every node.
//!
//! It follows cel-go's checker, whose quirks decide what the API server accepts, and reads the same table of
//! functions as the estimator and the evaluator.

mod assign;
mod format_call;
mod validate;

use std::collections::BTreeMap;

use crate::compile_error::CompileError;
use crate::registry::Registry;
use crate::syntax::{Comprehension, Entry, Kind, NodeId, Tree};
use crate::types::{Type, names};
use crate::value::Value;
use assign::Substitutions;

/// A type with more parts than this is refused. Types can double with each level of nesting.
const MAX_TYPE_WEIGHT: usize = 1000;

/// What a node turned out to refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// Overloads of a function, by index, in the order of their declaration. At least one.
    Overloads { function: &'static str, overloads: Vec<usize> },
    /// A type by its name.
    Type(Type),
}

/// What the checker found out. The vectors run along the nodes of the tree.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) types: Vec<Type>,
    pub(crate) references: Vec<Option<Reference>>,
}

/// Checks a tree, rewriting qualified names of types and functions in it. To be called on a large stack.
pub(crate) fn check(
    source: &str,
    tree: &mut Tree,
    root: NodeId,
    registry: &Registry,
) -> Result<Checked, CompileError> {
    let length = tree.len();
    let mut checker = Checker {
        source,
        tree,
        registry,
        types: vec![Type::Error; length],
        references: vec![None; length],
        substitutions: Substitutions::default(),
        scopes: vec![BTreeMap::from([("device".to_owned(), Type::Object(names::DEVICE))])],
        errors: None,
    };
    checker.check(root);
    let Checker { mut types, references, substitutions, errors, .. } = checker;
    if let Some(errors) = errors {
        return Err(errors);
    }
    for type_ in &mut types {
        *type_ = substitutions.resolve(type_, true);
    }
    let findings = Checked { types, references };
    match validate::validate(source, tree, root, &findings) {
        Some(errors) => Err(errors),
        None => Ok(findings),
    }
}

struct Checker<'a> {
    source: &'a str,
    tree: &'a mut Tree,
    registry: &'a Registry,
    types: Vec<Type>,
    references: Vec<Option<Reference>>,
    substitutions: Substitutions,
    scopes: Vec<BTreeMap<String, Type>>,
    errors: Option<CompileError>,
}

impl Checker<'_> {
    fn report(&mut self, node: NodeId, message: impl Into<String>) {
        let error = CompileError::at(self.source, self.tree.offset(node) as usize, message);
        match &mut self.errors {
            Some(errors) => errors.append(error),
            None => self.errors = Some(error),
        }
    }

    fn set_type(&mut self, node: NodeId, type_: Type) {
        if assign::weight(&type_, MAX_TYPE_WEIGHT) > MAX_TYPE_WEIGHT {
            self.report(node, "the type of this expression is too complex");
            self.types[node.index()] = Type::Error;
        } else {
            self.types[node.index()] = type_;
        }
    }

    fn type_of(&self, node: NodeId) -> Type {
        self.types[node.index()].clone()
    }

    fn undeclared(&mut self, node: NodeId, name: &str) {
        self.report(node, format!("undeclared reference to '{name}' (in container '')"));
        self.set_type(node, Type::Error);
    }

    fn mismatch(&mut self, node: NodeId, expected: &Type, found: &Type) {
        self.report(node, format!("expected type '{expected}' but found '{found}'"));
    }

    fn find_variable(&self, name: &str) -> Option<&Type> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name))
    }

    /// Makes a node a reference to a variable or a type, if its name is one.
    fn resolve_name(&mut self, node: NodeId, name: &str) -> bool {
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some(type_) = self.find_variable(name).cloned() {
            self.tree.replace(node, Kind::Ident(name.to_owned()));
            self.set_type(node, type_);
            return true;
        }
        if let Some(type_) = self.registry.named_type(name) {
            self.tree.replace(node, Kind::Ident(name.to_owned()));
            self.references[node.index()] = Some(Reference::Type(type_.clone()));
            self.set_type(node, Type::type_of(type_));
            return true;
        }
        false
    }

    fn check(&mut self, node: NodeId) {
        match self.tree.kind(node).clone() {
            Kind::Literal(value) => self.set_type(node, value.runtime_type()),
            Kind::Ident(name) => {
                if !self.resolve_name(node, &name) {
                    self.undeclared(node, &name);
                }
            }
            Kind::Select { operand, field, presence } => {
                if !presence
                    && let Some(name) = self.tree.qualified_name(node)
                    && self.resolve_name(node, &name)
                {
                    return;
                }
                let type_ = self.select(node, operand, &field, false);
                let type_ = if presence { Type::Bool } else { type_ };
                let type_ = self.substitutions.resolve(&type_, false);
                self.set_type(node, type_);
            }
            Kind::Call { function, target, arguments } => self.call(node, &function, target, &arguments),
            Kind::List { elements, optional } => self.list(node, &elements, &optional),
            Kind::Map { entries } => self.map(node, &entries),
            Kind::Message { name, fields } => self.message(node, &name, &fields),
            Kind::Comprehension(comprehension) => self.comprehension(node, &comprehension),
        }
    }

    fn select(&mut self, node: NodeId, operand: NodeId, field: &str, optional: bool) -> Type {
        self.check(operand);
        let operand_type = self.substitutions.resolve(&self.type_of(operand), false);
        let (target, was_optional) = match &operand_type {
            Type::Optional(inner) => (inner.as_ref().clone(), true),
            other => (other.clone(), false),
        };
        let result = match &target {
            Type::Map(_, value) => value.as_ref().clone(),
            Type::Object(name) => self.field(node, name, field),
            parameter if parameter.is_parameter() => {
                self.substitutions.assignable(&Type::Dyn, parameter);
                Type::Dyn
            }
            other => {
                if !other.is_dynamic_or_error() {
                    self.report(node, format!("type '{other}' does not support field selection"));
                }
                Type::Dyn
            }
        };
        if was_optional || optional { Type::optional(result) } else { result }
    }

    fn field(&mut self, node: NodeId, object: &str, field: &str) -> Type {
        if let Some(type_) = self.registry.field_type(object, field) {
            return type_;
        }
        if object == names::DEVICE {
            self.report(node, format!("undefined field '{field}'"));
        } else {
            self.report(node, format!("unexpected failed resolution of '{object}'"));
        }
        Type::Error
    }

    fn call(&mut self, node: NodeId, function: &str, target: Option<NodeId>, arguments: &[NodeId]) {
        if function == "_?._" {
            self.optional_select(node, arguments);
            return;
        }
        for &argument in arguments {
            self.check(argument);
        }
        let registry = self.registry;
        let Some(target) = target else {
            let name = function.strip_prefix('.').unwrap_or(function);
            if registry.function(name).is_none() {
                self.undeclared(node, function);
                return;
            }
            self.tree.replace(
                node,
                Kind::Call { function: name.to_owned(), target: None, arguments: arguments.to_vec() },
            );
            self.resolve_call(node, name, None, arguments);
            return;
        };
        // `a.b.c()` is the function `a.b.c` if there is one, else `c` on `a.b`.
        if let Some(prefix) = self.tree.qualified_name(target) {
            let name = format!("{}.{function}", prefix.strip_prefix('.').unwrap_or(&prefix));
            if registry.function(&name).is_some() {
                self.tree.replace(
                    node,
                    Kind::Call { function: name.clone(), target: None, arguments: arguments.to_vec() },
                );
                self.resolve_call(node, &name, None, arguments);
                return;
            }
        }
        self.check(target);
        if registry.function(function).is_some() {
            self.resolve_call(node, function, Some(target), arguments);
        } else {
            self.undeclared(node, function);
        }
    }

    fn optional_select(&mut self, node: NodeId, arguments: &[NodeId]) {
        let [operand, field] = arguments else {
            self.report(node, "unsupported optional field selection");
            return;
        };
        let Kind::Literal(Value::String(field)) = self.tree.kind(*field).clone() else {
            self.report(*field, "unsupported optional field selection");
            return;
        };
        let type_ = self.select(node, *operand, &field, true);
        let type_ = self.substitutions.resolve(&type_, false);
        self.set_type(node, type_);
        self.references[node.index()] = Some(Reference::Overloads { function: "_?._", overloads: vec![0] });
    }

    fn resolve_call(&mut self, node: NodeId, name: &str, target: Option<NodeId>, arguments: &[NodeId]) {
        let registry = self.registry;
        let Some(function) = registry.function(name) else { return };
        let types: Vec<Type> = target.iter().chain(arguments).map(|&node| self.type_of(node)).collect();
        if matches!(name, "_&&_" | "_||_") {
            for (&argument, type_) in arguments.iter().zip(&types) {
                if !self.substitutions.assignable(type_, &Type::Bool) {
                    self.mismatch(argument, &Type::Bool, type_);
                }
            }
            self.references[node.index()] =
                Some(Reference::Overloads { function: function.name, overloads: vec![0] });
            self.set_type(node, Type::Bool);
            return;
        }
        let mut result: Option<Type> = None;
        let mut matching = Vec::new();
        for (at, overload) in function.overloads.iter().enumerate() {
            if overload.member != target.is_some() || overload.parameters.len() != types.len() {
                continue;
            }
            let mut parameters = Vec::new();
            for type_ in overload.parameters.iter().chain([&overload.result]) {
                assign::parameter_names(type_, &mut parameters);
            }
            let fresh: Vec<(&'static str, Type)> =
                parameters.into_iter().map(|name| (name, self.substitutions.variable())).collect();
            let expected: Vec<Type> =
                overload.parameters.iter().map(|type_| assign::instantiate(type_, &fresh)).collect();
            if !self.substitutions.all_assignable(&types, &expected) {
                continue;
            }
            matching.push(at);
            let this = self.substitutions.resolve(&assign::instantiate(&overload.result, &fresh), false);
            result = Some(match result {
                None => this,
                Some(first) if first.is_dynamic() || first == this => first,
                Some(_) => Type::Dyn,
            });
        }
        let Some(result) = result else {
            let types: Vec<String> =
                types.iter().map(|type_| self.substitutions.resolve(type_, true).to_string()).collect();
            let signature = match types.split_first() {
                Some((receiver, rest)) if target.is_some() => format!("{receiver}.({})", rest.join(", ")),
                _ => format!("({})", types.join(", ")),
            };
            self.report(node, format!("found no matching overload for '{name}' applied to '{signature}'"));
            self.set_type(node, Type::Error);
            return;
        };
        self.set_type(node, result);
        self.references[node.index()] =
            Some(Reference::Overloads { function: function.name, overloads: matching });
    }

    /// The common type of the elements of a literal so far and of one more. Where there is none, the literal is
    /// refused later, unless it is an argument of `format`.
    fn join(&mut self, so_far: Option<Type>, next: Type) -> Type {
        let Some(so_far) = so_far else { return next };
        if self.substitutions.assignable(&so_far, &next) {
            return assign::most_general(&so_far, &next);
        }
        Type::Dyn
    }

    fn unwrap_optional(&mut self, node: NodeId, type_: Type) -> Type {
        match type_ {
            Type::Optional(inner) => inner.as_ref().clone(),
            other => {
                if !other.is_dynamic() {
                    self.mismatch(node, &Type::optional(other.clone()), &other);
                }
                other
            }
        }
    }

    fn list(&mut self, node: NodeId, elements: &[NodeId], optional: &[bool]) {
        let mut joined = None;
        for (&element, &optional) in elements.iter().zip(optional) {
            self.check(element);
            let mut type_ = self.type_of(element);
            if optional {
                type_ = self.unwrap_optional(element, type_);
            }
            joined = Some(self.join(joined, type_));
        }
        let element = joined.unwrap_or_else(|| self.substitutions.variable());
        self.set_type(node, Type::list(element));
    }

    fn map(&mut self, node: NodeId, entries: &[Entry<NodeId>]) {
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            self.check(entry.key);
            let key = self.type_of(entry.key);
            keys = Some(self.join(keys, key));
            self.check(entry.value);
            let mut value = self.type_of(entry.value);
            if entry.optional {
                value = self.unwrap_optional(entry.value, value);
            }
            values = Some(self.join(values, value));
        }
        let key = keys.unwrap_or_else(|| self.substitutions.variable());
        let value = values.unwrap_or_else(|| self.substitutions.variable());
        self.set_type(node, Type::map(key, value));
    }

    /// Messages cannot be built: the environment has no message types of its own, and we do not offer the
    /// wrappers of protocol buffers, which the API server happens to know.
    fn message(&mut self, node: NodeId, name: &str, fields: &[Entry<String>]) {
        for field in fields {
            self.check(field.value);
        }
        if self.find_variable(name).is_some() {
            self.report(node, format!("'{name}' is not a type"));
            self.set_type(node, Type::Error);
        } else if self.registry.named_type(name).is_some() {
            self.report(node, format!("'{name}' is not a message type"));
            self.set_type(node, Type::Error);
        } else {
            self.undeclared(node, name);
        }
    }

    fn comprehension(&mut self, node: NodeId, comprehension: &Comprehension) {
        self.check(comprehension.range);
        self.check(comprehension.initial);
        let range = self.substitutions.resolve(&self.type_of(comprehension.range), false);
        let accumulator = self.type_of(comprehension.initial);
        self.scopes.push(BTreeMap::from([(comprehension.accumulator.clone(), accumulator.clone())]));
        let two = comprehension.second_variable.is_some();
        let (first, second) = match &range {
            Type::List(element) if two => (Type::Int, element.as_ref().clone()),
            Type::List(element) => (element.as_ref().clone(), Type::Error),
            Type::Map(key, value) => (key.as_ref().clone(), value.as_ref().clone()),
            Type::Dyn | Type::Error | Type::Variable(_) | Type::Parameter(_) => {
                self.substitutions.assignable(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.report(comprehension.range, message);
                (Type::Error, Type::Error)
            }
        };
        let mut variables = BTreeMap::from([(comprehension.variable.clone(), first)]);
        if let Some(name) = &comprehension.second_variable {
            variables.insert(name.clone(), second);
        }
        self.scopes.push(variables);
        self.check(comprehension.condition);
        self.expect(comprehension.condition, &Type::Bool);
        self.check(comprehension.step);
        self.expect(comprehension.step, &accumulator);
        self.scopes.pop();
        self.check(comprehension.result);
        self.scopes.pop();
        let result = self.substitutions.resolve(&self.type_of(comprehension.result), false);
        self.set_type(node, result);
    }

    fn expect(&mut self, node: NodeId, expected: &Type) {
        let found = self.type_of(node);
        if !self.substitutions.assignable(expected, &found) {
            self.mismatch(node, expected, &found);
        }
    }
}
