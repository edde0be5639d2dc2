//! Makes a case small.

use drayage_cel::Type;

use super::case::Case;
use super::tree::Expression;

/// Takes parts away as long as `fails` stays true.
pub fn shrink(case: Case, fails: &mut impl FnMut(&Case) -> bool) -> Case {
    let mut case = case;
    let mut tries = 3000;
    'again: loop {
        for candidate in smaller(&case) {
            tries -= 1;
            if tries == 0 {
                return case;
            }
            if fails(&candidate) {
                case = candidate;
                continue 'again;
            }
        }
        return case;
    }
}

fn smaller(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    let expression = &case.expression;
    let length = expression.len();
    let mut with = |changed: Expression| {
        if changed.text() != expression.text() {
            found.push(Case { expression: changed, ..case.clone() });
        }
    };
    // Parts in place of the whole, smallest first; then simple values in place of parts.
    let mut inner: Vec<&Expression> = (1..length).filter_map(|place| expression.at(place)).collect();
    inner.sort_by_key(|part| part.len());
    for part in inner {
        with(part.clone());
    }
    for place in 1..length {
        let Some(part) = expression.at(place) else { continue };
        for below in 1..part.len().min(12) {
            if let Some(inner) = part.at(below) {
                with(expression.with(place, inner));
            }
        }
        for simple in simple(&part.type_) {
            if simple.len() < part.len() || simple.text().len() < part.text().len() {
                with(expression.with(place, &simple));
            }
        }
    }
    for name in case.device.attributes.keys() {
        let mut smaller = case.clone();
        smaller.device.attributes.remove(name);
        found.push(smaller);
    }
    for name in case.device.capacity.keys() {
        let mut smaller = case.clone();
        smaller.device.capacity.remove(name);
        found.push(smaller);
    }
    if case.limit.is_some() {
        found.push(Case { limit: None, ..case.clone() });
    }
    found
}

fn simple(type_: &Type) -> Vec<Expression> {
    let texts: &[&str] = match type_ {
        Type::Bool => &["true", "false"],
        Type::Int => &["1", "0"],
        Type::Uint => &["1u"],
        Type::Double => &["1.0"],
        Type::String => &["\"\"", "\"a\""],
        Type::Bytes => &["b\"\""],
        Type::Null => &["null"],
        Type::List(_) => &["[]"],
        Type::Map(..) => &["{}"],
        Type::Optional(_) => &["optional.none()"],
        Type::Duration => &["duration(\"1s\")"],
        Type::Timestamp => &["timestamp(0)"],
        Type::Object("kubernetes.Quantity") => &["quantity(\"1\")"],
        Type::Object("kubernetes.Semver") => &["semver(\"1.0.0\")"],
        Type::Dyn => &["dyn(1)", "dyn(\"a\")"],
        _ => &[],
    };
    texts.iter().map(|text| Expression::leaf(*text, type_.clone())).collect()
}
