//! A cluster of GPUs that are divided, half full, for `plan` and `defrag`.

use std::fmt::Write as _;

use drayage_simulator::what_if::defrag::DefragQuestion;
use drayage_simulator::what_if::drain::DrainOptions;
use drayage_simulator::what_if::plan::PartitionQuestion;

/// GPUs of a node. Each has four memory slices and can be used whole, in halves or in quarters.
const GPUS: usize = 8;

const PARTITIONS: [(&str, usize, usize); 7] = [
    ("quarter", 0, 1),
    ("quarter", 1, 1),
    ("quarter", 2, 1),
    ("quarter", 3, 1),
    ("half", 0, 2),
    ("half", 2, 2),
    ("whole", 0, 4),
];

/// Numbers that look random, and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound
    }
}

fn class_and_templates() -> String {
    let mut text = String::from(
        r#"{"apiVersion":"v1","kind":"List","items":[
{"apiVersion":"resource.k8s.io/v1","kind":"DeviceClass","metadata":{"name":"part"},"spec":{"selectors":[{"cel":{"expression":"device.driver == 'gpu.example.com'"}}]}}"#,
    );
    for profile in ["quarter", "half", "whole"] {
        let _ = write!(
            text,
            ",\n{{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceClaimTemplate\",\"metadata\":{{\"name\":\"{profile}\",\
             \"namespace\":\"ml\"}},\"spec\":{{\"spec\":{{\"devices\":{{\"requests\":[{}]}}}}}}}}",
            request(profile)
        );
    }
    text
}

fn request(profile: &str) -> String {
    format!(
        "{{\"name\":\"part\",\"exactly\":{{\"deviceClassName\":\"part\",\"selectors\":[{{\"cel\":{{\"expression\":\
         \"device.attributes['gpu.example.com'].profile == '{profile}'\"}}}}]}}}}"
    )
}

