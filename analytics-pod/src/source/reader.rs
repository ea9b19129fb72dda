//! Access units from GStreamer pipelines: a fresh one for every round of an input.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gstreamer::{self as gst, prelude::*};
use gstreamer_app as gst_app;

use super::{
    AccessUnit, AccessUnits, Failure, Input, Next, Pacing, Reason,
    arrivals::Arrivals,
    classify::diagnose,
    elements,
    intake::{Intake, Progress},
    origin::Origin,
    playback::{End, Playback, Problem, Shared},
    queue,
};
use crate::telemetry::{DropReason, StreamTelemetry};

/// Access units that wait in the pipeline for a reader who wants every one of them.
const LOSSLESS_BUFFERS: u32 = 8;
/// Longer than any pause between two threads of a pipeline taking over from each other.
const IDLE_MEANS_DEAD: Duration = Duration::from_millis(500);

/// How to build the pipeline of one kind of input.
pub(super) trait Recipe: Send {
    /// A fresh pipeline that ends in `sink`. What goes wrong later is told to `shared`.
    fn pipeline(&mut self, sink: &gst::Element, shared: &Arc<Shared>) -> Result<Plan, Failure>;

    /// Whether the input has no end of its own.
    fn is_endless(&self) -> bool {
        false
    }

    /// Whether a thread of the pipeline is at work at any time from its start to its end.
    fn is_always_busy(&self) -> bool {
        false
    }

    /// Why what was played to its end is not all of it, where that can be known.
    fn missing_part(&self) -> Option<Failure> {
        None
    }

    /// Whether there is another way to read the input after `problem`; the next pipeline goes that way.
    fn fall_back(&mut self, _problem: &Problem) -> bool {
        false
    }

    /// Whether there is another way to read an input of which nothing has come so far, although it was opened; the next
    /// pipeline goes that way.
    fn break_silence(&mut self) -> bool {
        false
    }

    /// What `problem` means for this kind of input.
    fn explain(&self, problem: Problem) -> Failure {
        problem.failure
    }
}

/// A pipeline that is ready to be started.
pub(super) struct Plan {
    pub(super) pipeline: gst::Pipeline,
    /// Knows when packets came.
    pub(super) arrivals: Option<Arrivals>,
}

/// One pipeline from its start to its end.
struct Round {
    /// `None` only once it is being dropped.
    playback: Option<Playback>,
    shared: Arc<Shared>,
    sink: gst_app::AppSink,
    /// With [`Pacing::Lossless`] units are taken in by the reader; else by the pipeline's thread.
    intake: Option<Intake>,
    progress: Arc<Progress>,
    telemetry: Arc<StreamTelemetry>,
    /// A unit whose format is told first.
    held: Option<AccessUnit>,
    /// Since when the pipeline has been idle although it should be busy.
    idle_since: Option<Instant>,
}

enum Step {
    Format(gst::Caps),
    Unit(AccessUnit),
    Idle,
    Ended,
}

