//! What was typed for a what-if.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::command::arguments::{Kubernetes, Objects, Scheduler};

/// What every what-if takes.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("input").required(true).args(["filename"])))]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) objects: Objects,
    #[command(flatten)]
    pub(crate) asked: Asked,
}

/// Everything but the objects.
#[derive(Debug, Args)]
pub(crate) struct Asked {
    #[command(flatten)]
    pub(crate) kubernetes: Kubernetes,
    #[command(flatten)]
    pub(crate) scheduler: Scheduler,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: WhatIfOutput,
    /// Search steps for the claims of one pod on one node before the answer is undecided
    #[arg(long, value_name = "STEPS")]
    pub(crate) step_budget: Option<u64>,
    /// Threads, as many as cores by default; the answer is the same for any number
    #[arg(long, value_name = "COUNT")]
    pub(crate) threads: Option<NonZeroUsize>,
}

/// How what-ifs print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhatIfOutput {
    /// Columns and a summary
    #[default]
    Table,
    /// One JSON object with everything
    Json,
    /// The same object as YAML
    Yaml,
}

/// How many more copies of a pod, or of a set of pods, fit, and what stops the next.
///
/// Pods that wait are placed first, except those that are asked about: they are copied.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: how many more pods like this one
  dray capacity -f cluster.yaml workload.yaml --pod research/notebook-0

Example: sets of one trainer and two loaders, whether there is room for ten of them
  dray capacity -f cluster/ --pod ml/Deployment/trainer --pod ml/loader-0=2 --at-least 10")]
pub(crate) struct Capacity {
    #[command(flatten)]
    pub(crate) common: Common,
    /// What is copied: NS/NAME of a pod or NS/KIND/NAME of a workload, with =COUNT for several in one set; repeat it for
    /// a set of unlike pods
    #[arg(long, value_name = "NS/NAME[=COUNT]", required = true)]
    pub(crate) pod: Vec<String>,
    /// Answer yes if at least this many fit
    #[arg(long, value_name = "SETS", default_value_t = 1)]
    pub(crate) at_least: usize,
    /// Stop counting here
    #[arg(long, value_name = "SETS", default_value_t = 10_000)]
    pub(crate) at_most: usize,
    /// Let pods that wait stay where they are, as if they were not there
    #[arg(long)]
    pub(crate) ignore_pending: bool,
}

/// Let nodes and devices fail: who is evicted, who finds a new place, who is stuck.
///
/// What is named fails together. With --sweep every node and every device fails for itself, or every value of a label or
/// attribute that is given without a value, and the worst come first.
#[derive(Debug, Args)]
#[command(
    after_help = "\
Example: a node and a device of another one fail together
  dray fail -f cluster/ --node gpu-1 --device gpu-2/gpu-0

Example: every node and device for itself
  dray fail -f cluster/ --sweep

Example: every rack for itself
  dray fail -f cluster/ --sweep --label topology.example.com/rack

Example: 200 random pairs of nodes
  dray fail -f cluster/ --sweep=nodes --together 2 --samples 200 --seed 7

Example: a third of a sweep on each of three machines
  dray fail -f cluster/ --sweep --shard 1/3 -o json > part-1.json
  dray fail --merge part-1.json part-2.json part-3.json

Example: the same in a pod of a Kubernetes Job with completionMode Indexed
  dray fail -f /cluster --sweep --shard /3 --save-in /parts
  dray fail --merge /parts",
    group(clap::ArgGroup::new("what").required(true).multiple(true)
        .args(["node", "device", "label", "attribute", "taint_rules", "sweep", "merge"]))
)]
pub(crate) struct Fail {
    /// Files and folders with Kubernetes objects in YAML or JSON; `-` is stdin
    #[arg(short, long, value_name = "PATH", num_args = 1.., required_unless_present = "merge")]
    pub(crate) filename: Vec<PathBuf>,
    /// Refuse unknown kinds and fields instead of ignoring them
    #[arg(long)]
    pub(crate) strict: bool,
    /// Let pods wait for claims, claim templates and device classes that do not exist, as a cluster does
    #[arg(long)]
    pub(crate) allow_missing: bool,
    #[command(flatten)]
    pub(crate) asked: Asked,
    /// A node that fails
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Vec<String>,
    /// A device that fails: DRIVER/POOL/DEVICE, or as much of its end as is unambiguous
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Vec<String>,
    /// Nodes with this label fail
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// Devices with this attribute fail
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) attribute: Vec<String>,
    /// File with DeviceTaintRules that are applied together
    #[arg(long, value_name = "FILE")]
    pub(crate) taint_rules: Vec<PathBuf>,
    /// Let each fail for itself: everything, or the targets that are named
    #[arg(long, value_enum, value_name = "OF", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub(crate) sweep: Option<Sweep>,
    /// With --samples, how many of the sweep's units fail at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 2, requires = "samples")]
    pub(crate) together: usize,
    /// Draw this many combinations instead of taking each unit for itself
    #[arg(long, value_name = "COUNT", requires = "sweep")]
    pub(crate) samples: Option<usize>,
    /// What --samples draws with
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Look only at part I of N of the units, counted from 1. Without I it is the one that JOB_COMPLETION_INDEX names, as
    /// a Job with completionMode Indexed sets it. A part is no answer: once it is there the exit code is 0
    #[arg(long, value_name = "[I]/N", requires = "sweep")]
    pub(crate) shard: Option<String>,
    /// Write the part as JSON into this folder too, as part-I-of-N.json; the folder is made
    #[arg(long, value_name = "FOLDER", requires = "shard")]
    pub(crate) save_in: Option<PathBuf>,
    /// Put the parts of a sweep together, each the JSON of one --shard; of a folder every part-*.json
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["sweep", "node", "device", "label", "attribute", "taint_rules"])]
    pub(crate) merge: Vec<PathBuf>,
    /// Rows of the table
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub(crate) top: usize,
    /// With --sweep, report on every evicted pod in JSON
    #[arg(long)]
    pub(crate) detail: bool,
    /// Let pods that wait stay where they are instead of placing them first
    #[arg(long)]
    pub(crate) ignore_pending: bool,
}

