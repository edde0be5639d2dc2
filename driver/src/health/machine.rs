//! Health of devices from what is observed of them: hysteresis, recovery, silence.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::{
    devices::{Condition, Observation},
    kubelet::health::{DeviceHealth, HealthReport, HealthState},
};

/// How observations become health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthRules {
    /// Faulty observations in a row until a device is unhealthy; at least 1.
    pub faults: u32,
    /// How long a device has to work without a fault until it is healthy again.
    pub recovery: Duration,
    /// After this long without an observation nobody knows.
    pub silence: Duration,
    /// A device that has become unhealthy this often within [`HealthRules::flapping_window`] flaps: it has to work for
    /// the whole window until it is healthy again. Zero: never.
    pub flaps: u32,
    /// See [`HealthRules::flaps`].
    pub flapping_window: Duration,
    /// How long the kubelet takes a report for true.
    pub timeout: Duration,
}

impl Default for HealthRules {
    fn default() -> Self {
        Self {
            faults: 1,
            recovery: Duration::from_secs(10),
            silence: Duration::from_secs(15),
            flaps: 3,
            flapping_window: Duration::from_mins(5),
            timeout: Duration::from_secs(30),
        }
    }
}

/// What is known of one device.
#[derive(Clone, Debug)]
struct Device {
    state: HealthState,
    message: String,
    since: SystemTime,
    /// Faulty observations in a row.
    faults: u32,
    /// Since when it works without a fault.
    works_since: Option<Duration>,
    seen: Duration,
    /// Whether it was unhealthy before it came to its state.
    unhealthy_before: bool,
    /// When it became unhealthy, as far as that still counts.
    falls: Vec<Duration>,
    vanished: bool,
}

/// Health of one device for those who publish it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Pool of the device.
    pub pool: String,
    /// Name of the device.
    pub device: String,
    /// Its state.
    pub state: HealthState,
    /// Whether it is not there any more.
    pub vanished: bool,
    /// Why, for users.
    pub message: String,
}

/// The health of a driver's devices. It has no clock: every call says what time it is, twice: since some fixed moment,
/// which decides, and on the wall, which is only shown.
#[derive(Debug)]
pub struct HealthMachine {
    rules: HealthRules,
    /// By pool and name.
    devices: BTreeMap<String, BTreeMap<String, Device>>,
}

impl HealthMachine {
    /// A machine that knows no devices.
    pub fn new(rules: HealthRules) -> Self {
        Self { rules, devices: BTreeMap::new() }
    }

    /// The devices that there are: others are forgotten, new ones are unknown until they are observed.
    pub fn set_devices<'a>(
        &mut self,
        devices: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: Duration,
        wall: SystemTime,
    ) {
        let mut before = std::mem::take(&mut self.devices);
        for (pool, device) in devices {
            let unknown = || Device {
                state: HealthState::Unknown,
                message: "it has not been looked at yet".to_owned(),
                since: wall,
                faults: 0,
                works_since: None,
                seen: now,
                unhealthy_before: false,
                falls: Vec::new(),
                vanished: false,
            };
            let known = before.get_mut(pool).and_then(|devices| devices.remove(device));
            let known = known.unwrap_or_else(unknown);
            self.devices.entry(pool.to_owned()).or_default().insert(device.to_owned(), known);
        }
    }

    /// Takes what was observed. True if the health of a device changed.
    pub fn observe(&mut self, observations: &[Observation], now: Duration, wall: SystemTime) -> bool {
        let mut changed = false;
        for Observation { pool, device, condition } in observations {
            let device = self.devices.get_mut(pool).and_then(|devices| devices.get_mut(device));
            if let Some(device) = device {
                changed |= device.observe(condition, &self.rules, now, wall);
            }
        }
        changed
    }

    /// Time has passed: devices that nobody has observed for too long become unknown. True if one did.
    pub fn tick(&mut self, now: Duration, wall: SystemTime) -> bool {
        let mut changed = false;
        for device in self.devices.values_mut().flat_map(BTreeMap::values_mut) {
            if now.saturating_sub(device.seen) > self.rules.silence && device.state != HealthState::Unknown {
                device.turn(HealthState::Unknown, "the monitor stalled", wall);
                device.faults = 0;
                device.works_since = None;
                changed = true;
            }
        }
        changed
    }

    /// For the kubelet's health stream.
    pub fn report(&self) -> HealthReport {
        let health = |(pool, name, device): (&String, &String, &Device)| DeviceHealth {
            pool_name: pool.clone(),
            device_name: name.clone(),
            state: device.state,
            message: device.message.clone(),
            since: device.since,
            timeout: self.rules.timeout,
        };
        self.all().map(health).collect()
    }

    /// How many devices have a state.
    pub fn count(&self, state: HealthState) -> usize {
        self.all().filter(|(_, _, device)| device.state == state).count()
    }

    fn all(&self) -> impl Iterator<Item = (&String, &String, &Device)> {
        let of_pool = |(pool, devices)| {
            let devices: &BTreeMap<String, Device> = devices;
            devices.iter().map(move |(name, device)| (pool, name, device))
        };
        self.devices.iter().flat_map(of_pool)
    }

    /// Of the devices that are not healthy, for taints.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let verdict = |(pool, name, device): (&String, &String, &Device)| Verdict {
            pool: pool.clone(),
            device: name.clone(),
            state: device.state,
            vanished: device.vanished,
            message: device.message.clone(),
        };
        let unwell = self.all().filter(|(_, _, device)| device.state != HealthState::Healthy);
        unwell.map(verdict).collect()
    }
}

