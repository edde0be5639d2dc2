//! What is wrong with a scenario before anything happens.

use drayage_cluster::FieldPath;
use drayage_crds::{API_VERSION, CountBound, Expectation, Scenario, Step};

use super::{ScenarioError, gates};
use crate::gates::FeatureGates;

/// Looks for faults that need no cluster to be seen: of the kind, the releases and gates, steps without or with several
/// actions, expectations that say nothing. All are returned, in the order of the fields.
pub fn check(scenario: &Scenario, default: &FeatureGates) -> Vec<ScenarioError> {
    let mut faults = Vec::new();
    if scenario.api_version != API_VERSION || scenario.kind != "Scenario" {
        let found = format!("`{} {}` is not `{API_VERSION} Scenario`", scenario.api_version, scenario.kind);
        faults.push(ScenarioError::field(FieldPath::fields("kind"), found));
    }
    faults.extend(release_of(scenario, default).err());
    let mut adds_groups = !scenario.spec.input.node_groups.is_empty();
    for (index, step) in scenario.spec.steps.iter().enumerate() {
        let field = FieldPath::fields("spec.steps").index(index);
        check_step(step, &field, default, &mut adds_groups, &mut faults);
        for (position, expectation) in step.expect.iter().enumerate() {
            let field = field.clone().field("expect").index(position);
            check_expectation(expectation, &field, Some(step), &mut faults);
        }
    }
    let last = scenario.spec.steps.last();
    for (position, expectation) in scenario.spec.expect.iter().enumerate() {
        let field = FieldPath::fields("spec.expect").index(position);
        check_expectation(expectation, &field, last, &mut faults);
    }
    faults
}

/// The release and the gates that a scenario begins with; what it does not say is that of `default`.
pub fn release_of(scenario: &Scenario, default: &FeatureGates) -> Result<FeatureGates, ScenarioError> {
    let spec = &scenario.spec;
    gates(spec.kubernetes.as_deref(), &spec.feature_gates, default, &FieldPath::fields("spec"))
}

fn check_step(
    step: &Step,
    field: &FieldPath,
    default: &FeatureGates,
    adds_groups: &mut bool,
    faults: &mut Vec<ScenarioError>,
) {
    let known = "a step has one of `apply`, `deletePods`, `fail`, `cordon`, `uncordon`, `drain`, `addNodes`, \
                 `removeNodes`, `scaleUp`, `scaleDown`, `capacity`, `upgrade` and `schedule`";
    match step.actions().as_slice() {
        [_] => {}
        [] => faults.push(ScenarioError::field(field.clone(), "the step does nothing").with_hint(known)),
        [first, second, ..] => {
            let message = format!("the step has `{first}` and `{second}`");
            faults.push(ScenarioError::field(field.clone(), message).with_hint("make two steps of it"));
        }
    }
    let mut needs_groups = |given: bool, name: &str| {
        if given && !*adds_groups {
            let message = "there are no node groups";
            let hint = "name files with NodeGroups in `spec.input.nodeGroups`";
            faults.push(ScenarioError::field(field.clone().field(name), message).with_hint(hint));
        }
    };
    needs_groups(step.add_nodes.is_some(), "addNodes");
    needs_groups(step.scale_up.is_some(), "scaleUp");
    let mut empty = |is_empty: bool, name: &str| {
        if is_empty {
            let message = "nothing is named, so nothing is meant";
            faults.push(ScenarioError::field(field.clone().field(name), message));
        }
    };
    for (name, nodes) in [
        ("cordon", &step.cordon),
        ("uncordon", &step.uncordon),
        ("drain", &step.drain),
        ("removeNodes", &step.remove_nodes),
    ] {
        empty(nodes.as_ref().is_some_and(|nodes| nodes.nodes.is_empty() && nodes.labels.is_empty()), name);
    }
    empty(
        step.delete_pods.as_ref().is_some_and(|delete| {
            delete.pods.is_empty() && delete.labels.is_empty() && delete.namespace.is_none()
        }),
        "deletePods",
    );
    empty(
        step.fail.as_ref().is_some_and(|fail| {
            let lists = [&fail.nodes, &fail.devices, &fail.taint_rules];
            lists.iter().all(|list| list.is_empty()) && fail.labels.is_empty() && fail.attributes.is_empty()
        }),
        "fail",
    );
    empty(step.apply.as_ref().is_some_and(|apply| apply.files.is_empty()), "apply");
    empty(step.capacity.as_ref().is_some_and(|capacity| capacity.pods.is_empty()), "capacity");
    if let Some(upgrade) = &step.upgrade {
        let field = field.clone().field("upgrade");
        faults.extend(gates(upgrade.kubernetes.as_deref(), &upgrade.feature_gates, default, &field).err());
    }
    if let Some(threshold) = step.scale_down.as_ref().and_then(|down| down.threshold)
        && !(0.0..=1.0).contains(&threshold)
    {
        let field = field.clone().field("scaleDown").field("threshold");
        faults.push(ScenarioError::field(field, format!("{threshold} is no share from 0 to 1")));
    }
}

