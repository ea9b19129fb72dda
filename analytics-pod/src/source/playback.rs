//! The life of one pipeline: started and ended within a bounded time, whatever its elements do.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gstreamer::{self as gst, prelude::*};

use super::{
    AccessUnit, Failure, Reason,
    bounded::within,
    classify::{Report, classify},
    origin::Origin,
    queue::LiveQueue,
};

/// Elements return from a state change at once or hang in a system call.
const STATE_CHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// The message of an udpsrc that has heard nothing for its time-out.
const UDP_TIMEOUT: &str = "GstUDPSrcTimeout";

/// A failure, with the server's answer where there was one.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) failure: Failure,
    pub(super) status: Option<u32>,
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self { failure, status: None }
    }
}

/// How a round is over.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// It played to its end.
    Ended,
    /// Anything else.
    Failed(Problem),
}

/// What a pipeline leaves for its reader.
pub(super) struct Inbox {
    pub(super) queue: LiveQueue<gst::Caps, AccessUnit>,
    pub(super) end: Option<End>,
    /// The input has no end of its own: if it ends, somebody ended it.
    endless: bool,
    /// What a warning said last; it tells why an endless input ended.
    warning: Option<Failure>,
    missing: Option<String>,
    /// What a socket's silence means.
    silence: Option<Box<Silence>>,
}

/// Asked when a socket has heard nothing for its time-out; a failure ends the round.
pub(super) type Silence = dyn Fn() -> Option<Failure> + Send + Sync;

/// Between a pipeline's threads, which only ever put something in, and the reader.
pub(super) struct Shared {
    origin: Arc<Origin>,
    inbox: Mutex<Inbox>,
    changed: Condvar,
}

impl Shared {
    pub(super) fn new(origin: Arc<Origin>, endless: bool) -> Arc<Self> {
        Arc::new(Self {
            origin,
            inbox: Mutex::new(Inbox {
                queue: LiveQueue::new(),
                end: None,
                endless,
                warning: None,
                missing: None,
                silence: None,
            }),
            changed: Condvar::new(),
        })
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the pipeline's thread change the inbox and wakes the reader.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut Inbox) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_one();
        result
    }

    /// Waits for [`Shared::update`]; `None` at `deadline`.
    pub(super) fn wait<'a>(&self, inbox: MutexGuard<'a, Inbox>, deadline: Instant) -> Option<MutexGuard<'a, Inbox>> {
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        Some(self.changed.wait_timeout(inbox, left).unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Asks `silence` each time a socket of the pipeline has heard nothing for its time-out.
    pub(super) fn on_silence(&self, silence: Box<Silence>) {
        self.lock().silence = Some(silence);
    }

    /// The input turns out to have no end of its own.
    pub(super) fn set_endless(&self) {
        self.lock().endless = true;
    }

    /// The pipeline failed; only the first failure counts.
    pub(super) fn fail(&self, problem: impl Into<Problem>) {
        self.update(|inbox| {
            inbox.end.get_or_insert_with(|| End::Failed(problem.into()));
        });
    }

    /// The pipeline came to its end.
    pub(super) fn ended(&self) {
        self.update(|inbox| {
            let end = if inbox.endless {
                let failure = inbox.warning.take().filter(|warning| warning.reason == Reason::ConnectionLost);
                End::Failed(failure.unwrap_or_else(|| self.stream_ended()).into())
            } else {
                End::Ended
            };
            inbox.end.get_or_insert(end);
        });
    }

    fn stream_ended(&self) -> Failure {
        Failure::new(Reason::StreamEnded, format!("{}: the server ended the stream", self.origin.uri))
    }

    fn on_message(&self, message: &gst::MessageRef) {
        match message.view() {
            gst::MessageView::Error(error) => {
                let debug = error.debug().unwrap_or_default();
                let mut report = Report::new(error.error(), &debug, error.details());
                tracing::debug!(uri = self.origin.uri, error = %self.origin.redact(&format!("{report:?}")), "GStreamer");
                report.missing = self.lock().missing.take();
                let failure = classify(&report, &self.origin);
                self.fail(Problem { failure, status: report.status });
            }
            gst::MessageView::Warning(warning) => {
                let debug = warning.debug().unwrap_or_default();
                let report = Report::new(warning.error(), &debug, warning.details());
                tracing::debug!(uri = self.origin.uri, warning = %self.origin.redact(&format!("{report:?}")), "GStreamer");
                let failure = classify(&report, &self.origin);
                self.lock().warning = Some(failure);
            }
            gst::MessageView::Element(element) => {
                if element.structure().is_some_and(|structure| structure.name() == UDP_TIMEOUT) {
                    let failure = self.lock().silence.as_ref().and_then(|silence| silence());
                    if let Some(failure) = failure {
                        self.fail(failure);
                    }
                }
                // The message of gst_missing_plugin_message_new(): `name` is for people.
                if let Some(structure) = element.structure().filter(|structure| structure.name() == "missing-plugin") {
                    let name = structure.get::<String>("name").unwrap_or_else(|_| "this format".to_owned());
                    self.lock().missing = Some(name);
                }
            }
            _ => {}
        }
    }
}

