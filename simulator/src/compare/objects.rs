//! Which objects two inputs have in common, and in what they differ.

use std::collections::{BTreeMap, BTreeSet};

use drayage_cluster::Snapshot;
use serde::Serialize;
use serde_json::Value;

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectChangeKind {
    /// Only the second input has it.
    Added,
    /// Only the first input has it.
    Removed,
    /// Both have it, with different content.
    Changed,
}

impl ObjectChangeKind {
    /// The text used in reports, such as `added`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// An object that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectChange {
    /// `kind`
    pub kind: String,
    /// Namespace; absent for cluster-wide kinds.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What became of it.
    pub change: ObjectChangeKind,
    /// The fields that differ, for an object that both have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Where, such as `spec.devices[0].attributes.model`.
    pub field: String,
    /// The first value; absent where the field is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The second value; absent where the field is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Fields that change all the time and mean nothing.
const BOOKKEEPING: &[&str] = &["managedFields", "resourceVersion", "generation", "uid", "selfLink"];

type Objects = BTreeMap<(String, String, String), Value>;

fn objects(snapshot: &Snapshot) -> Objects {
    snapshot
        .raw_objects()
        .into_iter()
        .map(|raw| {
            let mut value = raw.value;
            if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.retain(|key, _| !BOOKKEEPING.contains(&key.as_str()));
            }
            ((raw.object.kind, raw.object.namespace, raw.object.name), value)
        })
        .collect()
}

/// Objects that differ between two inputs, by kind, namespace and name.
pub fn object_changes(before: &Snapshot, after: &Snapshot) -> Vec<ObjectChange> {
    let (first, second) = (objects(before), objects(after));
    let keys: BTreeSet<_> = first.keys().chain(second.keys()).collect();
    let mut changes = Vec::new();
    for key in keys {
        let (change, fields) = match (first.get(key), second.get(key)) {
            (Some(before), Some(after)) => {
                let mut fields = Vec::new();
                fields_of("", before, after, &mut fields);
                if fields.is_empty() {
                    continue;
                }
                (ObjectChangeKind::Changed, fields)
            }
            (Some(_), None) => (ObjectChangeKind::Removed, Vec::new()),
            _ => (ObjectChangeKind::Added, Vec::new()),
        };
        let (kind, namespace, name) = key.clone();
        changes.push(ObjectChange { kind, namespace, name, change, fields });
    }
    changes
}

/// The smallest fields that differ. Lists of named entries, such as devices, are compared by name.
fn fields_of(path: &str, before: &Value, after: &Value, fields: &mut Vec<FieldChange>) {
    match (before, after) {
        (Value::Object(first), Value::Object(second)) => {
            let keys: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                optional(&path, first.get(key), second.get(key), fields);
            }
        }
        (Value::Array(first), Value::Array(second)) => match (by_name(first), by_name(second)) {
            (Some(first), Some(second)) => {
                let names: BTreeSet<&str> = first.keys().chain(second.keys()).copied().collect();
                for name in names {
                    let path = format!("{path}[{name}]");
                    optional(&path, first.get(name).copied(), second.get(name).copied(), fields);
                }
            }
            _ => {
                for index in 0..first.len().max(second.len()) {
                    optional(&format!("{path}[{index}]"), first.get(index), second.get(index), fields);
                }
            }
        },
        _ if before == after => {}
        _ => fields.push(FieldChange {
            field: path.to_owned(),
            before: Some(before.clone()),
            after: Some(after.clone()),
        }),
    }
}

fn optional(path: &str, before: Option<&Value>, after: Option<&Value>, fields: &mut Vec<FieldChange>) {
    match (before, after) {
        (Some(before), Some(after)) => fields_of(path, before, after, fields),
        (before, after) => fields.push(FieldChange {
            field: path.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

fn by_name(list: &[Value]) -> Option<BTreeMap<&str, &Value>> {
    let named: BTreeMap<&str, &Value> =
        list.iter().map(|value| Some((value.get("name")?.as_str()?, value))).collect::<Option<_>>()?;
    (named.len() == list.len() && !named.is_empty()).then_some(named)
}
