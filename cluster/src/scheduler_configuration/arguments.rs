//! Arguments of plugins, with their defaults and what upstream's validation refuses.

use drayage_cel::Release;

use super::{FitArguments, FitStrategy, PluginArguments};
use crate::decode::pod::node_affinity;
use crate::decode::spread;
use crate::fields::{Fields, Item, object};
use crate::objects::TopologySpreadConstraint;
use crate::validate::is_subdomain;

/// Plugins that take arguments.
const WITH_ARGUMENTS: [&str; 8] = [
    "DefaultPreemption",
    "DynamicResources",
    "InterPodAffinity",
    "NodeAffinity",
    "NodeResourcesBalancedAllocation",
    "NodeResourcesFit",
    "PodTopologySpread",
    "VolumeBinding",
];

/// Reads the arguments of a plugin.
pub(super) fn read(plugin: &str, args: Item<'_, '_>, release: Release, into: &mut PluginArguments) {
    if !WITH_ARGUMENTS.contains(&plugin) {
        args.not_considered("the plugin is not known here");
        return;
    }
    object(args, |fields| {
        let kind = format!("{plugin}Args");
        if let Some(found) = fields.text("kind").filter(|found| *found != kind) {
            wrong(
                fields,
                "kind",
                &format!("args for plugin `{plugin}` are of kind `{kind}`, found `{found}`"),
            );
        }
        let version = fields.text("apiVersion");
        if let Some(found) = version.filter(|found| found != super::API_VERSION) {
            wrong(fields, "apiVersion", &format!("version `{found}` is not served"));
        }
        match plugin {
            "NodeResourcesFit" => into.fit = Some(fit(fields, release)),
            "NodeResourcesBalancedAllocation" => into.balanced_resources = Some(balanced(fields)),
            "PodTopologySpread" => into.default_constraints = default_constraints(fields),
            "InterPodAffinity" => into.inter_pod_affinity = Some(inter_pod_affinity(fields)),
            "NodeAffinity" => into.added_affinity = node_affinity(fields, "addedAffinity"),
            "DefaultPreemption" => into.preemption = Some(preemption(fields)),
            "DynamicResources" => {
                duration(fields, "filterTimeout", 0);
                fields.not_considered("filterTimeout", "the search is limited by steps, see `--step-budget`");
                if release >= Release::V1_35 {
                    duration(fields, "bindingTimeout", 1_000_000_000);
                    fields.not_considered("bindingTimeout", "binding conditions are taken to succeed");
                }
            }
            _ => {
                if fields.integer("bindTimeoutSeconds").is_some_and(|seconds| seconds < 0) {
                    wrong(fields, "bindTimeoutSeconds", "should not be a negative value");
                }
                if fields.has("shape") {
                    let message =
                        "unexpected field, remove it or turn on the feature gate StorageCapacityScoring";
                    wrong(fields, "shape", message);
                }
                fields.not_considered("bindTimeoutSeconds", "volumes are bound at once");
            }
        }
    });
}

/// An entry without arguments says nothing.
pub(super) fn check_known(plugin: &str, fields: &Fields<'_, '_>) {
    if plugin.is_empty() {
        fields.skip(&["args"]);
    }
}

fn wrong(fields: &Fields<'_, '_>, key: &'static str, message: &str) {
    if let Some(item) = fields.get(key) {
        item.wrong(message, None);
    }
}

/// Whether the name can be that of a label: at most 63 characters, with an optional domain and a `/` before them.
fn is_qualified(name: &str) -> bool {
    let (domain, id) = name.split_once('/').map_or((None, name), |(domain, id)| (Some(domain), id));
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let ends = [id.bytes().next(), id.bytes().last()];
    domain.is_none_or(is_subdomain)
        && (1..=63).contains(&id.len())
        && id.bytes().all(is_inner)
        && ends.iter().flatten().all(u8::is_ascii_alphanumeric)
}

/// `cpu` and `memory`, as plugins have it that are told nothing.
fn default_resources() -> Vec<(String, i64)> {
    vec![("cpu".to_owned(), 1), ("memory".to_owned(), 1)]
}

