//! The counters of one source.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use hdrhistogram::Histogram;
use jiff::Timestamp;

use super::{
    classes::{ClassCount, ClassCounters},
    models::ModelTelemetry,
    rate::RateMeter,
    words::{DropReason, Stage, StreamState},
};
use crate::{
    assign::ModelKey,
    model::ModelInfo,
    observation::{DEFAULT_NAMESPACE, SourceKey},
    request_id::RequestId,
    source::{Failure, Reason},
};

/// What is known of the pictures of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFormat {
    /// The codec's usual name (`H.264`, `H.265`, `JPEG`, `raw`).
    pub codec: Arc<str>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// The counters of one source. Every method may be called from any thread.
#[derive(Debug)]
pub struct StreamTelemetry {
    state: AtomicU8,
    /// When the state became what it is, in nanoseconds after `created`.
    state_since_ns: AtomicU64,
    received: AtomicU64,
    received_bytes: AtomicU64,
    decoded: AtomicU64,
    processed: AtomicU64,
    objects: AtomicU64,
    attempts: AtomicU64,
    uri_index: AtomicUsize,
    drops: [AtomicU64; DropReason::ALL.len()],
    stage_busy_ns: [AtomicU64; Stage::ALL.len()],
    latency_us: Mutex<Histogram<u64>>,
    latency_sum_us: AtomicU64,
    format: ArcSwapOption<VideoFormat>,
    last_failure: ArcSwapOption<Failure>,
    /// When [`Self::last_failure`] happened, in Unix milliseconds.
    last_failure_ms: AtomicI64,
    consecutive_failures: AtomicU64,
    failures: Mutex<BTreeMap<Reason, u64>>,
    classes: ArcSwapOption<ClassCounters>,
    /// That of the source, and so of its model.
    namespace: Arc<str>,
    models: Arc<ModelTelemetry>,
    request: ArcSwapOption<RequestId>,
    created: Instant,
    received_rate: RateMeter,
    processed_rate: RateMeter,
    /// When the last access unit arrived, in nanoseconds after `created`; 0 before.
    last_received_ns: AtomicU64,
    /// When the first and the last observation were published, in nanoseconds after `created`; 0 before.
    first_published_ns: AtomicU64,
    last_published_ns: AtomicU64,
}

impl Default for StreamTelemetry {
    fn default() -> Self {
        // One minute at three significant digits: 60 s is past every timeout of the pod.
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 3)
            .unwrap_or_else(|error| unreachable!("constant histogram bounds are valid: {error}"));
        Self {
            state: AtomicU8::new(StreamState::Idle as u8),
            state_since_ns: AtomicU64::new(0),
            received: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            decoded: AtomicU64::new(0),
            processed: AtomicU64::new(0),
            objects: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
            uri_index: AtomicUsize::new(0),
            drops: Default::default(),
            stage_busy_ns: Default::default(),
            latency_us: Mutex::new(histogram),
            latency_sum_us: AtomicU64::new(0),
            format: ArcSwapOption::empty(),
            last_failure: ArcSwapOption::empty(),
            last_failure_ms: AtomicI64::new(0),
            consecutive_failures: AtomicU64::new(0),
            failures: Mutex::default(),
            classes: ArcSwapOption::empty(),
            namespace: DEFAULT_NAMESPACE.into(),
            models: Arc::default(),
            request: ArcSwapOption::empty(),
            created: Instant::now(),
            received_rate: RateMeter::default(),
            processed_rate: RateMeter::default(),
            last_received_ns: AtomicU64::new(0),
            first_published_ns: AtomicU64::new(0),
            last_published_ns: AtomicU64::new(0),
        }
    }
}

impl StreamTelemetry {
    /// Of the source `key`, whose objects are also counted in `models`.
    pub(super) fn new(key: &SourceKey, models: Arc<ModelTelemetry>) -> Self {
        Self { namespace: Arc::clone(&key.namespace), models, ..Self::default() }
    }

    /// The last request that made or changed the source; what follows from it is known by this id.
    pub fn set_request(&self, request: Option<RequestId>) {
        self.request.store(request.map(Arc::new));
    }

    /// The last request that made or changed the source; `None` where no request did.
    #[must_use]
    pub fn request(&self) -> Option<Arc<RequestId>> {
        self.request.load_full()
    }

