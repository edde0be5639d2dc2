//! What a large cluster costs: `cargo run --release -p drayage-simulator --example scale [COMMAND] [NODES...]`.
//!
//! - `growth` (the default) loads and schedules clusters of 500 to 5,000 nodes with eight devices and ten pods each, and
//!   prints the time, the memory and the exponent by which the time grows
//! - `what-if` forks a loaded and full cluster, changes something of one node, and asks where a pod goes
//! - `sweep` lets every node and every device of the full cluster fail, each for itself
//! - `plan` plans the partitions of clusters of 500 to 5,000 nodes with eight divided GPUs each, half full, for three pods a
//!   node that wait, and prints the exponent
//! - `defrag` asks in such clusters without an empty GPU which pods must move so that a pod gets a whole one
//! - `write`, `write-plan` and `write-defrag` print the objects of the cluster, for the commands
//!
//! Time is wall time and the CPU time of all threads. Memory is the most that the system counted for the process (Linux).

#![expect(clippy::print_stdout, reason = "an example that only prints")]

mod divided;
mod objects;

use std::fs;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::schedule::{Options, Prepared, simulate};
use drayage_simulator::what_if::Ground;
use drayage_simulator::what_if::defrag::defrag;
use drayage_simulator::what_if::fail::{FailureQuestion, every_device, every_node, fail, starting_state};
use drayage_simulator::what_if::plan::plan_partitions;

/// As in `dray`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Wall time, and the CPU time of all threads, in seconds.
struct Clock {
    wall: Instant,
    cpu: f64,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_seconds() }
    }

    fn read(&self) -> (f64, f64) {
        (self.wall.elapsed().as_secs_f64(), cpu_seconds() - self.cpu)
    }
}

/// The system counts in hundredths of a second.
fn cpu_seconds() -> f64 {
    let line = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = line.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = |at: usize| behind_name.split_whitespace().nth(at).and_then(|text| text.parse::<f64>().ok());
    (ticks(11).unwrap_or_default() + ticks(12).unwrap_or_default()) / 100.0
}

/// A line of `/proc/self/status`, such as `VmHWM`, in MiB.
fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found =
        status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':')?.strip_suffix("kB"));
    found.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or_default() / 1024
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

fn options() -> Options {
    Options { threads: threads(), ..Options::for_release(Release::V1_36) }
}

fn read(text: String) -> Prepared {
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    Prepared::new(load(&[input], LoadOptions::default()).expect("the objects are right"))
}

/// Loads and schedules a cluster, as `dray simulate -o json` does; returns wall and CPU time.
fn whole_run(nodes: usize) -> (f64, f64) {
    let text = objects::cluster(nodes);
    let size = text.len() >> 20;
    let all = Clock::start();
    let prepared = read(text);
    let (loaded, loaded_cpu) = all.read();
    let objects = memory("VmRSS");
    let scheduling = Clock::start();
    let report = simulate(&prepared, &options(), &mut (), &AtomicBool::new(false)).expect("nobody cancels");
    let (scheduled, scheduled_cpu) = scheduling.read();
    let with_report = memory("VmRSS");
    let json = serde_json::to_string_pretty(&report).expect("a report is plain data");
    let (wall, cpu) = all.read();
    println!(
        "{nodes} nodes, {} devices, {} pods ({} placed, {} not): {wall:.2} s, CPU {cpu:.2} s; of that loading {size} MiB \
         {loaded:.2} s, CPU {loaded_cpu:.2} s, scheduling {scheduled:.2} s, CPU {scheduled_cpu:.2} s, writing {} MiB {:.2} s; \
         memory {objects} MiB with the objects, {with_report} MiB with the report",
        report.summary.devices,
        report.summary.pods,
        report.summary.scheduled,
        report.summary.pending,
        json.len() >> 20,
        wall - loaded - scheduled,
    );
    (wall, cpu)
}

/// The exponent of the power of `n` that fits best: the slope of the logarithms.
#[expect(clippy::cast_precision_loss, reason = "numbers of nodes are small")]
fn exponent(points: &[(usize, f64)]) -> f64 {
    let logarithms: Vec<(f64, f64)> = points.iter().map(|&(n, time)| ((n as f64).ln(), time.ln())).collect();
    let count = logarithms.len() as f64;
    let mean = |part: fn(&(f64, f64)) -> f64| logarithms.iter().map(part).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let both: f64 = logarithms.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let square: f64 = logarithms.iter().map(|point| (point.0 - x) * (point.0 - x)).sum();
    both / square
}

/// Of each size. The first of a size is up to twice as slow, while the system finds memory.
const RUNS: usize = 6;

fn growth(sizes: &[usize]) {
    let mut points = Vec::new();
    for &nodes in sizes {
        // The best run is the one that others disturbed least.
        let best = (0..RUNS).map(|_| whole_run(nodes).1).fold(f64::INFINITY, f64::min);
        points.push((nodes, best));
    }
    println!("the most memory there was: {} MiB", memory("VmHWM"));
    if points.len() > 1 {
        println!("CPU time grows as n^{:.2}, n being the number of nodes", exponent(&points));
    }
}

