//! Detection models: fetch, verify, cache and open them; pre- and post-processing of every output layout.

mod info;
mod session;

pub use info::{ChannelOrder, ColorOrder, ElementType, Fit, InputSpec, Layout, ModelInfo, Placement, Thresholds};
pub use session::{InferenceError, Model, RunOutput, Session};
