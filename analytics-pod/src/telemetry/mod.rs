//! What happened to every frame: counters that the hot path touches without locks, read by metrics, the live view and
//! the benchmark.

mod cgroup;
mod classes;
mod confidence;
mod exposition;
mod gpus;
pub mod gstreamer_log;
mod log_file;
pub mod logging;
mod models;
mod outputs;
mod process;
mod rate;
mod redact;
mod registry;
mod stream;
mod words;

pub use cgroup::{ControlGroup, memory_limit};
pub use classes::ClassCount;
pub use exposition::{EncodeError, encode_metrics};
pub use models::ModelTelemetry;
pub use outputs::OutputTelemetry;
pub use process::{CpuGroup, Memory, ProcessError, cpu_by_group, memory, open_files, process_cpu, thread_cpu, threads};
pub use redact::{redact, redact_assignments};
pub use registry::Telemetry;
pub use stream::{StreamTelemetry, VideoFormat};
pub use words::{DropReason, Stage, StreamState};

#[cfg(test)]
pub(crate) mod test_support {
    use std::sync::Arc;

    use crate::model::{ChannelOrder, ColorOrder, ElementType, Fit, InputSpec, Layout, ModelInfo, Thresholds};

    /// A model that tells labels and nothing else of interest.
    pub(crate) fn model_info(name: &str, labels: &[&str]) -> Arc<ModelInfo> {
        Arc::new(ModelInfo {
            name: name.into(),
            digest: "sha256:00ff".into(),
            opset: 17,
            labels: labels.iter().map(|&label| label.into()).collect(),
            labels_from: "the test".to_owned(),
            layout: Layout::YoloXRaw,
            input: InputSpec {
                width: 416,
                height: 416,
                element_type: ElementType::F32,
                channel_order: ChannelOrder::Nchw,
                color_order: ColorOrder::Bgr,
                scale: 1.0,
                mean: [0.0; 3],
                std: [1.0; 3],
                fit: Fit::LetterboxTopLeft,
                padding: 114,
                max_batch: 1,
            },
            tensors: Vec::new(),
            thresholds: Thresholds {
                confidence: 0.3,
                iou: 0.45,
                per_class: Arc::from([]),
                class_agnostic: false,
                max_objects: 300,
            },
        })
    }
}
