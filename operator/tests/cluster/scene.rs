//! One test's part of the cluster.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crds::{DetectionModel, VideoSource, VideoSourceStatus};
use fake_fleet::{ControlPlane, Fleet, Operator, Rights, Stage};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::time::Instant;

/// How long anything may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(1);

/// All tests share one control plane; it ends when their process does.
pub(crate) fn plane() -> Option<Arc<ControlPlane>> {
    static PLANE: OnceLock<Option<Arc<ControlPlane>>> = OnceLock::new();
    let plane = PLANE.get_or_init(|| match ControlPlane::start() {
        Ok(plane) => Some(Arc::new(plane)),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    });
    plane.clone()
}

/// A namespace, an operator for it, and a fleet.
pub(crate) struct Scene {
    pub(crate) plane: Arc<ControlPlane>,
    pub(crate) client: Client,
    pub(crate) stage: Stage,
    pub(crate) fleet: Fleet,
    pub(crate) operator: Operator,
}

/// The program under test.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_operator"))
}

impl Scene {
    /// Nothing where there can be no control plane.
    pub(crate) async fn set(name: &str) -> Option<Self> {
        Self::set_behind(name, None).await
    }

    /// The operator reaches the API server over `through`.
    pub(crate) async fn set_behind(name: &str, through: Option<std::net::SocketAddr>) -> Option<Self> {
        let plane = tokio::task::spawn_blocking(plane).await.unwrap()?;
        plane.furnish(2).await.unwrap();
        let client = plane.client().await.unwrap();
        let stage = Stage::set(&plane, name, &Rights::documented().unwrap(), through).await.unwrap();
        let fleet = Fleet::start(&client, &stage.namespace);
        let operator = stage.operator(program(), "operator-1", &[]).unwrap();
        Some(Self { plane, client, stage, fleet, operator })
    }

    pub(crate) fn sources(&self) -> Api<VideoSource> {
        Api::namespaced(self.client.clone(), &self.stage.namespace)
    }

    pub(crate) fn models(&self) -> Api<DetectionModel> {
        Api::namespaced(self.client.clone(), &self.stage.namespace)
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.stage.namespace)
    }

    /// A model whose pods take `streams` each, and never move them only to be even.
    pub(crate) async fn add_model(&self, name: &str, streams: i32, pods: i32) {
        let model = json!({
            "apiVersion": crds::API_VERSION,
            "kind": "DetectionModel",
            "metadata": { "name": name },
            "spec": {
                "source": { "builtin": "starter" },
                "serving": {
                    "capacity": { "streams": streams },
                    "minPods": pods,
                    "maxPods": 8,
                    "rebalance": { "enabled": false },
                },
            },
        });
        self.models().create(&PostParams::default(), &serde_json::from_value(model).unwrap()).await.unwrap();
    }

    pub(crate) async fn add_source(&self, name: &str, more: Value) {
        let mut spec =
            json!({ "uri": "rtsp://camera.example/1", "modelRef": { "name": "people" }, "detection": { "fps": 10 } });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let source = json!({
            "apiVersion": crds::API_VERSION, "kind": "VideoSource", "metadata": { "name": name }, "spec": spec,
        });
        self.sources().create(&PostParams::default(), &serde_json::from_value(source).unwrap()).await.unwrap();
    }

    /// The model `people`, and two pods that serve it.
    pub(crate) async fn add_two_pods(&self) {
        self.add_model("people", 8, 2).await;
        eventually("two pods serve", async || {
            (self.models().get("people").await.unwrap().status?.ready_pods == 2).then_some(())
        })
        .await;
    }

    /// Two pods with six sources that stream, and which has which.
    pub(crate) async fn add_fleet(&self) -> Vec<(String, Option<String>)> {
        self.add_two_pods().await;
        for index in 0..6 {
            self.add_source(&format!("camera-{index}"), json!({})).await;
        }
        self.all_stream().await
    }

    pub(crate) async fn status(&self, name: &str) -> VideoSourceStatus {
        self.sources().get(name).await.unwrap().status.unwrap_or_default()
    }

    /// The pod that each source is bound to, in the order of their names.
    pub(crate) async fn bindings(&self) -> Vec<(String, Option<String>)> {
        let sources = self.sources().list(&ListParams::default()).await.unwrap();
        let bound = |source: &VideoSource| Some(source.status.as_ref()?.assignment.as_ref()?.pod.clone());
        sources.iter().map(|source| (source.metadata.name.clone().unwrap(), bound(source))).collect()
    }

    /// Waits until all sources stream, and returns what each is bound to.
    pub(crate) async fn all_stream(&self) -> Vec<(String, Option<String>)> {
        eventually("all sources stream", async || {
            let sources = self.sources().list(&ListParams::default()).await.unwrap();
            let ready = |source: &VideoSource| {
                source.status.as_ref().is_some_and(|status| condition(status, "Ready").0 == "True")
            };
            (!sources.items.is_empty() && sources.iter().all(ready)).then_some(())
        })
        .await;
        self.bindings().await
    }

    /// A merge patch of a pod.
    pub(crate) async fn patch_pod(&self, name: &str, patch: Value) {
        self.pods().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub(crate) async fn delete_pod(&self, name: &str, params: &DeleteParams) {
        self.pods().delete(name, params).await.unwrap();
    }

    /// Prints what the operator said, if the test fails.
    pub(crate) fn tell(&self) -> Tell {
        Tell(self.operator_log())
    }

    fn operator_log(&self) -> std::path::PathBuf {
        self.operator.log_file().to_owned()
    }
}

/// Prints a log when a test panics.
pub(crate) struct Tell(pub(crate) std::path::PathBuf);

impl Drop for Tell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the operator's log:\n{}", std::fs::read_to_string(&self.0).unwrap_or_default());
        }
    }
}

/// Status and reason of a condition.
pub(crate) fn condition(status: &VideoSourceStatus, kind: &str) -> (String, String) {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind);
    found.map(|condition| (condition.status.clone(), condition.reason.clone())).unwrap_or_default()
}

/// Waits until there is an answer.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, ask).await
}

/// The same for what takes its time by design.
pub(crate) async fn eventually_within<T>(patience: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The resource version of an object.
pub(crate) fn version<K: Resource>(object: &K) -> String {
    object.meta().resource_version.clone().unwrap()
}
