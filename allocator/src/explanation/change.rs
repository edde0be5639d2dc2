//! Changes of a question that may give it a solution.

use std::sync::Arc;

use crate::AllocatedState;
use crate::allocator::Allocator;
use crate::answer::Outcome;
use crate::diagnosis::{SelectorSource, classes_of};
use crate::features::Features;
use crate::inventory::Inventory;
use crate::objects::{
    AllocationResult, DeviceClass, DeviceId, DeviceSelector, DeviceTaint, DeviceToleration, PoolId, Quantity,
    ResourceClaim, ResourceSlice,
};

use super::Asked;
use super::fact::RequestName;
use super::holders::Holders;
use super::model::{GATE_BINDING, GATE_OPERATIONS, GATE_PARTITIONABLE};
use super::terms::terms;

/// Gate of devices that several requests share.
pub(super) const GATE_CONSUMABLE: &str = "DRAConsumableCapacity";

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Tolerate a taint.
    Tolerate {
        /// The taint.
        taint: DeviceTaint,
        /// The requests that get the toleration.
        requests: Vec<RequestName>,
    },
    /// Leave out a term of a selector; the whole selector, if it is its only term.
    DropTerm {
        /// Whose selector.
        source: SelectorSource,
        /// Name of the class, or of the request.
        owner: String,
        /// Its place in the list.
        index: usize,
        /// The term.
        term: String,
        /// The requests it is for.
        requests: Vec<RequestName>,
    },
    /// Leave out a constraint.
    DropConstraint {
        /// Full name of the claim.
        claim: String,
        /// Its place in the claim's list.
        index: usize,
        /// Whether it is `matchAttribute`; `distinctAttribute` otherwise.
        is_match: bool,
        /// Its attribute.
        attribute: String,
    },
    /// Ask for fewer devices.
    LowerCount {
        /// The request.
        request: RequestName,
        /// How many it asks for.
        from: usize,
        /// How many it can have.
        to: usize,
    },
    /// Ask for less of a capacity, or for no amount of it in particular.
    LowerCapacity {
        /// The request.
        request: RequestName,
        /// The capacity.
        capacity: String,
        /// The amount to ask for; `None` leaves the capacity out.
        to: Option<Quantity>,
    },
    /// Free what another claim holds.
    Free {
        /// Full name of the claim; `None` where it is not known who holds the devices.
        claim: Option<String>,
        /// Devices that matter here; a claim that is known gives up all it has.
        devices: Vec<DeviceId>,
    },
    /// Wait until the driver has published the pool as a whole, with the slices that are there.
    CompletePool {
        /// The pool.
        pool: PoolId,
    },
    /// Turn a feature gate on.
    EnableGate {
        /// Its name.
        gate: &'static str,
    },
    /// Leave out a request.
    DropRequest {
        /// Full name of the claim.
        claim: String,
        /// Name of the request.
        request: String,
        /// See [`RequestName::place`].
        place: (usize, usize),
    },
}

impl Change {
    /// A stable name of the kind, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tolerate { .. } => "tolerate",
            Self::DropTerm { .. } => "drop-term",
            Self::DropConstraint { .. } => "drop-constraint",
            Self::LowerCount { .. } => "lower-count",
            Self::LowerCapacity { .. } => "lower-capacity",
            Self::Free { .. } => "free",
            Self::CompletePool { .. } => "complete-pool",
            Self::EnableGate { .. } => "enable-gate",
            Self::DropRequest { .. } => "drop-request",
        }
    }

    /// What it costs compared with other changes: a rough order, cheap first.
    pub fn cost(&self) -> u8 {
        match self {
            Self::CompletePool { .. } => 0,
            Self::Tolerate { .. } => 1,
            Self::DropConstraint { .. } => 2,
            Self::DropTerm { source: SelectorSource::Request, .. } => 3,
            Self::LowerCapacity { .. } => 4,
            Self::LowerCount { .. } => 5,
            Self::Free { .. } => 6,
            Self::EnableGate { .. } => 7,
            Self::DropRequest { .. } => 8,
            Self::DropTerm { source: SelectorSource::Class, .. } => 9,
        }
    }
}