/// What a sweep goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sweep {
    /// Nodes and devices, or the targets that are named
    All,
    /// Nodes
    Nodes,
    /// Devices
    Devices,
}

/// Cluster-autoscaler's flags about drains, and what a file cannot tell.
#[derive(Debug, Args)]
pub(crate) struct DrainFlags {
    /// Move pods of `kube-system` without a disruption budget (skip-nodes-with-system-pods=false)
    #[arg(long)]
    pub(crate) move_system_pods: bool,
    /// Move pods with local volumes (skip-nodes-with-local-storage=false)
    #[arg(long)]
    pub(crate) move_local_storage: bool,
    /// Move pods of controllers that Kubernetes does not know (skip-nodes-with-custom-controller-pods=false)
    #[arg(long)]
    pub(crate) move_custom_controller_pods: bool,
    /// The input has every controller, so that a pod whose controller is missing blocks
    #[arg(long)]
    pub(crate) controllers_are_complete: bool,
    /// The time of the drain, for rules about how long something lasts
    #[arg(long, value_name = "TIME")]
    pub(crate) now: Option<String>,
}

/// Empty nodes: which pod keeps a node, where the others go, and which claims move.
///
/// The rules, their order and the names of reasons are cluster-autoscaler's. What one node's pods take is not there for
/// the next.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dray drain -f cluster/ -- gpu-1 gpu-2")]
pub(crate) struct Drain {
    /// Nodes, in the order in which they are emptied
    #[arg(value_name = "NODE", required = true)]
    pub(crate) nodes: Vec<String>,
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) flags: DrainFlags,
}

/// Find the nodes that cluster-autoscaler would remove, and say what keeps the others.
///
/// Exits with 0 if at least one node can go.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dray scale-down -f cluster/ --node-groups groups.yaml")]
pub(crate) struct ScaleDown {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) flags: DrainFlags,
    /// Files with NodeGroups; their `members` say which nodes belong to them. Without any, every node may go
    #[arg(short = 'g', long, value_name = "FILE", num_args = 1..)]
    pub(crate) node_groups: Vec<PathBuf>,
    /// Nodes that are fuller than this stay (scale-down-utilization-threshold)
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    pub(crate) threshold: f64,
}

/// Grow node groups for pending pods: as cluster-autoscaler would, and at best.
///
/// Says beside cluster-autoscaler's answer, the fewest and the cheapest nodes that were found, a bound that no plan can
/// beat, and why the answers differ. Exits with 0 if every pending pod gets a node.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dray scale-up -f cluster/ --node-groups groups.yaml --expander priority,least-waste")]
pub(crate) struct ScaleUp {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Files with NodeGroups, in the order in which the provider lists them
    #[arg(short = 'g', long, value_name = "FILE", num_args = 1.., required = true)]
    pub(crate) node_groups: Vec<PathBuf>,
    /// Expanders, each of which narrows down what the one before left: least-waste, most-pods, least-nodes, price,
    /// priority, random
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "least-waste")]
    pub(crate) expander: Vec<String>,
    /// A row of the table of the expander `priority`: the higher number wins where the pattern matches the group's name
    #[arg(long, value_name = "NUMBER=PATTERN")]
    pub(crate) priority: Vec<String>,
    /// Draw with this seed where expanders leave several groups; without it the first by name is taken
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Price of a CPU and of a GiB of memory for an hour, for the expander `price`
    #[arg(long, value_name = "CPU,GIB")]
    pub(crate) pod_prices: Option<String>,
    /// The label by which the provider marks GPU nodes, for the expander `price`
    #[arg(long, value_name = "LABEL")]
    pub(crate) gpu_label: Option<String>,
    /// max-nodes-per-scaleup; 0 is no limit
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub(crate) max_nodes_per_scaleup: usize,
    /// max-nodes-total; 0 is no limit
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) max_nodes_total: usize,
    /// Share growth among similar groups
    #[arg(long)]
    pub(crate) balance_similar_node_groups: bool,
    /// Labels in which similar groups may differ, besides host name, zone and region
    #[arg(long, value_name = "LABEL", value_delimiter = ',', requires = "balance_similar_node_groups")]
    pub(crate) balancing_ignore_label: Vec<String>,
    /// Rounds of cluster-autoscaler, each of which grows one group
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) rounds: usize,
}
