//! The command line of the camera simulator.

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use camera_simulator::{CameraConfig, Codec, Config, Container, Progress, SceneConfig, Simulator};
use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;

/// Serves simulated RTSP cameras with known content and faults on command.
///
/// Scenes that were never encoded before are encoded first. When all cameras can be reached, one JSON line with their
/// URIs and the control port goes to standard output; everything else goes to standard error.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    cameras: CameraArgs,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Write the encoded scenes as video files, each with its ground truth as NAME.truth.jsonl
    Encode {
        /// Folder to write to; made if it does not exist
        #[arg(long)]
        out: PathBuf,
        /// Kind of video file
        #[arg(long, value_enum, default_value = "mp4")]
        container: ContainerArg,
        #[command(flatten)]
        cameras: CameraArgs,
    },
}

#[derive(Args)]
struct ServeArgs {
    /// Address of the control port; port 0 lets the system choose [default: that of the file, or 127.0.0.1:0]
    #[arg(long)]
    control: Option<SocketAddr>,
    /// Also end when standard input is closed, as it is when the parent process ends
    #[arg(long)]
    exit_with_parent: bool,
}

#[derive(Args)]
struct CameraArgs {
    /// YAML file that lists the cameras
    #[arg(short, long, conflicts_with_all = ["cameras", "base_port", "resolution", "fps", "codec", "seed", "frames", "gop",
        "bframes", "bitrate", "quantizer", "video"])]
    file: Option<PathBuf>,
    /// Number of cameras, alike but for their seeds
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    cameras: u16,
    /// Port of the first camera, the others follow; 0 lets the system choose each
    #[arg(long, default_value_t = 8554)]
    base_port: u16,
    /// Picture size
    #[arg(long, default_value = "640x360", value_parser = parse_resolution, value_name = "WIDTHxHEIGHT")]
    resolution: (u32, u32),
    /// Frames per second
    #[arg(long, default_value_t = 15)]
    fps: u32,
    /// Video codec: h264 or h265
    #[arg(long, default_value_t = Codec::H264)]
    codec: Codec,
    /// Seed of the first camera's scene; the others count on
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Length of the loop in frames [default: ten seconds]
    #[arg(long)]
    frames: Option<u32>,
    /// Distance of key frames in frames [default: one second]
    #[arg(long)]
    gop: Option<u32>,
    /// B-frames between two others; nothing refers to them
    #[arg(long, default_value_t = 0)]
    bframes: u32,
    /// Bit rate in kbit/s [default: 0.1 bit a pixel for H.264, 0.06 for H.265]
    #[arg(long, conflicts_with = "quantizer")]
    bitrate: Option<u32>,
    /// The same quantizer for every frame instead of a bit rate
    #[arg(long)]
    quantizer: Option<u32>,
    /// Play this H.264 or H.265 file instead of scenes
    #[arg(long, conflicts_with_all = ["resolution", "fps", "codec", "seed", "frames", "gop", "bframes", "bitrate", "quantizer"])]
    video: Option<PathBuf>,
    /// Folder that keeps encoded scenes [default: that of the file, or the user's cache folder]
    #[arg(long, env = "CAMERA_SIMULATOR_CACHE")]
    cache: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ContainerArg {
    Mp4,
    Mkv,
    Ts,
    /// Bare byte stream
    Raw,
}

fn parse_resolution(text: &str) -> Result<(u32, u32), String> {
    let (width, height) = text.split_once('x').ok_or("write it as WIDTHxHEIGHT, for example 1280x720")?;
    let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is not a number of pixels"));
    Ok((number(width)?, number(height)?))
}

impl CameraArgs {
    fn config(&self) -> Result<Config, Box<dyn std::error::Error>> {
        let mut config = match &self.file {
            Some(file) => Config::load(file)?,
            None => Config::on_loopback((0..self.cameras).map(|index| self.camera(index)).collect::<Result<_, _>>()?),
        };
        if let Some(cache) = &self.cache {
            config.cache = Some(cache.clone());
        }
        Ok(config)
    }

