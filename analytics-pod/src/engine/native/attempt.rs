//! The decoding thread of one attempt: reads access units, decodes those that are wanted, and hands on the pictures
//! that are due.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gstreamer as gst;

use super::{
    clock::ThreadTime,
    decoder::{Decoder, codec_name, is_compatible, needs_key_frame},
    pending::Pending,
    scheduler::{LaneId, Scheduler},
    selection::Selector,
    stream::{Decoded, Frame, Stream},
};
use crate::{
    engine::AttemptEnd,
    observation::Capture,
    source::{AccessUnit, AccessUnits, Failure, Next, Pacing, Reason},
    telemetry::{DropReason, Stage, VideoFormat},
};

/// How long a request to stop may go unnoticed.
const POLL: Duration = Duration::from_millis(100);
/// A source that gives this many access units over this long and not one picture is broken. The number is past what
/// any decoder holds back (16 pictures in H.264 and H.265), the time past a short disturbance.
const HOPELESS_UNITS: u64 = 20;
const HOPELESS_TIME: Duration = Duration::from_secs(3);
/// Where pictures have come before, the decoder is known to hold back few: this many access units over this long in vain
/// are enough. A camera that sends garbage sends few whole access units.
const LOST_UNITS: u64 = 5;
const LOST_TIME: Duration = Duration::from_secs(4);
/// How long a source may go without a key frame before it counts as broken: cameras send one every 10 s at the least.
const KEY_FRAME_TIME: Duration = Duration::from_secs(20);
/// A key frame presented this much before what came last begins a new round of a file that repeats.
const REPEATED: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Attempt<'a> {
    stream: &'a Arc<Stream>,
    scheduler: &'a Scheduler,
    lane: LaneId,
    caps: Option<gst::Caps>,
    decoder: Option<Decoder>,
    /// When each was captured.
    pending: Pending<Capture>,
    selector: Selector,
    awaiting_key_frame: bool,
    barren: Barren,
    newest: Option<gst::ClockTime>,
    format: Option<VideoFormat>,
    /// No more access units come.
    ending: bool,
}

/// How long access units have come without a picture, in arrival and in presentation, whichever is longer.
#[derive(Debug, Default)]
struct Barren {
    units: u64,
    since: Option<(Instant, Option<gst::ClockTime>)>,
    lasting: Duration,
    ever_fruitful: bool,
    /// How well it went lately: pictures add to it, access units take from it.
    credit: u32,
}

impl Barren {
    /// What a picture adds: two fields may make one picture.
    const PICTURE: u32 = 3;
    /// More than one picture in garbage that a decoder takes for one.
    const WELL: u32 = 4;

    fn unit(&mut self, time: Option<gst::ClockTime>) {
        self.credit = self.credit.saturating_sub(1);
        self.units += 1;
        let (arrived, first) = *self.since.get_or_insert((Instant::now(), time));
        let presented = time.zip(first).map_or(Duration::ZERO, |(time, first)| time.saturating_sub(first).into());
        self.lasting = arrived.elapsed().max(presented);
    }

    fn picture(&mut self) {
        self.ever_fruitful = true;
        self.credit = (self.credit + Self::PICTURE).min(Self::PICTURE + Self::WELL);
        if self.credit >= Self::WELL {
            *self = Self { ever_fruitful: true, credit: self.credit, ..Self::default() };
        }
    }
}

impl<'a> Attempt<'a> {
    pub(super) fn new(stream: &'a Arc<Stream>, scheduler: &'a Scheduler, lane: LaneId) -> Self {
        Self {
            stream,
            scheduler,
            lane,
            caps: None,
            decoder: None,
            pending: Pending::new(),
            selector: Selector::default(),
            awaiting_key_frame: true,
            barren: Barren::default(),
            newest: None,
            format: None,
            ending: false,
        }
    }

