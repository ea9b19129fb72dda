//! Which frame was sent when.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How many of a camera's last frames are remembered: more than two minutes at 30 frames a second.
pub const CAPACITY: usize = 4096;

/// One frame that went to the camera's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SentFrame {
    /// Counts a camera's sent frames from 0.
    pub sequence: u64,
    /// How often the loop had been played before.
    #[serde(rename = "loop")]
    pub repetition: u64,
    /// The frame's place in the loop as it is shown: the number in the barcode.
    pub frame: u32,
    /// Unix time in microseconds, taken immediately before the frame was handed to the first client.
    pub sent_time: u64,
}

/// The last frames that a camera sent.
#[derive(Debug, Default)]
pub(crate) struct SentRing {
    frames: VecDeque<SentFrame>,
    /// The sequence number that the next frame will have; whoever follows is told of each change.
    next: watch::Sender<u64>,
}

impl SentRing {
    pub(crate) fn push(&mut self, repetition: u64, frame: u32, sent_time: u64) {
        if self.frames.len() == CAPACITY {
            self.frames.pop_front();
        }
        self.frames.push_back(SentFrame { sequence: self.next(), repetition, frame, sent_time });
        self.next.send_modify(|next| *next += 1);
    }

    /// The sequence number that the next frame will have.
    pub(crate) fn next(&self) -> u64 {
        *self.next.borrow()
    }

    /// Tells of each further frame by its sequence number plus one.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }

    /// The remembered frames from a sequence number on, oldest first.
    pub(crate) fn since(&self, sequence: u64) -> impl Iterator<Item = SentFrame> {
        let oldest = self.next() - self.frames.len() as u64;
        let skip = usize::try_from(sequence.saturating_sub(oldest)).unwrap_or(usize::MAX);
        self.frames.iter().skip(skip).copied()
    }

    /// The last `count` frames, oldest first.
    pub(crate) fn last(&self, count: usize) -> impl Iterator<Item = SentFrame> {
        self.since(self.next().saturating_sub(count as u64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_last_frames_are_remembered_in_order(pushed in 0u64..9_000, from in 0u64..10_000) {
            let mut ring = SentRing::default();
            for n in 0..pushed {
                ring.push(n / 100, (n % 100) as u32, n);
            }
            let oldest = pushed.saturating_sub(CAPACITY as u64);
            let sequences: Vec<_> = ring.since(from).map(|sent| sent.sequence).collect();
            prop_assert_eq!(sequences, (from.max(oldest)..pushed).collect::<Vec<_>>());
            prop_assert!(ring.since(0).all(|sent| sent.repetition * 100 + u64::from(sent.frame) == sent.sequence));
            prop_assert_eq!(ring.last(10).count() as u64, pushed.min(10));
        }
    }
}
