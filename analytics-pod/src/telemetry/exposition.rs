//! The pod's counters in Prometheus' text format.

use std::{collections::BTreeSet, time::Duration};

use hdrhistogram::Histogram;
use prometheus::{
    Encoder as _, TextEncoder,
    proto::{self, LabelPair, Metric, MetricFamily, MetricType},
};

use super::{DropReason, Memory, Stage, StreamState, StreamTelemetry, Telemetry, memory, process_cpu};
use crate::observation::SourceKey;

/// Upper bounds of the latency buckets in seconds: fine around the targets (35–100 ms), coarse up to the time-outs.
const LATENCY_BOUNDS: [f64; 14] = [0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Why the metrics could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the metrics: {0}")]
pub struct EncodeError(#[from] prometheus::Error);

/// Every metric of the pod now, in Prometheus' text format 0.0.4. Read at each scrape from the counters themselves,
/// so that the series of a source vanish with it.
pub fn encode_metrics(telemetry: &Telemetry) -> Result<String, EncodeError> {
    let mut families = stream_families(telemetry);
    families.extend(process_families(telemetry.uptime(), process_cpu(), memory().ok()));
    encode(&families)
}

fn encode(families: &[MetricFamily]) -> Result<String, EncodeError> {
    let mut text = Vec::new();
    let filled: Vec<_> = families.iter().filter(|family| !family.get_metric().is_empty()).cloned().collect();
    TextEncoder::new().encode(&filled, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// One family under construction.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    metrics: Vec<Metric>,
}

impl Family {
    const fn new(name: &'static str, help: &'static str, kind: MetricType) -> Self {
        Self { name, help, kind, metrics: Vec::new() }
    }

    const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::COUNTER)
    }

    const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::GAUGE)
    }

    fn push(&mut self, labels: Vec<LabelPair>, value: f64) {
        let mut metric = Metric::from_label(labels);
        if self.kind == MetricType::COUNTER {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.metrics.push(metric);
    }

    fn finish(self) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(self.metrics);
        family
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// The labels of a source's series, and `extra`.
fn labels(key: &SourceKey, extra: Option<(&str, &str)>) -> Vec<LabelPair> {
    let mut labels = vec![label("namespace", &key.namespace), label("source", &key.name)];
    labels.extend(extra.map(|(name, value)| label(name, value)));
    labels
}

fn stream_families(telemetry: &Telemetry) -> Vec<MetricFamily> {
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
        models(telemetry),
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
    let mut family = Family::counter("vision_pod_objects_total", "Objects in published frames, by class.");
    for (key, stream) in telemetry.sources().iter() {
        for count in stream.objects_by_class() {
            family.push(labels(key, Some(("class", &count.label))), count.total as f64);
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
    let mut family = Family::new(
        "vision_pod_latency_seconds",
        "Time from the capture of a frame to its publication.",
        MetricType::HISTOGRAM,
    );
    for (key, stream) in telemetry.sources().iter() {
        let mut metric = Metric::from_label(labels(key, None));
        metric.set_histogram(latency_histogram(&stream.latency(), stream.latency_sum()));
        family.metrics.push(metric);
    }
    family.finish()
}

/// `recorded` (in microseconds) in the buckets of [`LATENCY_BOUNDS`].
fn latency_histogram(recorded: &Histogram<u64>, sum: Duration) -> proto::Histogram {
    let mut counts = [0; LATENCY_BOUNDS.len()];
    for value in recorded.iter_recorded() {
        // A recorded value stands for a small range; its end would fall just past a bound of its own size.
        let seconds = recorded.lowest_equivalent(value.value_iterated_to()) as f64 / 1e6;
        if let Some(count) = LATENCY_BOUNDS.iter().position(|bound| seconds <= *bound).and_then(|i| counts.get_mut(i)) {
            *count += value.count_since_last_iteration();
        }
    }
    let mut cumulative = 0;
    let buckets = LATENCY_BOUNDS.iter().zip(counts).map(|(bound, count)| {
        cumulative += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(cumulative);
        bucket
    });
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(recorded.len());
    histogram.set_sample_sum(sum.as_secs_f64());
    histogram
}

fn models(telemetry: &Telemetry) -> MetricFamily {
    let mut family = Family::gauge("vision_pod_model_info", "1 for each model that detects in a source.");
    let sources = telemetry.sources();
    let models: BTreeSet<_> = sources
        .values()
        .filter_map(|stream| stream.model())
        .map(|model| (model.name.clone(), model.digest.clone(), model.layout.to_string()))
        .collect();
    for (name, digest, layout) in models {
        family.push(vec![label("model", &name), label("digest", &digest), label("layout", &layout)], 1.0);
    }
    family.finish()
}

fn process_families(uptime: Duration, cpu: Duration, memory: Option<Memory>) -> Vec<MetricFamily> {
    let single = |mut family: Family, value: f64| {
        family.push(Vec::new(), value);
        family.finish()
    };
    let mut build = Family::gauge("vision_pod_build_info", "1; the labels tell the version.");
    build.push(vec![label("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let mut families = vec![
        build.finish(),
        single(
            Family::counter("vision_pod_process_cpu_seconds_total", "CPU time of the process, user and system."),
            cpu.as_secs_f64(),
        ),
        single(
            Family::gauge("vision_pod_process_uptime_seconds", "Time since the process began."),
            uptime.as_secs_f64(),
        ),
    ];
    if let Some(memory) = memory {
        families.push(single(
            Family::gauge("vision_pod_process_resident_memory_bytes", "Resident memory."),
            memory.resident as f64,
        ));
        families.push(single(
            Family::gauge(
                "vision_pod_process_proportional_memory_bytes",
                "Resident memory, shared pages divided among the processes that share them.",
            ),
            memory.proportional as f64,
        ));
    }
    families
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        source::{Failure, Reason},
        telemetry::test_support::model_info,
    };

    fn filled() -> Telemetry {
        let telemetry = Telemetry::default();
        let stream = telemetry.add_source(&SourceKey::new("shop", "gate"));
        stream.set_state(StreamState::Streaming);
        stream.count_attempt();
        stream.set_last_failure(Failure::new(Reason::HostUnreachable, "connection refused"));
        stream.count_attempt();
        for _ in 0..3 {
            stream.count_received(1000);
        }
        stream.count_decoded();
        stream.count_decoded();
        stream.count_dropped(DropReason::Superseded, 1);
        stream.add_stage(Stage::Infer, Duration::from_millis(12));
        stream.set_model(&model_info("starter", &["person", "car", "truck"]));
        stream.count_objects([0, 0, 2].into_iter());
        stream.count_processed(3, Duration::from_millis(50));
        stream.count_processed(0, Duration::from_mins(2));
        telemetry
    }

    #[test]
    fn exposition_of_a_source() {
        insta::assert_snapshot!(encode(&stream_families(&filled())).unwrap());
    }

    #[test]
    fn exposition_of_the_process() {
        let memory = Memory { resident: 2_000_000, proportional: 1_500_000 };
        let families = process_families(Duration::from_mins(1), Duration::from_millis(1500), Some(memory));
        let text = encode(&families).unwrap().replace(env!("CARGO_PKG_VERSION"), "VERSION");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_series_of_a_source_vanish_with_it() {
        let telemetry = filled();
        telemetry.add_source(&SourceKey::new("shop", "yard"));
        telemetry.remove_source(&SourceKey::new("shop", "gate"));
        let text = encode_metrics(&telemetry).unwrap();
        assert!(text.contains("source=\"yard\"") && !text.contains("source=\"gate\""), "{text}");
        telemetry.remove_source(&SourceKey::new("shop", "yard"));
        assert!(!encode_metrics(&telemetry).unwrap().contains("source="));
    }

    #[test]
    fn a_latency_falls_into_the_bucket_of_its_size() {
        let stream = StreamTelemetry::default();
        stream.count_processed(0, Duration::from_millis(100));
        stream.count_processed(0, Duration::from_millis(101));
        let histogram = latency_histogram(&stream.latency(), stream.latency_sum());
        let at = |bound: f64| {
            histogram
                .get_bucket()
                .iter()
                .find(|b| b.upper_bound().total_cmp(&bound).is_eq())
                .unwrap()
                .cumulative_count()
        };
        assert_eq!((at(0.075), at(0.1), at(0.15)), (0, 1, 2));
    }
}
