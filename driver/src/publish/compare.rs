//! Whether two specifications of slices mean the same, and what a server left out of one.

use drayage_allocator::objects::Quantity;
use serde_json::{Map, Value};

use super::digest::Digest;
use crate::devices::Fields;

/// A specification, with what most comparisons need of it.
#[derive(Clone, Debug)]
pub(super) struct Specification {
    pub(super) fields: Fields,
    pub(super) digest: Option<Digest>,
}

impl Specification {
    pub(super) fn new(fields: Fields) -> Self {
        Self { digest: Digest::of(fields.text()), fields }
    }

    /// See [`same`].
    pub(super) fn says(&self, other: &Self) -> bool {
        match (self.digest, other.digest) {
            (Some(one), Some(other)) => one == other,
            _ => same(&self.fields.map(), &other.fields.map()),
        }
    }
}

/// Whether a server has what was wanted. Servers write quantities in their own way, leave out what is empty, and give
/// taints a time in whole seconds where there is none.
pub(super) fn same(wanted: &Map<String, Value>, found: &Map<String, Value>) -> bool {
    same_fields(wanted, found, "")
}

fn same_fields(wanted: &Map<String, Value>, found: &Map<String, Value>, inside: &str) -> bool {
    let keys = |one: &Map<String, Value>, other: &Map<String, Value>| {
        one.iter().all(|(key, value)| {
            other.contains_key(key) || is_empty(value) || (inside == "taints" && key == "timeAdded")
        })
    };
    keys(wanted, found)
        && keys(found, wanted)
        && wanted.iter().filter_map(|(key, value)| Some((key, value, found.get(key)?))).all(
            |(key, wanted, found)| {
                same_value(wanted, found, if inside.is_empty() { key } else { deeper(inside, key) })
            },
        )
}

/// The part of a specification that a value is in: the outermost one that has rules of its own.
fn deeper<'a>(inside: &'a str, key: &'a str) -> &'a str {
    if matches!(inside, "capacity" | "counters" | "taints") { inside } else { key }
}

fn same_value(wanted: &Value, found: &Value, inside: &str) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => same_fields(wanted, found, inside),
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len()
                && wanted.iter().zip(found).all(|(wanted, found)| same_value(wanted, found, inside))
        }
        _ if is_empty(wanted) && is_empty(found) => true,
        // `2026-01-02T03:04:05.6Z` against `2026-01-02T03:04:05Z`.
        (Value::String(wanted), Value::String(found)) if wanted != found && inside == "taints" => {
            wanted.get(..19).is_some_and(|begin| begin.contains('T') && found.get(..19) == Some(begin))
        }
        _ => {
            wanted == found
                || amount(wanted, inside).is_some_and(|wanted| amount(found, inside) == Some(wanted))
        }
    }
}

/// A quantity, where there may be one. Capacities may be written as numbers.
fn amount(value: &Value, inside: &str) -> Option<Quantity> {
    match (value, inside) {
        (Value::String(text), "capacity" | "counters") => text.parse().ok(),
        (Value::Number(number), "capacity") => number.to_string().parse().ok(),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Number(_) => false,
    }
}

/// Fields that were sent and did not come back: their gate is off or the server is older than they are. Each is named
/// once, without the indices of lists.
pub(super) fn dropped(sent: &Map<String, Value>, found: &Map<String, Value>) -> Vec<String> {
    let mut paths = Vec::new();
    dropped_fields(sent, found, "spec", &mut paths);
    paths.sort();
    paths.dedup();
    paths
}

fn dropped_fields(sent: &Map<String, Value>, found: &Map<String, Value>, at: &str, paths: &mut Vec<String>) {
    for (key, sent) in sent {
        let path = format!("{at}.{key}");
        match found.get(key) {
            None if is_empty(sent) => {}
            None => paths.push(path),
            Some(found) => dropped_values(sent, found, &path, paths),
        }
    }
}

fn dropped_values(sent: &Value, found: &Value, at: &str, paths: &mut Vec<String>) {
    match (sent, found) {
        (Value::Object(sent), Value::Object(found)) => dropped_fields(sent, found, at, paths),
        (Value::Array(sent), Value::Array(found)) => {
            for (sent, found) in sent.iter().zip(found) {
                dropped_values(sent, found, &format!("{at}[]"), paths);
            }
        }
        _ => {}
    }
}

/// What is wanted, with taints given the time that the server has for them already: without it every write would start it
/// anew, and with it the patience of pods that tolerate a taint for a while. None if the server has no times.
pub(super) fn keep_times(wanted: &Fields, found: &Fields) -> Option<Fields> {
    if !found.text().contains("\"timeAdded\"") {
        return None;
    }
    let mut wanted = wanted.map();
    keep_times_of_devices(&mut wanted, &found.map());
    Some(wanted.into())
}

