//! The file as a whole, its profiles and their lists of plugins.

use std::collections::BTreeMap;

use drayage_cel::Release;

use super::arguments;
use super::{PluginSet, ProfileConfiguration, SchedulerConfiguration};
use crate::fields::{Fields, Item, object};

/// The extension points that have lists of plugins in all releases.
const EXTENSION_POINTS: [&str; 13] = [
    "preEnqueue",
    "queueSort",
    "preFilter",
    "filter",
    "postFilter",
    "preScore",
    "score",
    "reserve",
    "permit",
    "preBind",
    "bind",
    "postBind",
    "multiPoint",
];

/// Those that came later.
const NEWER_EXTENSION_POINTS: [(&str, Release); 3] = [
    ("placementGenerate", Release::V1_36),
    ("placementScore", Release::V1_36),
    ("podGroupPostFilter", Release::V1_37),
];

/// Plugins that the API has had and refuses now.
const REMOVED_PLUGINS: [&str; 4] = ["AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"];

const NO_API_SERVER: &str = "there is no API server to talk to";
const NO_CLOCK: &str = "a simulation knows no time";

pub(super) fn configuration(item: Item<'_, '_>, release: Release) -> Option<SchedulerConfiguration> {
    object(item, |fields| {
        fields.skip(&["apiVersion", "kind"]);
        for key in ["leaderElection", "clientConnection", "enableProfiling", "enableContentionProfiling"] {
            fields.not_considered(key, NO_API_SERVER);
        }
        fields.not_considered("delayCacheUntilActive", NO_API_SERVER);
        fields.not_considered("extenders", "extenders are not asked");
        if fields.integer("parallelism").is_some_and(|number| number <= 0) {
            wrong(fields, "parallelism", "should be an integer value greater than zero");
        }
        fields.not_considered("parallelism", "`--threads` says how many nodes are looked at together");
        backoff(fields);
        let mut profiles = fields.list("profiles", |item| profile(item, release)).unwrap_or_default();
        if profiles.is_empty() {
            profiles.push(ProfileConfiguration::default());
        }
        let only = profiles.len() == 1;
        if let [profile] = profiles.as_mut_slice()
            && profile.scheduler_name.is_empty()
        {
            "default-scheduler".clone_into(&mut profile.scheduler_name);
        }
        if !only && let Some(list) = fields.get("profiles") {
            check_profiles(&list, &profiles);
        }
        SchedulerConfiguration {
            profiles,
            percentage_of_nodes_to_score: percentage(fields).unwrap_or_default(),
            without_effect: Vec::new(),
        }
    })
}

fn wrong(fields: &Fields<'_, '_>, key: &'static str, message: &str) {
    if let Some(item) = fields.get(key) {
        item.wrong(message, None);
    }
}

fn backoff(fields: &Fields<'_, '_>) {
    let initial = fields.integer("podInitialBackoffSeconds");
    if initial.is_some_and(|seconds| seconds <= 0) {
        wrong(fields, "podInitialBackoffSeconds", "must be greater than 0");
    }
    let most = fields.integer("podMaxBackoffSeconds");
    if most.unwrap_or(10) < initial.unwrap_or(1) {
        let key = if most.is_some() { "podMaxBackoffSeconds" } else { "podInitialBackoffSeconds" };
        wrong(fields, key, "podMaxBackoffSeconds must be greater than or equal to PodInitialBackoffSeconds");
    }
    fields.not_considered("podInitialBackoffSeconds", NO_CLOCK);
    fields.not_considered("podMaxBackoffSeconds", NO_CLOCK);
}

fn percentage(fields: &Fields<'_, '_>) -> Option<u32> {
    let number = fields.get("percentageOfNodesToScore")?.integer32()?;
    if !(0..=100).contains(&number) {
        wrong(fields, "percentageOfNodesToScore", &format!("{number} is not in valid range [0-100]"));
    }
    u32::try_from(number).ok()
}

