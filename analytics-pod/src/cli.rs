//! The command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use crds::Duration as ManifestDuration;
use serde_json::{Value, json};

use crate::config::{Flag, Inputs};

/// What `--verbose` logs: everything but single frames. What GStreamer tells below warnings is its own affair.
const VERBOSE: &str = "info,gstreamer=warn,analytics_pod=debug";

/// Decodes video sources, detects and tracks objects in them, and reports what it sees.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Cli {
    /// Log more on standard error.
    #[arg(short, long, global = true, conflicts_with = "log_level")]
    pub verbose: bool,

    /// What is logged: a level (`debug`), and levels of single parts (`warn,analytics_pod::source=debug`).
    #[arg(long, global = true, value_name = "LEVELS")]
    pub log_level: Option<String>,

    /// Write the log into this file too, as JSON; it is rotated at 64 MiB and 4 older ones are kept.
    #[arg(long, global = true, value_name = "FILE")]
    pub log_file: Option<PathBuf>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "a program has one of them")]
pub enum Command {
    /// Runs sources until they end or are interrupted; one JSON line per inferred frame on standard output.
    ///
    /// Sources come from manifests (`-f`), from URIs, and from requests to the HTTP API (`--listen`); those that were
    /// made over HTTP are kept in the state folder and run again at the next start. With neither a manifest nor a URI
    /// it runs what is kept, and waits for requests.
    Run(Box<RunArgs>),
    /// Runs what a Kubernetes cluster assigns to this pod: each VideoSource that the operator has bound to it, with one
    /// DetectionModel. One JSON line per inferred frame on standard output.
    ///
    /// The API server is asked with the pod's service account, or by KUBECONFIG. On SIGTERM it goes on until the operator
    /// has moved its sources, or for 110 s.
    Serve(Box<ServeArgs>),
    /// Detects objects in pictures and videos: every frame, in order, as fast as the machine allows.
    Detect(DetectArgs),
    /// Checks manifests, models, programs and libraries, and says what to do about what is missing.
    Check(CheckArgs),
    /// Asks a running pod how it does.
    ///
    /// The exit code is 0 where it is healthy, 1 degraded (some sources do not do what is asked), 2 unhealthy (none does,
    /// or the pod is starting or ending), 3 where nobody answers. With `--live` 0 or 1, for the health check of a
    /// container, which is not to be restarted for its cameras' sake.
    Health(HealthArgs),
    /// Measures what this machine can do, against simulated cameras or given URIs.
    Bench(BenchArgs),
    /// Prints the schema of configuration files, or the configuration that a run would have.
    Config {
        /// Which.
        #[command(subcommand)]
        what: ConfigCommand,
    },
}

/// What to print of the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Prints the JSON Schema of configuration files.
    Schema,
    /// Prints every value that `run` would have with the same flags, and where it is from. Changes that were made over
    /// HTTP are the running pod's to tell (`GET /api/v1/config`).
    Show(Box<ShowArgs>),
}

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// What is to be shown.
    #[command(flatten)]
    pub settings: SettingArgs,

    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    pub format: ShowFormat,
}

/// How a configuration is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ShowFormat {
    /// A line for each key: its value, and where that is from.
    #[default]
    Table,
    /// One JSON document, with where each value is from.
    Json,
    /// A configuration file.
    Yaml,
}

/// Flags that stand for keys of the configuration. Where a flag is absent, the environment, a file or a profile says
/// what it would.
#[derive(Clone, Debug, Default, Args)]
pub struct SettingArgs {
    /// A configuration file, YAML or JSON (`VISION_CONFIG`); `config schema` prints what it may hold.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The built-in profile that a file without `extends`, or a run without a file, builds on (`VISION_PROFILE`):
    /// `default`, `development`, `production` or `testing`.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// A manifest, or a folder of manifests that is watched for changes. May be given again.
    #[arg(short, long = "file", value_name = "FILE OR FOLDER")]
    pub files: Vec<PathBuf>,

    /// The model of sources that name none: a DetectionModel manifest, an ONNX file, or the name of a built-in model
    /// (`starter` where nothing is said).
    #[arg(long)]
    pub model: Option<String>,

    /// End after this long (`90s`, `1h`).
    #[arg(long, value_name = "DURATION")]
    pub max_duration: Option<String>,

    /// Where observations go: `stdout`, `none`, `file:PATH` (a JSON line each, rotated) or `frames:FOLDER` (a JSON file
    /// for each frame with objects). May be given again; by default `stdout`, with `--view` `none`.
    #[arg(long = "output", value_name = "WHERE")]
    pub outputs: Vec<String>,

    /// Begin a `file:` output anew at this size (`100MiB`).
    #[arg(long, value_name = "SIZE")]
    pub rotate_size: Option<String>,

