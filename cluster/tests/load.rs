//! Files become a snapshot, whatever their form, version and order.

use drayage_cluster::{Input, LoadOptions, Snapshot, load};

const SLICE_V1: &str = "\
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

fn bytes(name: &str, text: &str) -> Input {
    Input::Bytes { name: name.to_owned(), bytes: text.as_bytes().to_vec() }
}

fn loaded(inputs: &[Input]) -> Snapshot {
    load(inputs, LoadOptions::default()).unwrap_or_else(|errors| panic!("{}", errors.render()))
}

fn refused(text: &str) -> String {
    match load(&[bytes("cluster.yaml", text)], LoadOptions::default()) {
        Ok(snapshot) => panic!("loaded {} objects", snapshot.object_count()),
        Err(errors) => errors.render(),
    }
}

#[test]
fn a_slice_is_read_with_its_values() {
    let snapshot = loaded(&[bytes("slice.yaml", SLICE_V1)]);
    assert_eq!(snapshot.slices.len(), 1);
    let slice = &snapshot.slices[0].spec;
    assert_eq!(slice.name, "node-1-gpu");
    assert_eq!(slice.node_name.as_deref(), Some("node-1"));
    assert_eq!(slice.devices[0].capacity["memory"].value.to_string(), "80Gi");
    assert!(snapshot.ignored.is_empty() && snapshot.notices.is_empty());
}

#[test]
fn a_wrong_type_shows_line_and_field() {
    let text = SLICE_V1.replace("int: 0", "int: \"0\"");
    insta::assert_snapshot!(refused(&text));
}

#[test]
fn a_yaml_boolean_where_text_is_meant_has_a_hint() {
    let text = SLICE_V1.replace("string: A100", "string: on");
    insta::assert_snapshot!(refused(&text));
}
