//! Expansion of macros into comprehensions, in the shapes that cel-go gives them: cost depends on the shape.

use super::convert::Converter;
use crate::compile_error::CompileError;
use crate::syntax::{ACCUMULATOR, Comprehension, Kind, NodeId, UNUSED_VARIABLE};
use crate::value::Value;

type Expanded = Result<NodeId, CompileError>;

/// Nodes at the place of the call that is expanded.
struct Expansion<'c, 'a> {
    converter: &'c mut Converter<'a>,
    offset: u32,
}

/// Expands a call if it is one of a macro.
pub(super) fn expand(
    converter: &mut Converter<'_>,
    offset: u32,
    function: &str,
    target: Option<NodeId>,
    arguments: &[NodeId],
) -> Result<Option<NodeId>, CompileError> {
    let two_variables = matches!(function, "all" | "exists" | "existsOne" | "exists_one")
        && arguments.len() == 3
        || function.starts_with("transform");
    if two_variables && converter.minor < 32 || function == "sortBy" && converter.minor < 34 {
        return Ok(None);
    }
    let mut at = Expansion { converter, offset };
    Ok(Some(match (function, target, arguments) {
        ("has", None, [argument]) => at.has(*argument)?,
        ("all", Some(range), [v, body]) => at.all(range, &[*v], *body)?,
        ("all", Some(range), [v, w, body]) => at.all(range, &[*v, *w], *body)?,
        ("exists", Some(range), [v, body]) => at.exists(range, &[*v], *body)?,
        ("exists", Some(range), [v, w, body]) => at.exists(range, &[*v, *w], *body)?,
        ("exists_one", Some(range), [v, body]) => at.exists_one(range, &[*v], *body)?,
        ("existsOne" | "exists_one", Some(range), [v, w, body]) => at.exists_one(range, &[*v, *w], *body)?,
        ("map", Some(range), [v, body]) => at.collect(range, &[*v], None, *body)?,
        ("map", Some(range), [v, filter, body]) => at.collect(range, &[*v], Some(*filter), *body)?,
        ("filter", Some(range), [v, filter]) => at.collect(range, &[*v], Some(*filter), *v)?,
        ("transformList", Some(range), [v, w, body]) => at.collect(range, &[*v, *w], None, *body)?,
        ("transformList", Some(range), [v, w, filter, body]) => {
            at.collect(range, &[*v, *w], Some(*filter), *body)?
        }
        ("transformMap", Some(range), [v, w, body]) => at.transform_map(range, *v, *w, None, *body, true)?,
        ("transformMap", Some(range), [v, w, filter, body]) => {
            at.transform_map(range, *v, *w, Some(*filter), *body, true)?
        }
        ("transformMapEntry", Some(range), [v, w, body]) => {
            at.transform_map(range, *v, *w, None, *body, false)?
        }
        ("transformMapEntry", Some(range), [v, w, filter, body]) => {
            at.transform_map(range, *v, *w, Some(*filter), *body, false)?
        }
        ("bind", Some(namespace), [name, initial, body]) if at.is_name(namespace, "cel") => {
            let name = at.name(*name, "cel.bind() variable names must be simple identifiers")?;
            at.bind(name, *initial, *body)?
        }
        ("optMap" | "optFlatMap", Some(target), [name, body]) => {
            at.opt_map(function, target, *name, *body)?
        }
        ("sortBy", Some(target), [name, body]) => at.sort_by(target, *name, *body)?,
        _ => return Ok(None),
    }))
}

impl Expansion<'_, '_> {
    fn node(&mut self, kind: Kind) -> Expanded {
        self.converter.push(self.offset, kind)
    }

    fn literal(&mut self, value: impl Into<Value>) -> Expanded {
        self.node(Kind::Literal(value.into()))
    }

    fn ident(&mut self, name: &str) -> Expanded {
        self.node(Kind::Ident(name.to_owned()))
    }

    fn accumulator(&mut self) -> Expanded {
        self.ident(ACCUMULATOR)
    }

    fn call(&mut self, function: &str, arguments: Vec<NodeId>) -> Expanded {
        self.node(Kind::Call { function: function.to_owned(), target: None, arguments })
    }

    fn member_call(&mut self, function: &str, target: NodeId, arguments: Vec<NodeId>) -> Expanded {
        self.node(Kind::Call { function: function.to_owned(), target: Some(target), arguments })
    }

