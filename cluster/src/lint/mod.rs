//! Finds faults and traps in the objects of Dynamic Resource Allocation before somebody waits for them.
//!
//! [`lint`] looks at a snapshot as it was read, with the faults of reading it, and gives [`Finding`]s with the code of
//! their [`Rule`]. Nothing is scheduled; where a rule asks whether a claim can be satisfied, the allocator answers for
//! empty devices. Rules about devices are silent where the input has none, so manifests can be looked at without a
//! cluster.
//!
//! ```text
//! input (what loading found) -> pools, counters, nodes -> selectors -> claims -> feasibility -> taints -> pods
//! ```

mod claims;
mod cluster;
mod counters;
mod feasibility;
mod finding;
mod input;
mod nodes;
mod parameters;
mod pods;
mod pools;
mod rules;
mod selectors;
mod shadows;
mod taints;

use std::collections::BTreeMap;

use drayage_allocator::{Features, ProfileName};

use crate::fault::LoadErrors;
use crate::snapshot::Snapshot;

pub use finding::Finding;
pub use rules::{RULES, Rule, Severity};

use cluster::Cluster;
use finding::Findings;

/// For which Kubernetes, and how long rules may search.
#[derive(Clone, Copy, Debug)]
pub struct LintOptions {
    /// The release whose behaviour counts.
    pub profile: ProfileName,
    /// The features that its gates switch on.
    pub features: Features,
    /// Gate DRAListTypeAttributes, as the API server has it for new expressions. In 1.36 it is not among `features`, since
    /// that scheduler has no lists.
    pub list_type_attributes: bool,
    /// Whether DeviceTaintRules have an effect (gates DRADeviceTaints and DRADeviceTaintRules).
    pub taint_rules: bool,
    /// Search steps for one claim on one node.
    pub step_budget: u64,
}

/// What lint has to say.
#[derive(Clone, Debug, Default)]
pub struct LintReport {
    /// By file, line and code.
    pub findings: Vec<Finding>,
    /// How many more findings a rule had, by code.
    pub omitted: BTreeMap<&'static str, usize>,
    /// Claims about which the search did not come to an end, as `Kind namespace/name`.
    pub undecided: Vec<String>,
}

/// Looks at everything that was read. `errors` are the faults that reading found.
pub fn lint(snapshot: &Snapshot, errors: &LoadErrors, options: LintOptions) -> LintReport {
    let mut findings = Findings::default();
    input::check(snapshot, errors, options, &mut findings);
    let cluster = Cluster::new(snapshot, options);
    pools::check(&cluster, &mut findings);
    counters::check(&cluster, &mut findings);
    nodes::check(&cluster, &mut findings);
    selectors::check(&cluster, &mut findings);
    claims::check(&cluster, &mut findings);
    shadows::check(&cluster, &mut findings);
    parameters::check(&cluster, &mut findings);
    pods::check(&cluster, &mut findings);
    taints::check(&cluster, &mut findings);
    let undecided = feasibility::check(&cluster, &mut findings);
    let omitted = findings.omitted.clone();
    LintReport { findings: findings.finish(&snapshot.sources), omitted, undecided }
}
