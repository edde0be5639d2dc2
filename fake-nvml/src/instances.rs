//! GPU instances and compute instances that programs make. They are in a file beside the description, so that they outlive the
//! program, as real ones do, until the machine starts anew.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    Card, Machine, MigDevice, Profile, codes,
    machine::{Handle, card, described_at, description, machine},
};

/// Compute slices of the profiles of compute instances, by their numbers in the header.
const COMPUTE_PROFILES: [u32; 7] = [1, 2, 3, 4, 7, 8, 6];

/// The instances of a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct FakeInstances {
    /// How many instances were made, which makes numbers that are used once.
    pub made: u64,
    /// GPU instances.
    pub instances: Vec<FakeInstance>,
}

/// A GPU instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct FakeInstance {
    /// UUID of its card.
    pub card: String,
    /// Number on its card.
    pub id: u32,
    /// ID of its profile.
    pub profile: u32,
    /// Its first memory slice.
    pub start: u32,
    /// Whether some process uses it.
    pub in_use: bool,
    /// Its compute instances: the number of each in it, and the number of its profile.
    pub compute: Vec<[u32; 2]>,
    /// A number that no other one has.
    pub serial: u64,
}

/// The file with the instances of the machine that a file describes.
pub(crate) fn file_of(description: &Path) -> PathBuf {
    let mut name = description.as_os_str().to_owned();
    name.push(".instances");
    name.into()
}

pub(crate) fn read(file: &Path) -> FakeInstances {
    let text = fs::read_to_string(file).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

pub(crate) fn write(file: &Path, instances: &FakeInstances) -> io::Result<()> {
    let written = file.with_extension("written");
    fs::write(&written, serde_json::to_string_pretty(instances)?)?;
    fs::rename(written, file)
}

fn current() -> Result<FakeInstances, u32> {
    Ok(read(&file_of(&description()?)))
}

/// Changes the instances.
fn change<T>(change: impl FnOnce(&mut FakeInstances) -> Result<T, u32>) -> Result<T, u32> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let file = file_of(&description()?);
    let mut instances = read(&file);
    let changed = change(&mut instances)?;
    write(&file, &instances).map_err(|_| codes::UNKNOWN)?;
    Ok(changed)
}

/// MIG devices that instances of a card are, with the numbers of the instances.
pub(crate) fn mig_devices(card: &Card) -> Vec<MigDevice> {
    let Ok(all) = current() else { return Vec::new() };
    let mut of_card: Vec<&FakeInstance> =
        all.instances.iter().filter(|instance| instance.card == card.uuid).collect();
    of_card.sort_by_key(|instance| instance.id);
    let device = |instance: &FakeInstance| {
        let profile = card.profile(instance.profile)?;
        let [compute_instance, number] = *instance.compute.first()?;
        Some(MigDevice {
            uuid: format!("MIG-{}-{}", card.uuid, instance.serial),
            name: format!("{} MIG {}", card.name, profile.name),
            gpu_instance: instance.id,
            compute_instance,
            gpu_instance_slices: profile.slices,
            compute_instance_slices: COMPUTE_PROFILES.get(number as usize).copied().unwrap_or_default(),
            multiprocessors: profile.multiprocessors,
            copy_engines: profile.copy_engines,
            decoders: profile.decoders,
            memory_mebibytes: profile.memory_mebibytes,
        })
    };
    of_card.into_iter().filter_map(device).collect()
}

/// A card in MIG mode that a function is asked about.
fn mig_card(function: &str, handle: Handle) -> Result<Card, u32> {
    let card = card(function, handle)?;
    if card.mig_mode == Some(true) { Ok(card) } else { Err(codes::NOT_SUPPORTED) }
}

/// The profile of a number in the header.
pub(crate) fn profile_of_number(function: &str, handle: Handle, number: u32) -> Result<Profile, u32> {
    let card = card(function, handle)?;
    let found = card.profiles.into_iter().find(|profile| profile.number == number);
    found.ok_or(if number < 17 { codes::NOT_SUPPORTED } else { codes::INVALID_ARGUMENT })
}

/// Where instances of a profile can be: the first memory slice of each, and how many it has.
pub(crate) fn placements(function: &str, handle: Handle, profile: u32) -> Result<Vec<[u32; 2]>, u32> {
    let card = mig_card(function, handle)?;
    let profile = card.profile(profile).ok_or(codes::NOT_SUPPORTED)?;
    Ok(profile.starts.iter().map(|start| [*start, profile.size]).collect())
}

/// GPU instances of a profile, by their serial numbers.
pub(crate) fn gpu_instances(function: &str, handle: Handle, profile: u32) -> Result<Vec<u64>, u32> {
    let card = mig_card(function, handle)?;
    card.profile(profile).ok_or(codes::NOT_SUPPORTED)?;
    let all = current()?.instances;
    let found = all.iter().filter(|instance| instance.card == card.uuid && instance.profile == profile);
    Ok(found.map(|instance| instance.serial).collect())
}

/// Makes a GPU instance.
pub(crate) fn create(function: &str, handle: Handle, profile: u32, place: [u32; 2]) -> Result<u64, u32> {
    let card = mig_card(function, handle)?;
    let [start, size] = place;
    let wanted = card.profile(profile).ok_or(codes::NOT_SUPPORTED)?;
    if !wanted.starts.contains(&start) || wanted.size != size {
        return Err(codes::INVALID_ARGUMENT);
    }
    let instance = change(|all| {
        let of_card = all.instances.iter().filter(|instance| instance.card == card.uuid);
        let mut there: Vec<(u32, u32)> =
            of_card.clone().map(|instance| (instance.profile, instance.start)).collect();
        there.push((profile, start));
        if !card.admits(&there) {
            return Err(codes::INSUFFICIENT_RESOURCES);
        }
        let taken: Vec<u32> = of_card.map(|instance| instance.id).collect();
        let id = (1..=64).find(|id| !taken.contains(id)).unwrap_or_default();
        all.made += 1;
        let serial = all.made;
        let card = card.uuid.clone();
        let instance = FakeInstance { card, id, profile, start, serial, ..FakeInstance::default() };
        all.instances.push(instance.clone());
        Ok(instance)
    })?;
    capability(&card, &instance, None, true);
    Ok(instance.serial)
}

