//! Profiles of GPU instances, as NVIDIA's guide to MIG and its tool print them for two cards.

use serde::{Deserialize, Serialize};

use crate::Card;

/// A way in which GPU instances of a card can be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Profile {
    /// Number in the header.
    pub number: u32,
    /// The card's own number of it.
    pub id: u32,
    /// Name, such as `1g.10gb`.
    pub name: String,
    /// Compute slices.
    pub slices: u32,
    /// How many instances of it there can be.
    pub instances: u32,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Copy engines.
    pub copy_engines: u32,
    /// Decoders.
    pub decoders: u32,
    /// Encoders.
    pub encoders: u32,
    /// JPEG engines.
    pub jpeg_engines: u32,
    /// Optical flow accelerators.
    pub ofa_engines: u32,
    /// Memory in MiB.
    pub memory_mebibytes: u64,
    /// Memory slices with which an instance can begin.
    pub starts: Vec<u32>,
    /// Memory slices of an instance.
    pub size: u32,
}

/// Number, ID, name, compute slices, instances; multiprocessors, copy engines, decoders, JPEG engines, optical flow
/// accelerators; MiB; where it can be, and how large it is.
type Row = (u32, u32, &'static str, u32, u32, [u32; 5], u64, &'static [u32], u32);

/// Those of an H100 with 80 GB.
const HOPPER: [Row; 7] = [
    (0, 19, "1g.10gb", 1, 7, [16, 1, 1, 1, 0], 9984, &[0, 1, 2, 3, 4, 5, 6], 1),
    (7, 20, "1g.10gb+me", 1, 1, [16, 1, 1, 1, 1], 9984, &[0, 1, 2, 3, 4, 5, 6], 1),
    (9, 15, "1g.20gb", 1, 4, [26, 1, 1, 1, 0], 20096, &[0, 2, 4, 6], 2),
    (1, 14, "2g.20gb", 2, 3, [32, 2, 2, 2, 0], 20096, &[0, 2, 4], 2),
    (2, 9, "3g.40gb", 3, 2, [60, 3, 3, 3, 0], 40448, &[0, 4], 4),
    (3, 5, "4g.40gb", 4, 1, [64, 4, 4, 4, 0], 40448, &[0], 4),
    (4, 0, "7g.80gb", 7, 1, [132, 8, 7, 7, 1], 81152, &[0], 8),
];

/// Those of an A100 with 40 GB.
const AMPERE: [Row; 7] = [
    (0, 19, "1g.5gb", 1, 7, [14, 1, 0, 0, 0], 4864, &[0, 1, 2, 3, 4, 5, 6], 1),
    (7, 20, "1g.5gb+me", 1, 1, [14, 1, 1, 1, 1], 4864, &[0, 1, 2, 3, 4, 5, 6], 1),
    (9, 15, "1g.10gb", 1, 4, [14, 1, 1, 0, 0], 9856, &[0, 2, 4, 6], 2),
    (1, 14, "2g.10gb", 2, 3, [28, 2, 1, 0, 0], 9856, &[0, 2, 4], 2),
    (2, 9, "3g.20gb", 3, 2, [42, 3, 2, 0, 0], 19968, &[0, 4], 4),
    (3, 5, "4g.20gb", 4, 1, [56, 4, 2, 0, 0], 19968, &[0], 4),
    (4, 0, "7g.40gb", 7, 1, [98, 7, 5, 1, 1], 40192, &[0], 8),
];

pub(crate) fn hopper() -> Vec<Profile> {
    HOPPER.iter().map(profile).collect()
}

pub(crate) fn ampere() -> Vec<Profile> {
    AMPERE.iter().map(profile).collect()
}

fn profile(row: &Row) -> Profile {
    let (number, id, name, slices, instances, engines, memory_mebibytes, starts, size) = *row;
    let [multiprocessors, copy_engines, decoders, jpeg_engines, ofa_engines] = engines;
    Profile {
        number,
        id,
        name: name.to_owned(),
        slices,
        instances,
        multiprocessors,
        copy_engines,
        decoders,
        encoders: 0,
        jpeg_engines,
        ofa_engines,
        memory_mebibytes,
        starts: starts.to_vec(),
        size,
    }
}

impl Profile {
    /// Everything that instances share a card's amount of.
    fn amounts(&self) -> [u64; 8] {
        let engines = [
            self.slices,
            self.multiprocessors,
            self.copy_engines,
            self.decoders,
            self.encoders,
            self.jpeg_engines,
            self.ofa_engines,
        ];
        let [slices, multiprocessors, copy, decoders, encoders, jpeg, ofa] = engines.map(u64::from);
        [slices, multiprocessors, copy, decoders, encoders, jpeg, ofa, self.memory_mebibytes]
    }
}

impl Card {
    /// The profile of an ID.
    pub fn profile(&self, id: u32) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.id == id)
    }

    /// Whether there can be instances of these profiles, by their IDs, beginning with these memory slices, at the same time:
    /// each is where its profile can be, no two have a memory slice in common, of no profile there are more than there can
    /// be, and together they have no more of anything than the profile of the whole card.
    pub fn admits(&self, instances: &[(u32, u32)]) -> bool {
        let mut taken = std::collections::BTreeSet::new();
        let mut sums = [0; 8];
        for (id, start) in instances {
            let Some(profile) = self.profile(*id).filter(|profile| profile.starts.contains(start)) else {
                return false;
            };
            let of_profile = instances.iter().filter(|(other, _)| other == id).count();
            if of_profile > profile.instances as usize
                || !(*start..start + profile.size).all(|slice| taken.insert(slice))
            {
                return false;
            }
            for (sum, amount) in sums.iter_mut().zip(profile.amounts()) {
                *sum += amount;
            }
        }
        let whole = self.profiles.iter().max_by_key(|profile| profile.slices).map(Profile::amounts);
        whole.is_none_or(|whole| sums.iter().zip(whole).all(|(sum, whole)| *sum <= whole))
    }
}
