//! One source between the thread that feeds it and the threads of the pipeline that decode and infer it.
//!
//! Pictures find their access units by presentation time, as with any decoder; a picture that goes on to the mux is
//! remembered until its metadata come by. What is missing then was dropped by the queue between the two.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, TrySendError};
use deepstream::{Frame, pipeline::SourceListener};
use gstreamer::glib;
use serde_json::Map;

use super::super::native::{Pending, Selector};
use crate::{
    engine::{DetectionSettings, InferredFrame},
    model::ModelInfo,
    observation::{Capture, Detection, NormalizedBox, StreamIdentity},
    source::{Failure, Pacing, Reason},
    telemetry::{DropReason, StreamTelemetry, VideoFormat},
};

/// Pictures between the decoder and the end of the pipeline at the most: a full batch and what waits beside it.
const FLYING_AT_MOST: usize = 256;

/// What stands in `buf_pts` for no time (`GST_CLOCK_TIME_NONE`).
const NO_TIME: u64 = u64::MAX;

/// What stays the same while the source runs.
pub(super) struct Stream {
    pub(super) identity: Arc<StreamIdentity>,
    pub(super) pacing: Pacing,
    pub(super) detection: Arc<ArcSwap<DetectionSettings>>,
    pub(super) telemetry: Arc<StreamTelemetry>,
    pub(super) frames: Sender<InferredFrame>,
}

/// A picture on its way from the decoder to its metadata.
#[derive(Clone, Copy, Debug)]
struct Flying {
    pts: Option<u64>,
    number: u64,
    captured: Capture,
    decoded: Instant,
}

#[derive(Debug)]
struct State {
    pending: Pending<Capture>,
    selector: Selector,
    flying: VecDeque<Flying>,
    /// Everything up to this number has been delivered or counted as dropped.
    decided: Option<u64>,
    pictures: u64,
    size: (u32, u32),
    /// Inferred and not yet sent; only where every picture counts.
    outbox: VecDeque<InferredFrame>,
    failure: Option<Failure>,
}

/// See the module.
pub(super) struct Feed {
    stream: Arc<Stream>,
    info: Arc<ModelInfo>,
    codec: Arc<str>,
    uri: String,
    state: Mutex<State>,
    changed: Condvar,
    drained: AtomicBool,
    /// Frames go nowhere any more: another feed has taken the source over.
    closed: AtomicBool,
}

impl Feed {
    /// For video of `codec`; everything up to `decided` was dealt with before.
    pub(super) fn new(
        stream: Arc<Stream>,
        info: Arc<ModelInfo>,
        codec: &str,
        uri: String,
        decided: Option<u64>,
    ) -> Arc<Self> {
        Arc::new(Self {
            stream,
            info,
            codec: codec.into(),
            uri,
            state: Mutex::new(State {
                pending: Pending::new(),
                selector: Selector::default(),
                flying: VecDeque::new(),
                decided,
                pictures: 0,
                size: (0, 0),
                outbox: VecDeque::new(),
                failure: None,
            }),
            changed: Condvar::new(),
            drained: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dropped(&self, reason: DropReason, count: usize) {
        if count > 0 {
            self.stream.telemetry.count_dropped(reason, count as u64);
        }
    }

    /// Whether to decode the access unit presented at `time`.
    pub(super) fn decodes(&self, time: u64, disposable: bool) -> bool {
        let rate = self.stream.detection.load().fps;
        let mut state = self.state();
        state.selector.set_rate(rate);
        state.selector.decodes(time, disposable)
    }

    /// The access unit of this number is not decoded: nothing refers to it and the asked rate does not need it.
    pub(super) fn left_out(&self, number: u64) {
        if self.state().decided.is_none_or(|decided| number > decided) {
            self.dropped(DropReason::NotReferenced, 1);
        }
    }

    /// An access unit goes into the decoder.
    pub(super) fn fed(&self, pts: Option<u64>, number: u64, captured: Capture) {
        let lost = self.state().pending.put(pts, number, captured);
        self.dropped(DropReason::Undecodable, lost);
    }

    /// Access units in the decoder, and pictures on their way behind it.
    pub(super) fn on_the_way(&self) -> (usize, usize) {
        let state = self.state();
        (state.pending.len(), state.flying.len() + state.outbox.len())
    }

    /// Pictures that the decoder gave.
    pub(super) fn pictures(&self) -> u64 {
        self.state().pictures
    }

    /// Since when the oldest picture has been on its way to its metadata.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.state().flying.front().map(|flying| flying.decoded)
    }

    /// Why the source's elements do not go on.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.state().failure.clone()
    }

    /// Whether everything that was fed has been decoded.
    pub(super) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Acquire)
    }

    /// The next frame that was inferred, to be sent by the caller.
    pub(super) fn take(&self) -> Option<InferredFrame> {
        self.state().outbox.pop_front()
    }

    /// Waits until something has changed, up to `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        // Whether it was woken does not matter: the caller looks again.
        drop(self.changed.wait_timeout(self.state(), timeout));
    }

    /// Delivers nothing any more. Returns up to where everything has been dealt with.
    pub(super) fn close(&self) -> Option<u64> {
        let state = self.state();
        self.closed.store(true, Ordering::Release);
        state.decided
    }

    /// Counts what is on the way as lost, but for what has a number of `fed_again` or above.
    pub(super) fn give_up(&self, fed_again: Option<u64>) {
        let mut state = self.state();
        let is_lost = |number: u64| fed_again.is_none_or(|first| number < first);
        let in_decoder = state.pending.numbers().filter(|number| is_lost(*number)).count();
        let behind = state.flying.iter().filter(|flying| is_lost(flying.number)).count() + state.outbox.len();
        state.pending.clear();
        state.flying.clear();
        state.outbox.clear();
        drop(state);
        self.dropped(DropReason::Stopped, in_decoder + behind);
    }

    fn deliver(&self, frame: InferredFrame, state: &mut State) {
        if self.stream.pacing == Pacing::Lossless {
            state.outbox.push_back(frame);
            return;
        }
        let reason = match self.stream.frames.try_send(frame) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => DropReason::OutputOverflow,
            Err(TrySendError::Disconnected(_)) => DropReason::Stopped,
        };
        self.dropped(reason, 1);
    }
}

