//! The cluster of a scenario between two steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use drayage_cluster::FieldPath;
use drayage_crds::Step;

use super::{Beginning, Moment, ScenarioError, StepFiles};
use crate::report::{Assumptions, DeviceReport, PodChangeReport, PodOutcome, StateSummary, StepReport};
use crate::schedule::{ClusterState, Observer, Options, PodId, PodPlace, Prepared, assumptions, simulate};
use crate::what_if::node_groups::Group;

/// Where a scenario is.
pub(super) struct Stage<'c> {
    /// The objects that `state` was made of.
    pub(super) prepared: Prepared,
    pub(super) options: Options,
    pub(super) state: ClusterState,
    pub(super) groups: Vec<Group>,
    pub(super) files: Vec<StepFiles>,
    /// How many nodes were made of groups, for their names.
    pub(super) made_nodes: usize,
    /// Pods that wait because a search ended at its budget, as `namespace/name`.
    pub(super) undecided: BTreeSet<String>,
    pub(super) cancel: &'c AtomicBool,
}

/// Where pods are, and what they hold.
type Places = BTreeMap<String, (Option<String>, Vec<DeviceReport>)>;

impl<'c> Stage<'c> {
    pub(super) fn new(
        beginning: Beginning,
        options: &Options,
        cancel: &'c AtomicBool,
    ) -> Result<Self, ScenarioError> {
        let Beginning { prepared, node_groups, files } = beginning;
        let mut groups: Vec<Group> = Vec::new();
        for group in &node_groups {
            let read = Group::new(group, &prepared.snapshot).map_err(|error| {
                ScenarioError::field(FieldPath::fields("spec.input.nodeGroups"), error.to_string())
            })?;
            if groups.iter().any(|other| other.name == read.name) {
                let message = format!("node group `{}` is given twice", read.name);
                return Err(ScenarioError::field(FieldPath::fields("spec.input.nodeGroups"), message));
            }
            groups.push(read);
        }
        Ok(Self {
            state: ClusterState::new(&prepared, options),
            prepared,
            options: options.clone(),
            groups,
            files,
            made_nodes: 0,
            undecided: BTreeSet::new(),
            cancel,
        })
    }

    /// Takes one step.
    pub(super) fn take(
        &mut self,
        step: &Step,
        index: usize,
        field: &FieldPath,
        observer: &mut dyn Observer,
    ) -> Result<StepReport, ScenarioError> {
        let (places, nodes) = (self.places(), self.node_names());
        let kind = step.actions().first().copied().unwrap_or_default();
        let mut report = StepReport {
            number: index + 1,
            name: step.name.clone().unwrap_or_else(|| kind.to_owned()),
            kind: kind.to_owned(),
            ..StepReport::default()
        };
        self.act(step, index, field, &mut report, observer)?;
        let nodes_now = self.node_names();
        report.added_nodes = nodes_now.difference(&nodes).cloned().collect();
        report.removed_nodes = nodes.difference(&nodes_now).cloned().collect();
        self.count_groups(&report);
        report.pods = changes(&places, &self.places());
        let known = &self.state;
        self.undecided.retain(|name| known.find_pod(name).is_some_and(|id| known.is_pending(id)));
        report.after = self.summary();
        Ok(report)
    }

    /// Sizes of groups follow the nodes that go; those that come were counted when they were made.
    fn count_groups(&mut self, report: &StepReport) {
        for name in &report.removed_nodes {
            let made_by = |group: &Group| {
                let number = name.strip_prefix(&format!("{}-new-", group.name));
                number.is_some_and(|number| number.parse::<usize>().is_ok())
            };
            let was_member =
                |group: &Group| self.prepared.snapshot.node(name).is_some_and(|node| group.has_member(node));
            let of = self.groups.iter().position(|group| made_by(group) || was_member(group));
            if let Some(group) = of.and_then(|at| self.groups.get_mut(at)) {
                group.current_size = group.current_size.saturating_sub(1);
            }
        }
    }

    /// Schedules what waits; how many pods got a node.
    pub(super) fn schedule(&mut self, observer: &mut dyn Observer) -> Result<usize, ScenarioError> {
        let reports = self.state.run(observer, self.cancel)?;
        let mut placed = 0;
        for report in reports {
            let name = format!("{}/{}", report.namespace, report.name);
            placed += usize::from(report.outcome == PodOutcome::Scheduled);
            if report.outcome == PodOutcome::Undecided {
                self.undecided.insert(name);
            } else {
                self.undecided.remove(&name);
            }
        }
        Ok(placed)
    }

