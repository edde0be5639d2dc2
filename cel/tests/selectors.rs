//! The recorded verdicts of the API server's own CEL on 105 selectors.

use std::collections::BTreeMap;

use drayage_cel::{AttributeValue, Compiler, Device, Environment, Release};

fn device(lists: bool) -> Device {
    let mut attributes = BTreeMap::from([
        ("model".to_owned(), AttributeValue::String("A100".to_owned())),
        ("memory".to_owned(), AttributeValue::Int(80)),
        ("a".to_owned(), AttributeValue::Int(1)),
        ("b".to_owned(), AttributeValue::Bool(true)),
        ("services".to_owned(), AttributeValue::String("some_example_value".to_owned())),
        ("cuda".to_owned(), AttributeValue::Version("12.4.0".to_owned())),
    ]);
    if lists {
        let strings = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        attributes.insert("nums".to_owned(), AttributeValue::Ints(vec![1, 2, 3]));
        attributes.insert("names".to_owned(), AttributeValue::Strings(strings(["fish", "cat"])));
        attributes.insert("vers".to_owned(), AttributeValue::Versions(strings(["1.0.0", "2.0.0"])));
    }
    let memory = "80Gi".parse().expect("a quantity");
    Device::new("gpu.example.com", &attributes, [("memory", &memory)].into_iter(), true)
}

#[test]
fn recorded_verdicts_agree() {
    let recorded: Vec<[String; 3]> =
        serde_json::from_str(include_str!("fixtures/cel-selectors.json")).expect("the fixture is JSON");
    let environments = [
        (Environment { release: Release::V1_34, ..Environment::default() }, device(false)),
        (Environment { list_type_attributes: true, ..Environment::default() }, device(true)),
    ];
    let mut wrong = Vec::new();
    for [group, expression, expected] in &recorded {
        let verdicts = environments.each_ref().map(|(environment, device)| {
            match Compiler::new(*environment).compile_selector(expression) {
                Err(error) => ("CE", error.to_string()),
                Ok(program) => match program.matches(device) {
                    Ok(true) => ("T", String::new()),
                    Ok(false) => ("F", String::new()),
                    Err(error) => ("RE", error.to_string()),
                },
            }
        });
        let agrees =
            |verdict: &str| verdict == expected || expected == "RE_OR_CE" && matches!(verdict, "RE" | "CE");
        if !verdicts.iter().any(|(verdict, _)| agrees(verdict)) {
            wrong.push(format!("{group}: {expression}: expected {expected}, found {verdicts:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), recorded.len(), wrong.join("\n"));
}
