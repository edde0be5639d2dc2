//! Taint rules (KEP-5055) and tolerations.

use std::collections::{BTreeMap, BTreeSet};

use drayage_allocator::objects::{DeviceId, DeviceTaint, DeviceToleration};
use drayage_allocator::taints::tolerates;

use super::cluster::{Cluster, Demand};
use super::finding::{Draft, Findings};
use super::input::reference;
use super::pools::{number, shown};
use super::rules::{
    RULE_EVICTS, RULE_TAINTS_EVERYTHING, RULE_TAINTS_NOTHING, Severity, TOLERATES_EVERYTHING,
    TOLERATION_OTHER_EFFECT, TOLERATION_SECONDS,
};
use crate::objects::TaintRule;
use crate::path::FieldPath;

pub(super) fn check(cluster: &Cluster<'_>, findings: &mut Findings) {
    for rule in &cluster.snapshot.taint_rules {
        check_rule(cluster, rule, findings);
    }
    let taints = all_taints(cluster);
    for demand in &cluster.demands {
        tolerations(demand, &taints, findings);
    }
}

/// Whom a taint rule reaches.
struct Affected {
    devices: usize,
    /// Pods with a claim that holds a device and does not tolerate the taint, by namespace.
    pods: BTreeMap<String, BTreeSet<String>>,
}

impl Affected {
    fn count(&self) -> usize {
        self.pods.values().map(BTreeSet::len).sum()
    }

    /// `3 pods in 2 namespaces`, with examples.
    fn text(&self) -> String {
        let names: Vec<String> = self
            .pods
            .iter()
            .flat_map(|(namespace, pods)| pods.iter().map(move |pod| format!("{namespace}/{pod}")))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        format!(
            "{} in {} (`{}`)",
            number(self.count(), "pod"),
            number(self.pods.len(), "namespace"),
            shown(&names).join("`, `")
        )
    }
}

/// The selection of a rule.
fn selects(rule: &TaintRule, driver: &str, pool: &str, device: &str) -> bool {
    let is = |wanted: &Option<String>, actual: &str| wanted.as_ref().is_none_or(|wanted| wanted == actual);
    is(&rule.driver, driver) && is(&rule.pool, pool) && is(&rule.device, device)
}

fn affected(cluster: &Cluster<'_>, rule: &TaintRule) -> Affected {
    let devices = cluster.devices.iter().filter(|published| {
        let spec = &published.slice.spec;
        selects(rule, &spec.driver, &spec.pool.name, &published.device.name)
    });
    let mut pods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for claim in &cluster.snapshot.claims {
        let Some(allocation) = &claim.allocation else { continue };
        let evicts = allocation.results.iter().any(|result| {
            let DeviceId { pool, device } = result.device_id();
            selects(rule, &pool.driver, &pool.pool, &device)
                && !result.tolerations.iter().any(|toleration| tolerates(toleration, &rule.taint))
        });
        if evicts {
            let users = claim.reserved_for.iter().filter(|user| user.resource == "pods");
            let names = users.map(|user| user.name.clone());
            pods.entry(claim.metadata.namespace.clone()).or_default().extend(names);
        }
    }
    pods.retain(|_, names| !names.is_empty());
    Affected { devices: devices.count(), pods }
}

fn check_rule(cluster: &Cluster<'_>, rule: &TaintRule, findings: &mut Findings) {
    let object = || reference("DeviceTaintRule", &rule.metadata);
    let affected = affected(cluster, rule);
    let evicts = rule.taint.effect == "NoExecute";
    let reach = match (evicts, affected.count()) {
        (_, 0) => Vec::new(),
        (true, _) => vec![format!("it evicts {}", affected.text())],
        (false, _) => vec![format!("its devices are held by {}", affected.text())],
    };
    let selector = FieldPath::fields("spec.deviceSelector");
    if rule.driver.is_none() && rule.pool.is_none() && rule.device.is_none() {
        let message = match affected.devices {
            0 => "the rule has no criterion and taints every device of the cluster".to_owned(),
            devices => format!(
                "the rule has no criterion and taints every device of the cluster, here {}",
                number(devices, "device")
            ),
        };
        let draft = Draft::new(RULE_TAINTS_EVERYTHING, object(), &rule.origin, selector, message);
        let severity = if rule.taint.effect == "None" { Severity::Warning } else { Severity::Error };
        findings.add(draft.details(reach).severity(severity));
    } else if affected.devices == 0 && !cluster.devices.is_empty() {
        let message = "the rule selects no device of the input";
        findings.add(Draft::new(RULE_TAINTS_NOTHING, object(), &rule.origin, selector, message));
    } else if evicts && affected.count() > 0 {
        let message =
            format!("the rule taints {} and evicts {}", number(affected.devices, "device"), affected.text());
        let field = FieldPath::fields("spec.taint.effect");
        findings.add(Draft::new(RULE_EVICTS, object(), &rule.origin, field, message));
    }
}

/// Every taint of a device or rule, each once.
fn all_taints<'s>(cluster: &Cluster<'s>) -> Vec<&'s DeviceTaint> {
    let of_devices = cluster.devices.iter().flat_map(|published| &published.device.taints);
    let of_rules = cluster.snapshot.taint_rules.iter().map(|rule| &rule.taint);
    let mut taints: Vec<&DeviceTaint> = of_devices.chain(of_rules).collect();
    let key = |taint: &&DeviceTaint| (taint.key.clone(), taint.value.clone(), taint.effect.clone());
    taints.sort_by_key(key);
    taints.dedup_by_key(|taint| key(&&**taint));
    taints
}

fn tolerations(demand: &Demand<'_>, taints: &[&DeviceTaint], findings: &mut Findings) {
    for ask in demand.asks() {
        for (index, toleration) in ask.tolerations.iter().enumerate() {
            let field = || ask.field.clone().field("tolerations").index(index);
            let draft = |rule, field, message: String| {
                Draft::new(rule, demand.object.clone(), demand.origin, field, message).alike(demand.alike)
            };
            if toleration.key.is_empty() && toleration.effect != "NoSchedule" {
                let message = format!(
                    "request `{}` tolerates every taint, those of broken devices included",
                    ask.name()
                );
                findings.add(draft(TOLERATES_EVERYTHING, field(), message));
                continue;
            }
            let other = taints.iter().find(|taint| {
                let anyway = DeviceToleration { effect: String::new(), ..toleration.clone() };
                !toleration.effect.is_empty()
                    && !toleration.key.is_empty()
                    && tolerates(&anyway, taint)
                    && !tolerates(toleration, taint)
                    && taint.effect != "None"
            });
            let covered = taints.iter().any(|taint| tolerates(toleration, taint));
            if let Some(taint) = other.filter(|_| !covered) {
                let message = format!(
                    "taint `{}` has effect `{}`, only `{}` is tolerated",
                    taint.key, taint.effect, toleration.effect
                );
                findings.add(draft(TOLERATION_OTHER_EFFECT, field().field("effect"), message));
            }
            if let Some(seconds) = toleration.toleration_seconds
                && toleration.effect != "NoSchedule"
            {
                let message = format!("a tainted device is accepted, and given up after {seconds} s");
                findings.add(draft(TOLERATION_SECONDS, field().field("tolerationSeconds"), message));
            }
        }
    }
}
