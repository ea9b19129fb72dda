//! What the pod did, told at its end.

use std::{
    fmt::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use crate::{
    observation::SourceKey,
    source::Reason,
    telemetry::{DropReason, StreamTelemetry, Telemetry},
};

/// What one source brought.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSummary {
    /// The source.
    pub key: SourceKey,
    /// Frames that arrived.
    pub received: u64,
    /// Frames that were published.
    pub processed: u64,
    /// Frames left out because nobody asked for them.
    pub skipped: u64,
    /// Frames lost because the pod was too slow or the stream broken.
    pub lost: u64,
    /// Frames published per second between the first and the last; `None` with fewer than two.
    pub fps: Option<f64>,
    /// 50th, 95th and 99th percentile of capture → published; `None` where nothing was published.
    pub latency: Option<[Duration; 3]>,
    /// Objects in all published frames by class, most frequent first.
    pub objects: Vec<(Arc<str>, u64)>,
    /// Attempts after the first.
    pub reconnects: u64,
    /// Failed attempts by reason.
    pub failures: Vec<(Reason, u64)>,
}

impl SourceSummary {
    fn of(key: &SourceKey, stream: &StreamTelemetry) -> Self {
        let dropped = |by_request: bool| {
            DropReason::ALL.into_iter().filter(|r| r.is_by_request() == by_request).map(|r| stream.dropped(r)).sum()
        };
        let recorded = stream.latency();
        let quantile = |quantile: f64| Duration::from_micros(recorded.value_at_quantile(quantile));
        let mut objects: Vec<_> =
            stream.objects_by_class().into_iter().map(|count| (count.label, count.total)).collect();
        objects.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Self {
            key: key.clone(),
            received: stream.received(),
            processed: stream.processed(),
            skipped: dropped(true),
            lost: dropped(false),
            fps: stream.processed_fps(),
            latency: (!recorded.is_empty()).then(|| [0.5, 0.95, 0.99].map(quantile)),
            objects,
            reconnects: stream.attempts().saturating_sub(1),
            failures: stream.failures().into_iter().collect(),
        }
    }
}

/// What every source brought. Its text form is a table for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Every source, by name.
    pub sources: Vec<SourceSummary>,
    /// Time since the pod began.
    pub uptime: Duration,
}

impl Summary {
    /// What the sources that the pod has now brought so far.
    #[must_use]
    pub fn of(telemetry: &Telemetry) -> Self {
        let sources = telemetry.sources().iter().map(|(key, stream)| SourceSummary::of(key, stream)).collect();
        Self { sources, uptime: telemetry.uptime() }
    }

    /// Sources in which no object was found.
    pub fn without_detections(&self) -> impl Iterator<Item = &SourceKey> {
        self.sources.iter().filter(|source| source.objects.is_empty()).map(|source| &source.key)
    }
}

const HEADER: [&str; 11] =
    ["CAMERA", "RECEIVED", "PROCESSED", "SKIPPED", "LOST", "FPS", "P50", "P95", "P99", "RECONNECTS", "OBJECTS"];

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = std::iter::once(HEADER.map(str::to_owned)).chain(self.sources.iter().map(cells)).collect();
        let mut widths = [0; HEADER.len()];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        writeln!(f, "ran for {}", duration(self.uptime))?;
        for row in &rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                // Names and objects are words, the rest are numbers.
                if column == 0 || column == HEADER.len() - 1 {
                    write!(line, "{cell:<width$}  ")?;
                } else {
                    write!(line, "{cell:>width$}  ")?;
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        for source in &self.sources {
            for (reason, count) in &source.failures {
                writeln!(f, "{}: {count} × {reason}", source.key)?;
            }
        }
        Ok(())
    }
}

fn cells(source: &SourceSummary) -> [String; HEADER.len()] {
    let nothing = || "–".to_owned();
    let millis = |index: usize| {
        source
            .latency
            .as_ref()
            .and_then(|latency| latency.get(index))
            .map_or_else(nothing, |latency| format!("{:.0} ms", latency.as_secs_f64() * 1e3))
    };
    [
        source.key.to_string(),
        source.received.to_string(),
        source.processed.to_string(),
        source.skipped.to_string(),
        source.lost.to_string(),
        source.fps.map_or_else(nothing, |fps| format!("{fps:.1}")),
        millis(0),
        millis(1),
        millis(2),
        source.reconnects.to_string(),
        objects(source.objects.iter().map(|(label, count)| (&**label, *count))),
    ]
}

/// `person 3, car 1`.
pub(super) fn objects<'a>(classes: impl Iterator<Item = (&'a str, u64)>) -> String {
    classes.map(|(label, count)| format!("{label} {count}")).collect::<Vec<_>>().join(", ")
}

/// `1:02:03`, hours only where there are some.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{source::Failure, telemetry::test_support::model_info};

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(Duration::from_millis(61_999)), "1:01");
        assert_eq!(duration(Duration::from_secs(3723)), "1:02:03");
    }

    #[test]
    fn a_summary_of_a_good_and_a_dead_camera() {
        let telemetry = Telemetry::default();
        let gate = telemetry.add_source(&SourceKey::new("default", "gate"));
        gate.set_model(&model_info("starter", &["person", "car"]));
        gate.count_attempt();
        for _ in 0..10 {
            gate.count_received(1);
        }
        gate.count_objects([(1, 0.9), (0, 0.9), (0, 0.9)].into_iter());
        gate.count_processed(3, Duration::from_millis(35));
        gate.count_dropped(DropReason::NotDue, 4);
        gate.count_dropped(DropReason::Superseded, 5);
        let yard = telemetry.add_source(&SourceKey::new("default", "yard"));
        for _ in 0..3 {
            yard.count_attempt();
            yard.set_last_failure(Failure::new(Reason::HostUnreachable, "connection refused"));
        }
        let summary = Summary { uptime: Duration::from_secs(20), ..Summary::of(&telemetry) };
        assert_eq!(summary.without_detections().collect::<Vec<_>>(), [&SourceKey::new("default", "yard")]);
        insta::assert_snapshot!(summary.to_string());
    }
}
