//! Scenarios and the files that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use drayage_allocator::ProfileName;
use drayage_cel::{Compiler, ExpressionStage, Release};
use drayage_cluster::{FieldPath, Snapshot, locate};
use drayage_crds::{NodeGroup, Scenario};
use drayage_simulator::gates::FeatureGates;
use drayage_simulator::report::{ExpectationReport, ScenarioReport};
use drayage_simulator::scenario::{Beginning, ScenarioError, StepFiles, check, release_of};
use drayage_simulator::schedule::Options;

use super::arguments::Common;
use crate::command::failure::{Complaint, Failure, Place};
use crate::command::terminal::Terminal;
use crate::command::text::{count, printable_line};
use crate::command::what_if::own;
use crate::command::{arguments, kubernetes, objects, source};

/// A scenario and where it is written.
pub(super) struct Written {
    pub(super) scenario: Scenario,
    path: PathBuf,
    text: String,
    document: usize,
    /// The release and gates to begin with.
    gates: FeatureGates,
}

/// The release that is meant where nobody says one.
fn default_gates() -> FeatureGates {
    FeatureGates::for_profile(arguments::DEFAULT_PROFILE)
}

/// Reads all scenarios, and refuses those that make no sense.
pub(super) fn read(typed: &Common) -> Result<Vec<Written>, Failure> {
    let mut all = Vec::new();
    let mut complaints = Vec::new();
    for path in &typed.files {
        let text = source::text(path)?;
        let scenarios: Vec<Scenario> = own::parse(path, &text)?;
        if scenarios.is_empty() {
            let complaint = Complaint::new("there is no scenario").at(Place::file(source::name(path)));
            complaints.push(complaint.with_hint("a scenario has `kind: Scenario`"));
        }
        for (document, scenario) in scenarios.into_iter().enumerate() {
            let gates = default_gates();
            let mut written = Written { scenario, path: path.clone(), text: text.clone(), document, gates };
            let faults = check(&written.scenario, &written.gates);
            written.choose_release(typed, &faults)?;
            complaints.extend(faults.into_iter().map(|fault| written.complaint(fault)));
            all.push(written);
        }
    }
    if complaints.is_empty() { Ok(all) } else { Err(Failure::Input { complaints, omitted: 0 }) }
}

impl Written {
    /// What was typed wins over what the scenario says.
    fn choose_release(&mut self, typed: &Common, faults: &[ScenarioError]) -> Result<(), Failure> {
        if typed.profile.is_none() && typed.feature_gates.is_empty() {
            if faults.is_empty() {
                self.gates = release_of(&self.scenario, &default_gates()).unwrap_or_else(|_| default_gates());
            }
            return Ok(());
        }
        let mut profile = typed.profile;
        if profile.is_none() {
            profile = self.scenario.spec.kubernetes.as_deref().and_then(|text| text.parse().ok());
        }
        let profile = profile.unwrap_or(arguments::DEFAULT_PROFILE);
        let mut typed_gates = typed.feature_gates.clone();
        if typed_gates.is_empty() {
            let own = self.scenario.spec.feature_gates.iter();
            typed_gates.extend(own.map(|(gate, value)| format!("{gate}={value}")));
        }
        self.gates = kubernetes::gates(&arguments::Kubernetes { profile, feature_gates: typed_gates })?;
        Ok(())
    }

    /// Reads the files that a scenario begins with.
    pub(super) fn beginning(
        &self,
        typed: &Common,
        terminal: &Terminal,
    ) -> Result<(Beginning, FeatureGates), Failure> {
        let input = &self.scenario.spec.input;
        let field = FieldPath::fields("spec.input");
        let filename = if typed.filename.is_empty() {
            self.paths(&input.files, &field.clone().field("files"))?
        } else {
            typed.filename.clone()
        };
        if filename.is_empty() {
            let complaint = self
                .place(
                    Complaint::new("the scenario names no cluster to begin with"),
                    &FieldPath::fields("spec"),
                )
                .with_hint("list files in `spec.input.files`, or give them with `-f`");
            return Err(Failure::input(complaint));
        }
        let files = arguments::Objects { filename, strict: typed.strict, allow_missing: typed.allow_missing };
        let snapshot = objects::load(&files, terminal)?;
        let compiler = Compiler::new(kubernetes::cel_environment(&self.gates, ExpressionStage::Stored));
        let prepared = objects::prepare(snapshot, &files, &compiler)?;
        let mut node_groups: Vec<NodeGroup> = Vec::new();
        for path in self.paths(&input.node_groups, &field.field("nodeGroups"))? {
            node_groups.extend(own::read::<NodeGroup>(&path)?);
        }
        let mut steps = Vec::new();
        for (index, step) in self.scenario.spec.steps.iter().enumerate() {
            let field = FieldPath::fields("spec.steps").index(index);
            let mut of_step = StepFiles::default();
            if let Some(apply) = &step.apply {
                let paths = self.paths(&apply.files, &field.clone().field("apply").field("files"))?;
                of_step.objects = load(typed, paths, terminal)?;
            }
            if let Some(fail) = &step.fail {
                let field = field.field("fail").field("taintRules");
                let paths = self.paths(&fail.taint_rules, &field)?;
                if !paths.is_empty() {
                    of_step.taint_rules = load(typed, paths, terminal)?.taint_rules;
                    if of_step.taint_rules.is_empty() {
                        let complaint = Complaint::new("the files have no DeviceTaintRule");
                        return Err(Failure::input(self.place(complaint, &field)));
                    }
                }
            }
            steps.push(of_step);
        }
        Ok((Beginning { prepared, node_groups, files: steps }, self.gates.clone()))
    }

