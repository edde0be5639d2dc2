//! One question of the API server and its answer (`AdmissionReview`), without a network.

use serde_json::{Value, json};

use crate::devices::configuration;

/// Answers an AdmissionReview of `admission.k8s.io/v1` about an object of `resource.k8s.io` (v1, v1beta1 or v1beta2, which
/// have configuration in the same places). Only configuration for `driver` is looked at.
///
/// # Errors
///
/// This is no AdmissionReview with a request.
pub fn review(driver: &str, review: &Value) -> Result<Value, String> {
    let version = review["apiVersion"].as_str().unwrap_or_default();
    if review["kind"] != "AdmissionReview" || version != "admission.k8s.io/v1" {
        return Err("this is no AdmissionReview of admission.k8s.io/v1".to_owned());
    }
    let request = &review["request"];
    let uid = request["uid"].as_str().ok_or("the AdmissionReview has no `request.uid`")?;
    let faults = faults(driver, request);
    let mut response = json!({ "uid": uid, "allowed": faults.is_empty() });
    if !faults.is_empty() {
        response["status"] = json!({
            "code": 422, "reason": "Invalid", "message": faults.join("; "),
        });
    }
    Ok(json!({ "apiVersion": version, "kind": "AdmissionReview", "response": response }))
}

/// What is wrong with the configuration of a request's object, each with its field.
fn faults(driver: &str, request: &Value) -> Vec<String> {
    let path: &[&str] = match request["kind"]["kind"].as_str() {
        Some("ResourceClaim") => &["spec", "devices", "config"],
        Some("ResourceClaimTemplate") => &["spec", "spec", "devices", "config"],
        Some("DeviceClass") => &["spec", "config"],
        _ => return Vec::new(),
    };
    let object = &request["object"];
    // What is there already must not be in the way of labels and finalizers.
    if object["spec"] == request["oldObject"]["spec"] {
        return Vec::new();
    }
    let entries = path.iter().fold(object, |value, field| &value[*field]);
    let mut faults = Vec::new();
    for (index, entry) in entries.as_array().into_iter().flatten().enumerate() {
        let opaque = &entry["opaque"];
        if opaque["driver"] == driver
            && let Err(error) = configuration(std::slice::from_ref(&opaque["parameters"]))
        {
            faults.push(format!("{}[{index}].opaque.parameters: {error}", path.join(".")));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRIVER: &str = "gpu.example.com";

    fn config(driver: &str, parameters: &Value) -> Value {
        json!([{"opaque": {"driver": driver, "parameters": parameters}}])
    }

    fn ask(kind: &str, spec: &Value) -> Value {
        let request = json!({
            "uid": "42", "operation": "CREATE",
            "kind": {"group": "resource.k8s.io", "version": "v1", "kind": kind},
            "object": {"metadata": {"name": "a"}, "spec": spec}, "oldObject": null,
        });
        let question =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        review(DRIVER, &question).expect("an answer")
    }

    #[test]
    fn what_the_driver_would_refuse_is_refused_with_its_field() {
        let sound = json!({
            "apiVersion": "drayage.dev/v1alpha1", "kind": "DeviceConfig", "sharing": {"spacePartitions": {"count": 2}},
        });
        let mut wrong = sound.clone();
        wrong["sharing"]["spacePartitions"]["count"] = json!(0);
        let count = "field `sharing.spacePartitions.count` is 0, expected 1 to 64";
        let specs = |config: Value| {
            [
                ("ResourceClaim", "spec.devices.config", json!({"devices": {"config": config}})),
                (
                    "ResourceClaimTemplate",
                    "spec.spec.devices.config",
                    json!({"spec": {"devices": {"config": config}}}),
                ),
                ("DeviceClass", "spec.config", json!({"config": config})),
            ]
        };
        for (kind, path, spec) in specs(config(DRIVER, &wrong)) {
            let response = &ask(kind, &spec)["response"];
            assert_eq!((&response["allowed"], &response["uid"]), (&json!(false), &json!("42")));
            let message = response["status"]["message"].as_str().expect("a message");
            assert_eq!(message, format!("{path}[0].opaque.parameters: {count}"));
        }
        for parameters in [json!(null), json!([]), json!({"sharing": 1}), json!("text")] {
            for (kind, _, spec) in specs(config(DRIVER, &parameters)) {
                assert_eq!(ask(kind, &spec)["response"]["allowed"], false, "{kind} {parameters}");
            }
        }
        for config in [config(DRIVER, &sound), config("other.example.com", &wrong), json!([]), json!(null)] {
            for (kind, _, spec) in specs(config.clone()) {
                assert_eq!(
                    ask(kind, &spec)["response"],
                    json!({"uid": "42", "allowed": true}),
                    "{kind} {config}"
                );
            }
        }
        assert_eq!(ask("Pod", &json!({"config": config(DRIVER, &wrong)}))["response"]["allowed"], true);
    }

    #[test]
    fn an_object_that_is_there_can_still_be_labelled_and_deleted() {
        let spec = json!({"devices": {"config": config(DRIVER, &json!({}))}});
        let object = |label: &str| json!({"metadata": {"labels": {"a": label}}, "spec": spec});
        for (new, old) in [(object("1"), object("2")), (json!(null), object("1"))] {
            let question = json!({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "request": {"uid": "1", "kind": {"kind": "ResourceClaim"}, "object": new, "oldObject": old},
            });
            assert_eq!(review(DRIVER, &question).expect("an answer")["response"]["allowed"], true);
        }
    }

    #[test]
    fn what_is_no_review_is_an_error() {
        for text in ["{}", "[]", "1", r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}"#] {
            assert!(review(DRIVER, &serde_json::from_str(text).expect("JSON")).is_err(), "{text}");
        }
    }
}
