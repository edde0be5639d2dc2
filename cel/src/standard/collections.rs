//! `in`, `size`, indexing and the insertion that map-building macros use.

use std::sync::Arc;

use super::{A, B, costs};
use crate::declarations::{Function, Overload, Window};
use crate::error::EvaluationError;
use crate::types::Type;
use crate::value::Value;

type Evaluated = Result<Value, EvaluationError>;

pub(super) fn functions() -> Vec<Function> {
    let list = || Type::list(A);
    let map = || Type::map(A, B);
    let sizes = vec![
        Overload::global("size_bytes", vec![Type::Bytes], Type::Int, size).unguarded(),
        Overload::member("bytes_size", vec![Type::Bytes], Type::Int, size).unguarded(),
        Overload::global("size_list", vec![list()], Type::Int, size).unguarded(),
        Overload::member("list_size", vec![list()], Type::Int, size).unguarded(),
        Overload::global("size_map", vec![map()], Type::Int, size).unguarded(),
        Overload::member("map_size", vec![map()], Type::Int, size).unguarded(),
        Overload::global("size_string", vec![Type::String], Type::Int, size).unguarded(),
        Overload::member("string_size", vec![Type::String], Type::Int, size).unguarded(),
    ];
    let contains = vec![
        Overload::global("in_list", vec![A, list()], Type::Bool, contained)
            .unguarded()
            .costing(costs::estimate_in_list, costs::in_list),
        Overload::global("in_map", vec![A, map()], Type::Bool, contained).unguarded(),
    ];
    // The evaluator has indexing built in; the declarations are for the checker and the estimator.
    let index = vec![
        Overload::global("index_list", vec![list(), Type::Int], A, built_in),
        Overload::global("index_map", vec![map(), A], B, built_in),
        Overload::global(
            "optional_list_index_int",
            vec![Type::optional(list()), Type::Int],
            Type::optional(A),
            built_in,
        ),
        Overload::global(
            "optional_map_index_value",
            vec![Type::optional(map()), A],
            Type::optional(B),
            built_in,
        ),
    ];
    let insert = vec![
        Overload::global("@mapInsert_map_map", vec![map(), map()], map(), insert_all),
        Overload::global("@mapInsert_map_key_value", vec![map(), A, B], map(), insert_one),
    ];
    vec![
        Function::new("_[_]", Window::ALWAYS, index),
        Function::new("@in", Window::ALWAYS, contains),
        Function::new("size", Window::ALWAYS, sizes),
        Function::new("cel.@mapInsert", Window::since(32), insert),
    ]
}

fn no_overload() -> EvaluationError {
    EvaluationError::no_such_overload("")
}

fn built_in(_: &[Value]) -> Evaluated {
    Err(no_overload())
}

fn size(values: &[Value]) -> Evaluated {
    match values {
        [value @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))] => {
            Ok(Value::Int(i64::try_from(value.cost_size()).unwrap_or(i64::MAX)))
        }
        _ => Err(EvaluationError::no_such_overload("size")),
    }
}

fn contained(values: &[Value]) -> Evaluated {
    match values {
        [item, Value::List(list)] => {
            Ok(Value::Bool(list.iter().any(|element| item.equals(element) == Ok(true))))
        }
        [key, Value::Map(map)] => Ok(Value::Bool(map.contains(key))),
        _ => Err(no_overload()),
    }
}

fn insert_one(values: &[Value]) -> Evaluated {
    let [Value::Map(map), key, value] = values else { return Err(no_overload()) };
    if map.contains(key) {
        return Err(EvaluationError::other(format!("insert failed: key {key} already exists")));
    }
    let mut map = map.as_ref().clone();
    map.insert(key.clone(), value.clone())?;
    Ok(Value::Map(Arc::new(map)))
}

fn insert_all(values: &[Value]) -> Evaluated {
    let [Value::Map(map), Value::Map(more)] = values else { return Err(no_overload()) };
    let mut map = map.as_ref().clone();
    for (key, value) in more.iter() {
        let key = key.to_value();
        if map.contains(&key) {
            return Err(EvaluationError::other(format!("insert failed: key {key} already exists")));
        }
        map.insert(key, value.clone())?;
    }
    Ok(Value::Map(Arc::new(map)))
}
