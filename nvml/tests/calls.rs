//! Every call against a library whose GPUs are described in a file.

use std::{ffi::OsStr, fs, path::Path};

use drayage_fake_nvml::{Card, FakeEvent, FakeLibrary, Machine, codes, install};
use drayage_nvml::{Code, Event, Library, MigAttributes, OpenError, event_types};
use tempfile::TempDir;

fn installed(machine: &Machine, lacking: &[&str]) -> (TempDir, FakeLibrary) {
    let folder = tempfile::tempdir().expect("a folder");
    let library = install(folder.path(), machine, lacking).expect("a library");
    (folder, library)
}

fn open(library: &FakeLibrary) -> Library {
    Library::open(library.path().as_os_str()).expect("it opens")
}

#[test]
fn a_card_is_told_as_it_is() {
    let (_folder, library) = installed(&Machine::with_cards(2), &[]);
    let library = open(&library);
    assert_eq!(library.driver_version().as_deref(), Ok("580.105.08"));
    assert_eq!(library.cuda_version(), Ok((13, 0)));
    assert_eq!(library.count(), Ok(2));
    let device = library.device(1).expect("a card");
    assert_eq!(device.uuid().as_deref(), Ok("GPU-5ad1c2e0-0000-4000-8000-000000000001"));
    assert_eq!(device.name().as_deref(), Ok("NVIDIA H100 80GB HBM3"));
    assert_eq!((device.brand(), device.architecture()), (Ok(14), Ok(9)));
    assert_eq!(device.compute_capability(), Ok((9, 0)));
    assert_eq!(device.memory(), Ok(81559 << 20));
    assert_eq!(device.minor(), Ok(1));
    assert_eq!(device.bus_id().as_deref(), Ok("00000000:1B:00.0"));
    assert_eq!(device.mig_mode(), Ok(false));
    assert_eq!(device.supported_events(), Ok(10));
    assert_eq!(device, library.device(1).expect("a card"), "one card has one handle");
    assert_ne!(device, library.device(0).expect("a card"));
    assert_eq!(library.device(2).expect_err("no card").code, Code::InvalidArgument);
}

#[test]
fn mig_devices_are_told_as_they_are() {
    let mut card = Card::hopper(0).divided(&["3g.40gb", "1g.10gb"]);
    card.mig_devices.insert(1, None);
    let machine = Machine { cards: vec![card], ..Machine::with_cards(0) };
    let (_folder, library) = installed(&machine, &[]);
    let library = open(&library);
    let device = library.device(0).expect("a card");
    assert_eq!((device.mig_mode(), device.most_mig_devices()), (Ok(true), Ok(7)));
    assert_eq!(device.mig_device(1).expect_err("none").code, Code::NotFound);
    let mig = device.mig_device(2).expect("a MIG device");
    assert_eq!(mig.name().as_deref(), Ok("NVIDIA H100 80GB HBM3 MIG 1g.10gb"));
    assert!(mig.uuid().expect("a UUID").starts_with("MIG-"));
    assert_eq!((mig.gpu_instance(), mig.compute_instance()), (Ok(2), Ok(0)));
    let expected = MigAttributes {
        multiprocessors: 16,
        copy_engines: 1,
        decoders: 1,
        gpu_instance_slices: 1,
        compute_instance_slices: 1,
        memory_mebibytes: 9872,
        ..MigAttributes::default()
    };
    assert_eq!(mig.mig_attributes(), Ok(expected));
    assert_eq!(device.mig_attributes().expect_err("a whole card").code, Code::InvalidArgument);
}

#[test]
fn events_come_once_and_only_where_they_were_asked_for() {
    let mut machine = Machine::with_cards(2);
    let xid = |card, data, instance| FakeEvent { card, event_type: 8, data, instance };
    machine.events = vec![
        xid(1, 43, None),
        FakeEvent { card: 0, event_type: 2, ..FakeEvent::default() },
        xid(0, 79, None),
        xid(0, 94, Some([3, 0])),
    ];
    let (_folder, library) = installed(&machine, &[]);
    let library = open(&library);
    let device = library.device(0).expect("a card");
    let set = library.event_set().expect("a set");
    set.register(device, event_types::XID_CRITICAL_ERROR).expect("it is supported");
    let event = |data, gpu_instance, compute_instance| Event {
        device,
        event_type: event_types::XID_CRITICAL_ERROR,
        data,
        gpu_instance,
        compute_instance,
    };
    assert_eq!(set.wait(1000), Ok(Some(event(79, None, None))));
    assert_eq!(set.wait(1000), Ok(Some(event(94, Some(3), Some(0)))));
    assert_eq!(set.wait(0), Ok(None));
    assert_eq!(set.register(device, 1 << 40).expect_err("unknown kind").code, Code::NotSupported);
}

