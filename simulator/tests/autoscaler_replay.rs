//! Replays what cluster-autoscaler's own code says about random cases (recorded in `fixtures/autoscaler-1.36.1.jsonl`
//! by `conformance/autoscaler`): what every group offers, which the expanders leave, how growth is shared; and which
//! nodes may go, why the others stay, how full they are, and where pods move.

#[path = "support/autoscaler.rs"]
mod autoscaler;
#[expect(dead_code, reason = "shared with other tests, which use more of it")]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_crds::NodeGroup;
use drayage_simulator::report::{NodeRemoval, RemovalReport, ScaleUpReport};
use drayage_simulator::schedule::{Options, Prepared};
use drayage_simulator::what_if::Ground;
use drayage_simulator::what_if::drain::DrainOptions;
use drayage_simulator::what_if::node_groups::Group;
use drayage_simulator::what_if::scale_down::{ScaleDownQuestion, scale_down};
use drayage_simulator::what_if::scale_up::expander::{Expander, ExpanderContext};
use drayage_simulator::what_if::scale_up::{NodeLimits, ScaleUpQuestion, Similarity, scale_up};
use serde_json::{Value, json};

/// What we say about a case.
struct Answers {
    up: ScaleUpReport,
    down: RemovalReport,
}

fn ask(seed: u64) -> Answers {
    let case = autoscaler::case(seed);
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": case["objects"]}).to_string();
    let input = Input::Bytes { name: "objects.json".to_owned(), bytes: objects.into_bytes() };
    let prepared = Prepared::new(load(&[input], LoadOptions::default()).unwrap());
    let options = Options { explain: false, ..Options::for_release(Release::V1_36) };
    let ground = Ground { prepared: &prepared, options: &options, cancel: &AtomicBool::new(false) };
    let flags = &case["flags"];
    let number = |key: &str| usize::try_from(flags[key].as_u64().unwrap()).unwrap();
    let groups: Vec<Group> = case["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let group: NodeGroup = serde_json::from_value(group.clone()).unwrap();
            Group::new(&group, &prepared.snapshot).unwrap()
        })
        .collect();
    let question = ScaleUpQuestion {
        groups: groups.clone(),
        chain: vec![Expander::LeastWaste],
        context: ExpanderContext::default(),
        limits: NodeLimits { per_scale_up: number("maxNodesPerScaleup"), in_total: number("maxNodesTotal") },
        balance: flags["balanceSimilarNodeGroups"].as_bool().unwrap().then(Similarity::default),
        scheduler_first: false,
        seed: None,
        gpu_label: None,
        rounds: 1,
    };
    let up = scale_up(&ground, &question, &mut ()).unwrap();
    let question = ScaleDownQuestion {
        threshold: flags["scaleDownUtilizationThreshold"].as_f64().unwrap(),
        drain: DrainOptions {
            missing_controllers_block: true,
            now: Some(flags["now"].as_str().unwrap().parse().unwrap()),
            ..DrainOptions::default()
        },
        groups,
    };
    Answers { up, down: scale_down(&ground, &question, &mut ()).unwrap() }
}

fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

/// The growth as the records have it.
fn growth(report: &ScaleUpReport) -> Value {
    let mut growth = json!({});
    if let Some(round) = report.rounds.first() {
        let options: Vec<Value> = round
            .options
            .iter()
            .map(|option| {
                let mut names: Vec<&str> = option.names.iter().map(|name| short(name)).collect();
                names.sort_unstable();
                let mut found = json!({"group": option.group, "nodes": option.nodes, "pods": names});
                if !option.similar.is_empty() {
                    found["similar"] = option.similar.clone().into();
                }
                if !option.shares.is_empty() {
                    found["shares"] = json!(option.shares);
                }
                found
            })
            .collect();
        if !options.is_empty() {
            growth["options"] = options.into();
        }
        let mut best: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for expander in ["least-waste", "most-pods", "least-nodes", "price"] {
            let scores = || round.options.iter().map(|option| (&option.group, option.scores[expander]));
            let least = scores().map(|(_, score)| score).fold(f64::INFINITY, f64::min);
            let mut names: Vec<&str> =
                scores().filter(|(_, score)| *score <= least).map(|(group, _)| group.as_str()).collect();
            names.sort_unstable();
            best.insert(expander, names);
        }
        let taken =
            if round.equal.is_empty() { vec![round.group.as_str()] } else { best["least-waste"].clone() };
        assert_eq!(taken, best["least-waste"]);
        growth["best"] = json!(best);
    }
    let mut left: Vec<&str> = report.waiting.iter().map(|name| short(name)).collect();
    left.sort_unstable();
    growth["left"] = json!(left);
    growth
}

/// The removal as the records have it.
fn removal(node: &NodeRemoval) -> Value {
    let mut found = json!({"node": node.node, "share": 0.0});
    let waits = node.reason == Some("BlockedByOnCompletionPod");
    // The records end before the least size of a group keeps nodes that were found unneeded.
    let unneeded = node.reason == Some("NodeGroupMinSizeReached") && node.utilisation.is_some();
    let reason = node.reason.filter(|_| !waits && !unneeded);
    if let Some(reason) = reason {
        found["reason"] = reason.into();
    }
    if reason == Some("BlockedByPod") {
        found["pod"] = node.blocking_pod.as_deref().map(short).into();
        found["rule"] = node.message.clone().into();
    }
    if let Some(used) = &node.utilisation {
        found["share"] = rounded(used.share);
        found["resource"] = used.resource.clone().into();
    }
    if waits {
        found["waits"] = true.into();
    }
    let moves: BTreeMap<&str, &str> = node
        .moves
        .iter()
        .filter(|_| reason.is_none())
        .filter_map(|moved| Some((short(&moved.pod), moved.to.as_deref()?)))
        .collect();
    if !moves.is_empty() {
        found["moves"] = json!(moves);
    }
    found
}

