//! One camera: what it shows, how it is reached, and how it misbehaves just now.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
};

use serde::Serialize;

use crate::{
    clip::{Clip, Counts, Format},
    config::{CameraConfig, Codec, SceneConfig},
    door::{Access, Door, DoorError, SilentDoor},
    fault::Fault,
    feed::{Feed, Output, Signal},
    library::{Library, LibraryError},
};

/// A running camera.
#[derive(Debug)]
pub(crate) struct Camera {
    pub(crate) config: CameraConfig,
    /// What it shows while nothing is wrong.
    clip: Arc<Clip>,
    feed: Mutex<Feed>,
    conduct: Mutex<Conduct>,
}

/// The present fault and the doors it leaves open.
#[derive(Debug, Default)]
struct Conduct {
    fault: Option<Fault>,
    door: Option<Door>,
    silent: Option<SilentDoor>,
    /// Where the camera listens whenever it does.
    address: Option<SocketAddr>,
    /// Counts faults and healings, so that the end of one fault's time does not end another.
    turn: u64,
}

/// What cameras of one simulator share.
pub(crate) struct Surroundings {
    pub(crate) signals: mpsc::Sender<Signal>,
    pub(crate) library: Library,
}

/// A camera as the control port shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CameraInfo {
    /// Its name.
    pub name: String,
    /// Its RTSP URI, without the login.
    pub uri: String,
    /// Video codec.
    pub codec: Codec,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: f64,
    /// Clients that are being served.
    pub clients: usize,
    /// `Serving` or the name of the present fault.
    pub state: String,
    /// Whether it demands a login.
    pub login: bool,
    /// The frames of its loop.
    #[serde(rename = "loop")]
    pub counts: Counts,
}

/// Why a fault cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The camera cannot listen (again).
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The other scene cannot be made.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The other size is not one.
    #[error("{field}: {reason}")]
    Size {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A file has one size.
    #[error("camera {0} plays a file, which has one resolution only")]
    NotAScene(String),
}

impl Camera {
    pub(crate) fn new(config: CameraConfig, clip: Arc<Clip>, origin: u64) -> Arc<Self> {
        let feed = Mutex::new(Feed::new(Arc::clone(&clip), origin));
        Arc::new(Self { config, clip, feed, conduct: Mutex::default() })
    }

