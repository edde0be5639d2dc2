//! GPU instances and compute instances made for claims and removed, on the thread that looks at the GPUs. Everything may be
//! asked again, also after a process that had begun has ended.

use drayage_nvml::{Code, ComputeInstance, Device, Error, GpuInstance, Library};

use super::{
    inventory::kernel_address,
    layout::{Layout, Possible, Wanted, instance, overlap},
    look::Shared,
};
use crate::kubelet::Failure;

/// Numbers of profiles of compute instances that are asked for. The header of today has 8.
const PROFILE_NUMBERS: u32 = 16;

/// Why a MIG device cannot be made or removed.
pub(super) fn refused(wanted: &Wanted, verb: &str, error: &Error) -> Failure {
    let what = wanted.what();
    match error.code {
        Code::NoPermission => Failure::Permanent(format!(
            "{what} cannot be {verb}: NVML lets only root with `CAP_SYS_ADMIN`, or who may open the capability `mig/config`, \
             make and remove GPU instances ({})",
            error.call
        )),
        Code::NotSupported | Code::Lacking => Failure::Permanent(format!("{what} cannot be {verb}: {error}")),
        Code::InUse => Failure::Transient(format!(
            "{what} cannot be {verb}: some process still uses it ({})",
            error.call
        )),
        _ => Failure::Transient(format!("{what} cannot be {verb}: {error}")),
    }
}

/// The card of an address, if it answers.
fn card<'library>(library: &'library Library, address: &str) -> Result<Option<Device<'library>>, Error> {
    for index in 0..library.count()? {
        let Ok(device) = library.device(index) else { continue };
        if device.bus_id().is_ok_and(|found| kernel_address(&found) == address) {
            return Ok(Some(device));
        }
    }
    Ok(None)
}

fn layout(shared: &Shared, device: Device<'_>, address: &str) -> Result<Layout, Error> {
    let before = {
        let state = shared.state();
        let cards = state.inventory.iter().flat_map(|inventory| &inventory.cards);
        cards.into_iter().find(|card| card.address == address).and_then(|card| card.layout.clone())
    };
    let read = || Layout::read(device, device.memory().ok(), before.as_ref());
    shared.calling("nvmlDeviceGetGpuInstances", read)
}

/// Makes a MIG device, or goes on where an earlier try had ended.
pub(super) fn make(shared: &Shared, library: &Library, wanted: &Wanted) -> Result<(), Failure> {
    let failed = |error: Error| refused(wanted, "made", &error);
    let device = shared.calling("nvmlDeviceGetCount_v2", || card(library, &wanted.address));
    let device = device.map_err(failed)?.ok_or_else(|| {
        Failure::Transient(format!("{} cannot be made: the GPU does not answer", wanted.what()))
    })?;
    if !device.mig_mode().map_err(failed)? {
        let text = "the GPU is not in MIG mode, which the driver never switches on";
        return Err(Failure::Transient(format!("{} cannot be made: {text}", wanted.what())));
    }
    let layout = layout(shared, device, &wanted.address).map_err(failed)?;
    let possible = layout.find(wanted).ok_or_else(|| {
        Failure::Transient(format!("{} cannot be made: the GPU has no such profile there", wanted.what()))
    })?;
    let gpu_instance = gpu_instance(shared, device, &layout, possible, wanted)?;
    compute_instance(shared, gpu_instance, possible, wanted)
}

/// The GPU instance of a MIG device: the one that is there, if it was made for this claim, or a new one.
fn gpu_instance<'library>(
    shared: &Shared,
    device: Device<'library>,
    layout: &Layout,
    possible: &Possible,
    wanted: &Wanted,
) -> Result<GpuInstance<'library>, Failure> {
    let failed = |error: Error| refused(wanted, "made", &error);
    let mut others = layout.instances.iter().filter(|there| overlap(there.placement, possible.placement));
    if let Some(there) = layout.instance_of(possible).filter(|_| shared.is_ours(&wanted.name)) {
        if let Some(found) = instance(device, there).map_err(failed)? {
            return Ok(found);
        }
    } else if let Some(there) = others.next() {
        return Err(Failure::Transient(format!(
            "{} cannot be made: GPU instance {} is in the way, which no claim holds",
            wanted.what(),
            there.id
        )));
    }
    // From here on what is there is ours, also if nobody waits for the answer any more.
    shared.set_ours(&wanted.name, true);
    let made = shared.calling("nvmlDeviceCreateGpuInstanceWithPlacement", || {
        device.create_gpu_instance(possible.id, possible.placement)
    });
    made.map_err(|error| {
        shared.set_ours(&wanted.name, false);
        failed(error)
    })
}

