//! The cameras that scenarios watch, and what they showed.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
};

use camera_simulator::{CameraConfig, Config, Fault, SENT_CAPACITY, SceneConfig, SentFrame, Silent, Simulator};
use street_scenes::{Scene, TruthObject};

use crate::{cluster::ScenarioError, objects::FPS};

/// How many simulated cameras there are.
const COUNT: usize = 32;

/// Picture size of every camera, in pixels.
const SIZE: (u32, u32) = (320, 240);

/// RTSP cameras of a simulator in this process, or scenes that the pods draw by themselves.
pub(crate) enum Cameras {
    /// Drawn by the pods: no network is in between, and nothing tells afterwards what was in the pictures.
    Drawn,
    /// Simulated cameras.
    Simulated(Site),
}

/// Simulated cameras, and everything that they sent.
pub(crate) struct Site {
    simulator: Simulator,
    scenes: Vec<Scene>,
    sent: Mutex<BTreeMap<usize, Vec<SentFrame>>>,
}

impl Cameras {
    /// Starts simulated cameras on `address`, which pods reach; without one, pods draw their pictures.
    ///
    /// # Errors
    /// Why they do not start.
    pub(crate) fn start(address: Option<IpAddr>) -> Result<Self, ScenarioError> {
        let Some(address) = address else { return Ok(Self::Drawn) };
        let failed = |error: &dyn std::fmt::Display| ScenarioError::Script(format!("simulated cameras: {error}"));
        let scene = |number: usize| SceneConfig {
            seed: number as u64,
            width: SIZE.0,
            height: SIZE.1,
            fps: FPS,
            ..SceneConfig::default()
        };
        let config = Config {
            address,
            control: SocketAddr::from(([127, 0, 0, 1], 0)),
            cache: None,
            cameras: (0..COUNT).map(|number| CameraConfig::of_scene(name(number), scene(number))).collect(),
        };
        let simulator = Simulator::start(&config, &Silent).map_err(|error| failed(&error))?;
        let scenes = (0..COUNT).map(|number| Scene::new(&scene(number).settings())).collect::<Result<_, _>>();
        Ok(Self::Simulated(Site { simulator, scenes: scenes.map_err(|error| failed(&error))?, sent: Mutex::default() }))
    }

    /// Where pods find a camera. There are as many as wanted; some of them show the same.
    ///
    /// # Errors
    /// That the simulator does not know it.
    pub(crate) fn uri(&self, number: usize) -> Result<String, ScenarioError> {
        match self {
            Self::Drawn => Ok(format!("sim://street?seed={number}&width={}&height={}&fps={FPS}", SIZE.0, SIZE.1)),
            Self::Simulated(site) => site.simulator.uri(&name(number)).map_err(|error| site_error(&error)),
        }
    }

    /// The simulated ones.
    ///
    /// # Errors
    /// That there are none.
    pub(crate) fn site(&self) -> Result<&Site, ScenarioError> {
        match self {
            Self::Simulated(site) => Ok(site),
            Self::Drawn => Err(ScenarioError::Unsuitable(
                "it takes simulated cameras: give --camera-address, an address of this machine that pods reach"
                    .to_owned(),
            )),
        }
    }
}

impl Site {
    /// Makes a camera misbehave.
    ///
    /// # Errors
    /// That it does not.
    pub(crate) fn misbehave(&self, number: usize, fault: Fault) -> Result<(), ScenarioError> {
        self.simulator.misbehave(&name(number), fault).map_err(|error| site_error(&error))
    }

    /// Makes a camera behave again.
    ///
    /// # Errors
    /// That it does not.
    pub(crate) fn heal(&self, number: usize) -> Result<(), ScenarioError> {
        self.simulator.heal(&name(number)).map_err(|error| site_error(&error))
    }

    /// Keeps what cameras have sent, which the simulator remembers for some minutes only.
    ///
    /// # Errors
    /// That the simulator does not know a camera.
    pub(crate) fn remember(&self) -> Result<(), ScenarioError> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        for number in 0..COUNT {
            let frames = self.simulator.sent(&name(number), SENT_CAPACITY).map_err(|error| site_error(&error))?;
            let known = sent.entry(number).or_default();
            let next = known.last().map_or(0, |last| last.sequence + 1);
            known.extend(frames.into_iter().filter(|frame| frame.sequence >= next));
        }
        Ok(())
    }

    /// Everything that a camera sent, as far as it was remembered, oldest first.
    #[must_use]
    pub(crate) fn sent(&self, number: usize) -> Vec<SentFrame> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.get(&(number % COUNT)).cloned().unwrap_or_default()
    }

    /// What is in a frame of a camera's loop.
    #[must_use]
    pub(crate) fn truth(&self, number: usize, frame: u32) -> Vec<TruthObject> {
        self.scenes.get(number % COUNT).map(|scene| scene.truth(frame)).unwrap_or_default()
    }
}

/// The simulator's name of a camera.
fn name(number: usize) -> String {
    format!("camera-{}", number % COUNT)
}

fn site_error(error: &camera_simulator::SimulatorError) -> ScenarioError {
    ScenarioError::Script(error.to_string())
}