    fn list(&mut self, elements: Vec<NodeId>) -> Expanded {
        let optional = vec![false; elements.len()];
        self.node(Kind::List { elements, optional })
    }

    fn is_name(&self, node: NodeId, name: &str) -> bool {
        matches!(self.converter.tree.kind(node), Kind::Ident(ident) if ident == name)
    }

    fn name(&self, node: NodeId, otherwise: &str) -> Result<String, CompileError> {
        match self.converter.tree.kind(node) {
            Kind::Ident(name) => Ok(name.clone()),
            _ => Err(self.converter.error(node, otherwise)),
        }
    }

    /// The names of the iteration variables.
    fn variables(&self, nodes: &[NodeId], otherwise: &str) -> Result<(String, Option<String>), CompileError> {
        let mut names = Vec::with_capacity(nodes.len());
        for &node in nodes {
            let name = self.name(node, otherwise)?;
            if names.contains(&name) {
                return Err(self.converter.error(node, format!("duplicate variable name: {name}")));
            }
            if name == ACCUMULATOR || name == "__result__" {
                return Err(self.converter.error(node, "iteration variable overwrites accumulator variable"));
            }
            names.push(name);
        }
        let mut names = names.into_iter();
        Ok((names.next().unwrap_or_default(), names.next()))
    }

    fn fold(
        &mut self,
        range: NodeId,
        (variable, second_variable): (String, Option<String>),
        initial: NodeId,
        condition: NodeId,
        step: NodeId,
        result: NodeId,
    ) -> Expanded {
        self.node(Kind::Comprehension(Box::new(Comprehension {
            range,
            variable,
            second_variable,
            accumulator: ACCUMULATOR.to_owned(),
            initial,
            condition,
            step,
            result,
        })))
    }

    fn has(&mut self, argument: NodeId) -> Expanded {
        match self.converter.tree.kind(argument) {
            Kind::Select { operand, field, .. } => {
                let (operand, field) = (*operand, field.clone());
                self.node(Kind::Select { operand, field, presence: true })
            }
            _ => Err(self.converter.error(argument, "invalid argument to has() macro")),
        }
    }

    fn all(&mut self, range: NodeId, variables: &[NodeId], body: NodeId) -> Expanded {
        let variables = self.variables(variables, "argument must be a simple name")?;
        let initial = self.literal(true)?;
        let so_far = self.accumulator()?;
        let condition = self.call("@not_strictly_false", vec![so_far])?;
        let so_far = self.accumulator()?;
        let step = self.call("_&&_", vec![so_far, body])?;
        let result = self.accumulator()?;
        self.fold(range, variables, initial, condition, step, result)
    }

    fn exists(&mut self, range: NodeId, variables: &[NodeId], body: NodeId) -> Expanded {
        let variables = self.variables(variables, "argument must be a simple name")?;
        let initial = self.literal(false)?;
        let so_far = self.accumulator()?;
        let not_yet = self.call("!_", vec![so_far])?;
        let condition = self.call("@not_strictly_false", vec![not_yet])?;
        let so_far = self.accumulator()?;
        let step = self.call("_||_", vec![so_far, body])?;
        let result = self.accumulator()?;
        self.fold(range, variables, initial, condition, step, result)
    }

    fn exists_one(&mut self, range: NodeId, variables: &[NodeId], body: NodeId) -> Expanded {
        let variables = self.variables(variables, "argument must be a simple name")?;
        let initial = self.literal(0)?;
        let condition = self.literal(true)?;
        let so_far = self.accumulator()?;
        let one = self.literal(1)?;
        let more = self.call("_+_", vec![so_far, one])?;
        let same = self.accumulator()?;
        let step = self.call("_?_:_", vec![body, more, same])?;
        let so_far = self.accumulator()?;
        let one = self.literal(1)?;
        let result = self.call("_==_", vec![so_far, one])?;
        self.fold(range, variables, initial, condition, step, result)
    }

    fn collect(
        &mut self,
        range: NodeId,
        variables: &[NodeId],
        filter: Option<NodeId>,
        body: NodeId,
    ) -> Expanded {
        let otherwise = if variables.len() == 1 {
            "argument is not an identifier"
        } else {
            "argument must be a simple name"
        };
        let variables = self.variables(variables, otherwise)?;
        let initial = self.list(Vec::new())?;
        let condition = self.literal(true)?;
        let so_far = self.accumulator()?;
        let one = self.list(vec![body])?;
        let appended = self.call("_+_", vec![so_far, one])?;
        let step = self.filtered(filter, appended)?;
        let result = self.accumulator()?;
        self.fold(range, variables, initial, condition, step, result)
    }

