//! A `libnvidia-ml.so.1` without GPUs: what it tells is written in a file.
//!
//! The cdylib is loaded in place of NVIDIA's library by whatever program is tested. It reads its [`Machine`] as JSON from
//! the file that the environment variable `DRAYAGE_FAKE_NVML` names, or from the file beside it whose name has `.json`
//! at the end, anew in every call: what is changed there changes the GPUs of a program that runs. Cards, MIG devices,
//! errors of any function, calls that take their time, cards that are lost and events can be described.
//!
//! GPU instances and compute instances of MIG can be made and removed as the profiles of their cards allow. They are in a file
//! beside the description until [`FakeLibrary::reboot`].
//!
//! [`install`] puts a library of its own into a folder, with a description and without functions that older releases
//! lack. The functions are those that `drayage-nvml` calls. Unsafe code is in the module `exports` and nowhere else.

mod description;
mod exports;
mod installed;
mod instances;
mod machine;
mod profiles;

pub use description::{Card, FakeEvent, Machine, MigDevice, codes};
pub use installed::{FakeLibrary, install};
pub use instances::{FakeInstance, FakeInstances};
pub use profiles::Profile;
