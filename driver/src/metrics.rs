//! What the driver counts, as Prometheus reads it. Labels have few values: no claim, pod or device is among them.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::kubelet::{ClaimReference, Failure, NodePlugin, PreparedDevice};

/// Upper bounds of the buckets of durations, in milliseconds. The kubelet gives a call 45 seconds.
const BUCKETS: [u64; 10] = [1, 5, 10, 50, 100, 500, 1_000, 5_000, 15_000, 45_000];

/// Counters of one method.
#[derive(Debug, Default)]
struct Method {
    succeeded: AtomicU64,
    transient: AtomicU64,
    permanent: AtomicU64,
    running: AtomicI64,
    buckets: [AtomicU64; BUCKETS.len()],
    microseconds: AtomicU64,
}

/// All counters and gauges of a driver.
#[derive(Debug, Default)]
pub struct Metrics {
    prepare: Method,
    unprepare: Method,
    /// Claims that are prepared.
    pub prepared_claims: AtomicU64,
    /// Devices that prepared claims hold.
    pub prepared_devices: AtomicU64,
    /// Devices in the pools that are to be published.
    pub published_devices: AtomicU64,
    /// Seconds since 1970 when the pools changed last.
    pub last_publish: AtomicU64,
    /// Devices by health: unknown, healthy, unhealthy.
    pub health: [AtomicU64; 3],
    /// Failed looks at the devices.
    pub source_errors: AtomicU64,
    /// Whether the kubelet has registered the driver.
    pub registered: AtomicU64,
}

impl Metrics {
    /// The text that Prometheus reads, with `driver` as the one label of everything.
    pub fn text(&self, driver: &str) -> String {
        let mut text = String::new();
        let label = format!("driver=\"{driver}\"");
        let methods = [("prepare", &self.prepare), ("unprepare", &self.unprepare)];
        // Writing to a string cannot fail.
        let mut line = |name: &str, labels: &str, value: &str| {
            let _ = writeln!(text, "dray_driver_{name}{{{label}{labels}}} {value}");
        };
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed).to_string();
        for (name, method) in methods {
            let of = format!(",method=\"{name}\"");
            let statuses = [
                ("ok", &method.succeeded),
                ("transient", &method.transient),
                ("permanent", &method.permanent),
            ];
            for (status, number) in statuses {
                line("requests_total", &format!("{of},status=\"{status}\""), &get(number));
            }
            line("requests_inflight", &of, &method.running.load(Ordering::Relaxed).to_string());
            let mut sum = 0;
            for (bound, bucket) in BUCKETS.iter().zip(&method.buckets) {
                sum += bucket.load(Ordering::Relaxed);
                let (seconds, rest) = (bound / 1000, bound % 1000);
                let labels = format!("{of},le=\"{seconds}.{rest:03}\"");
                line("request_duration_seconds_bucket", &labels, &sum.to_string());
            }
            let count: u64 = statuses.iter().map(|(_, number)| number.load(Ordering::Relaxed)).sum();
            let count = count.to_string();
            line("request_duration_seconds_bucket", &format!("{of},le=\"+Inf\""), &count);
            line("request_duration_seconds_count", &of, &count);
            let microseconds = method.microseconds.load(Ordering::Relaxed);
            let seconds = format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000);
            line("request_duration_seconds_sum", &of, &seconds);
        }
        for (name, number) in [
            ("prepared_claims", &self.prepared_claims),
            ("prepared_devices", &self.prepared_devices),
            ("published_devices", &self.published_devices),
            ("last_publish_timestamp_seconds", &self.last_publish),
            ("source_errors_total", &self.source_errors),
            ("registered", &self.registered),
        ] {
            line(name, "", &get(number));
        }
        for (state, number) in ["unknown", "healthy", "unhealthy"].iter().zip(&self.health) {
            line("devices", &format!(",health=\"{state}\""), &get(number));
        }
        text
    }
}

/// A plugin whose calls are counted.
#[derive(Debug)]
pub struct Measured<P> {
    plugin: Arc<P>,
    metrics: Arc<Metrics>,
}

impl<P> Measured<P> {
    /// `plugin`, counted in `metrics`.
    pub fn new(plugin: Arc<P>, metrics: Arc<Metrics>) -> Self {
        Self { plugin, metrics }
    }
}

impl Method {
    fn begin(&self) -> Instant {
        self.running.fetch_add(1, Ordering::Relaxed);
        Instant::now()
    }

    fn end<T>(&self, start: Instant, result: &Result<T, Failure>) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        let number = match result {
            Ok(_) => &self.succeeded,
            Err(Failure::Transient(_)) => &self.transient,
            Err(Failure::Permanent(_)) => &self.permanent,
        };
        number.fetch_add(1, Ordering::Relaxed);
        self.took(start.elapsed());
    }

    fn took(&self, time: Duration) {
        let fits = |bound: &u64| time <= Duration::from_millis(*bound);
        if let Some(bucket) = BUCKETS.iter().position(fits).and_then(|place| self.buckets.get(place)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.microseconds.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl<P: NodePlugin> NodePlugin for Measured<P> {
    async fn prepare(&self, claim: &ClaimReference) -> Result<Vec<PreparedDevice>, Failure> {
        let start = self.metrics.prepare.begin();
        let result = self.plugin.prepare(claim).await;
        self.metrics.prepare.end(start, &result);
        result
    }

    async fn unprepare(&self, claim: &ClaimReference) -> Result<(), Failure> {
        let start = self.metrics.unprepare.begin();
        let result = self.plugin.unprepare(claim).await;
        self.metrics.unprepare.end(start, &result);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_cumulative_buckets_and_no_claim() {
        let metrics = Metrics::default();
        for (milliseconds, result) in [
            (3, Ok(())),
            (70, Err(Failure::Transient("a".to_owned()))),
            (60_000, Err(Failure::Permanent("b".to_owned()))),
        ] {
            metrics.prepare.running.fetch_add(1, Ordering::Relaxed);
            let start =
                Instant::now().checked_sub(Duration::from_millis(milliseconds)).expect("not so long ago");
            metrics.prepare.end(start, &result);
        }
        let text = metrics.text("gpu.example.com");
        for line in [
            r#"dray_driver_requests_total{driver="gpu.example.com",method="prepare",status="transient"} 1"#,
            r#"dray_driver_requests_inflight{driver="gpu.example.com",method="prepare"} 0"#,
            r#"dray_driver_request_duration_seconds_bucket{driver="gpu.example.com",method="prepare",le="45.000"} 2"#,
            r#"dray_driver_request_duration_seconds_bucket{driver="gpu.example.com",method="prepare",le="+Inf"} 3"#,
            r#"dray_driver_request_duration_seconds_count{driver="gpu.example.com",method="unprepare"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
