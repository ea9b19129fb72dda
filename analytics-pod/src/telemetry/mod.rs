//! What happened to every frame: counters that the hot path touches without locks, read by metrics, the live view and
//! the benchmark.

mod stream;

pub use stream::{DropReason, Stage, StreamState, StreamTelemetry, VideoFormat};
