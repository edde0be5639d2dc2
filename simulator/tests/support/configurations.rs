//! Random configurations of the scheduler. Records name them by their seeds, so a change here makes them void.

use super::support::Numbers;
use serde_json::{Value, json};

/// Plugins that may be turned off wholly; what a pod needs of the others stays true.
const MAY_GO: [&str; 8] = [
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "PodTopologySpread",
    "InterPodAffinity",
    "NodeResourcesBalancedAllocation",
    "ImageLocality",
];
const SCORES: [&str; 8] = [
    "TaintToleration",
    "NodeAffinity",
    "NodeResourcesFit",
    "NodeResourcesBalancedAllocation",
    "PodTopologySpread",
    "InterPodAffinity",
    "ImageLocality",
    "DynamicResources",
];

/// A configuration with one profile for all pods, or two, `default-scheduler` and `second`.
pub(crate) fn configuration(seed: u64) -> Value {
    let mut numbers = Numbers(seed ^ 0x5eed);
    let mut profiles = vec![profile(&mut numbers, "default-scheduler")];
    if has_second(seed) {
        profiles.push(profile(&mut numbers, "second"));
    }
    json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "profiles": profiles,
    })
}

/// Whether there is a profile `second`.
pub(crate) fn has_second(seed: u64) -> bool {
    seed.is_multiple_of(3)
}

fn profile(numbers: &mut Numbers, name: &str) -> Value {
    let mut profile = json!({"schedulerName": name});
    let mut plugins = json!({});
    let mut gone: Vec<&str> = Vec::new();
    if numbers.chance(60) {
        gone = MAY_GO.into_iter().filter(|_| numbers.chance(12)).collect();
        let disabled: Vec<Value> = gone.iter().map(|name| json!({"name": name})).collect();
        let names: Vec<&str> = SCORES.into_iter().filter(|name| !gone.contains(name)).collect();
        let enabled = chosen(numbers, &names, 30);
        plugins["multiPoint"] = json!({"disabled": disabled, "enabled": enabled});
    }
    if numbers.chance(40) {
        let all = numbers.chance(30);
        let disabled: Vec<Value> = if all {
            vec![json!({"name": "*"})]
        } else {
            SCORES.iter().filter(|_| numbers.chance(20)).map(|name| json!({"name": name})).collect()
        };
        // A score without what it prepares before would fail.
        let is_free =
            |name: &&str| !gone.contains(name) && !disabled.iter().any(|plugin| plugin["name"] == **name);
        let names: Vec<&str> = SCORES.into_iter().filter(|name| all || is_free(name)).collect();
        let enabled = chosen(numbers, &names, 40);
        plugins["score"] = json!({"disabled": disabled, "enabled": enabled});
        plugins["preScore"] =
            if all { json!({"enabled": prepared(&enabled), "disabled": disabled}) } else { json!({}) };
    }
    profile["plugins"] = plugins;
    let mut arguments = Vec::new();
    if numbers.chance(60) {
        arguments.push(json!({"name": "NodeResourcesFit", "args": fit(numbers)}));
    }
    if numbers.chance(30) {
        let resources = json!([{"name": "cpu"}, {"name": "memory"}, {"name": "example.com/gpu"}]);
        let count = 1 + at(numbers, 3);
        let resources: Vec<Value> = resources.as_array().map(|all| all[..count].to_vec()).unwrap_or_default();
        arguments.push(json!({"name": "NodeResourcesBalancedAllocation", "args": {"resources": resources}}));
    }
    if numbers.chance(40) {
        arguments.push(json!({"name": "PodTopologySpread", "args": spread(numbers)}));
    }
    if numbers.chance(40) {
        let args = json!({
            "hardPodAffinityWeight": numbers.below(101), "ignorePreferredTermsOfExistingPods": numbers.chance(50),
        });
        arguments.push(json!({"name": "InterPodAffinity", "args": args}));
    }
    if numbers.chance(30) {
        arguments.push(json!({"name": "NodeAffinity", "args": {"addedAffinity": added_affinity(numbers)}}));
    }
    profile["pluginConfig"] = arguments.into();
    profile
}

