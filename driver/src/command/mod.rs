//! Arguments, signals and messages of `dray-driver`.

mod devices;
mod doctor;
mod nvml;
mod support;
mod webhook;

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use drayage_driver::{
    api::ApiServer,
    devices::{
        ConfiguredDevices, DeviceSource, FakeDevices, FaultyDevices, SourceError, SysfsDevices, SysfsFilter,
        Undescribed, read_fault,
    },
    health::{Effect, HealthRules, TaintRules},
    node::ClaimFiles,
    publish::SliceFiles,
    runtime::{Cluster, FaultMessage, Level, Log, Settings, run, tell_faults},
};
use serde_json::{Map, Value, json};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

/// A kubelet plugin for Dynamic Resource Allocation, with fake devices, PCI functions or NVIDIA GPUs.
#[derive(Debug, Parser)]
#[command(
    name = "dray-driver",
    version,
    after_help = "Example:\n  dray-driver run --node-name node-1 --inventory gpus.yaml\n\nExample: without an API server\n  dray-driver run --node-name node-1 --inventory gpus.yaml --claims-from claims --slices-to slices"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the kubelet until it is told to stop
    Run(Options),
    /// Prints the devices of this machine as they would be offered, with their health
    Devices(devices::DevicesArguments),
    /// Looks for what would keep the driver from working on this machine
    Doctor(Options),
    /// Writes an archive for whoever is to find out from afar what is wrong: records, CDI files, slices, metrics, doctor
    SupportBundle(support::Bundle),
    /// Answers admission reviews: refuses configuration that the driver would refuse
    Webhook(webhook::Webhook),
    /// Makes faults on purpose in a running driver, or ends them
    Fault(Faults),
}

#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["begin", "end"])))]
struct Faults {
    /// Socket of the driver, as its --fault-socket says
    #[arg(long, env = "FAULT_SOCKET", value_name = "PATH")]
    socket: PathBuf,
    /// Files with a DeviceFault each
    #[arg(value_name = "FILE")]
    begin: Vec<PathBuf>,
    /// Name of a fault to end
    #[arg(long, value_name = "NAME")]
    end: Vec<String>,
}

/// How messages look.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// One line of text each
    Text,
    /// One JSON object each
    Json,
}

/// What a taint does to pods, in the words of the API.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum TaintEffect {
    /// No taint
    Off,
    /// People see it
    #[value(name = "None")]
    Mark,
    /// Pods that do not tolerate it do not get the device
    #[value(name = "NoSchedule")]
    NoSchedule,
    /// And pods that have the device are evicted
    #[value(name = "NoExecute")]
    NoExecute,
}

impl TaintEffect {
    fn effect(self) -> Option<Effect> {
        match self {
            Self::Off => None,
            Self::Mark => Some(Effect::Mark),
            Self::NoSchedule => Some(Effect::NoSchedule),
            Self::NoExecute => Some(Effect::NoExecute),
        }
    }
}

