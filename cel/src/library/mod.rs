//! The libraries of the device-selector environment. Each module gives the functions it adds to the table.

use crate::declarations::Function;

/// The functions of every library, in the order in which the API server adds the libraries.
pub(crate) fn functions() -> Vec<Function> {
    Vec::new()
}
