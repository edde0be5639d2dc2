//! From objects and reports to the columns of a page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use drayage_allocator::objects::{Device, DeviceId, PoolId, ResourceSlice};
use drayage_cel::{AttributeValue, Quantity};
use drayage_cluster::Snapshot;
use drayage_cluster::objects::{Node, Pod};
use indexmap::IndexSet;
use rustc_hash::{FxHashMap, FxHashSet};

use super::Scene;
use super::counters::{PoolCounters, Span};
use super::data::{Devices, Group, Nodes, Outcome, PageData, Pods, Texts, Why};
use crate::report::{
    Assumptions, ClaimReport, DeviceReport, PodOutcome, PodReport, ReplayReport, SimulationReport,
};

/// Outcomes in the order of their numbers. The last two are for claims that hold devices and that no pod uses, and for
/// pods of replays.
const OUTCOMES: [Outcome; 9] = [
    Outcome { name: "already running", tone: "" },
    Outcome { name: "scheduled", tone: "good" },
    Outcome { name: "unschedulable", tone: "bad" },
    Outcome { name: "gated", tone: "warn" },
    Outcome { name: "error", tone: "bad" },
    Outcome { name: "undecided", tone: "warn" },
    Outcome { name: "preempted", tone: "bad" },
    Outcome { name: "claim without a pod", tone: "" },
    Outcome { name: "never placed", tone: "bad" },
];
const PLACED: usize = 1;
const CLAIM_WITHOUT_POD: usize = OUTCOMES.len() - 2;
const NEVER_PLACED: usize = OUTCOMES.len() - 1;

/// Kinds of uses, as the script knows them.
const EXCLUSIVE: i64 = 0;
const SHARE: i64 = 1;
const ADMIN: i64 = 2;

/// The page of one simulation.
pub(super) fn simulation(scene: Scene<'_>) -> PageData {
    let mut collector = Collector::new(&[scene.snapshot]);
    let mut step = 0;
    for pod in &scene.report.pods {
        let waited = !matches!(pod.outcome, PodOutcome::AlreadyRunning | PodOutcome::Preempted);
        step += i64::from(waited);
        let at = if waited { step } else { 0 };
        collector.pod(scene.snapshot, pod, at, None);
    }
    collector.claims_without_pods(scene.snapshot, 0, None);
    let mut data = collector.finish(step, None);
    describe(&mut data, scene.report);
    "Simulation".clone_into(&mut data.title);
    data
}

/// The page of a change.
pub(super) fn change(title: &str, before: Scene<'_>, after: Scene<'_>) -> PageData {
    let mut collector = Collector::new(&[before.snapshot, after.snapshot]);
    let stays: FxHashSet<Fate<'_>> = before.report.pods.iter().map(fate).collect();
    let kept: FxHashSet<Fate<'_>> =
        after.report.pods.iter().map(fate).filter(|fate| stays.contains(fate)).collect();
    for pod in before.report.pods.iter().filter(|pod| !kept.contains(&fate(pod))) {
        collector.pod(before.snapshot, pod, 0, Some(1));
    }
    for pod in &after.report.pods {
        let from = i64::from(!kept.contains(&fate(pod)));
        collector.pod(after.snapshot, pod, from, None);
    }
    collector.claims_without_pods(after.snapshot, 0, None);
    collector.absent(before.snapshot, (0, Some(1)));
    collector.absent(after.snapshot, (1, None));
    let mut data = collector.finish(1, Some(vec!["before".to_owned(), format!("after: {title}")]));
    describe(&mut data, after.report);
    data.cards.insert(0, (before.report.summary.pending.to_string(), "pending before".to_owned(), ""));
    title.clone_into(&mut data.title);
    data
}

/// What of a pod must be equal for it not to count as changed.
type Fate<'a> = (&'a str, &'a str, Option<&'a str>, Vec<(&'a str, &'a str, &'a str)>);

fn fate(pod: &PodReport) -> Fate<'_> {
    let devices = pod.claims.iter().flat_map(|claim| &claim.devices);
    let devices = devices.map(|device| (&*device.driver, &*device.pool, &*device.device)).collect();
    (&pod.namespace, &pod.name, pod.node.as_deref(), devices)
}

