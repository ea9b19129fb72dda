//! The engine on this machine's own processors: GStreamer decodes, ONNX Runtime detects.
//!
//! Each attempt has one decoding thread ([`attempt`]); pictures that are wanted wait in one slot a source
//! ([`scheduler`]) for one of the workers ([`worker`]), which convert and infer them. Nothing queues after the decoder:
//! where the detector is slow, newer frames replace older ones and the rate falls, not the freshness.

mod attempt;
mod capacity;
mod clock;
mod convert;
mod cores;
mod decoder;
mod detector;
mod fair;
mod pending;
mod reorder;
mod scheduler;
mod selection;
mod stream;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

pub(in crate::engine) use attempt::selection_time;
pub use capacity::{Capacity, CapacityError, measure, relative_cost};
pub use cores::{ThreadPolicy, available_cores};
pub use decoder::elements;
pub(in crate::engine) use decoder::{codec_name, is_compatible, needs_key_frame};
use detector::ModelChoice;
pub(in crate::engine) use pending::Pending;
use scheduler::{LaneId, Scheduler};
pub(in crate::engine) use selection::Selector;
pub(in crate::engine) use stream::Stop;
use stream::Stream;
use tokio::sync::mpsc::UnboundedSender;

use super::{Attempt, AttemptEnd, AttemptEvent, Engine, RunningAttempt};
use crate::source::{self, AccessUnits, Failure, Reason};

/// How the engine is set up.
#[derive(Clone, Debug)]
pub struct NativeSettings {
    /// Threads of the detector.
    pub threads: ThreadPolicy,
}

impl Default for NativeSettings {
    fn default() -> Self {
        Self { threads: ThreadPolicy::detect() }
    }
}

/// See the module.
pub struct NativeEngine {
    shared: Arc<Shared>,
    workers: usize,
}

struct Shared {
    scheduler: Scheduler,
    life: Mutex<Life>,
    changed: Condvar,
}

/// What is running.
struct Life {
    open: bool,
    workers: usize,
    attempts: usize,
    streams: Vec<(LaneId, Weak<Stream>)>,
}

impl Shared {
    fn life(&self) -> std::sync::MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `done` or `deadline`; whether it is done.
    fn wait_until(&self, deadline: Instant, done: impl Fn(&Life) -> bool) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(self.life(), left, |life| !done(life));
        let (life, _) = waited.unwrap_or_else(PoisonError::into_inner);
        done(&life)
    }

    fn stop(&self, lane: LaneId, stream: &Stream) {
        stream.stop.request();
        self.scheduler.stop_requested(lane);
    }

    fn stop_all(&self) {
        let streams = {
            let mut life = self.life();
            life.open = false;
            std::mem::take(&mut life.streams)
        };
        for (lane, stream) in streams {
            if let Some(stream) = stream.upgrade() {
                self.stop(lane, &stream);
            }
        }
    }
}

impl NativeEngine {
    /// Starts the workers.
    ///
    /// # Errors
    /// Where a thread cannot be had.
    pub fn new(settings: NativeSettings) -> io::Result<Self> {
        let ThreadPolicy { workers, why, .. } = settings.threads;
        let workers = workers.max(1);
        tracing::debug!(workers, %why, "the detector's threads");
        let life = Mutex::new(Life { open: true, workers: 0, attempts: 0, streams: Vec::new() });
        let shared = Arc::new(Shared { scheduler: Scheduler::new(workers), life, changed: Condvar::new() });
        let engine = Self { shared, workers };
        for worker in 0..workers {
            let shared = engine.shared.clone();
            engine.shared.life().workers += 1;
            let running = Running { shared: shared.clone(), count: |life| &mut life.workers };
            thread::Builder::new().name(format!("detect-{worker}")).spawn(move || {
                let _running = running;
                worker::run(worker, &shared.scheduler);
            })?;
        }
        Ok(engine)
    }

