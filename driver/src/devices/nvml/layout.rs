//! MIG devices that a card could be divided into: profiles at their placements, as devices that take from the counters of
//! their card (KEP-4815).
//!
//! The counters are a copy of what the card checks when an instance is made: each memory slice is there once, and all
//! instances together have no more of anything than the card. So whatever a scheduler allocates can be made.

use std::collections::{BTreeMap, BTreeSet};

use drayage_nvml::{
    Code, Device, Error, GpuInstance, GpuInstanceInfo, GpuInstanceProfile, MigAttributes, Placement,
};
use serde_json::{Map, Value, json};

use super::{describe::quantity, inventory::Card};

/// Numbers of profiles that are asked for. The header of today has 17.
const PROFILE_NUMBERS: u32 = 32;
/// The API takes so many counters in a set.
const MOST_COUNTERS: usize = 32;

/// How a card in MIG mode can be divided, and how it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// In the order in which a scheduler should try them: the small ones first, and of a profile those that leave most to
    /// others.
    pub(super) possible: Vec<Possible>,
    /// The library's numbers of all its profiles.
    profiles: Vec<u32>,
    /// GPU instances that there are.
    pub(super) instances: Vec<GpuInstanceInfo>,
}

/// A MIG device that could be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Possible {
    /// Its profile as NVIDIA writes it, such as `1g.10gb+me`.
    pub(super) profile: String,
    /// The library's number of the profile.
    pub(super) id: u32,
    /// How many instances of the profile there can be.
    pub(super) instances: u32,
    /// What it has.
    pub(super) has: MigAttributes,
    /// Its memory slices.
    pub(super) placement: Placement,
}

/// A device by its name: which card, which profile, which place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The name.
    pub(super) name: String,
    /// PCI address of the card.
    pub(super) address: String,
    /// [`label`] of the profile.
    pub(super) label: String,
    /// The first memory slice.
    pub(super) start: u32,
}

impl Wanted {
    /// What a name stands for; none if it is not that of a device which is made for claims.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let (card, rest) = name.strip_prefix("gpu-")?.split_once("-mig-")?;
        let (label, start) = rest.rsplit_once("-at-")?;
        let parts: Vec<&str> = card.split('-').collect();
        let [domain, bus, device, function] = parts[..] else { return None };
        Some(Self {
            name: name.to_owned(),
            address: format!("{domain}:{bus}:{device}.{function}"),
            label: label.to_owned(),
            start: start.parse().ok()?,
        })
    }

    /// For messages.
    pub(super) fn what(&self) -> String {
        format!("MIG device `{}` at memory slice {} of GPU `{}`", self.label, self.start, self.address)
    }
}

/// A profile in a name. `+me` and `-me` are two profiles.
pub(super) fn label(profile: &str) -> String {
    let distinct = profile.to_ascii_lowercase().replace("-me", "-no-me");
    distinct.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect()
}

/// Where two instances have a memory slice in common.
pub(super) fn overlap(one: Placement, other: Placement) -> bool {
    one.start < other.start.saturating_add(other.size) && other.start < one.start.saturating_add(one.size)
}

impl Possible {
    /// Whether an instance is this one.
    pub(super) fn is(&self, instance: &GpuInstanceInfo) -> bool {
        instance.profile == self.id && instance.placement == self.placement
    }

    /// Name of the device: a DNS label that says what it is, because nothing else of it lasts.
    pub(super) fn name(&self, card: &str) -> String {
        format!("{card}-mig-{}-at-{}", label(&self.profile), self.placement.start)
    }

    /// What it takes of its card, by counter.
    fn takes(&self, limited: &BTreeSet<u32>) -> BTreeMap<String, u64> {
        let mut takes = amounts(&self.has);
        let slices = self.placement.start..self.placement.start.saturating_add(self.placement.size);
        takes.extend(slices.map(|slice| (format!("memory-slice-{slice}"), 1)));
        if limited.contains(&self.id) {
            takes.insert(format!("instances-{}", label(&self.profile)), 1);
        }
        takes.retain(|_, amount| *amount > 0);
        takes
    }
}

fn amounts(has: &MigAttributes) -> BTreeMap<String, u64> {
    let named = [
        ("compute-slices", u64::from(has.gpu_instance_slices)),
        ("multiprocessors", has.multiprocessors.into()),
        ("copy-engines", has.copy_engines.into()),
        ("decoders", has.decoders.into()),
        ("encoders", has.encoders.into()),
        ("jpeg-engines", has.jpeg_engines.into()),
        ("ofa-engines", has.ofa_engines.into()),
        (MEMORY, has.memory_mebibytes.saturating_mul(1 << 20)),
    ];
    named.into_iter().map(|(name, amount)| (name.to_owned(), amount)).collect()
}

const MEMORY: &str = "memory";

