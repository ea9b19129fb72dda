//! What was published of each source, and what a consumer of it would have seen. Pure.
//!
//! A pod that was cut off goes on publishing for a while. A consumer keeps the highest (epoch, session) that it has seen
//! of a source and passes over what comes from a lower one; every figure here is of what it keeps.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

/// An object in a published frame, in shares of the picture's size.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub(crate) struct Object {
    /// What it is taken for.
    pub(crate) label: String,
    /// Where it is.
    #[serde(rename = "box")]
    pub(crate) place: Place,
}

/// A box in a picture, in shares of its size.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
pub(crate) struct Place {
    /// Left edge.
    pub(crate) x: f32,
    /// Top edge.
    pub(crate) y: f32,
    /// Width.
    pub(crate) width: f32,
    /// Height.
    pub(crate) height: f32,
}

/// One published frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    /// The binding under which it was published.
    pub(crate) epoch: i64,
    /// The publishing run.
    pub(crate) session: i64,
    /// Its number in that run.
    pub(crate) number: u64,
    /// When it was taken.
    pub(crate) captured: Timestamp,
    /// When it was published.
    pub(crate) published: Timestamp,
    /// What was found in it.
    pub(crate) objects: Arc<[Object]>,
}

/// A time without frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// When the frame before it was taken.
    pub(crate) from: Timestamp,
    /// When the frame after it was taken.
    pub(crate) to: Timestamp,
}

impl Gap {
    /// How long it is.
    #[must_use]
    pub(crate) fn length(&self) -> SignedDuration {
        self.to.duration_since(self.from)
    }
}

/// Everything that was published, by the name of its source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    sources: BTreeMap<String, Vec<Frame>>,
}

impl Ledger {
    /// Takes a frame, in whatever order they come.
    pub(crate) fn add(&mut self, source: &str, frame: Frame) {
        self.sources.entry(source.to_owned()).or_default().push(frame);
    }

    /// What a consumer keeps of a source, in the order of publication.
    #[must_use]
    pub(crate) fn kept(&self, source: &str) -> Vec<Frame> {
        let mut frames = self.sources.get(source).cloned().unwrap_or_default();
        frames.sort_by_key(|frame| (frame.published, frame.epoch, frame.session, frame.number));
        let mut newest = (i64::MIN, i64::MIN);
        frames.retain(|frame| {
            let run = (frame.epoch, frame.session);
            newest = newest.max(run);
            run == newest
        });
        frames
    }

    /// The last frame that a consumer keeps of a source.
    #[must_use]
    pub(crate) fn last(&self, source: &str) -> Option<&Frame> {
        self.sources.get(source)?.iter().max_by_key(|frame| (frame.epoch, frame.session, frame.published))
    }

    /// When the newest frame of any source was taken.
    #[must_use]
    pub(crate) fn latest(&self) -> Option<Timestamp> {
        self.sources.values().flatten().map(|frame| frame.captured).max()
    }

    /// Frames that were published more than once under the same (source, epoch, session, number).
    #[must_use]
    pub(crate) fn duplicates(&self) -> usize {
        self.sources
            .values()
            .map(|frames| {
                let mut seen = HashSet::new();
                frames.iter().filter(|frame| !seen.insert((frame.epoch, frame.session, frame.number))).count()
            })
            .sum()
    }

    /// The time between the captures of each two frames that follow one another, of those that reach into `from` to `to`.
    /// Where nothing follows, the last reaches to `to`; where nothing was before, the first from `from`.
    #[must_use]
    pub(crate) fn gaps(&self, source: &str, from: Timestamp, to: Timestamp) -> Vec<Gap> {
        let captured: Vec<Timestamp> = self.kept(source).iter().map(|frame| frame.captured).collect();
        let before = captured.iter().copied().filter(|time| *time <= from).max().unwrap_or(from);
        let after = captured.iter().copied().filter(|time| *time >= to).min().unwrap_or(to);
        let mut inside: Vec<Timestamp> = captured.into_iter().filter(|time| from < *time && *time < to).collect();
        inside.sort();
        let times: Vec<Timestamp> = [before].into_iter().chain(inside).chain([after]).collect();
        times.windows(2).map(|pair| Gap { from: pair[0], to: pair[1] }).collect()
    }

