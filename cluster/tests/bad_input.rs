//! Bad input gets a clear error with its place, and never a panic.

#![expect(
    clippy::format_collect,
    clippy::format_push_string,
    reason = "a test favours brevity over one allocation"
)]

mod common;

use std::fs;

use common::{input, refused};
use drayage_cluster::{Input, LoadErrors, LoadOptions, load};

fn claim(rest: &str) -> String {
    format!(
        "apiVersion: resource.k8s.io/v1\nkind: ResourceClaim\nmetadata: {{name: c}}\nspec:\n  devices:\n{rest}"
    )
}

/// Name and text of inputs that are wrong in one way each.
fn wrong_inputs() -> Vec<(&'static str, String)> {
    let request = "    requests:\n    - name: gpu\n      exactly: {deviceClassName: gpu}\n";
    let slice = |rest: &str| {
        format!(
            "apiVersion: resource.k8s.io/v1\nkind: ResourceSlice\nmetadata: {{name: s}}\nspec:\n  driver: d.example.com\n  pool: {{name: node-1, generation: 1, resourceSliceCount: 1}}\n{rest}"
        )
    };
    vec![
        ("truncated.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p\n".to_owned()),
        ("truncated.json", "{\"apiVersion\": \"v1\", \"kind\": \"Pod\",\n \"metadata\": {\"name\": \"p\"".to_owned()),
        ("tab.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n\tname: p\n".to_owned()),
        ("no-kind.yaml", "apiVersion: v1\nmetadata: {name: p}\n".to_owned()),
        ("no-version.yaml", "kind: Pod\nmetadata: {name: p}\n".to_owned()),
        ("version.yaml", "apiVersion: resource.k8s.io/v1alpha2\nkind: ResourceClaim\nmetadata: {name: p}\n".to_owned()),
        ("group.yaml", "apiVersion: v1\nkind: Deployment\nmetadata: {name: p}\n".to_owned()),
        ("letters.yaml", "apiVersion: v1\nkind: pod\nmetadata: {name: p}\n".to_owned()),
        ("misspelt.yaml", "apiVersion: resource.k8s.io/v1\nkind: ResourceClam\nmetadata: {name: p}\n".to_owned()),
        ("a-list.yaml", "- apiVersion: v1\n- kind: Pod\n".to_owned()),
        ("text.yaml", "just some words\n".to_owned()),
        ("list-for-object.yaml", claim("    - requests\n")),
        ("object-for-list.yaml", claim("    requests: {name: gpu}\n")),
        ("duplicate-key.yaml", "apiVersion: v1\nkind: Pod\nkind: Pod\nmetadata: {name: p}\n".to_owned()),
        ("duplicate-key.json", "{\"apiVersion\":\"v1\",\n\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"name\":\"q\"}}".to_owned()),
        ("quantity.yaml", slice("  allNodes: true\n  devices:\n  - name: d\n    capacity: {memory: {value: 80 GB}}\n")),
        ("boolean.yaml", slice("  allNodes: 'yes'\n")),
        ("yaml-1.1.yaml", slice("  nodeName: on\n")),
        ("no-nodes.yaml", slice("  devices: [{name: d}]\n")),
        ("two-nodes.yaml", slice("  allNodes: true\n  nodeName: node-1\n")),
        ("union.yaml", slice("  allNodes: true\n  devices:\n  - name: d\n    attributes: {a: {int: 1, string: x}}\n")),
        ("unset.yaml", slice("  allNodes: true\n  devices:\n  - name: d\n    attributes:\n      a: {}\n")),
        ("device-name.yaml", slice("  allNodes: true\n  devices:\n  - name: GPU_0\n  - name: x\n  - name: x\n")),
        ("no-exactly.yaml", claim("    requests:\n    - name: gpu\n      deviceClassName: gpu\n")),
        ("no-class.yaml", claim("    requests:\n    - name: gpu\n      exactly: {count: 1}\n")),
        ("mode.yaml", claim("    requests:\n    - name: gpu\n      exactly: {deviceClassName: gpu, allocationMode: Some}\n")),
        ("count.yaml", claim("    requests:\n    - name: gpu\n      exactly: {deviceClassName: gpu, count: -1}\n")),
        ("constraint.yaml", claim(&format!("{request}    constraints:\n    - requests: [cpu]\n      matchAttribute: numa\n"))),
        ("recursive-anchor.yaml", "apiVersion: v1\nkind: Pod\nmetadata: &m\n  name: p\n  labels: *m\n".to_owned()),
        ("unknown-anchor.yaml", "apiVersion: v1\nkind: Pod\nmetadata: *m\n".to_owned()),
        ("control.json", "{\"apiVersion\":\"v1\",\"kind\":\"Po\nd\"}".to_owned()),
        ("escape.json", "{\"apiVersion\":\"v\\1\"}".to_owned()),
        ("number.json", "{\"apiVersion\": 01}".to_owned()),
        ("trailing.json", "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\"}}}".to_owned()),
        ("empty.yaml", String::new()),
        ("comments.yaml", "# nothing\n---\n# here\n".to_owned()),
        (
            "twice.yaml",
            "apiVersion: v1\nkind: Node\nmetadata: {name: node-1}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: node-1, labels: {a: b}}\n".to_owned(),
        ),
        ("pod-claim.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: m}], resourceClaims: [{name: gpu}]}\n".to_owned()),
        (
            "replicas.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: 2000000000\n  template: {spec: {containers: [{name: m}]}}\n".to_owned(),
        ),
        ("port.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: m, ports: [{hostPort: 70000}]}]}\n".to_owned()),
        ("wide.json", format!("{{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{{\"annotations\":{{\"a\":\"{}\"}},\"name\":5}}}}", "é".repeat(300))),
    ]
}

