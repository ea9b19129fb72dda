//! A worker: takes frames from the scheduler, lays them into the model's input, runs it, and delivers what it says.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use gstreamer_video::{VideoFrame, VideoFrameRef, prelude::*};
use serde_json::{Map, Value};

use super::{
    clock::ThreadTime,
    convert::{Converter, ForeignConverter, ForeignError, Kernel, Picture, PictureError, PixelFormat},
    detector::{Detector, DetectorSession},
    scheduler::{Job, Scheduler, Work},
    stream::Stream,
};
use crate::{
    engine::{DetectionSettings, InferredFrame},
    model::{InferenceError, ModelInfo, Placement},
    observation::Detection,
    telemetry::{DropReason, Stage},
};

/// Works until the scheduler closes.
pub(super) fn run(worker: usize, scheduler: &Scheduler) {
    let kernel = Kernel::detect();
    let mut benches: Vec<Bench> = Vec::new();
    loop {
        match scheduler.take(worker) {
            Work::Leave => return,
            Work::KeepModels(models) => benches.retain(|bench| models.contains(&bench.detector.id())),
            Work::Infer(jobs) => {
                let Some(detector) = jobs.first().map(|job| job.detector.clone()) else { continue };
                let known = benches.iter().position(|bench| bench.detector.id() == detector.id());
                let index = known.unwrap_or_else(|| {
                    benches.push(Bench::new(detector.clone(), kernel));
                    benches.len() - 1
                });
                let jobs = jobs.into_iter().map(|job| InHand { job, scheduler, done: false }).collect();
                if catch_unwind(AssertUnwindSafe(|| benches[index].infer(jobs))).is_err() {
                    tracing::error!(model = %detector.info().name, "a fault of this program: frames were lost");
                    benches.remove(index);
                }
            }
        }
    }
}

/// What a worker keeps for a model.
struct Bench {
    detector: Arc<dyn Detector>,
    info: Arc<ModelInfo>,
    session: Option<Box<dyn DetectorSession>>,
    converter: Converter,
    /// Where the picture before lies in each input of the session.
    laid: Vec<Option<Placement>>,
    foreign: ForeignConverter,
    /// The last run failed, and was told of.
    failing: bool,
}

/// Why a picture did not get into the input.
#[derive(Debug, thiserror::Error)]
enum LayError {
    #[error("the decoded picture cannot be mapped")]
    Map,
    #[error(transparent)]
    Picture(#[from] PictureError),
    #[error(transparent)]
    Foreign(#[from] ForeignError),
}

/// A job that comes to an end whatever happens here: one that is let go of counts as failed.
struct InHand<'a> {
    job: Job,
    scheduler: &'a Scheduler,
    done: bool,
}

impl InHand<'_> {
    fn deliver(mut self, frame: InferredFrame) {
        self.end(Some(frame));
    }

    fn give_up(mut self, reason: DropReason) {
        self.job.stream.telemetry.count_dropped(reason, 1);
        self.end(None);
    }

    fn end(&mut self, frame: Option<InferredFrame>) {
        self.done = true;
        self.scheduler.delivered(self.job.lane, self.job.stream.deliver(self.job.ticket, frame));
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.job.stream.telemetry.count_dropped(DropReason::InferenceFailed, 1);
            self.end(None);
        }
    }
}

/// A job whose picture is in the input.
struct Laid<'a> {
    in_hand: InHand<'a>,
    metadata: Map<String, Value>,
    settings: Arc<DetectionSettings>,
}

impl Bench {
    fn new(detector: Arc<dyn Detector>, kernel: Kernel) -> Self {
        let info = detector.info().clone();
        Self {
            converter: Converter::new(info.input.clone(), kernel),
            laid: vec![None; info.input.max_batch.max(1)],
            info,
            detector,
            session: None,
            foreign: ForeignConverter::default(),
            failing: false,
        }
    }

