//! What several tests need.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::sync::Arc;

use drayage_cluster::{Input, LoadOptions, Origin, Snapshot, load};

/// Bytes under a file name.
pub(crate) fn input(name: &str, text: &str) -> Input {
    Input::Bytes { name: name.to_owned(), bytes: text.as_bytes().to_vec() }
}

/// The snapshot of texts that must load.
pub(crate) fn loaded(inputs: &[Input]) -> Snapshot {
    load(inputs, LoadOptions::default()).unwrap_or_else(|errors| panic!("{}", errors.render()))
}

/// The errors of one text that must not load.
pub(crate) fn refused(name: &str, text: &str) -> String {
    match load(&[input(name, text)], LoadOptions::default()) {
        Ok(snapshot) => panic!("loaded {} objects from {text:?}", snapshot.object_count()),
        Err(errors) => errors.render(),
    }
}

/// All objects without their origins, which tell files apart that mean the same.
pub(crate) fn content(mut snapshot: Snapshot) -> String {
    snapshot.nodes.iter_mut().for_each(|object| object.origin = Origin::default());
    snapshot.pods.iter_mut().for_each(|object| Arc::make_mut(object).origin = Origin::default());
    snapshot.claims.iter_mut().for_each(|object| object.origin = Origin::default());
    snapshot.claim_templates.iter_mut().for_each(|object| object.origin = Origin::default());
    snapshot.classes.iter_mut().for_each(|object| object.origin = Origin::default());
    snapshot.slices.iter_mut().for_each(|object| object.origin = Origin::default());
    snapshot.taint_rules.iter_mut().for_each(|object| object.origin = Origin::default());
    snapshot.workloads.iter_mut().for_each(|object| object.origin = Origin::default());
    format!(
        "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
        snapshot.nodes,
        snapshot.pods,
        snapshot.claims,
        snapshot.claim_templates,
        snapshot.classes,
        snapshot.slices,
        snapshot.taint_rules,
        snapshot.workloads
    )
}
