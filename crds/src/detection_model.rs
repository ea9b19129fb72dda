//! A detector: where its weights are and how to read what it says.

#![allow(unreachable_pub, reason = "KubeSchema copies each struct into a function body")]
#![allow(clippy::doc_markdown, reason = "the documentation of fields is read in kubectl explain, without markup")]
#![allow(clippy::duplicated_attributes, reason = "each printer column says its type")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Capacity, EngineChoice, Serving, schema, uri,
    validate::{Check, Violation},
};

const ONE_SOURCE: Check = Check {
    rule: "(has(self.url) ? 1 : 0) + (has(self.file) ? 1 : 0) + (has(self.builtin) ? 1 : 0) == 1",
    message: "must have exactly one of url, file and builtin",
};

const URL_NEEDS_DIGEST: Check = Check {
    rule: "!has(self.url) || has(self.sha256)",
    message: "url needs sha256 beside it: the digest of the file that the URL must give (sha256sum FILE)",
};

const HTTPS: Check = Check {
    rule: "self.matches('^https://[^/?#:@]') && !self.matches('[[:cntrl:]\\\\\\\\]')",
    message: "must start with https:// and a host",
};

const NO_LOGIN: Check = Check {
    rule: "!self.matches('^[A-Za-z][A-Za-z0-9+.-]*:/*[^/?#]*@')",
    message: "must not hold a user name or password: let the server give the file without one, or write a signed URL",
};

const PATH: Check = Check {
    rule: "!self.contains('://') && !self.startsWith('file:')",
    message: "must be a path, without file: before it (relative ones start at the manifest's folder)",
};

/// Numbers that pixels are multiplied with or divided by. The schema's `minimum` does not say it: an API server takes an
/// integer for large enough where the minimum is a fraction.
const SCALE_ABOVE_ZERO: Check = Check {
    rule: "!has(self.scale) || self.scale > 0.0",
    message: "scale must be above 0: pixels are multiplied with it",
};

const DEVIATIONS_ABOVE_ZERO: Check = Check {
    rule: "!has(self.std) || self.std.all(entry, entry > 0.0)",
    message: "std must be above 0: pixels are divided by it",
};

const NO_GPU_ON_CPU: Check = Check {
    rule: "self.device != 'CPU' || !has(self.serving) || !has(self.serving.gpu)",
    message: "device CPU takes no GPU: remove serving.gpu, or write device: Auto",
};

/// What runs on the frames of a source: a detector, where its weights are, and how to read its outputs.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "vision-operator.dev",
    version = "v1alpha1",
    kind = "DetectionModel",
    plural = "detectionmodels",
    shortname = "dm",
    category = "vision",
    namespaced,
    status = "DetectionModelStatus",
    derive = "PartialEq",
    doc = "A detector that watches video sources.",
    scale(
        spec_replicas_path = ".spec.serving.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Pods", type_ = "integer", json_path = ".status.pods"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyPods"),
    printcolumn(name = "Streams", type_ = "integer", json_path = ".status.streams"),
    printcolumn(name = "Capacity", type_ = "integer", json_path = ".status.capacity"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = &NO_GPU_ON_CPU)]
pub struct DetectionModelSpec {
    /// Where the weights are (an ONNX file).
    pub source: ModelSource,
    /// How the outputs are laid out; `Auto`: by their shapes and the file's metadata.
    #[serde(default)]
    pub layout: Layout,
    /// Class names in the order of the outputs; absent: those in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::labels")]
    pub labels: Option<Vec<String>>,
    /// Size of the input, for models that take any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<InputSize>,
    /// What becomes of the pixels before they go in; what is absent follows from the layout.
    #[serde(default)]
    pub preprocess: Preprocess,
    /// Which detections are kept where the source says nothing.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// Suppress overlaps across classes too.
    #[serde(default, rename = "classAgnosticNMS")]
    pub class_agnostic_nms: bool,
    /// Objects to report per frame at the most, where the source says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_objects: Option<i32>,
    /// The precision to run in.
    #[serde(default)]
    pub precision: Precision,
    /// Pictures that go through the model in one run at the most; absent: what suits the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub max_batch: Option<i32>,
    /// Where to run: `Auto` takes a GPU where there is one, `GPU` means a GPU or refusal.
    #[serde(default)]
    pub device: Device,
    /// How the model is served in a cluster.
    #[serde(default, skip_serializing_if = "Serving::is_default")]
    #[schemars(extend("default" = Serving::default()))]
    pub serving: Serving,
}

