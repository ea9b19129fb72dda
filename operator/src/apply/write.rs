//! One write.

use std::{fmt::Debug, sync::Arc, time::Duration};

use crds::{DetectionModel, VideoSource};
use k8s_openapi::{
    api::core::v1::{ObjectReference, Pod},
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{
    Api, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{Change, Writer, events::Note};
use crate::{
    clock,
    plan::{Decision, Key},
    pods::{FIELD_MANAGER, Template, validate},
    watch::Unreadable,
};

/// How a write ended.
enum Ending {
    Done,
    /// The object has changed since it was decided on, or is gone.
    Conflict,
    /// The API server says no.
    Refused(kube::Error),
    /// The API server did not answer, or not in time.
    Failed(kube::Error),
}

/// The API server says no, and will say so again.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status)
        if (400..500).contains(&status.code) && !matches!(status.code, 404 | 409 | 429))
}

/// What the API server says, without how the client writes it.
pub(super) fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

impl Ending {
    fn of<T>(result: Result<T, kube::Error>) -> (Option<T>, Self) {
        match result {
            Ok(answer) => (Some(answer), Self::Done),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => (None, Self::Conflict),
            Err(error) if is_refusal(&error) => (None, Self::Refused(error)),
            Err(error) => (None, Self::Failed(error)),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Done => "ok",
            Self::Conflict => "conflict",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
        }
    }
}

impl Writer {
    pub(super) async fn write(&self, change: Change) {
        match change {
            Change::CreatePod { pod, model, decision } => self.create_pod(&pod, &model, &decision).await,
            Change::DeletePod { pod, decision } => self.delete_pod(&pod, &decision).await,
            Change::PatchPod { pod, patch, decision } => self.patch_pod(&pod, &patch, &decision).await,
            Change::SourceStatus { object, status, decision, .. } => {
                let written = self.status(&*object, &json!(status)).await;
                let Some(written) = written else { return };
                self.told_source(&object, &status, decision.as_ref());
                self.world.sources.answered(written);
            }
            Change::ModelStatus { object, status } => {
                if let Some(written) = self.status(&*object, &json!(status)).await {
                    self.told_model(&object, &status);
                    self.world.models.answered(written);
                }
            }
            Change::Unreadable { kind, key, unreadable } => self.tell_unreadable(kind, &key, &unreadable).await,
        }
    }

    async fn create_pod(&self, key: &Key, model: &Arc<str>, decision: &Decision) {
        let decided_model = model.clone();
        let Some(model) = self.world.models.get(&key.beside(model.clone())) else { return };
        let Ok(valid) = validate(&model, &self.settings) else { return };
        let pod = Template::new(&valid, &self.settings).pod(&key.name);
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let mut refused = None;
        let creating = async {
            let created = self.pods(key).create(&params, &pod).await;
            refused = created.as_ref().err().filter(|error| is_refusal(error)).map(words);
            created
        };
        let created = self.counted("Pod", "create", key, creating).await;
        if created.is_some() || refused.is_some() {
            self.note_pod(key.beside(decided_model), model.metadata.generation, refused);
        }
        if let Some(pod) = created {
            self.decided(decision, &reference(&*model), Some(reference(&pod)));
            self.world.pods.answered(pod);
        }
    }

    async fn delete_pod(&self, key: &Key, decision: &Decision) {
        let Some(pod) = self.world.pods.get(key) else { return };
        let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let deleted = self.counted("Pod", "delete", key, self.pods(key).delete(&key.name, &params)).await;
        if let Some(deleted) = deleted {
            self.decided(decision, &reference(&*pod), None);
            match deleted.left() {
                Some(pod) => self.world.pods.answered(pod),
                None => self.world.pods.gone(&pod.metadata),
            }
        }
    }

    async fn patch_pod(&self, key: &Key, patch: &Value, decision: &Decision) {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let api = self.pods(key);
        let patched = self.counted("Pod", "patch", key, api.patch(&key.name, &params, &Patch::Merge(patch))).await;
        if let Some(pod) = patched {
            self.decided(decision, &reference(&pod), None);
            self.world.pods.answered(pod);
        }
    }

