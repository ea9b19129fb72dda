//! The soak itself: cameras, pod, what is done to them, and what is looked at meanwhile.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use camera_simulator::{CameraConfig, Config, Fault, SceneConfig, Silent, Simulator, SimulatorError};
use procfs::ProcError;
use serde_json::json;

use crate::{
    cycles::{self, Places},
    faults::{self, Outcomes},
    ledger::Counters,
    pod::{Lines, PodError, PodProcess},
    report::{Cycles, Memory, Others, Report},
    requests::{self, Times},
    stop::Stop,
    usage::Usage,
};

/// Cameras that are watched all the time.
const CAMERAS: u32 = 4;

/// The camera that is added and removed.
const VISITOR: &str = "visitor";

/// How long all cameras may take to stream.
const STREAM_TIMEOUT: Duration = Duration::from_mins(1);

/// Frames of each camera before anything is looked at.
const FIRST_FRAMES: u64 = 30;

/// How long frames that are on their way may take; shorter than what the pod takes for a stall.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(4);

/// How long nothing is asked before the pod is looked at: threads that are kept in case they are needed again end
/// after 10 s (Tokio) and 15 s (`GLib`).
const REST: Duration = Duration::from_secs(20);

/// Looks at a pod at rest, one a second.
const REST_LOOKS: u32 = 5;

/// Looks in a run, at most one a second and at least one in ten.
const LOOKS: u32 = 1800;

/// Progress is told this often.
const PROGRESS: Duration = Duration::from_secs(30);

