//! A pod of a model.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
        LocalObjectReference, ObjectFieldSelector, PersistentVolumeClaimVolumeSource, Pod, PodSecurityContext, PodSpec,
        Probe, ResourceClaim, ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext,
        TopologySpreadConstraint, Volume, VolumeMount,
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference},
        util::intstr::IntOrString,
    },
};
use kube::Resource;

use super::{EVACUATE_ANNOTATION, MODEL_ANNOTATION, SERVING_LABEL, Settings, TEMPLATE_HASH_LABEL, Valid, names};

/// Probes and metrics, without TLS.
pub const HTTP_PORT: i32 = 8080;

/// The report, for the operator only, over mutual TLS.
pub const STATUS_PORT: i32 = 8443;

/// A user that no image has a name for.
const USER: i64 = 65_532;

/// How long a pod that was told to end may take: its streams move before.
const TERMINATION_GRACE_SECONDS: i64 = 120;

/// What a pod asks for where the model says nothing: enough to be scheduled sensibly, without a limit.
const DEFAULT_REQUESTS: [(&str, &str); 2] = [("cpu", "500m"), ("memory", "512Mi")];

/// What pods of a model are made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pod: Pod,
    hash: String,
}

impl Template {
    /// The template of a model's pods.
    #[must_use]
    pub fn new(valid: &Valid<'_>, settings: &Settings) -> Self {
        let mut pod = Pod { metadata: metadata(valid), spec: Some(spec(valid, settings)), status: None };
        let hash = names::hash(serde_json::json!([pod.metadata, pod.spec]).to_string().as_bytes());
        pod.metadata.labels.get_or_insert_default().insert(TEMPLATE_HASH_LABEL.to_owned(), hash.clone());
        Self { pod, hash }
    }

    /// Identifies what the pods are made from.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The pod of this name.
    #[must_use]
    pub fn pod(&self, name: &str) -> Pod {
        let mut pod = self.pod.clone();
        pod.metadata.name = Some(name.to_owned());
        pod
    }
}

/// The reference that lets Kubernetes delete an object with its model. It does not block the model's deletion: that
/// would need a right that the operator has no other use for.
pub(super) fn owner(valid: &Valid<'_>) -> OwnerReference {
    OwnerReference {
        api_version: crds::DetectionModel::api_version(&()).into_owned(),
        kind: crds::DetectionModel::kind(&()).into_owned(),
        name: valid.name.to_owned(),
        uid: valid.uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

pub(super) fn labels(valid: &Valid<'_>) -> BTreeMap<String, String> {
    let mut labels = names::selector(valid.name);
    labels.insert("app.kubernetes.io/name".to_owned(), "analytics-pod".to_owned());
    labels.insert("app.kubernetes.io/part-of".to_owned(), "vision-operator".to_owned());
    labels
}

fn metadata(valid: &Valid<'_>) -> ObjectMeta {
    let of_user = &valid.model.spec.serving.pod_template;
    let mut all_labels = of_user.labels.clone();
    all_labels.extend(labels(valid));
    all_labels.insert(SERVING_LABEL.to_owned(), "true".to_owned());
    let mut annotations = of_user.annotations.clone();
    annotations.insert(MODEL_ANNOTATION.to_owned(), valid.name.to_owned());
    // Streams move to another pod, so an autoscaler may empty the node.
    annotations.insert("cluster-autoscaler.kubernetes.io/safe-to-evict".to_owned(), "true".to_owned());
    annotations.remove(EVACUATE_ANNOTATION);
    ObjectMeta {
        namespace: Some(valid.namespace.to_owned()),
        labels: Some(all_labels),
        annotations: Some(annotations),
        owner_references: Some(vec![owner(valid)]),
        ..ObjectMeta::default()
    }
}

fn spec(valid: &Valid<'_>, settings: &Settings) -> PodSpec {
    let serving = &valid.model.spec.serving;
    let claims = valid.gpu.as_ref().map(|gpu| gpu.resource_claims.clone()).filter(|claims| !claims.is_empty());
    PodSpec {
        service_account_name: Some(names::companion(valid.name)),
        restart_policy: Some("Always".to_owned()),
        termination_grace_period_seconds: Some(TERMINATION_GRACE_SECONDS),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(valid, settings)],
        volumes: Some(volumes(valid, settings)),
        image_pull_secrets: filled(
            serving.image_pull_secrets.iter().map(|secret| LocalObjectReference { name: secret.name.clone() }),
        ),
        runtime_class_name: serving.runtime_class_name.clone(),
        priority_class_name: serving.priority_class_name.clone(),
        node_selector: Some(serving.node_selector.clone()).filter(|labels| !labels.is_empty()),
        tolerations: filled(serving.tolerations.iter().cloned()),
        affinity: serving.affinity.clone(),
        topology_spread_constraints: Some(topology(valid)),
        resource_claims: claims,
        ..PodSpec::default()
    }
}

fn topology(valid: &Valid<'_>) -> Vec<TopologySpreadConstraint> {
    let of_user = &valid.model.spec.serving.topology_spread_constraints;
    if !of_user.is_empty() {
        return of_user.clone();
    }
    vec![TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(names::selector(valid.name)),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    }]
}

