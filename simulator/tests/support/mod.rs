//! Small random clusters, as the API has them.

use serde_json::{Value, json};

/// Numbers that only depend on a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.below(texts.len() as u64)).unwrap_or(0);
        texts[at]
    }
}

/// Brings items into an order that depends on a seed.
pub(crate) fn shuffled<T>(mut items: Vec<T>, seed: u64) -> Vec<T> {
    let mut numbers = Numbers(seed);
    for at in (1..items.len()).rev() {
        items.swap(at, usize::try_from(numbers.below(at as u64 + 1)).unwrap_or(0));
    }
    items
}

const DRIVER: &str = "gpu.example.com";

/// A cluster with up to five nodes, their devices, and up to twelve pods, some of them running.
pub(crate) fn cluster(seed: u64) -> Vec<Value> {
    let mut numbers = Numbers(seed);
    let mut objects =
        vec![class("any", None), class("big", Some("device.attributes['gpu.example.com'].model == 'b'"))];
    let nodes = 1 + numbers.below(5);
    for number in 0..nodes {
        objects.push(node(&mut numbers, number));
        let slices = numbers.below(3);
        for slice in 0..slices {
            objects.push(local_slice(&mut numbers, number, slice, slices));
        }
    }
    if numbers.chance(40) {
        objects.push(shared_slice(&mut numbers));
    }
    let templates = 1 + numbers.below(4);
    for number in 0..templates {
        let spec = claim_spec(&mut numbers);
        objects.push(json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
            "metadata": {"namespace": "ns", "name": format!("template-{number}")}, "spec": {"spec": spec},
        }));
    }
    for number in 0..2 {
        let spec = claim_spec(&mut numbers);
        objects.push(json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
            "metadata": {"namespace": "ns", "name": format!("shared-{number}")}, "spec": spec,
        }));
    }
    let pods = 1 + numbers.below(12);
    for number in 0..pods {
        objects.push(pod(&mut numbers, number, nodes, templates));
    }
    if numbers.chance(30) {
        objects.push(deployment(&mut numbers));
    }
    objects
}

fn class(name: &str, expression: Option<&str>) -> Value {
    let mut expressions = vec![format!("device.driver == '{DRIVER}'")];
    expressions.extend(expression.map(str::to_owned));
    let selectors: Vec<Value> =
        expressions.into_iter().map(|expression| json!({"cel": {"expression": expression}})).collect();
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name},
        "spec": {"selectors": selectors, "extendedResourceName": format!("example.com/{name}")},
    })
}

fn node(numbers: &mut Numbers, number: u64) -> Value {
    let mut allocatable = json!({
        "cpu": (1 + numbers.below(8)).to_string(),
        "memory": format!("{}Gi", 1 + numbers.below(16)),
        "pods": (1 + numbers.below(8)).to_string(),
    });
    if numbers.chance(15) {
        allocatable["example.com/any"] = numbers.below(3).to_string().into();
    }
    let mut spec = json!({});
    if numbers.chance(10) {
        spec["unschedulable"] = true.into();
    }
    if numbers.chance(25) {
        let effect = numbers.pick(&["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        spec["taints"] = json!([{"key": "gpu", "value": numbers.pick(&["", "reserved"]), "effect": effect}]);
    }
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": format!("node-{number}"), "labels": {"zone": numbers.pick(&["a", "b"])}},
        "spec": spec, "status": {"allocatable": allocatable},
    })
}

fn devices(numbers: &mut Numbers) -> Vec<Value> {
    (0..=numbers.below(4))
        .map(|number| {
            let mut device = json!({
                "name": format!("gpu-{number}"),
                "attributes": {
                    "model": {"string": numbers.pick(&["a", "b"])},
                    "numa": {"int": numbers.below(2)},
                },
                "capacity": {"memory": {"value": format!("{}Gi", 8 * (1 + numbers.below(4)))}},
            });
            if numbers.chance(30) {
                device["allowMultipleAllocations"] = true.into();
            }
            if numbers.chance(10) {
                device["taints"] =
                    json!([{"key": "health", "effect": numbers.pick(&["NoSchedule", "None"])}]);
            }
            device
        })
        .collect()
}

fn local_slice(numbers: &mut Numbers, node: u64, slice: u64, slices: u64) -> Value {
    // Now and then the driver has not published everything yet.
    let count = if numbers.chance(8) { slices + 1 } else { slices };
    let mut devices = devices(numbers);
    for device in &mut devices {
        device["name"] = format!("{}-{slice}", device["name"].as_str().unwrap_or_default()).into();
    }
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice",
        "metadata": {"name": format!("node-{node}-{slice}")},
        "spec": {
            "driver": DRIVER, "nodeName": format!("node-{node}"),
            "pool": {"name": format!("node-{node}"), "generation": 1, "resourceSliceCount": count},
            "devices": devices,
        },
    })
}

