//! What can be seen of a running dualaudit from outside: OpenMetrics.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Every metric, and the registry that prints them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Live executions in the cluster.
    pub live: Gauge,
    /// Recorded executions that stay for review.
    pub retained: Gauge,
    /// Ended executions that cannot be recorded at present.
    pub blocked: Gauge,
    /// For how long the oldest of them has waited.
    pub blocked_oldest_seconds: Gauge,
    /// Entries appended to the logs by this process, by kind.
    pub appended: Family<Kind, Counter>,
    /// Appends that failed.
    pub append_failures: Counter,
    /// Seconds an append took.
    pub append_seconds: Histogram,
}

/// The kind of an entry, as a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    /// As in [`dualaudit_record::EntryKind::as_str`].
    pub kind: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("dualaudit");
        let metrics = Self {
            live: Gauge::default(),
            retained: Gauge::default(),
            blocked: Gauge::default(),
            blocked_oldest_seconds: Gauge::default(),
            appended: Family::default(),
            append_failures: Counter::default(),
            append_seconds: Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0]),
            registry: Registry::default(),
        };
        let gauges = [
            ("live_executions", "Executions in the cluster", &metrics.live),
            ("retained_executions", "Recorded executions kept in the cluster for review", &metrics.retained),
            ("blocked_executions", "Ended executions that cannot be recorded at present", &metrics.blocked),
            (
                "blocked_oldest_seconds",
                "How long the oldest of them has waited",
                &metrics.blocked_oldest_seconds,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        registry.register("appended_entries", "Entries appended to the logs", metrics.appended.clone());
        registry.register("append_failures", "Appends that failed", metrics.append_failures.clone());
        registry.register("append_seconds", "Time an append took", metrics.append_seconds.clone());
        Self { registry, ..metrics }
    }

    /// OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}
