//! Whether what was expected is so.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use drayage_crds::{CountBound, Expectation};

use super::ScenarioError;
use super::stage::Stage;
use crate::report::{ExpectationReport, PodOutcome, StepReport, Verdict};
use crate::schedule::{PodId, PodPlace};

/// Looks at expectations, after the step that is given.
pub(super) fn judge(
    stage: &Stage<'_>,
    expectations: &[Expectation],
    step: Option<&StepReport>,
) -> Result<Vec<ExpectationReport>, ScenarioError> {
    expectations.iter().map(|expectation| judge_one(stage, expectation, step)).collect()
}

/// What was found out about one expectation.
#[derive(Default)]
struct Findings {
    failed: Vec<String>,
    undecided: Vec<String>,
}

fn judge_one(
    stage: &Stage<'_>,
    expectation: &Expectation,
    step: Option<&StepReport>,
) -> Result<ExpectationReport, ScenarioError> {
    let mut findings = Findings::default();
    if let Some(name) = &expectation.pod {
        match stage.state.find_pod(name) {
            None => findings.failed.push(format!("there is no pod `{name}`")),
            Some(id) => of_pod(stage, id, name, expectation, &mut findings)?,
        }
    }
    counts(stage, expectation, step, &mut findings);
    let (verdict, found) = match (findings.failed.is_empty(), findings.undecided.is_empty()) {
        (false, _) => (Verdict::Failed, findings.failed),
        (true, false) => (Verdict::Undecided, findings.undecided),
        (true, true) => (Verdict::Held, Vec::new()),
    };
    let name = expectation.name.clone().unwrap_or_else(|| describe(expectation));
    Ok(ExpectationReport { name, verdict, found, file: None, line: None })
}

fn of_pod(
    stage: &Stage<'_>,
    id: PodId,
    name: &str,
    expectation: &Expectation,
    findings: &mut Findings,
) -> Result<(), ScenarioError> {
    let Some((_, place)) = stage.state.pod(id) else { return Ok(()) };
    let node = stage.node_of(id);
    let runs = matches!(place, PodPlace::Node(_) | PodPlace::Elsewhere);
    let must_run =
        expectation.running == Some(true) || expectation.node.is_some() || !expectation.devices.is_empty();
    let must_wait = expectation.running == Some(false) || expectation.reason.is_some();
    if runs && must_wait {
        findings.failed.push(format!("pod `{name}` is on node `{}`", node.clone().unwrap_or_default()));
        return Ok(());
    }
    if !runs && (must_run || must_wait) {
        let (outcome, words) = stage.why_pending(id)?;
        let unknown = outcome == PodOutcome::Undecided || stage.undecided.contains(name);
        if unknown {
            findings.undecided.push(format!("pod `{name}`: the search for devices ended at its budget"));
            return Ok(());
        }
        if must_run {
            let words = words.first().cloned().unwrap_or_default();
            findings.failed.push(format!("pod `{name}` has no node: {words}"));
            return Ok(());
        }
        if let Some(reason) = &expectation.reason
            && !words.iter().any(|text| text.contains(reason.as_str()))
        {
            let words = words.first().cloned().unwrap_or_default();
            findings.failed.push(format!("pod `{name}` waits for another reason: {words}"));
        }
        return Ok(());
    }
    if let Some(wanted) = &expectation.node
        && node.as_ref() != Some(wanted)
    {
        findings.failed.push(format!("pod `{name}` is on node `{}`", node.unwrap_or_default()));
    }
    if !expectation.devices.is_empty() {
        let held: Vec<String> = stage
            .devices_of(id)
            .iter()
            .map(|device| format!("{}/{}/{}", device.driver, device.pool, device.device))
            .collect();
        for wanted in &expectation.devices {
            let suffix = format!("/{wanted}");
            if !held.iter().any(|device| device == wanted || device.ends_with(&suffix)) {
                let all = if held.is_empty() { "none".to_owned() } else { held.join(", ") };
                findings.failed.push(format!("pod `{name}` does not hold `{wanted}` but {all}"));
            }
        }
    }
    Ok(())
}

