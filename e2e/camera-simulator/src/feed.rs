//! Hands each access unit to a camera's clients when it is due.
//!
//! A camera's loop runs on one clock whether or not somebody watches, so that every client sees the same moment, and a
//! client that comes back finds the scene where it would be by then.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use gstreamer::{self as gst, prelude::*};
use gstreamer_app::AppSrc;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    camera::Camera,
    clip::{AccessUnit, Clip},
    sent::SentRing,
};

/// A client that would have to wait longer than this for the next key frame gets the frames from the last one on at
/// once. Below it waiting is better: nothing is late.
const PATIENCE: u64 = 1_000_000_000;
/// What may wait for a client that reads too slowly before frames are left out for it.
const MAX_QUEUED_BYTES: u64 = 4 << 20;
/// How far the feed may fall behind before it leaves frames out instead of catching up.
const MAX_LAG: u64 = 1_000_000_000;

/// What goes out in place of the encoded video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Output {
    /// The video.
    #[default]
    Video,
    /// Nothing.
    Nothing,
    /// Random bytes in well-formed access units.
    Garbage,
}

/// A camera's loop with its clients.
#[derive(Debug)]
pub(crate) struct Feed {
    clip: Arc<Clip>,
    /// Takes the clip's place at the next key frame.
    replacement: Option<Arc<Clip>>,
    output: Output,
    /// When frame 0 of the first repetition was due, in nanoseconds of the system's monotonic clock.
    origin: u64,
    /// The next access unit, counted over all repetitions.
    next: u64,
    viewers: Vec<Viewer>,
    sent: SentRing,
}

/// A client's end of the feed.
#[derive(Debug)]
struct Viewer {
    id: u64,
    source: AppSrc,
    /// It has to begin at a key frame.
    waits: bool,
}

impl Feed {
    /// Starts the clock of a loop at `origin`.
    pub(crate) fn new(clip: Arc<Clip>, origin: u64) -> Self {
        Self {
            clip,
            replacement: None,
            output: Output::Video,
            origin,
            next: 0,
            viewers: Vec::new(),
            sent: SentRing::default(),
        }
    }

    pub(crate) fn clip(&self) -> &Arc<Clip> {
        &self.clip
    }

    pub(crate) fn sent(&self) -> &SentRing {
        &self.sent
    }

    pub(crate) fn viewers(&self) -> usize {
        self.viewers.len()
    }

    /// Lets a client in; returns by what name it is sent away.
    pub(crate) fn add(&mut self, source: AppSrc) -> u64 {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        self.viewers.push(Viewer { id, source, waits: true });
        id
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.viewers.retain(|viewer| viewer.id != id);
    }

    /// Gives clients that wait for a key frame one at once. A request is answered only when its pipeline has something
    /// to send, and while it waits the client cannot be cut off.
    pub(crate) fn release(&self) {
        for viewer in self.viewers.iter().filter(|viewer| viewer.waits) {
            // An error says that the client is leaving already.
            let _ = viewer.push(self.clip.bytes(self.clip.unit(0)), 0);
        }
    }

    /// Changes what goes out. Clients begin again at a key frame, because they may have missed some frames.
    pub(crate) fn set_output(&mut self, output: Output) {
        if self.output != output {
            self.output = output;
            self.viewers.iter_mut().for_each(|viewer| viewer.waits = true);
        }
    }

    /// Goes on with another clip, of the same frame rate, at its next key frame.
    pub(crate) fn replace(&mut self, clip: Arc<Clip>) {
        self.replacement = Some(clip);
    }

    /// Sends what is due; returns when there will be more, or `None` if nobody watches.
    fn tick(&mut self, now: u64) -> Option<u64> {
        let latest = self.clip.format.rate.frame_at(now.saturating_sub(self.origin));
        let unwatched = self.viewers.is_empty();
        let allowed = latest.saturating_sub(self.clip.format.rate.frame_at(MAX_LAG));
        if unwatched || self.next < allowed {
            self.swap_if_due(self.next, latest);
            self.next = latest + 1;
            self.viewers.iter_mut().for_each(|viewer| viewer.waits = true);
        }
        while self.next <= latest {
            self.swap_if_due(self.next, self.next);
            self.send(self.next);
            self.next += 1;
        }
        (!unwatched).then(|| self.due(self.next))
    }

