//! The answer of `dray simulate` for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use drayage_simulator::report::{
    ClaimReport, DeviceReport, PodOutcome, PodReport, SimulationReport, Summary,
};
use indexmap::IndexMap;

use super::reasons;
use crate::command::text::{Columns, count, printable_line};

/// How much the table tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// The pods that were pending, with short names of devices.
    Short,
    /// Every pod, with full names of devices and their requests.
    Wide,
}

/// The pods in columns, then why some have no node, then the summary.
pub(crate) fn render(report: &SimulationReport, detail: Detail) -> String {
    let mut text = String::new();
    pods(report, detail, &mut text);
    explanations(report, &mut text);
    if !text.is_empty() {
        text.push('\n');
    }
    summary(report, &mut text);
    text
}

fn pods(report: &SimulationReport, detail: Detail, text: &mut String) {
    let mut shown = report
        .pods
        .iter()
        .filter(|pod| detail == Detail::Wide || pod.outcome != PodOutcome::AlreadyRunning)
        .peekable();
    if shown.peek().is_none() {
        return;
    }
    let mut columns = Columns::new(&["POD", "STATUS", "NODE", "CLAIM", "DEVICES"]);
    for pod in shown {
        let name = format!("{}/{}", pod.namespace, pod.name);
        let status = pod.outcome.as_str();
        let node = pod.node.as_deref().unwrap_or("-");
        let mut row = |claim: &str, devices: &str| {
            columns.push(&[
                name.clone(),
                status.to_owned(),
                node.to_owned(),
                claim.to_owned(),
                devices.to_owned(),
            ]);
        };
        if pod.outcome.is_pending() {
            let claims: Vec<&str> = pod.claims.iter().map(claim_name).collect();
            let claims = if claims.is_empty() { "-".to_owned() } else { claims.join(",") };
            row(&claims, &reasons::short(pod, report.summary.nodes));
        } else if pod.claims.is_empty() {
            row("-", "-");
        } else {
            for claim in &pod.claims {
                row(claim_name(claim), &devices(claim, detail));
            }
        }
    }
    columns.render(text);
}

/// The name the pod has for the claim, else the claim's own.
pub(crate) fn claim_name(claim: &ClaimReport) -> &str {
    claim.pod_claim.as_deref().unwrap_or(&claim.name)
}

/// The devices of a claim on one line.
pub(crate) fn devices(claim: &ClaimReport, detail: Detail) -> String {
    if claim.devices.is_empty() {
        return if claim.allocation.is_some() { "none".to_owned() } else { "-".to_owned() };
    }
    let devices: Vec<String> = claim.devices.iter().map(|device| device_text(device, detail)).collect();
    let mut text = devices.join(",");
    if claim.allocated_before {
        text.push_str(" (allocated before)");
    }
    text
}

fn device_text(device: &DeviceReport, detail: Detail) -> String {
    let mut text = match detail {
        Detail::Short => device.device.clone(),
        Detail::Wide => {
            format!("{}={}/{}/{}", device.request, device.driver, device.pool, device.device)
        }
    };
    let mut extras: Vec<String> =
        device.consumed_capacity.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
    if device.admin_access {
        extras.push("admin".to_owned());
    }
    if !extras.is_empty() {
        let _ = write!(text, "[{}]", extras.join(" "));
    }
    text
}

/// Why pods have no node. Pods with the same reasons are told of together: a big workload has one answer, not
/// a thousand.
fn explanations(report: &SimulationReport, text: &mut String) {
    let mut groups: IndexMap<(PodOutcome, String), Vec<&PodReport>> = IndexMap::new();
    let untold = |pod: &&PodReport| pod.outcome.is_pending() && pod.outcome != PodOutcome::Preempted;
    for pod in report.pods.iter().filter(untold) {
        groups.entry((pod.outcome, reasons::tree(pod))).or_default().push(pod);
    }
    for ((outcome, reasons), pods) in groups {
        let Some(first) = pods.first() else { continue };
        let others = match pods.len() - 1 {
            0 => String::new(),
            others => format!(" and {} like it", count(others, "pod")),
        };
        let verdict = match outcome {
            // It fits, but not alone.
            PodOutcome::Unschedulable if first.reasons.iter().all(|reason| reason.nodes == 0) => {
                outcome.as_str().to_owned()
            }
            PodOutcome::Unschedulable => match report.summary.nodes {
                1 => format!("{}, the only node does not fit", outcome.as_str()),
                nodes => format!("{}, none of {} fits", outcome.as_str(), count(nodes, "node")),
            },
            _ => outcome.as_str().to_owned(),
        };
        let name = printable_line(&format!("{}/{}", first.namespace, first.name));
        let _ = write!(text, "\npod {name}{others}: {verdict}\n{reasons}");
        for explanation in pods.iter().flat_map(|pod| &pod.explanations) {
            reasons::explanation(explanation, text);
        }
    }
}

fn summary(report: &SimulationReport, text: &mut String) {
    let Summary {
        pods,
        already_running,
        scheduled,
        pending,
        pending_by_cause,
        preempted,
        evicted,
        finished,
        ..
    } = &report.summary;
    let number_width = pods.max(&report.summary.nodes).to_string().len();
    let _ = write!(text, "PODS   {pods:>number_width$}  scheduled {scheduled}  pending {pending}");
    if !pending_by_cause.is_empty() {
        let _ = write!(text, " ({})", causes(pending_by_cause));
    }
    for (label, number) in [
        ("preempted", preempted),
        ("evicted", evicted),
        ("already running", already_running),
        ("finished", finished),
    ] {
        if *number > 0 {
            let _ = write!(text, "  {label} {number}");
        }
    }
    let Summary { nodes, devices, devices_in_use, device_allocations, .. } = &report.summary;
    let _ = write!(text, "\nNODES  {nodes:>number_width$}  devices {devices}  in use {devices_in_use}");
    if device_allocations != devices_in_use {
        let _ = write!(text, "  allocations {device_allocations}");
    }
    let overrides = &report.assumptions.feature_gate_overrides;
    let gates = if overrides.is_empty() {
        "default".to_owned()
    } else {
        overrides.iter().map(|(gate, value)| format!("{gate}={value}")).collect::<Vec<_>>().join(",")
    };
    let _ = writeln!(text, "\nKubernetes {}, feature gates {gates}", report.assumptions.release);
    if !report.assumptions.tie_rule.is_empty() {
        let _ = writeln!(text, "order: {}", report.assumptions.tie_rule);
    }
}

/// The causes with most pods first.
fn causes(pending_by_cause: &BTreeMap<String, usize>) -> String {
    let mut causes: Vec<(&String, &usize)> = pending_by_cause.iter().collect();
    causes.sort_by(|left, right| right.1.cmp(left.1));
    causes.iter().map(|(cause, pods)| format!("{cause} {pods}")).collect::<Vec<_>>().join(", ")
}