fn counts(stage: &Stage<'_>, expectation: &Expectation, step: Option<&StepReport>, findings: &mut Findings) {
    if expectation.pending_pods.is_some() || expectation.running_pods.is_some() {
        let (mut running, mut pending, mut unknown) = (0, 0, 0);
        for (_, pod, place) in stage.state.pods() {
            let metadata = &pod.metadata;
            let of_namespace =
                expectation.namespace.as_ref().is_none_or(|wanted| *wanted == metadata.namespace);
            if !of_namespace || !has_all(&metadata.labels, &expectation.labels) {
                continue;
            }
            match place {
                PodPlace::Pending if stage.undecided.contains(&metadata.full_name()) => unknown += 1,
                PodPlace::Pending => pending += 1,
                PodPlace::Node(_) | PodPlace::Elsewhere => running += 1,
                PodPlace::Removed => {}
            }
        }
        // A pod that nobody knows about may be either.
        count("pods that wait", pending, unknown, expectation.pending_pods, findings);
        count("pods that run", running, unknown, expectation.running_pods, findings);
    }
    if let Some(bound) = expectation.nodes {
        let nodes = stage.state.node_numbers();
        let nodes = nodes.iter().filter_map(|&at| stage.state.node(at));
        let found = nodes.filter(|node| has_all(&node.metadata.labels, &expectation.labels)).count();
        count("nodes", found, 0, Some(bound), findings);
    }
    if let Some(bound) = expectation.free_devices {
        let pools = stage.state.pool_use();
        let of_driver = pools
            .iter()
            .filter(|(pool, _)| expectation.driver.as_ref().is_none_or(|wanted| *wanted == pool.driver));
        let found = of_driver.map(|(_, pool)| pool.devices - pool.held).sum();
        count("free devices", found, 0, Some(bound), findings);
    }
    let of_step = |length: fn(&StepReport) -> usize| step.map_or(0, length);
    count("evicted pods", of_step(|step| step.evicted_pods.len()), 0, expectation.evicted_pods, findings);
    count("added nodes", of_step(|step| step.added_nodes.len()), 0, expectation.added_nodes, findings);
    let removed = of_step(|step| step.removed_nodes.len());
    count(
        "removed nodes",
        removed,
        of_step(|step| step.undecided_nodes),
        expectation.removed_nodes,
        findings,
    );
    let fits = of_step(|step| step.fits.unwrap_or(0));
    let open = step.is_some_and(|step| step.may_fit_more);
    // More may fit, so that only a lower bound is sure.
    let hangs_on_more = expectation.fits.is_some_and(|bound| {
        bound.max.is_some_and(|max| wide(fits) <= max) || bound.min.is_some_and(|min| wide(fits) < min)
    });
    if open && hangs_on_more {
        findings.undecided.push(format!("counting ended at {fits} sets"));
    } else {
        count("sets that fit", fits, 0, expectation.fits, findings);
    }
}

/// A count is between `sure` and `sure` + `unknown`.
fn count(what: &str, sure: usize, unknown: usize, bound: Option<CountBound>, findings: &mut Findings) {
    let Some(bound) = bound else { return };
    let held = (sure..=sure + unknown).filter(|&number| bound.holds(wide(number))).count();
    if held == unknown + 1 {
        return;
    }
    if held == 0 {
        findings.failed.push(format!("{what}: {sure}"));
    } else {
        findings.undecided.push(format!("{what}: {sure} to {}", sure + unknown));
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn has_all(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// An expectation in words.
fn describe(expectation: &Expectation) -> String {
    let mut text = String::new();
    let mut add = |words: &str| {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(words);
    };
    if let Some(pod) = &expectation.pod {
        let mut words = pod.clone();
        match expectation.running {
            Some(true) => words.push_str(" runs"),
            Some(false) => words.push_str(" waits"),
            None => {}
        }
        let _ = expectation.node.as_ref().map(|node| write!(words, " on {node}"));
        let _ = expectation.reason.as_ref().map(|reason| write!(words, " for `{reason}`"));
        if !expectation.devices.is_empty() {
            let _ = write!(words, " with {}", expectation.devices.join(" and "));
        }
        add(&words);
    }
    let mut counted = |what: &str, bound: Option<CountBound>| {
        let words = match bound {
            Some(CountBound { min: Some(min), max: Some(max) }) if min == max => format!("{what}: {min}"),
            Some(CountBound { min: Some(min), max: Some(max) }) => format!("{what}: {min} to {max}"),
            Some(CountBound { min: Some(min), max: None }) => format!("{what}: at least {min}"),
            Some(CountBound { min: None, max: Some(max) }) => format!("{what}: at most {max}"),
            _ => return,
        };
        add(&words);
    };
    counted("pods that wait", expectation.pending_pods);
    counted("pods that run", expectation.running_pods);
    counted("nodes", expectation.nodes);
    counted("free devices", expectation.free_devices);
    counted("evicted pods", expectation.evicted_pods);
    counted("added nodes", expectation.added_nodes);
    counted("removed nodes", expectation.removed_nodes);
    counted("sets that fit", expectation.fits);
    let mut narrowed: Vec<String> =
        expectation.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    narrowed.extend(expectation.namespace.clone());
    narrowed.extend(expectation.driver.clone());
    if !narrowed.is_empty() {
        let _ = write!(text, " ({})", narrowed.join(", "));
    }
    text
}
