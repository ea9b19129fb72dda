//! The series of sources.

use hdrhistogram::Histogram;
use prometheus::proto::{LabelPair, MetricFamily};

use super::family::{Family, label};
use crate::{
    observation::SourceKey,
    telemetry::{DropReason, Stage, StreamState, StreamTelemetry, Telemetry, confidence::ClassNames},
};

/// Upper bounds of the latency buckets in seconds: fine around the targets (35–100 ms), coarse up to the time-outs.
const LATENCY_BOUNDS: [f64; 14] = [0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The labels of a source's series, and `extra`.
fn labels(key: &SourceKey, extra: Option<(&str, &str)>) -> Vec<LabelPair> {
    let mut labels = vec![label("namespace", &key.namespace), label("source", &key.name)];
    labels.extend(extra.map(|(name, value)| label(name, value)));
    labels
}

pub(super) fn families(telemetry: &Telemetry) -> Vec<MetricFamily> {
    let sources = telemetry.sources();
    let each = |mut family: Family, value: fn(&StreamTelemetry) -> u64| {
        for (key, stream) in sources.iter() {
            family.push(labels(key, None), value(stream) as f64);
        }
        family.finish()
    };
    vec![
        each(
            Family::counter("vision_pod_frames_received_total", "Encoded frames that arrived."),
            StreamTelemetry::received,
        ),
        each(
            Family::counter("vision_pod_received_bytes_total", "Bytes of encoded frames that arrived."),
            StreamTelemetry::received_bytes,
        ),
        each(Family::counter("vision_pod_frames_decoded_total", "Pictures decoded."), StreamTelemetry::decoded),
        each(
            Family::counter("vision_pod_frames_processed_total", "Frames inferred and published."),
            StreamTelemetry::processed,
        ),
        each(
            Family::counter("vision_pod_source_attempts_total", "Attempts at the source, the first included."),
            StreamTelemetry::attempts,
        ),
        each(
            Family::gauge(
                "vision_pod_source_uri_index",
                "The URI of the attempt under way: 0 is spec.uri, n the n-th of spec.fallbackURIs.",
            ),
            |stream| stream.uri_index() as u64,
        ),
        drops(telemetry),
        failures(telemetry),
        stages(telemetry),
        objects(telemetry),
        states(telemetry),
        latencies(telemetry),
    ]
}

fn drops(telemetry: &Telemetry) -> MetricFamily {
    let mut family =
        Family::counter("vision_pod_frames_dropped_total", "Received frames that were not published, by reason.");
    for (key, stream) in telemetry.sources().iter() {
        for reason in DropReason::ALL {
            family.push(labels(key, Some(("reason", reason.as_str()))), stream.dropped(reason) as f64);
        }
    }
    family.finish()
}

fn failures(telemetry: &Telemetry) -> MetricFamily {
    let mut family =
        Family::counter("vision_pod_source_failures_total", "Attempts at the source that failed, by reason.");
    for (key, stream) in telemetry.sources().iter() {
        for (reason, count) in stream.failures() {
            family.push(labels(key, Some(("reason", reason.as_str()))), count as f64);
        }
    }
    family.finish()
}

fn stages(telemetry: &Telemetry) -> MetricFamily {
    let mut family = Family::counter(
        "vision_pod_stage_seconds_total",
        "Time spent on the source's frames by stage: CPU time, but elapsed time in the stage wait.",
    );
    for (key, stream) in telemetry.sources().iter() {
        for stage in Stage::ALL {
            family.push(labels(key, Some(("stage", stage.as_str()))), stream.stage(stage).as_secs_f64());
        }
    }
    family.finish()
}

fn objects(telemetry: &Telemetry) -> MetricFamily {
    let mut family = Family::counter(
        "vision_pod_objects_total",
        "Objects in published frames, by class; those beyond the first 80 of a model are one.",
    );
    for (key, stream) in telemetry.sources().iter() {
        let Some(model) = stream.model() else { continue };
        let (names, seen) = (ClassNames::of(&model.labels), stream.objects_by_class());
        let mut totals = vec![0; names.names().len()];
        for count in seen {
            if let Some(total) = names.index(count.class).and_then(|index| totals.get_mut(index)) {
                *total += count.total;
            }
        }
        for (name, total) in names.names().iter().zip(totals).filter(|(_, total)| *total > 0) {
            family.push(labels(key, Some(("class", name))), total as f64);
        }
    }
    family.finish()
}

fn states(telemetry: &Telemetry) -> MetricFamily {
    let mut family = Family::gauge("vision_pod_source_state", "1 for the state that the source is in, else 0.");
    for (key, stream) in telemetry.sources().iter() {
        let now = stream.state();
        for state in StreamState::ALL {
            family.push(labels(key, Some(("state", state.as_str()))), f64::from(u8::from(state == now)));
        }
    }
    family.finish()
}

fn latencies(telemetry: &Telemetry) -> MetricFamily {
    let mut family =
        Family::histogram("vision_pod_latency_seconds", "Time from the capture of a frame to its publication.");
    for (key, stream) in telemetry.sources().iter() {
        let counts = latency_counts(&stream.latency());
        family.push_histogram(labels(key, None), &LATENCY_BOUNDS, &counts, stream.latency_sum().as_secs_f64());
    }
    family.finish()
}

/// `recorded` (in microseconds) by the buckets of [`LATENCY_BOUNDS`], the last one for what is over every bound.
fn latency_counts(recorded: &Histogram<u64>) -> [u64; LATENCY_BOUNDS.len() + 1] {
    let mut counts = [0; LATENCY_BOUNDS.len() + 1];
    for value in recorded.iter_recorded() {
        // A recorded value stands for a small range; its end would fall just past a bound of its own size.
        let seconds = recorded.lowest_equivalent(value.value_iterated_to()) as f64 / 1e6;
        counts[LATENCY_BOUNDS.iter().take_while(|bound| seconds > **bound).count()] +=
            value.count_since_last_iteration();
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_latency_falls_into_the_bucket_of_its_size() {
        let stream = StreamTelemetry::default();
        stream.count_processed(0, Duration::from_millis(100));
        stream.count_processed(0, Duration::from_millis(101));
        stream.count_processed(0, Duration::from_secs(59));
        let counts = latency_counts(&stream.latency());
        assert_eq!((counts[4], counts[5], counts[6], counts[14]), (0, 1, 1, 1));
    }
}
