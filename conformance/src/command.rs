//! Arguments, and what is printed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for developers that only prints")]

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use drayage_cel::Release;
use drayage_conformance::bench::{self, Measured};
use drayage_conformance::compare::Comparison;
use drayage_conformance::expressions::run::Options;
use drayage_conformance::peer::Peer;
use drayage_conformance::release::Target;
use drayage_conformance::run::{self, Plan, Summary};
use drayage_conformance::{expressions, json, mix, record};

/// Compares Drayage's allocator with the real one of a Kubernetes release.
#[derive(Debug, Parser)]
#[command(name = "conformance")]
struct Arguments {
    /// Folder with the peers: `peer-1.36` and so on
    #[arg(long, global = true, default_value = "target/conformance")]
    peers: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask both sides random problems; exit code 1 if any answer differs
    Problems(Problems),
    /// Ask both sides random CEL expressions; exit code 1 if any answer differs
    Expressions(Expressions),
    /// Time both sides on the same problems, in turn
    Bench(Bench),
    /// Write random problems as lines, for other programs
    Generate(Generate),
    /// Write random problems that cover features and their pairs, with upstream's answers
    Sample(Sample),
    /// Write recorded problems with the answers of another release
    Again(Again),
    /// Compare our answers with recorded ones, without a peer
    Check(Check),
}

#[derive(Debug, Args)]
struct Problems {
    /// Release to compare with: 1.34, 1.35, 1.36 or 1.37
    #[arg(long)]
    release: Target,
    /// How many problems
    #[arg(long, default_value_t = 20_000)]
    count: u64,
    /// The first problem's seed; the others follow
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The peer's time limit for a problem, in milliseconds
    #[arg(long, default_value_t = 10_000, value_name = "MILLISECONDS")]
    timeout: u64,
    /// How many differences to make small and print
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    show: usize,
    /// Add the small problems with upstream's answers to this file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print how often each feature and each pair of features was used
    #[arg(long)]
    coverage: bool,
    /// Name the features and pairs that came less often than this
    #[arg(long, value_name = "COUNT")]
    least: Option<u64>,
}

#[derive(Debug, Args)]
struct Expressions {
    /// Release to compare with: 1.34, 1.35, 1.36 or 1.37
    #[arg(long)]
    release: Release,
    /// How many expressions
    #[arg(long, default_value_t = 20_000)]
    count: usize,
    /// Names the expressions
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Both stages and all gates, instead of what a scheduler has
    #[arg(long)]
    all_environments: bool,
    /// Write the small cases that differ, with upstream's answers, to this file
    #[arg(long, value_name = "FILE")]
    differences: Option<PathBuf>,
    /// Write cases that agree to this file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Record one of so many cases
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    every: usize,
}

#[derive(Debug, Args)]
struct Generate {
    /// Release whose features the problems may use
    #[arg(long)]
    release: Target,
    /// How many problems
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// The first problem's seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct Bench {
    /// Release to compare with
    #[arg(long, default_value = "1.36")]
    release: Target,
    /// How many times each side gets its turn
    #[arg(long, default_value_t = 9)]
    rounds: usize,
}

#[derive(Debug, Args)]
struct Sample {
    /// Release to ask
    #[arg(long)]
    release: Target,
    /// How many seeds to look at
    #[arg(long, default_value_t = 20_000)]
    count: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often a pair of features comes before problems with it are left out
    #[arg(long, default_value_t = 1)]
    copies: u64,
    /// File to write
    file: PathBuf,
}

#[derive(Debug, Args)]
struct Again {
    /// Release to ask
    #[arg(long)]
    release: Target,
    /// Recorded problems
    from: PathBuf,
    /// File to write
    file: PathBuf,
}

