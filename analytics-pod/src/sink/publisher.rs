//! The thread between the engine and the sinks.

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use arc_swap::ArcSwap;
use crossbeam_channel::Receiver;
use jiff::Timestamp;
use tokio::sync::watch;
use tracing::{debug, info, trace, warn};

use super::{Refused, Sink, SinkError};
use crate::{
    engine::InferredFrame,
    model::ModelInfo,
    observation::{Detection, ModelReference, Observation, SourceKey, StreamIdentity, TrackedObject},
    request_id::RequestId,
    telemetry::{DropReason, Stage, thread_cpu},
    track::{self, Tracker},
};

/// How a source's frames become observations.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceOutput {
    /// Gives objects an identity; `None`: observations carry no track ids.
    pub tracking: Option<track::Settings>,
    /// The [`Observation::file`].
    pub file: Option<Arc<str>>,
    /// Whether frames are published; otherwise they are tracked, so that objects have an identity once they are, and
    /// count as [`DropReason::Warming`].
    pub publishes: bool,
}

impl Default for SourceOutput {
    fn default() -> Self {
        Self { tracking: Some(track::Settings::default()), file: None, publishes: true }
    }
}

/// The sources whose frames are published. May be changed while the publisher runs; clones share the same set.
#[derive(Clone, Debug, Default)]
pub struct Sources(Arc<ArcSwap<HashMap<SourceKey, SourceOutput>>>);

impl Sources {
    /// Publishes the frames of `key` from now on. Must be called before the source's first attempt.
    pub fn set(&self, key: &SourceKey, output: &SourceOutput) {
        self.0.rcu(|sources| {
            let mut sources = HashMap::clone(sources);
            sources.insert(key.clone(), output.clone());
            sources
        });
    }

    /// Publishes nothing of `key` any more; frames that are on their way count as [`DropReason::Stopped`].
    pub fn remove(&self, key: &SourceKey) {
        self.0.rcu(|sources| {
            let mut sources = HashMap::clone(sources);
            sources.remove(key);
            sources
        });
    }
}

/// How a publisher ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublisherEnd {
    /// Sinks that failed, and why.
    pub failures: Vec<SinkError>,
}

/// The running thread that tracks, publishes and counts. It ends when every sender of its frames is gone, after it has
/// published what was in the channel and finished the sinks.
pub struct Publisher {
    thread: JoinHandle<PublisherEnd>,
    failures: watch::Receiver<Vec<SinkError>>,
}

impl Publisher {
    /// Starts it. Each frame of a source in `sources` goes to every one of `sinks`; one that fails is left out from
    /// then on and the others go on.
    pub fn spawn(frames: Receiver<InferredFrame>, sources: Sources, sinks: Vec<Box<dyn Sink>>) -> io::Result<Self> {
        let (failed, failures) = watch::channel(Vec::new());
        let worker = Worker { sources, sinks, trackers: HashMap::new(), sessions: HashMap::new(), known: None, failed };
        let thread = thread::Builder::new().name("publish".to_owned()).spawn(move || worker.run(&frames))?;
        Ok(Self { thread, failures })
    }

