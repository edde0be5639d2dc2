//! Files become a snapshot, whatever their form, version and order.

mod common;

use std::fs;

use common::{content, input, loaded};
use drayage_cluster::objects::PodNumber;
use drayage_cluster::{FieldPath, Input, LoadOptions, load};

const SLICE: &str = "\
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata:
  name: node-1-gpu
spec:
  driver: gpu.example.com
  pool:
    name: node-1
    generation: 1
    resourceSliceCount: 1
  nodeName: node-1
  devices:
  - name: gpu-0
    attributes:
      model:
        string: A100
      index:
        int: 0
    capacity:
      memory:
        value: 80Gi
";

const CLASS_JSON: &str = r#"{"apiVersion":"resource.k8s.io/v1","kind":"DeviceClass","metadata":{"name":"gpu"},
 "spec":{"selectors":[{"cel":{"expression":"device.driver == \"gpu.example.com\""}}]}}"#;

const NODE_JSON: &str = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-1"},
 "status":{"capacity":{"cpu":"8"},"conditions":[{"type":"Ready","status":"True"}]}}"#;

#[test]
fn a_slice_is_read_with_its_values() {
    let snapshot = loaded(&[input("slice.yaml", SLICE)]);
    assert_eq!(snapshot.slices.len(), 1);
    let slice = &snapshot.slices[0].spec;
    assert_eq!(slice.name, "node-1-gpu");
    assert_eq!(slice.node_name.as_deref(), Some("node-1"));
    assert_eq!(slice.devices[0].capacity["memory"].value.to_string(), "80Gi");
    assert!(snapshot.ignored.is_empty() && snapshot.notices.is_empty());
}

#[test]
fn every_form_of_a_list_means_the_same() {
    let list =
        format!(r#"{{"apiVersion":"v1","items":[{CLASS_JSON},{NODE_JSON}],"kind":"List","metadata":{{}}}}"#);
    let without_kind = |json: &str| json.replacen(r#""apiVersion":"v1","kind":"Node","#, "", 1);
    let forms = [
        ("list.json", list.clone()),
        ("list.yaml", format!("---\n{list}")),
        ("lines.jsonl", format!("{}\n{}\n", CLASS_JSON.replace('\n', ""), NODE_JSON.replace('\n', ""))),
        ("joined.json", format!("{CLASS_JSON}{NODE_JSON}")),
        ("documents.yaml", format!("%YAML 1.1\n---\n# a class\n{CLASS_JSON}\n---\n---\n{NODE_JSON}\n...\n")),
        (
            "typed.json",
            format!(
                r#"{{"kind":"NodeList","apiVersion":"v1","items":[{}]}}{CLASS_JSON}"#,
                without_kind(NODE_JSON)
            ),
        ),
        (
            "typed.yaml",
            format!(
                "kind: NodeList\napiVersion: v1\nitems:\n- {}\n---\n{CLASS_JSON}",
                without_kind(NODE_JSON).replace('\n', "")
            ),
        ),
        (
            "windows.yaml",
            format!("\u{feff}{}", format!("---\n{CLASS_JSON}\n---\n{NODE_JSON}").replace('\n', "\r\n")),
        ),
    ];
    let expected = content(loaded(&[input("a.json", CLASS_JSON), input("b.json", NODE_JSON)]));
    for (name, text) in forms {
        assert_eq!(content(loaded(&[input(name, &text)])), expected, "{name}");
    }
}

#[test]
fn utf_16_with_a_mark_is_read() {
    let mut bytes = vec![0xFF, 0xFE];
    bytes.extend(NODE_JSON.encode_utf16().flat_map(u16::to_le_bytes));
    let snapshot = loaded(&[Input::Bytes { name: "node.json".to_owned(), bytes }]);
    assert_eq!(snapshot.nodes[0].ready, Some(true));
    assert_eq!(snapshot.nodes[0].allocatable["cpu"].to_string(), "8");
}

#[test]
fn folders_are_read_whole_and_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    fs::create_dir(path.join("sub")).expect("a folder");
    fs::write(path.join("sub/node.json"), NODE_JSON).expect("a file");
    fs::write(path.join("a.yaml"), SLICE).expect("a file");
    fs::write(path.join("b.YML"), format!("---\n{CLASS_JSON}")).expect("a file");
    fs::write(path.join("README.md"), "# not read").expect("a file");
    let snapshot = loaded(&[Input::from_argument(path), Input::from_argument(path.join("a.yaml"))]);
    assert_eq!((snapshot.nodes.len(), snapshot.slices.len(), snapshot.classes.len()), (1, 1, 1));
    assert_eq!(snapshot.ignored, [], "the README is passed over");
    assert_eq!(snapshot.notices.len(), 1, "the file given twice is read once");
}

#[cfg(unix)]
#[test]
fn a_loop_of_links_ends() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("sub")).expect("a folder");
    fs::write(folder.path().join("sub/node.json"), NODE_JSON).expect("a file");
    std::os::unix::fs::symlink(folder.path(), folder.path().join("sub/loop")).expect("a link");
    let snapshot = loaded(&[Input::from_argument(folder.path())]);
    assert_eq!(snapshot.nodes.len(), 1);
    assert_eq!(snapshot.notices.len(), 1);
}

