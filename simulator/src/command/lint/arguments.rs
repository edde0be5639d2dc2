//! What was typed after `dray lint`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::command::arguments::Kubernetes;

/// Find faults and traps in slices, classes, claims, taint rules and pods.
///
/// Every finding has a code, a place, a severity and a fix; `--rules` prints what the codes mean. Rules about devices
/// are silent where the input has none, so manifests can be checked without a cluster. Exits with 1 where there is a
/// finding of the severity that `--fail-on` names, or a worse one.
#[derive(Debug, Args)]
#[command(
    after_help = "\
Example: manifests against a cluster
  kubectl get nodes,namespaces,resourceslices,deviceclasses -o yaml > cluster.yaml
  dray lint -f cluster.yaml manifests/

Example: in a workflow of GitHub
  dray lint -f manifests/ --format github

Example: for code scanning
  dray lint -f manifests/ --format sarif > lint.sarif",
    group(clap::ArgGroup::new("input").required(true).args(["filename", "rules"]))
)]
pub(crate) struct Lint {
    /// Files and folders with Kubernetes objects in YAML or JSON; `-` is stdin
    #[arg(short, long, value_name = "PATH", num_args = 1..)]
    pub(crate) filename: Vec<PathBuf>,
    /// Print the rules with their meaning and fix, instead of looking at objects
    #[arg(long)]
    pub(crate) rules: bool,
    /// How findings, or rules, are printed
    #[arg(short = 'o', long = "format", visible_alias = "output", value_enum, default_value_t)]
    pub(crate) format: LintFormat,
    /// The mildest severity that makes the command exit with 1
    #[arg(long, value_enum, default_value_t, value_name = "SEVERITY")]
    pub(crate) fail_on: FailOn,
    /// Leave out these rules: codes such as DRA101, groups such as DRA1, or names such as pool-incomplete
    #[arg(long, value_name = "RULES", value_delimiter = ',')]
    pub(crate) ignore: Vec<String>,
    /// Report these rules only, written as for `--ignore`
    #[arg(long, value_name = "RULES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    #[command(flatten)]
    pub(crate) kubernetes: Kubernetes,
    /// Search steps for one claim on one node before its rules are undecided
    #[arg(long, value_name = "STEPS")]
    pub(crate) step_budget: Option<u64>,
}

/// How `dray lint` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LintFormat {
    /// For people, with the line and a caret; rules as Markdown
    #[default]
    Text,
    /// One JSON object
    Json,
    /// SARIF 2.1.0 for code scanning
    Sarif,
    /// Annotations of a workflow of GitHub
    Github,
}

/// Which findings make the command fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Errors
    #[default]
    Error,
    /// Warnings and errors
    Warning,
    /// Any finding
    Note,
    /// Nothing: findings are data
    Never,
}
