//! Facts as sentences.

use std::fmt::Write as _;

use crate::diagnosis::{SelectorSource, UnusablePoolState};
use crate::explanation::fact::{
    CapacityLeft, ConstraintFact, CounterFact, Demand, Fact, Form, GroupsFact, HeldDevice, Needed, Read,
    ReadValue, ReadWhat, SelectorCase, SelectorFact,
};

use super::names::{Names, Value, count, request, requests, some, taint};

/// How many values, devices or claims are named.
const SHOWN: usize = 4;

/// A fact as a sentence with its devices.
pub(super) fn sentence(fact: &Fact, names: &Names) -> String {
    match fact {
        Fact::Demand(fact) => demand(fact),
        Fact::Selector(fact) => selector(fact, names),
        Fact::GateOff { gate, devices } => format!(
            "{} feature gate `{gate}`, which is off: {}",
            verb(devices.len(), "needs", "need"),
            names.devices(devices)
        ),
        Fact::NodeSelection { devices } => {
            format!("{} for other nodes: {}", verb(devices.len(), "is", "are"), names.devices(devices))
        }
        Fact::Pool { pool, state, devices } => {
            let devices = count(devices.len(), "device");
            match state {
                UnusablePoolState::Incomplete { found, announced } => format!(
                    "pool `{pool}` is incomplete: the driver announced {} and {found} {} there, so that nobody gets its {devices}",
                    count(usize::try_from(*announced).unwrap_or(0), "slice"),
                    if *found == 1 { "is" } else { "are" },
                ),
                UnusablePoolState::Invalid { reason } => {
                    format!("pool `{pool}` is invalid, so that nobody gets its {devices}: {reason}")
                }
            }
        }
        Fact::CapacityMissing { capacity, requests: asking, devices } => format!(
            "{} no capacity `{capacity}`, for which {} asks: {}",
            verb(devices.len(), "has", "have"),
            requests(asking),
            names.devices(devices)
        ),
        Fact::CapacityPolicy { capacity, request: asking, devices } => {
            let amounts = devices.iter().map(|(_, amount)| amount.to_string());
            let mut amounts: Vec<String> = amounts.collect();
            amounts.dedup();
            format!(
                "the policy of capacity `{capacity}` of {} does not allow the {} of {}: {}",
                count(devices.len(), "device"),
                some(&amounts, SHOWN),
                request(asking),
                names.devices(devices.iter().map(|(device, _)| device))
            )
        }
        Fact::Taint { taint: refusing, requests: asking, devices } => format!(
            "{} taint `{}`, which {} {} not tolerate: {}",
            verb(devices.len(), "has", "have"),
            taint(refusing),
            requests(asking),
            if asking.len() == 1 { "does" } else { "do" },
            names.devices(devices)
        ),
        Fact::Held { devices, .. } => {
            format!("{} held: {}", verb(devices.len(), "is", "are"), held(devices, names))
        }
        Fact::Constraint(fact) => constraint(fact),
        Fact::Capacity { capacity, devices, needed } => capacity_left(capacity, devices, needed, names),
        Fact::Counter(fact) => counter(fact, names),
        Fact::Groups(fact) => groups(fact, names),
        Fact::Once { devices } => {
            format!(
                "a device that cannot be shared serves one request only, and {} fit several: {}",
                devices.len(),
                names.devices(devices)
            )
        }
        Fact::ClaimLimit { claim } => format!("claim `{claim}` can hold 32 devices at most"),
        Fact::NotFound { devices } => {
            let given: Vec<String> = devices
                .iter()
                .map(|given| format!("{} for `{}`", names.device(&given.device), given.request.request))
                .collect();
            format!(
                "the search of this release does not find a solution that keeps all rules: {}",
                some(&given, SHOWN)
            )
        }
    }
}

