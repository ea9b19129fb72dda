//! The thread of one attempt: reads access units, feeds them to the source's place in the pipeline, and moves the source
//! to another pipeline where this one is worn or the model changes.
//!
//! What was read since the last key frame is kept. A source that moves is fed it again, so that the new decoder starts
//! at once and not at the camera's next key frame; what has been delivered before is not delivered twice.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::SendTimeoutError;
use deepstream::pipeline::{Attached, Pipeline, PipelineError};
use gstreamer as gst;

use super::{
    feed::{Feed, Stream},
    pipelines::Pipelines,
};
use crate::{
    engine::{
        AttemptEnd,
        native::{Stop, codec_name, is_compatible, needs_key_frame, selection_time},
    },
    model::Model,
    source::{AccessUnit, AccessUnits, Failure, Next, Pacing, Reason, printable_uri},
    telemetry::DropReason,
};

/// How long a request to stop may go unnoticed.
const POLL: Duration = Duration::from_millis(50);
/// Access units in the decoder at the most: below what [`super::super::native::Pending`] remembers.
const IN_DECODER: usize = 28;
/// Pictures behind the decoder at the most, where every one counts.
const BEHIND_DECODER: usize = 32;
/// A decoder that takes this many access units over this long and gives no picture is broken, or the stream is.
const HOPELESS_UNITS: u64 = 20;
const HOPELESS_TIME: Duration = Duration::from_secs(5);
/// How long the last pictures may take once the input has ended.
const DRAIN: Duration = Duration::from_secs(10);
/// A picture that has waited for its metadata for this long waits for ever: the mux or nvinfer hangs.
const STUCK: Duration = Duration::from_secs(5);
/// A pipeline that fails this soon after a source has come fails again.
const SOON: Duration = Duration::from_secs(10);
/// What is kept of the stream since its last key frame.
const KEPT_UNITS: usize = 600;
const KEPT_BYTES: usize = 32 << 20;

/// What was read since the last key frame.
#[derive(Default)]
struct Recent {
    units: Vec<AccessUnit>,
    bytes: usize,
}

