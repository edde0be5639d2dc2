//! What a caller may choose, and how it follows a long simulation.

use drayage_cel::Release;

use super::profile::SchedulerProfile;
use crate::gates::FeatureGates;

/// Steps of the device search on one node that end in `undecided`.
///
/// Upstream gives up after ten seconds of wall time; steps do not depend on the machine.
pub const DEFAULT_STEP_BUDGET: u64 = 5_000_000;

/// Choices of a simulation.
#[derive(Clone, Debug)]
pub struct Options {
    /// Release and feature gates.
    pub gates: FeatureGates,
    /// Steps of the device search, for one pod on one node.
    pub step_budget: u64,
    /// Whether to say for every pod without a node which devices were refused and why. Costs time for each
    /// distinct failure.
    pub explain: bool,
    /// Whether to add full explanations for some of the nodes without devices: cores of facts, and changes that
    /// would help, each tried. Costs a few searches for each.
    pub explain_in_full: bool,
    /// How many threads look at nodes, at least one. The report is the same for any number.
    pub threads: usize,
    /// The scheduler's profile, for all pods unless there are `profiles`.
    pub profile: SchedulerProfile,
    /// The profiles of a configuration file. Where there are any, the `schedulerName` of a pod chooses, and pods that
    /// name none of them are left alone.
    pub profiles: Vec<SchedulerProfile>,
    /// What a configuration file says and has no effect, for the report.
    pub configured_without_effect: Vec<String>,
}

impl Options {
    /// The defaults for a release: one thread.
    pub fn for_release(release: Release) -> Self {
        Self {
            gates: FeatureGates::for_release(release),
            step_budget: DEFAULT_STEP_BUDGET,
            explain: true,
            explain_in_full: false,
            threads: 1,
            profile: SchedulerProfile::default(),
            profiles: Vec::new(),
            configured_without_effect: Vec::new(),
        }
    }

    /// The number of the profile that schedules pods with this `schedulerName`; `None` where no profile does.
    pub(crate) fn profile_of(&self, scheduler_name: &str) -> Option<usize> {
        let name = if scheduler_name.is_empty() { "default-scheduler" } else { scheduler_name };
        if self.profiles.is_empty() {
            Some(0)
        } else {
            self.profiles.iter().position(|profile| profile.name == name)
        }
    }

    /// A profile by its number.
    pub(crate) fn numbered_profile(&self, number: usize) -> &SchedulerProfile {
        self.profiles.get(number).unwrap_or(&self.profile)
    }

    /// All profiles.
    pub(crate) fn all_profiles(&self) -> &[SchedulerProfile] {
        if self.profiles.is_empty() { std::slice::from_ref(&self.profile) } else { &self.profiles }
    }
}

/// Told about progress; a command draws its bar with it.
pub trait Observer {
    /// `done` of `total` pods have been looked at.
    fn progress(&mut self, done: usize, total: usize);
}

/// No interest in progress.
impl Observer for () {
    fn progress(&mut self, _done: usize, _total: usize) {}
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// The caller asked to stop.
    #[error("stopped before the end")]
    Cancelled,
    /// A node that was asked for does not exist.
    #[error("node `{name}` does not exist in the input")]
    NodeMissing {
        /// The node's name.
        name: String,
    },
    /// A pod that was asked for does not exist.
    #[error("pod `{name}` does not exist in the input")]
    PodMissing {
        /// `namespace/name`
        name: String,
    },
    /// A claim that was asked for does not exist.
    #[error("resource claim `{name}` does not exist in the input")]
    ClaimMissing {
        /// `namespace/name`
        name: String,
    },
}