/// The page of a replay: one step for each second in which something happens.
pub(super) fn replay(snapshot: &Snapshot, report: &ReplayReport) -> PageData {
    let mut collector = Collector::new(&[snapshot]);
    let events: BTreeSet<u64> = report.pods.iter().flat_map(|pod| [pod.placed, pod.left]).flatten().collect();
    let steps: FxHashMap<u64, i64> = events.iter().copied().zip(1..).collect();
    let step = |second: u64| steps.get(&second).copied().unwrap_or(0);
    let mut in_use: BTreeMap<i64, i64> = BTreeMap::new();
    for times in &report.pods {
        let (namespace, name) = times.pod.split_once('/').unwrap_or(("", &times.pod));
        let outcome = if times.placed.is_some() { PLACED } else { NEVER_PLACED };
        let span = (times.placed.map_or(0, step), times.left.map(step));
        let node = times.node.as_deref().and_then(|node| collector.node_numbers.get(node).copied());
        let row = collector.row(namespace, name, outcome, node, span);
        for device in &times.devices {
            collector.used(device, row, span, true);
            *in_use.entry(span.0).or_default() += 1;
            if let Some(end) = span.1 {
                *in_use.entry(end).or_default() -= 1;
            }
        }
    }
    let clock = |second: &u64| {
        format!("{} d {:02}:{:02}:{:02}", second / 86_400, second / 3600 % 24, second / 60 % 60, second % 60)
    };
    let labels = std::iter::once("before".to_owned()).chain(events.iter().map(clock)).collect();
    let mut data = collector.finish(number_of(events.len()), Some(labels));
    // It begins where most devices are in use: in the end there may be none.
    data.start_step = (0..=data.last_step)
        .map(|at| (at, in_use.get(&at).copied().unwrap_or(0)))
        .scan(0, |sum, (at, change)| {
            *sum += change;
            Some((*sum, std::cmp::Reverse(at)))
        })
        .max()
        .map_or(data.last_step, |(_, std::cmp::Reverse(at))| at);
    "Replay".clone_into(&mut data.title);
    let card = |value: String, name: &str, tone| (value, name.to_owned(), tone);
    let tone = if report.never_placed > 0 { "bad" } else { "" };
    data.cards = vec![
        card(report.placed.to_string(), "placed", "good"),
        card(report.never_placed.to_string(), "never placed", tone),
        card(report.most_waiting.to_string(), "waited at most", ""),
        card(format!("{:.1}", report.mean_device_allocations), "allocations, mean", ""),
    ];
    rest_on(&mut data, &report.assumptions);
    data
}

fn describe(data: &mut PageData, report: &SimulationReport) {
    let summary = &report.summary;
    let card = |value: usize, name: &str, tone| (value.to_string(), name.to_owned(), tone);
    data.cards = vec![
        card(summary.pods, "pods", ""),
        card(summary.scheduled, "scheduled", "good"),
        card(summary.pending, "pending", if summary.pending > 0 { "bad" } else { "" }),
        card(summary.nodes, "nodes", ""),
        card(summary.devices, "devices", ""),
        card(summary.devices_in_use, "devices in use", ""),
    ];
    if summary.preempted > 0 {
        data.cards.insert(3, card(summary.preempted, "preempted", "bad"));
    }
    rest_on(data, &report.assumptions);
}

/// What the answer rests on.
fn rest_on(data: &mut PageData, assumptions: &Assumptions) {
    data.about = format!("Kubernetes {} · {}", assumptions.release, assumptions.tie_rule);
    let gates = assumptions.feature_gate_overrides.iter();
    data.assumptions = vec![
        ("Approximations", assumptions.approximations.clone()),
        ("Warnings", assumptions.warnings.clone()),
        ("Without effect", assumptions.ignored.clone()),
        ("Feature gates that were set", gates.map(|(gate, on)| format!("{gate}={on}")).collect()),
    ];
}

