//! Pods, claims and devices as a graph for Graphviz.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use drayage_cluster::Snapshot;

use super::{PodOutcome, SimulationReport};

/// The graph of a simulation: pod, claim, device, node; pending pods are red, with an edge to what refused most
/// nodes. Devices that nobody holds are left out; `snapshot` tells on which nodes devices are.
pub fn graph(snapshot: &Snapshot, report: &SimulationReport) -> String {
    let nodes = places(snapshot);
    let mut graph = Graph::default();
    graph.text.push_str(
        "digraph drayage {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11];\n  \
         edge [fontname=\"sans-serif\", fontsize=9];\n",
    );
    for pod in &report.pods {
        let id = format!("pod {}/{}", pod.namespace, pod.name);
        let colour = match pod.outcome {
            PodOutcome::AlreadyRunning => "gray45",
            PodOutcome::Preempted => "firebrick",
            PodOutcome::Scheduled => "darkgreen",
            _ => "red",
        };
        graph.node(&id, &format!("pod\n{}/{}\n{}", pod.namespace, pod.name, pod.outcome.as_str()), colour);
        let mut places = BTreeSet::new();
        for claim in &pod.claims {
            let claim_id = format!("claim {}/{}", pod.namespace, claim.name);
            graph.node(&claim_id, &format!("claim\n{}", claim.name), "black");
            graph.edge(&id, &claim_id, claim.pod_claim.as_deref().unwrap_or("extended resources"), "black");
            for device in &claim.devices {
                let device_id = format!("device {}/{}/{}", device.driver, device.pool, device.device);
                graph.node(&device_id, &format!("device\n{}\n{}", device.device, device.driver), "blue4");
                let label = if device.admin_access {
                    format!("{} (admin access)", device.request)
                } else if device.consumed_capacity.is_empty() {
                    device.request.clone()
                } else {
                    let parts: Vec<String> = device
                        .consumed_capacity
                        .iter()
                        .map(|(name, amount)| format!("{name} {amount}"))
                        .collect();
                    format!("{}: {}", device.request, parts.join(", "))
                };
                graph.edge(&claim_id, &device_id, &label, "black");
                let place = nodes
                    .get(&(&*device.driver, &*device.pool, &*device.device))
                    .map_or_else(|| format!("pool {}", device.pool), |node| format!("node {node}"));
                graph.node(&place, &place, "gray30");
                graph.edge(&device_id, &place, "", "gray60");
                places.insert(place);
            }
        }
        if let Some(node) = &pod.node {
            let node = format!("node {node}");
            if !places.contains(&node) {
                graph.node(&node, &node, "gray30");
                graph.edge(&id, &node, "", "gray60");
            }
        }
        if let Some(reason) =
            pod.reasons.iter().max_by_key(|reason| reason.nodes).filter(|_| pod.outcome.is_pending())
        {
            let reason_id = format!("reason {} {}", reason.plugin, reason.reason);
            graph.node(&reason_id, &format!("{}\n{}", reason.plugin, reason.reason), "red");
            let nodes =
                if reason.nodes == 1 { "1 node".to_owned() } else { format!("{} nodes", reason.nodes) };
            graph.edge(&id, &reason_id, &nodes, "red");
        }
    }
    graph.text.push_str("}\n");
    graph.text
}

/// The nodes of devices that are on one, by driver, pool and device.
fn places(snapshot: &Snapshot) -> BTreeMap<(&str, &str, &str), &str> {
    let mut places = BTreeMap::new();
    for slice in snapshot.slices.iter().map(|slice| &slice.spec) {
        for device in &slice.devices {
            if let Some(node) = slice.node_name.as_deref().or(device.node_name.as_deref()) {
                places.insert((&*slice.driver, &*slice.pool.name, &*device.name), node);
            }
        }
    }
    places
}

#[derive(Default)]
struct Graph {
    text: String,
    drawn: BTreeSet<String>,
}

impl Graph {
    /// Draws a node once.
    fn node(&mut self, id: &str, label: &str, colour: &str) {
        if self.drawn.insert(id.to_owned()) {
            let _ = writeln!(self.text, "  {} [label={}, color={colour}];", quoted(id), quoted(label));
        }
    }

    fn edge(&mut self, from: &str, to: &str, label: &str, colour: &str) {
        let label = if label.is_empty() { String::new() } else { format!("label={}, ", quoted(label)) };
        let line = format!("  {} -> {} [{label}color={colour}];\n", quoted(from), quoted(to));
        if self.drawn.insert(line.clone()) {
            self.text.push_str(&line);
        }
    }
}

/// A quoted string of the DOT language.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            '\n' => quoted.push_str("\\n"),
            character if character.is_control() => quoted.push(' '),
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
