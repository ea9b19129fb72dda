//! A camera, a file, a stream: anything that sends video.

#![allow(unreachable_pub, reason = "KubeSchema copies each struct into a function body")]
#![allow(clippy::doc_markdown, reason = "the documentation of fields is read in kubectl explain, without markup")]
#![allow(clippy::duplicated_attributes, reason = "each printer column says its type")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Duration, duration, schema, uri,
    validate::{Bounds, Check, Violation},
};

const LATENCY: Bounds = Bounds::new(0, 10_000);
const STALL_TIMEOUT: Bounds = Bounds::new(100, 600_000);
const BACKOFF: Bounds = Bounds::new(10, 3_600_000);
const INTERVAL: Bounds = Bounds::new(1, 86_400_000);

const CREDENTIALS_NEED_SERVER: Check = Check {
    rule: "!has(self.credentialsSecretRef) || self.uri.matches('^(rtsp|rtsps|http|https|srt)://') || \
           (has(self.fallbackURIs) && size(self.fallbackURIs) > 0)",
    message: "credentialsSecretRef works with rtsp, rtsps, http, https and srt only: remove it",
};

const CAPTURE_NEEDS_DEVICE: Check = Check {
    rule: "!has(self.capture) || self.uri.startsWith('v4l2:') || \
           (has(self.fallbackURIs) && size(self.fallbackURIs) > 0)",
    message: "capture is for v4l2 devices only: remove it",
};

const WIDTH_WITH_HEIGHT: Check = Check {
    rule: "has(self.width) == has(self.height)",
    message: "width and height belong together: write both or none",
};

const FPS_OR_INTERVAL: Check = Check {
    rule: "!(has(self.fps) && has(self.interval))",
    message: "fps and interval exclude each other: fps is for once a second and more, interval for less often",
};

const BACKOFF_ORDER: &str = "initialBackoff must not be longer than maxBackoff";

/// The rule for [`BACKOFF_ORDER`]; of two durations that can be read.
fn backoff_order() -> Rule {
    let [initial, most] =
        ["self.initialBackoff", "self.maxBackoff"].map(|field| schema::matches(field, duration::PATTERN));
    let order = "duration(self.initialBackoff) <= duration(self.maxBackoff)";
    Rule::new(format!("!{initial} || !{most} || {order}")).message(BACKOFF_ORDER)
}

const EPOCH_NEVER_DECREASES: Check = Check {
    rule: "!has(oldSelf.status) || !has(oldSelf.status.epoch) || (has(self.status) && has(self.status.epoch) && \
           self.status.epoch >= oldSelf.status.epoch)",
    message: "status.epoch must not decrease: a newer decision has been written",
};

const BINDINGS_WITHIN_EPOCH: Check = Check {
    rule: "(!has(self.assignment) || (has(self.epoch) && self.assignment.epoch <= self.epoch)) && \
           (!has(self.handover) || (has(self.epoch) && self.handover.epoch <= self.epoch))",
    message: "status.epoch must be the highest epoch that was given to a binding",
};

const NEW_BINDING_NEW_EPOCH: Check = Check {
    rule: "!has(oldSelf.assignment) || !has(self.assignment) || self.assignment.epoch > oldSelf.assignment.epoch || \
           (self.assignment.epoch == oldSelf.assignment.epoch && self.assignment.pod == oldSelf.assignment.pod)",
    message: "a new assignment needs a higher epoch: each epoch of a source is given to one pod only",
};