fn node(text: &mut String, node: usize) {
    let name = format!("node-{node:05}");
    let _ = write!(
        text,
        ",\n{{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{{\"name\":\"{name}\",\"labels\":{{\"kubernetes.io/hostname\":\
         \"{name}\"}}}},\"status\":{{\"allocatable\":{{\"cpu\":\"128\",\"memory\":\"1Ti\",\"pods\":\"110\"}}}}}}"
    );
    let slice = |part: &str| {
        format!(
            ",\n{{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceSlice\",\"metadata\":{{\"name\":\"{name}-{}\"}},\
             \"spec\":{{\"driver\":\"gpu.example.com\",\"nodeName\":\"{name}\",\"pool\":{{\"name\":\"{name}\",\"generation\":1,\
             \"resourceSliceCount\":2}},\"{part}\":[",
            part.to_lowercase()
        )
    };
    let counters = |first: usize, count: usize| {
        let counters: Vec<String> =
            (first..first + count).map(|at| format!("\"memory-{at}\":{{\"value\":\"1\"}}")).collect();
        counters.join(",")
    };
    text.push_str(&slice("sharedCounters"));
    for gpu in 0..GPUS {
        let comma = if gpu == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{{\"name\":\"gpu-{gpu}\",\"counters\":{{{}}}}}", counters(0, 4));
    }
    text.push_str("]}}");
    text.push_str(&slice("devices"));
    for gpu in 0..GPUS {
        for (number, &(profile, first, count)) in PARTITIONS.iter().enumerate() {
            let comma = if gpu + number == 0 { "" } else { "," };
            let _ = write!(
                text,
                "{comma}{{\"name\":\"gpu-{gpu}-{profile}-{first}\",\"attributes\":{{\"profile\":{{\"string\":\"{profile}\"}},\
                 \"uuid\":{{\"string\":\"{node}-{gpu}-{number}\"}}}},\"consumesCounters\":[{{\"counterSet\":\"gpu-{gpu}\",\
                 \"counters\":{{{}}}}}]}}",
                counters(first, count)
            );
        }
    }
    text.push_str("]}}");
}

fn pod(text: &mut String, name: &str, profile: &str, on: Option<(usize, &str)>) {
    let mut place = String::new();
    let mut status = String::new();
    if let Some((node, device)) = on {
        let _ = write!(place, "\"nodeName\":\"node-{node:05}\",");
        let _ = write!(
            status,
            ",\"status\":{{\"phase\":\"Running\",\"resourceClaimStatuses\":[{{\"name\":\"part\",\"resourceClaimName\":\
             \"{name}-part\"}}]}}"
        );
        let _ = write!(
            text,
            ",\n{{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceClaim\",\"metadata\":{{\"name\":\"{name}-part\",\
             \"namespace\":\"ml\",\"annotations\":{{\"resource.kubernetes.io/pod-claim-name\":\"part\"}},\"ownerReferences\":\
             [{{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"{name}\",\"uid\":\"{name}\",\"controller\":true}}]}},\"spec\":\
             {{\"devices\":{{\"requests\":[{}]}}}},\"status\":{{\"reservedFor\":[{{\"resource\":\"pods\",\"name\":\"{name}\",\
             \"uid\":\"{name}\"}}],\"allocation\":{{\"devices\":{{\"results\":[{{\"request\":\"part\",\"driver\":\
             \"gpu.example.com\",\"pool\":\"node-{node:05}\",\"device\":\"{device}\"}}]}},\"nodeSelector\":{{\
             \"nodeSelectorTerms\":[{{\"matchFields\":[{{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":\
             [\"node-{node:05}\"]}}]}}]}}}}}}}}",
            request(profile)
        );
    }
    let _ = write!(
        text,
        ",\n{{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{{\"name\":\"{name}\",\"namespace\":\"ml\",\"uid\":\"{name}\",\
         \"creationTimestamp\":\"2026-01-01T00:00:00Z\",\"ownerReferences\":[{{\"apiVersion\":\"apps/v1\",\"kind\":\
         \"ReplicaSet\",\"name\":\"{profile}\",\"uid\":\"{profile}\",\"controller\":true}}]}},\"spec\":{{{place}\"containers\":\
         [{{\"name\":\"c\",\"image\":\"x\",\"resources\":{{\"requests\":{{\"cpu\":\"1\",\"memory\":\"4Gi\"}},\"claims\":\
         [{{\"name\":\"part\"}}]}}}}],\"resourceClaims\":[{{\"name\":\"part\",\"resourceClaimTemplateName\":\"{profile}\"}}]}}\
         {status}}}"
    );
}

/// Nodes whose GPUs hold nothing, a quarter or a half. With `empty`, a part of the GPUs is free; else none is, so that who wants
/// one must wait until somebody moves. Then pods that wait: `waiting` for each profile.
fn cluster(nodes: usize, empty: bool, waiting: &[(&str, usize)]) -> String {
    let mut numbers = Numbers(1);
    let mut text = class_and_templates();
    let mut running = 0;
    for number in 0..nodes {
        node(&mut text, number);
        for gpu in 0..GPUS {
            let (profile, first) = match numbers.below(4) {
                0 if empty => continue,
                0 | 1 => ("half", 2 * numbers.below(2)),
                _ => ("quarter", numbers.below(4)),
            };
            let device = format!("gpu-{gpu}-{profile}-{first}");
            pod(&mut text, &format!("runs-{running:06}"), profile, Some((number, &device)));
            running += 1;
        }
    }
    for (profile, count) in waiting {
        for number in 0..*count {
            pod(&mut text, &format!("waits-{profile}-{number:06}"), profile, None);
        }
    }
    text.push_str("\n]}\n");
    text
}

/// More want a GPU of their own than there are empty ones.
pub(crate) fn to_plan(nodes: usize) -> String {
    cluster(nodes, true, &[("whole", nodes * 11 / 5), ("half", nodes * 4 / 5)])
}

/// What is asked of it.
pub(crate) fn layouts() -> PartitionQuestion {
    PartitionQuestion {
        copies: Vec::new(),
        most_repartitioned: 3,
        steps: 200_000,
        most_choices: 2_000,
        drain: DrainOptions::default(),
    }
}

/// A pod wants a GPU of its own, and every GPU has partitions in use.
pub(crate) fn to_defragment(nodes: usize) -> String {
    cluster(nodes, false, &[("whole", 1)])
}

/// What is asked of it.
pub(crate) fn moves() -> DefragQuestion {
    DefragQuestion {
        pods: vec!["ml/waits-whole-000000".to_owned()],
        most_moves: 5,
        most_tries: 10_000,
        drain: DrainOptions::default(),
        place_waiting: true,
    }
}