/// What must hold between profiles.
fn check_profiles(list: &Item<'_, '_>, profiles: &[ProfileConfiguration]) {
    for (at, item) in list.items().enumerate() {
        let Some(profile) = profiles.get(at) else { continue };
        if profile.scheduler_name.is_empty() {
            item.wrong("`schedulerName` is required where there are several profiles", None);
        }
        if profiles.iter().take(at).any(|earlier| earlier.scheduler_name == profile.scheduler_name) {
            item.wrong(
                format!("scheduler name `{}` is used by a profile before", profile.scheduler_name),
                None,
            );
        }
        let sorts =
            |profile: &ProfileConfiguration| profile.plugins.get("queueSort").cloned().unwrap_or_default();
        if profiles.first().is_some_and(|first| sorts(first) != sorts(profile)) {
            item.wrong("`plugins.queueSort` must be the same for all profiles", None);
        }
    }
}

fn profile(item: Item<'_, '_>, release: Release) -> Option<ProfileConfiguration> {
    object(item, |fields| {
        let mut profile = ProfileConfiguration {
            scheduler_name: fields.string("schedulerName"),
            percentage_of_nodes_to_score: percentage(fields),
            plugins: fields.object("plugins", |fields| plugins(fields, release)).unwrap_or_default(),
            ..ProfileConfiguration::default()
        };
        let mut seen: Vec<String> = Vec::new();
        if let Some(list) = fields.get("pluginConfig") {
            for item in list.items() {
                object(item, |fields| {
                    let name = fields.string("name");
                    if REMOVED_PLUGINS.contains(&name.as_str()) {
                        wrong(fields, "name", &format!("plugin `{name}` was removed"));
                    }
                    if seen.contains(&name) {
                        wrong(fields, "name", &format!("plugin `{name}` has arguments already"));
                    }
                    match fields.get("args") {
                        Some(args) => arguments::read(&name, args, release, &mut profile.arguments),
                        None => arguments::check_known(&name, fields),
                    }
                    seen.push(name);
                });
            }
        }
        profile
    })
}

fn plugins(fields: &Fields<'_, '_>, release: Release) -> BTreeMap<&'static str, PluginSet> {
    let mut sets = BTreeMap::new();
    let newer = NEWER_EXTENSION_POINTS.iter().filter(|(_, since)| release >= *since).map(|(point, _)| *point);
    for point in EXTENSION_POINTS.into_iter().chain(newer) {
        if let Some(set) = fields.object(point, |set| plugin_set(point, set)) {
            sets.insert(point, set);
        }
    }
    sets
}

fn plugin_set(point: &'static str, fields: &Fields<'_, '_>) -> PluginSet {
    let plugin = |item: Item<'_, '_>| {
        object(item, |fields| {
            let name = fields.string("name");
            if REMOVED_PLUGINS.contains(&name.as_str()) {
                wrong(fields, "name", &format!("plugin `{name}` was removed"));
            }
            let weight = fields.get("weight").and_then(|item| item.integer32()).unwrap_or_default();
            if weight < 0 {
                wrong(fields, "weight", &format!("{weight} is no weight, expected a number of at least 1"));
            }
            (name, i64::from(weight))
        })
    };
    let set = PluginSet {
        enabled: fields.list("enabled", plugin).unwrap_or_default(),
        disabled: fields
            .list("disabled", plugin)
            .unwrap_or_default()
            .into_iter()
            .map(|(name, _)| name)
            .collect(),
    };
    let twice = (1..set.enabled.len()).find(|&at| {
        let name = |at: usize| set.enabled.get(at).map(|(name, _)| name);
        (0..at).any(|earlier| name(earlier) == name(at))
    });
    if let Some((name, _)) = twice.and_then(|at| set.enabled.get(at)) {
        wrong(fields, "enabled", &format!("plugin `{name}` is registered twice"));
    }
    if point == "queueSort" && set.enabled.len() > 1 {
        wrong(fields, "enabled", "only one queue sort plugin can be enabled");
    }
    set
}