    /// The loop and its clients. What is behind the lock stays whole even if its holder panicked.
    pub(crate) fn feed(&self) -> MutexGuard<'_, Feed> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn conduct(&self) -> MutexGuard<'_, Conduct> {
        self.conduct.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn format(&self) -> Format {
        self.clip.format()
    }

    /// Its RTSP URI, without the login.
    pub(crate) fn uri(&self) -> String {
        let address = self.conduct().address.map(|address| address.to_string()).unwrap_or_default();
        format!("rtsp://{address}{}", self.config.mount())
    }

    /// How it is now.
    pub(crate) fn info(&self) -> CameraInfo {
        let uri = self.uri();
        let (state, silent) = {
            let conduct = self.conduct();
            let state = conduct.fault.map_or_else(|| "Serving".to_owned(), |fault| format!("{:?}", fault.kind()));
            (state, conduct.silent.as_ref().map_or(0, SilentDoor::waiting))
        };
        let feed = self.feed();
        let format = feed.clip().format();
        CameraInfo {
            name: self.config.name.clone(),
            uri,
            codec: format.codec,
            width: format.width,
            height: format.height,
            fps: format.rate.per_second(),
            clients: feed.viewers() + silent,
            state,
            login: self.config.login.is_some(),
            counts: feed.clip().counts(),
        }
    }

    /// The scene that it shows just now, unless it plays a file.
    pub(crate) fn shown_scene(&self) -> Option<SceneConfig> {
        let Format { width, height, .. } = self.feed().clip().format();
        Some(SceneConfig { width, height, ..self.config.shown_scene()? })
    }

    /// Listens for the first time.
    pub(crate) fn open(self: &Arc<Self>, address: SocketAddr, around: &Surroundings) -> Result<(), DoorError> {
        let mut conduct = self.conduct();
        conduct.address = Some(address);
        self.listen(&mut conduct, &self.usual_access(), around)
    }

    /// Misbehaves from now on; returns the turn for [`Camera::heal_turn`].
    pub(crate) fn misbehave(self: &Arc<Self>, fault: Fault, around: &Surroundings) -> Result<u64, FaultError> {
        let replacement = self.replacement(fault, &around.library)?;
        let mut conduct = self.conduct();
        self.restore(&mut conduct, around)?;
        conduct.fault = Some(fault);
        match fault {
            Fault::Die => conduct.door = None,
            Fault::Refuse => {
                if let Some(door) = &mut conduct.door {
                    door.stop_listening();
                }
            }
            Fault::Silence => {
                conduct.door = None;
                if let Some(address) = conduct.address {
                    conduct.silent = Some(SilentDoor::open(&self.config.name, address)?);
                }
            }
            Fault::DemandLogin => {
                conduct.door = None;
                self.listen(&mut conduct, &Access::Nobody, around)?;
            }
            Fault::Stall => self.feed().set_output(Output::Nothing),
            Fault::Garbage => self.feed().set_output(Output::Garbage),
            Fault::Resolution { .. } => {
                if let Some(clip) = replacement {
                    self.feed().replace(clip);
                }
            }
        }
        conduct.turn += 1;
        tracing::info!(camera = self.config.name, %fault, "misbehaving");
        Ok(conduct.turn)
    }

    /// Behaves again.
    pub(crate) fn heal(self: &Arc<Self>, around: &Surroundings) -> Result<(), DoorError> {
        let mut conduct = self.conduct();
        self.restore(&mut conduct, around)
    }

    /// Behaves again if there was neither fault nor healing since `turn`.
    pub(crate) fn heal_turn(self: &Arc<Self>, turn: u64, around: &Surroundings) -> Result<(), DoorError> {
        let mut conduct = self.conduct();
        if conduct.turn == turn { self.restore(&mut conduct, around) } else { Ok(()) }
    }

    /// Cuts all connections and listens no more.
    pub(crate) fn close(&self) {
        let mut conduct = self.conduct();
        conduct.door = None;
        conduct.silent = None;
    }

    /// Undoes the present fault.
    fn restore(self: &Arc<Self>, conduct: &mut Conduct, around: &Surroundings) -> Result<(), DoorError> {
        let Some(fault) = conduct.fault else { return Ok(()) };
        match fault {
            Fault::Stall | Fault::Garbage => self.feed().set_output(Output::Video),
            Fault::Resolution { .. } => self.feed().replace(Arc::clone(&self.clip)),
            // The old server goes on, because it may have been serving clients all the while.
            Fault::Refuse if conduct.door.is_some() => {
                if let Some(door) = &mut conduct.door {
                    door.listen(&self.config.name)?;
                }
            }
            Fault::Die | Fault::Refuse | Fault::Silence | Fault::DemandLogin => {
                conduct.silent = None;
                self.listen(conduct, &self.usual_access(), around)?;
            }
        }
        conduct.fault = None;
        conduct.turn += 1;
        tracing::info!(camera = self.config.name, %fault, "healed");
        Ok(())
    }

    fn usual_access(&self) -> Access {
        self.config.login.clone().map_or(Access::Open, Access::Login)
    }

    /// Opens a new server in the place of the one before.
    fn listen(
        self: &Arc<Self>,
        conduct: &mut Conduct,
        access: &Access,
        around: &Surroundings,
    ) -> Result<(), DoorError> {
        conduct.door = None;
        if let Some(address) = conduct.address {
            let door = Door::open(self, address, access, &around.signals)?;
            conduct.address = Some(door.address);
            conduct.door = Some(door);
        }
        Ok(())
    }

    /// The clip that a change of resolution needs.
    fn replacement(&self, fault: Fault, library: &Library) -> Result<Option<Arc<Clip>>, FaultError> {
        let Fault::Resolution { width, height } = fault else { return Ok(None) };
        let scene = self.config.shown_scene().ok_or_else(|| FaultError::NotAScene(self.config.name.clone()))?;
        let scene = SceneConfig { width, height, ..scene };
        scene.validate().map_err(|(field, reason)| FaultError::Size { field, reason })?;
        Ok(Some(library.scene(&scene)?))
    }
}
