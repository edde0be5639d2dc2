//! The families of random clusters for the real scheduler, each with records of its own.

use serde_json::Value;

use super::{configurations, extended, preempting, scheduler, volumes};

/// What the scheduler is given.
pub(crate) struct Case {
    pub(crate) objects: Vec<Value>,
    pub(crate) configuration: Option<Value>,
}

/// Names of the families and of their records.
pub(crate) const FAMILIES: [(&str, &str); 6] = [
    ("default", "scheduler-1.36.3.jsonl"),
    ("extended", "scheduler-extended-1.36.3.jsonl"),
    ("preempting", "scheduler-preempting-1.36.3.jsonl"),
    ("configured", "scheduler-configured-1.36.3.jsonl"),
    ("volumes", "scheduler-volumes-1.36.3.jsonl"),
    ("configured-extended", "scheduler-configured-extended-1.36.3.jsonl"),
];

/// A case of a family by its seed.
pub(crate) fn case(family: &str, seed: u64) -> Case {
    let configuration = family.starts_with("configured").then(|| configurations::configuration(seed));
    let mut objects = match family {
        "extended" | "configured-extended" => extended::cluster(seed),
        "preempting" => preempting::cluster(seed),
        "volumes" => volumes::cluster(seed),
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
