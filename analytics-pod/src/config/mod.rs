//! What a run is told beside its manifests: profiles and files, the environment, flags, and requests, in this order.
//!
//! [`keys`] knows every key of the schema; [`files`], [`environment`] and the command line make [`layer`]s of what is
//! written; [`settings`] lays one over the other and remembers where each value is from; [`rules`] say what a schema
//! cannot. Up to there everything but reading files is pure. [`Store`] holds what is in force while the pod runs.

mod environment;
mod error;
mod files;
mod keys;
mod layer;
mod rules;
mod schema;
mod settings;
mod shape;
mod show;
mod store;
#[cfg(test)]
mod tests;
mod types;
mod units;

pub use error::{ConfigError, ConfigErrors};
pub use files::{DEFAULT_PROFILE, PROFILES};
pub use keys::{Change, Key, keys};
pub use layer::{Flag, Origin};
pub use schema::{detection_schema, published, run_time_schema};
pub use settings::{Effective, Inputs};
pub use show::{Shown, ShownSetting, table};
pub use store::{Reloaded, Store};
pub use types::{Api, Config, Detector, Log, LogFormat, Metrics, RotationSettings, Statistics};
pub use units::{ByteSize, OutputTarget};
