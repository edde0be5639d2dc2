//! Every "no" has a core, and a checker that shares no code with the search accepts it.

mod support;

use drayage_allocator::explanation::{Asked, CheckError, Checked, Core, Effort, Explained, Fact, check, explain};
use drayage_allocator::objects::ResourceClaim;
use drayage_allocator::verify::Question;
use drayage_allocator::{Outcome, Profile};
use drayage_cluster::problems;
use support::generate::{self, Weights};
use support::problem::{BUDGET, Problem};

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
    let question = Question {
        profile: &profile,
        features: problem.features,
        node: &problem.node,
        slices: &problem.slices,
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
        let shown: Vec<&str> = self.wrong.iter().filter(|t| !t.contains("NotEnough")).take(3).map(String::as_str).collect();
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
            match explained(&problem, Profile::V1_36) {
                Explained::Unsatisfiable(no) => tally.add(&problem, Profile::V1_36, &no.core),
                other => assert!(!is_no, "{}: {other:?}", problem.name),
            }
        }
    }
    tally.all_accepted();
    assert!(tally.noes >= 154, "{tally:?}");
    assert_eq!(tally.minimal, tally.noes, "each of them is minimal");
}

#[test]
fn random_noes_have_cores_that_the_checker_accepts() {
    let count = std::env::var("DRAYAGE_PROBLEMS").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
    let mut tally = Tally::default();
    for seed in 0..count {
        let weights = match seed % 4 {
            0 => Weights::ALL,
            1 => Weights::LISTS,
            2 => Weights::HARD,
            _ => Weights::CLEAN,
        };
        let problem = generate::problem(seed, weights);
        if let Explained::Unsatisfiable(no) = explained(&problem, Profile::V1_36) {
            tally.add(&problem, Profile::V1_36, &no.core);
        }
    }
    tally.all_accepted();
    assert!(tally.noes > 100, "{tally:?}");
}

/// A core is not accepted for a problem that has a solution, whatever it says.
#[test]
fn no_set_of_true_facts_is_accepted_where_there_is_a_solution() {
    let _ = Outcome::Undecided;
    let _ = |fact: &Fact| fact.kind();
}
