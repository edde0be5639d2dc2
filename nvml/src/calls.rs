//! The calls. The only module with unsafe code: every block is one call of the library, with memory of its own.

#![expect(unsafe_code, reason = "functions of a C library can be called in no other way")]

use std::{
    ffi::{OsStr, c_char, c_int, c_uint},
    fmt,
    marker::PhantomData,
    ptr::null_mut,
};

use nvml_wrapper_sys::bindings::{
    NvmlLib, nvmlDevice_t, nvmlDeviceAttributes_t, nvmlEventData_t, nvmlEventSet_t, nvmlMemory_t,
    nvmlPciInfo_t,
};

use crate::{Code, Error, Event, MigAttributes, OpenError};

/// Longest text that NVML gives, its zero counted.
const LONGEST_TEXT: c_uint = 96;
/// What stands in place of an instance where there is none.
const NO_INSTANCE: u32 = u32::MAX;

/// Calls a function, if the library has it.
macro_rules! call {
    ($library:expr, $function:ident($($argument:expr),*)) => {
        match &$library.functions.$function {
            Ok(function) => {
                // SAFETY: the function has the type that NVIDIA's header gives it. Pointers among the arguments lead to
                // variables of the caller that live through the call and are as large as is said; handles come from the
                // same library, which is initialised as long as `Library` lives.
                let answer = unsafe { function($($argument),*) };
                Error::of(stringify!($function), answer)
            }
            Err(_) => Err(Error::new(stringify!($function), Code::Lacking)),
        }
    };
}

// After the macro that it uses.
mod instances;

pub use instances::{ComputeInstance, GpuInstance};

/// The library, initialised. It is shut down when it is dropped.
pub struct Library {
    functions: NvmlLib,
}

impl fmt::Debug for Library {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Library")
    }
}

/// A GPU or a MIG device.
#[derive(Clone, Copy)]
pub struct Device<'library> {
    library: &'library Library,
    handle: nvmlDevice_t,
}

impl fmt::Debug for Device<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Device").field(&self.handle).finish()
    }
}

/// Handles of one device are equal as long as the library is not shut down.
impl PartialEq for Device<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.handle == other.handle
    }
}

impl Eq for Device<'_> {}

/// Devices whose events are waited for.
pub struct EventSet<'library> {
    library: &'library Library,
    handle: nvmlEventSet_t,
    /// The set is waited for by one thread.
    not_sync: PhantomData<*const ()>,
}

impl fmt::Debug for EventSet<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("EventSet").field(&self.handle).finish()
    }
}

/// A text up to its zero.
fn text(buffer: &[c_char]) -> String {
    let octets: Vec<u8> =
        buffer.iter().take_while(|octet| **octet != 0).map(|octet| octet.cast_unsigned()).collect();
    String::from_utf8_lossy(&octets).into_owned()
}

impl Library {
    /// Loads the library `name`, usually `libnvidia-ml.so.1`, or of that path, and initialises it.
    pub fn open(name: &OsStr) -> Result<Self, OpenError> {
        let shown = name.display().to_string();
        // SAFETY: loading runs the initialisation of whatever file is there. That it is NVIDIA's library is up to whoever
        // named it, as with every program that uses it; nothing is called but what NVIDIA's header has.
        let loaded = unsafe { NvmlLib::new(name) };
        let functions = loaded.map_err(|error| absent_or_unusable(shown.clone(), &error.to_string()))?;
        if functions.nvmlInit_v2.is_err() {
            let reason = "it has no function `nvmlInit_v2`".to_owned();
            return Err(OpenError::Unusable { name: shown, reason });
        }
        // Made before it is initialised, so that it would be shut down; a failed start needs no shutdown.
        let answer = match &functions.nvmlInit_v2 {
            // SAFETY: it takes no arguments.
            Ok(function) => Error::of("nvmlInit_v2", unsafe { function() }),
            Err(_) => Err(Error::new("nvmlInit_v2", Code::Lacking)),
        };
        match answer {
            Ok(()) => Ok(Self { functions }),
            // `LibraryNotFound` is 12: a library beside it that belongs to the kernel's driver.
            Err(Error { code: Code::DriverNotLoaded | Code::Other(12), .. }) => {
                Err(OpenError::NoDriver(shown))
            }
            Err(error) => Err(OpenError::Start { name: shown, error }),
        }
    }

    /// Version of the kernel's driver, such as `580.105.08`.
    pub fn driver_version(&self) -> Result<String, Error> {
        written(|buffer, length| call!(self, nvmlSystemGetDriverVersion(buffer, length)))
    }

