//! Part `what-if`: what `dray scale-up` and `dray drain` announce is really done, with the cluster's own controllers.
//!
//! ReplicaSets make pods, the scheduler places what it can; the answer to the question is found from the objects as
//! they are then. For *scale-up* the nodes of the answer are created with their slices, and the pods that it names must
//! get nodes, no others. For *drain* the node is cordoned and its pods evicted through the API: where the answer is that
//! it can go, every eviction is granted and all pods get nodes again; where a budget blocks it, the eviction is refused;
//! where there is no place, some pod stays without a node.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use drayage_crds::NodeGroup;
use drayage_simulator::schedule::{Options, Prepared};
use drayage_simulator::what_if::Ground;
use drayage_simulator::what_if::drain::{DrainOptions, drain};
use drayage_simulator::what_if::node_groups::Group;
use drayage_simulator::what_if::scale_up::expander::{Expander, ExpanderContext};
use drayage_simulator::what_if::scale_up::{NodeLimits, ScaleUpQuestion, scale_up};
use serde_json::{Value, json};

use crate::api::{Api, ApiError};
use crate::generators::Numbers;
use crate::kinds::{self, Kind};
use crate::rows::Rows;
use crate::{live, ours};

const NAMESPACE: &str = "what-if";

/// Compares `count` clusters with either question.
pub(crate) fn run(api: &Api, rows: &mut Rows, count: u64) -> Result<(), ApiError> {
    let options = ours::options().map_err(ApiError::Nowhere)?;
    let (mut pods, mut left, mut nodes, mut different) = (0, 0, 0, Vec::new());
    for seed in 1..=count {
        let grown = grow(api, &options, seed)?;
        pods += grown.pods;
        nodes += grown.nodes;
        left += grown.left;
        if let Some(difference) = grown.difference {
            eprintln!("scale-up, seed {seed}: {difference}");
            different.push(format!("seed {seed} ({difference})"));
        }
    }
    let compared =
        format!("{count} clusters, {nodes} new nodes for {pods} pods, {left} pods that none helps");
    rows.add(
        "`dray scale-up`: the new nodes take the pods that it says",
        &compared,
        &different,
        nodes > 0 && left > 0,
    );
    let mut counts = [0; 3];
    different.clear();
    for seed in 1..=count {
        if let Some((outcome, difference)) = empty(api, &options, seed)? {
            counts[outcome as usize] += 1;
            if let Some(difference) = difference {
                eprintln!("drain, seed {seed}: {difference}");
                different.push(format!("seed {seed} ({difference})"));
            }
        }
    }
    let [goes, blocked, stuck] = counts;
    let compared = format!(
        "{count} clusters: {goes} nodes can go, {blocked} are blocked by a budget, {stuck} have pods without another place"
    );
    rows.add(
        "`dray drain`: evictions and new places",
        &compared,
        &different,
        goes > 0 && blocked > 0 && stuck > 0,
    );
    Ok(())
}

/// What a drain comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Goes,
    Blocked,
    NoPlace,
}

fn kind(name: &str) -> Result<Kind, ApiError> {
    let known = kinds::KINDS.into_iter().find(|kind| kind.name == name);
    known.ok_or_else(|| ApiError::Unplaced(name.to_owned()))
}

fn machine(name: &str, cpu: u64, group: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "group": group}},
        "status": {"allocatable": {"cpu": cpu.to_string(), "memory": "64Gi", "pods": "20"}},
    })
}

fn slice(node: &str, devices: u64) -> Value {
    let devices: Vec<Value> = (0..devices)
        .map(|at| json!({"name": format!("gpu-{at}"), "attributes": {"numa": {"int": at / 2}}}))
        .collect();
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": format!("gpus-{node}")},
        "spec": {
            "driver": "gpu.example.com", "nodeName": node, "devices": devices,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
        },
    })
}

