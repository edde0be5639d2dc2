//! From a scheduler's configuration file to profiles: the default plugins with what the file changes, as
//! kube-scheduler merges them.

use std::collections::BTreeMap;

use drayage_cluster::scheduler_configuration::{
    FitStrategy, PluginArguments, PluginSet, ProfileConfiguration, SchedulerConfiguration,
};

use super::options::Options;
use super::profile::{FilterPlugin, SchedulerProfile, ScoreWeights, ScoringStrategy};

/// The default profile's plugins at all their extension points, with their weights.
const DEFAULT_PLUGINS: [(&str, i64); 19] = [
    ("SchedulingGates", 0),
    ("PrioritySort", 0),
    ("NodeUnschedulable", 0),
    ("NodeName", 0),
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodePorts", 0),
    ("NodeResourcesFit", 1),
    ("VolumeRestrictions", 0),
    ("NodeVolumeLimits", 0),
    ("VolumeBinding", 0),
    ("VolumeZone", 0),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("DynamicResources", 2),
    ("DefaultPreemption", 0),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
    ("DefaultBinder", 0),
];

/// Plugins of kube-scheduler that some feature gate adds.
const GATED_PLUGINS: [&str; 4] =
    ["NodeDeclaredFeatures", "GangScheduling", "TopologyPlacementGenerator", "PodGroupPodsCount"];

/// Extension points whose lists of plugins change nothing of an answer here.
const WITHOUT_EFFECT: [&str; 12] = [
    "preEnqueue",
    "preFilter",
    "preScore",
    "reserve",
    "permit",
    "preBind",
    "bind",
    "postBind",
    "placementGenerate",
    "placementScore",
    "podGroupPostFilter",
    "queueSort",
];

/// Plugins that cannot score where they were not asked before.
const NEED_PREPARATION: [&str; 3] = ["TaintToleration", "PodTopologySpread", "InterPodAffinity"];

/// Why a configuration cannot be taken over: kube-scheduler would not start with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("profile `{profile}`: {message}")]
pub struct ConfigurationError {
    /// `schedulerName` of the profile.
    pub profile: String,
    /// What is wrong with it.
    pub message: String,
}

impl Options {
    /// Takes over a scheduler's configuration file.
    ///
    /// # Errors
    ///
    /// What makes kube-scheduler refuse to start although the file is valid: no or several plugins that sort the
    /// queue, none that binds, weights that overflow.
    pub fn configure(&mut self, configuration: &SchedulerConfiguration) -> Result<(), ConfigurationError> {
        let mut notes = configuration.without_effect.clone();
        let mut profiles = Vec::with_capacity(configuration.profiles.len());
        for of_file in &configuration.profiles {
            let mut profile = resolve(of_file, &mut notes)
                .map_err(|message| ConfigurationError { profile: of_file.scheduler_name.clone(), message })?;
            profile.percentage_of_nodes_to_score =
                of_file.percentage_of_nodes_to_score.unwrap_or(configuration.percentage_of_nodes_to_score);
            profiles.push(profile);
        }
        notes.dedup();
        self.profile = profiles.first().cloned().unwrap_or_default();
        self.profiles = profiles;
        self.configured_without_effect = notes;
        Ok(())
    }
}

/// The plugins at one extension point, in order, with the weights that the lists give.
struct Resolved {
    multi_point: PluginSet,
    sets: BTreeMap<&'static str, PluginSet>,
}

impl Resolved {
    fn new(of_file: &ProfileConfiguration) -> Self {
        let default = PluginSet {
            enabled: DEFAULT_PLUGINS.iter().map(|&(name, weight)| (name.to_owned(), weight)).collect(),
            disabled: Vec::new(),
        };
        let multi_point = match of_file.plugins.get("multiPoint") {
            Some(custom) => merge(default, custom),
            None => default,
        };
        Self { multi_point, sets: of_file.plugins.clone() }
    }