impl Round {
    fn begin(reader: &mut Settings, offset: gst::ClockTime, epoch: Option<gst::ClockTime>) -> Result<Self, Problem> {
        let lossless = reader.pacing == Pacing::Lossless;
        let sink = elements::APPSINK.make()?;
        sink.set_property("sync", false);
        sink.set_property("async", false);
        sink.set_property("qos", false);
        sink.set_property("enable-last-sample", false);
        sink.set_property("max-buffers", LOSSLESS_BUFFERS);
        sink.set_property("drop", false);
        let shared = Shared::new(Arc::clone(&reader.origin), reader.recipe.is_endless());
        let Plan { pipeline, arrivals } = reader.recipe.pipeline(&sink, &shared)?;
        let sink = sink.downcast::<gst_app::AppSink>().map_err(|_| -> Problem {
            Failure::new(Reason::MissingElement, "the installed GStreamer element appsink is of a foreign kind").into()
        })?;
        let progress = Arc::<Progress>::default();
        let telemetry = Arc::clone(&reader.telemetry);
        let mut intake = Some(Intake::new(Arc::clone(&telemetry), arrivals, Arc::clone(&progress), offset));
        let callbacks = gst_app::AppSinkCallbacks::builder().eos({
            let shared = Arc::clone(&shared);
            move |_| shared.ended()
        });
        let woken = Arc::clone(&shared);
        let callbacks = if lossless {
            callbacks.new_sample(move |_| {
                woken.update(|_| ());
                Ok(gst::FlowSuccess::Ok)
            })
        } else if let Some(mut intake) = intake.take() {
            let telemetry = Arc::clone(&telemetry);
            callbacks.new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                take_live(&mut intake, sample, &woken, &telemetry);
                Ok(gst::FlowSuccess::Ok)
            })
        } else {
            callbacks
        };
        sink.set_callbacks(callbacks.build());
        let base_time = epoch.map(|epoch| epoch + offset);
        let playback = Playback::start(pipeline, &shared, base_time)?;
        Ok(Self { playback: Some(playback), shared, sink, intake, progress, telemetry, held: None, idle_since: None })
    }

    fn step(&mut self, deadline: Instant) -> Result<Step, Problem> {
        let mut inbox = self.shared.lock();
        loop {
            if let Some(unit) = self.held.take() {
                return Ok(Step::Unit(unit));
            }
            if let Some(intake) = &mut self.intake {
                while let Some(sample) = self.sink.try_pull_sample(gst::ClockTime::ZERO) {
                    let (format, unit) = intake.take(sample);
                    if intake.is_hopeless() {
                        return Err(no_key_frame(self.shared.origin()).into());
                    }
                    if let Some(format) = format {
                        self.held = unit;
                        return Ok(Step::Format(format));
                    }
                    if let Some(unit) = unit {
                        return Ok(Step::Unit(unit));
                    }
                }
            }
            match inbox.queue.pop() {
                Some(queue::Item::Format(format)) => return Ok(Step::Format(format)),
                Some(queue::Item::Unit(unit)) => return Ok(Step::Unit(unit)),
                None => {}
            }
            match &inbox.end {
                Some(End::Ended) => return Ok(Step::Ended),
                Some(End::Failed(problem)) => return Err(problem.clone()),
                None => {}
            }
            match self.shared.wait(inbox, deadline) {
                Some(woken) => inbox = woken,
                None => return Ok(Step::Idle),
            }
        }
    }
}

impl Round {
    /// Whether nothing has come and nothing will. GStreamer's parsebin loses the error of a demuxer that fails while it
    /// is being plugged in (seen with 1.22), and then waits for ever.
    fn is_dead(&mut self) -> bool {
        let idle = self.progress.units() == 0 && self.playback.as_ref().is_some_and(Playback::is_idle);
        if !idle {
            self.idle_since = None;
            return false;
        }
        self.idle_since.get_or_insert_with(Instant::now).elapsed() >= IDLE_MEANS_DEAD
    }
}

impl Drop for Round {
    /// Ends the pipeline; what waits in the queue then was received and will not be seen.
    fn drop(&mut self) {
        self.playback = None;
        let waiting = self.shared.lock().queue.len() as u64 + u64::from(self.held.is_some());
        self.telemetry.count_dropped(DropReason::Stopped, waiting);
    }
}

/// In the pipeline's thread: never waits.
fn take_live(intake: &mut Intake, sample: gst::Sample, shared: &Shared, telemetry: &StreamTelemetry) {
    let (format, unit) = intake.take(sample);
    if intake.is_hopeless() {
        shared.fail(no_key_frame(shared.origin()));
    }
    if format.is_none() && unit.is_none() {
        return;
    }
    let dropped = shared.update(|inbox| {
        if let Some(format) = format {
            inbox.queue.push_format(format);
        }
        unit.map(|unit| inbox.queue.push(unit)).unwrap_or_default()
    });
    if dropped.overflow > 0 {
        telemetry.count_dropped(DropReason::QueueOverflow, dropped.overflow);
    }
    if dropped.awaiting_key_frame > 0 {
        telemetry.count_dropped(DropReason::AwaitingKeyFrame, dropped.awaiting_key_frame);
    }
}

fn no_key_frame(origin: &Origin) -> Failure {
    Failure::new(
        Reason::CorruptStream,
        format!("{}: video arrives, but no key frame to start decoding at; make the camera send them", origin.uri),
    )
}

