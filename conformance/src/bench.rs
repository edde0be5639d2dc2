//! Times of our allocator and of the real one on the same problems, in turn.
//!
//! A cluster of 500 nodes with eight devices each (one node has 16, one 20), and a question about one node. The real
//! allocator is made once and asked the same again and again; its cache of compiled expressions is full then. Ours is
//! measured three ways, each over an inventory that exists, as the real one's slices do:
//!
//! - *with compile*: a new allocator. It compiles the expressions, finds out what the node sees, evaluates, searches.
//! - *fresh*: an allocator that has the expressions compiled, as the real one has, and nothing else. It was never
//!   asked anything: neither this question nor one about this node, and no result of an expression is remembered.
//! - *warm*: an allocator that was asked the same before.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drayage_allocator::objects::{
    AttributeValue, Device, DeviceClass, DeviceConstraint, DeviceRequest, DeviceSelector, ExactDeviceRequest,
    Node, ResourceClaim, ResourcePool, ResourceSlice,
};
use drayage_allocator::{Allocator, Features, Inventory, Outcome};
use serde_json::json;

use crate::json;
use crate::peer::{Ending, Peer, PeerError};
use crate::problem::{BUDGET, Problem};
use crate::release::Target;

const NODES: usize = 500;
/// How many questions are asked between two looks at the clock.
const BATCH: usize = 20;
const DRIVER: &str = "gpu.example.com";
const BY_MODEL: &str = "device.attributes['gpu.example.com'].model == 'A100'";
const BY_TWO: &str = "device.attributes['gpu.example.com'].model == 'A100' && \
                      device.attributes['gpu.example.com'].index >= 0";

/// One question.
struct Shape {
    name: &'static str,
    node: usize,
    count: i64,
    selector: Option<&'static str>,
    one_numa: bool,
    possible: bool,
    /// Calls of the real allocator in each round.
    repeat: usize,
}

const SHAPES: &[Shape] = &[
    Shape {
        name: "1 of 8",
        node: 250,
        count: 1,
        selector: None,
        one_numa: false,
        possible: true,
        repeat: 2000,
    },
    Shape {
        name: "1 of 8, two-term selector",
        node: 250,
        count: 1,
        selector: Some(BY_TWO),
        one_numa: false,
        possible: true,
        repeat: 2000,
    },
    Shape {
        name: "4 of 8 on one NUMA node",
        node: 250,
        count: 4,
        selector: None,
        one_numa: true,
        possible: true,
        repeat: 500,
    },
    Shape {
        name: "8 of 8",
        node: 250,
        count: 8,
        selector: None,
        one_numa: false,
        possible: true,
        repeat: 300,
    },
    Shape {
        name: "5 of 4 on one NUMA node",
        node: 250,
        count: 5,
        selector: None,
        one_numa: true,
        possible: false,
        repeat: 200,
    },
    Shape {
        name: "9 of 8",
        node: 250,
        count: 9,
        selector: None,
        one_numa: false,
        possible: false,
        repeat: 100,
    },
    Shape {
        name: "17 of 16",
        node: 0,
        count: 17,
        selector: None,
        one_numa: false,
        possible: false,
        repeat: 1,
    },
    Shape {
        name: "21 of 20",
        node: 1,
        count: 21,
        selector: None,
        one_numa: false,
        possible: false,
        repeat: 1,
    },
];

/// Medians for one shape.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What was asked.
    pub name: &'static str,
    /// Whether there is a solution.
    pub possible: bool,
    /// The real allocator.
    pub upstream: Duration,
    /// Ours, made anew for each call.
    pub with_compile: Duration,
    /// Ours, made anew for each call, with compiled expressions.
    pub fresh: Duration,
    /// Ours, asked the same before.
    pub warm: Duration,
}

fn slice(node: usize) -> ResourceSlice {
    let devices = match node {
        0 => 16,
        1 => 20,
        _ => 8,
    };
    let device = |index: usize| {
        let number = |value: usize| AttributeValue::Int(i64::try_from(value).unwrap_or_default());
        Device {
            name: format!("gpu-{index:02}"),
            attributes: [
                ("model".to_owned(), AttributeValue::String("A100".to_owned())),
                // Other values on every node, so that what was found out about one says nothing about the next.
                ("index".to_owned(), number(node * 100 + index)),
                ("numa".to_owned(), number(index * 2 / devices)),
                ("uuid".to_owned(), AttributeValue::String(format!("GPU-{node}-{index}"))),
            ]
            .into(),
            ..Device::default()
        }
    };
    let name = format!("node-{node}");
    ResourceSlice {
        name: format!("{name}-gpu"),
        driver: DRIVER.to_owned(),
        pool: ResourcePool { name: name.clone(), generation: 1, resource_slice_count: 1 },
        node_name: Some(name),
        devices: (0..devices).map(device).collect(),
        ..ResourceSlice::default()
    }
}

fn problem(shape: &Shape, target: Target) -> Problem {
    let selector = |text: &str| DeviceSelector { cel: Some(text.to_owned()) };
    let exactly = ExactDeviceRequest {
        device_class_name: "gpu".to_owned(),
        selectors: shape.selector.into_iter().map(selector).collect(),
        count: shape.count,
        ..ExactDeviceRequest::default()
    };
    let constraint =
        DeviceConstraint { match_attribute: Some(format!("{DRIVER}/numa")), ..DeviceConstraint::default() };
    let request =
        DeviceRequest { name: "gpus".to_owned(), exactly: Some(exactly), ..DeviceRequest::default() };
    Problem {
        name: shape.name.to_owned(),
        node: node(shape.node),
        classes: vec![DeviceClass {
            name: "gpu".to_owned(),
            selectors: vec![selector(BY_MODEL)],
            ..DeviceClass::default()
        }],
        slices: (0..NODES).map(slice).collect(),
        claims: vec![ResourceClaim {
            namespace: "default".to_owned(),
            name: "claim".to_owned(),
            requests: vec![request],
            constraints: if shape.one_numa { vec![constraint] } else { Vec::new() },
            ..ResourceClaim::default()
        }],
        features: Features::for_release(target.release),
        ..Problem::default()
    }
}