    /// The longest of [`Self::gaps`].
    #[must_use]
    pub(crate) fn longest_gap(&self, source: &str, from: Timestamp, to: Timestamp) -> SignedDuration {
        self.gaps(source, from, to).iter().map(Gap::length).max().unwrap_or_default()
    }

    /// When the first frame with objects was published after `from`, under an epoch above `epoch`.
    #[must_use]
    pub(crate) fn first_detection(&self, source: &str, epoch: i64, from: Timestamp) -> Option<Timestamp> {
        let kept = self.kept(source);
        let mut found =
            kept.iter().filter(|frame| frame.epoch > epoch && frame.published >= from && !frame.objects.is_empty());
        found.next().map(|frame| frame.published)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(millisecond).unwrap()
    }

    fn frame(epoch: i64, number: u64, millisecond: i64) -> Frame {
        let place = Place { x: 0.1, y: 0.1, width: 0.2, height: 0.2 };
        let objects = [Object { label: "person".to_owned(), place }].into();
        Frame { epoch, session: epoch, number, captured: at(millisecond), published: at(millisecond + 10), objects }
    }

    fn ledger(frames: impl IntoIterator<Item = Frame>) -> Ledger {
        let mut ledger = Ledger::default();
        for frame in frames {
            ledger.add("gate", frame);
        }
        ledger
    }

    #[test]
    fn what_a_pod_publishes_after_another_has_taken_over_is_passed_over() {
        let ledger = ledger([frame(1, 0, 0), frame(1, 1, 100), frame(2, 0, 150), frame(1, 2, 200), frame(2, 1, 250)]);
        let kept: Vec<_> = ledger.kept("gate").iter().map(|frame| (frame.epoch, frame.number)).collect();
        assert_eq!(kept, [(1, 0), (1, 1), (2, 0), (2, 1)]);
        assert_eq!(ledger.longest_gap("gate", at(0), at(250)), SignedDuration::from_millis(100));
        assert_eq!(ledger.duplicates(), 0);
    }

    #[test]
    fn the_same_frame_twice_is_a_duplicate() {
        assert_eq!(ledger([frame(1, 0, 0), frame(1, 0, 0), frame(2, 0, 100)]).duplicates(), 1);
    }

    #[test]
    fn a_gap_reaches_into_the_window_from_either_side() {
        let ledger = ledger([frame(1, 0, 0), frame(1, 1, 100), frame(1, 2, 900), frame(1, 3, 1000)]);
        let gap = |from, to| ledger.longest_gap("gate", at(from), at(to)).as_millis();
        assert_eq!((gap(0, 1000), gap(500, 600), gap(950, 1000), gap(0, 50)), (800, 800, 100, 100));
        // Nothing follows, or nothing was before.
        assert_eq!((gap(950, 3000), gap(-500, 50)), (2000, 500));
        assert_eq!(ledger.longest_gap("nobody", at(0), at(70)).as_millis(), 70);
    }

    #[test]
    fn the_first_detection_is_of_a_later_binding_and_has_objects() {
        let empty = Frame { objects: [].into(), ..frame(2, 0, 50) };
        let ledger = ledger([frame(1, 0, 0), empty, frame(2, 1, 100)]);
        assert_eq!(ledger.first_detection("gate", 1, at(0)), Some(at(110)));
        assert_eq!(ledger.first_detection("gate", 2, at(0)), None);
    }

    proptest! {
        #[test]
        fn the_order_in_which_frames_come_changes_nothing(
            frames in prop::collection::vec((1_i64..4, 0_u64..20, 0_i64..2000), 0..30).prop_shuffle(),
        ) {
            let frames: Vec<_> = frames.into_iter().map(|(epoch, number, time)| frame(epoch, number, time)).collect();
            let forward = ledger(frames.clone());
            let backward = ledger(frames.into_iter().rev());
            prop_assert_eq!(forward.kept("gate"), backward.kept("gate"));
            prop_assert_eq!(forward.duplicates(), backward.duplicates());
            let kept = forward.kept("gate");
            prop_assert_eq!(forward.last("gate").map(|frame| frame.published), kept.last().map(|frame| frame.published));
            prop_assert!(kept.is_sorted_by_key(|frame| (frame.epoch, frame.session)));
        }
    }
}
