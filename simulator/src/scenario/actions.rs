//! What each kind of step does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use drayage_allocator::objects::DeviceId;
use drayage_cluster::FieldPath;
use drayage_cluster::objects::{Workload, WorkloadKind};
use drayage_crds::{
    AddNodes, CapacityStep, DeletePods, FailStep, NodesStep, ScaleDownStep, ScaleUpStep, Step, UpgradeStep,
};

use super::stage::Stage;
use super::{ScenarioError, StepFiles, gates};
use crate::report::{Fate, PodOutcome, RemovalReport, StepReport};
use crate::schedule::{ClusterState, Observer};
use crate::what_if::Ground;
use crate::what_if::capacity::{CapacityQuestion, capacity_in};
use crate::what_if::drain::{DrainOptions, drain_in};
use crate::what_if::fail::{Target, Unit, combined, fail_for_good, of_target};
use crate::what_if::scale_down::{ScaleDownQuestion, scale_down_in};
use crate::what_if::scale_up::expander::{Expander, ExpanderContext, UnknownExpander};
use crate::what_if::scale_up::{NodeLimits, ScaleUpQuestion, add_node, scale_up_in};

/// What a step `capacity` counts to where it does not say.
const MOST_SETS: u32 = 1000;
/// Rounds of a step `scaleUp` that does not say.
const MOST_ROUNDS: u32 = 100;
/// cluster-autoscaler's max-nodes-per-scaleup.
const MOST_NEW_NODES: usize = 1000;

