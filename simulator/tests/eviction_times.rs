//! When tolerated taints of devices evict pods.

use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::report::EvictionReport;
use drayage_simulator::schedule::{Options, Prepared, simulate};
use serde_json::{Value, json};

/// A pod on a device with these taints, which tolerates them for these seconds, and a rule's taint.
fn evicted(taints: &Value, tolerated: &[(&str, i64)], rule: Option<&Value>) -> Option<EvictionReport> {
    let tolerations: Vec<Value> = tolerated
        .iter()
        .map(|(key, seconds)| {
            json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds})
        })
        .collect();
    let request = json!({"name": "gpu", "exactly": {"deviceClassName": "gpu", "tolerations": tolerations}});
    let mut objects = vec![
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"},
            "status": {"allocatable": {"cpu": "4", "memory": "4Gi", "pods": "9"}},
        }),
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"}}),
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "s"},
            "spec": {
                "driver": "d.example.com", "nodeName": "n",
                "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": "gpu-0", "taints": taints}],
            },
        }),
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": "c", "namespace": "ns"},
            "spec": {"devices": {"requests": [request]}},
            "status": {
                "allocation": {"devices": {"results": [{
                    "request": "gpu", "driver": "d.example.com", "pool": "n", "device": "gpu-0",
                    "tolerations": tolerations,
                }]}},
                "reservedFor": [{"resource": "pods", "name": "p", "uid": "p"}],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns", "uid": "p"},
            "spec": {
                "nodeName": "n", "containers": [{"name": "c", "image": "i"}],
                "resourceClaims": [{"name": "c", "resourceClaimName": "c"}],
            },
            "status": {"phase": "Running"},
        }),
    ];
    if let Some(taint) = rule {
        objects.push(json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "DeviceTaintRule", "metadata": {"name": "r"},
            "spec": {"deviceSelector": {"pool": "n"}, "taint": taint},
        }));
    }
    let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    let prepared = Prepared::new(load(&[input], LoadOptions::default()).unwrap());
    let options = Options::for_release(Release::V1_37);
    let report = simulate(&prepared, &options, &mut (), &AtomicBool::new(false)).unwrap();
    report.pods.into_iter().find(|pod| pod.name == "p").and_then(|pod| pod.eviction)
}

fn taint(key: &str, added: Option<&str>) -> Value {
    let mut taint = json!({"key": key, "effect": "NoExecute"});
    if let Some(added) = added {
        taint["timeAdded"] = added.into();
    }
    taint
}

#[test]
fn a_tolerated_taint_evicts_so_many_seconds_after_it_was_added() {
    let old = taint("old", Some("2026-01-01T00:00:00Z"));
    let new = taint("new", Some("2026-01-01T00:09:50Z"));
    let undated = taint("undated", None);
    let found = |taints: Value, tolerated: &[(&str, i64)], rule: Option<&Value>| {
        let eviction = evicted(&taints, tolerated, rule)?;
        Some((eviction.after_seconds, eviction.at))
    };
    let at = |text: &str| Some(text.to_owned());
    assert_eq!(found(json!([old]), &[("old", 600)], None), Some((Some(600), at("2026-01-01T00:10:00Z"))));
    // The one that ends first counts, not the one that is tolerated for the shortest time.
    assert_eq!(
        found(json!([old, new]), &[("old", 600), ("new", 30)], None),
        Some((Some(600), at("2026-01-01T00:10:00Z")))
    );
    assert_eq!(found(json!([old, undated]), &[("old", 600), ("undated", 30)], None), Some((Some(30), None)));
    assert_eq!(found(json!([]), &[("old", 600)], Some(&old)), Some((Some(600), at("2026-01-01T00:10:00Z"))));
    // One that is not tolerated evicts at once.
    assert_eq!(found(json!([old, new]), &[("old", 600)], None), Some((None, None)));
}