#[derive(Default)]
struct Collector {
    texts: Texts,
    groups: Vec<Group>,
    nodes: Nodes,
    node_numbers: FxHashMap<String, usize>,
    devices: Devices,
    device_numbers: FxHashMap<DeviceId, usize>,
    /// Capacities of devices that allow multiple allocations.
    capacities: FxHashMap<usize, BTreeMap<String, Quantity>>,
    tainted: Vec<usize>,
    counters: BTreeMap<PoolId, PoolCounters>,
    pods: Pods,
    uses: Vec<i64>,
    spans: BTreeMap<PoolId, Vec<Span>>,
    absent: Vec<i64>,
    claims_of_pods: FxHashSet<String>,
    why: IndexSet<Why>,
}

impl Collector {
    fn new(snapshots: &[&Snapshot]) -> Self {
        let mut collector = Self::default();
        // Later snapshots win.
        let mut slices: BTreeMap<String, ResourceSlice> = BTreeMap::new();
        let mut nodes: BTreeMap<&str, &Node> = BTreeMap::new();
        for snapshot in snapshots {
            slices
                .extend(snapshot.allocator_slices(true).into_iter().map(|slice| (slice.name.clone(), slice)));
            nodes.extend(snapshot.nodes.iter().map(|node| (node.metadata.name.as_str(), node)));
        }
        let mut newest: BTreeMap<PoolId, i64> = BTreeMap::new();
        for slice in slices.values() {
            let generation = newest.entry(slice.pool_id()).or_insert(slice.pool.generation);
            *generation = (*generation).max(slice.pool.generation);
        }
        slices.retain(|_, slice| newest.get(&slice.pool_id()) == Some(&slice.pool.generation));

        // Devices by place: a node, or a pool whose devices are not on one.
        let mut places: BTreeMap<(bool, &str), Vec<(&ResourceSlice, &Device)>> = BTreeMap::new();
        for name in nodes.keys() {
            places.entry((false, name)).or_default();
        }
        for slice in slices.values() {
            for device in &slice.devices {
                let node = slice.node_name.as_deref().or(device.node_name.as_deref());
                let place = node.map_or((true, slice.pool.name.as_str()), |node| (false, node));
                places.entry(place).or_default().push((slice, device));
            }
        }
        let mut groups: BTreeMap<(bool, String), Vec<usize>> = BTreeMap::new();
        for ((elsewhere, name), devices) in places {
            let number = collector.node(name, nodes.get(name).copied().filter(|_| !elsewhere));
            for &(slice, device) in &devices {
                collector.device(slice, device, name);
            }
            let label = if elsewhere { "not on one node".to_owned() } else { group_label(&devices) };
            groups.entry((elsewhere || devices.is_empty(), label)).or_default().push(number);
        }
        collector.nodes.first.push(collector.devices.name.len());
        collector.groups = groups.into_iter().map(|((_, name), nodes)| Group { name, nodes }).collect();
        for slice in slices.values() {
            let pool = slice.pool_id();
            if slice.shared_counters.is_empty()
                && slice.devices.iter().all(|device| device.consumes_counters.is_empty())
            {
                continue;
            }
            let numbers = &collector.device_numbers;
            let number = |device: &str| {
                numbers.get(&DeviceId { pool: pool.clone(), device: device.to_owned() }).copied()
            };
            collector.counters.entry(pool.clone()).or_default().add(slice, number);
        }
        collector
    }

    fn node(&mut self, name: &str, node: Option<&Node>) -> usize {
        let number = self.nodes.name.len();
        let amount = |resource: &str| node.and_then(|node| node.allocatable.get(resource));
        let remark = node.and_then(note).map_or(-1, |text| self.texts.number(&text));
        self.nodes.name.push(name.to_owned());
        self.nodes.first.push(self.devices.name.len());
        self.nodes.cpu.push(amount("cpu").map_or(0, Quantity::milli_value));
        self.nodes.memory.push(amount("memory").map_or(0, |memory| memory.value() >> 20));
        self.nodes.note.push(remark);
        if node.is_some() {
            self.node_numbers.insert(name.to_owned(), number);
        }
        number
    }

