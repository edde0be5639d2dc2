//! What a claim object says that this driver has to prepare.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    claims::{AllocatedDevice, is_label},
    kubelet::{ClaimReference, Failure},
};

/// The parts of a `ResourceClaim` that matter, alike in `resource.k8s.io` v1beta1, v1beta2 and v1. Everything else,
/// known or not, is passed over.
#[derive(Deserialize)]
struct Claim {
    metadata: Metadata,
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Metadata {
    uid: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// What the pod calls a claim that was made for it from a template.
const POD_CLAIM: &str = "resource.kubernetes.io/pod-claim-name";

#[derive(Deserialize)]
struct Status {
    allocation: Option<Allocation>,
}

#[derive(Deserialize)]
struct Allocation {
    devices: Option<Devices>,
}

#[derive(Deserialize)]
struct Devices {
    #[serde(default)]
    results: Vec<Allocated>,
    #[serde(default)]
    config: Vec<Configuration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Allocated {
    request: String,
    driver: String,
    pool: String,
    device: String,
    #[serde(rename = "shareID")]
    share_id: Option<String>,
    admin_access: Option<bool>,
    #[serde(default)]
    consumed_capacity: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    source: String,
    #[serde(default)]
    requests: Vec<String>,
    opaque: Option<Opaque>,
}

#[derive(Deserialize)]
struct Opaque {
    driver: String,
    parameters: Value,
}

/// The devices of `driver` in the allocation of a claim, in its order. Results of other drivers are normal.
///
/// # Errors
///
/// The object is another claim of that name, or is no claim: permanent. It is not allocated: transient, since the
/// object may be older than what the kubelet saw.
pub fn allocated_devices(
    object: &Value,
    claim: &ClaimReference,
    driver: &str,
) -> Result<Vec<AllocatedDevice>, Failure> {
    let name = format!("claim `{}/{}`", claim.namespace, claim.name);
    let read = Claim::deserialize(object)
        .map_err(|error| Failure::Permanent(format!("{name} cannot be read: {error}")))?;
    if read.metadata.uid != claim.uid {
        return Err(Failure::Permanent(format!(
            "{name} was replaced: its UID is `{}`, not `{}`",
            read.metadata.uid, claim.uid
        )));
    }
    let pod_claim = read.metadata.annotations.get(POD_CLAIM).filter(|name| is_label(name)).cloned();
    let allocation = read.status.and_then(|status| status.allocation);
    let allocation = allocation.ok_or_else(|| Failure::Transient(format!("{name} is not allocated")))?;
    let Devices { results, mut config } =
        allocation.devices.unwrap_or(Devices { results: Vec::new(), config: Vec::new() });
    // The API server keeps the order, which is classes first; sorting costs nothing and does not rely on it.
    config.sort_by_key(|entry| entry.source != "FromClass");
    let devices = results.into_iter().filter(|result| result.driver == driver).map(|result| {
        let request = result.request.split_once('/').map_or(&*result.request, |(request, _)| request);
        let applies = |entry: &&Configuration| {
            entry.requests.is_empty()
                || entry.requests.iter().any(|name| *name == result.request || name == request)
        };
        let opaque = config.iter().filter(applies).filter_map(|entry| entry.opaque.as_ref());
        let configuration =
            opaque.filter(|opaque| opaque.driver == driver).map(|opaque| opaque.parameters.clone());
        AllocatedDevice {
            configuration: configuration.collect(),
            pod_claim: pod_claim.clone(),
            request: result.request,
            pool: result.pool,
            device: result.device,
            share_id: result.share_id,
            admin_access: result.admin_access.unwrap_or(false),
            consumed_capacity: result.consumed_capacity,
        }
    });
    Ok(devices.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim() -> ClaimReference {
        ClaimReference { namespace: "default".to_owned(), name: "a".to_owned(), uid: "0a".to_owned() }
    }

    fn opaque(driver: &str, value: u64) -> Value {
        json!({"driver": driver, "parameters": {"value": value}})
    }

    /// Trap 30: results of other drivers and nodes are normal. Configuration is the class's first, then the claim's,
    /// of this driver and for the request; none means all.
    #[test]
    fn devices_of_this_driver_with_their_configuration() {
        let object = json!({
            "metadata": {"name": "a", "uid": "0a", "fieldOfTheFuture": 1,
                         "annotations": {"resource.kubernetes.io/pod-claim-name": "accelerators"}},
            "status": {"reservedFor": [{"resource": "podgroups"}], "allocation": {"devices": {
                "results": [
                    {"request": "gpu/large", "driver": "gpu.example.com", "pool": "p", "device": "gpu-0",
                     "shareID": "s", "consumedCapacity": {"memory": "1Gi"}},
                    {"request": "nic", "driver": "nic.example.com", "pool": "p", "device": "nic-0"},
                    {"request": "watch", "driver": "gpu.example.com", "pool": "p", "device": "gpu-1",
                     "adminAccess": true},
                ],
                "config": [
                    {"source": "FromClaim", "requests": ["gpu/large"], "opaque": opaque("gpu.example.com", 3)},
                    {"source": "FromClass", "requests": ["gpu"], "opaque": opaque("gpu.example.com", 1)},
                    {"source": "FromClaim", "opaque": opaque("gpu.example.com", 4)},
                    {"source": "FromClass", "requests": [], "opaque": opaque("nic.example.com", 2)},
                    {"source": "FromClaim", "requests": ["gpu/small"], "opaque": opaque("gpu.example.com", 5)},
                ],
            }}},
        });
        let devices = allocated_devices(&object, &claim(), "gpu.example.com").expect("devices");
        let [gpu, watch] = &devices[..] else { panic!("{devices:?}") };
        assert_eq!((gpu.request.as_str(), gpu.share_id.as_deref()), ("gpu/large", Some("s")));
        assert_eq!(gpu.pod_claim.as_deref(), Some("accelerators"));
        assert_eq!(gpu.consumed_capacity["memory"], "1Gi");
        let values: Vec<u64> =
            gpu.configuration.iter().filter_map(|parameters| parameters["value"].as_u64()).collect();
        assert_eq!(values, [1, 3, 4]);
        assert!(watch.admin_access && !gpu.admin_access);
        assert_eq!(watch.configuration, [json!({"value": 4})]);
    }

    #[test]
    fn claims_that_cannot_be_prepared_say_why() {
        for (object, permanent, expected) in [
            (json!({"metadata": {"uid": "0b"}}), true, "was replaced: its UID is `0b`, not `0a`"),
            (json!({"metadata": {"uid": "0a"}, "status": {}}), false, "`default/a` is not allocated"),
            (json!([1]), true, "cannot be read"),
        ] {
            let failure = allocated_devices(&object, &claim(), "gpu").expect_err(expected);
            assert!(failure.to_string().contains(expected), "{failure}");
            assert_eq!(matches!(failure, Failure::Permanent(_)), permanent, "{failure}");
        }
    }
}
