//! Random clusters with volumes for the real scheduler. Records name clusters by their seeds, so a change here makes
//! them void.

use super::support::Numbers;
use serde_json::{Value, json};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";
const ZONES: [&str; 3] = ["a", "b", "c"];

/// The objects of a cluster.
pub(crate) fn cluster(seed: u64) -> Vec<Value> {
    let mut numbers = Numbers(seed);
    let mut objects = Vec::new();
    let nodes = 2 + numbers.below(6);
    for number in 0..nodes {
        node(&mut numbers, number, &mut objects);
    }
    classes(&mut numbers, &mut objects);
    for number in 0..2 + numbers.below(5) {
        objects.push(local_volume(&mut numbers, number, nodes));
    }
    let claims = 4 + numbers.below(8);
    for number in 0..claims {
        claim(&mut numbers, number, nodes, &mut objects);
    }
    for number in 0..numbers.below(4) {
        let mut pod = pod(&mut numbers, &format!("running-{number}"), number, claims);
        pod["spec"]["nodeName"] = format!("node-{}", numbers.below(nodes)).into();
        pod["status"] = json!({"phase": "Running"});
        objects.push(pod);
    }
    for number in 0..4 + numbers.below(8) {
        objects.push(pod(&mut numbers, &format!("pod-{number}"), number, claims));
    }
    objects
}

fn node(numbers: &mut Numbers, number: u64, objects: &mut Vec<Value>) {
    let name = format!("node-{number}");
    let mut labels = json!({HOST: name});
    if numbers.chance(85) {
        labels[ZONE] = ZONES[at(numbers, 3)].into();
    }
    let zoned = labels[ZONE].is_string();
    objects.push(json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": {
            "cpu": (2 + numbers.below(7)).to_string(), "memory": format!("{}Gi", 8 + numbers.below(9)), "pods": "20",
        }},
    }));
    if numbers.chance(75) {
        let mut driver = json!({"name": "csi.example.com", "nodeID": name});
        driver["topologyKeys"] = if zoned { json!([ZONE]) } else { json!([HOST]) };
        if numbers.chance(60) {
            driver["allocatable"] = json!({"count": 1 + numbers.below(3)});
        }
        let mut drivers = vec![driver];
        if numbers.chance(50) {
            let mut other = json!({"name": "other.example.com", "nodeID": name, "topologyKeys": []});
            if numbers.chance(50) {
                other["allocatable"] = json!({"count": 1 + numbers.below(3)});
            }
            drivers.push(other);
        }
        objects.push(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": name}, "spec": {"drivers": drivers},
        }));
    }
}

fn classes(numbers: &mut Numbers, objects: &mut Vec<Value>) {
    let class = |name: &str, provisioner: &str, mode: &str| {
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
            "provisioner": provisioner, "volumeBindingMode": mode,
        })
    };
    objects.push(class("local", "kubernetes.io/no-provisioner", "WaitForFirstConsumer"));
    objects.push(class("immediate", "csi.example.com", "Immediate"));
    objects.push(class("anywhere", "other.example.com", "WaitForFirstConsumer"));
    let mut zonal = class("zonal", "csi.example.com", "WaitForFirstConsumer");
    if numbers.chance(60) {
        let zones: Vec<&str> = ZONES.into_iter().filter(|_| numbers.chance(60)).chain(["a"]).collect();
        zonal["allowedTopologies"] = json!([{"matchLabelExpressions": [{"key": ZONE, "values": zones}]}]);
    }
    objects.push(zonal);
    let with_capacity = numbers.chance(40);
    objects.push(json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "csi.example.com"},
        "spec": {"storageCapacity": with_capacity},
    }));
    for zone in ZONES {
        if numbers.chance(70) {
            objects.push(json!({
                "apiVersion": "storage.k8s.io/v1", "kind": "CSIStorageCapacity",
                "metadata": {"namespace": "storage", "name": format!("zonal-{zone}")}, "storageClassName": "zonal",
                "nodeTopology": {"matchLabels": {ZONE: zone}}, "capacity": format!("{}Gi", 5 + numbers.below(30)),
            }));
        }
    }
}

fn required(key: &str, values: &Value) -> Value {
    json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": "In", "values": values}]}]}})
}

