//! `k8s.io/apiserver/pkg/cel/library/quantity.go`, from 1.28.

use std::sync::Arc;

use super::arguments::{int, ordering, quantity, string};
use super::costs::{estimate_text, traverse_text};
use crate::declarations::{CallEstimate, Function, Overload, Window, cost_one};
use crate::error::EvaluationError;
use crate::quantity::{Quantity, QuantityFormat};
use crate::types::Type;
use crate::value::Value;

type Answer = Result<Value, EvaluationError>;

pub(super) fn functions() -> Vec<Function> {
    let one = |overload: Overload| overload.costing_by_name(CallEstimate::one, cost_one);
    let text = |overload: Overload| overload.costing_by_name(estimate_text, traverse_text);
    let function = |name, overloads| Function::new(name, Window::since(28), overloads);
    let unary = || vec![Type::QUANTITY];
    let binary = || vec![Type::QUANTITY, Type::QUANTITY];
    let with_int = || vec![Type::QUANTITY, Type::Int];
    vec![
        function(
            "quantity",
            vec![text(Overload::global("string_to_quantity", vec![Type::String], Type::QUANTITY, parse))],
        ),
        function(
            "isQuantity",
            vec![text(Overload::global("is_quantity_string", vec![Type::String], Type::Bool, is_quantity))],
        ),
        function("sign", vec![one(Overload::global("quantity_sign", unary(), Type::Int, sign))]),
        function(
            "isGreaterThan",
            vec![one(Overload::member("quantity_is_greater_than", binary(), Type::Bool, is_greater))],
        ),
        function(
            "isLessThan",
            vec![one(Overload::member("quantity_is_less_than", binary(), Type::Bool, is_less))],
        ),
        function(
            "compareTo",
            vec![one(Overload::member("quantity_compare_to", binary(), Type::Int, compare))],
        ),
        function(
            "asApproximateFloat",
            vec![one(Overload::member("quantity_get_float", unary(), Type::Double, as_float))],
        ),
        function(
            "asInteger",
            vec![one(Overload::member("quantity_get_int", unary(), Type::Int, as_integer))],
        ),
        function(
            "isInteger",
            vec![one(Overload::member("quantity_is_integer", unary(), Type::Bool, is_integer))],
        ),
        function(
            "add",
            vec![
                one(Overload::member("quantity_add", binary(), Type::QUANTITY, add)),
                one(Overload::member("quantity_add_int", with_int(), Type::QUANTITY, add_int)),
            ],
        ),
        function(
            "sub",
            vec![
                one(Overload::member("quantity_sub", binary(), Type::QUANTITY, subtract)),
                one(Overload::member("quantity_sub_int", with_int(), Type::QUANTITY, subtract_int)),
            ],
        ),
    ]
}

fn parse(values: &[Value]) -> Answer {
    string(values, 0)?.parse().map(Value::quantity).map_err(|error| EvaluationError::other(error.to_string()))
}

fn is_quantity(values: &[Value]) -> Answer {
    Ok(Value::Bool(string(values, 0)?.parse::<Quantity>().is_ok()))
}

fn sign(values: &[Value]) -> Answer {
    Ok(Value::Int(quantity(values, 0)?.sign().into()))
}

fn is_greater(values: &[Value]) -> Answer {
    Ok(Value::Bool(quantity(values, 0)? > quantity(values, 1)?))
}

fn is_less(values: &[Value]) -> Answer {
    Ok(Value::Bool(quantity(values, 0)? < quantity(values, 1)?))
}

fn compare(values: &[Value]) -> Answer {
    Ok(ordering(quantity(values, 0)?.cmp(quantity(values, 1)?)))
}

fn as_float(values: &[Value]) -> Answer {
    Ok(Value::Double(quantity(values, 0)?.as_approximate_float()))
}

fn as_integer(values: &[Value]) -> Answer {
    match quantity(values, 0)?.as_integer() {
        Some(integer) => Ok(Value::Int(integer)),
        None => Err(EvaluationError::other("cannot convert value to integer")),
    }
}

fn is_integer(values: &[Value]) -> Answer {
    Ok(Value::Bool(quantity(values, 0)?.as_integer().is_some()))
}

fn add(values: &[Value]) -> Answer {
    sum(quantity(values, 0)?.checked_add(quantity(values, 1)?))
}

fn add_int(values: &[Value]) -> Answer {
    sum(quantity(values, 0)?.checked_add(&from_int(int(values, 1)?)))
}

fn subtract(values: &[Value]) -> Answer {
    sum(quantity(values, 0)?.checked_sub(quantity(values, 1)?))
}

fn subtract_int(values: &[Value]) -> Answer {
    sum(quantity(values, 0)?.checked_sub(&from_int(int(values, 1)?)))
}

fn from_int(value: i64) -> Quantity {
    Quantity::from_integer(value, QuantityFormat::DecimalExponent)
}

fn sum(sum: Option<Quantity>) -> Answer {
    sum.map(|sum| Value::QuantitySum(Arc::new(sum))).ok_or(EvaluationError::TooLarge)
}
