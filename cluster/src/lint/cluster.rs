//! What several rules look at: the devices of the newest generations, compiled expressions and what they select, and
//! the specifications of claims.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use drayage_allocator::Profile;
use drayage_allocator::objects::{
    AllocationMode, Device, DeviceDerivedAttribute, DeviceSelector, DeviceToleration, PoolId, ResourceClaim,
};
use drayage_cel::{CompileError, Compiler, Environment, EvaluationError, ExpressionStage, Program};

use super::LintOptions;
use super::input::reference;
use crate::objects::{ObjectReference, Origin, Slice};
use crate::path::FieldPath;
use crate::snapshot::Snapshot;

/// A snapshot as rules see it.
pub(super) struct Cluster<'s> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) options: LintOptions,
    pub(super) profile: Profile,
    /// Pools with the slices of every generation.
    pub(super) pools: BTreeMap<PoolId, Pool<'s>>,
    /// Devices of the newest generation of every pool.
    pub(super) devices: Vec<PublishedDevice<'s>>,
    /// Specifications of claims, each once however many claims have it.
    pub(super) demands: Vec<Demand<'s>>,
    /// Compiles expressions as the scheduler does.
    pub(super) stored: Compiler,
    /// Compiles expressions as the API server does for new objects.
    pub(super) new: Compiler,
    expressions: RefCell<BTreeMap<&'s str, Rc<Expression>>>,
    classes: RefCell<BTreeMap<&'s str, Rc<Vec<usize>>>>,
}

/// The slices of a pool.
#[derive(Default)]
pub(super) struct Pool<'s> {
    /// In the order of their names.
    pub(super) slices: Vec<&'s Slice>,
}

impl<'s> Pool<'s> {
    /// The newest generation.
    pub(super) fn generation(&self) -> i64 {
        self.slices.iter().map(|slice| slice.spec.pool.generation).max().unwrap_or_default()
    }

    /// The slices of the newest generation.
    pub(super) fn newest(&self) -> impl Iterator<Item = &'s Slice> {
        let generation = self.generation();
        self.slices.iter().copied().filter(move |slice| slice.spec.pool.generation == generation)
    }

    /// Whether as many slices of the newest generation are there as are announced.
    pub(super) fn is_complete(&self) -> bool {
        let announced = self.newest().next().map(|slice| slice.spec.pool.resource_slice_count);
        announced.is_some_and(|announced| i64::try_from(self.newest().count()) == Ok(announced))
    }
}

/// A device of a slice.
pub(super) struct PublishedDevice<'s> {
    pub(super) slice: &'s Slice,
    /// Its place in the slice.
    pub(super) index: usize,
    pub(super) device: &'s Device,
    cel: drayage_cel::Device,
}

impl PublishedDevice<'_> {
    /// `driver/pool/device`
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.slice.spec.pool_id(), self.device.name)
    }

    /// The field of the slice that has the device.
    pub(super) fn field(&self) -> FieldPath {
        FieldPath::fields("spec.devices").index(self.index)
    }

    /// An attribute by its name with domain, which is the driver where the slice leaves it out.
    pub(super) fn attribute(&self, name: &str) -> Option<&drayage_cel::AttributeValue> {
        self.device.attributes.get(name).or_else(|| {
            let (domain, id) = name.split_once('/')?;
            (domain == self.slice.spec.driver).then(|| self.device.attributes.get(id)).flatten()
        })
    }
}

/// What a claim, a template or several claims alike ask for.
pub(super) struct Demand<'s> {
    pub(super) object: ObjectReference,
    pub(super) origin: &'s Origin,
    /// The field that has `requests`.
    pub(super) devices: FieldPath,
    pub(super) spec: &'s ResourceClaim,
    /// Whether the claim holds devices already.
    pub(super) allocated: bool,
    /// How many more claims have the same specification.
    pub(super) alike: usize,
}

/// One request, or one alternative of it.
pub(super) struct Ask<'s> {
    /// The request's name.
    pub(super) request: &'s str,
    /// The alternative's name.
    pub(super) alternative: Option<&'s str>,
    pub(super) field: FieldPath,
    pub(super) class: &'s str,
    pub(super) selectors: &'s [DeviceSelector],
    pub(super) mode: &'s AllocationMode,
    pub(super) tolerations: &'s [DeviceToleration],
    pub(super) derived: &'s [DeviceDerivedAttribute],
}

impl Ask<'_> {
    /// `request` or `request/alternative`.
    pub(super) fn name(&self) -> String {
        match self.alternative {
            None => self.request.to_owned(),
            Some(alternative) => format!("{}/{alternative}", self.request),
        }
    }

    /// Whether a constraint or configuration with these names is about it.
    pub(super) fn is_among(&self, names: &[String]) -> bool {
        names.is_empty() || names.iter().any(|name| name == self.request || *name == self.name())
    }
}

impl<'s> Demand<'s> {
    /// All requests and alternatives.
    pub(super) fn asks(&self) -> Vec<Ask<'s>> {
        let mut asks = Vec::new();
        for (index, request) in self.spec.requests.iter().enumerate() {
            let field = || self.devices.clone().field("requests").index(index);
            if let Some(exactly) = &request.exactly {
                asks.push(Ask {
                    request: &request.name,
                    alternative: None,
                    field: field().field("exactly"),
                    class: &exactly.device_class_name,
                    selectors: &exactly.selectors,
                    mode: &exactly.allocation_mode,
                    tolerations: &exactly.tolerations,
                    derived: &exactly.derived_attributes,
                });
            }
            for (position, alternative) in request.first_available.iter().enumerate() {
                asks.push(Ask {
                    request: &request.name,
                    alternative: Some(&alternative.name),
                    field: field().field("firstAvailable").index(position),
                    class: &alternative.device_class_name,
                    selectors: &alternative.selectors,
                    mode: &alternative.allocation_mode,
                    tolerations: &alternative.tolerations,
                    derived: &alternative.derived_attributes,
                });
            }
        }
        asks
    }
}

