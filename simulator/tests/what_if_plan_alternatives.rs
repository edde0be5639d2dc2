//! `plan partitions` where devices take from several counter sets, requests have alternatives, and pods want several
//! devices: trying everything finds no layout that serves more or changes less.

#[allow(dead_code, reason = "this test uses a part")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::report::PartitionPlanReport;
use drayage_simulator::schedule::{Options, Prepared};
use drayage_simulator::what_if::Ground;
use drayage_simulator::what_if::drain::DrainOptions;
use drayage_simulator::what_if::plan::{PartitionQuestion, plan_partitions};
use serde_json::{Value, json};
use support::Numbers;

const DRIVER: &str = "gpu.example.com";
const PROFILES: [&str; 4] = ["small", "large", "pair", "card"];

/// A device: node, name, profile, and what it takes of which counter set.
#[derive(Clone, Debug)]
struct Device {
    node: usize,
    name: String,
    profile: &'static str,
    takes: Vec<(usize, u64)>,
}

/// For each request its alternatives: profiles that do, and how many devices.
type Demand = Vec<Vec<(Vec<&'static str>, usize)>>;

#[derive(Debug)]
struct Case {
    nodes: usize,
    /// Capacity of each counter set, and its node.
    sets: Vec<(usize, u64)>,
    devices: Vec<Device>,
    waiting: Vec<Demand>,
    /// What runs, with its devices.
    running: Vec<(Demand, Vec<usize>)>,
}

fn pick(numbers: &mut Numbers, below: usize) -> usize {
    usize::try_from(numbers.below(u64::try_from(below).unwrap())).unwrap()
}

/// Nodes with two or three counter sets, of which some devices take from several, and devices without counters.
fn case(seed: u64) -> Case {
    let mut numbers = Numbers(seed);
    let nodes = 1 + pick(&mut numbers, 2);
    let (mut sets, mut devices) = (Vec::new(), Vec::new());
    for node in 0..nodes {
        let first = sets.len();
        for _ in 0..2 + pick(&mut numbers, 2) {
            sets.push((node, 1 + numbers.below(3)));
        }
        for set in first..sets.len() {
            for number in 0..2 {
                let (profile, takes) = if numbers.chance(60) { ("small", 1) } else { ("large", 2) };
                devices.push(Device {
                    node,
                    name: format!("part-{set}-{number}"),
                    profile,
                    takes: vec![(set, takes)],
                });
            }
            if set > first && numbers.chance(40) {
                let takes = vec![(set - 1, 1 + numbers.below(2)), (set, 1)];
                devices.push(Device { node, name: format!("pair-{set}"), profile: "pair", takes });
            }
        }
        if numbers.chance(40) {
            devices.push(Device { node, name: "card".to_owned(), profile: "card", takes: Vec::new() });
        }
    }
    let mut case = Case { nodes, sets, devices, waiting: Vec::new(), running: Vec::new() };
    for _ in 0..=pick(&mut numbers, 3) {
        let demand = demand(&mut numbers);
        case.waiting.push(demand);
    }
    for _ in 0..pick(&mut numbers, 3) {
        let demand = demand(&mut numbers);
        let ways = ways(&case, &demand);
        if ways.is_empty() {
            continue;
        }
        let way = ways[pick(&mut numbers, ways.len())].clone();
        let held = case.running.iter().flat_map(|(_, devices)| devices.clone());
        if fits(&case, &held.chain(way.clone()).collect::<Vec<_>>()) {
            case.running.push((demand, way));
        }
    }
    case
}

fn demand(numbers: &mut Numbers) -> Demand {
    let requests = if numbers.chance(25) { 2 } else { 1 };
    let alternatives = |numbers: &mut Numbers| {
        let count = if numbers.chance(50) { 2 } else { 1 };
        (0..count)
            .map(|_| {
                let first = PROFILES[pick(numbers, 4)];
                let profiles = if numbers.chance(20) { vec![first, "small"] } else { vec![first] };
                (profiles, if numbers.chance(20) { 2 } else { 1 })
            })
            .collect()
    };
    (0..requests).map(|_| alternatives(numbers)).collect()
}

/// All sets of devices of one node that meet a demand.
fn ways(case: &Case, demand: &Demand) -> Vec<Vec<usize>> {
    let mut all = BTreeSet::new();
    for node in 0..case.nodes {
        let mut found = vec![Vec::new()];
        for alternatives in demand {
            let mut next = Vec::new();
            for before in &found {
                for (profiles, count) in alternatives {
                    let mut sets: Vec<Vec<usize>> = vec![before.clone()];
                    for _ in 0..*count {
                        sets = sets
                            .iter()
                            .flat_map(|set| {
                                let usable = (0..case.devices.len()).filter(|at| {
                                    let device = &case.devices[*at];
                                    device.node == node
                                        && profiles.contains(&device.profile)
                                        && !set.contains(at)
                                });
                                usable.map(|at| [set.clone(), vec![at]].concat()).collect::<Vec<_>>()
                            })
                            .collect();
                    }
                    next.extend(sets);
                }
            }
            found = next;
        }
        for mut way in found {
            way.sort_unstable();
            if fits(case, &way) {
                all.insert(way);
            }
        }
    }
    all.into_iter().collect()
}

fn fits(case: &Case, held: &[usize]) -> bool {
    let mut taken: BTreeMap<usize, u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    held.iter().all(|&at| {
        let room = case.devices[at].takes.iter().all(|&(set, amount)| {
            let all = taken.entry(set).or_default();
            *all += amount;
            *all <= case.sets[set].1
        });
        seen.insert(at) && room
    })
}

/// Whether a demand is about partitions at all; the others have no part in the plan.
fn counts(case: &Case, demand: &Demand) -> bool {
    let divided = |profiles: &Vec<&str>| {
        case.devices.iter().any(|device| !device.takes.is_empty() && profiles.contains(&device.profile))
    };
    demand.iter().any(|alternatives| alternatives.iter().any(|(profiles, _)| divided(profiles)))
}

/// What counts of a demand: requests that no partition meets are left to the trial.
fn counted(case: &Case, demand: &Demand) -> Demand {
    demand.iter().filter(|request| counts(case, &vec![(*request).clone()])).cloned().collect()
}

/// How many of the demands can be met beside what is held, if all of `musts` are.
fn most(
    case: &Case,
    musts: &[Vec<Vec<usize>>],
    waiting: &[Vec<Vec<usize>>],
    held: &[usize],
) -> Option<usize> {
    let with = |way: &Vec<usize>| {
        let all = [held, way].concat();
        fits(case, &all).then_some(all)
    };
    if let Some((first, rest)) = musts.split_first() {
        return first.iter().filter_map(with).filter_map(|held| most(case, rest, waiting, &held)).max();
    }
    let Some((first, rest)) = waiting.split_first() else { return Some(0) };
    let met =
        first.iter().filter_map(with).filter_map(|held| Some(1 + most(case, musts, rest, &held)?)).max();
    met.max(most(case, musts, rest, held))
}

/// The whole device of every counter set: sets that a device takes from together are one.
fn wholes(case: &Case) -> Vec<usize> {
    let mut whole: Vec<usize> = (0..case.sets.len()).collect();
    for device in &case.devices {
        let of: Vec<usize> = device.takes.iter().map(|(set, _)| whole[*set]).collect();
        for other in &mut whole {
            if of.contains(other) {
                *other = of[0];
            }
        }
    }
    whole
}

/// The most that can be served, and the fewest devices that must change for it.
fn expected(case: &Case) -> (usize, usize) {
    let served: Vec<&Demand> = case.waiting.iter().filter(|demand| counts(case, demand)).collect();
    let waiting: Vec<_> = served.iter().map(|demand| ways(case, &counted(case, demand))).collect();
    let whole = wholes(case);
    let held_on = |devices: &[usize]| -> BTreeSet<usize> {
        devices.iter().flat_map(|&at| case.devices[at].takes.iter().map(|(set, _)| whole[*set])).collect()
    };
    let in_use: Vec<usize> = case
        .running
        .iter()
        .flat_map(|(_, devices)| held_on(devices))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let mut best = (0, 0);
    for choice in 0..1_u32 << in_use.len() {
        let changed: BTreeSet<usize> =
            (0..in_use.len()).filter(|at| choice & (1 << at) != 0).map(|at| in_use[at]).collect();
        let (gone, stay): (Vec<_>, Vec<_>) =
            case.running.iter().partition(|(_, devices)| !held_on(devices).is_disjoint(&changed));
        let musts: Vec<_> = gone.iter().map(|(demand, _)| ways(case, &counted(case, demand))).collect();
        // What a pod that moves holds besides partitions is free as well.
        let held: Vec<usize> = stay.iter().flat_map(|(_, devices)| devices.clone()).collect();
        if let Some(served) = most(case, &musts, &waiting, &held)
            && (served > best.0 || served == best.0 && changed.len() < best.1)
        {
            best = (served, changed.len());
        }
    }
    best
}

fn prepared(case: &Case) -> Prepared {
    let selector = format!("device.driver == '{DRIVER}'");
    let api = "resource.k8s.io/v1";
    let mut items = vec![json!({
        "apiVersion": api, "kind": "DeviceClass", "metadata": {"name": "any"},
        "spec": {"selectors": [{"cel": {"expression": selector}}]},
    })];
    for node in 0..case.nodes {
        let name = format!("node-{node}");
        items.push(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"allocatable": {"cpu": "64", "memory": "64Gi", "pods": "50"}},
        }));
        let sets: Vec<Value> = (0..case.sets.len())
            .filter(|set| case.sets[*set].0 == node)
            .map(|set| json!({"name": format!("set-{set}"), "counters": {"slices": {"value": case.sets[set].1.to_string()}}}))
            .collect();
        let devices: Vec<Value> = case
            .devices
            .iter()
            .filter(|device| device.node == node)
            .map(|device| {
                let takes: Vec<Value> = device
                    .takes
                    .iter()
                    .map(|(set, amount)| json!({"counterSet": format!("set-{set}"), "counters": {"slices": {"value": amount.to_string()}}}))
                    .collect();
                let mut object = json!({"name": device.name, "attributes": {"profile": {"string": device.profile}}});
                if !takes.is_empty() {
                    object["consumesCounters"] = takes.into();
                }
                object
            })
            .collect();
        let pool = json!({"name": name, "generation": 1, "resourceSliceCount": 2});
        for (part, of) in [("sharedCounters", sets), ("devices", devices)] {
            let mut spec = json!({"driver": DRIVER, "nodeName": name, "pool": pool});
            spec[part] = of.into();
            items.push(json!({"apiVersion": api, "kind": "ResourceSlice", "metadata": {"name": format!("{name}-{}", part.to_lowercase())}, "spec": spec}));
        }
    }
    for (number, demand) in case.waiting.iter().enumerate() {
        items.extend(pod(&format!("waits-{number}"), demand, None, case));
    }
    for (number, (demand, devices)) in case.running.iter().enumerate() {
        items.extend(pod(&format!("runs-{number}"), demand, Some(devices), case));
    }
    let text = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    Prepared::new(load(&[input], LoadOptions::default()).unwrap())
}