/// A question with changes.
pub(super) struct Changed {
    claims: Vec<ResourceClaim>,
    state: AllocatedState,
    classes: Vec<DeviceClass>,
    features: Features,
    /// Pools whose slices count as all there are.
    complete: Vec<PoolId>,
    needs_allocator: bool,
}

impl Changed {
    /// The question with these changes.
    pub(super) fn new(
        allocator: &Allocator,
        asked: &Asked<'_>,
        holders: &Holders<'_>,
        changes: &[&Change],
    ) -> Self {
        let mut altered = Self {
            claims: asked.claims.iter().map(|claim| (*claim).clone()).collect(),
            state: asked.state.clone(),
            classes: classes_of(allocator, asked.claims),
            features: allocator.features(),
            complete: Vec::new(),
            needs_allocator: false,
        };
        // Places of requests must stay until the last that names one.
        let is_drop = |change: &&&Change| matches!(change, Change::DropRequest { .. });
        changes.iter().filter(|change| !is_drop(change)).for_each(|change| altered.apply(change, holders));
        let mut drops: Vec<(usize, usize)> = Vec::new();
        for change in changes {
            if let Change::DropRequest { place, .. } = change {
                drops.push(*place);
            }
        }
        drops.sort_unstable();
        drops.into_iter().rev().for_each(|place| altered.drop_request(place));
        altered
    }

    fn apply(&mut self, change: &Change, holders: &Holders<'_>) {
        match change {
            Change::Tolerate { taint, requests } => {
                let toleration = DeviceToleration {
                    key: taint.key.clone(),
                    operator: if taint.value.is_empty() { "Exists" } else { "Equal" }.to_owned(),
                    value: taint.value.clone(),
                    effect: taint.effect.clone(),
                    toleration_seconds: None,
                };
                for request in requests {
                    self.with_form(request, |form| form.tolerations.push(toleration.clone()));
                }
            }
            Change::DropTerm { source: SelectorSource::Request, index, term, requests, .. } => {
                for request in requests {
                    self.with_form(request, |form| drop_term(form.selectors, *index, term));
                }
            }
            Change::DropTerm { source: SelectorSource::Class, owner, index, term, .. } => {
                if let Some(class) = self.classes.iter_mut().find(|class| class.name == *owner) {
                    drop_term(&mut class.selectors, *index, term);
                }
                self.needs_allocator = true;
            }
            Change::DropConstraint { claim, index, .. } => {
                // An index must stay what it is for further changes: what nothing is under stays in its place.
                let object = self.claims.iter_mut().find(|object| object.full_name() == *claim);
                if let Some(constraint) = object.and_then(|object| object.constraints.get_mut(*index)) {
                    constraint.requests = vec![String::new()];
                }
            }
            Change::LowerCount { request, to, .. } => {
                let count = i64::try_from(*to).unwrap_or(i64::MAX);
                self.with_form(request, |form| *form.count = count);
            }
            Change::LowerCapacity { request, capacity, to } => self.with_form(request, |form| {
                if let Some(amounts) = form.capacity {
                    match to {
                        Some(to) => amounts.insert(capacity.clone(), to.clone()),
                        None => amounts.remove(capacity),
                    };
                }
            }),
            Change::Free { claim, devices } => {
                let holders = devices.iter().flat_map(|device| holders.holders(device));
                let known = holders.filter(|holder| Some(&holder.claim) == claim.as_ref());
                match known.into_iter().next() {
                    Some(holder) => self.state.remove(holder.result, self.features),
                    None => devices.iter().for_each(|device| self.state.remove_device(device)),
                }
            }
            Change::CompletePool { pool } => {
                self.complete.push(pool.clone());
                self.needs_allocator = true;
            }
            Change::EnableGate { gate } => {
                match *gate {
                    GATE_BINDING => self.features.device_binding_and_status = true,
                    GATE_PARTITIONABLE => self.features.partitionable_devices = true,
                    GATE_OPERATIONS => self.features.optional_node_operations = true,
                    GATE_CONSUMABLE => self.features.consumable_capacity = true,
                    _ => {}
                }
                self.needs_allocator = true;
            }
            Change::DropRequest { .. } => {}
        }
    }

