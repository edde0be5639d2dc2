//! Claims that vanished while nobody looked: the kubelet will never mention them again.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{ClaimReader, ReadError};
use crate::{
    claims::{Claims, Devices},
    files::FileSystem,
    kubelet::{ClaimReference, Failure},
};

/// Finds claims that are prepared here and nowhere else, over several rounds.
///
/// A claim has vanished if the API server says so in two rounds in a row (it has no such object, or another one of that
/// name, or one that is not allocated), and the kubelet does not remember the claim in either. A pod that was deleted by force
/// may still run here although its claim is gone; the kubelet remembers it then, and unprepares it in the end.
#[derive(Debug, Default)]
pub struct Vanished {
    suspects: BTreeSet<String>,
}

impl Vanished {
    /// One round: looks at what `claims` hold, and unprepares what has vanished. `remembered` are UIDs that the kubelet
    /// has in its checkpoint. Returns the claims that were unprepared, with what went wrong. May block.
    pub fn collect<F, D, R>(
        &mut self,
        claims: &Claims<F, D>,
        reader: &R,
        remembered: &BTreeSet<String>,
    ) -> Vec<(ClaimReference, Option<Failure>)>
    where
        F: FileSystem,
        D: Devices,
        R: ClaimReader,
    {
        let held = claims.of_records(|record| record.claim.clone()).into_iter().chain(claims.unknown());
        // Of a claim without a name nobody can be asked.
        let asked = held.filter(|claim| !claim.name.is_empty() && !remembered.contains(&claim.uid));
        let gone: Vec<ClaimReference> = asked.filter(|claim| is_gone(claim, &reader.claim(claim))).collect();
        let before = std::mem::take(&mut self.suspects);
        let (vanished, suspects): (Vec<_>, Vec<_>) =
            gone.into_iter().partition(|claim| before.contains(&claim.uid));
        self.suspects = suspects.into_iter().map(|claim| claim.uid).collect();
        let failed = claims.collect(|claim| !vanished.contains(claim));
        let outcome = |claim: ClaimReference| {
            let failure =
                failed.iter().find(|(other, _)| *other == claim).map(|(_, failure)| failure.clone());
            (claim, failure)
        };
        vanished.into_iter().map(outcome).collect()
    }
}

/// Whether the API server says that nobody has the claim. What it does not say is no.
fn is_gone(claim: &ClaimReference, found: &Result<Value, ReadError>) -> bool {
    match found {
        Err(ReadError::Gone) => true,
        Err(ReadError::Unavailable(_)) => false,
        Ok(object) => match object["metadata"]["uid"].as_str() {
            Some(uid) => uid != claim.uid || object["status"]["allocation"].is_null(),
            None => false,
        },
    }
}
