//! The record of one claim: a line with format and checksum, then JSON.
//!
//! The checksum is over the octets of the file, not over the structure, so that a field more or less in another version
//! of this program does not break it. Fields that this version does not know are kept when it writes the record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::devices::AllocatedDevice;
use crate::{
    checksum::checksum,
    kubelet::{ClaimReference, PreparedDevice},
};

const FORMAT: &str = "drayage-claim/";
const VERSION: u32 = 1;

/// How far a claim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Its devices are reserved; some of the work may have been done. It was never answered.
    Preparing,
    /// The kubelet may have the answer.
    Prepared,
    /// Some of it may have been undone.
    Unpreparing,
    /// A state of a later version: neither the answer nor what has been done can be relied on.
    #[serde(other)]
    Unknown,
}

/// A device that a claim holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldDevice {
    /// Pool of the device; none if only its name could be recovered, which then stands for every pool.
    pub pool: Option<String>,
    /// Name of the device.
    pub device: String,
    /// Request that it is for, with the alternative after a slash; none in records that were rebuilt and in those of older
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What the pod calls the claim, if it was made for the pod from a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_claim: Option<String>,
    /// Share of a device that allows several allocations (KEP-5075).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_id: Option<String>,
    /// Admin access (KEP-5018) takes nothing away from others.
    #[serde(default)]
    pub admin_access: bool,
    /// What the share takes of the device's capacities, as quantities (KEP-5075).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub consumed_capacity: BTreeMap<String, String>,
    /// Opaque parameters for this device in the order of the allocation, of which later ones win. They are kept
    /// because a reboot configures the device again without asking anybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configuration: Vec<Value>,
    /// Fields of a later version.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl HeldDevice {
    /// A device of an allocation.
    pub fn of(device: &AllocatedDevice) -> Self {
        Self {
            pool: Some(device.pool.clone()),
            device: device.device.clone(),
            request: Some(device.request.clone()),
            pod_claim: device.pod_claim.clone(),
            share_id: device.share_id.clone(),
            admin_access: device.admin_access,
            consumed_capacity: device.consumed_capacity.clone(),
            configuration: device.configuration.clone(),
            other: Map::new(),
        }
    }

    /// The device as it was allocated, if the record tells all of that.
    pub fn allocated(&self) -> Option<AllocatedDevice> {
        Some(AllocatedDevice {
            request: self.request.clone()?,
            pod_claim: self.pod_claim.clone(),
            pool: self.pool.clone()?,
            device: self.device.clone(),
            share_id: self.share_id.clone(),
            admin_access: self.admin_access,
            consumed_capacity: self.consumed_capacity.clone(),
            configuration: self.configuration.clone(),
        })
    }

    /// Whether two claims may not hold these at the same time.
    pub fn excludes(&self, other: &Self) -> bool {
        let same_pool = match (&self.pool, &other.pool) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        let different_shares = match (&self.share_id, &other.share_id) {
            (Some(one), Some(other)) => one != other,
            _ => false,
        };
        same_pool
            && self.device == other.device
            && !self.admin_access
            && !other.admin_access
            && !different_shares
    }
}

/// What is known of a claim on this node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRecord {
    /// The claim.
    pub claim: ClaimReference,
    /// How far it is.
    pub state: State,
    /// Devices that it holds.
    pub holds: Vec<HeldDevice>,
    /// The answer to the kubelet, once it is prepared.
    pub answer: Vec<PreparedDevice>,
    /// Content of its CDI file; empty if none is needed, none if it is not known and has to be computed.
    pub cdi: Option<String>,
    /// Content of its metadata files by request (KEP-5304): a container sees the same for its whole life.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Boot of the machine during which its devices were configured.
    pub boot_id: String,
    /// Fields of a later version.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A record that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The first line is not that of a record.
    #[error("this is no record of a claim")]
    NoRecord,
    /// The content is not what was written.
    #[error("the record is damaged: its checksum is {found:016x}, not {written:016x}")]
    Damaged {
        /// Checksum of the content.
        found: u64,
        /// Checksum in the first line.
        written: u64,
    },
    /// Sound, but of a version that has nothing in common with this one.
    #[error("the record of format version {version} cannot be read: {error}")]
    Unreadable {
        /// Version in the first line.
        version: u32,
        /// What is wrong with the content.
        error: serde_json::Error,
    },
}