    fn device(&mut self, slice: &ResourceSlice, device: &Device, place: &str) {
        let number = self.devices.name.len();
        let id = DeviceId { pool: slice.pool_id(), device: device.name.clone() };
        // A pool that names a device twice is invalid; the second place shows it.
        self.device_numbers.insert(id, number);
        self.devices.name.push(self.texts.number(&device.name));
        self.devices.driver.push(self.texts.number(&slice.driver));
        let pool = if slice.pool.name == place { -1 } else { self.texts.number(&slice.pool.name) };
        self.devices.pool.push(pool);
        self.devices.kind.push(self.texts.number(&kind(slice, device)));
        if device.taints.iter().any(|taint| taint.effect != "None") {
            self.tainted.push(number);
        }
        if device.allow_multiple_allocations == Some(true) {
            let capacity = device.capacity.iter();
            let capacity = capacity.map(|(name, capacity)| (name.clone(), capacity.value.clone()));
            self.capacities.insert(number, capacity.collect());
        }
    }

    fn pod(&mut self, snapshot: &Snapshot, pod: &PodReport, from: i64, end: Option<i64>) {
        let why = self.why(pod);
        let message = pod
            .message
            .as_deref()
            .or(pod.error.as_ref().map(|error| error.message.as_str()))
            .or(pod.notes.first().map(String::as_str));
        let object = snapshot.pod(&pod.namespace, &pod.name);
        let (cpu, memory) = object.map_or((0, 0), |object| {
            (request(object, "cpu", Quantity::milli_value), request(object, "memory", Quantity::value) >> 20)
        });
        let node = pod.node.as_deref().and_then(|node| self.node_numbers.get(node).copied());
        let number = self.row(&pod.namespace, &pod.name, outcome(pod.outcome), node, (from, end));
        if let Some(last) = self.pods.cpu.last_mut() {
            *last = cpu;
        }
        if let Some(last) = self.pods.memory.last_mut() {
            *last = memory;
        }
        if let (Some(last), Some(message)) = (self.pods.message.last_mut(), message) {
            *last = self.texts.number(message);
        }
        if let Some(last) = self.pods.why.last_mut() {
            *last = why;
        }
        for claim in &pod.claims {
            self.claim(&pod.namespace, claim, number, (from, end));
        }
    }

    /// Devices that a snapshot does not have are not there for some steps.
    fn absent(&mut self, snapshot: &Snapshot, (from, end): (i64, Option<i64>)) {
        let slices = snapshot.allocator_slices(true);
        let devices = slices.iter().flat_map(|slice| {
            slice.devices.iter().map(|device| DeviceId { pool: slice.pool_id(), device: device.name.clone() })
        });
        let there: FxHashSet<DeviceId> = devices.collect();
        let gone = self.device_numbers.iter().filter(|(device, _)| !there.contains(*device));
        let mut gone: Vec<i64> = gone.map(|(_, number)| number_of(*number)).collect();
        gone.sort_unstable();
        self.absent.extend(gone.into_iter().flat_map(|device| [device, from, end.unwrap_or(-1)]));
    }

    /// A row of the table of pods.
    fn row(
        &mut self,
        namespace: &str,
        name: &str,
        outcome: usize,
        node: Option<usize>,
        (from, end): (i64, Option<i64>),
    ) -> usize {
        let number = self.pods.name.len();
        self.pods.name.push(name.to_owned());
        self.pods.namespace.push(self.texts.number(namespace));
        self.pods.outcome.push(outcome);
        self.pods.node.push(node.map_or(-1, number_of));
        self.pods.from.push(from);
        self.pods.end.push(end.unwrap_or(-1));
        self.pods.cpu.push(0);
        self.pods.memory.push(0);
        self.pods.message.push(-1);
        self.pods.why.push(-1);
        number
    }

    fn claim(&mut self, namespace: &str, claim: &ClaimReport, pod: usize, span: (i64, Option<i64>)) {
        // What several pods share is taken once.
        let first = self.claims_of_pods.insert(format!("{namespace}/{}", claim.name)) || span.1.is_some();
        for device in &claim.devices {
            self.used(device, pod, span, first);
        }
    }

