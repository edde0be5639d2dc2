//! The functions about GPU instances and compute instances.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::{
    nvmlComputeInstance_t, nvmlComputeInstanceInfo_t, nvmlComputeInstancePlacement_t,
    nvmlComputeInstanceProfileInfo_t, nvmlDevice_t, nvmlGpuInstance_t, nvmlGpuInstanceInfo_t,
    nvmlGpuInstancePlacement_t, nvmlGpuInstanceProfileInfo_t, nvmlGpuInstanceProfileInfo_v2_t,
};

use super::{INSUFFICIENT_SIZE, INVALID_ARGUMENT, answer, array, handle, pointer, succeeded};
use crate::instances;

/// Handle of a GPU instance: its serial number above the octet that compute instances have their number in, counted from 1.
fn gpu_instance(serial: u64) -> nvmlGpuInstance_t {
    pointer(usize::try_from(serial << 8).unwrap_or_default())
}

fn compute_instance(serial: u64, id: u32) -> nvmlComputeInstance_t {
    pointer(usize::try_from(serial << 8).unwrap_or_default() | (id as usize + 1))
}

fn serial(instance: nvmlGpuInstance_t) -> u64 {
    (instance as u64) >> 8
}

/// Serial number of its GPU instance, and its own number there.
fn numbers(instance: nvmlComputeInstance_t) -> Result<(u64, u32), u32> {
    let number = u32::try_from(instance as usize & 0xff).ok().and_then(|number| number.checked_sub(1));
    Ok(((instance as u64) >> 8, number.ok_or(INVALID_ARGUMENT)?))
}

