//! The libraries against recorded answers of Kubernetes 1.36.3.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::{AttributeValue, Compiler, Device, Environment, Quantity, Release, Value};

/// One JSON object a line: an expression, whether it compiles and what it gives, its estimate and its cost, as
/// `k8s.io/dynamic-resource-allocation/cel` v0.36.3 has it for stored expressions with default gates.
const RECORDED: &str = include_str!("../../tests/fixtures/library-1.36.3.jsonl");

/// As [`RECORDED`], but with the gate DRAListTypeAttributes and lists among the attributes.
const RECORDED_LISTS: &str = include_str!("../../tests/fixtures/lists-1.36.3.jsonl");

/// As [`RECORDED_LISTS`], of v0.37.0, and the expressions of [`RECORDED`] that have another answer there.
const RECORDED_LISTS_1_37: &str = include_str!("../../tests/fixtures/lists-1.37.0.jsonl");

/// The device that the expressions were evaluated on.
fn device(with_lists: bool) -> Device {
    let strings = |items: [&str; 2]| items.map(str::to_owned).to_vec();
    let lists = [
        ("ints", AttributeValue::Ints(vec![3, 1, 2])),
        ("names", AttributeValue::Strings(strings(["x", "y"]))),
        ("versions", AttributeValue::Versions(strings(["1.0.0", "2.0.0"]))),
        ("bools", AttributeValue::Bools(vec![true, false])),
    ];
    let attributes: BTreeMap<String, AttributeValue> = [
        ("model", AttributeValue::String("A100".to_owned())),
        ("memory", AttributeValue::Int(80)),
        ("a", AttributeValue::Int(1)),
        ("b", AttributeValue::Bool(true)),
        ("services", AttributeValue::String("some_example_value".to_owned())),
        ("cuda", AttributeValue::Version("12.4.0".to_owned())),
        ("empty", AttributeValue::String(String::new())),
        ("address", AttributeValue::String("10.0.0.7".to_owned())),
        ("net.example.org/speed", AttributeValue::Int(400)),
    ]
    .into_iter()
    .chain(lists.into_iter().filter(|_| with_lists))
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let capacity = [("memory", "80Gi"), ("big", "128Ti"), ("milli", "1500m")]
        .map(|(name, text)| (name, text.parse::<Quantity>().expect("a quantity")));
    Device::new("gpu.example.com", &attributes, capacity.iter().map(|(name, value)| (*name, value)), true)
}

/// A value as the recording writes it.
fn to_json(value: &Value) -> Json {
    let many = |items: &mut dyn Iterator<Item = &Value>| items.map(to_json).collect::<Vec<_>>();
    match value {
        Value::Null => json!("null"),
        Value::Bool(flag) => json!({"bool": flag}),
        Value::Int(number) => json!({"int": number.to_string()}),
        Value::Uint(number) => json!({"uint": number.to_string()}),
        Value::Double(number) if number.is_nan() => json!({"double": "NaN"}),
        Value::Double(number) => json!({"double": format!("{:016x}", number.to_bits())}),
        Value::String(text) => json!({"string": text.as_ref()}),
        Value::Bytes(bytes) => {
            let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({"bytes": digits.concat()})
        }
        Value::Duration(nanoseconds) => json!({"duration": nanoseconds.to_string()}),
        Value::Timestamp(moment) => json!({"timestamp": moment.to_string()}),
        Value::List(list) => json!({"list": many(&mut list.iter())}),
        Value::Map(map) => {
            let mut entries: Vec<Json> =
                map.iter().map(|(key, value)| json!([to_json(&key.to_value()), to_json(value)])).collect();
            entries.sort_by_key(Json::to_string);
            json!({"map": entries})
        }
        Value::Type(of) => json!({"type": of.runtime_name()}),
        Value::Optional(None) => json!({"optional": null}),
        Value::Optional(Some(value)) => json!({"optional": to_json(value)}),
        Value::Quantity(quantity) | Value::QuantitySum(quantity) => json!({"quantity": quantity.to_string()}),
        Value::Semver(version) => json!({"semver": version.to_string()}),
        Value::Object(object) => {
            let kind = match object.type_name() {
                "net.IP" => "ip",
                "net.CIDR" => "cidr",
                "kubernetes.URL" => "url",
                "kubernetes.NamedFormat" => "format",
                other => other,
            };
            json!({kind: object.to_string()})
        }
    }
}