/// Class, templates and namespace.
fn fixed() -> Vec<Value> {
    let template = |name: &str, count: u64, constraints: Value| {
        let request = json!({"name": "gpu", "exactly": {"deviceClassName": "gpu", "count": count}});
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
            "metadata": {"namespace": NAMESPACE, "name": name},
            "spec": {"spec": {"devices": {"requests": [request], "constraints": constraints}}},
        })
    };
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"},
            "spec": {"selectors": [{"cel": {"expression": "device.driver == 'gpu.example.com'"}}]},
        }),
        template("one", 1, json!([])),
        template("pair", 2, json!([{"requests": ["gpu"], "matchAttribute": "gpu.example.com/numa"}])),
        template("five", 5, json!([])),
    ]
}

/// Pods of a ReplicaSet: with a claim from a template, or without.
fn replicas(name: &str, count: u64, cpu: &str, template: Option<&str>) -> Value {
    let mut spec = json!({
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": "registry.example.com/app:1", "resources": {"requests": {"cpu": cpu}}}],
    });
    if let Some(template) = template {
        spec["resourceClaims"] = json!([{"name": "gpu", "resourceClaimTemplateName": template}]);
    }
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": {
            "replicas": count, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    })
}

/// Makes a cluster, pods last, so that the scheduler knows everything when it first sees one.
fn make(api: &Api, objects: &[Value]) -> Result<(), ApiError> {
    let (pods, there): (Vec<&Value>, Vec<&Value>) =
        objects.iter().partition(|object| object["kind"] == "ReplicaSet");
    live::make(api, &there)?;
    live::settle(api)?;
    live::make(api, &pods)?;
    Ok(())
}

