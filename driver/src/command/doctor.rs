//! What would keep the driver from working on this machine.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use drayage_driver::{
    api::ApiServer,
    devices::{DeviceSource as _, read_fault},
    publish::allocator_slices,
};
use tokio::runtime::Builder;

use super::Options;

/// Looks, tells, and ends with 1 if something is wrong.
pub(super) fn examine(options: &Options) -> ExitCode {
    let (text, wrong) = report(options);
    // A reader that went away has heard enough.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A line for everything that was looked at, and whether something is wrong.
pub(super) fn report(options: &Options) -> (String, bool) {
    let registry = options.kubelet_directory.join("plugins_registry");
    let mut findings: Vec<(&str, Result<String, String>)> = vec![
        ("kubelet", folder(&options.kubelet_directory, "is the kubelet's directory elsewhere?")),
        ("registration", folder(&registry, "the kubelet makes it when it starts")),
        ("sockets", sockets(options)),
        ("cdi", folder(&options.cdi_directory, "does the container runtime have CDI switched on?")),
        ("devices", devices(options)),
        match &options.claims_from {
            Some(claims) => ("claims", folder(claims, "claims are read from there")),
            None => ("API server", server(options)),
        },
    ];
    if let Some(faults) = &options.faults {
        // The volume of a ConfigMap has folders of its own beside the files.
        let entries = fs::read_dir(faults).into_iter().flatten().flatten().map(|entry| entry.path());
        findings.extend(entries.filter(|path| !path.is_dir()).map(|path| {
            let read = fs::read_to_string(&path).map_err(|error| error.to_string());
            let read = read
                .and_then(|text| read_fault(&text).map(|fault| format!("{:?} on purpose", fault.spec.fault)));
            ("fault", read.map_err(|error| format!("`{}`: {error}", path.display())))
        }));
    }
    let mut lines = String::new();
    let wrong = findings.iter().any(|(_, finding)| finding.is_err());
    for (name, finding) in findings {
        let (verdict, text) = match finding {
            Ok(text) => ("ok", text),
            Err(text) => ("WRONG", text),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{verdict:6} {name:13} {text}");
    }
    (lines, wrong)
}

/// What the API server is, and what it lets this driver do.
fn server(options: &Options) -> Result<String, String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let (driver, node) = (&options.driver_name, &options.node_name);
        let server = ApiServer::connect(options.kubeconfig.as_deref(), driver, node).await;
        let found = server.map_err(|error| error.to_string())?.examine().await;
        found.map_err(|error| format!("{error}; does the service account have the chart's role?"))
    })
}

fn folder(path: &Path, hint: &str) -> Result<String, String> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(format!("`{}`", path.display())),
        Ok(_) => Err(format!("`{}` is no folder", path.display())),
        Err(error) => Err(format!("`{}`: {error}; {hint}", path.display())),
    }
}

fn sockets(options: &Options) -> Result<String, String> {
    let paths = options.settings().sockets().map_err(|error| error.to_string())?;
    let longest = [&paths.data, &paths.registration].map(|path| path.as_os_str().len()).into_iter().max();
    let shortened = if paths.shortened { ", shortened" } else { "" };
    Ok(format!("`{}`, at most {} of 107 bytes{shortened}", paths.data.display(), longest.unwrap_or(0)))
}

fn devices(options: &Options) -> Result<String, String> {
    let source = options.source().map_err(|error| error.to_string())?;
    let pools = source.pools().map_err(|error| error.to_string())?;
    let slices = allocator_slices(&options.driver_name, &options.node_name, &pools)
        .map_err(|errors| format!("the API server would refuse them: {errors}"))?;
    let devices: usize = slices.iter().map(|slice| slice.devices.len()).sum();
    let notes: Vec<String> = source.notes().iter().map(|note| format!("; {note}")).collect();
    let notes = notes.concat();
    Ok(format!("{devices} in {} pools and {} slices{notes}", pools.len(), slices.len()))
}
