//! Pod and pod template.

use std::collections::BTreeMap;

use drayage_allocator::objects::Quantity;

use super::common::{node_selector, node_selector_term};
use super::metadata::metadata;
use super::spread::{pod_affinity, spread};
use super::volume::claim_spec;
use crate::fields::{Fields, Item, object};
use crate::objects::{
    Container, ContainerClaim, ContainerPort, ExtendedResourceClaimStatus, ExtendedResourceMapping,
    NodeAffinity, Origin, Pod, PodAffinity, PodResourceClaim, PodResourceClaimStatus, PodSpec, PodStatus,
    PodTemplate, PodVolume, PodVolumeClaim, PreferredNodeTerm, ResourceRequirements, Toleration,
    WorkloadReference,
};

/// Fields of a pod's `spec` that have no part in scheduling.
const IRRELEVANT: &[&str] = &[
    "restartPolicy",
    "ephemeralContainers",
    "activeDeadlineSeconds",
    "dnsPolicy",
    "dnsConfig",
    "serviceAccountName",
    "serviceAccount",
    "automountServiceAccountToken",
    "hostPID",
    "hostIPC",
    "shareProcessNamespace",
    "securityContext",
    "imagePullSecrets",
    "hostname",
    "subdomain",
    "setHostnameAsFQDN",
    "hostnameOverride",
    "hostAliases",
    "readinessGates",
    "enableServiceLinks",
    "os",
    "hostUsers",
];

/// Fields of a container that have no part in scheduling.
const IRRELEVANT_IN_CONTAINER: &[&str] = &[
    "command",
    "args",
    "workingDir",
    "env",
    "envFrom",
    "resizePolicy",
    "restartPolicyRules",
    "volumeMounts",
    "volumeDevices",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "imagePullPolicy",
    "securityContext",
    "stdin",
    "stdinOnce",
    "tty",
];

/// `core/v1` `Pod`
pub(crate) fn pod(fields: &Fields<'_, '_>, origin: Origin) -> Pod {
    Pod {
        metadata: metadata(fields),
        origin,
        spec: fields.object("spec", spec).unwrap_or_default(),
        status: fields.object("status", status).unwrap_or_else(pending),
    }
}

/// The status of a pod that was just created.
pub(crate) fn pending() -> PodStatus {
    PodStatus { phase: "Pending".to_owned(), ..PodStatus::default() }
}

/// `PodTemplateSpec`
pub(crate) fn template(fields: &Fields<'_, '_>) -> PodTemplate {
    let metadata = metadata(fields);
    PodTemplate {
        labels: metadata.labels,
        annotations: metadata.annotations,
        spec: fields.object("spec", spec).unwrap_or_default(),
    }
}

fn spec(fields: &Fields<'_, '_>) -> PodSpec {
    fields.skip(IRRELEVANT);
    fields.not_considered(
        "runtimeClassName",
        "a runtime class can add overhead and choose nodes; not considered",
    );
    let (local_volumes, volumes) = volumes(fields);
    let host_network = fields.flag("hostNetwork");
    let affinities = fields.object("affinity", affinity).unwrap_or_default();
    let containers = |key| {
        fields.list(key, |item| object(item, |fields| container(fields, host_network))).unwrap_or_default()
    };
    let (init_containers, containers) = (containers("initContainers"), containers("containers"));
    PodSpec {
        node_name: fields.text("nodeName").filter(|name| !name.is_empty()),
        node_selector: fields.text_map("nodeSelector"),
        node_affinity: affinities.node,
        pod_affinity: affinities.pod,
        pod_anti_affinity: affinities.pod_anti,
        topology_spread: fields
            .list("topologySpreadConstraints", |item| object(item, spread))
            .unwrap_or_default(),
        tolerations: fields.list("tolerations", |item| object(item, toleration)).unwrap_or_default(),
        overhead: fields.quantity_map("overhead"),
        resources: fields.object("resources", resources).map(|mut resources| {
            default_pod_requests(&mut resources, containers.iter().chain(&init_containers));
            resources
        }),
        host_network,
        priority: fields.get("priority").and_then(|item| item.integer32()),
        priority_class_name: fields.text("priorityClassName").filter(|name| !name.is_empty()),
        preemption_policy: fields.text("preemptionPolicy"),
        scheduler_name: fields
            .text("schedulerName")
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "default-scheduler".to_owned()),
        scheduling_gates: fields
            .list("schedulingGates", |item| object(item, |gate| gate.string("name")))
            .unwrap_or_default(),
        resource_claims: fields
            .list("resourceClaims", |item| object(item, resource_claim))
            .unwrap_or_default(),
        init_containers,
        containers,
        termination_grace_period_seconds: fields.integer("terminationGracePeriodSeconds"),
        local_volumes,
        volumes,
        pod_group: fields
            .object("schedulingGroup", |group| group.text("podGroupName"))
            .flatten()
            .filter(|name| !name.is_empty()),
        workload_ref: fields.object("workloadRef", |reference| WorkloadReference {
            workload: reference.string("name"),
            group: reference.string("podGroup"),
            replica: reference.text("podGroupReplicaKey").unwrap_or_default(),
        }),
    }
}

