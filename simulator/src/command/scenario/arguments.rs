//! What was typed for `dray scenario`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use drayage_allocator::ProfileName;

/// What to do with scenarios.
#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    Run(Run),
    Check(Check),
}

/// Run scenarios and check what they expect.
///
/// A scenario is an object of kind Scenario (`crds/generated/scenario.schema.json`): files with a cluster, steps that each
/// start where the one before ended, and expectations. Exits with 0 if all of them hold, with 1 if one does not, with 3 if
/// none fails but one hangs on a search for devices that ended at its budget.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dray scenario run examples/scenario/rack-fails.yaml

Example: the same steps for a dump of a cluster, with results for a CI system
  dray scenario run rack-fails.yaml -f dump.json -o junit > results.xml")]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: ScenarioOutput,
    /// Also write a page for a browser with the cluster before the first step and after the last; for one scenario
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Search steps for the claims of one pod on one node before the answer is undecided
    #[arg(long, value_name = "STEPS")]
    pub(crate) step_budget: Option<u64>,
    /// Threads, as many as cores by default; the answer is the same for any number
    #[arg(long, value_name = "COUNT")]
    pub(crate) threads: Option<NonZeroUsize>,
}

/// Look for faults in scenarios and in the files that they name, without running them.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dray scenario check examples/scenario/rack-fails.yaml")]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What both take.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Files with scenarios, one a YAML document; `-` is stdin
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The cluster to begin with, in place of the files that the scenarios name
    #[arg(short, long, value_name = "PATH", num_args = 1..)]
    pub(crate) filename: Vec<PathBuf>,
    /// Refuse unknown kinds and fields of Kubernetes objects instead of ignoring them
    #[arg(long)]
    pub(crate) strict: bool,
    /// Let pods wait for claims, claim templates and device classes that do not exist, as a cluster does
    #[arg(long)]
    pub(crate) allow_missing: bool,
    /// Kubernetes release, in place of that of the scenarios: 1.34, 1.35, 1.36 or 1.37
    #[arg(long = "k8s", value_name = "RELEASE")]
    pub(crate) profile: Option<ProfileName>,
    /// Feature gates, in place of those of the scenarios, as NAME=true or NAME=false
    #[arg(long, value_name = "GATES", value_delimiter = ',')]
    pub(crate) feature_gates: Vec<String>,
    /// The scheduler's configuration, in place of that of the scenarios: a file with a KubeSchedulerConfiguration, or a
    /// ConfigMap that holds one
    #[arg(long, value_name = "FILE")]
    pub(crate) scheduler_config: Option<PathBuf>,
}

/// How `dray scenario run` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioOutput {
    /// Steps and expectations in columns
    #[default]
    Text,
    /// One JSON object with everything
    Json,
    /// XML for CI systems: a test suite for each scenario, a test case for each expectation
    Junit,
}