impl Recent {
    fn put(&mut self, unit: &AccessUnit, stands_alone: bool) {
        if unit.key_frame || stands_alone {
            self.clear();
        } else if self.units.is_empty() {
            // Without its key frame it is of no use.
            return;
        }
        self.bytes += unit.buffer.size();
        self.units.push(unit.clone());
        if self.units.len() > KEPT_UNITS || self.bytes > KEPT_BYTES {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.units.clear();
        self.bytes = 0;
    }
}

/// The source's place in a pipeline.
struct Place {
    pipeline: Arc<Pipeline>,
    attached: Attached,
    feed: Arc<Feed>,
    model: Arc<Model>,
    fed: u64,
    since: Instant,
}

/// See the module.
pub(super) struct Attempt<'a> {
    pub(super) stream: Arc<Stream>,
    pub(super) model: Arc<arc_swap::ArcSwap<Model>>,
    pub(super) pipelines: &'a Pipelines,
    pub(super) stop: &'a Stop,
    pub(super) uri: url::Url,
    caps: Option<gst::Caps>,
    place: Option<Place>,
    recent: Recent,
    decided: Option<u64>,
    awaiting_key_frame: bool,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        stream: Arc<Stream>,
        model: Arc<arc_swap::ArcSwap<Model>>,
        pipelines: &'a Pipelines,
        stop: &'a Stop,
        uri: url::Url,
    ) -> Self {
        Self {
            stream,
            model,
            pipelines,
            stop,
            uri,
            caps: None,
            place: None,
            recent: Recent::default(),
            decided: None,
            awaiting_key_frame: true,
        }
    }

    /// Plays `units` to the end; `streaming` is called at the first access unit.
    pub(super) fn play(mut self, mut units: Box<dyn AccessUnits>, streaming: impl FnOnce()) -> AttemptEnd {
        let mut streaming = Some(streaming);
        let end = loop {
            if self.stop.is_requested() {
                break AttemptEnd::Stopped;
            }
            let step = self.look_after().and_then(|()| units.next(POLL)).and_then(|next| match next {
                Next::Format(caps) => {
                    self.set_format(caps);
                    Ok(None)
                }
                Next::Unit(unit) => {
                    if let Some(streaming) = streaming.take() {
                        streaming();
                    }
                    self.unit(unit).map(|()| None)
                }
                Next::Idle => Ok(None),
                Next::Ended => self.finish().map(Some),
            });
            match step {
                Ok(None) => {}
                Ok(Some(end)) => break end,
                Err(failure) => break AttemptEnd::Failed(failure),
            }
        };
        // The connection is closed while the place is let go of.
        drop(units);
        self.leave(None);
        end
    }

    fn set_format(&mut self, caps: gst::Caps) {
        let compatible = self.caps.as_ref().is_some_and(|old| is_compatible(old, &caps));
        if !compatible {
            self.leave(None);
            self.recent.clear();
            self.awaiting_key_frame = true;
        }
        self.caps = Some(caps);
    }

    fn unit(&mut self, unit: AccessUnit) -> Result<(), Failure> {
        let stands_alone = self.caps.as_ref().is_some_and(|caps| !needs_key_frame(caps));
        if self.awaiting_key_frame && !unit.key_frame && !stands_alone {
            self.stream.telemetry.count_dropped(DropReason::AwaitingKeyFrame, 1);
            return Ok(());
        }
        self.awaiting_key_frame = false;
        self.recent.put(&unit, stands_alone);
        if self.place.is_none() {
            self.enter()?;
            // It was among what was fed again.
            if !self.recent.units.is_empty() {
                return Ok(());
            }
        }
        self.feed(unit)
    }

    /// Feeds `unit`; waits for room where every picture counts, and else skips to the next key frame where there is none.
    fn feed(&mut self, unit: AccessUnit) -> Result<(), Failure> {
        while let Some(place) = &self.place {
            let (in_decoder, behind) = place.feed.on_the_way();
            let lossless = self.stream.pacing == Pacing::Lossless;
            if in_decoder < IN_DECODER && (!lossless || behind < BEHIND_DECODER) {
                break;
            }
            if !lossless {
                self.stream.telemetry.count_dropped(DropReason::QueueOverflow, 1);
                self.awaiting_key_frame = true;
                self.recent.clear();
                return Ok(());
            }
            if self.stop.is_requested() {
                break;
            }
            place.feed.wait(POLL);
            self.look_after()?;
        }
        let Some(place) = &mut self.place else { return Ok(()) };
        push(place, unit)
    }

    /// Takes a place in a pipeline of the model, and feeds what was read since the last key frame.
    fn enter(&mut self) -> Result<(), Failure> {
        let Some(caps) = self.caps.clone() else {
            return Err(Failure::new(Reason::PipelineFailed, "video came before its format"));
        };
        let model = self.model.load_full();
        let live = self.stream.pacing == Pacing::Live;
        let codec = codec_name(&caps).to_owned();
        let Some(pipeline) = self.pipelines.of(&model, live, self.stop)? else { return Ok(()) };
        let uri = printable_uri(&self.uri);
        let feed = Feed::new(Arc::clone(&self.stream), Arc::clone(model.info()), &codec, uri, self.decided);
        let attached = pipeline
            .attach(&caps, frames_per_second(&caps), feed.clone())
            .map_err(|error| self.pipeline_failure(&error))?;
        let mut place = Place { pipeline, attached, feed, model, fed: 0, since: Instant::now() };
        for unit in &self.recent.units {
            push(&mut place, unit.clone())?;
        }
        self.place = Some(place);
        Ok(())
    }

    /// Lets go of the place. What has a number of `fed_again` or above is not lost.
    fn leave(&mut self, fed_again: Option<u64>) {
        if let Some(place) = self.close(fed_again) {
            self.detach(&place);
        }
    }

    /// Takes what the place still has; from then on it gives nothing.
    fn close(&mut self, fed_again: Option<u64>) -> Option<Place> {
        let place = self.place.take()?;
        self.decided = self.decided.max(place.feed.close());
        while let Some(frame) = place.feed.take() {
            self.send(frame);
        }
        place.feed.give_up(fed_again);
        Some(place)
    }

    /// A pipeline that is worn ends with the last of its sources; nothing is tried in it that may hang.
    fn detach(&self, place: &Place) {
        let Place { pipeline, attached, .. } = place;
        if pipeline.is_worn() {
            return;
        }
        if let Err(error) = pipeline.detach(attached) {
            self.pipelines.worn(&error);
            tracing::error!(source = %self.stream.identity.key, %error, "the other sources move to a new pipeline");
        }
    }

    /// Sends what was inferred, and moves the source where it cannot stay.
    fn look_after(&mut self) -> Result<(), Failure> {
        let Some(place) = &self.place else { return Ok(()) };
        let feed = Arc::clone(&place.feed);
        while let Some(frame) = feed.take() {
            self.send(frame);
        }
        if let Some(failure) = feed.failure() {
            return Err(failure);
        }
        let Some(place) = &self.place else { return Ok(()) };
        if place.fed >= HOPELESS_UNITS && feed.pictures() == 0 && place.since.elapsed() >= HOPELESS_TIME {
            let (units, uri) = (place.fed, printable_uri(&self.uri));
            let message = format!("{uri}: {units} access units came and not one of them could be decoded");
            return Err(Failure::new(Reason::CorruptStream, message));
        }
        if feed.waiting_since().is_some_and(|since| since.elapsed() >= STUCK)
            && place.pipeline.since_last_batch() >= STUCK
        {
            place.pipeline.give_up("no batch has come out of the mux and nvinfer, though pictures went in");
        }
        if let Some(failure) = place.pipeline.failure()
            && (matches!(failure, PipelineError::Layout(_)) || place.since.elapsed() < SOON)
        {
            // Another pipeline would fare no better; the supervisor waits before it tries.
            return Err(self.pipeline_failure(&failure));
        }
        let other_model = !Arc::ptr_eq(&place.model, &self.model.load());
        if other_model || place.pipeline.is_worn() {
            return self.move_on();
        }
        Ok(())
    }

    /// To another pipeline. Where this one still works, the source stays in it until the other one is ready.
    fn move_on(&mut self) -> Result<(), Failure> {
        let model = self.model.load_full();
        let live = self.stream.pacing == Pacing::Live;
        if self.pipelines.of(&model, live, self.stop)?.is_none() {
            return Ok(());
        }
        let first = self.recent.units.first().map(|unit| unit.number);
        let old = self.close(first);
        let entered = if self.recent.units.is_empty() {
            self.awaiting_key_frame = true;
            Ok(())
        } else {
            self.enter()
        };
        if let Some(place) = old {
            self.detach(&place);
        }
        entered
    }

    /// The input has ended: waits for the last pictures.
    fn finish(&mut self) -> Result<AttemptEnd, Failure> {
        if let Some(place) = &self.place {
            place.attached.finish();
        }
        let end = Instant::now() + DRAIN;
        while let Some(place) = &self.place {
            let feed = Arc::clone(&place.feed);
            let idle = feed.is_drained() && feed.on_the_way().1 == 0;
            if idle || self.stop.is_requested() || Instant::now() >= end {
                break;
            }
            feed.wait(POLL);
            self.look_after()?;
        }
        let pictures = self.place.as_ref().map_or(0, |place| place.feed.pictures());
        if pictures == 0 && self.stream.telemetry.received() > 0 && !self.stop.is_requested() {
            let message = format!("{}: the input ended and none of it could be decoded", printable_uri(&self.uri));
            return Err(Failure::new(Reason::CorruptStream, message));
        }
        Ok(AttemptEnd::Completed)
    }

    fn send(&self, mut frame: crate::engine::InferredFrame) {
        while !self.stop.is_requested() {
            frame = match self.stream.frames.send_timeout(frame, POLL) {
                Ok(()) => return,
                Err(SendTimeoutError::Timeout(frame)) => frame,
                Err(SendTimeoutError::Disconnected(_)) => break,
            };
        }
        self.stream.telemetry.count_dropped(DropReason::Stopped, 1);
    }

    fn pipeline_failure(&self, error: &PipelineError) -> Failure {
        super::failure(&format!("{}: ", printable_uri(&self.uri)), error)
    }
}

fn push(place: &mut Place, unit: AccessUnit) -> Result<(), Failure> {
    let AccessUnit { mut buffer, number, captured, disposable, .. } = unit;
    let pts = buffer.pts().map(gst::ClockTime::nseconds);
    if !place.feed.decodes(selection_time(buffer.pts(), captured), disposable) {
        place.feed.left_out(number);
        return Ok(());
    }
    place.feed.fed(pts, number, captured);
    // Its own flags would be taken for gaps in the pipeline's stream.
    if let Some(buffer) = buffer.get_mut() {
        buffer.unset_flags(gst::BufferFlags::DISCONT);
    }
    place.fed += 1;
    place.attached.feed(buffer).map_err(|error| {
        place.feed.failure().unwrap_or_else(|| {
            Failure::new(Reason::PipelineFailed, format!("DeepStream's decoder takes no more: {error}"))
        })
    })
}

/// As the caps tell.
fn frames_per_second(caps: &gst::Caps) -> Option<f64> {
    let rate = caps.structure(0)?.get::<gst::Fraction>("framerate").ok()?;
    (rate.numer() > 0 && rate.denom() > 0).then(|| f64::from(rate.numer()) / f64::from(rate.denom()))
}
