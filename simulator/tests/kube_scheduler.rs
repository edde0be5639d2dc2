//! What kube-scheduler 1.36.3 decided about the examples (recorded in the folder `kube-scheduler-1.36.3`) and about
//! random clusters (recorded in `fixtures/kube-scheduler-1.36.3.jsonl`).
//!
//! It was given the pods one at a time, in the order of their creation, with a controller beside it that makes
//! claims from templates and one that reports binding conditions as met. The objects are such that its decisions
//! do not hang on chance. Of its messages, the part before preemption is kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::gates::FeatureGates;
use drayage_simulator::report::{DeviceReport, PodOutcome, PodReport};
use drayage_simulator::schedule::{Options, Prepared, simulate};
use serde_json::Value;

/// One pod as the records have it.
#[derive(Debug, PartialEq)]
struct Decision {
    node: Option<String>,
    claims: BTreeMap<String, Vec<String>>,
    message: Option<String>,
}

fn recorded(pod: &Value) -> Decision {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let claims = pod["claims"].as_object().unwrap();
    Decision {
        node: text(&pod["node"]),
        claims: claims
            .iter()
            .map(|(name, devices)| {
                (name.clone(), devices.as_array().unwrap().iter().filter_map(text).collect())
            })
            .collect(),
        message: text(&pod["message"]),
    }
}

fn found(pod: &PodReport) -> Decision {
    let device = |device: &DeviceReport| {
        let mut parts =
            vec![device.request.clone(), format!("{}/{}/{}", device.driver, device.pool, device.device)];
        parts.extend(device.consumed_capacity.iter().map(|(name, amount)| format!("{name}={amount}")));
        parts.join(" ")
    };
    let claims = pod
        .claims
        .iter()
        // The record has a pod's claims only where it was placed.
        .filter(|_| pod.outcome == PodOutcome::Scheduled)
        .map(|claim| {
            let name = claim.pod_claim.clone().unwrap_or_else(|| "extended resources".to_owned());
            (name, claim.devices.iter().map(device).collect())
        })
        .collect();
    // The end of a generated name is random in a cluster; the record has an `x` there.
    let mut message = pod.message.clone();
    for claim in pod.claims.iter().filter(|claim| claim.generated) {
        let (base, _) = claim.name.rsplit_once('-').unwrap();
        message = message.map(|message| message.replace(&claim.name, &format!("{base}-x")));
    }
    Decision { node: pod.node.clone(), claims, message }
}

/// The manifests of an example.
fn manifests(folder: &Path) -> Vec<Input> {
    let yaml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(yaml).map(Input::Path).collect()
}

fn decisions(inputs: &[Input], gates: &str) -> BTreeMap<String, Decision> {
    let snapshot = load(inputs, LoadOptions::default()).unwrap();
    let gates = FeatureGates::parse(Release::V1_36, gates).unwrap();
    let options = Options { gates, ..Options::for_release(Release::V1_36) };
    let report = simulate(&Prepared::new(snapshot), &options, &mut (), &AtomicBool::new(false)).unwrap();
    report
        .pods
        .iter()
        .filter(|pod| pod.outcome != PodOutcome::AlreadyRunning)
        .map(|pod| (format!("{}/{}", pod.namespace, pod.name), found(pod)))
        .collect()
}

/// Compares the pods of one record; returns what differs and how many there are.
fn differences(place: &str, inputs: &[Input], record: &Value) -> (Vec<String>, usize) {
    let gates = record["featureGates"].as_str().unwrap_or_default();
    let found = decisions(inputs, gates);
    let pods = record["pods"].as_object().unwrap();
    let differences = pods.iter().filter_map(|(name, pod)| {
        let recorded = recorded(pod);
        let found = found.get(name);
        (found != Some(&recorded))
            .then(|| format!("{place} {gates} {name}\n  recorded {recorded:?}\n  found    {found:?}"))
    });
    (differences.collect(), pods.len())
}

#[test]
fn decisions_about_the_examples_are_the_schedulers() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compared = 0;
    let mut all = Vec::new();
    for entry in fs::read_dir(package.join("tests/kube-scheduler-1.36.3")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let folder = package.join("../examples").join(path.file_stem().unwrap());
        let record: Value = serde_json::from_str(&text).unwrap();
        for run in record["runs"].as_array().unwrap() {
            let (found, pods) = differences(&folder.display().to_string(), &manifests(&folder), run);
            all.extend(found);
            compared += pods;
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
    assert!(compared > 50, "{compared}");
}

/// Small clusters made at random, with every feature of the allocator. Each pod selects one node, so that the
/// scheduler has no choice among nodes.
#[test]
fn decisions_about_random_clusters_are_the_schedulers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kube-scheduler-1.36.3.jsonl");
    let text = fs::read_to_string(path).unwrap();
    let mut compared = 0;
    let mut all = Vec::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let objects =
            serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": record["objects"] }).to_string();
        let input = Input::Bytes { name: "objects.json".to_owned(), bytes: objects.into_bytes() };
        let (found, pods) = differences(&format!("seed {}", record["seed"]), &[input], &record);
        all.extend(found);
        compared += pods;
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
    assert!(compared > 250, "{compared}");
}
