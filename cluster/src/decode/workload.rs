//! Deployment, ReplicaSet, StatefulSet, DaemonSet and Job.

use super::disruption::label_selector;
use super::metadata::metadata;
use super::pod::template;
use super::volume::persistent_volume_claim;
use crate::fields::{Fields, Item, object};
use crate::objects::{Origin, Workload, WorkloadKind, WorkloadSize};

/// A workload of the given kind.
pub(crate) fn workload(fields: &Fields<'_, '_>, origin: Origin, kind: WorkloadKind) -> Workload {
    let mut workload = Workload { metadata: metadata(fields), origin, kind, ..Workload::default() };
    let progress = job_progress(fields);
    fields.skip(&["status"]);
    fields.object("spec", |spec| {
        // how pods are replaced, not how many there are or what they look like
        spec.skip(&[
            "strategy",
            "updateStrategy",
            "minReadySeconds",
            "revisionHistoryLimit",
            "paused",
            "progressDeadlineSeconds",
            "serviceName",
            "podManagementPolicy",
            "persistentVolumeClaimRetentionPolicy",
            "activeDeadlineSeconds",
            "podFailurePolicy",
            "successPolicy",
            "backoffLimit",
            "backoffLimitPerIndex",
            "maxFailedIndexes",
            "manualSelector",
            "ttlSecondsAfterFinished",
            "podReplacementPolicy",
            "managedBy",
        ]);
        if kind == WorkloadKind::StatefulSet {
            let origin = workload.origin.clone();
            let template =
                |item: Item<'_, '_>| object(item, |fields| persistent_volume_claim(fields, origin.clone()));
            workload.volume_claim_templates = spec.list("volumeClaimTemplates", template).unwrap_or_default();
        }
        spec.not_considered("scheduling", "groups of pods that start together are not considered yet");
        workload.selector = spec.object("selector", label_selector);
        workload.template = spec.object("template", template).unwrap_or_default();
        workload.size = match kind {
            WorkloadKind::DaemonSet => WorkloadSize::OnePerNode,
            WorkloadKind::Job => completions(spec, &progress),
            _ => WorkloadSize::Replicas {
                count: spec.get("replicas").and_then(count).unwrap_or(1),
                first: spec
                    .object("ordinals", |ordinals| ordinals.get("start").and_then(count))
                    .flatten()
                    .unwrap_or(0),
            },
        };
    });
    workload
}

fn count(item: Item<'_, '_>) -> Option<u32> {
    let number = item.integer()?;
    let count = u32::try_from(number).ok().filter(|count| i32::try_from(*count).is_ok());
    if count.is_none() {
        item.wrong(format!("{number} is no number of pods"), Some("use 0 or a positive number"));
    }
    count
}

/// What a Job has behind it.
#[derive(Default)]
struct Progress {
    succeeded: u32,
    finished: bool,
}

fn job_progress(fields: &Fields<'_, '_>) -> Progress {
    let Some(status) = fields.get("status").and_then(Item::fields) else { return Progress::default() };
    let finished = status
        .list("conditions", |item| {
            let condition = item.fields()?;
            let ended = matches!(condition.string("type").as_str(), "Complete" | "Failed");
            (ended && condition.string("status") == "True").then_some(())
        })
        .is_some_and(|ended| !ended.is_empty());
    Progress { succeeded: status.get("succeeded").and_then(count).unwrap_or(0), finished }
}

/// As many pods as may run at once, but no more than completions are still needed. Without `completions` a Job
/// with `parallelism` is a work queue whose pods all start, and one without either wants one pod.
fn completions(spec: &Fields<'_, '_>, progress: &Progress) -> WorkloadSize {
    let completions = spec.get("completions").and_then(count);
    let parallelism = spec.get("parallelism").and_then(count).unwrap_or(1);
    let needed = match completions {
        Some(completions) => completions.saturating_sub(progress.succeeded),
        None if progress.succeeded > 0 => 0,
        None => parallelism,
    };
    WorkloadSize::Completions {
        pods: if progress.finished { 0 } else { parallelism.min(needed) },
        indexed: spec.text("completionMode").as_deref() == Some("Indexed"),
        suspended: spec.flag("suspend"),
    }
}