#[test]
fn a_machine_without_the_library_is_told_from_one_whose_library_is_broken() {
    let folder = tempfile::tempdir().expect("a folder");
    let absent = folder.path().join("libnvidia-ml.so.1");
    assert!(matches!(Library::open(absent.as_os_str()), Err(OpenError::Absent { .. })));
    let name = OsStr::new("libno-such-library-anywhere.so.1");
    assert!(matches!(Library::open(name), Err(OpenError::Absent { .. })));
    fs::write(&absent, "no library").expect("a file");
    let broken = Library::open(absent.as_os_str());
    assert!(matches!(broken, Err(OpenError::Unusable { .. })), "{broken:?}");
    // One that is there and is another one.
    let libc = Library::open(Path::new("libc.so.6").as_os_str());
    let Err(OpenError::Unusable { reason, .. }) = libc else { panic!("{libc:?}") };
    assert!(reason.contains("nvmlInit_v2"), "{reason}");
}

#[test]
fn a_library_that_does_not_start_says_why() {
    let machine = |code| {
        let mut machine = Machine::with_cards(1);
        machine.errors.insert("nvmlInit_v2".to_owned(), code);
        machine
    };
    let (_folder, library) = installed(&machine(codes::DRIVER_NOT_LOADED), &[]);
    let opened = Library::open(library.path().as_os_str());
    assert!(matches!(opened, Err(OpenError::NoDriver(_))), "{opened:?}");
    library.describe(&machine(codes::NO_PERMISSION)).expect("described");
    let text = Library::open(library.path().as_os_str()).expect_err("refused").to_string();
    assert!(text.contains("does not start: permission denied (nvmlInit_v2)"), "{text}");
    library.describe(&machine(codes::VERSION_MISMATCH)).expect("described");
    let text = Library::open(library.path().as_os_str()).expect_err("refused").to_string();
    assert!(text.contains("of different releases"), "{text}");
}

#[test]
fn only_calls_of_functions_that_are_lacking_fail() {
    let lacking = ["nvmlDeviceGetMigMode", "nvmlDeviceGetArchitecture", "nvmlEventSetWait_v2"];
    let (_folder, library) = installed(&Machine::with_cards(1), &lacking);
    let library = open(&library);
    let device = library.device(0).expect("a card");
    assert_eq!(device.mig_mode().expect_err("lacking").code, Code::Lacking);
    let error = device.architecture().expect_err("lacking");
    assert_eq!(
        error.to_string(),
        "this release of the library lacks the function (nvmlDeviceGetArchitecture)"
    );
    assert_eq!(library.event_set().expect("a set").wait(0).expect_err("lacking").code, Code::Lacking);
    assert_eq!(device.minor(), Ok(0));
}

#[test]
fn errors_of_one_card_leave_the_other_alone() {
    let mut machine = Machine::with_cards(2);
    machine.cards[0].lost = true;
    machine.cards[1].errors.insert("nvmlDeviceGetName".to_owned(), codes::UNKNOWN);
    let (_folder, library) = installed(&machine, &[]);
    let library = open(&library);
    assert_eq!(library.device(0).expect_err("lost").code, Code::GpuIsLost);
    let device = library.device(1).expect("a card");
    assert_eq!(device.name().expect_err("an error").code, Code::Other(999));
    assert!(device.uuid().is_ok());
}

#[test]
fn libraries_of_one_program_do_not_share_their_gpus() {
    let (_one, one) = installed(&Machine::with_cards(1), &[]);
    let (_other, other) = installed(&Machine::with_cards(8), &[]);
    let (first, second) = (open(&one), open(&other));
    assert_eq!((first.count(), second.count()), (Ok(1), Ok(8)));
    one.describe(&Machine::with_cards(0)).expect("described");
    assert_eq!((first.count(), second.count()), (Ok(0), Ok(8)));
}
