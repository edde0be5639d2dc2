//! A cluster through time: pods arrive, wait, run for a while and leave.
//!
//! A pod arrives at its `creationTimestamp`; one without is there from the beginning. It leaves
//! [`RUNS_FOR`] seconds after it came to its node; one without that annotation stays. At each moment pods leave
//! first. Then those that wait are tried in queue order, when something was set free, and then those that arrive, as
//! a scheduler does that is idle between events: no time passes while it works, and there is no back-off.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::atomic::AtomicBool;

use drayage_cluster::objects::Pod;

use crate::report::{
    API_VERSION, Assumptions, DeviceReport, Moment, PodOutcome, PodTimes, ReplayReport, WaitSummary,
};
use crate::schedule::{
    ClusterState, Observer, Options, PodId, PodPlace, Prepared, SimulateError, assumptions,
};

#[cfg(test)]
mod tests;

/// The annotation that says for how many seconds a pod runs once it has a node.
pub const RUNS_FOR: &str = "drayage.dev/runs-for-seconds";

/// Why a cluster cannot be taken through time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A pod's annotation is no number of seconds.
    #[error("pod `{pod}`: annotation `{RUNS_FOR}` is `{value}`, expected a number of seconds")]
    RunsFor {
        /// `namespace/name`
        pod: String,
        /// What it is.
        value: String,
    },
    /// The simulation stopped.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
}

/// Takes the cluster from its first arrival to its last event. `moments` is the number of moments that the report
/// describes, evenly spread over the time.
pub fn replay(
    prepared: &Prepared,
    options: &Options,
    moments: usize,
    observer: &mut dyn Observer,
    cancel: &AtomicBool,
) -> Result<ReplayReport, ReplayError> {
    let options = Options { explain: false, explain_in_full: false, ..options.clone() };
    let state = ClusterState::new(prepared, &options);
    let mut assumptions = assumptions(prepared, &options, &state);
    assumptions.approximations.extend(APPROXIMATIONS.map(str::to_owned));
    let mut replay = Replay::new(state)?;
    let total = replay.arrivals.len();
    while let Some(now) = replay.next_event() {
        observer.progress(replay.arrived, total);
        replay.at(now, cancel)?;
    }
    Ok(replay.report(assumptions, moments))
}

/// What a replay knowingly leaves out.
const APPROXIMATIONS: [&str; 2] = [
    "no time passes while pods are scheduled, and nothing waits for a back-off",
    "pods that wait are tried again only when a pod leaves",
];

/// Seconds since 1970.
type Second = i64;

struct Replay {
    state: ClusterState,
    /// Pods that are not there yet, the next one last.
    arrivals: Vec<(Second, PodId)>,
    arrived: usize,
    departures: BinaryHeap<Reverse<(Second, PodId)>>,
    waiting: Vec<PodId>,
    /// The demand of each pod: pods of equal demand are refused together.
    demands: BTreeMap<PodId, usize>,
    times: BTreeMap<PodId, Times>,
    running: BTreeSet<PodId>,
    /// Devices that claims of running pods hold.
    held: BTreeMap<PodId, usize>,
    device_allocations: usize,
    first: Second,
    /// After each event: second, running, waiting, devices in use.
    log: Vec<(Second, usize, usize, usize)>,
}

#[derive(Clone, Debug, Default)]
struct Times {
    name: String,
    arrived: Second,
    runs_for: Option<Second>,
    placed: Option<Second>,
    left: Option<Second>,
    node: Option<String>,
    devices: Vec<DeviceReport>,
}

impl Replay {
    fn new(state: ClusterState) -> Result<Self, ReplayError> {
        let pods: Vec<(PodId, Pod, PodPlace)> =
            state.pods().map(|(id, pod, place)| (id, pod.as_ref().clone(), place)).collect();
        let created: BTreeMap<PodId, Second> =
            pods.iter().filter_map(|(id, pod, _)| Some((*id, created(pod)?))).collect();
        let waits = |place: PodPlace| place == PodPlace::Pending;
        let first = pods
            .iter()
            .filter(|(_, _, place)| waits(*place))
            .filter_map(|(id, _, _)| created.get(id).copied())
            .min()
            .unwrap_or(0);
        let mut replay = Self {
            arrivals: Vec::new(),
            arrived: 0,
            departures: BinaryHeap::new(),
            waiting: Vec::new(),
            demands: demands(&state, &pods),
            times: BTreeMap::new(),
            running: BTreeSet::new(),
            held: BTreeMap::new(),
            device_allocations: 0,
            first,
            log: Vec::new(),
            state,
        };
        for (id, pod, place) in &pods {
            let runs_for = runs_for(pod)?;
            let arrived = created.get(id).copied().unwrap_or(first).max(first);
            let mut times = Times { name: pod.metadata.full_name(), arrived, runs_for, ..Times::default() };
            if waits(*place) {
                replay.arrivals.push((arrived, *id));
            } else {
                times.placed = Some(first);
                times.node.clone_from(&pod.spec.node_name);
            }
            replay.times.insert(*id, times);
            if !waits(*place) {
                replay.runs(*id, first);
            }
        }
        // Of pods that arrive together, the queue decides.
        let order = replay.state.in_queue_order(replay.arrivals.iter().map(|&(_, id)| id).collect());
        let rank: BTreeMap<PodId, usize> =
            order.into_iter().enumerate().map(|(rank, id)| (id, rank)).collect();
        replay.arrivals.sort_by_key(|&(second, id)| Reverse((second, rank.get(&id).copied())));
        Ok(replay)
    }