    /// Older files of a `file:` output that are kept (10).
    #[arg(long, value_name = "N")]
    pub rotate_keep: Option<u32>,

    /// Write figures of the whole run into this file (JSON) at the end.
    #[arg(long, value_name = "FILE")]
    pub stats_file: Option<PathBuf>,

    /// Where the HTTP API, its page `/docs`, metrics and probes are served (`127.0.0.1:8080`).
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,

    /// The path of the metrics (`/metrics`).
    #[arg(long, value_name = "PATH")]
    pub metrics_path: Option<String>,

    /// Where sources and models that are made over HTTP are kept; one pod a folder. Without it
    /// `~/.local/state/vision-operator` is used, and if another pod has that, nothing can be changed over HTTP; nor
    /// where URIs are named, which then are all that runs.
    #[arg(long, value_name = "FOLDER")]
    pub state_folder: Option<PathBuf>,

    /// A file with the token that requests to `/api` must carry (`Authorization: Bearer …`); without it everyone who
    /// reaches the address may change sources.
    #[arg(long, value_name = "FILE")]
    pub api_token_file: Option<PathBuf>,
}

impl SettingArgs {
    /// The flags that were given.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        let path = |path: &PathBuf| json!(path.to_string_lossy());
        let text = |text: &String| json!(text);
        let several = |values: Vec<Value>| (!values.is_empty()).then_some(Value::Array(values));
        let given = [
            ("--file", "files", several(self.files.iter().map(path).collect())),
            ("--model", "model", self.model.as_ref().map(text)),
            ("--max-duration", "maxDuration", self.max_duration.as_ref().map(text)),
            ("--output", "outputs", several(self.outputs.iter().map(text).collect())),
            ("--rotate-size", "rotation.size", self.rotate_size.as_ref().map(text)),
            ("--rotate-keep", "rotation.keep", self.rotate_keep.map(|count| json!(count))),
            ("--stats-file", "statistics.file", self.stats_file.as_ref().map(path)),
            ("--listen", "listen", self.listen.as_ref().map(text)),
            ("--metrics-path", "metrics.path", self.metrics_path.as_ref().map(text)),
            ("--state-folder", "stateFolder", self.state_folder.as_ref().map(path)),
            ("--api-token-file", "api.tokenFile", self.api_token_file.as_ref().map(path)),
        ];
        given.into_iter().filter_map(|(flag, key, value)| Some(Flag { flag, key, value: value? })).collect()
    }
}

impl Cli {
    /// Where the configuration of this command is read from. Only `run`, `config show` and
    /// `check --config` read files.
    #[must_use]
    pub fn inputs(&self, environment: Vec<(String, String)>) -> Inputs {
        let mut flags = Vec::new();
        if self.verbose {
            flags.push(Flag { flag: "--verbose", key: "log.level", value: json!(VERBOSE) });
        }
        if let Some(level) = &self.log_level {
            flags.push(Flag { flag: "--log-level", key: "log.level", value: json!(level) });
        }
        if let Some(file) = &self.log_file {
            flags.push(Flag { flag: "--log-file", key: "log.file", value: json!(file.to_string_lossy()) });
        }
        let (settings, uris) = match &self.command {
            Command::Run(run) => (run.settings.clone(), &run.uris[..]),
            Command::Serve(serve) => (serve.settings(), &[][..]),
            Command::Config { what: ConfigCommand::Show(show) } => (show.settings.clone(), &[][..]),
            Command::Check(check) => {
                flags.extend(check.settings().flags());
                let environment = if check.config.is_some() { environment } else { of_the_log(environment) };
                return Inputs::new(check.config.clone(), None, environment, flags);
            }
            Command::Config { what: ConfigCommand::Schema }
            | Command::Detect(_)
            | Command::Health(_)
            | Command::Bench(_) => return Inputs::new(None, None, of_the_log(environment), flags),
        };
        flags.extend(settings.flags());
        if !uris.is_empty() {
            // The command line says all that is to run.
            flags.extend(["files", "sources", "models"].map(|key| Flag { flag: "URI", key, value: json!([]) }));
        }
        Inputs::new(settings.config, settings.profile, environment, flags)
    }
}