#[derive(Args, Debug)]
struct Options {
    /// Name of the driver: a DNS subdomain of at most 63 characters
    #[arg(long, env = "DRIVER_NAME", default_value = "fake.drayage.dev")]
    driver_name: String,
    /// Name of this node
    #[arg(long, env = "NODE_NAME")]
    node_name: String,
    /// UID of the driver's pod: allows two instances at once in a rolling update (kubelet 1.33 and later)
    #[arg(long, env = "POD_UID")]
    pod_uid: Option<String>,
    /// Directory of the kubelet
    #[arg(long, env = "KUBELET_DIRECTORY", default_value = "/var/lib/kubelet")]
    kubelet_directory: PathBuf,
    /// Directory of CDI files that the container runtime reads
    #[arg(long, env = "CDI_ROOT", default_value = "/var/run/cdi")]
    cdi_directory: PathBuf,
    /// Fake devices: a file with a DeviceInventory
    #[arg(
        long,
        env = "INVENTORY",
        value_name = "FILE",
        conflicts_with_all = ["sysfs", "nvml"],
        required_unless_present_any = ["sysfs", "nvml"]
    )]
    inventory: Option<PathBuf>,
    /// Real devices: PCI functions of this sysfs
    #[arg(
        long,
        env = "SYSFS",
        value_name = "FOLDER",
        num_args = 0..=1,
        default_missing_value = "/sys",
        conflicts_with = "nvml"
    )]
    sysfs: Option<PathBuf>,
    /// PCI classes to take, as hexadecimal digits from the left, such as 0302
    #[arg(long, env = "PCI_CLASSES", value_delimiter = ',', requires = "sysfs")]
    pci_class: Vec<String>,
    /// PCI vendors to take, such as 10de
    #[arg(long, env = "PCI_VENDORS", value_delimiter = ',', requires = "sysfs")]
    pci_vendor: Vec<String>,
    #[command(flatten)]
    nvml: nvml::NvmlArguments,
    /// Whether containers get a file with the attributes of their devices (KEP-5304)
    #[arg(
        long,
        env = "DEVICE_METADATA",
        value_name = "BOOL",
        default_value_t = true,
        num_args = 0..=1,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    device_metadata: bool,
    /// Folder with DeviceFaults: faults on purpose
    #[arg(long, env = "FAULTS", value_name = "FOLDER")]
    faults: Option<PathBuf>,
    /// Local socket that takes DeviceFaults, for `dray-driver fault`; whoever may write to it can break devices
    #[arg(long, env = "FAULT_SOCKET", value_name = "PATH")]
    fault_socket: Option<PathBuf>,
    /// How to reach the API server; by default as the pod's service account
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Folder with claims named NAMESPACE_NAME.json, in place of an API server
    #[arg(long, env = "CLAIMS_FROM", value_name = "FOLDER")]
    claims_from: Option<PathBuf>,
    /// Folder to write ResourceSlices to, in place of an API server
    #[arg(long, env = "SLICES_TO", value_name = "FOLDER", requires = "claims_from")]
    slices_to: Option<PathBuf>,
    /// Address of /healthz, /readyz and /metrics
    #[arg(long, env = "HTTP_ADDRESS", value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// Address of grpc.health.v1 with the services `liveness` and `readiness`
    #[arg(long, env = "GRPC_HEALTH_ADDRESS", value_name = "ADDRESS")]
    grpc_health: Option<SocketAddr>,
    /// Seconds between two looks at the devices
    #[arg(long, env = "INTERVAL_SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    interval_seconds: u64,
    /// Seconds that a device has to work without a fault until it is healthy again
    #[arg(long, env = "RECOVERY_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3600))]
    recovery_seconds: u64,
    /// Taint of a device that is unhealthy or has vanished
    #[arg(long, env = "UNHEALTHY_TAINT", value_enum, default_value = "NoSchedule")]
    unhealthy_taint: TaintEffect,
    /// Taint of a device of which nobody knows
    #[arg(long, env = "UNKNOWN_TAINT", value_enum, default_value = "off")]
    unknown_taint: TaintEffect,
    /// Key of these taints; by default the name of the driver and `/health`
    #[arg(long, env = "TAINT_KEY", value_name = "KEY")]
    taint_key: Option<String>,
    /// Seconds between two looks for claims that vanished; one that is gone twice is unprepared
    #[arg(long, env = "COLLECTION_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    collection_seconds: u64,
    /// Longest time that stopping may take, in seconds
    #[arg(long, env = "STOP_SECONDS", default_value_t = 10)]
    stop_seconds: u64,
    /// How messages look
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
}

impl Options {
    fn settings(&self) -> Settings {
        Settings {
            driver: self.driver_name.clone(),
            node: self.node_name.clone(),
            pod_uid: self.pod_uid.clone().filter(|uid| !uid.is_empty()),
            kubelet: self.kubelet_directory.clone(),
            cdi: self.cdi_directory.clone(),
            fault_socket: self.fault_socket.clone(),
            http: self.http,
            probes: self.grpc_health,
            interval: Duration::from_secs(self.interval_seconds),
            collection: Duration::from_secs(self.collection_seconds),
            patience: Duration::from_secs(self.stop_seconds),
            health: HealthRules {
                recovery: Duration::from_secs(self.recovery_seconds),
                ..HealthRules::default()
            },
            taints: self.taints(),
        }
    }

    fn taints(&self) -> TaintRules {
        let usual = TaintRules::new(&self.driver_name);
        TaintRules {
            key: self.taint_key.clone().filter(|key| !key.is_empty()).unwrap_or(usual.key),
            unhealthy: self.unhealthy_taint.effect(),
            unknown: self.unknown_taint.effect(),
        }
    }

