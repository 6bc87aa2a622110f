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
    /// Months ahead that have partitions: shown once it is known, and of PostgreSQL alone.
    partitions_ahead: Family<[(String, String); 0], Gauge>,
    /// Entries appended to the logs by this process, by kind.
    pub appended: Family<Kind, Counter>,
    /// Receipts written on resources.
    pub receipts: Counter,
    /// Resources released after their window.
    pub released: Counter,
    /// Appends that failed.
    pub append_failures: Counter,
    /// Seconds an append took.
    pub append_seconds: Histogram,
    /// Checkpoints made by this process.
    pub checkpoints: Counter,
    /// Times that none could be made although there was something new.
    pub checkpoint_failures: Counter,
    /// Times that a witness did not cosign.
    pub witness_failures: Counter,
    /// Times that the certificate could not be renewed, as the log was told.
    pub tls_renewal_failures: Counter,
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
            partitions_ahead: Family::default(),
            appended: Family::default(),
            receipts: Counter::default(),
            released: Counter::default(),
            append_failures: Counter::default(),
            append_seconds: Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0]),
            checkpoints: Counter::default(),
            checkpoint_failures: Counter::default(),
            witness_failures: Counter::default(),
            tls_renewal_failures: Counter::default(),
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
        registry.register(
            "partitions_ahead_months",
            "Months after the present one that have partitions of their own",
            metrics.partitions_ahead.clone(),
        );
        registry.register("appended_entries", "Entries appended to the logs", metrics.appended.clone());
        registry.register("receipts_written", "Receipts written on resources", metrics.receipts.clone());
        registry.register("released", "Resources released after their window", metrics.released.clone());
        registry.register("append_failures", "Appends that failed", metrics.append_failures.clone());
        registry.register("append_seconds", "Time an append took", metrics.append_seconds.clone());
        registry.register("checkpoints", "Checkpoints made", metrics.checkpoints.clone());
        registry.register(
            "checkpoint_failures",
            "Times no checkpoint could be made although there was something new",
            metrics.checkpoint_failures.clone(),
        );
        registry.register(
            "witness_failures",
            "Times a witness did not cosign a checkpoint",
            metrics.witness_failures.clone(),
        );
        registry.register(
            "tls_renewal_failures",
            "Times the files of the certificate were found and could not be used",
            metrics.tls_renewal_failures.clone(),
        );
        Self { registry, ..metrics }
    }

    /// Sets for how many months ahead there are partitions.
    pub fn set_partitions_ahead(&self, months: i64) {
        self.partitions_ahead.get_or_create(&[]).set(months);
    }

    /// OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_documented() {
        let metrics = Metrics::new();
        // A family is shown once it has a member.
        metrics.set_partitions_ahead(6);
        metrics.appended.get_or_create(&Kind { kind: "gap" }).inc();
        let text = metrics.text();
        let types: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert!(types.len() >= 10, "{text}");
        let documented = include_str!("../../../docs/operating.md");
        for of in types {
            let (name, kind) = of.split_once(' ').unwrap();
            let total = if kind == "counter" { "_total" } else { "" };
            assert!(
                documented.contains(&format!("| `{name}{total}` |")),
                "{name} is not in docs/operating.md"
            );
        }
    }
}
