//! What people read for reports of every kind.

use std::collections::BTreeMap;

use drayage_simulator::report::{
    API_VERSION, Assumptions, ClaimReport, DeviceFailure, DeviceReport, ErrorReport, Nearest, PodOutcome,
    PodReport, Reason, RefusalCount, SimulationReport, Summary,
};

use super::table::{Detail, render};
use super::verdict;
use crate::command::exit::Exit;

fn pod(name: &str, outcome: PodOutcome) -> PodReport {
    PodReport {
        namespace: "ml".to_owned(),
        name: name.to_owned(),
        expanded_from: None,
        outcome,
        node: None,
        claims: Vec::new(),
        message: None,
        explanations: Vec::new(),
        explained_like: None,
        reasons: Vec::new(),
        preemption: None,
        preempted_by: None,
        eviction: None,
        error: None,
        notes: Vec::new(),
    }
}

fn claim(pod_claim: &str, name: &str, devices: &[&str]) -> ClaimReport {
    ClaimReport {
        pod_claim: Some(pod_claim.to_owned()),
        name: name.to_owned(),
        generated: true,
        extended_resources: false,
        allocated_before: false,
        allocation: None,
        devices: devices
            .iter()
            .map(|device| DeviceReport {
                request: "gpu".to_owned(),
                driver: "gpu.example.com".to_owned(),
                pool: "gpu-0".to_owned(),
                device: (*device).to_owned(),
                consumed_capacity: BTreeMap::new(),
                admin_access: false,
            })
            .collect(),
    }
}

fn report(pods: Vec<PodReport>) -> SimulationReport {
    let pending = pods.iter().filter(|pod| pod.outcome.is_pending()).count();
    let scheduled = pods.iter().filter(|pod| pod.outcome == PodOutcome::Scheduled).count();
    let summary = Summary {
        pods: pods.len(),
        scheduled,
        already_running: pods.len() - pending - scheduled,
        pending,
        nodes: 64,
        devices: 512,
        devices_in_use: 2,
        device_allocations: 2,
        ..Summary::default()
    };
    let assumptions = Assumptions { release: "1.36".to_owned(), ..Assumptions::default() };
    SimulationReport { api_version: API_VERSION, kind: "SimulationReport", assumptions, summary, pods }
}

fn placed(name: &str, node: &str, claims: Vec<ClaimReport>) -> PodReport {
    PodReport { node: Some(node.to_owned()), claims, ..pod(name, PodOutcome::Scheduled) }
}

/// A pod whose generated claim misses devices on 18 of 64 nodes.
fn refused(name: &str) -> PodReport {
    let claim_name = format!("{name}-gpus-abcde");
    let failure = DeviceFailure {
        nodes: 18,
        claim: format!("ml/{claim_name}"),
        request: "gpu".to_owned(),
        needed: Some(4),
        usable: 2,
        refusals: vec![
            RefusalCount {
                kind: "in-use".to_owned(),
                message: "in use by other claims".to_owned(),
                devices: 5,
            },
            RefusalCount {
                kind: "selector".to_owned(),
                message: "refused by selector class[0] `false`".to_owned(),
                devices: 1,
            },
        ],
        nearest_node: "gpu-03".to_owned(),
    };
    PodReport {
        claims: vec![claim("gpus", &claim_name, &[])],
        message: Some("0/64 nodes are available".to_owned()),
        reasons: vec![
            Reason {
                plugin: "NodeResourcesFit".to_owned(),
                reason: "Insufficient cpu".to_owned(),
                nodes: 46,
                nearest: Some(Nearest { node: "gpu-17".to_owned(), message: "short by 500m".to_owned() }),
                devices: Vec::new(),
            },
            Reason {
                plugin: "DynamicResources".to_owned(),
                reason: "cannot allocate all claims".to_owned(),
                nodes: 18,
                nearest: None,
                devices: vec![failure],
            },
        ],
        ..pod(name, PodOutcome::Unschedulable)
    }
}

