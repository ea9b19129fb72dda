//! What the operator is told of pods when it is installed.

/// What all pods have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The image with the native engine.
    pub native_image: String,
    /// The image with DeepStream; absent: models that ask for it are refused.
    pub deepstream_image: Option<String>,
    /// When nodes pull images; absent: as Kubernetes does by itself.
    pub image_pull_policy: Option<String>,
    /// The largest that a pod's cache of models may get, as a quantity.
    pub cache_size: String,
    /// A volume with video files and models, mounted read-only into every pod; absent: there are none to read.
    pub media: Option<Media>,
    /// Whether evictions wait until streams have moved. That needs the right to see nodes.
    pub gate_evictions: bool,
}

/// A volume with video files and models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// The `PersistentVolumeClaim`, of which each namespace that reads files has its own.
    pub claim: String,
    /// Where it is mounted.
    pub path: String,
}
