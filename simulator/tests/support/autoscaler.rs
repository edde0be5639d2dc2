//! Random clusters with node groups for the real cluster-autoscaler.
//!
//! Records name cases by their seeds, so a change here makes them void.

use super::support::Numbers;
use serde_json::{Value, json};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";
const DRIVER: &str = "gpu.example.com";
const SAFE: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";

/// A kind of machine.
struct Shape {
    labels: Value,
    taints: Value,
    capacity: Value,
    allocatable: Value,
    /// Slices without their node, their pool named `pool`.
    slices: Vec<Value>,
    /// Names of devices that can be held at the same time.
    devices: Vec<String>,
}

/// What a case is about: objects, node groups, flags.
pub(crate) fn case(seed: u64) -> Value {
    let mut numbers = Numbers(seed.wrapping_mul(0x1234_5677) ^ 0x5eed);
    let shapes: Vec<Shape> = (0..=numbers.below(3)).map(|_| shape(&mut numbers)).collect();
    let mut objects = fixed_objects();
    let workloads = workloads(&mut numbers, &mut objects);
    let groups = groups(&mut numbers, &shapes);
    let nodes = nodes(&mut numbers, &shapes, &workloads, &mut objects);
    pending(&mut numbers, &workloads, &mut objects);
    let per_scale_up = if numbers.chance(20) { 1 + numbers.below(4) } else { 1000 };
    let total = if numbers.chance(15) { nodes + 1 + numbers.below(3) } else { 0 };
    json!({
        "objects": objects, "groups": groups,
        "flags": {
            "maxNodesPerScaleup": per_scale_up, "maxNodesTotal": total, "balanceSimilarNodeGroups": numbers.chance(40),
            "scaleDownUtilizationThreshold": ([0.5, 0.5, 0.75, 1.0][at(&mut numbers, 4)]),
            "now": "2026-01-02T00:00:00Z",
        },
    })
}

fn fixed_objects() -> Vec<Value> {
    let class = |name: &str, expression: &str| {
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name},
            "spec": {"selectors": [{"cel": {"expression": expression}}]},
        })
    };
    let template = |name: &str, spec: Value| {
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
            "metadata": {"namespace": "ns", "name": name}, "spec": {"spec": {"devices": spec}},
        })
    };
    let exactly = |what: Value| json!({"requests": [{"name": "gpu", "exactly": what}]});
    let mut pair = exactly(json!({"deviceClassName": "any", "count": 2}));
    pair["constraints"] = json!([{"requests": ["gpu"], "matchAttribute": "gpu.example.com/numa"}]);
    let claim = |name: &str, spec: Value| {
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
            "metadata": {"namespace": "ns", "name": name}, "spec": {"devices": spec},
        })
    };
    vec![
        class("any", &format!("device.driver == '{DRIVER}'")),
        class("big", &format!("device.attributes['{DRIVER}'].model == 'b'")),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}}),
        template("one", exactly(json!({"deviceClassName": "any"}))),
        template("two", exactly(json!({"deviceClassName": "any", "count": 2}))),
        template("pair", pair),
        template("all", exactly(json!({"deviceClassName": "big", "allocationMode": "All"}))),
        template(
            "either",
            json!({"requests": [{"name": "gpu", "firstAvailable": [
                {"name": "large", "deviceClassName": "big", "count": 2}, {"name": "small", "deviceClassName": "any"},
            ]}]}),
        ),
        claim("shared", exactly(json!({"deviceClassName": "any"}))),
        claim("other", exactly(json!({"deviceClassName": "big"}))),
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"namespace": "kube-system", "name": "dns", "uid": "ReplicaSet-dns"},
            "spec": {
                "replicas": 0, "selector": {"matchLabels": {"app": "dns"}},
                "template": {
                    "metadata": {"labels": {"app": "dns"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
                },
            },
        }),
        // Its pods on nodes of the cluster are listed; new nodes get one each.
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"namespace": "ns", "name": "agent", "uid": "DaemonSet-agent"},
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "template": {
                    "metadata": {"labels": {"app": "agent"}},
                    "spec": {
                        "nodeSelector": {"made": "new"}, "tolerations": [{"operator": "Exists"}],
                        "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}],
                    },
                },
            },
        }),
    ]
}

