//! Every "no" has a core, and a checker that shares no code with the search accepts it.

use std::path::Path;

use drayage_allocator::Profile;
use drayage_allocator::explanation::{
    Asked, CheckError, Checked, Core, Effort, Explained, Fact, Needed, ReadValue, check, explain,
};
use drayage_allocator::objects::{AttributeValue, ResourceClaim};
use drayage_allocator::verify::Question;
use drayage_cluster::problems;
use drayage_conformance::generate::{self, Weights};
use drayage_conformance::problem::{BUDGET, Problem};
use drayage_conformance::release::TARGETS;
use drayage_conformance::{mix, read, record};

const STEPS: u64 = 3_000_000;

/// No suggestions: they are another test's.
const EFFORT: Effort = Effort { decision: 50_000, total: 2_000_000, suggestions: 0 };

fn explained(problem: &Problem, profile: Profile) -> Explained {
    let claims: Vec<&ResourceClaim> = problem.claims.iter().collect();
    let state = problem.state();
    let asked = Asked {
        state: &state,
        node: &problem.node,
        claims: &claims,
        holders: &[],
        budget: BUDGET,
        effort: EFFORT,
    };
    explain(&mut problem.allocator(profile), &asked).outcome
}

fn checked(problem: &Problem, profile: Profile, core: &Core) -> Result<Checked, CheckError> {
    let claims: Vec<&ResourceClaim> = problem.claims.iter().collect();
    let state = problem.state();
    let slices: Vec<_> = problem.slices.iter().collect();
    let question = Question {
        profile: &profile,
        features: problem.features,
        node: &problem.node,
        slices: &slices,
        classes: &problem.classes,
        state: &state,
        claims: &claims,
    };
    check(&question, core, STEPS)
}

/// The recorded problems of one fixture.
fn recorded(text: &str) -> Vec<(Problem, bool)> {
    let read = |line: &str| {
        let problem = problems::read_line(line).expect("the fixture is well-formed");
        let is_no = problem.recorded.results.is_none() && problem.recorded.error.is_none();
        let read = Problem {
            name: problem.name,
            node: problem.node,
            classes: problem.classes,
            slices: problem.slices,
            claims: problem.claims,
            held_devices: problem.allocated_devices.into_iter().collect(),
            held_shares: problem.allocated_shared_devices.into_iter().collect(),
            held_capacity: problem.allocated_capacity.into_iter().collect(),
            features: problem.features,
        };
        (read, is_no)
    };
    text.lines().map(read).collect()
}

/// On these an earlier version of ours differed. The lines name their release.
#[test]
fn regressions_that_are_noes_have_cores_that_the_checker_accepts() {
    let mut tally = Tally::default();
    for line in include_str!("../../conformance/fixtures/regressions.jsonl").lines() {
        let target = record::target(line).expect("the fixture names a release");
        let (problem, recorded) = read::read_line(line).expect("the fixture is well-formed");
        let is_no = recorded.results.is_none() && recorded.error.is_none();
        match explained(&problem, target.profile()) {
            Explained::Unsatisfiable(no) => tally.add(&problem, target.profile(), &no.core),
            other => assert!(!is_no, "{target}, {}: {other:?}", problem.name),
        }
    }
    tally.all_accepted();
    assert!(tally.noes > 2, "{tally:?}");
}

