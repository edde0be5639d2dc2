//! What the server has, and its answers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::random::Random;

/// Characters of a `generateName` that are kept before five more are added.
const LONGEST_PREFIX: usize = 58;

/// What goes wrong with requests other than watches, in percent of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Requests that fail without being carried out.
    pub refused: u64,
    /// Requests that are carried out and fail nevertheless.
    pub lost: u64,
    /// Changes that are refused because somebody else was faster.
    pub conflicts: u64,
    /// How long every answer takes.
    pub latency: Duration,
    /// Time between two answers: requests wait for their turn.
    pub pace: Duration,
    /// Requests with this in their path wait until it is taken away.
    pub stalled: Option<&'static str>,
}

/// What the server has.
#[derive(Debug)]
pub struct State {
    /// Versions of `resource.k8s.io`.
    pub served: Vec<&'static str>,
    /// Minor version of Kubernetes.
    pub minor: String,
    /// Names of nodes, with their UID.
    pub nodes: BTreeMap<String, String>,
    /// Slices by name, as they were written.
    pub slices: BTreeMap<String, Value>,
    /// Claims by `NAMESPACE/NAME`.
    pub claims: BTreeMap<String, Value>,
    /// Events as they were written.
    pub events: Vec<Value>,
    /// Whether every request fails.
    pub outage: bool,
    /// Method and path of every request.
    pub requests: Vec<String>,
    /// The most objects in a page.
    pub page: usize,
    /// Fields of devices that are not stored: of a feature whose gate is off.
    pub dropped: Vec<&'static str>,
    /// What goes wrong.
    pub faults: Faults,
    /// Where chance comes from.
    pub random: Random,
    version: u64,
    changes: Vec<(u64, Arc<Value>)>,
    era: u64,
    oldest: u64,
}