    /// Newest CUDA that the driver knows, as major and minor.
    pub fn cuda_version(&self) -> Result<(u32, u32), Error> {
        let mut version: c_int = 0;
        call!(self, nvmlSystemGetCudaDriverVersion_v2(&raw mut version))?;
        let version = version.unsigned_abs();
        Ok((version / 1000, version % 1000 / 10))
    }

    /// How many GPUs there are, whether this process may use them or not.
    pub fn count(&self) -> Result<u32, Error> {
        let mut count: c_uint = 0;
        call!(self, nvmlDeviceGetCount_v2(&raw mut count))?;
        Ok(count)
    }

    /// The GPU of an index below [`Library::count`].
    pub fn device(&self, index: u32) -> Result<Device<'_>, Error> {
        let mut handle: nvmlDevice_t = null_mut();
        call!(self, nvmlDeviceGetHandleByIndex_v2(index, &raw mut handle))?;
        Ok(Device { library: self, handle })
    }

    /// A set without devices.
    pub fn event_set(&self) -> Result<EventSet<'_>, Error> {
        let mut handle: nvmlEventSet_t = null_mut();
        call!(self, nvmlEventSetCreate(&raw mut handle))?;
        Ok(EventSet { library: self, handle, not_sync: PhantomData })
    }
}

/// A text that a function writes into a buffer of a given length.
fn written(ask: impl FnOnce(*mut c_char, c_uint) -> Result<(), Error>) -> Result<String, Error> {
    let mut buffer: [c_char; LONGEST_TEXT as usize] = [0; LONGEST_TEXT as usize];
    ask(buffer.as_mut_ptr(), LONGEST_TEXT)?;
    Ok(text(&buffer))
}

/// A file that is not there is absent; one that is there and cannot be loaded is a fault that somebody should see.
fn absent_or_unusable(name: String, reason: &str) -> OpenError {
    let reason = reason.to_owned();
    // The first is glibc's, the second that of a static program with musl.
    let absent = ["No such file", "Dynamic loading not supported"];
    if absent.iter().any(|text| reason.contains(text)) {
        OpenError::Absent { name, reason }
    } else {
        OpenError::Unusable { name, reason }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // There is nothing to do about a library that does not stop.
        let _ = call!(self, nvmlShutdown());
    }
}

impl<'library> Device<'library> {
    /// Globally unique name, `GPU-…` or `MIG-…`.
    pub fn uuid(self) -> Result<String, Error> {
        written(|buffer, length| call!(self.library, nvmlDeviceGetUUID(self.handle, buffer, length)))
    }

    /// Name of the product, such as `NVIDIA H100 80GB HBM3`; of a MIG device with its profile at the end.
    pub fn name(self) -> Result<String, Error> {
        written(|buffer, length| call!(self.library, nvmlDeviceGetName(self.handle, buffer, length)))
    }

    /// Number of the product line.
    pub fn brand(self) -> Result<u32, Error> {
        let mut brand = 0;
        call!(self.library, nvmlDeviceGetBrand(self.handle, &raw mut brand))?;
        Ok(brand)
    }

    /// Number of the architecture.
    pub fn architecture(self) -> Result<u32, Error> {
        let mut architecture: c_uint = 0;
        call!(self.library, nvmlDeviceGetArchitecture(self.handle, &raw mut architecture))?;
        Ok(architecture)
    }

    /// CUDA compute capability, major and minor.
    pub fn compute_capability(self) -> Result<(u32, u32), Error> {
        let (mut major, mut minor): (c_int, c_int) = (0, 0);
        call!(self.library, nvmlDeviceGetCudaComputeCapability(self.handle, &raw mut major, &raw mut minor))?;
        Ok((major.unsigned_abs(), minor.unsigned_abs()))
    }

    /// Installed memory in octets.
    pub fn memory(self) -> Result<u64, Error> {
        let mut memory = nvmlMemory_t { total: 0, free: 0, used: 0 };
        call!(self.library, nvmlDeviceGetMemoryInfo(self.handle, &raw mut memory))?;
        Ok(memory.total)
    }

    /// Number of its device node, `/dev/nvidiaN`.
    pub fn minor(self) -> Result<u32, Error> {
        let mut minor: c_uint = 0;
        call!(self.library, nvmlDeviceGetMinorNumber(self.handle, &raw mut minor))?;
        Ok(minor)
    }

    /// PCI address as NVML writes it, with eight digits of the domain: `00000000:65:00.0`.
    pub fn bus_id(self) -> Result<String, Error> {
        let mut info = nvmlPciInfo_t {
            busIdLegacy: [0; 16],
            domain: 0,
            bus: 0,
            device: 0,
            pciDeviceId: 0,
            pciSubSystemId: 0,
            busId: [0; 32],
        };
        call!(self.library, nvmlDeviceGetPciInfo_v3(self.handle, &raw mut info))?;
        Ok(text(&info.busId))
    }

