//! Amounts of node resources: what a pod needs, what a node has left.
//!
//! As in kube-scheduler, containers' requests are summed as exact quantities and turned into integers once:
//! thousandths of a CPU, bytes and pieces, rounded up.

use std::collections::BTreeMap;

use drayage_cel::Quantity;
use rustc_hash::FxHashMap;

/// Requests by resource name, as written.
pub(crate) type ResourceList = BTreeMap<String, Quantity>;

/// A resource by number, see [`ResourceNames`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ResourceId(u32);

impl ResourceId {
    pub(crate) const CPU: Self = Self(0);
    pub(crate) const MEMORY: Self = Self(1);
    pub(crate) const EPHEMERAL_STORAGE: Self = Self(2);
}

/// Names of resources, each once.
#[derive(Clone, Debug)]
pub(crate) struct ResourceNames {
    names: Vec<String>,
    ids: FxHashMap<String, ResourceId>,
}

impl Default for ResourceNames {
    fn default() -> Self {
        let mut names = Self { names: Vec::new(), ids: FxHashMap::default() };
        for name in ["cpu", "memory", "ephemeral-storage"] {
            names.id(name);
        }
        names
    }
}

impl ResourceNames {
    /// The number of a name, new if it has none yet.
    pub(crate) fn id(&mut self, name: &str) -> ResourceId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = ResourceId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        id
    }

    /// The number of a name that was seen.
    #[cfg(test)]
    pub(crate) fn find(&self, name: &str) -> Option<ResourceId> {
        self.ids.get(name).copied()
    }

    /// The name of a number.
    pub(crate) fn name(&self, id: ResourceId) -> &str {
        self.names.get(id.0 as usize).map_or("", String::as_str)
    }

    /// Integer amounts of a list. Names that the scheduler does not count are left out, negative amounts too:
    /// the API server refuses them.
    pub(crate) fn amounts(&mut self, list: &ResourceList) -> Amounts {
        let mut amounts = Amounts::default();
        let mut scalars = BTreeMap::new();
        for (name, quantity) in list {
            match name.as_str() {
                "cpu" => amounts.milli_cpu = quantity.milli_value().max(0),
                "memory" => amounts.memory = quantity.value().max(0),
                "ephemeral-storage" => amounts.ephemeral_storage = quantity.value().max(0),
                name if is_scalar(name) => {
                    scalars.insert(self.id(name), quantity.value().max(0));
                }
                _ => {}
            }
        }
        amounts.scalars = scalars.into_iter().collect();
        amounts
    }
}

/// Integer amounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Amounts {
    pub(crate) milli_cpu: i64,
    pub(crate) memory: i64,
    pub(crate) ephemeral_storage: i64,
    /// Extended resources, huge pages and attachable volumes, by number, sorted.
    scalars: Vec<(ResourceId, i64)>,
}

impl Amounts {
    /// The amount of one resource; `None` where a scalar resource is not listed.
    pub(crate) fn scalar(&self, id: ResourceId) -> Option<i64> {
        self.scalars.binary_search_by_key(&id, |&(id, _)| id).ok().map(|at| self.scalars[at].1)
    }

    /// The same without some scalar resources.
    pub(crate) fn without(&self, ignored: impl Fn(ResourceId) -> bool) -> Self {
        let mut kept = self.clone();
        kept.scalars.retain(|&(id, _)| !ignored(id));
        kept
    }

    /// The scalar resources, by number.
    pub(crate) fn scalars(&self) -> &[(ResourceId, i64)] {
        &self.scalars
    }

    fn add(&mut self, other: &Self) {
        self.milli_cpu = self.milli_cpu.saturating_add(other.milli_cpu);
        self.memory = self.memory.saturating_add(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.saturating_add(other.ephemeral_storage);
        for &(id, amount) in &other.scalars {
            match self.scalars.binary_search_by_key(&id, |&(id, _)| id) {
                Ok(at) => self.scalars[at].1 = self.scalars[at].1.saturating_add(amount),
                Err(at) => self.scalars.insert(at, (id, amount)),
            }
        }
    }
}

impl Amounts {
    fn subtract(&mut self, other: &Self) {
        self.milli_cpu = self.milli_cpu.saturating_sub(other.milli_cpu);
        self.memory = self.memory.saturating_sub(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.saturating_sub(other.ephemeral_storage);
        for &(id, amount) in &other.scalars {
            if let Ok(at) = self.scalars.binary_search_by_key(&id, |&(id, _)| id) {
                self.scalars[at].1 = self.scalars[at].1.saturating_sub(amount);
            }
        }
    }
}

/// What a node offers and what its pods have taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeResources {
    pub(crate) allocatable: Amounts,
    pub(crate) allowed_pods: i64,
    requested: Amounts,
    /// As `requested`, of CPU and memory, with an amount for containers that request none.
    assumed: Assumed,
    pods: i64,
}

/// CPU and memory as scores count them: containers that request none of it are taken to need a little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assumed {
    pub(crate) milli_cpu: i64,
    pub(crate) memory: i64,
}

