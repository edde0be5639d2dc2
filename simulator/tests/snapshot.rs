//! Pseudonyms change no verdict, and a shrunk input shows what it was shrunk to.

#[allow(dead_code, reason = "this test uses a part")]
mod support;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::anonymise::{NameKind, Pseudonyms, anonymise};
use drayage_cluster::{Input, LoadOptions, Snapshot, load};
use drayage_simulator::report::{PodOutcome, PodReport, SimulationReport};
use drayage_simulator::schedule::{Options, Prepared, simulate};
use drayage_simulator::snapshot::{Finding, FindingError, Kept, shrink};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::cluster;

fn loaded(objects: &[Value]) -> Snapshot {
    let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    load(&[input], LoadOptions::default()).unwrap()
}

fn options() -> Options {
    Options { explain: false, ..Options::for_release(Release::V1_36) }
}

fn simulated(snapshot: &Snapshot) -> SimulationReport {
    simulate(&Prepared::new(snapshot.clone()), &options(), &mut (), &AtomicBool::new(false)).unwrap()
}

/// What is said of a pod, under the names that `names` gives.
fn verdict(pod: &PodReport, names: &impl Fn(NameKind, &str) -> String) -> Value {
    let devices: Vec<Value> = pod
        .claims
        .iter()
        .flat_map(|claim| &claim.devices)
        .map(|device| {
            json!([device.driver, names(NameKind::Node, &device.pool), device.device, device.request])
        })
        .collect();
    let reasons: Vec<Value> = pod
        .reasons
        .iter()
        .map(|reason| {
            json!([
                reason.plugin,
                reason.reason.split(['{', '"']).next().and_then(|text| text.split("device class ").next()),
                reason.nodes
            ])
        })
        .collect();
    json!({
        "outcome": pod.outcome.as_str(),
        "node": pod.node.as_ref().map(|node| names(NameKind::Node, node)),
        "devices": devices,
        "reasons": reasons,
    })
}

/// The verdicts by pod; pods that a controller made are counted together, since what is behind their names is drawn from
/// the name before.
fn verdicts(
    report: &SimulationReport,
    names: impl Fn(NameKind, &str) -> String,
) -> BTreeMap<String, Vec<String>> {
    let mut verdicts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in &report.pods {
        let name = match &pod.expanded_from {
            Some(workload) => workload.split('/').next().unwrap_or_default().to_owned(),
            None => names(NameKind::Workload, &pod.name),
        };
        let key = format!("{}/{name}", names(NameKind::Namespace, &pod.namespace));
        verdicts.entry(key).or_default().push(verdict(pod, &names).to_string());
    }
    for of_workload in verdicts.values_mut() {
        of_workload.sort();
    }
    verdicts
}

fn assert_same_verdicts(snapshot: &Snapshot) -> Pseudonyms {
    let anonymised = anonymise(&snapshot.raw_objects());
    let renamed = loaded(&anonymised.objects);
    assert_eq!(renamed.object_count(), snapshot.object_count());
    let pseudonyms = anonymised.pseudonyms;
    let before = verdicts(&simulated(snapshot), |kind, name| pseudonyms.of(kind, name));
    let after = verdicts(&simulated(&renamed), |_, name| name.to_owned());
    assert_eq!(before, after);
    pseudonyms
}

