//! PCI functions of made-up trees.

use std::{fs, os::unix::fs::symlink, path::Path};

use drayage_driver::{
    claims::{AllocatedDevice, Devices},
    devices::{Condition, DeviceSource, SysfsDevices, SysfsFilter},
    kubelet::ClaimReference,
};
use serde_json::json;

/// A function below a bridge, with the files and links that matter.
fn function(root: &Path, address: &str, bridge: &str, files: &[(&str, &str)]) {
    let folder = root.join("devices").join(bridge).join(address);
    fs::create_dir_all(&folder).expect("a folder");
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
    let bus = root.join("bus/pci/devices");
    fs::create_dir_all(&bus).expect("a folder");
    symlink(Path::new("../../../devices").join(bridge).join(address), bus.join(address)).expect("a link");
}

fn tree(root: &Path) {
    let gpu = [
        ("vendor", "0x10DE\n"),
        ("device", "0x2330\n"),
        ("class", "0x030200\n"),
        ("numa_node", "1\n"),
        ("current_link_speed", "32.0 GT/s PCIe\n"),
        ("config", "\u{1}\u{2}\u{3}\u{4}"),
        ("drm/card1/dev", "226:1\n"),
        ("drm/renderD129/dev", "226:129\n"),
        ("drm/card1-DP-1/status", "connected\n"),
    ];
    function(root, "0000:65:00.0", "pci0000:60/0000:60:01.0", &gpu);
    fs::create_dir_all(root.join("bus/pci/drivers/nvidia")).expect("a folder");
    let folder = root.join("devices/pci0000:60/0000:60:01.0/0000:65:00.0");
    symlink("../../../../bus/pci/drivers/nvidia", folder.join("driver")).expect("a link");
    function(
        root,
        "0000:17:00.0",
        "pci0000:16/0000:16:02.0",
        &[("vendor", "0x15b3"), ("class", "0x020000"), ("numa_node", "-1"), ("config", "abcd")],
    );
}

fn source(root: &Path, classes: &[&str], vendors: &[&str]) -> SysfsDevices {
    let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    SysfsDevices::new(root, "node-1", SysfsFilter { classes: texts(classes), vendors: texts(vendors) })
}

fn claim() -> ClaimReference {
    ClaimReference { namespace: "default".to_owned(), name: "a".to_owned(), uid: "0a".to_owned() }
}

#[test]
fn functions_are_devices_with_the_standard_attributes() {
    let folder = tempfile::tempdir().expect("a folder");
    tree(folder.path());
    let pools = source(folder.path(), &[], &[]).pools().expect("pools");
    assert_eq!(pools[0].name, "node-1");
    let names: Vec<&str> = pools[0].devices.iter().map(|device| device.name.as_str()).collect();
    assert_eq!(names, ["pci-0000-17-00-0", "pci-0000-65-00-0"]);
    assert_eq!(
        pools[0].devices[1].fields.get("attributes").expect("attributes"),
        json!({
            "resource.kubernetes.io/pciBusID": {"string": "0000:65:00.0"},
            "resource.kubernetes.io/pcieRoot": {"string": "pci0000:60"},
            "resource.kubernetes.io/numaNode": {"int": 1},
            "vendor": {"string": "10de"},
            "device": {"string": "2330"},
            "class": {"string": "030200"},
            "driver": {"string": "nvidia"},
            "linkSpeed": {"string": "32.0 GT/s PCIe"},
        })
    );
    let nic = &pools[0].devices[0].fields.get("attributes").expect("attributes");
    assert_eq!(nic.get("resource.kubernetes.io/numaNode"), None, "-1 is no node");
}

#[test]
fn classes_and_vendors_select() {
    let folder = tempfile::tempdir().expect("a folder");
    tree(folder.path());
    for (classes, vendors, expected) in [
        (&["03"][..], &[][..], 1),
        (&["0300"], &[], 0),
        (&["0302", "02"], &[], 2),
        (&["02"], &["10DE"], 0),
        (&[], &["10de"], 1),
    ] {
        let pools = source(folder.path(), classes, vendors).pools().expect("pools");
        assert_eq!(pools[0].devices.len(), expected, "{classes:?} {vendors:?}");
    }
}

#[test]
fn a_container_gets_the_device_nodes_of_its_function() {
    let folder = tempfile::tempdir().expect("a folder");
    tree(folder.path());
    let source = source(folder.path(), &[], &[]);
    let device = |name: &str| AllocatedDevice {
        pool: "node-1".to_owned(),
        device: name.to_owned(),
        ..AllocatedDevice::default()
    };
    let edits = source.edits(&claim(), &device("pci-0000-65-00-0")).expect("edits");
    let nodes: Vec<&str> = edits.device_nodes.iter().map(|node| node.path.as_str()).collect();
    assert_eq!(nodes, ["/dev/dri/card1", "/dev/dri/renderD129"], "no connector of a display");
    assert_eq!(edits.env, ["PCI_DEVICE_0000_65_00_0=0000:65:00.0"]);
    let error = source.edits(&claim(), &device("pci-0000-66-00-0")).expect_err("not there");
    assert!(error.to_string().contains("does not exist on this node"), "{error}");
}

#[test]
fn a_function_that_does_not_answer_is_faulty() {
    let folder = tempfile::tempdir().expect("a folder");
    tree(folder.path());
    let source = source(folder.path(), &["0302"], &[]);
    assert_eq!(source.observe().expect("a look")[0].condition, Condition::Works);
    let config = folder.path().join("bus/pci/devices/0000:65:00.0/config");
    fs::write(&config, [0xff; 64]).expect("a file");
    let seen = source.observe().expect("a look");
    assert_eq!(seen[0].condition, Condition::Faulty("it has fallen off the bus".to_owned()));
}

#[test]
fn a_machine_without_pci_is_an_error_that_names_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = source(folder.path(), &[], &[]).pools().expect_err("nothing there");
    assert!(error.to_string().contains("bus/pci/devices"), "{error}");
}
