//! Expressions whose estimated cost is just below and just above the limit.
//!
//! The API server tells no cost, only whether it is too high. So expressions grow until ours is, and the last two are
//! sent: if the estimates differ, one of them is judged otherwise there.

use serde_json::{Value, json};

use crate::agreement::Sample;

/// Expressions of `size` parts.
type Family = (&'static str, fn(usize) -> String);

fn joined(size: usize, part: impl Fn(usize) -> String) -> String {
    (0..size).map(part).collect::<Vec<_>>().join(" && ")
}

fn within(size: usize, part: &str) -> String {
    format!("device.attributes.all(k, device.attributes[k].all(n, {}))", joined(size, |_| part.to_owned()))
}

const FAMILIES: [Family; 16] = [
    ("comparisons", |size| within(size, "k == n")),
    ("inequalities", |size| within(size, "k < n")),
    ("additions", |size| within(size, "k + n != \"x\"")),
    ("contains", |size| within(size, "k.contains(n)")),
    ("prefixes", |size| within(size, "k.startsWith(\"abcdefghijklmnopqrstuvwxyz\")")),
    ("patterns", |size| within(size, "k.matches(\"^[a-z]+$\")")),
    ("lower case", |size| within(size, "k.lowerAscii() != n")),
    ("splits", |size| within(size, "k.split(\".\").size() > 0")),
    ("replacements", |size| within(size, "k.replace(\"a\", \"b\") != n")),
    ("parts", |size| within(size, "k.substring(0, 1) != n")),
    ("sizes", |size| within(size, "size(k) > 0")),
    ("quantities", |size| within(size, "quantity(\"1Gi\").isGreaterThan(quantity(\"1Mi\"))")),
    ("versions", |size| within(size, "semver(\"1.2.3\").isLessThan(semver(\"2.0.0\"))")),
    ("lists", |size| within(size, "[k, n].exists(x, x == \"a\")")),
    ("membership", |size| within(size, "k in [\"a\", \"b\", \"c\"]")),
    ("nested", |size| {
        format!(
            "device.attributes.all(a, device.attributes.all(b, {}))",
            joined(size, |_| "a != b".to_owned())
        )
    }),
];

fn class(expression: &str) -> Value {
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "cost"},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    })
}

/// For each family the largest expression that is not refused, and the next one.
pub(crate) fn samples(refused: impl Fn(&Value) -> bool) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (name, family) in FAMILIES {
        // An expression may have 10 KiB.
        let fits = |size: usize| family(size).len() <= 10 * 1024;
        let (mut fine, mut bad) = (0, 1);
        while fits(bad) && !refused(&class(&family(bad))) {
            fine = bad;
            bad *= 2;
        }
        while bad - fine > 1 && (fine > 0 || bad > 1) {
            let middle = usize::midpoint(fine, bad);
            if fits(middle) && !refused(&class(&family(middle))) {
                fine = middle;
            } else {
                bad = middle;
            }
        }
        for size in [fine, bad] {
            if size > 0 && fits(size) {
                samples.push(Sample { from: format!("{name} {size}"), object: class(&family(size)) });
            }
        }
    }
    samples
}