/// In which respects our answer differs from the recorded one.
fn differences(compiler: &Compiler, device: &Device, recorded: &Json) -> Vec<String> {
    let expression = recorded["expression"].as_str().expect("an expression");
    let outcome = recorded["outcome"].as_str().expect("an outcome");
    let program = match compiler.compile_value(expression) {
        Ok(program) => program,
        Err(_) if outcome == "compile-error" => return vec![],
        Err(error) => return vec![format!("does not compile: {error}")],
    };
    if outcome == "compile-error" {
        return vec!["compiles".to_owned()];
    }
    let mut found = vec![];
    let evaluation = program.evaluate(device);
    match (&evaluation.value, outcome) {
        (Ok(value), "value") => {
            let value = to_json(value);
            if value != recorded["value"] {
                found.push(format!("gives {value}"));
            }
        }
        (Err(_), "runtime-error") => {}
        (value, _) => found.push(format!("gives {value:?}")),
    }
    if Some(evaluation.cost) != recorded["cost"].as_u64() {
        found.push(format!("costs {}", evaluation.cost));
    }
    let estimate = program.cost_estimate();
    if (Some(estimate.min), Some(estimate.max))
        != (recorded["estimateMin"].as_u64(), recorded["estimate"].as_u64())
    {
        found.push(format!("is estimated at {estimate:?}"));
    }
    found
}

fn agree(recorded: &str, environment: Environment, device: &Device) {
    let compiler = Compiler::new(environment);
    let mut lines = 0;
    let mut report = vec![];
    for line in recorded.lines() {
        let recorded: Json = serde_json::from_str(line).expect("the fixture is JSON");
        lines += 1;
        let found = differences(&compiler, device, &recorded);
        if !found.is_empty() {
            report.push(format!("{}\n    recorded {line}", found.join(", ")));
        }
    }
    assert!(lines > 300, "the fixture has only {lines} expressions");
    assert!(report.is_empty(), "{} of {lines} differ:\n{}", report.len(), report.join("\n"));
}

#[test]
fn recorded_answers_of_kubernetes_agree() {
    agree(RECORDED, Environment::default(), &device(false));
}

#[test]
fn recorded_answers_with_list_attributes_agree() {
    let environment = Environment { list_type_attributes: true, ..Environment::default() };
    agree(RECORDED_LISTS, environment, &device(true));
}

#[test]
fn recorded_answers_of_kubernetes_1_37_agree() {
    let environment =
        Environment { release: Release::V1_37, list_type_attributes: true, ..Environment::default() };
    agree(RECORDED_LISTS_1_37, environment, &device(true));
}

#[test]
fn wide_scientific_format_does_not_panic() {
    let compiler = Compiler::new(Environment::default());
    for (width, size) in [(65_535, Some(65_535)), (65_536, Some(65_536)), (1_000_000, Some(1_000_000))] {
        let program = compiler.compile_value(&format!(r#""%.{width}e".format([0.1]).size()"#));
        let value = program.expect("a format that compiles").evaluate(&device(false)).value;
        assert_eq!(value.ok(), size.map(Value::Int), "{width}");
    }
    let huge = compiler.compile_value(r#""%.9223372036854775807e".format([0.1]).size()"#);
    assert!(huge.expect("a format that compiles").evaluate(&device(false)).value.is_err());
}

/// Cheap by upstream's rules, and hours of work if nothing else counted.
#[test]
fn work_beyond_the_cost_is_bounded() {
    let compiler = Compiler::new(Environment::default());
    for expression in [
        r#"lists.range(90000).all(x, "aaaa".find("\\pL{30}" + string(x)) == "")"#,
        r#"lists.range(90000).all(x, "%.1000000e".format([0.1]).size() > 5)"#,
    ] {
        let program = compiler.compile_value(expression).expect("it compiles");
        let value = program.evaluate(&device(false)).value;
        assert_eq!(value.err(), Some(crate::EvaluationError::TooLarge), "{expression}");
    }
}
