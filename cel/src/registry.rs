//! What one environment declares: functions, types and the fields of `device`.

use std::collections::BTreeMap;

use crate::declarations::{Function, Overload};
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

impl Registry {
    pub(crate) fn new(environment: Environment) -> Self {
        let minor = environment.library_minor();
        let mut functions: BTreeMap<&'static str, Declared> = BTreeMap::new();
        let includes = environment
            .includes_overload()
            .map(|overload| Function::new("includes", crate::declarations::Window::ALWAYS, vec![overload]));
        for function in standard::functions().into_iter().chain(library::functions()).chain(includes) {
            if !function.window.contains(minor) {
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

    pub(crate) fn function(&self, name: &str) -> Option<&Declared> {
        self.functions.get(name)
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
    pub(crate) fn named_type(name: &str) -> Option<Type> {
        Some(match name {
            "bool" => Type::Bool,
            "bytes" => Type::Bytes,
            "double" => Type::Double,
            "google.protobuf.Duration" => Type::Duration,
            "google.protobuf.Timestamp" => Type::Timestamp,
            "int" => Type::Int,
            "list" => Type::list(Type::Dyn),
            "map" => Type::map(Type::Dyn, Type::Dyn),
            "null_type" => Type::Null,
            "string" => Type::String,
            "type" => Type::Type(None),
            "uint" => Type::Uint,
            "optional_type" => Type::optional(Type::Dyn),
            _ => return None,
        })
    }
}