fn shape(numbers: &mut Numbers) -> Shape {
    let cpu = 1 + numbers.below(8);
    let memory = 2 + numbers.below(15);
    let pods = (3 + numbers.below(8)).to_string();
    let capacity = json!({"cpu": cpu.to_string(), "memory": format!("{memory}Gi"), "pods": pods});
    let mut allocatable = capacity.clone();
    if numbers.chance(40) {
        allocatable["cpu"] = format!("{}m", cpu * 1000 - 100).into();
        allocatable["memory"] = format!("{}Mi", memory * 1024 - 200).into();
    }
    let taints = if numbers.chance(20) {
        json!([{"key": "gpu", "effect": (["NoSchedule", "PreferNoSchedule"][at(numbers, 2)])}])
    } else {
        json!([])
    };
    let labels = json!({"disk": (["ssd", "hdd"][at(numbers, 2)]), ZONE: (["a", "b"][at(numbers, 2)])});
    let (slices, devices) = match numbers.below(10) {
        0..=3 => (Vec::new(), Vec::new()),
        4 => partitionable(numbers),
        _ => plain(numbers),
    };
    Shape { labels, taints, capacity, allocatable, slices, devices }
}

fn slice(count: u64, mut more: Value) -> Value {
    more["driver"] = DRIVER.into();
    more["pool"] = json!({"name": "pool", "generation": 1, "resourceSliceCount": count});
    more
}

fn plain(numbers: &mut Numbers) -> (Vec<Value>, Vec<String>) {
    let slices = 1 + numbers.below(2);
    let mut names = Vec::new();
    let mut made = Vec::new();
    let multiple = numbers.chance(12);
    for number in 0..slices {
        let devices: Vec<Value> = (0..=numbers.below(3))
            .map(|device| {
                let name = format!("gpu-{number}-{device}");
                names.push(name.clone());
                let mut device = json!({
                    "name": name,
                    "attributes": {
                        "model": {"string": (["a", "b"][at(numbers, 2)])}, "numa": {"int": numbers.below(2)},
                    },
                    "capacity": {"memory": {"value": "16Gi"}},
                });
                if multiple {
                    device["allowMultipleAllocations"] = true.into();
                    device["capacity"] = json!({"memory": {
                        "value": "16Gi",
                        "requestPolicy": {"default": "6Gi", "validRange": {"min": "1Gi", "max": "16Gi"}},
                    }});
                } else if numbers.chance(5) {
                    device["taints"] = json!([{"key": "health", "effect": "NoSchedule"}]);
                }
                device
            })
            .collect();
        made.push(slice(slices, json!({"devices": devices})));
    }
    // Shared devices are not held from the start.
    (made, if multiple { Vec::new() } else { names })
}

