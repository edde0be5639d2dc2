//! The health stream (`DRAResourceHealth`, KEP-4680) in both versions.
//!
//! The kubelet keeps the last report of a driver that falls silent or dies, so the stream says *unknown* before it
//! ends, and repeats every report three times within the shortest timeout.

use std::{
    marker::PhantomData,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tonic::{Status, body::Body, codegen::tokio_stream::wrappers::ReceiverStream};

use super::{
    messages,
    rpc::{Answer, Methods, streaming},
};

/// Octets of the longest message that the kubelet shows. It cuts what is longer, also in the middle of a character.
const LONGEST_MESSAGE: usize = 1024;
/// Timeout that the kubelet assumes when none is given.
pub const USUAL_TIMEOUT: Duration = Duration::from_secs(30);

/// State of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HealthState {
    /// Nobody can tell, for example because the monitor stopped.
    #[default]
    Unknown,
    /// The device works.
    Healthy,
    /// The device does not work.
    Unhealthy,
}

/// Health of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceHealth {
    /// Pool of the device.
    pub pool_name: String,
    /// Name of the device in its pool.
    pub device_name: String,
    /// State of the device.
    pub state: HealthState,
    /// What users read in the pod's status. Should only change with the state, since each change is a write.
    pub message: String,
    /// When the state was found.
    pub since: SystemTime,
    /// After this long without a report the kubelet takes the state for unknown; zero means [`USUAL_TIMEOUT`].
    pub timeout: Duration,
}

/// Health of all devices of the driver: a device that is left out becomes unknown when its timeout passes.
pub type HealthReport = Vec<DeviceHealth>;

pub(super) trait Version: Clone + Send + Sync + 'static {
    const SERVICE: &'static str;
}

/// Kubernetes 1.37 and later.
#[derive(Clone)]
pub(super) struct V1;

impl Version for V1 {
    const SERVICE: &'static str = "v1.DRAResourceHealth";
}

/// Kubernetes 1.34 to about 1.39.
#[derive(Clone)]
pub(super) struct V1Alpha1;

impl Version for V1Alpha1 {
    const SERVICE: &'static str = "v1alpha1.DRAResourceHealth";
}

#[derive(Clone)]
pub(super) struct ResourceHealth<V> {
    reports: watch::Receiver<HealthReport>,
    stop: watch::Receiver<bool>,
    version: PhantomData<V>,
}

impl<V> ResourceHealth<V> {
    pub(super) fn new(reports: watch::Receiver<HealthReport>, stop: watch::Receiver<bool>) -> Self {
        Self { reports, stop, version: PhantomData }
    }
}

impl<V: Version> Methods for ResourceHealth<V> {
    const SERVICE: &'static str = V::SERVICE;

    fn call(&self, method: &str, request: http::Request<Body>) -> Option<Answer> {
        if method != "NodeWatchResources" {
            return None;
        }
        let (reports, stop) = (self.reports.clone(), self.stop.clone());
        Some(streaming(request, move |_: messages::WatchRequest| {
            let (sender, receiver) = mpsc::channel(1);
            tokio::spawn(send_reports(reports.clone(), stop.clone(), sender));
            ReceiverStream::new(receiver)
        }))
    }
}

type Sender = mpsc::Sender<Result<messages::WatchResponse, Status>>;

/// Sends until the kubelet hangs up or the driver stops. A report without devices is not sent: a driver that has
/// nothing to say keeps the stream open, because kubelets before 1.37 ask again for ever when it ends.
async fn send_reports(
    mut reports: watch::Receiver<HealthReport>,
    mut stop: watch::Receiver<bool>,
    sender: Sender,
) {
    let mut monitored = true;
    loop {
        let stopping = *stop.borrow_and_update();
        let unknown = match (stopping, monitored) {
            (true, _) => Some("the driver is stopping"),
            (false, false) => Some("the health monitor stopped"),
            (false, true) => None,
        };
        let (response, pause) = {
            // Of thousands of devices this is copied once, into the message.
            let report = reports.borrow_and_update();
            ((!report.is_empty()).then(|| response(&report, unknown)), resend(&report))
        };
        let heard = match response {
            Some(response) => sender.send(Ok(response)).await.is_ok(),
            None => true,
        };
        if !heard || stopping {
            return;
        }
        tokio::select! {
            changed = timeout(pause, reports.changed()), if monitored => {
                monitored = !matches!(changed, Ok(Err(_)));
            }
            () = tokio::time::sleep(pause), if !monitored => {}
            result = stop.changed() => if result.is_err() { return },
            () = sender.closed() => return,
        }
    }
}

fn resend(report: &HealthReport) -> Duration {
    let shortest = report.iter().map(|device| device.timeout).filter(|timeout| !timeout.is_zero()).min();
    (shortest.unwrap_or(USUAL_TIMEOUT) / 3).max(Duration::from_millis(100))
}

/// The message for a report; with `unknown` nobody knows of any device, for that reason.
fn response(report: &HealthReport, unknown: Option<&str>) -> messages::WatchResponse {
    let devices = report.iter().map(|device| messages::DeviceHealth {
        device: Some(messages::DeviceIdentifier {
            pool_name: device.pool_name.clone(),
            device_name: device.device_name.clone(),
        }),
        health: match device.state {
            HealthState::Healthy if unknown.is_none() => 1,
            HealthState::Unhealthy if unknown.is_none() => 2,
            _ => 0,
        },
        last_updated_time: device
            .since
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_secs()).ok())
            .unwrap_or(0),
        // Whole seconds on the wire, and 0 would mean the kubelet's own default.
        health_check_timeout_seconds: i64::try_from(device.timeout.as_millis().div_ceil(1000)).unwrap_or(0),
        message: cut(unknown.unwrap_or(&device.message)),
    });
    messages::WatchResponse { devices: devices.collect() }
}

/// At most [`LONGEST_MESSAGE`] octets of whole characters.
fn cut(message: &str) -> String {
    message[..message.floor_char_boundary(LONGEST_MESSAGE)].to_owned()
}