    /// When an access unit has to go out.
    fn due(&self, n: u64) -> u64 {
        self.origin + self.clip.format.rate.nanos(n)
    }

    fn swap_if_due(&mut self, from: u64, to: u64) {
        if let Some(clip) = self.replacement.take_if(|clip| clip.key_at_or_after(from) <= to) {
            self.clip = clip;
        }
    }

    fn send(&mut self, n: u64) {
        if self.output == Output::Nothing {
            return;
        }
        let clip = Arc::clone(&self.clip);
        let unit = clip.unit(n);
        let frame_time = |n: u64| self.origin + clip.format.rate.nanos(n);
        let first = first_for_newcomer(&clip, n);
        let bytes = match self.output {
            Output::Garbage => garbage(&clip, unit),
            Output::Video | Output::Nothing => clip.bytes(unit),
        };
        let presentation = presentation(&clip, frame_time, n);
        let sent_time = unix_micros();
        let mut reached = false;
        self.viewers.retain_mut(|viewer| {
            let Some(base) = viewer.playing_since() else { return true };
            if viewer.source.current_level_bytes() > MAX_QUEUED_BYTES {
                viewer.waits = true;
            }
            let mut flow = Ok(gst::FlowSuccess::Ok);
            if viewer.waits && self.output == Output::Video {
                let Some(first) = first else { return true };
                // All of them arrive now, so their time stamps say so: a receiver takes them for late ones otherwise
                // and keeps that lateness.
                for late in first..n {
                    let lag = presentation.saturating_sub(self::presentation(&clip, frame_time, late)) / 1000;
                    let bytes = clip.bytes(clip.unit(late));
                    flow = flow.and(viewer.push(bytes, (presentation - lag).saturating_sub(base)));
                }
            }
            viewer.waits = false;
            flow = flow.and(viewer.push(bytes.clone(), presentation.saturating_sub(base)));
            reached |= flow.is_ok();
            // An error says that the client is leaving; its media takes it off the list by and by.
            flow.is_ok()
        });
        if reached {
            self.sent.push(n / clip.len(), unit.frame, sent_time);
        }
    }
}

impl Viewer {
    /// When its pipeline's running time was 0; `None` while it is not playing.
    fn playing_since(&self) -> Option<u64> {
        if self.source.current_state() != gst::State::Playing {
            return None;
        }
        self.source.base_time().map(gst::ClockTime::nseconds)
    }

    /// Queues an access unit; never blocks.
    fn push(&self, bytes: Bytes, time: u64) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut buffer = gst::Buffer::from_slice(bytes);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_nseconds(time));
        }
        self.source.push_buffer(buffer)
    }
}

/// Where a client that has seen nothing yet begins when `n` is due: `n` itself if it is a key frame, the last key frame
/// if the next one is too far away, and otherwise not yet.
fn first_for_newcomer(clip: &Clip, n: u64) -> Option<u64> {
    let next_key = clip.key_at_or_after(n);
    if next_key == n {
        return Some(n);
    }
    // The distance of key frames, not that from here: who comes shortly before a key frame waits for it anyway.
    let last_key = clip.key_at_or_before(n);
    let rate = clip.format.rate;
    (rate.nanos(next_key) - rate.nanos(last_key) > PATIENCE).then_some(last_key)
}

/// When the frame is shown, on the clock of `due`: late enough that no frame is shown before it is sent.
fn presentation(clip: &Clip, due: impl Fn(u64) -> u64, n: u64) -> u64 {
    let repetition = n - n % clip.len();
    due(repetition + u64::from(clip.unit(n).frame) + clip.reorder())
}

/// An access unit of the same size and type with random content, always the same for the same frame: start code, header, bytes that contain no start code.
fn garbage(clip: &Clip, unit: &AccessUnit) -> Bytes {
    use crate::config::Codec;
    let header: &[u8] = match (clip.format.codec, unit.key) {
        (Codec::H264, true) => &[0, 0, 0, 1, 0x65],
        (Codec::H264, false) => &[0, 0, 0, 1, 0x41],
        (Codec::H265, true) => &[0, 0, 0, 1, 19 << 1, 1],
        (Codec::H265, false) => &[0, 0, 0, 1, 1 << 1, 1],
    };
    let mut random = ChaCha8Rng::seed_from_u64(u64::from(unit.frame));
    let payload = unit.bytes.len().saturating_sub(header.len()).max(1);
    header.iter().copied().chain((0..payload).map(|_| random.random_range(1..=u8::MAX))).collect()
}

fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Wakes the pacing thread or ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// A client came.
    Look,
    /// The simulator ends.
    Stop,
}

/// The clock that paces all cameras: `GStreamer`'s, on which the clients' pipelines run.
pub(crate) fn now() -> u64 {
    gst::SystemClock::obtain().time().nseconds()
}

/// Starts the thread that paces all cameras. It ends at [`Signal::Stop`] or when the sender is gone.
pub(crate) fn start(
    cameras: Vec<Weak<Camera>>,
    signals: mpsc::Receiver<Signal>,
) -> std::io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name("feed".into()).spawn(move || {
        let mut wait = None;
        loop {
            let signal = match wait {
                Some(wait) => signals.recv_timeout(wait),
                None => signals.recv().map_err(mpsc::RecvTimeoutError::from),
            };
            if matches!(signal, Ok(Signal::Stop) | Err(mpsc::RecvTimeoutError::Disconnected)) {
                return;
            }
            let due = cameras
                .iter()
                .filter_map(Weak::upgrade)
                .filter_map(|camera| {
                    let now = now();
                    camera.feed().tick(now)
                })
                .min();
            wait = due.map(|due| Duration::from_nanos(due.saturating_sub(now())));
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clip::tests::clip;

    /// 25 frames a second, a key frame every `gop` frames.
    fn regular(frames: u64, gop: u64) -> Clip {
        clip(&(0..frames).map(|n| (n, n % gop == 0)).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_newcomer_waits_for_a_key_frame_that_is_near() {
        let clip = regular(50, 25);
        assert_eq!(first_for_newcomer(&clip, 25), Some(25));
        assert_eq!(first_for_newcomer(&clip, 26), None);
        assert_eq!(first_for_newcomer(&clip, 49), None);
    }

    #[test]
    fn a_newcomer_gets_the_last_key_frame_if_the_next_is_far() {
        let clip = regular(100, 50);
        assert_eq!(first_for_newcomer(&clip, 51), Some(50));
        assert_eq!(first_for_newcomer(&clip, 199), Some(150));
    }

    #[test]
    fn frames_are_shown_evenly_and_never_before_they_are_sent() {
        let clip = clip(&[(0, true), (3, false), (1, false), (2, false)]).unwrap();
        let due = |n: u64| clip.format.rate.nanos(n);
        let mut shown: Vec<_> = (0..40).map(|n| presentation(&clip, due, n)).collect();
        assert!((0..40).all(|n| shown[n as usize] >= due(n)));
        shown.sort_unstable();
        assert!(shown.windows(2).all(|pair| pair[1] - pair[0] == 40_000_000));
    }

    #[test]
    fn an_unwatched_loop_goes_on_and_nothing_counts_as_sent() {
        let mut feed = Feed::new(Arc::new(regular(50, 25)), 0);
        assert_eq!(feed.tick(10_000_000_000), None);
        assert_eq!((feed.next, feed.sent.next()), (251, 0));
    }

    #[test]
    fn a_replacement_comes_at_a_key_frame() {
        let mut feed = Feed::new(Arc::new(regular(50, 25)), 0);
        feed.tick(40_000_000 * 30);
        let replacement = Arc::new(regular(50, 25));
        feed.replace(Arc::clone(&replacement));
        feed.tick(40_000_000 * 49);
        assert!(!Arc::ptr_eq(feed.clip(), &replacement));
        feed.tick(40_000_000 * 50);
        assert!(Arc::ptr_eq(feed.clip(), &replacement));
    }

    #[test]
    fn garbage_holds_no_start_code_of_its_own() {
        let clip = regular(50, 25);
        let bytes = garbage(&clip, clip.unit(0));
        assert_eq!(bytes[..5], [0, 0, 0, 1, 0x65]);
        assert!(bytes[5..].iter().all(|byte| *byte != 0));
    }
}