impl SourceListener for Feed {
    fn decoded(&self, pts: Option<u64>, size: &dyn Fn() -> Option<(u32, u32)>) -> bool {
        let mut state = self.state();
        if self.closed.load(Ordering::Acquire) {
            return false;
        }
        state.pictures += 1;
        let taken = state.pending.take(pts);
        self.dropped(DropReason::Undecodable, taken.lost);
        let Some((number, captured)) = taken.unit else { return false };
        if state.decided.is_some_and(|decided| number <= decided) {
            return false;
        }
        self.stream.telemetry.count_decoded();
        if let Some(size) = size().filter(|size| *size != state.size) {
            state.size = size;
            let format = VideoFormat { codec: Arc::clone(&self.codec), width: size.0, height: size.1 };
            self.stream.telemetry.set_format(format);
        }
        let time = pts.unwrap_or_else(|| captured.time.as_nanosecond().max(0) as u64);
        let due = state.selector.is_due(time);
        if due {
            if state.flying.len() == FLYING_AT_MOST {
                state.flying.pop_front();
                self.dropped(DropReason::Superseded, 1);
            }
            state.flying.push_back(Flying { pts, number, captured, decoded: Instant::now() });
        } else {
            self.dropped(DropReason::NotDue, 1);
        }
        drop(state);
        self.changed.notify_all();
        due
    }

    fn inferred(&self, frame: &Frame<'_>, width: u32, height: u32) {
        let mut state = self.state();
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        // A picture of the source that had the pad before is nobody's.
        let Some(position) = state.flying.iter().position(|flying| flying.pts.unwrap_or(NO_TIME) == frame.pts()) else {
            return;
        };
        self.dropped(DropReason::Superseded, position);
        let Some(flying) = state.flying.drain(..=position).next_back() else { return };
        state.decided = state.decided.max(Some(flying.number));
        let settings = self.stream.detection.load();
        let (picture_width, picture_height) = match (frame.source_width(), frame.source_height()) {
            (0, _) | (_, 0) => state.size,
            told => told,
        };
        let inferred = InferredFrame {
            stream: Arc::clone(&self.stream.identity),
            model: Arc::clone(&self.info),
            number: flying.number,
            captured: flying.captured,
            width: picture_width,
            height: picture_height,
            detections: wanted(detections(frame, width, height), &settings, &self.info),
            inference: flying.decoded.elapsed(),
            metadata: Map::new(),
            telemetry: Arc::clone(&self.stream.telemetry),
        };
        self.deliver(inferred, &mut state);
        drop(state);
        self.changed.notify_all();
    }

    fn drained(&self) {
        self.drained.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    fn failed(&self, error: &glib::Error, details: &str) {
        tracing::debug!(source = %self.stream.identity.key, %error, details, "an element of the source failed");
        let message = format!("{}: DeepStream's decoder gave up: {}", self.uri, error.message());
        self.state().failure.get_or_insert_with(|| Failure::new(Reason::CorruptStream, message));
        self.changed.notify_all();
    }
}

/// Those that the source is to report: nvinfer has the thresholds of no single source.
fn wanted(mut detections: Vec<Detection>, settings: &DetectionSettings, info: &ModelInfo) -> Vec<Detection> {
    let thresholds = settings.thresholds(info);
    let cutoff = |class: u32| {
        let own = thresholds.per_class.iter().find(|(other, _)| *other == class);
        own.map_or(thresholds.confidence, |(_, cutoff)| *cutoff)
    };
    detections.retain(|detection| detection.confidence >= cutoff(detection.class));
    settings.wanted(detections)
}

/// The objects of `frame`, whose boxes refer to `width` × `height` pixels, best first.
fn detections(frame: &Frame<'_>, width: u32, height: u32) -> Vec<Detection> {
    let (width, height) = (width.max(1) as f32, height.max(1) as f32);
    let mut detections = Vec::with_capacity(frame.declared_objects().min(1024) as usize);
    detections.extend(frame.objects().filter_map(|object| {
        let class = u32::try_from(object.class()).ok()?;
        let area = object.rectangle();
        let edges = [area.left, area.top, area.left + area.width, area.top + area.height];
        let confidence = object.confidence();
        if !confidence.is_finite() || edges.iter().any(|edge| !edge.is_finite()) {
            return None;
        }
        let [left, top, right, bottom] = edges;
        let (x, y) = ((left / width).clamp(0.0, 1.0), (top / height).clamp(0.0, 1.0));
        let bounding_box = NormalizedBox {
            x,
            y,
            width: (right / width).clamp(0.0, 1.0) - x,
            height: (bottom / height).clamp(0.0, 1.0) - y,
        };
        let sound = bounding_box.width > 0.0 && bounding_box.height > 0.0;
        sound.then_some(Detection { class, confidence: confidence.clamp(0.0, 1.0), bounding_box })
    }));
    detections.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    detections
}
