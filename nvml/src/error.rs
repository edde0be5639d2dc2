//! What NVML answers when it does not do as it is told.

/// A library that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is none, or a program that cannot load libraries.
    #[error("there is no library `{name}` on this machine ({reason})")]
    Absent {
        /// Name or path of the library.
        name: String,
        /// What the loader says.
        reason: String,
    },
    /// It is there, and the kernel's driver is not.
    #[error("library `{0}` is there, but NVIDIA's driver is not loaded into the kernel")]
    NoDriver(String),
    /// It is there and cannot be loaded, or is something else.
    #[error("cannot load library `{name}`: {reason}")]
    Unusable {
        /// Name or path of the library.
        name: String,
        /// What the loader says.
        reason: String,
    },
    /// It does not start.
    #[error("library `{name}` does not start: {error}")]
    Start {
        /// Name or path of the library.
        name: String,
        /// What it says.
        error: Error,
    },
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} ({call})")]
pub struct Error {
    /// Name of the function.
    pub call: &'static str,
    /// What is wrong.
    pub code: Code,
    /// The same for people.
    pub text: String,
}

/// Answers of NVML that matter to a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The library has no such function: it belongs to an older release.
    Lacking,
    /// The library is not initialised.
    Uninitialized,
    /// An argument is none that it takes, such as the index of a MIG device beyond the last one.
    InvalidArgument,
    /// The device cannot do that.
    NotSupported,
    /// This process may not do that.
    NoPermission,
    /// There is no such thing.
    NotFound,
    /// The library would write more than there is room for.
    InsufficientSize,
    /// The kernel's driver is not loaded.
    DriverNotLoaded,
    /// Nothing happened in time.
    Timeout,
    /// The device does not answer any more.
    GpuIsLost,
    /// The device has to be reset.
    ResetRequired,
    /// Library and kernel driver are of different releases.
    VersionMismatch,
    /// Somebody uses it.
    InUse,
    /// Not enough is left of the device.
    InsufficientResources,
    /// The library does not know this version of a structure.
    ArgumentVersionMismatch,
    /// Any other number.
    Other(u32),
}

impl Code {
    /// The code of an answer; none for success.
    pub fn of(answer: u32) -> Option<Self> {
        Some(match answer {
            0 => return None,
            1 => Self::Uninitialized,
            2 => Self::InvalidArgument,
            3 => Self::NotSupported,
            4 => Self::NoPermission,
            6 => Self::NotFound,
            7 => Self::InsufficientSize,
            9 => Self::DriverNotLoaded,
            10 => Self::Timeout,
            13 => Self::Lacking,
            15 => Self::GpuIsLost,
            16 => Self::ResetRequired,
            18 => Self::VersionMismatch,
            19 => Self::InUse,
            23 => Self::InsufficientResources,
            25 => Self::ArgumentVersionMismatch,
            other => Self::Other(other),
        })
    }

    /// What it means, for people.
    pub fn text(self) -> String {
        match self {
            Self::Lacking => "this release of the library lacks the function".to_owned(),
            Self::Uninitialized => "the library is not initialised".to_owned(),
            Self::InvalidArgument => "the library does not take the argument".to_owned(),
            Self::NotSupported => "not supported".to_owned(),
            Self::NoPermission => "permission denied".to_owned(),
            Self::NotFound => "not found".to_owned(),
            Self::DriverNotLoaded => "NVIDIA's driver is not loaded into the kernel".to_owned(),
            Self::Timeout => "nothing happened in time".to_owned(),
            Self::GpuIsLost => "the GPU is lost: it has fallen off the bus or does not answer".to_owned(),
            Self::ResetRequired => "the GPU has to be reset".to_owned(),
            Self::VersionMismatch => "library and kernel driver are of different releases".to_owned(),
            Self::InsufficientSize => "the library would write more than there is room for".to_owned(),
            Self::InUse => "it is in use".to_owned(),
            Self::InsufficientResources => "not enough is left of the GPU".to_owned(),
            Self::ArgumentVersionMismatch => {
                "the library does not know this version of a structure".to_owned()
            }
            Self::Other(number) => format!("error {number}"),
        }
    }
}

impl Error {
    /// The failure of a call, none if it succeeded.
    pub(crate) fn of(call: &'static str, answer: u32) -> Result<(), Self> {
        Code::of(answer).map_or(Ok(()), |code| Err(Self::new(call, code)))
    }

    pub(crate) fn new(call: &'static str, code: Code) -> Self {
        Self { call, code, text: code.text() }
    }
}

#[cfg(test)]
mod tests {
    use nvml_wrapper_sys::bindings as sys;

    use super::*;

    #[test]
    fn codes_are_those_of_the_header() {
        for (answer, code) in [
            (sys::nvmlReturn_enum_NVML_ERROR_UNINITIALIZED, Code::Uninitialized),
            (sys::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT, Code::InvalidArgument),
            (sys::nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED, Code::NotSupported),
            (sys::nvmlReturn_enum_NVML_ERROR_NO_PERMISSION, Code::NoPermission),
            (sys::nvmlReturn_enum_NVML_ERROR_NOT_FOUND, Code::NotFound),
            (sys::nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE, Code::InsufficientSize),
            (sys::nvmlReturn_enum_NVML_ERROR_IN_USE, Code::InUse),
            (sys::nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_RESOURCES, Code::InsufficientResources),
            (sys::nvmlReturn_enum_NVML_ERROR_ARGUMENT_VERSION_MISMATCH, Code::ArgumentVersionMismatch),
            (sys::nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED, Code::DriverNotLoaded),
            (sys::nvmlReturn_enum_NVML_ERROR_TIMEOUT, Code::Timeout),
            (sys::nvmlReturn_enum_NVML_ERROR_FUNCTION_NOT_FOUND, Code::Lacking),
            (sys::nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST, Code::GpuIsLost),
            (sys::nvmlReturn_enum_NVML_ERROR_RESET_REQUIRED, Code::ResetRequired),
            (sys::nvmlReturn_enum_NVML_ERROR_LIB_RM_VERSION_MISMATCH, Code::VersionMismatch),
            (sys::nvmlReturn_enum_NVML_ERROR_UNKNOWN, Code::Other(999)),
        ] {
            assert_eq!(Code::of(answer), Some(code));
        }
        assert_eq!(Code::of(sys::nvmlReturn_enum_NVML_SUCCESS), None);
        assert_eq!(crate::event_types::XID_CRITICAL_ERROR, u64::from(sys::nvmlEventTypeXidCriticalError));
        assert_eq!(crate::event_types::DOUBLE_BIT_ECC_ERROR, u64::from(sys::nvmlEventTypeDoubleBitEccError));
    }
}
