//! What nvstreammux knows of its sources, and when a batch is to be pushed. No GStreamer threads here.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use gstreamer as gst;
use gstreamer_video as gst_video;

/// Frames of one source that wait at most, whatever the batch would take: a decoder has no more surfaces to spare.
const QUEUE_LIMIT: usize = 8;

/// A frame that waits.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) buffer: gst::Buffer,
    pub(super) info: Option<gst_video::VideoInfo>,
    /// In time of the pipeline.
    pub(super) running_time: Option<gst::ClockTime>,
}

/// A source.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is what one event has told")]
pub(super) struct Source {
    pub(super) queue: VecDeque<Queued>,
    pub(super) info: Option<gst_video::VideoInfo>,
    pub(super) segment: gst::FormattedSegment<gst::ClockTime>,
    pub(super) flushing: bool,
    /// It has ended, or a flush has begun, since its last frame.
    pub(super) quiet: bool,
    /// A flush has ended since then, so nothing of it is under way.
    pub(super) drained: bool,
    /// It has had a frame.
    pub(super) used: bool,
    pub(super) ended: bool,
    pub(super) end_told: bool,
    pub(super) announced: bool,
    pub(super) frames: i32,
}

impl Source {
    /// Whether its pad can be released: nothing ever came, or it was ended (or a flush begun) and then flushed.
    pub(super) fn releasable(&self) -> bool {
        !self.used || (self.quiet && self.drained)
    }
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Push a batch.
    Push,
    /// Nothing before then, or before something changes.
    Wait(Option<Instant>),
    /// Tell that this source has ended.
    TellEnd(u32),
    /// All have ended.
    End,
}

/// The element while it runs.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) sources: BTreeMap<u32, Source>,
    pub(super) running: bool,
    /// Events that go downstream before the next batch.
    pub(super) events: VecDeque<gst::Event>,
    /// The end of everything has been pushed.
    pub(super) over: bool,
    /// When the batch that is being formed is pushed at the latest.
    pub(super) deadline: Option<Instant>,
    pub(super) started: bool,
    /// Pads that have been released.
    pub(super) releases: u64,
}

impl State {
    /// Frames that a source may give to one batch: its share, rounded up.
    pub(super) fn share(&self, batch_size: usize) -> usize {
        let active = self.sources.values().filter(|source| !source.ended).count().max(1);
        batch_size.div_ceil(active)
    }

    /// How many frames of one source may wait.
    pub(super) fn queue_limit(&self, batch_size: usize) -> usize {
        self.share(batch_size).clamp(1, QUEUE_LIMIT)
    }

    /// What is to be done at `now`. `timeout` is how long a batch waits after its first frame; none: until it is full.
    pub(super) fn step(&mut self, now: Instant, batch_size: usize, timeout: Option<Duration>, drop_end: bool) -> Step {
        let told = |source: &&mut Source| source.ended && source.queue.is_empty() && !source.end_told;
        if let Some((id, source)) = self.sources.iter_mut().find(|(_, source)| told(source)) {
            source.end_told = true;
            return Step::TellEnd(*id);
        }
        let share = self.share(batch_size);
        let limit = self.queue_limit(batch_size);
        let waiting: usize = self.sources.values().map(|source| source.queue.len().min(share)).sum();
        if waiting == 0 {
            self.deadline = None;
            let ended = !self.sources.is_empty() && self.sources.values().all(|source| source.ended);
            return if ended && !drop_end && !self.over { Step::End } else { Step::Wait(None) };
        }
        // More cannot come where every source has given what it may.
        let exhausted = self.sources.values().all(|source| source.ended || source.queue.len() >= limit);
        if waiting >= batch_size || exhausted {
            return Step::Push;
        }
        match timeout {
            None => Step::Wait(None),
            Some(timeout) => {
                let deadline = *self.deadline.get_or_insert(now + timeout);
                if now >= deadline { Step::Push } else { Step::Wait(Some(deadline)) }
            }
        }
    }

    /// Takes the frames of the next batch, in turns over the sources.
    pub(super) fn take_batch(&mut self, batch_size: usize) -> Vec<(u32, i32, Queued)> {
        let share = self.share(batch_size);
        self.deadline = None;
        let mut batch = Vec::new();
        for _ in 0..share {
            for (id, source) in &mut self.sources {
                if batch.len() < batch_size
                    && let Some(queued) = source.queue.pop_front()
                {
                    batch.push((*id, source.frames, queued));
                    source.frames += 1;
                }
            }
        }
        batch
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn with_frames(frames: &[usize]) -> State {
        gst::init().unwrap();
        let mut state = State::default();
        for (id, count) in frames.iter().enumerate() {
            let mut source = Source { used: *count > 0, ..Source::default() };
            for _ in 0..*count {
                source.queue.push_back(Queued { buffer: gst::Buffer::new(), info: None, running_time: None });
            }
            state.sources.insert(id as u32, source);
        }
        state
    }

    #[test]
    fn a_full_batch_is_pushed_at_once() {
        let mut state = with_frames(&[1, 1]);
        assert_eq!(state.step(Instant::now(), 2, None, false), Step::Push);
        let ids: Vec<_> = state.take_batch(2).into_iter().map(|(id, ..)| id).collect();
        assert_eq!(ids, [0, 1]);
    }

    #[test]
    fn a_dead_source_holds_the_batch_until_the_timeout_and_without_one_for_ever() {
        let now = Instant::now();
        let timeout = Duration::from_millis(40);
        let mut state = with_frames(&[1, 0]);
        assert_eq!(state.step(now, 2, Some(timeout), false), Step::Wait(Some(now + timeout)));
        assert_eq!(state.step(now + timeout, 2, Some(timeout), false), Step::Push);
        let mut state = with_frames(&[8, 0]);
        assert_eq!(state.step(now, 2, None, false), Step::Wait(None));
    }

    #[test]
    fn one_source_fills_the_batch_of_several() {
        let mut state = with_frames(&[4]);
        assert_eq!(state.step(Instant::now(), 4, None, false), Step::Push);
        assert_eq!(state.take_batch(4).len(), 4);
    }

    #[test]
    fn the_end_of_one_source_is_told_and_the_end_of_all_ends() {
        let now = Instant::now();
        let mut state = with_frames(&[0, 0]);
        state.sources.get_mut(&1).unwrap().ended = true;
        assert_eq!(state.step(now, 2, None, false), Step::TellEnd(1));
        assert_eq!(state.step(now, 2, None, false), Step::Wait(None));
        state.sources.get_mut(&0).unwrap().ended = true;
        assert_eq!(state.step(now, 2, None, false), Step::TellEnd(0));
        assert_eq!(state.step(now, 2, None, true), Step::Wait(None), "drop-pipeline-eos");
        assert_eq!(state.step(now, 2, None, false), Step::End);
    }

    #[test]
    fn a_pad_is_releasable_when_it_was_ended_and_then_flushed() {
        let mut source = Source::default();
        assert!(source.releasable(), "nothing ever came");
        source.used = true;
        assert!(!source.releasable());
        source.drained = true;
        assert!(!source.releasable(), "flush-stop alone");
        source.quiet = true;
        assert!(source.releasable());
    }
}
