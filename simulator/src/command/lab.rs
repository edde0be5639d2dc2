//! `dray lab`: policies that choose nodes, compared on public traces.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;

use drayage_simulator::import::openb::Table;
use drayage_simulator::lab::{Comparison, Plan, Policy, Published, Ties, Trace, compare};

use super::activity::Activity;
use super::arguments::{Lab, LabAtc23, LabOutput, LabTies};
use super::exit::Exit;
use super::failure::{Complaint, Failure};
use super::output;
use super::source;
use super::terminal::Terminal;
use super::text::{Columns, count};

/// The workloads of the study, without the beginning of their file names.
const WORKLOADS: [&str; 17] = [
    "default",
    "cpu050",
    "cpu100",
    "cpu200",
    "cpu250",
    "gpushare40",
    "gpushare60",
    "gpushare80",
    "gpushare100",
    "gpuspec10",
    "gpuspec20",
    "gpuspec25",
    "gpuspec33",
    "multigpu20",
    "multigpu30",
    "multigpu40",
    "multigpu50",
];
/// How files of workloads begin, and their names in published tables.
const PREFIX: &str = "openb_pod_list_";
/// More seeds than this are a slip.
const MOST_SEEDS: usize = 1000;

/// Runs an experiment.
pub(crate) fn run(typed: &Lab, terminal: &Terminal) -> Result<Exit, Failure> {
    match typed {
        Lab::Atc23(typed) => atc23(typed, terminal),
    }
}

fn atc23(typed: &LabAtc23, terminal: &Terminal) -> Result<Exit, Failure> {
    let plan = Plan {
        policies: if typed.policy.is_empty() { Policy::ALL.to_vec() } else { typed.policy.clone() },
        seeds: seeds(&typed.seeds)?,
        ties: match typed.ties {
            LabTies::Lexical => Ties::Lexical,
            LabTies::Random => Ties::Random,
        },
        other_ties: !typed.one_rule,
        ..Plan::default()
    };
    let activity = Activity::start("running");
    let mut workloads = Vec::new();
    let mut names = BTreeSet::new();
    let asked = typed.workload.iter().map(String::as_str);
    for name in asked.chain(WORKLOADS.into_iter().filter(|_| typed.workload.is_empty())) {
        let name = format!("{PREFIX}{}", name.strip_prefix(PREFIX).unwrap_or(name));
        if !names.insert(name.clone()) {
            continue;
        }
        let nodes = table(&typed.datasets.join("openb_node_list_gpu_node.csv"))?;
        let pods = table(&typed.datasets.join(&name).with_extension("csv"))?;
        let trace =
            Trace::read(nodes, pods).map_err(|error| Failure::input(Complaint::new(error.to_string())))?;
        workloads.push((name, trace));
    }
    let allocations = published(&typed.datasets.join("published_alloc_at_130.csv"))?;
    let fragments = published(&typed.datasets.join("published_frag_amount_at_90.csv"))?;
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(typed.threads.map_or_else(cores, NonZeroUsize::get))
        .build()
        .map_err(|error| Failure::Internal(error.to_string()))?;
    let comparison = pool.install(|| {
        compare(&workloads, &plan, &allocations, &fragments, &|done, total| activity.advance(done, total))
    });
    drop(activity);
    let text = match typed.output {
        LabOutput::Table => render(&comparison),
        LabOutput::Json => output::json(&comparison)?,
    };
    terminal.write(text.as_bytes())?;
    Ok(Exit::Yes)
}

fn table(path: &Path) -> Result<Table<File>, Failure> {
    let content = File::open(path).map_err(|error| Failure::unreadable(path, &error))?;
    Ok(Table { name: source::name(path), content })
}

/// Published figures, or none where the file is not there.
fn published(path: &Path) -> Result<Published, Failure> {
    match File::open(path) {
        Ok(content) => Published::read(Table { name: source::name(path), content })
            .map_err(|error| Failure::input(Complaint::new(error.to_string()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Published::default()),
        Err(error) => Err(Failure::unreadable(path, &error)),
    }
}

/// `42,45-47` as numbers.
fn seeds(text: &str) -> Result<Vec<i64>, Failure> {
    let refused = || {
        Failure::input(
            Complaint::new(format!(
                "`--seeds` is `{text}`, expected numbers and ranges of up to {MOST_SEEDS} seeds"
            ))
            .with_hint("for instance `42-51`, or `42,43,50`"),
        )
    };
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| refused());
        for seed in number(first)?..=number(last)? {
            if seeds.len() == MOST_SEEDS {
                return Err(refused());
            }
            if !seeds.contains(&i64::from(seed)) {
                seeds.push(i64::from(seed));
            }
        }
    }
    if seeds.is_empty() { Err(refused()) } else { Ok(seeds) }
}

fn render(comparison: &Comparison) -> String {
    let mut columns = Columns::new(&[
        "WORKLOAD",
        "POLICY",
        "ALLOCATED",
        "±",
        "PUBLISHED",
        "DIFFERENCE",
        "OTHER TIES",
        "CHANGE",
        "TIED",
        "FRAGMENT",
        "PUBLISHED",
    ]);
    let percent = |value: f64| format!("{value:.2} %");
    let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), percent);
    let change = |from: f64, to: Option<f64>| to.map_or_else(|| "-".to_owned(), |to| signed(to - from));
    for cell in &comparison.cells {
        columns.push(&[
            cell.workload.strip_prefix(PREFIX).unwrap_or(&cell.workload).to_owned(),
            cell.policy.to_owned(),
            percent(cell.allocation),
            format!("{:.2}", cell.allocation_deviation),
            optional(cell.published_allocation),
            cell.published_allocation
                .map_or_else(|| "-".to_owned(), |published| signed(cell.allocation - published)),
            optional(cell.allocation_other_ties),
            change(cell.allocation, cell.allocation_other_ties),
            format!("{:.0} %", cell.tied_choices),
            optional(cell.fragment),
            optional(cell.published_fragment),
        ]);
    }
    let mut text = String::new();
    columns.render(&mut text);
    let _ = writeln!(
        text,
        "\nALLOCATED  GPUs in use when pods have demanded 130 % of them, mean of {}; ± is their standard deviation",
        count(comparison.seeds.len(), "seed")
    );
    text.push_str("TIED       choices in which several nodes had the best score\n");
    text.push_str(
        "FRAGMENT   GPUs that are idle and of no use to a typical pod when pods have demanded 90 %\n",
    );
    let _ = writeln!(text, "Ties: {}.", comparison.tie_rule);
    if let Some(other) = comparison.other_tie_rule {
        let _ = writeln!(text, "Other ties: {other}.");
    }
    let _ = writeln!(
        text,
        "{}; {} of {} published allocations agree within {:.2} percentage points",
        count(comparison.runs, "run"),
        comparison.agreeing_cells,
        comparison.published_cells,
        comparison.tolerance
    );
    text
}

/// Two digits with a sign; what rounds to zero has none.
fn signed(value: f64) -> String {
    let text = format!("{value:+.2}");
    if text == "-0.00" || text == "+0.00" { "0.00".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_numbers_and_ranges() {
        assert_eq!(seeds("42-44,7,43").unwrap(), [42, 43, 44, 7]);
        for wrong in ["", "a", "1-", "5-3", "0-4000000000", "-1"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn differences_have_a_sign_unless_they_are_nothing() {
        assert_eq!([0.004, -0.001, 1.0, -2.5].map(signed), ["0.00", "0.00", "+1.00", "-2.50"]);
    }
}