impl Layout {
    /// Asks the library. `memory` is the card's, in octets. What was told `before` of the same card is not asked again, but for
    /// the instances.
    ///
    /// # Errors
    ///
    /// Also if this process may not see instances.
    pub(super) fn read(
        device: Device<'_>,
        memory: Option<u64>,
        before: Option<&Self>,
    ) -> Result<Self, Error> {
        let mut layout = match before {
            Some(before) => Self { instances: Vec::new(), ..before.clone() },
            None => Self::read_profiles(device, memory)?,
        };
        for profile in &layout.profiles {
            for instance in device.gpu_instances(*profile)? {
                layout.instances.push(instance.info()?);
            }
        }
        layout.instances.sort_by_key(|instance| instance.id);
        Ok(layout)
    }

    fn read_profiles(device: Device<'_>, memory: Option<u64>) -> Result<Self, Error> {
        let mut layout = Self::default();
        let mut labels = BTreeSet::new();
        for number in 0..PROFILE_NUMBERS {
            let profile = match device.gpu_instance_profile(number) {
                Ok(profile) => profile,
                Err(error) if matches!(error.code, Code::NotSupported | Code::InvalidArgument) => continue,
                Err(error) => return Err(error),
            };
            if layout.profiles.contains(&profile.id) {
                continue;
            }
            layout.profiles.push(profile.id);
            let name = name_of(number, &profile, memory);
            // Two devices of one name could not be told apart.
            if !labels.insert(label(&name)) {
                continue;
            }
            for placement in device.gpu_instance_placements(profile.id)? {
                layout.possible.push(Possible {
                    profile: name.clone(),
                    id: profile.id,
                    instances: profile.instances,
                    has: profile.has,
                    placement,
                });
            }
        }
        layout.sort();
        Ok(layout)
    }

    fn sort(&mut self) {
        let in_the_way = |one: &Possible| {
            self.possible.iter().filter(|other| overlap(one.placement, other.placement)).count()
        };
        let key = |one: &Possible| {
            let Possible { has, placement, .. } = one;
            (
                has.gpu_instance_slices,
                has.memory_mebibytes,
                one.profile.clone(),
                in_the_way(one),
                std::cmp::Reverse(placement.start),
            )
        };
        let mut keyed: Vec<_> = self.possible.iter().map(|one| (key(one), one.clone())).collect();
        keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.possible = keyed.into_iter().map(|(_, one)| one).collect();
    }

    /// The device that is wanted.
    pub(super) fn find(&self, wanted: &Wanted) -> Option<&Possible> {
        self.possible
            .iter()
            .find(|one| one.placement.start == wanted.start && label(&one.profile) == wanted.label)
    }

    /// Which device an instance is.
    pub(super) fn device_of(&self, instance: &GpuInstanceInfo) -> Option<&Possible> {
        self.possible.iter().find(|one| one.is(instance))
    }

    /// The instance of a device, if there is one.
    pub(super) fn instance_of(&self, possible: &Possible) -> Option<&GpuInstanceInfo> {
        self.instances.iter().find(|instance| possible.is(instance))
    }

    /// Profiles of which there can be fewer instances than there are places for.
    fn limited(&self) -> BTreeSet<u32> {
        let mut places: BTreeMap<u32, (u32, Vec<Placement>)> = BTreeMap::new();
        for one in &self.possible {
            let entry = places.entry(one.id).or_insert((one.instances, Vec::new()));
            entry.1.push(one.placement);
        }
        // All of one size: beginning with the one that ends first is best.
        let most = |mut placements: Vec<Placement>| {
            placements.sort_unstable();
            let (mut count, mut end) = (0_u32, 0);
            for placement in placements {
                if placement.start >= end {
                    count += 1;
                    end = placement.start.saturating_add(placement.size);
                }
            }
            count
        };
        let limited = places.into_iter().filter(|(_, (instances, places))| most(places.clone()) > *instances);
        limited.map(|(id, _)| id).collect()
    }

    /// What the card has, by counter, less what instances have that no claim holds.
    fn counters(&self, foreign: &[GpuInstanceInfo]) -> BTreeMap<String, u64> {
        let limited = self.limited();
        let mut counters: BTreeMap<String, u64> = BTreeMap::new();
        for one in &self.possible {
            for (counter, amount) in one.takes(&limited) {
                let has = counters.entry(counter.clone()).or_default();
                *has = amount.max(*has);
                if counter.starts_with("instances-") {
                    *has = one.instances.into();
                }
            }
        }
        for instance in foreign {
            let taken = self.device_of(instance).map(|device| device.takes(&limited));
            for (counter, amount) in taken.unwrap_or_default() {
                if let Some(has) = counters.get_mut(&counter) {
                    *has = has.saturating_sub(amount);
                }
            }
        }
        counters
    }

