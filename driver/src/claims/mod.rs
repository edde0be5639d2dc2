//! What this node has prepared: a state machine for each claim, with a record on disk before and after every step.
//!
//! - A claim that was prepared gets the same answer for ever: it is stored and replayed, never computed again. What
//!   the names in it stand for is computed again when the machine has started anew.
//! - A device is held from before anything is done for a claim until everything is undone.
//! - Whatever happens to the records, the driver starts, and every claim can be unprepared. A record that cannot be
//!   read is put aside and rebuilt from the kubelet's checkpoint or the CDI files; where nothing says what a claim
//!   holds, no device is given to others until it is unprepared.

mod devices;
mod machine;
mod metadata;
mod plan;
mod quarantine;
mod record;
mod recovery;

pub use devices::{AllocatedDevice, Devices};
pub use machine::{Claims, Configuration, OpenError, Problem};
pub(crate) use metadata::is_label;
pub use plan::claim_device_name;
pub use record::{ClaimRecord, HeldDevice, RecordError, State};
pub use recovery::{CdiFiles, KubeletCheckpoint, RecoveredClaim, RecoverySource};
