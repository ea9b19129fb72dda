//! When frames that are made here are due.

use std::{
    thread,
    time::{Duration, Instant},
};

use gstreamer as gst;

use super::Pacing;
use crate::telemetry::{DropReason, StreamTelemetry};

/// As the queue of other inputs: what is older than this is skipped.
const TOLERANCE: Duration = Duration::from_secs(1);

/// A frame that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Counts frames from 0, skipped ones included.
    pub(super) index: u64,
    /// Since the first frame.
    pub(super) timestamp: gst::ClockTime,
    /// Frames skipped before this one.
    pub(super) skipped: u64,
}

/// A clock that ticks once a frame.
#[derive(Debug)]
pub(super) struct Pacer {
    pacing: Pacing,
    interval: Duration,
    start: Instant,
    next: u64,
}

impl Pacer {
    /// Frame 0 is due at `start`, each further one an `interval` later.
    pub(super) fn new(pacing: Pacing, interval: Duration, start: Instant) -> Self {
        Self { pacing, interval: interval.max(Duration::from_nanos(1)), start, next: 0 }
    }

    /// The frame that comes next, unless it is too late by then.
    pub(super) fn next_index(&self) -> u64 {
        self.next
    }

    /// Waits for the next frame, up to `timeout`. Skipped frames count as received and dropped.
    pub(super) fn wait(&mut self, timeout: Duration, telemetry: &StreamTelemetry) -> Option<Due> {
        let due = match self.poll(Instant::now()) {
            Ok(due) => due,
            Err(wait) if wait > timeout => {
                thread::sleep(timeout);
                return None;
            }
            Err(wait) => {
                thread::sleep(wait);
                self.poll(Instant::now()).ok()?
            }
        };
        if due.skipped > 0 {
            (0..due.skipped).for_each(|_| {
                telemetry.count_received(0);
            });
            telemetry.count_dropped(DropReason::QueueOverflow, due.skipped);
        }
        Some(due)
    }

    /// The frame that is due at `now`, or how long until one is.
    fn poll(&mut self, now: Instant) -> Result<Due, Duration> {
        let mut skipped = 0;
        if self.pacing == Pacing::Live {
            let elapsed = now.saturating_duration_since(self.start);
            let wait = self.offset(self.next).saturating_sub(elapsed);
            if !wait.is_zero() {
                return Err(wait);
            }
            if elapsed.saturating_sub(self.offset(self.next)) > TOLERANCE.max(self.interval) {
                let newest = elapsed.as_nanos() / self.interval.as_nanos();
                let newest = u64::try_from(newest).unwrap_or(u64::MAX);
                skipped = newest.saturating_sub(self.next);
                self.next = newest;
            }
        }
        let index = self.next;
        self.next += 1;
        let timestamp = gst::ClockTime::try_from(self.offset(index)).unwrap_or(gst::ClockTime::MAX);
        Ok(Due { index, timestamp, skipped })
    }

    fn offset(&self, index: u64) -> Duration {
        let nanos = self.interval.as_nanos().saturating_mul(u128::from(index));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(40);

    #[test]
    fn live_frames_come_in_real_time_and_late_ones_within_a_second() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Pacing::Live, INTERVAL, start);
        assert_eq!(pacer.poll(start).unwrap().index, 0);
        assert_eq!(pacer.poll(start + Duration::from_millis(15)), Err(Duration::from_millis(25)));
        let late = start + Duration::from_secs(1);
        let due = pacer.poll(late).unwrap();
        assert_eq!((due.index, due.skipped), (1, 0), "960 ms late is within the second");
        assert_eq!(due.timestamp, gst::ClockTime::from_mseconds(40));
        let due = pacer.poll(start + Duration::from_secs(10)).unwrap();
        assert_eq!((due.index, due.skipped), (250, 248), "older than a second: skips to the newest");
    }

    #[test]
    fn lossless_frames_wait_for_the_reader() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Pacing::Lossless, INTERVAL, start);
        let frames: Vec<u64> = (0..5).map(|_| pacer.poll(start + Duration::from_mins(1)).unwrap().index).collect();
        assert_eq!(frames, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn skipped_frames_are_counted() {
        let telemetry = StreamTelemetry::default();
        let mut pacer = Pacer::new(Pacing::Live, INTERVAL, Instant::now().checked_sub(Duration::from_secs(4)).unwrap());
        let due = pacer.wait(Duration::ZERO, &telemetry).unwrap();
        assert!(due.skipped >= 100, "{due:?}");
        assert_eq!(telemetry.received(), due.skipped);
        assert_eq!(telemetry.dropped(DropReason::QueueOverflow), due.skipped);
    }
}