/// A video source to watch: where its video comes from, what to look for in it, and what to do when it fails.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "vision-operator.dev",
    version = "v1alpha1",
    kind = "VideoSource",
    plural = "videosources",
    shortname = "vsrc",
    category = "vision",
    namespaced,
    status = "VideoSourceStatus",
    derive = "PartialEq",
    doc = "A camera, file or stream to watch for objects.",
    selectable = ".status.assignment.pod",
    selectable = ".status.handover.pod",
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.modelRef.name"),
    printcolumn(name = "Pod", type_ = "string", json_path = ".status.assignment.pod"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.assignment.node"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = &EPOCH_NEVER_DECREASES
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = uri::rules()))]
#[x_kube(validation = &CREDENTIALS_NEED_SERVER, validation = &CAPTURE_NEEDS_DEVICE)]
pub struct VideoSourceSpec {
    /// Where the video is: `rtsp://`, `rtsps://`, `http://`, `https://`, `udp://0.0.0.0:5004` (MPEG-TS),
    /// `rtp://0.0.0.0:5004?encoding=H264&payload=96`, `srt://host:9000`, `v4l2:///dev/video0`, `file:`,
    /// `sim://street?seed=1` or `test://smpte`. Must not hold a user name, password or passphrase.
    #[schemars(length(min = 1, max = 2048))]
    pub uri: String,
    /// Other places of the same view, such as a camera's second stream or a recorder: tried in turn when the one before
    /// fails, and then the first again. While one of these streams, `uri` is asked from time to time without disturbing
    /// it, and taken again once it answers.
    #[serde(default, rename = "fallbackURIs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::fallback_uris")]
    pub fallback_uris: Vec<String>,
    /// The Secret with the source's login, in the same namespace. Of an SRT stream its password is the passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretRef>,
    /// How to read from the network.
    #[serde(default)]
    pub transport: Transport,
    /// What a V4L2 device is asked for; absent: what it gives by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// Start a finite input over at its end.
    #[serde(default, rename = "loop")]
    pub repeat: bool,
    /// Whether to watch the source at all; a source that is not enabled costs nothing.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The DetectionModel to watch with, in the same namespace.
    pub model_ref: ModelRef,
    /// What to look for.
    #[serde(default)]
    pub detection: Detection,
    /// Whether objects keep an identity from frame to frame.
    #[serde(default)]
    pub tracking: Tracking,
    /// What to do when the source fails.
    #[serde(default)]
    pub recovery: Recovery,
    /// Connections that the source takes at the same time; absent: any number. With 1 a move to another pod ends the
    /// old connection before it opens the new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_connections: Option<i32>,
    /// Which sources get a place first where not all have room: those with the higher number. A source that is bound is
    /// never put aside for another.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = -1000, max = 1000), extend("default" = 0))]
    pub priority: i32,
}

impl VideoSourceSpec {
    /// A source with nothing but its two required fields.
    #[must_use]
    pub fn new(uri: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            fallback_uris: Vec::new(),
            credentials_secret_ref: None,
            transport: Transport::default(),
            capture: None,
            repeat: false,
            enabled: true,
            model_ref: ModelRef { name: model.into() },
            detection: Detection::default(),
            tracking: Tracking::default(),
            recovery: Recovery::default(),
            max_connections: None,
            priority: 0,
        }
    }

    /// `uri` and the fallbacks, in their order.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        [&self.uri].into_iter().chain(&self.fallback_uris).map(String::as_str)
    }

    /// What the CEL rules of this spec have against it.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        found.extend(uri::violated(&self.uri).into_iter().map(|message| Violation::new("spec.uri", message)));
        for (index, fallback) in self.fallback_uris.iter().enumerate() {
            let field = format!("spec.fallbackURIs[{index}]");
            found.extend(uri::violated(fallback).into_iter().map(|message| Violation::new(&field, message)));
        }
        // With fallbacks any of them may be meant.
        let is_meant_for = |holds: bool| holds || !self.fallback_uris.is_empty();
        if self.credentials_secret_ref.is_some() && !is_meant_for(uri::takes_login(&self.uri)) {
            found.push(Violation::new("spec.credentialsSecretRef", CREDENTIALS_NEED_SERVER.message));
        }
        if let Some(Capture { width, height, .. }) = self.capture {
            if !is_meant_for(self.uri.starts_with("v4l2:")) {
                found.push(Violation::new("spec.capture", CAPTURE_NEEDS_DEVICE.message));
            }
            if width.is_some() != height.is_some() {
                found.push(Violation::new("spec.capture", WIDTH_WITH_HEIGHT.message));
            }
        }
        LATENCY.check("spec.transport.latency", self.transport.latency, &mut found);
        if self.detection.fps.is_some() && self.detection.interval.is_some() {
            found.push(Violation::new("spec.detection", FPS_OR_INTERVAL.message));
        }
        if let Some(interval) = self.detection.interval {
            INTERVAL.check("spec.detection.interval", interval, &mut found);
        }
        let recovery = &self.recovery;
        STALL_TIMEOUT.check("spec.recovery.stallTimeout", recovery.stall_timeout, &mut found);
        BACKOFF.check("spec.recovery.initialBackoff", recovery.initial_backoff, &mut found);
        BACKOFF.check("spec.recovery.maxBackoff", recovery.max_backoff, &mut found);
        if recovery.initial_backoff > recovery.max_backoff {
            found.push(Violation::new("spec.recovery", BACKOFF_ORDER));
        }
        found
    }
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// A Secret of type `kubernetes.io/basic-auth` in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A `DetectionModel` in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// How RTP travels from an RTSP camera.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// TCP first, then UDP.
    #[default]
    Auto,
    /// Interleaved in the RTSP connection.
    #[serde(rename = "TCP")]
    Tcp,
    /// Separate UDP ports.
    #[serde(rename = "UDP")]
    Udp,
}

