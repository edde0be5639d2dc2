//! Properties of the random problems themselves.

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
