//! Calls of `format` on a literal with a literal list are checked in full at compile time, as upstream does.

use super::Checked;
use crate::library::{Clause, Piece, missing_argument, next_piece};
use crate::syntax::{Kind, NodeId, Tree};

/// What is wrong with a call, and where if it is an argument.
pub(super) struct FormatError {
    pub(super) argument: Option<NodeId>,
    pub(super) message: String,
}

/// Whether each clause of the format has an argument of a type it takes, and no argument is left.
pub(super) fn check(
    tree: &Tree,
    checked: &Checked,
    format: &str,
    arguments: &[NodeId],
) -> Result<(), FormatError> {
    let error = |message| FormatError { argument: None, message };
    let mut used = 0;
    let mut rest = format;
    while !rest.is_empty() {
        let (piece, after) = match next_piece(rest) {
            // A missing argument comes before a malformed clause, but after a format that just ends.
            Err(_) if used >= arguments.len() && rest != "%" => return Err(error(missing_argument(used))),
            other => other.map_err(error)?,
        };
        rest = after;
        if let Piece::Clause(clause) = piece {
            let argument = arguments.get(used).copied().ok_or_else(|| error(missing_argument(used)))?;
            used += 1;
            if let Some(refused) = refused(tree, checked, clause, argument) {
                let type_ = &checked.types[refused.index()];
                let name = type_.runtime_name().map_or_else(|| type_.to_string(), str::to_owned);
                return Err(FormatError { argument: Some(refused), message: clause.refusal(&name) });
            }
        }
    }
    if arguments.len() > used {
        let given = arguments.len();
        return Err(error(format!(
            "too many arguments supplied to string.format (expected {used}, got {given})"
        )));
    }
    Ok(())
}

/// The argument, or the part of it, that a clause does not take.
fn refused(tree: &Tree, checked: &Checked, clause: Clause, argument: NodeId) -> Option<NodeId> {
    if !clause.takes(&checked.types[argument.index()]) {
        return Some(argument);
    }
    if clause != Clause::String {
        return None;
    }
    match tree.kind(argument) {
        Kind::List { .. } | Kind::Map { .. } => {
            tree.children(argument).into_iter().find_map(|child| refused(tree, checked, clause, child))
        }
        _ => None,
    }
}
