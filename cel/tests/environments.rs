//! What exists where: releases, stages and gates; and the estimates that upstream's own tests expect.

use drayage_cel::{Compiler, Environment, ExpressionStage, Program, Release, Type};

fn compile(environment: Environment, expression: &str) -> Result<Program, String> {
    Compiler::new(environment).compile_selector(expression).map_err(|error| error.to_string())
}

fn exists(release: Release, stage: ExpressionStage, expression: &str) -> bool {
    compile(Environment { release, stage, ..Environment::default() }, expression).is_ok()
}

#[test]
fn estimates_are_those_of_the_upstream_tests() {
    let expected: Vec<(String, u64)> =
        serde_json::from_str(include_str!("fixtures/upstream-estimates.json")).expect("the fixture is JSON");
    assert!(expected.len() > 40);
    let environment = Environment { list_type_attributes: true, ..Environment::default() };
    for (expression, estimate) in expected {
        let program =
            compile(environment, &expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        assert_eq!(program.cost_estimate().max, estimate, "{expression}");
    }
}

#[test]
fn new_expressions_see_the_libraries_of_the_release_before() {
    let extension = "[2, 1].sort() == [1, 2]";
    assert!(exists(Release::V1_34, ExpressionStage::Stored, extension));
    assert!(!exists(Release::V1_34, ExpressionStage::New, extension));
    assert!(exists(Release::V1_35, ExpressionStage::New, extension));
    let macro_of_it = "[2, 1].sortBy(x, x) == [1, 2]";
    assert!(!exists(Release::V1_34, ExpressionStage::New, macro_of_it));
    for older in ["semver(\"1.0.0\") == semver(\"1.0.0\")", "{\"a\": 1}.all(k, v, v == 1)", "isIP(\"::1\")"] {
        assert!(exists(Release::V1_34, ExpressionStage::New, older), "{older}");
    }
}

#[test]
fn includes_arrives_with_list_attributes() {
    let includes = r#"device.attributes["d"].names.includes("fish")"#;
    assert!(!exists(Release::V1_35, ExpressionStage::Stored, includes));
    assert!(exists(Release::V1_36, ExpressionStage::Stored, includes));
    assert!(!exists(Release::V1_36, ExpressionStage::New, includes));
    let gated =
        Environment { stage: ExpressionStage::New, list_type_attributes: true, ..Environment::default() };
    assert!(compile(gated, includes).is_ok());
    assert!(exists(Release::V1_37, ExpressionStage::Stored, includes));
}

#[test]
fn attributes_become_dynamic_with_lists() {
    let loop_over_attribute = r#"device.attributes["d"].names.exists(x, x == "fish")"#;
    for (release, lists, loops) in [
        (Release::V1_35, true, false),
        (Release::V1_36, false, false),
        (Release::V1_36, true, true),
        (Release::V1_37, false, true),
    ] {
        let environment = Environment { release, list_type_attributes: lists, ..Environment::default() };
        assert_eq!(compile(environment, loop_over_attribute).is_ok(), loops, "{release} {lists}");
    }
    let attribute = compile(Environment::default(), r#"device.attributes["d"].flag"#).expect("an attribute");
    assert_eq!(*attribute.output_type(), Type::Any);
}

#[test]
fn multiple_allocations_follow_the_gate_for_new_expressions() {
    let expression = "device.allowMultipleAllocations";
    let off = Environment { consumable_capacity: false, ..Environment::default() };
    assert!(compile(off, expression).is_ok());
    let new = Environment { stage: ExpressionStage::New, ..off };
    assert!(compile(new, expression).is_err_and(|error| error.contains("undefined field")));
}

#[test]
fn derived_attributes_are_scalars_versions_and_lists() {
    let compiler = Compiler::new(Environment::default());
    for good in
        ["1", "\"a\"", "true", "semver(\"1.0.0\")", "[1, 2]", "[\"a\"]", r#"device.attributes["d"].x"#]
    {
        assert!(compiler.compile_attribute(good).is_ok(), "{good}");
    }
    for bad in ["1.5", "quantity(\"1\")", "{\"a\": 1}", "[1.5]", "duration(\"1s\")", "device"] {
        assert!(compiler.compile_attribute(bad).is_err(), "{bad}");
    }
}

#[test]
fn errors_show_the_place() {
    let error = Compiler::new(Environment::default())
        .compile_selector("true &&\n  device.nope == 1")
        .expect_err("no such field");
    assert_eq!(error.to_string(), "2:9: undefined field 'nope'");
    assert_eq!(error.render(), "undefined field 'nope'\n2 |   device.nope == 1\n  |         ^");
    let place = error.problems()[0].place.as_ref().expect("a place");
    assert_eq!((place.offset, place.line, place.column), (16, 2, 9));
}

#[test]
fn places_count_characters_and_offsets_count_bytes() {
    let error =
        Compiler::new(Environment::default()).compile_selector("\"é😀\" == nope").expect_err("no such name");
    let place = error.problems()[0].place.as_ref().expect("a place");
    assert_eq!((place.offset, place.column), (12, 9));
    assert_eq!(error.render().lines().last(), Some("  |         ^"));

    let error =
        Compiler::new(Environment::default()).compile_selector("\"é😀\" == )").expect_err("no operand");
    let place = error.problems()[0].place.as_ref().expect("a place");
    assert_eq!((place.offset, place.column), (12, 9), "{error}");
}

#[test]
fn a_long_line_is_shown_around_the_place() {
    let expression = format!("{}device.nope == 1{}", "true && ".repeat(100), " && true".repeat(100));
    let error =
        Compiler::new(Environment::default()).compile_selector(&expression).expect_err("no such field");
    let rendered = error.render();
    let lines: Vec<&str> = rendered.lines().collect();
    assert!(lines[1].chars().count() < 140, "{rendered}");
    let caret = lines[2].chars().position(|c| c == '^').expect("a caret");
    assert_eq!(lines[1].chars().nth(caret), Some('.'));
}