    /// The supervisor's state changes.
    pub fn set_state(&self, state: StreamState) {
        if self.state.swap(state as u8, Relaxed) != state as u8 {
            self.state_since_ns.store(nanoseconds(self.age()), Relaxed);
        }
    }

    /// How long the state has been what it is.
    #[must_use]
    pub fn state_age(&self) -> Duration {
        self.age().saturating_sub(Duration::from_nanos(self.state_since_ns.load(Relaxed)))
    }

    /// Frames that a model ran on and that were not lost since.
    #[must_use]
    pub fn inferred(&self) -> u64 {
        let kept = [DropReason::OutputOverflow, DropReason::Warming].map(|reason| self.dropped(reason));
        self.processed() + kept.iter().sum::<u64>()
    }

    /// Where the supervisor is.
    #[must_use]
    pub fn state(&self) -> StreamState {
        StreamState::ALL.get(usize::from(self.state.load(Relaxed))).copied().unwrap_or(StreamState::Idle)
    }

    /// An access unit of `bytes` arrived. Returns its number, from 0.
    pub fn count_received(&self, bytes: usize) -> u64 {
        let now = self.age();
        self.received_rate.count(now);
        self.last_received_ns.store(nanoseconds(now), Relaxed);
        self.received_bytes.fetch_add(bytes as u64, Relaxed);
        self.received.fetch_add(1, Relaxed)
    }

    /// The decoder gave a picture.
    pub fn count_decoded(&self) {
        self.decoded.fetch_add(1, Relaxed);
    }

