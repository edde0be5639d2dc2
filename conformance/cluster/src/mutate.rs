//! One random change to an object.

use serde_json::{Value, json};

use crate::agreement::Sample;
use crate::generators::Numbers;

/// Objects with one change each, made from `samples` in turn.
pub(crate) fn mutants(samples: &[Sample], count: usize) -> Vec<Sample> {
    let mut numbers = Numbers(6);
    let mut made = Vec::with_capacity(count);
    while made.len() < count && !samples.is_empty() {
        let sample = &samples[below(&mut numbers, samples.len())];
        let mut object = sample.object.clone();
        let mut paths = Vec::new();
        gather(&object["spec"], "/spec", &mut paths);
        if paths.is_empty() {
            continue;
        }
        let path = &paths[below(&mut numbers, paths.len())];
        if let Some(change) = change(&mut numbers, &mut object, path) {
            made.push(Sample { from: format!("{}: {path} {change}", sample.from), object });
        }
    }
    made
}

fn below(numbers: &mut Numbers, bound: usize) -> usize {
    usize::try_from(numbers.below(bound as u64)).unwrap_or(0)
}

/// Pointers to everything within a value. What opaque parameters say is nobody's business.
fn gather(value: &Value, at: &str, paths: &mut Vec<String>) {
    paths.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| *name != "parameters") {
                gather(value, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), paths);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                gather(item, &format!("{at}/{index}"), paths);
            }
        }
        _ => {}
    }
}

const TEXTS: [&str; 12] = ["", "A", "a b", "-a", "a.b", "a/b", "a/b/c", "Exists", "All", "0", "1.2", "ж"];

/// Changes what is at a path; says how.
fn change(numbers: &mut Numbers, object: &mut Value, path: &str) -> Option<String> {
    let (parent, key) = path.rsplit_once('/')?;
    if numbers.chance(20) {
        // Left out.
        match object.pointer_mut(parent)? {
            Value::Object(fields) => drop(fields.remove(&key.replace("~1", "/").replace("~0", "~"))?),
            Value::Array(items) => drop(items.remove(key.parse().ok()?)),
            _ => return None,
        }
        return Some("left out".to_owned());
    }
    let value = object.pointer_mut(path)?;
    let new = match value {
        Value::Object(fields) => match numbers.below(3) {
            0 => json!({}),
            1 => {
                let name = if numbers.chance(50) { "unknown" } else { "Name" };
                fields.insert(name.to_owned(), "a".into());
                return Some(format!("with `{name}`"));
            }
            _ => {
                // Another name for one of the entries.
                let name = fields.keys().next()?.clone();
                let entry = fields.remove(&name)?;
                let new = TEXTS[below(numbers, TEXTS.len())];
                fields.insert(new.to_owned(), entry);
                return Some(format!("with `{new}` for `{name}`"));
            }
        },
        Value::Array(items) => match numbers.below(3) {
            0 => json!([]),
            1 => {
                let first = items.first()?.clone();
                items.push(first);
                return Some("with the first again".to_owned());
            }
            _ => {
                let first = items.first()?.clone();
                let count = [9, 17, 33, 65, 129][below(numbers, 5)];
                items.resize(count.max(items.len()), first.clone());
                for (index, item) in items.iter_mut().enumerate() {
                    if item["name"].is_string() {
                        item["name"] = format!("n{index}").into();
                    }
                }
                return Some(format!("{count} times"));
            }
        },
        Value::Number(_) => {
            [json!(0), json!(-1), json!(1), json!(2), json!(1_000_000), json!("1")][below(numbers, 6)].clone()
        }
        Value::Bool(value) => json!(!*value),
        Value::String(text) => match numbers.below(4) {
            0 => "a".repeat([33, 64, 65, 254, 300][below(numbers, 5)]).into(),
            1 => text.to_uppercase().into(),
            2 => format!("{text}{text}").into(),
            _ => TEXTS[below(numbers, TEXTS.len())].into(),
        },
        Value::Null => return None,
    };
    if *value == new {
        return None;
    }
    let said = format!("is {}", new.to_string().chars().take(40).collect::<String>());
    *value = new;
    Some(said)
}
