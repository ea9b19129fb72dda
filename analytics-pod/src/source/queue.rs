//! The queue between an input that does not wait and its reader.

use std::collections::VecDeque;

use gstreamer as gst;

/// A second of video may wait.
const SPAN_NS: i64 = 1_000_000_000;
/// However short: for streams whose timestamps stand still.
const MOST_ENTRIES: usize = 512;
/// However short: a second of raw 4K pictures would be half a gigabyte.
const MOST_BYTES: usize = 64 << 20;

/// What the queue asks of a unit.
pub(super) trait Unit {
    /// Decoding can start here.
    fn is_key_frame(&self) -> bool;
    /// Its place in decoding order.
    fn timestamp(&self) -> Option<gst::ClockTime>;
    /// Its bytes.
    fn size(&self) -> usize;
}

/// Units that were dropped by one [`LiveQueue::push`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Because the queue was full.
    pub(super) overflow: u64,
    /// Because the key frame after an overflow had not come yet.
    pub(super) awaiting_key_frame: u64,
}

enum Entry<F, U> {
    Format(F),
    Unit { unit: U, at: i64, size: usize },
}

/// What comes out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<F, U> {
    /// What follows is in this format.
    Format(F),
    /// A unit.
    Unit(U),
}

/// Units in order, at most a second of video. On overflow it drops what waits, up to the newest key frame; where no
/// key frame waits it drops everything and takes up again at the next one. So nothing in it is older than a second,
/// and what comes out can always be decoded.
pub(super) struct LiveQueue<F, U> {
    entries: VecDeque<Entry<F, U>>,
    units: usize,
    bytes: usize,
    awaiting_key_frame: bool,
    clock: MonotonicTimestamps,
}

impl<F, U: Unit> LiveQueue<F, U> {
    pub(super) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            units: 0,
            bytes: 0,
            awaiting_key_frame: false,
            clock: MonotonicTimestamps::default(),
        }
    }

    /// What follows is in `format`.
    pub(super) fn push_format(&mut self, format: F) {
        // Two formats in a row: nothing of the first is left.
        if let Some(Entry::Format(waiting)) = self.entries.back_mut() {
            *waiting = format;
        } else {
            self.entries.push_back(Entry::Format(format));
        }
    }

    /// Takes `unit`, or drops it or others.
    pub(super) fn push(&mut self, unit: U) -> Dropped {
        let at = self.clock.next(unit.timestamp());
        let key_frame = unit.is_key_frame();
        if self.awaiting_key_frame && !key_frame {
            return Dropped { awaiting_key_frame: 1, ..Dropped::default() };
        }
        self.awaiting_key_frame = false;
        let size = unit.size();
        self.entries.push_back(Entry::Unit { unit, at, size });
        self.units += 1;
        self.bytes += size;
        let mut overflow = 0;
        while self.is_full(at) {
            overflow += self.skip();
        }
        Dropped { overflow, ..Dropped::default() }
    }

    /// The oldest.
    pub(super) fn pop(&mut self) -> Option<Item<F, U>> {
        Some(match self.entries.pop_front()? {
            Entry::Format(format) => Item::Format(format),
            Entry::Unit { unit, size, .. } => {
                self.units -= 1;
                self.bytes -= size;
                Item::Unit(unit)
            }
        })
    }

    /// Units that wait.
    pub(super) fn len(&self) -> usize {
        self.units
    }

    fn is_full(&self, newest: i64) -> bool {
        let oldest = self.entries.iter().find_map(|entry| match entry {
            Entry::Unit { at, .. } => Some(*at),
            Entry::Format(_) => None,
        });
        self.units > 1
            && (self.units > MOST_ENTRIES
                || self.bytes > MOST_BYTES
                || oldest.is_some_and(|oldest| newest - oldest > SPAN_NS))
    }

    /// Drops the units before the newest key frame, or all; the format of what follows stays. Returns how many.
    fn skip(&mut self) -> u64 {
        let is_unit = |entry: &Entry<F, U>| matches!(entry, Entry::Unit { .. });
        let oldest = self.entries.iter().position(is_unit);
        let newest_key_frame =
            self.entries.iter().rposition(|entry| matches!(entry, Entry::Unit { unit, .. } if unit.is_key_frame()));
        // A group of pictures that alone overflows the queue is given up as a whole.
        let keep_from = newest_key_frame.filter(|_| newest_key_frame != oldest).unwrap_or(self.entries.len());
        self.awaiting_key_frame = keep_from == self.entries.len();
        let kept = self.entries.split_off(keep_from);
        let skipped = std::mem::replace(&mut self.entries, kept);
        let mut dropped = 0;
        let mut format = None;
        for entry in skipped {
            match entry {
                Entry::Format(skipped) => format = Some(skipped),
                Entry::Unit { size, .. } => {
                    dropped += 1;
                    self.units -= 1;
                    self.bytes -= size;
                }
            }
        }
        if let Some(format) = format {
            self.entries.push_front(Entry::Format(format));
        }
        dropped
    }
}

/// Timestamps that never go back, in nanoseconds: pictures that are shown in another order than they are decoded count
/// by the latest so far, and a jump of more than a second either way (a camera that sets its clock) counts as nothing.
#[derive(Clone, Copy, Debug, Default)]
struct MonotonicTimestamps {
    last: Option<i64>,
    position: i64,
    anchor: i64,
}

impl MonotonicTimestamps {
    fn next(&mut self, timestamp: Option<gst::ClockTime>) -> i64 {
        let Some(timestamp) = timestamp.and_then(|timestamp| i64::try_from(timestamp.nseconds()).ok()) else {
            return self.position;
        };
        if self.last.is_none_or(|last| (timestamp - last).abs() > SPAN_NS) {
            // From here on this timestamp is where we are.
            self.anchor = self.position - timestamp;
        }
        self.last = Some(timestamp);
        self.position = self.position.max(timestamp + self.anchor);
        self.position
    }
}

#[cfg(test)]
mod tests;