/// What a fact says of devices, to go behind their number: `have taint …`.
pub(super) fn predicate(fact: &Fact) -> String {
    match fact {
        Fact::Selector(fact) => {
            let failed = fact.cases.iter().any(|case| case.failed);
            format!("refused by {}: `{}` is {}", owner(fact), fact.term, not_true(failed))
        }
        Fact::GateOff { gate, .. } => format!("in need of feature gate `{gate}`, which is off"),
        Fact::NodeSelection { .. } => "for other nodes".to_owned(),
        Fact::Pool { pool, state: UnusablePoolState::Incomplete { .. }, .. } => {
            format!("in pool `{pool}`, which is incomplete")
        }
        Fact::Pool { pool, .. } => format!("in pool `{pool}`, which is invalid"),
        Fact::CapacityMissing { capacity, .. } => format!("without capacity `{capacity}`"),
        Fact::CapacityPolicy { capacity, .. } => {
            format!("with a policy of capacity `{capacity}` that does not allow the amount")
        }
        Fact::Taint { taint: refusing, .. } => format!("tainted `{}`", taint(refusing)),
        Fact::Held { .. } => "held by other claims".to_owned(),
        Fact::Capacity { capacity, .. } => format!("with too little of capacity `{capacity}` left"),
        Fact::Counter(fact) => {
            format!("short of counter `{}` of set `{}`", fact.counter, fact.counter_set)
        }
        Fact::Groups(fact) => {
            format!("without a group in common with what draws on set `{}` already", fact.counter_set)
        }
        Fact::Constraint(_)
        | Fact::Demand(_)
        | Fact::Once { .. }
        | Fact::ClaimLimit { .. }
        | Fact::NotFound { .. } => fact.kind().to_owned(),
    }
}

fn verb(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", count(number, "device"), if number == 1 { one } else { many })
}

fn not_true(failed: bool) -> &'static str {
    if failed { "an error" } else { "false" }
}

/// What a request needs: `2 devices`.
pub(super) fn needs(form: &Form) -> String {
    match &form.needed {
        Needed::Count(number) => count(*number, "device"),
        Needed::All { matching } if matching.is_empty() => {
            "all matching devices, and none matches".to_owned()
        }
        Needed::All { matching } if matching.len() == 1 => "the one device that matches".to_owned(),
        Needed::All { matching } => format!("all {} devices that match", matching.len()),
    }
}

fn demand(fact: &Demand) -> String {
    let forms = match fact.forms.as_slice() {
        [only] => needs(only),
        forms => {
            let forms = forms.iter().map(|form| format!("{} as `{}`", needs(form), form.request));
            forms.collect::<Vec<_>>().join(", or ")
        }
    };
    format!("request `{}` of claim `{}` needs {forms}", fact.request, fact.claim)
}

fn owner(fact: &SelectorFact) -> String {
    let source = match fact.source {
        SelectorSource::Class => "class",
        SelectorSource::Request => "request",
    };
    format!("selector {} of {source} `{}`", fact.index, fact.owner)
}

fn selector(fact: &SelectorFact, names: &Names) -> String {
    let number: usize = fact.cases.iter().map(|case| case.devices.len()).sum();
    let part = if fact.term == fact.expression { "" } else { "its term " };
    let mut text = format!("{} refuses {}: {part}`{}` is ", owner(fact), count(number, "device"), fact.term);
    let failed = fact.cases.iter().all(|case| case.failed);
    let mixed = !failed && fact.cases.iter().any(|case| case.failed);
    text.push_str(if mixed { "not true" } else { not_true(failed) });
    let mut cases: Vec<&SelectorCase> = fact.cases.iter().collect();
    cases.sort_by_key(|case| std::cmp::Reverse(case.devices.len()));
    for case in cases.iter().take(SHOWN) {
        let devices = names.devices(&case.devices);
        let reads: Vec<String> = case.reads.iter().map(read).collect();
        let reads = if reads.is_empty() { String::new() } else { format!("{} ", some(&reads, SHOWN)) };
        let _ = write!(text, "; {reads}on {devices}");
    }
    if cases.len() > SHOWN {
        let rest: usize = cases.iter().skip(SHOWN).map(|case| case.devices.len()).sum();
        let _ = write!(text, "; something else on {rest} more");
    }
    text
}

fn read(read: &Read) -> String {
    let value = match &read.value {
        Some(ReadValue::Attribute(value)) => Some(Value(value).to_string()),
        Some(ReadValue::Capacity(amount)) => Some(amount.to_string()),
        None => None,
    };
    match (&read.what, value) {
        (ReadWhat::Driver, value) => format!("the driver is {}", value.unwrap_or_default()),
        (ReadWhat::AllowMultipleAllocations, value) if value.as_deref() == Some("true") => {
            "sharing is allowed".to_owned()
        }
        (ReadWhat::AllowMultipleAllocations, _) => "sharing is not allowed".to_owned(),
        (ReadWhat::Attribute(name), Some(value)) => format!("`{name}` is {value}"),
        (ReadWhat::Attribute(name), None) => format!("there is no `{name}`"),
        (ReadWhat::Capacity(name), Some(value)) => format!("capacity `{name}` is {value}"),
        (ReadWhat::Capacity(name), None) => format!("there is no capacity `{name}`"),
    }
}

