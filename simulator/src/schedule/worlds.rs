//! Possible worlds: what becomes of pods over many runs in which chance decides as it does in a scheduler.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;

use super::cluster_state::ClusterState;
use super::options::{Observer, Options, SimulateError};
use super::prepare::Prepared;
use super::queue::QUEUE_RULE;
use super::run::assumptions;
use crate::random::Random;
use crate::report::{API_VERSION, PodOutcome, PodReport, WorldFate, WorldPod, WorldsReport, WorldsSummary};

/// How chance decides, for reports.
const WORLDS_RULE: &str = "in each world any of several best nodes, any node to begin a search with, and any node to begin \
     the search for pods to preempt with";

/// So many worlds are run before somebody is told of progress.
const BLOCK: usize = 32;

/// Runs a simulation in `count` worlds, in each of which a sequence of numbers from the seed decides what a scheduler
/// leaves to chance, and counts what becomes of each pod.
///
/// The worlds do not depend on each other or on the number of threads: equal input, count and seed give an equal report.
pub fn worlds(
    prepared: &Prepared,
    options: &Options,
    count: usize,
    seed: u64,
    observer: &mut dyn Observer,
    cancel: &AtomicBool,
) -> Result<WorldsReport, SimulateError> {
    let mut options = options.clone();
    (options.explain, options.explain_in_full, options.threads) = (false, false, 1);
    let mut base = ClusterState::new(prepared, &options);
    base.allow_preemption(true);
    let mut seeds = Random::new(seed);
    let seeds: Vec<u64> = (0..count).map(|_| seeds.next_number()).collect();
    let mut pods: BTreeMap<(String, String), Tally> = BTreeMap::new();
    let mut done = 0;
    for block in seeds.chunks(BLOCK) {
        observer.progress(done, count);
        let runs: Result<Vec<Vec<PodReport>>, SimulateError> = block
            .par_iter()
            .map_with(base.clone(), |base, &seed| {
                let mut world = base.clone();
                world.leave_to_chance(seed);
                world.run(&mut (), cancel)
            })
            .collect();
        for pod in runs?.into_iter().flatten() {
            pods.entry((pod.namespace, pod.name)).or_default().add(pod.outcome, pod.node);
        }
        done += block.len();
    }
    observer.progress(count, count);
    let pods: Vec<WorldPod> = pods
        .into_iter()
        .filter(|(_, tally)| tally.is_of_interest())
        .map(|((namespace, name), tally)| tally.report(namespace, name, count))
        .collect();
    let fates = |fate| pods.iter().filter(|pod| pod.fate == fate).count();
    let summary = WorldsSummary {
        pods: pods.len(),
        always: fates(WorldFate::Always),
        sometimes: fates(WorldFate::Sometimes),
        never: fates(WorldFate::Never),
        on_several_nodes: pods.iter().filter(|pod| pod.nodes.len() > 1).count(),
    };
    let mut assumptions = assumptions(prepared, &options, &base);
    assumptions.tie_rule = format!("{QUEUE_RULE}; {WORLDS_RULE}");
    Ok(WorldsReport {
        api_version: API_VERSION,
        kind: "WorldsReport",
        assumptions,
        worlds: count,
        seed,
        summary,
        pods,
    })
}

/// What became of one pod in the worlds so far.
#[derive(Debug, Default)]
struct Tally {
    placed: usize,
    outcomes: BTreeMap<PodOutcome, usize>,
    nodes: BTreeMap<String, usize>,
}

impl Tally {
    fn add(&mut self, outcome: PodOutcome, node: Option<String>) {
        *self.outcomes.entry(outcome).or_default() += 1;
        if !outcome.is_pending() {
            self.placed += 1;
            if let Some(node) = node {
                *self.nodes.entry(node).or_default() += 1;
            }
        }
    }

    /// Pods that keep running in every world are not.
    fn is_of_interest(&self) -> bool {
        self.outcomes.keys().any(|&outcome| outcome != PodOutcome::AlreadyRunning)
    }

    fn report(self, namespace: String, name: String, count: usize) -> WorldPod {
        let fate = match self.placed {
            0 => WorldFate::Never,
            placed if placed == count => WorldFate::Always,
            _ => WorldFate::Sometimes,
        };
        let outcomes =
            self.outcomes.into_iter().map(|(outcome, worlds)| (outcome.as_str().to_owned(), worlds));
        WorldPod {
            namespace,
            name,
            fate,
            placed: self.placed,
            outcomes: outcomes.collect(),
            nodes: self.nodes,
        }
    }
}