impl State {
    pub(super) fn new(versions: &[&'static str]) -> Self {
        Self {
            served: versions.to_vec(),
            minor: "36+".to_owned(),
            nodes: BTreeMap::from([("node-1".to_owned(), "uid-of-the-node".to_owned())]),
            slices: BTreeMap::new(),
            claims: BTreeMap::new(),
            events: Vec::new(),
            outage: false,
            requests: Vec::new(),
            page: 1000,
            dropped: Vec::new(),
            faults: Faults::default(),
            random: Random::new(0),
            version: 100,
            changes: Vec::new(),
            era: 0,
            oldest: 0,
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Watches of another era have ended.
    pub(super) fn era(&self) -> u64 {
        self.era
    }

    /// Whether the changes after a version are not there any more.
    pub(super) fn is_forgotten(&self, version: u64) -> bool {
        version < self.oldest
    }

    pub(super) fn change_after(&self, version: u64) -> Option<(u64, Arc<Value>)> {
        self.changes.iter().find(|(of, _)| *of > version).cloned()
    }

    pub(super) fn end_watches(&mut self, forgotten: bool) -> u64 {
        self.era += 1;
        if forgotten {
            self.version += 1;
            self.oldest = self.version;
            self.changes.clear();
        }
        self.version
    }

    pub(super) fn wipe(&mut self, node: &str, driver: Option<&str>) -> u64 {
        let is_meant = |slice: &Value| {
            slice["spec"]["nodeName"] == node && driver.is_none_or(|driver| slice["spec"]["driver"] == driver)
        };
        let gone: Vec<String> =
            self.slices.iter().filter(|(_, slice)| is_meant(slice)).map(|(name, _)| name.clone()).collect();
        for slice in gone.iter().filter_map(|name| self.slices.remove(name)).collect::<Vec<_>>() {
            self.tell("DELETED", slice);
        }
        self.version
    }

    fn tell(&mut self, kind: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.changes.push((self.version, Arc::new(json!({ "type": kind, "object": object }))));
        object
    }

    pub(super) fn answer_with_faults(
        &mut self,
        method: &str,
        path: &str,
        query: &str,
        body: Value,
    ) -> (u16, Value) {
        let away = || status(503, "ServiceUnavailable", "the server is not there", "");
        let Faults { refused, lost, conflicts, .. } = self.faults;
        if self.outage || self.random.chance(refused) {
            return away();
        }
        if method == "PATCH" && self.random.chance(conflicts) {
            return status(409, "Conflict", "somebody else was faster", "");
        }
        let answer = self.answer(method, path, query, body);
        if self.random.chance(lost) { away() } else { answer }
    }

    fn answer(&mut self, method: &str, path: &str, query: &str, body: Value) -> (u16, Value) {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["version"]) => (200, json!({ "major": "1", "minor": self.minor })),
            ("GET", ["apis", "resource.k8s.io"]) => {
                let versions = self.served.iter().map(|name| json!({ "version": name }));
                (200, json!({ "kind": "APIGroup", "versions": versions.collect::<Vec<_>>() }))
            }
            ("GET", ["api", "v1", "nodes", name]) => match self.nodes.get(*name) {
                Some(uid) => (200, json!({ "metadata": { "name": name, "uid": uid } })),
                None => status(404, "NotFound", "no such node", name),
            },
            (_, ["apis", "resource.k8s.io", version, ..]) if !self.served.contains(version) => {
                (404, json!("404 page not found\n"))
            }
            ("POST", ["apis", "events.k8s.io", "v1", "namespaces", namespace, "events"]) => {
                if body["metadata"]["namespace"] != *namespace {
                    return status(400, "BadRequest", "the namespace is another one", "");
                }
                self.events.push(body.clone());
                (201, body)
            }
            ("GET", ["apis", _, _, "namespaces", namespace, "resourceclaims", name]) => {
                match self.claims.get(&format!("{namespace}/{name}")) {
                    Some(claim) => (200, claim.clone()),
                    None => status(404, "NotFound", "no such claim", name),
                }
            }
            ("GET", ["apis", _, _, "resourceslices"]) => self.list(query),
            ("POST", ["apis", _, _, "resourceslices"]) => self.create(body),
            ("PATCH", ["apis", _, _, "resourceslices", name]) => self.patch(name, &body),
            ("DELETE", ["apis", _, _, "resourceslices", name]) => self.delete(name, &body),
            _ => (404, json!("404 page not found\n")),
        }
    }

    fn list(&self, query: &str) -> (u16, Value) {
        let selector = parameter(query, "fieldSelector");
        let limit = parameter(query, "limit").parse().unwrap_or(usize::MAX).min(self.page);
        let start: usize = parameter(query, "continue").parse().unwrap_or_default();
        let selected: Vec<&Value> = self.slices.values().filter(|slice| matches(selector, slice)).collect();
        let items: Vec<&Value> = selected.iter().skip(start).take(limit).copied().collect();
        let end = start + items.len();
        let next = if end < selected.len() { end.to_string() } else { String::new() };
        let metadata = json!({ "resourceVersion": self.version.to_string(), "continue": next });
        (200, json!({ "kind": "ResourceSliceList", "metadata": metadata, "items": items }))
    }

    fn create(&mut self, mut slice: Value) -> (u16, Value) {
        let Some(prefix) = slice["metadata"]["generateName"].as_str() else {
            return status(422, "Invalid", "metadata.generateName: Required value", "");
        };
        let prefix: String = prefix.chars().take(LONGEST_PREFIX).collect();
        let name = format!("{prefix}{:05}", self.version);
        slice["metadata"]["name"] = json!(name);
        slice["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        self.store("ADDED", &name, slice)
    }

    fn patch(&mut self, name: &str, patch: &Value) -> (u16, Value) {
        let Some(mut slice) = self.slices.get(name).cloned() else {
            return status(404, "NotFound", "no such slice", name);
        };
        for step in patch.as_array().into_iter().flatten() {
            match (step["op"].as_str(), step["path"].as_str()) {
                (Some("replace"), Some("/metadata/resourceVersion")) => {
                    if step["value"] != slice["metadata"]["resourceVersion"] {
                        return status(409, "Conflict", "another resource version", name);
                    }
                }
                (Some("replace"), Some("/spec")) => {
                    for field in ["driver", "nodeName"] {
                        if step["value"][field] != slice["spec"][field] {
                            return status(
                                422,
                                "Invalid",
                                &format!("spec.{field}: field is immutable"),
                                name,
                            );
                        }
                    }
                    slice["spec"] = step["value"].clone();
                }
                _ => {
                    return status(422, "Invalid", &format!("this server knows no such patch: {step}"), name);
                }
            }
        }
        self.store("MODIFIED", name, slice)
    }

    fn delete(&mut self, name: &str, body: &Value) -> (u16, Value) {
        let Some(slice) = self.slices.get(name).cloned() else {
            return status(404, "NotFound", "no such slice", name);
        };
        let wanted = &body["preconditions"]["uid"];
        if !wanted.is_null() && *wanted != slice["metadata"]["uid"] {
            return status(409, "Conflict", "another UID", name);
        }
        self.slices.remove(name);
        self.tell("DELETED", slice);
        (200, json!({ "kind": "Status", "status": "Success" }))
    }

    fn store(&mut self, kind: &str, name: &str, mut slice: Value) -> (u16, Value) {
        let devices = slice["spec"]["devices"].as_array().map_or(0, Vec::len);
        if devices > 128 {
            let message = format!("spec.devices: Too many: {devices}: must have at most 128 items");
            return status(422, "Invalid", &message, name);
        }
        for device in slice["spec"]["devices"].as_array_mut().into_iter().flatten() {
            // Up to v1beta1 most fields are in a block of their own.
            for fields in [device.get("basic").is_some().then_some("/basic"), Some("")].into_iter().flatten()
            {
                if let Some(fields) = device.pointer_mut(fields).and_then(Value::as_object_mut) {
                    fields.retain(|field, _| !self.dropped.contains(&field.as_str()));
                }
            }
        }
        let stored = self.tell(kind, slice);
        self.slices.insert(name.to_owned(), stored.clone());
        (200, stored)
    }
}

/// Whether an object is one that a field selector, encoded as in a query, asks for.
pub(super) fn matches(selector: &str, object: &Value) -> bool {
    let selector = selector.replace("%3D", "=").replace("%2C", ",");
    selector.split(',').filter_map(|part| part.split_once('=')).all(|(field, wanted)| {
        let pointer = format!("/{}", field.replace('.', "/"));
        object.pointer(&pointer).and_then(Value::as_str).unwrap_or_default() == wanted.trim_start_matches('=')
    })
}

pub(super) fn parameter<'q>(query: &'q str, name: &str) -> &'q str {
    let value = |pair: &'q str| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value);
    query.split('&').find_map(value).unwrap_or_default()
}

