//! Rates and recent latencies from counters that only grow.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::{
    observation::SourceKey,
    telemetry::{DropReason, Memory, StreamState, StreamTelemetry, Telemetry, memory, process_cpu},
};

/// What rates and latencies are taken over.
const WINDOW: Duration = Duration::from_secs(5);

/// How often memory is read: the kernel walks all pages for it.
const MEMORY_INTERVAL: Duration = Duration::from_secs(2);

/// Frames per second over the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Frames that arrived.
    pub received: f64,
    /// Frames that were published.
    pub processed: f64,
    /// Frames left out because nobody asked for them.
    pub skipped: f64,
    /// Frames lost because the pod was too slow or the stream broken.
    pub lost: f64,
}

impl std::ops::AddAssign for Rates {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.processed += other.processed;
        self.skipped += other.skipped;
        self.lost += other.lost;
    }
}

/// One source at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSnapshot {
    /// The source.
    pub key: SourceKey,
    /// Where its supervisor is.
    pub state: StreamState,
    /// Why it does not stream, where that is known.
    pub reason: Option<String>,
    /// Frames per second.
    pub rates: Rates,
    /// Median and 95th percentile of capture → published of the last seconds; `None` where nothing was published.
    pub latency: Option<(Duration, Duration)>,
    /// Objects in the last published frame by class, while it streams.
    pub in_view: Vec<(Arc<str>, u32)>,
}

/// The pod at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Every source, by name.
    pub sources: Vec<SourceSnapshot>,
    /// Processor cores in use over the last seconds.
    pub cores: f64,
    /// Memory, where the kernel tells it.
    pub memory: Option<Memory>,
    /// Time since the pod began.
    pub uptime: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    received: u64,
    processed: u64,
    skipped: u64,
    lost: u64,
}

impl Counts {
    fn of(stream: &StreamTelemetry) -> Self {
        let dropped = |by_request: bool| {
            DropReason::ALL.into_iter().filter(|r| r.is_by_request() == by_request).map(|r| stream.dropped(r)).sum()
        };
        Self {
            received: stream.received(),
            processed: stream.processed(),
            skipped: dropped(true),
            lost: dropped(false),
        }
    }

    fn rates_since(self, before: Self, elapsed: Duration) -> Rates {
        let rate = |now: u64, before: u64| {
            if elapsed.is_zero() { 0.0 } else { now.saturating_sub(before) as f64 / elapsed.as_secs_f64() }
        };
        Rates {
            received: rate(self.received, before.received),
            processed: rate(self.processed, before.processed),
            skipped: rate(self.skipped, before.skipped),
            lost: rate(self.lost, before.lost),
        }
    }
}

/// What was seen of one source within the window.
struct SourceWindow {
    /// Tells a source that was removed and added again.
    stream: Arc<StreamTelemetry>,
    counts: VecDeque<(Instant, Counts)>,
    /// All latencies up to the last sample.
    recorded: Histogram<u64>,
    /// Latencies between samples, as microseconds and how often.
    latencies: VecDeque<(Instant, Vec<(u64, u64)>)>,
}

impl SourceWindow {
    fn new(stream: &Arc<StreamTelemetry>, now: Instant) -> Self {
        Self {
            stream: Arc::clone(stream),
            counts: VecDeque::from([(now, Counts::of(stream))]),
            recorded: stream.latency(),
            latencies: VecDeque::new(),
        }
    }

    fn sample(&mut self, key: &SourceKey, now: Instant) -> SourceSnapshot {
        let counts = Counts::of(&self.stream);
        self.counts.push_back((now, counts));
        forget(&mut self.counts, now);
        let (since, before) = self.counts.front().copied().unwrap_or((now, counts));

        let recorded = self.stream.latency();
        self.latencies.push_back((now, difference(&recorded, &self.recorded)));
        self.recorded = recorded;
        forget(&mut self.latencies, now);

        let state = self.stream.state();
        let streams = state == StreamState::Streaming;
        SourceSnapshot {
            key: key.clone(),
            state,
            reason: self.stream.last_failure().filter(|_| !streams).map(|failure| failure.to_string()),
            rates: counts.rates_since(before, now.duration_since(since)),
            latency: median_and_p95(self.latencies.iter().flat_map(|(_, latencies)| latencies)),
            in_view: if streams { in_view(&self.stream) } else { Vec::new() },
        }
    }
}

fn in_view(stream: &StreamTelemetry) -> Vec<(Arc<str>, u32)> {
    let mut classes: Vec<_> =
        stream.objects_by_class().into_iter().map(|c| (c.label, c.in_view)).filter(|(_, count)| *count > 0).collect();
    classes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    classes
}

/// Drops what is older than the window, but for the last that is, so that the whole window is covered.
fn forget<T>(samples: &mut VecDeque<(Instant, T)>, now: Instant) {
    while samples.get(1).is_some_and(|(time, _)| now.duration_since(*time) >= WINDOW) {
        samples.pop_front();
    }
}

