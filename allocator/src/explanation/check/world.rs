//! What a core is held against: devices and requests of a question.

use std::collections::{BTreeMap, BTreeSet};

use crate::explanation::fact::{Form, Given, Needed, RequestName};
use crate::objects::{AllocationMode, DeviceId};
use crate::verify::Question;
use crate::verify::books::short_capacity;
use crate::verify::claim::{Ask, asks};
use crate::verify::groups::Groups;
use crate::verify::programs::Programs;
use crate::verify::reach::{Pool, Reached, device_selects_node, reached_devices};

/// The question, with numbers for devices and for forms of requests.
pub(super) struct World<'q, 'a> {
    pub(super) question: &'q Question<'a>,
    pub(super) pools: &'q [Pool<'a>],
    pub(super) reached: BTreeMap<DeviceId, Reached<'a>>,
    pub(super) programs: Programs,
    pub(super) devices: Vec<Seen<'a>>,
    pub(super) forms: Vec<OneForm<'a>>,
    /// The compatibility groups of what other claims hold.
    pub(super) held_groups: Groups<'a>,
}

/// A device of the node, in a usable pool or not.
pub(super) struct Seen<'a> {
    pub(super) id: DeviceId,
    pub(super) reached: Reached<'a>,
    pub(super) pool: usize,
}

/// A request, or one alternative.
pub(super) struct OneForm<'a> {
    pub(super) claim: usize,
    pub(super) name: RequestName,
    pub(super) ask: Ask<'a>,
    /// For a request for all devices: those that match.
    pub(super) all: Option<BTreeSet<usize>>,
}

/// What the facts of a core forbid; everything else is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Restriction {
    /// Claim and request, by place.
    pub(super) demands: BTreeSet<(usize, usize)>,
    /// Form and device.
    pub(super) refused: BTreeSet<(usize, usize)>,
    /// Devices that serve one request only.
    pub(super) once: BTreeSet<usize>,
    /// Claim and place of the constraint.
    pub(super) constraints: BTreeSet<(usize, usize)>,
    /// Claims with 32 devices at most.
    pub(super) limits: BTreeSet<usize>,
    /// Devices, and the capacities that may run short.
    pub(super) capacities: BTreeSet<(usize, String)>,
    /// Pools, and their counters that may run short.
    pub(super) counters: BTreeSet<(usize, String, String)>,
    /// Pools, and their counter sets where compatibility groups count.
    pub(super) groups: BTreeSet<(usize, String)>,
}

impl<'q, 'a> World<'q, 'a> {
    pub(super) fn new(question: &'q Question<'a>, pools: &'q [Pool<'a>]) -> Self {
        let mut devices: Vec<Seen<'a>> = Vec::new();
        for (number, pool) in pools.iter().enumerate() {
            for slice in pool.reachable.iter().chain(&pool.withheld) {
                for device in &slice.devices {
                    let id = DeviceId { pool: pool.id.clone(), device: device.name.clone() };
                    // Of devices with one name in an invalid pool the first counts, once the pool is lifted.
                    if devices.iter().rev().any(|seen| seen.pool == number && seen.id == id) {
                        continue;
                    }
                    let reached = Reached { position: devices.len(), slice, device };
                    devices.push(Seen { id, reached, pool: number });
                }
            }
        }
        let reached = reached_devices(pools);
        let programs = Programs::new(question);
        let held_groups = Groups::new(question, pools);
        let mut world = Self { question, pools, reached, programs, devices, forms: Vec::new(), held_groups };
        for (claim, object) in question.claims.iter().enumerate() {
            for ask in (0..object.requests.len()).flat_map(|request| asks(object, request)) {
                let all = (*ask.mode == AllocationMode::All).then(|| world.matching(&ask));
                let name = RequestName {
                    claim: object.full_name(),
                    request: ask.result_name(),
                    place: (claim, ask.request),
                };
                world.forms.push(OneForm { claim, name, ask, all });
            }
        }
        world
    }

    /// Everything that a request for all devices has to take.
    fn matching(&self, ask: &Ask<'_>) -> BTreeSet<usize> {
        let seen = self.devices.iter().enumerate();
        seen.filter(|(_, device)| self.is_match(ask, device)).map(|(place, _)| place).collect()
    }

    fn is_match(&self, ask: &Ask<'_>, seen: &Seen<'_>) -> bool {
        let Question { features, profile, node, classes, state, .. } = self.question;
        let device = seen.reached.device;
        if self.pools.get(seen.pool).is_none_or(|pool| pool.unusable.is_some()) {
            return false;
        }
        let binding = device.binding_conditions.iter().flatten().next().is_some();
        let class = classes.iter().find(|class| class.name == ask.class);
        let mut selectors = class.into_iter().flat_map(|class| &class.selectors).chain(ask.selectors);
        let held = state.consumed_capacity(&seen.id).filter(|_| profile.all_leaves_out_full_devices);
        let room =
            !features.consumable_capacity || short_capacity(self.question, ask, device, held, None).is_none();
        (!binding || features.device_binding_and_status)
            && selectors.all(|selector| self.programs.matches(selector, &seen.reached) == Some(true))
            && device_selects_node(&seen.reached, node) == Some(true)
            && room
    }

    /// The number of a form.
    pub(super) fn ask(&self, name: &RequestName) -> Option<usize> {
        self.forms.iter().position(|form| form.name == *name)
    }

    /// The devices a form needs, where it needs a number of them.
    pub(super) fn count(&self, form: usize) -> Option<usize> {
        let form = self.forms.get(form)?;
        let count = usize::try_from(form.ask.count).unwrap_or(0);
        form.all.is_none().then_some(count)
    }

    /// The number of a device.
    pub(super) fn device(&self, id: &DeviceId) -> Option<usize> {
        self.devices.iter().position(|device| device.id == *id)
    }

    pub(super) fn is_shareable(&self, device: usize) -> bool {
        self.question.features.consumable_capacity
            && self
                .devices
                .get(device)
                .is_some_and(|device| device.reached.device.allow_multiple_allocations == Some(true))
    }

    /// The form as a fact states it.
    pub(super) fn stated(&self, form: &OneForm<'a>) -> Form {
        let needed = match &form.all {
            Some(all) => {
                let matching = all.iter().filter_map(|device| self.devices.get(*device));
                Needed::All { matching: matching.map(|device| device.id.clone()).collect() }
            }
            None => Needed::Count(usize::try_from(form.ask.count).unwrap_or(0)),
        };
        Form { request: form.name.request.clone(), needed }
    }

    pub(super) fn given(&self, picks: &[(usize, usize)]) -> Vec<Given> {
        let given = picks.iter().filter_map(|(form, device)| {
            let request = self.forms.get(*form)?.name.clone();
            Some(Given { request, device: self.devices.get(*device)?.id.clone() })
        });
        given.collect()
    }
}