#[test]
fn each_fault_is_shown_with_place_and_hint() {
    let shown: Vec<String> = wrong_inputs().iter().map(|(name, text)| refused(name, text)).collect();
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn several_faults_are_shown_together_up_to_a_limit() {
    let node = |name: usize| format!("---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\n");
    let text: String = (0..30).map(node).collect();
    let errors = load(&[input("nodes.yaml", &text)], LoadOptions::default()).expect_err("names are numbers");
    assert_eq!((errors.faults.len(), errors.omitted), (LoadErrors::SHOWN, 10));
    assert!(errors.render().ends_with("and 10 more"));
    let lines: Vec<usize> =
        errors.faults.iter().filter_map(|fault| Some(fault.place.as_ref()?.line)).collect();
    assert_eq!(lines[..3], [4, 8, 12]);
}

#[test]
fn a_fault_in_one_document_does_not_hide_the_next() {
    let errors = refused("two.yaml", "a: [\n---\nkind: Pod\n");
    assert!(errors.contains("two.yaml:2:1") || errors.contains("two.yaml:1:"), "{errors}");
    assert!(errors.contains("two.yaml:3:1"), "{errors}");
}

#[test]
fn aliases_cannot_fill_the_memory() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let errors = refused("laughs.yaml", &text);
    assert!(errors.contains("expand to more than"), "{errors}");
}

#[test]
fn deep_nesting_is_refused() {
    for (name, text) in [
        ("deep.json", "[".repeat(100_000)),
        ("deep.yaml", format!("---\n{}", "[".repeat(100_000))),
        ("deep-block.yaml", (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect()),
        ("deep-object.json", format!("{{\"kind\":{}", "{\"a\":".repeat(100_000))),
    ] {
        let errors = refused(name, &text);
        assert!(
            ["nest deeper", "ends inside", "recursion limit"].iter().any(|part| errors.contains(part)),
            "{errors}"
        );
    }
}

#[test]
fn limits_of_size_are_told() {
    let options =
        LoadOptions { max_bytes: 1 << 20, max_yaml_document_bytes: 1 << 10, ..LoadOptions::default() };
    let long = format!("a: {}\n", "x".repeat(2000));
    let errors = load(&[input("long.yaml", &long)], options).expect_err("the document is too long");
    assert!(errors.render().contains("kubectl get ... -o json"), "{}", errors.render());
    let huge = "x".repeat((1 << 20) + 1);
    let errors = load(&[input("huge.yaml", &huge)], options).expect_err("the file is too long");
    assert!(errors.render().contains("limit of 1 MiB"), "{}", errors.render());
}

#[test]
fn files_that_are_no_text_or_not_there_are_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    fs::write(path.join("binary.yaml"), [b'a', b'\n', 0xFF, 0x00]).expect("a file");
    fs::create_dir(path.join("empty")).expect("a folder");
    for (argument, message) in [
        ("binary.yaml", "is not UTF-8 text: line 2"),
        ("missing.yaml", "no such file"),
        ("empty", "holds nothing to read"),
    ] {
        let errors = load(&[Input::from_argument(path.join(argument))], LoadOptions::default());
        let text = errors.expect_err("not readable").render();
        assert!(text.contains(message) && text.contains("hint: "), "{text}");
    }
}
