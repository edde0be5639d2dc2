//! GPU instances and compute instances, of a library whose GPUs are described in a file.

use drayage_fake_nvml::{Card, FakeLibrary, Machine, codes, install};
use drayage_nvml::{Code, Device, Library, Placement};
use tempfile::TempDir;

fn installed(lacking: &[&str]) -> (TempDir, FakeLibrary) {
    let cards = vec![Card::hopper(0).partitionable(), Card::ampere(1).partitionable(), Card::hopper(2)];
    let folder = tempfile::tempdir().expect("a folder");
    let root = Some(folder.path().to_owned());
    let machine = Machine { cards, root, ..Machine::with_cards(0) };
    let library = install(folder.path(), &machine, lacking).expect("a library");
    (folder, library)
}

fn open(library: &FakeLibrary) -> Library {
    Library::open(library.path().as_os_str()).expect("it opens")
}

/// A profile: its name, its memory in MiB, and where instances can be.
type Told = (Option<String>, u64, Vec<(u32, u32)>);

/// The profiles of a card.
fn profiles(device: Device<'_>) -> Vec<Told> {
    let found = (0..20).filter_map(|number| match device.gpu_instance_profile(number) {
        Ok(profile) => Some(profile),
        Err(error) => {
            assert!(matches!(error.code, Code::NotSupported | Code::InvalidArgument), "{error}");
            None
        }
    });
    found
        .map(|profile| {
            let placements = device.gpu_instance_placements(profile.id).expect("placements");
            let places = placements.iter().map(|placement| (placement.start, placement.size)).collect();
            (profile.name, profile.has.memory_mebibytes, places)
        })
        .collect()
}

#[test]
fn profiles_and_placements_are_told_with_names_where_the_library_has_them() {
    let (_folder, library) = installed(&[]);
    let loaded = open(&library);
    let found = profiles(loaded.device(0).expect("a card"));
    assert_eq!(found.len(), 7);
    assert_eq!(found[0].0.as_deref(), Some("MIG 1g.10gb"));
    assert_eq!(found[2], (Some("MIG 3g.40gb".to_owned()), 40448, vec![(0, 4), (4, 4)]));
    let found = profiles(loaded.device(1).expect("a card"));
    assert_eq!(found[4], (Some("MIG 7g.40gb".to_owned()), 40192, vec![(0, 8)]));
    let whole = loaded.device(2).expect("a card");
    assert_eq!(whole.gpu_instances(19).expect_err("not in MIG mode").code, Code::NotSupported);

    let (_folder, library) = installed(&["nvmlDeviceGetGpuInstanceProfileInfoV"]);
    let loaded = open(&library);
    let found = profiles(loaded.device(1).expect("a card"));
    assert_eq!(found[1], (None, 9856, vec![(0, 2), (2, 2), (4, 2)]));
}

#[test]
fn instances_are_made_listed_and_removed_and_outlive_the_library() {
    let (folder, library) = installed(&[]);
    let place = |start, size| Placement { start, size };
    let loaded = open(&library);
    let device = loaded.device(0).expect("a card");
    let instance = device.create_gpu_instance(9, place(4, 4)).expect("made");
    let info = instance.info().expect("told");
    assert_eq!((info.profile, info.placement), (9, place(4, 4)));
    // Where it is there is no other.
    for (profile, placement, code) in [
        (19, place(5, 1), Code::InsufficientResources),
        (0, place(0, 8), Code::InsufficientResources),
        (9, place(2, 4), Code::InvalidArgument),
        (3, place(0, 1), Code::NotSupported),
    ] {
        assert_eq!(device.create_gpu_instance(profile, placement).expect_err("no room").code, code);
    }
    let whole = (0..8).filter_map(|number| instance.compute_instance_profile(number).ok());
    let whole = whole.max_by_key(|profile| profile.slices).expect("a profile");
    assert_eq!(whole.slices, 3);
    let compute = instance.create_compute_instance(whole.id).expect("made");
    assert_eq!(compute.id(), Ok(0));
    assert_eq!(
        instance.create_compute_instance(whole.id).expect_err("full").code,
        Code::InsufficientResources
    );
    assert_eq!(instance.destroy().expect_err("it has a compute instance").code, Code::InUse);
    let device_of_it = device.mig_device(0).expect("a MIG device");
    assert_eq!((device_of_it.gpu_instance(), device_of_it.compute_instance()), (Ok(info.id), Ok(0)));
    assert_eq!(device_of_it.name().as_deref(), Ok("NVIDIA H100 80GB HBM3 MIG 3g.40gb"));
    let access = format!("proc/driver/nvidia/capabilities/gpu0/mig/gi{}/ci0/access", info.id);
    assert!(folder.path().join(&access).exists());
    drop(loaded);

    let loaded = open(&library);
    let device = loaded.device(0).expect("a card");
    let found = device.gpu_instances(9).expect("listed");
    assert_eq!(found.len(), 1);
    let instance = found[0];
    assert_eq!(instance.info(), Ok(info));
    let mut instances = library.instances();
    instances.instances[0].in_use = true;
    library.set_instances(&instances).expect("written");
    let compute = instance.compute_instances(whole.id).expect("listed");
    assert_eq!(compute.len(), 1);
    assert_eq!(compute[0].destroy().expect_err("a process uses it").code, Code::InUse);
    instances.instances[0].in_use = false;
    library.set_instances(&instances).expect("written");
    compute[0].destroy().expect("removed");
    instance.destroy().expect("removed");
    assert!(library.instances().instances.is_empty() && !folder.path().join(access).exists());
    assert!(instance.info().is_err() && compute[0].destroy().is_err(), "what is gone is gone");

    device.create_gpu_instance(0, place(0, 8)).expect("made");
    library.reboot().expect("started anew");
    assert_eq!(device.gpu_instances(0).expect("listed").len(), 0);
}

#[test]
fn an_old_library_and_a_process_without_privileges_are_errors_of_their_calls() {
    let (_folder, library) = installed(&["nvmlDeviceGetGpuInstancePossiblePlacements_v2"]);
    let loaded = open(&library);
    let device = loaded.device(0).expect("a card");
    assert_eq!(device.gpu_instance_placements(19).expect_err("lacking").code, Code::Lacking);
    let mut machine = Machine { cards: vec![Card::hopper(0).partitionable()], ..Machine::with_cards(0) };
    machine.errors.insert("nvmlDeviceGetGpuInstances".to_owned(), codes::NO_PERMISSION);
    library.describe(&machine).expect("described");
    let error = device.gpu_instances(19).expect_err("refused");
    assert_eq!((error.call, error.code), ("nvmlDeviceGetGpuInstances", Code::NoPermission));
}