impl Assumed {
    fn plus(self, other: Self, sign: i64) -> Self {
        Self {
            milli_cpu: self.milli_cpu.saturating_add(sign * other.milli_cpu),
            memory: self.memory.saturating_add(sign * other.memory),
        }
    }
}

/// One thing a node has too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// No room for another pod.
    Pods,
    /// A resource, and how much of it is missing.
    Resource(ResourceId, i64),
}

impl NodeResources {
    pub(crate) fn new(allocatable: Amounts, allowed_pods: i64) -> Self {
        Self { allocatable, allowed_pods, ..Self::default() }
    }

    /// Takes what a pod needs.
    pub(crate) fn take(&mut self, needed: &Amounts, assumed: Assumed) {
        self.pods += 1;
        self.requested.add(needed);
        self.assumed = self.assumed.plus(assumed, 1);
    }

    /// Gives back what a pod took.
    pub(crate) fn release(&mut self, needed: &Amounts, assumed: Assumed) {
        self.pods = self.pods.saturating_sub(1);
        self.requested.subtract(needed);
        self.assumed = self.assumed.plus(assumed, -1);
    }

    /// What the pods here have taken together, as scores count it.
    pub(crate) fn assumed(&self) -> Assumed {
        self.assumed
    }

    /// How many pods there are.
    pub(crate) fn pods(&self) -> i64 {
        self.pods
    }

    /// What the pods here have taken together.
    pub(crate) fn requested(&self) -> &Amounts {
        &self.requested
    }

    /// Whether the pod fits. `delegated` says of a scalar resource that the node does not offer itself whether
    /// devices stand in for it, so that it does not count here.
    pub(crate) fn fits(&self, needed: &Amounts, delegated: impl Fn(ResourceId) -> bool) -> bool {
        let mut fits = true;
        self.each_shortage(needed, delegated, |_| {
            fits = false;
            false
        });
        fits
    }

    /// Whether the node has enough for the pod once all others have left it.
    pub(crate) fn offers(&self, needed: &Amounts, delegated: impl Fn(ResourceId) -> bool) -> bool {
        let empty = Self::new(self.allocatable.clone(), i64::MAX);
        empty.fits(needed, delegated)
    }

    /// Calls `found` for each shortage, in a fixed order, until it returns false.
    pub(crate) fn each_shortage(
        &self,
        needed: &Amounts,
        delegated: impl Fn(ResourceId) -> bool,
        mut found: impl FnMut(Shortage) -> bool,
    ) {
        if self.pods + 1 > self.allowed_pods && !found(Shortage::Pods) {
            return;
        }
        let fixed = [
            (ResourceId::CPU, needed.milli_cpu, self.allocatable.milli_cpu, self.requested.milli_cpu),
            (ResourceId::MEMORY, needed.memory, self.allocatable.memory, self.requested.memory),
            (
                ResourceId::EPHEMERAL_STORAGE,
                needed.ephemeral_storage,
                self.allocatable.ephemeral_storage,
                self.requested.ephemeral_storage,
            ),
        ];
        for (id, needed, allocatable, requested) in fixed {
            let free = allocatable.saturating_sub(requested);
            if needed > 0 && needed > free && !found(Shortage::Resource(id, needed.saturating_sub(free))) {
                return;
            }
        }
        for &(id, needed) in &needed.scalars {
            if needed == 0 {
                continue;
            }
            let allocatable = self.allocatable.scalar(id).unwrap_or(0);
            if allocatable <= 0 && delegated(id) {
                continue;
            }
            let free = allocatable.saturating_sub(self.requested.scalar(id).unwrap_or(0));
            if needed > free && !found(Shortage::Resource(id, needed.saturating_sub(free))) {
                return;
            }
        }
    }
}

/// One container's part in a pod's needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContainerRequests<'a> {
    pub(crate) requests: &'a ResourceList,
    /// Whether it is an init container that keeps running (`restartPolicy: Always`).
    pub(crate) sidecar: bool,
}