    fn next_event(&self) -> Option<Second> {
        let arrival = self.arrivals.last().map(|&(second, _)| second);
        let departure = self.departures.peek().map(|Reverse((second, _))| *second);
        [arrival, departure].into_iter().flatten().min()
    }

    /// Everything that happens at one moment.
    fn at(&mut self, now: Second, cancel: &AtomicBool) -> Result<(), SimulateError> {
        let mut freed = false;
        while let Some(&Reverse((second, id))) = self.departures.peek()
            && second <= now
        {
            self.departures.pop();
            freed |= self.leave(id, now);
        }
        let mut refused = BTreeSet::new();
        if freed {
            for id in std::mem::take(&mut self.waiting) {
                self.attempt(id, now, &mut refused, cancel)?;
            }
        } else {
            // What waits was refused before, and nothing was set free since.
            refused.extend(self.waiting.iter().filter_map(|id| self.demands.get(id).copied()));
        }
        let mut came = false;
        while let Some(&(second, id)) = self.arrivals.last()
            && second <= now
        {
            self.arrivals.pop();
            self.arrived += 1;
            came = true;
            self.attempt(id, now, &mut refused, cancel)?;
        }
        if came {
            self.waiting = self.state.in_queue_order(std::mem::take(&mut self.waiting));
        }
        self.log.push((now, self.running.len(), self.waiting.len(), self.device_allocations));
        Ok(())
    }

    fn attempt(
        &mut self,
        id: PodId,
        now: Second,
        refused: &mut BTreeSet<usize>,
        cancel: &AtomicBool,
    ) -> Result<(), SimulateError> {
        let demand = self.demands.get(&id).copied().unwrap_or(usize::MAX);
        if refused.contains(&demand) {
            self.waiting.push(id);
            return Ok(());
        }
        let attempt = self.state.attempt(id, cancel)?;
        if attempt.outcome != PodOutcome::Scheduled {
            refused.insert(demand);
            self.waiting.push(id);
            return Ok(());
        }
        let node = attempt.node.and_then(|at| self.state.node(at)).map(|node| node.metadata.name.clone());
        if let Some(times) = self.times.get_mut(&id) {
            times.placed = Some(now);
            times.node = node;
        }
        self.runs(id, now);
        Ok(())
    }

    /// Notes that a pod runs from now on.
    fn runs(&mut self, id: PodId, now: Second) {
        self.running.insert(id);
        let claims = || self.state.claims_of(id).into_iter().filter_map(|claim| self.state.claim(claim));
        let devices: Vec<DeviceReport> = claims()
            .filter_map(|claim| claim.allocation)
            .flat_map(|allocation| allocation.results.iter().map(DeviceReport::from))
            .collect();
        let held: usize = claims()
            // What several pods share counts for the first of them.
            .filter(|claim| claim.consumers.first().is_none_or(|first| *first == id))
            .filter_map(|claim| claim.allocation)
            .map(|allocation| {
                allocation.results.iter().filter(|result| result.admin_access != Some(true)).count()
            })
            .sum();
        if let Some(times) = self.times.get_mut(&id) {
            times.devices = devices;
        }
        self.held.insert(id, held);
        self.device_allocations += held;
        if let Some(runs_for) = self.times.get(&id).and_then(|times| times.runs_for) {
            self.departures.push(Reverse((now.saturating_add(runs_for), id)));
        }
    }

    /// A pod leaves, if it still runs.
    fn leave(&mut self, id: PodId, now: Second) -> bool {
        if !self.running.remove(&id) {
            return false;
        }
        self.state.delete(id);
        self.device_allocations = self.device_allocations.saturating_sub(self.held.remove(&id).unwrap_or(0));
        if let Some(times) = self.times.get_mut(&id) {
            times.left = Some(now);
        }
        true
    }