/// Shares are read and written with a different last digit.
fn rounded(share: f64) -> Value {
    ((share * 1e12).round() / 1e12).into()
}

fn by_node(removals: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
    removals.into_iter().map(|removal| (removal["node"].as_str().unwrap().to_owned(), removal)).collect()
}

/// Bounds are bounds, and better plans are no worse than cluster-autoscaler's.
fn assert_order(seed: u64, report: &ScaleUpReport) {
    let (fewest, theirs) = (&report.fewest_nodes, &report.cluster_autoscaler);
    assert!(fewest.pods < report.pending || fewest.nodes >= report.node_bound, "seed {seed}: {report:?}");
    assert!(fewest.pods != theirs.pods || fewest.nodes <= theirs.nodes, "seed {seed}");
    if let (Some(cheapest), Some(bound)) = (&report.cheapest, report.price_bound) {
        let price = cheapest.price_per_hour.unwrap_or(f64::MAX);
        assert!(cheapest.pods < report.pending || price >= bound - 1e-9, "seed {seed}: {report:?}");
    }
}

/// What differs, in words.
fn differences(record: &Value, answers: &Answers) -> Vec<String> {
    let seed = record["seed"].as_u64().unwrap();
    assert_order(seed, &answers.up);
    let mut words = Vec::new();
    let (mut wanted, found) = (record["scaleUp"].clone(), growth(&answers.up));
    for key in ["refused", "skipped"] {
        wanted.as_object_mut().unwrap().remove(key);
    }
    for key in ["left", "options", "best"] {
        if wanted[key] != found[key] {
            words.push(format!("seed {seed}, {key}:\n  recorded {}\n  found    {}", wanted[key], found[key]));
            break;
        }
    }
    let report = &answers.up;
    let skipped = report.rounds.first().map_or_else(|| json!({}), |round| json!(round.skipped));
    let recorded = record["scaleUp"].get("skipped").cloned().unwrap_or(json!({}));
    if !report.rounds.is_empty() && skipped != recorded {
        words.push(format!("seed {seed}, skipped: recorded {recorded}, found {skipped}"));
    }
    if words.is_empty()
        && let Some(refused) = record["scaleUp"]["refused"].as_object()
    {
        for left in &report.left {
            for (group, why) in &left.reasons {
                let recorded = refused.get(group).and_then(|pods| pods.get(short(&left.pod)));
                // We say which taint.
                let why = why.split(" {").next().unwrap_or_default();
                if recorded
                    .and_then(Value::as_str)
                    .is_some_and(|recorded| recorded.trim_end_matches("(s)") != why && recorded != why)
                {
                    words.push(format!(
                        "seed {seed}, {} on {group}: recorded {recorded:?}, found {why}",
                        left.pod
                    ));
                }
            }
        }
    }
    let wanted = by_node(record["scaleDown"].as_array().unwrap().iter().map(|removal| {
        let mut removal = removal.clone();
        removal["share"] = rounded(removal["share"].as_f64().unwrap_or_default());
        if removal["moves"].as_object().is_some_and(serde_json::Map::is_empty) {
            removal.as_object_mut().unwrap().remove("moves");
        }
        removal
    }));
    let found = by_node(answers.down.nodes.iter().map(removal));
    for (node, wanted) in &wanted {
        if found.get(node) != Some(wanted) {
            words.push(format!(
                "seed {seed}, removal of {node}:\n  recorded {wanted}\n  found    {:?}",
                found.get(node)
            ));
        }
    }
    words
}

#[test]
fn answers_are_cluster_autoscalers() {
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/autoscaler-1.36.1.jsonl");
    // Other records can be replayed without being kept.
    let other = std::env::var_os("DRAYAGE_REPLAY").map(PathBuf::from);
    let is_fixture = other.is_none();
    let path = other.unwrap_or(fixture);
    let text = fs::read_to_string(path).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut different: Vec<Vec<String>> = Vec::new();
    // Answers with new nodes, those with a proof that they are the fewest, and with one that they are the cheapest.
    let (mut grown, mut fewest, mut cheapest) = (0, 0, 0);
    for record in &records {
        let answers = ask(record["seed"].as_u64().unwrap());
        let up = &answers.up;
        if up.fewest_nodes.nodes > 0 {
            grown += 1;
            fewest += usize::from(up.fewest_nodes.certainty == Some("proven"));
            cheapest += usize::from(up.cheapest.as_ref().and_then(|plan| plan.certainty) == Some("proven"));
        }
        let words = differences(record, &answers);
        if !words.is_empty() {
            different.push(words);
        }
    }
    let summary = format!("{} of {} cases differ", different.len(), records.len());
    assert!(different.is_empty(), "{summary}:\n{}", different.concat().join("\n"));
    if is_fixture {
        let options = records.iter().filter_map(|record| record["scaleUp"]["options"].as_array());
        assert!(options.map(Vec::len).sum::<usize>() > 100);
        assert!(
            fewest * 2 > grown && cheapest * 2 > grown,
            "of {grown} answers {fewest} and {cheapest} are proven"
        );
    }
}