/// A pod with a claim of its own, and what it holds.
fn pod(name: &str, demand: &Demand, held: Option<&Vec<usize>>, case: &Case) -> Vec<Value> {
    let exactly = |(profiles, count): &(Vec<&str>, usize)| {
        let tests: Vec<String> = profiles
            .iter()
            .map(|profile| format!("device.attributes['{DRIVER}'].profile == '{profile}'"))
            .collect();
        json!({"deviceClassName": "any", "count": count, "selectors": [{"cel": {"expression": tests.join(" || ")}}]})
    };
    let requests: Vec<Value> = demand
        .iter()
        .enumerate()
        .map(|(number, alternatives)| {
            let name = format!("r{number}");
            if let [only] = alternatives.as_slice() {
                return json!({"name": name, "exactly": exactly(only)});
            }
            let named = alternatives.iter().enumerate().map(|(at, one)| {
                let mut one = exactly(one);
                one["name"] = format!("a{at}").into();
                one
            });
            json!({"name": name, "firstAvailable": named.collect::<Vec<Value>>()})
        })
        .collect();
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": true}]);
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "ns", "name": name, "uid": name, "ownerReferences": owner},
        "spec": {"containers": [{"name": "c"}], "resourceClaims": [{"name": "part", "resourceClaimTemplateName": name}]},
    });
    let template = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"namespace": "ns", "name": name},
        "spec": {"spec": {"devices": {"requests": requests}}},
    });
    let Some(held) = held else { return vec![template, pod] };
    let node = format!("node-{}", case.devices[held[0]].node);
    let results: Vec<Value> = held
        .iter()
        .map(|&at| json!({"request": "r0", "driver": DRIVER, "pool": node, "device": case.devices[at].name}))
        .collect();
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": name, "controller": true}]);
    let claim = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
        "metadata": {"namespace": "ns", "name": format!("{name}-part"), "ownerReferences": owner,
                     "annotations": {"resource.kubernetes.io/pod-claim-name": "part"}},
        "spec": {"devices": {"requests": requests}},
        "status": {
            "reservedFor": [{"resource": "pods", "name": name, "uid": name}],
            "allocation": {"devices": {"results": results}},
        },
    });
    pod["spec"]["nodeName"] = node.into();
    pod["status"] =
        json!({"resourceClaimStatuses": [{"name": "part", "resourceClaimName": format!("{name}-part")}]});
    vec![template, claim, pod]
}

