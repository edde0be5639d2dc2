//! Reading and writing of the types.

use drayage_crds::{CountBound, NodeGroup, Scenario};

const GROUP: &str = r"
apiVersion: drayage.dev/v1alpha1
kind: NodeGroup
metadata: {name: h100-8, uid: from-a-server}
spec:
  maxSize: 4
  pricePerHour: 98.32
  members: {pool: h100}
  template:
    node: {metadata: {labels: {pool: h100}}, status: {allocatable: {cpu: 8, pods: 110}}}
    resourceSlices:
    - {spec: {driver: gpu.example.com}}
  attributeBindings:
  - {attribute: clique, value: 'clique-{domain}', nodesPerDomain: 2}
";

#[test]
fn a_node_group_survives_writing_and_reading() {
    let group: NodeGroup = serde_saphyr::from_str(GROUP).unwrap();
    assert_eq!((group.spec.min_size, group.spec.max_size), (0, 4));
    assert_eq!(group.spec.template.resource_slices.len(), 1);
    assert_eq!(group.spec.attribute_bindings[0].nodes_per_domain, 2);
    let written = serde_saphyr::to_string(&group).unwrap();
    assert_eq!(serde_saphyr::from_str::<NodeGroup>(&written).unwrap(), group);
}

#[test]
fn a_misspelt_field_is_an_error_with_its_name() {
    let error = serde_saphyr::from_str::<NodeGroup>(&GROUP.replace("maxSize", "maxsize")).unwrap_err();
    assert!(error.to_string().contains("maxsize"), "{error}");
}

#[test]
fn a_scenario_survives_writing_and_reading() {
    let text = r"
apiVersion: drayage.dev/v1alpha1
kind: Scenario
metadata: {name: rack-1-fails}
spec:
  kubernetes: '1.36'
  input: {files: [cluster.yaml]}
  steps:
  - {name: rack 1 fails, fail: {labels: {rack: r1}}, expect: [{evictedPods: {max: 4}}]}
  - {scaleUp: {expander: least-waste}}
  expect:
  - {pod: ml/train-0, running: true}
  - {pendingPods: {max: 0}}
";
    let scenario: Scenario = serde_saphyr::from_str(text).unwrap();
    assert_eq!(scenario.spec.steps.len(), 2);
    assert!(scenario.spec.steps[1].scale_up.is_some());
    let written = serde_saphyr::to_string(&scenario).unwrap();
    assert_eq!(serde_saphyr::from_str::<Scenario>(&written).unwrap(), scenario);
}

#[test]
fn bounds_are_inclusive() {
    let bound = CountBound { min: Some(2), max: Some(3) };
    assert_eq!([1, 2, 3, 4].map(|count| bound.holds(count)), [false, true, true, false]);
    assert!(CountBound::default().holds(0));
}