/// A compiled expression and its outcome on every device, as far as it was asked for.
pub(super) struct Expression {
    pub(super) program: Result<Program, CompileError>,
    verdicts: RefCell<BTreeMap<usize, Result<bool, EvaluationError>>>,
}

impl<'s> Cluster<'s> {
    pub(super) fn new(snapshot: &'s Snapshot, options: LintOptions) -> Self {
        let profile = Profile::named(options.profile).for_features(options.features);
        let environment = |stage| Environment {
            release: options.profile.release(),
            stage,
            consumable_capacity: options.features.consumable_capacity,
            list_type_attributes: options.list_type_attributes,
        };
        let mut pools: BTreeMap<PoolId, Pool<'s>> = BTreeMap::new();
        for slice in &snapshot.slices {
            pools.entry(slice.spec.pool_id()).or_default().slices.push(slice);
        }
        let with_sharing = profile.selectors_see_sharing;
        let devices = pools
            .values()
            .flat_map(Pool::newest)
            .flat_map(|slice| slice.spec.devices.iter().enumerate().map(move |entry| (slice, entry)))
            .map(|(slice, (index, device))| PublishedDevice {
                slice,
                index,
                device,
                cel: drayage_cel::Device::new(
                    &slice.spec.driver,
                    &device.attributes,
                    device.capacity.iter().map(|(name, capacity)| (name.as_str(), &capacity.value)),
                    with_sharing && device.allow_multiple_allocations == Some(true),
                ),
            })
            .collect();
        Self {
            snapshot,
            options,
            profile,
            pools,
            devices,
            demands: demands(snapshot),
            stored: Compiler::new(environment(ExpressionStage::Stored)),
            new: Compiler::new(environment(ExpressionStage::New)),
            expressions: RefCell::default(),
            classes: RefCell::default(),
        }
    }

    /// An expression, compiled once.
    pub(super) fn expression(&self, text: &'s str) -> Rc<Expression> {
        let mut expressions = self.expressions.borrow_mut();
        let expression = expressions.entry(text).or_insert_with(|| {
            Rc::new(Expression { program: self.stored.compile_selector(text), verdicts: RefCell::default() })
        });
        Rc::clone(expression)
    }

    /// What a selector says of a device; `None` where it does not compile.
    pub(super) fn verdict(
        &self,
        expression: &Expression,
        device: usize,
    ) -> Option<Result<bool, EvaluationError>> {
        let program = expression.program.as_ref().ok()?;
        let published = self.devices.get(device)?;
        let mut verdicts = expression.verdicts.borrow_mut();
        Some(verdicts.entry(device).or_insert_with(|| program.matches(&published.cel)).clone())
    }

    /// Those of the devices that every selector is true for. A selector that does not compile counts as true, and
    /// so does one that fails: there are rules about both.
    pub(super) fn selected(&self, mut devices: Vec<usize>, selectors: &'s [DeviceSelector]) -> Vec<usize> {
        for selector in selectors {
            let Some(text) = selector.cel.as_deref() else { continue };
            let expression = self.expression(text);
            devices.retain(|device| !matches!(self.verdict(&expression, *device), Some(Ok(false))));
        }
        devices
    }

    /// The devices of a class, all devices for a class that does not exist.
    pub(super) fn of_class(&self, name: &'s str) -> Rc<Vec<usize>> {
        if let Some(known) = self.classes.borrow().get(name) {
            return Rc::clone(known);
        }
        let all = (0..self.devices.len()).collect();
        let devices = Rc::new(match self.snapshot.class(name) {
            Some(class) => self.selected(all, &class.spec.selectors),
            None => all,
        });
        self.classes.borrow_mut().insert(name, Rc::clone(&devices));
        devices
    }

    /// The devices that a request or alternative can have, whoever holds them.
    pub(super) fn candidates(&self, ask: &Ask<'s>) -> Vec<usize> {
        self.selected(self.of_class(ask.class).to_vec(), ask.selectors)
    }
}

/// Templates, and claims that are not made from one of them; of claims that ask for the same, the first.
fn demands(snapshot: &Snapshot) -> Vec<Demand<'_>> {
    let mut demands: Vec<Demand<'_>> = snapshot
        .claim_templates
        .iter()
        .map(|template| Demand {
            object: reference("ResourceClaimTemplate", &template.metadata),
            origin: &template.origin,
            devices: FieldPath::fields("spec.spec.devices"),
            spec: &template.spec,
            allocated: false,
            alike: 0,
        })
        .collect();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let key = |spec: &ResourceClaim| format!("{:?}{:?}{:?}", spec.requests, spec.constraints, spec.config);
    for (index, demand) in demands.iter().enumerate() {
        known.insert(key(demand.spec), index);
    }
    for claim in &snapshot.claims {
        let generated = claim.metadata.controller().is_some_and(|owner| owner.kind == "Pod");
        let text = key(&claim.spec);
        match known.get(&text).and_then(|index| demands.get_mut(*index)) {
            Some(demand) if generated => demand.alike += usize::from(demand.object.kind == "ResourceClaim"),
            _ => {
                known.entry(text).or_insert(demands.len());
                demands.push(Demand {
                    object: reference("ResourceClaim", &claim.metadata),
                    origin: &claim.origin,
                    devices: FieldPath::fields("spec.devices"),
                    spec: &claim.spec,
                    allocated: claim.allocation.is_some(),
                    alike: 0,
                });
            }
        }
    }
    demands
}