#[derive(Debug, Args)]
struct Check {
    /// Release that answered
    #[arg(long)]
    release: Target,
    /// Recorded problems
    file: PathBuf,
}

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Command::Problems(problems) => compare(&arguments.peers, problems),
        Command::Expressions(expressions) => compare_expressions(&arguments.peers, expressions),
        Command::Bench(bench) => measure(&arguments.peers, bench),
        Command::Sample(wanted) => sample(&arguments.peers, wanted),
        Command::Again(wanted) => again(&arguments.peers, wanted),
        Command::Check(wanted) => check(wanted),
        Command::Generate(generate) => {
            for seed in generate.seed..generate.seed.saturating_add(generate.count) {
                println!("{}", json::problem(&mix::problem(seed, generate.release)));
            }
            Ok(true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn compare(peers: &Path, problems: &Problems) -> Result<bool, Box<dyn std::error::Error>> {
    let target = problems.release;
    let plan = Plan {
        target,
        seed: problems.seed,
        count: problems.count,
        timeout: Duration::from_millis(problems.timeout),
        shown: problems.show,
    };
    let start = Instant::now();
    let mut told = Instant::now();
    let peer = peers.join(format!("peer-{target}"));
    let summary = run::run(&plan, &peer, |done| {
        if told.elapsed() > Duration::from_secs(30) {
            told = Instant::now();
            eprintln!("note: {done} of {} problems after {} s", plan.count, start.elapsed().as_secs());
        }
    })?;
    for found in &summary.found {
        println!("--- seed {}: {}", found.seed, found.comparison);
        println!("ours:     {}", found.ours);
        println!("upstream: {}", record::line(&found.problem, target, &found.theirs));
    }
    if let Some(path) = &problems.record {
        add_to(path, target, &summary)?;
    }
    println!(
        "release {target} (upstream {}), {} problems from seed {}, {} s",
        target.version,
        plan.count,
        plan.seed,
        start.elapsed().as_secs()
    );
    print!("{}", summary.text());
    if problems.coverage {
        print!("{}", summary.coverage.table());
    }
    if let Some(least) = problems.least {
        let below = summary.coverage.below(least);
        println!("{} features and pairs came less often than {least} times", below.len());
        for (names, count) in below {
            println!("  {names:<44} {count:>9}");
        }
    }
    Ok(summary.differences() == 0)
}

fn compare_expressions(peers: &Path, arguments: &Expressions) -> Result<bool, Box<dyn std::error::Error>> {
    let options = Options {
        release: arguments.release,
        peer: peers.join(format!("peer-{}", arguments.release)),
        count: arguments.count,
        seed: arguments.seed,
        all_environments: arguments.all_environments,
        differences: arguments.differences.clone(),
        record: arguments.record.clone().map(|path| (path, arguments.every.max(1))),
    };
    let mut output = std::io::stdout().lock();
    let summary = expressions::run::run(&options, &mut output)?;
    writeln!(output, "release {}, seed {}", arguments.release, arguments.seed)?;
    summary.write(&mut output)?;
    Ok(summary.unexplained.is_empty())
}

fn measure(peers: &Path, bench: &Bench) -> Result<bool, Box<dyn std::error::Error>> {
    let target = bench.release;
    println!("release {target} (upstream {}), medians of {} rounds", target.version, bench.rounds);
    println!("{}", Measured::heading());
    let peer = peers.join(format!("peer-{target}"));
    let measured = bench::measure(target, &peer, bench.rounds, |shape| println!("{}", shape.row()))?;
    let ratio = |ours: &dyn Fn(&Measured) -> Duration| {
        let possible = measured.iter().filter(|shape| shape.possible);
        possible
            .map(|shape| shape.upstream.as_secs_f64() / ours(shape).as_secs_f64())
            .fold(f64::MAX, f64::min)
    };
    let impossible = measured.iter().filter(|shape| !shape.possible).map(|shape| shape.with_compile).max();
    println!(
        "least ratio of the possible ones: fresh {:.1}, warm {:.1}",
        ratio(&|m| m.fresh),
        ratio(&|m| m.warm)
    );
    println!(
        "slowest of the impossible ones, with compile: {:.1} us",
        impossible.unwrap_or_default().as_secs_f64() * 1e6
    );
    Ok(true)
}

fn peer(peers: &Path, target: Target) -> Result<Peer, Box<dyn std::error::Error>> {
    Ok(Peer::start(&peers.join(format!("peer-{target}")), Duration::from_secs(10))?)
}

fn sample(peers: &Path, wanted: &Sample) -> Result<bool, Box<dyn std::error::Error>> {
    let mut peer = peer(peers, wanted.release)?;
    let mut file = BufWriter::new(File::create(&wanted.file)?);
    let seeds = (wanted.seed, wanted.count);
    let written = record::sample(wanted.release, &mut peer, seeds, wanted.copies, &mut file)?;
    println!("{written} problems");
    file.flush()?;
    Ok(true)
}

fn again(peers: &Path, wanted: &Again) -> Result<bool, Box<dyn std::error::Error>> {
    let mut peer = peer(peers, wanted.release)?;
    let mut file = BufWriter::new(File::create(&wanted.file)?);
    let lines = std::fs::read_to_string(&wanted.from)?;
    let differing = record::again(wanted.release, &mut peer, &lines, &mut file)?;
    file.flush()?;
    for difference in &differing {
        println!("{difference}");
    }
    Ok(differing.is_empty())
}

fn check(wanted: &Check) -> Result<bool, Box<dyn std::error::Error>> {
    let mut all_agree = true;
    for line in std::fs::read_to_string(&wanted.file)?.lines() {
        let (problem, comparison) = record::check(line, wanted.release)?;
        if comparison != Comparison::Agreed {
            all_agree = false;
            println!("{}: {comparison}", problem.name);
        }
    }
    Ok(all_agree)
}

fn add_to(path: &Path, target: Target, summary: &Summary) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    for found in &summary.found {
        writeln!(file, "{}", record::line(&found.problem, target, &found.theirs))?;
    }
    Ok(())
}