/// What `now` has and `before` had not, as value and count.
fn difference(now: &Histogram<u64>, before: &Histogram<u64>) -> Vec<(u64, u64)> {
    now.iter_recorded()
        .map(|value| {
            let value = value.value_iterated_to();
            (value, now.count_at(value).saturating_sub(before.count_at(value)))
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn median_and_p95<'a>(latencies: impl Iterator<Item = &'a (u64, u64)>) -> Option<(Duration, Duration)> {
    let mut merged = BTreeMap::<u64, u64>::new();
    for (value, count) in latencies {
        *merged.entry(*value).or_default() += count;
    }
    let total: u64 = merged.values().sum();
    let at = |quantile: f64| {
        let rank = ((total as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        merged.iter().find_map(|(value, count)| {
            seen += count;
            (seen >= rank).then(|| Duration::from_micros(*value))
        })
    };
    Some((at(0.5)?, at(0.95)?))
}

/// Turns growing counters into a [`Snapshot`] of the last seconds; call it a few times within those.
pub struct Sampler {
    telemetry: Arc<Telemetry>,
    sources: BTreeMap<SourceKey, SourceWindow>,
    cpu: VecDeque<(Instant, Duration)>,
    memory: Option<Memory>,
    memory_read: Option<Instant>,
}

impl Sampler {
    /// A sampler that has seen nothing.
    #[must_use]
    pub fn new(telemetry: Arc<Telemetry>) -> Self {
        let now = Instant::now();
        let sources =
            telemetry.sources().iter().map(|(key, stream)| (key.clone(), SourceWindow::new(stream, now))).collect();
        Self { telemetry, sources, cpu: VecDeque::from([(now, process_cpu())]), memory: None, memory_read: None }
    }

    /// The pod at `now`, which never goes back.
    pub fn sample(&mut self, now: Instant) -> Snapshot {
        let streams = self.telemetry.sources();
        self.sources.retain(|key, window| streams.get(key).is_some_and(|stream| Arc::ptr_eq(stream, &window.stream)));
        let sources = streams
            .iter()
            .map(|(key, stream)| {
                let window = self.sources.entry(key.clone()).or_insert_with(|| SourceWindow::new(stream, now));
                window.sample(key, now)
            })
            .collect();

        let cpu = process_cpu();
        self.cpu.push_back((now, cpu));
        forget(&mut self.cpu, now);
        let (since, before) = self.cpu.front().copied().unwrap_or((now, cpu));
        let elapsed = now.duration_since(since);
        if self.memory_read.is_none_or(|read| now.duration_since(read) >= MEMORY_INTERVAL) {
            self.memory = memory().ok();
            self.memory_read = Some(now);
        }
        Snapshot {
            sources,
            cores: if elapsed.is_zero() {
                0.0
            } else {
                cpu.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64()
            },
            memory: self.memory,
            uptime: self.telemetry.uptime(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        source::{Failure, Reason},
        telemetry::test_support::model_info,
    };

    fn setup() -> (Arc<Telemetry>, Arc<StreamTelemetry>, Sampler) {
        let telemetry = Arc::<Telemetry>::default();
        let stream = telemetry.add_source(&SourceKey::new("shop", "gate"));
        let sampler = Sampler::new(Arc::clone(&telemetry));
        (telemetry, stream, sampler)
    }

    #[test]
    fn rates_are_those_of_the_window() {
        let (_telemetry, stream, mut sampler) = setup();
        let start = Instant::now();
        sampler.sample(start);
        for second in 1..=20 {
            // 30 frames a second at first, 10 a second in the last 10 seconds.
            for _ in 0..if second <= 10 { 30 } else { 10 } {
                stream.count_received(1);
                stream.count_processed(1, Duration::from_millis(if second <= 10 { 500 } else { 20 }));
                stream.count_dropped(DropReason::NotDue, 2);
                stream.count_dropped(DropReason::Superseded, 1);
            }
            let source = sampler.sample(start + Duration::from_secs(second)).sources.remove(0);
            if second == 20 {
                let close = |value: f64, expected: f64| (value - expected).abs() < 0.01;
                let Rates { received, processed, skipped, lost } = source.rates;
                assert!(close(received, 10.0) && close(processed, 10.0), "{source:?}");
                assert!(close(skipped, 20.0) && close(lost, 10.0), "{source:?}");
                let p95 = source.latency.map(|(_, p95)| p95.as_millis());
                assert_eq!(p95, Some(20));
            }
        }
    }

    #[test]
    fn a_reason_is_given_while_it_does_not_stream() {
        let (_telemetry, stream, mut sampler) = setup();
        stream.set_last_failure(Failure::new(Reason::NotFound, "the camera has no such path"));
        stream.set_state(StreamState::Backoff);
        stream.set_model(&model_info("starter", &["person"]));
        stream.count_objects([(0, 0.9)].into_iter());
        let snapshot = sampler.sample(Instant::now());
        assert_eq!(snapshot.sources[0].reason.as_deref(), Some("NotFound: the camera has no such path"));
        assert!(snapshot.sources[0].in_view.is_empty());
        stream.set_state(StreamState::Streaming);
        let snapshot = sampler.sample(Instant::now());
        assert_eq!(snapshot.sources[0].reason, None);
        assert_eq!(snapshot.sources[0].in_view, [("person".into(), 1)]);
    }

    #[test]
    fn a_source_that_was_added_again_starts_from_nothing() {
        let (telemetry, stream, mut sampler) = setup();
        let key = SourceKey::new("shop", "gate");
        for _ in 0..1000 {
            stream.count_received(1);
        }
        telemetry.remove_source(&key);
        assert!(sampler.sample(Instant::now()).sources.is_empty());
        telemetry.add_source(&key).count_received(1);
        let rates = sampler.sample(Instant::now() + Duration::from_secs(1)).sources[0].rates;
        assert!(rates.received <= 1.0, "{rates:?}");
    }
}
