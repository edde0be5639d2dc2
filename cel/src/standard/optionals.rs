//! Optional values.

use crate::declarations::{Function, Overload, Window};
use crate::error::EvaluationError;
use crate::rewrapped::usable;
use crate::types::Type;
use crate::value::Value;

type Evaluated = Result<Value, EvaluationError>;

const K: Type = Type::Parameter("K");
const V: Type = Type::Parameter("V");

pub(super) fn functions() -> Vec<Function> {
    let optional = || Type::optional(V);
    let list = || Type::list(V);
    let map = || Type::map(K, V);
    let function = |name, overloads| Function::new(name, Window::since(28), overloads);
    vec![
        function("optional.of", vec![Overload::global("optional_of", vec![V], optional(), of)]),
        function(
            "optional.ofNonZeroValue",
            vec![Overload::global("optional_ofNonZeroValue", vec![V], optional(), of_non_zero)],
        ),
        function("optional.none", vec![Overload::global("optional_none", vec![], optional(), none)]),
        function("value", vec![Overload::member("optional_value", vec![optional()], V, value)]),
        function(
            "hasValue",
            vec![Overload::member("optional_hasValue", vec![optional()], Type::Bool, has_value)],
        ),
        // The evaluator has the following built in: they do not evaluate all operands, or qualify a value.
        function(
            "or",
            vec![Overload::member(
                "optional_or_optional",
                vec![optional(), optional()],
                optional(),
                built_in,
            )],
        ),
        function(
            "orValue",
            vec![Overload::member("optional_orValue_value", vec![optional(), V], V, built_in)],
        ),
        function(
            "_?._",
            vec![Overload::global(
                "select_optional_field",
                vec![Type::Dyn, Type::String],
                optional(),
                built_in,
            )],
        ),
        function(
            "_[?_]",
            vec![
                Overload::global("list_optindex_optional_int", vec![list(), Type::Int], optional(), built_in),
                Overload::global(
                    "optional_list_optindex_optional_int",
                    vec![Type::optional(list()), Type::Int],
                    optional(),
                    built_in,
                ),
                Overload::global("map_optindex_optional_value", vec![map(), K], optional(), built_in),
                Overload::global(
                    "optional_map_optindex_optional_value",
                    vec![Type::optional(map()), K],
                    optional(),
                    built_in,
                ),
            ],
        ),
        function("last", vec![Overload::member("list_last", vec![list()], optional(), last)]),
        function("first", vec![Overload::member("list_first", vec![list()], optional(), first)]),
        function(
            "optional.unwrap",
            vec![Overload::global("optional_unwrap", vec![Type::list(optional())], list(), unwrap)],
        ),
        function(
            "unwrapOpt",
            vec![Overload::member("optional_unwrapOpt", vec![Type::list(optional())], list(), unwrap)],
        ),
    ]
}

fn no_overload() -> EvaluationError {
    EvaluationError::no_such_overload("")
}

fn built_in(_: &[Value]) -> Evaluated {
    Err(no_overload())
}

fn of(values: &[Value]) -> Evaluated {
    values.first().cloned().map(Value::some).ok_or_else(no_overload)
}

fn of_non_zero(values: &[Value]) -> Evaluated {
    let value = values.first().cloned().ok_or_else(no_overload)?;
    Ok(if is_zero(&value) { Value::NONE } else { Value::some(value) })
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Int(value) | Value::Duration(value) => *value == 0,
        Value::Uint(value) => *value == 0,
        Value::Double(value) => *value == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Timestamp(moment) => moment.is_zero(),
        _ => false,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "an entry of the table")]
fn none(_: &[Value]) -> Evaluated {
    Ok(Value::NONE)
}

fn value(values: &[Value]) -> Evaluated {
    match values {
        [Value::Optional(Some(value))] => usable(value.as_ref().clone()),
        [Value::Optional(None)] => Err(EvaluationError::other("optional.none() dereference")),
        _ => Err(no_overload()),
    }
}

fn has_value(values: &[Value]) -> Evaluated {
    match values {
        [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
        _ => Err(no_overload()),
    }
}

fn first(values: &[Value]) -> Evaluated {
    match values {
        [Value::List(list)] => Ok(list.first().cloned().map_or(Value::NONE, Value::some)),
        _ => Err(no_overload()),
    }
}

fn last(values: &[Value]) -> Evaluated {
    match values {
        [Value::List(list)] => Ok(list.last().cloned().map_or(Value::NONE, Value::some)),
        _ => Err(no_overload()),
    }
}

fn unwrap(values: &[Value]) -> Evaluated {
    let [Value::List(list)] = values else { return Err(no_overload()) };
    let mut items = Vec::new();
    for item in list.iter() {
        match item {
            Value::Optional(Some(value)) => items.push(value.as_ref().clone()),
            Value::Optional(None) => {}
            other => {
                return Err(EvaluationError::other(format!(
                    "value is not an optional value: {}",
                    other.type_name()
                )));
            }
        }
    }
    Value::list(items)
}
