//! The cluster, and a namespace of one's own in it.

use std::{fmt::Debug, time::Duration};

use crds::{DetectionModel, VideoSource};
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Namespace, Node, Pod},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use operator::pods::selector;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Who owns the fields that scenarios apply.
const MANAGER: &str = "scenarios";

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);

/// The model of every scenario.
pub(crate) const MODEL: &str = "people";

/// Frames per second that every camera sends.
pub(crate) const FPS: u32 = 5;

/// Why a scenario could not be gone through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScenarioError {
    /// The API server refused.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// Something did not come about.
    #[error("not within {} s: {what}", limit.as_secs())]
    Timeout {
        /// What was waited for, and how it stood last.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// A script did not do its part.
    #[error("{0}")]
    Script(String),
    /// This cluster cannot show it.
    #[error("{0}")]
    Unsuitable(String),
}

/// A namespace with one model, and sources that come and go.
pub(crate) struct Cluster {
    client: Client,
    namespace: String,
}

impl Cluster {
    /// Makes `namespace` anew; whatever was in it is gone.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn prepare(client: Client, namespace: &str) -> Result<Self, ScenarioError> {
        let cluster = Self { client, namespace: namespace.to_owned() };
        cluster.end().await?;
        let object = Namespace {
            metadata: kube::api::ObjectMeta { name: Some(namespace.to_owned()), ..Default::default() },
            ..Default::default()
        };
        Api::all(cluster.client.clone()).create(&PostParams::default(), &object).await?;
        Ok(cluster)
    }

    /// Deletes the namespace with all that is in it, and waits until it is gone.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn end(&self) -> Result<(), ScenarioError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if namespaces.get_opt(&self.namespace).await?.is_none() {
            return Ok(());
        }
        // Pods serve on until they are released, which nobody waits for here.
        let now = DeleteParams::default().grace_period(0);
        self.api::<VideoSource>().delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        self.api::<DetectionModel>().delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        namespaces.delete(&self.namespace, &DeleteParams::default()).await?;
        self.wait("the namespace is gone", Duration::from_mins(3), async || {
            for pod in self.api::<Pod>().list(&ListParams::default()).await?.items {
                // It may have gone by itself.
                let _ = self.api::<Pod>().delete(&pod.name_any(), &now).await;
            }
            Ok(namespaces.get_opt(&self.namespace).await?.is_none().then_some(()))
        })
        .await
    }

    /// The objects of a kind in this namespace.
    #[must_use]
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The client.
    #[must_use]
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// What selects the analytics pods of the model.
    #[must_use]
    pub(crate) fn pod_selector() -> String {
        let labels: Vec<String> = selector(MODEL).iter().map(|(key, value)| format!("{key}={value}")).collect();
        labels.join(",")
    }

    /// Applies an object.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn apply<K>(&self, name: &str, object: &Value) -> Result<K, ScenarioError>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + Debug,
        K::DynamicType: Default,
    {
        let parameters = PatchParams::apply(MANAGER).force();
        Ok(self.api::<K>().patch(name, &parameters, &Patch::Apply(object)).await?)
    }

    /// Serves the model by `pods` pods that take `streams` each, and waits until all of them can.
    ///
    /// # Errors
    /// What the API server says, or that they do not.
    pub(crate) async fn serve(&self, pods: usize, streams: usize) -> Result<(), ScenarioError> {
        self.request(pods, streams).await?;
        self.wait(&format!("{pods} pods are ready"), Duration::from_mins(4), async || {
            let model = self.api::<DetectionModel>().get(MODEL).await?;
            let status = model.status.unwrap_or_default();
            Ok((status.ready_pods == pods as i32 && status.pods == pods as i32).then_some(()))
        })
        .await
    }

    /// Asks for the model to be served by `pods` pods that take `streams` each.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn request(&self, pods: usize, streams: usize) -> Result<(), ScenarioError> {
        let model = json!({
            "apiVersion": "vision-operator.dev/v1alpha1", "kind": "DetectionModel", "metadata": {"name": MODEL},
            "spec": {"source": {"builtin": "starter"}, "serving": {
                "replicas": pods, "maxPods": 16, "capacity": {"streams": streams, "inferencesPerSecond": 1000, "decode": 100_000},
                "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
            }},
        });
        self.apply::<DetectionModel>(MODEL, &model).await?;
        Ok(())
    }

    /// Applies a camera that sends 320×240 at [`FPS`].
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn add_camera(&self, name: &str, seed: usize) -> Result<VideoSource, ScenarioError> {
        let uri = format!("sim://street?seed={seed}&width=320&height=240&fps={FPS}");
        let source = json!({
            "apiVersion": "vision-operator.dev/v1alpha1", "kind": "VideoSource", "metadata": {"name": name},
            "spec": {"uri": uri, "modelRef": {"name": MODEL}, "detection": {"fps": FPS}},
        });
        self.apply(name, &source).await
    }

    /// All cameras.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn cameras(&self) -> Result<Vec<VideoSource>, ScenarioError> {
        Ok(self.api::<VideoSource>().list(&ListParams::default()).await?.items)
    }

    /// The analytics pods.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn pods(&self) -> Result<Vec<Pod>, ScenarioError> {
        Ok(self.api::<Pod>().list(&ListParams::default().labels(&Self::pod_selector())).await?.items)
    }

    /// The nodes.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, ScenarioError> {
        Ok(Api::all(self.client.clone()).list(&ListParams::default()).await?.items)
    }

    /// Makes a node take no more pods, or take them again.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn cordon(&self, node: &str, unschedulable: bool) -> Result<(), ScenarioError> {
        let patch = Patch::Merge(json!({"spec": {"unschedulable": unschedulable}}));
        Api::<Node>::all(self.client.clone()).patch(node, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Looks again and again until `look` finds something.
    ///
    /// # Errors
    /// That it has not within `limit`. An API server that does not answer meanwhile is asked again.
    pub(crate) async fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        look: impl AsyncFn() -> Result<Option<T>, ScenarioError>,
    ) -> Result<T, ScenarioError> {
        let deadline = Instant::now() + limit;
        loop {
            let what = match look().await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => what.to_owned(),
                Err(error) => format!("{what} ({error})"),
            };
            if Instant::now() >= deadline {
                return Err(ScenarioError::Timeout { what, limit });
            }
            sleep(POLL).await;
        }
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

/// The node that a pod runs on.
#[must_use]
pub(crate) fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}
