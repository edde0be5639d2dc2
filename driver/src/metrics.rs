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
    /// The text that Prometheus reads, with `driver` as the one label of everything: all of one metric together, after
    /// what it is.
    pub fn text(&self, driver: &str) -> String {
        let mut text = Text { text: String::new(), label: format!("driver=\"{driver}\"") };
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed).to_string();
        let methods = [("prepare", &self.prepare), ("unprepare", &self.unprepare)]
            .map(|(name, method)| (format!(",method=\"{name}\""), method));
        text.family("requests_total", "counter", "Calls for one claim that have ended.");
        for (of, method) in &methods {
            for (status, number) in method.statuses() {
                text.line("requests_total", &format!("{of},status=\"{status}\""), &get(number));
            }
        }
        text.family("requests_inflight", "gauge", "Calls for one claim that run.");
        for (of, method) in &methods {
            text.line("requests_inflight", of, &method.running.load(Ordering::Relaxed).to_string());
        }
        text.family("request_duration_seconds", "histogram", "How long calls for one claim took.");
        for (of, method) in &methods {
            let mut sum = 0;
            for (bound, bucket) in BUCKETS.iter().zip(&method.buckets) {
                sum += bucket.load(Ordering::Relaxed);
                let (seconds, rest) = (bound / 1000, bound % 1000);
                let labels = format!("{of},le=\"{seconds}.{rest:03}\"");
                text.line("request_duration_seconds_bucket", &labels, &sum.to_string());
            }
            let count: u64 = method.statuses().map(|(_, number)| number.load(Ordering::Relaxed)).iter().sum();
            // A call may end between the two counts.
            let count = count.max(sum).to_string();
            text.line("request_duration_seconds_bucket", &format!("{of},le=\"+Inf\""), &count);
            let microseconds = method.microseconds.load(Ordering::Relaxed);
            let seconds = format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000);
            text.line("request_duration_seconds_sum", of, &seconds);
            text.line("request_duration_seconds_count", of, &count);
        }
        for (name, kind, help, number) in [
            ("prepared_claims", "gauge", "Claims that are prepared.", &self.prepared_claims),
            ("prepared_devices", "gauge", "Devices that prepared claims hold.", &self.prepared_devices),
            (
                "published_devices",
                "gauge",
                "Devices in the pools that are to be published.",
                &self.published_devices,
            ),
            (
                "last_publish_timestamp_seconds",
                "gauge",
                "When the pools changed last, in seconds since 1970.",
                &self.last_publish,
            ),
            ("source_errors_total", "counter", "Failed looks at the devices.", &self.source_errors),
            ("registered", "gauge", "Whether the kubelet has registered the driver.", &self.registered),
        ] {
            text.family(name, kind, help);
            text.line(name, "", &get(number));
        }
        text.family("devices", "gauge", "Devices by health.");
        for (state, number) in ["unknown", "healthy", "unhealthy"].iter().zip(&self.health) {
            text.line("devices", &format!(",health=\"{state}\""), &get(number));
        }
        text.text
    }
}

/// What is written for Prometheus.
struct Text {
    text: String,
    label: String,
}

// Writing to a string cannot fail.
impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP dray_driver_{name} {help}\n# TYPE dray_driver_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: &str) {
        let _ = writeln!(self.text, "dray_driver_{name}{{{}{labels}}} {value}", self.label);
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
    fn statuses(&self) -> [(&'static str, &AtomicU64); 3] {
        [("ok", &self.succeeded), ("transient", &self.transient), ("permanent", &self.permanent)]
    }

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

    /// A scraper takes what comes after another metric for another one of the same name.
    #[test]
    fn all_lines_of_a_metric_are_together_after_what_it_is() {
        let text = Metrics::default().text("gpu.example.com");
        let mut families: Vec<(&str, &str)> = Vec::new();
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').expect("a kind");
                assert!(families.iter().all(|(other, _)| *other != name), "{name} comes twice");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                families.push((name, kind));
            } else if !line.starts_with("# HELP ") {
                let (name, kind) = families.last().expect("a family");
                let (found, rest) = line.split_once('{').expect("labels");
                let suffix = found.strip_prefix(name).unwrap_or_else(|| panic!("{line} after {name}"));
                let suffixes: &[&str] =
                    if *kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(suffixes.contains(&suffix), "{line}");
                let (labels, value) = rest.split_once("} ").expect("a value");
                assert!(labels.starts_with("driver=\"gpu.example.com\""), "{line}");
                value.parse::<f64>().expect("a number");
            }
        }
        assert_eq!(families.len(), 10);
    }
}