#[test]
fn older_versions_mean_the_same() {
    let current = "\
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: c}
spec:
  devices:
    requests:
    - name: one
      exactly: {deviceClassName: gpu, selectors: [{cel: {expression: 'true'}}], adminAccess: true}
    - name: two
      firstAvailable: [{name: big, deviceClassName: large, count: 2}]
---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: s}
spec:
  driver: d.example.com
  nodeName: node-1
  pool: {name: node-1, generation: 1, resourceSliceCount: 1}
  devices:
  - name: gpu
    attributes: {a: {bool: true}}
    capacity: {memory: {value: 80Gi}}
";
    let beta1 = current
        .replace("resource.k8s.io/v1", "resource.k8s.io/v1beta1")
        .replace(
            "exactly: {deviceClassName: gpu, selectors: [{cel: {expression: 'true'}}], adminAccess: true}",
            "deviceClassName: gpu\n      selectors: [{cel: {expression: 'true'}}]\n      adminAccess: true",
        )
        .replace("    attributes:", "    basic:\n     attributes:")
        .replace("    capacity:", "     capacity:");
    let alpha3 = beta1.replace("v1beta1", "v1alpha3").replace("{value: 80Gi}", "80Gi");
    let beta2 = current.replace("resource.k8s.io/v1", "resource.k8s.io/v1beta2");
    let expected = content(loaded(&[input("v1.yaml", current)]));
    for (name, text) in [("v1beta2.yaml", beta2), ("v1beta1.yaml", beta1), ("v1alpha3.yaml", alpha3)] {
        let snapshot = loaded(&[input(name, &text)]);
        assert!(snapshot.ignored.is_empty(), "{name}: {:?}", snapshot.ignored);
        assert_eq!(content(snapshot), expected, "{name}");
    }
}

#[test]
fn the_place_of_a_field_is_found_in_older_versions() {
    let text = "\
apiVersion: resource.k8s.io/v1beta1
kind: ResourceClaim
metadata: {name: c}
spec:
  devices:
    requests:
    - name: one
      deviceClassName: gpu
      selectors:
      - cel:
          expression: |
            device.driver == 'gpu' &&
              device.attributes['x'].oops
";
    let snapshot = loaded(&[input("claim.yaml", text)]);
    let claim = &snapshot.claims[0];
    let request = FieldPath::fields("spec.devices.requests").index(0).field("exactly");
    let place = snapshot.sources.place(&claim.origin, &request.clone().field("deviceClassName"));
    assert_eq!(place.map(|place| place.to_string()).as_deref(), Some("claim.yaml:8:24"));
    let expression = request.field("selectors").index(0).field("cel").field("expression");
    let value = claim.spec.requests[0].exactly.as_ref().and_then(|exactly| exactly.selectors[0].cel.clone());
    let value = value.expect("the expression");
    let byte = value.find("oops").expect("the word");
    let place = snapshot.sources.place_in_text(&claim.origin, &expression, &value, byte);
    assert_eq!(place.map(|place| place.to_string()).as_deref(), Some("claim.yaml:13:38"));
}

