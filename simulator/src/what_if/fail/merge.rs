//! The parts of a sweep put together.

use serde_json::Value;

use crate::report::{API_VERSION, Assumptions, FailureReport, FailureSummary, Shard, UnitReport};

/// Parts that do not make a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// No part at all.
    #[error("there is nothing to merge")]
    Empty,
    /// Not a report of `dray fail --shard`.
    #[error("part {part} is no FailureReport with a `shard`: {message}")]
    NoShard {
        /// Which one, from 1.
        part: usize,
        /// What is wrong with it.
        message: String,
    },
    /// Parts of different sweeps, or of one that was split differently.
    #[error("part {part} belongs to another sweep: `{field}` differs from that of part 1")]
    Unlike {
        /// Which one, from 1.
        part: usize,
        /// The field.
        field: String,
    },
    /// A part is missing or there twice.
    #[error("shard {index} of {of} is there {times} times")]
    Shards {
        /// The shard.
        index: usize,
        /// Of how many.
        of: usize,
        /// How often it is there.
        times: usize,
    },
}

/// Merges the reports of all shards into the one that the whole sweep would have given, to the byte.
pub fn merge(parts: &[Value]) -> Result<FailureReport, MergeError> {
    let first = parts.first().ok_or(MergeError::Empty)?;
    let mut units: Vec<UnitReport> = Vec::new();
    let mut seen = Vec::new();
    let mut of = 0;
    for (at, value) in parts.iter().enumerate() {
        let part = at + 1;
        let no_shard = |message: String| MergeError::NoShard { part, message };
        let fields = value.as_object().ok_or_else(|| no_shard("not an object".to_owned()))?;
        if value["kind"] != "FailureReport" || value["apiVersion"] != API_VERSION {
            return Err(no_shard(format!("`{} {}`", value["apiVersion"], value["kind"])));
        }
        let shard: Shard =
            serde_json::from_value(value["shard"].clone()).map_err(|error| no_shard(error.to_string()))?;
        let found: Vec<UnitReport> =
            serde_json::from_value(value["units"].clone()).map_err(|error| no_shard(error.to_string()))?;
        for field in fields.keys().chain(first.as_object().into_iter().flat_map(serde_json::Map::keys)) {
            let own = matches!(field.as_str(), "shard" | "units" | "summary");
            if !own && value.get(field) != first.get(field) {
                return Err(MergeError::Unlike { part, field: field.clone() });
            }
        }
        if at == 0 {
            of = shard.of;
        } else if shard.of != of {
            return Err(MergeError::Unlike { part, field: "shard.of".to_owned() });
        }
        seen.push(shard.index);
        units.extend(found);
    }
    for index in 1..=of {
        let times = seen.iter().filter(|&&other| other == index).count();
        if times != 1 {
            return Err(MergeError::Shards { index, of, times });
        }
    }
    units.sort_by_key(UnitReport::rank);
    let assumptions: Assumptions = serde_json::from_value(first.clone())
        .map_err(|error| MergeError::NoShard { part: 1, message: error.to_string() })?;
    Ok(FailureReport {
        api_version: API_VERSION,
        kind: "FailureReport",
        assumptions,
        shard: None,
        summary: FailureSummary::of(&units),
        units,
    })
}
