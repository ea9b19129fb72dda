//! All cameras of one process with their control port.

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread,
};

use serde::Serialize;

use crate::{
    camera::{Camera, CameraInfo, FaultError, Surroundings},
    config::{Config, ConfigError},
    control::ControlServer,
    door::DoorError,
    elements::{self, ElementError},
    fault::Fault,
    feed::{self, Signal},
    library::{Library, LibraryError, Progress},
    sent::SentFrame,
};

/// Why the simulator does not start or a camera does not obey.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `GStreamer` lacks something.
    #[error(transparent)]
    Element(#[from] ElementError),
    /// There is nothing to show.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// A camera cannot listen.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// A fault cannot be had.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// The control port cannot be opened.
    #[error("the control port cannot listen on {address}: {source}")]
    Control {
        /// Where it should listen.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system gives no more threads.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// No camera has this name.
    #[error("there is no camera {0}")]
    NoCamera(String),
}

/// Running cameras. They end when this is dropped.
#[derive(Debug)]
pub struct Simulator {
    site: Arc<Site>,
    control: Option<ControlServer>,
    signals: mpsc::Sender<Signal>,
    feed: Option<thread::JoinHandle<()>>,
}

/// What the control port works with.
pub(crate) struct Site {
    pub(crate) cameras: Vec<Arc<Camera>>,
    pub(crate) around: Surroundings,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("cameras", &self.cameras).finish_non_exhaustive()
    }
}

/// The line that says that all cameras can be reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// Always true.
    pub ready: bool,
    /// Base URL of the control port.
    pub control: String,
    /// The cameras in the order of the configuration.
    pub cameras: Vec<CameraInfo>,
}

impl Simulator {
    /// Encodes what was never encoded before, which takes a while, and opens all cameras.
    pub fn start(config: &Config, progress: &dyn Progress) -> Result<Self, SimulatorError> {
        config.validate()?;
        for element in ["appsrc", "rtph264pay", "rtph265pay"] {
            elements::require(element)?;
        }
        let library = Library::open(config.cache.as_deref()).map_err(LibraryError::from)?;
        let clips = library.clips(&config.cameras, progress)?;

        let (signals, received) = mpsc::channel();
        let around = Surroundings { signals: signals.clone(), library };
        // Cameras in the field are not in step, and neither are these: their frames spread over one frame's time.
        let start = feed::now();
        let count = config.cameras.len().max(1) as u64;
        let cameras: Vec<_> = config
            .cameras
            .iter()
            .zip(clips)
            .zip(0u64..)
            .map(|((camera, clip), index)| {
                let phase = clip.format().rate.nanos(1) * index / count;
                Camera::new(camera.clone(), clip, start + phase)
            })
            .collect();
        let feed =
            feed::start(cameras.iter().map(Arc::downgrade).collect(), received).map_err(SimulatorError::Thread)?;
        let mut simulator = Self { site: Arc::new(Site { cameras, around }), control: None, signals, feed: Some(feed) };
        for (camera, asked) in simulator.site.cameras.iter().zip(&config.cameras) {
            camera.open(SocketAddr::new(config.address, asked.port), &simulator.site.around)?;
        }
        let control = ControlServer::start(config.control, Arc::clone(&simulator.site))
            .map_err(|source| SimulatorError::Control { address: config.control, source })?;
        simulator.control = Some(control);
        Ok(simulator)
    }

    /// What there is, as the binary prints it on standard output.
    #[must_use]
    pub fn ready(&self) -> Ready {
        Ready {
            ready: true,
            control: self.control(),
            cameras: self.site.cameras.iter().map(|camera| camera.info()).collect(),
        }
    }

    /// Base URL of the control port.
    #[must_use]
    pub fn control(&self) -> String {
        self.control.as_ref().map(|control| format!("http://{}", control.address)).unwrap_or_default()
    }

    /// How a camera is now.
    pub fn info(&self, name: &str) -> Result<CameraInfo, SimulatorError> {
        Ok(self.site.camera(name)?.info())
    }

    /// A camera's RTSP URI, without its login.
    pub fn uri(&self, name: &str) -> Result<String, SimulatorError> {
        Ok(self.site.camera(name)?.uri())
    }

    /// The last `count` frames that a camera sent, oldest first.
    pub fn sent(&self, name: &str, count: usize) -> Result<Vec<SentFrame>, SimulatorError> {
        Ok(self.site.camera(name)?.feed().sent().last(count).collect())
    }

    /// Makes a camera misbehave until it is healed or gets another fault.
    pub fn misbehave(&self, name: &str, fault: Fault) -> Result<(), SimulatorError> {
        self.site.camera(name)?.misbehave(fault, &self.site.around)?;
        Ok(())
    }

    /// Makes a camera behave again.
    pub fn heal(&self, name: &str) -> Result<(), SimulatorError> {
        Ok(self.site.camera(name)?.heal(&self.site.around)?)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.control = None;
        for camera in &self.site.cameras {
            camera.close();
        }
        // An error means that the thread has ended already.
        let _ = self.signals.send(Signal::Stop);
        if let Some(feed) = self.feed.take() {
            let _ = feed.join();
        }
    }
}

impl Site {
    pub(crate) fn camera(&self, name: &str) -> Result<&Arc<Camera>, SimulatorError> {
        let named = self.cameras.iter().find(|camera| camera.config.name == name);
        named.ok_or_else(|| SimulatorError::NoCamera(name.to_owned()))
    }

    /// Makes a camera misbehave; returns the turn that [`Site::heal_turn`] ends.
    pub(crate) fn misbehave(&self, name: &str, fault: Fault) -> Result<u64, SimulatorError> {
        Ok(self.camera(name)?.misbehave(fault, &self.around)?)
    }

    pub(crate) fn heal_turn(&self, name: &str, turn: u64) -> Result<(), SimulatorError> {
        Ok(self.camera(name)?.heal_turn(turn, &self.around)?)
    }
}
