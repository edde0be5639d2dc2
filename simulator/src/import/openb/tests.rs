use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

const NODES: &str = include_str!("../../../tests/fixtures/openb/nodes.csv");
const PODS: &str = include_str!("../../../tests/fixtures/openb/pods.csv");

fn table<'a>(name: &str, content: &'a str) -> Table<&'a [u8]> {
    Table { name: name.to_owned(), content: content.as_bytes() }
}

fn converted(nodes: &str, pods: &str) -> Result<(Counts, Vec<Value>), ImportError> {
    let mut objects = Vec::new();
    let counts = convert(table("nodes.csv", nodes), table("pods.csv", pods), &mut |object| {
        objects.push(object.clone());
        Ok(())
    })?;
    Ok((counts, objects))
}

fn refused(nodes: &str, pods: &str) -> String {
    converted(nodes, pods).unwrap_err().to_string()
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name).unwrap()
}

#[test]
fn the_fixture_becomes_objects() {
    let (counts, objects) = converted(NODES, PODS).unwrap();
    assert_eq!(counts, Counts { nodes: 4, gpus: 14, pods: 6, claim_templates: 4 });
    let mut kinds = BTreeMap::new();
    for object in &objects {
        *kinds.entry(object["kind"].as_str().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(
        kinds,
        BTreeMap::from([
            ("DeviceClass", 1),
            ("Namespace", 1),
            ("Node", 4),
            ("Pod", 6),
            ("ResourceClaimTemplate", 4),
            ("ResourceSlice", 3),
        ])
    );

    let slice = named(&objects, "ResourceSlice", "node-b-gpu");
    assert_eq!(slice["spec"]["devices"].as_array().unwrap().len(), 4);
    assert_eq!(
        slice["spec"]["devices"][3],
        json!({
            "name": "gpu-3",
            "attributes": {"index": {"int": 3}, "model": {"string": "V100M32"}},
            "capacity": {"milli": {"value": "1000"}},
            "allowMultipleAllocations": true,
        })
    );
    let template = named(&objects, "ResourceClaimTemplate", "gpu-1-milli-460-v100m16-v100m32");
    let exactly = &template["spec"]["spec"]["devices"]["requests"][0]["exactly"];
    assert_eq!(exactly["capacity"]["requests"]["milli"], "460");
    assert_eq!(
        exactly["selectors"][0]["cel"]["expression"],
        "device.attributes[\"gpu.openb.example.com\"].model in [\"V100M16\", \"V100M32\"]"
    );
    let pod = named(&objects, "Pod", "pod-cpu");
    assert_eq!(
        pod["spec"]["containers"][0]["resources"]["requests"],
        json!({"cpu": "11908m", "memory": "47104Mi"})
    );
    assert!(pod["spec"].get("resourceClaims").is_none());
}

#[test]
fn optional_columns_may_be_absent() {
    let (counts, objects) =
        converted(NODES, "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,1,1,1000\n").unwrap();
    assert_eq!(counts.pods, 1);
    assert!(named(&objects, "Pod", "p")["metadata"].get("creationTimestamp").is_none());
}

#[test]
fn headers_are_checked() {
    assert_eq!(
        refused("sn,cpu_milli,gpu,model\n", PODS),
        "nodes.csv:1: column `memory_mib` is missing, the header is `sn,cpu_milli,gpu,model`"
    );
    assert_eq!(
        refused(NODES, "name,name,cpu_milli,memory_mib,num_gpu,gpu_milli\n"),
        "pods.csv:1: column `name` is there twice"
    );
    assert!(refused("", PODS).starts_with("nodes.csv:1: column `sn` is missing"));
}

#[test]
fn bad_values_are_reported_with_their_line() {
    let pods =
        |line: &str| format!("name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\nok,1,1,0,0,\n{line}\n");
    let cases = [
        ("p,x,1,0,0,", "pods.csv:3: `cpu_milli` is not a whole number: `x`"),
        ("p,-1,1,0,0,", "pods.csv:3: `cpu_milli` is not a whole number: `-1`"),
        ("p,1,99999999999999,0,0,", "pods.csv:3: `memory_mib` is too large: `99999999999999`"),
        ("p,1,1,33,1000,", "pods.csv:3: `num_gpu` is too large: `33`"),
        ("p,1,1,1,1001,", "pods.csv:3: `gpu_milli` is too large: `1001`"),
        ("p,1,1,2,500,", "pods.csv:3: `gpu_milli` must be 1000 for a pod with several GPUs: `500`"),
        ("p,1,1,0,500,", "pods.csv:3: `gpu_milli` must be 0 for a pod without GPU: `500`"),
        ("p,1,1,1,0,", "pods.csv:3: `gpu_milli` must not be 0 for a pod with GPU: `0`"),
        ("p,1,1,1,500,A|\"\"", "pods.csv:3: `gpu_spec` is not a list of models joined by `|`: `A|\"\"`"),
        ("P_,1,1,0,0,", "pods.csv:3: `name` is not a name: `P_`"),
        ("ok,1,1,0,0,", "pods.csv:3: `name` is there twice: `ok`"),
    ];
    for (line, message) in cases {
        assert_eq!(refused(NODES, &pods(line)), message, "{line}");
    }
    assert!(refused(NODES, &pods("p,1")).starts_with("pods.csv:3: "), "{}", refused(NODES, &pods("p,1")));
    assert_eq!(
        refused("sn,cpu_milli,memory_mib,gpu,model\nn,1,1,1,\n", PODS),
        "nodes.csv:2: `model` is not a model of at most 63 letters and digits: ``"
    );
}

/// The folder of the public data sets, which are not part of the repository.
fn datasets() -> Option<PathBuf> {
    let shared = std::env::var_os("DRAYAGE_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let folder = shared.join("datasets");
    folder.is_dir().then_some(folder)
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must be loud")]
fn published_pod_lists_convert() {
    let Some(folder) = datasets() else {
        eprintln!("SKIPPED: the openb data sets are not here");
        return;
    };
    let nodes = fs::read_to_string(folder.join("openb_node_list_gpu_node.csv")).unwrap();
    // One list of each form: plain, with models, with five columns only.
    for (name, count) in [("default", 8152), ("gpuspec33", 8152), ("multigpu20", 8324)] {
        let pods = fs::read_to_string(folder.join(format!("openb_pod_list_{name}.csv"))).unwrap();
        let counts = convert(table("nodes", &nodes), table(name, &pods), &mut |_| Ok(())).unwrap();
        assert_eq!((counts.nodes, counts.gpus, counts.pods), (1213, 6212, count), "{name}");
    }
}