/// How to read from the network.
#[derive(Clone, Debug, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transport {
    /// How RTP travels: `Auto` (TCP first, then UDP), `TCP` or `UDP`. RTSP only.
    #[serde(default)]
    pub protocol: Protocol,
    /// How long packets may wait for late ones. RTSP only.
    #[serde(default = "Transport::default_latency")]
    #[x_kube(validation = schema::within(&LATENCY))]
    pub latency: Duration,
    /// Drop the oldest packets where those that wait span more than `latency`. For cameras on bad networks; one that
    /// sends frames out of order (B-frames) would lose many of them. RTSP only.
    #[serde(default)]
    pub drop_on_latency: bool,
    /// Take any TLS certificate, as self-signed ones of cameras. Whoever is between the pod and the camera can then
    /// read the video and the login. RTSPS and HTTPS only.
    #[serde(default, rename = "insecureSkipTLSVerify")]
    pub insecure_skip_tls_verify: bool,
}

impl Transport {
    const fn default_latency() -> Duration {
        Duration::from_millis(50)
    }
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            protocol: Protocol::Auto,
            latency: Self::default_latency(),
            drop_on_latency: false,
            insecure_skip_tls_verify: false,
        }
    }
}

/// What a V4L2 device is asked for. What is absent is the device's to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = &WIDTH_WITH_HEIGHT)]
pub struct Capture {
    /// Picture width in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16384))]
    pub width: Option<i32>,
    /// Picture height in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16384))]
    pub height: Option<i32>,
    /// Pictures per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub fps: Option<i32>,
    /// `Auto`, `Raw` or `MJPEG`. Most webcams give their large sizes at full rate as MJPEG only.
    #[serde(default)]
    pub format: CaptureFormat,
}

/// How a V4L2 device gives its pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CaptureFormat {
    /// Whatever the device prefers.
    #[default]
    Auto,
    /// Uncompressed.
    Raw,
    /// JPEG pictures.
    #[serde(rename = "MJPEG")]
    Mjpeg,
}