impl Stage<'_> {
    /// Does what a step says, and puts into the report what happened.
    pub(super) fn act(
        &mut self,
        step: &Step,
        index: usize,
        field: &FieldPath,
        report: &mut StepReport,
        observer: &mut dyn Observer,
    ) -> Result<(), ScenarioError> {
        let at = |name: &str| field.clone().field(name);
        if step.apply.is_some() {
            self.apply(index, report);
        } else if let Some(delete) = &step.delete_pods {
            self.delete_pods(delete, &at("deletePods"), report)?;
        } else if let Some(fail) = &step.fail {
            self.fail(fail, index, &at("fail"), report)?;
        } else if let Some(nodes) = &step.cordon {
            let numbers = self.nodes(nodes, &at("cordon"))?;
            for &node in &numbers {
                self.state.cordon(node);
            }
            report.outcome = format!("{} cordoned", count(numbers.len(), "node"));
        } else if let Some(nodes) = &step.uncordon {
            let numbers = self.nodes(nodes, &at("uncordon"))?;
            for &node in &numbers {
                self.state.change_node(node, |node| node.unschedulable = false);
            }
            report.outcome = format!("{} uncordoned", count(numbers.len(), "node"));
        } else if let Some(nodes) = &step.drain {
            self.drain(nodes, &at("drain"), report)?;
        } else if let Some(add) = &step.add_nodes {
            self.add_nodes(add, &at("addNodes"), report)?;
        } else if let Some(nodes) = &step.remove_nodes {
            let nodes = self.nodes(nodes, &at("removeNodes"))?;
            self.let_fail(&Unit { kind: "combination", nodes, ..Unit::default() }, report)?;
        } else if let Some(up) = &step.scale_up {
            self.scale_up(up, &at("scaleUp"), report, observer)?;
        } else if let Some(down) = &step.scale_down {
            self.scale_down(down, report, observer)?;
        } else if let Some(capacity) = &step.capacity {
            self.capacity(capacity, &at("capacity"), report, observer)?;
        } else if let Some(upgrade) = &step.upgrade {
            self.upgrade(upgrade, &at("upgrade"), report)?;
        } else if step.schedule.is_some() {
            let placed = self.schedule(observer)?;
            report.outcome = format!("{} placed", count(placed, "pod"));
        }
        Ok(())
    }

    /// Makes the state anew from objects, which `change` may change first.
    fn rebuild(&mut self, files: StepFiles) -> Vec<String> {
        let mut snapshot = self.state.to_snapshot(&self.prepared.snapshot);
        let objects = files.objects;
        let mut workloads: Vec<Workload> = objects.workloads.clone();
        let new_nodes = !objects.nodes.is_empty();
        let is_given: BTreeSet<String> =
            workloads.iter().map(|workload| workload.metadata.full_name()).collect();
        snapshot.apply(objects);
        if new_nodes {
            let daemon_sets = snapshot.workloads.iter().filter(|workload| {
                workload.kind == WorkloadKind::DaemonSet && !is_given.contains(&workload.metadata.full_name())
            });
            workloads.extend(daemon_sets.cloned());
        }
        // What was applied has its priorities resolved beside what was there.
        for workload in &mut workloads {
            let resolved = snapshot.workloads.iter().find(|other| {
                other.kind == workload.kind && other.metadata.full_name() == workload.metadata.full_name()
            });
            if let Some(resolved) = resolved {
                workload.clone_from(resolved);
            }
        }
        let (prepared, expansions) = self.prepared.continued(snapshot, workloads);
        self.prepared = prepared;
        self.state = ClusterState::new(&self.prepared, &self.options);
        let mut warnings: Vec<String> = self.prepared.faults.iter().map(ToString::to_string).collect();
        for expansion in expansions.iter().filter(|expansion| expansion.existing > expansion.wanted) {
            warnings.push(format!(
                "{} wants {} but has {}; none is deleted",
                expansion.workload,
                count(expansion.wanted, "pod"),
                expansion.existing
            ));
        }
        warnings
    }

    fn apply(&mut self, index: usize, report: &mut StepReport) {
        let files = self.files.get(index).cloned().unwrap_or_default();
        let objects = files.objects.object_count();
        let before = self.state.pods().count();
        report.warnings = self.rebuild(files);
        let pods = self.state.pods().count().saturating_sub(before);
        report.outcome = format!("{} applied, {} new", count(objects, "object"), count(pods, "pod"));
    }

    fn upgrade(
        &mut self,
        upgrade: &UpgradeStep,
        field: &FieldPath,
        report: &mut StepReport,
    ) -> Result<(), ScenarioError> {
        let before = self.options.gates.clone();
        self.options.gates = gates(upgrade.kubernetes.as_deref(), &upgrade.feature_gates, &before, field)?;
        report.warnings = self.rebuild(StepFiles::default());
        let differences = before.differences(&self.options.gates);
        report.outcome = format!(
            "from {} to {}, {} changed",
            before.release(),
            self.options.gates.release(),
            count(differences.len(), "feature gate")
        );
        Ok(())
    }

    fn delete_pods(
        &mut self,
        delete: &DeletePods,
        field: &FieldPath,
        report: &mut StepReport,
    ) -> Result<(), ScenarioError> {
        let mut named = BTreeSet::new();
        for (position, name) in delete.pods.iter().enumerate() {
            let id = self.state.find_pod(name).ok_or_else(|| {
                let field = field.clone().field("pods").index(position);
                ScenarioError::field(field, format!("there is no pod `{name}`"))
                    .with_hint("a pod is named as `namespace/name`")
            })?;
            named.insert(id);
        }
        let chosen: Vec<_> = self
            .state
            .pods()
            .filter(|(id, pod, _)| {
                let metadata = &pod.metadata;
                (delete.pods.is_empty() || named.contains(id))
                    && delete.namespace.as_ref().is_none_or(|wanted| *wanted == metadata.namespace)
                    && delete.labels.iter().all(|(key, value)| metadata.labels.get(key) == Some(value))
            })
            .map(|(id, _, _)| id)
            .collect();
        for &id in &chosen {
            self.state.delete(id);
        }
        report.outcome = format!("{} deleted", count(chosen.len(), "pod"));
        Ok(())
    }

    fn fail(
        &mut self,
        fail: &FailStep,
        index: usize,
        field: &FieldPath,
        report: &mut StepReport,
    ) -> Result<(), ScenarioError> {
        let mut units = Vec::new();
        let nodes = NodesStep { nodes: fail.nodes.clone(), labels: fail.labels.clone() };
        if !nodes.nodes.is_empty() || !nodes.labels.is_empty() {
            units.push(Unit { kind: "combination", nodes: self.nodes(&nodes, field)?, ..Unit::default() });
        }
        for (position, name) in fail.devices.iter().enumerate() {
            let found = of_target(&self.state, &Target::Device(name.clone())).map_err(|error| {
                ScenarioError::field(field.clone().field("devices").index(position), error.to_string())
            })?;
            units.extend(found);
        }
        let mut common: Option<BTreeSet<DeviceId>> = None;
        for (name, value) in &fail.attributes {
            let target = Target::Attribute(format!("{name}={value}"));
            let found = of_target(&self.state, &target).map_err(|error| {
                ScenarioError::field(field.clone().field("attributes").key(name), error.to_string())
            })?;
            let devices: BTreeSet<DeviceId> = found.into_iter().flat_map(|unit| unit.devices).collect();
            common = Some(match common {
                None => devices,
                Some(common) => common.intersection(&devices).cloned().collect(),
            });
        }
        if let Some(devices) = common {
            let devices = devices.into_iter().collect();
            units.push(Unit { kind: "combination", devices, ..Unit::default() });
        }
        let rules = self.files.get(index).map(|files| files.taint_rules.clone()).unwrap_or_default();
        if !rules.is_empty() && !self.options.gates.enabled("DRADeviceTaintRules") {
            report.warnings.push(
                "feature gate `DRADeviceTaintRules` is off, so a cluster ignores the rules; \
                                  the answer is as if it were on"
                    .to_owned(),
            );
        }
        units.push(Unit { kind: "taint-rule", rules, ..Unit::default() });
        self.let_fail(&combined(units), report)
    }

    /// Nodes and devices go; pods are evicted and look for a new place.
    fn let_fail(&mut self, unit: &Unit, report: &mut StepReport) -> Result<(), ScenarioError> {
        let ground = Ground { prepared: &self.prepared, options: &self.options, cancel: self.cancel };
        let (found, state) = fail_for_good(&ground, &self.state, unit)?;
        self.state = state;
        for pod in &found.pods {
            report.evicted_pods.push(pod.pod.clone());
            if pod.fate == Fate::Undecided {
                self.undecided.insert(pod.pod.clone());
            }
        }
        report.outcome = format!(
            "{} and {} gone; {} evicted: {} moved, {} without a place",
            count(found.nodes, "node"),
            count(found.devices, "device"),
            count(found.evicted, "pod"),
            found.moved,
            found.stuck + found.undecided
        );
        Ok(())
    }

    fn drain(
        &mut self,
        nodes: &NodesStep,
        field: &FieldPath,
        report: &mut StepReport,
    ) -> Result<(), ScenarioError> {
        let numbers = self.nodes(nodes, field)?;
        let names: Vec<String> =
            numbers.iter().filter_map(|&at| Some(self.state.node(at)?.metadata.name.clone())).collect();
        let ground = Ground { prepared: &self.prepared, options: &self.options, cancel: self.cancel };
        let found = drain_in(&ground, &mut self.state, &names, &DrainOptions::default())?;
        removed(&found, report);
        Ok(())
    }

    fn scale_down(
        &mut self,
        down: &ScaleDownStep,
        report: &mut StepReport,
        observer: &mut dyn Observer,
    ) -> Result<(), ScenarioError> {
        let ground = Ground { prepared: &self.prepared, options: &self.options, cancel: self.cancel };
        let question = ScaleDownQuestion {
            threshold: down.threshold.unwrap_or(0.5),
            drain: DrainOptions::default(),
            groups: self.groups.clone(),
        };
        // Nodes that a group needs are gone for those that are looked at later, but stay.
        let found = scale_down_in(&ground, &mut self.state.clone(), &question, observer)?;
        let going = found.nodes.iter().filter(|node| node.removable).map(|node| node.node.clone());
        let going: Vec<String> = going.collect();
        let mut drained = drain_in(&ground, &mut self.state, &going, &question.drain)?;
        drained.nodes.extend(found.nodes.into_iter().filter(|node| !node.removable));
        removed(&drained, report);
        Ok(())
    }

    fn add_nodes(
        &mut self,
        add: &AddNodes,
        field: &FieldPath,
        report: &mut StepReport,
    ) -> Result<(), ScenarioError> {
        let wanted = usize::try_from(add.count).unwrap_or(usize::MAX);
        let Some(at) = self.groups.iter().position(|group| group.name == add.group) else {
            let names: Vec<&str> = self.groups.iter().map(|group| group.name.as_str()).collect();
            return Err(ScenarioError::field(
                field.clone().field("group"),
                format!("there is no node group `{}`", add.group),
            )
            .with_hint(format!("the groups are `{}`", names.join("`, `"))));
        };
        let Some(group) = self.groups.get_mut(at) else { return Ok(()) };
        if wanted > group.headroom() {
            let message = format!(
                "node group `{}` has {} and takes {} at most",
                group.name,
                count(group.current_size, "node"),
                group.max_size
            );
            return Err(ScenarioError::field(field.clone().field("count"), message)
                .with_hint("raise `spec.maxSize` of the group, or add fewer"));
        }
        let ground = Ground { prepared: &self.prepared, options: &self.options, cancel: self.cancel };
        for _ in 0..wanted {
            add_node(&ground, &mut self.state, group, self.made_nodes);
            self.made_nodes += 1;
        }
        group.current_size += wanted;
        report.outcome = format!("{} of group `{}` added", count(wanted, "node"), add.group);
        Ok(())
    }

    fn scale_up(
        &mut self,
        up: &ScaleUpStep,
        field: &FieldPath,
        report: &mut StepReport,
        observer: &mut dyn Observer,
    ) -> Result<(), ScenarioError> {
        let chain =
            up.expander.as_deref().unwrap_or("least-waste").split(',').map(|name| name.trim().parse());
        let chain: Vec<Expander> = chain
            .collect::<Result<_, UnknownExpander>>()
            .map_err(|error| ScenarioError::field(field.clone().field("expander"), error.to_string()))?;
        let question = ScaleUpQuestion {
            groups: self.groups.clone(),
            chain,
            context: ExpanderContext::default(),
            limits: NodeLimits { per_scale_up: MOST_NEW_NODES, in_total: 0 },
            balance: None,
            scheduler_first: true,
            seed: None,
            gpu_label: None,
            rounds: usize::try_from(up.rounds.unwrap_or(MOST_ROUNDS)).unwrap_or(usize::MAX),
        };
        let ground = Ground { prepared: &self.prepared, options: &self.options, cancel: self.cancel };
        let found = scale_up_in(&ground, &mut self.state, self.made_nodes, &question, observer)?;
        let plan = &found.cluster_autoscaler;
        self.made_nodes += plan.nodes;
        for (name, nodes) in &plan.groups {
            if let Some(group) = self.groups.iter_mut().find(|group| group.name == *name) {
                group.current_size += nodes;
            }
        }
        let groups: Vec<String> = plan
            .groups
            .iter()
            .map(|(name, nodes)| format!("{} of `{name}`", count(*nodes, "node")))
            .collect();
        let nodes = if groups.is_empty() { "no nodes".to_owned() } else { groups.join(" and ") };
        report.outcome = format!(
            "{nodes} added for {}, {} still without a place",
            count(plan.pods, "pod"),
            count(found.left.len(), "pod")
        );
        Ok(())
    }

    fn capacity(
        &mut self,
        asked: &CapacityStep,
        field: &FieldPath,
        report: &mut StepReport,
        observer: &mut dyn Observer,
    ) -> Result<(), ScenarioError> {
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let set = asked.pods.iter().map(|pod| (pod.pod.clone(), size(pod.count.unwrap_or(1)))).collect();
        let question =
            CapacityQuestion { set, most: size(asked.most.unwrap_or(MOST_SETS)), place_waiting: false };
        let ground = Ground { prepared: &self.prepared, options: &self.options, cancel: self.cancel };
        let found = capacity_in(&ground, self.state.clone(), &question, observer).map_err(|error| {
            ScenarioError::field(field.clone().field("pods"), error.to_string())
                .with_hint("name a pod as `namespace/name`, or a workload as `namespace/kind/name`")
        })?;
        if let Some(stop) = &found.stop
            && stop.report.outcome == PodOutcome::Undecided
        {
            report.warnings.push("counting ended at a search that ended at its budget".to_owned());
            report.may_fit_more = true;
        }
        let sets = count(found.fits, "set");
        report.outcome = match &found.stop {
            None => format!("room for at least {sets}"),
            Some(stop) => format!("room for {sets}; the next lacks: {}", stop.limiting_reason),
        };
        report.may_fit_more |= found.limited;
        report.fits = Some(found.fits);
        Ok(())
    }

    /// The numbers of nodes that are named, and of those that have all the labels.
    fn nodes(&self, wanted: &NodesStep, field: &FieldPath) -> Result<Vec<usize>, ScenarioError> {
        let mut numbers = Vec::new();
        for (position, name) in wanted.nodes.iter().enumerate() {
            let at = self.state.find_node(name).ok_or_else(|| {
                let field = field.clone().field("nodes").index(position);
                ScenarioError::field(field, format!("there is no node `{name}` at this point"))
            })?;
            numbers.push(at);
        }
        if !wanted.labels.is_empty() {
            let all = self.state.node_numbers();
            let labelled = all.iter().copied().filter(|&at| {
                self.state.node(at).is_some_and(|node| {
                    wanted.labels.iter().all(|(key, value)| node.metadata.labels.get(key) == Some(value))
                })
            });
            let labelled: Vec<usize> = labelled.filter(|at| !numbers.contains(at)).collect();
            if labelled.is_empty() && numbers.is_empty() {
                let message = "no node has these labels at this point";
                return Err(ScenarioError::field(field.clone().field("labels"), message));
            }
            numbers.extend(labelled);
        }
        Ok(numbers)
    }
}

/// `1 pod`, `2 pods`.
fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// What became of nodes that were to go.
fn removed(found: &RemovalReport, report: &mut StepReport) {
    let mut moved = 0;
    let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
    for node in &found.nodes {
        if node.removable {
            moved += node.moves.len();
            report.evicted_pods.extend(node.moves.iter().map(|pod| pod.pod.clone()));
        } else {
            *kept.entry(node.reason.unwrap_or("unknown")).or_default() += 1;
            if node.reason == Some("Undecided") {
                report.undecided_nodes += 1;
                report.warnings.push(format!(
                    "node `{}` stays because a search for devices ended at its budget, which is no sure no",
                    node.node
                ));
            }
        }
    }
    let mut words = format!("{} removed, {} moved", count(found.removable, "node"), count(moved, "pod"));
    for (reason, nodes) in kept {
        let _ = write!(words, ", {nodes} kept: {reason}");
    }
    report.outcome = words;
}
