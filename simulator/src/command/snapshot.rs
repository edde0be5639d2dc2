//! `dray snapshot`: objects made fit to be shown to others.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use drayage_cluster::anonymise::{Table, anonymise};
use drayage_simulator::schedule::{DEFAULT_STEP_BUDGET, Options};
use drayage_simulator::snapshot::{Finding, Kept, shrink};
use serde::Serialize;
use serde_json::Value;

use super::activity::Activity;
use super::arguments::{Kubernetes, ObjectOutput, Objects, Scheduler};
use super::exit::Exit;
use super::failure::{Complaint, Failure};
use super::simulate::Watcher;
use super::terminal::Terminal;
use super::text::count;
use super::{kubernetes, objects, output};

/// Write the objects of an input anew: under pseudonyms, and as few as show one finding.
///
/// With --anonymise, names, values of labels, images and UIDs get pseudonyms that keep their order, and what no answer depends
/// on is dropped: other answers than names do not change. Attributes of devices, names of drivers, keys of labels and
/// expressions stay, so look at the result before you show it.
#[derive(Debug, Args)]
#[command(
    after_help = "\
Example: a dump that can be shown to others, and what stands for what
  dray snapshot -f dump.json --anonymise --names names.yaml > anonymous.yaml

Example: as few objects as keep a pod pending for the same reason
  dray snapshot -f dump.json --shrink-to-pod ml/train-0 --anonymise > small.yaml

Example: as few objects as show a finding of lint
  dray snapshot -f dump.json --shrink-to-rule DRA101",
    group(clap::ArgGroup::new("input").required(true).args(["filename"]))
)]
pub(crate) struct Snapshot {
    #[command(flatten)]
    pub(crate) objects: Objects,
    #[command(flatten)]
    pub(crate) kubernetes: Kubernetes,
    #[command(flatten)]
    pub(crate) scheduler: Scheduler,
    /// Put pseudonyms in the place of names, and drop what no answer depends on
    #[arg(long)]
    pub(crate) anonymise: bool,
    /// With --anonymise, also write what stands for what
    #[arg(long, value_name = "FILE", requires = "anonymise")]
    pub(crate) names: Option<PathBuf>,
    /// Leave out whatever the reason that this pod has no node does not need
    #[arg(long, value_name = "NS/NAME", conflicts_with = "shrink_to_rule")]
    pub(crate) shrink_to_pod: Option<String>,
    /// Leave out whatever the first finding of this rule of lint does not need
    #[arg(long, value_name = "CODE")]
    pub(crate) shrink_to_rule: Option<String>,
    /// Look for the finding at most this often
    #[arg(long, value_name = "COUNT", default_value_t = 20_000)]
    pub(crate) tries: usize,
    /// How objects are printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: ObjectOutput,
    /// Search steps for the claims of one pod on one node before the answer is undecided
    #[arg(long, value_name = "STEPS")]
    pub(crate) step_budget: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    api_version: &'static str,
    kind: &'static str,
    items: Vec<Value>,
}

/// Reads, shrinks, renames, prints.
pub(crate) fn run(typed: &Snapshot, terminal: &Terminal) -> Result<Exit, Failure> {
    let gates = kubernetes::gates(&typed.kubernetes)?;
    let mut snapshot = objects::load(&typed.objects, terminal)?;
    let finding = match (&typed.shrink_to_pod, &typed.shrink_to_rule) {
        (Some(pod), _) => Some(Finding::Pending(pod.clone())),
        (None, Some(rule)) => Some(Finding::Rule(rule.clone())),
        (None, None) => None,
    };
    if let Some(finding) = finding {
        let options = Options {
            step_budget: typed.step_budget.unwrap_or(DEFAULT_STEP_BUDGET),
            explain: false,
            ..Options::for_release(gates.release())
        };
        let mut options = Options { gates, ..options };
        kubernetes::configure(&mut options, &typed.scheduler)?;
        let kept = Kept::of(&finding, &snapshot, &options)
            .map_err(|error| Failure::input(Complaint::new(error.to_string())))?;
        let before: Vec<Value> = snapshot.raw_objects().into_iter().map(|object| object.value).collect();
        let all = before.len();
        let activity = Activity::start("taking objects away");
        let shrunk = shrink(before, &kept, &options, typed.tries, &mut Watcher(&activity));
        drop(activity);
        terminal.note(&format!(
            "{} of {} left, in which {} still; looked {}",
            count(shrunk.objects.len(), "object"),
            all,
            kept.describe(),
            count(shrunk.tried, "time")
        ));
        if shrunk.limited {
            terminal.warning("looking ended at `--tries`, so that more may be superfluous");
        }
        snapshot = reread(&shrunk.objects)?;
    }
    let raw = snapshot.raw_objects();
    let items: Vec<Value> = if typed.anonymise {
        let anonymised = anonymise(&raw);
        if let Some(path) = &typed.names {
            let table: Table = anonymised.pseudonyms.table();
            let swapped: BTreeMap<&str, BTreeMap<&String, &String>> = table
                .iter()
                .map(|(kind, names)| {
                    (*kind, names.iter().map(|(name, pseudonym)| (pseudonym, name)).collect())
                })
                .collect();
            output::write_file(path, output::yaml(&swapped)?.as_bytes())?;
        }
        anonymised.objects
    } else {
        raw.into_iter().map(|object| object.value).collect()
    };
    let text = match typed.output {
        ObjectOutput::Json => output::json(&List { api_version: "v1", kind: "List", items })?,
        ObjectOutput::Yaml => {
            let documents: Vec<String> = items.iter().map(output::yaml).collect::<Result<_, _>>()?;
            documents.join("---\n")
        }
    };
    terminal.write(text.as_bytes())?;
    Ok(Exit::Yes)
}

/// Objects that were made here as if they had been read.
fn reread(items: &[Value]) -> Result<drayage_cluster::Snapshot, Failure> {
    let list = List { api_version: "v1", kind: "List", items: items.to_vec() };
    let bytes = output::json(&list)?.into_bytes();
    let input = drayage_cluster::Input::Bytes { name: "shrunk".to_owned(), bytes };
    drayage_cluster::load(&[input], drayage_cluster::LoadOptions::default())
        .map_err(|errors| Failure::Internal(errors.to_string()))
}
