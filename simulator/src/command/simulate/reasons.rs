//! Why a pod has no node, in text.

use std::fmt::Write as _;

use drayage_simulator::report::{DeviceFailure, ErrorReport, NodeExplanation, PodOutcome, PodReport, Reason};

use super::table::claim_name;
use crate::command::text::{count, printable_line};

/// Refusals of devices of one failure beyond these are counted.
const SHOWN_REFUSALS: usize = 8;

/// One line for the table.
pub(crate) fn short(pod: &PodReport, nodes: usize) -> String {
    if let Some(error) = &pod.error {
        return first_line(&error.message).to_owned();
    }
    if pod.outcome == PodOutcome::Unschedulable && pod.reasons.iter().any(|reason| reason.nodes > 0) {
        let reasons: Vec<String> =
            pod.reasons.iter().map(|reason| format!("{} {}", reason.nodes, reason.reason)).collect();
        return format!("0/{nodes} nodes: {}", reasons.join(", "));
    }
    first_line(pod.message.as_deref().unwrap_or("-")).to_owned()
}

/// The reasons as an indented tree. It names claims as the pod does, so that equal pods have equal trees.
pub(crate) fn tree(pod: &PodReport) -> String {
    let mut text = String::new();
    if let Some(error) = &pod.error {
        error_lines(error, &mut text);
    } else if pod.reasons.iter().all(|reason| reason.nodes == 0)
        && let Some(message) = &pod.message
    {
        let _ = writeln!(text, "  {}", printable_line(&own_names(pod, message)));
    }
    let numbers = pod.reasons.iter().map(|reason| reason.nodes.to_string().len()).max().unwrap_or(1);
    let plugins = pod.reasons.iter().map(|reason| reason.plugin.len()).max().unwrap_or(0);
    for reason in pod.reasons.iter().filter(|reason| reason.nodes > 0) {
        reason_lines(pod, reason, numbers, plugins, &mut text);
    }
    for note in &pod.notes {
        let _ = writeln!(text, "  {}", printable_line(&own_names(pod, note)));
    }
    text
}

fn reason_lines(pod: &PodReport, reason: &Reason, numbers: usize, plugins: usize, text: &mut String) {
    let Reason { plugin, reason: words, nodes, nearest, devices } = reason;
    let words = printable_line(&own_names(pod, words));
    let _ = write!(text, "  {nodes:>numbers$}  {plugin:<plugins$}  {words}");
    if let Some(nearest) = nearest {
        let _ = write!(
            text,
            "; nearest node {}: {}",
            printable_line(&nearest.node),
            printable_line(&nearest.message)
        );
    }
    text.push('\n');
    for failure in devices {
        let claim = pod_claim_name(pod, &failure.claim);
        failure_lines(failure, claim, Some(failure.nodes), numbers + 4, text);
    }
}

/// What stood in the way of one request, on the nearest of the nodes where the same did. `nodes` is left out where
/// the reader knows which node is meant.
pub(crate) fn failure_lines(
    failure: &DeviceFailure,
    claim: &str,
    nodes: Option<usize>,
    indent: usize,
    text: &mut String,
) {
    let DeviceFailure { request, needed, usable, refusals, nearest_node, .. } = failure;
    let node = printable_line(nearest_node);
    let _ = match nodes {
        None => write!(text, "{:indent$}", ""),
        Some(1) => write!(text, "{:indent$}node {node}: ", ""),
        Some(nodes) => write!(text, "{:indent$}{}, nearest {node}: ", "", count(nodes, "node")),
    };
    let _ = writeln!(
        text,
        "claim {}, request {}: needs {}, {usable} usable",
        printable_line(claim),
        printable_line(request),
        needed.map_or_else(|| "all devices".to_owned(), |needed| count(needed, "device")),
    );
    let indent = indent + 4;
    let numbers = refusals.iter().map(|refusal| refusal.devices.to_string().len()).max().unwrap_or(1);
    for refusal in refusals.iter().take(SHOWN_REFUSALS) {
        let message = printable_line(&refusal.message);
        let _ = match refusal.devices {
            // About the whole node or pool.
            0 => writeln!(text, "{:indent$}{message}", ""),
            1 => writeln!(text, "{:indent$}{:>numbers$} device: {message}", "", 1),
            devices => writeln!(text, "{:indent$}{devices:>numbers$} devices: {message}", ""),
        };
    }
    if refusals.len() > SHOWN_REFUSALS {
        let more: usize = refusals.iter().skip(SHOWN_REFUSALS).map(|refusal| refusal.devices).sum();
        let _ = writeln!(text, "{:indent$}{more:>numbers$} devices: other causes", "");
    }
}

/// A full explanation, indented.
pub(crate) fn explanation(explained: &NodeExplanation, text: &mut String) {
    let node = printable_line(&explained.explanation.node);
    let _ = match explained.nodes {
        1 => writeln!(text, "\n  node {node}"),
        nodes => writeln!(text, "\n  node {node}, for {} that fail alike", count(nodes, "node")),
    };
    for line in explained.text.lines() {
        let line = printable_line(line);
        let _ = if line.is_empty() { writeln!(text) } else { writeln!(text, "    {line}") };
    }
}

/// An error with the node it happened on; further lines of its text keep their own indentation.
pub(crate) fn error_lines(error: &ErrorReport, text: &mut String) {
    let _ = write!(text, "  {}", error.kind);
    if let Some(node) = error.node.as_deref().filter(|node| !error.message.contains(*node)) {
        let _ = write!(text, " on node {}", printable_line(node));
    }
    let mut lines = error.message.lines();
    let _ = writeln!(text, ": {}", printable_line(lines.next().unwrap_or_default()));
    for line in lines {
        let _ = writeln!(text, "    {}", printable_line(line));
    }
}

/// The name that the pod has for a claim given as `namespace/name`.
fn pod_claim_name<'a>(pod: &'a PodReport, full_name: &'a str) -> &'a str {
    let name = full_name.rsplit_once('/').map_or(full_name, |(_, name)| name);
    pod.claims.iter().find(|claim| claim.name == name).map_or(full_name, claim_name)
}

/// The text with the names of generated claims replaced by the pod's own names for them.
fn own_names(pod: &PodReport, text: &str) -> String {
    let mut text = text.to_owned();
    for claim in pod.claims.iter().filter(|claim| claim.generated && claim.pod_claim.is_some()) {
        if text.contains(&claim.name) {
            text = text.replace(&claim.name, claim_name(claim));
        }
    }
    text
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
