//! The controllers' part: pods from workloads, claims from templates, taints from rules.

use drayage_cluster::controllers::{apply_taint_rules, check_references, create_claims, expand_workloads};
use drayage_cluster::{Input, LoadErrors, LoadOptions, Snapshot, load};

fn loaded(text: &str) -> Snapshot {
    let input = Input::Bytes { name: "cluster.yaml".to_owned(), bytes: text.as_bytes().to_vec() };
    load(&[input], LoadOptions::default()).unwrap_or_else(|errors| panic!("{}", errors.render()))
}

fn pod_names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.pods.iter().map(|pod| pod.metadata.name.as_str()).collect()
}

const TEMPLATE: &str = "\
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: one-gpu, namespace: team}
spec:
  metadata:
    labels: {purpose: training}
  spec:
    devices:
      requests:
      - name: gpu
        exactly:
          deviceClassName: gpu.example.com
";

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: team}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        resources:
          claims: [{name: gpu}]
          limits: {cpu: 2}
      resourceClaims:
      - name: gpu
        resourceClaimTemplateName: one-gpu
";

#[test]
fn a_deployment_becomes_pods_with_claims() {
    let mut snapshot = loaded(&format!("{TEMPLATE}---\n{DEPLOYMENT}"));
    let expansions = expand_workloads(&mut snapshot);
    assert_eq!((expansions[0].wanted, expansions[0].existing, expansions[0].created), (3, 0, 3));
    assert_eq!(create_claims(&mut snapshot), []);
    assert_eq!((snapshot.pods.len(), snapshot.claims.len()), (3, 3));
    for pod in &snapshot.pods {
        assert!(pod.metadata.name.starts_with("web-"), "{}", pod.metadata.name);
        assert_eq!(pod.metadata.labels["app"], "web");
        assert_eq!(pod.spec.containers[0].resources.requests["cpu"].to_string(), "2");
        assert_eq!(pod.spec.priority, Some(0));
        let status = &pod.status.resource_claim_statuses[0];
        let name = status.resource_claim_name.as_deref().expect("the claim was made");
        assert!(name.starts_with(&format!("{}-gpu-", pod.metadata.name)), "{name}");
        let claim = snapshot.claim("team", name).expect("the claim is in the snapshot");
        assert_eq!(claim.spec.full_name(), format!("team/{name}"));
        assert_eq!(claim.metadata.labels["purpose"], "training");
        assert_eq!(claim.metadata.annotations["resource.kubernetes.io/pod-claim-name"], "gpu");
        assert_eq!(claim.metadata.controller().map(|owner| &owner.uid), Some(&pod.metadata.uid));
    }
    let again = (snapshot.pods.clone(), snapshot.claims.clone());
    assert!(expand_workloads(&mut snapshot).iter().all(|expansion| expansion.created == 0));
    assert_eq!(create_claims(&mut snapshot), []);
    assert_eq!((snapshot.pods.clone(), snapshot.claims), again, "a second run changes nothing");
}

#[test]
fn a_missing_class_of_a_template_is_shown_once_in_the_template() {
    let mut snapshot = loaded(&format!("{TEMPLATE}---\n{DEPLOYMENT}"));
    expand_workloads(&mut snapshot);
    create_claims(&mut snapshot);
    let faults = check_references(&snapshot);
    assert_eq!(faults.len(), 1);
    insta::assert_snapshot!(faults[0].render());
}

#[test]
fn a_missing_template_is_shown_in_the_workload() {
    let mut snapshot = loaded(&format!("{}---\n{DEPLOYMENT}", TEMPLATE.replace("one-gpu", "two-gpus")));
    expand_workloads(&mut snapshot);
    let faults = create_claims(&mut snapshot);
    insta::assert_snapshot!(faults[0].render());
    assert!(snapshot.claims.is_empty());
}

#[test]
fn pods_that_exist_are_not_made_again() {
    let existing = "\
apiVersion: v1
kind: Pod
metadata:
  name: web-5d9c-abcde
  namespace: team
  labels: {pod-template-hash: 5d9c}
  ownerReferences:
  - {apiVersion: apps/v1, kind: ReplicaSet, name: web-5d9c, uid: r1, controller: true}
spec: {nodeName: node-1, containers: [{name: main}]}
status: {phase: Running}
";
    let mut snapshot = loaded(&format!("{DEPLOYMENT}---\n{existing}"));
    let expansions = expand_workloads(&mut snapshot);
    assert_eq!((expansions[0].wanted, expansions[0].existing, expansions[0].created), (3, 1, 2));
}

