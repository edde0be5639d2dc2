//! `dray scale-up`: which node groups grow.

use std::fmt::Write as _;

use drayage_simulator::report::{ScaleUpPlan, ScaleUpReport, Waste};
use drayage_simulator::what_if::scale_up::expander::{Expander, ExpanderContext, UnknownExpander};
use drayage_simulator::what_if::scale_up::{NodeLimits, ScaleUpQuestion, Similarity, scale_up};

use super::arguments::ScaleUp;
use super::{Read, ask, footer, own, print};
use crate::command::exit::Exit;
use crate::command::failure::{Complaint, Failure};
use crate::command::terminal::Terminal;
use crate::command::text::{Columns, count, printable_line};

/// Pods without a node of which reasons are printed.
const SHOWN_PODS: usize = 10;

/// Reads, grows, prints.
pub(crate) fn run(typed: &ScaleUp, terminal: &Terminal) -> Result<Exit, Failure> {
    let chain = typed.expander.iter().map(|name| name.trim().parse());
    let chain: Vec<Expander> = chain
        .collect::<Result<_, UnknownExpander>>()
        .map_err(|error| Failure::input(Complaint::new(error.to_string())))?;
    let context = context(typed)?;
    let mut read = Read::new(&typed.common, terminal)?;
    read.options.explain = false;
    let question = ScaleUpQuestion {
        groups: own::node_groups(&typed.node_groups, &read.prepared)?,
        chain,
        context,
        limits: NodeLimits { per_scale_up: typed.max_nodes_per_scaleup, in_total: typed.max_nodes_total },
        balance: typed.balance_similar_node_groups.then(|| Similarity {
            ignored_labels: typed.balancing_ignore_label.iter().cloned().collect(),
            ..Similarity::default()
        }),
        scheduler_first: true,
        seed: typed.seed,
        gpu_label: typed.gpu_label.clone(),
        rounds: typed.rounds,
    };
    let report = ask("growing node groups", &read, |watcher| scale_up(&read.ground(), &question, watcher))?;
    print(&report, &report.assumptions, typed.common.asked.output, render, terminal)?;
    Ok(if report.left.is_empty() { Exit::Yes } else { Exit::No })
}

fn context(typed: &ScaleUp) -> Result<ExpanderContext, Failure> {
    let mut context = ExpanderContext::default();
    let wrong = |text: String, hint: &str| Failure::input(Complaint::new(text).with_hint(hint));
    for row in &typed.priority {
        let parts = row.split_once('=').and_then(|(number, pattern)| Some((number.parse().ok()?, pattern)));
        let hint = "write for instance `--priority 10=^spot-`";
        let (number, pattern) =
            parts.ok_or_else(|| wrong(format!("`--priority {row}` has no number"), hint))?;
        let added = context.priorities.add(number, pattern);
        added.map_err(|_| wrong(format!("`{pattern}` is no regular expression"), hint))?;
    }
    if let Some(text) = &typed.pod_prices {
        let prices = text.split_once(',').and_then(|(cpu, gib)| Some((cpu.parse().ok()?, gib.parse().ok()?)));
        (context.cpu_price, context.gib_price) = prices.ok_or_else(|| {
            wrong(format!("`--pod-prices {text}` has no two prices"), "write for instance `0.033,0.0044`")
        })?;
    }
    Ok(context)
}

fn render(report: &ScaleUpReport) -> String {
    let mut text = String::new();
    for (number, round) in report.rounds.iter().enumerate() {
        let _ = writeln!(text, "round {}", number + 1);
        let mut columns =
            Columns::new(&["GROUP", "CA PICK", "NODES", "PODS", "PER HOUR", "WASTE CPU/MEM/DEV"]);
        for option in &round.options {
            columns.push(&[
                option.group.clone(),
                if option.group == round.group { "*" } else { "" }.to_owned(),
                format!("{}{}", option.nodes, if option.limited { " (limit)" } else { "" }),
                option.pods.to_string(),
                price(option.price_per_hour),
                waste(option.waste),
            ]);
        }
        columns.render(&mut text);
        if round.added.len() > 1 {
            let shares = round.added.iter().map(|(group, count)| format!("{count} {group}"));
            let shares: Vec<String> = shares.collect();
            let _ = writeln!(text, "shared among similar groups: {}", printable_line(&shares.join(" + ")));
        }
        for (group, why) in &round.skipped {
            let _ = writeln!(text, "skipped {}: {}", printable_line(group), printable_line(why));
        }
        if !round.equal.is_empty() {
            let names = printable_line(&round.equal.join(", "));
            let _ = writeln!(text, "the expanders leave {names}; cluster-autoscaler draws one of them");
        }
        text.push('\n');
    }
    let mut columns =
        Columns::new(&["ANSWER", "NODES", "GROUPS", "PODS", "PER HOUR", "WASTE CPU/MEM/DEV", "CERTAINTY"]);
    let mut row = |name: &str, plan: &ScaleUpPlan, certainty: String| {
        let groups: Vec<String> =
            plan.groups.iter().map(|(group, count)| format!("{count} {group}")).collect();
        columns.push(&[
            name.to_owned(),
            plan.nodes.to_string(),
            if groups.is_empty() { "-".to_owned() } else { groups.join(" + ") },
            plan.pods.to_string(),
            price(plan.price_per_hour),
            waste(plan.waste),
            certainty,
        ]);
    };
    row("cluster-autoscaler", &report.cluster_autoscaler, "-".to_owned());
    let fewest = &report.fewest_nodes;
    let gap = |certainty: Option<&'static str>, bound: String| match certainty {
        Some("proven") => "proven".to_owned(),
        _ => format!("found, at least {bound}"),
    };
    row("fewest nodes", fewest, gap(fewest.certainty, report.node_bound.to_string()));
    if let Some(cheapest) = &report.cheapest {
        let bound = price(report.price_bound);
        row("cheapest", cheapest, gap(cheapest.certainty, bound));
    }
    columns.render(&mut text);
    for difference in &report.differences {
        let _ = writeln!(text, "{}", printable_line(difference));
    }
    if !report.left.is_empty() {
        let _ = writeln!(text, "\nwithout a node: {}", count(report.left.len(), "pod"));
        for pod in report.left.iter().take(SHOWN_PODS) {
            let reasons: Vec<String> =
                pod.reasons.iter().map(|(group, why)| format!("{group}: {why}")).collect();
            let _ = writeln!(text, "  {}  {}", printable_line(&pod.pod), printable_line(&reasons.join("; ")));
        }
    }
    let _ = write!(
        text,
        "\nPODS  {} pending, {} placed without new nodes, {} on new nodes, {} without a node\n{}",
        report.pending + report.placed_before,
        report.placed_before,
        report.cluster_autoscaler.pods,
        report.left.len(),
        footer(&report.assumptions)
    );
    text
}

fn price(price: Option<f64>) -> String {
    price.map_or_else(|| "-".to_owned(), |price| format!("{price:.2}"))
}

fn waste(waste: Waste) -> String {
    let percent = |share: f64| format!("{:.0}", share * 100.0);
    let devices = waste.devices.map_or_else(|| "-".to_owned(), percent);
    format!("{}/{}/{devices} %", percent(waste.cpu), percent(waste.memory))
}