/// A GPU instance and its card.
pub(crate) fn instance(function: &str, serial: u64) -> Result<(FakeInstance, Card, Handle), u32> {
    let machine = machine(function)?;
    let found = current()?.instances.into_iter().find(|instance| instance.serial == serial);
    let instance = found.ok_or(codes::INVALID_ARGUMENT)?;
    let place = machine.cards.iter().position(|card| card.uuid == instance.card);
    let handle = Handle::of_card(place.ok_or(codes::INVALID_ARGUMENT)?);
    // Counts the time of the call twice; nobody minds.
    card(function, handle).map(|card| (instance, card, handle))
}

/// Removes a GPU instance that has no compute instances.
pub(crate) fn destroy(function: &str, serial: u64) -> Result<(), u32> {
    let (instance, card, _) = instance(function, serial)?;
    if instance.in_use || !instance.compute.is_empty() {
        return Err(codes::IN_USE);
    }
    capability(&card, &instance, None, false);
    change(|all| {
        all.instances.retain(|instance| instance.serial != serial);
        Ok(())
    })
}

/// ID and compute slices of a profile of compute instances, by its number in the header.
pub(crate) fn compute_profile(function: &str, serial: u64, number: u32) -> Result<[u32; 2], u32> {
    let (instance, card, _) = instance(function, serial)?;
    let whole = card.profile(instance.profile).map_or(0, |profile| profile.slices);
    let slices = COMPUTE_PROFILES.get(number as usize).ok_or(codes::INVALID_ARGUMENT)?;
    if *slices > whole { Err(codes::NOT_SUPPORTED) } else { Ok([number, *slices]) }
}

/// Numbers of the compute instances of a profile.
pub(crate) fn compute_instances(function: &str, serial: u64, profile: u32) -> Result<Vec<u32>, u32> {
    compute_profile(function, serial, profile)?;
    let compute = instance(function, serial)?.0.compute;
    Ok(compute.into_iter().filter(|[_, of]| *of == profile).map(|[id, _]| id).collect())
}

/// Makes a compute instance, if there are compute slices left.
pub(crate) fn create_compute(function: &str, serial: u64, profile: u32) -> Result<u32, u32> {
    let [_, slices] = compute_profile(function, serial, profile)?;
    let (found, card, _) = instance(function, serial)?;
    let whole = card.profile(found.profile).map_or(0, |profile| profile.slices);
    let id = change(|all| {
        let instance = all.instances.iter_mut().find(|instance| instance.serial == serial);
        let compute = &mut instance.ok_or(codes::INVALID_ARGUMENT)?.compute;
        let size = |[_, profile]: &[u32; 2]| COMPUTE_PROFILES.get(*profile as usize).copied();
        let taken: u32 = compute.iter().filter_map(size).sum();
        if taken + slices > whole {
            return Err(codes::INSUFFICIENT_RESOURCES);
        }
        let id = (0..64).find(|id| !compute.iter().any(|[taken, _]| taken == id)).unwrap_or_default();
        compute.push([id, profile]);
        Ok(id)
    })?;
    capability(&card, &found, Some(id), true);
    Ok(id)
}

/// Removes a compute instance.
pub(crate) fn destroy_compute(function: &str, serial: u64, id: u32) -> Result<(), u32> {
    let (found, card, _) = instance(function, serial)?;
    if found.in_use {
        return Err(codes::IN_USE);
    }
    if !found.compute.iter().any(|[there, _]| *there == id) {
        return Err(codes::INVALID_ARGUMENT);
    }
    capability(&card, &found, Some(id), false);
    change(|all| {
        for instance in all.instances.iter_mut().filter(|instance| instance.serial == serial) {
            instance.compute.retain(|[there, _]| *there != id);
        }
        Ok(())
    })
}

/// Writes or removes what the kernel shows of an instance: the number of its device node, and the node.
fn capability(card: &Card, instance: &FakeInstance, compute: Option<u32>, is_there: bool) {
    let Ok(Machine { root: Some(root), .. }) = description().and_then(|file| described_at(&file)) else {
        return;
    };
    // As NVIDIA's driver numbers them: 15 GPU instances of 8 compute instances each.
    let number = 3 + card.minor * 135 + instance.id * 9 + compute.map_or(0, |compute| compute + 1);
    let folder = format!("proc/driver/nvidia/capabilities/gpu{}/mig/gi{}", card.minor, instance.id);
    let mut folder = root.join(folder);
    if let Some(compute) = compute {
        folder.push(format!("ci{compute}"));
    }
    let node = root.join(format!("dev/nvidia-caps/nvidia-cap{number}"));
    // Files that are not there are what the test is about.
    if is_there {
        let _ = fs::create_dir_all(&folder);
        let _ = fs::write(folder.join("access"), format!("DeviceFileMinor: {number}\nDeviceFileMode: 256\n"));
        let _ = node.parent().map(fs::create_dir_all);
        let _ = fs::write(node, "");
    } else {
        let _ = fs::remove_dir_all(folder);
        let _ = fs::remove_file(node);
    }
}
