//! `dray-driver support-bundle`: what somebody needs who is to find out from afar what is wrong with a node.

mod redact;
mod tar;

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Read as _, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use drayage_driver::{
    api::ApiServer,
    devices::DeviceSource as _,
    publish::{Slice, SliceApi as _},
};
use serde_json::{Value, json};

use super::{Options, doctor};
use redact::{redact, redacted};
use tar::Tar;

/// Longest file of a bundle.
const MOST_OCTETS: usize = 4 * 1024 * 1024;
/// All files of a bundle together.
const MOST_TOGETHER: usize = 32 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub(super) struct Bundle {
    /// File to write: a tar archive
    #[arg(long, short, value_name = "FILE", default_value = "dray-driver-support.tar")]
    output: PathBuf,
    #[command(flatten)]
    options: Options,
}

/// Files of a bundle, and what is missing in it.
struct Files<W> {
    tar: Tar<W>,
    room: usize,
    left_out: String,
}

impl<W: Write> Files<W> {
    fn leave_out(&mut self, name: &str, why: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.left_out, "{name}: {why}");
    }

    fn add(&mut self, name: &str, content: Result<Vec<u8>, String>) -> io::Result<()> {
        match content {
            Err(error) => self.leave_out(name, &error),
            Ok(content) if content.len() > MOST_OCTETS.min(self.room) => {
                self.leave_out(name, &format!("{} bytes are too many", content.len()));
            }
            Ok(content) => {
                self.room -= content.len();
                self.tar.file(name, &content)?;
            }
        }
        Ok(())
    }

    /// The files of a folder that `wanted` accepts, and those in folders below it, without what users chose to set.
    fn folder(&mut self, name: &str, folder: &Path, wanted: &dyn Fn(&str) -> bool) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.leave_out(name, &format!("`{}`: {error}", folder.display()));
                return Ok(());
            }
        };
        let mut entries: Vec<_> = entries.flatten().map(|entry| (entry.file_name(), entry.path())).collect();
        entries.sort();
        for (file, path) in entries {
            let file = file.to_string_lossy();
            if !wanted(&file) {
                continue;
            }
            let inside = format!("{name}/{file}");
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => self.folder(&inside, &path, &|_| true)?,
                Ok(found) if found.is_file() && found.len() > MOST_OCTETS as u64 => {
                    self.leave_out(&inside, &format!("{} bytes are too many", found.len()));
                }
                Ok(found) if found.is_file() && found.len() > 0 => {
                    let content = fs::read(&path).map_err(|error| error.to_string());
                    let unreadable =
                        || "it is damaged, so that nobody can tell what users set in it".to_owned();
                    self.add(&inside, content.and_then(|content| redacted(&content).ok_or_else(unreadable)))?;
                }
                Ok(_) => {}
                Err(error) => self.leave_out(&inside, &error.to_string()),
            }
        }
        Ok(())
    }
}

/// Writes the bundle. What cannot be had is named in it and keeps nothing else out.
pub(super) fn write(bundle: &Bundle) -> Result<(), Box<dyn std::error::Error>> {
    let Bundle { output, options } = bundle;
    // It has names of claims and devices, which are nobody else's business.
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(output);
    let file = file.map_err(|error| format!("cannot write `{}`: {error}", output.display()))?;
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let tar = Tar::new(io::BufWriter::new(file), time);
    let mut files = Files { tar, room: MOST_TOGETHER, left_out: String::new() };
    let settings = options.settings();
    files.add("versions.txt", Ok(versions(options).into_bytes()))?;
    files.add("doctor.txt", Ok(doctor::report(options).0.into_bytes()))?;
    files.add("devices.json", devices(options))?;
    files.add("slices.json", slices(options))?;
    files
        .add("metrics.txt", options.http.ok_or_else(|| "`--http` says where".to_owned()).and_then(metrics))?;
    files.folder(
        "claims",
        &settings.kubelet.join("plugins").join(&settings.driver).join("claims"),
        &|_| true,
    )?;
    let prefix = format!("k8s.{}-", settings.driver);
    files.folder("cdi", &settings.cdi, &|name| name.starts_with(&prefix))?;
    files.folder("kubelet", &settings.kubelet, &|name| name == "dra_manager_state")?;
    let left_out = std::mem::take(&mut files.left_out);
    files.tar.file("left-out.txt", left_out.as_bytes())?;
    files.tar.finish()?.into_inner()?.sync_all()?;
    Ok(())
}

/// What runs where.
fn versions(options: &Options) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    format!(
        "dray-driver {}\nkernel {}\nboot {}\ndriver {}\nnode {}\n",
        env!("CARGO_PKG_VERSION"),
        read("/proc/sys/kernel/osrelease"),
        read("/proc/sys/kernel/random/boot_id"),
        options.driver_name,
        options.node_name,
    )
}

/// What the node has, as the driver sees it.
fn devices(options: &Options) -> Result<Vec<u8>, String> {
    let pools = options.source().and_then(|source| source.pools()).map_err(|error| error.to_string())?;
    let pools: Vec<Value> = pools
        .iter()
        .map(|pool| json!({ "name": pool.name, "devices": pool.devices, "sharedCounters": pool.shared_counters }))
        .collect();
    Ok(format!("{}\n", Value::Array(pools)).into_bytes())
}

/// What the scheduler sees of it.
fn slices(options: &Options) -> Result<Vec<u8>, String> {
    if options.claims_from.is_some() {
        let folder = options.slices_to.as_ref().ok_or("`--slices-to` says where")?;
        let entries = fs::read_dir(folder).map_err(|error| format!("`{}`: {error}", folder.display()))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        return Ok(paths.iter().filter_map(|path| fs::read(path).ok()).flatten().collect());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let found = runtime.block_on(async {
        let (driver, node) = (&options.driver_name, &options.node_name);
        let server = ApiServer::connect(options.kubeconfig.as_deref(), driver, node).await;
        let (slices, _) = server
            .map_err(|error| error.to_string())?
            .list_and_watch()
            .await
            .map_err(|error| error.to_string())?;
        Ok::<Vec<Slice>, String>(slices)
    })?;
    let slices = found.into_iter().map(|slice| {
        let metadata = json!({
            "name": slice.name, "uid": slice.uid, "resourceVersion": slice.resource_version,
        });
        json!({ "metadata": metadata, "spec": slice.spec })
    });
    let mut slices = Value::Array(slices.collect());
    redact(&mut slices);
    Ok(format!("{slices}\n").into_bytes())
}

/// What the running driver counts.
fn metrics(address: SocketAddr) -> Result<Vec<u8>, String> {
    // The address is where it listens, which may be everywhere.
    let host = if address.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    } else {
        address
    };
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&host, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(MOST_OCTETS as u64).read_to_string(&mut answer)?;
        Ok::<_, io::Error>(answer)
    };
    let answer = ask().map_err(|error| format!("`{host}`: {error}"))?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer of HTTP")?;
    Ok(body.as_bytes().to_vec())
}
