//! A pod and its node as the planner sees them.

use k8s_openapi::api::core::v1 as api;

use super::Poll;
use crate::{
    plan::{Node, Pod, PodPhase, Retirement},
    pods::{EVACUATE_ANNOTATION, MODEL_ANNOTATION, RETIRE_ANNOTATION, SERVING_LABEL, TEMPLATE_HASH_LABEL},
};

/// Taints by which Kubernetes tells how a node is. They are no wish that pods leave: whether it is alive is asked of the
/// pods themselves.
const CONDITION_TAINTS: [&str; 6] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/network-unavailable",
];

/// Why a pod does not start, in Kubernetes' own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One word, such as `ImagePullBackOff` or `Unschedulable`.
    pub reason: String,
    /// The sentence that came with it.
    pub message: String,
}

/// The model that a pod was made for.
pub(super) fn model_name(pod: &api::Pod) -> Option<&str> {
    pod.metadata.annotations.as_ref()?.get(MODEL_ANNOTATION).map(String::as_str)
}

/// The pod, if it is one of the operator's.
pub(super) fn fold(pod: &api::Pod, node: Option<&api::Node>, poll: Option<&Poll>) -> Option<Pod> {
    let metadata = &pod.metadata;
    let annotation = |name: &str| metadata.annotations.as_ref().and_then(|all| all.get(name)).map(String::as_str);
    let label = |name: &str| metadata.labels.as_ref().and_then(|all| all.get(name)).map(String::as_str);
    let status = pod.status.as_ref();
    let phase = match status.and_then(|status| status.phase.as_deref()) {
        Some("Running") => PodPhase::Running,
        Some("Failed" | "Succeeded") => PodPhase::Finished,
        _ => PodPhase::Pending,
    };
    Some(Pod {
        model: model_name(pod)?.into(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).map(Into::into),
        created: metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_millisecond()),
        template_hash: label(TEMPLATE_HASH_LABEL).unwrap_or_default().into(),
        phase,
        ready: is_ready(pod),
        deleting: metadata.deletion_timestamp.is_some(),
        evacuate: annotation(EVACUATE_ANNOTATION).is_some(),
        tainted: node.is_some_and(|node| has_intolerable_taint(pod, node)),
        retiring: match annotation(RETIRE_ANNOTATION) {
            Some("Outdated") => Some(Retirement::Outdated),
            Some(_) => Some(Retirement::ScaleDown),
            None => None,
        },
        protected: label(SERVING_LABEL) == Some("true"),
        down_since: poll.and_then(|poll| poll.down_since),
        report: poll.and_then(|poll| poll.report.clone()),
    })
}

pub(super) fn fold_node(node: &api::Node) -> Node {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    Node {
        ready: ready.is_none_or(|condition| condition.status == "True"),
        draining: node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)),
    }
}

fn has_intolerable_taint(pod: &api::Pod, node: &api::Node) -> bool {
    let tolerations: Vec<&api::Toleration> =
        pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten()).collect();
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let is_wish = |taint: &&api::Taint| {
        matches!(&*taint.effect, "NoSchedule" | "NoExecute") && !CONDITION_TAINTS.contains(&&*taint.key)
    };
    taints.filter(is_wish).any(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

fn tolerates(toleration: &api::Toleration, taint: &api::Taint) -> bool {
    let is_of = |wanted: &Option<String>, actual: &str| {
        wanted.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == actual)
    };
    let value = toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
    is_of(&toleration.effect, &taint.effect)
        && is_of(&toleration.key, &taint.key)
        && (toleration.operator.as_deref() == Some("Exists") || value)
}

/// Whether Kubernetes has the pod as one that serves.
#[must_use]
pub fn is_ready(pod: &api::Pod) -> bool {
    condition(pod, "Ready") == Some("True")
}

fn condition<'a>(pod: &'a api::Pod, kind: &str) -> Option<&'a str> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind).map(|condition| &*condition.status)
}

/// Why a pod does not start or keeps ending, where Kubernetes says so.
#[must_use]
pub fn trouble(pod: &api::Pod) -> Option<Trouble> {
    /// Waiting with these words is how every pod begins.
    const ON_ITS_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    let waiting = containers.filter_map(|container| container.state.as_ref()?.waiting.as_ref()).find_map(|waiting| {
        let reason = waiting.reason.clone().filter(|reason| !ON_ITS_WAY.contains(&&**reason))?;
        Some(Trouble { reason, message: waiting.message.clone().unwrap_or_default() })
    });
    let unscheduled = || {
        let conditions = status.conditions.iter().flatten();
        let scheduled = conditions.into_iter().find(|condition| condition.type_ == "PodScheduled")?;
        (scheduled.status == "False").then(|| Trouble {
            reason: scheduled.reason.clone().unwrap_or_else(|| "Unschedulable".to_owned()),
            message: scheduled.message.clone().unwrap_or_default(),
        })
    };
    let ended = || {
        (status.phase.as_deref() == Some("Failed")).then(|| Trouble {
            reason: status.reason.clone().unwrap_or_else(|| "Failed".to_owned()),
            message: status.message.clone().unwrap_or_default(),
        })
    };
    waiting.or_else(unscheduled).or_else(ended)
}
