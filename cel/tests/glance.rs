//! Verdicts at a glance are those of the evaluation.

use std::collections::BTreeMap;

use drayage_cel::{AttributeValue, Compiler, Device, Environment};
use proptest::prelude::*;

fn value() -> impl Strategy<Value = AttributeValue> {
    prop_oneof![
        (0..3_i64).prop_map(AttributeValue::Int),
        any::<bool>().prop_map(AttributeValue::Bool),
        "[xy]".prop_map(AttributeValue::String),
        Just(AttributeValue::Version("1.2.3".to_owned())),
    ]
}

fn comparison() -> impl Strategy<Value = String> {
    let read = prop_oneof![
        Just("device.driver".to_owned()),
        ("[de]", "[abc]").prop_map(|(domain, id)| format!("device.attributes['{domain}'].{id}")),
        ("[de]", "[abc]").prop_map(|(domain, id)| format!("device.attributes['{domain}']['{id}']")),
        Just("device.attributes['d']['e/a']".to_owned()),
        Just("device.attributes['d/e'].a".to_owned()),
        Just("device.attributes['d'].?a.orValue(1)".to_owned()),
        Just("has(device.attributes['d'].a)".to_owned()),
    ];
    let constant = prop_oneof![
        Just("'d'".to_owned()),
        Just("'x'".to_owned()),
        Just("true".to_owned()),
        Just("1u".to_owned()),
        Just("1.0".to_owned()),
        (0..3_i64).prop_map(|number| number.to_string()),
    ];
    let relation = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    (read, relation, constant, 0..3).prop_map(|(read, relation, constant, form)| match form {
        0 => format!("{read} {relation} {constant}"),
        1 => format!("{constant} {relation} {read}"),
        _ => format!("{read} in [{constant}, {constant}]"),
    })
}

fn expression() -> impl Strategy<Value = String> {
    comparison().prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} && {other})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} || {other})")),
            inner.prop_map(|negated| format!("!({negated})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_glance_sees_what_the_evaluation_says(
        text in expression(),
        attributes in prop::collection::btree_map("([de]/)?[abc]", value(), 0..6),
    ) {
        let Ok(program) = Compiler::new(Environment::default()).compile_selector(&text) else { return Ok(()) };
        if let Some(verdict) = program.matches_at_a_glance("d", &attributes) {
            let device = Device::new("d", &attributes, std::iter::empty(), false);
            prop_assert_eq!(program.matches(&device).ok(), Some(verdict), "{}", text);
        }
    }
}

#[test]
fn ordinary_selectors_need_no_evaluation() {
    let attributes: BTreeMap<String, AttributeValue> = [
        ("model".to_owned(), AttributeValue::String("A100".to_owned())),
        ("index".to_owned(), AttributeValue::Int(3)),
    ]
    .into();
    for (text, verdict) in [
        ("device.driver == 'gpu.example.com'", Some(true)),
        ("device.attributes['gpu.example.com'].model == 'A100'", Some(true)),
        (
            "device.attributes['gpu.example.com'].model in ['H100', 'A100'] && 3 <= device.attributes['gpu.example.com'].index",
            Some(true),
        ),
        (
            "device.attributes['gpu.example.com'].model != 'A100' || device.attributes['gpu.example.com'].index > 3",
            Some(false),
        ),
        // What is not there, or of another type, is an error or not, which the evaluation tells.
        ("device.attributes['gpu.example.com'].uuid == 'A100'", None),
        ("device.attributes['gpu.example.com'].index == 'A100'", None),
    ] {
        let program = Compiler::new(Environment::default()).compile_selector(text).expect("compiles");
        assert_eq!(program.matches_at_a_glance("gpu.example.com", &attributes), verdict, "{text}");
    }
}

#[test]
fn nesting_beyond_measure_is_left_to_the_evaluation() {
    let text = format!("{}device.driver == 'd'{}", "!(".repeat(100), ")".repeat(100));
    if let Ok(program) = Compiler::new(Environment::default()).compile_selector(&text) {
        assert_eq!(program.matches_at_a_glance("d", &BTreeMap::new()), None);
    }
}
