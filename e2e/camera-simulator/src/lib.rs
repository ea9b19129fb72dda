//! Simulated RTSP cameras with known content and faults on command.
//!
//! A camera shows a street scene or a video file in a loop. Scenes are rendered and encoded before serving starts and
//! kept on disk, so that serving costs next to nothing; each frame carries its number as a barcode, and the control
//! port tells when it was sent and what is in it. See the control module for what can be asked.
//!
//! ```no_run
//! use camera_simulator::{CameraConfig, Config, Fault, SceneConfig, Silent, Simulator};
//!
//! let camera = CameraConfig::of_scene("north", SceneConfig { seed: 7, ..SceneConfig::default() });
//! let simulator = Simulator::start(&Config::on_loopback(vec![camera]), &Silent)?;
//! println!("watch {}", simulator.uri("north")?);
//! simulator.misbehave("north", Fault::Stall)?;
//! # Ok::<(), camera_simulator::SimulatorError>(())
//! ```

mod cache;
mod camera;
mod clip;
mod config;
mod control;
mod door;
mod elements;
mod encode;
mod export;
mod fault;
mod feed;
mod file;
mod library;
mod nal;
mod sent;
mod simulator;
mod truth;

pub use cache::CacheError;
pub use camera::{CameraInfo, FaultError};
pub use clip::{Clip, Counts, Format, FrameRate};
pub use config::{CameraConfig, Codec, Config, ConfigError, Login, LoginMethod, Rate, SceneConfig};
pub use door::DoorError;
pub use elements::ElementError;
pub use encode::EncodeError;
pub use export::{Container, ExportError, export};
pub use fault::{BadFault, Fault, FaultKind, FaultRequest};
pub use file::FileError;
pub use library::{LibraryError, Progress, Silent};
pub use nal::is_reference;
pub use sent::{CAPACITY as SENT_CAPACITY, SentFrame};
pub use simulator::{Ready, Simulator, SimulatorError};
pub use truth::TruthError;