pub(super) fn status(code: u16, reason: &str, message: &str, name: &str) -> (u16, Value) {
    let details = json!({ "name": name, "group": "resource.k8s.io" });
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code,
        "details": details,
    });
    (code, status)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICES: &str = "/apis/resource.k8s.io/v1/resourceslices";

    fn slice(devices: usize) -> Value {
        let device = |number: usize| json!({ "name": format!("gpu-{number}"), "taints": [] });
        json!({
            "metadata": { "generateName": "x".repeat(70) },
            "spec": { "driver": "gpu.example.com", "nodeName": "node-1",
                "devices": (0..devices).map(device).collect::<Vec<_>>() },
        })
    }

    #[test]
    fn names_are_cut_fields_dropped_and_limits_kept() {
        let mut state = State::new(&["v1"]);
        state.dropped = vec!["taints"];
        let (code, stored) = state.answer("POST", SLICES, "", slice(1));
        assert_eq!(code, 200);
        assert_eq!(stored["metadata"]["name"], format!("{}00100", "x".repeat(58)));
        assert_eq!(stored["spec"]["devices"], json!([{ "name": "gpu-0" }]));
        assert_eq!(state.answer("POST", SLICES, "", slice(129)).0, 422);
        let (_, list) = state.answer("GET", SLICES, "fieldSelector=spec.driver%3Dother", Value::Null);
        assert_eq!(list["items"], json!([]));
    }

    #[test]
    fn lost_requests_are_carried_out_and_refused_ones_are_not() {
        let mut state = State::new(&["v1"]);
        state.faults.lost = 100;
        assert_eq!(state.answer_with_faults("POST", SLICES, "", slice(1)).0, 503);
        assert_eq!(state.slices.len(), 1);
        state.faults = Faults { refused: 100, ..Faults::default() };
        assert_eq!(state.answer_with_faults("POST", SLICES, "", slice(1)).0, 503);
        assert_eq!(state.slices.len(), 1);
    }
}
