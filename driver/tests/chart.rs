//! What the chart renders, as far as this crate can read it.

use std::{fs, path::Path, process::Command};

use drayage_driver::devices::{DeviceSource as _, FakeDevices};
use serde_json::Value;

/// The objects of every rendered chart, by folder.
fn rendered() -> Vec<(String, Vec<Value>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/tests");
    let mut charts = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let Ok(text) = fs::read_to_string(entry.path().join("rendered.yaml")) else { continue };
        let documents = text.split("\n---\n").filter(|document| document.contains("kind:"));
        let objects = documents.map(|document| serde_saphyr::from_str(document).unwrap()).collect();
        charts.push((entry.file_name().to_string_lossy().into_owned(), objects));
    }
    charts.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(charts.len() >= 4, "{charts:?}");
    charts
}

fn of_kind<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn inventories_of_the_chart_are_read() {
    let mut count = 0;
    for (name, objects) in rendered() {
        for object in of_kind(&objects, "ConfigMap") {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("inventory.yaml");
            fs::write(&path, object["data"]["inventory.yaml"].as_str().unwrap()).unwrap();
            let pools = FakeDevices::open(&path, "node-1").unwrap().pools().unwrap();
            assert_eq!(pools.iter().map(|pool| pool.devices.len()).sum::<usize>(), 2, "{name}");
            count += 1;
        }
    }
    assert!(count > 0);
}

#[test]
fn arguments_of_the_chart_are_understood() {
    let mut count = 0;
    for (name, objects) in rendered() {
        for object in of_kind(&objects, "DaemonSet") {
            let container = &object["spec"]["template"]["spec"]["containers"][0];
            let arguments: Vec<&str> = container["args"]
                .as_array()
                .unwrap()
                .iter()
                .map(|argument| argument.as_str().unwrap())
                .collect();
            assert_eq!(arguments.first(), Some(&"run"), "{name}");
            // The doctor takes the same arguments, looks for the folders of a node, and misses them here.
            let mut command = Command::new(env!("CARGO_BIN_EXE_dray-driver"));
            command.arg("doctor").args(&arguments[1..]);
            command.env_clear().env("NODE_NAME", "node-1").env("POD_UID", "0a");
            let output = command.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{name}: {text}");
            assert!(text.contains("API server"), "{name}: {text}");
            count += 1;
        }
    }
    assert!(count > 1);
}

/// The role, the policy and the pods have to name the same account, or one of them does nothing.
#[test]
fn the_service_account_is_the_same_everywhere() {
    for (name, objects) in rendered() {
        for object in of_kind(&objects, "DaemonSet") {
            let account = object["spec"]["template"]["spec"]["serviceAccountName"].as_str().unwrap();
            let binding = of_kind(&objects, "ClusterRoleBinding")[0];
            assert_eq!(binding["subjects"][0]["name"], account, "{name}");
            let policy = of_kind(&objects, "ValidatingAdmissionPolicy")[0];
            let condition = policy["spec"]["matchConditions"][0]["expression"].as_str().unwrap();
            assert!(
                condition.ends_with(&format!("\"system:serviceaccount:ml:{account}\"")),
                "{name}: {condition}"
            );
        }
    }
}

/// What a PodMonitor selects are the driver's pods, and the port that it names is where they serve HTTP.
#[test]
fn metrics_are_where_the_pod_monitor_looks_for_them() {
    let mut count = 0;
    for (name, objects) in rendered() {
        for monitor in of_kind(&objects, "PodMonitor") {
            let daemons = of_kind(&objects, "DaemonSet");
            let [daemon] = &daemons[..] else { panic!("{name}: {daemons:?}") };
            assert_eq!(monitor["metadata"]["namespace"], daemon["metadata"]["namespace"], "{name}");
            let pod = &daemon["spec"]["template"];
            for (key, value) in monitor["spec"]["selector"]["matchLabels"].as_object().expect("labels") {
                assert_eq!(pod["metadata"]["labels"][key], *value, "{name}: {key}");
            }
            let container = &pod["spec"]["containers"][0];
            let endpoints = monitor["spec"]["podMetricsEndpoints"].as_array().expect("endpoints");
            assert!(!endpoints.is_empty());
            for endpoint in endpoints {
                assert_eq!(endpoint["path"], "/metrics");
                let ports = container["ports"].as_array().expect("ports");
                let port = ports.iter().find(|port| port["name"] == endpoint["port"]);
                let number = port.unwrap_or_else(|| panic!("{name}: {endpoint}"))["containerPort"].as_u64();
                let arguments =
                    container["args"].as_array().expect("arguments").iter().filter_map(Value::as_str);
                let mut http = arguments.filter_map(|argument| argument.strip_prefix("--http="));
                let served = http.next().and_then(|address| address.rsplit_once(':')?.1.parse().ok());
                assert_eq!((number, number.is_some()), (served, true), "{name}");
                count += 1;
            }
        }
    }
    assert!(count > 0);
}
