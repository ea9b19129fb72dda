//! One attempt as its decoding thread and the workers share it.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select};
use gstreamer as gst;
use gstreamer_video::VideoInfo;

use super::{detector::ModelChoice, reorder::Reorder};
use crate::{
    engine::{DetectionSettings, FrameTap, InferredFrame},
    observation::{Capture, StreamIdentity},
    source::Pacing,
    telemetry::{DropReason, StreamTelemetry},
};

/// A decoded picture, not mapped.
#[derive(Clone, Debug)]
pub(super) struct Decoded {
    pub(super) buffer: gst::Buffer,
    pub(super) info: Arc<VideoInfo>,
}

/// A frame that is to be inferred.
#[derive(Debug)]
pub(super) struct Frame {
    /// See [`crate::engine::InferredFrame::number`].
    pub(super) number: u64,
    pub(super) captured: Capture,
    pub(super) picture: Decoded,
    /// When it began to wait for a worker.
    pub(super) ready: Instant,
}

/// A request to end that wakes whoever waits for it.
#[derive(Debug)]
pub(in crate::engine) struct Stop {
    requested: AtomicBool,
    sender: Mutex<Option<Sender<Infallible>>>,
    /// Disconnected once requested.
    receiver: Receiver<Infallible>,
}

impl Stop {
    pub(in crate::engine) fn new() -> Self {
        let (sender, receiver) = bounded(0);
        Self { requested: AtomicBool::new(false), sender: Mutex::new(Some(sender)), receiver }
    }

    pub(in crate::engine) fn request(&self) {
        self.requested.store(true, Ordering::Release);
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(in crate::engine) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }
}

/// See the module.
pub(super) struct Stream {
    pub(super) identity: Arc<StreamIdentity>,
    pub(super) pacing: Pacing,
    pub(super) detection: Arc<ArcSwap<DetectionSettings>>,
    pub(super) model: Arc<dyn ModelChoice>,
    pub(super) telemetry: Arc<StreamTelemetry>,
    pub(super) tap: Option<Arc<dyn FrameTap>>,
    pub(super) stop: Stop,
    frames: Sender<InferredFrame>,
    outbox: Mutex<Outbox>,
}

struct Outbox {
    order: Reorder<Option<InferredFrame>>,
    /// A worker is sending; it takes along what is put in meanwhile.
    busy: bool,
}

impl Stream {
    #[allow(clippy::too_many_arguments, reason = "the parts of an attempt, taken apart once")]
    pub(super) fn new(
        identity: Arc<StreamIdentity>,
        pacing: Pacing,
        detection: Arc<ArcSwap<DetectionSettings>>,
        model: Arc<dyn ModelChoice>,
        telemetry: Arc<StreamTelemetry>,
        frames: Sender<InferredFrame>,
        tap: Option<Arc<dyn FrameTap>>,
    ) -> Self {
        let outbox = Mutex::new(Outbox { order: Reorder::new(), busy: false });
        Self { identity, pacing, detection, model, telemetry, tap, stop: Stop::new(), frames, outbox }
    }

    /// The frame that was taken as number `ticket` is done (`None`: without a result). Sends what is next in order;
    /// returns how many frames were done with by this call.
    pub(super) fn deliver(&self, ticket: u64, frame: Option<InferredFrame>) -> usize {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.order.put(ticket, frame);
        if outbox.busy {
            return 0;
        }
        outbox.busy = true;
        let mut done = 0;
        while let Some(next) = outbox.order.pop() {
            drop(outbox);
            if let Some(frame) = next {
                self.send(frame);
            }
            done += 1;
            outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        }
        outbox.busy = false;
        done
    }

    fn send(&self, frame: InferredFrame) {
        let sent = match self.pacing {
            Pacing::Live => self.frames.try_send(frame),
            Pacing::Lossless => select! {
                send(self.frames, frame) -> sent => sent.map_err(|error| TrySendError::Disconnected(error.0)),
                recv(self.stop.receiver) -> _ => self.frames.try_send(frame),
            },
        };
        let reason = match sent {
            Ok(()) => return,
            Err(TrySendError::Full(_)) if self.pacing == Pacing::Live => DropReason::OutputOverflow,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => DropReason::Stopped,
        };
        self.telemetry.count_dropped(reason, 1);
    }
}
