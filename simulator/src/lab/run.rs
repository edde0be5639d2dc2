//! One run: the pods of a trace in random order, placed one after the other.

use rustc_hash::FxHashMap;

use super::fragment::{Room, Typical};
use super::go_random::GoRandom;
use super::policy::{NodeView, Policy, exclusive, kind, tightest};
use super::trace::{Shape, Trace, TracePod};

/// Which of several best nodes is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ties {
    /// The first by name, as the study's fork of the scheduler does. Names begin with a random number, so this is
    /// one random order of nodes for the whole run.
    #[default]
    Lexical,
    /// Any of them with equal probability, as kube-scheduler does.
    Random,
}

/// Pods are appended until they demand this much of all GPUs.
const DEMAND: f64 = 1.3;
/// Demand in percent at which curves end.
const LAST_PERCENT: usize = 130;
/// Random numbers that the study's program draws between the order of the pods and that of the nodes: one for
/// the time limit of each watch that it opens. Found by trying: only with this number are the published curves
/// repeated, and they all are.
const WATCHES: usize = 10;

/// What a run measured, after every pod, as a mean over the pods that arrived at a demand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Percent by demand in percent of all GPUs, rounded to 0.01 as the study publishes them; `None` where no pod
    /// came near.
    values: Vec<Option<f64>>,
}

impl Curve {
    /// The value at a demand in percent.
    pub fn at(&self, demand: usize) -> Option<f64> {
        self.values.get(demand).copied().flatten()
    }
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Allocated thousandths of GPUs in percent of all.
    pub allocation: Curve,
    /// Fragment of all nodes in percent of all GPUs.
    pub fragment: Curve,
    /// Pods that were tried.
    pub pods: usize,
    /// Pods that no node could take.
    pub refused: usize,
    /// Choices between several best nodes, by score alone.
    pub tied: usize,
}

/// Runs one seed. `random` is a fresh generator of that seed.
pub fn run(trace: &Trace, typical: &Typical, policy: Policy, ties: Ties, mut random: GoRandom) -> Outcome {
    // The study's program draws one number for a message.
    random.int63();
    let order = pod_order(trace, &mut random);
    for _ in 0..WATCHES {
        random.float64();
    }
    let ranks = random.permutation(trace.nodes.len());
    let mut cluster = Cluster::new(trace, typical, &ranks);
    let mut watch = Measure::new(trace.capacity_milli());
    let mut outcome = Outcome {
        allocation: Curve::default(),
        fragment: Curve::default(),
        pods: order.len(),
        refused: 0,
        tied: 0,
    };
    for pod in order {
        let Some(choice) = cluster.choose(pod, policy, ties, &mut random) else {
            outcome.refused += 1;
            watch.pod(&pod.shape, false, cluster.fragment);
            continue;
        };
        outcome.tied += usize::from(choice.tied);
        cluster.place(pod, policy, &choice, &mut random);
        watch.pod(&pod.shape, true, cluster.fragment);
    }
    (outcome.allocation, outcome.fragment) = watch.curves();
    outcome
}

/// The pods in random order, with random ones repeated or taken away until the demand is right.
#[expect(clippy::cast_precision_loss, reason = "thousandths of GPUs are far below 2^52")]
fn pod_order<'a>(trace: &'a Trace, random: &mut GoRandom) -> Vec<&'a TracePod> {
    let mut order: Vec<&TracePod> = trace.pods.iter().collect();
    random.shuffle(&mut order);
    let wanted = DEMAND * trace.capacity_milli() as f64;
    let mut demand: i64 = order.iter().map(|pod| pod.shape.total_gpu_milli()).sum();
    if demand as f64 > wanted {
        while demand as f64 > wanted && !order.is_empty() {
            let removed = order.remove(random.below(order.len()));
            demand -= removed.shape.total_gpu_milli();
        }
        return order;
    }
    // Pods without GPUs bring no demand; a workload of them alone would be repeated for ever.
    if demand == 0 {
        return order;
    }
    while let Some(pod) = trace.pods.get(random.below(trace.pods.len())) {
        // One GPU of the pod decides whether it is the last, as in the study.
        if (demand + pod.shape.gpu_milli) as f64 > wanted {
            break;
        }
        demand += pod.shape.total_gpu_milli();
        order.push(pod);
    }
    order
}

