//! Expressions made to hurt: each gets an answer or an error on a small stack, with little memory.

use std::collections::BTreeMap;

use drayage_cel::{AttributeValue, Compiler, Device, Environment, EvaluationError};
use proptest::prelude::*;

fn device() -> Device {
    let attributes = BTreeMap::from([
        ("model".to_owned(), AttributeValue::String("A100".to_owned())),
        ("memory".to_owned(), AttributeValue::Int(80)),
    ]);
    Device::new("gpu.example.com", &attributes, std::iter::empty(), false)
}

/// Compiles and, if that works, evaluates on a thread with 2 MiB of stack, as a server's worker has.
fn run(expression: String) -> Result<bool, String> {
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || {
            let program = Compiler::new(Environment::default())
                .compile_selector(&expression)
                .map_err(|error| error.render())?;
            let copy = program.clone();
            let result = copy.matches(&device()).map_err(|error| error.to_string());
            drop(copy);
            drop(program);
            result
        })
        .expect("the thread starts")
        .join()
        .expect("no panic")
}

fn bracketed(open: &str, inner: &str, close: &str, depth: usize) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn deep_nesting_is_an_error() {
    for expression in [
        bracketed("(", "true", ")", 5000),
        bracketed("[", "", "]", 5000),
        "(".repeat(10_000),
        "[".repeat(10_000),
        "{".repeat(10_000),
        bracketed("{1:", "1", "}", 2000),
        bracketed("f(", "1", ")", 3000),
        bracketed("!(", "true", ")", 3000),
        bracketed("[1].all(x,", "true", ")", 900),
        format!("device{}", ".a".repeat(5000)),
        format!("device{}", ".?a".repeat(3000)),
        format!("[[1]]{}", "[0]".repeat(3000)),
        format!("1{} > 0", " + 1".repeat(2000)),
        format!("1{} > 0", "-1".repeat(5000)),
        format!("true{}", " == true".repeat(1200)),
        format!("\"a\"{}", ".size()".repeat(1400)),
        format!("optional.of(1){}.hasValue()", ".optMap(x,x)".repeat(800)),
        format!("device.driver{} == \"\"", ".optMap(x, x)".repeat(20)),
    ] {
        assert!(expression.len() <= 10_240 + 10, "{}", expression.len());
        let result = run(expression.clone());
        assert!(result.is_err(), "{}… gave {result:?}", &expression[..30]);
    }
}

#[test]
fn wide_expressions_are_answered() {
    for (expression, expected) in [
        (format!("{}true", "true && ".repeat(1200)), true),
        (format!("{}false", "false || ".repeat(1100)), false),
        (format!("{}true", "!".repeat(10_000)), true),
        (format!("{}false", "true ? true : ".repeat(200)), true),
        (format!("[{}1].size() > 0", "1,".repeat(5000)), true),
        (bracketed("(", "true", ")", 40), true),
        (format!("1{} > 0", " + 1".repeat(200)), true),
    ] {
        assert_eq!(run(expression.clone()), Ok(expected), "{}…", &expression[..30]);
    }
}

#[test]
fn text_over_the_limit_is_refused_unread() {
    let error = run(" ".repeat(10_241)).expect_err("too long");
    assert!(error.contains("10241 bytes"), "{error}");
}

#[test]
fn strings_that_double_stop_at_the_size_limit() {
    // At 4 MiB, a little before the cost limit would end it.
    let mut expression = "x20.size() > 0".to_owned();
    for step in (1..=20).rev() {
        expression = format!("cel.bind(x{step}, x{0} + x{0}, {expression})", step - 1);
    }
    let expression = format!("cel.bind(x0, \"{}\", {expression})", "y".repeat(64));
    assert_eq!(run(expression), Err(EvaluationError::TooLarge.to_string()));
}

