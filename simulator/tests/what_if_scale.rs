//! `scale-up` and `scale-down` on cases that cluster-autoscaler's own tests have, re-created, and on devices.

use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_crds::NodeGroup;
use drayage_simulator::report::ScaleUpReport;
use drayage_simulator::schedule::{Options, Prepared};
use drayage_simulator::what_if::Ground;
use drayage_simulator::what_if::node_groups::Group;
use drayage_simulator::what_if::scale_up::expander::{Expander, ExpanderContext};
use drayage_simulator::what_if::scale_up::{NodeLimits, ScaleUpQuestion, scale_up};
use serde_json::{Value, json};

fn group(name: &str, cpu: &str, memory: &str, pods: u32, devices: usize) -> Value {
    let devices: Vec<Value> = (0..devices).map(|number| json!({"name": format!("gpu-{number}")})).collect();
    let slices = if devices.is_empty() {
        json!([])
    } else {
        let pool = json!({"name": "gpus", "generation": 1, "resourceSliceCount": 1});
        json!([{"spec": {"driver": "gpu.example.com", "pool": pool, "devices": devices}}])
    };
    let capacity = json!({"cpu": cpu, "memory": memory, "pods": pods.to_string()});
    json!({
        "apiVersion": "drayage.dev/v1alpha1", "kind": "NodeGroup", "metadata": {"name": name},
        "spec": {
            "maxSize": 100, "pricePerHour": 1.0,
            "template": {"node": {"status": {"capacity": capacity}}, "resourceSlices": slices},
        },
    })
}

fn deployment(name: &str, replicas: u32, cpu: &str, memory: &str, extra: &Value) -> Value {
    let mut container = json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}});
    if let Some(ports) = extra.get("ports") {
        container["ports"] = ports.clone();
    }
    let claims = extra.get("resourceClaims").cloned().unwrap_or(json!([]));
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [container], "resourceClaims": claims},
        }},
    })
}

fn grown(groups: &[Value], mut objects: Vec<Value>, limits: NodeLimits) -> ScaleUpReport {
    let capacity = json!({"cpu": "1m", "memory": "1", "pods": "10"});
    objects.push(json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "oldnode"}, "status": {"capacity": capacity},
    }));
    let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    let prepared = Prepared::new(load(&[input], LoadOptions::default()).unwrap());
    let read = |group: &Value| {
        let group: NodeGroup = serde_json::from_value(group.clone()).unwrap();
        Group::new(&group, &prepared.snapshot).unwrap()
    };
    let question = ScaleUpQuestion {
        groups: groups.iter().map(read).collect(),
        chain: vec![Expander::LeastWaste],
        context: ExpanderContext::default(),
        limits,
        balance: None,
        scheduler_first: true,
        seed: None,
        gpu_label: None,
        rounds: 1,
    };
    let options = Options { explain: false, ..Options::for_release(Release::V1_36) };
    let ground = Ground { prepared: &prepared, options: &options, cancel: &AtomicBool::new(false) };
    scale_up(&ground, &question, &mut ()).unwrap()
}

/// Nodes and pods of the first round's only option.
fn estimated(cpu: &str, memory: &str, deployments: Vec<Value>, most: usize) -> (usize, usize) {
    let limits = NodeLimits { per_scale_up: most, in_total: 0 };
    let report = grown(&[group("g", cpu, memory, 10, 0)], deployments, limits);
    let option = &report.rounds[0].options[0];
    (option.nodes, option.pods)
}

#[test]
fn binpacking_gives_cluster_autoscalers_counts() {
    let none = json!({});
    let simple = vec![deployment("a", 10, "350m", "1000", &none)];
    assert_eq!(estimated("1000m", "2000", simple, 0), (5, 10), "by resources");
    let small = vec![deployment("a", 20, "10m", "100", &none)];
    assert_eq!(estimated("10", "20000", small, 0), (2, 20), "by pods of a node");
    let ports = json!({"ports": [{"containerPort": 80, "hostPort": 5555}]});
    let with_port = vec![deployment("a", 8, "200m", "1000", &ports)];
    assert_eq!(estimated("1", "5000", with_port, 0), (8, 8), "by host port");
    let many = vec![deployment("a", 20, "500m", "1000", &none)];
    assert_eq!(estimated("1", "5000", many, 5), (5, 10), "by the limit");
}