fn what_if(nodes: usize) {
    let prepared = read(objects::cluster(nodes));
    let options = options();
    let cancel = AtomicBool::new(false);
    let ground = Ground { prepared: &prepared, options: &options, cancel: &cancel };
    let state = starting_state(&ground, true, &mut ()).expect("nobody cancels");
    let mut times: Vec<f64> = Vec::new();
    let clock = Clock::start();
    for number in 0..200 {
        let start = Instant::now();
        let mut fork = state.clone();
        let at = fork.node_numbers().get(number * 37 % nodes).copied().unwrap_or_default();
        for pod in fork.remove_node(at) {
            let attempt = fork.attempt(pod, &cancel).expect("nobody cancels");
            drop(attempt);
        }
        times.push(start.elapsed().as_secs_f64() * 1e3);
        drop(fork);
    }
    let (_, cpu) = clock.read();
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get(share * (times.len() - 1) / 100).copied().unwrap_or_default();
    println!(
        "{nodes} nodes, full: a node fails and its pods look for places: least {:.3} ms, median {:.3} ms, 95 % under {:.3} ms; \
         CPU {:.3} ms each",
        at(0),
        at(50),
        at(95),
        cpu * 5.0
    );
}

fn sweep(nodes: usize) {
    let clock = Clock::start();
    let prepared = read(objects::cluster(nodes));
    let options = options();
    let cancel = AtomicBool::new(false);
    let ground = Ground { prepared: &prepared, options: &options, cancel: &cancel };
    let state = starting_state(&ground, true, &mut ()).expect("nobody cancels");
    let (wall, cpu) = clock.read();
    println!("{nodes} nodes: loaded and filled in {wall:.2} s, CPU {cpu:.2} s");
    for (what, units) in [("node", every_node(&state)), ("device", every_device(&state))] {
        let count = units.len();
        let question = FailureQuestion { units, ..FailureQuestion::default() };
        let clock = Clock::start();
        let report = fail(&ground, &state, &question, &mut ()).expect("nobody cancels");
        let (wall, cpu) = clock.read();
        let stuck: usize = report.units.iter().map(|unit| unit.stuck).sum();
        let evicted: usize = report.units.iter().map(|unit| unit.evicted).sum();
        println!(
            "every {what} of {count} for itself: {wall:.2} s, CPU {cpu:.2} s, {} threads; {evicted} pods evicted, {stuck} stuck",
            threads()
        );
    }
    println!("the most memory there was: {} MiB", memory("VmHWM"));
}

/// Answers a question about clusters of these sizes, and prints what it costs after loading.
fn grows(sizes: &[usize], text: fn(usize) -> String, ask: fn(&Ground<'_>) -> String) {
    let mut points = Vec::new();
    for &nodes in sizes {
        let clock = Clock::start();
        let prepared = read(text(nodes));
        let (loaded, _) = clock.read();
        let objects = memory("VmRSS");
        let options = Options { explain: false, ..options() };
        let cancel = AtomicBool::new(false);
        let ground = Ground { prepared: &prepared, options: &options, cancel: &cancel };
        let (mut best, mut fastest, mut answer) = (f64::INFINITY, f64::INFINITY, String::new());
        // The best run is the one that others disturbed least.
        for _ in 0..2 {
            let clock = Clock::start();
            answer = ask(&ground);
            let (wall, cpu) = clock.read();
            (best, fastest) = (best.min(cpu), fastest.min(wall));
        }
        println!(
            "{nodes} nodes, {} pods: {answer}; {fastest:.2} s, CPU {best:.2} s, after loading in {loaded:.2} s; memory {objects} \
             MiB with the objects",
            prepared.snapshot.pods.len()
        );
        points.push((nodes, best));
    }
    println!("the most memory there was: {} MiB", memory("VmHWM"));
    if points.len() > 1 {
        println!("CPU time grows as n^{:.2}, n being the number of nodes", exponent(&points));
    }
}

fn plan(ground: &Ground<'_>) -> String {
    let report = plan_partitions(ground, &divided::layouts(), &mut ()).expect("nobody cancels");
    format!(
        "{} of {} served, at most {}, {} without a plan; {} devices change, at least {}; {}",
        report.served,
        report.demanded,
        report.most_served,
        report.served_without_plan,
        report.repartitioned,
        report.least_repartitioned.unwrap_or_default(),
        if report.verified { "verified" } else { "refused" }
    )
}

fn moves(ground: &Ground<'_>) -> String {
    let report = defrag(ground, &divided::moves(), &mut ()).expect("nobody cancels");
    format!(
        "{:?}, {} moves, at least {}, {} tried",
        report.verdict,
        report.moves.len(),
        report.lower_bound,
        report.tried
    )
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<usize> = arguments.iter().filter_map(|text| text.parse().ok()).collect();
    let nodes = numbers.first().copied().unwrap_or(5_000);
    match arguments.first().map(String::as_str) {
        Some("what-if") => what_if(nodes),
        Some("sweep") => sweep(nodes),
        Some(command @ ("plan" | "defrag")) => {
            let sizes = if numbers.is_empty() { &[500, 1_000, 2_000, 5_000][..] } else { &numbers };
            if command == "plan" {
                grows(sizes, divided::to_plan, plan);
            } else {
                grows(sizes, divided::to_defragment, moves);
            }
        }
        Some("write-plan") => print!("{}", divided::to_plan(nodes)),
        Some("write-defrag") => print!("{}", divided::to_defragment(nodes)),
        Some("write") => print!("{}", objects::cluster(nodes)),
        _ if numbers.is_empty() => growth(&[500, 1_000, 2_000, 5_000]),
        _ => growth(&numbers),
    }
}