    /// Those that work at an extension point; `implements` says which plugins can.
    fn at(&self, point: &str, implements: impl Fn(&str) -> bool) -> Vec<String> {
        let none = PluginSet::default();
        let own = self.sets.get(point).unwrap_or(&none);
        let is_own = |name: &str| own.enabled.iter().any(|(enabled, _)| enabled == name);
        let named = |name: &str| own.disabled.iter().any(|disabled| disabled == name);
        if named("*") {
            return own.enabled.iter().map(|(name, _)| name.clone()).collect();
        }
        let from_all: Vec<&str> = self
            .multi_point
            .enabled
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| implements(name) && !named(name))
            .collect();
        // First what replaces a plugin of all points, then those, then what only this point has.
        let replacing =
            own.enabled.iter().map(|(name, _)| name.as_str()).filter(|name| from_all.contains(name));
        let others = from_all.iter().copied().filter(|name| !is_own(name));
        let more = own.enabled.iter().map(|(name, _)| name.as_str()).filter(|name| !from_all.contains(name));
        replacing.chain(others).chain(more).map(str::to_owned).collect()
    }

    /// The weight of a plugin that scores: that of the list of scores goes first, and 0 means 1.
    fn weight(&self, plugin: &str) -> i64 {
        let of_scores = self.sets.get("score").map(|set| set.enabled.as_slice()).unwrap_or_default();
        let mut all = of_scores.iter().chain(&self.multi_point.enabled);
        let found = all.find(|(name, _)| name == plugin).map_or(0, |(_, weight)| *weight);
        if found == 0 { 1 } else { found }
    }
}

/// The default list with what a file says: disabled ones go, enabled ones take the place of their namesakes or come
/// last.
fn merge(default: PluginSet, custom: &PluginSet) -> PluginSet {
    let is_disabled = |name: &str| custom.disabled.iter().any(|disabled| disabled == name || disabled == "*");
    let of_custom = |name: &str| custom.enabled.iter().find(|(enabled, _)| enabled == name);
    let mut enabled: Vec<(String, i64)> = default
        .enabled
        .into_iter()
        .filter(|(name, _)| !is_disabled(name))
        .map(|plugin| of_custom(&plugin.0).cloned().unwrap_or(plugin))
        .collect();
    for plugin in &custom.enabled {
        if !enabled.contains(plugin) {
            enabled.push(plugin.clone());
        }
    }
    PluginSet { enabled, disabled: custom.disabled.clone() }
}

fn is_filter(name: &str) -> bool {
    FilterPlugin::ALL.iter().any(|filter| filter.name() == name)
}

fn is_score(name: &str) -> bool {
    // VolumeBinding scores only with a feature gate that no release has on.
    ScoreWeights::default().get_mut(name).is_some()
}

fn is_known(name: &str) -> bool {
    DEFAULT_PLUGINS.iter().any(|&(known, _)| known == name) || GATED_PLUGINS.contains(&name) || name == "*"
}

fn resolve(of_file: &ProfileConfiguration, notes: &mut Vec<String>) -> Result<SchedulerProfile, String> {
    let resolved = Resolved::new(of_file);
    let note = |notes: &mut Vec<String>, text: String| {
        notes.push(format!("profile `{}`: {text}", of_file.scheduler_name));
    };
    for (point, set) in &of_file.plugins {
        let names = set.enabled.iter().map(|(name, _)| name).chain(&set.disabled);
        for name in names.filter(|name| !is_known(name)) {
            note(notes, format!("plugin `{name}` is not one of kube-scheduler's and has no say"));
        }
        if WITHOUT_EFFECT.contains(point) {
            note(notes, format!("`plugins.{point}` has no effect on a simulation"));
        }
    }
    for (point, plugin) in [("queueSort", "PrioritySort"), ("bind", "DefaultBinder")] {
        let found = resolved.at(point, |name| name == plugin).len();
        if found == 0 || (point == "queueSort" && found > 1) {
            return Err(format!(
                "exactly one plugin sorts the queue and at least one binds; `{point}` has {found}"
            ));
        }
    }
    let filters = resolved.at("filter", is_filter);
    let order: Vec<usize> = filters
        .iter()
        .filter_map(|name| FilterPlugin::ALL.iter().position(|filter| filter.name() == name))
        .collect();
    if order.windows(2).any(|pair| pair.first() > pair.last()) {
        note(
            notes,
            "filters are asked in the order of the default profile, not in that of the file".to_owned(),
        );
    }
    let mut profile = SchedulerProfile {
        name: of_file.scheduler_name.clone(),
        weights: ScoreWeights::NONE,
        filters_off: FilterPlugin::ALL
            .into_iter()
            .filter(|filter| !filters.iter().any(|name| name == filter.name()))
            .collect(),
        ..SchedulerProfile::default()
    };
    let mut total: i64 = 0;
    let needs_preparation = |name: &str| NEED_PREPARATION.contains(&name);
    let prepared = resolved.at("preScore", needs_preparation);
    for name in resolved.at("score", is_score) {
        if needs_preparation(&name) && !prepared.contains(&name) {
            note(
                notes,
                format!("plugin `{name}` scores without `preScore`; the scheduler would fail with every pod"),
            );
        }
        let weight = resolved.weight(&name);
        total = total.saturating_add(weight.saturating_mul(100));
        if let Some(place) = profile.weights.get_mut(&name) {
            *place = weight;
        }
    }
    if total > i64::from(i32::MAX) * 100 {
        return Err("total score of Score plugins could overflow".to_owned());
    }
    let preempts = |name: &str| name == "DefaultPreemption" || name == "DynamicResources";
    let post_filters = resolved.at("postFilter", preempts);
    if !post_filters.iter().any(|name| name == "DefaultPreemption") {
        profile.preemption = None;
    }
    apply_arguments(&of_file.arguments, &mut profile);
    Ok(profile)
}

