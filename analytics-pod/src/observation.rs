//! What the pod says about one frame, and the geometry that every room shares.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The namespace of objects that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// The namespace and name of a `VideoSource`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    /// The Kubernetes namespace (`default` without a cluster).
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl SourceKey {
    /// A key from its two parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Who publishes: frames and track ids are unique within one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamIdentity {
    /// The source.
    pub key: SourceKey,
    /// The binding of the source to this pod, in Unix milliseconds of the decision.
    pub epoch: u64,
    /// When this publishing run began, in Unix milliseconds.
    pub session: u64,
}

/// A box in normalised image coordinates: 0–1, origin top left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NormalizedBox {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

impl NormalizedBox {
    /// Intersection over union with `other`; 0 where either has no area.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f32 {
        let width = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let height = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        if width <= 0.0 || height <= 0.0 {
            return 0.0;
        }
        let intersection = width * height;
        let union = self.width * self.height + other.width * other.height - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }
}

/// One detected object, before it has an identity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Index into the model's labels.
    pub class: u32,
    /// 0–1.
    pub confidence: f32,
    /// Where it is, clipped to the picture.
    pub bounding_box: NormalizedBox,
}

/// Whose clock says when a frame was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaptureClock {
    /// The camera's, from its RTCP sender reports.
    Camera,
    /// This pod's, at the arrival of the frame's first packet.
    Arrival,
}

/// When a frame was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The moment.
    pub time: Timestamp,
    /// By which clock.
    pub clock: CaptureClock,
}

impl Capture {
    /// A frame that arrives at `time`.
    #[must_use]
    pub const fn arrival(time: Timestamp) -> Self {
        Self { time, clock: CaptureClock::Arrival }
    }
}

/// The model that a frame was inferred with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelReference {
    /// The `DetectionModel`'s name.
    pub name: Arc<str>,
    /// `sha256:` and the digest of its weights.
    pub digest: Arc<str>,
}

/// One object in a published frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackedObject {
    /// Unique within (source, epoch, session); absent where the source does not track.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track_id: Option<u64>,
    /// The class, by name.
    pub label: Arc<str>,
    /// 0–1.
    pub confidence: f32,
    /// Where it is.
    #[serde(rename = "box")]
    pub bounding_box: NormalizedBox,
    /// Names of the zones that hold its anchor (bottom centre).
    pub zones: Vec<Arc<str>>,
}

/// What the pod says about one frame: one line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// The source's name.
    pub source: Arc<str>,
    /// The source's namespace.
    pub namespace: Arc<str>,
    /// The file that the frame is from; absent where the source is not a list of files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Arc<str>>,
    /// See [`StreamIdentity::epoch`].
    pub epoch: u64,
    /// See [`StreamIdentity::session`].
    pub session: u64,
    /// Counts the frames received in this session, from 0; gaps are frames that were not inferred.
    pub frame: u64,
    /// Whose clock `capture_time` is.
    pub capture_clock: CaptureClock,
    /// When the frame was taken.
    #[serde(with = "microseconds")]
    pub capture_time: Timestamp,
    /// When this was published.
    #[serde(with = "microseconds")]
    pub publish_time: Timestamp,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// What detected.
    pub model: ModelReference,
    /// What is in the frame.
    pub objects: Vec<TrackedObject>,
    /// What happened in the scene at this frame.
    pub events: Vec<Value>,
    /// Duration of the model's run, in milliseconds.
    pub inference_ms: f32,
    /// Anything else that is known about the frame.
    pub metadata: Map<String, Value>,
}

/// RFC 3339 with microseconds.
mod microseconds {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{time:.6}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::sink::test_support::observation;

    #[test]
    fn the_line_has_the_shape_that_consumers_rely_on() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&observation(42)).unwrap());
    }

    #[test]
    fn what_is_absent_is_left_out() {
        let mut observation = observation(0);
        observation.objects[0].track_id = None;
        let line = serde_json::to_string(&observation).unwrap();
        assert!(!line.contains("trackId") && !line.contains("file"), "{line}");
        observation.file = Some("a.jpg".into());
        let line = serde_json::to_string(&observation).unwrap();
        assert!(line.contains(r#""file":"a.jpg""#), "{line}");
        assert_eq!(serde_json::from_str::<Observation>(&line).unwrap(), observation);
    }

    #[test]
    fn boxes_that_do_not_touch_have_no_overlap() {
        let left = NormalizedBox { x: 0.0, y: 0.0, width: 0.5, height: 1.0 };
        let right = NormalizedBox { x: 0.5, y: 0.0, width: 0.5, height: 1.0 };
        assert!(left.iou(&right).abs() < f32::EPSILON);
        assert!((left.iou(&left) - 1.0).abs() < f32::EPSILON);
        let half = NormalizedBox { x: 0.25, ..left };
        assert!((left.iou(&half) - 1.0 / 3.0).abs() < 1e-6);
    }
}