    /// Whether the API takes so many counters.
    pub(super) fn fits(&self) -> bool {
        self.counters(&[]).len() <= MOST_COUNTERS
    }

    /// The counter set of a card, in the form of `resource.k8s.io/v1`; none if nothing takes from it.
    pub(super) fn counter_set(&self, card: &str, foreign: &[GpuInstanceInfo]) -> Option<Value> {
        let counters = self.counters(foreign);
        (!counters.is_empty()).then(|| json!({ "name": card, "counters": written(counters) }))
    }

    /// What a device takes from the counter set of its card, in the same form.
    pub(super) fn consumption(&self, card: &str, possible: &Possible) -> Value {
        json!([{ "counterSet": card, "counters": written(possible.takes(&self.limited())) }])
    }
}

fn written(counters: BTreeMap<String, u64>) -> Map<String, Value> {
    let value = |name: &str, amount: u64| match name {
        MEMORY => quantity(amount),
        _ => amount.to_string(),
    };
    counters
        .into_iter()
        .map(|(name, amount)| (name.clone(), json!({ "value": value(&name, amount) })))
        .collect()
}

/// The profile as NVIDIA writes it. A library of an older release does not tell: then what its tool would make of the sizes.
fn name_of(number: u32, profile: &GpuInstanceProfile, memory: Option<u64>) -> String {
    if let Some(name) = &profile.name {
        return name.trim_start_matches("MIG ").to_owned();
    }
    let extra = match number {
        7 | 8 => "+me",
        10..=12 => "+gfx",
        13 | 14 => "-me",
        15 | 16 => "+me.all",
        _ => "",
    };
    let mebibytes = profile.has.memory_mebibytes;
    let whole = memory.map_or(0, |octets| octets >> 20);
    // In eighths of the card, as large as the card is said to be.
    let gigabytes = match (mebibytes * 8).div_ceil(whole.max(1)) {
        eighths @ 1..=8 if whole > 0 => (eighths * whole.div_ceil(1024)).div_ceil(8),
        _ => mebibytes.div_ceil(1024),
    };
    format!("{}g.{gigabytes}gb{extra}", profile.has.gpu_instance_slices)
}

/// The GPU instance with these properties.
pub(super) fn instance<'library>(
    device: Device<'library>,
    wanted: &GpuInstanceInfo,
) -> Result<Option<GpuInstance<'library>>, Error> {
    for instance in device.gpu_instances(wanted.profile)? {
        if instance.info()? == *wanted {
            return Ok(Some(instance));
        }
    }
    Ok(None)
}

impl Card {
    /// Names of the devices that instances of this card are, for those that are any.
    pub(super) fn name_of_instance(&self, instance: &GpuInstanceInfo) -> Option<String> {
        let device = self.layout.as_ref()?.device_of(instance)?;
        Some(device.name(&self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_that_tell_what_they_stand_for() {
        for (profile, expected) in [
            ("1g.10gb", "1g-10gb"),
            ("1g.10gb+me", "1g-10gb-me"),
            ("1g.24gb-me", "1g-24gb-no-me"),
            ("1g.24gb+me.all", "1g-24gb-me-all"),
            ("1g.24gb+gfx", "1g-24gb-gfx"),
        ] {
            let placement = Placement { start: 3, size: 1 };
            let possible = Possible { profile: profile.to_owned(), placement, ..Possible::default() };
            let name = possible.name("gpu-10000-0a-00-0");
            assert_eq!(name, format!("gpu-10000-0a-00-0-mig-{expected}-at-3"));
            assert!(name.len() <= 63);
            let wanted = Wanted::of_name(&name).expect("a name");
            assert_eq!(
                (wanted.address.as_str(), &*wanted.label, wanted.start),
                ("10000:0a:00.0", expected, 3)
            );
        }
        for other in ["gpu-0000-65-00-0", "gpu-0000-65-00-0-mig-1g-10gb-7-0", "gpu-1-mig-x-at-3", ""] {
            assert_eq!(Wanted::of_name(other), None);
        }
    }

    #[test]
    fn a_profile_without_a_name_has_that_of_the_vendors_tool() {
        let named = |number, slices, mebibytes: u64, whole: u64| {
            let has = MigAttributes {
                gpu_instance_slices: slices,
                memory_mebibytes: mebibytes,
                ..MigAttributes::default()
            };
            name_of(number, &GpuInstanceProfile { has, ..GpuInstanceProfile::default() }, Some(whole << 20))
        };
        assert_eq!(named(0, 1, 4864, 40536), "1g.5gb");
        assert_eq!(named(7, 1, 4864, 40536), "1g.5gb+me");
        assert_eq!(named(9, 1, 9856, 40536), "1g.10gb");
        assert_eq!(named(4, 7, 40192, 40536), "7g.40gb");
        assert_eq!(named(2, 3, 40448, 81559), "3g.40gb");
    }
}
