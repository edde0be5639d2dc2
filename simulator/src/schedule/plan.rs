//! What the DynamicResources plugin finds out about a pod before it looks at nodes, and what it then says of a
//! node.

use drayage_allocator::objects::{AllocationResult, NodeSelector, ResourceClaim};
use drayage_allocator::{AllocationError, ValidSelector};
use drayage_cluster::objects::Pod;

use super::claims::{ClaimBook, ClaimId, PodClaim};
use super::devices::{Devices, Question, ShapeId, Verdict, alternatives};
use super::explain::{ExplainedInFull, Merged, NODES_EXPLAINED};
use super::extended::{self, ResourceClasses};
use super::node::NodeState;
use super::nodes::Nodes;
use super::resources::{Amounts, ResourceId, ResourceNames, may_be_backed_by_devices};
use super::selector;
use super::tally::Refusal;
use super::verdicts::Sight;
use crate::report::{DeviceFailure, ExplanationReport, NodeExplanation};

/// A pod's need for devices.
#[derive(Clone, Debug)]
pub(crate) struct DevicePlan {
    claims: Vec<PodClaim>,
    /// Claims that have no devices yet, in order.
    to_allocate: Vec<ClaimId>,
    /// What they demand.
    demands: Vec<usize>,
    /// Whether each of them, once it finds no devices on a node, never does.
    lasting: bool,
    /// Claims that have devices already, and the nodes that can use them.
    bound: Vec<(ClaimId, NodeSelector)>,
    /// What the alternatives of claims that have devices are worth.
    alternatives: i64,
    extended: Option<ExtendedPlan>,
    shape: Option<ShapeId>,
}

/// A pod's extended resources.
#[derive(Clone, Debug)]
struct ExtendedPlan {
    /// All extended resources that the pod requests, with the class behind each.
    resources: Vec<(ResourceId, Option<String>)>,
    /// The claims by the resources that devices have to provide; few, since nodes are alike.
    variants: Vec<Variant>,
}

#[derive(Clone, Debug)]
struct Variant {
    resources: Vec<ResourceId>,
    claim: ResourceClaim,
    lasting: bool,
    shape: ShapeId,
}

/// What must be allocated on a node.
#[derive(Clone, Copy, Debug)]
struct Needed {
    shape: ShapeId,
    /// Whether a failure stands for good.
    lasting: bool,
    /// Position of the extended resources' variant.
    variant: Option<usize>,
}

/// More than demands decides on nodes for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SomethingElse;

/// Why no node is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PlanError {
    /// The pod waits for something to appear.
    Unschedulable(String),
    /// The cycle ends with an error.
    Failed(String),
}

/// What the plugin says of a node.
#[derive(Debug)]
pub(crate) enum DeviceVerdict {
    /// The pod's devices are there. The results are there if they were computed just now; `None` also where
    /// nothing is to be allocated. The number is what the chosen alternatives of all claims are worth.
    Fits(Option<Vec<AllocationResult>>, i64),
    Refused(Refusal),
    Failed(AllocationError),
    Undecided,
}

impl DevicePlan {
    /// Looks at the pod's claims, and at its extended resources where `classes` are given; they are where gate
    /// DRAExtendedResource is on.
    pub(crate) fn new(
        claims: &[PodClaim],
        book: &ClaimBook,
        devices: &Devices,
        amounts: &Amounts,
        names: &ResourceNames,
        classes: Option<&ResourceClasses>,
    ) -> Result<Self, PlanError> {
        let mut plan = Self { claims: claims.to_vec(), ..Self::extended_only(amounts, names, classes) };
        for pod_claim in claims {
            let Some(entry) = book.get(pod_claim.claim) else { continue };
            if let Some(allocation) = &entry.allocation {
                plan.alternatives += i64::from(alternatives(&entry.spec, allocation));
                if let Some(nodes) = &allocation.node_selector {
                    ValidSelector::new(nodes).map_err(|fault| PlanError::Failed(fault.to_string()))?;
                    plan.bound.push((pod_claim.claim, nodes.as_ref().clone()));
                }
            } else {
                // A pod that names one claim twice needs its devices twice, as upstream has it.
                check_classes(&entry.spec, devices)?;
                plan.to_allocate.push(pod_claim.claim);
                plan.demands.push(entry.demand);
                plan.lasting &= book.fails_for_good(entry.demand);
            }
        }
        Ok(plan)
    }

    /// Looks at extended resources only.
    pub(crate) fn extended_only(
        amounts: &Amounts,
        names: &ResourceNames,
        classes: Option<&ResourceClasses>,
    ) -> Self {
        Self {
            claims: Vec::new(),
            to_allocate: Vec::new(),
            demands: Vec::new(),
            lasting: true,
            bound: Vec::new(),
            alternatives: 0,
            extended: classes.and_then(|classes| ExtendedPlan::new(amounts, names, classes)),
            shape: None,
        }
    }

