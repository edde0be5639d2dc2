//! `KubeSchedulerConfiguration` of `kubescheduler.config.k8s.io/v1`: what a scheduler's command line names.
//!
//! Read as strictly as kube-scheduler reads it: an unknown field is an error, and so is what its validation refuses.
//! Every fault has its line. What cannot change an answer here, such as leader election, is listed.

mod arguments;
mod decode;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use drayage_cel::Release;

use crate::fault::{Fault, LoadErrors};
use crate::fields::{FindingKind, Findings, Item};
use crate::json::{self, SyntaxError};
use crate::objects::{NodeAffinity, TopologySpreadConstraint};
use crate::source::{Source, Sources};
use crate::tree::{Node, Value};
use crate::yaml;

const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
const KIND: &str = "KubeSchedulerConfiguration";

/// A scheduler's configuration file, with the defaults of what it leaves out but for the lists of plugins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchedulerConfiguration {
    /// `profiles`; at least one.
    pub profiles: Vec<ProfileConfiguration>,
    /// `percentageOfNodesToScore`: 0 to 100, 0 if absent.
    pub percentage_of_nodes_to_score: u32,
    /// Fields that are given and cannot change an answer here, as paths.
    pub without_effect: Vec<String>,
}

/// One profile of a scheduler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileConfiguration {
    /// `schedulerName`
    pub scheduler_name: String,
    /// `percentageOfNodesToScore`, which goes before that of the whole configuration.
    pub percentage_of_nodes_to_score: Option<u32>,
    /// `plugins`: what is said of each extension point, by its name, `multiPoint` among them.
    pub plugins: BTreeMap<&'static str, PluginSet>,
    /// `pluginConfig`
    pub arguments: PluginArguments,
}

/// What is said of the plugins of an extension point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginSet {
    /// Names and weights, 0 where none is given, in order.
    pub enabled: Vec<(String, i64)>,
    /// Names; `*` stands for all.
    pub disabled: Vec<String>,
}

/// `pluginConfig`: arguments of plugins; `None` where the file gives none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginArguments {
    /// NodeResourcesFitArgs
    pub fit: Option<FitArguments>,
    /// NodeResourcesBalancedAllocationArgs: resources.
    pub balanced_resources: Option<Vec<String>>,
    /// PodTopologySpreadArgs: the constraints of `defaultingType: List`; `None` for the system's.
    pub default_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// InterPodAffinityArgs: `hardPodAffinityWeight` and `ignorePreferredTermsOfExistingPods`.
    pub inter_pod_affinity: Option<(i64, bool)>,
    /// NodeAffinityArgs: `addedAffinity`.
    pub added_affinity: Option<NodeAffinity>,
    /// DefaultPreemptionArgs: `minCandidateNodesPercentage` and `minCandidateNodesAbsolute`.
    pub preemption: Option<(u32, u32)>,
}

/// NodeResourcesFitArgs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FitArguments {
    /// `ignoredResources`
    pub ignored_resources: Vec<String>,
    /// `ignoredResourceGroups`
    pub ignored_resource_groups: Vec<String>,
    /// `scoringStrategy.type`
    pub strategy: FitStrategy,
    /// `scoringStrategy.resources` with their weights.
    pub resources: Vec<(String, i64)>,
}

/// `scoringStrategy.type` of NodeResourcesFitArgs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FitStrategy {
    /// `LeastAllocated`
    LeastAllocated,
    /// `MostAllocated`
    MostAllocated,
    /// `RequestedToCapacityRatio` with its points of utilization (0 to 100) and score (0 to 10).
    RequestedToCapacityRatio(Vec<(i64, i64)>),
}

impl SchedulerConfiguration {
    /// Reads a configuration; `name` is what faults call the text.
    ///
    /// A ConfigMap that holds one, as clusters keep it, is read too; then lines are counted within the entry. Fields
    /// that any known release has are known.
    pub fn read(name: &str, text: &str) -> Result<Self, LoadErrors> {
        Self::read_for(name, text, Release::V1_37)
    }

