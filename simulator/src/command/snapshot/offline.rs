//! In place of a live cluster where the command was built without it.

use serde_json::Value;

use super::Snapshot;
use crate::command::failure::{Complaint, Failure};
use crate::command::terminal::Terminal;

/// Says so.
pub(super) fn list(_: &Snapshot, _: &Terminal) -> Result<Vec<Value>, Failure> {
    let complaint = Complaint::new("this `dray` was built without `--live`");
    let hint = "build it with the feature `live`, or hand over what `kubectl get -o yaml` prints with `-f`";
    Err(Failure::input(complaint.with_hint(hint)))
}