fn shared_slice(numbers: &mut Numbers) -> Value {
    let zone = numbers.pick(&["a", "b"]);
    let term = json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]});
    json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "network"},
        "spec": {
            "driver": DRIVER, "nodeSelector": {"nodeSelectorTerms": [term]},
            "pool": {"name": "network", "generation": 1, "resourceSliceCount": 1},
            "devices": devices(numbers),
        },
    })
}

fn selector(attribute: &str) -> Value {
    json!([{"cel": {"expression": format!("device.attributes['{DRIVER}'].{attribute} == 1")}}])
}

fn claim_spec(numbers: &mut Numbers) -> Value {
    let requests: Vec<Value> = (0..=numbers.below(2))
        .map(|number| {
            let name = format!("request-{number}");
            if numbers.chance(20) {
                let alternatives = json!([
                    {"name": "first", "deviceClassName": "big", "count": 2},
                    {"name": "second", "deviceClassName": "any"},
                ]);
                return json!({"name": name, "firstAvailable": alternatives});
            }
            let mut exactly = json!({"deviceClassName": numbers.pick(&["any", "big", "any", "gone"])});
            if exactly["deviceClassName"] == "gone" && numbers.chance(80) {
                exactly["deviceClassName"] = "any".into();
            }
            match numbers.below(10) {
                0 => exactly["allocationMode"] = "All".into(),
                1 | 2 => exactly["count"] = 2.into(),
                3 | 4 => {
                    let memory = format!("{}Gi", 1 + numbers.below(10));
                    exactly["capacity"] = json!({"requests": {"memory": memory}});
                }
                5 => exactly["selectors"] = selector("numa"),
                6 if numbers.chance(30) => exactly["selectors"] = selector("absent"),
                7 => exactly["tolerations"] = json!([{"key": "health", "operator": "Exists"}]),
                8 => exactly["adminAccess"] = true.into(),
                _ => {}
            }
            json!({"name": name, "exactly": exactly})
        })
        .collect();
    let mut devices = json!({"requests": requests});
    if numbers.chance(25) {
        let kind = numbers.pick(&["matchAttribute", "distinctAttribute"]);
        devices["constraints"] = json!([{kind: "gpu.example.com/numa"}]);
    }
    json!({"devices": devices})
}

fn pod_spec(numbers: &mut Numbers) -> Value {
    let mut requests = json!({
        "cpu": format!("{}m", 100 * (1 + numbers.below(30))),
        "memory": format!("{}Mi", 256 * (1 + numbers.below(16))),
    });
    if numbers.chance(15) {
        requests[numbers.pick(&["example.com/any", "example.com/big"])] =
            (1 + numbers.below(2)).to_string().into();
    }
    let mut container = json!({"name": "main", "image": "x"});
    if requests.as_object().is_some_and(|requests| requests.len() > 2) {
        container["resources"] = json!({"limits": requests, "requests": requests});
    } else {
        container["resources"] = json!({"requests": requests});
    }
    if numbers.chance(10) {
        container["ports"] = json!([{"containerPort": 80, "hostPort": 80}]);
    }
    let mut spec = json!({"containers": [container]});
    if numbers.chance(15) {
        spec["nodeSelector"] = json!({"zone": numbers.pick(&["a", "b"])});
    }
    if numbers.chance(40) {
        spec["tolerations"] = json!([{"key": "gpu", "operator": "Exists"}]);
    }
    spec["priority"] = numbers.below(3).into();
    spec
}

fn pod(numbers: &mut Numbers, number: u64, nodes: u64, templates: u64) -> Value {
    let mut metadata = json!({"namespace": "ns", "name": format!("pod-{number}")});
    if numbers.chance(70) {
        metadata["creationTimestamp"] = format!("2024-01-01T00:00:0{}Z", numbers.below(4)).into();
    }
    let mut spec = pod_spec(numbers);
    let mut status = json!({"phase": "Pending"});
    if numbers.chance(20) {
        spec["nodeName"] = format!("node-{}", numbers.below(nodes)).into();
        status["phase"] = numbers.pick(&["Running", "Succeeded"]).into();
    } else {
        let claims: Vec<Value> = (0..numbers.below(3))
            .map(|claim| {
                let name = format!("claim-{claim}");
                if numbers.chance(25) {
                    json!({"name": name, "resourceClaimName": format!("shared-{}", numbers.below(2))})
                } else {
                    let template = format!("template-{}", numbers.below(templates));
                    json!({"name": name, "resourceClaimTemplateName": template})
                }
            })
            .collect();
        if !claims.is_empty() {
            spec["resourceClaims"] = claims.into();
        }
        if numbers.chance(5) {
            spec["schedulingGates"] = json!([{"name": "example.com/wait"}]);
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status})
}

fn deployment(numbers: &mut Numbers) -> Value {
    let mut spec = pod_spec(numbers);
    spec["resourceClaims"] = json!([{"name": "gpu", "resourceClaimTemplateName": "template-0"}]);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "ns", "name": "web"},
        "spec": {
            "replicas": 1 + numbers.below(3),
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec},
        },
    })
}