    /// As [`Self::read`], with the fields and checks of one release: the version of the API is the same in all of them,
    /// but has got more fields.
    pub fn read_for(name: &str, text: &str, release: Release) -> Result<Self, LoadErrors> {
        let (entry, inner) = match config_map_entry(text) {
            Some((key, inner)) => (format!("{name}[{key}]"), inner),
            None => (name.to_owned(), text.to_owned()),
        };
        let sources = Sources { list: vec![Source { name: entry, text: inner.clone().into() }] };
        let at = |at: usize, message: String, hint: Option<String>| {
            let place = sources.place_at(0, at);
            LoadErrors { faults: vec![Fault { place, message, hint, ..Fault::default() }], omitted: 0 }
        };
        let node = match document(&inner) {
            Ok(Some(node)) => node,
            Ok(None) => return Err(at(0, format!("the file has no {KIND}"), None)),
            Err(error) => return Err(at(error.at, error.message, error.hint.map(str::to_owned))),
        };
        check_kind(&node).map_err(|(place, message)| {
            at(
                place,
                message,
                Some(format!(
                    "a scheduler's configuration has `apiVersion: {API_VERSION}` and `kind: {KIND}`"
                )),
            )
        })?;
        let findings = Findings::default();
        let root = Item::root(&node, &findings);
        let mut read = decode::configuration(root, release).unwrap_or_default();
        let mut errors = LoadErrors::default();
        let mut found = findings.take();
        found.sort_by_key(|finding| finding.at);
        for finding in found {
            let (message, hint) = match finding.kind {
                FindingKind::Wrong { message, hint } => (message, hint),
                FindingKind::Refused { message, hint } => (message.to_owned(), Some(hint.to_owned())),
                FindingKind::UnknownField => ("unknown field".to_owned(), None),
                FindingKind::NotConsidered { why } => {
                    read.without_effect.push(format!("`{}`: {why}", finding.path));
                    continue;
                }
            };
            let place = sources.place_at(0, finding.at);
            errors.push(Fault { field: finding.path, place, message, hint, object: None });
        }
        if errors.faults.is_empty() { Ok(read) } else { Err(errors) }
    }
}

/// The only document of a text, if it has one.
fn document(text: &str) -> Result<Option<Node<'_>>, SyntaxError> {
    if text.trim_start().starts_with('{')
        && let Ok(node) = json::Parser::new(text, 0, text.len()).value()
    {
        return Ok(Some(node));
    }
    for (start, end) in yaml::documents(text, 0) {
        let node = yaml::parse_document(text, start, end)?;
        if !matches!(node.value, Value::Null) {
            return Ok(Some(node));
        }
    }
    Ok(None)
}

fn text_of<'n>(node: &'n Node<'_>, key: &str) -> Option<&'n str> {
    node.value.get(key).and_then(|node| node.value.as_text())
}

/// The entry of a ConfigMap that is a configuration, and its text.
fn config_map_entry(text: &str) -> Option<(String, String)> {
    let node = document(text).ok()??;
    if text_of(&node, "kind") != Some("ConfigMap") {
        return None;
    }
    let Value::Map(entries) = &node.value.get("data")?.value else { return None };
    entries.iter().find_map(|entry| {
        let text = entry.node.value.as_text()?;
        let inner = document(text).ok()??;
        (text_of(&inner, "kind") == Some(KIND)).then(|| (entry.key.to_string(), text.to_owned()))
    })
}

/// Refuses what is no configuration.
fn check_kind(node: &Node<'_>) -> Result<(), (usize, String)> {
    let place = |key: &str| node.value.get(key).map_or(node.at, |node| node.at);
    match text_of(node, "kind") {
        Some(KIND) => {}
        Some(other) => return Err((place("kind"), format!("expected a {KIND}, found `{other}`"))),
        None => return Err((node.at, format!("expected a {KIND}"))),
    }
    match text_of(node, "apiVersion") {
        Some(API_VERSION) => Ok(()),
        Some(other) => Err((place("apiVersion"), format!("version `{other}` is not served"))),
        None => Err((node.at, "missing `apiVersion`".to_owned())),
    }
}