/// Names as people have them, that are not in the order of what is in them.
fn with_names(objects: &[Value], seed: u64) -> Vec<Value> {
    let text = Value::from(objects.to_vec()).to_string();
    let names = ["secret-alpha", "secret-b", "a-secret", "zz-secret-9", "secret-10"];
    let mut text = text;
    for number in 0..5_usize {
        let name = names[(number + usize::try_from(seed % 5).unwrap_or(0)) % 5];
        text = text.replace(&format!("\"node-{number}\""), &format!("\"{name}\""));
    }
    let text =
        text.replace("\"ns\"", "\"secret-team\"").replace("\"zone\":\"a\"", "\"zone\":\"secret-zone\"");
    serde_json::from_str(&text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pseudonyms_change_no_verdict(seed: u64) {
        let objects = with_names(&cluster(seed), seed);
        let snapshot = loaded(&objects);
        assert_same_verdicts(&snapshot);
        let text = Value::from(anonymise(&snapshot.raw_objects()).objects).to_string();
        prop_assert!(!text.contains("secret"), "{}", text);
    }
}

/// StatefulSets of which some pods run, with volume claims of their own, of which some are there: made, but for pods that
/// are not. A volume can be used on one node only.
fn stateful(seed: u64) -> Vec<Value> {
    let mut numbers = support::Numbers(seed);
    let owner = |name: &str| json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": name, "controller": true}]);
    let node = |number: u64| format!("{}-secret-node", ["c", "a", "b"][usize::try_from(number).unwrap()]);
    let mut objects = vec![json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "secret-disks"},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
    })];
    for number in 0..3 {
        objects.push(json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": node(number), "labels": {"kubernetes.io/hostname": node(number)}},
            "status": {"allocatable": {"cpu": "8", "memory": "8Gi", "pods": "20"}},
        }));
    }
    for set in 0..=numbers.below(2) {
        let name = ["secret-web", "db-secret-1"][usize::try_from(set).unwrap()];
        let templates = ["secret-data", "log-secret"];
        let templates = &templates[..=usize::try_from(numbers.below(2)).unwrap()];
        let replicas = 1 + numbers.below(4);
        let mut spec = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}},
                              "volumeMounts": [{"name": "secret-scratch", "mountPath": "/secret"}]}]});
        if numbers.chance(30) {
            let claim = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "secret-disks",
                               "resources": {"requests": {"storage": "1Gi"}}});
            spec["volumes"] =
                json!([{"name": "secret-scratch", "ephemeral": {"volumeClaimTemplate": {"spec": claim}}}]);
        }
        let labels = json!({"app": name});
        let claims: Vec<Value> = templates
            .iter()
            .map(|template| {
                json!({
                    "metadata": {"name": template, "labels": {"of": "secret-team"}},
                    "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "secret-disks",
                             "resources": {"requests": {"storage": "1Gi"}}},
                })
            })
            .collect();
        objects.push(json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"namespace": "secret", "name": name, "uid": name},
            "spec": {"serviceName": "secret-service", "replicas": replicas, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels}, "spec": spec}, "volumeClaimTemplates": claims},
        }));
        for pod in 0..replicas {
            let pod_name = format!("{name}-{pod}");
            let at = node(numbers.below(3));
            let is_there = numbers.chance(60);
            for template in templates {
                if !is_there && numbers.chance(40) {
                    continue;
                }
                let (claim, volume) =
                    (format!("{template}-{pod_name}"), format!("secret-{template}-{pod_name}"));
                objects.push(json!({
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "metadata": {"namespace": "secret", "name": claim, "uid": claim, "labels": labels},
                    "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "secret-disks", "volumeName": volume,
                             "resources": {"requests": {"storage": "1Gi"}}},
                    "status": {"phase": "Bound"},
                }));
                objects.push(json!({
                    "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
                    "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "secret-disks",
                             "claimRef": {"namespace": "secret", "name": claim, "uid": claim},
                             "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                                 {"key": "kubernetes.io/hostname", "operator": "In", "values": [at]}]}]}}},
                    "status": {"phase": "Bound"},
                }));
            }
            if is_there && numbers.chance(70) {
                let mut spec = spec.clone();
                spec["nodeName"] = at.into();
                let volumes = templates.iter().map(|template| {
                    json!({"name": template, "persistentVolumeClaim": {"claimName": format!("{template}-{pod_name}")}})
                });
                spec["volumes"] = spec["volumes"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default()
                    .into_iter()
                    .chain(volumes)
                    .collect();
                objects.push(json!({
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": {"namespace": "secret", "name": pod_name, "uid": pod_name, "ownerReferences": owner(name),
                                 "labels": {"app": name, "statefulset.kubernetes.io/pod-name": pod_name}},
                    "spec": spec,
                }));
            }
        }
    }
    objects
}

/// The claims of all pods, those included that controllers make, with their volumes.
fn volume_claims(snapshot: &Snapshot, names: &impl Fn(NameKind, &str) -> String) -> Vec<String> {
    let prepared = Prepared::new(snapshot.clone());
    let claims = prepared.snapshot.persistent_volume_claims.iter();
    let claims = claims.map(|claim| {
        let volume = names(NameKind::Object, &claim.spec.volume_name);
        format!("{} {volume}", names(NameKind::Claim, &claim.metadata.name))
    });
    let mut claims: Vec<String> = claims.collect();
    claims.sort();
    claims
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn claims_of_stateful_sets_belong_to_their_pods_under_pseudonyms(seed: u64) {
        let snapshot = loaded(&stateful(seed));
        let pseudonyms = assert_same_verdicts(&snapshot);
        let anonymised = anonymise(&snapshot.raw_objects()).objects;
        prop_assert_eq!(
            volume_claims(&snapshot, &|kind, name| pseudonyms.of(kind, name)),
            volume_claims(&loaded(&anonymised), &|_, name| name.to_owned())
        );
        let text = Value::from(anonymised).to_string();
        prop_assert!(!text.contains("secret"), "{}", text);
    }
}