    /// Whether it is in MIG mode now.
    pub fn mig_mode(self) -> Result<bool, Error> {
        let (mut current, mut pending): (c_uint, c_uint) = (0, 0);
        call!(self.library, nvmlDeviceGetMigMode(self.handle, &raw mut current, &raw mut pending))?;
        Ok(current == 1)
    }

    /// How many MIG devices it can have at most.
    pub fn most_mig_devices(self) -> Result<u32, Error> {
        let mut count: c_uint = 0;
        call!(self.library, nvmlDeviceGetMaxMigDeviceCount(self.handle, &raw mut count))?;
        Ok(count)
    }

    /// A MIG device. Indices below [`Device::most_mig_devices`] may have none.
    pub fn mig_device(self, index: u32) -> Result<Device<'library>, Error> {
        let mut handle: nvmlDevice_t = null_mut();
        call!(self.library, nvmlDeviceGetMigDeviceHandleByIndex(self.handle, index, &raw mut handle))?;
        Ok(Device { library: self.library, handle })
    }

    /// Number of the GPU instance that a MIG device is in.
    pub fn gpu_instance(self) -> Result<u32, Error> {
        let mut instance: c_uint = 0;
        call!(self.library, nvmlDeviceGetGpuInstanceId(self.handle, &raw mut instance))?;
        Ok(instance)
    }

    /// Number of the compute instance that a MIG device is.
    pub fn compute_instance(self) -> Result<u32, Error> {
        let mut instance: c_uint = 0;
        call!(self.library, nvmlDeviceGetComputeInstanceId(self.handle, &raw mut instance))?;
        Ok(instance)
    }

    /// What a MIG device has.
    pub fn mig_attributes(self) -> Result<MigAttributes, Error> {
        let mut attributes = nvmlDeviceAttributes_t {
            multiprocessorCount: 0,
            sharedCopyEngineCount: 0,
            sharedDecoderCount: 0,
            sharedEncoderCount: 0,
            sharedJpegCount: 0,
            sharedOfaCount: 0,
            gpuInstanceSliceCount: 0,
            computeInstanceSliceCount: 0,
            memorySizeMB: 0,
        };
        call!(self.library, nvmlDeviceGetAttributes_v2(self.handle, &raw mut attributes))?;
        Ok(MigAttributes {
            multiprocessors: attributes.multiprocessorCount,
            copy_engines: attributes.sharedCopyEngineCount,
            decoders: attributes.sharedDecoderCount,
            encoders: attributes.sharedEncoderCount,
            jpeg_engines: attributes.sharedJpegCount,
            ofa_engines: attributes.sharedOfaCount,
            gpu_instance_slices: attributes.gpuInstanceSliceCount,
            compute_instance_slices: attributes.computeInstanceSliceCount,
            memory_mebibytes: attributes.memorySizeMB,
        })
    }

    /// Kinds of events that it can tell of, as bits of [`crate::event_types`].
    pub fn supported_events(self) -> Result<u64, Error> {
        let mut types = 0;
        call!(self.library, nvmlDeviceGetSupportedEventTypes(self.handle, &raw mut types))?;
        Ok(types)
    }
}

impl<'library> EventSet<'library> {
    /// Waits for events of these kinds from now on.
    pub fn register(&self, device: Device<'library>, types: u64) -> Result<(), Error> {
        call!(self.library, nvmlDeviceRegisterEvents(device.handle, types, self.handle))
    }

    /// The next event; none if nothing happens for so many milliseconds.
    pub fn wait(&self, milliseconds: u32) -> Result<Option<Event<'library>>, Error> {
        let mut data = nvmlEventData_t {
            device: null_mut(),
            eventType: 0,
            eventData: 0,
            gpuInstanceId: NO_INSTANCE,
            computeInstanceId: NO_INSTANCE,
        };
        match call!(self.library, nvmlEventSetWait_v2(self.handle, &raw mut data, milliseconds)) {
            Ok(()) => {}
            Err(Error { code: Code::Timeout, .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
        let instance = |number: u32| Some(number).filter(|number| *number != NO_INSTANCE);
        Ok(Some(Event {
            device: Device { library: self.library, handle: data.device },
            event_type: data.eventType,
            data: data.eventData,
            gpu_instance: instance(data.gpuInstanceId),
            compute_instance: instance(data.computeInstanceId),
        }))
    }
}

impl Drop for EventSet<'_> {
    fn drop(&mut self) {
        // What is not freed now goes with the library.
        let _ = call!(self.library, nvmlEventSetFree(self.handle));
    }
}