/// The node that was chosen.
struct Choice {
    node: usize,
    /// The GPU for a share, where the score says which.
    gpu: Option<usize>,
    tied: bool,
}

struct NodeState<'a> {
    room: Room,
    model: &'a str,
    fragment: f64,
    kinds: Vec<usize>,
    /// The score and its GPU, by number of the shape; empty where not computed since the node changed.
    scores: Vec<Option<(i64, Option<usize>)>>,
}

struct Cluster<'a> {
    typical: &'a Typical,
    /// In the order of the names that the study gives them.
    nodes: Vec<NodeState<'a>>,
    shapes: FxHashMap<&'a Shape, usize>,
    /// Fragment of all nodes.
    fragment: f64,
    /// Scores of the nodes that fit, for one pod.
    candidates: Vec<(usize, i64, Option<usize>)>,
}

impl<'a> Cluster<'a> {
    fn new(trace: &'a Trace, typical: &'a Typical, ranks: &[usize]) -> Self {
        let mut shapes = FxHashMap::default();
        for pod in &trace.pods {
            let next = shapes.len();
            shapes.entry(&pod.shape).or_insert(next);
        }
        let mut ranked: Vec<_> = ranks.iter().zip(&trace.nodes).collect();
        ranked.sort_by_key(|&(rank, _)| rank);
        let nodes: Vec<NodeState<'a>> = ranked
            .into_iter()
            .map(|(_, node)| {
                let room = Room::of(node);
                NodeState {
                    fragment: typical.fragment(&room, &node.model),
                    model: &node.model,
                    kinds: Vec::new(),
                    scores: vec![None; shapes.len()],
                    room,
                }
            })
            .collect();
        let fragment = nodes.iter().map(|node| node.fragment).sum();
        Self { typical, nodes, shapes, fragment, candidates: Vec::new() }
    }

    fn choose(
        &mut self,
        pod: &TracePod,
        policy: Policy,
        ties: Ties,
        random: &mut GoRandom,
    ) -> Option<Choice> {
        let shape = &pod.shape;
        let number = self.shapes.get(shape).copied()?;
        self.candidates.clear();
        for (at, node) in self.nodes.iter_mut().enumerate() {
            if !fits(node, pod) {
                continue;
            }
            let NodeState { room, model, fragment, kinds, scores } = node;
            let view = NodeView { room, model, fragment: *fragment, kinds };
            let (score, gpu) = match scores.get_mut(number) {
                Some(known) => *known.get_or_insert_with(|| policy.score(&view, shape, self.typical)),
                None => policy.score(&view, shape, self.typical),
            };
            self.candidates.push((at, score, gpu));
        }
        if !policy.is_scored() {
            // One node is not scored at all, so nothing is drawn.
            let at = if self.candidates.len() > 1 { random.below(self.candidates.len()) } else { 0 };
            return self.candidates.get(at).map(|&(node, _, gpu)| Choice { node, gpu, tied: false });
        }
        if policy.is_stretched() {
            stretch(&mut self.candidates);
        }
        let mut best: Option<(Choice, i64)> = None;
        let mut equal = 0_usize;
        for &(node, score, gpu) in &self.candidates {
            let better = best.as_ref().is_none_or(|&(_, best)| score > best);
            if better {
                equal = 1;
                best = Some((Choice { node, gpu, tied: false }, score));
            } else if let Some((choice, best)) = &mut best
                && score == *best
            {
                equal += 1;
                if ties == Ties::Random && random.below(equal) == 0 {
                    (choice.node, choice.gpu) = (node, gpu);
                }
            }
        }
        best.map(|(choice, _)| Choice { tied: equal > 1, ..choice })
    }

