//! When each frame's first packet arrived, from the packets before the depayloader to the access unit after it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use gstreamer::{self as gst, prelude::*};
use jiff::Timestamp;

use crate::observation::{Capture, CaptureClock};

/// Frames between the first packet seen and the access unit that it became part of; a depayloader holds one or two.
const REMEMBERED: usize = 64;
/// A camera whose clock is further off than this is not believed.
const BELIEVABLE_CLOCK_OFFSET_NS: i128 = 5_000_000_000;
/// From the epoch of NTP (1900) to that of Unix (1970): 70 years with 17 leap days (RFC 868).
const NTP_TO_UNIX_NS: i128 = 2_208_988_800 * 1_000_000_000;
/// Media type of reference timestamps that come from RTCP sender reports.
const NTP_REFERENCE: &str = "timestamp/x-ntp";

/// Presentation timestamps and capture times of the last frames. Packets of one frame share the timestamp.
#[derive(Debug, Default)]
struct Table {
    frames: VecDeque<(gst::ClockTime, Capture)>,
}

impl Table {
    /// Remembers the first packet of each frame.
    fn arrived(&mut self, timestamp: gst::ClockTime, capture: impl FnOnce() -> Capture) {
        if self.frames.back().is_some_and(|(last, _)| *last == timestamp) {
            return;
        }
        if self.frames.len() == REMEMBERED {
            self.frames.pop_front();
        }
        self.frames.push_back((timestamp, capture()));
    }

    /// When the frame of `timestamp` was taken; forgets those before it.
    fn take(&mut self, timestamp: gst::ClockTime) -> Option<Capture> {
        let index = self.frames.iter().position(|(frame, _)| *frame == timestamp)?;
        self.frames.drain(..index);
        self.frames.front().map(|(_, capture)| *capture)
    }
}

/// Shared between the probe and the end of the pipeline; both run in one thread, so it is never contended.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrivals(Arc<Mutex<Table>>);

impl Arrivals {
    /// Notes the packets that pass `pad`.
    pub(super) fn watch(&self, pad: &gst::Pad) {
        let arrivals = self.clone();
        let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(mask, move |_, info| {
            match &info.data {
                Some(gst::PadProbeData::Buffer(packet)) => arrivals.arrived(packet),
                Some(gst::PadProbeData::BufferList(packets)) => {
                    packets.iter().for_each(|packet| arrivals.arrived(packet));
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
    }

    fn arrived(&self, packet: &gst::BufferRef) {
        if let Some(timestamp) = packet.pts() {
            self.lock().arrived(timestamp, || capture(Timestamp::now(), ntp_time(packet)));
        }
    }

    /// When the frame of `timestamp` was taken, if its packets were seen.
    pub(super) fn take(&self, timestamp: gst::ClockTime) -> Option<Capture> {
        self.lock().take(timestamp)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sender's time of `packet`, in nanoseconds since 1900, once a sender report has come.
fn ntp_time(packet: &gst::BufferRef) -> Option<u64> {
    packet
        .iter_meta::<gst::ReferenceTimestampMeta>()
        .find(|meta| meta.reference().structure(0).is_some_and(|structure| structure.name() == NTP_REFERENCE))
        .map(|meta| meta.timestamp().nseconds())
}

/// The camera's time if it is believable, else `arrival`.
fn capture(arrival: Timestamp, ntp_ns: Option<u64>) -> Capture {
    ntp_ns
        .map(|ntp_ns| i128::from(ntp_ns) - NTP_TO_UNIX_NS)
        .filter(|unix_ns| (unix_ns - arrival.as_nanosecond()).abs() <= BELIEVABLE_CLOCK_OFFSET_NS)
        .and_then(|unix_ns| Timestamp::from_nanosecond(unix_ns).ok())
        .map_or(Capture::arrival(arrival), |time| Capture { time, clock: CaptureClock::Camera })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(second: i64) -> Capture {
        Capture::arrival(Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn a_frame_is_as_old_as_its_first_packet() {
        let ms = gst::ClockTime::from_mseconds;
        let mut table = Table::default();
        table.arrived(ms(0), || at(1));
        table.arrived(ms(0), || at(2));
        table.arrived(ms(40), || at(3));
        assert_eq!(table.take(ms(0)), Some(at(1)));
        assert_eq!(table.take(ms(40)), Some(at(3)));
        assert_eq!(table.take(ms(80)), None, "its packets were never seen");
        for frame in 0..1000 {
            table.arrived(ms(1000 + frame), || at(4));
        }
        assert_eq!(table.frames.len(), REMEMBERED, "units that never come out must not pile up");
    }

    #[test]
    fn a_camera_is_believed_within_five_seconds() {
        let arrival = Timestamp::from_second(1_800_000_000).unwrap();
        let ntp =
            |offset_ms: i128| u64::try_from(arrival.as_nanosecond() + NTP_TO_UNIX_NS + offset_ms * 1_000_000).ok();
        assert_eq!(capture(arrival, ntp(-40)).clock, CaptureClock::Camera);
        assert_eq!(capture(arrival, ntp(-40)).time.as_millisecond(), 1_800_000_000_000 - 40);
        assert_eq!(capture(arrival, ntp(4_999)).clock, CaptureClock::Camera);
        assert_eq!(capture(arrival, ntp(5_001)), Capture::arrival(arrival));
        assert_eq!(capture(arrival, Some(0)), Capture::arrival(arrival), "a camera that starts in 1900");
        assert_eq!(capture(arrival, None), Capture::arrival(arrival));
    }
}
