//! What was typed. Each subcommand's module turns its part into what it means.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};
use drayage_allocator::ProfileName;

use super::what_if::arguments::{Capacity, Drain, Fail, ScaleDown, ScaleUp};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes: 0 yes, 1 no, 2 bad input, 3 undecided within the step budget, 4 internal error";

/// What schedules where, on which devices, and why not: Kubernetes Dynamic Resource Allocation, offline.
#[derive(Debug, Parser)]
#[command(name = "dray", version, styles = STYLES, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) subcommand: Sub,
    #[command(flatten)]
    pub(crate) global: Global,
}

/// Options of every subcommand.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Print no notes and warnings on stderr
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// When to use colour; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub(crate) color: ColorChoice,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Sub {
    Simulate(Simulate),
    Allocate(Allocate),
    Explain(super::explain::Explain),
    Diff(super::diff::Diff),
    UpgradeDiff(super::upgrade_diff::UpgradeDiff),
    Lint(super::lint::arguments::Lint),
    Capacity(Capacity),
    Fail(Box<Fail>),
    Drain(Drain),
    ScaleDown(ScaleDown),
    ScaleUp(Box<ScaleUp>),
    Defrag(super::what_if::defrag::Defrag),
    /// Plan layouts of devices that are divided
    #[command(subcommand)]
    Plan(super::what_if::plan::Plan),
    /// Let things happen to a cluster step by step, and check what is expected of it
    #[command(subcommand)]
    Scenario(super::scenario::Scenario),
    /// Check or evaluate a device-selector CEL expression
    #[command(subcommand)]
    Cel(Cel),
    /// Turn public traces into Kubernetes objects
    #[command(subcommand)]
    Import(Import),
    /// Compare policies that choose nodes
    #[command(subcommand)]
    Lab(Lab),
    Fragmentation(super::fragmentation::Fragmentation),
    Replay(super::replay::Replay),
    Snapshot(super::snapshot::Snapshot),
    Profiles(Profiles),
    Completions(Completions),
}

/// The release that is meant where nobody says one.
pub(crate) const DEFAULT_RELEASE: &str = "1.37";
/// Its newest patch.
pub(crate) const DEFAULT_PROFILE: ProfileName = ProfileName::V1_37_2;

/// Which Kubernetes is meant.
#[derive(Debug, Args)]
pub(crate) struct Kubernetes {
    /// Kubernetes release whose behaviour and feature-gate defaults apply: 1.34, 1.35, 1.36 or 1.37
    ///
    /// Each was compared with Kubernetes' own allocator of its newest patch: 1.34.13, 1.35.10, 1.36.6 and 1.37.2.
    /// The patch 1.36.3 has a behaviour of its own; every other patch means the newest of its release. `fixed` is
    /// 1.37 without the faults that are known of it. `dray profiles` prints the differences.
    #[arg(long = "k8s", value_name = "RELEASE", default_value = DEFAULT_RELEASE)]
    pub(crate) profile: ProfileName,
    /// Feature gates that differ from the release's defaults, as NAME=true or NAME=false
    #[arg(long, value_name = "GATES", value_delimiter = ',')]
    pub(crate) feature_gates: Vec<String>,
}

/// How the scheduler is configured.
#[derive(Debug, Args)]
pub(crate) struct Scheduler {
    /// The scheduler's configuration: a file with a KubeSchedulerConfiguration, or a ConfigMap that holds one
    #[arg(long, value_name = "FILE")]
    pub(crate) scheduler_config: Option<PathBuf>,
}

/// Where objects come from.
#[derive(Debug, Args)]
pub(crate) struct Objects {
    /// Files and folders with Kubernetes objects in YAML or JSON; `-` is stdin
    #[arg(short, long, value_name = "PATH", num_args = 1..)]
    pub(crate) filename: Vec<PathBuf>,
    /// Refuse unknown kinds and fields instead of ignoring them
    #[arg(long)]
    pub(crate) strict: bool,
    /// Let pods wait for claims, claim templates and device classes that do not exist, as a cluster does
    #[arg(long)]
    pub(crate) allow_missing: bool,
}

/// Schedule the pending pods of a cluster and allocate their claims.
///
/// Reads Kubernetes objects (a dump of a cluster, manifests, or both), schedules pending pods in queue order
/// as kube-scheduler does, and tells for each pod its node and devices, or why no node fits.
#[derive(Debug, Args)]
#[command(
    after_help = "\
Example: a cluster in one file and a workload in another
  dray simulate -f cluster.yaml workload.yaml

