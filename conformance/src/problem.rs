//! One allocation problem with everything that goes into the allocator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drayage_allocator::objects::{
    AllocationResult, DeviceClass, DeviceId, Node, Quantity, ResourceClaim, ResourceSlice, SharedDeviceId,
};
use drayage_allocator::verify::{Question, Violation, verify};
use drayage_allocator::{AllocatedState, Allocator, Answer, Features, Inventory, Outcome, Profile};

/// The objects of a cluster, what is held of them, and claims to allocate together on one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problem {
    /// Text that identifies the problem.
    pub name: String,
    /// The node that is asked about.
    pub node: Node,
    /// All device classes.
    pub classes: Vec<DeviceClass>,
    /// All resource slices.
    pub slices: Vec<ResourceSlice>,
    /// The claims, to be allocated together in this order.
    pub claims: Vec<ResourceClaim>,
    /// Devices that other claims hold exclusively.
    pub held_devices: BTreeSet<DeviceId>,
    /// Shares of devices that other claims hold.
    pub held_shares: BTreeSet<SharedDeviceId>,
    /// What shares of other claims consume, by device and capacity.
    pub held_capacity: BTreeMap<DeviceId, BTreeMap<String, Quantity>>,
    /// The feature switches.
    pub features: Features,
}

/// Steps the allocator may take on a random problem; problems here are small.
pub const BUDGET: u64 = 1_000_000;

impl Problem {
    /// What other claims hold, as the allocator takes it.
    pub fn state(&self) -> AllocatedState {
        let mut state = AllocatedState::new();
        for id in &self.held_devices {
            state.insert_device(id);
        }
        for id in &self.held_shares {
            state.insert_share(id);
        }
        for (id, amounts) in &self.held_capacity {
            state.insert_capacity(id, amounts);
        }
        state
    }

    /// An allocator for the problem's cluster.
    pub fn allocator(&self, profile: Profile) -> Allocator {
        let inventory = Arc::new(Inventory::new(self.slices.clone()));
        Allocator::new(inventory, self.classes.clone(), profile, self.features)
    }

    /// Asks an allocator that may have been asked before.
    pub fn ask(&self, allocator: &mut Allocator) -> Answer {
        let claims: Vec<&ResourceClaim> = self.claims.iter().collect();
        let mut shares = 0;
        let mut share_ids = || {
            shares += 1;
            format!("share-{shares}")
        };
        allocator.allocate(&self.state(), &self.node, &claims, &mut share_ids, BUDGET)
    }

    /// The answer of a fresh allocator with the profile of 1.36.
    pub fn solve(&self) -> Answer {
        self.solve_as(Profile::V1_36_3.pinned())
    }

    /// The answer of a fresh allocator.
    pub fn solve_as(&self, profile: Profile) -> Answer {
        self.ask(&mut self.allocator(profile))
    }

    /// What the allocator's verifier has against results, with the profile of 1.36.3.
    pub fn verify(&self, results: &[AllocationResult]) -> Result<(), Vec<Violation>> {
        self.verify_as(&Profile::V1_36_3.pinned(), results)
    }

    /// What the allocator's verifier has against results.
    pub fn verify_as(&self, profile: &Profile, results: &[AllocationResult]) -> Result<(), Vec<Violation>> {
        let claims: Vec<&ResourceClaim> = self.claims.iter().collect();
        let state = self.state();
        let slices: Vec<&ResourceSlice> = self.slices.iter().collect();
        let question = Question {
            profile,
            features: self.features,
            node: &self.node,
            slices: &slices,
            classes: &self.classes,
            state: &state,
            claims: &claims,
        };
        verify(&question, results)
    }
}

/// The outcome without what is arbitrary in it: share IDs.
pub fn without_share_ids(mut outcome: Outcome) -> Outcome {
    if let Outcome::Allocated(results) = &mut outcome {
        for device in Arc::make_mut(results).iter_mut().flat_map(|result| &mut result.results) {
            device.share_id = device.share_id.as_ref().map(|_| "<any>".to_owned());
        }
    }
    outcome
}