    fn report(self, assumptions: Assumptions, moments: usize) -> ReplayReport {
        let last = self.log.last().map_or(self.first, |&(second, ..)| second);
        let since = |second: Second| (second - self.first).max(0).cast_unsigned();
        let waits: Vec<u64> = self
            .times
            .values()
            .filter_map(|times| Some((times.placed? - times.arrived).max(0).cast_unsigned()))
            .collect();
        let pods = self.times.values().map(|times| PodTimes {
            pod: times.name.clone(),
            arrived: since(times.arrived),
            placed: times.placed.map(since),
            left: times.left.map(since),
            node: times.node.clone(),
            devices: times.devices.clone(),
        });
        ReplayReport {
            api_version: API_VERSION,
            kind: "ReplayReport",
            assumptions,
            seconds: since(last),
            placed: waits.len(),
            never_placed: self.times.len() - waits.len(),
            wait: wait_summary(waits),
            mean_device_allocations: mean_in_use(&self.log),
            most_device_allocations: self.log.iter().map(|&(_, _, _, devices)| devices).max().unwrap_or(0),
            most_waiting: self.log.iter().map(|&(_, _, waiting, _)| waiting).max().unwrap_or(0),
            moments: spread(&self.log, self.first, last, moments),
            pods: pods.collect(),
        }
    }
}

fn created(pod: &Pod) -> Option<Second> {
    let text = pod.metadata.creation_timestamp.as_deref()?;
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

fn runs_for(pod: &Pod) -> Result<Option<Second>, ReplayError> {
    let Some(text) = pod.metadata.annotations.get(RUNS_FOR) else { return Ok(None) };
    let seconds = text.parse::<u32>().map_err(|_| ReplayError::RunsFor {
        pod: pod.metadata.full_name(),
        value: text.chars().take(80).collect(),
    })?;
    Ok(Some(Second::from(seconds)))
}

/// Numbers of what pods demand: equal for pods that agree in all that the scheduler looks at.
fn demands(state: &ClusterState, pods: &[(PodId, Pod, PodPlace)]) -> BTreeMap<PodId, usize> {
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut demands = BTreeMap::new();
    for (id, pod, _) in pods {
        let claims = state.claims_of(*id);
        let generated = claims.iter().all(|&claim| state.claim(claim).is_some_and(|claim| claim.generated));
        let next = numbers.len();
        let number = if generated {
            let mut spec = pod.spec.clone();
            // The names of claims and entries are told apart by what the claims ask for.
            spec.resource_claims.clear();
            let asked: Vec<_> = claims
                .iter()
                .filter_map(|&claim| state.claim(claim))
                .map(|claim| (&claim.spec.requests, &claim.spec.constraints))
                .collect();
            let key = format!("{} {:?} {spec:?} {asked:?}", pod.metadata.namespace, pod.metadata.labels);
            *numbers.entry(key).or_insert(next)
        } else {
            *numbers.entry(pod.metadata.full_name()).or_insert(next)
        };
        demands.insert(*id, number);
    }
    demands
}

fn wait_summary(mut waits: Vec<u64>) -> WaitSummary {
    waits.sort_unstable();
    let at = |percent: usize| {
        waits.get((waits.len() * percent / 100).min(waits.len().saturating_sub(1))).copied().unwrap_or(0)
    };
    let sum: u64 = waits.iter().sum();
    WaitSummary {
        mean: sum.checked_div(waits.len() as u64).unwrap_or(0),
        median: at(50),
        percent95: at(95),
        longest: waits.last().copied().unwrap_or(0),
    }
}

/// The mean over time.
#[expect(clippy::cast_precision_loss, reason = "a mean for people")]
fn mean_in_use(log: &[(Second, usize, usize, usize)]) -> f64 {
    let (mut area, mut seconds) = (0.0, 0.0);
    for (from, to) in log.iter().zip(log.iter().skip(1)) {
        let duration = (to.0 - from.0) as f64;
        area += from.3 as f64 * duration;
        seconds += duration;
    }
    if seconds > 0.0 { area / seconds } else { 0.0 }
}

/// What the log says at evenly spread moments.
fn spread(log: &[(Second, usize, usize, usize)], first: Second, last: Second, moments: usize) -> Vec<Moment> {
    let steps = Second::try_from(moments.max(2) - 1).unwrap_or(Second::MAX);
    let mut described = Vec::new();
    for step in 0..=steps {
        let second = first + (last - first) / steps * step + (last - first) % steps * step / steps;
        let entry = log.partition_point(|&(at, ..)| at <= second).checked_sub(1).and_then(|at| log.get(at));
        let Some(&(_, running, waiting, device_allocations)) = entry else { continue };
        let second = (second - first).max(0).cast_unsigned();
        if described.last().is_none_or(|moment: &Moment| moment.second < second) {
            described.push(Moment { second, running, waiting, device_allocations });
        }
    }
    described
}
