//! Properties that need a look inside.

#[expect(dead_code, reason = "shared with other tests, which use more of it")]
#[path = "../../tests/support/mod.rs"]
mod random;

use std::sync::atomic::AtomicBool;

use drayage_cel::Release;
use drayage_cluster::{Input, LoadOptions, load};
use proptest::prelude::*;
use serde_json::json;

use super::cycle::Simulation;
use super::{Options, Prepared};
use crate::report::PodReport;

fn reports(prepared: &Prepared, options: &Options, forgetful: bool) -> Vec<PodReport> {
    let mut simulation = Simulation::new(&prepared.snapshot, options);
    simulation.devices.forgetful = forgetful;
    simulation.run(&mut (), &AtomicBool::new(false)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn remembered_verdicts_change_nothing(seed: u64, newest: bool) {
        let text = json!({"apiVersion": "v1", "kind": "List", "items": random::cluster(seed)}).to_string();
        let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
        let prepared = Prepared::new(load(&[input], LoadOptions::default()).unwrap());
        let options = Options::for_release(if newest { Release::V1_37 } else { Release::V1_36 });
        prop_assert_eq!(reports(&prepared, &options, false), reports(&prepared, &options, true));
    }

    #[test]
    fn the_number_of_threads_changes_nothing(seed: u64, threads in 2_usize..=8) {
        let text = json!({"apiVersion": "v1", "kind": "List", "items": random::cluster(seed)}).to_string();
        let input = Input::Bytes { name: "cluster.json".to_owned(), bytes: text.into_bytes() };
        let prepared = Prepared::new(load(&[input], LoadOptions::default()).unwrap());
        let options = Options::for_release(Release::V1_36);
        let several = Options { threads, ..options.clone() };
        prop_assert_eq!(reports(&prepared, &options, false), reports(&prepared, &several, false));
    }
}