/// Variables that say what is logged.
fn of_the_log(environment: Vec<(String, String)>) -> Vec<(String, String)> {
    let is_log = |name: &str| name.starts_with("VISION_LOG_") || name == "RUST_LOG";
    environment.into_iter().filter(|(name, _)| is_log(name)).collect()
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Flags that stand for keys of the configuration.
    #[command(flatten)]
    pub settings: SettingArgs,

    /// Sources to run without a manifest: `rtsp://camera/stream`, `video.mp4`, `sim://street?seed=1`.
    #[arg(value_name = "URI", conflicts_with = "files")]
    pub uris: Vec<String>,

    /// Show the sources live in the terminal instead of printing observations.
    #[arg(long)]
    pub view: bool,

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
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The DetectionModel that this pod serves, by name.
    #[arg(long, value_name = "NAME")]
    pub model: String,

    /// The pod's name.
    #[arg(long, env = "VISION_POD_NAME", value_name = "NAME")]
    pub pod_name: String,

    /// The namespace of the pod, its model and its sources.
    #[arg(long, env = "VISION_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: String,

    /// Where the operator asks how the pod does, over mutual TLS.
    #[arg(long, env = "VISION_STATUS_LISTEN", value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8443")]
    pub status_listen: SocketAddr,

    /// The folder of `tls.crt` and `tls.key`, which the operator is answered with, and of `ca.crt`, by which it is known;
    /// all PEM, and read again when they change.
    #[arg(long, env = "VISION_STATUS_TLS", value_name = "FOLDER", default_value = "/etc/vision/tls")]
    pub status_tls: PathBuf,

    /// The folder below which `file:` and `v4l2:` sources may read; without it they are refused.
    #[arg(long, env = "VISION_MEDIA", value_name = "FOLDER")]
    pub media: Option<PathBuf>,

    /// A configuration file, YAML or JSON (`VISION_CONFIG`). What it says of manifests, sources and models does not count.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The built-in profile that a file without `extends` builds on (`VISION_PROFILE`).
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// Where observations go: `stdout`, `none`, `file:PATH` or `frames:FOLDER`. May be given again.
    #[arg(long = "output", value_name = "WHERE")]
    pub outputs: Vec<String>,

    /// Where the HTTP API (read only), its page `/docs`, metrics and probes are served (`127.0.0.1:8080`).
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,

    /// Where the measured capacity is kept, so that a restarted container need not measure again.
    #[arg(long, value_name = "FOLDER")]
    pub state_folder: Option<PathBuf>,
}

impl ServeArgs {
    /// Environment variables that stand for flags of `serve` and not for keys of the configuration.
    pub const VARIABLES: [&'static str; 5] =
        ["VISION_POD_NAME", "VISION_NAMESPACE", "VISION_STATUS_LISTEN", "VISION_STATUS_TLS", "VISION_MEDIA"];

    /// The flags that stand for keys of the configuration.
    fn settings(&self) -> SettingArgs {
        SettingArgs {
            config: self.config.clone(),
            profile: self.profile.clone(),
            outputs: self.outputs.clone(),
            listen: self.listen.clone(),
            state_folder: self.state_folder.clone(),
            ..SettingArgs::default()
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
    /// Manifests or folders of manifests; without any, and without `--config`, only the machine is checked.
    #[arg(short, long = "file", value_name = "FILE OR FOLDER")]
    pub files: Vec<PathBuf>,

    /// A configuration file, with the manifests, sources and models that it names.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

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

impl CheckArgs {
    /// As flags of a run.
    fn settings(&self) -> SettingArgs {
        SettingArgs { files: self.files.clone(), ..SettingArgs::default() }
    }
}

/// Arguments of `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Where the pod listens. Of one that listens everywhere (0.0.0.0) the loopback address is asked.
    #[arg(long, env = "VISION_LISTEN", default_value = "127.0.0.1:8080", value_parser = host_and_port,
        value_name = "HOST:PORT")]
    pub address: String,

    /// Tell of each source and model: state, frame rate, last frame, latency, last error.
    #[arg(long)]
    pub detailed: bool,

    /// Ask only whether the pod answers, whatever its sources do; the exit code is 0 or 1.
    #[arg(long, conflicts_with = "detailed")]
    pub live: bool,

    /// How long an answer is waited for.
    #[arg(long, value_parser = duration, default_value = "5s", value_name = "DURATION")]
    pub timeout: Duration,

    /// The pod's token; `--detailed` needs it where the pod has one.
    #[arg(long, env = "VISION_API_TOKEN_FILE", value_name = "FILE")]
    pub api_token_file: Option<PathBuf>,

    /// How to print the answer.
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

fn host_and_port(text: &str) -> Result<String, String> {
    let usable = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| port.parse::<u16>().is_ok_and(|port| port > 0) && url::Host::parse(host).is_ok());
    if usable { Ok(text.to_owned()) } else { Err(format!("`{text}` is not HOST:PORT, like 127.0.0.1:8080")) }
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
    fn a_pods_address_has_a_host_and_a_port() {
        for good in ["127.0.0.1:8080", "[::1]:8080", "pod.vision.svc:8080"] {
            assert_eq!(host_and_port(good), Ok(good.to_owned()));
        }
        for wrong in ["", "8080", "pod", "pod:", "pod:0", "pod:99999", "http://pod:8080", "user:pw@pod:8080"] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }
}