    fn camera(&self, index: u16) -> Result<CameraConfig, String> {
        let (width, height) = self.resolution;
        let scene = SceneConfig {
            seed: self.seed + u64::from(index),
            codec: self.codec,
            width,
            height,
            fps: self.fps,
            frames: self.frames,
            gop: self.gop,
            bframes: self.bframes,
            bitrate: self.bitrate,
            quantizer: self.quantizer,
        };
        let port = match self.base_port {
            0 => 0,
            base => {
                base.checked_add(index).ok_or_else(|| format!("there are no {} ports from {base} on", self.cameras))?
            }
        };
        let mut camera = CameraConfig { port, ..CameraConfig::of_scene(format!("camera-{}", index + 1), scene) };
        if let Some(video) = &self.video {
            camera.scene = None;
            camera.file = Some(video.clone());
        }
        Ok(camera)
    }
}

/// Shows how far encoding is: a bar on a terminal, a line every two seconds elsewhere.
struct Shown {
    bar: ProgressBar,
    line: Mutex<Option<Instant>>,
}

impl Shown {
    fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("encoding scenes {wide_bar} {pos}/{len} frames {eta}") {
            bar.set_style(style);
        }
        Self { bar, line: Mutex::new(None) }
    }
}

impl Progress for Shown {
    fn encoded(&self, frames: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(frames);
        if frames == total {
            self.bar.finish_and_clear();
        }
        if self.bar.is_hidden()
            && let Ok(mut last) = self.line.lock()
            && (frames == total || last.is_none_or(|last| last.elapsed() > Duration::from_secs(2)))
        {
            *last = Some(Instant::now());
            tracing::info!(frames, total, "encoding scenes");
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,warp=off"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().flatten_event(true).with_current_span(false).init();
    }
    let done = match &cli.command {
        Some(Command::Encode { out, container, cameras }) => encode(out, *container, cameras),
        None => serve(&cli.cameras, &cli.serve),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn encode(
    out: &std::path::Path,
    container: ContainerArg,
    cameras: &CameraArgs,
) -> Result<(), Box<dyn std::error::Error>> {
    let container = match container {
        ContainerArg::Mp4 => Container::Mp4,
        ContainerArg::Mkv => Container::Mkv,
        ContainerArg::Ts => Container::Ts,
        ContainerArg::Raw => Container::Raw,
    };
    for path in camera_simulator::export(&cameras.config()?, out, container, &Shown::new())? {
        println!("{}", path.display());
    }
    Ok(())
}

fn serve(cameras: &CameraArgs, args: &ServeArgs) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = cameras.config()?;
    if let Some(control) = args.control {
        config.control = control;
    }
    // Signals are caught before encoding begins, so that it can be ended too.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let exit_with_parent = args.exit_with_parent;
    let ended = runtime.block_on(async { Ended::new(exit_with_parent) })?;
    let (started, starting) = tokio::sync::oneshot::channel();
    thread::Builder::new().name("start".into()).spawn(move || {
        // Nobody listens any more if the end came first.
        let _ = started.send(Simulator::start(&config, &Shown::new()));
    })?;
    runtime.block_on(async {
        let mut ended = ended;
        let simulator = tokio::select! {
            simulator = starting => simulator??,
            () = ended.wait() => return Ok(()),
        };
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &simulator.ready())?;
        writeln!(out)?;
        out.flush()?;
        ended.wait().await;
        tracing::info!("ending");
        // What a client's pipeline holds up goes with the process.
        let (stopped, stopping) = tokio::sync::oneshot::channel();
        thread::Builder::new().name("stop".into()).spawn(move || {
            drop(simulator);
            let _ = stopped.send(());
        })?;
        let _ = tokio::time::timeout(STOP_TIMEOUT, stopping).await;
        Ok(())
    })
}

/// The longest that cameras may take to close.
const STOP_TIMEOUT: Duration = Duration::from_millis(1500);

/// Ctrl-C, SIGTERM or the end of standard input.
struct Ended {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    parent: tokio::sync::oneshot::Receiver<()>,
    /// Kept so that `parent` never resolves where the parent is of no interest.
    _unused: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Ended {
    fn new(with_parent: bool) -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (gone, parent) = tokio::sync::oneshot::channel();
        let unused = if with_parent {
            thread::Builder::new().name("parent".into()).spawn(move || {
                // Whatever comes is ignored; an error ends it just as the end does.
                let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
                let _ = gone.send(());
            })?;
            None
        } else {
            Some(gone)
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            parent,
            _unused: unused,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {},
            _ = self.terminate.recv() => {},
            _ = &mut self.parent => {},
        }
    }
}
