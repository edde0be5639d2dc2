//! What was asked for and is not there: which names there are instead.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use drayage_cluster::Snapshot;
use drayage_simulator::schedule::SimulateError;
use drayage_simulator::what_if::fail::TargetError;

use super::failure::{Complaint, Failure};

/// At most so many names are in a hint.
const SHOWN: usize = 8;

/// Why there is no answer, with the names that are nearest to one that does not exist.
pub(crate) fn refused(error: &SimulateError, snapshot: &Snapshot) -> Failure {
    let complaint = Complaint::new(error.to_string());
    let hint = match error {
        SimulateError::NodeMissing { name } => nodes(name, snapshot),
        SimulateError::PodMissing { name } => {
            names("pods", name, snapshot.pods.iter().map(|pod| pod.metadata.full_name()))
        }
        SimulateError::ClaimMissing { name } => {
            names("resource claims", name, snapshot.claims.iter().map(|claim| claim.metadata.full_name()))
        }
        _ => return Failure::input(complaint),
    };
    Failure::input(complaint.with_hint(hint))
}

/// The same of something that is to fail.
pub(crate) fn no_target(error: &TargetError, snapshot: &Snapshot) -> Failure {
    let complaint = Complaint::new(error.to_string());
    let hint = match error {
        TargetError::Node { name } => nodes(name, snapshot),
        TargetError::Device { name } => {
            let slices = snapshot.slices.iter().map(|slice| &slice.spec);
            let devices = slices.flat_map(|slice| {
                slice.devices.iter().map(|device| format!("{}/{}", slice.pool_id(), device.name))
            });
            names("devices", name, devices)
        }
        TargetError::Label { name } => labels(name, snapshot),
        TargetError::Attribute { name } => attributes(name, snapshot),
        _ => return Failure::input(complaint),
    };
    Failure::input(complaint.with_hint(hint))
}

fn nodes(name: &str, snapshot: &Snapshot) -> String {
    names("nodes", name, snapshot.nodes.iter().map(|node| node.metadata.full_name()))
}

/// The values of a label, or the labels if none has that name.
fn labels(text: &str, snapshot: &Snapshot) -> String {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let all = || snapshot.nodes.iter().flat_map(|node| &node.metadata.labels);
    let values: BTreeSet<String> =
        all().filter(|(other, _)| *other == key).map(|(_, value)| value.clone()).collect();
    if values.is_empty() {
        let keys: BTreeSet<String> = all().map(|(key, _)| key.clone()).collect();
        return names("labels of nodes", key, keys.into_iter());
    }
    names(&format!("values of label `{key}`"), value, values.into_iter())
}

/// The attributes, with the domain that those without one belong to.
fn attributes(text: &str, snapshot: &Snapshot) -> String {
    let slices = snapshot.slices.iter().map(|slice| &slice.spec);
    let all =
        slices.flat_map(|slice| {
            slice.devices.iter().flat_map(|device| device.attributes.keys()).map(|name| {
                if name.contains('/') { name.clone() } else { format!("{}/{name}", slice.driver) }
            })
        });
    let names_of_all: BTreeSet<String> = all.collect();
    let name = text.split_once('=').map_or(text, |(name, _)| name);
    names("attributes of devices", name, names_of_all.into_iter())
}

/// Some of the names there are, those first that have most in common with `missing`.
fn names(kind: &str, missing: &str, names: impl Iterator<Item = String>) -> String {
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let wanted = last(missing);
    let mut ranked: Vec<_> = names
        .enumerate()
        .map(|(at, name)| {
            let own = last(&name);
            let common = own.bytes().zip(wanted.bytes()).take_while(|(one, other)| one == other).count();
            ((!name.contains(&wanted), Reverse(common), at), name)
        })
        .collect();
    ranked.sort_unstable();
    if ranked.is_empty() {
        return format!("the input has no {kind}");
    }
    let mut shown: Vec<String> = ranked.iter().take(SHOWN).map(|(_, name)| format!("`{name}`")).collect();
    if ranked.len() > SHOWN {
        shown.push(format!("{} more", ranked.len() - SHOWN));
    }
    let there = if kind.contains(" of ") { kind.to_owned() } else { format!("{kind} of the input") };
    format!("{there}: {}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn the_nearest_names_come_first() {
        let there = || (0..20).map(|at| format!("research/worker-{at}")).chain(["ml/notebook-2".to_owned()]);
        let hint = names("pods", "default/notebook-2", there());
        assert!(hint.starts_with("pods of the input: `ml/notebook-2`, `research/worker-0`, "), "{hint}");
        assert!(hint.ends_with("`research/worker-6`, 13 more"), "{hint}");
        assert!(names("pods", "ml/notebok", there()).starts_with("pods of the input: `ml/notebook-2`"));
        assert_eq!(names("nodes", "a", std::iter::empty()), "the input has no nodes");
    }
}