#[test]
fn a_stateful_set_gets_the_ordinals_it_lacks() {
    let set = DEPLOYMENT
        .replace("Deployment", "StatefulSet")
        .replace("  replicas: 3\n", "  replicas: 3\n  ordinals: {start: 2}\n");
    let existing = "\
apiVersion: v1
kind: Pod
metadata:
  name: web-3
  namespace: team
  ownerReferences:
  - {apiVersion: apps/v1, kind: StatefulSet, name: web, uid: s1, controller: true}
spec: {nodeName: node-1, containers: [{name: main}]}
";
    let mut snapshot = loaded(&format!("{set}---\n{existing}"));
    expand_workloads(&mut snapshot);
    assert_eq!(pod_names(&snapshot), ["web-2", "web-3", "web-4"]);
}

#[test]
fn pods_of_a_stateful_set_get_its_volume_claims() {
    let templates = "  volumeClaimTemplates:
  - metadata: {name: data, labels: {tier: fast}}
    spec: {accessModes: [ReadWriteOnce], storageClassName: local, resources: {requests: {storage: 10Gi}}}
  - metadata: {name: logs}
    spec: {accessModes: [ReadWriteOnce]}
  template:
";
    let set = DEPLOYMENT
        .replace("Deployment", "StatefulSet")
        .replace("  replicas: 3\n", "  replicas: 2\n")
        .replace("  template:\n", templates);
    // Of a pod that went: its successor finds the same data.
    let existing = "\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-web-1, namespace: team, uid: kept}
spec: {accessModes: [ReadWriteOnce], volumeName: volume-7}
status: {phase: Bound}
";
    let mut snapshot = loaded(&format!("{set}---\n{existing}"));
    assert_eq!(snapshot.ignored, []);
    expand_workloads(&mut snapshot);
    let claims = &snapshot.persistent_volume_claims;
    let names: Vec<&str> = claims.iter().map(|claim| claim.metadata.name.as_str()).collect();
    assert_eq!(names, ["data-web-0", "data-web-1", "logs-web-0", "logs-web-1"]);
    let new = &claims[0];
    assert_eq!((new.metadata.namespace.as_str(), new.phase.as_str()), ("team", "Pending"));
    assert_eq!(new.spec.storage_class_name.as_deref(), Some("local"));
    assert_eq!(new.spec.request.as_ref().map(ToString::to_string).as_deref(), Some("10Gi"));
    let labels: Vec<(&str, &str)> =
        new.metadata.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("app", "web"), ("tier", "fast")]);
    assert_eq!((claims[1].metadata.uid.as_str(), claims[1].spec.volume_name.as_str()), ("kept", "volume-7"));
    for pod in &snapshot.pods {
        let mounted: Vec<String> =
            pod.spec.volumes.iter().map(|volume| volume.claim_name(&pod.metadata.name)).collect();
        let name = &pod.metadata.name;
        assert_eq!(mounted, [format!("data-{name}"), format!("logs-{name}")]);
    }
    let expanded = snapshot.clone();
    expand_workloads(&mut snapshot);
    assert_eq!(snapshot.persistent_volume_claims, expanded.persistent_volume_claims);
    // Nothing is told of storage, so that nothing is known of these claims either.
    let mut untold = loaded(&set);
    expand_workloads(&mut untold);
    assert_eq!((untold.pods.len(), untold.persistent_volume_claims.len()), (2, 0));
}

#[test]
fn a_daemon_set_has_a_pod_on_each_node_that_fits() {
    let set = "\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      nodeSelector: {gpu: 'true'}
      containers: [{name: main}]
";
    let node = |name: &str, gpu: &str, taint: &str| {
        format!(
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{gpu: '{gpu}'}}}}\nspec: {{taints: [{taint}]}}\n"
        )
    };
    let text = [
        set.to_owned(),
        node("a", "true", ""),
        node("b", "false", ""),
        node("c", "true", "{key: node.kubernetes.io/unschedulable, effect: NoSchedule}"),
        node("d", "true", "{key: reserved, effect: NoSchedule}"),
    ];
    let mut snapshot = loaded(&text.concat());
    expand_workloads(&mut snapshot);
    let mut targets: Vec<&str> = snapshot
        .pods
        .iter()
        .filter_map(|pod| pod.spec.node_affinity.as_ref()?.required.as_ref())
        .map(|required| required.terms[0].match_fields[0].values[0].as_str())
        .collect();
    targets.sort_unstable();
    assert_eq!(targets, ["a", "c"]);
}

