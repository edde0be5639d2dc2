//! The families of random clusters for the real scheduler, each with records of its own.

use serde_json::Value;

use super::{configurations, extended, preempting, scheduler, teams, volumes};

/// What the scheduler is given.
pub(crate) struct Case {
    pub(crate) objects: Vec<Value>,
    pub(crate) configuration: Option<Value>,
}

/// Names of the families. The records of one are `scheduler-NAME-RELEASE.jsonl`, without a name those of the first.
pub(crate) const FAMILIES: [&str; 8] = [
    "default",
    "extended",
    "preempting",
    "configured",
    "volumes",
    "configured-extended",
    // For 1.37 only.
    "teams",
    "teams-in-racks",
];

/// The file with the records of a family.
pub(crate) fn file(family: &str, patch: &str) -> String {
    format!("scheduler-{family}-{patch}.jsonl").replace("-default", "")
}

/// The feature gates of a family, for 1.37.
pub(crate) fn gates(family: &str) -> &'static str {
    match family {
        "teams" => "GenericWorkload=true",
        "teams-in-racks" => "GenericWorkload=true,TopologyAwareWorkloadScheduling=true",
        _ => "",
    }
}

/// A case of a family by its seed.
pub(crate) fn case(family: &str, seed: u64) -> Case {
    let configuration = family.starts_with("configured").then(|| configurations::configuration(seed));
    let mut objects = match family {
        "extended" | "configured-extended" => extended::cluster(seed),
        "preempting" => preempting::cluster(seed),
        "volumes" => volumes::cluster(seed),
        "teams" => teams::cluster(seed, false),
        "teams-in-racks" => teams::cluster(seed, true),
        _ => scheduler::cluster(seed),
    };
    if configuration.is_some() && configurations::has_second(seed) {
        let pods = objects.iter_mut().filter(|object| object["kind"] == "Pod");
        for pod in pods.skip(1).step_by(2) {
            pod["spec"]["schedulerName"] = "second".into();
        }
    }
    Case { objects, configuration }
}
