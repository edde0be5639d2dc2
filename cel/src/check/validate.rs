//! Checks beyond types that the API server makes: literals of durations, timestamps and regular expressions,
//! and lists and maps of one type.

use super::{Checked, Reference, format_call};
use crate::compile_error::CompileError;
use crate::standard;
use crate::syntax::{Kind, NodeId, Tree};
use crate::types::Type;
use crate::value::Value;

pub(super) fn validate(source: &str, tree: &Tree, root: NodeId, checked: &Checked) -> Option<CompileError> {
    let mut validator = Validator { source, tree, checked, errors: None };
    validator.visit(root, false);
    validator.errors
}

struct Validator<'a> {
    source: &'a str,
    tree: &'a Tree,
    checked: &'a Checked,
    errors: Option<CompileError>,
}

impl Validator<'_> {
    fn report(&mut self, node: NodeId, message: impl Into<String>) {
        let error = CompileError::at(self.source, self.tree.offset(node) as usize, message);
        match &mut self.errors {
            Some(errors) => errors.append(error),
            None => self.errors = Some(error),
        }
    }

    fn type_of(&self, node: NodeId) -> &Type {
        &self.checked.types[node.index()]
    }

    /// `exempt`: somewhere within the arguments of `format`, which takes lists of anything.
    fn visit(&mut self, node: NodeId, exempt: bool) {
        let mut exempt = exempt;
        match self.tree.kind(node) {
            Kind::Call { function, target, arguments } => {
                exempt = exempt || function == "format";
                if let ("format", Some(target)) = (function.as_str(), target) {
                    self.format_call(node, *target, arguments);
                }
                self.literal_argument(node, function, arguments);
            }
            Kind::List { elements, optional } if !exempt => {
                let pairs: Vec<_> = elements.iter().copied().zip(optional.iter().copied()).collect();
                self.one_type(&pairs);
            }
            Kind::Map { entries } if !exempt => {
                let keys: Vec<_> = entries.iter().map(|entry| (entry.key, false)).collect();
                let values: Vec<_> = entries.iter().map(|entry| (entry.value, entry.optional)).collect();
                self.one_type(&keys);
                self.one_type(&values);
            }
            _ => {}
        }
        for child in self.tree.children(node) {
            self.visit(child, exempt);
        }
    }

    fn literal_argument(&mut self, node: NodeId, function: &str, arguments: &[NodeId]) {
        if !matches!(self.checked.references[node.index()], Some(Reference::Overloads { .. })) {
            return;
        }
        let Some(&argument) = arguments.first() else { return };
        let Kind::Literal(value) = self.tree.kind(argument) else { return };
        let valid = match (function, value) {
            ("duration", Value::String(text)) => standard::duration::parse(text).is_some(),
            ("duration", Value::Int(_)) => false,
            ("timestamp", Value::String(_) | Value::Int(_)) => {
                standard::to_timestamp(std::slice::from_ref(value)).is_ok()
            }
            ("matches", Value::String(pattern)) => standard::compile_pattern(pattern).is_ok(),
            _ => true,
        };
        if !valid {
            self.report(argument, format!("invalid {function} argument"));
        }
    }

    fn format_call(&mut self, node: NodeId, target: NodeId, arguments: &[NodeId]) {
        let &[argument] = arguments else { return };
        let (Kind::Literal(Value::String(format)), Kind::List { elements, .. }) =
            (self.tree.kind(target), self.tree.kind(argument))
        else {
            return;
        };
        if let Err(error) = format_call::check(self.tree, self.checked, format, elements) {
            self.report(error.argument.unwrap_or(node), error.message);
        }
    }

    fn one_type(&mut self, nodes: &[(NodeId, bool)]) {
        let mut first: Option<Type> = None;
        for &(node, optional) in nodes {
            let type_ = match self.type_of(node) {
                Type::Optional(inner) if optional => inner.as_ref().clone(),
                // Upstream panics.
                other
                    if optional && !matches!(other, Type::List(_) | Type::Map(..) | Type::Type(Some(_))) =>
                {
                    self.report(node, format!("expected an optional value but found '{other}'"));
                    return;
                }
                other => other.clone(),
            };
            match &first {
                None => first = Some(type_),
                Some(first) if *first == type_ => {}
                Some(first) => {
                    let message = format!("expected type '{first}' but found '{type_}'");
                    self.report(node, message);
                    return;
                }
            }
        }
    }
}