    fn used(&mut self, device: &DeviceReport, pod: usize, (from, end): (i64, Option<i64>), first: bool) {
        let pool = PoolId { driver: device.driver.clone(), pool: device.pool.clone() };
        let id = DeviceId { pool: pool.clone(), device: device.device.clone() };
        let Some(&number) = self.device_numbers.get(&id) else { return };
        let (kind, share) = match self.capacities.get(&number) {
            _ if device.admin_access => (ADMIN, 0),
            Some(_) if !first => (SHARE, 0),
            Some(capacity) => (SHARE, share(&device.consumed_capacity, capacity)),
            None => (EXCLUSIVE, 1000),
        };
        self.uses.extend([number_of(number), number_of(pod), from, end.unwrap_or(-1), kind, share]);
        if kind != ADMIN && self.counters.contains_key(&pool) {
            self.spans.entry(pool).or_default().push(Span { device: number, from, end });
        }
    }

    /// Claims of the input that hold devices although no pod of the report uses them.
    fn claims_without_pods(&mut self, snapshot: &Snapshot, from: i64, end: Option<i64>) {
        for claim in &snapshot.claims {
            let name = claim.metadata.full_name();
            let Some(allocation) = &claim.allocation else { continue };
            if self.claims_of_pods.contains(&name) || allocation.results.is_empty() {
                continue;
            }
            let row = self.row(
                &claim.metadata.namespace,
                &claim.metadata.name,
                CLAIM_WITHOUT_POD,
                None,
                (from, end),
            );
            for result in &allocation.results {
                let device = DeviceReport::from(result);
                self.used(&device, row, (from, end), true);
            }
        }
    }

    fn why(&mut self, pod: &PodReport) -> i64 {
        if pod.reasons.is_empty() && pod.explanations.is_empty() && pod.explained_like.is_none() {
            return -1;
        }
        let reasons = pod.reasons.iter().map(|reason| {
            let nearest = reason.nearest.as_ref();
            let text =
                |part: fn(&crate::report::Nearest) -> &String| nearest.map(part).cloned().unwrap_or_default();
            let failures = reason.devices.iter().map(|found| own_names(pod, failure(found))).collect();
            let (node, missed) = (text(|nearest| &nearest.node), text(|nearest| &nearest.message));
            (reason.plugin.clone(), reason.reason.clone(), reason.nodes, node, missed, failures)
        });
        let mut texts: Vec<String> = pod.explanations.iter().map(|one| one.text.clone()).collect();
        texts.extend(pod.explained_like.iter().map(|like| format!("explained as for `{like}`")));
        let why = Why { reasons: reasons.collect(), texts };
        let at = self.why.get_index_of(&why).unwrap_or_else(|| self.why.insert_full(why).0);
        number_of(at)
    }

    fn finish(mut self, last_step: i64, steps: Option<Vec<String>>) -> PageData {
        let mut blocked = Vec::new();
        for (pool, spans) in &self.spans {
            for span in self.counters.get(pool).map(|counters| counters.blocked(spans)).unwrap_or_default() {
                blocked.extend([number_of(span.device), span.from, span.end.unwrap_or(-1)]);
            }
        }
        if self.pods.end.iter().all(|&end| end < 0) {
            self.pods.end.clear();
        }
        PageData {
            strings: self.texts,
            groups: self.groups,
            nodes: self.nodes,
            devices: self.devices,
            tainted: self.tainted,
            pods: self.pods,
            uses: self.uses,
            blocked,
            absent: self.absent,
            outcomes: OUTCOMES.to_vec(),
            why: self.why.into_iter().collect(),
            last_step,
            start_step: last_step,
            steps,
            ..PageData::default()
        }
    }
}

fn number_of(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(-1)
}

fn outcome(outcome: PodOutcome) -> usize {
    match outcome {
        PodOutcome::AlreadyRunning => 0,
        PodOutcome::Scheduled => 1,
        PodOutcome::Unschedulable => 2,
        PodOutcome::Gated => 3,
        PodOutcome::Error => 4,
        PodOutcome::Undecided => 5,
        PodOutcome::Preempted => 6,
    }
}

