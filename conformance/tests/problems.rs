//! Properties of the random problems themselves.

use drayage_allocator::Outcome;
use drayage_conformance::coverage::Coverage;
use drayage_conformance::release::TARGETS;
use drayage_conformance::{json, mix, read};

#[test]
fn what_is_written_is_read_again() {
    for target in TARGETS {
        for seed in 0..500 {
            let problem = mix::problem(seed, target);
            let line = json::problem(&problem).to_string();
            let (again, _) =
                read::read_line(&line).unwrap_or_else(|error| panic!("{target} {seed}: {error}\n{line}"));
            assert_eq!(again, problem, "{target}, seed {seed}: {line}");
        }
    }
}

#[test]
fn a_seed_names_a_problem_for_ever() {
    for target in TARGETS {
        assert_eq!(mix::problem(7, target), mix::problem(7, target));
    }
}

#[test]
fn problems_need_no_feature_that_the_release_lacks() {
    for target in TARGETS {
        let known = json::problem(&drayage_conformance::problem::Problem {
            features: target.features(),
            ..Default::default()
        });
        for seed in 0..500 {
            let line = json::problem(&mix::problem(seed, target));
            let features = line["features"].as_object().expect("features are an object");
            for (name, on) in features.iter().filter(|(name, _)| *name != "DeviceStatus") {
                assert!(!on.as_bool().unwrap_or(true) || known["features"][name] == true, "{target}: {name}");
            }
        }
    }
}

/// A million problems have every pair of features a thousand times; here are few, so that less is asked.
#[test]
fn random_problems_cover_every_feature_and_many_have_a_solution() {
    for target in TARGETS {
        let mut coverage = Coverage::new(target);
        let (mut solved, count) = (0, 800);
        for seed in 0..count {
            let problem = mix::problem(seed, target);
            coverage.add(&problem);
            let outcome = problem.solve_as(target.profile()).outcome;
            solved += u64::from(matches!(outcome, Outcome::Allocated(_)));
        }
        let missing: Vec<_> =
            coverage.below(1).into_iter().filter(|(names, _)| !names.contains(" + ")).collect();
        assert!(missing.is_empty(), "{target}: {missing:?}");
        assert!(solved * 10 > count * 3, "{target}: {solved} of {count} have a solution");
    }
}
