//! `analytics-pod run --chaos SEED`: simulated cameras that fail, one at a time, and what the pod makes of it.

mod plan;
mod record;
mod report;

use std::{
    io,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use plan::{Fault, Kind};
use record::Record;
use report::{Outcome, Report};

use super::{
    StopRequest,
    models::{self, ModelArgumentError},
    simulator::{CameraError, CameraSettings, Cameras},
};
use crate::{
    assign::{self, Causes, DesiredSource, DesiredState},
    cli::{Codec, OutputFormat, RunArgs},
    engine::native::{NativeEngine, NativeSettings},
    model::OpenOptions,
    observation::SourceKey,
    pod::{Pod, PodSettings},
    source::Pacing,
    telemetry::Telemetry,
};

/// Cameras of the process that goes on while single cameras of it fail. They share the detector with one more, whose
/// whole process fails.
const CAMERAS: CameraSettings =
    CameraSettings { count: 3, resolution: (640, 360), fps: 15, codec: Codec::H264, bframes: 0 };

/// The name of the camera with a process of its own.
const ALONE: &str = "camera-alone";

/// How long all cameras may take to stream at first, and each to stream again.
const STREAM_TIMEOUT: Duration = Duration::from_secs(30);
/// Frames of every camera before the first fault.
const FIRST_FRAMES: usize = 15;
/// How long nothing fails at first, so that the others' gaps can be compared with it.
const CALM: Duration = Duration::from_secs(10);
/// The longest that a fault lasts where nobody sees it, or calls it by its name.
const SEEN_TIMEOUT: Duration = Duration::from_secs(20);
/// How often is looked.
const POLL: Duration = Duration::from_millis(5);

/// Why there is no chaos.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelArgumentError),
    /// The model cannot be opened.
    #[error("{0}")]
    NoModel(Arc<str>),
    /// There are no simulated cameras, or they do not do as they are told.
    #[error(transparent)]
    Cameras(#[from] CameraError),
    /// A thread or the working folder cannot be had.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// The simulator names URIs that cannot be used.
    #[error("the simulator's cameras cannot be used: {0}")]
    Uris(String),
    /// The cameras did not stream although nothing had failed yet.
    #[error("not every camera streams within {} s of its start", STREAM_TIMEOUT.as_secs())]
    NoStreams,
    /// It was interrupted before the first fault was over.
    #[error("interrupted before the first fault was over")]
    Interrupted,
    /// The report cannot be written.
    #[error("the report cannot be written: {0}")]
    Output(#[from] serde_json::Error),
}

/// Runs the schedule of `seed` and reports; the exit code says whether everything recovered.
///
/// # Errors
/// Why it cannot be run.
///
/// # Panics
/// Outside a multi-threaded Tokio runtime.
pub async fn run(args: &RunArgs, model: &str, seed: u64, stop: &StopRequest) -> Result<ExitCode, ChaosError> {
    let start = |settings: CameraSettings| tokio::task::block_in_place(move || Cameras::start(&settings));
    let (crowd, alone) = (start(CAMERAS)?, start(CameraSettings { count: 1, ..CAMERAS })?);
    let (desired, keys) = desired(model, &crowd, &alone)?;
    let telemetry = Arc::new(Telemetry::default());
    let record = Record::default();
    let mut pod = Pod::start(PodSettings {
        engine: Arc::new(NativeEngine::new(NativeSettings::default())?),
        sinks: vec![Box::new(record.clone())],
        pacing: Pacing::Live,
        tap: None,
        telemetry: Arc::clone(&telemetry),
        models: OpenOptions::default(),
        prepare: None,
    })?;
    pod.apply(desired, &Causes::default());
    let mut director = Director { crowd, alone, keys, telemetry, record, stop: stop.clone() };
    let faults = plan::schedule(seed, args.chaos_faults, director.crowd.uris.len());
    let directed = tokio::task::spawn_blocking(move || director.direct(seed, &faults)).await;
    let model_failure = pod.model_failure();
    pod.shut_down().await;
    let report = match directed.map_err(io::Error::other)? {
        Err(ChaosError::NoStreams) => return Err(model_failure.map_or(ChaosError::NoStreams, ChaosError::NoModel)),
        directed => directed?,
    };
    match args.chaos_report {
        OutputFormat::Json => super::print(&(serde_json::to_string_pretty(&report)? + "\n"))?,
        OutputFormat::Table => super::print(&report.to_table())?,
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The sources for the cameras, the one with a process of its own last.
fn desired(model: &str, crowd: &Cameras, alone: &Cameras) -> Result<(DesiredState, Vec<SourceKey>), ChaosError> {
    let model = models::named(model)?;
    let folder = std::env::current_dir()?;
    let named = crowd.uris.iter().cloned().chain(alone.uris.iter().map(|(_, uri)| (ALONE.to_owned(), uri.clone())));
    let mut state = DesiredState::default();
    let mut keys = Vec::new();
    for (name, uri) in named {
        let loaded = assign::from_uris(&[uri], (*model).clone(), &folder);
        if !loaded.errors.is_empty() {
            return Err(ChaosError::Uris(loaded.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")));
        }
        state.models.extend(loaded.state.models);
        for source in loaded.state.sources.into_values() {
            let key = SourceKey::new(&source.key.namespace, &name);
            keys.push(key.clone());
            state.sources.insert(key.clone(), Arc::new(DesiredSource { key, ..(*source).clone() }));
        }
    }
    Ok((state, keys))
}

/// Lets cameras fail and watches what becomes of it.
struct Director {
    crowd: Cameras,
    alone: Cameras,
    keys: Vec<SourceKey>,
    telemetry: Arc<Telemetry>,
    record: Record,
    stop: StopRequest,
}

impl Director {
    fn direct(&mut self, seed: u64, faults: &[Fault]) -> Result<Report, ChaosError> {
        let streams = |keys: &[SourceKey], record: &Record| keys.iter().all(|key| record.count(key) >= FIRST_FRAMES);
        if self.wait(STREAM_TIMEOUT, |director| streams(&director.keys, &director.record).then_some(())).is_none() {
            return Err(if self.stop.is_requested() { ChaosError::Interrupted } else { ChaosError::NoStreams });
        }
        let calm = Instant::now();
        self.sleep(CALM);
        let mut report = Report {
            seed,
            cameras: self.keys.len(),
            frame_interval_ms: u64::from(1000 / CAMERAS.fps),
            calm_gap_ms: millis(self.record.longest_gap(self.keys.iter(), calm, Instant::now())),
            faults: Vec::new(),
        };
        for (number, fault) in faults.iter().enumerate() {
            if self.stop.is_requested() {
                break;
            }
            let outcome = self.suffer(*fault)?;
            // One that was interrupted says nothing.
            if self.stop.is_requested() {
                break;
            }
            tracing::info!(
                number = number + 1,
                of = faults.len(),
                source = outcome.camera,
                fault = ?outcome.fault,
                seen_ms = outcome.seen_ms,
                recovered_ms = outcome.recovered_ms,
                "chaos"
            );
            report.faults.push(outcome);
            self.sleep(fault.pause);
        }
        if report.faults.is_empty() { Err(ChaosError::Interrupted) } else { Ok(report) }
    }

    fn suffer(&mut self, fault: Fault) -> Result<Outcome, ChaosError> {
        let key = self.keys[if fault.kind.is_of_a_process() { self.keys.len() - 1 } else { fault.camera }].clone();
        let failures = |director: &Self| -> u64 {
            director.telemetry.source(&key).map_or(0, |stream| stream.failures().values().sum())
        };
        let reason = |director: &Self| {
            let failure = director.telemetry.source(&key).and_then(|stream| stream.last_failure());
            failure.map(|failure| failure.reason.as_str().to_owned())
        };
        let before = failures(self);
        let begin = Instant::now();
        self.inflict(fault.kind, &key)?;
        let seen = self.wait(SEEN_TIMEOUT, |director| (failures(director) > before).then(Instant::now));
        let first = seen.and(reason(self));
        let is_named = |director: &Self| {
            let names = fault.kind.reasons();
            reason(director).filter(|last| names.iter().any(|name| name.as_str() == last)).map(|_| Instant::now())
        };
        let named = seen.and_then(|_| self.wait(SEEN_TIMEOUT, is_named));
        let mut reasons: Vec<String> = first.into_iter().collect();
        self.sleep(fault.hold.saturating_sub(begin.elapsed()));
        if let Some(last) = seen.and(reason(self)).filter(|last| !reasons.contains(last)) {
            reasons.push(last);
        }
        let healed = Instant::now();
        self.heal(fault.kind, &key)?;
        let back = self.wait(STREAM_TIMEOUT, |director| director.record.streams_since(&key, healed));
        let others = self.keys.iter().filter(|other| **other != key);
        Ok(Outcome {
            camera: key.name.to_string(),
            fault: fault.kind,
            held_ms: millis(healed - begin),
            seen_ms: seen.map(|seen| millis(seen - begin)),
            named_ms: named.map(|named| millis(named - begin)),
            reasons,
            recovered_ms: back.map(|back| millis(back - healed)),
            others_gap_ms: millis(self.record.longest_gap(others, begin, Instant::now())),
        })
    }

    fn inflict(&mut self, kind: Kind, key: &SourceKey) -> Result<(), CameraError> {
        match kind {
            Kind::Hang => self.alone.hang(true),
            Kind::Crash => self.alone.kill(),
            _ => kind.commands().iter().try_for_each(|command| self.crowd.misbehave(&key.name, command)),
        }
    }

    fn heal(&mut self, kind: Kind, key: &SourceKey) -> Result<(), CameraError> {
        match kind {
            Kind::Hang => self.alone.hang(false),
            Kind::Crash => self.alone.revive(),
            _ => self.crowd.heal(&key.name),
        }
    }

    /// Looks again and again until there is something, `timeout` has passed or somebody says stop.
    fn wait<T>(&self, timeout: Duration, look: impl Fn(&Self) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(found) = look(self) {
                return Some(found);
            }
            if Instant::now() >= deadline || self.stop.is_requested() {
                return None;
            }
            thread::sleep(POLL);
        }
    }

    fn sleep(&self, time: Duration) {
        let _: Option<()> = self.wait(time, |_| None);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
