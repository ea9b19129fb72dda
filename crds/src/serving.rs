//! How a model is served in a cluster: the pods that watch sources with it. Without a cluster none of this is read.

#![allow(unreachable_pub, reason = "KubeSchema copies each struct into a function body")]
#![allow(clippy::doc_markdown, reason = "the documentation of fields is read in kubectl explain, without markup")]

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Affinity, PodResourceClaim, Toleration, TopologySpreadConstraint},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Duration, schema,
    validate::{Bounds, Check, Violation},
};

/// Labels and annotations with this prefix are the operator's.
const RESERVED_PREFIX: &str = "vision-operator.dev/";

const STABILIZATION: Bounds = Bounds::new(0, 86_400_000);

const PODS_ORDER: Check = Check {
    rule: "self.minPods <= self.maxPods",
    message: "minPods must not be greater than maxPods: raise maxPods, or lower minPods",
};

const REPLICAS_WITHIN: Check = Check {
    rule: "!has(self.replicas) || self.replicas <= self.maxPods",
    message: "replicas must not be greater than maxPods: raise maxPods first, it guards against mistakes",
};

const GPU_OR_CLAIM: Check = Check {
    rule: "self.count > 0 || (has(self.resourceClaims) && size(self.resourceClaims) > 0)",
    message: "gpu needs a count of at least 1, or resourceClaims: remove gpu to serve on the CPU",
};

const NOT_RESERVED: Check = Check {
    rule: "self.all(key, !key.startsWith('vision-operator.dev/'))",
    message: "must not hold keys that begin with vision-operator.dev/: those are the operator's",
};

/// How many pods serve the model, what each may take, and how they are made.
#[derive(Clone, Debug, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = &PODS_ORDER, validation = &REPLICAS_WITHIN)]
pub struct Serving {
    /// What decodes and detects: `Auto` takes what suits the image and the device, and the pod's log says why.
    #[serde(default)]
    pub engine: EngineChoice,
    /// Pods to keep even without sources, while the number is automatic.
    #[serde(default = "Serving::default_min_pods")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_pods: i32,
    /// Pods to have at the most. Pods that others are moving away from are not counted.
    #[serde(default = "Serving::default_max_pods")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_pods: i32,
    /// A fixed number of pods, which `kubectl scale` and a HorizontalPodAutoscaler set; absent: as many as the sources
    /// need, from minPods to maxPods. A pod goes only after its streams have moved; with 0 all end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
    /// What one pod takes; what is absent is measured by the pods.
    #[serde(default, skip_serializing_if = "Capacity::is_unset")]
    pub capacity: Capacity,
    /// CPU and memory of a pod.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    /// GPUs of a pod; absent: one if the model's device is GPU, else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Gpu>,
    /// The RuntimeClass of a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,
    /// Labels that a pod's node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::texts")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that a pod tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::kubernetes_list::<Toleration, 32>")]
    pub tolerations: Vec<Toleration>,
    /// Where a pod may run and rather should, by nodes and by other pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Affinity>")]
    pub affinity: Option<Affinity>,
    /// How pods spread over zones and nodes; absent: over nodes where that can be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::kubernetes_list::<TopologySpreadConstraint, 16>")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// The PriorityClass of a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// The image of a pod; absent: the operator's default for the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Secrets of the same namespace to pull the image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub image_pull_secrets: Vec<ImagePullSecret>,
    /// What is added to each pod's metadata.
    #[serde(default, skip_serializing_if = "PodTemplate::is_empty")]
    pub pod_template: PodTemplate,
    /// When pods that are not needed go.
    #[serde(default)]
    pub scale_down: ScaleDown,
    /// How streams move to even out the pods.
    #[serde(default)]
    pub rebalance: Rebalance,
    /// How pods are replaced after a change of what they are made from.
    #[serde(default)]
    pub update: Update,
}

impl Serving {
    const fn default_min_pods() -> i32 {
        1
    }

    const fn default_max_pods() -> i32 {
        8
    }

    /// Nothing was asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What the CEL rules have against it.
    pub(crate) fn check(&self, found: &mut Vec<Violation>) {
        if self.min_pods > self.max_pods {
            found.push(Violation::new("spec.serving", PODS_ORDER.message));
        }
        if self.replicas.is_some_and(|replicas| replicas > self.max_pods) {
            found.push(Violation::new("spec.serving", REPLICAS_WITHIN.message));
        }
        if self.gpu.as_ref().is_some_and(|gpu| gpu.count < 1 && gpu.resource_claims.is_empty()) {
            found.push(Violation::new("spec.serving.gpu", GPU_OR_CLAIM.message));
        }
        let PodTemplate { labels, annotations } = &self.pod_template;
        for (field, entries) in [("labels", labels), ("annotations", annotations)] {
            if entries.keys().any(|key| key.starts_with(RESERVED_PREFIX)) {
                found.push(Violation::new(&format!("spec.serving.podTemplate.{field}"), NOT_RESERVED.message));
            }
        }
        STABILIZATION.check("spec.serving.scaleDown.stabilization", self.scale_down.stabilization, found);
    }
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            engine: EngineChoice::Auto,
            min_pods: Self::default_min_pods(),
            max_pods: Self::default_max_pods(),
            replicas: None,
            capacity: Capacity::default(),
            resources: Resources::default(),
            gpu: None,
            runtime_class_name: None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: None,
            topology_spread_constraints: Vec::new(),
            priority_class_name: None,
            image: None,
            image_pull_secrets: Vec::new(),
            pod_template: PodTemplate::default(),
            scale_down: ScaleDown::default(),
            rebalance: Rebalance::default(),
            update: Update::default(),
        }
    }
}