/// The pod ends by itself after this, even where this program was killed; a cycle takes up to a minute.
const SPARE: Duration = Duration::from_mins(30);

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) pod: PathBuf,
    /// How long the cameras are watched while they fail.
    pub(crate) length: Duration,
    pub(crate) cycles: u32,
    pub(crate) seed: u64,
    /// `None`: nothing fails.
    pub(crate) fault_pause: Option<Duration>,
    pub(crate) request_interval: Duration,
}

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SoakError {
    /// The working folder or a port cannot be had.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// There are no cameras.
    #[error(transparent)]
    Simulator(#[from] SimulatorError),
    /// There is no pod.
    #[error(transparent)]
    Pod(#[from] PodError),
    /// The cameras do not stream although nothing has failed yet.
    #[error("not every camera streams within {} s; the pod's log ends with:\n{log}", STREAM_TIMEOUT.as_secs())]
    NoStreams {
        /// The end of the log.
        log: String,
    },
    /// The process cannot be looked at.
    #[error("the pod's process cannot be looked at: {0}")]
    Process(#[from] ProcError),
}

/// Does what `plan` says, until `stop` is requested.
pub(crate) fn run(plan: &Plan, stop: &Stop) -> Result<Report, SoakError> {
    let folder = tempfile::Builder::new().prefix("soak-").tempdir()?;
    let names: Vec<String> = (1..=CAMERAS).map(|number| format!("camera-{number}")).collect();
    eprintln!("soak: starting {CAMERAS} cameras (their scenes are drawn and encoded once, then kept)");
    let simulator = Simulator::start(&Config::on_loopback(cameras(&names)), &Silent)?;
    let pod = PodProcess::start(&plan.pod, folder.path(), plan.length + SPARE + Duration::from_mins(1) * plan.cycles)?;
    let (times, report) = (Times::default(), Report::default());
    let lines = pod.lines();
    let mut soak = Soak { plan, stop, simulator, pod, lines, names, times, report, began: Instant::now() };
    soak.begin()?;
    let before = soak.look()?;
    let outcome = soak.live();
    let report = soak.end(before, outcome);
    if !report.problems.is_empty() {
        eprintln!("soak: the pod's log is kept in {}", folder.keep().display());
    }
    Ok(report)
}

fn cameras(names: &[String]) -> Vec<CameraConfig> {
    let scene = |seed| SceneConfig { seed, ..SceneConfig::default() };
    let watched = names.iter().zip(1..).map(|(name, seed)| CameraConfig::of_scene(name.clone(), scene(seed)));
    // A key frame often, so that a cycle is short.
    let visitor = SceneConfig { gop: Some(5), ..scene(9) };
    watched.chain([CameraConfig::of_scene(VISITOR, visitor)]).collect()
}

struct Soak<'a> {
    plan: &'a Plan,
    stop: &'a Stop,
    simulator: Simulator,
    pod: PodProcess,
    lines: Lines,
    names: Vec<String>,
    times: Times,
    report: Report,
    began: Instant,
}

impl Soak<'_> {
    /// Adds the cameras and waits until all stream.
    fn begin(&mut self) -> Result<(), SoakError> {
        for name in &self.names {
            let source = json!({"id": name, "uri": self.simulator.uri(name)?});
            self.pod.api.ask("POST", "/api/v1/sources", Some(&source), 201)?;
        }
        if !self.streams(FIRST_FRAMES) {
            return Err(SoakError::NoStreams { log: self.pod.last_words() });
        }
        self.began = Instant::now();
        Ok(())
    }

    /// Waits until each camera has published `frames` more; whether they did.
    fn streams(&self, frames: u64) -> bool {
        let until: Vec<_> = self.names.iter().map(|name| (name, self.lines.count(name) + frames)).collect();
        // The end may have been asked for; the report needs cameras that stream all the same.
        Stop::default().wait(STREAM_TIMEOUT, || until.iter().all(|(name, count)| self.lines.count(name) >= *count))
    }

    fn look(&self) -> Result<Usage, ProcError> {
        Usage::of(self.pod.id())
    }

    fn live(&mut self) -> Result<(), SoakError> {
        if !self.plan.length.is_zero() {
            self.watch()?;
        }
        let mut settled = self.settle()?;
        if self.plan.cycles > 0 && !self.stop.is_requested() {
            settled = self.come_and_go(&settled)?;
        }
        for (name, counters) in &settled {
            let wrong = counters.discrepancies(&self.pod.published(name));
            self.report.problems.extend(wrong.into_iter().map(|wrong| format!("{name}: {wrong}")));
        }
        self.report.sources = settled;
        Ok(())
    }

    /// The cameras fail, the pod is asked, and its process is looked at.
    fn watch(&mut self) -> Result<(), SoakError> {
        let over = Stop::default();
        let (api, interval) = (self.pod.api.clone(), self.plan.request_interval);
        let seen = Mutex::new(Outcomes::default());
        let look_interval = (self.plan.length / LOOKS).clamp(Duration::from_secs(1), Duration::from_secs(10));
        let (mut looks, mut told) = (Vec::new(), Instant::now());
        let (simulator, names, lines, times) = (&self.simulator, &*self.names, &self.lines, &self.times);
        let (pod, stop, plan, began) = (&mut self.pod, self.stop, self.plan, Instant::now());
        let (looked, faults, problems) = thread::scope(|scope| {
            let faults = plan.fault_pause.map(|pause| {
                let (over, seen) = (&over, &seen);
                let note = move |outcomes: &Outcomes| {
                    *seen.lock().unwrap_or_else(PoisonError::into_inner) = outcomes.clone();
                };
                scope.spawn(move || faults::direct(simulator, (names, lines), (plan.seed, pause), over, note))
            });
            let asking = scope.spawn(|| requests::keep_asking(&api, (names, interval), times, &over));
            let mut look = || -> Result<(), ProcError> {
                while began.elapsed() < plan.length && !stop.is_requested() && pod.is_alive() {
                    let usage = Usage::of(pod.id())?;
                    looks.push((began.elapsed().as_secs_f64(), usage.anonymous as f64));
                    if told.elapsed() >= PROGRESS {
                        told = Instant::now();
                        let faults = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
                        progress(began.elapsed(), plan.length, &usage, &faults);
                    }
                    stop.sleep(look_interval.min(plan.length.saturating_sub(began.elapsed())));
                }
                Ok(())
            };
            let looked = look();
            over.request();
            (looked, faults.map(thread::ScopedJoinHandle::join), asking.join())
        });
        self.report.memory = Memory::of(&looks);
        self.report.faults = faults.map(joined).transpose()?;
        self.note(joined(problems));
        Ok(looked?)
    }

    fn note(&mut self, problems: BTreeMap<String, u64>) {
        self.report.problems.extend(problems.into_iter().map(|(problem, count)| format!("{count} ×: {problem}")));
    }

    /// Sources come and go; what the cameras sent and the pod took of it is held against `before`, when nothing was on
    /// its way.
    fn come_and_go(&mut self, before: &BTreeMap<String, Counters>) -> Result<BTreeMap<String, Counters>, SoakError> {
        let sent_before = self.sent()?;
        let first = (self.plan.cycles / 10).max(1);
        let mut cycles = Cycles { baseline_after: first, ..Cycles::default() };
        cycles.done = self.visits(0, first)?;
        cycles.baseline = self.rest()?;
        if cycles.done == first {
            cycles.done += self.visits(first, self.plan.cycles - first)?;
        }
        cycles.end = self.rest()?;
        let after = self.settle()?;
        for (name, sent) in self.sent()? {
            let counters = |of: &BTreeMap<String, Counters>| of.get(&name).cloned().unwrap_or_default();
            let (before, after) = (counters(before), counters(&after));
            let others = Others {
                sent: sent - sent_before.get(&name).copied().unwrap_or_default(),
                received: after.received - before.received,
                failures: after.failures - before.failures,
            };
            cycles.others.insert(name, others);
        }
        self.report.cycles = Some(cycles);
        Ok(after)
    }

    fn visits(&mut self, first: u32, cycles: u32) -> Result<u32, SoakError> {
        let over = Stop::default();
        let (api, interval) = (self.pod.api.clone(), self.plan.request_interval);
        let (names, times, id, total) = (&*self.names, &self.times, self.pod.id(), self.plan.cycles);
        let (places, _silent) = Places::with_camera(self.simulator.uri(VISITOR)?)?;
        let (mut told, mut count) = (Instant::now(), 0);
        let done = |done: u32| {
            count += 1;
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                match Usage::of(id) {
                    Ok(usage) => eprintln!("soak: cycle {done} of {total}, {}", usage_line(&usage)),
                    Err(error) => eprintln!("soak: cycle {done} of {total}; {error}"),
                }
            }
        };
        let (visited, problems) = thread::scope(|scope| {
            let asking = scope.spawn(|| requests::keep_asking(&api, (names, interval), times, &over));
            let visited = cycles::run(&api, (&places, &self.lines), (first, cycles), times, self.stop, done);
            over.request();
            (visited, asking.join())
        });
        self.note(joined(problems));
        self.report.problems.extend(visited.err().map(|failed| failed.to_string()));
        Ok(count)
    }

    /// What the pod takes when nobody has asked anything for a while.
    fn rest(&self) -> Result<Usage, ProcError> {
        self.stop.sleep(REST);
        let mut looks = vec![self.look()?];
        for _ in 1..REST_LOOKS {
            self.stop.sleep(Duration::from_secs(1));
            looks.push(self.look()?);
        }
        Ok(Usage::median(&looks).unwrap_or_default())
    }

    /// Frames that each camera has sent.
    fn sent(&self) -> Result<BTreeMap<String, u64>, SimulatorError> {
        let sent = |name: &String| {
            let last = self.simulator.sent(name, 1)?;
            Ok((name.clone(), last.last().map_or(0, |frame| frame.sequence + 1)))
        };
        self.names.iter().map(sent).collect()
    }

    /// Holds the cameras still until nothing is on its way, and reads the counters; then lets them go on.
    fn settle(&mut self) -> Result<BTreeMap<String, Counters>, SoakError> {
        if !self.streams(FIRST_FRAMES) {
            self.report.problems.push(format!("not every camera streams at the end: {}", self.states()?));
        }
        for name in &self.names {
            self.simulator.misbehave(name, Fault::Stall)?;
        }
        let read = || -> Result<BTreeMap<String, Counters>, PodError> {
            let metrics = self.pod.api.metrics()?;
            Ok(self.names.iter().map(|name| (name.clone(), Counters::of(&metrics, name))).collect())
        };
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        let mut counters = read()?;
        loop {
            thread::sleep(Duration::from_millis(250));
            let again = read()?;
            let quiet = again == counters && again.values().all(|counters| counters.received == counters.settled());
            let published = |name: &String, counters: &Counters| self.lines.count(name) == counters.processed;
            counters = again;
            if quiet && counters.iter().all(|(name, counters)| published(name, counters)) || Instant::now() > deadline {
                break;
            }
        }
        for name in &self.names {
            self.simulator.heal(name)?;
        }
        Ok(counters)
    }

    fn states(&self) -> Result<String, PodError> {
        self.pod.api.ask("GET", "/health", None, 200).or_else(|_| self.pod.api.ask("GET", "/health", None, 503))
    }

    /// Ends the pod and finishes the report.
    fn end(mut self, before: Usage, outcome: Result<(), SoakError>) -> Report {
        let mut report = self.report;
        if let Err(problem) = outcome {
            report.problems.push(problem.to_string());
        }
        report.seconds = self.began.elapsed().as_secs_f64();
        report.interrupted = self.stop.is_requested();
        report.requests = self.times.rows();
        report.first = before;
        if self.pod.is_alive() {
            match Usage::of(self.pod.id()) {
                Ok(last) => report.last = last,
                Err(problem) => report.problems.push(problem.to_string()),
            }
        } else {
            report.problems.push(format!("the pod ended before its time:\n{}", self.pod.last_words()));
        }
        report.cores_used = report.last.cpu.saturating_sub(before.cpu).as_secs_f64() / report.seconds;
        report.problems.extend(self.pod.log().errors.iter().map(|line| format!("the pod logged: {line}")));
        match self.pod.end() {
            Ok(status) if status.success() => {}
            Ok(status) => report.problems.push(format!("the pod ended with {status}")),
            Err(problem) => report.problems.push(problem.to_string()),
        }
        report.judge();
        report
    }
}

fn joined<T>(result: thread::Result<T>) -> T {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn usage_line(usage: &Usage) -> String {
    let Usage { anonymous, resident, threads, descriptors, .. } = usage;
    let mebibytes = |bytes: &u64| *bytes as f64 / 1_048_576.0;
    let (anonymous, resident) = (mebibytes(anonymous), mebibytes(resident));
    format!("{anonymous:.1} MiB ({resident:.1} resident), {threads} threads, {descriptors} descriptors")
}

fn progress(elapsed: Duration, length: Duration, usage: &Usage, faults: &Outcomes) {
    eprintln!(
        "soak: {:.1} of {:.1} min, {}, {} faults, {} overcome",
        elapsed.as_secs_f64() / 60.0,
        length.as_secs_f64() / 60.0,
        usage_line(usage),
        faults.faults,
        faults.recovered
    );
}