#[test]
fn the_examples_have_the_same_verdicts_under_pseudonyms() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut compared = 0;
    for folder in std::fs::read_dir(root).unwrap() {
        let folder = folder.unwrap().path();
        let Ok(snapshot) = load(&[Input::Path(folder)], LoadOptions::default()) else { continue };
        if !snapshot.nodes.is_empty() {
            assert_same_verdicts(&snapshot);
            compared += 1;
        }
    }
    assert!(compared > 12, "{compared}");
}

#[test]
fn what_names_somebody_is_dropped_and_what_belongs_together_stays_so() {
    let owner = |kind: &str, name: &str| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": name, "controller": true}]);
    let objects = [
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "ip-10-1-2-3", "labels": {"kubernetes.io/hostname": "ip-10-1-2-3", "zone": "berlin"},
                         "annotations": {"owner": "mara"}},
            "spec": {"providerID": "aws:///i-0abc", "taints": [{"key": "team", "value": "mara", "effect": "NoSchedule"}]},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"},
                       "addresses": [{"type": "InternalIP", "address": "10.1.2.3"}],
                       "images": [{"names": ["registry.corp/web"], "sizeBytes": 1000}]},
        }),
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "mara-web-0", "namespace": "mara", "labels": {"app": "mara-web"},
                         "annotations": {"contact": "mara"}, "ownerReferences": owner("StatefulSet", "mara-web")},
            "spec": {"nodeSelector": {"zone": "berlin"},
                     "tolerations": [{"key": "team", "operator": "Equal", "value": "mara", "effect": "NoSchedule"}],
                     "containers": [{"name": "mara", "image": "registry.corp/web:latest", "env": [{"name": "TOKEN", "value": "mara"}],
                                     "command": ["mara"]}]},
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "mara-web", "namespace": "mara", "uid": "mara-web"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "mara-web"}}, "template": {
                "metadata": {"labels": {"app": "mara-web"}},
                "spec": {"containers": [{"name": "mara", "image": "registry.corp/web"}]}}},
        }),
    ];
    let snapshot = loaded(&objects);
    let pseudonyms = assert_same_verdicts(&snapshot);
    let text = Value::from(anonymise(&snapshot.raw_objects()).objects).to_string();
    for word in ["mara", "berlin", "10.1.2.3", "10-1-2-3", "corp", "aws", "TOKEN"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    // The pod is the first of its StatefulSet still, so that one more is made and not two.
    let set = pseudonyms.of(NameKind::Workload, "mara-web");
    assert_eq!(pseudonyms.of(NameKind::Workload, "mara-web-0"), format!("{set}-0"));
    assert_eq!(simulated(&loaded(&anonymise(&snapshot.raw_objects()).objects)).pods.len(), 2);
}

#[test]
fn what_is_shrunk_to_a_pod_has_that_pod_pending_for_the_same_reasons() {
    let options = options();
    let mut shrunk_ones = 0;
    for seed in 0..60 {
        let objects = cluster(seed);
        let snapshot = loaded(&objects);
        let report = simulated(&snapshot);
        let Some(pod) = report
            .pods
            .iter()
            .find(|pod| pod.outcome == PodOutcome::Unschedulable && pod.expanded_from.is_none())
        else {
            continue;
        };
        let finding = Finding::Pending(format!("{}/{}", pod.namespace, pod.name));
        let kept = Kept::of(&finding, &snapshot, &options).unwrap();
        let raw: Vec<Value> = snapshot.raw_objects().into_iter().map(|object| object.value).collect();
        let shrunk = shrink(raw.clone(), &kept, &options, 3000, &mut ());
        assert!(shrunk.objects.len() < raw.len(), "seed {seed}");
        assert_eq!(Kept::of(&finding, &loaded(&shrunk.objects), &options).unwrap(), kept, "seed {seed}");
        if !shrunk.limited {
            for at in 0..shrunk.objects.len() {
                let mut fewer = shrunk.objects.clone();
                fewer.remove(at);
                assert!(
                    fewer.is_empty() || !kept.is_in(&fewer, &options),
                    "seed {seed}: object {at} is superfluous"
                );
            }
        }
        shrunk_ones += 1;
        if shrunk_ones == 8 {
            break;
        }
    }
    assert_eq!(shrunk_ones, 8);
}

#[test]
fn a_finding_that_is_not_there_is_an_error() {
    let snapshot = loaded(&cluster(1));
    let pod = Kept::of(&Finding::Pending("ns/none".to_owned()), &snapshot, &options());
    assert_eq!(pod.unwrap_err(), FindingError::PodMissing { name: "ns/none".to_owned() });
    let rule = Kept::of(&Finding::Rule("DRA999".to_owned()), &snapshot, &options());
    assert_eq!(rule.unwrap_err(), FindingError::NoFinding { code: "DRA999".to_owned() });
}