    /// Tells each time a sink fails; holds every failure so far.
    #[must_use]
    pub fn failures(&self) -> watch::Receiver<Vec<SinkError>> {
        self.failures.clone()
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// Where the publisher's thread did.
    #[must_use]
    pub fn join(self) -> PublisherEnd {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Track ids are unique within one identity, so a new one begins anew.
struct Tracked {
    stream: Arc<StreamIdentity>,
    settings: track::Settings,
    tracker: Tracker,
}

struct Worker {
    sources: Sources,
    sinks: Vec<Box<dyn Sink>>,
    trackers: HashMap<SourceKey, Tracked>,
    /// The session that was last published of each source.
    sessions: HashMap<SourceKey, u64>,
    /// The set of sources that `trackers` and `sessions` were last cleaned by.
    known: Option<Arc<HashMap<SourceKey, SourceOutput>>>,
    failed: watch::Sender<Vec<SinkError>>,
}

impl Worker {
    fn run(mut self, frames: &Receiver<InferredFrame>) -> PublisherEnd {
        for frame in frames {
            self.publish(frame);
        }
        for sink in &mut self.sinks {
            if let Err(failure) = sink.finish() {
                report(&self.failed, failure);
            }
        }
        PublisherEnd { failures: self.failed.borrow().clone() }
    }

    fn publish(&mut self, frame: InferredFrame) {
        let sources = self.sources.0.load_full();
        if !self.known.as_ref().is_some_and(|known| Arc::ptr_eq(known, &sources)) {
            self.trackers.retain(|key, _| sources.contains_key(key));
            self.sessions.retain(|key, _| sources.contains_key(key));
            self.known = Some(Arc::clone(&sources));
        }
        let telemetry = Arc::clone(&frame.telemetry);
        let Some(output) = sources.get(&frame.stream.key) else {
            telemetry.count_dropped(DropReason::Stopped, 1);
            return;
        };

        let began = thread_cpu();
        let ids = output.tracking.as_ref().map(|settings| self.track(settings, &frame));
        let tracked = thread_cpu();
        telemetry.add_stage(Stage::Track, tracked.saturating_sub(began));
        if !output.publishes {
            telemetry.count_dropped(DropReason::Warming, 1);
            return;
        }

        let captured = frame.captured.time;
        let published = Timestamp::now();
        telemetry.set_model(&frame.model);
        telemetry.count_objects(frame.detections.iter().map(|detection| (detection.class, detection.confidence)));
        let request = telemetry.request();
        let request = request.as_deref().map(RequestId::as_str);
        self.tell_first(&frame, request);
        let mut observation = observe(frame, ids, output.file.clone(), published);
        if let Some(request) = request {
            observation.metadata.insert("requestId".to_owned(), request.into());
        }
        if self.hand_out(&observation) {
            // The camera's clock may be ahead of this one.
            let latency = Duration::try_from(published.duration_since(captured)).unwrap_or_default();
            telemetry.count_processed(observation.objects.len(), latency);
        } else {
            telemetry.count_dropped(DropReason::OutputOverflow, 1);
        }
        telemetry.add_stage(Stage::Publish, thread_cpu().saturating_sub(tracked));
        trace!(
            source = %observation.source,
            namespace = %observation.namespace,
            epoch = observation.epoch,
            session = observation.session,
            frame = observation.frame,
            objects = observation.objects.len(),
            request_id = request,
            "published"
        );
    }

    /// The first frame of a session is where the way from a request ends: it is told.
    fn tell_first(&mut self, frame: &InferredFrame, request_id: Option<&str>) {
        let StreamIdentity { key, epoch, session } = &*frame.stream;
        if self.sessions.get(key) == Some(session) {
            return;
        }
        self.sessions.insert(key.clone(), *session);
        info!(source = %key, epoch, session, frame = frame.number, model = %frame.model.name, request_id, "first frame");
    }

    fn track(&mut self, settings: &track::Settings, frame: &InferredFrame) -> Vec<Option<u64>> {
        let fresh = || Tracked {
            stream: Arc::clone(&frame.stream),
            settings: settings.clone(),
            tracker: Tracker::new(settings),
        };
        let tracked = self.trackers.entry(frame.stream.key.clone()).or_insert_with(fresh);
        if tracked.stream != frame.stream {
            *tracked = fresh();
        } else if tracked.settings != *settings {
            tracked.settings = settings.clone();
            tracked.tracker.set_settings(settings);
        }
        let aspect_ratio = frame.width.max(1) as f32 / frame.height.max(1) as f32;
        tracked.tracker.update(frame.captured.time, aspect_ratio, &frame.detections)
    }

    /// Whether every sink that still works took it.
    fn hand_out(&mut self, observation: &Observation) -> bool {
        let mut taken = true;
        let failed = &self.failed;
        self.sinks.retain_mut(|sink| match sink.publish(observation) {
            Ok(()) => true,
            Err(Refused::Full) => {
                debug!(
                    sink = sink.name(),
                    source = %observation.source,
                    epoch = observation.epoch,
                    frame = observation.frame,
                    "dropped: the output's reader is slower than the frames"
                );
                taken = false;
                true
            }
            Err(Refused::Broken(failure)) => {
                report(failed, failure);
                false
            }
        });
        taken
    }
}

fn report(failed: &watch::Sender<Vec<SinkError>>, failure: SinkError) {
    if failure.is_reader_gone() {
        debug!(%failure, "an output has ended");
    } else {
        warn!(%failure, "an output has failed; the others go on");
    }
    failed.send_modify(|failures| failures.push(failure));
}

/// The finished observation of `frame`; `ids` are its detections' track ids, in their order.
#[must_use]
pub fn observe(
    frame: InferredFrame,
    ids: Option<Vec<Option<u64>>>,
    file: Option<Arc<str>>,
    publish_time: Timestamp,
) -> Observation {
    let mut ids = ids.unwrap_or_default().into_iter();
    let object = |detection: &Detection| TrackedObject {
        track_id: ids.next().flatten(),
        label: label(&frame.model, detection.class),
        confidence: detection.confidence,
        bounding_box: detection.bounding_box,
        zones: Vec::new(),
    };
    Observation {
        objects: frame.detections.iter().map(object).collect(),
        source: Arc::clone(&frame.stream.key.name),
        namespace: Arc::clone(&frame.stream.key.namespace),
        file,
        epoch: frame.stream.epoch,
        session: frame.stream.session,
        frame: frame.number,
        capture_clock: frame.captured.clock,
        capture_time: frame.captured.time,
        publish_time,
        width: frame.width,
        height: frame.height,
        model: ModelReference { name: Arc::clone(&frame.model.name), digest: Arc::clone(&frame.model.digest) },
        events: Vec::new(),
        inference_ms: frame.inference.as_secs_f32() * 1e3,
        metadata: frame.metadata,
    }
}

/// The name of a class; its number where the model has no name for it.
fn label(model: &ModelInfo, class: u32) -> Arc<str> {
    model.labels.get(class as usize).map_or_else(|| class.to_string().into(), Arc::clone)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crossbeam_channel::{bounded, unbounded};
    use serde_json::Map;

    use super::*;
    use crate::{
        observation::{Capture, NormalizedBox},
        sink::{ChannelSink, NullSink},
        telemetry::{StreamTelemetry, test_support::model_info},
    };

    struct Source {
        stream: Arc<StreamIdentity>,
        model: Arc<ModelInfo>,
        telemetry: Arc<StreamTelemetry>,
    }

    impl Source {
        fn new(name: &str, session: u64) -> Self {
            Self {
                stream: Arc::new(StreamIdentity { key: SourceKey::new("shop", name), epoch: 1, session }),
                model: model_info("starter", &["person", "car"]),
                telemetry: Arc::default(),
            }
        }

        /// A frame with a person that walks to the right at 15 frames per second.
        fn frame(&self, number: u64) -> InferredFrame {
            let time = Timestamp::from_microsecond(1_795_000_000_000_000 + number as i64 * 66_667).unwrap();
            self.telemetry.count_received(1);
            InferredFrame {
                stream: Arc::clone(&self.stream),
                model: Arc::clone(&self.model),
                number,
                captured: Capture::arrival(time),
                width: 1280,
                height: 720,
                detections: vec![Detection {
                    class: 0,
                    confidence: 0.9,
                    bounding_box: NormalizedBox { x: 0.1 + number as f32 * 0.002, y: 0.3, width: 0.1, height: 0.4 },
                }],
                inference: Duration::from_millis(5),
                metadata: Map::new(),
                telemetry: Arc::clone(&self.telemetry),
            }
        }

        fn listed(&self, sources: &Sources) {
            sources.set(&self.stream.key, &SourceOutput::default());
        }
    }

    /// What is published of `frames`, all waiting in the channel before the publisher starts.
    fn published(frames: Vec<InferredFrame>, sources: &Sources) -> Vec<Observation> {
        let (sender, receiver) = unbounded();
        let (out, observations) = unbounded();
        for frame in frames {
            sender.send(frame).unwrap();
        }
        drop(sender);
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(ChannelSink::new("test", out)), Box::new(NullSink)];
        let end = Publisher::spawn(receiver, sources.clone(), sinks).unwrap().join();
        assert_eq!(end, PublisherEnd::default());
        observations.iter().collect()
    }

    #[test]
    fn each_frame_becomes_an_observation_and_is_counted() {
        let (source, sources) = (Source::new("gate", 1), Sources::default());
        source.listed(&sources);
        let observations = published((0..5).map(|number| source.frame(number)).collect(), &sources);
        assert_eq!(observations.iter().map(|o| o.frame).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(observations.iter().all(|o| o.objects[0].track_id == Some(1)), "{observations:?}");
        assert_eq!(&*observations[0].objects[0].label, "person");
        let telemetry = &source.telemetry;
        assert_eq!((telemetry.processed(), telemetry.objects(), telemetry.latency().len()), (5, 5, 5));
        assert_eq!(telemetry.objects_by_class()[0].total, 5);
        assert!(telemetry.stage(Stage::Track) > Duration::ZERO && telemetry.stage(Stage::Publish) > Duration::ZERO);
    }

    #[test]
    fn a_source_that_is_gone_is_not_published_and_its_frames_are_counted() {
        let (gone, stays, sources) = (Source::new("gone", 1), Source::new("stays", 1), Sources::default());
        gone.listed(&sources);
        stays.listed(&sources);
        sources.remove(&gone.stream.key);
        let observations = published(vec![gone.frame(0), stays.frame(0), gone.frame(1)], &sources);
        assert_eq!(observations.len(), 1);
        assert_eq!(&*observations[0].source, "stays");
        assert_eq!(gone.telemetry.dropped(DropReason::Stopped), 2);
    }

    #[test]
    fn tracks_begin_anew_with_a_session_and_do_not_mix_sources() {
        let (first, second, other) = (Source::new("gate", 1), Source::new("gate", 2), Source::new("yard", 1));
        let sources = Sources::default();
        first.listed(&sources);
        other.listed(&sources);
        let frames = vec![first.frame(0), other.frame(0), first.frame(1), second.frame(2), second.frame(3)];
        let ids: Vec<_> = published(frames, &sources).iter().map(|o| o.objects[0].track_id).collect();
        assert_eq!(ids, [Some(1); 5]);
    }

    #[test]
    fn what_warms_up_is_tracked_and_not_published() {
        let (source, sources) = (Source::new("gate", 1), Sources::default());
        let warming = SourceOutput { publishes: false, ..SourceOutput::default() };
        sources.set(&source.stream.key, &warming);
        assert_eq!(published((0..3).map(|number| source.frame(number)).collect(), &sources), []);
        let telemetry = &source.telemetry;
        assert_eq!((telemetry.processed(), telemetry.dropped(DropReason::Warming), telemetry.inferred()), (0, 3, 3));
        assert!(telemetry.stage(Stage::Track) > Duration::ZERO);
    }

    #[test]
    fn without_tracking_there_are_no_ids() {
        let (source, sources) = (Source::new("gate", 1), Sources::default());
        let output = SourceOutput { tracking: None, file: Some("clip.mp4".into()), ..SourceOutput::default() };
        sources.set(&source.stream.key, &output);
        let observation = published(vec![source.frame(0)], &sources).remove(0);
        assert_eq!(observation.objects[0].track_id, None);
        assert_eq!(observation.file.as_deref(), Some("clip.mp4"));
    }

    #[test]
    fn a_broken_sink_is_reported_and_the_others_go_on() {
        let (source, sources) = (Source::new("gate", 1), Sources::default());
        source.listed(&sources);
        let (gone, reader) = bounded(1);
        drop(reader);
        let (out, observations) = unbounded();
        let (sender, receiver) = unbounded();
        let sinks: Vec<Box<dyn Sink>> =
            vec![Box::new(ChannelSink::new("gone", gone)), Box::new(ChannelSink::new("stays", out))];
        let publisher = Publisher::spawn(receiver, sources, sinks).unwrap();
        let failures = publisher.failures();
        sender.send(source.frame(0)).unwrap();
        sender.send(source.frame(1)).unwrap();
        drop(sender);
        assert_eq!(observations.iter().count(), 2);
        let failure = SinkError::ReaderGone { sink: "gone".to_owned() };
        assert_eq!(publisher.join().failures, std::slice::from_ref(&failure));
        assert_eq!(*failures.borrow(), [failure]);
        assert_eq!(source.telemetry.processed(), 2);
    }

    #[test]
    fn a_full_sink_costs_the_frame_and_is_counted() {
        let (source, sources) = (Source::new("gate", 1), Sources::default());
        source.listed(&sources);
        let (out, observations) = bounded(2);
        let (sender, receiver) = unbounded();
        let publisher = Publisher::spawn(receiver, sources, vec![Box::new(ChannelSink::new("slow", out))]).unwrap();
        for number in 0..5 {
            sender.send(source.frame(number)).unwrap();
        }
        drop(sender);
        assert_eq!(publisher.join(), PublisherEnd::default());
        assert_eq!(observations.len(), 2);
        let telemetry = &source.telemetry;
        assert_eq!((telemetry.processed(), telemetry.dropped(DropReason::OutputOverflow)), (2, 3));
    }

    #[test]
    fn a_class_without_a_name_is_called_by_its_number() {
        assert_eq!(&*label(&model_info("starter", &["person"]), 0), "person");
        assert_eq!(&*label(&model_info("starter", &["person"]), 7), "7");
    }
}
