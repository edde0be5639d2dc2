//! The standard functions of CEL and the optional types.

mod accessors;
mod arithmetic;
mod collections;
mod conversions;
mod costs;
pub(crate) mod duration;
mod float;
mod optionals;
mod relations;
mod strings;
pub(crate) mod text;

pub(crate) use conversions::{is_conversion, to_string, to_timestamp};
pub(crate) use strings::compile_pattern;

use crate::declarations::Function;
use crate::types::Type;

/// Every standard function, in cel-go's order where order matters.
pub(crate) fn functions() -> Vec<Function> {
    let mut all = relations::functions();
    all.extend(arithmetic::functions());
    all.extend(collections::functions());
    all.extend(conversions::functions());
    all.extend(strings::functions());
    all.extend(accessors::functions());
    all.extend(optionals::functions());
    all
}

/// The type parameter `A` of declarations.
pub(crate) const A: Type = Type::Parameter("A");
/// The type parameter `B` of declarations.
pub(crate) const B: Type = Type::Parameter("B");
