//! Explanations in words that can be read aloud.

mod facts;
mod names;

use std::fmt::{self, Write as _};
use std::mem;

use super::change::Change;
use super::error::{ErrorExplanation, UndecidedExplanation};
use super::fact::{Fact, Given, RequestName};
use super::tree::{FormNode, RequestNode};
use super::{Core, Explained, Explanation, NoSolution, Suggestion};
use crate::diagnosis::SelectorSource;
use crate::objects::{AllocationResult, DeviceId};

use names::{Names, count, request, requests, some, taint};

/// How many groups of devices are shown for a request.
const GROUPS: usize = 6;

impl fmt::Display for Explanation {
    /// Several lines. The first says the answer in one sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Explained::Allocated(results) => allocated(f, self, results),
            Explained::Unsatisfiable(no) => no_solution(f, &self.node, no, &Names::new(self)),
            Explained::Error(error) => explained_error(f, &self.node, error),
            Explained::Undecided(undecided) => explained_undecided(f, &self.node, undecided),
        }
    }
}

impl Explanation {
    /// The facts of the core as sentences, in order.
    pub fn sentences(&self) -> Vec<String> {
        let names = Names::new(self);
        match &self.outcome {
            Explained::Unsatisfiable(no) => {
                no.core.facts.iter().map(|fact| facts::sentence(fact, &names)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A fact of this explanation as a sentence.
    pub fn sentence(&self, fact: &Fact) -> String {
        facts::sentence(fact, &Names::new(self))
    }

    /// A change that this explanation suggests, in words.
    pub fn change(&self, change: &Change) -> String {
        change_text(change, &Names::new(self))
    }

    /// The answer in one sentence.
    pub fn headline(&self) -> String {
        match &self.outcome {
            Explained::Allocated(_) => format!("there are devices on node `{}`", self.node),
            Explained::Unsatisfiable(no) => headline(&self.node, &no.core),
            Explained::Error(error) => {
                format!("on node `{}` the allocation ends with an error: {}", self.node, error.error)
            }
            Explained::Undecided(undecided) => {
                format!("node `{}` is undecided after {} steps", self.node, undecided.steps)
            }
        }
    }
}

/// What each request gets, in the order of the results.
fn allocated(f: &mut fmt::Formatter<'_>, found: &Explanation, results: &[AllocationResult]) -> fmt::Result {
    writeln!(f, "{}", found.headline())?;
    let names = Names::new(found);
    let mut is_first = true;
    for (claim, result) in found.claims.iter().zip(results) {
        let mut by_request: Vec<(&str, Vec<DeviceId>)> = Vec::new();
        for one in &result.results {
            match by_request.last_mut() {
                Some((request, devices)) if *request == one.request => devices.push(one.device_id()),
                _ => by_request.push((&one.request, vec![one.device_id()])),
            }
        }
        for (request, devices) in by_request {
            if mem::take(&mut is_first) {
                writeln!(f)?;
            }
            let devices: Vec<String> = devices.iter().map(|device| names.device(device)).collect();
            writeln!(f, "- request `{request}` of claim `{claim}` gets {}", some(&devices, devices.len()))?;
        }
    }
    Ok(())
}

fn headline(node: &str, core: &Core) -> String {
    let demands: Vec<&super::Demand> = core
        .facts
        .iter()
        .filter_map(|fact| if let Fact::Demand(demand) = fact { Some(demand) } else { None })
        .collect();
    let mut text = format!("there are no devices on node `{node}`");
    if let Some(shortage) = &core.shortage {
        let _ = write!(
            text,
            " for {}: it needs {}, and ",
            request(&shortage.request),
            count(shortage.needed, "device")
        );
        match (shortage.possible, demands.len()) {
            (0, 1) => text.push_str("none can be had"),
            (0, _) => text.push_str("none can be had beside the others"),
            (possible, 1) => {
                let _ = write!(text, "at most {possible} can be had together");
            }
            (possible, _) => {
                let _ = write!(text, "at most {possible} can be had beside the others");
            }
        }
    } else if let [demand] = demands.as_slice() {
        let _ = write!(text, " for request `{}` of claim `{}`", demand.request, demand.claim);
    }
    text
}

fn no_solution(f: &mut fmt::Formatter<'_>, node: &str, no: &NoSolution, names: &Names) -> fmt::Result {
    writeln!(f, "{}", headline(node, &no.core))?;
    writeln!(f)?;
    let because = match (no.core.confirmed, no.core.minimal) {
        (true, true) => "because (without any one of these there would be devices)",
        (true, false) => "because (some of these may be superfluous; it was too much work to find out)",
        (false, _) => "the search found no devices, and these are all the facts",
    };
    writeln!(f, "{because}")?;
    for fact in &no.core.facts {
        writeln!(f, "- {}", facts::sentence(fact, names))?;
    }
    if no.core.facts.iter().all(|fact| matches!(fact, Fact::Demand(_))) {
        match no.devices {
            0 => writeln!(f, "- the node sees no devices")?,
            devices => writeln!(f, "- the node sees no more than {}", count(devices, "device"))?,
        }
    }
    writeln!(f)?;
    writeln!(f, "the node sees {}", count(no.devices, "device"))?;
    for claim in &no.claims {
        for node in &claim.requests {
            tree_request(f, &claim.claim, node, no)?;
        }
    }
    nearest(f, no, names)?;
    if !no.suggestions.is_empty() {
        writeln!(f)?;
        writeln!(f, "what would help (each was tried)")?;
        for suggestion in &no.suggestions {
            writeln!(f, "- {}", suggestion_line(suggestion, names))?;
        }
    }
    Ok(())
}

fn tree_request(f: &mut fmt::Formatter<'_>, claim: &str, node: &RequestNode, no: &NoSolution) -> fmt::Result {
    let name = &node.request;
    if !node.in_core {
        return writeln!(f, "- request `{name}` of claim `{claim}` has no part in this");
    }
    match node.forms.as_slice() {
        [form] => {
            write!(f, "- request `{name}` of claim `{claim}` ")?;
            tree_form(f, form, no, "  ")
        }
        forms => {
            writeln!(f, "- request `{name}` of claim `{claim}` has {}", count(forms.len(), "alternative"))?;
            for form in forms {
                write!(f, "  - `{}` ", form.form.request)?;
                tree_form(f, form, no, "    ")?;
            }
            Ok(())
        }
    }
}

fn tree_form(f: &mut fmt::Formatter<'_>, form: &FormNode, no: &NoSolution, indent: &str) -> fmt::Result {
    let alone = if form.free == 1 { "1 fits alone".to_owned() } else { format!("{} fit alone", form.free) };
    writeln!(f, "needs {}; {alone}", facts::needs(&form.form))?;
    for group in form.refused.iter().take(GROUPS) {
        if let Some(fact) = no.facts.get(group.fact) {
            writeln!(f, "{indent}- {} {}", count(group.devices, "device"), facts::predicate(&fact.fact))?;
        }
    }
    if form.refused.len() > GROUPS {
        let rest: usize = form.refused.iter().skip(GROUPS).map(|group| group.devices).sum();
        writeln!(f, "{indent}- {} for other reasons", count(rest, "device"))?;
    }
    Ok(())
}

fn nearest(f: &mut fmt::Formatter<'_>, no: &NoSolution, names: &Names) -> fmt::Result {
    let nearest = &no.nearest;
    if nearest.missing.is_empty() {
        return Ok(());
    }
    writeln!(f)?;
    writeln!(f, "the nearest miss")?;
    let missing: Vec<String> = nearest
        .missing
        .iter()
        .map(|missing| format!("request `{}` misses {}", missing.request, count(missing.devices, "device")))
        .collect();
    if nearest.given.is_empty() {
        writeln!(f, "- {}", some(&missing, GROUPS))?;
    } else {
        writeln!(f, "- {}, and {}", given(&nearest.given, names), some(&missing, GROUPS))?;
    }
    if let Some(closest) = &nearest.closest {
        let facts: Vec<String> = closest
            .facts
            .iter()
            .filter_map(|fact| no.facts.get(*fact))
            .map(|fact| facts::predicate(&fact.fact))
            .collect();
        let device = names.device(&closest.device);
        let name = &closest.request.request;
        if facts.is_empty() {
            let these = if nearest.given.is_empty() {
                "by itself, and not under the rules for the claim as a whole"
            } else {
                "alone, and not together with these"
            };
            writeln!(f, "- {device} fits request `{name}` {these}")?;
        } else {
            let against = facts.join("; ");
            writeln!(f, "- {device} comes closest to request `{name}`; it is {against}")?;
        }
    }
    Ok(())
}

/// `` `gpu` gets `gpu-0` and `gpu-1` ``
fn given(devices: &[Given], names: &Names) -> String {
    let mut by_request: Vec<(&RequestName, Vec<&crate::objects::DeviceId>)> = Vec::new();
    for one in devices {
        match by_request.last_mut() {
            Some((known, devices)) if **known == one.request => devices.push(&one.device),
            _ => by_request.push((&one.request, vec![&one.device])),
        }
    }
    let parts: Vec<String> = by_request
        .iter()
        .map(|(name, devices)| format!("`{}` gets {}", name.request, names.devices(devices.iter().copied())))
        .collect();
    some(&parts, GROUPS)
}

fn suggestion_line(suggestion: &Suggestion, names: &Names) -> String {
    let changes: Vec<String> = suggestion.changes.iter().map(|change| change_text(change, names)).collect();
    let then = if suggestion.devices.is_empty() {
        "then nothing is missing".to_owned()
    } else {
        format!("then {}", given(&suggestion.devices, names))
    };
    format!("{}: {then}", changes.join(", and "))
}

fn change_text(change: &Change, names: &Names) -> String {
    match change {
        Change::Tolerate { taint: key, requests: asking } => {
            format!("let {} tolerate taint `{}`", requests(asking), taint(key))
        }
        Change::DropTerm { source, owner, index, term, .. } => {
            let source = match source {
                SelectorSource::Class => "class",
                SelectorSource::Request => "request",
            };
            format!("leave `{term}` out of selector {index} of {source} `{owner}`")
        }
        Change::DropConstraint { claim, index, is_match, attribute } => {
            let kind = if *is_match { "matchAttribute" } else { "distinctAttribute" };
            format!("leave constraint {index} of claim `{claim}` out (`{kind}: {attribute}`)")
        }
        Change::LowerCount { request: asking, from, to } => {
            format!("lower the count of {} from {from} to {to}", request(asking))
        }
        Change::LowerCapacity { request: asking, capacity, to: Some(to) } => {
            format!("let {} ask for {to} of capacity `{capacity}`", request(asking))
        }
        Change::LowerCapacity { request: asking, capacity, to: None } => {
            format!("leave capacity `{capacity}` out of {}", request(asking))
        }
        Change::Free { claim: Some(claim), devices } => {
            format!("free claim `{claim}`, which holds {}", names.devices(devices))
        }
        Change::Free { claim: None, devices } => format!("free {}", names.devices(devices)),
        Change::CompletePool { pool } => {
            format!("wait until the driver has published pool `{pool}` completely")
        }
        Change::EnableGate { gate } => format!("turn feature gate `{gate}` on"),
        Change::DropRequest { claim, request, .. } => {
            format!("leave request `{request}` out of claim `{claim}`")
        }
    }
}

fn explained_error(f: &mut fmt::Formatter<'_>, node: &str, error: &ErrorExplanation) -> fmt::Result {
    writeln!(f, "on node `{node}` the allocation ends with an error, which is no answer about devices")?;
    writeln!(f)?;
    writeln!(f, "{}: {}", error.error.kind(), error.error)?;
    if let Some(claim) = &error.claim {
        write!(f, "- it is about claim `{claim}`")?;
        if let Some(request) = &error.request {
            write!(f, ", request `{request}`")?;
        }
        if let Some(field) = &error.field {
            write!(f, ", field `{field}`")?;
        }
        writeln!(f)?;
    }
    writeln!(f)?;
    writeln!(f, "hint: {}", error.hint)
}

fn explained_undecided(
    f: &mut fmt::Formatter<'_>,
    node: &str,
    undecided: &UndecidedExplanation,
) -> fmt::Result {
    let UndecidedExplanation { steps, requests, alternatives, constraints, .. } = undecided;
    writeln!(
        f,
        "node `{node}` is undecided: the search ended after {steps} steps, and there may be devices"
    )?;
    writeln!(f)?;
    writeln!(
        f,
        "- it was about {} with {} and {}",
        count(*requests, "request"),
        count(*alternatives, "alternative"),
        count(*constraints, "constraint")
    )?;
    if let Some(more) = &undecided.more {
        let outcome = if more.allocated { "there are devices" } else { "there are none" };
        writeln!(f, "- with {} steps it is decided: {outcome}", more.budget)?;
    }
    Ok(())
}