    /// Threads of the detector.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// [`Engine::start`] with the model and the input by their contracts.
    fn begin(
        &self,
        stream: Stream,
        open: impl FnOnce(&Stream) -> Result<Box<dyn AccessUnits>, Failure> + Send + 'static,
        events: UnboundedSender<AttemptEvent>,
    ) -> Box<dyn RunningAttempt> {
        let stream = Arc::new(stream);
        let lane = self.shared.scheduler.add(stream.clone());
        let handle = Handle { shared: self.shared.clone(), lane, stream: Arc::downgrade(&stream) };
        let shared = self.shared.clone();
        let running = {
            let mut life = shared.life();
            life.streams.retain(|(_, stream)| stream.strong_count() > 0);
            life.streams.push((lane, Arc::downgrade(&stream)));
            life.attempts += 1;
            if !life.open {
                stream.stop.request();
            }
            Running { shared: shared.clone(), count: |life| &mut life.attempts }
        };
        let name = format!("decode-{}", stream.identity.key.name);
        let finished = events.clone();
        let spawned = thread::Builder::new().name(name).spawn({
            let shared = shared.clone();
            move || {
                let streaming = || drop(events.send(AttemptEvent::Streaming));
                let played = catch_unwind(AssertUnwindSafe(|| match open(&stream) {
                    Ok(units) => attempt::Attempt::new(&stream, &shared.scheduler, lane).play(units, streaming),
                    Err(failure) => AttemptEnd::Failed(failure),
                }));
                // One source's end, and no other's.
                let end = played.unwrap_or_else(|_| {
                    AttemptEnd::Failed(Failure::new(Reason::PipelineFailed, "a fault of this program; see its log"))
                });
                shared.scheduler.remove(lane);
                drop(stream);
                drop(events.send(AttemptEvent::Finished(end)));
                drop(running);
            }
        });
        if let Err(error) = spawned {
            shared.scheduler.remove(lane);
            let failure = Failure::new(Reason::PipelineFailed, format!("no thread for the source: {error}"));
            // Nobody listening to the events means nobody is left to tell.
            drop(finished.send(AttemptEvent::Finished(AttemptEnd::Failed(failure))));
        }
        Box::new(handle)
    }
}

impl Engine for NativeEngine {
    fn name(&self) -> &'static str {
        "native"
    }

    fn start(&self, attempt: Attempt) -> Box<dyn RunningAttempt> {
        let Attempt { stream, input, pacing, detection, model, telemetry, events, frames, tap } = attempt;
        let model: Arc<dyn ModelChoice> = model;
        let stream = Stream::new(stream, pacing, detection, model, telemetry, frames, tap);
        self.begin(stream, move |stream| source::open(&input, stream.pacing, &stream.telemetry), events)
    }

    fn stalled(&self) -> Duration {
        self.shared.scheduler.stalled(Instant::now())
    }

    fn shut_down(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        self.shared.stop_all();
        if !self.shared.wait_until(deadline, |life| life.attempts == 0) {
            tracing::warn!("sources did not end in time");
        }
        self.shared.scheduler.close();
        if !self.shared.wait_until(deadline, |life| life.workers == 0) {
            tracing::warn!("the detector did not end in time");
        }
    }
}

impl Drop for NativeEngine {
    fn drop(&mut self) {
        self.shared.stop_all();
        self.shared.scheduler.close();
    }
}

/// Counts a thread until it ends, however it does.
struct Running {
    shared: Arc<Shared>,
    count: fn(&mut Life) -> &mut usize,
}

impl Drop for Running {
    fn drop(&mut self) {
        *(self.count)(&mut self.shared.life()) -= 1;
        self.shared.changed.notify_all();
    }
}

struct Handle {
    shared: Arc<Shared>,
    lane: LaneId,
    /// Not kept alive by the handle: the channel of frames closes when the attempt is over.
    stream: Weak<Stream>,
}

impl RunningAttempt for Handle {
    fn stop(&mut self) {
        if let Some(stream) = self.stream.upgrade() {
            self.shared.stop(self.lane, &stream);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}
