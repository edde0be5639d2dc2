//! A cluster of the generator, made in the real API server, and what the real scheduler does with its pods.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::{Api, ApiError};
use crate::kinds;

/// What became of a pod, and everything that there was when it was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    /// `namespace/name`
    pub(crate) pod: String,
    /// The node that it got.
    pub(crate) node: Option<String>,
    /// What each of its claims got.
    pub(crate) claims: BTreeMap<String, Vec<String>>,
    /// Why it got no node.
    pub(crate) message: Option<String>,
    /// The objects before the decision.
    pub(crate) objects: Vec<Value>,
}

/// The gate that keeps a pod until its claims are there and the objects are read.
const GATE: &str = "drayage.dev/conformance";

/// Makes a cluster and offers its pods one at a time. A pod that is refused is taken away, so that nothing that
/// happens later can give it a node.
pub(crate) fn decide(api: &Api, objects: &[Value]) -> Result<Vec<Decision>, ApiError> {
    api.clear()?;
    let (waiting, there): (Vec<&Value>, Vec<&Value>) = objects.iter().partition(|object| waits(object));
    let owners = make(api, &there)?;
    settle(api)?;
    let mut decisions = Vec::new();
    for pod in waiting {
        decisions.push(offer(api, pod, &owners)?);
    }
    Ok(decisions)
}

fn waits(object: &Value) -> bool {
    object["kind"] == "Pod" && object["spec"]["nodeName"].is_null()
}

/// Creates objects; gives the UIDs of those that own pods, by kind, namespace and name.
pub(crate) fn make(api: &Api, objects: &[&Value]) -> Result<BTreeMap<String, String>, ApiError> {
    let mut owners = BTreeMap::new();
    for kind in kinds::in_snapshots() {
        for object in objects.iter().filter(|object| object["kind"] == kind.name) {
            let dressed = dressed(object, &owners);
            let made = match api.create(&dressed) {
                // Namespaces are kept from cluster to cluster.
                Err(ApiError::Refused { code: 409, .. }) if kind.name == "Namespace" => continue,
                made => made?,
            };
            match kind.name {
                "Namespace" => await_account(api, &object["metadata"]["name"])?,
                "ReplicaSet" | "StatefulSet" => {
                    let uid = made["metadata"]["uid"].as_str().unwrap_or_default();
                    owners.insert(owner_key(kind.name, object), uid.to_owned());
                }
                "Pod" => {
                    api.merge(&made, "/status", &json!({"status": {"phase": "Running"}}))?;
                }
                "ResourceClaim" if object["status"].is_object() => {
                    api.merge(&made, "/status", &json!({"status": object["status"]}))?;
                }
                _ => {}
            }
        }
    }
    Ok(owners)
}

/// Pods are refused until the controller has made the service account of their namespace.
fn await_account(api: &Api, namespace: &Value) -> Result<(), ApiError> {
    let name = namespace.as_str().unwrap_or_default();
    let path = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
    Api::wait(20, &path, || match api.get(&path) {
        Err(ApiError::Refused { code: 404, .. }) => Ok(None),
        answer => answer.map(|_| Some(())),
    })
}

fn owner_key(kind: &str, object: &Value) -> String {
    format!("{kind} {} {}", kinds::namespace(object), object["metadata"]["name"])
}

/// The object as a client would send it: without what the server sets, and as a node with a kubelet would be.
fn dressed(object: &Value, owners: &BTreeMap<String, String>) -> Value {
    let mut object = object.clone();
    let namespace = kinds::namespace(&object).to_owned();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["uid", "creationTimestamp", "resourceVersion"] {
            metadata.remove(field);
        }
        let references = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut);
        for reference in references.into_iter().flatten() {
            let kind = reference["kind"].as_str().unwrap_or_default();
            let owner = owners.get(&format!("{kind} {namespace} {}", reference["name"]));
            reference["uid"] = owner.map_or("none", String::as_str).into();
        }
    }
    match object["kind"].as_str() {
        Some("Node") => {
            object["status"]["capacity"] = object["status"]["allocatable"].clone();
            let ready =
                json!({"type": "Ready", "status": "True", "reason": "NoKubelet", "message": "no kubelet"});
            object["status"]["conditions"] = json!([ready]);
        }
        // One without ports has to be headless.
        Some("Service") if object["spec"]["ports"].is_null() => object["spec"]["clusterIP"] = "None".into(),
        Some("Pod") => {
            object["spec"]["terminationGracePeriodSeconds"] = 0.into();
            let spreads = object["spec"]["topologySpreadConstraints"].as_array_mut();
            spreads.into_iter().flatten().for_each(without_keys_twice);
        }
        _ => {}
    }
    object
}

/// The server refuses keys in `matchLabelKeys` that the selector has too, which a scheduler alone does not mind.
fn without_keys_twice(spread: &mut Value) {
    let selector = spread["labelSelector"].to_string();
    let keys = spread["matchLabelKeys"].as_array();
    if keys.into_iter().flatten().any(|key| selector.contains(&key.to_string())) {
        spread.as_object_mut().map(|spread| spread.remove("matchLabelKeys"));
    }
}

