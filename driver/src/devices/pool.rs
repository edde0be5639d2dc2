//! Pools of devices as they are published, without slices, generations and API versions.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Fields;

/// A pool: what a driver offers under one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool {
    /// Name, unique for the driver in the whole cluster.
    pub name: String,
    /// The devices in the order in which the scheduler shall try them.
    pub devices: Vec<PoolDevice>,
    /// Counter sets of `resource.k8s.io/v1` that the devices take from (KEP-4815).
    pub shared_counters: Vec<Value>,
}

/// A device: a `Device` of `resource.k8s.io/v1`. Fields are kept as they are, whether this program knows them or not,
/// because a typed structure would drop those of a newer API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolDevice {
    /// Name, unique in the pool: a DNS label.
    pub name: String,
    /// The other fields.
    #[serde(flatten)]
    pub fields: Fields,
}

impl PoolDevice {
    /// Whether it takes from counters of its pool.
    pub fn consumes_counters(&self) -> bool {
        let counters = self.fields.get("consumesCounters");
        counters.as_ref().and_then(Value::as_array).is_some_and(|list| !list.is_empty())
    }
}