/// What a pod needs of a node, as the API defines it (KEP-753 for sidecars, KEP-2837 for pod-level resources).
pub(crate) fn pod_requests<'a>(
    init_containers: impl IntoIterator<Item = ContainerRequests<'a>>,
    containers: impl IntoIterator<Item = ContainerRequests<'a>>,
    pod_level: Option<&ResourceList>,
    overhead: &ResourceList,
) -> ResourceList {
    let mut sum = ResourceList::new();
    for container in containers {
        add(&mut sum, container.requests);
    }
    // While one init container runs, so do all sidecars that were started before it.
    let mut sidecars = ResourceList::new();
    let mut peak = ResourceList::new();
    for container in init_containers {
        if container.sidecar {
            add(&mut sum, container.requests);
            add(&mut sidecars, container.requests);
            raise(&mut peak, &sidecars);
        } else {
            let mut running = sidecars.clone();
            add(&mut running, container.requests);
            raise(&mut peak, &running);
        }
    }
    raise(&mut sum, &peak);
    for (name, quantity) in pod_level.into_iter().flatten() {
        if name == "cpu" || name == "memory" || name.starts_with(HUGE_PAGES) {
            sum.insert(name.clone(), quantity.clone());
        }
    }
    add(&mut sum, overhead);
    sum
}

const HUGE_PAGES: &str = "hugepages-";

fn add(sum: &mut ResourceList, list: &ResourceList) {
    for (name, quantity) in list {
        match sum.get_mut(name) {
            // A sum beyond every quantity cannot be told from either part: both exceed any node.
            Some(total) => {
                if let Some(exact) = total.checked_add(quantity) {
                    *total = exact;
                }
            }
            None => {
                sum.insert(name.clone(), quantity.clone());
            }
        }
    }
}

fn raise(list: &mut ResourceList, to: &ResourceList) {
    for (name, quantity) in to {
        match list.get_mut(name) {
            Some(present) if *present >= *quantity => {}
            Some(present) => *present = quantity.clone(),
            None => {
                list.insert(name.clone(), quantity.clone());
            }
        }
    }
}

/// Whether the scheduler counts the resource besides CPU, memory and ephemeral storage.
fn is_scalar(name: &str) -> bool {
    is_extended(name)
        || name.starts_with(HUGE_PAGES)
        || name.contains(KUBERNETES)
        || name.starts_with("attachable-volumes-")
}

const KUBERNETES: &str = "kubernetes.io/";