/// No two have one size, since the scheduler takes any of equal ones.
fn local_volume(numbers: &mut Numbers, number: u64, nodes: u64) -> Value {
    let node = format!("node-{}", numbers.below(nodes));
    let mode = ["ReadWriteOnce", "ReadWriteOncePod"][at(numbers, 2)];
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": format!("local-{number}"), "labels": {"speed": (["fast", "slow"][at(numbers, 2)])}},
        "spec": {
            "capacity": {"storage": format!("{}Mi", 1024 * (4 + numbers.below(20)) + number)}, "accessModes": [mode, "ReadWriteOnce"],
            "storageClassName": "local", "local": {"path": "/data"}, "nodeAffinity": required(HOST, &json!([node])),
        },
        "status": {"phase": "Available"},
    });
    if numbers.chance(10) {
        volume["status"]["phase"] = "Released".into();
        volume["spec"]["claimRef"] =
            json!({"kind": "PersistentVolumeClaim", "namespace": "ns", "name": "gone", "uid": "gone"});
    }
    volume
}

fn claim(numbers: &mut Numbers, number: u64, nodes: u64, objects: &mut Vec<Value>) {
    let name = format!("claim-{number}");
    let class = ["local", "zonal", "anywhere", "bound", "bound", "immediate"][at(numbers, 6)];
    let mode = ["ReadWriteOnce", "ReadWriteOnce", "ReadWriteOncePod"][at(numbers, 3)];
    let mut claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"namespace": "ns", "name": name, "uid": format!("uid-{name}")},
        "spec": {
            "accessModes": [mode], "storageClassName": class, "resources": {"requests": {"storage": format!("{}Gi", 1 + numbers.below(16))}},
        },
        "status": {"phase": "Pending"},
    });
    if class == "local" && numbers.chance(30) {
        claim["spec"]["selector"] = json!({"matchLabels": {"speed": "fast"}});
    }
    if class == "bound" {
        let volume = format!("volume-{number}");
        claim["spec"]["storageClassName"] = "zonal".into();
        claim["spec"]["volumeName"] = volume.clone().into();
        claim["metadata"]["annotations"] = json!({"pv.kubernetes.io/bind-completed": "yes"});
        claim["status"]["phase"] = "Bound".into();
        let mut object = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
            "spec": {
                "capacity": {"storage": "16Gi"}, "accessModes": [mode], "storageClassName": "zonal",
                "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "ns", "name": name, "uid": format!("uid-{name}")},
                "csi": {"driver": "csi.example.com", "volumeHandle": volume},
            },
            "status": {"phase": "Bound"},
        });
        match numbers.below(4) {
            0 => object["metadata"]["labels"] = json!({ZONE: (["a", "b", "a__b"][at(numbers, 3)])}),
            1 => object["spec"]["nodeAffinity"] = required(ZONE, &json!([ZONES[at(numbers, 3)], "a"])),
            2 => {
                object["spec"]["nodeAffinity"] =
                    required(HOST, &json!([format!("node-{}", numbers.below(nodes))]));
            }
            _ => {}
        }
        if numbers.chance(93) {
            objects.push(object);
        }
    }
    objects.push(claim);
}

fn pod(numbers: &mut Numbers, name: &str, number: u64, claims: u64) -> Value {
    let mut volumes: Vec<Value> = Vec::new();
    let mut named: Vec<u64> = Vec::new();
    for _ in 0..=numbers.below(2) {
        if numbers.chance(80) {
            let beyond = u64::from(numbers.chance(5));
            let claim = numbers.below(claims + beyond);
            if !named.contains(&claim) {
                named.push(claim);
                let volume = format!("volume-{claim}");
                volumes.push(
                    json!({"name": volume, "persistentVolumeClaim": {"claimName": format!("claim-{claim}")}}),
                );
            }
        }
    }
    let requests = json!({"cpu": format!("{}m", 100 * (1 + numbers.below(15))), "memory": format!("{}Mi", 128 * (1 + numbers.below(20)))});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "spec": {
            "containers": [{"name": "main", "image": "i", "resources": {"requests": requests}}], "volumes": volumes,
        },
        "metadata": {
            "namespace": "ns", "name": name, "uid": format!("uid-{name}"),
            "creationTimestamp": format!("2026-01-01T00:{number:02}:00Z"),
        },
    })
}

fn at(numbers: &mut Numbers, bound: u64) -> usize {
    usize::try_from(numbers.below(bound)).unwrap_or(0)
}
