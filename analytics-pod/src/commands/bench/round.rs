//! One part of the load: a fresh pod on all sources, measured from the moment that all of them flow.

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use jiff::Timestamp;
use tokio::time::sleep;

use super::{
    counters::{Counters, Load},
    latency::{Latencies, Sendings},
    probe::{BarcodeProbe, FRAME_NUMBER},
    report::MemoryFigures,
};
use crate::{
    assign::{Causes, DesiredModel, DesiredSource, DesiredState},
    commands::{StopRequest, simulator::Cameras},
    engine::{FrameTap, native::NativeEngine},
    model::OpenOptions,
    observation::Observation,
    pod::{Pod, PodSettings},
    sink::{ChannelSink, Sink},
    source::Pacing,
    telemetry::{ProcessError, Telemetry, memory, thread_cpu},
    trend::Trend,
};

/// How long all sources may take to flow.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Time after the last source flows that is not measured.
const WARM_UP: Duration = Duration::from_secs(2);

/// How often the simulator is asked when it sent what.
const SENT_POLL: Duration = Duration::from_secs(1);

/// Sendings asked for each time: more than a second of the fastest camera.
const SENT_COUNT: usize = 400;

/// How often memory is read.
const MEMORY_INTERVAL: Duration = Duration::from_secs(1);

/// Observations that may wait for the collector.
const OBSERVATIONS: usize = 65_536;

/// Why a part of the load cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// A thread cannot start.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// The process cannot be measured.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A source does not flow.
    #[error("{source_name} gave no frame within {} s: {why}", START_TIMEOUT.as_secs())]
    Silent {
        /// Which.
        source_name: String,
        /// Why, as far as is known.
        why: String,
    },
}

/// What was seen in all parts.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    pub(super) latencies: Latencies,
    pub(super) workers: usize,
    /// Of the first part, seconds and bytes: a later one begins with what the allocator keeps of the one before.
    memory: Vec<(f64, f64)>,
}

impl Rounds {
    pub(super) fn memory_figures(&self) -> MemoryFigures {
        let bytes = |sample: Option<&(f64, f64)>| sample.map_or(0, |sample| sample.1 as u64);
        MemoryFigures {
            start_bytes: bytes(self.memory.first()),
            end_bytes: bytes(self.memory.last()),
            peak_bytes: self.memory.iter().map(|sample| sample.1 as u64).max().unwrap_or_default(),
            trend: Trend::through(&self.memory[self.memory.len() / 2..]),
        }
    }
}

/// What one part needs.
pub(super) struct Round<'a> {
    pub(super) engine: Arc<NativeEngine>,
    pub(super) sources: &'a [Arc<DesiredSource>],
    pub(super) model: &'a Arc<DesiredModel>,
    pub(super) pacing: Pacing,
    pub(super) cameras: Option<&'a Cameras>,
    pub(super) length: Duration,
}