fn planned(prepared: &Prepared) -> PartitionPlanReport {
    let options = Options { explain: false, ..Options::for_release(Release::V1_36) };
    let ground = Ground { prepared, options: &options, cancel: &AtomicBool::new(false) };
    let question = PartitionQuestion {
        copies: Vec::new(),
        most_repartitioned: 8,
        steps: 200_000,
        most_choices: 1000,
        drain: DrainOptions::default(),
    };
    plan_partitions(&ground, &question, &mut ()).unwrap()
}

/// Every pod of the layout has what it wants on one node, and all that is held fits together.
fn assert_sound(case: &Case, report: &PartitionPlanReport, seed: u64) {
    let mut held = Vec::new();
    let mut of_pod: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for layout in &report.devices {
        for partition in &layout.after {
            let is_it = |device: &Device| {
                format!("node-{}", device.node) == layout.node && device.name == partition.device
            };
            let at = case.devices.iter().position(is_it).unwrap();
            held.push(at);
            of_pod.entry(partition.pod.as_deref().unwrap()).or_default().push(at);
        }
    }
    assert!(fits(case, &held), "seed {seed}: {report:?}");
    let named = |kind: &str, number: usize| format!("ns/{kind}-{number}");
    for (number, demand) in case.waiting.iter().enumerate() {
        let name = named("waits", number);
        let Some(devices) = of_pod.get_mut(name.as_str()) else {
            assert!(!counts(case, demand) || report.not_served.contains(&name), "seed {seed}: {report:?}");
            continue;
        };
        devices.sort_unstable();
        assert!(ways(case, &counted(case, demand)).contains(devices), "seed {seed}: {name}: {report:?}");
    }
    for (number, (demand, before)) in case.running.iter().enumerate() {
        let name = named("runs", number);
        let mut devices = of_pod.remove(name.as_str()).unwrap_or_default();
        // A device without counters that a pod keeps is in no layout.
        if let Some(moved) = report.moves.iter().find(|moved| moved.pod == name) {
            let is_it =
                |device: &Device, id: &str| format!("{DRIVER}/node-{}/{}", device.node, device.name) == id;
            let at = |id: &String| case.devices.iter().position(|device| is_it(device, id)).unwrap();
            devices = moved.to.iter().map(at).collect();
        }
        devices.sort_unstable();
        let divided: Vec<usize> =
            before.iter().copied().filter(|&at| !case.devices[at].takes.is_empty()).collect();
        let stays = divided.iter().all(|at| devices.contains(at));
        assert!(
            stays || ways(case, &counted(case, demand)).contains(&devices),
            "seed {seed}: {name}: {report:?}"
        );
    }
}