/// Whether the name is that of an extended resource: qualified, and not in Kubernetes' own domain.
fn is_extended(name: &str) -> bool {
    let Some((domain, id)) = name.split_once('/') else { return false };
    let alphanumeric = |text: &str| {
        text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
            && text.bytes().last().is_some_and(|byte| byte.is_ascii_alphanumeric())
    };
    !name.contains(KUBERNETES)
        && !name.starts_with("requests.")
        // The name must still be a qualified name with `requests.` before it.
        && (1..=253 - "requests.".len()).contains(&domain.len())
        && domain.split('.').all(|label| {
            alphanumeric(label)
                && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
        && (1..=63).contains(&id.len())
        && alphanumeric(id)
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Whether a device class may stand in for the resource: extended resources, and the implicit name of a class.
pub(crate) fn may_be_backed_by_devices(name: &str) -> bool {
    is_extended(name) || name.starts_with(IMPLICIT_PREFIX)
}

/// Prefix of the implicit extended resource of a device class.
pub(crate) const IMPLICIT_PREFIX: &str = "deviceclass.resource.kubernetes.io/";

/// An amount in words: `2500m` of CPU, `3Gi` of memory, `2` of anything else.
pub(crate) fn amount_text(id: ResourceId, amount: i64) -> String {
    match id {
        ResourceId::CPU if amount % 1000 == 0 => (amount / 1000).to_string(),
        ResourceId::CPU => format!("{amount}m"),
        ResourceId::MEMORY | ResourceId::EPHEMERAL_STORAGE => {
            let (mut amount, mut unit) = (amount, 0);
            while amount != 0 && amount % 1024 == 0 && unit < 6 {
                amount /= 1024;
                unit += 1;
            }
            format!("{amount}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][unit])
        }
        _ => amount.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(&str, &str)]) -> ResourceList {
        entries.iter().map(|(name, text)| ((*name).to_owned(), text.parse().unwrap())).collect()
    }

    fn needs(init: &[(&ResourceList, bool)], containers: &[&ResourceList]) -> ResourceList {
        pod_requests(
            init.iter().map(|&(requests, sidecar)| ContainerRequests { requests, sidecar }),
            containers.iter().map(|&requests| ContainerRequests { requests, sidecar: false }),
            None,
            &ResourceList::new(),
        )
    }

    #[test]
    fn containers_add_up_and_init_containers_take_turns() {
        let (one, two) = (list(&[("cpu", "1"), ("memory", "1Gi")]), list(&[("cpu", "2"), ("memory", "3Gi")]));
        let (short, long) =
            (list(&[("cpu", "2"), ("memory", "1Gi")]), list(&[("cpu", "2"), ("memory", "5Gi")]));
        let sum = needs(&[(&short, false), (&long, false)], &[&one, &two]);
        assert_eq!(sum, list(&[("cpu", "3"), ("memory", "5Gi")]));
    }

    #[test]
    fn sidecars_count_with_the_containers_and_below_later_init_containers() {
        let (side, init, main) = (list(&[("cpu", "1")]), list(&[("cpu", "4")]), list(&[("cpu", "2")]));
        assert_eq!(needs(&[(&side, true), (&init, false)], &[&main]), list(&[("cpu", "5")]));
        assert_eq!(needs(&[(&init, false), (&side, true)], &[&main]), list(&[("cpu", "4")]));
        assert_eq!(needs(&[(&side, true), (&side, true)], &[&main]), list(&[("cpu", "4")]));
    }

    #[test]
    fn pod_level_resources_replace_cpu_and_memory_but_not_overhead() {
        let main = list(&[("cpu", "2"), ("example.com/gpu", "1")]);
        let pod_level = list(&[("cpu", "7"), ("example.com/gpu", "9")]);
        let sum = pod_requests(
            [],
            [ContainerRequests { requests: &main, sidecar: false }],
            Some(&pod_level),
            &list(&[("cpu", "250m")]),
        );
        assert_eq!(sum, list(&[("cpu", "7250m"), ("example.com/gpu", "1")]));
    }

    #[test]
    fn amounts_round_up() {
        let mut names = ResourceNames::default();
        let amounts = names.amounts(&list(&[("cpu", "100u"), ("memory", "1500m"), ("example.com/gpu", "2")]));
        assert_eq!((amounts.milli_cpu, amounts.memory), (1, 2));
        assert_eq!(amounts.scalar(names.find("example.com/gpu").unwrap()), Some(2));
    }

    #[test]
    fn only_some_names_count() {
        for name in ["example.com/gpu", "hugepages-2Mi", "deviceclass.resource.kubernetes.io/a"] {
            assert!(is_scalar(name), "{name}");
        }
        for name in ["gpu", "requests.example.com/gpu", "Example.com/gpu", "example.com/", "/gpu", "pods"] {
            assert!(!is_scalar(name), "{name}");
        }
    }

    #[test]
    fn shortages_are_exact() {
        let mut names = ResourceNames::default();
        let allocatable = names.amounts(&list(&[("cpu", "4"), ("memory", "8Gi"), ("example.com/gpu", "1")]));
        let mut node = NodeResources::new(allocatable, 2);
        let half = names.amounts(&list(&[("cpu", "2"), ("memory", "1Gi"), ("example.com/gpu", "1")]));
        assert!(node.fits(&half, |_| false));
        node.take(&half, Assumed::default());
        let mut found = Vec::new();
        node.each_shortage(
            &half,
            |_| true,
            |shortage| {
                found.push(shortage);
                true
            },
        );
        // The node offers the extended resource itself, so no device stands in for it.
        assert_eq!(found, [Shortage::Resource(names.find("example.com/gpu").unwrap(), 1)]);
        let more = names.amounts(&list(&[("cpu", "2001m"), ("example.com/other", "1")]));
        assert!(!node.fits(&more, |_| true));
        let other = names.amounts(&list(&[("example.com/other", "1")]));
        assert!(node.fits(&other, |_| true));
        assert!(!node.fits(&other, |_| false));
        node.take(&other, Assumed::default());
        assert!(!node.fits(&Amounts::default(), |_| false));
    }

    #[test]
    fn amounts_are_written_in_their_unit() {
        assert_eq!(amount_text(ResourceId::CPU, 2500), "2500m");
        assert_eq!(amount_text(ResourceId::CPU, 2000), "2");
        assert_eq!(amount_text(ResourceId::MEMORY, 3 << 30), "3Gi");
        assert_eq!(amount_text(ResourceId::MEMORY, 1500), "1500");
    }
}
