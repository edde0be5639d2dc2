//! What Drayage says about the same.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, Snapshot, load};
use drayage_simulator::gates::FeatureGates;
use drayage_simulator::report::PodOutcome;
use drayage_simulator::schedule::{ClusterState, Options, Prepared};
use serde_json::{Value, json};

use crate::live::Decision;

/// Release and feature gates of the cluster, from the environment.
pub(crate) fn options() -> Result<Options, String> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let release = match variable("DRAYAGE_CLUSTER_RELEASE").as_str() {
        "1.36" => Release::V1_36,
        "1.37" => Release::V1_37,
        other => return Err(format!("unknown release `{other}`")),
    };
    let gates = FeatureGates::parse(release, &variable("DRAYAGE_CLUSTER_GATES"));
    let gates = gates.map_err(|error| error.to_string())?;
    Ok(Options { explain: false, gates, ..Options::for_release(release) })
}

/// Reads objects as the command does.
pub(crate) fn read(objects: &[Value]) -> Result<Snapshot, String> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let input = Input::Bytes { name: "objects.json".to_owned(), bytes: list.into_bytes() };
    load(&[input], LoadOptions::default()).map_err(|errors| errors.to_string())
}

/// What differs between a decision and ours, in words.
pub(crate) fn difference(decision: &Decision, options: &Options) -> Option<String> {
    let snapshot = match read(&decision.objects) {
        Ok(snapshot) => snapshot,
        Err(error) => return Some(format!("the objects cannot be read: {error}")),
    };
    let mut state = ClusterState::new(&Prepared::new(snapshot), options);
    let Some(id) = state.find_pod(&decision.pod) else {
        return Some("the pod is not among the objects".to_owned());
    };
    let wanted = decision.node.as_deref().and_then(|node| state.find_node(node));
    state.prefer(wanted);
    let attempt = match state.attempt(id, &AtomicBool::new(false)) {
        Ok(attempt) => attempt,
        Err(error) => return Some(error.to_string()),
    };
    let name = |at: usize| state.node(at).map_or("none", |node| node.metadata.name.as_str());
    let best: Vec<&str> = attempt.best.iter().map(|&at| name(at)).collect();
    let message = attempt.message.as_deref();
    let Some(node) = &decision.node else {
        if attempt.outcome != PodOutcome::Scheduled && message == decision.message.as_deref() {
            return None;
        }
        let real = decision.message.as_deref().unwrap_or_default();
        return Some(format!(
            "refused with `{real}`; ours: best {best:?}, {}",
            message.unwrap_or("no message")
        ));
    };
    if wanted.is_none() || !attempt.best.iter().any(|&at| Some(at) == wanted) {
        return Some(format!("got node `{node}`; ours: best {best:?}, {}", message.unwrap_or("no message")));
    }
    let devices: BTreeMap<String, Vec<String>> = attempt
        .claims
        .iter()
        .filter_map(|used| {
            let entry = used.pod_claim.clone().unwrap_or_else(|| "extended resources".to_owned());
            let results = &state.claim(used.claim)?.allocation?.results;
            let line = |result: &drayage_allocator::objects::DeviceRequestAllocationResult| {
                format!("{} {}/{}/{}", result.request, result.driver, result.pool, result.device)
            };
            Some((entry, results.iter().map(line).collect()))
        })
        .collect();
    (devices != decision.claims).then(|| format!("got {:?}; ours: {devices:?}", decision.claims))
}
