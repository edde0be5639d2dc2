//! Whether two answers are the same, and if not, in what they differ.

use std::fmt;

use drayage_allocator::{Answer, ErrorKind, Outcome};
use serde_json::Value;

use crate::json;
use crate::peer::{Ending, PeerAnswer};
use crate::problem::without_share_ids;

/// What comparing two answers gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Comparison {
    /// The same in everything that upstream does not leave to chance.
    Agreed,
    /// Not the same.
    Differs(Difference),
    /// Upstream had no answer in time.
    PeerTimeout,
    /// Upstream's code panicked: there is no answer to be equal to.
    PeerPanic,
    /// Our search ended at its budget.
    Undecided,
}

/// The first thing in which two answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Allocated, unsatisfiable or error.
    Verdict,
    /// Both end with an error, of another kind, or one concerns all nodes and the other one node.
    ErrorKind,
    /// Upstream's error text is of no kind that we know.
    UnknownError,
    /// Which devices.
    Devices,
    /// The same devices in another order, or for other requests.
    Order,
    /// What shares consume.
    ConsumedCapacity,
    /// Configuration entries.
    Configs,
    /// The node selector.
    NodeSelector,
    /// Anything else in a result.
    Other,
    /// The peer could not read the problem, or misses a feature: a fault of the comparison itself.
    Unreadable,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agreed => "agreed",
            Self::PeerTimeout => "upstream timed out",
            Self::PeerPanic => "upstream panicked",
            Self::Undecided => "undecided by us",
            Self::Differs(Difference::Verdict) => "differs in verdict",
            Self::Differs(Difference::ErrorKind) => "differs in error kind",
            Self::Differs(Difference::UnknownError) => "error of no known kind",
            Self::Differs(Difference::Devices) => "differs in devices",
            Self::Differs(Difference::Order) => "differs in order",
            Self::Differs(Difference::ConsumedCapacity) => "differs in consumed capacity",
            Self::Differs(Difference::Configs) => "differs in configs",
            Self::Differs(Difference::NodeSelector) => "differs in node selector",
            Self::Differs(Difference::Other) => "differs in another field",
            Self::Differs(Difference::Unreadable) => "not readable for the peer",
        })
    }
}

/// Compares our answer with the real one.
pub fn compare(ours: &Answer, theirs: &PeerAnswer) -> Comparison {
    match theirs.ending {
        Ending::Timeout => return Comparison::PeerTimeout,
        Ending::Panic if ours.error().is_some_and(|error| error.kind() == ErrorKind::Panic) => {
            return Comparison::Agreed;
        }
        Ending::Panic => return Comparison::PeerPanic,
        Ending::Unreadable => return Comparison::Differs(Difference::Unreadable),
        _ if !theirs.dropped.is_empty() => return Comparison::Differs(Difference::Unreadable),
        Ending::Allocated | Ending::Unsatisfiable | Ending::Error => {}
    }
    let kind = theirs.error_kind();
    if theirs.error.is_some() && kind.is_none() {
        return Comparison::Differs(Difference::UnknownError);
    }
    match (&ours.outcome, theirs.ending) {
        (Outcome::Undecided, _) => Comparison::Undecided,
        (Outcome::Allocated(_), Ending::Allocated) => {
            let Outcome::Allocated(results) = without_share_ids(ours.outcome.clone()) else {
                return Comparison::Differs(Difference::Verdict);
            };
            let ours: Vec<Value> = results.iter().map(json::result).collect();
            results_differ(&ours, &theirs.results).map_or(Comparison::Agreed, Comparison::Differs)
        }
        (Outcome::Unsatisfiable { .. } | Outcome::Error(_), Ending::Unsatisfiable | Ending::Error) => {
            let error = ours.error().map(|error| error.kind());
            // 1.34 has no errors that concern one node only: there an invalid pool is one for all nodes.
            let same_reach = error == Some(ErrorKind::InvalidPools)
                || matches!(ours.outcome, Outcome::Error(_)) == (theirs.ending == Ending::Error);
            match (error == kind, same_reach) {
                (true, true) => Comparison::Agreed,
                (false, _) if error.is_none() || kind.is_none() => Comparison::Differs(Difference::Verdict),
                _ => Comparison::Differs(Difference::ErrorKind),
            }
        }
        _ => Comparison::Differs(Difference::Verdict),
    }
}

fn results_differ(ours: &[Value], theirs: &[Value]) -> Option<Difference> {
    if ours == theirs {
        return None;
    }
    let devices = |results: &[Value]| -> Vec<Value> {
        let each = results.iter().filter_map(|result| result["devices"]["results"].as_array());
        each.flatten().cloned().collect()
    };
    let of = |results: &[Value], fields: &[&str]| -> Vec<Vec<Value>> {
        let project = |device: &Value| fields.iter().map(|field| device[field].clone()).collect();
        devices(results).iter().map(project).collect()
    };
    let sorted = |mut list: Vec<Vec<Value>>| {
        list.sort_by_key(|fields| format!("{fields:?}"));
        list
    };
    let place = ["driver", "pool", "device"];
    let named = ["request", "driver", "pool", "device"];
    if sorted(of(ours, &place)) != sorted(of(theirs, &place)) {
        return Some(Difference::Devices);
    }
    if ours.len() != theirs.len() || of(ours, &named) != of(theirs, &named) {
        return Some(Difference::Order);
    }
    if of(ours, &["consumedCapacity"]) != of(theirs, &["consumedCapacity"]) {
        return Some(Difference::ConsumedCapacity);
    }
    let each = |results: &[Value], read: &dyn Fn(&Value) -> Value| -> Vec<Value> {
        results.iter().map(read).collect()
    };
    let configs = |result: &Value| result["devices"]["config"].clone();
    if each(ours, &configs) != each(theirs, &configs) {
        return Some(Difference::Configs);
    }
    let selector = |result: &Value| result["nodeSelector"].clone();
    if each(ours, &selector) != each(theirs, &selector) {
        return Some(Difference::NodeSelector);
    }
    Some(Difference::Other)
}
