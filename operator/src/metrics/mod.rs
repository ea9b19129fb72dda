//! What the operator tells of itself under `/metrics`. Names and labels are stable; labels are words of the program and
//! never names of objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    sync::PoisonError,
    time::Duration,
};

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// From 1 ms to 4 s.
const SECONDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0];

/// All metrics.
pub struct Metrics {
    registry: Registry,
    decisions: IntCounterVec,
    writes: IntCounterVec,
    write_seconds: HistogramVec,
    events_dropped: IntCounterVec,
    plan_seconds: Histogram,
    round_seconds: Histogram,
    poll_seconds: Histogram,
    poll_failures: IntCounterVec,
    watch_failures: IntCounterVec,
    pending: Labelled,
    sources: Labelled,
    pods: Labelled,
    unreadable: IntGauge,
    leader: IntGauge,
}

/// A gauge by label, of which values that are no longer there go.
struct Labelled {
    gauge: IntGaugeVec,
    known: Mutex<BTreeSet<String>>,
}

impl Labelled {
    fn set(&self, values: &BTreeMap<&str, i64>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(values.keys().map(|&label| label.to_owned()));
        for label in &*known {
            self.gauge.with_label_values(&[label]).set(values.get(label.as_str()).copied().unwrap_or(0));
        }
    }
}

impl Metrics {
    /// Registers all of them.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let histogram = |name: &str, help: &str| {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let labelled = |name: &str, help: &str, label: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(Labelled { gauge, known: Mutex::default() })
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let write_seconds = HistogramVec::new(
            HistogramOpts::new("vision_operator_api_write_seconds", "How long writes to the API server took.")
                .buckets(SECONDS.to_vec()),
            &["kind"],
        )?;
        registry.register(Box::new(write_seconds.clone()))?;
        Ok(Self {
            decisions: counter(
                "vision_operator_decisions_total",
                "What the planner decided and the API server took.",
                &["action", "reason"],
            )?,
            writes: counter(
                "vision_operator_api_writes_total",
                "Writes to the API server; result: ok, conflict, refused or failed.",
                &["kind", "verb", "result"],
            )?,
            write_seconds,
            events_dropped: counter("vision_operator_events_dropped_total", "Events that were not told.", &["why"])?,
            plan_seconds: histogram("vision_operator_plan_seconds", "How long one call of the planner took.")?,
            round_seconds: histogram(
                "vision_operator_round_seconds",
                "How long one round took: snapshot, plan and writes.",
            )?,
            poll_seconds: histogram("vision_operator_poll_seconds", "How long pods took to answer.")?,
            poll_failures: counter(
                "vision_operator_poll_failures_total",
                "Questions that a pod did not answer; starting pods count too.",
                &["why"],
            )?,
            watch_failures: counter("vision_operator_watch_failures_total", "Watches that broke.", &["kind"])?,
            pending: labelled("vision_operator_sources_pending", "Sources without a pod, by reason.", "reason")?,
            sources: labelled("vision_operator_sources", "Sources by state.", "state")?,
            pods: labelled("vision_operator_pods", "Analytics pods by phase.", "phase")?,
            unreadable: gauge("vision_operator_unreadable_objects", "Objects that cannot be read.")?,
            leader: gauge("vision_operator_leader", "1 while this replica decides, else 0.")?,
            registry,
        })
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8(text).unwrap_or_default(),
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be written");
                String::new()
            }
        }
    }

    pub(crate) fn decided(&self, action: &str, reason: &str) {
        self.decisions.with_label_values(&[action, reason]).inc();
    }

    pub(crate) fn wrote(&self, kind: &str, verb: &str, result: &str, took: Duration) {
        self.writes.with_label_values(&[kind, verb, result]).inc();
        self.write_seconds.with_label_values(&[kind]).observe(took.as_secs_f64());
    }

    pub(crate) fn event_dropped(&self, why: &str) {
        self.events_dropped.with_label_values(&[why]).inc();
    }

    pub(crate) fn planned(&self, took: Duration) {
        self.plan_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn round(&self, took: Duration) {
        self.round_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn polled(&self, took: Duration, failure: Option<&str>) {
        match failure {
            None => self.poll_seconds.observe(took.as_secs_f64()),
            Some(why) => self.poll_failures.with_label_values(&[why]).inc(),
        }
    }

    pub(crate) fn watch_failed(&self, kind: &str) {
        self.watch_failures.with_label_values(&[kind]).inc();
    }

    pub(crate) fn stands(
        &self,
        sources: &BTreeMap<&str, i64>,
        pending: &BTreeMap<&str, i64>,
        pods: &BTreeMap<&str, i64>,
        unreadable: usize,
    ) {
        self.sources.set(sources);
        self.pending.set(pending);
        self.pods.set(pods);
        self.unreadable.set(i64::try_from(unreadable).unwrap_or(i64::MAX));
    }

    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }
}