#[test]
fn placed_pods_have_a_row_for_each_claim() {
    let report = report(vec![
        placed(
            "train-0",
            "gpu-0",
            vec![claim("gpus", "c", &["gpu-0", "gpu-1"]), claim("nic", "d", &["nic-0"])],
        ),
        placed("web", "gpu-1", Vec::new()),
    ]);
    let expected = "\
POD         STATUS     NODE   CLAIM  DEVICES
ml/train-0  scheduled  gpu-0  gpus   gpu-0,gpu-1
ml/train-0  scheduled  gpu-0  nic    nic-0
ml/web      scheduled  gpu-1  -      -

PODS    2  scheduled 2  pending 0
NODES  64  devices 512  in use 2
Kubernetes 1.36, feature gates default
";
    assert_eq!(render(&report, Detail::Short), expected);
    assert_eq!(verdict(&report), Exit::Yes);
}

#[test]
fn equal_pods_are_explained_once() {
    let report = report(vec![refused("a-0"), refused("a-1"), refused("a-2")]);
    let text = render(&report, Detail::Short);
    let expected = "
pod ml/a-0 and 2 pods like it: unschedulable, none of 64 nodes fits
  46  NodeResourcesFit  Insufficient cpu; nearest node gpu-17: short by 500m
  18  DynamicResources  cannot allocate all claims
      18 nodes, nearest gpu-03: claim gpus, request gpu: needs 4 devices, 2 usable
          5 devices: in use by other claims
          1 device: refused by selector class[0] `false`

PODS    3  scheduled 0  pending 3
";
    assert!(text.contains(expected), "{text}");
    let row =
        "ml/a-2  unschedulable  -     gpus   0/64 nodes: 46 Insufficient cpu, 18 cannot allocate all claims";
    assert!(text.contains(row), "{text}");
    assert_eq!(verdict(&report), Exit::No);
}

#[test]
fn running_pods_are_in_the_wide_table_only() {
    let mut running = placed("db", "gpu-0", vec![claim("gpus", "c", &["gpu-0"])]);
    running.outcome = PodOutcome::AlreadyRunning;
    let report = report(vec![running]);
    assert!(
        render(&report, Detail::Short).starts_with("PODS    1  scheduled 0  pending 0  already running 1\n")
    );
    let wide = render(&report, Detail::Wide);
    assert!(
        wide.contains("ml/db  already-running  gpu-0  gpus   gpu=gpu.example.com/gpu-0/gpu-0\n"),
        "{wide}"
    );
}

#[test]
fn shares_show_what_they_consume() {
    let mut shared = claim("gpu", "c", &["gpu-0"]);
    shared.devices[0].consumed_capacity.insert("memory".to_owned(), "10Gi".to_owned());
    let text = render(&report(vec![placed("a", "n", vec![shared])]), Detail::Short);
    assert!(text.contains("gpu-0[memory=10Gi]\n"), "{text}");
}

#[test]
fn undecided_is_not_mixed_with_no() {
    let undecided = PodReport {
        error: Some(ErrorReport {
            kind: "undecided".to_owned(),
            message: "the search took more than 10 steps".to_owned(),
            node: Some("gpu-0".to_owned()),
        }),
        ..pod("a", PodOutcome::Undecided)
    };
    let only = report(vec![undecided.clone()]);
    assert_eq!(verdict(&only), Exit::Undecided);
    let text = render(&only, Detail::Short);
    assert!(text.contains("pod ml/a: undecided\n  undecided on node gpu-0: the search took"), "{text}");
    assert_eq!(verdict(&report(vec![undecided, refused("b")])), Exit::No);
}

#[test]
fn text_of_the_input_cannot_move_the_cursor() {
    let mut bad = refused("a\u{1b}[2J");
    bad.reasons[0].reason = "x\u{7}\ny".to_owned();
    let text = render(&report(vec![bad]), Detail::Wide);
    assert!(!text.contains(['\u{1b}', '\u{7}']), "{text}");
}