#[test]
fn several_counter_sets_and_alternatives_are_planned_as_well_as_trying_everything_does() {
    let (mut changed, mut better, mut together, mut verified) = (0, 0, 0, 0);
    let cases =
        std::env::var("DRAYAGE_PROBLEMS").ok().and_then(|text| text.parse().ok()).unwrap_or(100).max(100);
    for seed in 0..cases {
        let case = case(seed);
        let report = planned(&prepared(&case));
        let (served, fewest) = expected(&case);
        assert_eq!(
            (report.served, report.repartitioned),
            (served, fewest),
            "seed {seed}: {case:?} {report:?}"
        );
        assert_eq!(report.certainty, "proven", "seed {seed}: {report:?}");
        assert_eq!(report.most_served_within_changes, served, "seed {seed}: {report:?}");
        assert_eq!(report.not_served.len(), report.demanded - report.served, "seed {seed}");
        assert_sound(&case, &report, seed);
        let everything_counts = case.waiting.iter().all(|demand| counted(&case, demand) == *demand)
            && case.running.iter().all(|(demand, _)| counted(&case, demand) == *demand);
        assert!(report.verified || !everything_counts, "seed {seed}: {case:?} {report:?}");
        verified += usize::from(report.verified);
        changed += usize::from(report.repartitioned > 0);
        better += usize::from(report.served > report.served_without_plan);
        together += usize::from(report.devices.iter().any(|device| device.counter_sets.len() > 1));
    }
    assert!(
        changed > 2 && better > 5 && together > 30 && verified > 60,
        "{changed}, {better}, {together}, {verified}"
    );
}
