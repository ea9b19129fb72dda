//! The elements of DeepStream that are used.

use crate::Version;

/// Whether the engine works without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It does not.
    Always,
    /// It does, with less, or in another way.
    Optional,
}

/// An element of DeepStream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeepStreamElement {
    /// The element's name.
    pub name: &'static str,
    /// The plugin that brings it, in `lib/gst-plugins`.
    pub plugin: &'static str,
    /// The first version that has it.
    pub since: Version,
    /// Whether the engine works without it.
    pub need: Need,
    /// Properties that the engine sets in every version that has the element.
    pub properties: &'static [&'static str],
    /// What a plugin that does not load usually lacks.
    pub hint: &'static str,
}

const GPU: &str = "usually the driver's libraries: set NVIDIA_DRIVER_CAPABILITIES=compute,utility,video";
const TENSORRT: &str = "usually TensorRT: install the version that this DeepStream names";
const V5: Version = Version::new(5, 0);
const V6: Version = Version::new(6, 0);

/// Those that are used, in the order of the pipeline.
pub const ELEMENTS: [DeepStreamElement; 10] = [
    DeepStreamElement {
        name: "nvurisrcbin",
        plugin: "libnvdsgst_nvurisrcbin.so",
        since: Version::new(6, 1),
        need: Need::Optional,
        properties: &["uri", "gpu-id", "rtsp-reconnect-interval"],
        hint: GPU,
    },
    DeepStreamElement {
        name: "nvmultiurisrcbin",
        plugin: "libnvdsgst_nvmultiurisrcbin.so",
        since: Version::new(6, 2),
        need: Need::Optional,
        properties: &[],
        hint: GPU,
    },
    DeepStreamElement {
        name: "nvv4l2decoder",
        plugin: "libgstnvvideo4linux2.so",
        since: V5,
        need: Need::Always,
        properties: &["drop-frame-interval"],
        hint: GPU,
    },
    DeepStreamElement {
        name: "nvvideoconvert",
        plugin: "libgstnvvideoconvert.so",
        since: V5,
        need: Need::Optional,
        properties: &[],
        hint: GPU,
    },
    DeepStreamElement {
        name: "nvstreammux",
        plugin: "libnvdsgst_multistream.so",
        since: V5,
        need: Need::Always,
        properties: &["batch-size", "batched-push-timeout", "width", "height", "live-source", "gpu-id"],
        hint: "usually USE_NEW_NVSTREAMMUX=yes in the environment, whose mux has no size; take it away",
    },
    DeepStreamElement {
        name: "nvdspreprocess",
        plugin: "libnvdsgst_preprocess.so",
        since: V6,
        need: Need::Optional,
        properties: &["config-file"],
        hint: GPU,
    },
    DeepStreamElement {
        name: "nvinfer",
        plugin: "libnvdsgst_infer.so",
        since: V5,
        need: Need::Always,
        properties: &["config-file-path", "batch-size", "unique-id", "interval"],
        hint: TENSORRT,
    },
    DeepStreamElement {
        name: "nvtracker",
        plugin: "libnvdsgst_tracker.so",
        since: V5,
        need: Need::Optional,
        properties: &["ll-lib-file", "ll-config-file", "tracker-width", "tracker-height"],
        hint: "usually libmosquitto1",
    },
    DeepStreamElement {
        name: "nvdsosd",
        plugin: "libnvdsgst_osd.so",
        since: V5,
        need: Need::Optional,
        properties: &[],
        hint: GPU,
    },
    DeepStreamElement {
        name: "nvjpegenc",
        plugin: "libgstnvjpeg.so",
        since: V5,
        need: Need::Optional,
        properties: &[],
        hint: GPU,
    },
];