#[test]
fn a_job_starts_what_it_still_needs() {
    let job = |spec: &str, status: &str| {
        let text = format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: train}}\nspec: {{{spec} template: {{spec: {{containers: [{{name: main}}]}}}}}}\nstatus: {{{status}}}\n"
        );
        let mut snapshot = loaded(&text);
        expand_workloads(&mut snapshot);
        snapshot.pods.len()
    };
    assert_eq!(job("", ""), 1);
    assert_eq!(job("parallelism: 4,", ""), 4);
    assert_eq!(job("parallelism: 4, completions: 10,", ""), 4);
    assert_eq!(job("parallelism: 4, completions: 10,", "succeeded: 8"), 2);
    assert_eq!(job("parallelism: 4, completions: 2,", ""), 2);
    assert_eq!(job("completions: 3, completionMode: Indexed, parallelism: 3,", ""), 3);
    assert_eq!(job("suspend: true,", ""), 0);
    assert_eq!(job("", "conditions: [{type: Complete, status: 'True'}]"), 0);
}

#[test]
fn taint_rules_add_to_the_devices_they_select() {
    let text = "\
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: s}
spec:
  driver: gpu.example.com
  nodeName: node-1
  pool: {name: node-1, generation: 1, resourceSliceCount: 1}
  devices: [{name: gpu-0}, {name: gpu-1}]
---
apiVersion: resource.k8s.io/v1alpha3
kind: DeviceTaintRule
metadata: {name: broken}
spec:
  deviceSelector: {driver: gpu.example.com, pool: node-1, device: gpu-1}
  taint: {key: broken, effect: NoExecute}
---
apiVersion: resource.k8s.io/v1beta2
kind: DeviceTaintRule
metadata: {name: other-driver}
spec:
  deviceSelector: {driver: nic.example.com}
  taint: {key: maintenance, effect: NoSchedule}
";
    let snapshot = loaded(text);
    let mut slices = snapshot.allocator_slices(false);
    assert!(slices[0].devices.iter().all(|device| device.taints.is_empty()));
    apply_taint_rules(&mut slices, &snapshot.taint_rules);
    let tainted: Vec<(&str, usize)> =
        slices[0].devices.iter().map(|device| (device.name.as_str(), device.taints.len())).collect();
    assert_eq!(tainted, [("gpu-0", 0), ("gpu-1", 1)]);
    assert_eq!(slices, snapshot.allocator_slices(true));
}

#[test]
fn only_the_first_of_many_missing_templates_have_a_place() {
    let pods: Vec<String> = (0..50)
        .map(|number| {
            format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: p{number}}}, \
                 spec: {{containers: [{{name: c, image: i}}], resourceClaims: [{{name: gpu, resourceClaimTemplateName: none}}]}}}}\n"
            )
        })
        .collect();
    let mut snapshot = loaded(&pods.join("---\n"));
    let faults = create_claims(&mut snapshot);
    assert_eq!(faults.len(), 50);
    let (first, rest) = faults.split_at(LoadErrors::SHOWN);
    assert!(first.iter().all(|fault| fault.place.is_some() && fault.hint.is_some()));
    assert!(rest.iter().all(|fault| fault.place.is_none() && fault.object.is_some()));
}

#[test]
fn a_template_missing_in_a_workload_is_told_once_for_all_its_pods() {
    let mut snapshot = loaded(&DEPLOYMENT.replace("replicas: 3", "replicas: 50"));
    expand_workloads(&mut snapshot);
    assert_eq!(create_claims(&mut snapshot).len(), 1);
}

#[test]
fn a_class_missing_in_a_template_is_told_once_for_all_its_claims() {
    let other = TEMPLATE.replace("one-gpu", "another").replace("gpu.example.com", "nic.example.com");
    let second = DEPLOYMENT.replace("name: web", "name: db").replace("one-gpu", "another");
    let mut snapshot = loaded(&[TEMPLATE, DEPLOYMENT, &other, &second].join("---\n"));
    expand_workloads(&mut snapshot);
    assert!(create_claims(&mut snapshot).is_empty());
    assert_eq!(snapshot.claims.len(), 6);
    assert_eq!(check_references(&snapshot).len(), 2);
}
