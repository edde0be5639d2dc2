//! What requests want of devices: which partitions an alternative can have, and how many of them.

use std::cell::OnceCell;

use drayage_allocator::objects::{
    AllocationMode, Device, DeviceRequest, DeviceSelector, DeviceTaint, DeviceToleration, ResourceClaim,
    ResourceSlice,
};
use drayage_allocator::taints::tolerates;
use drayage_cel::{AttributeValue, Compiler, Program};
use drayage_cluster::Snapshot;
use rustc_hash::FxHashMap;

use crate::schedule::{ClusterState, PodId};

/// Devices that an alternative can have, by class, selectors and tolerations.
struct Want {
    /// `None` where an expression does not compile, or the class does not exist.
    programs: Option<Vec<Program>>,
    tolerations: Vec<DeviceToleration>,
    found: Found,
}

/// What kinds of devices a want was found to match.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    /// Devices of one node that take from shared counters.
    partitions: bool,
    /// Devices of one node that take from none.
    plain: bool,
    /// Devices that the plan cannot count: several nodes reach them, or several claims share them.
    others: bool,
}

/// What a device is to the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Of one node, with shared counters.
    Partition,
    /// Of one node, without.
    Plain,
    /// See [`Found::others`].
    Other,
}

/// Number of a want.
pub(super) type WantId = usize;

/// An alternative of a request as it was read.
#[derive(Clone, Debug)]
struct Alternative {
    want: WantId,
    /// `None` where the number is not fixed, or nothing is held.
    count: Option<usize>,
}

/// The requests of a pod as they were read, by alternative.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Vec<Vec<Alternative>>);

/// So many devices of those that a want matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Piece {
    pub(super) want: WantId,
    pub(super) count: usize,
}

/// For each request its alternatives, of which one is to be met.
pub(super) type Requests = Vec<Vec<Piece>>;

/// All wants, each once.
pub(super) struct Wants<'s> {
    snapshot: &'s Snapshot,
    compiler: Compiler,
    all: Vec<Want>,
    numbers: FxHashMap<(String, Vec<DeviceSelector>, Vec<DeviceToleration>), WantId>,
}

impl<'s> Wants<'s> {
    pub(super) fn new(snapshot: &'s Snapshot, compiler: Compiler) -> Self {
        Self { snapshot, compiler, all: Vec::new(), numbers: FxHashMap::default() }
    }

    /// What a pod asks for; with `again` also what it holds.
    pub(super) fn asked(&mut self, state: &ClusterState, id: PodId, again: bool) -> Asked {
        let mut asked = Asked::default();
        for claim in state.claims_of(id).into_iter().filter_map(|claim| state.claim(claim)) {
            if claim.allocation.is_none() || again {
                self.note(claim.spec, &mut asked);
            }
        }
        asked
    }

    fn note(&mut self, claim: &ResourceClaim, asked: &mut Asked) {
        for request in &claim.requests {
            asked.0.push(self.alternatives(request));
        }
    }

    fn alternatives(&mut self, request: &DeviceRequest) -> Vec<Alternative> {
        let counted = |mode: &AllocationMode, count: i64| {
            let count = usize::try_from(count).ok().filter(|&count| count > 0);
            count.filter(|_| *mode == AllocationMode::ExactCount)
        };
        if let Some(exactly) = &request.exactly {
            let class = &exactly.device_class_name;
            let want = self.want(class, &exactly.selectors, &exactly.tolerations);
            let count = counted(&exactly.allocation_mode, exactly.count);
            return vec![Alternative { want, count: count.filter(|_| exactly.admin_access != Some(true)) }];
        }
        let alternatives = request.first_available.iter().map(|alternative| Alternative {
            want: self.want(&alternative.device_class_name, &alternative.selectors, &alternative.tolerations),
            count: counted(&alternative.allocation_mode, alternative.count),
        });
        alternatives.collect()
    }

    fn want(
        &mut self,
        class: &str,
        selectors: &[DeviceSelector],
        tolerations: &[DeviceToleration],
    ) -> WantId {
        let key = (class.to_owned(), selectors.to_vec(), tolerations.to_vec());
        if let Some(&number) = self.numbers.get(&key) {
            return number;
        }
        let programs = self.snapshot.class(class).and_then(|class| {
            let texts = class.spec.selectors.iter().chain(selectors);
            let texts = texts.filter_map(|selector| selector.cel.as_deref());
            texts.map(|text| self.compiler.compile_selector(text).ok()).collect()
        });
        self.all.push(Want { programs, tolerations: tolerations.to_vec(), found: Found::default() });
        self.numbers.insert(key, self.all.len() - 1);
        self.all.len() - 1
    }

    /// The wants that a device matches.
    pub(super) fn of_device(&mut self, slice: &ResourceSlice, device: &Device, role: Role) -> Vec<WantId> {
        let matching = self.matching(slice, device);
        for &want in &matching {
            let Some(want) = self.all.get_mut(want) else { continue };
            match role {
                Role::Partition => want.found.partitions = true,
                Role::Plain => want.found.plain = true,
                Role::Other => want.found.others = true,
            }
        }
        matching
    }

    fn matching(&self, slice: &ResourceSlice, device: &Device) -> Vec<WantId> {
        // Most expressions compare an attribute with a constant, which takes no preparation of the device.
        let is_simple = device.attributes.values().all(|value| {
            matches!(value, AttributeValue::String(_) | AttributeValue::Bool(_) | AttributeValue::Int(_))
        });
        let prepared = OnceCell::new();
        let matches = |program: &Program| {
            let at_a_glance =
                is_simple.then(|| program.matches_at_a_glance(&slice.driver, &device.attributes)).flatten();
            at_a_glance.unwrap_or_else(|| {
                let prepared = prepared.get_or_init(|| {
                    let capacity = device.capacity.iter();
                    drayage_cel::Device::new(
                        &slice.driver,
                        &device.attributes,
                        capacity.map(|(name, capacity)| (name.as_str(), &capacity.value)),
                        device.allow_multiple_allocations == Some(true),
                    )
                });
                program.matches(prepared) == Ok(true)
            })
        };
        let bears = |want: &Want, taint: &DeviceTaint| {
            taint.effect == "None" || want.tolerations.iter().any(|one| tolerates(one, taint))
        };
        let matches = |want: &Want| {
            want.programs.as_ref().is_some_and(|programs| {
                device.taints.iter().all(|taint| bears(want, taint)) && programs.iter().all(matches)
            })
        };
        self.all.iter().enumerate().filter(|(_, want)| matches(want)).map(|(number, _)| number).collect()
    }

    /// What of a pod's requests is about partitions; `None` where nothing is, or what it wants cannot be counted.
    pub(super) fn requests(&self, asked: &Asked) -> Option<Requests> {
        let mut requests = Vec::new();
        for alternatives in &asked.0 {
            let mut pieces = Vec::new();
            let (mut partitions, mut others) = (false, false);
            for alternative in alternatives {
                let want = self.all.get(alternative.want)?;
                want.programs.as_ref()?;
                let Found { partitions: some, plain, others: other } = want.found;
                partitions |= some;
                others |= other;
                match alternative.count {
                    Some(count) if some || plain => pieces.push(Piece { want: alternative.want, count }),
                    None if some || plain => others = true,
                    // What matches nothing is never taken.
                    _ => {}
                }
            }
            if partitions {
                if others {
                    return None;
                }
                requests.push(pieces);
            }
        }
        (!requests.is_empty()).then_some(requests)
    }
}
