//! What an expression reads of a device, and that nothing else matters.

use std::collections::BTreeMap;

use drayage_cel::{AttributeValue, Compiler, Device, Environment, Program, Reads, References};
use proptest::prelude::*;

const SELECTORS: [&str; 14] = [
    r#"device.driver == "d""#,
    r#"device.attributes["d"].a == 1"#,
    r#"device.attributes["d"].a == 1 || device.attributes["e"].b"#,
    r#"device.attributes["d"].?a.orValue(2) == 2"#,
    r#"device.attributes[?"d"].?a.hasValue()"#,
    r#"has(device.attributes["d"].a) && !has(device.attributes["e"].c)"#,
    r#""a" in device.attributes["d"]"#,
    r#"cel.bind(x, device.attributes["d"], x.a == 1 && has(x.b))"#,
    r#"cel.bind(x, device.attributes, cel.bind(y, x["e"], y.c == 3))"#,
    r#"(device.allowMultipleAllocations ? device.attributes["d"] : device.attributes["e"]).a == 1"#,
    r#"["a", "b"].all(n, n in device.attributes["e"])"#,
    r#"device.attributes["d"].exists(n, n == "c")"#,
    r#"device.attributes.exists(n, n == "e")"#,
    r#"device.capacity["d"].m.isGreaterThan(quantity("1"))"#,
];

fn compile(expression: &str) -> Program {
    Compiler::new(Environment::default()).compile_selector(expression).expect("compiles")
}

fn reads(expression: &str) -> Option<Reads> {
    match compile(expression).references() {
        References::Everything => None,
        References::Only(reads) => Some(reads.as_ref().clone()),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> std::collections::BTreeSet<(String, String)> {
    pairs.iter().map(|(domain, id)| ((*domain).to_owned(), (*id).to_owned())).collect()
}

#[test]
fn single_attributes_are_followed_through_variables() {
    assert_eq!(
        reads(r#"cel.bind(x, device.attributes["d"], x.a == 1 && has(x.b)) && device.driver == "d""#),
        Some(Reads { driver: true, attributes: pairs(&[("d", "a"), ("d", "b")]), ..Reads::default() })
    );
    assert_eq!(
        reads(r#"device.attributes[?"d"].?a.hasValue() && device.capacity["e"]["m"] == quantity("1")"#),
        Some(Reads { attributes: pairs(&[("d", "a")]), capacity: pairs(&[("e", "m")]), ..Reads::default() })
    );
    assert_eq!(reads("true"), Some(Reads::default()));
}

#[test]
fn loops_read_the_whole_domain_or_everything() {
    assert_eq!(
        reads(r#"device.attributes["d"].exists(n, n == "c")"#).map(|reads| reads.attribute_domains),
        Some(["d".to_owned()].into())
    );
    assert_eq!(reads(r#"device.attributes.exists(n, n == "e")"#), None);
    assert_eq!(reads("cel.bind(x, device, x.driver == \"d\")").map(|reads| reads.driver), Some(true));
    assert_eq!(reads("device == device"), None);
    assert_eq!(reads("device.attributes[device.driver].a == 1"), None);
}

/// Values by domain and identifier, for three domains with three identifiers each.
type Values = BTreeMap<(usize, usize), i64>;

const DOMAINS: [&str; 3] = ["d", "e", "f"];
const IDS: [&str; 3] = ["a", "b", "c"];

fn device(values: &Values, shared: bool, memory: u8) -> Device {
    let attributes = values
        .iter()
        .map(|((domain, id), value)| {
            (format!("{}/{}", DOMAINS[*domain], IDS[*id]), AttributeValue::Int(*value))
        })
        .collect();
    let memory = memory.to_string().parse().expect("a quantity");
    Device::new("d", &attributes, [("m", &memory)].into_iter(), shared)
}

fn values() -> impl Strategy<Value = Values> {
    prop::collection::btree_map((0..3_usize, 0..3_usize), 0..4_i64, 0..9)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_not_read_does_not_matter(
        selector in 0..SELECTORS.len(),
        first in values(),
        other in values(),
        shared in any::<(bool, bool)>(),
        memory in any::<(u8, u8)>(),
    ) {
        let program = compile(SELECTORS[selector]);
        let References::Only(reads) = program.references() else { return Ok(()) };
        // The second device agrees with the first in what is read and is the other one elsewhere.
        let is_read = |(domain, id): &(usize, usize)| {
            let (domain, id) = (DOMAINS[*domain].to_owned(), IDS[*id].to_owned());
            reads.attribute_domains.contains(&domain) || reads.attributes.contains(&(domain, id))
        };
        let second: Values = first
            .iter()
            .filter(|(key, _)| is_read(key))
            .chain(other.iter().filter(|(key, _)| !is_read(key)))
            .map(|(key, value)| (*key, *value))
            .collect();
        let second_shared = if reads.allow_multiple_allocations { shared.0 } else { shared.1 };
        let second_memory = if reads.capacity.is_empty() { memory.1 } else { memory.0 };
        let one = program.evaluate(&device(&first, shared.0, memory.0));
        let two = program.evaluate(&device(&second, second_shared, second_memory));
        prop_assert_eq!(one.value, two.value);
        prop_assert_eq!(one.cost, two.cost);
    }
}