#[derive(Default, Debug)]
struct Tally {
    noes: usize,
    accepted: usize,
    minimal: usize,
    faults_of_search: usize,
    sizes: Vec<usize>,
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, problem: &Problem, profile: Profile, core: &Core) {
        self.noes += 1;
        match checked(problem, profile, core) {
            Ok(found) => {
                self.accepted += 1;
                self.minimal += usize::from(found.minimal);
                self.faults_of_search += usize::from(found.fault_of_search);
                self.sizes.push(core.facts.len());
            }
            Err(error) => self.wrong.push(format!("{}: {error:?}\n{core:#?}", problem.name)),
        }
    }

    #[expect(clippy::print_stderr, reason = "the numbers are worth knowing")]
    fn all_accepted(&self) {
        eprintln!(
            "{} noes, {} accepted, {} minimal, {} faults of the search, largest core {:?}, facts {}",
            self.noes,
            self.accepted,
            self.minimal,
            self.faults_of_search,
            self.sizes.iter().max(),
            self.sizes.iter().sum::<usize>()
        );
        let shown: Vec<&str> =
            self.wrong.iter().filter(|t| !t.contains("NotEnough")).take(3).map(String::as_str).collect();
        assert!(self.wrong.is_empty(), "{} refused:\n{}", self.wrong.len(), shown.join("\n\n"));
    }
}

#[test]
fn every_recorded_no_has_a_core_that_the_checker_accepts() {
    let mut tally = Tally::default();
    for text in [
        include_str!("fixtures/allocator-1.36.3.jsonl"),
        include_str!("fixtures/faults-1.36.3.jsonl"),
        include_str!("fixtures/random-1.36.3.jsonl"),
    ] {
        for (problem, is_no) in recorded(text) {
            match explained(&problem, Profile::V1_36_3.pinned()) {
                Explained::Unsatisfiable(no) => tally.add(&problem, Profile::V1_36_3.pinned(), &no.core),
                other => assert!(!is_no, "{}: {other:?}", problem.name),
            }
        }
    }
    tally.all_accepted();
    assert!(tally.noes >= 154, "{tally:?}");
    assert_eq!(tally.minimal, tally.noes, "each of them is minimal");
}

/// What the real allocators of all releases answered, with everything that 1.37 added.
#[test]
fn every_recorded_no_of_every_release_has_a_core_that_the_checker_accepts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/fixtures");
    let mut tally = Tally::default();
    for target in TARGETS {
        for kind in ["random", "faults", "features"] {
            let path = folder.join(format!("{kind}-{}.jsonl", target.version));
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                // Only 1.37 has its own features.
                Err(_) if kind == "features" => continue,
                Err(error) => panic!("{}: {error}", path.display()),
            };
            for line in text.lines() {
                let (problem, recorded) = read::read_line(line).expect("the fixture is well-formed");
                let is_no = recorded.results.is_none() && recorded.error.is_none();
                match explained(&problem, target.profile()) {
                    Explained::Unsatisfiable(no) => tally.add(&problem, target.profile(), &no.core),
                    other => assert!(!is_no, "{target}, {}: {other:?}", problem.name),
                }
            }
        }
    }
    tally.all_accepted();
    assert!(tally.noes > 300, "{tally:?}");
    assert_eq!(tally.minimal, tally.noes, "each of them is minimal");
}

/// A problem where the groups of devices, and not the counters that they take, keep them apart.
fn grouped(seed: u64) -> Problem {
    let target = TARGETS[3];
    let mut problem = generate::problem(seed, Weights::HARD);
    problem.features = target.features();
    let mut number = 0;
    for slice in &mut problem.slices {
        let sets = slice.shared_counters.iter_mut();
        for total in sets.flat_map(|set| set.counters.values_mut()) {
            *total = "1000".parse().expect("a quantity");
        }
        for draw in slice.devices.iter_mut().flat_map(|device| &mut device.consumes_counters) {
            number += 1;
            let group = ["left", "right", "left", ""][(number + usize::try_from(seed).unwrap_or(0)) % 4];
            draw.compatibility_groups =
                Some(group).filter(|name| !name.is_empty()).map(str::to_owned).into_iter().collect();
        }
    }
    problem
}

