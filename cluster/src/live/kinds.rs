//! Which kinds a server has of those that are read.

use std::collections::BTreeMap;

use serde_json::Value;

use super::server::{Answer, Server};
use super::{LeftOut, LeftOutReason, LiveError};
use crate::load::known_kinds;

/// A kind to be listed.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) kind: &'static str,
    group: &'static str,
    version: String,
    pub(super) found: Discovered,
}

/// What discovery says of it.
#[derive(Clone, Debug)]
pub(super) struct Discovered {
    /// `/api/v1`, or `/apis/GROUP/VERSION`.
    pub(super) base: String,
    /// The name in paths.
    pub(super) plural: String,
    pub(super) namespaced: bool,
}

impl Wanted {
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    pub(super) fn name(&self) -> String {
        name(self.kind, self.group)
    }
}

fn name(kind: &str, group: &str) -> String {
    if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") }
}

/// The order of the lists: pods before claims and claims before what they are made of, so that where lists show
/// different moments a pod with a node has its devices.
const FIRST: [&str; 3] = ["Pod", "ResourceClaim", "ResourceSlice"];

/// Asks for every group of the kinds that are read which versions and kinds it has.
pub(super) async fn discover(server: &Server, left_out: &mut Vec<LeftOut>) -> Result<Vec<Wanted>, LiveError> {
    let mut groups: BTreeMap<&str, Vec<(&'static str, &'static [&'static str])>> = BTreeMap::new();
    for (kind, group, versions) in known_kinds() {
        groups.entry(group).or_default().push((kind, versions));
    }
    let mut wanted = Vec::new();
    for (group, kinds) in groups {
        let mut open = kinds;
        let mut leave = |kind: &str, reason| left_out.push(LeftOut { kind: name(kind, group), reason });
        let offered = match versions(server, group).await? {
            Answer::Found(versions) => versions,
            Answer::Forbidden(message) => {
                for (kind, _) in &open {
                    leave(kind, LeftOutReason::Forbidden(message.clone()));
                }
                continue;
            }
            _ => Vec::new(),
        };
        for version in offered {
            if !open.iter().any(|(_, versions)| versions.contains(&version.as_str())) {
                continue;
            }
            let base =
                if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
            let resources = match server.get(&base).await? {
                Answer::Found(found) => found,
                Answer::Refused { code, message } => return Err(server.refused(&base, code, message)),
                _ => continue,
            };
            open.retain(|(kind, versions)| {
                let readable = versions.contains(&version.as_str());
                let Some((plural, namespaced)) = resource(&resources, kind).filter(|_| readable) else {
                    return true;
                };
                let found = Discovered { base: base.clone(), plural, namespaced };
                wanted.push(Wanted { kind, group, version: version.clone(), found });
                false
            });
        }
        for (kind, _) in &open {
            leave(kind, LeftOutReason::NotServed);
        }
    }
    let place = |kind: &str| FIRST.iter().position(|first| *first == kind).unwrap_or(FIRST.len());
    wanted.sort_by_key(|wanted| (place(wanted.kind), wanted.kind));
    Ok(wanted)
}

/// The versions of a group that the server has, the most mature and newest first.
async fn versions(server: &Server, group: &str) -> Result<Answer<Vec<String>>, LiveError> {
    if group.is_empty() {
        return Ok(Answer::Found(vec!["v1".to_owned()]));
    }
    let path = format!("/apis/{group}");
    Ok(match server.get(&path).await? {
        Answer::Found(found) => {
            let listed = found["versions"].as_array().into_iter().flatten();
            let mut versions: Vec<String> =
                listed.filter_map(|version| version["version"].as_str()).map(str::to_owned).collect();
            versions.sort_by_key(|version| std::cmp::Reverse(maturity(version)));
            Answer::Found(versions)
        }
        Answer::Forbidden(message) => Answer::Forbidden(message),
        Answer::NotFound | Answer::Expired => Answer::NotFound,
        Answer::Refused { code, message } => return Err(server.refused(&path, code, message)),
    })
}

/// Kubernetes' order of versions: `v1` before `v1beta2` before `v1beta1` before `v1alpha3`.
fn maturity(version: &str) -> (u8, u32, u32) {
    let text = version.trim_start_matches('v');
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (major, rest) = text.split_at(digits);
    let number = |text: &str| text.parse().unwrap_or_default();
    match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
        (Some(minor), _) => (1, number(major), number(minor)),
        (_, Some(minor)) => (0, number(major), number(minor)),
        _ => (2, number(major), 0),
    }
}

/// The name of a kind in paths, and whether it has namespaces, if the server can list it.
fn resource(resources: &Value, kind: &str) -> Option<(String, bool)> {
    let listed = resources["resources"].as_array()?;
    let found = listed.iter().find(|resource| {
        let name = resource["name"].as_str().unwrap_or_default();
        let verbs = resource["verbs"].as_array();
        resource["kind"] == kind
            && !name.is_empty()
            && !name.contains('/')
            && verbs.is_none_or(|verbs| verbs.iter().any(|verb| verb == "list"))
    })?;
    Some((found["name"].as_str()?.to_owned(), found["namespaced"] == true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_kubernetes_orders_them() {
        let mut versions = vec!["v1alpha3", "v1", "v1beta1", "v2", "v1beta2", "v1alpha10"];
        versions.sort_by_key(|version| std::cmp::Reverse(maturity(version)));
        assert_eq!(versions, ["v2", "v1", "v1beta2", "v1beta1", "v1alpha10", "v1alpha3"]);
    }

    #[test]
    fn no_kind_with_secrets_is_read() {
        let kinds: Vec<&str> = known_kinds().map(|(kind, _, _)| kind).collect();
        assert!(kinds.contains(&"ResourceSlice") && kinds.contains(&"Pod") && kinds.contains(&"CSINode"));
        assert!(!kinds.contains(&"Secret") && !kinds.contains(&"ConfigMap") && !kinds.contains(&"List"));
    }
}
