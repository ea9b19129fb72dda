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
use operator::pods::MODEL_LABEL;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::objects::{Camera, Model};

/// Who owns the fields that scenarios apply.
const MANAGER: &str = "scenarios";

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);

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

    /// What selects the analytics pods.
    #[must_use]
    pub(crate) fn pod_selector() -> &'static str {
        MODEL_LABEL
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

    /// Applies a model, and waits until all of its pods serve.
    ///
    /// # Errors
    /// What the API server says, or that they do not.
    pub(crate) async fn serve(&self, model: &Model) -> Result<(), ScenarioError> {
        self.apply_model(model).await?;
        let pods = model.pods as i32;
        self.wait(&format!("{pods} pods of {} are ready", model.name), Duration::from_mins(4), async || {
            let status = self.api::<DetectionModel>().get(model.name).await?.status.unwrap_or_default();
            Ok((status.ready_pods == pods && status.pods == pods).then_some(()))
        })
        .await
    }

    /// Applies a model.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn apply_model(&self, model: &Model) -> Result<(), ScenarioError> {
        self.apply::<DetectionModel>(model.name, &model.manifest()).await?;
        Ok(())
    }

    /// Applies a camera.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn apply_camera(&self, name: &str, camera: &Camera) -> Result<(), ScenarioError> {
        self.apply::<VideoSource>(name, &camera.manifest(name)).await?;
        Ok(())
    }

    /// Deletes a camera.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn delete_camera(&self, name: &str) -> Result<(), ScenarioError> {
        self.api::<VideoSource>().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// All cameras.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn cameras(&self) -> Result<Vec<VideoSource>, ScenarioError> {
        Ok(self.api::<VideoSource>().list(&ListParams::default()).await?.items)
    }

    /// The analytics pods of all models.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn pods(&self) -> Result<Vec<Pod>, ScenarioError> {
        Ok(self.api::<Pod>().list(&ListParams::default().labels(Self::pod_selector())).await?.items)
    }

    /// Deletes a pod.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn delete_pod(&self, name: &str, parameters: &DeleteParams) -> Result<(), ScenarioError> {
        self.api::<Pod>().delete(name, parameters).await?;
        Ok(())
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
