//! The profile without known faults, held against the releases that have them.

use drayage_allocator::profile::{Implementation, SWITCHES};
use drayage_allocator::{ErrorKind, Outcome, Profile, ProfileName};
use drayage_conformance::mix;
use drayage_conformance::problem::{Problem, without_share_ids};
use drayage_conformance::release::TARGETS;

/// How many random problems each property looks at.
fn count() -> u64 {
    std::env::var("DRAYAGE_PROBLEMS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_500)
}

fn newest() -> Profile {
    Profile::of(ProfileName::V1_37_2, Implementation::Experimental).pinned()
}

fn problems(count: u64) -> impl Iterator<Item = (u64, Problem)> {
    let newest = TARGETS[TARGETS.len() - 1];
    (0..count).map(move |seed| (seed, mix::problem(seed, newest)))
}

#[test]
fn the_fixed_profile_differs_from_the_newest_release_in_faults_only() {
    let mut differences = 0;
    for switch in SWITCHES {
        if switch.value(&Profile::FIXED) != switch.value(&newest()) {
            assert!(switch.is_fault(&newest()), "{}", switch.name);
            differences += 1;
        }
    }
    assert!(differences > 0, "no fault of the newest release is known");
}

/// The one known fault of the newest release turns a request for all devices beside a broken pool into an error.
/// Everything else is answered alike, and what the release decides there is never better than the fixed answer.
#[test]
fn fixed_answers_differ_where_a_pool_is_broken_only() {
    let (mut alike, mut mended) = (0, 0);
    for (seed, problem) in problems(count()) {
        let fixed = without_share_ids(problem.solve_as(Profile::FIXED).outcome);
        let release = without_share_ids(problem.solve_as(newest()).outcome);
        let broken = matches!(
            &release,
            Outcome::Error(error) if matches!(error.kind(), ErrorKind::PoolIncomplete | ErrorKind::PoolInvalid)
        );
        if broken {
            assert_ne!(fixed, release, "seed {seed}");
            mended += 1;
        } else {
            assert_eq!(fixed, release, "seed {seed}");
            alike += 1;
        }
    }
    assert!(alike > 100 && mended > 10, "{alike} alike, {mended} mended");
}

/// Whatever the fixed profile finds is right, and where it finds nothing, no release finds anything right.
#[test]
fn the_fixed_profile_is_right() {
    let (mut yes, mut no) = (0, 0);
    for (seed, problem) in problems(count() / 3) {
        match problem.solve_as(Profile::FIXED).outcome {
            Outcome::Allocated(results) => {
                assert_eq!(problem.verify_as(&Profile::FIXED, &results), Ok(()), "seed {seed}");
                yes += 1;
            }
            Outcome::Unsatisfiable { .. } => {
                for name in ProfileName::ALL {
                    let release = Profile::of(name, Implementation::Experimental).pinned();
                    if let Outcome::Allocated(results) = problem.solve_as(release).outcome {
                        assert!(
                            problem.verify_as(&Profile::FIXED, &results).is_err(),
                            "seed {seed}: {name} finds {results:?}"
                        );
                    }
                }
                no += 1;
            }
            Outcome::Error(_) | Outcome::Undecided => {}
        }
    }
    assert!(yes > 80 && no > 80, "{yes} found, {no} not");
}
