//! What the source makes of a library.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use drayage_driver::{
    claims::Devices as _,
    devices::{
        Condition, DeviceSource as _,
        nvml::{NvmlDevices, NvmlOptions},
    },
};
use drayage_fake_nvml::{Card, FakeEvent, Machine, codes, install};
use serde_json::{Value, json};

use crate::node::{Node, allocated, claim, conditions, names, pool, unknown, until};

#[test]
fn a_card_has_the_names_of_nvidias_driver_and_the_standard_attributes() {
    let node = Node::new(&Machine::with_cards(1));
    let address = "0000:1a:00.0";
    node.write(&format!("sys/devices/pci0000:16/0000:16:01.0/{address}/numa_node"), "1\n");
    let bus = node.folder.path().join("sys/bus/pci/devices");
    fs::create_dir_all(&bus).expect("a folder");
    let target = Path::new("../../../devices/pci0000:16/0000:16:01.0").join(address);
    symlink(target, bus.join(address)).expect("a link");
    let source = node.source();
    let device = &pool(&source).devices[0];
    assert_eq!(device.name, "gpu-0000-1a-00-0");
    let attributes = json!({
        "type": {"string": "gpu"},
        "uuid": {"string": "GPU-5ad1c2e0-0000-4000-8000-000000000000"},
        "productName": {"string": "NVIDIA H100 80GB HBM3"},
        "brand": {"string": "Nvidia"},
        "architecture": {"string": "Hopper"},
        "cudaComputeCapability": {"version": "9.0.0"},
        "driverVersion": {"version": "580.105.8"},
        "cudaDriverVersion": {"version": "13.0.0"},
        "resource.kubernetes.io/pciBusID": {"string": address},
        "resource.kubernetes.io/pcieRoot": {"string": "pci0000:16"},
        "resource.kubernetes.io/numaNode": {"int": 1},
    });
    assert_eq!(device.fields.get("attributes"), Some(attributes.clone()));
    assert_eq!(device.fields.get("capacity"), Some(json!({"memory": {"value": "81559Mi"}})));
    let described = source.attributes(&allocated(&device.name)).map(Value::Object);
    assert_eq!(described, Some(attributes), "containers read the same");
    assert_eq!(conditions(&source), [Condition::Works]);
    assert!(source.notes().is_empty(), "{:?}", source.notes());
}

#[test]
fn eight_cards_are_eight_devices_in_the_order_of_the_bus() {
    let mut machine = Machine::with_cards(8);
    machine.cards.reverse();
    let node = Node::new(&machine);
    let source = node.source();
    let expected: Vec<String> = (0x1a..0x22).map(|bus| format!("gpu-0000-{bus:02x}-00-0")).collect();
    assert_eq!(names(&source), expected);
    assert_eq!(conditions(&source), vec![Condition::Works; 8]);
}

#[test]
fn a_node_without_the_library_offers_nothing_and_says_so() {
    let node = Node::new(&Machine::with_cards(1));
    let absent = node.folder.path().join("elsewhere/libnvidia-ml.so.1");
    let options = NvmlOptions { library: absent.into(), ..node.options() };
    let source = NvmlDevices::start(options, "node-1").expect("a thread");
    assert!(names(&source).is_empty());
    assert!(conditions(&source).is_empty());
    let [only] = &source.notes()[..] else { panic!("{:?}", source.notes()) };
    assert!(only.contains("there is no library") && only.contains("elsewhere"), "{only}");
}

#[test]
fn a_library_that_is_installed_later_is_found() {
    let node = Node::new(&Machine::with_cards(1));
    let folder = tempfile::tempdir().expect("a folder");
    let later = folder.path().join("libnvidia-ml.so.1");
    let options = NvmlOptions { library: later.clone().into(), ..node.options() };
    let source = NvmlDevices::start(options, "node-1").expect("a thread");
    assert!(names(&source).is_empty());
    install(folder.path(), &Machine::with_cards(2), &[]).expect("a library");
    assert_eq!(later, folder.path().join("libnvidia-ml.so.1"));
    until("two cards", || names(&source).len() == 2);
    until("they work", || conditions(&source) == vec![Condition::Works; 2]);
    assert!(source.notes().is_empty());
}

#[test]
fn a_kernel_without_the_driver_is_no_error_and_a_refusal_is_one() {
    let mut machine = Machine::with_cards(1);
    machine.errors.insert("nvmlInit_v2".to_owned(), codes::DRIVER_NOT_LOADED);
    let node = Node::new(&machine);
    let source = node.source();
    assert!(names(&source).is_empty());
    assert!(source.notes()[0].contains("not loaded into the kernel"), "{:?}", source.notes());
    machine.errors.insert("nvmlInit_v2".to_owned(), codes::NO_PERMISSION);
    let node = Node::new(&machine);
    let error = node.source().pools().expect_err("a refusal").to_string();
    assert!(error.contains("does not start: permission denied"), "{error}");
}

#[test]
fn no_cards_are_an_empty_pool_with_a_note() {
    let node = Node::new(&Machine::with_cards(0));
    let source = node.source();
    assert!(names(&source).is_empty());
    assert_eq!(source.notes(), ["NVML finds no GPU that it may use on this node"]);
}

