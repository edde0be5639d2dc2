//! GPU instances and compute instances of MIG: what there could be, what there is, made and removed.
//!
//! To list, make and remove them a process has to be root with `CAP_SYS_ADMIN`, or may open the capability `mig/config`;
//! others hear [`crate::Code::NoPermission`].

use std::{ffi::c_uint, fmt, mem::size_of, ptr::null_mut};

use nvml_wrapper_sys::bindings::{
    nvmlComputeInstance_t, nvmlComputeInstanceInfo_t, nvmlComputeInstancePlacement_t,
    nvmlComputeInstanceProfileInfo_t, nvmlGpuInstance_t, nvmlGpuInstanceInfo_t, nvmlGpuInstancePlacement_t,
    nvmlGpuInstanceProfileInfo_t, nvmlGpuInstanceProfileInfo_v2_t,
};

use super::text;
use crate::{
    Code, ComputeInstanceProfile, Device, Error, GpuInstanceInfo, GpuInstanceProfile, Library, MigAttributes,
    Placement,
};

/// Room for handles in lists: more than any card can have.
const MOST_INSTANCES: c_uint = 64;
/// Engines of a compute instance are shared; there is no other kind.
const SHARED_ENGINES: c_uint = 0;

/// What instances of a profile have, from either form of NVML's answer.
macro_rules! attributes {
    ($info:expr) => {
        MigAttributes {
            multiprocessors: $info.multiprocessorCount,
            copy_engines: $info.copyEngineCount,
            decoders: $info.decoderCount,
            encoders: $info.encoderCount,
            jpeg_engines: $info.jpegCount,
            ofa_engines: $info.ofaCount,
            gpu_instance_slices: $info.sliceCount,
            compute_instance_slices: $info.sliceCount,
            memory_mebibytes: $info.memorySizeMB,
        }
    };
}

/// A GPU instance, part of a card in MIG mode.
#[derive(Clone, Copy)]
pub struct GpuInstance<'library> {
    library: &'library Library,
    handle: nvmlGpuInstance_t,
}

impl fmt::Debug for GpuInstance<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("GpuInstance").field(&self.handle).finish()
    }
}

/// A compute instance, part of a GPU instance. Together they are a MIG device.
#[derive(Clone, Copy)]
pub struct ComputeInstance<'library> {
    library: &'library Library,
    handle: nvmlComputeInstance_t,
}

impl fmt::Debug for ComputeInstance<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ComputeInstance").field(&self.handle).finish()
    }
}

impl<'library> Device<'library> {
    /// The profile of a number in NVML's header, which is not its ID. Most cards have few of them, and answer
    /// [`Code::NotSupported`] or [`Code::InvalidArgument`] for the others.
    pub fn gpu_instance_profile(self, number: u32) -> Result<GpuInstanceProfile, Error> {
        match self.named_profile(number) {
            Err(Error { code: Code::Lacking | Code::ArgumentVersionMismatch, .. }) => {
                self.plain_profile(number)
            }
            answer => answer,
        }
    }

    fn named_profile(self, number: u32) -> Result<GpuInstanceProfile, Error> {
        // As the macro of the header has it: the size, and the version in the highest octet.
        let size = c_uint::try_from(size_of::<nvmlGpuInstanceProfileInfo_v2_t>()).unwrap_or_default();
        let mut info = nvmlGpuInstanceProfileInfo_v2_t {
            version: size | 2 << 24,
            id: 0,
            isP2pSupported: 0,
            sliceCount: 0,
            instanceCount: 0,
            multiprocessorCount: 0,
            copyEngineCount: 0,
            decoderCount: 0,
            encoderCount: 0,
            jpegCount: 0,
            ofaCount: 0,
            memorySizeMB: 0,
            name: [0; 96],
        };
        call!(self.library, nvmlDeviceGetGpuInstanceProfileInfoV(self.handle, number, &raw mut info))?;
        let name = Some(text(&info.name)).filter(|name| !name.is_empty());
        Ok(GpuInstanceProfile { id: info.id, name, instances: info.instanceCount, has: attributes!(info) })
    }

    fn plain_profile(self, number: u32) -> Result<GpuInstanceProfile, Error> {
        let mut info = nvmlGpuInstanceProfileInfo_t {
            id: 0,
            isP2pSupported: 0,
            sliceCount: 0,
            instanceCount: 0,
            multiprocessorCount: 0,
            copyEngineCount: 0,
            decoderCount: 0,
            encoderCount: 0,
            jpegCount: 0,
            ofaCount: 0,
            memorySizeMB: 0,
        };
        call!(self.library, nvmlDeviceGetGpuInstanceProfileInfo(self.handle, number, &raw mut info))?;
        Ok(GpuInstanceProfile {
            id: info.id,
            name: None,
            instances: info.instanceCount,
            has: attributes!(info),
        })
    }