/// Resources with their weights, checked each by `check`.
fn resources(
    fields: &Fields<'_, '_>,
    check: impl Fn(&str, i64) -> Option<String>,
) -> Option<Vec<(String, i64)>> {
    let read = |item: Item<'_, '_>| {
        object(item, |fields| {
            let name = fields.string("name");
            let weight = fields.integer("weight").filter(|&weight| weight != 0).unwrap_or(1);
            if let Some(message) = check(&name, weight) {
                wrong(fields, "weight", &message);
            }
            (name, weight)
        })
    };
    fields.list("resources", read).filter(|list| !list.is_empty())
}

fn fit(fields: &Fields<'_, '_>, release: Release) -> FitArguments {
    let names = |key: &'static str, is_group: bool| {
        let read = |item: Item<'_, '_>| {
            let name = item.text()?;
            if is_group && name.contains('/') {
                item.wrong("resource group name can't contain '/'", None);
            } else if !is_qualified(&name) {
                item.wrong(format!("`{name}` is no qualified name"), None);
            }
            Some(name)
        };
        fields.list(key, read).unwrap_or_default()
    };
    let mut arguments = FitArguments {
        ignored_resources: names("ignoredResources", false),
        ignored_resource_groups: names("ignoredResourceGroups", true),
        strategy: FitStrategy::LeastAllocated,
        resources: default_resources(),
    };
    fields.object("scoringStrategy", |strategy| {
        let check = |name: &str, weight: i64| {
            let is_right = (1..=100).contains(&weight);
            (!is_right).then(|| format!("resource weight of {name} not in valid range (0, 100]"))
        };
        if let Some(found) = resources(strategy, check) {
            arguments.resources = found;
        }
        let kind = strategy.text("type");
        arguments.strategy = match kind.as_deref() {
            Some("LeastAllocated") => FitStrategy::LeastAllocated,
            Some("MostAllocated") => FitStrategy::MostAllocated,
            Some("RequestedToCapacityRatio") => {
                let shape = strategy.object("requestedToCapacityRatio", shape).flatten();
                if shape.is_none() {
                    let message = "`requestedToCapacityRatio.shape` needs at least one point for this type";
                    wrong(strategy, "type", message);
                }
                FitStrategy::RequestedToCapacityRatio(shape.unwrap_or_default())
            }
            other => {
                let message = format!(
                    "supported values are `LeastAllocated`, `MostAllocated` and `RequestedToCapacityRatio`, found `{}`",
                    other.unwrap_or_default()
                );
                match strategy.get("type") {
                    Some(item) => item.wrong(message, None),
                    None => wrong(fields, "scoringStrategy", &format!("`type` is missing; {message}")),
                }
                FitStrategy::LeastAllocated
            }
        };
        if kind.as_deref() != Some("RequestedToCapacityRatio") && strategy.has("requestedToCapacityRatio") {
            // Older releases only look at its points.
            if release < Release::V1_36 {
                let points = strategy.object("requestedToCapacityRatio", shape).flatten();
                if points.is_none() {
                    wrong(strategy, "requestedToCapacityRatio", "at least one point must be specified");
                }
                return;
            }
            wrong(strategy, "requestedToCapacityRatio", "must be nil when type is not RequestedToCapacityRatio");
        }
    });
    arguments
}

/// Points of utilization and score.
fn shape(fields: &Fields<'_, '_>) -> Option<Vec<(i64, i64)>> {
    let mut before: Option<i64> = None;
    let read = |item: Item<'_, '_>| {
        object(item, |point| {
            let utilization = point.integer("utilization").unwrap_or_default();
            let score = point.integer("score").unwrap_or_default();
            if before.is_some_and(|before| before >= utilization) {
                item.wrong("utilization values must be sorted in increasing order", None);
            }
            before = Some(utilization);
            if !(0..=100).contains(&utilization) {
                wrong(point, "utilization", "not in valid range [0, 100]");
            }
            if !(0..=10).contains(&score) {
                wrong(point, "score", "not in valid range [0, 10]");
            }
            (utilization, score)
        })
    };
    fields.list("shape", read).filter(|points| !points.is_empty())
}

