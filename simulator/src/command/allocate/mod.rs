//! `dray allocate`: devices for some claims on one node.

mod answer;
mod explain;
mod problems;

use drayage_allocator::Profile;
use drayage_cel::{Compiler, ExpressionStage};
use drayage_simulator::schedule::{self, ClaimSelection, DEFAULT_STEP_BUDGET, Options};

use super::activity::Activity;
use super::arguments::{Allocate, ObjectOutput};
use super::exit::Exit;
use super::failure::{Complaint, Failure};
use super::kubernetes;
use super::missing;
use super::objects;
use super::output;
use super::terminal::{self, Terminal};

/// Runs one of the two forms.
pub(crate) fn run(typed: &Allocate, terminal: &Terminal) -> Result<Exit, Failure> {
    let budget = typed.step_budget.unwrap_or(DEFAULT_STEP_BUDGET);
    if let Some(path) = &typed.problems {
        return problems::run(path, Profile::named(typed.kubernetes.profile), budget, terminal);
    }
    let Some(node) = &typed.node else {
        return Err(Failure::input(
            Complaint::new("`--node` is missing").with_hint("name the node to allocate on"),
        ));
    };
    let selection = selection(typed)?;
    let gates = kubernetes::gates(&typed.kubernetes)?;
    let snapshot = objects::load(&typed.objects, terminal)?;
    let compiler = Compiler::new(kubernetes::cel_environment(&gates, ExpressionStage::Stored));
    let prepared = objects::prepare(snapshot, &typed.objects, &compiler)?;

    let release = gates.release();
    let options = Options { gates, step_budget: budget, ..Options::for_release(release) };
    let activity = Activity::start("allocating");
    if let Some(format) = typed.explain {
        let explained = schedule::explain_on_node(&prepared, node, &selection, &options)
            .map_err(|error| missing::refused(&error, &prepared.snapshot))?;
        drop(activity);
        return explain::print(&explained, format, terminal);
    }
    let report = schedule::allocate_on_node(&prepared, node, &selection, &options)
        .map_err(|error| missing::refused(&error, &prepared.snapshot))?;
    drop(activity);
    objects::tell_warnings(&report.assumptions, terminal);
    let text = match typed.output {
        ObjectOutput::Yaml => answer::documents(&report)?,
        ObjectOutput::Json => output::json(&report)?,
    };
    terminal.write(text.as_bytes())?;
    if typed.output == ObjectOutput::Yaml
        && let Some(explanation) = answer::explanation(&report)
    {
        terminal::answer(&explanation);
    }
    Ok(answer::verdict(&report))
}

fn selection(typed: &Allocate) -> Result<ClaimSelection, Failure> {
    if let Some(pod) = &typed.pod {
        let (namespace, name) = namespaced(pod)?;
        return Ok(ClaimSelection::Pod { namespace: namespace.to_owned(), name: name.to_owned() });
    }
    if typed.claim.is_empty() {
        return Ok(ClaimSelection::All);
    }
    let claims = typed.claim.iter().map(|claim| {
        let (namespace, name) = namespaced(claim)?;
        Ok(format!("{namespace}/{name}"))
    });
    Ok(ClaimSelection::Claims(claims.collect::<Result<_, Failure>>()?))
}

/// Namespace and name of `NAMESPACE/NAME`; without a namespace it is `default`.
pub(crate) fn namespaced(text: &str) -> Result<(&str, &str), Failure> {
    match text.split_once('/').unwrap_or(("default", text)) {
        (namespace, name) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace, name))
        }
        _ => Err(Failure::input(Complaint::new(format!("`{text}` is not of the form NAMESPACE/NAME")))),
    }
}
