//! The objects that scenarios apply, and what is read from those of the cluster.

use crds::VideoSource;
use k8s_openapi::api::core::v1::Pod;
use operator::pods::MODEL_LABEL;
use serde_json::{Value, json};

/// The model of most scenarios.
pub(crate) const MODEL: &str = "people";

/// Frames per second that every camera sends.
pub(crate) const FPS: u32 = 5;

/// A model as it is applied.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// Its name.
    pub(crate) name: &'static str,
    /// How many pods serve it.
    pub(crate) pods: usize,
    /// How many cameras each of them takes.
    pub(crate) streams: usize,
    /// An annotation of the pods: another one takes other pods.
    pub(crate) revision: usize,
    /// The image of the pods, where it is not the operator's.
    pub(crate) image: Option<&'static str>,
    /// Objects below this confidence are left out.
    pub(crate) confidence: Option<f64>,
}

impl Model {
    /// The model of most scenarios, served by `pods` pods that take `streams` cameras each.
    #[must_use]
    pub(crate) fn of(pods: usize, streams: usize) -> Self {
        Self { name: MODEL, pods, streams, revision: 1, image: None, confidence: None }
    }

    /// What is applied.
    #[must_use]
    pub(crate) fn manifest(&self) -> Value {
        let mut serving = json!({
            "replicas": self.pods, "maxPods": 16,
            "capacity": {"streams": self.streams, "inferencesPerSecond": 1000, "decode": 100_000},
            "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
            "podTemplate": {"annotations": {"scenarios.example/revision": self.revision.to_string()}},
        });
        if let (Some(image), Some(fields)) = (self.image, serving.as_object_mut()) {
            fields.insert("image".to_owned(), image.into());
        }
        let mut spec = json!({"source": {"builtin": "starter"}, "serving": serving});
        if let (Some(confidence), Some(fields)) = (self.confidence, spec.as_object_mut()) {
            fields.insert("thresholds".to_owned(), json!({"confidence": confidence}));
        }
        json!({
            "apiVersion": "vision-operator.dev/v1alpha1", "kind": "DetectionModel", "metadata": {"name": self.name},
            "spec": spec,
        })
    }
}

/// A camera as it is applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Camera {
    /// Where it is.
    pub(crate) uri: String,
    /// The model that watches it.
    pub(crate) model: &'static str,
    /// How many of its frames are looked at in a second.
    pub(crate) fps: u32,
    /// Whether it is watched at all.
    pub(crate) enabled: bool,
    /// Whose turn it is where there is no room for all.
    pub(crate) priority: i32,
}

impl Camera {
    /// A camera of which every frame is looked at.
    #[must_use]
    pub(crate) fn at(uri: String) -> Self {
        Self { uri, model: MODEL, fps: FPS, enabled: true, priority: 0 }
    }

    /// What is applied under a name.
    #[must_use]
    pub(crate) fn manifest(&self, name: &str) -> Value {
        json!({
            "apiVersion": "vision-operator.dev/v1alpha1", "kind": "VideoSource", "metadata": {"name": name},
            "spec": {
                "uri": self.uri, "modelRef": {"name": self.model}, "detection": {"fps": self.fps},
                "enabled": self.enabled, "priority": self.priority,
            },
        })
    }
}

/// The label that the operator's own pods have.
pub(crate) const OPERATOR_SELECTOR: &str = "app.kubernetes.io/name=vision-operator";

/// The pod that has a camera.
#[must_use]
pub(crate) fn pod_of(camera: &VideoSource) -> Option<&str> {
    Some(&camera.status.as_ref()?.assignment.as_ref()?.pod)
}

/// The epoch of a camera's binding; 0: it was never bound.
#[must_use]
pub(crate) fn epoch_of(camera: &VideoSource) -> i64 {
    camera.status.as_ref().and_then(|status| status.epoch).unwrap_or_default()
}

/// The model that a pod serves.
#[must_use]
pub(crate) fn model_of(pod: &Pod) -> Option<&str> {
    pod.metadata.labels.as_ref()?.get(MODEL_LABEL).map(String::as_str)
}

/// Whether a pod says that it is ready, and nobody has asked it to end.
#[must_use]
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"));
    ready && pod.metadata.deletion_timestamp.is_none()
}

/// The node that a pod runs on.
#[must_use]
pub(crate) fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}