fn node(number: usize) -> Node {
    Node { name: format!("node-{number}"), ..Node::default() }
}

/// Runs all shapes for as many rounds, both sides in each; `told` hears of each shape that is done.
pub fn measure(
    target: Target,
    peer: &Path,
    rounds: usize,
    mut told: impl FnMut(&Measured),
) -> Result<Vec<Measured>, PeerError> {
    let mut peer = Peer::start(peer, Duration::from_mins(1))?;
    let mut all = Vec::new();
    for shape in SHAPES {
        let problem = problem(shape, target);
        let mut line = json::problem(&problem);
        line["repeat"] = json!(shape.repeat);
        let ours = Ours::new(&problem, target);
        let (mut upstream, mut with_compile, mut fresh, mut warm) = (vec![], vec![], vec![], vec![]);
        for _ in 0..rounds {
            let theirs = peer.ask(&line)?;
            assert_eq!(theirs.ending == Ending::Allocated, shape.possible, "{}: {theirs:?}", shape.name);
            upstream.push(median(theirs.times));
            with_compile.push(ours.with_compile(shape.possible));
            fresh.push(ours.fresh());
            warm.push(ours.warm());
        }
        let measured = Measured {
            name: shape.name,
            possible: shape.possible,
            upstream: median(upstream),
            with_compile: median(with_compile),
            fresh: median(fresh),
            warm: median(warm),
        };
        told(&measured);
        all.push(measured);
    }
    Ok(all)
}

/// Our side of a question.
struct Ours<'a> {
    problem: &'a Problem,
    target: Target,
    inventory: Arc<Inventory>,
}

impl<'a> Ours<'a> {
    fn new(problem: &'a Problem, target: Target) -> Self {
        Self { problem, target, inventory: Arc::new(Inventory::new(problem.slices.clone())) }
    }

    fn allocator(&self) -> Allocator {
        Allocator::new(
            self.inventory.clone(),
            self.problem.classes.clone(),
            self.target.profile(),
            self.problem.features,
        )
    }

    fn time(&self, allocator: &mut Allocator, node: &Node) -> (Duration, Outcome) {
        let claims: Vec<&ResourceClaim> = self.problem.claims.iter().collect();
        let state = self.problem.state();
        let mut share_ids = String::new;
        let start = Instant::now();
        let answer = black_box(allocator.allocate(&state, node, &claims, &mut share_ids, BUDGET));
        (start.elapsed(), answer.outcome)
    }

    fn with_compile(&self, possible: bool) -> Duration {
        let one = || {
            let (time, outcome) = self.time(&mut self.allocator(), &self.problem.node);
            let expected = if possible {
                matches!(outcome, Outcome::Allocated(_))
            } else {
                matches!(outcome, Outcome::Unsatisfiable { .. })
            };
            assert!(expected, "{}: {outcome:?}", self.problem.name);
            time
        };
        median((0..200).map(|_| one()).collect())
    }

    fn fresh(&self) -> Duration {
        let mut compiled = self.allocator();
        self.time(&mut compiled, &node(2));
        let batch = || {
            let new = || compiled.for_inventory(self.inventory.clone());
            let mut allocators: Vec<Allocator> = (0..BATCH).map(|_| new()).collect();
            self.time_all(allocators.iter_mut(), &self.problem.node)
        };
        median((0..100).map(|_| batch()).collect())
    }

    /// The time of one question, of several in a row: looking at the clock takes as long as part of a question.
    fn time_all<'b>(&self, allocators: impl Iterator<Item = &'b mut Allocator>, node: &Node) -> Duration {
        let claims: Vec<&ResourceClaim> = self.problem.claims.iter().collect();
        let state = self.problem.state();
        let mut share_ids = String::new;
        let mut answers = Vec::with_capacity(BATCH);
        let start = Instant::now();
        for allocator in allocators {
            answers.push(black_box(allocator.allocate(&state, node, &claims, &mut share_ids, BUDGET)));
        }
        start.elapsed() / u32::try_from(answers.len().max(1)).unwrap_or(u32::MAX)
    }

    fn warm(&self) -> Duration {
        let mut allocator = self.allocator();
        // The second question about a node is the first whose answer is kept.
        self.time(&mut allocator, &self.problem.node);
        self.time(&mut allocator, &self.problem.node);
        median((0..2000).map(|_| self.time(&mut allocator, &self.problem.node).0).collect())
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

impl Measured {
    /// The heading of [`Measured::row`].
    pub fn heading() -> String {
        format!(
            "{:<26} {:>12} {:>12} {:>7} {:>12} {:>7} {:>12} {:>7}",
            "microseconds", "upstream", "with compile", "ratio", "fresh", "ratio", "warm", "ratio"
        )
    }

    /// One line of the table: times in microseconds, and how many times faster ours are.
    pub fn row(&self) -> String {
        let mut row = format!("{:<26} {:>12.2}", self.name, microseconds(self.upstream));
        for ours in [self.with_compile, self.fresh, self.warm] {
            let _ = write!(
                row,
                " {:>12.2} {:>7.1}",
                microseconds(ours),
                self.upstream.as_secs_f64() / ours.as_secs_f64()
            );
        }
        row
    }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