/// Writes a list, and how long it is, where its caller has room for `room` of them.
fn answer_list<T>(found: Result<Vec<T>, u32>, room: Option<usize>, to: *mut T, count: *mut c_uint) -> u32 {
    let found = match found {
        Ok(found) => found,
        Err(error) => return error,
    };
    if room.is_some_and(|room| room < found.len()) {
        return INSUFFICIENT_SIZE;
    }
    let length = u32::try_from(found.len()).unwrap_or(u32::MAX);
    if !to.is_null() {
        for (place, value) in found.into_iter().enumerate() {
            // SAFETY: the caller gives room for so many, which was checked where the header lets it say how much it gives; else
            // the header asks for as much as the profile can have, and that is what there is at most.
            unsafe { to.add(place).write(value) };
        }
    }
    answer(Ok(length), count)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetGpuInstanceProfileInfo(
    device: nvmlDevice_t,
    number: c_uint,
    info: *mut nvmlGpuInstanceProfileInfo_t,
) -> u32 {
    let found = instances::profile_of_number("nvmlDeviceGetGpuInstanceProfileInfo", handle(device), number);
    let found = found.map(|profile| nvmlGpuInstanceProfileInfo_t {
        id: profile.id,
        isP2pSupported: 0,
        sliceCount: profile.slices,
        instanceCount: profile.instances,
        multiprocessorCount: profile.multiprocessors,
        copyEngineCount: profile.copy_engines,
        decoderCount: profile.decoders,
        encoderCount: profile.encoders,
        jpegCount: profile.jpeg_engines,
        ofaCount: profile.ofa_engines,
        memorySizeMB: profile.memory_mebibytes,
    });
    answer(found, info)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetGpuInstanceProfileInfoV(
    device: nvmlDevice_t,
    number: c_uint,
    info: *mut nvmlGpuInstanceProfileInfo_v2_t,
) -> u32 {
    let size = c_uint::try_from(size_of::<nvmlGpuInstanceProfileInfo_v2_t>()).unwrap_or_default();
    // SAFETY: the caller gives a pointer to a structure that begins with its version.
    let version = if info.is_null() { 0 } else { unsafe { (*info).version } };
    if version != size | 2 << 24 {
        return 25;
    }
    let found = instances::profile_of_number("nvmlDeviceGetGpuInstanceProfileInfoV", handle(device), number);
    let found = found.map(|profile| nvmlGpuInstanceProfileInfo_v2_t {
        version,
        id: profile.id,
        isP2pSupported: 0,
        sliceCount: profile.slices,
        instanceCount: profile.instances,
        multiprocessorCount: profile.multiprocessors,
        copyEngineCount: profile.copy_engines,
        decoderCount: profile.decoders,
        encoderCount: profile.encoders,
        jpegCount: profile.jpeg_engines,
        ofaCount: profile.ofa_engines,
        memorySizeMB: profile.memory_mebibytes,
        name: array(&format!("MIG {}", profile.name)),
    });
    answer(found, info)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetGpuInstancePossiblePlacements_v2(
    device: nvmlDevice_t,
    profile: c_uint,
    placements: *mut nvmlGpuInstancePlacement_t,
    count: *mut c_uint,
) -> u32 {
    let found =
        instances::placements("nvmlDeviceGetGpuInstancePossiblePlacements_v2", handle(device), profile);
    let placement = |[start, size]: [u32; 2]| nvmlGpuInstancePlacement_t { start, size };
    let found = found.map(|found| found.into_iter().map(placement).collect());
    // SAFETY: the caller says there how many it has room for, unless it only asks how many there are.
    let room = (!placements.is_null() && !count.is_null()).then(|| unsafe { *count } as usize);
    answer_list(found, room, placements, count)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetGpuInstances(
    device: nvmlDevice_t,
    profile: c_uint,
    instances: *mut nvmlGpuInstance_t,
    count: *mut c_uint,
) -> u32 {
    let found = instances::gpu_instances("nvmlDeviceGetGpuInstances", handle(device), profile);
    let found = found.map(|found| found.into_iter().map(gpu_instance).collect());
    answer_list(found, None, instances, count)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceCreateGpuInstanceWithPlacement(
    device: nvmlDevice_t,
    profile: c_uint,
    placement: *const nvmlGpuInstancePlacement_t,
    instance: *mut nvmlGpuInstance_t,
) -> u32 {
    if placement.is_null() || instance.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: the caller gives a pointer to a placement.
    let placement = unsafe { *placement };
    let function = "nvmlDeviceCreateGpuInstanceWithPlacement";
    let made = instances::create(function, handle(device), profile, [placement.start, placement.size]);
    answer(made.map(gpu_instance), instance)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpuInstanceDestroy(instance: nvmlGpuInstance_t) -> u32 {
    succeeded(instances::destroy("nvmlGpuInstanceDestroy", serial(instance)))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpuInstanceGetInfo(instance: nvmlGpuInstance_t, info: *mut nvmlGpuInstanceInfo_t) -> u32 {
    let found = instances::instance("nvmlGpuInstanceGetInfo", serial(instance));
    let found = found.map(|(instance, card, handle)| nvmlGpuInstanceInfo_t {
        device: pointer(handle.0),
        id: instance.id,
        profileId: instance.profile,
        placement: nvmlGpuInstancePlacement_t {
            start: instance.start,
            size: card.profile(instance.profile).map_or(0, |profile| profile.size),
        },
    });
    answer(found, info)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpuInstanceGetComputeInstanceProfileInfo(
    instance: nvmlGpuInstance_t,
    number: c_uint,
    engines: c_uint,
    info: *mut nvmlComputeInstanceProfileInfo_t,
) -> u32 {
    if engines != 0 {
        return INVALID_ARGUMENT;
    }
    let function = "nvmlGpuInstanceGetComputeInstanceProfileInfo";
    let found = instances::compute_profile(function, serial(instance), number);
    let found = found.map(|[id, slices]| nvmlComputeInstanceProfileInfo_t {
        id,
        sliceCount: slices,
        instanceCount: 1,
        multiprocessorCount: 0,
        sharedCopyEngineCount: 0,
        sharedDecoderCount: 0,
        sharedEncoderCount: 0,
        sharedJpegCount: 0,
        sharedOfaCount: 0,
    });
    answer(found, info)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpuInstanceCreateComputeInstance(
    instance: nvmlGpuInstance_t,
    profile: c_uint,
    made: *mut nvmlComputeInstance_t,
) -> u32 {
    let function = "nvmlGpuInstanceCreateComputeInstance";
    let id = instances::create_compute(function, serial(instance), profile);
    answer(id.map(|id| compute_instance(serial(instance), id)), made)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlGpuInstanceGetComputeInstances(
    instance: nvmlGpuInstance_t,
    profile: c_uint,
    instances: *mut nvmlComputeInstance_t,
    count: *mut c_uint,
) -> u32 {
    let function = "nvmlGpuInstanceGetComputeInstances";
    let found = instances::compute_instances(function, serial(instance), profile);
    let found = found.map(|ids| ids.into_iter().map(|id| compute_instance(serial(instance), id)).collect());
    answer_list(found, None, instances, count)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlComputeInstanceGetInfo_v2(
    instance: nvmlComputeInstance_t,
    info: *mut nvmlComputeInstanceInfo_t,
) -> u32 {
    let found = numbers(instance).and_then(|(serial, id)| {
        let (found, _, handle) = instances::instance("nvmlComputeInstanceGetInfo_v2", serial)?;
        let compute = found.compute.into_iter().find(|[there, _]| *there == id);
        let [_, profile] = compute.ok_or(INVALID_ARGUMENT)?;
        Ok(nvmlComputeInstanceInfo_t {
            device: pointer(handle.0),
            gpuInstance: gpu_instance(serial),
            id,
            profileId: profile,
            placement: nvmlComputeInstancePlacement_t { start: 0, size: 0 },
        })
    });
    answer(found, info)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlComputeInstanceDestroy(instance: nvmlComputeInstance_t) -> u32 {
    let destroyed = numbers(instance)
        .and_then(|(serial, id)| instances::destroy_compute("nvmlComputeInstanceDestroy", serial, id));
    succeeded(destroyed)
}
