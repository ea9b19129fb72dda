//! Detection models: fetch, verify, cache and open them; pre- and post-processing of every output layout.

mod builtin;
pub mod decode;
mod digest;
mod error;
mod fetch;
mod file;
mod info;
mod labels;
mod manifest;
mod onnx;
mod resolve;
mod runtime;
mod session;
mod spec;
mod tensor;

pub use builtin::names as builtin_names;
pub use digest::{Digest, InvalidDigest};
pub use error::ModelError;
pub use fetch::{FetchOptions, FetchProgress, OnProgress, cache_folder, obtain};
pub use file::ModelFile;
pub use info::{ChannelOrder, ColorOrder, ElementType, Fit, InputSpec, Layout, ModelInfo, Placement, Thresholds};
pub use onnx::{OnnxHeader, TensorInfo, TensorType};
pub use runtime::{ONNXRUNTIME_VERSION, Runtime, RuntimeError, forgo_telemetry, runtime, use_library};
pub use session::{InferenceError, Model, OpenOptions, RunOutput, Session, stop_opening};
pub use spec::{Device, ModelSource, ModelSpec, Precision, Preprocess};
