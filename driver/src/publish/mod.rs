//! ResourceSlices: what the cluster's scheduler knows of this node's devices.
//!
//! [`Controller`] decides, without a clock and without a network; [`publish`] runs it over a [`SliceApi`]. Only one
//! instance of a driver may publish a pool; it is the one that has the state directory.

mod compare;
mod contents;
mod controller;
mod digest;
mod known;
mod layout;
mod run;
mod version;

pub use controller::{Action, ApiError, Controller, Event, Report, Served, Slice};
pub use layout::{Layout, LayoutError, SliceContent, allocator_slices, spread};
pub use run::{SliceApi, SliceFiles, Watch, WatchEvent, publish};
pub use version::ApiVersion;