Example: a live cluster
  kubectl get nodes,pods,resourceslices,deviceclasses,resourceclaims -A -o yaml | dray simulate -f -",
    group(clap::ArgGroup::new("input").required(true).args(["filename"]))
)]
pub(crate) struct Simulate {
    #[command(flatten)]
    pub(crate) objects: Objects,
    #[command(flatten)]
    pub(crate) kubernetes: Kubernetes,
    #[command(flatten)]
    pub(crate) scheduler: Scheduler,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: SimulateOutput,
    /// Explain pods without devices on a node in full, with what would help
    #[arg(long)]
    pub(crate) explain: bool,
    /// Also write the answer as a page for a browser: map of devices, timeline, explanations
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Also write pods, claims and devices as a graph for Graphviz
    #[arg(long, value_name = "FILE")]
    pub(crate) dot: Option<PathBuf>,
    /// Search steps for the claims of one pod on one node before the answer is undecided
    #[arg(long, value_name = "STEPS")]
    pub(crate) step_budget: Option<u64>,
    /// Threads that look at nodes, as many as cores by default; the answer is the same for any number
    #[arg(long, value_name = "COUNT")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Run so many worlds in which ties are broken at random, and say which pods always, sometimes or never get a node
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["explain", "html", "dot", "threads"])]
    pub(crate) worlds: Option<NonZeroUsize>,
    /// With `--worlds`: the seed of the random numbers
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "worlds")]
    pub(crate) seed: u64,
}

/// How `dray simulate` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SimulateOutput {
    /// Pods in columns, then the reasons and a summary
    #[default]
    Table,
    /// As table, with one line a claim and full device names
    Wide,
    /// One JSON object with everything
    Json,
    /// The same object as YAML
    Yaml,
}

/// Allocate claims on one node, or replay recorded problems.
///
/// Prints one AllocationResult (`resource.k8s.io/v1`) for each claim, in order, or says which request failed
/// and at what. With --problems, reads one problem a line and prints one JSON line for each.
#[derive(Debug, Args)]
#[command(
    after_help = "\
Example: the claims of one pod on one node
  dray allocate -f cluster.yaml --node gpu-0 --pod ml/train-0

Example: why there are no devices
  dray allocate -f cluster.yaml --node gpu-0 --pod ml/train-0 --explain

Example: recorded problems
  dray allocate --problems problems.jsonl --k8s 1.36",
    group(clap::ArgGroup::new("input").required(true).args(["filename", "problems"]))
)]
pub(crate) struct Allocate {
    #[command(flatten)]
    pub(crate) objects: Objects,
    /// Node on which to allocate
    #[arg(long, value_name = "NAME", conflicts_with = "problems")]
    pub(crate) node: Option<String>,
    /// Allocate the claims of this pod; without `--pod` and `--claim`, all claims that have no devices
    #[arg(long, value_name = "NS/NAME", conflicts_with_all = ["problems", "claim"])]
    pub(crate) pod: Option<String>,
    /// Allocate this claim; repeat it to allocate several together, in order
    #[arg(long, value_name = "NS/NAME", conflicts_with = "problems")]
    pub(crate) claim: Vec<String>,
    /// Read problems from this file, one JSON object a line; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["filename", "strict", "allow_missing", "output", "feature_gates"])]
    pub(crate) problems: Option<PathBuf>,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: ObjectOutput,
    /// Print why the answer is what it is, and what would change it, instead of the results
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "text",
        conflicts_with_all = ["problems", "output"]
    )]
    pub(crate) explain: Option<ExplainOutput>,
    #[command(flatten)]
    pub(crate) kubernetes: Kubernetes,
    /// Search steps before the answer is undecided
    #[arg(long, value_name = "STEPS")]
    pub(crate) step_budget: Option<u64>,
}

/// How explanations are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainOutput {
    /// Sentences
    #[default]
    Text,
    /// One JSON object
    Json,
    /// A graph for Graphviz
    Dot,
}

/// How objects are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObjectOutput {
    /// YAML documents
    #[default]
    Yaml,
    /// One JSON object
    Json,
}

/// What to do with an expression.
#[derive(Debug, Subcommand)]
pub(crate) enum Cel {
    Check(CelCheck),
    Eval(CelEval),
}

/// How expressions are compiled.
#[derive(Debug, Args)]
pub(crate) struct CelEnvironment {
    #[command(flatten)]
    pub(crate) kubernetes: Kubernetes,
    /// What the expression is for
    #[arg(long, value_enum, default_value_t, value_name = "PURPOSE")]
    pub(crate) purpose: CelPurpose,
}

/// What an expression is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CelPurpose {
    /// A selector that is stored already, as the scheduler reads it
    #[default]
    Stored,
    /// A selector of a new object, which may use only what the release before knew as well
    New,
    /// A derived attribute, which may also be a scalar or a list
    Attribute,
}

/// Compile an expression: its type and its estimated cost, or the error.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dray cel check 'device.attributes[\"gpu.example.com\"].model == \"H100\"'")]
pub(crate) struct CelCheck {
    /// The expression; `-` reads it from stdin
    pub(crate) expression: String,
    #[command(flatten)]
    pub(crate) environment: CelEnvironment,
    #[command(flatten)]
    pub(crate) device: CelDevice,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: CelOutput,
}

/// A device to look at.
#[derive(Debug, Args)]
pub(crate) struct CelDevice {
    /// File with ResourceSlices; `-` is stdin
    #[arg(short = 'f', long = "slice", visible_alias = "filename", value_name = "FILE")]
    pub(crate) slice: Vec<PathBuf>,
    /// The device: its name, or POOL/NAME, or DRIVER/POOL/NAME
    #[arg(long, value_name = "NAME", requires = "slice")]
    pub(crate) device: Option<String>,
}

