//! JSON Schemas and CustomResourceDefinitions of the types.
//!
//! The schemas are structural, as the API server wants them: no references, no alternatives.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::{DeviceFault, DeviceInventory, Fault, NodeGroup, Scenario};

/// The kinds, with the schema and the plural of each.
pub fn kinds() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("DeviceFault", "devicefaults", of::<DeviceFault>()),
        ("DeviceInventory", "deviceinventories", of::<DeviceInventory>()),
        ("NodeGroup", "nodegroups", of::<NodeGroup>()),
        ("Scenario", "scenarios", of::<Scenario>()),
    ]
}

/// The JSON Schema of a type, without references.
pub fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The CustomResourceDefinition of a kind.
pub fn custom_resource_definition(kind: &str, plural: &str, schema: &Value) -> Value {
    let mut schema = schema.clone();
    make_structural(&mut schema);
    if let Some(metadata) = schema.pointer_mut("/properties/metadata") {
        // The API server knows the rest of it.
        *metadata = json!({ "type": "object" });
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.drayage.dev") },
        "spec": {
            "group": "drayage.dev",
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": kind.to_lowercase(),
            },
            "scope": "Cluster",
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": schema },
            }],
        },
    })
}

/// Takes away what a structural schema may not have: nulls among the types, `additionalProperties: false` (unknown
/// fields are pruned), the name of the dialect, formats that Kubernetes does not know.
fn make_structural(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for key in ["$schema", "title"] {
                // A property may have such a name; its value is a schema then.
                if fields.get(key).is_some_and(Value::is_string) {
                    fields.remove(key);
                }
            }
            if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
                fields.remove("additionalProperties");
            }
            if let Some(Value::Array(types)) = fields.get("type") {
                let first = types.iter().find(|one| one.as_str() != Some("null")).cloned();
                fields.extend(first.map(|first| ("type".to_owned(), first)));
            }
            if let Some(Value::Array(variants)) = fields.get("anyOf") {
                let given = variants.iter().find(|one| one["type"].as_str() != Some("null")).cloned();
                if let Some(Value::Object(given)) = given {
                    fields.remove("anyOf");
                    for (key, value) in given {
                        fields.entry(key).or_insert(value);
                    }
                }
            }
            if let Some("uint32" | "uint64") = fields.get("format").and_then(Value::as_str) {
                fields.insert("format".to_owned(), json!("int64"));
            }
            fields.values_mut().for_each(make_structural);
        }
        Value::Array(values) => values.iter_mut().for_each(make_structural),
        _ => {}
    }
}

/// An object of Kubernetes' own API, which has its schema there.
pub(crate) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A list of such objects.
pub(crate) fn any_objects(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": any_object(generator) })
}

/// The kinds of [`Fault`], as one list of names: variants with texts of their own would be alternatives.
pub(crate) fn fault(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": Fault::ALL })
}
