//! Verdict, estimate and run-time cost of the API server's own CEL, release 1.36.3, on hundreds of expressions.
//!
//! The fixture was recorded with k8s.io/dynamic-resource-allocation v0.36.3, stored expressions, once with and
//! once without list-typed attributes.

use std::collections::BTreeMap;

use drayage_cel::{AttributeValue, Compiler, Device, Environment};

fn device(lists: bool) -> Device {
    let string = |text: &str| AttributeValue::String(text.to_owned());
    let mut attributes = BTreeMap::from([
        ("model".to_owned(), string("A100")),
        ("memory".to_owned(), AttributeValue::Int(80)),
        ("a".to_owned(), AttributeValue::Int(1)),
        ("b".to_owned(), AttributeValue::Bool(true)),
        ("services".to_owned(), string("some_example_value")),
        ("cuda".to_owned(), AttributeValue::Version("12.4.0".to_owned())),
        ("dra.example.com/numa".to_owned(), AttributeValue::Int(0)),
        ("dra.example.com/name".to_owned(), string("fish")),
    ]);
    if lists {
        let strings = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        attributes.insert("nums".to_owned(), AttributeValue::Ints(vec![1, 2, 3]));
        attributes.insert("names".to_owned(), AttributeValue::Strings(strings(["fish", "cat"])));
        attributes.insert("vers".to_owned(), AttributeValue::Versions(strings(["1.0.0", "2.0.0"])));
        attributes.insert("flags".to_owned(), AttributeValue::Bools(vec![true, false]));
    }
    let memory = "80Gi".parse().expect("a quantity");
    let cores = "108".parse().expect("a quantity");
    Device::new("gpu.example.com", &attributes, [("memory", &memory), ("cores", &cores)].into_iter(), true)
}

#[test]
fn verdicts_estimates_and_costs_agree_with_kubernetes_1_36_3() {
    let recorded: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("fixtures/recorded-1.36.3.json")).expect("the fixture is JSON");
    let compilers = [false, true]
        .map(|lists| Compiler::new(Environment { list_type_attributes: lists, ..Environment::default() }));
    let devices = [false, true].map(device);
    let mut wrong = Vec::new();
    for row in &recorded {
        let text = |field: &str| row[field].as_str().unwrap_or_default();
        let lists = row["lists"].as_bool().unwrap_or_default();
        let expression = text("expression");
        let (outcome, estimate, cost, message) =
            match compilers[usize::from(lists)].compile_selector(expression) {
                Err(error) => ("compile-error", 0, 0, error.to_string()),
                Ok(program) => {
                    let estimate = program.cost_estimate().max;
                    let device = &devices[usize::from(lists)];
                    let cost = program.evaluate(device).cost;
                    match program.matches(device) {
                        Ok(true) => ("true", estimate, cost, String::new()),
                        Ok(false) => ("false", estimate, cost, String::new()),
                        Err(error) => ("runtime-error", estimate, cost, error.to_string()),
                    }
                }
            };
        let expected = (text("outcome"), row["estimate"].as_u64(), row["cost"].as_u64());
        if expected != (outcome, Some(estimate), Some(cost)) {
            wrong.push(format!(
                "{expression}\n    expected {expected:?} {}\n    found    {:?} {message}",
                text("message"),
                (outcome, estimate, cost),
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), recorded.len(), wrong.join("\n"));
}
