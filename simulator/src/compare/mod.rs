//! Two answers side by side: of two releases, or of two inputs.

mod fate;
mod objects;
mod upgrade;

pub use fate::{ChangeKind, Fate, PodChange, changes};
pub use objects::{FieldChange, ObjectChange, ObjectChangeKind, object_changes};
pub use upgrade::{
    Cause, Difference, DifferenceKind, UpgradeChange, UpgradeReport, UpgradeSummary, differences,
    upgrade_diff,
};
