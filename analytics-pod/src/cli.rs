//! The command line.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use crds::Duration as ManifestDuration;

use crate::rotating_file::Rotation;

/// Decodes video sources, detects and tracks objects in them, and reports what it sees.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Cli {
    /// Log more on standard error; `RUST_LOG` says exactly what.
    #[arg(short, long, global = true)]
    pub verbose: bool,

    /// Write the log into this file too, as JSON; it is rotated at 64 MiB and 4 older ones are kept.
    #[arg(long, global = true, env = "VISION_LOG_FILE", value_name = "FILE")]
    pub log_file: Option<PathBuf>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs sources until they end or are interrupted; one JSON line per inferred frame on standard output.
    ///
    /// Sources come from manifests (`-f`), from URIs, and from requests to the HTTP API (`--listen`); those that were
    /// made over HTTP are kept in the state folder and run again at the next start. With neither a manifest nor a URI
    /// it runs what is kept, and waits for requests.
    Run(RunArgs),
    /// Detects objects in pictures and videos: every frame, in order, as fast as the machine allows.
    Detect(DetectArgs),
    /// Checks manifests, models, programs and libraries, and says what to do about what is missing.
    Check(CheckArgs),
    /// Measures what this machine can do, against simulated cameras or given URIs.
    Bench(BenchArgs),
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A manifest, or a folder of manifests that is watched for changes. May be given again.
    #[arg(short, long = "file", value_name = "FILE OR FOLDER")]
    pub files: Vec<PathBuf>,

    /// Sources to run without a manifest: `rtsp://camera/stream`, `video.mp4`, `sim://street?seed=1`.
    #[arg(value_name = "URI", conflicts_with = "files")]
    pub uris: Vec<String>,

    /// The model of the URIs: a DetectionModel manifest, an ONNX file, or the name of a built-in model.
    #[arg(long, default_value = "starter", conflicts_with = "files")]
    pub model: String,

    /// End after this long.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub max_duration: Option<Duration>,

    /// Show the sources live in the terminal instead of printing observations.
    #[arg(long)]
    pub view: bool,

    /// Where observations go: `stdout`, `none`, `file:PATH` (a JSON line each, rotated) or `frames:FOLDER` (a JSON file
    /// for each frame with objects). May be given again; by default `stdout`, with `--view` `none`.
    #[arg(long = "output", value_name = "WHERE")]
    pub outputs: Vec<OutputTarget>,

    /// Begin a `file:` output anew at this size (`100MiB`).
    #[arg(long, value_parser = bytes, default_value = "100MiB", value_name = "SIZE")]
    pub rotate_size: u64,

    /// Older files of a `file:` output that are kept.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub rotate_keep: u32,

    /// Write figures of the whole run into this file (JSON) at the end.
    #[arg(long, value_name = "FILE")]
    pub stats_file: Option<PathBuf>,

    /// Fail unless every source has reported an object by the end.
    #[arg(long)]
    pub require_detections: bool,

    /// Watch simulated cameras instead, let them die, stall, fall silent, refuse, demand a login, send garbage, hang
    /// and crash, in an order drawn from this seed, and report what recovered and how fast. Fails unless everything did.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["files", "uris", "view", "outputs"])]
    pub chaos: Option<u64>,

    /// How many times a simulated camera fails; each kind of fault comes equally often.
    #[arg(long, value_name = "COUNT", default_value_t = 16, requires = "chaos",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub chaos_faults: u32,

    /// How to print the report of `--chaos`.
    #[arg(long, value_enum, default_value_t, requires = "chaos")]
    pub chaos_report: OutputFormat,

    /// Where the HTTP API, its page `/docs`, metrics and probes are served.
    #[arg(long, env = "VISION_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// Where sources and models that are made over HTTP are kept; one pod a folder. Without it
    /// `~/.local/state/vision-operator` is used, and if another pod has that, nothing can be changed over HTTP; nor
    /// where URIs are named, which then are all that runs.
    #[arg(long, env = "VISION_STATE_FOLDER", value_name = "FOLDER")]
    pub state_folder: Option<PathBuf>,

    /// A file with the token that requests to `/api` must carry (`Authorization: Bearer …`); without it everyone who
    /// reaches the address may change sources.
    #[arg(long, env = "VISION_API_TOKEN_FILE", value_name = "FILE")]
    pub api_token_file: Option<PathBuf>,
}

impl RunArgs {
    /// How `file:` outputs are rotated.
    #[must_use]
    pub const fn rotation(&self) -> Rotation {
        Rotation { max_bytes: self.rotate_size, keep: self.rotate_keep }
    }
}

/// Where observations go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputTarget {
    /// Standard output, a JSON line each.
    Stdout,
    /// Nowhere.
    Nowhere,
    /// A file that is rotated, a JSON line each.
    File(PathBuf),
    /// A folder, a JSON file for each frame with objects.
    Frames(PathBuf),
}

impl FromStr for OutputTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.split_once(':')) {
            ("stdout", _) => Ok(Self::Stdout),
            ("none", _) => Ok(Self::Nowhere),
            (_, Some(("file", path))) if !path.is_empty() => Ok(Self::File(path.into())),
            (_, Some(("frames", folder))) if !folder.is_empty() => Ok(Self::Frames(folder.into())),
            _ => Err(format!("`{text}` is none of stdout, none, file:PATH and frames:FOLDER")),
        }
    }
}