fn held(devices: &[HeldDevice], names: &Names) -> String {
    let mut by_claim: Vec<(String, Vec<&crate::objects::DeviceId>)> = Vec::new();
    for held in devices {
        let claims: Vec<String> = held.claims.iter().map(|claim| format!("`{claim}`")).collect();
        let who = match claims.as_slice() {
            [] => "another claim".to_owned(),
            [only] => format!("claim {only}"),
            several => format!("claims {}", some(several, SHOWN)),
        };
        match by_claim.iter_mut().find(|(known, _)| *known == who) {
            Some((_, devices)) => devices.push(&held.device),
            None => by_claim.push((who, vec![&held.device])),
        }
    }
    let parts: Vec<String> = by_claim
        .iter()
        .map(|(who, devices)| format!("{} by {who}", names.devices(devices.iter().copied())))
        .collect();
    some(&parts, SHOWN)
}

fn constraint(fact: &ConstraintFact) -> String {
    let rule = if fact.is_match { "have the same" } else { "all differ in" };
    let mut values: Vec<String> = Vec::new();
    for (value, number) in &fact.values {
        values.push(match value {
            Some(value) => format!("{number} {} {}", have(*number), Value(value)),
            None => format!("{number} {} not have it", if *number == 1 { "does" } else { "do" }),
        });
    }
    let found = if values.is_empty() {
        "no device is left to have it".to_owned()
    } else {
        format!("of the devices that fit, {}", some(&values, SHOWN + 4))
    };
    let (index, claim, attribute) = (fact.index, &fact.claim, &fact.attribute);
    format!("by constraint {index} of claim `{claim}` its devices must {rule} `{attribute}`; {found}")
}

fn have(number: usize) -> &'static str {
    if number == 1 { "has" } else { "have" }
}

fn capacity_left(
    capacity: &str,
    devices: &[CapacityLeft],
    needed: &[(crate::explanation::RequestName, crate::objects::Quantity)],
    names: &Names,
) -> String {
    let needed: Vec<String> =
        needed.iter().map(|(name, amount)| format!("{amount} for `{}`", name.request)).collect();
    let left = |device: &CapacityLeft| {
        let left = device.total.checked_sub(&device.held).unwrap_or(device.total.clone());
        let who = match device.claims.as_slice() {
            [] => String::new(),
            claims => {
                let claims: Vec<String> = claims.iter().map(|claim| format!("`{claim}`")).collect();
                format!(" (the rest is held by {})", some(&claims, SHOWN))
            }
        };
        format!("{left} of {} on {}{who}", device.total, names.device(&device.device))
    };
    let left: Vec<String> = devices.iter().map(left).collect();
    format!(
        "capacity `{capacity}` is not enough: needed are {}; left are {}",
        some(&needed, SHOWN),
        some(&left, SHOWN)
    )
}

fn counter(fact: &CounterFact, names: &Names) -> String {
    let left = fact.total.checked_sub(&fact.held).unwrap_or(fact.total.clone());
    let mut text = format!(
        "counter `{}` of set `{}` in pool `{}` is not enough: left are {left} of {}",
        fact.counter, fact.counter_set, fact.pool, fact.total
    );
    if let Some(least) = &fact.least {
        let _ = write!(text, ", and a device takes at least {least}");
    }
    if !fact.holders.is_empty() {
        let _ = write!(text, "; the rest is held, {}", held(&fact.holders, names));
    }
    text
}

fn groups(fact: &GroupsFact, names: &Names) -> String {
    let group_names = |groups: &[String]| {
        let quoted: Vec<String> = groups.iter().map(|group| format!("`{group}`")).collect();
        match quoted.as_slice() {
            [] => "no group".to_owned(),
            [only] => format!("group {only}"),
            several => format!("groups {}", some(several, SHOWN)),
        }
    };
    let mut text = format!(
        "devices that draw on counter set `{}` of pool `{}` at the same time must have a compatibility group in common",
        fact.counter_set, fact.pool
    );
    let found: Vec<String> = fact
        .groups
        .iter()
        .map(|(groups, number)| format!("{number} {} {}", have(*number), group_names(groups)))
        .collect();
    if !found.is_empty() {
        let _ = write!(text, "; of the devices that fit, {}", some(&found, SHOWN + 4));
    }
    if let Some(common) = &fact.common {
        let _ = write!(
            text,
            "; devices with {} draw on it already: {}",
            group_names(common),
            held(&fact.holders, names)
        );
    }
    text
}
