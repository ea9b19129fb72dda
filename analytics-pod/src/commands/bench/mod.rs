//! `analytics-pod bench`: what this machine can do, measured against its floor in the same run.

mod counters;
mod floor;
mod latency;
mod limits;
mod probe;
mod report;
mod round;

use std::{fs, io, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use counters::Load;
use floor::{FloorError, Recording};
use limits::{Limit, LimitError};
use report::{FloorFigures, Latency, MeasuredBy, Profile, Report, Settings, TotalFigures};
use round::{Round, RoundError, Rounds};

use super::{
    StopRequest,
    models::{self, ModelArgumentError},
    simulator::{CameraError, CameraSettings, Cameras},
};
use crate::{
    assign::{self, DesiredModel, DesiredSource},
    cli::{BenchArgs, OutputFormat},
    engine::native::{NativeEngine, NativeSettings, available_cores},
    model::{ModelError, OpenOptions},
    pod::open_model,
    source::{Pacing, printable_uri},
};

/// Load shorter than this is not interrupted for the floor.
const SHORTEST_ROUND: u64 = 5;

/// Parts that the load is cut into, with the floor measured before, between and after them.
const ROUNDS: u64 = 3;

/// Load longer than this is one part: what is looked for in it is change over time.
const LONGEST_CUT: u64 = 60;

/// Runs of the model per measurement of its floor.
const FLOOR_RUNS: u32 = 10;

/// Why a benchmark cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A limit cannot be read.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The baseline cannot be read.
    #[error("--compare {}: {problem}", path.display())]
    Baseline {
        /// Its path.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A URI cannot be used; each problem on a line of its own.
    #[error("{0}")]
    Uris(String),
    /// The manifest of the model cannot be used.
    #[error(transparent)]
    Manifest(#[from] ModelArgumentError),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The engine or the working folder cannot be used.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// There are no simulated cameras.
    #[error(transparent)]
    Cameras(#[from] CameraError),
    /// The floor cannot be measured.
    #[error(transparent)]
    Floor(#[from] FloorError),
    /// The load cannot be measured.
    #[error(transparent)]
    Round(#[from] RoundError),
    /// The report cannot be written.
    #[error("the report cannot be written: {0}")]
    Output(String),
}

/// Measures and reports; the exit code says whether every limit was kept.
///
/// # Errors
/// Why it cannot be measured.
///
/// # Panics
/// Outside a multi-threaded Tokio runtime.
pub async fn bench(args: &BenchArgs, stop: &StopRequest) -> Result<ExitCode, BenchError> {
    let limits = args.limits.iter().map(|text| text.parse()).collect::<Result<Vec<Limit>, _>>()?;
    let baseline = args.compare.as_ref().map(baseline).transpose()?;
    let desired = models::named(&args.model)?;
    let cameras = if args.uris.is_empty() { Some(start(args)?) } else { None };
    let sources = sources(args, cameras.as_ref(), &desired)?;
    let mut bench = Bench { args, desired, sources, cameras, floors: Vec::new() };
    let (load, rounds) = bench.measure(stop).await?;
    let report = bench.report(&load, &rounds);
    let verdicts: Vec<_> = limits.iter().map(|limit| limit.judge(&report)).collect();
    match args.output {
        OutputFormat::Json => {
            let text = serde_json::to_string_pretty(&report).map_err(|error| BenchError::Output(error.to_string()))?;
            super::print(&(text + "\n"))?;
        }
        OutputFormat::Table => super::print(&report.to_table())?,
    }
    if let Some(baseline) = baseline {
        eprint!("{}", report.compared_with(&baseline));
    }
    for verdict in &verdicts {
        eprintln!("{verdict}");
    }
    Ok(if verdicts.iter().all(|verdict| verdict.kept) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn start(args: &BenchArgs) -> Result<Cameras, CameraError> {
    let BenchArgs { sources: count, resolution, fps, codec, bframes, .. } = *args;
    tokio::task::block_in_place(|| Cameras::start(&CameraSettings { count, resolution, fps, codec, bframes }))
}

fn baseline(path: &PathBuf) -> Result<Report, BenchError> {
    let failed = |problem: String| BenchError::Baseline { path: path.clone(), problem };
    let text = fs::read_to_string(path).map_err(|error: io::Error| failed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| failed(format!("this is no report of `bench --output json`: {error}")))
}

fn sources(
    args: &BenchArgs,
    cameras: Option<&Cameras>,
    model: &DesiredModel,
) -> Result<Vec<Arc<DesiredSource>>, BenchError> {
    let uris = match cameras {
        Some(cameras) => cameras.uris.iter().map(|(_, uri)| uri.clone()).collect(),
        None => args.uris.clone(),
    };
    let loaded = assign::from_uris(&uris, model.clone(), &std::env::current_dir()?);
    if !loaded.errors.is_empty() {
        return Err(BenchError::Uris(loaded.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
    }
    let set_up = |source: Arc<DesiredSource>| {
        let mut source = DesiredSource::clone(&source);
        let camera = cameras.and_then(|cameras| cameras.uris.iter().find(|(_, uri)| *uri == source.input.uri.as_str()));
        if let Some((name, _)) = camera {
            source.key.name = name.as_str().into();
        }
        source.detection.fps = args.detection_fps.map(f64::from);
        // A file that ends before the load would leave nothing to measure.
        source.input.repeat = true;
        Arc::new(source)
    };
    Ok(loaded.state.sources.into_values().map(set_up).collect())
}

struct Bench<'a> {
    args: &'a BenchArgs,
    desired: Arc<DesiredModel>,
    sources: Vec<Arc<DesiredSource>>,
    cameras: Option<Cameras>,
    floors: Vec<(Duration, Duration)>,
}

impl Bench<'_> {
    async fn measure(&mut self, stop: &StopRequest) -> Result<(Load, Rounds), BenchError> {
        let seconds = self.args.duration;
        let count = if (ROUNDS * SHORTEST_ROUND..=LONGEST_CUT).contains(&seconds) { ROUNDS } else { 1 };
        let (mut load, mut rounds) = (Load::default(), Rounds::default());
        let recordings = self.record()?;
        self.measure_floor(&recordings)?;
        for _ in 0..count {
            let round = Round {
                engine: Arc::new(NativeEngine::new(NativeSettings::default())?),
                sources: &self.sources,
                model: &self.desired,
                pacing: self.pacing(),
                cameras: self.cameras.as_ref(),
                length: Duration::from_secs_f64(seconds as f64 / count as f64),
            };
            round.run(stop, &mut load, &mut rounds).await?;
            self.measure_floor(&recordings)?;
            if stop.is_requested() {
                break;
            }
        }
        Ok((load, rounds))
    }

    fn pacing(&self) -> Pacing {
        if self.args.lossless { Pacing::Lossless } else { Pacing::Live }
    }

    /// Records each different kind of source once: simulated cameras are all of one kind.
    fn record(&self) -> Result<Vec<Recording>, BenchError> {
        let kinds = if self.cameras.is_some() { 1 } else { self.sources.len() };
        let referenced_only = self.args.detection_fps.is_some();
        let record = |source: &Arc<DesiredSource>| Recording::of(&source.input, self.pacing(), referenced_only);
        Ok(tokio::task::block_in_place(|| self.sources.iter().take(kinds).map(record).collect::<Result<_, _>>())?)
    }

    fn measure_floor(&mut self, recordings: &[Recording]) -> Result<(), BenchError> {
        tokio::task::block_in_place(|| {
            let mut decode = Duration::ZERO;
            for recording in recordings {
                decode += recording.decode()?;
            }
            let decode = decode / u32::try_from(recordings.len().max(1)).unwrap_or(u32::MAX);
            // Opened for this alone, so that the memory under load is the pod's.
            let model = open_model(&self.desired, &OpenOptions::default())?;
            self.floors.push((decode, floor::inference(&model, FLOOR_RUNS)?));
            Ok(())
        })
    }

    fn report(&self, load: &Load, rounds: &Rounds) -> Report {
        let measured_by = if self.cameras.is_some() { MeasuredBy::Barcode } else { MeasuredBy::CaptureTime };
        let sources = load
            .source_figures()
            .into_iter()
            .map(|(key, mut figures)| {
                figures.latency_ms = rounds.latencies.of(&key.name).and_then(|all| Latency::of(all, measured_by));
                figures
            })
            .collect();
        let cores = available_cores();
        let total = TotalFigures {
            received_fps: load.received() as f64 / load.seconds(),
            processed_fps: load.processed() as f64 / load.seconds(),
            fairness: load.fairness(),
            cores_used: load.cores_used(),
            cpu_percent: 100.0 * load.cores_used() / cores as f64,
            cpu_ms_per_frame: load.cpu_ms_per_frame(),
            cpu_ms_per_frame_outside_inference: load.cpu_ms_per_frame_outside_inference(),
            latency_ms: Latency::of(rounds.latencies.all(), measured_by),
            latency_p99_trend: rounds.latencies.p99_trend(),
        };
        let video = match &self.cameras {
            Some(_) => format!(
                "simulated {}x{} at {} fps, {:?}",
                self.args.resolution.0, self.args.resolution.1, self.args.fps, self.args.codec
            ),
            None => self.sources.iter().map(|source| printable_uri(&source.input.uri)).collect::<Vec<_>>().join(", "),
        };
        Report {
            settings: Settings {
                model: self.desired.key.name.to_string(),
                sources: self.sources.len(),
                seconds: load.seconds(),
                cores,
                workers: rounds.workers,
                video,
            },
            sources,
            floor: self.floor(load),
            profile: self.args.profile.then(|| profile(load)),
            total,
            memory: rounds.memory_figures(),
        }
    }

    /// Per processed frame: where fewer frames are inferred than received, each carries the decoding of several.
    fn floor(&self, load: &Load) -> Option<FloorFigures> {
        let mean = |of: fn(&(Duration, Duration)) -> Duration| {
            1000.0 * self.floors.iter().map(of).sum::<Duration>().as_secs_f64() / self.floors.len() as f64
        };
        if load.processed() == 0 {
            return None;
        }
        let per_processed = load.received() as f64 / load.processed() as f64;
        let decode_ms = mean(|floor| floor.0) * if self.args.detection_fps.is_some() { per_processed } else { 1.0 };
        let inference_ms = mean(|floor| floor.1);
        Some(FloorFigures {
            decode_ms,
            inference_ms,
            total_ratio: load.cpu_ms_per_frame() / (decode_ms + inference_ms),
            outside_inference_ratio: load.cpu_ms_per_frame_outside_inference() / decode_ms,
        })
    }
}

fn profile(load: &Load) -> Profile {
    let (stages, management_percent) = load.stages();
    let bottleneck = match stages.iter().find(|stage| stage.percent.is_some()) {
        Some(first) => {
            let remedy = match first.stage.as_str() {
                "infer" => "a smaller model or input, fewer frames (detection.fps), or more cores",
                "decode" => "fewer pixels or frames from the cameras, or more cores",
                "receive" => "fewer or slower streams",
                _ => "this is unusual: look at the stage",
            };
            format!("{} takes {:.0} % of the CPU: {remedy}", first.stage, first.percent.unwrap_or_default())
        }
        None => "nothing was measured".to_owned(),
    };
    Profile { stages, management_percent, bottleneck }
}
