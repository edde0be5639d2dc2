//! Diagnoses in words.

use std::fmt;

use crate::objects::AttributeValue;

use super::refusal::{Holder, Refusal, SelectorSource};
use super::{Attempt, Diagnosis, Needed, UnusablePool, UnusablePoolState};

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "claim `{}`, request `{}`: ", self.claim, self.request)?;
        match self.attempts.as_slice() {
            [only] if only.request == self.request => write!(f, "{only}")?,
            attempts => {
                f.write_str("no alternative fits")?;
                for (place, attempt) in attempts.iter().enumerate() {
                    write!(f, "{} `{}` {attempt}", if place == 0 { ":" } else { ";" }, attempt.request)?;
                }
            }
        }
        for pool in &self.pools {
            write!(f, "; {pool}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.usable.len() + self.refused.len();
        match self.needed {
            Needed::Count(1) => write!(f, "needs 1 device")?,
            Needed::Count(count) => write!(f, "needs {count} devices")?,
            Needed::All { matching: 0 } => write!(f, "needs all matching devices, and none matches")?,
            Needed::All { matching } => write!(f, "needs all {matching} matching devices")?,
        }
        if all == 0 {
            return f.write_str(", and the node has none");
        }
        write!(f, ", {} usable of {all}", self.usable.len())?;
        for (place, (group, count)) in self.counts().into_iter().enumerate() {
            write!(f, "{} {count} {group}", if place == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for UnusablePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            UnusablePoolState::Incomplete { found, announced } => {
                write!(f, "pool `{}` is incomplete ({found} of {announced} slices)", self.pool)
            }
            UnusablePoolState::Invalid { reason } => write!(f, "pool `{}` is invalid ({reason})", self.pool),
        }
    }
}

impl Refusal {
    /// What this reason has in common with equal reasons of other devices, to go behind a number of devices:
    /// `in use by other claims`.
    pub fn group(&self) -> String {
        match self {
            Self::GateOff { gate } => format!("need feature gate {gate}, which is off"),
            Self::Selector { source, index, expression, failed } => {
                let what = if *failed { "fail" } else { "refused by" };
                format!("{what} selector {source}[{index}] `{expression}`")
            }
            Self::NodeSelection => "for other nodes".to_owned(),
            Self::InUse { by: Holder::OtherClaim } => "in use by other claims".to_owned(),
            Self::InUse { by: Holder::Request { claim, request } } => {
                format!("taken by request `{request}` of claim `{claim}`")
            }
            Self::CapacityMissing { capacity } => format!("without capacity `{capacity}`"),
            Self::CapacityPolicy { capacity, .. } => {
                format!("refused by the policy of capacity `{capacity}`")
            }
            Self::Capacity { capacity, .. } => format!("short of capacity `{capacity}`"),
            Self::Counters { counter_set, counter, .. } => {
                format!("short of counter `{counter}` of set `{counter_set}`")
            }
            Self::NodeOperations => "in need of a node that declares DRAOptionalNodeOperations".to_owned(),
            Self::Groups { counter_set } => {
                format!("of other compatibility groups than what draws on counter set `{counter_set}`")
            }
            Self::Taint { taint } => format!("tainted `{taint}`"),
            Self::Constraint { index, attribute, is_match, .. } => {
                format!("refused by {} `{attribute}` (constraint {index})", kind(*is_match))
            }
            Self::Limit => "over the limit of 32 devices a claim".to_owned(),
            Self::Combination => "fitting alone but in no combination".to_owned(),
        }
    }
}

impl fmt::Display for Refusal {
    /// The reason for one device, with its values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GateOff { gate } => write!(f, "needs feature gate {gate}, which is off"),
            Self::Selector { source, index, expression, failed } => {
                let what = if *failed { "fails" } else { "is false" };
                write!(f, "selector {source}[{index}] `{expression}` {what}")
            }
            Self::NodeSelection => f.write_str("is for other nodes"),
            Self::InUse { by: Holder::OtherClaim } => f.write_str("is in use by another claim"),
            Self::InUse { by: Holder::Request { claim, request } } => {
                write!(f, "is taken by request `{request}` of claim `{claim}`")
            }
            Self::CapacityMissing { capacity } => write!(f, "has no capacity `{capacity}`"),
            Self::CapacityPolicy { capacity, amount } => {
                write!(f, "the policy of capacity `{capacity}` does not allow {amount}")
            }
            Self::Capacity { capacity, amounts } => {
                write!(f, "capacity `{capacity}`: {} needed, {} left", amounts.needed, amounts.available)
            }
            Self::Counters { counter_set, counter, amounts } => write!(
                f,
                "counter `{counter}` of set `{counter_set}`: {} needed, {} left",
                amounts.needed, amounts.available,
            ),
            Self::NodeOperations => {
                f.write_str("needs feature gate DRAOptionalNodeOperations and a node that declares it")
            }
            Self::Groups { counter_set } => write!(
                f,
                "has no compatibility group in common with what draws on counter set `{counter_set}`"
            ),
            Self::Taint { taint } => write!(f, "taint `{taint}` is not tolerated"),
            Self::Constraint { index, is_match, attribute, value, other } => {
                write!(f, "{} `{attribute}` (constraint {index}): ", kind(*is_match))?;
                match (value, other) {
                    (None, _) => f.write_str("the device does not have it"),
                    (Some(value), None) => write!(f, "{} cannot be compared", Value(value)),
                    (Some(value), Some((device, other))) => {
                        write!(f, "{} here, {} on `{device}`", Value(value), Value(other))
                    }
                }
            }
            Self::Limit => f.write_str("a claim can hold 32 devices only"),
            Self::Combination => f.write_str("fits alone, but in no combination with others"),
        }
    }
}

impl fmt::Display for SelectorSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Class => "class",
            Self::Request => "request",
        })
    }
}

fn kind(is_match: bool) -> &'static str {
    if is_match { "matchAttribute" } else { "distinctAttribute" }
}

/// An attribute's value as a user would write it.
struct Value<'a>(&'a AttributeValue);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            AttributeValue::Int(int) => write!(f, "{int}"),
            AttributeValue::Bool(bool) => write!(f, "{bool}"),
            AttributeValue::String(text) | AttributeValue::Version(text) => write!(f, "{text:?}"),
            AttributeValue::Ints(list) => write!(f, "{list:?}"),
            AttributeValue::Bools(list) => write!(f, "{list:?}"),
            AttributeValue::Strings(list) | AttributeValue::Versions(list) => write!(f, "{list:?}"),
            AttributeValue::Unset => f.write_str("no value"),
        }
    }
}