/// Compute instances that there are, with the number of slices of the profile of each.
fn compute_instances(instance: GpuInstance<'_>) -> Result<Vec<(ComputeInstance<'_>, u32)>, Error> {
    let mut found = Vec::new();
    for number in 0..PROFILE_NUMBERS {
        let Ok(profile) = instance.compute_instance_profile(number) else { continue };
        let there = instance.compute_instances(profile.id)?;
        found.extend(there.into_iter().map(|compute| (compute, profile.slices)));
    }
    Ok(found)
}

/// One compute instance over the whole GPU instance.
fn compute_instance(
    shared: &Shared,
    instance: GpuInstance<'_>,
    possible: &Possible,
    wanted: &Wanted,
) -> Result<(), Failure> {
    let failed = |error: Error| refused(wanted, "made", &error);
    let slices = possible.has.gpu_instance_slices;
    let there = shared.calling("nvmlGpuInstanceGetComputeInstances", || compute_instances(instance));
    match there.map_err(failed)?[..] {
        [] => {}
        [(_, of_it)] if of_it == slices => return Ok(()),
        _ => {
            let text = "its GPU instance has compute instances that no claim holds";
            return Err(Failure::Transient(format!("{} cannot be made: {text}", wanted.what())));
        }
    }
    let profiles = (0..PROFILE_NUMBERS).filter_map(|number| instance.compute_instance_profile(number).ok());
    let whole = profiles.into_iter().find(|profile| profile.slices == slices).ok_or_else(|| {
        let text = format!("no profile of compute instances has its {slices} slices");
        Failure::Permanent(format!("{} cannot be made: {text}", wanted.what()))
    })?;
    shared
        .calling("nvmlGpuInstanceCreateComputeInstance", || instance.create_compute_instance(whole.id))
        .map(drop)
        .map_err(failed)
}

/// Whether with this error there is no instance any more, or will be none: a card that is lost, or has to be reset, comes back
/// without instances.
fn is_gone(error: &Error) -> bool {
    matches!(error.code, Code::GpuIsLost | Code::ResetRequired | Code::DriverNotLoaded)
}

/// Removes a MIG device that was made here. Succeeds where it is gone already.
pub(super) fn remove(shared: &Shared, library: &Library, wanted: &Wanted) -> Result<(), Failure> {
    if !shared.is_ours(&wanted.name) {
        return Ok(());
    }
    match remove_instances(shared, library, wanted) {
        Err(error) if !is_gone(&error) => Err(refused(wanted, "removed", &error)),
        _ => Ok(()),
    }
}

fn remove_instances(shared: &Shared, library: &Library, wanted: &Wanted) -> Result<(), Error> {
    let device = shared.calling("nvmlDeviceGetCount_v2", || card(library, &wanted.address))?;
    let Some(device) = device else { return Ok(()) };
    if !device.mig_mode()? {
        return Ok(());
    }
    let layout = layout(shared, device, &wanted.address)?;
    let there = layout.find(wanted).and_then(|possible| layout.instance_of(possible));
    let Some(there) = there else { return Ok(()) };
    let Some(instance) = instance(device, there)? else { return Ok(()) };
    let compute = shared.calling("nvmlGpuInstanceGetComputeInstances", || compute_instances(instance))?;
    for (compute, _) in compute {
        shared.calling("nvmlComputeInstanceDestroy", || compute.destroy())?;
    }
    shared.calling("nvmlGpuInstanceDestroy", || instance.destroy())
}
