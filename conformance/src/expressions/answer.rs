//! What either side says to a case.

use std::collections::HashMap;

use drayage_cel::{
    AttributeValue, Compiler, Environment, Evaluation, EvaluationError, MAX_COST, Type, Value,
};
use serde_json::{Value as Json, json};

use super::case::{Case, Mode};

/// The answer of one side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Why there is no program.
    pub compile_error: Option<String>,
    /// The static type of the result.
    pub type_: String,
    /// The largest cost that the API server expects; none where the mode has no estimate.
    pub estimate: Option<u64>,
    /// The result in a form in which equal texts are equal values of equal types.
    pub value: Option<String>,
    /// Why there is no result.
    pub error: Option<String>,
    /// Cost at run time.
    pub cost: u64,
}

impl Answer {
    /// Reads a line of a peer.
    pub fn from_json(json: &Json) -> Self {
        let text = |field: &str| json[field].as_str().map(str::to_owned);
        Self {
            compile_error: text("compileError"),
            type_: text("type").unwrap_or_default(),
            estimate: json["estimate"].as_u64(),
            value: text("value"),
            error: text("error"),
            cost: json["cost"].as_u64().unwrap_or_default(),
        }
    }

    /// The line that [`Answer::from_json`] reads.
    pub fn to_json(&self) -> Json {
        let mut json = json!({ "cost": self.cost });
        let fields = [
            ("compileError", self.compile_error.as_ref()),
            ("type", (!self.type_.is_empty()).then_some(&self.type_)),
            ("value", self.value.as_ref()),
            ("error", self.error.as_ref()),
        ];
        for (field, text) in fields {
            if let Some(text) = text {
                json[field] = json!(text);
            }
        }
        if let Some(estimate) = self.estimate {
            json["estimate"] = json!(estimate);
        }
        json
    }
}

/// Compilers by environment.
#[derive(Default)]
pub struct Ours {
    compilers: HashMap<Environment, Compiler>,
}

impl Ours {
    /// The compiler of an environment.
    pub fn compiler(&mut self, environment: Environment) -> &Compiler {
        self.compilers.entry(environment).or_insert_with(|| Compiler::new(environment))
    }

    /// Our answer.
    pub fn answer(&mut self, case: &Case) -> Answer {
        let compiler = self.compiler(case.environment);
        let text = case.expression.text();
        let program = match case.mode {
            Mode::Selector => compiler.compile_selector(&text),
            Mode::Attribute => compiler.compile_attribute(&text),
            Mode::Value => compiler.compile_value(&text),
        };
        let program = match program {
            Ok(program) => program,
            Err(error) => return Answer { compile_error: Some(error.to_string()), ..Answer::default() },
        };
        let limit = case.limit.unwrap_or(MAX_COST);
        let device = case.device.prepare();
        let Evaluation { value, cost } = program.evaluate_up_to(&device, limit);
        let value = value.and_then(|value| match (case.mode, value) {
            (Mode::Selector, value) => verdict(value),
            (Mode::Attribute, _) => program.attribute(&device).map(|attribute| attribute_text(&attribute)),
            (Mode::Value, value) => Ok(canonical(&value)),
        });
        let (value, error) = match value {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Answer {
            compile_error: None,
            type_: type_text(program.output_type()),
            estimate: (case.mode != Mode::Value).then(|| program.cost_estimate().max),
            value,
            error,
            cost,
        }
    }
}

/// The verdict of a selector; what is in an optional value counts.
fn verdict(value: Value) -> Result<String, EvaluationError> {
    match value {
        Value::Bool(matches) => Ok(matches.to_string()),
        Value::Optional(Some(held)) if matches!(*held, Value::Bool(_) | Value::Optional(Some(_))) => {
            verdict(held.as_ref().clone())
        }
        other => Err(EvaluationError::NotBool(other.type_name())),
    }
}

/// A type as cel-go writes it.
pub fn type_text(type_: &Type) -> String {
    let of = |type_: &Type| type_text(type_);
    match type_ {
        Type::Parameter(name) => format!("<{name}>"),
        Type::Any => "google.protobuf.Any".to_owned(),
        Type::Duration => "google.protobuf.Duration".to_owned(),
        Type::Timestamp => "google.protobuf.Timestamp".to_owned(),
        Type::Null => "null_type".to_owned(),
        Type::Type(Some(inner)) => format!("type({})", of(inner)),
        Type::List(element) => format!("list({})", of(element)),
        Type::Map(key, value) => format!("map({}, {})", of(key), of(value)),
        Type::Optional(inner) => format!("optional_type({})", of(inner)),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The value in the form that the peers print.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Double(double) if double.is_nan() => "double(nan)".to_owned(),
        Value::Double(double) => format!("double({:016x})", double.to_bits()),
        Value::String(text) => quoted(text),
        Value::Bytes(bytes) => {
            let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("bytes({})", digits.concat())
        }
        Value::Duration(nanoseconds) => format!("duration({nanoseconds})"),
        Value::Timestamp(moment) => format!("timestamp({moment})"),
        Value::List(list) => {
            let items: Vec<String> = list.iter().map(canonical).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(map) => {
            let mut entries: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", canonical(&key.to_value()), canonical(value)))
                .collect();
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Type(_) => format!("type({value})"),
        Value::Optional(None) => "none".to_owned(),
        Value::Optional(Some(value)) => format!("some({})", canonical(value)),
        Value::Quantity(quantity) | Value::QuantitySum(quantity) => {
            format!("kubernetes.Quantity({quantity})")
        }
        Value::Semver(version) => format!("kubernetes.Semver({version})"),
        Value::Object(object) => format!("{}({object})", object.type_name()),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Uint(_) => value.to_string(),
    }
}

/// The attribute in the form that the peers print.
fn attribute_text(attribute: &AttributeValue) -> String {
    fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
        let items: Vec<String> = items.iter().map(text).collect();
        items.join(", ")
    }
    let content = match attribute {
        AttributeValue::Int(value) => value.to_string(),
        AttributeValue::Bool(value) => value.to_string(),
        AttributeValue::String(text) | AttributeValue::Version(text) => quoted(text),
        AttributeValue::Ints(items) => list(items, ToString::to_string),
        AttributeValue::Bools(items) => list(items, ToString::to_string),
        AttributeValue::Strings(items) | AttributeValue::Versions(items) => list(items, |text| quoted(text)),
        AttributeValue::Unset => String::new(),
    };
    format!("{}({content})", attribute.field_name())
}