    fn source(&self) -> Result<FaultyDevices<Box<dyn DeviceSource>>, SourceError> {
        let source: Box<dyn DeviceSource> = match (&self.inventory, &self.sysfs) {
            (Some(inventory), _) => Box::new(FakeDevices::open(inventory, &self.node_name)?),
            (None, None) if self.nvml.nvml.is_some() => {
                self.nvml.source(&self.node_name, Duration::from_secs(self.interval_seconds))?
            }
            (None, sysfs) => {
                let filter =
                    SysfsFilter { classes: self.pci_class.clone(), vendors: self.pci_vendor.clone() };
                let root = sysfs.clone().unwrap_or_else(|| PathBuf::from("/sys"));
                Box::new(SysfsDevices::new(&root, &self.node_name, filter))
            }
        };
        let source: Box<dyn DeviceSource> =
            if self.device_metadata { source } else { Box::new(Undescribed(source)) };
        Ok(FaultyDevices::new(Box::new(ConfiguredDevices(source)), self.faults.clone()))
    }
}

pub(crate) fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Doctor(options) => doctor::examine(&options),
        Command::Devices(arguments) => ended(devices::print(&arguments)),
        Command::Run(options) => ended(serve(&options)),
        Command::Fault(faults) => ended(make(&faults)),
        Command::SupportBundle(bundle) => ended(support::write(&bundle)),
        Command::Webhook(options) => ended(webhook::run(&options)),
    }
}

fn ended(outcome: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::from(2)
        }
    }
}

/// Tells a running driver of faults. All files are read before the first is told.
fn make(faults: &Faults) -> Result<(), Box<dyn std::error::Error>> {
    let mut messages: Vec<FaultMessage> =
        faults.end.iter().map(|end| FaultMessage::End { end: end.clone() }).collect();
    for file in &faults.begin {
        let read = fs::read_to_string(file).map_err(|error| error.to_string());
        let fault = read.and_then(|text| read_fault(&text));
        let fault = fault.map_err(|error| format!("`{}`: {error}", file.display()))?;
        messages.push(FaultMessage::Begin(Box::new(fault)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = runtime.block_on(tell_faults(&faults.socket, &messages));
    told.map_err(|error| format!("`{}`: {error}", faults.socket.display()).into())
}

fn serve(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let source = options.source()?;
    let (stop, stopped) = watch::channel(false);
    ctrlc::set_handler(move || {
        stop.send_replace(true);
    })?;
    let log = log(options.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let settings = options.settings();
    runtime.block_on(async {
        if let Some(folder) = &options.claims_from {
            let slices = options.slices_to.clone().map(SliceFiles::new).transpose()?.map(Arc::new);
            let claims = ClaimFiles::new(folder.clone());
            run(settings, source, Cluster { claims, slices, announcements: None }, stopped, log).await?;
        } else {
            let (driver, node) = (&options.driver_name, &options.node_name);
            let server = ApiServer::connect(options.kubeconfig.as_deref(), driver, node).await?;
            let claims = server.claims(Handle::current());
            let (announcements, receiver) = mpsc::channel(64);
            tokio::spawn(server.clone().announce(receiver));
            let cluster =
                Cluster { claims, slices: Some(Arc::new(server)), announcements: Some(announcements) };
            run(settings, source, cluster, stopped, log).await?;
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

/// A line on stderr. One that cannot be written is lost.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn log(format: LogFormat) -> Log {
    Arc::new(move |level, message, fields| {
        let name = if level == Level::Info { "info" } else { "warning" };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match format {
            LogFormat::Text => {
                let fields: Vec<String> =
                    fields.iter().map(|(key, value)| format!(" {key}={value:?}")).collect();
                say(&format!("{name}: {message}{}", fields.concat()));
            }
            LogFormat::Json => {
                let mut object = Map::new();
                object.insert("time".to_owned(), json!(now.as_secs_f64()));
                object.insert("level".to_owned(), json!(name));
                object.insert("message".to_owned(), json!(message));
                object.extend(fields.iter().map(|(key, value)| ((*key).to_owned(), json!(value))));
                say(&Value::Object(object).to_string());
            }
        }
    })
}
