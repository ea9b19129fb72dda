//! What a program reads: a log line for each source at intervals, and figures of the whole run at its end.

use std::{sync::Arc, time::Duration};

use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde::Serialize;

use super::{Rates, Snapshot, SourceSnapshot};
use crate::telemetry::{StreamTelemetry, Telemetry};

/// Logs one line for each source.
pub(super) fn log(snapshot: &Snapshot) {
    for SourceSnapshot { key, state, reason, rates, latency, .. } in &snapshot.sources {
        let Rates { received, processed, skipped, lost } = *rates;
        let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
        tracing::info!(
            source = %key,
            state = state.as_str(),
            reason = reason.as_deref(),
            received_fps = received,
            processed_fps = processed,
            skipped_fps = skipped,
            lost_fps = lost,
            latency_p50_ms = latency.map(|(p50, _)| millis(p50)),
            latency_p95_ms = latency.map(|(_, p95)| millis(p95)),
            "statistics"
        );
    }
}

/// What a run did, of the sources that the pod has at its end.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStatistics {
    /// When the pod began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// All sources together.
    #[serde(flatten)]
    pub total: Figures,
    /// One by one, by name.
    pub sources: Vec<SourceStatistics>,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatistics {
    /// Its name.
    pub source: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    #[serde(flatten)]
    #[allow(missing_docs, reason = "flattened")]
    pub figures: Figures,
}

/// Counts and latencies.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// When the last frame was published.
    pub last_frame: Option<Timestamp>,
    /// Frames published.
    pub frames: u64,
    /// Objects in them.
    pub detections: u64,
    /// Attempts that failed.
    pub errors: u64,
    /// Attempts after the first.
    pub reconnects: u64,
    /// Capture → published; absent where nothing was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<LatencyFigures>,
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencyFigures {
    /// The mean.
    pub mean: f64,
    /// The shortest.
    pub min: f64,
    /// The longest.
    pub max: f64,
    /// 19 of 20 are shorter.
    pub p95: f64,
}

impl LatencyFigures {
    fn of(micros: &Histogram<u64>) -> Option<Self> {
        let millis = |micros: u64| micros as f64 / 1e3;
        (!micros.is_empty()).then(|| Self {
            mean: micros.mean() / 1e3,
            min: millis(micros.min()),
            max: millis(micros.max()),
            p95: millis(micros.value_at_quantile(0.95)),
        })
    }
}

impl Figures {
    fn of(stream: &StreamTelemetry, latencies: &Histogram<u64>, now: Timestamp) -> Self {
        Self {
            last_frame: stream.since_last_published().and_then(|ago| now.checked_sub(ago).ok()),
            frames: stream.processed(),
            detections: stream.objects(),
            errors: stream.failures().values().sum(),
            reconnects: stream.attempts().saturating_sub(1),
            latency_ms: LatencyFigures::of(latencies),
        }
    }

    fn add(&mut self, more: &Self) {
        self.last_frame = self.last_frame.max(more.last_frame);
        self.frames += more.frames;
        self.detections += more.detections;
        self.errors += more.errors;
        self.reconnects += more.reconnects;
    }
}

impl WorkerStatistics {
    /// Of everything up to `now`.
    #[must_use]
    pub fn of(telemetry: &Telemetry, now: Timestamp) -> Self {
        let mut total =
            Figures { last_frame: None, frames: 0, detections: 0, errors: 0, reconnects: 0, latency_ms: None };
        let mut all: Option<Histogram<u64>> = None;
        let mut sources = Vec::new();
        for (key, stream) in telemetry.sources().iter() {
            let latencies = stream.latency();
            let figures = Figures::of(stream, &latencies, now);
            total.add(&figures);
            match &mut all {
                // The histograms are all of one kind, so adding cannot fail.
                Some(all) => all.add(&latencies).unwrap_or_else(|error| unreachable!("{error}")),
                None => all = Some(latencies),
            }
            sources.push(SourceStatistics { source: key.name.clone(), namespace: key.namespace.clone(), figures });
        }
        total.latency_ms = all.as_ref().and_then(LatencyFigures::of);
        Self { start: now.checked_sub(telemetry.uptime()).unwrap_or(now), end: now, total, sources }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        observation::SourceKey,
        source::{Failure, Reason},
    };

    #[test]
    fn sources_add_up() {
        let telemetry = Telemetry::default();
        let gate = telemetry.add_source(&SourceKey::new("shop", "gate"));
        gate.count_attempt();
        gate.count_processed(2, Duration::from_millis(20));
        gate.count_processed(1, Duration::from_millis(40));
        let yard = telemetry.add_source(&SourceKey::new("shop", "yard"));
        yard.count_attempt();
        yard.set_last_failure(Failure::new(Reason::HostUnreachable, "refused"));
        yard.count_attempt();
        yard.count_processed(4, Duration::from_millis(60));
        let now = Timestamp::now();
        let statistics = WorkerStatistics::of(&telemetry, now);
        let total = &statistics.total;
        assert_eq!((total.frames, total.detections, total.errors, total.reconnects), (3, 7, 1, 1));
        let latency = total.latency_ms.unwrap();
        assert!((latency.mean - 40.0).abs() < 0.5 && (latency.min - 20.0).abs() < 0.5, "{latency:?}");
        assert!((latency.max - 60.0).abs() < 0.5 && (latency.p95 - 60.0).abs() < 0.5, "{latency:?}");
        assert!(total.last_frame.unwrap() <= now && statistics.start <= total.last_frame.unwrap());
        let json = serde_json::to_value(&statistics).unwrap();
        assert_eq!((&json["frames"], &json["sources"][1]["errors"]), (&3.into(), &1.into()));
    }

    #[test]
    fn a_run_without_frames_has_no_latencies() {
        let statistics = WorkerStatistics::of(&Telemetry::default(), Timestamp::now());
        assert_eq!((statistics.total.frames, statistics.total.latency_ms), (0, None));
    }
}
