//! Health as taints: what keeps the scheduler from giving out a broken device (KEP-5055).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::machine::Verdict;
use crate::{devices::Pool, kubelet::health::HealthState};

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing; people see it. Known since Kubernetes 1.35.
    Mark,
    /// No pod that does not tolerate it gets the device.
    NoSchedule,
    /// And pods that have it are evicted.
    NoExecute,
}

impl Effect {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mark => "None",
            Self::NoSchedule => "NoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// Which taints devices get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaintRules {
    /// Key of the taint; its value is `unhealthy`, `vanished` or `unknown`.
    pub key: String,
    /// For a device that is unhealthy or has vanished; none for no taint.
    pub unhealthy: Option<Effect>,
    /// For a device of which nobody knows; none for no taint.
    pub unknown: Option<Effect>,
}

impl TaintRules {
    /// The usual rules of a driver: what is unhealthy is not given out, and what is unknown is.
    pub fn new(driver: &str) -> Self {
        Self { key: format!("{driver}/health"), unhealthy: Some(Effect::NoSchedule), unknown: None }
    }

    /// Adds the taints of `verdicts` to the devices of `pools`, beside those that they have anyway. A device that has
    /// vanished is in no pool of its source any more, so there is nothing to taint.
    pub fn apply(&self, pools: &mut [Pool], verdicts: &[Verdict]) {
        let taint = |verdict: &Verdict| {
            let (effect, value) = match verdict.state {
                HealthState::Healthy => return None,
                HealthState::Unhealthy if verdict.vanished => (self.unhealthy, "vanished"),
                HealthState::Unhealthy => (self.unhealthy, "unhealthy"),
                HealthState::Unknown => (self.unknown, "unknown"),
            };
            Some(json!({ "key": self.key, "value": value, "effect": effect?.as_str() }))
        };
        let mut taints: BTreeMap<(&str, &str), Value> = verdicts
            .iter()
            .filter_map(|verdict| Some(((verdict.pool.as_str(), verdict.device.as_str()), taint(verdict)?)))
            .collect();
        if taints.is_empty() {
            return;
        }
        for Pool { name, devices, .. } in pools {
            for device in devices {
                let Some(taint) = taints.remove(&(name.as_str(), device.name.as_str())) else { continue };
                let own = device.fields.get("taints").unwrap_or_else(|| Value::Array(Vec::new()));
                if let Value::Array(mut taints) = own {
                    taints.push(taint);
                    device.fields.insert("taints".to_owned(), Value::Array(taints));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::devices::PoolDevice;

    fn verdict(device: &str, state: HealthState, vanished: bool) -> Verdict {
        Verdict { pool: "p".to_owned(), device: device.to_owned(), state, vanished, message: String::new() }
    }

    #[test]
    fn unhealthy_devices_are_tainted_beside_their_own_taints() {
        let own = json!([{"key": "maintenance", "effect": "NoSchedule"}]);
        let device = |name: &str, fields: Map<String, Value>| PoolDevice {
            name: name.to_owned(),
            fields: fields.into(),
        };
        let mut pools = [Pool {
            name: "p".to_owned(),
            devices: vec![
                device("a", Map::from_iter([("taints".to_owned(), own.clone())])),
                device("b", Map::new()),
                device("c", Map::new()),
            ],
            shared_counters: Vec::new(),
        }];
        let verdicts = [
            verdict("a", HealthState::Unhealthy, false),
            verdict("b", HealthState::Healthy, false),
            verdict("c", HealthState::Unknown, false),
            verdict("gone", HealthState::Unhealthy, true),
        ];
        TaintRules::new("gpu.example.com").apply(&mut pools, &verdicts);
        assert_eq!(
            pools[0].devices[0].fields.get("taints").expect("taints"),
            json!([own[0], {"key": "gpu.example.com/health", "value": "unhealthy", "effect": "NoSchedule"}])
        );
        assert!(pools[0].devices[1].fields.is_empty() && pools[0].devices[2].fields.is_empty());
    }
}