fn container(valid: &Valid<'_>, settings: &Settings) -> Container {
    let port = |name: &str, number| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    Container {
        name: "analytics-pod".to_owned(),
        image: Some(valid.image.to_owned()),
        image_pull_policy: settings.image_pull_policy.clone(),
        args: Some(vec!["serve".to_owned(), format!("--model={}", valid.name)]),
        env: Some(environment(settings)),
        ports: Some(vec![port("http", HTTP_PORT), port("status", STATUS_PORT)]),
        resources: Some(resources(valid)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
            ..SecurityContext::default()
        }),
        // A model may have to be fetched before: 10 minutes.
        startup_probe: Some(probe("/startupz", 2, 300)),
        // Never fails because of a camera.
        liveness_probe: Some(probe("/livez", 5, 3)),
        readiness_probe: Some(probe("/readyz", 2, 3)),
        volume_mounts: Some(mounts(settings)),
        ..Container::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("http".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

fn environment(settings: &Settings) -> Vec<EnvVar> {
    let field = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { field_path: path.to_owned(), ..ObjectFieldSelector::default() }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let value =
        |name: &str, value: &str| EnvVar { name: name.to_owned(), value: Some(value.to_owned()), ..EnvVar::default() };
    let mut all = vec![
        field("VISION_POD_NAME", "metadata.name"),
        field("VISION_NAMESPACE", "metadata.namespace"),
        value("VISION_LISTEN", &format!("0.0.0.0:{HTTP_PORT}")),
        value("VISION_STATUS_LISTEN", &format!("0.0.0.0:{STATUS_PORT}")),
        value("VISION_STATUS_TLS", TLS_FOLDER),
        value("VISION_CACHE_DIR", CACHE_FOLDER),
        value("VISION_STATE_FOLDER", STATE_FOLDER),
    ];
    all.extend(settings.media.as_ref().map(|media| value("VISION_MEDIA", &media.path)));
    all
}

const TLS_FOLDER: &str = "/etc/vision/tls";
const CACHE_FOLDER: &str = "/var/cache/vision";
const STATE_FOLDER: &str = "/var/lib/vision";

fn mounts(settings: &Settings) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let mut all = vec![
        mount("cache", CACHE_FOLDER, false),
        mount("state", STATE_FOLDER, false),
        mount("tmp", "/tmp", false),
        mount("tls", TLS_FOLDER, true),
    ];
    all.extend(settings.media.as_ref().map(|media| mount("media", &media.path, true)));
    all
}

fn volumes(valid: &Valid<'_>, settings: &Settings) -> Vec<Volume> {
    let empty = |name: &str, size: &str| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity(size.to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    };
    let certificate = Volume {
        name: "tls".to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(names::certificate(valid.name)),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    let mut all = vec![empty("cache", &settings.cache_size), empty("state", "1Gi"), empty("tmp", "256Mi"), certificate];
    all.extend(settings.media.as_ref().map(|media| Volume {
        name: "media".to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: media.claim.clone(),
            read_only: Some(true),
        }),
        ..Volume::default()
    }));
    all
}

fn resources(valid: &Valid<'_>) -> ResourceRequirements {
    let of_user = &valid.model.spec.serving.resources;
    let (mut limits, mut requests) = (of_user.limits.clone(), of_user.requests.clone());
    if of_user.is_empty() {
        requests = DEFAULT_REQUESTS.map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned()))).into();
    }
    let mut claims = None;
    if let Some(gpu) = &valid.gpu {
        if gpu.count > 0 {
            let count = Quantity(gpu.count.to_string());
            limits.insert(gpu.resource_name.clone(), count.clone());
            requests.insert(gpu.resource_name.clone(), count);
        }
        let named = |claim: &k8s_openapi::api::core::v1::PodResourceClaim| ResourceClaim {
            name: claim.name.clone(),
            request: None,
        };
        claims = filled(gpu.resource_claims.iter().map(named));
    }
    ResourceRequirements {
        claims,
        limits: Some(limits).filter(|limits| !limits.is_empty()),
        requests: Some(requests).filter(|requests| !requests.is_empty()),
    }
}

fn filled<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    Some(items.collect::<Vec<T>>()).filter(|items| !items.is_empty())
}
