//! Feature gates: their defaults by release, and what a user may override.

use std::collections::BTreeMap;
use std::fmt;

use drayage_allocator::{Features, Profile, ProfileName};
use drayage_cel::Release;

/// One release's setting of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    /// The release does not know the gate.
    Unknown,
    /// Off unless switched on.
    Off,
    /// On unless switched off.
    On,
    /// On, and the release refuses to switch it off.
    Locked,
}

use Setting::{Locked, Off, On, Unknown};

/// A gate that Drayage knows: its name, its setting in 1.34 to 1.37, and whether anything here depends on it.
struct Known {
    name: &'static str,
    settings: [Setting; 4],
    /// Whether a simulation can answer differently with the other value. A gate that users set for other
    /// components is accepted and reported as without effect.
    has_effect: bool,
}

const fn gate(name: &'static str, settings: [Setting; 4]) -> Known {
    Known { name, settings, has_effect: true }
}

const fn without_effect(name: &'static str, settings: [Setting; 4]) -> Known {
    Known { name, settings, has_effect: false }
}

/// Read from `pkg/features/kube_features.go` of 1.34.9, 1.35.6, 1.36.3 and 1.37.0; sorted by name.
const KNOWN: [Known; 34] = [
    without_effect("CompositePodGroup", [Unknown, Unknown, Unknown, Off]),
    gate("DRAAdminAccess", [On, On, Locked, Locked]),
    gate("DRAConsumableCapacity", [Off, Off, On, On]),
    gate("DRADerivedAttributes", [Unknown, Unknown, Unknown, Off]),
    gate("DRADeviceBindingConditions", [Off, Off, On, On]),
    gate("DRADeviceCompatibilityGroups", [Unknown, Unknown, Unknown, Off]),
    gate("DRADeviceTaintRules", [Unknown, Off, Off, On]),
    gate("DRADeviceTaints", [Off, Off, On, On]),
    gate("DRAExtendedResource", [Off, Off, On, Locked]),
    gate("DRAFractionalCapacityRange", [Unknown, Unknown, Unknown, On]),
    gate("DRAListTypeAttributes", [Unknown, Unknown, Off, Off]),
    without_effect("DRANodeAllocatableResources", [Unknown, Unknown, Off, Off]),
    gate("DRAOptionalNodeOperations", [Unknown, Unknown, Unknown, Off]),
    gate("DRAPartitionableDevices", [Off, Off, On, On]),
    without_effect("DRAPartitionableDevicesType", [Unknown, Unknown, Unknown, Off]),
    gate("DRAPrioritizedList", [On, On, On, Locked]),
    gate("DRAResourceClaimDeviceStatus", [On, On, On, Locked]),
    without_effect("DRAResourceClaimGranularStatusAuthorization", [Unknown, Unknown, On, On]),
    without_effect("DRAResourcePoolStatus", [Unknown, Unknown, Off, Off]),
    without_effect("DRASchedulerFilterTimeout", [On, On, On, On]),
    without_effect("DRAWorkloadResourceClaims", [Unknown, Unknown, Off, Off]),
    gate("DynamicResourceAllocation", [On, Locked, Locked, Locked]),
    gate("GangScheduling", [Unknown, Off, Off, Unknown]),
    gate("GenericWorkload", [Unknown, Off, Off, Off]),
    without_effect("InPlacePodLevelResourcesVerticalScaling", [Unknown, Off, On, On]),
    without_effect("InPlacePodVerticalScaling", [On, Locked, Locked, Locked]),
    without_effect("NodeDeclaredFeatures", [Unknown, Off, On, Locked]),
    without_effect("OpportunisticBatching", [Unknown, On, On, On]),
    without_effect("PodGroupPreemptionPolicy", [Unknown, Unknown, Unknown, Off]),
    gate("PodLevelResources", [On, On, On, On]),
    without_effect("SidecarContainers", [Locked, Locked, Locked, Unknown]),
    gate("TaintTolerationComparisonOperators", [Unknown, Off, Off, Off]),
    gate("TopologyAwareWorkloadScheduling", [Unknown, Unknown, Off, Off]),
    without_effect("WorkloadAwarePreemption", [Unknown, Unknown, Off, Unknown]),
];