/// What to look for, and how often. What is absent is the model's to say.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = &FPS_OR_INTERVAL)]
pub struct Detection {
    /// Frames to look at per second at the most; absent: every frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 240))]
    pub fps: Option<i32>,
    /// Time between two frames to look at, for less than one a second. Excludes `fps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = schema::within(&INTERVAL))]
    pub interval: Option<Duration>,
    /// Objects below this confidence are not reported, 0–1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub confidence: Option<f64>,
    /// Boxes of a class that overlap more than this are one object, 0–1 (intersection over union).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub iou: Option<f64>,
    /// Classes to report, by the names that the model gives them; absent or empty: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::class_names")]
    pub classes: Option<Vec<String>>,
    /// Objects to report per frame at the most, the most confident first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_objects: Option<i32>,
}

/// Whether objects keep an identity from frame to frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tracking {
    /// Give each object a `trackId`.
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl Default for Tracking {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// What to do when the source fails.
#[derive(Clone, Debug, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = backoff_order())]
pub struct Recovery {
    /// How long no frame may come before the connection is given up.
    #[serde(default = "Recovery::default_stall_timeout")]
    #[x_kube(validation = schema::within(&STALL_TIMEOUT))]
    pub stall_timeout: Duration,
    /// The wait before the first new attempt; each further one waits longer.
    #[serde(default = "Recovery::default_initial_backoff")]
    #[x_kube(validation = schema::within(&BACKOFF))]
    pub initial_backoff: Duration,
    /// The longest wait between two attempts.
    #[serde(default = "Recovery::default_max_backoff")]
    #[x_kube(validation = schema::within(&BACKOFF))]
    pub max_backoff: Duration,
    /// Failed attempts in a row after which the source is given up; 0: never.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_attempts: i32,
}

impl Recovery {
    const fn default_stall_timeout() -> Duration {
        Duration::from_millis(5_000)
    }

    const fn default_initial_backoff() -> Duration {
        Duration::from_millis(500)
    }

    const fn default_max_backoff() -> Duration {
        Duration::from_millis(5_000)
    }
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            stall_timeout: Self::default_stall_timeout(),
            initial_backoff: Self::default_initial_backoff(),
            max_backoff: Self::default_max_backoff(),
            max_attempts: 0,
        }
    }
}

/// The binding of a source to the pod that publishes what it sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// The pod's name, which is never used again.
    #[schemars(length(min = 1, max = 253))]
    pub pod: String,
    /// The node that the pod runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
    /// Identifies the binding: the Unix milliseconds of the decision, or one more than the binding before.
    #[schemars(range(min = 0))]
    pub epoch: i64,
}

/// The binding that is to follow, to a pod that warms up for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Handover {
    /// The pod's name.
    #[schemars(length(min = 1, max = 253))]
    pub pod: String,
    /// The epoch that the assignment will have.
    #[schemars(range(min = 0))]
    pub epoch: i64,
}

/// What a stream does, coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StreamState {
    /// Not bound to a pod; the reason says why.
    Pending,
    /// Not enabled.
    Disabled,
    /// Bound, without frames: connecting, stalled or waiting for the next attempt.
    Reconnecting,
    /// Frames arrive and are looked at.
    Streaming,
    /// A finite input was played to its end.
    Completed,
    /// Given up after `recovery.maxAttempts`.
    Failed,
}

/// What the operator has decided and knows of a source. Only the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = &BINDINGS_WITHIN_EPOCH, validation = &NEW_BINDING_NEW_EPOCH)]
pub struct VideoSourceStatus {
    /// The pod that watches the source and publishes what it sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<Assignment>,
    /// The pod that warms up to take the source over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<Handover>,
    /// The highest epoch that was given to a binding of this source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub epoch: Option<i64>,
    /// What the stream does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StreamState>,
    /// Why it is not streaming, as one stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// Why it is not streaming, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// When the last frame came; written only when a stream stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_frame_time: Option<Time>,
    /// Size of the pictures as width x height in pixels, such as 1920x1080.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub resolution: Option<String>,
    /// How the video is encoded, such as H264.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub codec: Option<String>,
    /// `Accepted`: the spec can be served. `Assigned`: a pod has the source. `Streaming`: frames arrive. `Ready`: frames
    /// are looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