impl Device {
    fn turn(&mut self, state: HealthState, message: &str, wall: SystemTime) {
        if self.state != state {
            self.since = wall;
            self.unhealthy_before = self.state == HealthState::Unhealthy;
        }
        self.state = state;
        message.clone_into(&mut self.message);
    }

    fn observe(
        &mut self,
        condition: &Condition,
        rules: &HealthRules,
        now: Duration,
        wall: SystemTime,
    ) -> bool {
        let before = (self.state, self.message.clone(), self.vanished);
        self.seen = now;
        self.vanished = *condition == Condition::Vanished;
        match condition {
            Condition::Works => {
                self.faults = 0;
                let works_since = *self.works_since.get_or_insert(now);
                self.falls.retain(|fall| now.saturating_sub(*fall) <= rules.flapping_window);
                let flaps = rules.flaps > 0 && self.falls.len() >= rules.flaps as usize;
                let patience = if flaps { rules.flapping_window } else { rules.recovery };
                let recovered = match self.state {
                    HealthState::Healthy => true,
                    // That nobody looked is no fault of the device: only one that was broken before needs to recover.
                    HealthState::Unknown => !self.unhealthy_before,
                    HealthState::Unhealthy => false,
                } || now.saturating_sub(works_since) >= patience;
                if recovered {
                    self.turn(HealthState::Healthy, "", wall);
                } else if self.state == HealthState::Unknown {
                    self.turn(
                        HealthState::Unhealthy,
                        "it was faulty and has not worked for long enough since",
                        wall,
                    );
                } else if flaps {
                    self.turn(HealthState::Unhealthy, "it flaps", wall);
                }
            }
            Condition::Faulty(message) => {
                self.faults = self.faults.saturating_add(1);
                self.fall_after(rules.faults.max(1), message, rules, now, wall);
            }
            Condition::Vanished => {
                self.faults = self.faults.saturating_add(1);
                self.fall_after(1, "it has vanished", rules, now, wall);
            }
            Condition::Unknown(message) => {
                self.faults = 0;
                self.works_since = None;
                self.turn(HealthState::Unknown, message, wall);
            }
        }
        before != (self.state, self.message.clone(), self.vanished)
    }