    fn filtered(&mut self, filter: Option<NodeId>, step: NodeId) -> Expanded {
        let Some(filter) = filter else { return Ok(step) };
        let same = self.accumulator()?;
        self.call("_?_:_", vec![filter, step, same])
    }

    fn transform_map(
        &mut self,
        range: NodeId,
        key: NodeId,
        value: NodeId,
        filter: Option<NodeId>,
        body: NodeId,
        keep_key: bool,
    ) -> Expanded {
        let variables = self.variables(&[key, value], "argument must be a simple name")?;
        let initial = self.node(Kind::Map { entries: Vec::new() })?;
        let condition = self.literal(true)?;
        let mut arguments = vec![self.accumulator()?];
        if keep_key {
            arguments.push(self.ident(&variables.0)?);
        }
        arguments.push(body);
        let inserted = self.call("cel.@mapInsert", arguments)?;
        let step = self.filtered(filter, inserted)?;
        let result = self.accumulator()?;
        self.fold(range, variables, initial, condition, step, result)
    }

    fn bind(&mut self, name: String, initial: NodeId, body: NodeId) -> Expanded {
        let range = self.list(Vec::new())?;
        let condition = self.literal(false)?;
        let step = self.ident(&name)?;
        self.node(Kind::Comprehension(Box::new(Comprehension {
            range,
            variable: UNUSED_VARIABLE.to_owned(),
            second_variable: None,
            accumulator: name,
            initial,
            condition,
            step,
            result: body,
        })))
    }

    fn opt_map(&mut self, function: &str, target: NodeId, name: NodeId, body: NodeId) -> Expanded {
        let name = self.name(name, &format!("{function}() variable name must be a simple identifier"))?;
        let has_value = self.member_call("hasValue", target, Vec::new())?;
        let copy = self.copy(target)?;
        let value = self.member_call("value", copy, Vec::new())?;
        let bound = self.bind(name, value, body)?;
        let present = if function == "optMap" { self.call("optional.of", vec![bound])? } else { bound };
        let absent = self.call("optional.none", Vec::new())?;
        self.call("_?_:_", vec![has_value, present, absent])
    }

    /// `list.sortBy(x, key)`: sort by the keys that `map` gives. A target that is not just a name is evaluated
    /// once, under a name that nobody can write.
    fn sort_by(&mut self, target: NodeId, name: NodeId, body: NodeId) -> Expanded {
        const INPUT: &str = "@__sortBy_input__";
        if matches!(
            self.converter.tree.kind(target),
            Kind::Literal(_) | Kind::Map { .. } | Kind::Message { .. }
        ) {
            let message =
                "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
            return Err(self.converter.error(target, message));
        }
        let bound = self.ident(INPUT)?;
        let keys = self.collect(bound, &[name], None, body)?;
        let list = self.ident(INPUT)?;
        let sorted = self.member_call("@sortByAssociatedKeys", list, vec![keys])?;
        self.bind(INPUT.to_owned(), target, sorted)
    }

    /// A copy of a whole subtree.
    fn copy(&mut self, node: NodeId) -> Expanded {
        let offset = self.converter.tree.offset(node);
        let mut kind = self.converter.tree.kind(node).clone();
        match &mut kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => *operand = self.copy(*operand)?,
            Kind::Call { target, arguments, .. } => {
                for child in target.iter_mut().chain(arguments) {
                    *child = self.copy(*child)?;
                }
            }
            Kind::List { elements, .. } => {
                for child in elements {
                    *child = self.copy(*child)?;
                }
            }
            Kind::Map { entries } => {
                for entry in entries {
                    entry.key = self.copy(entry.key)?;
                    entry.value = self.copy(entry.value)?;
                }
            }
            Kind::Message { fields, .. } => {
                for field in fields {
                    field.value = self.copy(field.value)?;
                }
            }
            Kind::Comprehension(c) => {
                for child in [&mut c.range, &mut c.initial, &mut c.condition, &mut c.step, &mut c.result] {
                    *child = self.copy(*child)?;
                }
            }
        }
        self.converter.push(offset, kind)
    }
}
