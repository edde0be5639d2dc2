//! The libraries of the device-selector environment. Each module gives the functions it adds to the table.

mod arguments;
mod costs;
mod list_extension;
mod lists;
mod named_format;
mod net;
mod quantity;
mod regex;
mod semver;
mod sets;
mod string_format;
mod strings;
#[cfg(test)]
mod tests;
mod url;

pub(crate) use lists::includes_overload;
pub(crate) use regex::search;
pub(crate) use string_format::{Clause, Piece, missing_argument, next_piece};

use crate::declarations::Function;

/// The functions of every library, in the order in which the API server adds the libraries.
pub(crate) fn functions() -> Vec<Function> {
    let libraries = [
        url::functions,
        regex::functions,
        lists::functions,
        quantity::functions,
        strings::functions,
        string_format::functions,
        sets::functions,
        net::functions,
        named_format::functions,
        semver::functions,
        list_extension::functions,
    ];
    libraries.into_iter().flat_map(|functions| functions()).collect()
}