fn apply_arguments(arguments: &PluginArguments, profile: &mut SchedulerProfile) {
    if let Some(fit) = &arguments.fit {
        profile.strategy = match &fit.strategy {
            FitStrategy::LeastAllocated => ScoringStrategy::LeastAllocated,
            FitStrategy::MostAllocated => ScoringStrategy::MostAllocated,
            FitStrategy::RequestedToCapacityRatio(points) => {
                ScoringStrategy::RequestedToCapacityRatio(points.clone())
            }
        };
        profile.fit_resources.clone_from(&fit.resources);
        profile.ignored_resources.clone_from(&fit.ignored_resources);
        profile.ignored_resource_groups.clone_from(&fit.ignored_resource_groups);
    }
    if let Some(resources) = &arguments.balanced_resources {
        profile.balanced_resources.clone_from(resources);
    }
    if let Some((weight, ignoring)) = arguments.inter_pod_affinity {
        (profile.hard_pod_affinity_weight, profile.ignore_preferred_of_existing) = (weight, ignoring);
    }
    profile.added_affinity.clone_from(&arguments.added_affinity);
    profile.default_constraints.clone_from(&arguments.default_constraints);
    if profile.preemption.is_some()
        && let Some(preemption) = arguments.preemption
    {
        profile.preemption = Some(preemption);
    }
}

#[cfg(test)]
mod tests {
    use drayage_cel::Release;

    use super::*;

    fn configured(profiles: &str) -> Result<Options, ConfigurationError> {
        let text = format!(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles: {profiles}\n"
        );
        let configuration = SchedulerConfiguration::read("scheduler.yaml", &text).unwrap();
        let mut options = Options::for_release(Release::V1_36);
        options.configure(&configuration).map(|()| options)
    }

    #[test]
    fn an_empty_profile_is_the_default_one() {
        let options = configured("[]").unwrap();
        assert_eq!(options.profiles, [SchedulerProfile::default()]);
        assert_eq!((options.profile_of(""), options.profile_of("other")), (Some(0), None));
    }

    #[test]
    fn weights_come_from_scores_then_from_all_points_and_are_at_least_one() {
        let options = configured(
            "[{plugins: {multiPoint: {enabled: [{name: ImageLocality}, {name: NodeAffinity, weight: 9}]}, \
             score: {enabled: [{name: NodeAffinity, weight: 4}], disabled: [{name: TaintToleration}]}}}]",
        )
        .unwrap();
        let expected = ScoreWeights {
            taint_toleration: 0,
            node_affinity: 4,
            image_locality: 1,
            ..ScoreWeights::default()
        };
        assert_eq!(options.profile.weights, expected);
        assert_eq!(options.profile.filters_off, []);
    }

    #[test]
    fn all_plugins_can_be_turned_off_and_some_on_again() {
        let kept = "{name: PrioritySort}, {name: DefaultBinder}, {name: NodeResourcesFit}";
        let options = configured(&format!(
            "[{{plugins: {{multiPoint: {{disabled: [{{name: '*'}}], enabled: [{kept}]}}}}}}]"
        ))
        .unwrap();
        let profile = &options.profile;
        assert_eq!(profile.weights, ScoreWeights { node_resources_fit: 1, ..ScoreWeights::NONE });
        assert_eq!(profile.filters_off.len(), FilterPlugin::ALL.len() - 1);
        assert_eq!(profile.preemption, None);
        let error = configured("[{plugins: {multiPoint: {disabled: [{name: '*'}]}}}]").unwrap_err();
        let expected = "profile `default-scheduler`: exactly one plugin sorts the queue and at least one binds; `queueSort` has 0";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn plugins_of_others_and_another_order_are_told() {
        let options = configured(
            "[{plugins: {filter: {disabled: [{name: '*'}], enabled: [{name: NodeResourcesFit}, {name: Mine}, {name: NodeAffinity}]}}}]",
        )
        .unwrap();
        assert_eq!(
            options.configured_without_effect,
            [
                "profile `default-scheduler`: plugin `Mine` is not one of kube-scheduler's and has no say",
                "profile `default-scheduler`: filters are asked in the order of the default profile, not in that of the file",
            ]
        );
    }
}
