//! The functions of the library. The only module with unsafe code: each function writes where its caller says.

#![expect(unsafe_code, reason = "a C library is written to and from pointers of its callers")]

mod instances;

use std::ffi::{c_char, c_int, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlDeviceAttributes_t, nvmlEventData_t, nvmlEventSet_t, nvmlMemory_t, nvmlPciInfo_t,
};

use crate::{
    Card, MigDevice, codes,
    machine::{
        Handle, card, card_at, free_set, initialise, machine, make_set, mig_device, mig_device_at, register,
        shut_down, wait,
    },
};

const INVALID_ARGUMENT: u32 = 2;
const INSUFFICIENT_SIZE: u32 = 7;

/// Writes what was found, if anything was found, and answers.
fn answer<T>(found: Result<T, u32>, to: *mut T) -> u32 {
    match found {
        Ok(_) if to.is_null() => INVALID_ARGUMENT,
        Ok(value) => {
            // SAFETY: the caller gives a pointer to a variable of that type, as the header says.
            unsafe { to.write(value) };
            0
        }
        Err(error) => error,
    }
}

fn succeeded(done: Result<(), u32>) -> u32 {
    done.err().unwrap_or(0)
}

/// Writes a text with a zero at its end.
fn answer_text(found: Result<String, u32>, to: *mut c_char, length: c_uint) -> u32 {
    let text = match found {
        Ok(text) => text,
        Err(error) => return error,
    };
    if to.is_null() {
        return INVALID_ARGUMENT;
    }
    if text.len() >= length as usize {
        return INSUFFICIENT_SIZE;
    }
    for (place, octet) in text.bytes().chain([0]).enumerate() {
        // SAFETY: the caller gives `length` octets, and the text with its zero is not longer.
        unsafe { to.add(place).write(octet.cast_signed()) };
    }
    0
}

/// Something of a card, or of the card of a MIG device.
fn of_card<T>(function: &str, device: nvmlDevice_t, ask: impl FnOnce(&Card) -> T) -> Result<T, u32> {
    card(function, handle(device)).map(|card| ask(&card))
}

/// Something of a MIG device.
fn of_mig<T>(function: &str, device: nvmlDevice_t, ask: impl FnOnce(&MigDevice) -> T) -> Result<T, u32> {
    let card = card(function, handle(device))?;
    mig_device(handle(device), &card).as_ref().map(ask).ok_or(INVALID_ARGUMENT)
}

fn handle(device: nvmlDevice_t) -> Handle {
    Handle(device as usize)
}

fn pointer<T>(number: usize) -> *mut T {
    std::ptr::without_provenance_mut(number)
}

