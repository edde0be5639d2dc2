//! `crds/generated` holds what the types say, and so does the chart. `DRAYAGE_UPDATE_SCHEMAS=1` writes it anew.

use std::path::{Path, PathBuf};
use std::{env, fs};

use drayage_crds::schema;
use serde_json::Value;

fn generated(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("generated").join(file)
}

fn assert_current(file: &str, text: &str) {
    let path = generated(file);
    if env::var_os("DRAYAGE_UPDATE_SCHEMAS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{file} is not current; DRAYAGE_UPDATE_SCHEMAS=1 writes it");
}

#[test]
fn schemas_and_definitions_are_current() {
    for (kind, plural, schema) in schema::kinds() {
        let json = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        assert_current(&format!("{}.schema.json", kind.to_lowercase()), &json);
        let definition = schema::custom_resource_definition(kind, plural, &schema);
        let yaml = serde_saphyr::to_string(&definition).unwrap();
        assert_current(&format!("drayage.dev_{plural}.yaml"), &yaml);
        assert_current(&format!("../../helm/drayage/crds/drayage.dev_{plural}.yaml"), &yaml);
    }
}

/// The API server refuses schemas that are not structural.
fn assert_structural(schema: &Value, at: &str) {
    let Value::Object(fields) = schema else { panic!("{at}: no schema") };
    assert!(fields["type"].is_string(), "{at}: no single type");
    for forbidden in ["$ref", "$schema", "anyOf", "oneOf", "allOf", "$defs", "definitions"] {
        assert!(!fields.contains_key(forbidden), "{at}: `{forbidden}`");
    }
    assert!(fields.get("additionalProperties") != Some(&Value::Bool(false)), "{at}");
    for (name, property) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
        assert_structural(property, &format!("{at}.{name}"));
    }
    if let Some(items) = fields.get("items") {
        assert_structural(items, &format!("{at}[]"));
    }
    if let Some(values) = fields.get("additionalProperties") {
        assert_structural(values, &format!("{at}{{}}"));
    }
}

#[test]
fn definitions_are_structural() {
    for (kind, plural, schema) in schema::kinds() {
        let definition = schema::custom_resource_definition(kind, plural, &schema);
        assert_structural(&definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], kind);
    }
}