    fn place(&mut self, pod: &TracePod, policy: Policy, choice: &Choice, random: &mut GoRandom) {
        let Some(node) = self.nodes.get_mut(choice.node) else { return };
        let shape = &pod.shape;
        node.room.cpu_milli -= shape.cpu_milli;
        node.room.memory_mib -= pod.memory_mib;
        if shape.gpus > 0 {
            let gpus = if shape.is_share() {
                let gpu = match policy {
                    Policy::Fgd => choice.gpu,
                    Policy::Random => any(&node.room.gpus, shape.gpu_milli, random),
                    _ => tightest(&node.room.gpus, shape.gpu_milli),
                };
                gpu.into_iter().collect()
            } else {
                exclusive(&node.room.gpus, shape.gpus).collect::<Vec<_>>()
            };
            for gpu in gpus {
                if let Some(left) = node.room.gpus.get_mut(gpu) {
                    *left -= shape.gpu_milli;
                }
            }
            if !node.kinds.contains(&kind(shape)) {
                node.kinds.push(kind(shape));
            }
        }
        let fragment = self.typical.fragment(&node.room, node.model);
        self.fragment += fragment - node.fragment;
        node.fragment = fragment;
        node.scores.fill(None);
    }
}

fn fits(node: &NodeState<'_>, pod: &TracePod) -> bool {
    let (room, shape) = (&node.room, &pod.shape);
    if room.cpu_milli < shape.cpu_milli || room.memory_mib < pod.memory_mib {
        return false;
    }
    shape.gpus == 0
        || shape.accepts(node.model)
            && room.gpus.iter().filter(|&&left| left >= shape.gpu_milli).count() >= shape.gpus
}

/// Stretches scores to 0..=100, whole numbers.
fn stretch(candidates: &mut [(usize, i64, Option<usize>)]) {
    let lowest = candidates.iter().map(|&(_, score, _)| score).min().unwrap_or(0);
    let highest = candidates.iter().map(|&(_, score, _)| score).max().unwrap_or(0);
    for (_, score, _) in candidates {
        *score = if highest == lowest { 0 } else { (*score - lowest) * 100 / (highest - lowest) };
    }
}

/// Any GPU that has enough left, as the study draws it.
fn any(gpus: &[i64], milli: i64, random: &mut GoRandom) -> Option<usize> {
    let mut chosen = None;
    let mut fitting = 0;
    for (gpu, _) in gpus.iter().enumerate().filter(|&(_, &left)| left >= milli) {
        fitting += 1;
        if random.below(fitting) == 0 {
            chosen = Some(gpu);
        }
    }
    chosen
}

/// What is written down after every pod.
struct Measure {
    capacity_milli: i64,
    arrived: i64,
    used: i64,
    /// Demand in whole percent, then allocation and fragment.
    rows: Vec<(usize, f64, f64)>,
}

impl Measure {
    fn new(capacity_milli: i64) -> Self {
        Self { capacity_milli, arrived: 0, used: 0, rows: Vec::new() }
    }

    #[expect(clippy::cast_precision_loss, reason = "thousandths of GPUs are far below 2^52")]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a percentage is not negative"
    )]
    fn pod(&mut self, shape: &Shape, placed: bool, fragment: f64) {
        self.arrived += shape.total_gpu_milli();
        if placed {
            self.used += shape.total_gpu_milli();
        }
        // As the study computes it: GPUs, then percent.
        let percent = |milli: f64| milli / (self.capacity_milli.max(1) as f64 / 1000.0) / 10.0;
        let demand = percent(self.arrived as f64).round_ties_even() as usize;
        self.rows.push((demand, hundredths(percent(self.used as f64)), percent(fragment)));
    }

    fn curves(&self) -> (Curve, Curve) {
        let mean = |demand: usize, value: fn(&(usize, f64, f64)) -> f64| {
            let near = |distance: usize| {
                let rows = self.rows.iter().filter(move |row| row.0.abs_diff(demand) <= distance);
                average(rows.map(value))
            };
            near(0).or_else(|| near(1)).map(hundredths)
        };
        let curve = |value| Curve { values: (0..=LAST_PERCENT).map(|demand| mean(demand, value)).collect() };
        (curve(|row| row.1), curve(|row| row.2))
    }
}

/// The mean; `None` of nothing.
#[expect(clippy::cast_precision_loss, reason = "numbers of pods are small")]
pub(super) fn average(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// Rounded to 0.01, as decimal text is.
pub(super) fn hundredths(value: f64) -> f64 {
    format!("{value:.2}").parse().unwrap_or(value)
}
