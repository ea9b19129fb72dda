//! The simulated cameras of a command: the simulator's program, started for it and ended with it.

use std::{
    collections::BTreeMap,
    env, io,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde::Deserialize;

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::Codec;

/// The simulator's program.
const PROGRAM: &str = "camera-simulator";

/// How long the control port may take to answer.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer of the control port that is read: the last frames of 512 cameras.
const ANSWER_LIMIT: u64 = 64 << 20;

/// Simulated cameras that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// The program is not there.
    #[error("cannot start {}: {source}; build it with `cargo build --release -p camera-simulator`", path.display())]
    Start {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ended, or said something else, before it was ready.
    #[error("{PROGRAM} was not ready: {0}")]
    NotReady(String),
    /// Its control port does not answer.
    #[error("{PROGRAM}: the control port does not answer: {0}")]
    Control(#[from] ureq::Error),
    /// Its process cannot be stopped or resumed.
    #[error("{PROGRAM} cannot be signalled: {0}")]
    Signal(io::Error),
}

/// What cameras to simulate; all are alike but for what they show.
#[derive(Clone, Copy, Debug)]
pub(super) struct CameraSettings {
    pub(super) count: u32,
    pub(super) resolution: (u32, u32),
    pub(super) fps: u32,
    pub(super) codec: Codec,
    pub(super) bframes: u32,
}

/// Running simulated cameras; dropping them ends the program.
pub(super) struct Cameras {
    program: Child,
    control: String,
    /// Names and URIs, in order.
    pub(super) uris: Vec<(String, String)>,
    agent: ureq::Agent,
    settings: CameraSettings,
    /// The process is stopped.
    hangs: bool,
}

#[derive(Deserialize)]
struct Ready {
    control: String,
    cameras: Vec<Camera>,
}

#[derive(Deserialize)]
struct Camera {
    name: String,
    uri: String,
}

/// One sending: how often the loop had been played, the frame's number in it, Unix microseconds.
type Sent = (u64, u64, i64);

impl Cameras {
    /// Starts what is asked for and waits until the cameras can be reached. Scenes that were never drawn before are
    /// drawn and encoded first, which the program tells on standard error.
    pub(super) fn start(settings: &CameraSettings) -> Result<Self, CameraError> {
        Self::start_at(settings, 0)
    }

    /// As [`Self::start`], with the first camera at `port` and the others behind it; 0: at any.
    fn start_at(settings: &CameraSettings, port: u16) -> Result<Self, CameraError> {
        let path = env::current_exe().map_or_else(|_| PathBuf::from(PROGRAM), |own| own.with_file_name(PROGRAM));
        let codec = match settings.codec {
            Codec::H264 => "h264",
            Codec::H265 => "h265",
        };
        let mut program = Command::new(&path)
            .args(["--cameras", &settings.count.to_string(), "--base-port", &port.to_string(), "--exit-with-parent"])
            .args(["--resolution", &format!("{}x{}", settings.resolution.0, settings.resolution.1)])
            .args(["--fps", &settings.fps.to_string(), "--codec", codec, "--bframes", &settings.bframes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| CameraError::Start { path, source })?;
        let mut line = String::new();
        let read = program.stdout.take().map(|output| BufReader::new(output).read_line(&mut line));
        let ready = match read {
            Some(Ok(_)) => serde_json::from_str::<Ready>(&line).map_err(|error| error.to_string()),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("it has no standard output".to_owned()),
        };
        let (control, cameras) = match ready {
            Ok(Ready { control, cameras }) => (control, cameras),
            Err(problem) => {
                // Its own message, if any, is on standard error already.
                drop(program.kill());
                drop(program.wait());
                return Err(CameraError::NotReady(problem));
            }
        };
        let agent = ureq::Agent::config_builder().timeout_global(Some(CONTROL_TIMEOUT)).build().into();
        let uris = cameras.into_iter().map(|camera| (camera.name, camera.uri)).collect();
        Ok(Self { program, control, uris, agent, settings: *settings, hangs: false })
    }

    /// The last `count` sendings of each camera, by its name.
    pub(super) fn last_sent(&self, count: usize) -> Result<BTreeMap<String, Vec<Sent>>, CameraError> {
        let url = format!("{}/sent?last={count}", self.control);
        let text = self.agent.get(&url).call()?.body_mut().with_config().limit(ANSWER_LIMIT).read_to_string()?;
        serde_json::from_str(&text).map_err(|error| CameraError::NotReady(error.to_string()))
    }

    /// Makes a camera misbehave in one of the simulator's ways (`die`, `stall`, `silence`, …).
    pub(super) fn misbehave(&self, camera: &str, fault: &str) -> Result<(), CameraError> {
        let url = format!("{}/cameras/{camera}/fault", self.control);
        self.agent.post(&url).send(format!("{{\"kind\":\"{fault}\"}}"))?;
        Ok(())
    }

    /// Makes a camera behave again.
    pub(super) fn heal(&self, camera: &str) -> Result<(), CameraError> {
        self.agent.post(&format!("{}/cameras/{camera}/heal", self.control)).send_empty()?;
        Ok(())
    }

    /// Stops the whole process with all its sockets open, or lets it go on.
    pub(super) fn hang(&mut self, hangs: bool) -> Result<(), CameraError> {
        let signal = if hangs { Signal::STOP } else { Signal::CONT };
        let process = i32::try_from(self.program.id()).ok().and_then(Pid::from_raw);
        let signalled = process.map(|process| kill_process(process, signal));
        match signalled {
            Some(Ok(())) => self.hangs = hangs,
            Some(Err(error)) => return Err(CameraError::Signal(error.into())),
            None => return Err(CameraError::Signal(io::Error::other("it has no process id"))),
        }
        Ok(())
    }

    /// Kills the process, as the loss of the host does.
    pub(super) fn kill(&mut self) -> Result<(), CameraError> {
        self.program.kill().and_then(|()| self.program.wait()).map(drop).map_err(CameraError::Signal)
    }

    /// Starts the process again where it was; of a single camera.
    pub(super) fn revive(&mut self) -> Result<(), CameraError> {
        let port = self.uris.first().and_then(|(_, uri)| url::Url::parse(uri).ok()?.port());
        *self = Self::start_at(&self.settings, port.unwrap_or_default())?;
        Ok(())
    }
}

impl Drop for Cameras {
    fn drop(&mut self) {
        if self.hangs && self.hang(false).is_err() {
            // It could not end by itself.
            drop(self.program.kill());
        }
        // Closing its standard input asks it to end; it may have ended already.
        drop(self.program.stdin.take());
        drop(self.program.wait());
    }
}
