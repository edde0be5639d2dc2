//! CDI files against a runtime's rules.

mod support;

use drayage_driver::{
    cdi::{CdiDirectory, CdiError, ContainerEdits, Device, DeviceNode, Hook, Mount, Spec},
    files::HostFileSystem,
};
use drayage_fake_kubelet::cdi::{load, load_minimal};
use proptest::prelude::*;
use support::runtime;

fn edits() -> impl Strategy<Value = ContainerEdits> {
    let text = || prop_oneof![4 => "/?[a-z]{0,6}", 1 => "[ -~]{0,6}"];
    let env = prop::collection::vec(prop_oneof![4 => "[A-Z]{1,4}=[a-z]{0,4}", 1 => "[A-Z=]{0,4}"], 0..3);
    let node = (text(), prop::option::of(text()), prop::option::of("[rwmx]{0,3}"))
        .prop_map(|(path, host_path, permissions)| DeviceNode { path, host_path, permissions });
    let mount = (text(), text(), prop::option::weighted(0.2, text())).prop_map(
        |(host_path, container_path, kind)| Mount {
            host_path,
            container_path,
            options: vec!["ro".to_owned()],
            kind,
        },
    );
    let hook = (prop::sample::select(vec!["createContainer", "createRuntime", "other"]), text()).prop_map(
        |(name, path)| Hook { hook_name: name.to_owned(), path, args: Vec::new(), env: Vec::new() },
    );
    (
        env,
        prop::collection::vec(node, 0..2),
        prop::collection::vec(mount, 0..2),
        prop::collection::vec(hook, 0..2),
        prop::collection::vec(any::<u32>(), 0..2),
    )
        .prop_map(|(env, device_nodes, mounts, hooks, additional_gids)| ContainerEdits {
            env,
            device_nodes,
            mounts,
            hooks,
            additional_gids,
        })
}

proptest! {
    /// What we write is read by the runtime, at the smallest version that it can have.
    #[test]
    fn every_specification_resolves_at_its_minimal_version(
        kind in prop_oneof![4 => Just("k8s.gpu.example.com/claim".to_owned()), 1 => "[a-z.]{1,4}/?[a-z0-9.]{0,5}"],
        devices in prop::collection::vec(("[a-z0-9_.:-]{0,4}", edits()), 0..4),
    ) {
        let devices: Vec<Device> =
            devices.into_iter().map(|(name, container_edits)| Device { name, container_edits }).collect();
        let mut names: Vec<String> = devices.iter().map(|device| format!("{kind}={}", device.name)).collect();
        names.sort();
        if let Ok(spec) = Spec::new(&kind, devices) {
            prop_assert_eq!(load_minimal(spec.to_json().as_bytes()), Ok(names));
        }
    }
}

fn device(name: &str, container_edits: ContainerEdits) -> Device {
    Device { name: name.to_owned(), container_edits }
}

fn node(host_path: Option<&str>) -> ContainerEdits {
    let device = DeviceNode {
        path: "/dev/gpu0".to_owned(),
        host_path: host_path.map(str::to_owned),
        permissions: None,
    };
    ContainerEdits { device_nodes: vec![device], ..ContainerEdits::default() }
}

#[test]
fn an_empty_host_path_needs_no_newer_version() {
    let spec =
        Spec::new("k8s.gpu.example.com/claim", vec![device("a", node(Some("")))]).expect("a specification");
    assert_eq!(load_minimal(spec.to_json().as_bytes()), Ok(vec!["k8s.gpu.example.com/claim=a".to_owned()]));
}

/// Finding 7: a hard-coded 0.3.0 fails for ten of sixteen claims.
#[test]
fn a_name_that_begins_with_a_digit_raises_the_version() {
    let spec =
        |name: &str| Spec::new("vendor.com/claim", vec![device(name, node(None))]).expect("sound").to_json();
    assert!(spec("a-0").contains(r#""cdiVersion": "0.3.0""#));
    assert!(spec("0-a").contains(r#""cdiVersion": "0.5.0""#));
    let low = spec("0-a").replace("0.5.0", "0.3.0");
    assert!(load(low.as_bytes()).expect_err("too low").contains("must be at least v0.5.0"));
}

#[test]
fn a_device_without_edits_is_refused() {
    let error = Spec::new("vendor.com/claim", vec![device("a", ContainerEdits::default())]);
    assert_eq!(error, Err(CdiError::NoEdits("a".to_owned())));
}

#[test]
fn a_file_is_written_once_repaired_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("var/run/cdi");
    let directory = CdiDirectory::new(&missing, "gpu.example.com");
    assert_eq!(directory.claims(&HostFileSystem).expect("none"), Vec::<String>::new());
    let spec = Spec::new(directory.kind(), vec![device("0-gpu", node(Some("/dev/null")))]).expect("sound");
    assert!(directory.ensure(&HostFileSystem, "0", &spec.to_json()).expect("written"));
    assert!(!directory.ensure(&HostFileSystem, "0", &spec.to_json()).expect("there already"));
    let path = missing.join("k8s.gpu.example.com-claim_0.json");
    std::fs::write(&path, "{").expect("damaged");
    assert!(directory.ensure(&HostFileSystem, "0", &spec.to_json()).expect("written again"));
    assert_eq!(
        runtime::resolvable(&HostFileSystem, &missing).into_iter().collect::<Vec<_>>(),
        ["k8s.gpu.example.com/claim=0-gpu"]
    );
    directory.remove(&HostFileSystem, "0").expect("removed");
    directory.remove(&HostFileSystem, "0").expect("removed before");
    assert!(!path.exists());
}