/// Evaluate an expression, or a file of them, against a device of a ResourceSlice.
///
/// Exits with 0 when the value is true or no bool, with 1 when it is false or evaluation fails, with 2 when the
/// expression does not compile. With --corpus the outcomes are in the output only.
#[derive(Debug, Args)]
#[command(
    after_help = "\
Example:
  dray cel eval 'device.attributes[\"gpu.example.com\"].model == \"H100\"' -f slice.yaml --device gpu-0

Example: every expression of a JSON array, one JSON line each
  dray cel eval --corpus expressions.json --slice slice.yaml --device gpu-0",
    group(clap::ArgGroup::new("what").required(true).args(["expression", "corpus"]))
)]
pub(crate) struct CelEval {
    /// The expression; `-` reads it from stdin
    pub(crate) expression: Option<String>,
    /// JSON array of expressions: strings, [group, expression, verdict], or objects with `expression`
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    pub(crate) corpus: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) device: CelDevice,
    #[command(flatten)]
    pub(crate) environment: CelEnvironment,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: CelOutput,
}

/// How `dray cel` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CelOutput {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object on one line
    Json,
}

/// Where to import from.
#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    Openb(ImportOpenb),
}

/// The openb GPU trace (Alibaba, 2023) as Node, ResourceSlice, DeviceClass, ResourceClaimTemplate and Pod objects.
///
/// A whole GPU becomes an exclusive request, a share of a GPU a request of capacity `milli`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dray import openb --nodes openb_node_list_gpu_node.csv --pods openb_pod_list_default.csv -o openb/
  dray simulate -f openb/")]
pub(crate) struct ImportOpenb {
    /// List of nodes, CSV
    #[arg(long, value_name = "CSV")]
    pub(crate) nodes: PathBuf,
    /// List of pods, CSV
    #[arg(long, value_name = "CSV")]
    pub(crate) pods: PathBuf,
    /// Folder for the files `cluster` and `workload`, made if it is missing; `-` writes all to stdout
    #[arg(short, long, value_name = "DIR", default_value = "-")]
    pub(crate) output: PathBuf,
    /// How objects are written
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ImportFormat,
}

/// How imported objects are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportFormat {
    /// One document an object
    #[default]
    Yaml,
    /// One List
    Json,
}

/// Which experiment to run.
#[derive(Debug, Subcommand)]
pub(crate) enum Lab {
    Atc23(LabAtc23),
}

/// The experiment of "Beware of Fragmentation" (USENIX ATC 2023): how full six policies make a cluster of GPUs.
///
/// Pods of the openb trace arrive in random order until they have demanded 130 % of all GPUs, and one score places
/// them. With the study's seeds, pods and nodes have the study's order. Prints the mean of allocated GPUs beside the
/// published one, what is left of it when ties between nodes are broken the other way, and the fragment at 90 %.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: one workload under all policies
  dray lab atc23 --datasets datasets/ --workload default

Example: two policies on all workloads of the study, with ties as kube-scheduler breaks them
  dray lab atc23 --datasets datasets/ --policy FGD,BestFit --ties random")]
pub(crate) struct LabAtc23 {
    /// Folder with `openb_node_list_gpu_node.csv`, `openb_pod_list_*.csv` and, for the comparison,
    /// `published_alloc_at_130.csv` and `published_frag_amount_at_90.csv`
    #[arg(long, value_name = "DIR")]
    pub(crate) datasets: PathBuf,
    /// Workloads, such as `default` or `gpuspec33`; by default the 17 of the study
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) workload: Vec<String>,
    /// Policies: Random, DotProd, GpuClustering, GpuPacking, BestFit, FGD; by default all
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) policy: Vec<drayage_simulator::lab::Policy>,
    /// Seeds, single numbers or ranges such as 42-51
    #[arg(long, value_name = "SEEDS", default_value = "42-51")]
    pub(crate) seeds: String,
    /// Which of several best nodes is taken in the runs that are compared
    #[arg(long, value_enum, default_value_t)]
    pub(crate) ties: LabTies,
    /// Leave out the runs with the other rule for ties
    #[arg(long)]
    pub(crate) one_rule: bool,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: LabOutput,
    /// Threads, as many as cores by default; the answer is the same for any number
    #[arg(long, value_name = "COUNT")]
    pub(crate) threads: Option<NonZeroUsize>,
}

/// Rules for ties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LabTies {
    /// The first by name, as the study did
    #[default]
    Lexical,
    /// Any, as kube-scheduler does
    Random,
}

/// How `dray lab` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LabOutput {
    /// One line for each workload and policy
    #[default]
    Table,
    /// One JSON object
    Json,
}

/// Print in what the allocators of the Kubernetes releases differ.
#[derive(Debug, Args)]
pub(crate) struct Profiles {
    /// How the table is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: ProfilesOutput,
}

/// Forms of the table of profiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfilesOutput {
    /// Markdown
    #[default]
    Text,
    /// One JSON object
    Json,
}

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: bash
  dray completions bash > ~/.local/share/bash-completion/completions/dray")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}
