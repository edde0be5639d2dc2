//! `dray snapshot`: objects made fit to be shown to others.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use drayage_cluster::anonymise::{Table, anonymise};
use drayage_simulator::schedule::{DEFAULT_STEP_BUDGET, Options};
use drayage_simulator::snapshot::{Finding, Kept, shrink};
use serde::Serialize;
use serde_json::Value;

#[cfg_attr(not(feature = "live"), path = "offline.rs")]
mod live;

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
/// With --live, every kind that other commands read is listed from an API server, and nothing else: no Secrets, no
/// ConfigMaps. Nothing is ever written there. Kinds that the server has not, or that the user may not list, are left out
/// and told of. All lists show the same moment where the server can do that.
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
  dray snapshot -f dump.json --shrink-to-rule DRA101

Example: the cluster of a kubeconfig
  dray snapshot --live --context production -o json > dump.json",
    group(clap::ArgGroup::new("input").required(true).args(["filename", "live"]))
)]
pub(crate) struct Snapshot {
    #[command(flatten)]
    pub(crate) objects: Objects,
    /// Read from the API server of a kubeconfig, or of the service account of the pod
    #[arg(long)]
    pub(crate) live: bool,
    /// With --live, the context of the kubeconfig in place of its current one
    #[arg(long, value_name = "NAME", requires = "live")]
    pub(crate) context: Option<String>,
    /// With --live, the kubeconfig in place of those that KUBECONFIG names and of `~/.kube/config`
    #[arg(long, value_name = "FILE", requires = "live")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// With --live, only objects of these namespaces, and those that have none
    #[arg(short, long, value_name = "NAME", requires = "live")]
    pub(crate) namespace: Vec<String>,
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
    let listed = if typed.live { Some(live::list(typed, terminal)?) } else { None };
    let read = match &listed {
        Some(items) => reread("live", items),
        None => objects::load(&typed.objects, terminal),
    };
    let changes = typed.anonymise || typed.shrink_to_pod.is_some() || typed.shrink_to_rule.is_some();
    if let (Some(items), false) = (&listed, changes) {
        if let Err(failure) = &read {
            for message in failure.messages() {
                terminal.warning(&message);
            }
        }
        return print(items.clone(), typed.output, terminal);
    }
    let mut snapshot = read?;
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
        snapshot = reread("shrunk", &shrunk.objects)?;
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
    print(items, typed.output, terminal)
}

fn print(items: Vec<Value>, form: ObjectOutput, terminal: &Terminal) -> Result<Exit, Failure> {
    let text = match form {
        ObjectOutput::Json => output::json(&List { api_version: "v1", kind: "List", items })?,
        ObjectOutput::Yaml => {
            let documents: Vec<String> = items.iter().map(output::yaml).collect::<Result<_, _>>()?;
            documents.join("---\n")
        }
    };
    terminal.write(text.as_bytes())?;
    Ok(Exit::Yes)
}

/// Objects that come from elsewhere than files as if they had been read; `name` is what faults call them.
fn reread(name: &str, items: &[Value]) -> Result<drayage_cluster::Snapshot, Failure> {
    let list = List { api_version: "v1", kind: "List", items: items.to_vec() };
    let bytes = output::json(&list)?.into_bytes();
    let input = drayage_cluster::Input::Bytes { name: name.to_owned(), bytes };
    drayage_cluster::load(&[input], drayage_cluster::LoadOptions::default()).map_err(|errors| {
        Failure::Input {
            complaints: errors.faults.into_iter().map(Complaint::from).collect(),
            omitted: errors.omitted,
        }
    })
}