    fn fall_after(
        &mut self,
        faults: u32,
        message: &str,
        rules: &HealthRules,
        now: Duration,
        wall: SystemTime,
    ) {
        self.works_since = None;
        if self.faults < faults {
            return;
        }
        if self.state != HealthState::Unhealthy || self.faults == faults {
            // Each fall counts, also one during a recovery: that is what flapping is.
            self.falls.retain(|fall| now.saturating_sub(*fall) <= rules.flapping_window);
            self.falls.push(now);
        }
        self.turn(HealthState::Unhealthy, message, wall);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rules() -> HealthRules {
        HealthRules { faults: 2, ..HealthRules::default() }
    }

    /// A machine with one device, and its state after observations a second apart.
    fn states(rules: HealthRules, observations: &str) -> Vec<HealthState> {
        let mut machine = HealthMachine::new(rules);
        machine.set_devices([("node-1", "gpu-0")], Duration::ZERO, SystemTime::UNIX_EPOCH);
        let mut now = Duration::ZERO;
        let mut states = Vec::new();
        for letter in observations.chars() {
            now += SECOND;
            let condition = match letter {
                'w' => Some(Condition::Works),
                'f' => Some(Condition::Faulty("hot".to_owned())),
                'v' => Some(Condition::Vanished),
                'u' => Some(Condition::Unknown("nobody listens".to_owned())),
                _ => None,
            };
            let observation = condition.map(|condition| Observation {
                pool: "node-1".to_owned(),
                device: "gpu-0".to_owned(),
                condition,
            });
            let before = (machine.report(), machine.verdicts());
            let changed = machine.observe(observation.as_slice(), now, SystemTime::UNIX_EPOCH + now)
                | machine.tick(now, SystemTime::UNIX_EPOCH + now);
            assert_eq!(changed, before != (machine.report(), machine.verdicts()), "what changed is told");
            states.extend(machine.report().iter().map(|device| device.state));
        }
        states
    }

    fn last(rules: HealthRules, observations: &str) -> HealthState {
        *states(rules, observations).last().expect("an observation")
    }

    #[test]
    fn a_single_fault_is_forgiven_and_a_second_one_is_not() {
        assert_eq!(last(rules(), "wwf"), HealthState::Healthy);
        assert_eq!(last(rules(), "wwfwf"), HealthState::Healthy);
        assert_eq!(last(rules(), "wwff"), HealthState::Unhealthy);
        assert_eq!(last(HealthRules::default(), "wf"), HealthState::Unhealthy);
    }

    #[test]
    fn recovery_takes_ten_seconds_without_a_fault() {
        assert_eq!(last(rules(), "wffwwwwwwwwww"), HealthState::Unhealthy);
        assert_eq!(last(rules(), "wffwwwwwwwwwww"), HealthState::Healthy);
        assert_eq!(last(rules(), "wffwwwwwwwwfwwwwwwwwww"), HealthState::Unhealthy, "a fault starts it anew");
    }

    #[test]
    fn a_vanished_device_is_unhealthy_at_once() {
        assert_eq!(last(rules(), "wv"), HealthState::Unhealthy);
    }

    #[test]
    fn silence_is_unknown_and_does_not_heal() {
        let silence = ".".repeat(16);
        assert_eq!(last(rules(), &format!("w{silence}")), HealthState::Unknown);
        assert_eq!(last(rules(), &format!("w{silence}w")), HealthState::Healthy);
        assert_eq!(last(rules(), &format!("wff{silence}w")), HealthState::Unhealthy, "it was broken before");
        let recovered = format!("wff{}", "w".repeat(11));
        assert_eq!(last(rules(), &recovered), HealthState::Healthy);
        assert_eq!(
            last(rules(), &format!("{recovered}{silence}w")),
            HealthState::Healthy,
            "it had recovered"
        );
        let twice = format!("wff{silence}w{silence}");
        assert_eq!(
            last(rules(), &format!("{twice}wwwwwwwwww")),
            HealthState::Unhealthy,
            "not for long enough"
        );
        assert_eq!(last(rules(), &format!("{twice}wwwwwwwwwww")), HealthState::Healthy);
    }

    #[test]
    fn a_device_of_which_nobody_can_tell_is_unknown_at_once_and_does_not_heal_by_that() {
        assert_eq!(states(rules(), "u"), [HealthState::Unknown]);
        assert_eq!(last(rules(), "wu"), HealthState::Unknown);
        assert_eq!(last(rules(), "wuw"), HealthState::Healthy, "it was never seen broken");
        assert_eq!(last(rules(), "wffuw"), HealthState::Unhealthy, "it was broken before");
        assert_eq!(last(rules(), "wffuwwwwwwwwwww"), HealthState::Healthy);
    }

    #[test]
    fn a_device_that_flaps_has_to_work_for_the_whole_window() {
        let fall = format!("f{}", "w".repeat(12));
        let three = fall.repeat(3);
        assert_eq!(last(HealthRules::default(), &fall.repeat(2)), HealthState::Healthy);
        assert_eq!(last(HealthRules::default(), &three), HealthState::Unhealthy);
        let window = "w".repeat(301);
        assert_eq!(last(HealthRules::default(), &format!("{three}{window}")), HealthState::Healthy);
    }

    proptest! {
        /// No state is left without a reason: unhealthy needs a fault, healthy needs a working device now.
        #[test]
        fn states_follow_from_observations(observations in "[wfvu.]{1,60}") {
            let states = states(rules(), &observations);
            for (letter, state) in observations.chars().zip(&states) {
                match letter {
                    'v' => prop_assert_eq!(*state, HealthState::Unhealthy),
                    'w' => prop_assert_ne!(*state, HealthState::Unknown),
                    'u' => prop_assert_eq!(*state, HealthState::Unknown),
                    _ => {}
                }
            }
            if !observations.contains(['f', 'v']) {
                prop_assert!(!states.contains(&HealthState::Unhealthy));
            }
        }
    }
}