/// The gates' values for one simulation: the defaults of a release with the user's overrides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureGates {
    profile: ProfileName,
    release: Release,
    values: BTreeMap<&'static str, bool>,
    overridden: BTreeMap<&'static str, bool>,
    /// How the allocator behaves, where that is no release's own.
    allocator: Option<Profile>,
}

impl FeatureGates {
    /// The defaults of a release's newest patch.
    pub fn for_release(release: Release) -> Self {
        Self::for_profile(Profile::for_release(release).name)
    }

    /// The defaults of the release that a profile belongs to.
    pub fn for_profile(profile: ProfileName) -> Self {
        let release = profile.release();
        let values = KNOWN
            .iter()
            .filter_map(|known| match setting(known, release) {
                Unknown => None,
                Off => Some((known.name, false)),
                On | Locked => Some((known.name, true)),
            })
            .collect();
        Self { profile, release, values, overridden: BTreeMap::new(), allocator: None }
    }

    /// The defaults of a release with the overrides of `text`, which is written as for the flag
    /// `--feature-gates` of Kubernetes: `Name=true,Other=false`. Blanks around names and values are ignored.
    pub fn parse(release: Release, text: &str) -> Result<Self, GateError> {
        Self::parse_for(Profile::for_release(release).name, text)
    }

    /// The defaults of the release that a profile belongs to, with the overrides of `text`.
    pub fn parse_for(profile: ProfileName, text: &str) -> Result<Self, GateError> {
        let mut gates = Self::for_profile(profile);
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, value) = entry
                .split_once('=')
                .ok_or_else(|| GateError::Shape { entry: entry.to_owned() })
                .map(|(name, value)| (name.trim(), value.trim()))?;
            let value = match value {
                "true" | "True" | "TRUE" | "t" | "T" | "1" => true,
                "false" | "False" | "FALSE" | "f" | "F" | "0" => false,
                _ => return Err(GateError::Value { name: name.to_owned(), value: value.to_owned() }),
            };
            gates.set(name, value)?;
        }
        Ok(gates)
    }

    /// Overrides one gate.
    pub fn set(&mut self, name: &str, value: bool) -> Result<(), GateError> {
        let known = KNOWN.iter().find(|known| known.name == name).ok_or_else(|| GateError::Unknown {
            name: name.to_owned(),
            near: near_names(name, self.release),
        })?;
        match setting(known, self.release) {
            Unknown => {
                let releases = Release::ALL
                    .into_iter()
                    .filter(|&release| setting(known, release) != Unknown)
                    .map(|release| release.to_string())
                    .collect();
                return Err(GateError::NotInRelease {
                    name: name.to_owned(),
                    release: self.release,
                    releases,
                });
            }
            Locked if !value => {
                return Err(GateError::Locked { name: name.to_owned(), release: self.release });
            }
            Off | On | Locked => {}
        }
        self.values.insert(known.name, value);
        self.overridden.insert(known.name, value);
        Ok(())
    }

    /// Whether a gate is on. A gate that the release does not know is off.
    pub fn enabled(&self, name: &str) -> bool {
        self.values.get(name).copied().unwrap_or(false)
    }

    /// The allocator's features, as the scheduler derives them from the gates.
    ///
    /// List-typed attributes reach the allocator from 1.37 on; the 1.36 scheduler does not pass them.
    pub fn features(&self) -> Features {
        Features {
            admin_access: self.enabled("DRAAdminAccess"),
            prioritized_list: self.enabled("DRAPrioritizedList"),
            partitionable_devices: self.enabled("DRAPartitionableDevices"),
            device_taints: self.enabled("DRADeviceTaints"),
            device_binding_and_status: self.enabled("DRADeviceBindingConditions")
                && self.enabled("DRAResourceClaimDeviceStatus"),
            device_status: self.enabled("DRAResourceClaimDeviceStatus") && self.release == Release::V1_34,
            consumable_capacity: self.enabled("DRAConsumableCapacity"),
            list_type_attributes: self.enabled("DRAListTypeAttributes") && self.release >= Release::V1_37,
            fractional_capacity_range: self.enabled("DRAFractionalCapacityRange"),
            optional_node_operations: self.enabled("DRAOptionalNodeOperations"),
            derived_attributes: self.enabled("DRADerivedAttributes"),
            compatibility_groups: self.enabled("DRADeviceCompatibilityGroups"),
        }
    }

    /// The profile that the allocator follows.
    pub fn profile(&self) -> ProfileName {
        self.profile
    }

    /// How the allocator behaves: as the [profile](Self::profile) says, or as
    /// [`with_allocator`](Self::with_allocator) did.
    pub fn allocator(&self) -> Profile {
        self.allocator.unwrap_or_else(|| Profile::named(self.profile))
    }

    /// The same gates with an allocator that no release has: to find out which difference of two releases is behind a
    /// different answer.
    #[must_use]
    pub fn with_allocator(mut self, profile: Profile) -> Self {
        self.allocator = Some(profile);
        self
    }

    /// The same gates with one of them as others have it, locked or not; for the same purpose.
    #[must_use]
    pub fn with_gate_of(mut self, name: &str, other: &Self) -> Self {
        if let Some(known) = KNOWN.iter().find(|known| known.name == name) {
            self.values.insert(known.name, other.enabled(known.name));
        }
        self
    }

    /// Names of the gates that can change an answer and are on in one of the two and off in the other.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let differs =
            |known: &&Known| known.has_effect && self.enabled(known.name) != other.enabled(known.name);
        KNOWN.iter().filter(differs).map(|known| known.name).collect()
    }

    /// The release whose defaults these are.
    pub fn release(&self) -> Release {
        self.release
    }

    /// Every gate that the release knows, by name.
    pub fn values(&self) -> &BTreeMap<&'static str, bool> {
        &self.values
    }

    /// The gates that were set, whatever their default, by name.
    pub fn overridden(&self) -> &BTreeMap<&'static str, bool> {
        &self.overridden
    }

    /// Gates whose value differs from the default although nothing in a simulation depends on them.
    pub fn overridden_without_effect(&self) -> Vec<&'static str> {
        let default = Self::for_release(self.release);
        self.overridden
            .iter()
            .filter(|&(name, value)| default.enabled(name) != *value)
            .filter(|&(name, _)| KNOWN.iter().any(|known| known.name == *name && !known.has_effect))
            .map(|(name, _)| *name)
            .collect()
    }
}