    /// Whether the pod needs no devices at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.extended.is_none()
    }

    /// The pod's claims.
    pub(crate) fn claims(&self) -> &[PodClaim] {
        &self.claims
    }

    /// Whether upstream makes a claim without requests for the pod's extended resources on this node, because the
    /// node offers all of them itself and the pod has claims besides. It cannot bind such a pod.
    pub(crate) fn has_empty_extended_claim(
        &mut self,
        pod: &Pod,
        node: &NodeState,
        book: &mut ClaimBook,
        devices: &mut Devices,
        names: &ResourceNames,
    ) -> bool {
        self.extended.is_some()
            && !self.claims.is_empty()
            && matches!(self.variant(pod, node, book, devices, names), Ok(None))
    }

    /// The claims without devices, in order.
    pub(crate) fn to_allocate(&self) -> &[ClaimId] {
        &self.to_allocate
    }

    /// What the plugin says of a node.
    pub(crate) fn verdict(
        &mut self,
        pod: &Pod,
        at: usize,
        node: &NodeState,
        book: &mut ClaimBook,
        devices: &mut Devices,
        names: &ResourceNames,
    ) -> DeviceVerdict {
        let needed = match self.needed(pod, node, book, devices, names) {
            Ok(needed) => needed,
            Err(refusal) => return DeviceVerdict::Refused(refusal),
        };
        let elsewhere =
            self.bound.iter().any(|(_, nodes)| !selector::accepts_strictly(nodes, &node.for_allocator))
                || self.claims.iter().any(|claim| {
                    let allocation = book.get(claim.claim).and_then(|entry| entry.allocation.as_deref());
                    allocation.is_some_and(|found| !devices.operations_suit(found, &node.for_allocator))
                });
        let (mut found, mut alternatives) = (None, self.alternatives);
        if let Some(needed) = needed {
            let verdict = devices.known_verdict(needed.shape, at).unwrap_or_else(|| {
                let claims = claims_to_allocate(&self.to_allocate, self.variant_at(needed.variant), book);
                devices.verdict(needed.shape, needed.lasting, at, &node.for_allocator, &claims)
            });
            match verdict {
                Verdict::Fits(results, worth) => {
                    (found, alternatives) = (results, alternatives + i64::from(worth));
                }
                Verdict::Unsatisfiable { invalid_pools } => {
                    return DeviceVerdict::Refused(Refusal::Devices { invalid_pools });
                }
                Verdict::Failed(error) => return DeviceVerdict::Failed(error),
                Verdict::Undecided => return DeviceVerdict::Undecided,
            }
        }
        if elsewhere {
            DeviceVerdict::Refused(Refusal::ClaimElsewhere)
        } else {
            DeviceVerdict::Fits(found, alternatives)
        }
    }

    /// Finds out about nodes on several threads, ahead of their turn.
    pub(crate) fn look_ahead(
        &mut self,
        pod: &Pod,
        nodes: &[usize],
        states: &Nodes,
        book: &mut ClaimBook,
        devices: &mut Devices,
        names: &ResourceNames,
    ) {
        let mut unknown: Vec<(usize, &NodeState, Needed)> = Vec::with_capacity(nodes.len());
        let mut shared: Vec<(ShapeId, u32)> = Vec::new();
        for &at in nodes {
            let Some(state) = states.get(at) else { continue };
            if let Ok(Some(needed)) = self.needed(pod, state, book, devices, names)
                && devices.known_verdict(needed.shape, at).is_none()
            {
                // One of those that see the same is enough.
                if let Sight::Shared(number) = devices.sight(at, &state.for_allocator) {
                    if shared.contains(&(needed.shape, number)) {
                        continue;
                    }
                    shared.push((needed.shape, number));
                }
                unknown.push((at, state, needed));
            }
        }
        let questions: Vec<Question<'_>> = unknown
            .iter()
            .map(|(at, state, needed)| Question {
                shape: needed.shape,
                lasting: needed.lasting,
                at: *at,
                node: &state.for_allocator,
                claims: claims_to_allocate(&self.to_allocate, self.variant_at(needed.variant), book),
            })
            .collect();
        devices.look_ahead(&questions);
    }

    /// What must be allocated on a node; `None` where that is nothing.
    fn needed(
        &mut self,
        pod: &Pod,
        node: &NodeState,
        book: &mut ClaimBook,
        devices: &mut Devices,
        names: &ResourceNames,
    ) -> Result<Option<Needed>, Refusal> {
        let variant = self.variant(pod, node, book, devices, names)?;
        let of_variant = self.variant_at(variant).map(|variant| (variant.shape, variant.lasting));
        if self.to_allocate.is_empty() && of_variant.is_none() {
            return Ok(None);
        }
        let (shape, lasting) = match of_variant {
            Some((shape, lasting)) => (shape, lasting && self.lasting),
            None => (*self.shape.get_or_insert_with(|| devices.shape(&self.demands)), self.lasting),
        };
        Ok(Some(Needed { shape, lasting, variant }))
    }

    fn variant_at(&self, at: Option<usize>) -> Option<&Variant> {
        self.extended.as_ref()?.variants.get(at?)
    }

    /// The number of what the pod demands of devices, if that is all that decides on nodes: pods of one number then
    /// get the same verdicts. `Err` where something else has a say, such as claims that have devices already.
    pub(crate) fn demands_only(&mut self, devices: &mut Devices) -> Result<Option<ShapeId>, SomethingElse> {
        if self.extended.is_some() || self.to_allocate.len() != self.claims.len() {
            return Err(SomethingElse);
        }
        if self.to_allocate.is_empty() {
            return Ok(None);
        }
        Ok(Some(*self.shape.get_or_insert_with(|| devices.shape(&self.demands))))
    }

    /// What stands in the way of devices on the nodes, merged over nodes that fail alike.
    pub(crate) fn explain(
        &mut self,
        pod: &Pod,
        nodes: &[usize],
        states: &Nodes,
        book: &mut ClaimBook,
        devices: &mut Devices,
        names: &ResourceNames,
    ) -> Merged {
        let mut merged = Merged::default();
        for &at in nodes {
            let Some(node) = states.get(at) else { continue };
            let variant = self.variant(pod, node, book, devices, names).ok().flatten();
            let variant = variant.and_then(|at| self.extended.as_ref()?.variants.get(at));
            let shape = match variant {
                Some(variant) => variant.shape,
                None => *self.shape.get_or_insert_with(|| devices.shape(&self.demands)),
            };
            let claims = claims_to_allocate(&self.to_allocate, variant, book);
            merged.add(at, &devices.failures(shape, at, &node.for_allocator, &claims));
        }
        merged
    }

    /// What [`explain`](Self::explain) found, in the names of this pod's claims and of the nodes.
    pub(crate) fn name_failures(
        &self,
        merged: Merged,
        states: &Nodes,
        book: &ClaimBook,
    ) -> Vec<DeviceFailure> {
        // Variants of the claim for extended resources have one name.
        let variant = self.extended.as_ref().and_then(|extended| extended.variants.first());
        let claims = claims_to_allocate(&self.to_allocate, variant, book);
        merged.into_failures(&claims, |at| {
            states.get(at).map(|node| node.name().to_owned()).unwrap_or_default()
        })
    }

    /// Explains in full why there are no devices, on the nearest node of each of the largest groups of nodes that
    /// fail alike.
    pub(crate) fn explain_in_full(
        &mut self,
        pod: &Pod,
        failures: &[DeviceFailure],
        states: &Nodes,
        book: &mut ClaimBook,
        devices: &mut Devices,
        names: &ResourceNames,
    ) -> ExplainedInFull {
        let mut explained = ExplainedInFull::default();
        let mut done: Vec<usize> = Vec::new();
        for failure in failures {
            let Some(at) = states.find(&failure.nearest_node) else {
                continue;
            };
            if done.contains(&at) || done.len() == NODES_EXPLAINED {
                continue;
            }
            done.push(at);
            let Some(node) = states.get(at) else { continue };
            let variant = self.variant(pod, node, book, devices, names).ok().flatten();
            let variant = variant.and_then(|at| self.extended.as_ref()?.variants.get(at));
            let shape = match variant {
                Some(variant) => variant.shape,
                None => *self.shape.get_or_insert_with(|| devices.shape(&self.demands)),
            };
            if let Some(other) = devices.explained_for(shape, at, &pod.metadata.full_name()) {
                explained.like = Some(other);
                continue;
            }
            let claims = claims_to_allocate(&self.to_allocate, variant, book);
            let explanation = devices.explain(&node.for_allocator, &claims, &book.holders());
            explained.explanations.push(NodeExplanation {
                nodes: failure.nodes,
                text: explanation.to_string(),
                explanation: ExplanationReport::from(&explanation),
            });
        }
        explained
    }

    /// The claim for extended resources that devices must provide on the node, if any.
    pub(crate) fn extended_claim(
        &mut self,
        pod: &Pod,
        node: &NodeState,
        book: &mut ClaimBook,
        devices: &mut Devices,
        names: &ResourceNames,
    ) -> Option<ResourceClaim> {
        let at = self.variant(pod, node, book, devices, names).ok()??;
        Some(self.extended.as_ref()?.variants.get(at)?.claim.clone())
    }

    /// Position of the extended resources' variant for a node; `None` where the node offers all of them itself.
    fn variant(
        &mut self,
        pod: &Pod,
        node: &NodeState,
        book: &mut ClaimBook,
        devices: &mut Devices,
        names: &ResourceNames,
    ) -> Result<Option<usize>, Refusal> {
        let Some(plan) = &mut self.extended else { return Ok(None) };
        let mut by_devices = Vec::new();
        for (id, class) in &plan.resources {
            match (node.resources.allocatable.scalar(*id), class) {
                (None | Some(0), Some(_)) => by_devices.push(*id),
                (Some(_), _) => {}
                (None, None) => return Err(Refusal::NotOffered),
            }
        }
        if by_devices.is_empty() {
            return Ok(None);
        }
        if let Some(known) = plan.variants.iter().position(|variant| variant.resources == by_devices) {
            return Ok(Some(known));
        }
        let mut resources: Vec<(&str, &str)> = plan
            .resources
            .iter()
            .filter(|(id, _)| by_devices.contains(id))
            .filter_map(|(id, class)| Some((names.name(*id), class.as_deref()?)))
            .collect();
        resources.sort_unstable();
        let claim = extended::claim(&pod.metadata.namespace, &pod.spec, &resources);
        let demand = book.demand(&claim);
        let demands: Vec<usize> = self.demands.iter().copied().chain([demand]).collect();
        plan.variants.push(Variant {
            resources: by_devices,
            claim,
            lasting: book.fails_for_good(demand),
            shape: devices.shape(&demands),
        });
        Ok(Some(plan.variants.len() - 1))
    }

    /// Allocates on the chosen node.
    pub(crate) fn allocate(
        &mut self,
        pod: &Pod,
        node: &NodeState,
        book: &mut ClaimBook,
        devices: &mut Devices,
        names: &ResourceNames,
    ) -> Verdict {
        let variant = self.variant(pod, node, book, devices, names).ok().flatten();
        let variant = variant.and_then(|at| self.extended.as_ref()?.variants.get(at));
        let claims = claims_to_allocate(&self.to_allocate, variant, book);
        if claims.is_empty() {
            return Verdict::Fits(Some(Vec::new()), 0);
        }
        devices.allocate(&node.for_allocator, &claims)
    }
}