    /// An observation with `objects` objects was published `latency` after its capture.
    pub fn count_processed(&self, objects: usize, latency: Duration) {
        let now = self.age();
        self.processed_rate.count(now);
        let now = nanoseconds(now);
        if self.processed.fetch_add(1, Relaxed) == 0 {
            self.first_published_ns.store(now, Relaxed);
        }
        self.last_published_ns.store(now, Relaxed);
        self.objects.fetch_add(objects as u64, Relaxed);
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency_sum_us.fetch_add(micros, Relaxed);
        self.latency_us.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros.max(1));
    }

    /// `count` access units did not become observations.
    pub fn count_dropped(&self, reason: DropReason, count: u64) {
        self.drops[reason as usize].fetch_add(count, Relaxed);
    }

    /// A new attempt at the source begins.
    pub fn count_attempt(&self) {
        self.attempts.fetch_add(1, Relaxed);
    }

    /// The attempt under way is at this URI: 0 is `spec.uri`, n the n-th of `spec.fallbackURIs`.
    pub fn set_uri_index(&self, index: usize) {
        self.uri_index.store(index, Relaxed);
    }

    /// The URI of the attempt under way, or of the last one: 0 is `spec.uri`, n the n-th of `spec.fallbackURIs`.
    #[must_use]
    pub fn uri_index(&self) -> usize {
        self.uri_index.load(Relaxed)
    }

    /// `stage` took `time` for a frame.
    pub fn add_stage(&self, stage: Stage, time: Duration) {
        self.stage_busy_ns[stage as usize].fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// What the pictures are; told on every change.
    pub fn set_format(&self, format: VideoFormat) {
        self.format.store(Some(Arc::new(format)));
    }

    /// What the pictures are, once known.
    #[must_use]
    pub fn format(&self) -> Option<Arc<VideoFormat>> {
        self.format.load_full()
    }

    /// An attempt failed: remembers why and counts it under its reason.
    pub fn set_last_failure(&self, failure: Failure) {
        self.last_failure_ms.store(Timestamp::now().as_millisecond(), Relaxed);
        *self.failures.lock().unwrap_or_else(PoisonError::into_inner).entry(failure.reason).or_default() += 1;
        self.last_failure.store(Some(Arc::new(failure)));
    }

    /// Why the last attempt ended, if one has.
    #[must_use]
    pub fn last_failure(&self) -> Option<Arc<Failure>> {
        self.last_failure.load_full()
    }

    /// When the last attempt that failed did.
    #[must_use]
    pub fn last_failure_time(&self) -> Option<Timestamp> {
        self.last_failure.load().as_ref()?;
        Timestamp::from_millisecond(self.last_failure_ms.load(Relaxed)).ok()
    }

    /// The supervisor counts `failures` failed attempts in a row.
    pub fn set_consecutive_failures(&self, failures: u32) {
        self.consecutive_failures.store(failures.into(), Relaxed);
    }

    /// Failed attempts in a row; 0 once frames have come for a while.
    #[must_use]
    pub fn consecutive_failures(&self) -> u64 {
        self.consecutive_failures.load(Relaxed)
    }

    /// Access units received per second over the last seconds.
    #[must_use]
    pub fn received_fps_now(&self) -> f64 {
        self.received_rate.per_second(self.age())
    }

    /// Observations published per second over the last seconds.
    #[must_use]
    pub fn processed_fps_now(&self) -> f64 {
        self.processed_rate.per_second(self.age())
    }

    /// When the last access unit arrived, by this machine's clock.
    #[must_use]
    pub fn last_received_time(&self) -> Option<Timestamp> {
        let last = self.last_received_ns.load(Relaxed);
        (last > 0).then(|| Timestamp::now() - self.age().saturating_sub(Duration::from_nanos(last)))
    }

    /// Time since the counters began.
    fn age(&self) -> Duration {
        self.created.elapsed()
    }

    /// Failed attempts so far, by reason.
    #[must_use]
    pub fn failures(&self) -> BTreeMap<Reason, u64> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What detects from now on. Counts of classes that the new model also has go on.
    pub fn set_model(&self, model: &Arc<ModelInfo>) {
        let current = self.classes.load();
        if current.as_ref().is_some_and(|counters| Arc::ptr_eq(counters.model(), model)) {
            return;
        }
        let confidences = self.models.confidences(&ModelKey::new(&self.namespace, &model.name), &model.labels);
        self.classes.store(Some(Arc::new(ClassCounters::new(model, confidences, current.as_deref()))));
    }

    /// What detected the last published frame, once there is one.
    #[must_use]
    pub fn model(&self) -> Option<Arc<ModelInfo>> {
        self.classes.load().as_ref().map(|counters| Arc::clone(counters.model()))
    }

    /// The objects of a published frame: class of the model of [`Self::set_model`], and confidence.
    pub fn count_objects(&self, objects: impl Iterator<Item = (u32, f32)>) {
        if let Some(counters) = self.classes.load().as_ref() {
            counters.count(objects);
        }
    }

    /// Objects by class, of the classes that were seen at least once, in the order of the model's labels.
    #[must_use]
    pub fn objects_by_class(&self) -> Vec<ClassCount> {
        self.classes.load().as_ref().map(|counters| counters.seen()).unwrap_or_default()
    }

    /// Sum of the capture → published latencies so far.
    #[must_use]
    pub fn latency_sum(&self) -> Duration {
        Duration::from_micros(self.latency_sum_us.load(Relaxed))
    }

    /// Access units received.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Bytes of access units received.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Relaxed)
    }

    /// Pictures decoded.
    #[must_use]
    pub fn decoded(&self) -> u64 {
        self.decoded.load(Relaxed)
    }

    /// Observations published.
    #[must_use]
    pub fn processed(&self) -> u64 {
        self.processed.load(Relaxed)
    }

    /// Observations published per second between the first and the last; `None` with fewer than two.
    #[must_use]
    pub fn processed_fps(&self) -> Option<f64> {
        let intervals = self.processed().checked_sub(1).filter(|&intervals| intervals > 0)?;
        let elapsed = self.last_published_ns.load(Relaxed).checked_sub(self.first_published_ns.load(Relaxed))?;
        (elapsed > 0).then(|| intervals as f64 * 1e9 / elapsed as f64)
    }

    /// Time since the last observation was published, if one was.
    #[must_use]
    pub fn since_last_published(&self) -> Option<Duration> {
        let published = Duration::from_nanos(self.last_published_ns.load(Relaxed));
        (self.processed() > 0).then(|| self.created.elapsed().saturating_sub(published))
    }

    /// Objects in published observations.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.objects.load(Relaxed)
    }

    /// Attempts at the source, the first included.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Relaxed)
    }

    /// Access units dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize].load(Relaxed)
    }

    /// Time spent in `stage` so far.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.stage_busy_ns[stage as usize].load(Relaxed))
    }

    /// A copy of the capture → published latencies so far, in microseconds.
    #[must_use]
    pub fn latency(&self) -> Histogram<u64> {
        self.latency_us.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