/// Arguments of `detect`.
#[derive(Debug, Args)]
pub struct DetectArgs {
    /// Pictures, videos, or folders of them.
    #[arg(required = true, value_name = "IMAGE, VIDEO OR FOLDER")]
    pub inputs: Vec<PathBuf>,

    /// A DetectionModel manifest, an ONNX file, or the name of a built-in model.
    #[arg(long, default_value = "starter")]
    pub model: String,

    /// Report no score below this (0–1) instead of the model's own threshold.
    #[arg(long, value_parser = probability, value_name = "F")]
    pub confidence: Option<f32>,

    /// Take boxes of a class that overlap more than this (0–1) for one object.
    #[arg(long, value_parser = probability, value_name = "F")]
    pub iou: Option<f32>,

    /// Write each picture, with boxes, as a JPEG into this folder.
    #[arg(long, value_name = "DIR")]
    pub annotate: Option<PathBuf>,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// A table for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Manifests or folders of manifests; without any, only the machine is checked.
    #[arg(short, long = "file", value_name = "FILE OR FOLDER")]
    pub files: Vec<PathBuf>,

    /// Ask each source whether it answers.
    #[arg(long)]
    pub connect: bool,

    /// Play each source to its first picture and run one inference on it.
    #[arg(long)]
    pub self_test: bool,

    /// How to print the report.
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// A codec of the simulated cameras.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Codec {
    /// H.264.
    #[default]
    H264,
    /// H.265.
    H265,
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Simulated cameras.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub sources: u32,

    /// Seconds of load.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub duration: u64,

    /// Frames per second of the simulated cameras.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    pub fps: u32,

    /// Picture size of the simulated cameras.
    #[arg(long, default_value = "1280x720", value_parser = resolution, value_name = "WxH")]
    pub resolution: (u32, u32),

    /// Codec of the simulated cameras.
    #[arg(long, value_enum, default_value_t)]
    pub codec: Codec,

    /// Frames nothing refers to between two that others refer to, in the simulated cameras' streams.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=4))]
    pub bframes: u32,

    /// Infer at most this many frames a second of each source.
    #[arg(long, value_name = "F", value_parser = clap::value_parser!(u32).range(1..))]
    pub detection_fps: Option<u32>,

    /// A DetectionModel manifest, an ONNX file, or the name of a built-in model.
    #[arg(long, default_value = "starter")]
    pub model: String,

    /// Measure this source instead of simulated cameras. May be given again.
    #[arg(long = "uri", value_name = "URI")]
    pub uris: Vec<String>,

    /// Take every frame as fast as the machine allows instead of in real time (files only).
    #[arg(long, requires = "uris")]
    pub lossless: bool,

    /// Show each stage's share of the work and name the bottleneck.
    #[arg(long)]
    pub profile: bool,

    /// How to print the report.
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,

    /// Fail if a figure is over its limit: `p50`, `p95`, `p99` (`100ms`), `cpu` (`80%` of the cores), `memory`
    /// (`1GiB`), or under it: `fps` (`29.5`, of each source). May be given again.
    #[arg(long = "limit", value_name = "FIGURE=VALUE")]
    pub limits: Vec<String>,

    /// Compare with an earlier report (`--output json`).
    #[arg(long, value_name = "BASELINE.json")]
    pub compare: Option<PathBuf>,
}

fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<ManifestDuration>().map(Duration::from).map_err(|error| error.to_string())
}

fn bytes(text: &str) -> Result<u64, String> {
    [("KiB", 10), ("MiB", 20), ("GiB", 30)]
        .into_iter()
        .find_map(|(unit, shift)| text.strip_suffix(unit)?.trim().parse::<u64>().ok()?.checked_shl(shift))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| format!("`{text}` is no size like 512KiB, 100MiB or 2GiB"))
}

fn probability(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|value| (0.0..=1.0).contains(value))
        .ok_or_else(|| format!("`{text}` is not a number from 0 to 1"))
}

fn resolution(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    parsed
        .filter(|(width, height): &(u32, u32)| {
            [width, height].iter().all(|side| (64..=4096).contains(*side) && *side % 2 == 0)
        })
        .ok_or_else(|| format!("`{text}` is not WIDTHxHEIGHT with even sides from 64 to 4096, like 1280x720"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn outputs_are_read() {
        assert_eq!("stdout".parse(), Ok(OutputTarget::Stdout));
        assert_eq!("file:a:b.jsonl".parse(), Ok(OutputTarget::File("a:b.jsonl".into())));
        assert_eq!("frames:out".parse(), Ok(OutputTarget::Frames("out".into())));
        for wrong in ["", "file:", "frames:", "a.jsonl", "kafka:x"] {
            assert!(wrong.parse::<OutputTarget>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("100MiB"), Ok(100 << 20));
        assert_eq!(bytes("1 GiB"), Ok(1 << 30));
        for wrong in ["", "100", "0KiB", "1GB", "-1MiB", "1.5MiB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