fn no_video(origin: &Origin) -> Failure {
    Failure::new(
        Reason::CorruptStream,
        format!(
            "{}: it ended before a frame of video came; an MP4 file that does not play over HTTP may play as a file",
            origin.uri
        ),
    )
}

fn unreadable(origin: &Origin) -> Failure {
    Failure::new(
        Reason::CorruptStream,
        format!("{}: the file is damaged, or holds nothing that this pod can read", origin.uri),
    )
}

struct Settings {
    recipe: Box<dyn Recipe>,
    pacing: Pacing,
    origin: Arc<Origin>,
    telemetry: Arc<StreamTelemetry>,
}

/// Reads an input round after round.
pub(super) struct Reader {
    settings: Settings,
    repeat: bool,
    /// `None` only while one is exchanged for the next.
    round: Option<Round>,
    format: Option<gst::Caps>,
    /// When timestamp 0 of the first round was due.
    epoch: Option<gst::ClockTime>,
}

impl Reader {
    /// Begins the first round of `input`.
    pub(super) fn open(
        recipe: impl Recipe + 'static,
        input: &Input,
        pacing: Pacing,
        telemetry: &Arc<StreamTelemetry>,
    ) -> Result<Self, Failure> {
        let origin = Arc::new(Origin::new(input));
        let mut settings = Settings { recipe: Box::new(recipe), pacing, origin, telemetry: Arc::clone(telemetry) };
        let round = Round::begin(&mut settings, gst::ClockTime::ZERO, None);
        let round = round.map_err(|problem| settings.recipe.explain(problem))?;
        Ok(Self { settings, repeat: input.repeat, round: Some(round), format: None, epoch: None })
    }

    /// Ends the current round, then begins the next at `offset`.
    fn begin_round(&mut self, offset: gst::ClockTime) -> Result<(), Failure> {
        self.round = None;
        let round = Round::begin(&mut self.settings, offset, self.epoch);
        self.round = Some(round.map_err(|problem| self.settings.recipe.explain(problem))?);
        Ok(())
    }
}

impl AccessUnits for Reader {
    fn next(&mut self, timeout: Duration) -> Result<Next, Failure> {
        let deadline = Instant::now() + timeout;
        loop {
            let Some(round) = &mut self.round else { return Ok(Next::Ended) };
            match round.step(deadline) {
                Ok(Step::Format(format)) => {
                    if self.format.as_ref() != Some(&format) {
                        self.format = Some(format.clone());
                        return Ok(Next::Format(format));
                    }
                }
                Ok(Step::Unit(unit)) => return Ok(Next::Unit(unit)),
                Ok(Step::Idle) => {
                    if self.settings.recipe.is_always_busy() && round.is_dead() {
                        return Err(unreadable(&self.settings.origin));
                    }
                    if round.progress.arrived() == 0 && self.settings.recipe.break_silence() {
                        self.begin_round(gst::ClockTime::ZERO)?;
                    }
                    return Ok(Next::Idle);
                }
                Ok(Step::Ended) => {
                    if round.progress.units() == 0 {
                        let origin = &self.settings.origin;
                        return Err(if round.progress.arrived() == 0 {
                            no_video(origin)
                        } else {
                            no_key_frame(origin)
                        });
                    }
                    if let Some(failure) = self.settings.recipe.missing_part() {
                        if self.settings.pacing == Pacing::Lossless {
                            return Err(failure);
                        }
                        // What there is was watched, and would be again at the next attempt.
                        tracing::warn!(%failure, "played to where it is cut off");
                        self.settings.telemetry.set_last_failure(failure);
                    }
                    if !self.repeat {
                        return Ok(Next::Ended);
                    }
                    self.epoch = self.epoch.or_else(|| round.playback.as_ref()?.base_time());
                    let end = round.progress.end();
                    self.begin_round(end)?;
                }
                Err(problem) if round.progress.units() > 0 => return Err(self.settings.recipe.explain(problem)),
                Err(problem) => {
                    if !self.settings.recipe.fall_back(&problem) {
                        let failure = self.settings.recipe.explain(problem);
                        return Err(diagnose(failure, &self.settings.origin));
                    }
                    self.begin_round(gst::ClockTime::ZERO)?;
                }
            }
        }
    }
}
