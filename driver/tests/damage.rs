//! Any file of the driver's state, and the kubelet's checkpoint, missing, cut anywhere or with any bit flipped: the driver
//! starts, and every claim can be unprepared. Every seventh place is tried; with `DRAYAGE_EVERY_BIT` all are.

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use drayage_driver::{claims::AllocatedDevice, files::FileSystem as _};
use drayage_fake_kubelet::{
    claims::{ClaimCache, Pod},
    messages::{Claim, Device, PrepareResponse, PreparedClaim},
    release::Release,
};
use support::{
    disk::Disk,
    schedules::{CDI, CHECKPOINT, DRIVER, Hardware, STATE, claim, open},
};

const CLAIMS: [(&str, &str); 3] = [("0a", "gpu-0"), ("b0", "shared"), ("c0", "gpu-1")];

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The files and the hardware after three prepares, the second of a shared device.
fn prepared() -> (Files, Hardware) {
    let disk = Disk::new(0, Path::new(CDI));
    disk.create_directory(Path::new("/var/lib/kubelet")).expect("a directory");
    let hardware = Hardware::default();
    let machine = open(&disk, &hardware, 0).expect("a start");
    let mut cache = ClaimCache::new(Release::V1_36);
    for (uid, device) in CLAIMS {
        let allocation = AllocatedDevice {
            request: "gpu".to_owned(),
            pool: "node-1".to_owned(),
            device: device.to_owned(),
            share_id: (device == "shared").then(|| "share".to_owned()),
            ..AllocatedDevice::default()
        };
        let answer = machine.prepare(&claim(uid), || Ok(vec![allocation])).expect("prepared");
        let pod = Pod::new(uid).with_claim(&Claim::new(uid, uid), &[DRIVER]);
        for (driver, batch) in cache.begin_prepare(&pod).expect("no obstacle") {
            let devices = answer.iter().map(|device| Device {
                request_names: device.request_names.clone(),
                pool_name: device.pool_name.clone(),
                device_name: device.device_name.clone(),
                cdi_device_ids: device.cdi_device_ids.clone(),
                share_id: device.share_id.clone(),
            });
            let prepared = PreparedClaim { devices: devices.collect(), error: String::new() };
            let answer = PrepareResponse { claims: [(uid.to_owned(), prepared)].into() };
            cache.take_answer(&driver, &batch, answer).expect("a good answer");
        }
        cache.finish_prepare(&pod);
    }
    disk.put(Path::new(CHECKPOINT), cache.checkpoint().into_bytes());
    drop(machine);
    let paths = disk.files(Path::new("/var"));
    let files = paths.into_iter().map(|path| (path.clone(), disk.read(&path).expect("a file")));
    (files.collect(), hardware)
}

/// Starts with these files and unprepares every claim; nothing may be left.
fn starts_and_ends(files: &Files, hardware: &Hardware, what: &str) {
    let disk = Disk::new(0, Path::new(CDI));
    for directory in ["/var/lib/kubelet", STATE, &format!("{STATE}/metadata"), CDI] {
        disk.create_directory(Path::new(directory)).expect("a directory");
    }
    for (path, content) in files {
        disk.put(path, content.clone());
    }
    let hardware = hardware.copy();
    let machine = open(&disk, &hardware, 0).unwrap_or_else(|| panic!("{what}: no start"));
    for (uid, _) in CLAIMS {
        machine.unprepare(&claim(uid)).unwrap_or_else(|error| panic!("{what}: {uid}: {error}"));
    }
    assert!(machine.records().is_empty() && machine.unknown().is_empty(), "{what}");
    assert_eq!(disk.files(Path::new(CDI)), Vec::<PathBuf>::new(), "{what}");
    let mut left = disk.files(Path::new(STATE));
    left.retain(|path| !path.to_string_lossy().contains("/quarantine/"));
    assert_eq!(left, Vec::<PathBuf>::new(), "{what}");
    assert!(hardware.is_free(), "{what}: a device is still configured");
}

#[test]
fn any_damage_of_one_file_lets_the_driver_start_and_every_claim_go() {
    let step = if std::env::var_os("DRAYAGE_EVERY_BIT").is_some() { 1 } else { 7 };
    let (files, hardware) = prepared();
    starts_and_ends(&files, &hardware, "intact");
    let names: Vec<String> = files.keys().map(|path| path.display().to_string()).collect();
    assert_eq!(names.len(), 9, "three records, three CDI files, two of metadata, the checkpoint: {names:?}");
    let mut cases = 0;
    for (path, content) in &files {
        let mut changed = files.clone();
        let name = path.display();
        changed.remove(path);
        starts_and_ends(&changed, &hardware, &format!("{name} is missing"));
        for length in (0..content.len()).step_by(step) {
            changed.insert(path.clone(), content[..length].to_vec());
            starts_and_ends(&changed, &hardware, &format!("{name} is cut after {length}"));
        }
        for bit in (0..content.len() * 8).step_by(step * if step == 1 { 1 } else { 9 }) {
            let mut flipped = content.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            changed.insert(path.clone(), flipped);
            starts_and_ends(&changed, &hardware, &format!("bit {bit} of {name} is flipped"));
        }
        cases += 1 + content.len().div_ceil(step) + (content.len() * 8).div_ceil(step * 9);
    }
    #[expect(clippy::print_stderr, reason = "shown with `--nocapture`: how much was tried")]
    {
        eprintln!("{cases} kinds of damage to {} files", files.len());
    }
}

/// Every combination of what can have happened to the files of one claim and the checkpoint.
#[test]
fn any_damage_of_several_files_lets_the_driver_start_and_every_claim_go() {
    let (files, hardware) = prepared();
    let of_claim: Vec<&PathBuf> = files
        .keys()
        .filter(|path| path.to_string_lossy().contains("0a") || *path == Path::new(CHECKPOINT))
        .collect();
    assert_eq!(of_claim.len(), 4, "{of_claim:?}");
    for combination in 0..5_usize.pow(4) {
        let mut changed = files.clone();
        let mut rest = combination;
        for path in &of_claim {
            let content = &files[*path];
            match rest % 5 {
                0 => {}
                1 => drop(changed.remove(*path)),
                2 => drop(changed.insert((*path).clone(), Vec::new())),
                3 => drop(changed.insert((*path).clone(), content[..content.len() / 2].to_vec())),
                _ => drop(changed.insert((*path).clone(), vec![0xff; content.len()])),
            }
            rest /= 5;
        }
        starts_and_ends(&changed, &hardware, &format!("combination {combination} of {of_claim:?}"));
    }
}