    fn infer(&mut self, jobs: Vec<InHand<'_>>) {
        if self.session.is_none() {
            match self.detector.session() {
                Ok(session) => {
                    self.session = Some(session);
                    self.laid.fill(None);
                }
                Err(error) => return self.fail(&error, jobs),
            }
        }
        let (mut laid, mut pictures) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
        for in_hand in jobs {
            let job = &in_hand.job;
            job.stream.telemetry.add_stage(Stage::Wait, job.frame.ready.elapsed());
            match self.lay(job, laid.len()) {
                Ok((placement, metadata)) => {
                    let settings = job.stream.detection.load_full();
                    pictures.push((placement, settings.thresholds(&self.info)));
                    laid.push(Laid { in_hand, metadata, settings });
                }
                Err(error) => {
                    tracing::warn!(source = %job.stream.identity.key, frame = job.frame.number, %error, "frame left out");
                    in_hand.give_up(DropReason::Undecodable);
                }
            }
        }
        let Some(session) = self.session.as_mut().filter(|_| !laid.is_empty()) else { return };
        let start = ThreadTime::now();
        let result = session.run(&pictures);
        let spent = start.elapsed();
        match result {
            Ok(output) => {
                self.failing = false;
                let share = |time: Duration| time / laid.len() as u32;
                let post_processing = output.post_processing.min(spent);
                let (infer, post_process) = (share(spent.saturating_sub(post_processing)), share(post_processing));
                let mut detections = output.detections.into_iter();
                for Laid { in_hand, metadata, settings } in laid {
                    let telemetry = &in_hand.job.stream.telemetry;
                    telemetry.add_stage(Stage::Infer, infer);
                    telemetry.add_stage(Stage::PostProcess, post_process);
                    let detections = settings.wanted(detections.next().unwrap_or_default());
                    let frame = inferred(&in_hand.job, self.info.clone(), detections, output.inference, metadata);
                    in_hand.deliver(frame);
                }
            }
            Err(error) => {
                // Its buffers may hold anything now.
                self.session = None;
                self.fail(&error, laid.into_iter().map(|laid| laid.in_hand));
            }
        }
    }

    /// Lays the job's picture into input `index`.
    fn lay(&mut self, job: &Job, index: usize) -> Result<(Placement, Map<String, Value>), LayError> {
        let start = ThreadTime::now();
        let picture = &job.frame.picture;
        let frame =
            VideoFrameRef::from_buffer_ref_readable(&picture.buffer, &picture.info).map_err(|_| LayError::Map)?;
        let native = PixelFormat::from_gst(frame.format()).is_some();
        let converted = if native { None } else { Some(self.foreign.convert(&frame)?) };
        let frame = converted.as_ref().map_or(frame, VideoFrame::as_video_frame_ref);
        let mapped = start.elapsed();
        let metadata = job.stream.tap.as_ref().map(|tap| tap.look(job.frame.number, &frame)).unwrap_or_default();
        let start = ThreadTime::now();
        let picture = Picture::from_frame(&frame)?;
        let input = self.session.as_mut().map_or(&mut [][..], |session| session.input(index));
        let placement = self.converter.convert(&picture, &mut self.laid[index], input);
        job.stream.telemetry.add_stage(Stage::Convert, mapped + start.elapsed());
        Ok((placement, metadata))
    }

    fn fail<'a>(&mut self, error: &InferenceError, jobs: impl IntoIterator<Item = InHand<'a>>) {
        if !self.failing {
            tracing::error!(%error, "frames are dropped until the model runs again");
            self.failing = true;
        }
        for in_hand in jobs {
            in_hand.give_up(DropReason::InferenceFailed);
        }
    }
}

fn inferred(
    job: &Job,
    model: Arc<ModelInfo>,
    detections: Vec<Detection>,
    inference: Duration,
    metadata: Map<String, Value>,
) -> InferredFrame {
    let Stream { identity, telemetry, .. } = &*job.stream;
    InferredFrame {
        stream: identity.clone(),
        model,
        number: job.frame.number,
        captured: job.frame.captured,
        width: job.frame.picture.info.width(),
        height: job.frame.picture.info.height(),
        detections,
        inference,
        metadata,
        telemetry: telemetry.clone(),
    }
}