    /// Plays `units` to the end; `streaming` is called at the first access unit.
    pub(super) fn play(mut self, mut units: Box<dyn AccessUnits>, streaming: impl FnOnce()) -> AttemptEnd {
        let mut streaming = Some(streaming);
        let end = loop {
            if self.stream.stop.is_requested() {
                break AttemptEnd::Stopped;
            }
            let step = units.next(POLL).and_then(|next| match next {
                Next::Format(caps) => self.set_format(caps).map(|()| None),
                Next::Unit(unit) => {
                    if let Some(streaming) = streaming.take() {
                        streaming();
                    }
                    self.unit(unit).map(|()| None)
                }
                Next::Idle => Ok(None),
                Next::Ended => self.ended().map(Some),
            });
            match step {
                Ok(None) => {}
                Ok(Some(end)) => break end,
                Err(failure) => break AttemptEnd::Failed(failure),
            }
        };
        // The connection is closed while the last frames are inferred.
        drop(units);
        let on_the_way = self.pending.clear() as u64;
        self.dropped(DropReason::Stopped, on_the_way);
        let left = self.scheduler.settle(self.lane) as u64;
        self.dropped(DropReason::Stopped, left);
        end
    }

    fn dropped(&self, reason: DropReason, count: u64) {
        if count > 0 {
            self.stream.telemetry.count_dropped(reason, count);
        }
    }

    fn set_format(&mut self, caps: gst::Caps) -> Result<(), Failure> {
        if let (Some(old), Some(decoder)) = (&self.caps, &mut self.decoder)
            && is_compatible(old, &caps)
        {
            decoder.update(&caps);
        } else {
            self.finish_decoder();
            self.decoder = Some(Decoder::new(&caps, self.stream.pacing)?);
        }
        self.caps = Some(caps);
        Ok(())
    }

    /// Takes what the decoder still holds and lets go of it.
    fn finish_decoder(&mut self) {
        if let Some(mut decoder) = self.decoder.take() {
            let start = ThreadTime::now();
            decoder.drain();
            self.stream.telemetry.add_stage(Stage::Decode, start.elapsed());
            self.pictures(decoder.pictures());
        }
        let lost = self.pending.clear() as u64;
        self.dropped(DropReason::Undecodable, lost);
        self.awaiting_key_frame = true;
    }

    /// The decoder, as good as new.
    fn decoder(&mut self) -> Result<&mut Decoder, Failure> {
        let Some(caps) = &self.caps else {
            return Err(Failure::new(Reason::PipelineFailed, "video came before its format"));
        };
        if self.decoder.is_none() {
            self.decoder = Some(Decoder::new(caps, self.stream.pacing)?);
        }
        self.decoder.as_mut().ok_or_else(|| Failure::new(Reason::PipelineFailed, "no decoder"))
    }

    fn unit(&mut self, unit: AccessUnit) -> Result<(), Failure> {
        let time = unit.buffer.pts();
        self.selector.set_rate(self.stream.detection.load().fps);
        let repeats =
            |newest: gst::ClockTime, time: gst::ClockTime| Duration::from(newest.saturating_sub(time)) > REPEATED;
        if unit.key_frame && self.newest.zip(time).is_some_and(|(newest, time)| repeats(newest, time)) {
            self.finish_decoder();
            self.newest = None;
        }
        self.newest = self.newest.max(time);
        if self.awaiting_key_frame {
            if !unit.key_frame && self.caps.as_ref().is_some_and(|caps| needs_key_frame(caps)) {
                self.barren.unit(time);
                self.dropped(DropReason::AwaitingKeyFrame, 1);
                return self.hopeless(KEY_FRAME_TIME, "no key frame has come");
            }
            self.awaiting_key_frame = false;
        }
        if !self.selector.decodes(selection_time(time, unit.captured), unit.disposable) {
            self.dropped(DropReason::NotReferenced, 1);
            return Ok(());
        }
        self.barren.unit(time);
        let lost = self.pending.put(time.map(gst::ClockTime::nseconds), unit.number, unit.captured);
        self.dropped(DropReason::Undecodable, lost as u64);
        let decoder = self.decoder()?;
        let start = ThreadTime::now();
        let result = decoder.decode(unit.buffer);
        let spent = start.elapsed();
        let pictures = decoder.pictures();
        self.stream.telemetry.add_stage(Stage::Decode, spent);
        self.pictures(pictures);
        if let Err(error) = result {
            tracing::debug!(source = %self.stream.identity.key, %error, "the decoder gave up; waiting for a key frame");
            self.decoder = None;
            let lost = self.pending.clear() as u64;
            self.dropped(DropReason::Undecodable, lost);
            self.awaiting_key_frame = true;
        }
        self.hopeless(HOPELESS_TIME, "not one of them could be decoded")
    }