/// Volumes that lose their data with the node, by name, and those that claims provide.
fn volumes(fields: &Fields<'_, '_>) -> (Vec<String>, Vec<PodVolume>) {
    let (mut local, mut claimed) = (Vec::new(), Vec::new());
    let Some(volumes) = fields.get("volumes") else { return (local, claimed) };
    for volume in volumes.items() {
        if let Some(volume) = volume.fields() {
            for key in ["gcePersistentDisk", "awsElasticBlockStore", "iscsi", "rbd"] {
                volume.not_considered(key, "whether a disk can be used by several pods is not considered");
            }
            let name = volume.get("persistentVolumeClaim").and_then(Item::fields);
            claimed.extend(
                name.map(|claim| PodVolume { claim: PodVolumeClaim::Named(claim.string("claimName")) }),
            );
            let template = volume.get("ephemeral").and_then(Item::fields);
            let spec = template.map(|template| {
                let spec = template.object("volumeClaimTemplate", |template| {
                    template.skip(&["metadata"]);
                    template.object("spec", claim_spec)
                });
                Box::new(spec.flatten().unwrap_or_default())
            });
            claimed.extend(
                spec.map(|spec| PodVolume { claim: PodVolumeClaim::Ephemeral(volume.string("name"), spec) }),
            );
            let in_memory = || {
                let directory = volume.get("emptyDir").and_then(Item::fields);
                directory.is_some_and(|directory| directory.string("medium") == "Memory")
            };
            if volume.has("hostPath") || (volume.has("emptyDir") && !in_memory()) {
                local.push(volume.string("name"));
            }
        }
    }
    (local, claimed)
}

/// The parts of `affinity`.
#[derive(Default)]
struct Affinities {
    node: Option<NodeAffinity>,
    pod: PodAffinity,
    pod_anti: PodAffinity,
}

fn affinity(fields: &Fields<'_, '_>) -> Affinities {
    Affinities {
        node: node_affinity(fields, "nodeAffinity"),
        pod: fields.object("podAffinity", pod_affinity).unwrap_or_default(),
        pod_anti: fields.object("podAntiAffinity", pod_affinity).unwrap_or_default(),
    }
}

/// `NodeAffinity`, in the field `key`.
pub(crate) fn node_affinity(fields: &Fields<'_, '_>, key: &'static str) -> Option<NodeAffinity> {
    fields.object(key, |fields| NodeAffinity {
        required: fields.object("requiredDuringSchedulingIgnoredDuringExecution", node_selector),
        preferred: fields
            .list("preferredDuringSchedulingIgnoredDuringExecution", |item| {
                object(item, |term| PreferredNodeTerm {
                    weight: term.integer("weight").unwrap_or_default(),
                    preference: term.object("preference", node_selector_term).unwrap_or_default(),
                })
            })
            .unwrap_or_default(),
    })
}

fn toleration(fields: &Fields<'_, '_>) -> Toleration {
    Toleration {
        key: fields.string("key"),
        operator: fields
            .text("operator")
            .filter(|operator| !operator.is_empty())
            .unwrap_or_else(|| "Equal".to_owned()),
        value: fields.string("value"),
        effect: fields.string("effect"),
        toleration_seconds: fields.integer("tolerationSeconds"),
    }
}