impl Round<'_> {
    /// Runs it, and adds what it saw to `load` and `rounds`.
    pub(super) async fn run(self, stop: &StopRequest, load: &mut Load, rounds: &mut Rounds) -> Result<(), RoundError> {
        rounds.workers = self.engine.workers();
        let telemetry = Arc::new(Telemetry::default());
        let (sender, observations) = bounded(OBSERVATIONS);
        let sink: Box<dyn Sink> = Box::new(ChannelSink::new("benchmark", sender));
        let mut pod = Pod::start(PodSettings {
            engine: self.engine.clone(),
            sinks: vec![sink],
            pacing: self.pacing,
            tap: self.cameras.map(|_| Arc::new(BarcodeProbe) as Arc<dyn FrameTap>),
            telemetry: Arc::clone(&telemetry),
            models: OpenOptions::default(),
            prepare: None,
        })?;
        pod.apply(self.desired(), &Causes::default());
        let flowing = self.wait_until_flowing(stop, &pod, &telemetry).await;
        if flowing.is_ok() {
            sleep(WARM_UP).await;
            let collected = self.load(stop, &telemetry, load, rounds, observations);
            pod.shut_down().await;
            return collected;
        }
        pod.shut_down().await;
        flowing
    }

    fn desired(&self) -> DesiredState {
        DesiredState {
            models: [(self.model.key.clone(), Arc::clone(self.model))].into(),
            sources: self.sources.iter().map(|source| (source.key.clone(), Arc::clone(source))).collect(),
            ..DesiredState::default()
        }
    }

    async fn wait_until_flowing(&self, stop: &StopRequest, pod: &Pod, telemetry: &Telemetry) -> Result<(), RoundError> {
        let end = Instant::now() + START_TIMEOUT;
        while let Some((key, source)) =
            telemetry.sources().iter().find(|(_, source)| source.processed() == 0).map(|(k, s)| (k.clone(), s.clone()))
        {
            let failed = pod.model_failure().map(|failure| failure.to_string());
            if Instant::now() > end || stop.is_requested() || failed.is_some() {
                let why = source.last_failure().map(|failure| failure.to_string()).or(failed);
                let why = why.unwrap_or_else(|| format!("it is {}", source.state().as_str()));
                return Err(RoundError::Silent { source_name: key.name.to_string(), why });
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Blocks for the whole part: its caller has nothing else to do meanwhile.
    fn load(
        &self,
        stop: &StopRequest,
        telemetry: &Telemetry,
        load: &mut Load,
        rounds: &mut Rounds,
        observations: Receiver<Observation>,
    ) -> Result<(), RoundError> {
        let (began, begin_time) = (Instant::now(), Timestamp::now());
        let before = Counters::read(telemetry)?;
        let base = load.seconds();
        // What was published before does not count.
        while observations.try_recv().is_ok() {}
        let length = self.length;
        thread::scope(|scope| {
            let collector = scope.spawn(move || {
                let mut collector = Collector { begin_time, base, cameras: self.cameras, ..Collector::default() };
                collector.run(&observations, began + length);
                (collector, thread_cpu())
            });
            let sampling = Sampling { stop, began, length };
            let (samples, sampling_cpu) = tokio::task::block_in_place(|| sampling.run())?;
            let after = Counters::read(telemetry)?;
            let elapsed = began.elapsed();
            let (collected, collecting_cpu) = collector.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            load.add(&before, &after, elapsed, sampling_cpu + collecting_cpu);
            if rounds.memory.is_empty() {
                rounds.memory = samples;
            }
            rounds.latencies.merge(&collected.latencies);
            Ok(())
        })
    }
}

/// Reads the memory of the process every second until the part is over.
struct Sampling<'a> {
    stop: &'a StopRequest,
    began: Instant,
    length: Duration,
}

impl Sampling<'_> {
    /// Seconds of load and bytes; and the CPU that reading them took.
    fn run(&self) -> Result<(Vec<(f64, f64)>, Duration), ProcessError> {
        let (mut samples, mut cpu) = (Vec::new(), Duration::ZERO);
        loop {
            let before = thread_cpu();
            samples.push((self.began.elapsed().as_secs_f64(), memory()?.proportional as f64));
            cpu += thread_cpu().saturating_sub(before);
            let left = self.length.saturating_sub(self.began.elapsed());
            if left.is_zero() || self.stop.is_requested() {
                return Ok((samples, cpu));
            }
            thread::sleep(left.min(MEMORY_INTERVAL));
        }
    }
}

/// Takes the observations and finds out how old each was when it was published.
#[derive(Default)]
struct Collector<'a> {
    begin_time: Timestamp,
    /// Seconds of load before this part.
    base: f64,
    cameras: Option<&'a Cameras>,
    sendings: HashMap<Arc<str>, Sendings>,
    /// Camera, frame in its loop and Unix microseconds of publishing, until the simulator is asked.
    unresolved: Vec<(Arc<str>, u64, i64)>,
    latencies: Latencies,
}

impl Collector<'_> {
    fn run(&mut self, observations: &Receiver<Observation>, end: Instant) {
        let mut next_poll = Instant::now() + SENT_POLL;
        while Instant::now() < end {
            match observations.recv_deadline(next_poll.min(end)) {
                Ok(observation) => self.take(&observation),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= next_poll {
                self.resolve();
                next_poll = Instant::now() + SENT_POLL;
            }
        }
        self.resolve();
    }

    fn take(&mut self, observation: &Observation) {
        let published = observation.publish_time.as_microsecond();
        if self.cameras.is_none() {
            let age = published - observation.capture_time.as_microsecond();
            self.record(&observation.source, published, u64::try_from(age).unwrap_or_default());
        } else if let Some(frame) = observation.metadata.get(FRAME_NUMBER).and_then(serde_json::Value::as_u64) {
            self.unresolved.push((observation.source.clone(), frame, published));
        }
    }

    fn resolve(&mut self) {
        let Some(cameras) = self.cameras else { return };
        let sent = match cameras.last_sent(SENT_COUNT) {
            Ok(sent) => sent,
            Err(error) => {
                tracing::warn!(%error, "latencies of the last second are not known");
                return;
            }
        };
        for (camera, frames) in sent {
            let sendings = self.sendings.entry(camera.into()).or_default();
            for (_, frame, time) in frames {
                sendings.add(frame, time);
            }
        }
        for (camera, frame, published) in std::mem::take(&mut self.unresolved) {
            if let Some(latency) = self.sendings.get(&camera).and_then(|sent| sent.latency_us(frame, published)) {
                self.record(&camera, published, latency);
            }
        }
    }

    fn record(&mut self, source: &Arc<str>, published: i64, latency_us: u64) {
        let seconds = self.base + (published - self.begin_time.as_microsecond()) as f64 / 1e6;
        self.latencies.record(source, seconds, latency_us);
    }
}
