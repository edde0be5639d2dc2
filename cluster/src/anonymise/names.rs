//! What stands for what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{NameKind, Table};

/// Resources of containers that stand for a device class.
const OF_CLASS: &str = "deviceclass.resource.kubernetes.io/";

/// Names that were met.
#[derive(Default)]
pub(super) struct Gathered {
    met: BTreeMap<NameKind, BTreeSet<String>>,
    /// Names that are made of another one, with where that ends: `web-0` of a StatefulSet `web`, `web-5d8c` of a
    /// Deployment `web`. Controllers tell by them what belongs together.
    composites: BTreeMap<String, usize>,
    claims: Claims,
}

impl Gathered {
    pub(super) fn note(&mut self, kind: NameKind, text: &str) {
        self.met.entry(kind).or_default().insert(text.to_owned());
    }

    /// Looks for names that are made of others.
    pub(super) fn note_composites(&mut self, object: &Value) {
        let metadata = &object["metadata"];
        let Some(name) = metadata["name"].as_str() else { return };
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        if object["kind"] == "StatefulSet" {
            let templates = list(&object["spec"]["volumeClaimTemplates"]);
            for template in templates.iter().filter_map(|template| template["metadata"]["name"].as_str()) {
                let parts = (template.to_owned(), name.to_owned());
                self.claims.of_sets.insert(format!("{template}-{name}"), parts);
            }
        }
        if object["kind"] == "Pod" {
            for volume in list(&object["spec"]["volumes"]) {
                if let (Some(volume), true) = (volume["name"].as_str(), volume["ephemeral"].is_object()) {
                    let parts = (name.to_owned(), volume.to_owned());
                    self.claims.of_pods.insert(format!("{name}-{volume}"), parts);
                }
            }
        }
        let owners = metadata["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
        for owner in owners {
            let (kind, owner) = (owner["kind"].as_str(), owner["name"].as_str().unwrap_or_default());
            let rest = name.strip_prefix(owner).and_then(|rest| rest.strip_prefix('-'));
            if kind == Some("StatefulSet") && rest.is_some_and(|rest| rest.parse::<u32>().is_ok()) {
                self.composites.insert(name.to_owned(), owner.len());
            }
            // A ReplicaSet is called as its Deployment, with the hash of the template behind.
            let hash = metadata["labels"]["pod-template-hash"].as_str();
            if let Some(hash) = hash.filter(|hash| !hash.is_empty())
                && kind == Some("ReplicaSet")
                && let Some(length) =
                    owner.strip_suffix(hash).and_then(|rest| rest.strip_suffix('-')).map(str::len)
            {
                self.composites.insert(owner.to_owned(), length);
            }
        }
    }

    pub(super) fn pseudonyms(mut self) -> Pseudonyms {
        // What is made of a name needs that name.
        let bases: Vec<String> = self
            .composites
            .iter()
            .filter_map(|(name, length)| Some(name.get(..*length)?.to_owned()))
            .collect();
        let workloads = self.met.entry(NameKind::Workload).or_default();
        workloads.extend(bases);
        workloads.retain(|name| !self.composites.contains_key(name));
        let claims = self.claims;
        if let Some(met) = self.met.get_mut(&NameKind::Claim) {
            met.retain(|name| claims.parts(name).is_none());
            let templates = claims.of_sets.values().map(|(template, _)| template);
            met.extend(templates.chain(claims.of_pods.values().map(|(_, volume)| volume)).cloned());
        }
        // A label often has the name of a node, or that of a workload.
        let nodes = self.met.get(&NameKind::Node).cloned().unwrap_or_default();
        if let Some(values) = self.met.get_mut(&NameKind::Value) {
            values.retain(|value| !is_kept(value) && !nodes.contains(value));
        }
        let mut by_kind = BTreeMap::new();
        for (kind, names) in self.met {
            let width = names.len().to_string().len().max(3);
            let numbered = names.into_iter().enumerate();
            let named: BTreeMap<String, String> = numbered
                .map(|(number, name)| (name, format!("{}{:0width$}", kind.prefix(), number + 1)))
                .collect();
            by_kind.insert(kind, named);
        }
        Pseudonyms { by_kind, composites: self.composites, claims }
    }
}

/// What stands for what.
#[derive(Clone, Debug, Default)]
pub struct Pseudonyms {
    by_kind: BTreeMap<NameKind, BTreeMap<String, String>>,
    composites: BTreeMap<String, usize>,
    claims: Claims,
}

/// Names of volume claims that are made of others: `TEMPLATE-SET-NUMBER` of the pods of a StatefulSet, `POD-VOLUME` of
/// ephemeral volumes.
#[derive(Clone, Debug, Default)]
struct Claims {
    /// Template and StatefulSet, by `TEMPLATE-SET`.
    of_sets: BTreeMap<String, (String, String)>,
    /// Pod and volume, by the whole name.
    of_pods: BTreeMap<String, (String, String)>,
}

/// The parts of a claim's name.
enum Parts<'c> {
    OfSet { template: &'c str, set: &'c str, number: &'c str },
    OfPod { pod: &'c str, volume: &'c str },
}

impl Claims {
    fn parts<'c>(&'c self, name: &'c str) -> Option<Parts<'c>> {
        if let Some((pod, volume)) = self.of_pods.get(name) {
            return Some(Parts::OfPod { pod, volume });
        }
        let (base, number) = name.rsplit_once('-').filter(|(_, number)| is_number(number))?;
        let (template, set) = self.of_sets.get(base)?;
        Some(Parts::OfSet { template, set, number })
    }
}

impl Pseudonyms {
    /// What stands for a text; the text itself where nothing does.
    pub fn of(&self, kind: NameKind, text: &str) -> String {
        let found =
            |kind: NameKind, text: &str| self.by_kind.get(&kind).and_then(|names| names.get(text)).cloned();
        match kind {
            NameKind::Workload => {
                if let Some(name) = found(kind, text) {
                    return name;
                }
                let parts = self.composites.get(text).and_then(|&length| text.split_at_checked(length));
                match parts {
                    Some((base, rest)) => {
                        let rest = rest.strip_prefix('-').unwrap_or(rest);
                        // A hash of a template is a label's value as well.
                        format!("{}-{}", self.of(kind, base), self.of(NameKind::Value, rest))
                    }
                    None => text.to_owned(),
                }
            }
            NameKind::Claim => {
                if let Some(name) = found(kind, text) {
                    return name;
                }
                match self.claims.parts(text) {
                    Some(Parts::OfSet { template, set, number }) => {
                        format!("{}-{}-{number}", self.of(kind, template), self.of(NameKind::Workload, set))
                    }
                    Some(Parts::OfPod { pod, volume }) => {
                        format!("{}-{}", self.of(NameKind::Workload, pod), self.of(kind, volume))
                    }
                    None => text.to_owned(),
                }
            }
            NameKind::Value => found(kind, text)
                .or_else(|| found(NameKind::Node, text).filter(|_| !is_kept(text)))
                .unwrap_or_else(|| text.to_owned()),
            NameKind::Resource => match text.strip_prefix(OF_CLASS) {
                Some(class) => format!("{OF_CLASS}{}", self.of(NameKind::Class, class)),
                None => text.to_owned(),
            },
            NameKind::Image => {
                let whole = with_tag(text);
                found(kind, text).map_or(whole, |name| format!("{name}:tag"))
            }
            _ => found(kind, text).unwrap_or_else(|| text.to_owned()),
        }
    }

