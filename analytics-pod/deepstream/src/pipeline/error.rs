//! Why a pipeline cannot be made or used.

use std::time::Duration;

use crate::LayoutError;

/// Why a pipeline cannot be made or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// An element is missing.
    #[error("the GStreamer element {name} is not installed; run `analytics-pod check` to see what brings it")]
    Element {
        /// Which.
        name: String,
    },
    /// An element is another than is expected.
    #[error("the installed GStreamer element {element} has no property {property}; run `analytics-pod check`")]
    Property {
        /// Which.
        element: String,
        /// What it lacks.
        property: String,
    },
    /// Elements do not fit together.
    #[error("the elements of the pipeline do not fit together; run `analytics-pod check`")]
    Build,
    /// Video of a kind that is not decoded here.
    #[error("DeepStream's decoder is not used for {caps}; set the camera to H.264 or H.265")]
    Format {
        /// The kind.
        caps: String,
    },
    /// It does not begin to play.
    #[error("DeepStream's pipeline does not start: {reason}")]
    Start {
        /// What the element said.
        reason: String,
    },
    /// An element failed, and with it all sources.
    #[error("DeepStream's pipeline failed: {reason}")]
    Failed {
        /// What the element said.
        reason: String,
    },
    /// Something hangs.
    #[error("{what} took more than {} ms", .bound.as_millis())]
    Hangs {
        /// What.
        what: &'static str,
        /// How long it may take.
        bound: Duration,
    },
    /// All pads are taken.
    #[error("the pipeline has {capacity} places and all are taken")]
    Full {
        /// How many there are.
        capacity: u32,
    },
    /// The metadata cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl PipelineError {
    /// Whether the GPU has too little memory; a smaller batch may fit.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        let (Self::Start { reason } | Self::Failed { reason }) = self else { return false };
        let reason = reason.to_lowercase();
        // What CUDA, TensorRT and DeepStream's allocators write.
        [
            "out of memory",
            "outofmemory",
            "cudaerrormemoryallocation",
            "cuda failure: status=2",
            "memory allocation failed",
        ]
        .iter()
        .any(|words| reason.contains(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_memory_is_told_from_other_failures() {
        let start = |reason: &str| PipelineError::Start { reason: reason.to_owned() };
        assert!(start("nvinfer0: Failed to create NvDsInferContext: CUDA out of memory").is_out_of_memory());
        assert!(start("Cuda failure: status=2").is_out_of_memory());
        assert!(!start("Configuration file parsing failed").is_out_of_memory());
        assert!(!PipelineError::Full { capacity: 4 }.is_out_of_memory());
    }
}