#[test]
fn bigger_pods_come_first() {
    let none = json!({});
    let both = vec![deployment("a", 10, "150m", "1000", &none), deployment("b", 10, "500m", "1000", &none)];
    let limits = NodeLimits { per_scale_up: 5, in_total: 0 };
    let report = grown(&[group("g", "1", "5000", 10, 0)], both, limits);
    let option = &report.rounds[0].options[0];
    // The big ones fill the five nodes that the limit allows.
    assert_eq!((option.nodes, option.pods, option.limited), (5, 10, true));
    assert!(option.waste.cpu.abs() < 1e-9, "{option:?}");
}

#[test]
fn devices_decide_and_bounds_prove_it() {
    let template = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "two"},
        "spec": {"spec": {"devices": {"requests": [
            {"name": "gpus", "exactly": {"deviceClassName": "gpu", "count": 2}},
        ]}}},
    });
    let class =
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"}});
    let claims = json!({"resourceClaims": [{"name": "gpus", "resourceClaimTemplateName": "two"}]});
    let objects = vec![template, class, deployment("a", 6, "1", "1000", &claims)];
    let groups = [group("plain", "64", "64000", 10, 0), group("gpus", "64", "64000", 10, 4)];
    let report = grown(&groups, objects, NodeLimits::default());
    // Two pods a node, whatever CPU says; the group without devices is no option.
    assert_eq!(report.rounds[0].options.len(), 1);
    assert_eq!((report.rounds[0].group.as_str(), report.cluster_autoscaler.nodes), ("gpus", 3));
    assert_eq!((report.node_bound, report.fewest_nodes.certainty), (3, Some("proven")));
    assert_eq!(report.cluster_autoscaler.waste.devices, Some(0.0));
    assert_eq!(report.cheapest.as_ref().and_then(|plan| plan.price_per_hour), Some(3.0));
    assert!(report.left.is_empty());
}

#[test]
fn fewer_nodes_than_packing_by_size_are_found_and_proven() {
    let sizes = ["5", "4", "4", "3", "2", "2"];
    let none = json!({});
    let pods = sizes.iter().enumerate();
    let pods = pods.map(|(number, cpu)| deployment(&format!("app-{number}"), 1, cpu, "1", &none)).collect();
    let report = grown(&[group("g", "10", "20000", 10, 0)], pods, NodeLimits::default());
    // The biggest first: 5+4, 4+3+2, 2. But 5+3+2 and 4+4+2 fill two nodes.
    assert_eq!(report.cluster_autoscaler.nodes, 3);
    assert_eq!((report.fewest_nodes.nodes, report.node_bound), (2, 2));
    assert_eq!(report.fewest_nodes.certainty, Some("proven"));
    assert_eq!(report.cheapest.as_ref().map(|plan| plan.certainty), Some(Some("proven")));
    assert_eq!(report.differences.len(), 2, "{:?}", report.differences);
}

#[test]
fn the_cheapest_nodes_are_proven_where_small_nodes_are_cheaper() {
    let none = json!({});
    let pods = vec![deployment("a", 5, "2", "1", &none)];
    let mut small = group("small", "4", "20000", 10, 0);
    small["spec"]["pricePerHour"] = 1.0.into();
    let mut large = group("large", "8", "20000", 10, 0);
    large["spec"]["pricePerHour"] = 1.75.into();
    let report = grown(&[small, large], pods, NodeLimits::default());
    let cheapest = report.cheapest.as_ref().unwrap();
    // Ten of CPU: one large node and one small one.
    assert_eq!((cheapest.price_per_hour, cheapest.certainty), (Some(2.75), Some("proven")));
    assert_eq!((report.fewest_nodes.nodes, report.fewest_nodes.certainty), (2, Some("proven")));
}

#[test]
fn topology_spread_counts_all_nodes_not_only_the_one_that_is_tried() {
    let mut spread = deployment("a", 4, "1", "1", &json!({}));
    spread["spec"]["template"]["spec"]["topologySpreadConstraints"] = json!([{
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "a"}},
    }]);
    let full = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "full", "labels": {"kubernetes.io/hostname": "full"}},
        "status": {"capacity": {"cpu": "1m", "memory": "1", "pods": "10"}},
    });
    let report = grown(&[group("g", "10", "20000", 10, 0)], vec![spread, full], NodeLimits::default());
    // The full node stays without such a pod, so none may have two.
    assert_eq!((report.cluster_autoscaler.nodes, report.cluster_autoscaler.pods), (4, 4));
}