    /// Where instances of a profile, by its ID, can be on an empty card.
    pub fn gpu_instance_placements(self, profile: u32) -> Result<Vec<Placement>, Error> {
        let mut count: c_uint = 0;
        call!(
            self.library,
            nvmlDeviceGetGpuInstancePossiblePlacements_v2(
                self.handle,
                profile,
                null_mut::<nvmlGpuInstancePlacement_t>(),
                &raw mut count
            )
        )?;
        let mut found = vec![nvmlGpuInstancePlacement_t { start: 0, size: 0 }; count as usize];
        call!(
            self.library,
            nvmlDeviceGetGpuInstancePossiblePlacements_v2(
                self.handle,
                profile,
                found.as_mut_ptr(),
                &raw mut count
            )
        )?;
        found.truncate(count as usize);
        let placement =
            |found: nvmlGpuInstancePlacement_t| Placement { start: found.start, size: found.size };
        Ok(found.into_iter().map(placement).collect())
    }

    /// GPU instances of a profile, by its ID, that there are.
    pub fn gpu_instances(self, profile: u32) -> Result<Vec<GpuInstance<'library>>, Error> {
        let mut found: [nvmlGpuInstance_t; MOST_INSTANCES as usize] = [null_mut(); MOST_INSTANCES as usize];
        let mut count = MOST_INSTANCES;
        call!(
            self.library,
            nvmlDeviceGetGpuInstances(self.handle, profile, found.as_mut_ptr(), &raw mut count)
        )?;
        let handles = found.into_iter().take(count as usize);
        Ok(handles.map(|handle| GpuInstance { library: self.library, handle }).collect())
    }

    /// Makes a GPU instance of a profile, by its ID, at a place.
    pub fn create_gpu_instance(
        self,
        profile: u32,
        placement: Placement,
    ) -> Result<GpuInstance<'library>, Error> {
        let mut handle: nvmlGpuInstance_t = null_mut();
        let placement = nvmlGpuInstancePlacement_t { start: placement.start, size: placement.size };
        call!(
            self.library,
            nvmlDeviceCreateGpuInstanceWithPlacement(
                self.handle,
                profile,
                &raw const placement,
                &raw mut handle
            )
        )?;
        Ok(GpuInstance { library: self.library, handle })
    }
}

impl<'library> GpuInstance<'library> {
    /// What it is.
    pub fn info(self) -> Result<GpuInstanceInfo, Error> {
        let mut info = nvmlGpuInstanceInfo_t {
            device: null_mut(),
            id: 0,
            profileId: 0,
            placement: nvmlGpuInstancePlacement_t { start: 0, size: 0 },
        };
        call!(self.library, nvmlGpuInstanceGetInfo(self.handle, &raw mut info))?;
        let placement = Placement { start: info.placement.start, size: info.placement.size };
        Ok(GpuInstanceInfo { id: info.id, profile: info.profileId, placement })
    }

    /// The profile of a number in NVML's header, which is not its ID; see [`Device::gpu_instance_profile`].
    pub fn compute_instance_profile(self, number: u32) -> Result<ComputeInstanceProfile, Error> {
        let mut info = nvmlComputeInstanceProfileInfo_t {
            id: 0,
            sliceCount: 0,
            instanceCount: 0,
            multiprocessorCount: 0,
            sharedCopyEngineCount: 0,
            sharedDecoderCount: 0,
            sharedEncoderCount: 0,
            sharedJpegCount: 0,
            sharedOfaCount: 0,
        };
        call!(
            self.library,
            nvmlGpuInstanceGetComputeInstanceProfileInfo(self.handle, number, SHARED_ENGINES, &raw mut info)
        )?;
        Ok(ComputeInstanceProfile { id: info.id, slices: info.sliceCount })
    }

    /// Compute instances of a profile, by its ID, that there are.
    pub fn compute_instances(self, profile: u32) -> Result<Vec<ComputeInstance<'library>>, Error> {
        let mut found: [nvmlComputeInstance_t; MOST_INSTANCES as usize] =
            [null_mut(); MOST_INSTANCES as usize];
        let mut count = MOST_INSTANCES;
        call!(
            self.library,
            nvmlGpuInstanceGetComputeInstances(self.handle, profile, found.as_mut_ptr(), &raw mut count)
        )?;
        let handles = found.into_iter().take(count as usize);
        Ok(handles.map(|handle| ComputeInstance { library: self.library, handle }).collect())
    }

    /// Makes a compute instance of a profile, by its ID.
    pub fn create_compute_instance(self, profile: u32) -> Result<ComputeInstance<'library>, Error> {
        let mut handle: nvmlComputeInstance_t = null_mut();
        call!(self.library, nvmlGpuInstanceCreateComputeInstance(self.handle, profile, &raw mut handle))?;
        Ok(ComputeInstance { library: self.library, handle })
    }

    /// Removes it. It must have no compute instance any more.
    pub fn destroy(self) -> Result<(), Error> {
        call!(self.library, nvmlGpuInstanceDestroy(self.handle))
    }
}

impl ComputeInstance<'_> {
    /// Number, unique in its GPU instance as long as it is there.
    pub fn id(self) -> Result<u32, Error> {
        let mut info = nvmlComputeInstanceInfo_t {
            device: null_mut(),
            gpuInstance: null_mut(),
            id: 0,
            profileId: 0,
            placement: nvmlComputeInstancePlacement_t { start: 0, size: 0 },
        };
        call!(self.library, nvmlComputeInstanceGetInfo_v2(self.handle, &raw mut info))?;
        Ok(info.id)
    }

    /// Removes it. No process may use it any more.
    pub fn destroy(self) -> Result<(), Error> {
        call!(self.library, nvmlComputeInstanceDestroy(self.handle))
    }
}
