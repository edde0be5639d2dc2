//! What-ifs on a cluster that is loaded: `cargo bench -p drayage-simulator --bench what_if`.
//!
//! The clusters are those of the example `scale`, which tells how the times grow with the number of nodes.

#[path = "../examples/scale/divided.rs"]
mod divided;
#[path = "../examples/scale/objects.rs"]
mod objects;

use std::sync::atomic::AtomicBool;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use drayage_simulator::report::DefragVerdict;
use drayage_simulator::schedule::{Options, Prepared};
use drayage_simulator::what_if::Ground;
use drayage_simulator::what_if::defrag::defrag;
use drayage_simulator::what_if::fail::starting_state;
use drayage_simulator::what_if::plan::plan_partitions;

fn read(text: String) -> Prepared {
    let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
    Prepared::new(load(&[input], LoadOptions::default()).expect("the objects are right"))
}

/// A node of a full cluster fails, and its pods look for places.
fn fail(criterion: &mut Criterion, options: &Options, cancel: &AtomicBool) {
    for nodes in [500, 5_000] {
        let prepared = read(objects::cluster(nodes));
        let ground = Ground { prepared: &prepared, options, cancel };
        let state = starting_state(&ground, true, &mut ()).expect("nobody cancels");
        let at = state.node_numbers()[nodes / 3];
        criterion.bench_function(&format!("a node fails of {nodes}"), |bencher| {
            bencher.iter_batched(
                || state.clone(),
                |mut fork| {
                    for pod in fork.remove_node(at) {
                        fork.attempt(pod, cancel).expect("nobody cancels");
                    }
                    fork
                },
                BatchSize::SmallInput,
            );
        });
    }
}

/// More want a GPU of their own than there are empty ones.
fn plan(criterion: &mut Criterion, options: &Options, cancel: &AtomicBool) {
    let nodes = 100;
    let prepared = read(divided::to_plan(nodes));
    let ground = Ground { prepared: &prepared, options, cancel };
    criterion.bench_function(&format!("plan partitions of {nodes} nodes"), |bencher| {
        bencher.iter(|| {
            let report = plan_partitions(&ground, &divided::layouts(), &mut ()).expect("nobody cancels");
            assert!(report.verified && report.served > report.served_without_plan);
        });
    });
}

/// A pod wants a whole GPU, and every GPU has partitions in use.
fn moves(criterion: &mut Criterion, options: &Options, cancel: &AtomicBool) {
    let nodes = 100;
    let prepared = read(divided::to_defragment(nodes));
    let ground = Ground { prepared: &prepared, options, cancel };
    criterion.bench_function(&format!("defrag {nodes} nodes"), |bencher| {
        bencher.iter(|| {
            let report = defrag(&ground, &divided::moves(), &mut ()).expect("nobody cancels");
            assert_eq!(report.verdict, DefragVerdict::Plan);
        });
    });
}

fn what_ifs(criterion: &mut Criterion) {
    let options = Options { explain: false, ..Options::for_release(Release::V1_36) };
    let cancel = AtomicBool::new(false);
    fail(criterion, &options, &cancel);
    plan(criterion, &options, &cancel);
    moves(criterion, &options, &cancel);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = what_ifs
}
criterion_main!(benches);
