//! The answer of `dray simulate --worlds` for people.

use std::fmt::Write as _;

use drayage_simulator::report::{WorldFate, WorldsReport};

use crate::command::exit::Exit;
use crate::command::text::{Columns, count};

/// Nodes of one pod beyond these are counted.
const SHOWN_NODES: usize = 6;

/// The pods in columns, then a summary.
pub(crate) fn render(report: &WorldsReport) -> String {
    let mut text = String::new();
    let mut columns = Columns::new(&["POD", "PLACED", "WORLDS", "NODES"]);
    for pod in &report.pods {
        // The likeliest first.
        let mut nodes: Vec<(&String, usize)> =
            pod.nodes.iter().map(|(node, &worlds)| (node, worlds)).collect();
        nodes.sort_by_key(|&(node, worlds)| (std::cmp::Reverse(worlds), node));
        let mut shown: Vec<String> =
            nodes.iter().take(SHOWN_NODES).map(|(node, worlds)| format!("{node} {worlds}")).collect();
        if nodes.len() > SHOWN_NODES {
            shown.push(format!("{} more", count(nodes.len() - SHOWN_NODES, "node")));
        }
        columns.push(&[
            format!("{}/{}", pod.namespace, pod.name),
            pod.fate.as_str().to_owned(),
            format!("{} of {}", pod.placed, report.worlds),
            if shown.is_empty() { "-".to_owned() } else { shown.join(", ") },
        ]);
    }
    columns.render(&mut text);
    let summary = &report.summary;
    let _ = writeln!(
        text,
        "\nPODS  {}  always {}  sometimes {}  never {}  on several nodes {}",
        summary.pods, summary.always, summary.sometimes, summary.never, summary.on_several_nodes
    );
    if summary.sometimes > 0 {
        let _ = writeln!(
            text,
            "for {} it hangs on chance whether there is a node: exit code 1",
            count(summary.sometimes, "pod")
        );
    }
    let _ = writeln!(text, "{}, seed {}", count(report.worlds, "world"), report.seed);
    let _ = writeln!(text, "Kubernetes {}", report.assumptions.release);
    let _ = writeln!(text, "order: {}", report.assumptions.tie_rule);
    text
}

/// Yes when every pod has a node in every world, undecided when only step budgets are in the way.
pub(crate) fn verdict(report: &WorldsReport) -> Exit {
    let mut missing = report.pods.iter().filter(|pod| pod.fate != WorldFate::Always).peekable();
    if missing.peek().is_none() {
        return Exit::Yes;
    }
    let is_undecided = |outcome: &String| outcome == "undecided" || outcome == "scheduled";
    if missing.all(|pod| pod.outcomes.keys().all(is_undecided)) { Exit::Undecided } else { Exit::No }
}
