//! Many random problems through both sides, with what differs made small.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use drayage_allocator::{Answer, ErrorKind, Outcome};
use serde_json::Value;

use crate::compare::{Comparison, compare};
use crate::coverage::Coverage;
use crate::json;
use crate::mix;
use crate::peer::{Ending, Peer, PeerAnswer, PeerError};
use crate::problem::Problem;
use crate::release::Target;
use crate::shrink::shrink;

/// Problems that are under way at the same time: while the peer answers these, we do.
const BATCH: u64 = 32;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose allocator to compare with.
    pub target: Target,
    /// The first seed; the others follow.
    pub seed: u64,
    /// How many problems.
    pub count: u64,
    /// The peer's time for each problem.
    pub timeout: Duration,
    /// How many differences to shrink and show; the others are counted.
    pub shown: usize,
}

/// A difference, made small.
#[derive(Clone, Debug)]
pub struct Found {
    /// The seed of the problem before it was made small.
    pub seed: u64,
    /// In what the answers to the small problem differ.
    pub comparison: Comparison,
    /// The small problem.
    pub problem: Problem,
    /// Upstream's answer to it.
    pub theirs: PeerAnswer,
    /// Ours, as text.
    pub ours: String,
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct Summary {
    /// How many problems compared how.
    pub comparisons: BTreeMap<Comparison, u64>,
    /// How many problems upstream answered how.
    pub endings: BTreeMap<String, u64>,
    /// How many problems each implementation of upstream answered.
    pub channels: BTreeMap<String, u64>,
    /// Problems where our answer was one that upstream gives, but not its first: it leaves something to chance.
    pub asked_again: u64,
    /// What we answer where upstream panics: how often, and some of the seeds.
    pub panicked: BTreeMap<String, (u64, Vec<u64>)>,
    /// Seeds of problems where the allocator's verifier refuses the answer, with what it says.
    pub refused: BTreeMap<u64, String>,
    /// Features that the problems used.
    pub coverage: Coverage,
    /// Differences, at most as many as the plan shows.
    pub found: Vec<Found>,
}

/// Runs a plan; `progress` hears how many problems are done.
pub fn run(plan: &Plan, peer: &Path, mut progress: impl FnMut(u64)) -> Result<Summary, PeerError> {
    let mut peer = Peer::start(peer, plan.timeout)?;
    let mut summary = Summary {
        comparisons: BTreeMap::new(),
        endings: BTreeMap::new(),
        channels: BTreeMap::new(),
        asked_again: 0,
        panicked: BTreeMap::new(),
        refused: BTreeMap::new(),
        coverage: Coverage::new(plan.target),
        found: Vec::new(),
    };
    let mut next = plan.seed;
    let end = plan.seed.saturating_add(plan.count);
    while next < end {
        let seeds = next..end.min(next + BATCH);
        next = seeds.end;
        let problems: Vec<Problem> = seeds.clone().map(|seed| mix::problem(seed, plan.target)).collect();
        let lines: Vec<Value> = problems.iter().map(json::problem).collect();
        peer.send(&lines)?;
        let ours: Vec<_> = problems.iter().map(|problem| problem.solve_as(plan.target.profile())).collect();
        let theirs = lines.iter().map(|_| peer.receive()).collect::<Result<Vec<_>, _>>()?;
        for (((seed, problem), ours), theirs) in seeds.zip(problems).zip(ours).zip(theirs) {
            debug_assert_eq!(problem.name, theirs.name, "answers come in the order of the problems");
            summary.coverage.add(&problem);
            *summary.endings.entry(describe(&theirs)).or_default() += 1;
            *summary.channels.entry(theirs.channel.clone()).or_default() += 1;
            if let Outcome::Allocated(results) = &ours.outcome
                && let Err(violations) = problem.verify_as(&plan.target.profile(), results)
            {
                summary.refused.insert(seed, format!("{violations:?}"));
            }
            let mut comparison = compare(&ours, &theirs);
            if matches!(comparison, Comparison::Differs(_) | Comparison::PeerPanic)
                && differs(plan.target, &mut peer, &problem)?.is_none()
            {
                comparison = Comparison::Agreed;
                summary.asked_again += 1;
            }
            *summary.comparisons.entry(comparison).or_default() += 1;
            if theirs.ending == Ending::Panic {
                let answer = match comparison {
                    Comparison::Agreed if is_panic(&ours) => "that it panics".to_owned(),
                    Comparison::Agreed => "as it does in another order of pools".to_owned(),
                    _ => our_ending(&ours),
                };
                let (count, seeds) = summary.panicked.entry(answer).or_default();
                *count += 1;
                if seeds.len() < 5 {
                    seeds.push(seed);
                }
            }
            if matches!(comparison, Comparison::Differs(_)) && summary.found.len() < plan.shown {
                summary.found.push(make_small(plan.target, &mut peer, seed, problem, comparison)?);
            }
        }
        progress(next - plan.seed);
    }
    Ok(summary)
}

/// Whether our answer is none of those that the peer gives. Where upstream leaves something to chance, it is asked
/// again and again.
pub fn differs(
    target: Target,
    peer: &mut Peer,
    problem: &Problem,
) -> Result<Option<(Comparison, PeerAnswer)>, PeerError> {
    let ours = problem.solve_as(target.profile());
    let line = json::problem(problem);
    let first_pool = problem.slices.first().map(drayage_allocator::objects::ResourceSlice::pool_id);
    let one_pool = problem.slices.iter().all(|slice| Some(slice.pool_id()) == first_pool);
    let mut latest = None;
    let mut tries = 2;
    while tries > 0 {
        tries -= 1;
        let theirs = peer.ask(&line)?;
        let random = target.has_random_pool_order() || theirs.channel == "stable";
        if latest.is_none() && random && !one_pool {
            // A rare order of pools comes in one of eight cases.
            tries = 120;
        }
        let comparison = compare(&ours, &theirs);
        // In one order of pools upstream may panic where it does not in another.
        if !matches!(comparison, Comparison::Differs(_) | Comparison::PeerPanic) {
            return Ok(None);
        }
        latest = Some((comparison, theirs));
    }
    Ok(latest)
}

/// Makes the problem small as long as the answers differ in the same.
fn make_small(
    target: Target,
    peer: &mut Peer,
    seed: u64,
    problem: Problem,
    kind: Comparison,
) -> Result<Found, PeerError> {
    let mut failed = None;
    let small = shrink(problem, |candidate| match differs(target, peer, candidate) {
        Ok(difference) => difference.is_some_and(|(found, _)| found == kind),
        Err(error) => {
            failed = Some(error);
            false
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let ours = small.solve_as(target.profile());
    let theirs = peer.ask(&json::problem(&small))?;
    Ok(Found {
        seed,
        comparison: compare(&ours, &theirs),
        ours: format!("{:?}", ours.outcome),
        theirs,
        problem: small,
    })
}

fn is_panic(ours: &Answer) -> bool {
    ours.error().is_some_and(|error| error.kind() == ErrorKind::Panic)
}

fn our_ending(ours: &Answer) -> String {
    match &ours.outcome {
        Outcome::Allocated(_) => "allocated".to_owned(),
        Outcome::Unsatisfiable { .. } => "unsatisfiable".to_owned(),
        Outcome::Undecided => "undecided".to_owned(),
        Outcome::Error(error) => format!("error: {}", error.kind()),
    }
}

fn describe(theirs: &PeerAnswer) -> String {
    let kind = || theirs.error_kind().map_or("of no known kind", ErrorKind::as_str);
    match theirs.ending {
        Ending::Allocated => "allocated".to_owned(),
        Ending::Unsatisfiable if theirs.error.is_some() => format!("unsatisfiable: {}", kind()),
        Ending::Unsatisfiable => "unsatisfiable".to_owned(),
        Ending::Error => format!("error: {}", kind()),
        Ending::Timeout => "timeout".to_owned(),
        Ending::Panic => "panic".to_owned(),
        Ending::Unreadable => "unreadable".to_owned(),
    }
}

impl Summary {
    /// How many problems differ.
    pub fn differences(&self) -> u64 {
        let differing = self.comparisons.iter().filter(|(kind, _)| matches!(kind, Comparison::Differs(_)));
        differing.map(|(_, count)| count).sum()
    }

    /// The summary as text.
    pub fn text(&self) -> String {
        let total: u64 = self.comparisons.values().sum();
        let mut text = String::new();
        let mut section = |title: &str, counts: &mut dyn Iterator<Item = (String, u64)>| {
            let _ = writeln!(text, "{title}");
            for (name, count) in counts {
                let _ = writeln!(text, "  {name:<40} {count:>9}");
            }
        };
        section("compared", &mut self.comparisons.iter().map(|(kind, count)| (kind.to_string(), *count)));
        section(
            "",
            &mut [("all".to_owned(), total), ("agreed only when asked again".to_owned(), self.asked_again)]
                .into_iter(),
        );
        let panicked = self.panicked.iter();
        section(
            "upstream panicked, and we answer",
            &mut panicked.map(|(answer, (count, seeds))| (format!("{answer}; seeds {seeds:?}"), *count)),
        );
        let refused = self.refused.iter().map(|(seed, text)| (format!("seed {seed}: {text}"), 1));
        section("refused by our own verifier", &mut refused.take(5));
        let refused = u64::try_from(self.refused.len()).unwrap_or(u64::MAX);
        section("", &mut std::iter::once(("all refused".to_owned(), refused)));
        section("upstream's answers", &mut self.endings.iter().map(|(name, count)| (name.clone(), *count)));
        section(
            "upstream's implementation",
            &mut self.channels.iter().map(|(name, count)| (name.clone(), *count)),
        );
        text
    }
}