#[test]
fn anchors_aliases_and_merges_work() {
    let text = "\
apiVersion: v1
kind: Pod
metadata: {name: p, labels: &labels {app: a, tier: x}}
spec:
  nodeSelector: *labels
  containers:
  - &main {name: main, resources: {requests: {cpu: 1}}}
  - <<: *main
    name: second
";
    let snapshot = loaded(&[input("pod.yaml", text)]);
    let spec = &snapshot.pods[0].spec;
    assert_eq!(spec.node_selector["app"], "a");
    assert_eq!(spec.containers[1].name, "second");
    assert_eq!(spec.containers[1].resources.requests["cpu"].to_string(), "1");
}

#[test]
fn what_has_no_effect_is_listed_and_strict_refuses_it() {
    let text = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
---
apiVersion: v1
kind: Pod
metadata: {name: p, lables: {}}
spec:
  topologySpreadConstraints: [{maxSkew: 1}]
  affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone}]}}
  containers: [{name: main, image: x, resourcs: {}}, {name: other, resourcs: {}}]
";
    let snapshot = loaded(&[input("mixed.yaml", text)]);
    let lines: Vec<String> = snapshot
        .ignored
        .iter()
        .map(|item| format!("{}: {item}", item.place.as_ref().map(ToString::to_string).unwrap_or_default()))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
    let strict = LoadOptions { strict: true, ..LoadOptions::default() };
    let errors = load(&[input("mixed.yaml", text)], strict).expect_err("strict refuses");
    assert_eq!(errors.faults.len(), snapshot.ignored.len());
}

#[test]
fn pods_get_the_defaults_of_the_api_server() {
    let text = "\
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 1000
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: usual}
value: 7
globalDefault: true
---
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  priorityClassName: high
  hostNetwork: true
  containers: [{name: main, ports: [{containerPort: 80}], resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: team}
spec: {containers: [{name: main}], tolerations: [{key: k}]}
";
    let snapshot = loaded(&[input("pods.yaml", text)]);
    let first = &snapshot.pods[0];
    assert_eq!((first.metadata.namespace.as_str(), first.spec.priority), ("default", Some(1000)));
    let requests = &first.spec.containers[0].resources.requests;
    assert_eq!((requests["cpu"].to_string(), requests["memory"].to_string()), ("500m".into(), "1Gi".into()));
    assert_eq!(first.spec.containers[0].ports[0].host_port, 80);
    let second = &snapshot.pods[1];
    assert_eq!((second.metadata.uid.as_str(), second.spec.priority), ("Pod:team/b", Some(7)));
    assert_eq!(second.spec.tolerations[0].operator, "Equal");
    assert_eq!(second.spec.scheduler_name, "default-scheduler");
}

#[test]
fn disruption_budgets_are_read_with_their_status() {
    let text = r"
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: a, namespace: ml}
spec:
  minAvailable: 50%
  selector: {matchLabels: {app: a}, matchExpressions: [{key: tier, operator: Exists}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: b, namespace: ml}
spec: {maxUnavailable: 1, selector: {}}
status: {disruptionsAllowed: 3, currentHealthy: 4}
";
    let snapshot = loaded(&[input("a.yaml", text)]);
    let [first, second] = snapshot.disruption_budgets.as_slice() else { panic!("two budgets") };
    assert_eq!(first.min_available, Some(PodNumber::Percent(50)));
    let labels = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    assert!(first.covers("ml", &labels(&[("app", "a"), ("tier", "x")])));
    assert!(!first.covers("ml", &labels(&[("app", "a")])));
    assert!(!first.covers("other", &labels(&[("app", "a"), ("tier", "x")])));
    assert!(second.covers("ml", &labels(&[])));
    assert_eq!(second.allowed(9, 9), 3);
}

#[test]
fn local_volumes_of_pods_are_kept_by_name() {
    let text = r"
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  terminationGracePeriodSeconds: 45
  containers: [{name: c}]
  volumes:
  - {name: disk, hostPath: {path: /data}}
  - {name: scratch, emptyDir: {}}
  - {name: shm, emptyDir: {medium: Memory}}
  - {name: config, configMap: {name: c}}
";
    let snapshot = loaded(&[input("a.yaml", text)]);
    let spec = &snapshot.pods[0].spec;
    assert_eq!(spec.local_volumes, ["disk", "scratch"]);
    assert_eq!(spec.termination_grace_period_seconds, Some(45));
}