/// Why an override was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// An entry has no `=`.
    #[error("feature gate `{entry}` has no value, expected `{entry}=true` or `{entry}=false`")]
    Shape {
        /// The entry.
        entry: String,
    },
    /// A value is not a truth value.
    #[error("feature gate `{name}` has the value `{value}`, expected `true` or `false`")]
    Value {
        /// The gate.
        name: String,
        /// What was given.
        value: String,
    },
    /// No release that Drayage knows has the gate.
    #[error("unknown feature gate `{name}`{}", Near(near))]
    Unknown {
        /// What was given.
        name: String,
        /// Known gates with a similar name, the nearest first.
        near: Vec<&'static str>,
    },
    /// Other releases have the gate.
    #[error("feature gate `{name}` does not exist in Kubernetes {release}, only in {}", releases.join(", "))]
    NotInRelease {
        /// The gate.
        name: String,
        /// The chosen release.
        release: Release,
        /// Releases that have it.
        releases: Vec<String>,
    },
    /// The release does not let the gate be switched off.
    #[error("feature gate `{name}` is locked to true in Kubernetes {release}")]
    Locked {
        /// The gate.
        name: String,
        /// The chosen release.
        release: Release,
    },
}

/// Prints `, did you mean ...`, or nothing.
struct Near<'a>(&'a [&'static str]);

impl fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { ", did you mean " } else { " or " })?;
            write!(f, "`{name}`")?;
        }
        Ok(())
    }
}

fn setting(known: &Known, release: Release) -> Setting {
    match release {
        Release::V1_34 => known.settings[0],
        Release::V1_35 => known.settings[1],
        Release::V1_36 => known.settings[2],
        Release::V1_37 => known.settings[3],
    }
}