    /// Writes the whole status, for the version of the object that it was decided on: a part of it would remove the rest,
    /// and on another version something else may have to be decided.
    async fn status<K>(&self, object: &K, status: &Value) -> Option<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let metadata = object.meta();
        let key = Key::new(metadata.namespace.as_deref()?, metadata.name.as_deref()?);
        let body = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": { "name": metadata.name, "resourceVersion": metadata.resource_version },
            "status": status,
        });
        let api: Api<K> = Api::namespaced(self.client.clone(), &key.namespace);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let kind = K::kind(&());
        self.counted(&kind, "status", &key, api.patch_status(&key.name, &params, &Patch::Apply(&body))).await
    }

    /// Tells of an object that it cannot be read. Only conditions are written: whatever else its status holds stays.
    async fn tell_unreadable(&self, kind: &'static str, key: &Key, unreadable: &Unreadable) {
        if !self.note_unreadable(key, unreadable) {
            return;
        }
        warn!(object = %key, kind, error = %unreadable.error, "the object cannot be read; the others are served");
        let message = format!("the object cannot be read by this version of the operator: {}", unreadable.error);
        let condition = |kind: &str, reason: &str| Condition {
            type_: kind.to_owned(),
            status: "False".to_owned(),
            reason: reason.to_owned(),
            message: message.chars().take(1_024).collect(),
            last_transition_time: Time(clock::now()),
            observed_generation: unreadable.metadata.generation,
        };
        let conditions = [condition("Accepted", "Unreadable"), condition("Ready", "Unreadable")];
        let patch = Patch::Merge(json!({ "status": { "conditions": conditions } }));
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let resource = kube::discovery::ApiResource {
            group: crds::GROUP.to_owned(),
            version: "v1alpha1".to_owned(),
            api_version: crds::API_VERSION.to_owned(),
            kind: if kind == "videosources" { "VideoSource" } else { "DetectionModel" }.to_owned(),
            plural: kind.to_owned(),
        };
        let api: Api<kube::api::DynamicObject> = Api::namespaced_with(self.client.clone(), &key.namespace, &resource);
        let writing = api.patch_status(&key.name, &params, &patch);
        if self.counted(&resource.kind, "status", key, writing).await.is_none() {
            self.forget_unreadable(key);
        }
    }

    /// Waits for a write, counts it, and says what went wrong.
    async fn counted<T>(
        &self,
        kind: &str,
        verb: &str,
        key: &Key,
        writing: impl Future<Output = Result<T, kube::Error>>,
    ) -> Option<T> {
        let began = Instant::now();
        let (answer, ending) = Ending::of(writing.await);
        self.metrics.wrote(kind, verb, ending.word(), began.elapsed());
        match ending {
            Ending::Done => {}
            Ending::Conflict => debug!(kind, verb, object = %key, "changed meanwhile; decided again"),
            Ending::Refused(error) => {
                warn!(kind, verb, object = %key, error = words(&error), "the API server refuses the write");
            }
            Ending::Failed(error) => {
                warn!(kind, verb, object = %key, error = words(&error), "the write failed; decided again");
                // Many more would fail as well: the next round tries again.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        answer
    }

    fn pods(&self, key: &Key) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    fn told_source(&self, object: &VideoSource, status: &crds::VideoSourceStatus, decision: Option<&Decision>) {
        if let Some(decision) = decision {
            self.decided(decision, &reference(object), None);
        }
        let before = object.status.as_ref();
        let reason_before = before.and_then(|status| status.reason.as_deref());
        let state_before = before.and_then(|status| status.state);
        let key = (object.metadata.namespace.as_deref(), object.metadata.name.as_deref());
        let (namespace, name) = (key.0.unwrap_or_default(), key.1.unwrap_or_default());
        let epoch = status.assignment.as_ref().map(|assignment| assignment.epoch);
        if status.state != state_before {
            info!(
                source = format!("{namespace}/{name}"),
                epoch,
                state = status.state.map(|state| format!("{state:?}")),
                reason = status.reason,
                why = status.message,
                "the source's state has changed"
            );
        }
        let has_trouble = |state| !matches!(state, crds::StreamState::Streaming | crds::StreamState::Disabled);
        let is_plain = matches!(status.reason.as_deref(), None | Some("Connecting" | "Releasing" | "WaitingForPod"));
        if status.reason.as_deref() != reason_before && status.state.is_some_and(has_trouble) && !is_plain {
            let reason = status.reason.clone().unwrap_or_default();
            let text = status.message.clone().unwrap_or_default();
            self.events.tell(Note {
                about: reference(object),
                related: None,
                warns: true,
                action: "Watch",
                reason,
                text,
            });
        }
    }

    fn told_model(&self, object: &DetectionModel, status: &crds::DetectionModelStatus) {
        let before = object.status.as_ref();
        let reason_before = |kind: &str| {
            let conditions = before.iter().flat_map(|status| status.conditions.iter());
            conditions.into_iter().find(|condition| condition.type_ == kind).map(|condition| condition.reason.clone())
        };
        for condition in &status.conditions {
            let is_trouble = condition.status == "False" && matches!(&*condition.type_, "Accepted" | "PodsHealthy");
            if !is_trouble || reason_before(&condition.type_).as_ref() == Some(&condition.reason) {
                continue;
            }
            self.events.tell(Note {
                about: reference(object),
                related: None,
                warns: true,
                action: "Serve",
                reason: condition.reason.clone(),
                text: condition.message.clone(),
            });
        }
    }

    /// Counts, logs and tells what was decided and done.
    fn decided(&self, decision: &Decision, about: &ObjectReference, related: Option<ObjectReference>) {
        let (action, reason) = (decision.action(), decision.reason());
        self.metrics.decided(action, reason.as_str());
        let text = note(decision);
        let object =
            format!("{}/{}", about.namespace.as_deref().unwrap_or_default(), about.name.as_deref().unwrap_or_default());
        info!(action, reason = reason.as_str(), object, epoch = epoch(decision), "{text}");
        self.events.tell(Note {
            about: about.clone(),
            related,
            warns: false,
            action,
            reason: reason.as_str().to_owned(),
            text,
        });
    }
}

fn epoch(decision: &Decision) -> Option<i64> {
    match decision {
        Decision::Bind { epoch, .. }
        | Decision::StartHandover { epoch, .. }
        | Decision::FinishHandover { epoch, .. } => Some(*epoch),
        _ => None,
    }
}

/// What was done, as a sentence.
fn note(decision: &Decision) -> String {
    let why = decision.reason().sentence();
    match decision {
        Decision::CreatePod { pod, .. } => format!("made pod {}: {why}", pod.name),
        Decision::DeletePod { pod, .. } => format!("deleted pod {}: {why}", pod.name),
        Decision::RetirePod { pod, .. } => format!("pod {} is to end once its streams have moved: {why}", pod.name),
        Decision::KeepPod { pod, .. } => format!("pod {} is kept: {why}", pod.name),
        Decision::ProtectPod { pod, .. } => format!("evictions are kept off pod {}: {why}", pod.name),
        Decision::UnprotectPod { pod, .. } => format!("pod {} may be evicted: {why}", pod.name),
        Decision::Bind { pod, .. } => format!("bound to pod {pod}: {why}"),
        Decision::StartHandover { from, to, .. } => format!("pod {to} warms up to take over from {from}: {why}"),
        Decision::FinishHandover { pod, .. } => format!("taken over by pod {pod}: {why}"),
        Decision::AbortHandover { pod, .. } => format!("pod {pod} does not take over: {why}"),
        Decision::Release { pod, .. } => format!("released by pod {pod}: {why}"),
    }
}

fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        namespace: object.meta().namespace.clone(),
        name: object.meta().name.clone(),
        uid: object.meta().uid.clone(),
        ..ObjectReference::default()
    }
}