fn keep_times_of_devices(wanted: &mut Map<String, Value>, found: &Map<String, Value>) {
    let devices = |spec: &Map<String, Value>| spec.get("devices").and_then(Value::as_array).cloned();
    let found = devices(found).unwrap_or_default();
    let wanted = wanted.get_mut("devices").and_then(Value::as_array_mut);
    for device in wanted.into_iter().flatten() {
        let Some(before) = found.iter().find(|before| before["name"] == device["name"]) else { continue };
        let before = before["taints"].as_array().cloned().unwrap_or_default();
        let taints = device.get_mut("taints").and_then(Value::as_array_mut);
        for taint in taints.into_iter().flatten().filter_map(Value::as_object_mut) {
            let is_it = |other: &&Value| {
                ["key", "value", "effect"].iter().all(|key| {
                    other.get(key).filter(|value| !is_empty(value))
                        == taint.get(*key).filter(|value| !is_empty(value))
                })
            };
            let time = before.iter().find(is_it).and_then(|other| other.get("timeAdded")).cloned();
            if let (false, Some(time)) = (taint.contains_key("timeAdded"), time) {
                taint.insert("timeAdded".to_owned(), time);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(value: Value) -> Map<String, Value> {
        let Value::Object(fields) = value else { panic!("an object") };
        fields
    }

    fn device(fields: &Value) -> Map<String, Value> {
        spec(json!({ "devices": [fields] }))
    }

    #[test]
    fn what_servers_write_in_their_own_way_is_the_same() {
        for (wanted, found) in [
            (json!({"capacity": {"m": {"value": "1024Mi"}}}), json!({"capacity": {"m": {"value": "1Gi"}}})),
            (json!({"capacity": {"m": {"value": 4}}}), json!({"capacity": {"m": {"value": "4"}}})),
            (
                json!({"consumesCounters": [{"counterSet": "a", "counters": {"b": {"value": "0.5"}}}]}),
                json!({"consumesCounters": [{"counterSet": "a", "counters": {"b": {"value": "500m"}}}]}),
            ),
            (json!({"allNodes": false, "taints": [], "attributes": {}}), json!({})),
            (
                json!({"taints": [{"key": "a", "effect": "NoSchedule"}]}),
                json!({"taints": [{"key": "a", "effect": "NoSchedule", "timeAdded": "2026-01-02T03:04:05Z"}]}),
            ),
            (
                json!({"taints": [{"timeAdded": "2026-01-02T03:04:05.678Z"}]}),
                json!({"taints": [{"timeAdded": "2026-01-02T03:04:05Z"}]}),
            ),
        ] {
            assert!(same(&device(&wanted), &device(&found)), "{wanted} {found}");
        }
    }

    #[test]
    fn what_differs_is_not_the_same() {
        for (wanted, found) in [
            (
                json!({"attributes": {"m": {"string": "1024Mi"}}}),
                json!({"attributes": {"m": {"string": "1Gi"}}}),
            ),
            (json!({"capacity": {"m": {"value": "1"}}}), json!({"capacity": {"m": {"value": "2"}}})),
            (json!({"attributes": {"a": {"int": 0}}}), json!({"attributes": {}})),
            (json!({}), json!({"attributes": {"a": {"int": 0}}})),
            (json!({"taints": [{"key": "a"}]}), json!({"taints": [{"key": "b"}]})),
            (json!({"name": "a"}), json!({"name": "b"})),
        ] {
            assert!(!same(&device(&wanted), &device(&found)), "{wanted} {found}");
        }
        assert!(!same(&spec(json!({"devices": [{"name": "a"}]})), &spec(json!({"devices": []}))));
    }

    #[test]
    fn dropped_fields_are_named_once() {
        let sent = spec(json!({"devices": [
            {"name": "a", "taints": [{"key": "x"}], "bindsToNode": true},
            {"name": "b", "taints": [{"key": "x"}], "allNodes": false},
        ]}));
        let found = spec(json!({"devices": [{"name": "a"}, {"name": "b"}]}));
        assert_eq!(dropped(&sent, &found), ["spec.devices[].bindsToNode", "spec.devices[].taints"]);
        assert!(dropped(&sent, &sent).is_empty());
    }

    #[test]
    fn a_taint_keeps_its_time() {
        let wanted =
            device(&json!({"name": "a", "taints": [{"key": "x", "effect": "NoExecute"}, {"key": "y"}]}));
        let found = device(&json!({"name": "a", "taints": [
            {"key": "x", "value": "", "effect": "NoExecute", "timeAdded": "T"}, {"key": "y", "effect": "None", "timeAdded": "U"},
        ]}));
        let wanted = Fields::from(wanted);
        assert_eq!(keep_times(&wanted, &wanted), None);
        let wanted = keep_times(&wanted, &found.into()).expect("times");
        assert_eq!(
            wanted.map()["devices"][0]["taints"],
            json!([{"key": "x", "effect": "NoExecute", "timeAdded": "T"}, {"key": "y"}])
        );
    }
}