/// Waits until all pods are there and the scheduler has had a look at each; makes those with a node run, as a kubelet
/// would. Gives all pods.
fn come_to_rest(api: &Api, wanted: u64) -> Result<Vec<Value>, ApiError> {
    let pods = kind("Pod")?;
    let mut quiet = None;
    Api::wait(60, "pods at rest", || {
        let all = api.list(pods)?;
        let mut at_rest = all.len() as u64 == wanted;
        for pod in &all {
            let conditions = pod["status"]["conditions"].as_array();
            let looked_at =
                conditions.into_iter().flatten().any(|condition| condition["reason"] == "Unschedulable");
            if pod["spec"]["nodeName"].is_null() {
                at_rest &= looked_at;
            } else if pod["status"]["phase"] != "Running" {
                at_rest = false;
                let ready = json!({"type": "Ready", "status": "True"});
                let status = json!({"status": {"phase": "Running", "conditions": [ready]}});
                match api.merge(pod, "/status", &status) {
                    Ok(_) | Err(ApiError::Refused { code: 404 | 409, .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            at_rest &= pod["metadata"]["deletionTimestamp"].is_null();
        }
        if !at_rest {
            quiet = None;
            return Ok(None);
        }
        // A pod that was refused is tried again seconds after something happened that might help it.
        let waits = all.iter().any(|pod| pod["spec"]["nodeName"].is_null());
        let patience = Duration::from_millis(if waits { 4_000 } else { 500 });
        let since = *quiet.get_or_insert_with(Instant::now);
        Ok((since.elapsed() > patience).then_some(all))
    })
}

fn without_node(pods: &[Value]) -> Vec<String> {
    let waiting = pods.iter().filter(|pod| pod["spec"]["nodeName"].is_null());
    let mut names: Vec<String> = waiting
        .map(|pod| format!("{NAMESPACE}/{}", pod["metadata"]["name"].as_str().unwrap_or_default()))
        .collect();
    names.sort();
    names
}

/// Asks about the cluster as it is.
fn ask<T>(
    api: &Api,
    options: &Options,
    question: impl FnOnce(&Ground<'_>) -> Result<T, String>,
) -> Result<T, ApiError> {
    let snapshot = ours::read(&api.snapshot()?).map_err(ApiError::Nowhere)?;
    let prepared = Prepared::new(snapshot);
    let ground = Ground { prepared: &prepared, options, cancel: &AtomicBool::new(false) };
    question(&ground).map_err(ApiError::Nowhere)
}

/// What an answer to *scale-up* says, and what really came otherwise.
struct Grown {
    pods: usize,
    nodes: usize,
    left: usize,
    difference: Option<String>,
}

/// Adds the nodes that the answer names.
fn grow(api: &Api, options: &Options, seed: u64) -> Result<Grown, ApiError> {
    api.clear()?;
    let mut numbers = Numbers(seed.wrapping_mul(77));
    let mut objects = fixed();
    objects.push(machine("old", 2, "none"));
    let (cpu, devices) = (4 + 4 * numbers.below(3), 2 + 2 * numbers.below(2));
    // One of the three kinds of claims, so that the order in which the scheduler fills nodes makes no difference.
    let template = ["one", "pair"][usize::try_from(numbers.below(2)).unwrap_or(0)];
    let (with, plain) = (1 + numbers.below(9), numbers.below(6));
    let huge = u64::from(numbers.chance(60));
    objects.push(replicas("gpu", with, "1", Some(template)));
    objects.push(replicas("plain", plain, "1", None));
    objects.push(replicas("huge", huge, "1", Some("five")));
    make(api, &objects)?;
    come_to_rest(api, with + plain + huge)?;
    let group = json!({
        "apiVersion": "drayage.dev/v1alpha1", "kind": "NodeGroup", "metadata": {"name": "gpus"},
        "spec": {
            "maxSize": 30, "members": {"group": "gpus"},
            "template": {"node": machine("template", cpu, "gpus"), "resourceSlices": [slice("template", devices)]},
        },
    });
    let report = ask(api, options, |ground| {
        let group: NodeGroup = serde_json::from_value(group).map_err(|error| error.to_string())?;
        let group = Group::new(&group, &ground.prepared.snapshot).map_err(|error| error.to_string())?;
        let question = ScaleUpQuestion {
            groups: vec![group],
            chain: vec![Expander::LeastWaste],
            context: ExpanderContext::default(),
            limits: NodeLimits { per_scale_up: 1000, in_total: 0 },
            balance: None,
            scheduler_first: true,
            seed: None,
            gpu_label: None,
            rounds: 10,
        };
        scale_up(ground, &question, &mut ()).map_err(|error| error.to_string())
    })?;
    let nodes = report.cluster_autoscaler.nodes;
    let add = |numbers: std::ops::Range<usize>| {
        let new = |number: usize| {
            let name = format!("new-{number}");
            [machine(&name, cpu, "gpus"), slice(&name, devices)]
        };
        let objects: Vec<Value> = numbers.flat_map(new).collect();
        live::make(api, &objects.iter().collect::<Vec<_>>())
    };
    let mut left: Vec<String> = report.left.iter().map(|pod| pod.pod.clone()).collect();
    left.sort();
    // With one node fewer some pod that the answer places has to wait, where the answer is proven to be the best.
    let proven =
        report.fewest_nodes.certainty == Some("proven") && report.fewest_nodes.nodes == nodes && nodes > 0;
    let mut difference = None;
    let first = if proven { nodes - 1 } else { nodes };
    add(0..first)?;
    live::settle(api)?;
    if proven {
        let waiting = without_node(&come_to_rest(api, with + plain + huge)?);
        if waiting.len() <= left.len() {
            difference = Some(format!("{first} of the {nodes} new nodes are enough"));
        }
        add(first..nodes)?;
        live::settle(api)?;
    }
    let waiting = without_node(&come_to_rest(api, with + plain + huge)?);
    if waiting != left && difference.is_none() {
        difference = Some(format!("with {nodes} new nodes {waiting:?} wait, the answer has {left:?}"));
    }
    Ok(Grown { pods: report.cluster_autoscaler.pods, nodes, left: left.len(), difference })
}

/// Drains a node; what the answer says, and what really came otherwise.
fn empty(api: &Api, options: &Options, seed: u64) -> Result<Option<(Outcome, Option<String>)>, ApiError> {
    api.clear()?;
    let mut numbers = Numbers(seed.wrapping_mul(991));
    let mut objects = fixed();
    let nodes = 2 + numbers.below(3);
    let devices = 2 + 2 * numbers.below(2);
    for number in 0..nodes {
        let name = format!("node-{number}");
        objects.push(machine(&name, 6, "gpus"));
        objects.push(slice(&name, devices));
    }
    let with = 1 + numbers.below(nodes * devices);
    let plain = 1 + numbers.below(nodes);
    objects.push(replicas("gpu", with, "500m", Some("one")));
    objects.push(replicas("plain", plain, "1", None));
    if numbers.chance(35) {
        objects.push(json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"namespace": NAMESPACE, "name": "gpu"},
            "spec": {"minAvailable": with, "selector": {"matchLabels": {"app": "gpu"}}},
        }));
    }
    make(api, &objects)?;
    let before = come_to_rest(api, with + plain)?;
    let name = format!("node-{}", numbers.below(nodes));
    let here: Vec<&Value> = before.iter().filter(|pod| pod["spec"]["nodeName"] == *name).collect();
    // A budget counts once its controller has seen the pods.
    await_budgets(api)?;
    let names = [name.clone()];
    let report = ask(api, options, |ground| {
        drain(ground, &names, &DrainOptions::default()).map_err(|error| error.to_string())
    })?;
    let Some(answer) = report.nodes.first() else { return Ok(None) };
    let outcome = match (answer.removable, answer.reason) {
        (true, _) => Outcome::Goes,
        (false, Some("BlockedByPod")) => Outcome::Blocked,
        (false, _) => Outcome::NoPlace,
    };
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    api.merge(&node, "", &json!({"spec": {"unschedulable": true}}))?;
    let mut refused = 0;
    for pod in &here {
        let pod_name = pod["metadata"]["name"].clone();
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"namespace": NAMESPACE, "name": pod_name}, "deleteOptions": {"gracePeriodSeconds": 0},
        });
        let path = format!("{}/eviction", kinds::object_path(pod).unwrap_or_default());
        match api.send("POST", &path, &eviction) {
            Ok(_) => {}
            Err(ApiError::Refused { code: 429, .. }) => refused += 1,
            Err(error) => return Err(error),
        }
    }
    let after = come_to_rest(api, with + plain)?;
    let (was, is) = (without_node(&before).len(), without_node(&after).len());
    let real = match (refused, is > was) {
        (0, false) => Outcome::Goes,
        (0, true) => Outcome::NoPlace,
        _ => Outcome::Blocked,
    };
    let said = format!("{:?} {}", answer.reason, answer.message.as_deref().unwrap_or_default());
    let text = format!(
        "{name}: answer {outcome:?} ({said}), really {real:?}: {refused} of {} evictions refused, {was} pods without a node before, {is} after",
        here.len()
    );
    Ok(Some((outcome, (real != outcome).then_some(text))))
}

fn await_budgets(api: &Api) -> Result<(), ApiError> {
    let budgets = kind("PodDisruptionBudget")?;
    let mut behind = Vec::new();
    let seen = Api::wait(30, "budgets with a status", || {
        behind = api.list(budgets)?;
        behind.retain(|budget| {
            budget["status"]["observedGeneration"] != budget["metadata"]["generation"]
                || budget["status"]["currentHealthy"].as_i64().unwrap_or_default()
                    < budget["status"]["expectedPods"].as_i64().unwrap_or_default()
        });
        Ok(behind.is_empty().then_some(()))
    });
    for budget in &behind {
        eprintln!("behind: {budget}");
    }
    seen
}