impl ClaimRecord {
    /// Content of the file.
    pub fn encode(&self) -> Vec<u8> {
        // Strings, numbers, lists and maps with string keys: nothing that JSON lacks.
        let body = serde_json::to_vec(self).unwrap_or_default();
        let mut content = format!("{FORMAT}{VERSION} {:016x}\n", checksum(&body)).into_bytes();
        content.extend(body);
        content
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    ///
    /// See [`RecordError`].
    pub fn decode(content: &[u8]) -> Result<Self, RecordError> {
        let end = content.iter().position(|octet| *octet == b'\n').ok_or(RecordError::NoRecord)?;
        let (line, body) = (&content[..end], &content[end + 1..]);
        let (version, written) = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.strip_prefix(FORMAT)?.split_once(' '))
            .ok_or(RecordError::NoRecord)?;
        let version: u32 = version.parse().map_err(|_| RecordError::NoRecord)?;
        let written = u64::from_str_radix(written, 16).map_err(|_| RecordError::NoRecord)?;
        let found = checksum(body);
        if found != written {
            return Err(RecordError::Damaged { found, written });
        }
        // A later version is read as far as it still has our fields: a downgrade must not lose devices.
        serde_json::from_slice(body).map_err(|error| RecordError::Unreadable { version, error })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> ClaimRecord {
        ClaimRecord {
            claim: ClaimReference {
                namespace: "default".to_owned(),
                name: "gpu".to_owned(),
                uid: "0a1b".to_owned(),
            },
            state: State::Prepared,
            holds: vec![held("node-1", "gpu-0")],
            answer: Vec::new(),
            cdi: Some(String::new()),
            metadata: BTreeMap::new(),
            boot_id: "boot".to_owned(),
            other: Map::new(),
        }
    }

    fn held(pool: &str, device: &str) -> HeldDevice {
        HeldDevice { pool: Some(pool.to_owned()), device: device.to_owned(), ..HeldDevice::default() }
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_noticed() {
        let content = record().encode();
        assert_eq!(ClaimRecord::decode(&content).expect("a sound record"), record());
        for length in 0..content.len() {
            assert!(ClaimRecord::decode(&content[..length]).is_err(), "cut after {length}");
        }
        for place in 0..content.len() * 8 {
            let mut flipped = content.clone();
            flipped[place / 8] ^= 1 << (place % 8);
            // The format's version and the case of the checksum's digits carry nothing.
            if let Ok(read) = ClaimRecord::decode(&flipped) {
                assert_eq!(read, record(), "bit {place}");
            }
        }
    }

    #[test]
    fn a_downgrade_reads_the_record_of_the_future_and_keeps_what_it_does_not_know() {
        let mut value = serde_json::to_value(record()).expect("JSON");
        value["state"] = "PartlyPrepared".into();
        value["priority"] = 7.into();
        value["holds"][0]["slot"] = "left".into();
        let body = serde_json::to_vec(&value).expect("JSON");
        let content = format!("{FORMAT}9 {:016x}\n{}", checksum(&body), String::from_utf8_lossy(&body));
        let mut read = ClaimRecord::decode(content.as_bytes()).expect("a sound record");
        assert_eq!(read.state, State::Unknown);
        read.state = State::Unpreparing;
        let written = ClaimRecord::decode(&read.encode()).expect("a sound record");
        assert_eq!(written.other["priority"], 7);
        assert_eq!(written.holds[0].other["slot"], "left");
    }

    #[test]
    fn who_may_share_a_device() {
        let plain = held("node-1", "gpu-0");
        let admin = HeldDevice { admin_access: true, ..plain.clone() };
        let share = |id: &str| HeldDevice { share_id: Some(id.to_owned()), ..plain.clone() };
        let anywhere = HeldDevice { pool: None, ..plain.clone() };
        assert!(plain.excludes(&plain));
        assert!(plain.excludes(&anywhere) && anywhere.excludes(&plain));
        assert!(plain.excludes(&share("a")));
        assert!(share("a").excludes(&share("a")));
        assert!(!share("a").excludes(&share("b")));
        assert!(!plain.excludes(&admin) && !admin.excludes(&plain));
        assert!(!plain.excludes(&held("node-1", "gpu-1")) && !plain.excludes(&held("node-2", "gpu-0")));
    }

    proptest! {
        #[test]
        fn any_octets_are_a_record_or_an_error(content in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(ClaimRecord::decode(&content).is_err());
        }
    }
}