    /// Takes over the scheduler's configuration: the one that was typed, or else the scenario's. Every release that a step
    /// upgrades to must be able to read it.
    pub(super) fn configure(&self, typed: &Common, options: &mut Options) -> Result<(), Failure> {
        let of_scenario = &self.scenario.spec.scheduler_config;
        let path = match (&typed.scheduler_config, of_scenario) {
            (Some(path), _) => path.clone(),
            (None, Some(name)) => self.path_to(name, &FieldPath::fields("spec.schedulerConfig"))?,
            (None, None) => return Ok(()),
        };
        let steps = self.scenario.spec.steps.iter().filter_map(|step| step.upgrade.as_ref());
        let profiles = steps.filter_map(|upgrade| upgrade.kubernetes.as_deref()?.parse::<ProfileName>().ok());
        let mut also: BTreeSet<Release> = profiles.map(ProfileName::release).collect();
        if !also.is_empty() {
            also.insert(options.gates.release());
        }
        kubernetes::configure_from(options, &path, &also.into_iter().collect::<Vec<_>>())
    }

    /// Paths of a scenario are relative to its file.
    fn paths(&self, names: &[String], field: &FieldPath) -> Result<Vec<PathBuf>, Failure> {
        let at = |position: usize| field.clone().index(position);
        names.iter().enumerate().map(|(position, name)| self.path_to(name, &at(position))).collect()
    }

    fn path_to(&self, name: &str, field: &FieldPath) -> Result<PathBuf, Failure> {
        let path = self.path.parent().unwrap_or(Path::new("")).join(name);
        if path.exists() {
            return Ok(path);
        }
        let complaint = Complaint::new(format!("cannot read `{}`: no such file or folder", path.display()));
        let hint = "paths are relative to the file of the scenario";
        Err(Failure::input(self.place(complaint, field).with_hint(hint)))
    }

    fn located(&self, field: &FieldPath) -> Option<Place> {
        locate(&source::name(&self.path), &self.text, self.document, field).map(Place::from)
    }

    fn place(&self, complaint: Complaint, field: &FieldPath) -> Complaint {
        match self.located(field) {
            Some(place) => complaint.at(place),
            None => complaint.at(Place::file(source::name(&self.path))),
        }
    }

    fn complaint(&self, error: ScenarioError) -> Complaint {
        match error {
            ScenarioError::Field { field, message, hint } => {
                let complaint = self.place(Complaint::new(format!("`{field}`: {message}")), &field);
                Complaint { hint, ..complaint }
            }
            other => Complaint::new(other.to_string()),
        }
    }

    /// What a run has to complain about.
    pub(super) fn complain(&self, errors: Vec<ScenarioError>) -> Failure {
        let complaints = errors.into_iter().map(|error| self.complaint(error)).collect();
        Failure::Input { complaints, omitted: 0 }
    }

    /// Says of every expectation where it is written.
    pub(super) fn add_places(&self, report: &mut ScenarioReport) {
        let set = |reports: &mut [ExpectationReport], field: &FieldPath| {
            for (position, one) in reports.iter_mut().enumerate() {
                let place = self.located(&field.clone().field("expect").index(position));
                one.file = Some(source::name(&self.path));
                one.line = place.and_then(|place| place.position).map(|(line, _)| line);
            }
        };
        for (index, step) in report.steps.iter_mut().enumerate() {
            set(&mut step.expectations, &FieldPath::fields("spec.steps").index(index));
        }
        set(&mut report.expectations, &FieldPath::fields("spec"));
    }

    /// One line about the scenario.
    pub(super) fn described(&self) -> String {
        let spec = &self.scenario.spec;
        let expectations = spec.expect.len() + spec.steps.iter().map(|step| step.expect.len()).sum::<usize>();
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for kind in spec.steps.iter().flat_map(drayage_crds::Step::actions) {
            *kinds.entry(kind).or_default() += 1;
        }
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        format!(
            "{}: {} ({}), {}, Kubernetes {}\n",
            printable_line(&self.scenario.metadata.name),
            count(spec.steps.len(), "step"),
            kinds.join(", "),
            count(expectations, "expectation"),
            self.gates.release()
        )
    }
}

fn load(typed: &Common, filename: Vec<PathBuf>, terminal: &Terminal) -> Result<Snapshot, Failure> {
    let files = arguments::Objects { filename, strict: typed.strict, allow_missing: typed.allow_missing };
    objects::load(&files, terminal)
}