fn check_expectation(
    expectation: &Expectation,
    field: &FieldPath,
    step: Option<&Step>,
    faults: &mut Vec<ScenarioError>,
) {
    let mut wrong = |at: &str, message: &str, hint: &str| {
        let at = if at.is_empty() { field.clone() } else { field.clone().field(at) };
        faults.push(ScenarioError::field(at, message).with_hint(hint));
    };
    let of_pod = [
        ("running", expectation.running.is_some()),
        ("node", expectation.node.is_some()),
        ("reason", expectation.reason.is_some()),
        ("devices", !expectation.devices.is_empty()),
    ];
    let counts: [(&str, Option<CountBound>); 8] = [
        ("pendingPods", expectation.pending_pods),
        ("runningPods", expectation.running_pods),
        ("nodes", expectation.nodes),
        ("freeDevices", expectation.free_devices),
        ("evictedPods", expectation.evicted_pods),
        ("addedNodes", expectation.added_nodes),
        ("removedNodes", expectation.removed_nodes),
        ("fits", expectation.fits),
    ];
    let says_of_pod = of_pod.iter().any(|(_, given)| *given);
    let counts_something = counts.iter().any(|(_, bound)| bound.is_some());
    match (&expectation.pod, says_of_pod) {
        (None, true) => {
            let first = of_pod.iter().find(|(_, given)| *given).map_or("running", |(name, _)| name);
            wrong(first, "no pod is named", "say which pod is meant, as `pod: namespace/name`");
        }
        (Some(_), false) => {
            wrong("pod", "nothing is expected of the pod", "add `running: true`, for instance");
        }
        (None, false) if !counts_something => {
            wrong("", "nothing is expected", "add `pendingPods: {max: 0}`, for instance");
        }
        _ => {}
    }
    if let Some(pod) = &expectation.pod
        && pod.split('/').filter(|part| !part.is_empty()).count() != 2
    {
        wrong(
            "pod",
            "a pod is named as `namespace/name`",
            "without a namespace of its own, a pod is in `default`",
        );
    }
    if expectation.reason.is_some() && (expectation.running == Some(true) || expectation.node.is_some()) {
        wrong("reason", "a pod with a node has no reason to wait", "leave one of the two out");
    }
    for (name, bound) in counts {
        match bound {
            Some(CountBound { min: None, max: None }) => {
                wrong(name, "there is no bound", "give `min`, `max` or both");
            }
            Some(CountBound { min: Some(min), max: Some(max) }) if min > max => {
                wrong(name, "`min` is more than `max`, so that nothing fulfils it", "swap them");
            }
            _ => {}
        }
    }
    if expectation.driver.is_some() && expectation.free_devices.is_none() {
        wrong("driver", "the driver narrows down nothing", "add `freeDevices`");
    }
    let narrows_pods = expectation.pending_pods.is_some() || expectation.running_pods.is_some();
    if expectation.namespace.is_some() && !narrows_pods {
        wrong("namespace", "the namespace narrows down nothing", "add `pendingPods` or `runningPods`");
    }
    if !expectation.labels.is_empty() && !narrows_pods && expectation.nodes.is_none() {
        wrong("labels", "the labels narrow down nothing", "add `pendingPods`, `runningPods` or `nodes`");
    }
    if expectation.fits.is_some() && step.is_none_or(|step| step.capacity.is_none()) {
        wrong("fits", "only the step `capacity` counts what fits", "expect it in that step");
    }
}