/// Compatibility groups, derived attributes and node operations to skip are told by facts.
#[test]
fn random_noes_of_1_37_have_cores_that_the_checker_accepts() {
    let count = std::env::var("DRAYAGE_PROBLEMS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let target = TARGETS[3];
    let (mut tally, mut groups, mut derived) = (Tally::default(), 0, 0);
    for seed in 0..count {
        let problem = if seed % 2 == 0 { mix::problem(seed, target) } else { grouped(seed) };
        if let Explained::Unsatisfiable(no) = explained(&problem, target.profile()) {
            tally.add(&problem, target.profile(), &no.core);
            groups += usize::from(no.core.facts.iter().any(|fact| matches!(fact, Fact::Groups(_))));
            derived += usize::from(no.core.facts.iter().any(|fact| {
                matches!(fact, Fact::Constraint(constraint) if constraint.attribute.starts_with("derived/"))
            }));
        }
    }
    tally.all_accepted();
    assert!(groups > 1 && derived > 1, "{groups} cores with groups, {derived} with derived attributes");
}

#[test]
fn random_noes_have_cores_that_the_checker_accepts() {
    let count = std::env::var("DRAYAGE_PROBLEMS").ok().and_then(|text| text.parse().ok()).unwrap_or(400);
    let mut tally = Tally::default();
    for seed in 0..count {
        let weights = match seed % 4 {
            0 => Weights::ALL,
            1 => Weights::LISTS,
            2 => Weights::HARD,
            _ => Weights::CLEAN,
        };
        let problem = generate::problem(seed, weights);
        if let Explained::Unsatisfiable(no) = explained(&problem, Profile::V1_36_3.pinned()) {
            tally.add(&problem, Profile::V1_36_3.pinned(), &no.core);
        }
    }
    tally.all_accepted();
    assert!(tally.noes > 100, "{tally:?}");
}

/// Each random core, with one thing about it changed.
#[test]
fn mutated_cores_are_refused() {
    let mut refused: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    let profile = Profile::V1_36_3.pinned();
    for seed in 0..200 {
        let problem = generate::problem(seed, if seed % 2 == 0 { Weights::ALL } else { Weights::CLEAN });
        let Explained::Unsatisfiable(no) = explained(&problem, profile) else { continue };
        for (name, mutant) in mutants(&no.core) {
            let outcome = checked(&problem, profile, &mutant);
            assert!(outcome.is_err(), "seed {seed}, {name}: {mutant:#?}");
            *refused.entry(name).or_default() += 1;
        }
    }
    let target = TARGETS[3];
    for seed in 0..200 {
        let problem = grouped(seed);
        let Explained::Unsatisfiable(no) = explained(&problem, target.profile()) else { continue };
        if !no.core.facts.iter().any(|fact| matches!(fact, Fact::Groups(_))) {
            continue;
        }
        for (name, mutant) in mutants(&no.core) {
            let outcome = checked(&problem, target.profile(), &mutant);
            assert!(outcome.is_err(), "seed {seed}, {name}: {mutant:#?}");
            *refused.entry(name).or_default() += 1;
        }
    }
    // Each kind of change occurs.
    for name in [
        "other groups",
        "dropped",
        "twice",
        "other count",
        "other value",
        "other taint",
        "other held",
        "shortage",
    ] {
        assert!(refused.get(name).is_some_and(|count| *count > 2), "{name}: {refused:?}");
    }
}

fn mutants(core: &Core) -> Vec<(&'static str, Core)> {
    let mut mutants = Vec::new();
    if matches!(core.facts.as_slice(), [Fact::NotFound { .. }]) || !core.minimal {
        return mutants;
    }
    let mut change = |name, change: &dyn Fn(&mut Core) -> bool| {
        let mut mutant = core.clone();
        if change(&mut mutant) {
            mutants.push((name, mutant));
        }
    };
    for at in 0..core.facts.len() {
        change("dropped", &|core| {
            core.facts.remove(at);
            true
        });
        change("twice", &|core| {
            let again = core.facts[at].clone();
            core.facts.push(again);
            true
        });
        change("other count", &|core| {
            let Fact::Demand(demand) = &mut core.facts[at] else { return false };
            let Some(form) = demand.forms.first_mut() else { return false };
            match &mut form.needed {
                Needed::Count(count) => *count += 1,
                Needed::All { matching } => matching.extend(matching.first().cloned()),
            }
            matches!(form.needed, Needed::Count(_))
        });
        change("other value", &|core| {
            let Fact::Selector(selector) = &mut core.facts[at] else { return false };
            let read = selector.cases.iter_mut().flat_map(|case| &mut case.reads).next();
            let Some(read) = read else { return false };
            read.value = match &read.value {
                Some(_) => None,
                None => Some(ReadValue::Attribute(AttributeValue::Int(-7))),
            };
            true
        });
        change("other taint", &|core| {
            let Fact::Taint { taint, .. } = &mut core.facts[at] else { return false };
            taint.key.push('x');
            true
        });
        change("other held", &|core| match &mut core.facts[at] {
            Fact::Counter(counter) => {
                counter.held = counter.held.checked_add(&counter.total).expect("small");
                counter.held != counter.total
            }
            Fact::Capacity { devices, .. } => {
                let Some(left) = devices.first_mut() else { return false };
                left.total = left.total.checked_add(&"1".parse().expect("one")).expect("small");
                true
            }
            _ => false,
        });
        change("other groups", &|core| {
            let Fact::Groups(groups) = &mut core.facts[at] else { return false };
            match &mut groups.common {
                Some(common) => common.push("other".to_owned()),
                None => groups.common = Some(Vec::new()),
            }
            true
        });
        change("other values", &|core| {
            let Fact::Constraint(constraint) = &mut core.facts[at] else { return false };
            constraint.values.values_mut().next().is_some_and(|count| {
                *count += 1;
                true
            })
        });
    }
    change("claim limit", &|core| {
        let Fact::Demand(demand) = &core.facts[0] else { return false };
        let claim = demand.claim.clone();
        core.facts.push(Fact::ClaimLimit { claim });
        // A true fact that is not needed.
        !core.facts.iter().rev().skip(1).any(|fact| matches!(fact, Fact::ClaimLimit { .. }))
    });
    change("shortage", &|core| {
        let Some(shortage) = &mut core.shortage else { return false };
        shortage.possible += 1;
        true
    });
    mutants
}

/// Every suggestion gives devices, and those stand the verifier's test where nothing but claims changed.
#[test]
fn suggestions_are_tried_and_cheap_ones_come_first() {
    let (mut noes, mut helped, mut several) = (0, 0, 0);
    for seed in 0..200 {
        let problem = generate::problem(seed, Weights::CLEAN);
        let claims: Vec<&ResourceClaim> = problem.claims.iter().collect();
        let state = problem.state();
        let (node, budget, effort) = (&problem.node, BUDGET, Effort::default());
        let asked = Asked { state: &state, node, claims: &claims, holders: &[], budget, effort };
        let explanation = explain(&mut problem.allocator(Profile::V1_36_3.pinned()), &asked);
        assert!(explanation.to_string().lines().count() > 0);
        assert!(explanation.dot().starts_with("digraph"));
        let Explained::Unsatisfiable(no) = explanation.outcome else { continue };
        noes += 1;
        helped += usize::from(!no.suggestions.is_empty());
        several += usize::from(no.suggestions.iter().any(|one| one.changes.len() > 1));
        let costs: Vec<u16> = no
            .suggestions
            .iter()
            .map(|suggestion| suggestion.changes.iter().map(|change| u16::from(change.cost())).sum())
            .collect();
        assert!(costs.is_sorted(), "seed {seed}: {costs:?}");
        for suggestion in &no.suggestions {
            assert!(!suggestion.changes.is_empty(), "seed {seed}");
        }
    }
    assert!(helped * 2 > noes, "{helped} of {noes} noes have a suggestion, {several} of several changes");
}