#[test]
fn lists_that_double_stop_at_the_size_limit() {
    // Concatenating lists costs next to nothing by upstream's rules, whatever they hold.
    for (start, grow) in [("[1]", "x + x"), ("[1]", "[x, x]"), ("{\"a\": 1}", "{\"a\": x, \"b\": x}")] {
        let mut expression = "x40 == x40".to_owned();
        for step in (1..=40).rev() {
            let value = grow.replace('x', &format!("x{}", step - 1));
            expression = format!("cel.bind(x{step}, dyn({value}), {expression})");
        }
        let expression = format!("cel.bind(x0, dyn({start}), {expression})");
        assert_eq!(run(expression), Err(EvaluationError::TooLarge.to_string()), "{grow}");
    }
}

#[test]
fn types_that_double_are_refused() {
    let mut expression = "true".to_owned();
    for step in (1..=60).rev() {
        expression = format!("cel.bind(x{step}, {{x{0}: x{0}}}, {expression})", step - 1);
    }
    let result = run(format!("cel.bind(x0, {{1: 1}}, {expression})"));
    assert!(result.as_ref().is_err_and(|error| error.contains("too complex")), "{result:?}");
}

#[test]
fn loops_stop_at_the_cost_limit() {
    let mut expression = "true".to_owned();
    for variable in ["a", "b", "c", "d", "e", "f", "g"] {
        expression = format!("[0,1,2,3,4,5,6,7,8,9].all({variable}, {expression})");
    }
    assert_eq!(run(expression), Err(EvaluationError::CostLimitExceeded.to_string()));
}

/// Pieces of which random expressions are made.
const PIECES: [&str; 48] = [
    "device",
    ".driver",
    ".attributes",
    "[\"gpu.example.com\"]",
    ".model",
    ".capacity",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "?",
    ".?x",
    "[?",
    " && ",
    " || ",
    "!",
    " == ",
    " < ",
    " + ",
    " - ",
    " * ",
    " / ",
    " % ",
    " in ",
    "1",
    "2.5",
    "3u",
    "\"a\"",
    "b'c'",
    "true",
    "null",
    "x",
    "[1, 2].map(x, ",
    ".exists(x, ",
    "cel.bind(x, ",
    "has(",
    ".size()",
    ".optMap(x, ",
    "quantity(\"1Gi\")",
    "semver(\"1.0.0\")",
    "duration(\"1s\")",
    "dyn(",
    "\u{e9}",
    "\\",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_pieces_never_panic(picks in prop::collection::vec(0..PIECES.len(), 1..40)) {
        let expression: String = picks.into_iter().map(|pick| PIECES[pick]).collect();
        let _outcome = run(expression);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _outcome = run(String::from_utf8_lossy(&bytes).into_owned());
    }

    #[test]
    fn mutated_selectors_never_panic(at in 0_usize..120, with in 0..PIECES.len(), cut in 0_usize..8) {
        let selector = r#"device.attributes["gpu.example.com"].model.startsWith("A") && [1, 2].exists(x, x + 1 == 3)"#;
        let start = at.min(selector.len());
        let end = (start + cut).min(selector.len());
        let _outcome = run(format!("{}{}{}", &selector[..start], PIECES[with], &selector[end..]));
    }
}

/// Where upstream's code panics the evaluation ends, and neither `&&` nor `||` absorbs that.
#[test]
fn panics_of_upstream_end_the_evaluation() {
    for expression in [
        "[semver(device.driver)].distinct().size() == 1 || true",
        "[int(device.driver)].sort() == [1] || true",
        "[1, 2].sortBy(x, x / 0) == [1] || true",
        "[1].flatten(int(device.driver)) == [1] || true",
        "{semver('1.0.0'): 1}.size() == 1 || true",
        "[1, 2].exists(x, x == 2 || [int(device.driver)].sort().size() == 1)",
    ] {
        let result = run(expression.to_owned());
        assert!(
            result.as_ref().is_err_and(|error| error.starts_with("internal error: ")),
            "{expression}: {result:?}"
        );
    }
    assert_eq!(run("true || [int(device.driver)].sort().size() == 1".to_owned()), Ok(true));
    assert_eq!(run("[semver(device.driver)].reverse().size() == 1 || true".to_owned()), Ok(true));
}