#[test]
fn a_card_that_may_not_be_used_is_named_and_the_others_are_offered() {
    let mut machine = Machine::with_cards(2);
    machine.cards[0].errors.insert("nvmlDeviceGetHandleByIndex_v2".to_owned(), codes::NO_PERMISSION);
    let node = Node::new(&machine);
    let source = node.source();
    assert_eq!(names(&source), ["gpu-0000-1b-00-0"]);
    let notes = source.notes().concat();
    assert!(notes.contains("GPU 0 cannot be used: permission denied"), "{notes}");
}

#[test]
fn an_old_library_leaves_out_what_it_does_not_know() {
    let lacking = ["nvmlDeviceGetMigMode", "nvmlDeviceGetArchitecture", "nvmlSystemGetCudaDriverVersion_v2"];
    let node = Node::lacking(&Machine::with_cards(1), &lacking);
    let source = node.source();
    let attributes = pool(&source).devices[0].fields.get("attributes").expect("attributes");
    for absent in ["architecture", "cudaDriverVersion"] {
        assert_eq!(attributes.get(absent), None);
    }
    assert!(attributes.get("uuid").is_some());
    assert_eq!(conditions(&source), [Condition::Works]);
}

#[test]
fn without_events_nobody_knows_how_a_card_does() {
    for lacking in ["nvmlEventSetCreate", "nvmlEventSetWait_v2"] {
        let node = Node::lacking(&Machine::with_cards(1), &[lacking]);
        let source = node.source();
        assert_eq!(names(&source).len(), 1, "it is offered all the same");
        until("nobody listens", || source.notes().concat().contains(lacking));
        unknown(&conditions(&source)[0], lacking);
    }
    let mut machine = Machine::with_cards(2);
    machine.cards[0].event_types = 0;
    let node = Node::new(&machine);
    let source = node.source();
    let seen = conditions(&source);
    unknown(&seen[0], "it has no such events");
    assert_eq!(seen[1], Condition::Works);
}

#[test]
fn a_critical_error_makes_its_card_faulty_until_it_was_gone() {
    let mut machine = Machine::with_cards(2);
    let node = Node::new(&machine);
    let source = node.source();
    assert_eq!(conditions(&source), vec![Condition::Works; 2]);
    let xid = |card, data| FakeEvent { card, event_type: 8, data, instance: None };
    // What programs cause comes first, so that it has come when the other one has.
    machine.events.extend([13, 31, 43, 45, 68, 109].map(|number| xid(0, number)));
    machine.events.push(xid(1, 79));
    node.library.describe(&machine).expect("described");
    let fallen = Condition::Faulty("critical error XID 79: the GPU has fallen off the bus".to_owned());
    until("the error", || conditions(&source)[1] == fallen);
    assert_eq!(conditions(&source)[0], Condition::Works);
    machine.cards[1].lost = true;
    node.library.describe(&machine).expect("described");
    until(
        "it is lost",
        || matches!(&conditions(&source)[1], Condition::Faulty(reason) if reason.contains("the GPU is lost")),
    );
    assert_eq!(names(&source).len(), 2, "what is broken is still there");
    machine.cards[1].lost = false;
    node.library.describe(&machine).expect("described");
    until("it is back", || conditions(&source)[1] == Condition::Works);
}

#[test]
fn which_errors_are_ignored_can_be_said() {
    let mut machine = Machine::with_cards(1);
    let xid = |data| FakeEvent { card: 0, event_type: 8, data, instance: None };
    machine.events = vec![xid(79), xid(31)];
    let node = Node::new(&machine);
    let options = NvmlOptions { ignored_xids: [79].into(), ..node.options() };
    let source = NvmlDevices::start(options, "node-1").expect("a thread");
    until("the other error", || {
        conditions(&source) == [Condition::Faulty("critical error XID 31".to_owned())]
    });
}

#[test]
fn a_memory_error_of_two_bits_is_a_fault() {
    let mut machine = Machine::with_cards(1);
    machine.events = vec![FakeEvent { card: 0, event_type: 2, ..FakeEvent::default() }];
    let node = Node::new(&machine);
    let source = node.source();
    let fault = Condition::Faulty("a memory error of two bits (ECC)".to_owned());
    until("the error", || conditions(&source) == [fault.clone()]);
}

#[test]
fn a_card_that_was_taken_away_is_no_device_any_more() {
    let mut machine = Machine::with_cards(2);
    let node = Node::new(&machine);
    let source = node.source();
    assert_eq!(names(&source).len(), 2);
    machine.cards.remove(0);
    node.library.describe(&machine).expect("described");
    until("one card", || names(&source) == ["gpu-0000-1b-00-0"]);
    until("it works", || conditions(&source) == [Condition::Works]);
}

