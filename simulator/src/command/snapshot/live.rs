//! The objects of a live cluster.

use drayage_cluster::live::{Dump, LeftOutReason, LiveError, Settings, read};
use serde_json::Value;

use super::Snapshot;
use crate::command::activity::Activity;
use crate::command::failure::{Complaint, Failure};
use crate::command::terminal::Terminal;
use crate::command::text::count;

/// Lists what the server has, and says what is not there.
pub(super) fn list(typed: &Snapshot, terminal: &Terminal) -> Result<Vec<Value>, Failure> {
    let settings = Settings {
        kubeconfig: typed.kubeconfig.clone(),
        context: typed.context.clone(),
        namespaces: typed.namespace.clone(),
        ..Settings::default()
    };
    let activity = Activity::start("reading the cluster");
    let dump = read(&settings, &mut |done, total| activity.advance(done, total));
    drop(activity);
    let dump = dump.map_err(|error| {
        let complaint = Complaint::new(error.to_string());
        Failure::input(match hint(&error) {
            Some(hint) => complaint.with_hint(hint),
            None => complaint,
        })
    })?;
    tell(&dump, typed, terminal);
    Ok(dump.objects)
}

fn hint(error: &LiveError) -> Option<&'static str> {
    match error {
        LiveError::Settings { .. } => Some(
            "name a kubeconfig with `--kubeconfig` or KUBECONFIG, and one of its contexts with `--context`",
        ),
        LiveError::Unreachable { .. } => Some("`kubectl cluster-info` tells whether the address is right"),
        LiveError::Unauthorized { .. } => Some("the credentials of the kubeconfig may have expired"),
        LiveError::Forbidden { .. } => Some(
            "a role needs the verb `list` for pods, nodes, resourceslices, resourceclaims and deviceclasses at least",
        ),
        LiveError::Expired { .. } => Some("try again when the cluster is less busy"),
        _ => None,
    }
}

/// What the dump is and what it lacks.
fn tell(dump: &Dump, typed: &Snapshot, terminal: &Terminal) {
    let of: Vec<String> = dump
        .listed
        .iter()
        .filter(|listed| listed.objects > 0)
        .map(|listed| format!("{} {}", listed.objects, listed.kind))
        .collect();
    let version = if dump.server_version.is_empty() { "an unknown version" } else { &dump.server_version };
    terminal.note(&format!(
        "{} of Kubernetes {version}: {}",
        count(dump.objects.len(), "object"),
        of.join(", ")
    ));
    let not_served: Vec<&str> = dump
        .left_out
        .iter()
        .filter(|left| left.reason == LeftOutReason::NotServed)
        .map(|left| left.kind.as_str())
        .collect();
    if !not_served.is_empty() {
        terminal.note(&format!("the server does not serve {}", not_served.join(", ")));
    }
    for left in &dump.left_out {
        if let LeftOutReason::Forbidden(message) = &left.reason {
            terminal.warning(&format!("{} is left out, the user may not list it: {message}", left.kind));
        }
    }
    if !dump.later.is_empty() {
        terminal.warning(&format!("lists of a later moment than the others: {}", dump.later.join(", ")));
    }
    if !typed.namespace.is_empty() {
        terminal.warning("pods and claims of other namespaces are not there, so that nodes and devices look emptier than they are");
    }
}
