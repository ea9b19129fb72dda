//! Plays a source to its first picture and runs one inference on it, as `run` would.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use crossbeam_channel::{RecvTimeoutError, bounded};
use tokio::sync::mpsc::unbounded_channel;

use crate::{
    assign::DesiredSource,
    engine::{
        Attempt, AttemptEnd, AttemptEvent, DetectionSettings, Engine, InferredFrame,
        native::{NativeEngine, NativeSettings},
    },
    model::Model,
    observation::StreamIdentity,
    source::Pacing,
    telemetry::StreamTelemetry,
};

/// How long the first inferred frame may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long the engine may take to end.
const SHUT_DOWN: Duration = Duration::from_secs(5);

/// What the first frame was; else why there is none.
pub(super) fn first_frame(source: &DesiredSource, model: &Arc<Model>) -> Result<String, String> {
    let engine = NativeEngine::new(NativeSettings::default()).map_err(|error| error.to_string())?;
    let (frames, inferred) = bounded(1);
    let (events, mut told) = unbounded_channel();
    let mut running = engine.start(Attempt {
        stream: Arc::new(StreamIdentity { key: source.key.clone(), epoch: 0, session: 0 }),
        input: source.input.clone(),
        pacing: Pacing::Live,
        detection: Arc::new(ArcSwap::from_pointee(DetectionSettings::default())),
        model: Arc::new(ArcSwap::new(Arc::clone(model))),
        telemetry: Arc::new(StreamTelemetry::default()),
        events,
        frames,
        tap: None,
    });
    let end = Instant::now() + TIMEOUT;
    let outcome = match inferred.recv_deadline(end) {
        Ok(frame) => Ok(describe(&frame)),
        Err(RecvTimeoutError::Timeout) => Err(format!("no frame was inferred within {} s", TIMEOUT.as_secs())),
        Err(RecvTimeoutError::Disconnected) => Err(why_it_ended(&mut told)),
    };
    running.stop();
    engine.shut_down(SHUT_DOWN);
    outcome
}

fn describe(frame: &InferredFrame) -> String {
    format!(
        "first frame {}×{}, {} object(s), inference {:.1} ms",
        frame.width,
        frame.height,
        frame.detections.len(),
        frame.inference.as_secs_f64() * 1000.0
    )
}

fn why_it_ended(told: &mut tokio::sync::mpsc::UnboundedReceiver<AttemptEvent>) -> String {
    while let Some(event) = told.blocking_recv() {
        if let AttemptEvent::Finished(AttemptEnd::Failed(failure)) = event {
            return failure.to_string();
        }
    }
    "it ended without a frame".to_owned()
}
