//! Tests of quantities: against recorded answers of upstream, and properties.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use proptest::prelude::*;
use serde_json::Value;

use super::{Quantity, QuantityFormat};

/// Answers of `k8s.io/apimachinery` v0.36.3, one JSON object a line: of single texts (`text`), and of pairs
/// (`left`, `right`).
const RECORDED: &str = include_str!("../../tests/fixtures/quantity-1.36.3.jsonl");

fn quantity(text: &str) -> Quantity {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn float(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse().expect("recorded floats are floats"),
    }
}

fn same_float(left: f64, right: f64) -> bool {
    left.to_bits() == right.to_bits() || left.is_nan() && right.is_nan()
}

fn format_name(quantity: &Quantity) -> &'static str {
    match quantity.format() {
        QuantityFormat::DecimalExponent => "DecimalExponent",
        QuantityFormat::BinarySI => "BinarySI",
        QuantityFormat::DecimalSI => "DecimalSI",
    }
}

fn differences_of_text(line: &Value) -> Vec<String> {
    let text = line["text"].as_str().expect("a text");
    let refused = line["error"].as_bool().unwrap_or(false);
    let Ok(parsed) = text.parse::<Quantity>() else {
        return if refused { vec![] } else { vec![format!("`{text}` is refused")] };
    };
    if refused {
        return vec![format!("`{text}` is accepted as {parsed}")];
    }
    let mut differences = vec![];
    let mut expect = |what: &str, got: String, good: bool| {
        if !good {
            differences.push(format!("`{text}`: {what} is {got}, recorded {line}"));
        }
    };
    expect("string", parsed.to_string(), line["string"] == parsed.to_string());
    expect("value", parsed.value().to_string(), line["value"] == parsed.value());
    expect("milli", parsed.milli_value().to_string(), line["milli"] == parsed.milli_value());
    expect("integer", format!("{:?}", parsed.as_integer()), line["integer"].as_i64() == parsed.as_integer());
    let recorded = float(line["float"].as_str().expect("a float"));
    let ours = parsed.as_approximate_float();
    expect("float", ours.to_string(), same_float(recorded, ours));
    expect("format", format_name(&parsed).to_owned(), line["format"] == format_name(&parsed));
    expect("negated", parsed.negated().to_string(), line["negated"] == parsed.negated().to_string());
    differences
}

fn differences_of_pair(line: &Value) -> Vec<String> {
    let left = quantity(line["left"].as_str().expect("a text"));
    let right = quantity(line["right"].as_str().expect("a text"));
    let sum = left.checked_add(&right).expect("recorded sums are small enough");
    let difference = left.checked_sub(&right).expect("recorded differences are small enough");
    let mut differences = vec![];
    let mut expect = |what: &str, got: String, good: bool| {
        if !good {
            differences.push(format!("{what} is {got}, recorded {line}"));
        }
    };
    let order = left.cmp(&right) as i64;
    expect("order", order.to_string(), line["compare"] == order);
    expect("sum", sum.to_string(), line["sum"] == sum.to_string());
    expect("sum format", format_name(&sum).to_owned(), line["sumFormat"] == format_name(&sum));
    expect("sum integer", format!("{:?}", sum.as_integer()), line["sumInteger"].as_i64() == sum.as_integer());
    let recorded = float(line["sumFloat"].as_str().expect("a float"));
    let ours = sum.as_approximate_float();
    expect("sum float", ours.to_string(), same_float(recorded, ours));
    expect("difference", difference.to_string(), line["difference"] == difference.to_string());
    expect(
        "difference format",
        format_name(&difference).to_owned(),
        line["differenceFormat"] == format_name(&difference),
    );
    expect(
        "difference integer",
        format!("{:?}", difference.as_integer()),
        line["differenceInteger"].as_i64() == difference.as_integer(),
    );
    differences
}