/// Up to three gates of the release whose names are near, ignoring case.
fn near_names(name: &str, release: Release) -> Vec<&'static str> {
    let given = name.to_ascii_lowercase();
    // A longer text than any gate has no near name, and the distance is quadratic.
    if given.chars().count() > 64 {
        return Vec::new();
    }
    let mut near: Vec<(usize, &'static str)> = KNOWN
        .iter()
        .filter(|known| setting(known, release) != Unknown)
        .filter_map(|known| {
            let candidate = known.name.to_ascii_lowercase();
            let distance = edit_distance(&given, &candidate);
            let contained = given.len() >= 5 && (candidate.contains(&given) || given.contains(&candidate));
            (contained || distance <= candidate.len() / 4).then_some((distance, known.name))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Levenshtein distance.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&right) {
            let value = (diagonal + usize::from(from != *to)).min(before + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = value;
            before = value;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_no_gate_twice() {
        assert!(KNOWN.is_sorted_by(|left, right| left.name < right.name));
    }

    #[test]
    fn defaults_follow_the_release() {
        let consumable = |release| FeatureGates::for_release(release).enabled("DRAConsumableCapacity");
        assert_eq!(Release::ALL.map(consumable), [false, false, true, true]);
        assert!(!FeatureGates::for_release(Release::V1_36).enabled("DRADeviceTaintRules"));
        assert!(FeatureGates::for_release(Release::V1_37).enabled("DRADeviceTaintRules"));
    }

    #[test]
    fn features_of_1_36_are_the_default() {
        assert_eq!(FeatureGates::for_release(Release::V1_36).features(), Features::default());
        let lists = |release| {
            FeatureGates::parse(release, "DRAListTypeAttributes=true")
                .unwrap()
                .features()
                .list_type_attributes
        };
        assert_eq!([lists(Release::V1_36), lists(Release::V1_37)], [false, true]);
    }

    #[test]
    fn overrides_are_applied_in_order() {
        let gates =
            FeatureGates::parse(Release::V1_36, " DRAExtendedResource=false, DRAListTypeAttributes=true,")
                .unwrap();
        assert!(!gates.enabled("DRAExtendedResource"));
        assert!(gates.enabled("DRAListTypeAttributes"));
        assert_eq!(gates.overridden().len(), 2);
        assert!(gates.overridden_without_effect().is_empty());
    }

    #[test]
    fn an_unknown_gate_names_near_ones() {
        let error = FeatureGates::parse(Release::V1_36, "DRAConsumableCapacities=true").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown feature gate `DRAConsumableCapacities`, did you mean `DRAConsumableCapacity`"
        );
        let error = FeatureGates::parse(Release::V1_36, "devicetaints=true").unwrap_err();
        assert!(error.to_string().contains("`DRADeviceTaints`"), "{error}");
        let error = FeatureGates::parse(Release::V1_36, "Nonsense=true").unwrap_err();
        assert_eq!(error.to_string(), "unknown feature gate `Nonsense`");
    }

    #[test]
    fn gates_of_other_releases_and_locked_gates_are_refused() {
        let error = FeatureGates::parse(Release::V1_34, "DRAListTypeAttributes=true").unwrap_err();
        assert_eq!(
            error.to_string(),
            "feature gate `DRAListTypeAttributes` does not exist in Kubernetes 1.34, only in 1.36, 1.37"
        );
        let error = FeatureGates::parse(Release::V1_36, "DRAAdminAccess=false").unwrap_err();
        assert_eq!(error.to_string(), "feature gate `DRAAdminAccess` is locked to true in Kubernetes 1.36");
        assert!(FeatureGates::parse(Release::V1_36, "DRAAdminAccess=true").is_ok());
    }

    #[test]
    fn malformed_entries_are_refused() {
        assert!(matches!(FeatureGates::parse(Release::V1_36, "X"), Err(GateError::Shape { .. })));
        assert!(matches!(
            FeatureGates::parse(Release::V1_36, "DRADeviceTaints=yes"),
            Err(GateError::Value { .. })
        ));
    }
}
