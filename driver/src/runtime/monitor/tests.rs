//! What is asked of a source, and when.

use std::sync::atomic::AtomicUsize;

use drayage_crds::DeviceFault;
use serde_json::Value;

use super::*;
use crate::{
    cdi::ContainerEdits,
    claims::{AllocatedDevice, Devices, HeldDevice},
    devices::{DeviceSource, FaultyDevices, PoolDevice, SourceError, read_fault},
    health::{HealthRules, TaintRules},
    kubelet::{ClaimReference, Failure},
    node::ReadError,
};

/// A source that counts how often it is asked.
#[derive(Default)]
struct Counted {
    pools: Arc<AtomicUsize>,
    looks: Arc<AtomicUsize>,
    news: watch::Sender<u64>,
}

impl Devices for Counted {
    fn edits(&self, _: &ClaimReference, _: &AllocatedDevice) -> Result<ContainerEdits, Failure> {
        Ok(ContainerEdits::default())
    }

    fn start(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }

    fn stop(&self, _: &ClaimReference, _: &[HeldDevice]) -> Result<(), Failure> {
        Ok(())
    }
}

impl DeviceSource for Counted {
    fn pools(&self) -> Result<Vec<Pool>, SourceError> {
        self.pools.fetch_add(1, Ordering::Relaxed);
        let devices = vec![PoolDevice { name: "gpu-0".to_owned(), ..PoolDevice::default() }];
        Ok(vec![Pool { name: "node-1".to_owned(), devices, shared_counters: Vec::new() }])
    }

    fn observe(&self) -> Result<Vec<Observation>, SourceError> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let (pool, device) = ("node-1".to_owned(), "gpu-0".to_owned());
        Ok(vec![Observation { pool, device, condition: Condition::Works }])
    }

    fn changed(&self) -> Option<watch::Receiver<u64>> {
        Some(self.news.subscribe())
    }
}

struct NoClaims;

impl ClaimReader for NoClaims {
    fn claim(&self, _: &ClaimReference) -> Result<Value, ReadError> {
        Err(ReadError::Gone)
    }
}

fn settings() -> Settings {
    Settings {
        driver: "gpu.example.com".to_owned(),
        node: "node-1".to_owned(),
        pod_uid: None,
        kubelet: "/nonexistent".into(),
        cdi: "/nonexistent".into(),
        fault_socket: None,
        http: None,
        probes: None,
        // Nothing here happens because time has passed.
        interval: Duration::from_hours(1),
        collection: Duration::from_hours(1),
        patience: Duration::from_secs(1),
        health: HealthRules { silence: Duration::from_hours(1), ..HealthRules::default() },
        taints: TaintRules::new("gpu.example.com"),
    }
}

fn fault() -> DeviceFault {
    read_fault(
        "{apiVersion: drayage.dev/v1alpha1, kind: DeviceFault, metadata: {name: a}, spec: {fault: Unhealthy}}",
    )
    .expect("a fault")
}

/// Of thousands of devices the pools are most of the work of a look, and a fault that is told of changes none of them.
#[tokio::test]
async fn a_fault_is_told_of_without_reading_the_pools_again() {
    let counted = Counted::default();
    let (pools, looks, news) = (Arc::clone(&counted.pools), Arc::clone(&counted.looks), counted.news.clone());
    let source: Source = Arc::new(FaultyDevices::new(Box::new(counted) as Box<dyn DeviceSource>, None));
    let (reports, mut report) = watch::channel(HealthReport::default());
    let (_state, state) = watch::channel(RegistrationState::Waiting);
    let monitor = Monitor {
        settings: settings(),
        source: Arc::clone(&source),
        guard: Arc::new(Guard::new("gpu.example.com", "node-1")),
        node: Arc::new(Node::new("gpu.example.com", NoClaims)),
        metrics: Arc::default(),
        reports,
        pools: watch::channel(None).0,
        state,
        log: Arc::new(|_, _, _| {}),
    };
    let running = tokio::spawn(monitor.run());
    let states = |report: &HealthReport| report.iter().map(|device| device.state).collect::<Vec<_>>();
    let asked = || (pools.load(Ordering::Relaxed), looks.load(Ordering::Relaxed));
    report.wait_for(|report| states(report) == [HealthState::Healthy]).await.expect("a first report");
    assert_eq!(asked(), (1, 1));
    source.begin(fault());
    report.wait_for(|report| states(report) == [HealthState::Unhealthy]).await.expect("a report");
    assert_eq!(asked(), (1, 2));
    // What the source hears of by itself may be another device.
    news.send_modify(|number| *number += 1);
    while asked() != (2, 3) {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.abort();
}