/// Devices that are whole or in halves.
fn partitionable(numbers: &mut Numbers) -> (Vec<Value>, Vec<String>) {
    let count = 1 + numbers.below(2);
    let (mut devices, mut sets, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..count {
        let set = format!("set-{number}");
        sets.push(json!({"name": set, "counters": {"memory": {"value": "16Gi"}, "slots": {"value": "4"}}}));
        let mut device = |name: String, memory: u64, slots: u64, model: &str| {
            devices.push(json!({
                "name": name, "attributes": {"model": {"string": model}, "numa": {"int": number}},
                "consumesCounters": [{"counterSet": set, "counters": {
                    "memory": {"value": format!("{memory}Gi")}, "slots": {"value": slots.to_string()},
                }}],
            }));
        };
        device(format!("whole-{number}"), 16, 4, "b");
        for half in 0..2 {
            device(format!("half-{number}-{half}"), 8, 1 + half, "a");
            names.push(format!("half-{number}-{half}"));
        }
    }
    (vec![slice(2, json!({"sharedCounters": sets})), slice(2, json!({"devices": devices}))], names)
}

fn groups(numbers: &mut Numbers, shapes: &[Shape]) -> Vec<Value> {
    let group = |(number, shape): (usize, &Shape)| {
        let copies = if numbers.chance(35) { 2 } else { 1 };
        let maximum = if numbers.chance(15) { 1 + numbers.below(3) } else { 10 + numbers.below(90) };
        let price = 0.5 + 0.25 * float(numbers.below(20));
        let zero_or_max = numbers.chance(6);
        (0..copies)
            .map(|copy| {
                let name = format!("group-{number}-{copy}");
                let mut labels = shape.labels.clone();
                labels["made"] = "new".into();
                // Similar groups differ in the zone, and perhaps a little in memory.
                let mut capacity = shape.capacity.clone();
                if copy == 1 {
                    labels[ZONE] = "c".into();
                    if numbers.chance(30) {
                        capacity["memory"] = "9Gi".into();
                    }
                }
                let slices: Vec<Value> = shape.slices.iter().map(|spec| json!({"spec": spec})).collect();
                json!({
                    "apiVersion": "drayage.dev/v1alpha1", "kind": "NodeGroup", "metadata": {"name": name},
                    "spec": {
                        "minSize": u64::from(numbers.chance(20)), "maxSize": maximum, "members": {"group": name},
                        "pricePerHour": price, "zeroOrMax": zero_or_max && maximum < 10,
                        "template": {
                            "node": {
                                "metadata": {"labels": labels}, "spec": {"taints": shape.taints},
                                "status": {"capacity": capacity, "allocatable": shape.allocatable},
                            },
                            "resourceSlices": slices,
                        },
                    },
                })
            })
            .collect::<Vec<_>>()
    };
    shapes.iter().enumerate().flat_map(group).collect()
}

/// Pods that are alike.
struct Workload {
    kind: &'static str,
    name: String,
    labels: Value,
    spec: Value,
}

fn workloads(numbers: &mut Numbers, objects: &mut Vec<Value>) -> Vec<Workload> {
    let count = 1 + numbers.below(5);
    (0..count)
        .map(|number| {
            let kind = ["ReplicaSet", "ReplicaSet", "StatefulSet", "Job", ""][at(numbers, 5)];
            let name = format!("app-{number}");
            let labels = json!({"app": name, "tier": (["front", "back"][at(numbers, 2)])});
            let spec = pod_spec(numbers, &name);
            let group = if kind == "Job" { "batch/v1" } else { "apps/v1" };
            let mut object = json!({
                "apiVersion": group, "kind": kind, "metadata": {"namespace": "ns", "name": name, "uid": format!("{kind}-{name}")},
                // Its pods are listed.
                "spec": {"template": {
                    "metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]},
                }},
            });
            if kind == "Job" {
                object["spec"]["parallelism"] = 0.into();
                object["spec"]["template"]["spec"]["restartPolicy"] = "Never".into();
            } else {
                object["spec"]["replicas"] = 0.into();
                object["spec"]["selector"] = json!({"matchLabels": {"app": name}});
            }
            if !kind.is_empty() {
                objects.push(object);
            }
            if numbers.chance(20) {
                objects.push(json!({
                    "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                    "metadata": {"namespace": "ns", "name": format!("budget-{number}")},
                    "spec": {"selector": {"matchLabels": {"app": name}}, "minAvailable": 1},
                    "status": {
                        "disruptionsAllowed": numbers.below(3), "currentHealthy": 3, "desiredHealthy": 1, "expectedPods": 3,
                    },
                }));
            }
            Workload { kind, name, labels, spec }
        })
        .collect()
}

fn pod_spec(numbers: &mut Numbers, app: &str) -> Value {
    let mut requests = json!({});
    if numbers.chance(85) {
        requests["cpu"] = format!("{}m", 100 * (1 + numbers.below(20))).into();
    }
    if numbers.chance(75) {
        requests["memory"] = format!("{}Mi", 256 * (1 + numbers.below(14))).into();
    }
    let mut container = json!({"name": "main", "image": "i", "resources": {"requests": requests}});
    if numbers.chance(6) {
        container["ports"] = json!([{"containerPort": 80, "hostPort": 8080}]);
    }
    let mut spec = json!({"containers": [container]});
    if numbers.chance(10) {
        spec["nodeSelector"] = json!({"disk": "ssd"});
    }
    if numbers.chance(50) {
        spec["tolerations"] = json!([{"key": "gpu", "operator": "Exists"}]);
    }
    let own = json!({"matchLabels": {"app": app}});
    let term = |numbers: &mut Numbers, selector: &Value| {
        json!({"requiredDuringSchedulingIgnoredDuringExecution": [{
            "topologyKey": ([HOST, HOST, ZONE][at(numbers, 3)]), "labelSelector": selector,
        }]})
    };
    let mut affinity = json!({});
    if numbers.chance(14) {
        let front = json!({"matchLabels": {"tier": "front"}});
        let selector = if numbers.chance(75) { &own } else { &front };
        affinity["podAntiAffinity"] = term(numbers, selector);
    }
    if numbers.chance(8) {
        affinity["podAffinity"] = term(numbers, &own);
    }
    if affinity.as_object().is_some_and(|parts| !parts.is_empty()) {
        spec["affinity"] = affinity;
    }
    if numbers.chance(20) {
        let mut constraint = json!({
            "maxSkew": 1 + numbers.below(2), "topologyKey": ([HOST, HOST, ZONE][at(numbers, 3)]),
            "whenUnsatisfiable": (["DoNotSchedule", "DoNotSchedule", "ScheduleAnyway"][at(numbers, 3)]), "labelSelector": own,
        });
        if constraint["whenUnsatisfiable"] == "DoNotSchedule" && numbers.chance(20) {
            constraint["minDomains"] = (1 + numbers.below(3)).into();
        }
        spec["topologySpreadConstraints"] = json!([constraint]);
    }
    if numbers.chance(45) {
        let template = ["one", "one", "two", "pair", "all", "either"][at(numbers, 6)];
        spec["resourceClaims"] = json!([{"name": "gpu", "resourceClaimTemplateName": template}]);
    } else if numbers.chance(15) {
        let claim = ["shared", "other"][at(numbers, 2)];
        spec["resourceClaims"] = json!([{"name": "gpu", "resourceClaimName": claim}]);
    }
    spec
}

fn owners(kind: &str, name: &str) -> Value {
    let group = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    json!([{
        "apiVersion": group, "kind": kind, "name": name, "uid": format!("{kind}-{name}"), "controller": true,
    }])
}

fn nodes(numbers: &mut Numbers, shapes: &[Shape], workloads: &[Workload], objects: &mut Vec<Value>) -> u64 {
    let count = 1 + numbers.below(5);
    for number in 0..count {
        let kind = at(numbers, shapes.len() as u64);
        let shape = &shapes[kind];
        let name = format!("node-{number}");
        let mut labels = shape.labels.clone();
        labels[HOST] = name.clone().into();
        if numbers.chance(85) {
            labels["group"] = format!("group-{kind}-0").into();
        }
        let mut annotations = json!({});
        if numbers.chance(5) {
            annotations["cluster-autoscaler.kubernetes.io/scale-down-disabled"] = "true".into();
        }
        let mut spec = json!({"taints": shape.taints});
        if numbers.chance(6) {
            spec["unschedulable"] = true.into();
        }
        objects.push(json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": labels, "annotations": annotations}, "spec": spec,
            "status": {
                "capacity": shape.capacity, "allocatable": shape.allocatable,
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            },
        }));
        for (at, spec) in shape.slices.iter().enumerate() {
            let mut spec = spec.clone();
            spec["nodeName"] = name.clone().into();
            spec["pool"]["name"] = name.clone().into();
            objects.push(json!({
                "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice",
                "metadata": {"name": format!("slice-{number}-{at}")}, "spec": spec,
            }));
        }
        let mut free = shape.devices.clone();
        for pod in 0..numbers.below(4) {
            running(numbers, workloads, &name, number * 10 + pod, &mut free, objects);
        }
    }
    count
}