/// Waits until the node lifecycle controller has seen that nodes are ready, and the scheduler all that was made.
pub(crate) fn settle(api: &Api) -> Result<(), ApiError> {
    let nodes = kinds::KINDS.into_iter().find(|kind| kind.name == "Node");
    let nodes = nodes.ok_or_else(|| ApiError::Unplaced("nodes".to_owned()))?;
    Api::wait(30, "nodes without the taint of nodes that are not ready", || {
        let tainted = api.list(nodes)?.into_iter().any(|node| {
            let taints = node["spec"]["taints"].as_array();
            taints.into_iter().flatten().any(|taint| taint["key"] == "node.kubernetes.io/not-ready")
        });
        Ok((!tainted).then_some(()))
    })?;
    std::thread::sleep(std::time::Duration::from_millis(150));
    Ok(())
}

/// Creates a pod, reads everything once its claims are there, and waits for what the scheduler says.
fn offer(api: &Api, pod: &Value, owners: &BTreeMap<String, String>) -> Result<Decision, ApiError> {
    let mut gated = dressed(pod, owners);
    gated["spec"]["schedulingGates"] = json!([{"name": GATE}]);
    let made = api.create(&gated)?;
    let path = kinds::object_path(&made).unwrap_or_default();
    let claims = pod["spec"]["resourceClaims"].as_array().map_or(0, Vec::len);
    Api::wait(20, "the claims of a pod", || {
        let pod = api.get(&path)?;
        let named = pod["status"]["resourceClaimStatuses"].as_array().map_or(0, Vec::len);
        let templates = made["spec"]["resourceClaims"].as_array().into_iter().flatten();
        let wanted = templates.filter(|entry| entry["resourceClaimTemplateName"].is_string()).count();
        Ok((claims == 0 || named >= wanted).then_some(()))
    })?;
    let mut objects = api.snapshot()?;
    for object in &mut objects {
        if object["kind"] == "Pod" && object["metadata"]["uid"] == made["metadata"]["uid"] {
            object["spec"].as_object_mut().map(|spec| spec.remove("schedulingGates"));
            object["status"].as_object_mut().map(|status| status.remove("conditions"));
        }
    }
    // The scheduler is to know the claims before it sees the pod.
    std::thread::sleep(std::time::Duration::from_millis(30));
    api.merge(&made, "", &json!({"spec": {"schedulingGates": null}}))?;
    let pod = Api::wait(30, &format!("a decision about {path}"), || {
        let pod = api.get(&path)?;
        Ok((pod["spec"]["nodeName"].is_string() || refusal(&pod).is_some()).then_some(pod))
    })?;
    let full_name =
        format!("{}/{}", kinds::namespace(&pod), pod["metadata"]["name"].as_str().unwrap_or_default());
    let node = pod["spec"]["nodeName"].as_str().map(str::to_owned);
    let message = if node.is_none() { refusal(&pod) } else { None };
    let claims = if node.is_some() { devices(api, &pod)? } else { BTreeMap::new() };
    if node.is_none() {
        api.send(
            "DELETE",
            &path,
            &json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}),
        )?;
    } else {
        api.merge(&pod, "/status", &json!({"status": {"phase": "Running"}}))?;
    }
    Ok(Decision { pod: full_name, node, claims, message, objects })
}

/// Why a pod got no node, without what is said about preemption.
fn refusal(pod: &Value) -> Option<String> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let refused = conditions.iter().find(|condition| {
        condition["type"] == "PodScheduled"
            && condition["status"] == "False"
            && condition["reason"] != "SchedulingGated"
    })?;
    let message = refused["message"].as_str()?;
    if message.starts_with("waiting for dynamic resource controller") {
        return None;
    }
    let end = message.find(". ").filter(|_| message.starts_with("0/"));
    Some(end.map_or(message, |end| &message[..=end]).to_owned())
}

/// What each claim of a pod got, by the entry of the pod.
fn devices(api: &Api, pod: &Value) -> Result<BTreeMap<String, Vec<String>>, ApiError> {
    let mut names: Vec<(String, String)> = Vec::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for status in pod["status"]["resourceClaimStatuses"].as_array().into_iter().flatten() {
        names.push((text(&status["name"]), text(&status["resourceClaimName"])));
    }
    for entry in pod["spec"]["resourceClaims"].as_array().into_iter().flatten() {
        if let Some(claim) = entry["resourceClaimName"].as_str() {
            names.push((text(&entry["name"]), claim.to_owned()));
        }
    }
    if let Some(claim) = pod["status"]["extendedResourceClaimStatus"]["resourceClaimName"].as_str() {
        names.push(("extended resources".to_owned(), claim.to_owned()));
    }
    let mut found = BTreeMap::new();
    for (entry, claim) in names {
        let namespace = kinds::namespace(pod);
        let path = format!("/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims/{claim}");
        let claim = api.get(&path)?;
        let results = claim["status"]["allocation"]["devices"]["results"].as_array().cloned();
        let line = |result: &Value| {
            format!(
                "{} {}/{}/{}",
                text(&result["request"]),
                text(&result["driver"]),
                text(&result["pool"]),
                text(&result["device"])
            )
        };
        found.insert(entry, results.iter().flatten().map(line).collect());
    }
    Ok(found)
}
