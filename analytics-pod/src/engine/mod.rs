//! Where frames are decoded and inferred. An engine takes one attempt at a source and yields detections and what
//! happens to the attempt; who retries, tracks and publishes is none of its business.

pub mod deepstream;
pub mod native;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use gstreamer_video::VideoFrameRef;
use serde_json::{Map, Value};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    model::{Model, ModelInfo, Thresholds},
    observation::{Capture, Detection, StreamIdentity},
    source::{Failure, Input, Pacing},
    telemetry::StreamTelemetry,
};

/// What to detect in a source; may change while it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionSettings {
    /// Frames inferred per second at the most; `None`: every frame.
    pub fps: Option<f64>,
    /// Scores below this are not reported; `None`: the model's own thresholds.
    pub confidence: Option<f32>,
    /// Boxes of a class that overlap more than this are one object; `None`: the model's own.
    pub iou: Option<f32>,
    /// Classes to report, by index into the model's labels; `None`: all.
    pub classes: Option<Arc<[u32]>>,
    /// Objects per frame at the most, best first.
    pub max_objects: usize,
    /// Share of the detector where sources compete for it.
    pub weight: u32,
}

impl Default for DetectionSettings {
    fn default() -> Self {
        Self { fps: None, confidence: None, iou: None, classes: None, max_objects: 300, weight: 1 }
    }
}

impl DetectionSettings {
    /// What a run keeps: these settings over the model's.
    fn thresholds(&self, model: &ModelInfo) -> Thresholds {
        let defaults = &model.thresholds;
        Thresholds {
            confidence: self.confidence.unwrap_or(defaults.confidence),
            iou: self.iou.unwrap_or(defaults.iou),
            // A confidence for the source is one for all of its classes.
            per_class: if self.confidence.is_some() { Arc::default() } else { defaults.per_class.clone() },
            class_agnostic: defaults.class_agnostic,
            // Where only some classes are wanted, objects of others must not use up the places.
            max_objects: if self.classes.is_some() {
                self.max_objects.max(defaults.max_objects)
            } else {
                self.max_objects
            },
        }
    }

    /// The detections of wanted classes, not more than wanted.
    fn wanted(&self, mut detections: Vec<Detection>) -> Vec<Detection> {
        if let Some(classes) = &self.classes {
            detections.retain(|detection| classes.contains(&detection.class));
        }
        detections.truncate(self.max_objects);
        detections
    }
}

/// Looks at every picture that is about to be inferred; what it returns becomes the observation's metadata.
pub trait FrameTap: Send + Sync {
    /// Must not keep the caller longer than a fraction of a millisecond.
    fn look(&self, number: u64, frame: &VideoFrameRef<&gstreamer::BufferRef>) -> Map<String, Value>;
}

/// One attempt at a source, resolved and ready to run.
pub struct Attempt {
    /// Who publishes.
    pub stream: Arc<StreamIdentity>,
    /// What to read.
    pub input: Input,
    /// Whether frames may be dropped.
    pub pacing: Pacing,
    /// What to detect; read anew for each frame.
    pub detection: Arc<ArcSwap<DetectionSettings>>,
    /// What to detect with; read anew for each frame, so that a model changes between two frames.
    pub model: Arc<ArcSwap<Model>>,
    /// Where to count.
    pub telemetry: Arc<StreamTelemetry>,
    /// Where to tell what happens to the attempt.
    pub events: UnboundedSender<AttemptEvent>,
    /// Where inferred frames go, in order. With [`Pacing::Live`] a full channel drops and counts; with
    /// [`Pacing::Lossless`] it is waited for.
    pub frames: Sender<InferredFrame>,
    /// Looks at each inferred picture.
    pub tap: Option<Arc<dyn FrameTap>>,
}

/// What happens to an attempt, in this order: `Streaming` at most once, `Finished` exactly once, last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptEvent {
    /// The first access unit has arrived.
    Streaming,
    /// The attempt is over and everything that it held is released.
    Finished(AttemptEnd),
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// [`RunningAttempt::stop`] was called.
    Stopped,
    /// A finite input played to its end, and its last frame has been sent.
    Completed,
    /// Anything else.
    Failed(Failure),
}

/// An attempt under way. Dropping it asks it to stop.
pub trait RunningAttempt: Send {
    /// Asks the attempt to finish the frame in hand and end; returns at once. `Finished` follows.
    fn stop(&mut self);
}

/// Decodes and detects.
pub trait Engine: Send + Sync {
    /// What `spec.engine` calls it.
    fn name(&self) -> &'static str;

    /// Begins an attempt; returns at once. What becomes of it is told through [`Attempt::events`].
    fn start(&self, attempt: Attempt) -> Box<dyn RunningAttempt>;

    /// How long frames have been waiting without one of them being inferred; zero while none wait. Grows where the
    /// engine hangs, not where cameras do.
    fn stalled(&self) -> Duration;

    /// Sources at most one attempt each share the detector's workers; waits until the workers have ended.
    fn shut_down(&self, timeout: Duration);
}

/// One frame with what was detected in it.
#[derive(Clone, Debug)]
pub struct InferredFrame {
    /// Who publishes.
    pub stream: Arc<StreamIdentity>,
    /// What detected.
    pub model: Arc<ModelInfo>,
    /// Counts the frames of this session as they are shown, from 0, those included that were dropped.
    pub number: u64,
    /// When it was taken.
    pub captured: Capture,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// What was detected, best first.
    pub detections: Vec<Detection>,
    /// Duration of the model's run.
    pub inference: Duration,
    /// What the [`FrameTap`] said.
    pub metadata: Map<String, Value>,
    /// The source's counters.
    pub telemetry: Arc<StreamTelemetry>,
}