/// What keeps pods from a node, in short.
fn note(node: &Node) -> Option<String> {
    let mut notes: Vec<String> = Vec::new();
    if node.unschedulable {
        notes.push("unschedulable".to_owned());
    }
    if node.ready == Some(false) {
        notes.push("not ready".to_owned());
    }
    notes.extend(node.taints.iter().map(|taint| {
        let value = if taint.value.is_empty() { String::new() } else { format!("={}", taint.value) };
        format!("taint {}{value}:{}", taint.key, taint.effect)
    }));
    (!notes.is_empty()).then(|| notes.join(", "))
}

/// The sum over containers, as far as the map needs it.
fn request(pod: &Pod, resource: &str, amount: fn(&Quantity) -> i64) -> i64 {
    let of = |requests: &BTreeMap<String, Quantity>| requests.get(resource).map_or(0, amount);
    let running: i64 = pod.spec.containers.iter().map(|container| of(&container.resources.requests)).sum();
    let first = pod.spec.init_containers.iter().map(|container| of(&container.resources.requests)).max();
    running.max(first.unwrap_or(0)).saturating_add(of(&pod.spec.overhead))
}

/// What a device is, in a word or two: product and profile where its attributes tell, else its driver.
fn kind(slice: &ResourceSlice, device: &Device) -> String {
    let attribute = |wanted: &str| {
        device.attributes.iter().find_map(|(name, value)| match value {
            AttributeValue::String(text) if name.rsplit('/').next() == Some(wanted) => Some(text.as_str()),
            _ => None,
        })
    };
    let product = ["productName", "model", "type"].into_iter().find_map(attribute);
    let words: Vec<&str> = product.into_iter().chain(attribute("profile")).collect();
    if words.is_empty() { slice.driver.clone() } else { words.join(" ") }
}

/// Kinds that a heading names before it says how many more there are.
const NAMED_KINDS: usize = 3;

/// The devices of a node by kind, such as `8 × H100 + 2 × ConnectX`.
fn group_label(devices: &[(&ResourceSlice, &Device)]) -> String {
    if devices.is_empty() {
        return "no devices".to_owned();
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (slice, device) in devices {
        *counts.entry(kind(slice, device)).or_default() += 1;
    }
    let more: BTreeSet<&String> = counts.keys().skip(NAMED_KINDS).collect();
    let mut parts: Vec<String> =
        counts.iter().take(NAMED_KINDS).map(|(kind, count)| format!("{count} × {kind}")).collect();
    if !more.is_empty() {
        parts.push(format!("{} more kinds", more.len()));
    }
    parts.join(" + ")
}

/// The largest part of a capacity that is taken, in thousandths.
#[expect(clippy::cast_possible_truncation, reason = "between 0 and 1000")]
fn share(consumed: &BTreeMap<String, String>, capacity: &BTreeMap<String, Quantity>) -> i64 {
    consumed
        .iter()
        .filter_map(|(name, amount)| {
            let whole = capacity.get(name)?.as_approximate_float();
            let amount = amount.parse::<Quantity>().ok()?.as_approximate_float();
            (whole > 0.0).then(|| (amount / whole * 1000.0).clamp(0.0, 1000.0).round() as i64)
        })
        .max()
        .unwrap_or(0)
}

/// What stood in the way of devices, as one line.
/// Claims that were made for the pod, by the names that the pod has for them: pods of one workload then have one text.
fn own_names(pod: &PodReport, mut text: String) -> String {
    for claim in pod.claims.iter().filter(|claim| claim.generated) {
        let full_name = format!("{}/{}", pod.namespace, claim.name);
        if let Some(name) = claim.pod_claim.as_deref().filter(|_| text.contains(&full_name)) {
            text = text.replace(&full_name, name);
        }
    }
    text
}

fn failure(failure: &crate::report::DeviceFailure) -> String {
    let needed = failure.needed.map_or_else(|| "all devices".to_owned(), |needed| needed.to_string());
    let mut text = format!(
        "claim {}, request {}: needs {needed}, {} usable on {}",
        failure.claim, failure.request, failure.usable, failure.nearest_node
    );
    for refusal in &failure.refusals {
        let _ = write!(text, "; {} × {}: {}", refusal.devices, refusal.kind, refusal.message);
    }
    text
}
