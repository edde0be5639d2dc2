//! From the parser's tree to ours.

use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, SourceInfo};
use cel::parser::ParseErrors;

use super::{MAX_DEPTH, MAX_NODES, macros, recursion_message};
use crate::compile_error::CompileError;
use crate::syntax::{Entry, Kind, NodeId, Tree};
use crate::value::Value;

pub(super) struct Converter<'a> {
    source: &'a str,
    positions: &'a SourceInfo,
    pub(super) tree: Tree,
    /// Minor version up to which macros exist.
    pub(super) minor: u32,
}

impl<'a> Converter<'a> {
    pub(super) fn new(source: &'a str, positions: &'a SourceInfo, minor: u32) -> Self {
        Self { source, positions, tree: Tree::default(), minor }
    }

    pub(super) fn convert(mut self, expression: &IdedExpr) -> Result<(Tree, NodeId), CompileError> {
        let root = self.expression(expression, 0)?;
        Ok((self.tree, root))
    }

    /// An error at a node of ours.
    pub(super) fn error(&self, node: NodeId, message: impl Into<String>) -> CompileError {
        CompileError::at(self.source, self.tree.offset(node) as usize, message)
    }

    /// Adds a node, unless there are too many.
    pub(super) fn push(&mut self, offset: u32, kind: Kind) -> Result<NodeId, CompileError> {
        if self.tree.len() >= MAX_NODES {
            let message =
                format!("the expression has more than {MAX_NODES} parts after expanding its macros");
            return Err(CompileError::at(self.source, offset as usize, message));
        }
        Ok(self.tree.push(offset, kind))
    }

    fn offset(&self, id: u64) -> u32 {
        self.positions.offset_for(id).map_or(0, |(start, _)| start)
    }

    fn expressions(&mut self, list: &[IdedExpr], depth: usize) -> Result<Vec<NodeId>, CompileError> {
        list.iter().map(|expression| self.expression(expression, depth)).collect()
    }

    /// `depth`: how many selections, indexings, calls on receivers and operators (but for `&&` and `||`) it is
    /// within, which is what cel-go counts.
    fn expression(&mut self, expression: &IdedExpr, depth: usize) -> Result<NodeId, CompileError> {
        let offset = self.offset(expression.id);
        let below = depth + usize::from(counts(&expression.expr));
        if below > MAX_DEPTH {
            return Err(CompileError::at(self.source, offset as usize, recursion_message()));
        }
        let kind = match &expression.expr {
            Expr::Unspecified => {
                return Err(CompileError::at(self.source, offset as usize, "unspecified expression"));
            }
            Expr::Literal(literal) => Kind::Literal(literal_value(literal)),
            Expr::Ident(name) => Kind::Ident(name.clone()),
            Expr::Select(select) => Kind::Select {
                operand: self.expression(&select.operand, below)?,
                field: select.field.clone(),
                presence: select.test,
            },
            Expr::Call(call) => {
                let target = match &call.target {
                    Some(target) => Some(self.expression(target, below)?),
                    None => None,
                };
                let arguments = self.expressions(&call.args, below)?;
                if let Some(expanded) = macros::expand(self, offset, &call.func_name, target, &arguments)? {
                    return Ok(expanded);
                }
                Kind::Call { function: call.func_name.clone(), target, arguments }
            }
            Expr::List(list) => Kind::List {
                elements: self.expressions(&list.elements, below)?,
                optional: (0..list.elements.len()).map(|at| list.optional_indices.contains(&at)).collect(),
            },
            Expr::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                for IdedEntryExpr { expr, .. } in &map.entries {
                    if let EntryExpr::MapEntry(entry) = expr {
                        entries.push(Entry {
                            key: self.expression(&entry.key, below)?,
                            value: self.expression(&entry.value, below)?,
                            optional: entry.optional,
                        });
                    }
                }
                Kind::Map { entries }
            }
            Expr::Struct(message) => {
                let mut fields = Vec::with_capacity(message.entries.len());
                for IdedEntryExpr { expr, .. } in &message.entries {
                    if let EntryExpr::StructField(field) = expr {
                        fields.push(Entry {
                            key: field.field.clone(),
                            value: self.expression(&field.value, below)?,
                            optional: field.optional,
                        });
                    }
                }
                Kind::Message { name: message.type_name.clone(), fields }
            }
            Expr::Comprehension(_) => {
                // The parser was given no macros.
                return Err(CompileError::at(self.source, offset as usize, "unexpected comprehension"));
            }
        };
        self.push(offset, kind)
    }
}

fn counts(expression: &Expr) -> bool {
    match expression {
        Expr::Select(_) => true,
        Expr::Call(call) => {
            let function = call.func_name.as_str();
            call.target.is_some()
                || (function.starts_with('_') || function == "@in") && !matches!(function, "_&&_" | "_||_")
        }
        _ => false,
    }
}

fn literal_value(literal: &LiteralValue) -> Value {
    match literal {
        LiteralValue::Boolean(value) => Value::Bool(*value.inner()),
        LiteralValue::Bytes(value) => Value::Bytes(value.inner().into()),
        LiteralValue::Double(value) => Value::Double(*value.inner()),
        LiteralValue::Int(value) => Value::Int(*value.inner()),
        LiteralValue::Null => Value::Null,
        LiteralValue::String(value) => Value::string(value.inner()),
        LiteralValue::UInt(value) => Value::Uint(*value.inner()),
    }
}

/// The parser's errors with places in bytes. It gives lines from 1 and columns from 1, in characters.
pub(super) fn parse_errors(source: &str, errors: &ParseErrors) -> CompileError {
    let mut result: Option<CompileError> = None;
    for error in &errors.errors {
        let (line, column) = error.pos;
        let offset = offset_of(source, line, column);
        let one = CompileError::at(source, offset, format!("Syntax error: {}", error.msg));
        match &mut result {
            Some(all) => all.append(one),
            None => result = Some(one),
        }
    }
    result.unwrap_or_else(|| CompileError::at(source, 0, "Syntax error: the expression cannot be parsed"))
}

fn offset_of(source: &str, line: isize, column: isize) -> usize {
    let (Ok(line), Ok(column)) = (usize::try_from(line), usize::try_from(column)) else { return 0 };
    let start: usize = source
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum::<usize>()
        .min(source.len());
    let rest = &source[start..];
    start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
}
