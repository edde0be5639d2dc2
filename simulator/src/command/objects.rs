//! Kubernetes objects from the user's files, and what keeps pending pods from ever having an answer.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use drayage_allocator::objects::DeviceSelector;
use drayage_cel::Compiler;
use drayage_cluster::objects::Origin;
use drayage_cluster::{Fault, FieldPath, Input, LoadOptions, Snapshot};
use drayage_simulator::report::Assumptions;
use drayage_simulator::schedule::Prepared;

use super::activity::Activity;
use super::arguments::Objects;
use super::failure::{Complaint, Failure};
use super::terminal::Terminal;
use super::text::count;

/// Warnings and ignored things told on stderr; JSON output has all of them.
const SHOWN_NOTICES: usize = 10;

/// Reads what the user named.
pub(crate) fn load(typed: &Objects, terminal: &Terminal) -> Result<Snapshot, Failure> {
    let inputs: Vec<Input> = typed.filename.iter().map(Input::from_argument).collect();
    let options = LoadOptions { strict: typed.strict, ..LoadOptions::default() };
    let activity = Activity::start("reading input");
    let loaded = drayage_cluster::load(&inputs, options);
    drop(activity);
    let snapshot = loaded.map_err(|errors| Failure::Input {
        complaints: errors.faults.into_iter().map(Complaint::from).collect(),
        omitted: errors.omitted,
    })?;
    tell_ignored(&snapshot, terminal);
    Ok(snapshot)
}

/// What was read without having an effect.
fn tell_ignored(snapshot: &Snapshot, terminal: &Terminal) {
    let mut text = match snapshot.ignored.as_slice() {
        [] => return,
        [only] => format!("without effect: {only}"),
        several => format!("{} kinds of input are without effect", several.len()),
    };
    if snapshot.ignored.len() > 1 {
        for ignored in snapshot.ignored.iter().take(SHOWN_NOTICES) {
            let _ = write!(text, "\n  {ignored}");
        }
    }
    let omitted = snapshot.ignored.len().saturating_sub(SHOWN_NOTICES);
    if omitted > 0 {
        let _ = write!(text, "\n  and {omitted} more; `-o json` has all");
    }
    terminal.note(&text);
}

impl From<Fault> for Complaint {
    fn from(fault: Fault) -> Self {
        let Fault { object, field, place, message, hint } = fault;
        let mut text = String::new();
        if let Some(object) = object {
            let _ = write!(text, "{object}: ");
        }
        if !field.is_root() {
            let _ = write!(text, "`{field}`: ");
        }
        text.push_str(&message);
        Self { message: text, place: place.map(Into::into), detail: None, hint }
    }
}

/// What is odd about the input of an answer.
pub(crate) fn tell_warnings(assumptions: &Assumptions, terminal: &Terminal) {
    for warning in assumptions.warnings.iter().take(SHOWN_NOTICES) {
        terminal.warning(warning);
    }
    let omitted = assumptions.warnings.len().saturating_sub(SHOWN_NOTICES);
    if omitted > 0 {
        terminal.warning(&format!("{}, listed in `-o json`", count(omitted, "more warning")));
    }
}

/// What an answer rests on, in short.
pub(crate) fn tell_approximations(assumptions: &Assumptions, terminal: &Terminal) {
    if !assumptions.approximations.is_empty() {
        terminal.note(&format!(
            "the answer rests on {}, listed in `-o json`",
            count(assumptions.approximations.len(), "approximation")
        ));
    }
}

/// Plays the controllers of a cluster, and refuses what nobody can schedule: references that lead nowhere (unless
/// they may), and selectors that the API server would not take.
pub(crate) fn prepare(snapshot: Snapshot, typed: &Objects, compiler: &Compiler) -> Result<Prepared, Failure> {
    let mut prepared = Prepared::new(snapshot);
    let mut complaints = selector_complaints(&prepared.snapshot, compiler);
    if !typed.allow_missing {
        complaints.extend(std::mem::take(&mut prepared.faults).into_iter().map(Complaint::from));
    }
    if complaints.is_empty() { Ok(prepared) } else { Err(Failure::Input { complaints, omitted: 0 }) }
}

/// Selectors that do not compile: of claims that have no devices yet, and of the classes they name. Each
/// expression is compiled once and complained about once, however many claims have it.
fn selector_complaints(snapshot: &Snapshot, compiler: &Compiler) -> Vec<Complaint> {
    let mut check = SelectorCheck { snapshot, compiler, seen: BTreeSet::new(), complaints: Vec::new() };
    let mut classes = BTreeSet::new();
    for claim in snapshot.claims.iter().filter(|claim| claim.allocation.is_none()) {
        let requests = FieldPath::fields("spec.devices.requests");
        for (index, request) in claim.spec.requests.iter().enumerate() {
            let who = |name: &str| format!("claim `{}`, request `{name}`", claim.metadata.full_name());
            let path = || requests.clone().index(index);
            if let Some(exactly) = &request.exactly {
                classes.insert(exactly.device_class_name.as_str());
                let path = || path().field("exactly");
                check.selectors(&exactly.selectors, &claim.origin, path, || who(&request.name));
            }
            for (position, alternative) in request.first_available.iter().enumerate() {
                classes.insert(alternative.device_class_name.as_str());
                let path = || path().field("firstAvailable").index(position);
                let name = || who(&format!("{}/{}", request.name, alternative.name));
                check.selectors(&alternative.selectors, &claim.origin, path, name);
            }
        }
    }
    for class in &snapshot.classes {
        if classes.contains(class.metadata.name.as_str()) {
            let who = || format!("device class `{}`", class.metadata.name);
            check.selectors(&class.spec.selectors, &class.origin, || FieldPath::fields("spec"), who);
        }
    }
    check.complaints
}

struct SelectorCheck<'a> {
    snapshot: &'a Snapshot,
    compiler: &'a Compiler,
    seen: BTreeSet<&'a str>,
    complaints: Vec<Complaint>,
}

impl<'a> SelectorCheck<'a> {
    /// `parent` is the field above `selectors`, `who` what has them.
    fn selectors(
        &mut self,
        selectors: &'a [DeviceSelector],
        origin: &Origin,
        parent: impl Fn() -> FieldPath,
        who: impl Fn() -> String,
    ) {
        for (index, selector) in selectors.iter().enumerate() {
            let Some(expression) = selector.cel.as_deref() else { continue };
            if !self.seen.insert(expression) {
                continue;
            }
            let Err(error) = self.compiler.compile_selector(expression) else { continue };
            let path = parent().field("selectors").index(index).field("cel").field("expression");
            self.complaints.push(Complaint {
                message: format!("{}: the selector does not compile", who()),
                place: self.snapshot.sources.place(origin, &path).map(Into::into),
                detail: Some(error.render()),
                hint: None,
            });
        }
    }
}