    /// Every name with its pseudonym, by kind.
    pub fn table(&self) -> Table {
        let kinds = self.by_kind.iter().filter(|(kind, _)| **kind != NameKind::Resource);
        let mut table: Table =
            kinds.map(|(kind, names)| (kind.prefix().trim_end_matches('-'), names.clone())).collect();
        let composites = self.composites.keys().map(|name| (name.clone(), self.of(NameKind::Workload, name)));
        table.entry(NameKind::Workload.prefix().trim_end_matches('-')).or_default().extend(composites);
        let of_sets = self.claims.of_sets.iter().map(|(base, (template, set))| {
            let of_set = self.of(NameKind::Workload, set);
            (base.clone(), format!("{}-{of_set}", self.of(NameKind::Claim, template)))
        });
        let of_pods = self.claims.of_pods.keys().map(|name| (name.clone(), self.of(NameKind::Claim, name)));
        table
            .entry(NameKind::Claim.prefix().trim_end_matches('-'))
            .or_default()
            .extend(of_sets.chain(of_pods));
        table
    }
}

/// As StatefulSets number their pods.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Values that say nothing of anybody, or are compared as numbers.
fn is_kept(value: &str) -> bool {
    value.is_empty() || value == "true" || value == "false" || value.parse::<i64>().is_ok()
}

/// The image as the scheduler compares it: without a tag, `latest` is meant.
pub(super) fn with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains(':') || name.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}
