//! `dray import`: public traces turned into Kubernetes objects.

use std::fs::{self, File};
use std::path::Path;

use drayage_simulator::import::openb::{self, ImportError, Table};
use drayage_simulator::import::{Format, ObjectWriter};
use serde_json::Value;

use super::activity::Activity;
use super::arguments::{Import, ImportFormat, ImportOpenb};
use super::exit::Exit;
use super::failure::{Complaint, Failure};
use super::output;
use super::source;
use super::terminal::Terminal;
use super::text::count;

/// Runs the import.
pub(crate) fn run(typed: &Import, terminal: &Terminal) -> Result<Exit, Failure> {
    match typed {
        Import::Openb(typed) => import_openb(typed, terminal),
    }
}

fn import_openb(typed: &ImportOpenb, terminal: &Terminal) -> Result<Exit, Failure> {
    let (format, ending) = match typed.format {
        ImportFormat::Yaml => (Format::Yaml, "yaml"),
        ImportFormat::Json => (Format::Json, "json"),
    };
    let activity = Activity::start("converting");
    let nodes = table(&typed.nodes)?;
    let pods = table(&typed.pods)?;
    let to_stdout = typed.output == Path::new("-");
    let mut cluster = ObjectWriter::new(Vec::new(), format);
    let mut workload = ObjectWriter::new(Vec::new(), format);
    let counts = openb::convert(nodes, pods, &mut |object| {
        if to_stdout || !is_workload(object) { cluster.write(object) } else { workload.write(object) }
    })
    .map_err(|error| refused(&error))?;
    let cluster = cluster.finish().map_err(|error| Failure::Internal(error.to_string()))?;
    let workload = workload.finish().map_err(|error| Failure::Internal(error.to_string()))?;
    if to_stdout {
        drop(activity);
        terminal.write(&cluster)?;
    } else {
        fs::create_dir_all(&typed.output).map_err(|error| Failure::unwritable(&typed.output, &error))?;
        for (name, content) in [("cluster", cluster), ("workload", workload)] {
            let path = typed.output.join(name).with_extension(ending);
            output::write_file(&path, &content)?;
        }
        drop(activity);
    }
    terminal.note(&format!(
        "{} with {}, {} with {}",
        count(counts.nodes, "node"),
        count(counts.gpus, "GPU"),
        count(counts.pods, "pod"),
        count(counts.claim_templates, "claim template"),
    ));
    Ok(Exit::Yes)
}

fn table(path: &Path) -> Result<Table<File>, Failure> {
    let content = File::open(path).map_err(|error| Failure::unreadable(path, &error))?;
    Ok(Table { name: source::name(path), content })
}

/// What changes from experiment to experiment, kept apart from the cluster it runs on.
fn is_workload(object: &Value) -> bool {
    matches!(object["kind"].as_str(), Some("Pod" | "ResourceClaimTemplate" | "ResourceClaim"))
}

fn refused(error: &ImportError) -> Failure {
    let hint = match error {
        ImportError::ColumnMissing { .. } => {
            "the tables are `openb_node_list_*.csv` and `openb_pod_list_*.csv` of the trace; \
             is `--nodes` swapped with `--pods`?"
        }
        _ => return Failure::input(Complaint::new(error.to_string())),
    };
    Failure::input(Complaint::new(error.to_string()).with_hint(hint))
}
