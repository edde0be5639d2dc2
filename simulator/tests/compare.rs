//! Differences between releases: every change in the examples has a cause, and what differs in nothing is the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::compare::{ChangeKind, changes, differences, object_changes, upgrade_diff};
use drayage_simulator::explain::explain_pod;
use drayage_simulator::gates::FeatureGates;
use drayage_simulator::report::PodOutcome;
use drayage_simulator::schedule::{Options, Prepared, simulate};

fn examples() -> Vec<(String, Prepared)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let entries = fs::read_dir(folder).expect("examples are part of the repository");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
        .into_iter()
        .filter(|path| path.join("cluster.yaml").exists() && path.join("workload.yaml").exists())
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let snapshot = load(&[Input::Path(path)], LoadOptions::default())
                .unwrap_or_else(|errors| panic!("{}", errors.render()));
            (name, Prepared::new(snapshot))
        })
        .collect()
}

#[test]
fn every_change_of_the_examples_has_a_cause() {
    let never = AtomicBool::new(false);
    let mut changed = 0;
    for (name, prepared) in examples() {
        for pair in Release::ALL.windows(2) {
            let (from, to) = (FeatureGates::for_release(pair[0]), FeatureGates::for_release(pair[1]));
            let names: Vec<String> =
                differences(&from, &to).into_iter().map(|difference| difference.name).collect();
            let options = Options::for_release(pair[1]);
            let report =
                upgrade_diff(&prepared, &from, &to, &options, &mut |_, _| {}, &never).expect("an answer");
            for pod in &report.pods {
                let what = format!("{name}, {} to {}: {pod:?}", report.from, report.to.release);
                assert!(!pod.causes.is_empty(), "no cause: {what}");
                for cause in &pod.causes {
                    assert!(cause.differences.iter().all(|name| names.contains(name)), "{what}");
                }
                changed += 1;
            }
        }
    }
    assert!(changed > 10, "only {changed} changes");
}

#[test]
fn a_release_differs_in_nothing_from_itself() {
    let never = AtomicBool::new(false);
    for release in Release::ALL {
        let gates = FeatureGates::for_release(release);
        assert_eq!(differences(&gates, &gates), []);
        for (name, prepared) in examples() {
            let options = Options::for_release(release);
            let report =
                upgrade_diff(&prepared, &gates, &gates, &options, &mut |_, _| {}, &never).expect("an answer");
            assert!(report.pods.is_empty(), "{name}");
        }
    }
}

#[test]
fn an_input_differs_in_nothing_from_itself() {
    for (name, prepared) in examples() {
        assert_eq!(object_changes(&prepared.snapshot, &prepared.snapshot), [], "{name}");
        let mut without = prepared.snapshot.clone();
        let Some(slice) = without.slices.pop() else { continue };
        let changed = object_changes(&prepared.snapshot, &without);
        assert_eq!(changed.len(), 1, "{name}");
        assert_eq!((changed[0].change.as_str(), &changed[0].name), ("removed", &slice.metadata.name));
    }
}

/// Explaining a pod gives it the fate that the whole simulation gives it, and a node fits if the pod got one.
#[test]
fn explanations_agree_with_the_simulation() {
    let never = AtomicBool::new(false);
    let options = Options::for_release(Release::V1_36);
    for (name, prepared) in examples() {
        let report = simulate(&prepared, &options, &mut (), &never).expect("an answer");
        for pod in &report.pods {
            let explained =
                explain_pod(&prepared, &pod.namespace, &pod.name, &options, &never).expect("the pod exists");
            let mut again = report.clone();
            again.pods = vec![explained.pod.clone()];
            let mut once = report.clone();
            once.pods = vec![pod.clone()];
            let differing: Vec<ChangeKind> =
                changes(&once, &again).into_iter().map(|change| change.change).collect();
            assert_eq!(differing, [], "{name}: {}", pod.name);
            let fitting: Vec<&str> =
                explained.nodes.iter().filter(|node| node.fits).map(|node| node.node.as_str()).collect();
            match pod.outcome {
                PodOutcome::Scheduled => assert!(fitting.contains(&pod.node.as_deref().expect("a node"))),
                PodOutcome::Unschedulable => assert!(fitting.is_empty(), "{name}: {}", pod.name),
                _ => {}
            }
            for node in explained.nodes.iter().filter(|node| !node.fits) {
                assert!(!node.reasons.is_empty(), "{name}: {} on {}", pod.name, node.node);
            }
        }
    }
}