/// What decodes and detects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum EngineChoice {
    /// What suits the image and the device.
    #[default]
    Auto,
    /// GStreamer and ONNX Runtime.
    Native,
    /// NVIDIA DeepStream.
    DeepStream,
}

/// What one pod takes. Streams are taken up to this number, of the other two 80 percent are planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// Streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub streams: Option<i32>,
    /// Frames that go through the model each second, of all streams together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub inferences_per_second: Option<i32>,
    /// Milliseconds of decoder time each second: 1000 for each decoder of a GPU, or for each core that decodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256_000))]
    pub decode: Option<i32>,
}

impl Capacity {
    /// Nothing is said.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        *self == Self::default()
    }
}

/// CPU and memory of a pod, as Kubernetes takes them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What a pod may use at the most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub limits: BTreeMap<String, Quantity>,
    /// What a pod is sure to have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub requests: BTreeMap<String, Quantity>,
}

impl Resources {
    /// Nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty() && self.requests.is_empty()
    }
}

/// GPUs of a pod.
#[derive(Clone, Debug, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = &GPU_OR_CLAIM)]
pub struct Gpu {
    /// How many of `resourceName`; 0 where `resourceClaims` say what to have.
    #[serde(default = "Gpu::default_count")]
    #[schemars(range(min = 0, max = 16))]
    pub count: i32,
    /// The resource that the device plugin offers, such as nvidia.com/gpu, nvidia.com/gpu.shared or
    /// nvidia.com/mig-1g.10gb.
    #[serde(default = "Gpu::default_resource_name")]
    #[schemars(length(min = 1, max = 316), regex(pattern = schema::EXTENDED_RESOURCE))]
    pub resource_name: String,
    /// Claims for dynamic resource allocation. A claim by name is shared by all pods; a template gives each its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::kubernetes_map_list::<PodResourceClaim, 8>")]
    pub resource_claims: Vec<PodResourceClaim>,
}

impl Gpu {
    const fn default_count() -> i32 {
        1
    }

    fn default_resource_name() -> String {
        "nvidia.com/gpu".to_owned()
    }
}

impl Default for Gpu {
    fn default() -> Self {
        Self { count: Self::default_count(), resource_name: Self::default_resource_name(), resource_claims: Vec::new() }
    }
}

/// A Secret to pull images with, in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImagePullSecret {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What is added to each pod's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::texts")]
    #[x_kube(validation = &NOT_RESERVED)]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::texts")]
    #[x_kube(validation = &NOT_RESERVED)]
    pub annotations: BTreeMap<String, String>,
}

impl PodTemplate {
    /// Nothing is added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }
}

/// When pods that are not needed go.
#[derive(Clone, Debug, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDown {
    /// How long fewer pods must have been enough. A change of `replicas` does not wait.
    #[serde(default = "ScaleDown::default_stabilization")]
    #[x_kube(validation = schema::within(&STABILIZATION))]
    pub stabilization: Duration,
}

impl ScaleDown {
    const fn default_stabilization() -> Duration {
        Duration::from_millis(300_000)
    }
}

impl Default for ScaleDown {
    fn default() -> Self {
        Self { stabilization: Self::default_stabilization() }
    }
}

/// How streams move to even out the pods. Moves for other reasons (a node that drains, a new template) are not bound by
/// this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rebalance {
    /// Whether to move streams to even out the pods at all.
    #[serde(default = "Rebalance::default_enabled")]
    pub enabled: bool,
    /// Streams to move within 10 s at the most, in percent of the model's; always at least one.
    #[serde(default = "Rebalance::default_max_moves")]
    #[schemars(range(min = 1, max = 100))]
    pub max_moves: i32,
}

impl Rebalance {
    const fn default_enabled() -> bool {
        true
    }

    const fn default_max_moves() -> i32 {
        9
    }
}

impl Default for Rebalance {
    fn default() -> Self {
        Self { enabled: Self::default_enabled(), max_moves: Self::default_max_moves() }
    }
}

/// How pods are replaced after a change of what they are made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// Pods that are replaced at the same time; so many are added first.
    #[serde(default = "Update::default_max_surge")]
    #[schemars(range(min = 1, max = 100))]
    pub max_surge: i32,
}

impl Update {
    const fn default_max_surge() -> i32 {
        1
    }
}

impl Default for Update {
    fn default() -> Self {
        Self { max_surge: Self::default_max_surge() }
    }
}