    /// An error once access units have come in vain for `limit`.
    fn hopeless(&self, limit: Duration, why: &str) -> Result<(), Failure> {
        let Barren { units, lasting, ever_fruitful, .. } = self.barren;
        let hopeless = units >= HOPELESS_UNITS && lasting >= limit;
        let lost = ever_fruitful && units >= LOST_UNITS && lasting >= limit.max(LOST_TIME);
        if !hopeless && !lost {
            return Ok(());
        }
        Err(Failure::new(
            Reason::CorruptStream,
            format!("{units} access units came in {:.0} s and {why}", lasting.as_secs_f64()),
        ))
    }

    fn ended(&mut self) -> Result<AttemptEnd, Failure> {
        self.ending = true;
        self.finish_decoder();
        let Barren { units, ever_fruitful, .. } = self.barren;
        if units > 0 && !ever_fruitful {
            return Err(Failure::new(
                Reason::CorruptStream,
                format!("the input ended after {units} access units and not one of them could be decoded"),
            ));
        }
        Ok(AttemptEnd::Completed)
    }

    fn pictures(&mut self, pictures: Vec<Decoded>) {
        for picture in pictures {
            self.picture(picture);
        }
    }

    fn picture(&mut self, picture: Decoded) {
        let time = picture.buffer.pts();
        let taken = self.pending.take(time.map(gst::ClockTime::nseconds));
        self.dropped(DropReason::Undecodable, taken.lost as u64);
        let Some((number, captured)) = taken.unit else { return };
        if picture.buffer.flags().contains(gst::BufferFlags::CORRUPTED) {
            self.dropped(DropReason::Undecodable, 1);
            return;
        }
        self.barren.picture();
        self.stream.telemetry.count_decoded();
        self.note_format(&picture);
        if !self.selector.is_due(selection_time(time, captured)) {
            self.dropped(DropReason::NotDue, 1);
            return;
        }
        let frame = Frame { number, captured, picture, ready: Instant::now() };
        // Nothing newer comes after the last frames, which a decoder gives all at once.
        if self.stream.pacing == Pacing::Lossless || self.ending {
            let left = self.scheduler.submit(self.lane, frame).err();
            self.dropped(DropReason::Stopped, u64::from(left.is_some()));
        } else {
            let replaced = self.scheduler.offer(self.lane, frame, self.selector.picture_interval() / 2);
            self.dropped(DropReason::Superseded, replaced as u64);
        }
    }

    fn note_format(&mut self, picture: &Decoded) {
        let (width, height) = (picture.info.width(), picture.info.height());
        if self.format.as_ref().is_some_and(|format| (format.width, format.height) == (width, height)) {
            return;
        }
        let codec = self.caps.as_ref().map_or("", |caps| codec_name(caps));
        let format = VideoFormat { codec: codec.into(), width, height };
        self.stream.telemetry.set_format(format.clone());
        self.format = Some(format);
    }
}

/// The time by which frames are selected: when they are to be presented, or else when they were taken.
pub(in crate::engine) fn selection_time(presented: Option<gst::ClockTime>, captured: Capture) -> u64 {
    presented.map_or_else(|| captured.time.as_nanosecond().max(0) as u64, gst::ClockTime::nseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> gst::ClockTime {
        gst::ClockTime::from_mseconds(ms)
    }

    #[test]
    fn one_picture_in_garbage_is_no_recovery() {
        let mut barren = Barren::default();
        for frame in 0..60 {
            barren.unit(Some(at(frame * 66)));
            if frame == 40 {
                barren.picture();
            }
        }
        assert_eq!((barren.units, barren.ever_fruitful), (60, true));
    }

    #[test]
    fn pictures_one_after_another_are_though_they_come_late_or_of_two_fields_each() {
        for (delay, fields) in [(0, 1), (4, 1), (0, 2), (4, 2)] {
            let mut barren = Barren::default();
            for field in 0..60 {
                barren.unit(Some(at(field * 66)));
                if field >= delay && field % fields == 0 {
                    barren.picture();
                }
            }
            assert!(barren.units <= 8, "{delay} late, {fields} fields: {}", barren.units);
        }
    }
}
