//! A source whose devices take opaque configuration ([`DeviceConfig`]).

use drayage_crds::{DeviceConfig, Sharing};
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::{DeviceSource, Observation, Pool, SourceError};
use crate::{
    cdi::ContainerEdits,
    claims::{AllocatedDevice, ClaimRecord, Devices, HeldDevice},
    kubelet::{ClaimReference, Failure},
};

/// Any source, with the configuration of claims and classes as environment variables of containers.
#[derive(Debug)]
pub struct ConfiguredDevices<S>(pub S);

/// The configuration that counts: of sharing the last one, of the environment the last value of each variable.
///
/// # Errors
///
/// Everything that is wrong with any of them.
pub fn configuration(parameters: &[Value]) -> Result<DeviceConfig, String> {
    let mut whole = DeviceConfig::default();
    for parameters in parameters {
        let config = DeviceConfig::read(parameters)?;
        whole.sharing = config.sharing.or(whole.sharing);
        whole.env.extend(config.env);
    }
    Ok(whole)
}

/// The configuration that counts for a device of a claim.
fn of_device(device: &AllocatedDevice) -> Result<DeviceConfig, Failure> {
    configuration(&device.configuration)
        .map_err(|error| Failure::Permanent(format!("configuration of device `{}`: {error}", device.device)))
}

impl<S: Devices> Devices for ConfiguredDevices<S> {
    fn check(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<(), Failure> {
        of_device(device)?;
        self.0.check(claim, device)
    }

    fn edits(&self, claim: &ClaimReference, device: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        let DeviceConfig { sharing, mut env, .. } = of_device(device)?;
        if let Some(Sharing { time_slices, space_partitions }) = sharing {
            if let Some(slices) = time_slices {
                env.insert("DRAYAGE_TIME_SLICES".to_owned(), format!("{:?}", slices.interval));
            }
            if let Some(parts) = space_partitions {
                env.insert("DRAYAGE_SPACE_PARTITIONS".to_owned(), parts.count.to_string());
            }
        }
        let mut edits = self.0.edits(claim, device)?;
        edits.env.extend(env.into_iter().map(|(name, value)| format!("{name}={value}")));
        Ok(edits)
    }

    fn attributes(&self, device: &AllocatedDevice) -> Option<Map<String, Value>> {
        self.0.attributes(device)
    }

    fn opened(&self, records: &[ClaimRecord], boot_id: &str) {
        self.0.opened(records, boot_id);
    }

    fn start(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        self.0.start(claim, devices)
    }

    fn stop(&self, claim: &ClaimReference, devices: &[HeldDevice]) -> Result<(), Failure> {
        self.0.stop(claim, devices)
    }
}

impl<S: DeviceSource> DeviceSource for ConfiguredDevices<S> {
    fn pools(&self) -> Result<Vec<Pool>, SourceError> {
        self.0.pools()
    }

    fn observe(&self) -> Result<Vec<Observation>, SourceError> {
        self.0.observe()
    }

    fn changed(&self) -> Option<watch::Receiver<u64>> {
        self.0.changed()
    }

    fn notes(&self) -> Vec<String> {
        self.0.notes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Bare;

    impl Devices for Bare {
        fn edits(&self, _: &ClaimReference, _: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
            Ok(ContainerEdits { env: vec!["GPU=0".to_owned()], ..ContainerEdits::default() })
        }

        fn start(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
            Ok(())
        }

        fn stop(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
            Ok(())
        }
    }

    fn config(fields: &Value) -> Value {
        let mut config = json!({"apiVersion": "drayage.dev/v1alpha1", "kind": "DeviceConfig"});
        for (key, value) in fields.as_object().expect("an object") {
            config[key] = value.clone();
        }
        config
    }

    fn edits(configuration: Vec<Value>) -> Result<Vec<String>, Failure> {
        let claim =
            ClaimReference { namespace: "default".to_owned(), name: "a".to_owned(), uid: "0a".to_owned() };
        let device =
            AllocatedDevice { device: "gpu-0".to_owned(), configuration, ..AllocatedDevice::default() };
        ConfiguredDevices(Bare).edits(&claim, &device).map(|edits| edits.env)
    }

    #[test]
    fn later_configuration_wins() {
        let class =
            config(&json!({"env": {"A": "1", "B": "1"}, "sharing": {"timeSlices": {"interval": "Long"}}}));
        let claim = config(&json!({"env": {"B": "2"}, "sharing": {"spacePartitions": {"count": 4}}}));
        assert_eq!(edits(Vec::new()).expect("edits"), ["GPU=0"]);
        assert_eq!(
            edits(vec![class.clone()]).expect("edits"),
            ["GPU=0", "A=1", "B=1", "DRAYAGE_TIME_SLICES=Long"]
        );
        assert_eq!(
            edits(vec![class, claim]).expect("edits"),
            ["GPU=0", "A=1", "B=2", "DRAYAGE_SPACE_PARTITIONS=4"]
        );
    }

    #[test]
    fn what_is_wrong_is_refused_for_good_with_its_field() {
        for (fields, expected) in [
            (json!({"shearing": {}}), "unknown field `shearing`"),
            (json!({"kind": "GpuConfig"}), "field `kind` is `GpuConfig`"),
            (json!({"sharing": {}}), "exactly one of"),
            (json!({"sharing": {"spacePartitions": {"count": 0}}}), "is 0, expected 1 to 64"),
            (json!({"sharing": {"timeSlices": {"interval": "Endless"}}}), "Endless"),
            (json!({"env": {"1A": "x"}}), "`1A` is no name"),
            (json!({"env": {"LD_PRELOAD": "/tmp/x"}}), "cannot be set"),
        ] {
            let failure = edits(vec![config(&fields)]).expect_err(expected);
            assert!(failure.to_string().contains(expected), "{failure}");
            assert!(matches!(failure, Failure::Permanent(_)));
        }
    }
}