impl DetectionModelSpec {
    /// A model with nothing but its source.
    #[must_use]
    pub fn new(source: ModelSource) -> Self {
        Self {
            source,
            layout: Layout::Auto,
            labels: None,
            input: None,
            preprocess: Preprocess::default(),
            thresholds: Thresholds::default(),
            class_agnostic_nms: false,
            max_objects: None,
            precision: Precision::Auto,
            max_batch: None,
            device: Device::Auto,
            serving: Serving::default(),
        }
    }

    /// What the CEL rules of this spec have against it.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let ModelSource { url, file, builtin, sha256 } = &self.source;
        let mut found = Vec::new();
        if [url, file, builtin].into_iter().flatten().count() != 1 {
            found.push(Violation::new("spec.source", ONE_SOURCE.message));
        }
        if let Some(url) = url {
            if sha256.is_none() {
                found.push(Violation::new("spec.source", URL_NEEDS_DIGEST.message));
            }
            let host = url.strip_prefix("https://").unwrap_or_default();
            let host_is_missing = host.is_empty() || host.starts_with(['/', '?', '#', ':', '@']);
            if host_is_missing || !uri::is_clean(url) {
                found.push(Violation::new("spec.source.url", HTTPS.message));
            }
            if uri::has_login(url) {
                found.push(Violation::new("spec.source.url", NO_LOGIN.message));
            }
        }
        if file.as_ref().is_some_and(|file| file.contains("://") || file.starts_with("file:")) {
            found.push(Violation::new("spec.source.file", PATH.message));
        }
        let Preprocess { scale, std, .. } = &self.preprocess;
        if scale.is_some_and(|scale| scale <= 0.0) {
            found.push(Violation::new("spec.preprocess", SCALE_ABOVE_ZERO.message));
        }
        if std.is_some_and(|std| std.iter().any(|deviation| *deviation <= 0.0)) {
            found.push(Violation::new("spec.preprocess", DEVIATIONS_ABOVE_ZERO.message));
        }
        if self.device == Device::Cpu && self.serving.gpu.is_some() {
            found.push(Violation::new("spec", NO_GPU_ON_CPU.message));
        }
        self.serving.check(&mut found);
        found
    }
}

/// Where the weights are: exactly one of `url`, `file` and `builtin`.
#[derive(Clone, Debug, Default, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = &ONE_SOURCE,
    validation = &URL_NEEDS_DIGEST,
    validation = HTTPS.of_field("url"),
    validation = NO_LOGIN.of_field("url"),
    validation = PATH.of_field("file")
)]
pub struct ModelSource {
    /// An https URL; needs `sha256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub url: Option<String>,
    /// A path on the pod; without a cluster, relative ones start at the manifest's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub file: Option<String>,
    /// A model that comes with the pod (`starter`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::LABEL))]
    pub builtin: Option<String>,
    /// SHA-256 of the file, as 64 lower-case hexadecimal digits; a file with another digest is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = schema::DIGEST))]
    pub sha256: Option<String>,
}

/// How a detector's outputs are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Layout {
    /// By the shapes of the outputs and the file's metadata.
    #[default]
    Auto,
    /// YOLOv5 and v7.
    #[serde(rename = "YOLOv5")]
    YoloV5,
    /// YOLOv8, v11 and v12.
    #[serde(rename = "YOLOv8")]
    YoloV8,
    /// YOLOv10 and YOLO26, after suppression.
    #[serde(rename = "YOLOEndToEnd")]
    YoloEndToEnd,
    /// YOLOX on the strides' grids, not decoded.
    #[serde(rename = "YOLOXRaw")]
    YoloXRaw,
    /// YOLOX in input pixels.
    #[serde(rename = "YOLOXDecoded")]
    YoloXDecoded,
    /// Boxes and scores in two outputs.
    #[serde(rename = "SSD")]
    Ssd,
    /// RT-DETR and D-FINE.
    Queries,
    /// FastestDet.
    FastestDet,
}

