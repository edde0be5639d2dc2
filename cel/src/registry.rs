//! What one environment declares: functions, types and the fields of `device`.

use std::collections::BTreeMap;

use crate::declarations::{CEL_0_29, Function, Overload};
use crate::environment::Environment;
use crate::types::{Type, names};
use crate::{library, standard};

/// Everything an expression may refer to.
#[derive(Debug)]
pub(crate) struct Registry {
    functions: BTreeMap<&'static str, Declared>,
    environment: Environment,
}

/// A function with the overloads that exist in this environment.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) name: &'static str,
    pub(crate) overloads: Vec<Overload>,
}

/// One overload of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'r> {
    /// Name of the function, with its namespace if it has one: `sets.contains`.
    pub function: &'r str,
    /// cel-go's name of the overload, unique in the environment.
    pub overload: &'r str,
    /// Called on a receiver, `x.f(y)`, which is then the first parameter.
    pub member: bool,
    /// Types of the parameters, receiver first.
    pub parameters: &'r [Type],
    /// Type of the result.
    pub result: &'r Type,
}

impl Registry {
    pub(crate) fn new(environment: Environment) -> Self {
        let minor = environment.library_minor();
        let mut functions: BTreeMap<&'static str, Declared> = BTreeMap::new();
        let includes = environment
            .includes_overload()
            .map(|overload| Function::new("includes", crate::declarations::Window::ALWAYS, vec![overload]));
        for function in standard::functions().into_iter().chain(library::functions()).chain(includes) {
            if !function.window.contains(minor, environment.release.minor()) {
                continue;
            }
            let declared = functions
                .entry(function.name)
                .or_insert_with(|| Declared { name: function.name, overloads: Vec::new() });
            for overload in function.overloads {
                if !declared.overloads.iter().any(|known| known.id == overload.id) {
                    declared.overloads.push(overload);
                }
            }
        }
        Self { functions, environment }
    }

    /// Whether cel-go is at least 0.29.
    pub(crate) fn has_cel_0_29(&self) -> bool {
        self.environment.release.minor() >= CEL_0_29
    }

    pub(crate) fn function(&self, name: &str) -> Option<&Declared> {
        self.functions.get(name)
    }

    pub(crate) fn signatures(&self) -> impl Iterator<Item = Signature<'_>> {
        self.functions.values().flat_map(|declared| {
            declared.overloads.iter().map(|overload| Signature {
                function: declared.name,
                overload: overload.id,
                member: overload.member,
                parameters: &overload.parameters,
                result: &overload.result,
            })
        })
    }

    /// The type of a field of an object.
    pub(crate) fn field_type(&self, object: &str, field: &str) -> Option<Type> {
        if object != names::DEVICE {
            return None;
        }
        Some(match field {
            "driver" => Type::String,
            "attributes" => {
                Type::map(Type::String, Type::map(Type::String, self.environment.attribute_type()))
            }
            "capacity" => Type::map(Type::String, Type::map(Type::String, Type::QUANTITY)),
            "allowMultipleAllocations" if self.environment.has_multiple_allocations() => Type::Bool,
            _ => return None,
        })
    }

    /// The type that a name stands for.
    pub(crate) fn named_type(&self, name: &str) -> Option<Type> {
        Some(match name {
            "bool" => Type::Bool,
            "bytes" => Type::Bytes,
            "double" => Type::Double,
            "google.protobuf.Duration" => Type::Duration,
            "google.protobuf.Timestamp" => Type::Timestamp,
            "int" => Type::Int,
            "list" => Type::list(Type::Dyn),
            "map" => Type::map(Type::Dyn, Type::Dyn),
            names::IP => Type::Opaque(names::IP),
            names::CIDR => Type::Opaque(names::CIDR),
            "null_type" => Type::Null,
            "string" => Type::String,
            "type" => Type::Type(None),
            "uint" => Type::Uint,
            "optional_type" if self.has_cel_0_29() => Type::optional(Type::Dyn),
            // cel-go 0.26 knows the name without its parameter.
            "optional_type" => Type::Opaque("optional_type"),
            _ => return None,
        })
    }
}
