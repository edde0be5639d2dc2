//! Slices of a cluster, indexed once.

use crate::objects::ResourceSlice;

/// Everything drivers publish, built once for a cluster and shared by all allocations.
#[derive(Debug)]
pub struct Inventory {
    slices: Vec<ResourceSlice>,
}

impl Inventory {
    /// Indexes slices. Taints of DeviceTaintRules must have been added before.
    ///
    /// The order of the slices matters only where slices of one pool's generation disagree on how many of them
    /// there are: then the first counts. Sort them by name to be independent of where they come from.
    pub fn new(slices: Vec<ResourceSlice>) -> Self {
        Self { slices }
    }

    /// The slices, in the order they were given.
    pub fn slices(&self) -> &[ResourceSlice] {
        &self.slices
    }
}