fn claims_to_allocate<'a>(
    to_allocate: &[ClaimId],
    variant: Option<&'a Variant>,
    book: &'a ClaimBook,
) -> Vec<&'a ResourceClaim> {
    to_allocate
        .iter()
        .filter_map(|&id| book.get(id).map(|entry| entry.spec.as_ref()))
        .chain(variant.map(|variant| &variant.claim))
        .collect()
}

impl ExtendedPlan {
    fn new(amounts: &Amounts, names: &ResourceNames, classes: &ResourceClasses) -> Option<Self> {
        let resources: Vec<(ResourceId, Option<String>)> = amounts
            .scalars()
            .iter()
            .filter(|&&(id, amount)| amount > 0 && may_be_backed_by_devices(names.name(id)))
            .map(|&(id, _)| (id, classes.class(names.name(id)).map(str::to_owned)))
            .collect();
        let backed = resources.iter().any(|(_, class)| class.is_some());
        backed.then_some(Self { resources, variants: Vec::new() })
    }
}

/// The scheduler looks for every class before it looks at nodes.
fn check_classes(claim: &ResourceClaim, devices: &Devices) -> Result<(), PlanError> {
    let check = |request: &str, class: &str| {
        if class.is_empty() {
            Err(PlanError::Failed(format!("request {request}: unsupported request type")))
        } else if devices.has_class(class) {
            Ok(())
        } else {
            Err(PlanError::Unschedulable(format!("request {request}: device class {class} does not exist")))
        }
    };
    for request in &claim.requests {
        if let Some(exactly) = &request.exactly {
            check(&request.name, &exactly.device_class_name)?;
        } else if request.first_available.is_empty() {
            return Err(PlanError::Unschedulable(format!(
                "resource claim {}, request {}: unknown request type",
                claim.full_name(),
                request.name
            )));
        } else {
            if !devices.features().prioritized_list {
                return Err(PlanError::Unschedulable(format!(
                    "resource claim {}, request {}: has subrequests, but the DRAPrioritizedList feature is disabled",
                    claim.full_name(),
                    request.name
                )));
            }
            for alternative in &request.first_available {
                check(&format!("{}/{}", request.name, alternative.name), &alternative.device_class_name)?;
            }
        }
    }
    Ok(())
}