/// Some of the plugins, some with weights.
fn chosen(numbers: &mut Numbers, names: &[&str], percent: u64) -> Vec<Value> {
    let mut chosen = Vec::new();
    for name in names {
        if numbers.chance(percent) {
            chosen.push(weighted(numbers, name));
        }
    }
    chosen
}

fn weighted(numbers: &mut Numbers, name: &str) -> Value {
    if numbers.chance(80) {
        json!({"name": name, "weight": 1 + numbers.below(20)})
    } else {
        json!({"name": name})
    }
}

/// The plugins that prepare scores, of those that are given.
fn prepared(enabled: &[Value]) -> Vec<Value> {
    const PREPARE: [&str; 6] = [
        "TaintToleration",
        "NodeAffinity",
        "NodeResourcesFit",
        "NodeResourcesBalancedAllocation",
        "PodTopologySpread",
        "InterPodAffinity",
    ];
    let names = enabled.iter().filter_map(|plugin| plugin["name"].as_str());
    names.filter(|name| PREPARE.contains(name)).map(|name| json!({"name": name})).collect()
}

fn fit(numbers: &mut Numbers) -> Value {
    let mut resources = vec![
        json!({"name": "cpu", "weight": 1 + numbers.below(5)}),
        json!({"name": "memory", "weight": 1 + numbers.below(5)}),
    ];
    for name in [
        "example.com/gpu",
        "example.com/big",
        "deviceclass.resource.kubernetes.io/small",
        "example.com/plain",
    ] {
        if numbers.chance(35) {
            resources.push(json!({"name": name, "weight": 1 + numbers.below(9)}));
        }
    }
    let kind = ["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"][at(numbers, 3)];
    let mut strategy = json!({"type": kind, "resources": resources});
    if kind == "RequestedToCapacityRatio" {
        let middle = 1 + numbers.below(99);
        let shape = json!([
            {"utilization": 0, "score": numbers.below(11)},
            {"utilization": middle, "score": numbers.below(11)},
            {"utilization": 100, "score": numbers.below(11)},
        ]);
        strategy["requestedToCapacityRatio"] = json!({"shape": shape});
    }
    let mut args = json!({"scoringStrategy": strategy});
    if numbers.chance(15) {
        args["ignoredResources"] = json!(["example.com/plain"]);
    }
    args
}

fn spread(numbers: &mut Numbers) -> Value {
    if numbers.chance(20) {
        return json!({"defaultingType": "System"});
    }
    let mut constraints = Vec::new();
    for key in ["topology.kubernetes.io/zone", "kubernetes.io/hostname"] {
        if numbers.chance(60) {
            let action = ["DoNotSchedule", "ScheduleAnyway", "ScheduleAnyway"][at(numbers, 3)];
            constraints.push(
                json!({"maxSkew": 1 + numbers.below(3), "topologyKey": key, "whenUnsatisfiable": action}),
            );
        }
    }
    json!({"defaultingType": "List", "defaultConstraints": constraints})
}

fn added_affinity(numbers: &mut Numbers) -> Value {
    let term = |numbers: &mut Numbers| {
        let value = ["ssd", "hdd"][at(numbers, 2)];
        json!({"matchExpressions": [{"key": "disk", "operator": "In", "values": [value]}]})
    };
    let mut affinity = json!({});
    if numbers.chance(40) {
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!({"nodeSelectorTerms": [term(numbers)]});
    }
    if numbers.chance(70) {
        let preferred = json!([{"weight": 1 + numbers.below(100), "preference": term(numbers)}]);
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = preferred;
    }
    affinity
}

fn at(numbers: &mut Numbers, bound: u64) -> usize {
    usize::try_from(numbers.below(bound)).unwrap_or(0)
}