#[test]
fn a_divided_card_is_its_mig_devices_beside_whole_ones() {
    let mut machine = Machine::with_cards(3);
    machine.cards[1] = Card::hopper(1).divided(&["3g.40gb", "1g.10gb+me"]);
    machine.cards[2].mig_mode = Some(true);
    machine.events = vec![FakeEvent { card: 1, event_type: 8, data: 94, instance: Some([2, 0]) }];
    let node = Node::new(&machine);
    let source = node.source();
    let expected =
        ["gpu-0000-1a-00-0", "gpu-0000-1b-00-0-mig-3g-40gb-1-0", "gpu-0000-1b-00-0-mig-1g-10gb-me-2-0"];
    assert_eq!(names(&source), expected);
    let notes = source.notes().concat();
    assert!(notes.contains("`0000:1c:00.0` is in MIG mode and is not divided"), "{notes}");
    let device = &pool(&source).devices[2];
    let attributes = device.fields.get("attributes").expect("attributes");
    assert_eq!(attributes["type"], json!({"string": "mig"}));
    assert_eq!(attributes["profile"], json!({"string": "1g.10gb+me"}));
    assert_eq!(attributes["parentUUID"], json!({"string": machine.cards[1].uuid}));
    let capacity = device.fields.get("capacity").expect("capacity");
    assert_eq!(capacity["memory"], json!({"value": "9872Mi"}));
    assert_eq!(capacity["multiprocessors"], json!({"value": "16"}));
    let fault = Condition::Faulty("critical error XID 94: a memory error was contained".to_owned());
    let works = Condition::Works;
    until("the error of one", || conditions(&source) == [works.clone(), works.clone(), fault.clone()]);

    for name in ["nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-caps/nvidia-cap21", "nvidia-caps/nvidia-cap22"]
    {
        node.write(&format!("dev/{name}"), "");
    }
    let capabilities = "proc/driver/nvidia/capabilities/gpu1/mig/gi1";
    node.write(&format!("{capabilities}/access"), "DeviceFileMinor: 21\n");
    node.write(&format!("{capabilities}/ci0/access"), "DeviceFileMinor: 22\n");
    let edits = source.edits(&claim(), &allocated(expected[1])).expect("edits");
    let paths: Vec<&str> = edits.device_nodes.iter().map(|node| node.path.as_str()).collect();
    let caps = ["/dev/nvidia-caps/nvidia-cap21", "/dev/nvidia-caps/nvidia-cap22"];
    assert_eq!(paths, [["/dev/nvidia1", "/dev/nvidiactl", "/dev/nvidia-uvm"].as_slice(), &caps].concat());
    let error =
        source.edits(&claim(), &allocated("gpu-0000-1b-00-0")).expect_err("it is divided").to_string();
    assert!(error.contains("does not exist on this node"), "{error}");
}

#[test]
fn a_card_whose_mig_mode_nobody_tells_is_not_offered_as_a_whole() {
    let mut machine = Machine::with_cards(2);
    machine.cards[0].errors.insert("nvmlDeviceGetMigMode".to_owned(), codes::UNKNOWN);
    let node = Node::new(&machine);
    assert_eq!(names(&node.source()), ["gpu-0000-1b-00-0"]);
}

#[test]
fn a_library_that_fails_makes_cards_unknown_and_takes_none_away() {
    let mut machine = Machine::with_cards(1);
    let node = Node::new(&machine);
    let source = node.source();
    assert_eq!(conditions(&source), [Condition::Works]);
    machine.errors.insert("nvmlDeviceGetCount_v2".to_owned(), codes::VERSION_MISMATCH);
    node.library.describe(&machine).expect("described");
    until("nobody knows", || conditions(&source) != [Condition::Works]);
    unknown(&conditions(&source)[0], "of different releases");
    assert_eq!(names(&source).len(), 1);
    machine.errors.clear();
    node.library.describe(&machine).expect("described");
    until("it is loaded anew", || conditions(&source) == [Condition::Works]);
}

#[test]
fn a_call_that_hangs_holds_nobody_up() {
    let mut machine = Machine::with_cards(1);
    let node = Node::new(&machine);
    let source = node.source();
    assert_eq!(conditions(&source), [Condition::Works]);
    for name in ["nvidia0", "nvidiactl", "nvidia-uvm"] {
        node.write(&format!("dev/{name}"), "");
    }
    machine.milliseconds.insert("nvmlDeviceGetCount_v2".to_owned(), 3_600_000);
    node.library.describe(&machine).expect("described");
    // The look that hangs has begun when the one before it has ended.
    sleep(Duration::from_millis(100));
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(names(&source), ["gpu-0000-1a-00-0"]);
        source.edits(&claim(), &allocated("gpu-0000-1a-00-0")).expect("edits");
    }
    let taken = begun.elapsed();
    assert!(taken < Duration::from_mins(30), "the call takes an hour: {taken:?}");
    drop(source);
}

#[test]
fn a_call_that_hangs_from_the_start_is_an_error_after_two_seconds() {
    let mut machine = Machine::with_cards(1);
    machine.milliseconds.insert("nvmlInit_v2".to_owned(), 3_600_000);
    let node = Node::new(&machine);
    let source = node.source();
    let error = source.pools().expect_err("nobody has answered").to_string();
    assert_eq!(error, "NVML has not answered yet");
}