/// A pod on a node, which may hold one of the free devices.
fn running(
    numbers: &mut Numbers,
    workloads: &[Workload],
    node: &str,
    number: u64,
    free: &mut Vec<String>,
    objects: &mut Vec<Value>,
) {
    let workload = &workloads[at(numbers, workloads.len() as u64)];
    let name = format!("running-{number}");
    let mut metadata = json!({
        "namespace": "ns", "name": name, "uid": format!("uid-{name}"), "labels": workload.labels,
        "creationTimestamp": format!("2026-01-01T00:{number:02}:00Z"),
    });
    let mut spec = json!({"containers": [{"name": "main", "image": "i", "resources": {"requests": {
        "cpu": format!("{}m", 100 * (1 + numbers.below(6))), "memory": format!("{}Mi", 128 * (1 + numbers.below(8))),
    }}}]});
    spec["nodeName"] = node.into();
    spec["tolerations"] = json!([{"key": "gpu", "operator": "Exists"}]);
    let mut status = json!({"phase": "Running"});
    match numbers.below(20) {
        0 => {}
        1 | 2 => {
            metadata["ownerReferences"] = owners("DaemonSet", "agent");
            metadata["labels"] = json!({"app": "agent"});
        }
        3 => {
            metadata["namespace"] = "kube-system".into();
            metadata["ownerReferences"] = owners("ReplicaSet", "dns");
        }
        4 => metadata["ownerReferences"] = owners("ReplicaSet", "absent"),
        _ if !workload.kind.is_empty() => metadata["ownerReferences"] = owners(workload.kind, &workload.name),
        _ => {}
    }
    if numbers.chance(20) {
        let value = ["true", "true", "false", "on-completion"][at(numbers, 4)];
        metadata["annotations"] = json!({SAFE: value});
    }
    if numbers.chance(6) {
        spec["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
    }
    if numbers.chance(4) {
        metadata["deletionTimestamp"] = "2026-01-01T10:00:00Z".into();
    }
    let in_namespace = metadata["namespace"] == "ns" && metadata["labels"]["app"] != "agent";
    if in_namespace && numbers.chance(45) && !free.is_empty() {
        let device = free.remove(at(numbers, free.len() as u64));
        let claim = format!("{name}-gpu-x");
        spec["resourceClaims"] = json!([{"name": "gpu", "resourceClaimTemplateName": "one"}]);
        status["resourceClaimStatuses"] = json!([{"name": "gpu", "resourceClaimName": claim}]);
        let fields = json!([{"key": "metadata.name", "operator": "In", "values": [node]}]);
        objects.push(json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
            "metadata": {
                "namespace": "ns", "name": claim, "annotations": {"resource.kubernetes.io/pod-claim-name": "gpu"},
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Pod", "name": name, "uid": format!("uid-{name}"), "controller": true,
                }],
            },
            "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "any"}}]}},
            "status": {
                "allocation": {
                    "devices": {"results": [{"request": "gpu", "driver": DRIVER, "pool": node, "device": device}]},
                    "nodeSelector": {"nodeSelectorTerms": [{"matchFields": fields}]},
                },
                "reservedFor": [{"resource": "pods", "name": name, "uid": format!("uid-{name}")}],
            },
        }));
    } else if in_namespace && numbers.chance(60) {
        let wanted = workload.spec.get("affinity").or_else(|| workload.spec.get("topologySpreadConstraints"));
        if wanted.is_some() {
            for key in ["affinity", "topologySpreadConstraints", "nodeSelector"] {
                if let Some(value) = workload.spec.get(key) {
                    spec[key] = value.clone();
                }
            }
        }
    }
    objects.push(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}),
    );
}

fn pending(numbers: &mut Numbers, workloads: &[Workload], objects: &mut Vec<Value>) {
    let mut number = 0;
    for workload in workloads {
        for copy in 0..=numbers.below(9) {
            let name = format!("pod-{number:02}");
            let mut labels = workload.labels.clone();
            // Pods of one controller that are not quite alike.
            if copy > 5 {
                labels["late"] = "yes".into();
            }
            let mut metadata = json!({
                "namespace": "ns", "name": name, "uid": format!("uid-{name}"), "labels": labels,
                "creationTimestamp": format!("2026-01-01T12:{number:02}:00Z"),
            });
            if !workload.kind.is_empty() {
                metadata["ownerReferences"] = owners(workload.kind, &workload.name);
            } else if copy > 1 {
                break;
            }
            objects.push(
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": workload.spec}),
            );
            number += 1;
        }
    }
}

fn at(numbers: &mut Numbers, bound: u64) -> usize {
    usize::try_from(numbers.below(bound)).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "small")]
fn float(number: u64) -> f64 {
    number as f64
}