fn container(fields: &Fields<'_, '_>, host_network: bool) -> Container {
    fields.skip(IRRELEVANT_IN_CONTAINER);
    let (mut resources, claims) = fields
        .object("resources", |fields| (resources(fields), container_claims(fields)))
        .unwrap_or_default();
    for (name, limit) in &resources.limits {
        resources.requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
    Container {
        name: fields.string("name"),
        image: fields.string("image"),
        resources,
        ports: fields
            .list("ports", |item| object(item, |fields| port(fields, host_network)).flatten())
            .unwrap_or_default(),
        restarts_always: fields.text("restartPolicy").as_deref() == Some("Always"),
        claims,
    }
}

fn container_claims(fields: &Fields<'_, '_>) -> Vec<ContainerClaim> {
    let claim = |fields: &Fields<'_, '_>| ContainerClaim {
        name: fields.string("name"),
        request: fields.text("request").filter(|request| !request.is_empty()),
    };
    fields.list("claims", |item| object(item, claim)).unwrap_or_default()
}

fn resources(fields: &Fields<'_, '_>) -> ResourceRequirements {
    fields.skip(&["claims"]);
    ResourceRequirements { requests: fields.quantity_map("requests"), limits: fields.quantity_map("limits") }
}

/// The API server gives a pod a request equal to its limit for a resource that no container asks for. What
/// containers ask for together counts without being written down.
fn default_pod_requests<'c>(pod: &mut ResourceRequirements, containers: impl Iterator<Item = &'c Container>) {
    let asked: BTreeMap<&String, &Quantity> =
        containers.flat_map(|container| &container.resources.requests).collect();
    for (name, limit) in &pod.limits {
        let supported = matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-");
        if supported && !asked.contains_key(name) {
            pod.requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
}

/// Only ports of the node matter.
fn port(fields: &Fields<'_, '_>, host_network: bool) -> Option<ContainerPort> {
    fields.skip(&["name"]);
    let container_port = fields.get("containerPort").and_then(port_number).unwrap_or_default();
    let host_port = fields.get("hostPort").and_then(port_number).unwrap_or_default();
    let host_port = if host_port == 0 && host_network { container_port } else { host_port };
    let host_ip = fields.string("hostIP");
    let protocol = fields.text("protocol").unwrap_or_else(|| "TCP".to_owned());
    (host_port > 0).then_some(ContainerPort { host_port, host_ip, protocol })
}

fn port_number(item: Item<'_, '_>) -> Option<u16> {
    let number = item.integer()?;
    let port = u16::try_from(number).ok();
    if port.is_none() {
        item.wrong(format!("{number} is not a port"), Some("ports are numbers from 1 to 65535"));
    }
    port
}

fn resource_claim(fields: &Fields<'_, '_>) -> PodResourceClaim {
    let source = fields.get("source").and_then(Item::fields);
    let name_in = |key| fields.text(key).or_else(|| source.as_ref().and_then(|source| source.text(key)));
    PodResourceClaim {
        name: fields.string("name"),
        resource_claim_name: name_in("resourceClaimName"),
        resource_claim_template_name: name_in("resourceClaimTemplateName"),
    }
}

fn status(fields: &Fields<'_, '_>) -> PodStatus {
    // what the kubelet and controllers report has no part in scheduling
    fields.skip_all();
    PodStatus {
        phase: fields.text("phase").unwrap_or_else(|| "Pending".to_owned()),
        nominated_node_name: fields.text("nominatedNodeName").filter(|name| !name.is_empty()),
        start_time: fields.text("startTime"),
        preempted_by_scheduler: fields
            .list("conditions", |item| object(item, preempted_by_scheduler))
            .and_then(|conditions| conditions.into_iter().flatten().next())
            .unwrap_or(false),
        resource_claim_statuses: fields
            .list("resourceClaimStatuses", |item| {
                object(item, |fields| PodResourceClaimStatus {
                    name: fields.string("name"),
                    resource_claim_name: fields.text("resourceClaimName"),
                })
            })
            .unwrap_or_default(),
        extended_resource_claim_status: fields
            .object("extendedResourceClaimStatus", extended_resource_claim_status),
    }
}

/// For the condition `DisruptionTarget`, whether it says that the scheduler preempts the pod.
fn preempted_by_scheduler(condition: &Fields<'_, '_>) -> Option<bool> {
    condition.skip_all();
    let says = |field: &'static str, value: &str| condition.text(field).is_some_and(|text| text == value);
    says("type", "DisruptionTarget")
        .then(|| says("status", "True") && says("reason", "PreemptionByScheduler"))
}

fn extended_resource_claim_status(fields: &Fields<'_, '_>) -> ExtendedResourceClaimStatus {
    ExtendedResourceClaimStatus {
        resource_claim_name: fields.string("resourceClaimName"),
        request_mappings: fields
            .list("requestMappings", |item| {
                object(item, |fields| ExtendedResourceMapping {
                    container_name: fields.string("containerName"),
                    resource_name: fields.string("resourceName"),
                    request_name: fields.string("requestName"),
                })
            })
            .unwrap_or_default(),
    }
}
