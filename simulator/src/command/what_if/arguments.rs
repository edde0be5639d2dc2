//! What was typed for a what-if.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};

use crate::command::arguments::{Kubernetes, Objects};

/// What every what-if takes.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("input").required(true).args(["filename"])))]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) objects: Objects,
    #[command(flatten)]
    pub(crate) kubernetes: Kubernetes,
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