#[test]
fn recorded_answers_of_upstream_agree() {
    let mut differences = vec![];
    let mut lines = 0;
    for line in RECORDED.lines() {
        let line: Value = serde_json::from_str(line).expect("the fixture is JSON");
        lines += 1;
        differences.extend(if line.get("text").is_some() {
            differences_of_text(&line)
        } else {
            differences_of_pair(&line)
        });
    }
    assert!(lines > 300, "the fixture has only {lines} lines");
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn hostile_exponents_are_cheap() {
    let huge = quantity("1e999999999");
    let huge_exact = quantity("1234567890123456789012e999999999");
    let tiny = quantity("1e-999999999");
    assert_eq!(tiny, quantity("1n"));
    assert!(huge > quantity("1Ei") && huge < huge_exact && huge.negated() < tiny.negated());
    assert_eq!(huge.to_string(), "1e999999999");
    assert!(huge_exact.to_string().ends_with("e999999999"));
    assert_eq!(huge.checked_add(&tiny), None);
    assert_eq!(huge.checked_sub(&huge), Some(Quantity::ZERO));
    assert_eq!((huge.value(), huge.as_integer()), (0, None));
    assert!(huge_exact.as_approximate_float().is_infinite());
    let _ = (huge_exact.value(), huge_exact.milli_value(), hash(&huge_exact));
    let long = "9".repeat(19_000);
    assert!(quantity(&format!("-{long}")) < quantity(&long));
    assert!("9".repeat(20_001).parse::<Quantity>().is_err());
}

#[test]
fn least_integer_keeps_its_value_when_negated() {
    let least = quantity("-9223372036854775807").checked_sub(&quantity("1")).expect("a small number");
    let small = Quantity::from_integer(i64::MIN, QuantityFormat::DecimalSI);
    assert_eq!(least, small);
    assert_eq!(small.negated().to_string(), "9223372036854775808");
    assert_eq!(small.checked_sub(&small), Some(Quantity::ZERO));
}

#[test]
fn same_number_may_have_another_representation() {
    let (left, right) = (quantity("1Ki"), quantity("1024"));
    assert_eq!(left, right);
    assert!(!left.same_representation(&right) && left.same_representation(&left.clone()));
}

#[test]
fn go_tells_a_computed_quantity_from_one_that_was_read() {
    let computed = |value| Quantity::from_integer(value, QuantityFormat::DecimalSI);
    assert!(!computed(4).is_equal_in_go(&quantity("4")) && computed(4).is_equal_in_go(&computed(4)));
    // Texts that end in three zeros are not kept.
    assert!(computed(1000).is_equal_in_go(&quantity("1000")));
    let exact = quantity("1.5Gi");
    assert!(exact.is_arbitrary_precision() && exact.same_representation(&exact));
    assert!(!exact.is_equal_in_go(&exact));
    assert!(!quantity("4").into_arbitrary_precision().is_equal_in_go(&quantity("4")));
    assert_eq!(quantity("4").into_arbitrary_precision(), quantity("4"));
}

fn hash(quantity: &Quantity) -> u64 {
    let mut hasher = DefaultHasher::new();
    quantity.hash(&mut hasher);
    hasher.finish()
}

fn suffix() -> impl Strategy<Value = String> {
    let fixed = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    prop_oneof![prop::sample::select(fixed.to_vec()).prop_map(str::to_owned), "[eE][+-]?[0-9]{1,2}"]
}

fn any_quantity() -> impl Strategy<Value = Quantity> {
    let number = prop_oneof!["[+-]?[0-9]{1,6}", "[+-]?[0-9]{0,20}[.][0-9]{1,12}", "[+-]?[1-9][0]{0,20}"];
    (number, suffix()).prop_map(|(number, suffix)| quantity(&format!("{number}{suffix}")))
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[-+.eEinumkKMGTP0-9 é]{0,16}") {
        if let Ok(parsed) = text.parse::<Quantity>() {
            let _ = (parsed.to_string(), parsed.value(), parsed.milli_value(), parsed.as_approximate_float());
        }
    }

    #[test]
    fn order_is_total_and_agrees_with_difference(left in any_quantity(), right in any_quantity()) {
        let difference = left.checked_sub(&right).expect("small exponents");
        prop_assert_eq!(left.cmp(&right) as i32, difference.sign());
        prop_assert_eq!(left.cmp(&right), right.cmp(&left).reverse());
        if left == right {
            prop_assert_eq!(hash(&left), hash(&right));
        }
    }

    #[test]
    fn subtraction_undoes_addition(left in any_quantity(), right in any_quantity()) {
        let sum = left.checked_add(&right).expect("small exponents");
        prop_assert_eq!(&sum, &right.checked_add(&left).expect("small exponents"));
        let back = sum.checked_sub(&right).expect("small exponents");
        prop_assert_eq!(hash(&back), hash(&left));
        prop_assert_eq!(back, left);
    }

    #[test]
    fn canonical_text_reads_back(quantity in any_quantity()) {
        let limit = Quantity::from_integer(i64::MAX, QuantityFormat::DecimalSI);
        // Above, upstream has no suffix for some sizes and leaves it out.
        prop_assume!(quantity <= limit && quantity.negated() <= limit);
        let text = quantity.to_string();
        prop_assert_eq!(text.parse(), Ok(quantity), "{}", text);
    }

    #[test]
    fn nano_units_keep_order_and_sums(left in any_quantity(), right in any_quantity()) {
        if let (Some(left_units), Some(right_units)) = (left.nano_units(), right.nano_units()) {
            prop_assert_eq!(left.cmp(&right), left_units.cmp(&right_units));
            let sum = left.checked_add(&right).and_then(|sum| sum.nano_units());
            prop_assert_eq!(sum, left_units.checked_add(right_units));
        }
    }

    #[test]
    fn value_is_the_next_integer_away_from_zero(quantity in any_quantity()) {
        let integer = |value| Quantity::from_integer(value, QuantityFormat::DecimalSI);
        prop_assume!(quantity >= Quantity::ZERO && quantity <= integer(i64::MAX));
        let value = quantity.value();
        prop_assert!(integer(value) >= quantity);
        prop_assert!(value == 0 || integer(value - 1) < quantity);
    }
}
