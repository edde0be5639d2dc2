//! ResourceSlices: what the cluster's scheduler knows of this node's devices.

mod layout;

pub use layout::{Layout, LayoutError, SliceContent, allocator_slices, spread};