/// Size of a model's input in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InputSize {
    /// Width.
    #[schemars(range(min = 32, max = 8192))]
    pub width: i32,
    /// Height.
    #[schemars(range(min = 32, max = 8192))]
    pub height: i32,
}

/// Order of the colour channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ColorOrder {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// How a picture is laid into an input of another shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Letterbox {
    /// Keep the aspect ratio, pad evenly around.
    Center,
    /// Keep the aspect ratio, pad on the right and below.
    TopLeft,
    /// Fill the input; the aspect ratio is lost.
    None,
}

/// What becomes of the pixels: `(pixel × scale − mean) ÷ std`, pixel 0–255, per channel in `colorOrder`.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = &SCALE_ABOVE_ZERO, validation = &DEVIATIONS_ABOVE_ZERO)]
pub struct Preprocess {
    /// `RGB` or `BGR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color_order: Option<ColorOrder>,
    /// Multiplied first (usually 1 or 0.00392156862745098, which is 1/255).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.000_001, max = 1000))]
    pub scale: Option<f64>,
    /// Subtracted after `scale`, three numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::channel_means")]
    pub mean: Option<[f64; 3]>,
    /// Divided by last, three numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::channel_deviations")]
    pub std: Option<[f64; 3]>,
    /// `Center` or `TopLeft` keep the aspect ratio and pad, `None` fills the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letterbox: Option<Letterbox>,
}

/// Which detections are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Thresholds {
    /// Detections below this confidence are dropped, 0–1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub confidence: Option<f64>,
    /// Boxes of a class that overlap more than this are one object, 0–1 (intersection over union).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub iou: Option<f64>,
    /// Stricter or laxer confidence for single classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub per_class: Vec<NamedConfidence>,
}

/// The confidence of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedConfidence {
    /// The class, by the name that the model gives it.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Detections of the class below this confidence are dropped, 0–1.
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f64,
}

/// The precision that a model runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Precision {
    /// What the file has.
    #[default]
    Auto,
    /// 32-bit floating point.
    #[serde(rename = "FP32")]
    Fp32,
    /// 16-bit floating point.
    #[serde(rename = "FP16")]
    Fp16,
}

/// Where a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Device {
    /// A GPU where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    #[serde(rename = "CPU")]
    Cpu,
    /// A GPU, or refusal.
    #[serde(rename = "GPU")]
    Gpu,
}

/// What the operator knows of the pods that serve a model. Only the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DetectionModelStatus {
    /// The generation of the spec that the rest was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Pods that serve the model or are about to.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub pods: i32,
    /// Pods that can take sources.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub ready_pods: i32,
    /// Pods that were made from the present spec.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub updated_pods: i32,
    /// Sources that are bound to a pod.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub streams: i32,
    /// Sources that wait for a pod.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub pending: i32,
    /// Sources that the ready pods can take together.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub capacity: i32,
    /// What one pod takes: as the spec says, else as the pods measured, else what is assumed of the engine.
    #[serde(default, skip_serializing_if = "Capacity::is_unset")]
    pub pod_capacity: Capacity,
    /// The engine that the pods run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineChoice>,
    /// The digest of the weights that the ready pods have in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub digest: Option<String>,
    /// As `pods`, for the scale subresource.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub replicas: i32,
    /// Selects the pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,
    /// `Accepted`: the spec can be served. `Ready`: at least one pod serves it. `PodsHealthy`: every pod starts and
    /// answers. `Updated`: every pod was made from the present spec. `HasRoom`: no source waits for more pods than are
    /// allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
