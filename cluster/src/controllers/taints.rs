//! Device taint rules (KEP-5055).

use drayage_allocator::objects::ResourceSlice;

use crate::objects::TaintRule;

/// Adds the taint of each rule to the devices it selects, behind their own taints, rules in the order of `rules`.
///
/// As in upstream's code, and unlike its API text, a rule that selects nothing in particular taints every device.
pub fn apply_taint_rules(slices: &mut [ResourceSlice], rules: &[TaintRule]) {
    for slice in slices {
        for rule in rules {
            let selects =
                |wanted: &Option<String>, actual: &str| wanted.as_ref().is_none_or(|wanted| wanted == actual);
            if !selects(&rule.driver, &slice.driver) || !selects(&rule.pool, &slice.pool.name) {
                continue;
            }
            for device in &mut slice.devices {
                if selects(&rule.device, &device.name) {
                    device.taints.push(rule.taint.clone());
                }
            }
        }
    }
}
