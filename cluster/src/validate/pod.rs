//! Pods, workloads and nodes.

use super::{Issue, Issues};
use crate::objects::{Node, Pod, PodSpec, Workload, WorkloadSize};
use crate::path::FieldPath;

/// The most pods that one workload may ask for. Each becomes a pod in memory, and Kubernetes is made for
/// clusters of up to 150,000.
const WORKLOAD_PODS: u32 = 200_000;

/// `core/v1` `Node`
pub(crate) fn node(node: &Node) -> Vec<Issue> {
    let mut issues = Issues::default();
    issues.metadata(&node.metadata);
    for (index, taint) in node.taints.iter().enumerate() {
        let at = || FieldPath::fields("spec.taints").index(index);
        if taint.key.is_empty() {
            issues.error(at().field("key"), "a taint needs a key");
        }
        issues
            .one_of(&taint.effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"], || at().field("effect"));
    }
    issues.list
}

/// `core/v1` `Pod`
pub(crate) fn pod(pod: &Pod) -> Vec<Issue> {
    let mut issues = Issues::default();
    issues.metadata(&pod.metadata);
    spec(&mut issues, &pod.spec, "spec");
    issues.list
}

/// A workload and its pod template.
pub(crate) fn workload(workload: &Workload) -> Vec<Issue> {
    let mut issues = Issues::default();
    issues.metadata(&workload.metadata);
    let (pods, field) = match workload.size {
        WorkloadSize::Replicas { count, .. } => (count, "spec.replicas"),
        WorkloadSize::Completions { pods, .. } => (pods, "spec.parallelism"),
        WorkloadSize::OnePerNode => (0, "spec"),
    };
    if pods > WORKLOAD_PODS {
        issues.error_with_hint(
            FieldPath::fields(field),
            format!("{pods} pods, at most {WORKLOAD_PODS} of one workload can be simulated"),
            "Kubernetes is made for clusters of up to 150000 pods",
        );
    }
    spec(&mut issues, &workload.template.spec, "spec.template.spec");
    issues.list
}

fn spec(issues: &mut Issues, spec: &PodSpec, prefix: &str) {
    let at = |name: &str| FieldPath::fields(prefix).field(name);
    if spec.containers.is_empty() {
        issues.error(at("containers"), "a pod needs at least one container");
    }
    claims(issues, spec, &at);
    if let Some(affinity) = &spec.node_affinity {
        let node_affinity = || at("affinity").field("nodeAffinity");
        if let Some(required) = &affinity.required {
            issues.node_selector(required, || {
                node_affinity().field("requiredDuringSchedulingIgnoredDuringExecution")
            });
        }
        for (index, preferred) in affinity.preferred.iter().enumerate() {
            let term =
                || node_affinity().field("preferredDuringSchedulingIgnoredDuringExecution").index(index);
            if !(1..=100).contains(&preferred.weight) {
                issues.error(term().field("weight"), "a weight is a number from 1 to 100");
            }
            issues.node_selector_term(&preferred.preference, || term().field("preference"));
        }
    }
    for (index, toleration) in spec.tolerations.iter().enumerate() {
        let toleration_at = || at("tolerations").index(index);
        issues.one_of(&toleration.operator, &["Equal", "Exists", "Lt", "Gt"], || {
            toleration_at().field("operator")
        });
        issues.one_of(&toleration.effect, &["", "NoSchedule", "PreferNoSchedule", "NoExecute"], || {
            toleration_at().field("effect")
        });
        if toleration.key.is_empty() && toleration.operator != "Exists" {
            issues.error_with_hint(
                toleration_at().field("operator"),
                "a toleration without key needs operator `Exists`",
                "name a key, or use `operator: Exists` to tolerate every key",
            );
        }
    }
}

fn claims(issues: &mut Issues, spec: &PodSpec, at: &impl Fn(&str) -> FieldPath) {
    let names = spec.resource_claims.iter().map(|claim| claim.name.as_str());
    issues.unique(names, |index| at("resourceClaims").index(index).field("name"));
    for (index, claim) in spec.resource_claims.iter().enumerate() {
        let entry = || at("resourceClaims").index(index);
        issues.label(&claim.name, || entry().field("name"));
        match (&claim.resource_claim_name, &claim.resource_claim_template_name) {
            (Some(name), None) => issues.subdomain(name, || entry().field("resourceClaimName")),
            (None, Some(name)) => issues.subdomain(name, || entry().field("resourceClaimTemplateName")),
            (None, None) => {
                issues.error(entry(), "an entry needs `resourceClaimName` or `resourceClaimTemplateName`");
            }
            (Some(_), Some(_)) => issues.error(
                entry(),
                "an entry has one of `resourceClaimName` and `resourceClaimTemplateName`, this one has both",
            ),
        }
    }
}