    fn drop_request(&mut self, (claim, request): (usize, usize)) {
        let Some(claim) = self.claims.get_mut(claim) else { return };
        if request >= claim.requests.len() {
            return;
        }
        let name = claim.requests.remove(request).name;
        for constraint in claim.constraints.iter_mut().filter(|constraint| !constraint.requests.is_empty()) {
            constraint.requests.retain(|other| *other != name && other.split('/').next() != Some(&name));
            if constraint.requests.is_empty() {
                // No name would mean all requests.
                constraint.requests.push(String::new());
            }
        }
    }

    /// Changes a request or an alternative.
    fn with_form(&mut self, name: &RequestName, change: impl FnOnce(&mut FormParts<'_>)) {
        let (claim, request) = name.place;
        let Some(object) = self.claims.get_mut(claim).and_then(|claim| claim.requests.get_mut(request))
        else {
            return;
        };
        if let Some((_, alternative)) = name.request.split_once('/') {
            if let Some(form) = object.first_available.iter_mut().find(|form| form.name == alternative) {
                change(&mut FormParts {
                    selectors: &mut form.selectors,
                    count: &mut form.count,
                    tolerations: &mut form.tolerations,
                    capacity: &mut form.capacity,
                });
            }
        } else if let Some(form) = &mut object.exactly {
            change(&mut FormParts {
                selectors: &mut form.selectors,
                count: &mut form.count,
                tolerations: &mut form.tolerations,
                capacity: &mut form.capacity,
            });
        }
    }

    /// Asks the allocator, or one with the changed classes, slices and features.
    pub(super) fn solve(
        &self,
        allocator: &mut Allocator,
        asked: &Asked<'_>,
    ) -> Option<Vec<AllocationResult>> {
        let mut changed;
        let allocator = if self.needs_allocator {
            let mut inventory = allocator.inventory().clone();
            if !self.complete.is_empty() {
                let mut slices: Vec<ResourceSlice> = inventory.slices().cloned().collect();
                self.complete.iter().for_each(|pool| complete(&mut slices, pool));
                inventory = Arc::new(Inventory::new(slices));
            }
            changed = Allocator::new(inventory, self.classes.clone(), allocator.profile(), self.features);
            &mut changed
        } else {
            allocator
        };
        let claims: Vec<&ResourceClaim> = self.claims.iter().collect();
        let mut shares = 0_u64;
        let mut share_ids = || {
            shares += 1;
            format!("share-{shares}")
        };
        match allocator.allocate(&self.state, asked.node, &claims, &mut share_ids, asked.budget).outcome {
            Outcome::Allocated(results) => Some(Arc::unwrap_or_clone(results)),
            _ => None,
        }
    }
}

/// What a request and an alternative have in common.
struct FormParts<'f> {
    selectors: &'f mut Vec<DeviceSelector>,
    count: &'f mut i64,
    tolerations: &'f mut Vec<DeviceToleration>,
    capacity: &'f mut Option<std::collections::BTreeMap<String, Quantity>>,
}

/// Leaves a term out of a selector. A selector without terms stays, as one that is always true, so that the
/// places of others stay.
fn drop_term(selectors: &mut [DeviceSelector], index: usize, term: &str) {
    let Some(expression) = selectors.get_mut(index).and_then(|selector| selector.cel.as_mut()) else {
        return;
    };
    let all = terms(expression);
    let rest: Vec<String> = all.iter().filter(|one| **one != term).map(|one| format!("({one})")).collect();
    *expression = if rest.is_empty() || term == expression { "true".to_owned() } else { rest.join(" && ") };
}

/// Lets the slices of the newest generation be all that were announced.
fn complete(slices: &mut [ResourceSlice], pool: &PoolId) {
    let of_pool = |slice: &&mut ResourceSlice| slice.pool_id() == *pool;
    let generation =
        slices.iter().filter(|slice| slice.pool_id() == *pool).map(|slice| slice.pool.generation);
    let Some(newest) = generation.max() else { return };
    let is_new = |slice: &&mut ResourceSlice| slice.pool.generation == newest;
    let found = slices.iter_mut().filter(of_pool).filter(is_new).count();
    for slice in slices.iter_mut().filter(of_pool).filter(is_new) {
        slice.pool.resource_slice_count = i64::try_from(found).unwrap_or(i64::MAX);
    }
}