/// A pipeline that plays. Dropping it ends it.
pub(super) struct Playback {
    /// Taken when it is handed to the thread that ends it.
    pipeline: Option<gst::Pipeline>,
    uri: String,
}

impl Playback {
    /// Plays `pipeline`, whose messages go to `shared`. Frames are due from `base_time` on; from now on if `None`.
    pub(super) fn start(
        pipeline: gst::Pipeline,
        shared: &Arc<Shared>,
        base_time: Option<gst::ClockTime>,
    ) -> Result<Self, Problem> {
        if let Some(bus) = pipeline.bus() {
            let shared = Arc::clone(shared);
            bus.set_sync_handler(move |_, message| {
                shared.on_message(message);
                gst::BusSyncReply::Drop
            });
        }
        pipeline.use_clock(Some(&gst::SystemClock::obtain()));
        if let Some(base_time) = base_time {
            pipeline.set_start_time(gst::ClockTime::NONE);
            pipeline.set_base_time(base_time);
        }
        let playback = Self { pipeline: Some(pipeline.clone()), uri: shared.origin.uri.clone() };
        match within("source-start", STATE_CHANGE_TIMEOUT, move || pipeline.set_state(gst::State::Playing)) {
            Some(Ok(_)) => Ok(playback),
            Some(Err(_)) => Err(match shared.lock().end.take() {
                Some(End::Failed(problem)) => problem,
                _ => Failure::new(Reason::PipelineFailed, format!("{}: the pipeline does not start", playback.uri))
                    .into(),
            }),
            None => Err(Failure::new(
                Reason::Timeout,
                format!("{}: opening it took more than {} s", playback.uri, STATE_CHANGE_TIMEOUT.as_secs()),
            )
            .into()),
        }
    }

    /// Whether no thread of the pipeline moves data any more.
    pub(super) fn is_idle(&self) -> bool {
        let Some(pipeline) = &self.pipeline else { return true };
        let mut elements = pipeline.iterate_recurse().into_iter().flatten();
        // Playlists are fetched by threads that belong to no pad.
        let is_adaptive = |element: &gst::Element| {
            let class = element.factory().and_then(|factory| factory.metadata("klass").map(str::to_owned));
            class.is_some_and(|class| class.contains("Adaptive"))
        };
        let moves =
            |element: &gst::Element| element.pads().iter().any(|pad| pad.task_state() == gst::TaskState::Started);
        !elements.any(|element| is_adaptive(&element) || moves(&element))
    }

    /// When frames with timestamp 0 were due.
    pub(super) fn base_time(&self) -> Option<gst::ClockTime> {
        self.pipeline.as_ref()?.base_time()
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        let Some(pipeline) = self.pipeline.take() else { return };
        let ended = within("source-end", STATE_CHANGE_TIMEOUT, move || {
            let result = pipeline.set_state(gst::State::Null);
            if let Some(bus) = pipeline.bus() {
                bus.unset_sync_handler();
            }
            result
        });
        match ended {
            Some(Ok(_)) => {}
            Some(Err(_)) => tracing::warn!(uri = self.uri, "a pipeline refused to stop"),
            None => tracing::warn!(
                uri = self.uri,
                "a pipeline has not stopped within {} s; it is left to itself",
                STATE_CHANGE_TIMEOUT.as_secs()
            ),
        }
    }
}