    /// What the cluster is in numbers.
    pub(super) fn summary(&self) -> StateSummary {
        let mut summary = StateSummary {
            kubernetes: self.options.gates.release().to_string(),
            nodes: self.state.node_numbers().len(),
            undecided_pods: self.undecided.len(),
            ..StateSummary::default()
        };
        for (_, _, place) in self.state.pods() {
            match place {
                PodPlace::Pending => summary.pending_pods += 1,
                PodPlace::Node(_) | PodPlace::Elsewhere => summary.running_pods += 1,
                PodPlace::Removed => {}
            }
        }
        for pool in self.state.pool_use().values() {
            summary.devices += pool.devices;
            summary.free_devices += pool.devices - pool.held;
        }
        summary
    }

    /// The cluster as it is, and what becomes of those that wait.
    pub(super) fn moment(&self) -> Result<Moment, ScenarioError> {
        let prepared = Prepared::new(self.state.to_snapshot(&self.prepared.snapshot));
        let options = Options { explain: true, ..self.options.clone() };
        let report = simulate(&prepared, &options, &mut (), self.cancel)?;
        Ok(Moment { snapshot: prepared.snapshot, report })
    }

    pub(super) fn assumptions(&self, more: &[&str]) -> Assumptions {
        let mut assumptions = assumptions(&self.prepared, &self.options, &self.state);
        assumptions.approximations.extend(more.iter().map(|&text| text.to_owned()));
        assumptions
    }

    /// Why a pod waits: what an attempt comes to, the scheduler's line, then every reason with its plugin.
    pub(super) fn why_pending(&self, id: PodId) -> Result<(PodOutcome, Vec<String>), ScenarioError> {
        let mut fork = self.state.clone();
        let attempt = fork.attempt(id, self.cancel)?;
        if attempt.outcome == PodOutcome::Scheduled {
            let words = "it was not tried since there is room; a step `schedule` places it".to_owned();
            return Ok((attempt.outcome, vec![words]));
        }
        let mut words: Vec<String> = attempt.message.iter().cloned().collect();
        for reason in &attempt.reasons {
            words.push(format!("{}: {}", reason.plugin, reason.reason));
        }
        if attempt.outcome == PodOutcome::Gated {
            words.push("SchedulingGates".to_owned());
        }
        Ok((attempt.outcome, words))
    }

    /// The node of a pod, also one that is not in the input.
    pub(super) fn node_of(&self, id: PodId) -> Option<String> {
        let (pod, place) = self.state.pod(id)?;
        match place {
            PodPlace::Node(at) => self.state.node(at).map(|node| node.metadata.name.clone()),
            PodPlace::Elsewhere => pod.spec.node_name.clone(),
            _ => None,
        }
    }

    /// The devices that a pod's claims hold.
    pub(super) fn devices_of(&self, id: PodId) -> Vec<DeviceReport> {
        let claims = self.state.claims_of(id).into_iter().filter_map(|claim| self.state.claim(claim));
        let allocations = claims.filter_map(|claim| claim.allocation);
        allocations.flat_map(|allocation| allocation.results.iter().map(DeviceReport::from)).collect()
    }

    fn places(&self) -> Places {
        let place = |id: PodId| {
            let node = self.node_of(id);
            let devices = if node.is_some() { self.devices_of(id) } else { Vec::new() };
            (node, devices)
        };
        self.state.pods().map(|(id, pod, _)| (pod.metadata.full_name(), place(id))).collect()
    }

    fn node_names(&self) -> BTreeSet<String> {
        let nodes = self.state.node_numbers();
        nodes.iter().filter_map(|&at| Some(self.state.node(at)?.metadata.name.clone())).collect()
    }
}

/// The pods that are elsewhere, by name.
fn changes(before: &Places, after: &Places) -> Vec<PodChangeReport> {
    let nowhere = (None, Vec::new());
    let mut changes = Vec::new();
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (was, is) = (before.get(name), after.get(name));
        let ((from, held), (to, devices)) = (was.unwrap_or(&nowhere), is.unwrap_or(&nowhere));
        let change = match (was, is, from, to) {
            (_, None, _, _) => "deleted",
            (None, _, _, None) => "added",
            (_, _, None, Some(_)) => "placed",
            (_, _, Some(_), None) => "evicted",
            (_, _, Some(from), Some(to)) if from != to => "moved",
            _ if held != devices => "devices",
            _ => continue,
        };
        changes.push(PodChangeReport {
            pod: name.clone(),
            change,
            from: from.clone(),
            to: to.clone(),
            devices: devices.clone(),
        });
    }
    changes
}