fn balanced(fields: &Fields<'_, '_>) -> Vec<String> {
    let check = |_: &str, weight: i64| (weight != 1).then(|| "must be 1".to_owned());
    let found = resources(fields, check).unwrap_or_else(default_resources);
    let mut names: Vec<String> = Vec::new();
    for (name, _) in found {
        if names.contains(&name) {
            wrong(fields, "resources", &format!("`{name}` is listed twice"));
        }
        names.push(name);
    }
    names
}

fn default_constraints(fields: &Fields<'_, '_>) -> Option<Vec<TopologySpreadConstraint>> {
    let mut seen: Vec<(String, bool)> = Vec::new();
    let read = |item: Item<'_, '_>| {
        object(item, |fields| {
            let constraint = spread::spread(fields);
            if constraint.max_skew <= 0 || !fields.has("maxSkew") {
                item.wrong("`maxSkew` is not in valid range (0, inf)", None);
            }
            if constraint.topology_key.is_empty() {
                item.wrong("`topologyKey` can not be empty", None);
            } else if !is_qualified(&constraint.topology_key) {
                wrong(fields, "topologyKey", "is no qualified name");
            }
            let action = fields.string("whenUnsatisfiable");
            if !["DoNotSchedule", "ScheduleAnyway"].contains(&action.as_str()) {
                item.wrong("`whenUnsatisfiable` must be `DoNotSchedule` or `ScheduleAnyway`", None);
            }
            if fields.has("labelSelector") {
                let message = "constraint must not define a selector, as they deduced for each pod";
                wrong(fields, "labelSelector", message);
            }
            let key = (constraint.topology_key.clone(), constraint.required);
            if seen.contains(&key) {
                item.wrong("topology key and action are those of a constraint before", None);
            }
            seen.push(key);
            constraint
        })
    };
    let constraints = fields.list("defaultConstraints", read).unwrap_or_default();
    match fields.text("defaultingType").as_deref() {
        Some("List") => Some(constraints),
        None | Some("System") => {
            if !constraints.is_empty() {
                wrong(
                    fields,
                    "defaultConstraints",
                    "`defaultingType` must be `List` where there are constraints",
                );
            }
            None
        }
        Some(other) => {
            let message = format!("supported values are `System` and `List`, found `{other}`");
            wrong(fields, "defaultingType", &message);
            None
        }
    }
}

fn inter_pod_affinity(fields: &Fields<'_, '_>) -> (i64, bool) {
    let weight = fields.integer("hardPodAffinityWeight").unwrap_or(1);
    if !(0..=100).contains(&weight) {
        wrong(fields, "hardPodAffinityWeight", "not in valid range [0, 100]");
    }
    (weight, fields.flag("ignorePreferredTermsOfExistingPods"))
}

fn preemption(fields: &Fields<'_, '_>) -> (u32, u32) {
    let number = |key: &'static str, default: i64| fields.integer(key).unwrap_or(default);
    let percentage = number("minCandidateNodesPercentage", 10);
    if !(0..=100).contains(&percentage) {
        wrong(fields, "minCandidateNodesPercentage", "not in valid range [0, 100]");
    }
    let absolute = number("minCandidateNodesAbsolute", 100);
    if absolute < 0 {
        wrong(fields, "minCandidateNodesAbsolute", "not in valid range [0, inf)");
    }
    if percentage == 0 && absolute == 0 {
        let message = "cannot be zero at the same time as minCandidateNodesAbsolute";
        wrong(fields, "minCandidateNodesPercentage", message);
    }
    (u32::try_from(percentage).unwrap_or_default(), u32::try_from(absolute).unwrap_or_default())
}

/// Checks a duration such as `10s` against a least number of nanoseconds.
fn duration(fields: &Fields<'_, '_>, key: &'static str, least: i64) {
    let Some(text) = fields.text(key) else { return };
    match drayage_cel::parse_duration(&text) {
        None => wrong(fields, key, &format!("`{text}` is no duration such as `10s` or `1m30s`")),
        Some(found) if found < least && least == 0 => wrong(fields, key, "must be zero or positive"),
        Some(found) if found < least => wrong(fields, key, "must be at least 1 second"),
        Some(_) => {}
    }
}