/// A text as an array of the header.
fn array<const LENGTH: usize>(text: &str) -> [c_char; LENGTH] {
    let mut array = [0; LENGTH];
    for (place, octet) in array.iter_mut().zip(text.bytes().take(LENGTH - 1)) {
        *place = octet.cast_signed();
    }
    array
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> u32 {
    succeeded(machine("nvmlInit_v2").map(|_| initialise()))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> u32 {
    succeeded(machine("nvmlShutdown").map(|_| shut_down()))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) -> u32 {
    let found = machine("nvmlSystemGetDriverVersion").map(|machine| machine.driver_version);
    answer_text(found, version, length)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) -> u32 {
    answer(machine("nvmlSystemGetCudaDriverVersion_v2").map(|machine| machine.cuda_version), version)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> u32 {
    let found = machine("nvmlDeviceGetCount_v2");
    answer(found.map(|machine| u32::try_from(machine.cards.len()).unwrap_or(u32::MAX)), count)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut nvmlDevice_t) -> u32 {
    let found = card_at("nvmlDeviceGetHandleByIndex_v2", index as usize);
    answer(found.map(|(_, handle)| pointer(handle.0)), device)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetUUID(device: nvmlDevice_t, uuid: *mut c_char, length: c_uint) -> u32 {
    let found = of_card("nvmlDeviceGetUUID", device, |card| {
        mig_device(handle(device), card).map_or_else(|| card.uuid.clone(), |mig| mig.uuid)
    });
    answer_text(found, uuid, length)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetName(device: nvmlDevice_t, name: *mut c_char, length: c_uint) -> u32 {
    let found = of_card("nvmlDeviceGetName", device, |card| {
        mig_device(handle(device), card).map_or_else(|| card.name.clone(), |mig| mig.name)
    });
    answer_text(found, name, length)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetBrand(device: nvmlDevice_t, brand: *mut c_uint) -> u32 {
    answer(of_card("nvmlDeviceGetBrand", device, |card| card.brand), brand)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetArchitecture(device: nvmlDevice_t, architecture: *mut c_uint) -> u32 {
    answer(of_card("nvmlDeviceGetArchitecture", device, |card| card.architecture), architecture)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetCudaComputeCapability(
    device: nvmlDevice_t,
    major: *mut c_int,
    minor: *mut c_int,
) -> u32 {
    match of_card("nvmlDeviceGetCudaComputeCapability", device, |card| card.compute_capability) {
        Ok([found_major, found_minor]) => answer(Ok(found_major), major).max(answer(Ok(found_minor), minor)),
        Err(error) => error,
    }
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMemoryInfo(device: nvmlDevice_t, memory: *mut nvmlMemory_t) -> u32 {
    let found = of_card("nvmlDeviceGetMemoryInfo", device, |card| nvmlMemory_t {
        total: card.memory,
        free: card.memory,
        used: 0,
    });
    answer(found, memory)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMinorNumber(device: nvmlDevice_t, minor: *mut c_uint) -> u32 {
    answer(of_card("nvmlDeviceGetMinorNumber", device, |card| card.minor), minor)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetPciInfo_v3(device: nvmlDevice_t, info: *mut nvmlPciInfo_t) -> u32 {
    let found = of_card("nvmlDeviceGetPciInfo_v3", device, |card| nvmlPciInfo_t {
        busIdLegacy: array(card.bus_id.get(4..).unwrap_or_default()),
        domain: 0,
        bus: 0,
        device: 0,
        pciDeviceId: 0,
        pciSubSystemId: 0,
        busId: array(&card.bus_id),
    });
    answer(found, info)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMigMode(device: nvmlDevice_t, current: *mut c_uint, pending: *mut c_uint) -> u32 {
    match of_card("nvmlDeviceGetMigMode", device, |card| card.mig_mode) {
        Ok(Some(on)) => answer(Ok(u32::from(on)), current).max(answer(Ok(u32::from(on)), pending)),
        Ok(None) => codes::NOT_SUPPORTED,
        Err(error) => error,
    }
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMaxMigDeviceCount(device: nvmlDevice_t, count: *mut c_uint) -> u32 {
    let most = |card: &Card| if card.mig_mode.is_some() { 7 } else { 0 };
    answer(of_card("nvmlDeviceGetMaxMigDeviceCount", device, most), count)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: nvmlDevice_t,
    index: c_uint,
    mig: *mut nvmlDevice_t,
) -> u32 {
    let found = mig_device_at("nvmlDeviceGetMigDeviceHandleByIndex", handle(device), index as usize);
    answer(found.map(|handle| pointer(handle.0)), mig)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetGpuInstanceId(device: nvmlDevice_t, id: *mut c_uint) -> u32 {
    answer(of_mig("nvmlDeviceGetGpuInstanceId", device, |mig| mig.gpu_instance), id)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetComputeInstanceId(device: nvmlDevice_t, id: *mut c_uint) -> u32 {
    answer(of_mig("nvmlDeviceGetComputeInstanceId", device, |mig| mig.compute_instance), id)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetAttributes_v2(
    device: nvmlDevice_t,
    attributes: *mut nvmlDeviceAttributes_t,
) -> u32 {
    let found = of_mig("nvmlDeviceGetAttributes_v2", device, |mig| nvmlDeviceAttributes_t {
        multiprocessorCount: mig.multiprocessors,
        sharedCopyEngineCount: mig.copy_engines,
        sharedDecoderCount: mig.decoders,
        sharedEncoderCount: 0,
        sharedJpegCount: 0,
        sharedOfaCount: 0,
        gpuInstanceSliceCount: mig.gpu_instance_slices,
        computeInstanceSliceCount: mig.compute_instance_slices,
        memorySizeMB: mig.memory_mebibytes,
    });
    answer(found, attributes)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetSupportedEventTypes(device: nvmlDevice_t, types: *mut c_ulonglong) -> u32 {
    answer(of_card("nvmlDeviceGetSupportedEventTypes", device, |card| card.event_types), types)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlEventSetCreate(set: *mut nvmlEventSet_t) -> u32 {
    answer(machine("nvmlEventSetCreate").map(|_| pointer(make_set())), set)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlEventSetFree(set: nvmlEventSet_t) -> u32 {
    succeeded(machine("nvmlEventSetFree").and_then(|_| free_set(set as usize)))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceRegisterEvents(device: nvmlDevice_t, types: c_ulonglong, set: nvmlEventSet_t) -> u32 {
    succeeded(register("nvmlDeviceRegisterEvents", set as usize, handle(device), types))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlEventSetWait_v2(
    set: nvmlEventSet_t,
    data: *mut nvmlEventData_t,
    milliseconds: c_uint,
) -> u32 {
    let found = wait("nvmlEventSetWait_v2", set as usize, milliseconds);
    let found = found.map(|(event, handle)| nvmlEventData_t {
        device: pointer(handle.0),
        eventType: event.event_type,
        eventData: event.data,
        gpuInstanceId: event.instance.map_or(u32::MAX, |[instance, _]| instance),
        computeInstanceId: event.instance.map_or(u32::MAX, |[_, instance]| instance),
    });
    answer(found, data)
}
