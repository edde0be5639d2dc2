//! From text to tree. The only place that knows the parser, the crate `cel`.

mod convert;
mod macros;
mod scan;

use crate::compile_error::CompileError;
use crate::syntax::{NodeId, Tree};

/// The longest expression the API accepts, in bytes.
const MAX_LENGTH: usize = 10 * 1024;
/// Deepest nesting, cel-go's limit.
const MAX_DEPTH: usize = 250;
/// Most nodes after expansion of macros. `optMap` copies its target, so that a chain of them doubles with each
/// link; upstream has no such limit and would use the memory.
const MAX_NODES: usize = 100_000;
/// Stack for parsing and for every other walk over a tree. Unoptimised builds of the parser need about 80 KiB
/// for each nested bracket. The memory is reserved, not used.
const STACK: usize = 256 * 1024 * 1024;

/// Runs a walk that may recurse as deep as an expression nests, on a stack that is large enough for it.
pub(crate) fn on_large_stack<T>(walk: impl FnOnce() -> T) -> T {
    stacker::grow(STACK, walk)
}

/// Parses an expression and expands the macros that exist at a minor version. To be called on a large stack.
pub(crate) fn parse(source: &str, minor: u32) -> Result<(Tree, NodeId), CompileError> {
    if source.len() > MAX_LENGTH {
        let message =
            format!("the expression is {} bytes long, at most {MAX_LENGTH} are allowed", source.len());
        return Err(CompileError::without_place(message));
    }
    if let Some(offset) = scan::too_deep(source, MAX_DEPTH - 1) {
        return Err(CompileError::at(source, offset, recursion_message()));
    }
    let parser = cel::Env::default()
        .parser()
        .enable_optional_syntax(true)
        // Checked before and after.
        .max_recursion_depth(u16::MAX);
    let (expression, positions) =
        parser.parse_with_source_info(source).map_err(|errors| convert::parse_errors(source, &errors))?;
    convert::Converter::new(source, &positions, minor).convert(&expression)
}

fn recursion_message() -> String {
    format!("expression recursion limit exceeded: {MAX_DEPTH}")
}
