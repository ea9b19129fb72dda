//! Frames on request: the next published frame of a source with its picture, for whoever asks. As long as nobody asks,
//! nothing is kept: a frame costs one look at a counter.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use gstreamer_video::VideoFrameRef;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::{
    annotate::{AnnotateError, KeptPicture, annotated},
    engine::FrameTap,
    observation::{Observation, SourceKey, StreamIdentity},
    sink::{Refused, Sink, SinkError},
};

/// Pictures of a source that wait for their observation; more than workers infer side by side.
const PICTURES: usize = 8;

/// A published frame and its picture.
#[derive(Clone, Debug)]
pub struct SeenFrame {
    picture: Arc<KeptPicture>,
    /// What was published of it.
    pub observation: Observation,
}

impl SeenFrame {
    /// The picture with its objects drawn into it, as a JPEG. Takes CPU time.
    ///
    /// # Errors
    /// Where the picture cannot be converted.
    pub fn to_jpeg(&self) -> Result<Vec<u8>, AnnotateError> {
        annotated(&self.picture, &self.observation.objects)
    }
}

/// Clones share the same requests.
#[derive(Clone, Debug, Default)]
pub struct FrameRequests(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Sources that somebody waits for; what the hot path looks at.
    waited_for: AtomicUsize,
    sources: Mutex<HashMap<SourceKey, Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    callers: Vec<oneshot::Sender<SeenFrame>>,
    /// By session and number of the frame.
    pictures: VecDeque<(u64, u64, Arc<KeptPicture>)>,
}

impl Shared {
    fn nobody_waits(&self) -> bool {
        self.waited_for.load(Relaxed) == 0
    }

    /// Changes who waits.
    fn change<T>(&self, change: impl FnOnce(&mut HashMap<SourceKey, Waiting>) -> T) -> T {
        let mut sources: MutexGuard<'_, _> = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut sources);
        self.waited_for.store(sources.len(), Relaxed);
        changed
    }
}

/// Takes a caller off the list that has gone.
struct Gone<'a>(&'a Shared, &'a SourceKey);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.change(|sources| {
            if let Some(waiting) = sources.get_mut(self.1) {
                waiting.callers.retain(|caller| !caller.is_closed());
                if waiting.callers.is_empty() {
                    sources.remove(self.1);
                }
            }
        });
    }
}

impl FrameRequests {
    /// The next frame that is published of `key`; `None` where none is within `timeout`.
    pub async fn next(&self, key: &SourceKey, timeout: Duration) -> Option<SeenFrame> {
        // Declared first, so that it is dropped after the receiver: then the caller can be told to have gone.
        let _gone = Gone(&self.0, key);
        let (sender, receiver) = oneshot::channel();
        self.0.change(|sources| sources.entry(key.clone()).or_default().callers.push(sender));
        tokio::time::timeout(timeout, receiver).await.ok()?.ok()
    }

    /// What looks at the pictures of a source.
    pub(super) fn tap(&self, stream: &Arc<StreamIdentity>, then: Option<Arc<dyn FrameTap>>) -> Arc<dyn FrameTap> {
        Arc::new(PictureTap { requests: Arc::clone(&self.0), stream: Arc::clone(stream), then })
    }

    /// What looks at the observations of every source.
    pub(super) fn sink(&self) -> Box<dyn Sink> {
        Box::new(ObservationTap(Arc::clone(&self.0)))
    }
}

struct PictureTap {
    requests: Arc<Shared>,
    stream: Arc<StreamIdentity>,
    then: Option<Arc<dyn FrameTap>>,
}

impl FrameTap for PictureTap {
    fn look(&self, number: u64, frame: &VideoFrameRef<&gstreamer::BufferRef>) -> Map<String, Value> {
        if !self.requests.nobody_waits() {
            self.requests.change(|sources| {
                if let Some(waiting) = sources.get_mut(&self.stream.key) {
                    if waiting.pictures.len() >= PICTURES {
                        waiting.pictures.pop_front();
                    }
                    let picture = Arc::new(KeptPicture::of(frame));
                    waiting.pictures.push_back((self.stream.session, number, picture));
                }
            });
        }
        self.then.as_ref().map(|then| then.look(number, frame)).unwrap_or_default()
    }
}

struct ObservationTap(Arc<Shared>);

impl Sink for ObservationTap {
    fn name(&self) -> &'static str {
        "frames on request"
    }

    fn publish(&mut self, observation: &Observation) -> Result<(), Refused> {
        if self.0.nobody_waits() {
            return Ok(());
        }
        let key = SourceKey { namespace: Arc::clone(&observation.namespace), name: Arc::clone(&observation.source) };
        self.0.change(|sources| {
            let is_this = |(session, number, _): &&(u64, u64, Arc<KeptPicture>)| {
                (*session, *number) == (observation.session, observation.frame)
            };
            let picture = sources.get(&key).and_then(|waiting| waiting.pictures.iter().find(is_this));
            let Some((.., picture)) = picture else { return };
            let frame = SeenFrame { picture: Arc::clone(picture), observation: observation.clone() };
            for caller in sources.remove(&key).into_iter().flat_map(|waiting| waiting.callers) {
                // One that has gone wants nothing.
                drop(caller.send(frame.clone()));
            }
        });
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use gstreamer as gst;
    use gstreamer_video as video;

    use super::*;
    use crate::sink::test_support::observation;

    fn look(tap: &dyn FrameTap, number: u64) {
        gst::init().unwrap();
        let info = video::VideoInfo::builder(video::VideoFormat::I420, 64, 48).build().unwrap();
        let buffer = gst::Buffer::with_size(info.size()).unwrap();
        let frame = VideoFrameRef::from_buffer_ref_readable(&buffer, &info).unwrap();
        tap.look(number, &frame);
    }

    fn stream() -> Arc<StreamIdentity> {
        Arc::new(StreamIdentity { key: SourceKey::new("shop", "gate"), epoch: 7, session: 8 })
    }

    #[tokio::test]
    async fn whoever_asks_gets_the_next_frame_with_its_own_picture() {
        let requests = FrameRequests::default();
        let (tap, mut sink) = (requests.tap(&stream(), None), requests.sink());
        look(&*tap, 1);
        sink.publish(&observation(1)).unwrap();
        assert!(requests.0.nobody_waits());
        let key = stream().key.clone();
        let ask = || async { requests.next(&key, Duration::from_secs(30)).await };
        let feed = async {
            look(&*tap, 2);
            look(&*tap, 3);
            sink.publish(&observation(1)).unwrap();
            sink.publish(&observation(2)).unwrap();
        };
        let (first, second, ()) = tokio::join!(ask(), ask(), feed);
        for frame in [first.unwrap(), second.unwrap()] {
            assert_eq!(frame.observation.frame, 2);
            let jpeg = image::load_from_memory(&frame.to_jpeg().unwrap()).unwrap();
            assert_eq!((jpeg.width(), jpeg.height()), (64, 48));
        }
        assert!(requests.0.nobody_waits());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_of_a_caller_that_waited_in_vain() {
        let requests = FrameRequests::default();
        assert!(requests.next(&SourceKey::new("shop", "gate"), Duration::from_secs(5)).await.is_none());
        assert!(requests.0.nobody_waits());
    }
}
