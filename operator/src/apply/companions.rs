//! What stands beside the pods of each model: identity, rights, certificate and the gate for evictions.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crds::DetectionModel;
use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Change, Round, write::words};
use crate::{
    certificates::{Issuer, server_secret},
    clock,
    index::{self, Objects},
    metrics::Metrics,
    plan::Key,
    pods::{self, FIELD_MANAGER, Settings, certificate, status_host, validate},
    watch::World,
};

/// Models that are seen to at the same time.
const IN_FLIGHT: usize = 8;

/// What was applied is applied again after this time, in case somebody has changed or deleted it. That changes nothing
/// where nothing was.
const AGAIN: Duration = Duration::from_mins(10);

/// After a refusal it is tried again after this time.
const RETRY: Duration = Duration::from_secs(5);

/// Keeps the companions of every model that has pods.
pub(super) struct Companions {
    client: Client,
    settings: Arc<Settings>,
    issuer: Arc<Issuer>,
    metrics: Arc<Metrics>,
    known: Mutex<HashMap<Key, Known>>,
}

/// What was last applied.
struct Known {
    uid: Option<String>,
    secrets: BTreeSet<String>,
    certificate: String,
    at: Instant,
    refused: Option<String>,
}

/// The models that need companions: those that have pods, and those that get one now.
pub(super) fn needed(round: &Round, world: &World) -> BTreeSet<Key> {
    let made = round.changes.iter().filter_map(|change| match change {
        Change::CreatePod { pod, model, .. } => Some(pod.beside(model.clone())),
        _ => None,
    });
    let there = world.pods.objects();
    let there = there.iter().filter_map(|pod| {
        let model = pod.metadata.annotations.as_ref()?.get(pods::MODEL_ANNOTATION)?;
        Some(Key::new(pod.metadata.namespace.as_deref()?, model.as_str()))
    });
    made.chain(there).collect()
}

impl Companions {
    pub(super) fn new(client: Client, settings: Arc<Settings>, issuer: Arc<Issuer>, metrics: Arc<Metrics>) -> Self {
        Self { client, settings, issuer, metrics, known: Mutex::default() }
    }

    pub(super) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn refused(&self) -> BTreeMap<Key, String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter_map(|(key, known)| Some((key.clone(), known.refused.clone()?))).collect()
    }

    /// Applies what has changed. Returns the models whose companions are not as they should be, with why.
    pub(super) async fn keep(&self, needed: &BTreeSet<Key>, objects: &Objects) -> BTreeMap<Key, String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| needed.contains(key));
        let models = objects.models.iter().filter_map(|model| {
            let key = Key::new(model.metadata.namespace.as_deref()?, model.metadata.name.as_deref()?);
            needed.contains(&key).then_some((key, model))
        });
        stream::iter(models)
            .map(|(key, model)| async move {
                let refused = self.keep_one(&key, model, objects).await;
                refused.map(|words| (key, words))
            })
            .buffer_unordered(IN_FLIGHT)
            .filter_map(async |refused| refused)
            .collect()
            .await
    }

    async fn keep_one(&self, key: &Key, model: &DetectionModel, objects: &Objects) -> Option<String> {
        let valid = validate(model, &self.settings).ok()?;
        let secrets = index::secrets(objects, key);
        let host = status_host(&key.namespace, &key.name);
        let (identity, bundle) = match self.issuer.server(&host, clock::now().as_second()) {
            Ok(issued) => issued,
            Err(error) => return Some(error.to_string()),
        };
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let same = known.get(key).filter(|known| {
                known.uid == model.metadata.uid && known.secrets == secrets && known.certificate == identity.certificate
            });
            match same {
                Some(Known { refused: None, at, .. }) if at.elapsed() < AGAIN => return None,
                Some(Known { refused: Some(words), at, .. }) if at.elapsed() < RETRY => return Some(words.clone()),
                _ => {}
            }
        }
        let companions = pods::Companions::new(&valid, &self.settings, &secrets);
        let mut metadata = companions.service_account.metadata.clone();
        metadata.name = Some(certificate(&key.name));
        let secret: Secret = server_secret(metadata, &identity, &bundle);
        let result = async {
            self.apply(&companions.service_account).await?;
            // The rights before whoever has them.
            self.apply(&companions.role).await?;
            self.apply(&companions.role_binding).await?;
            self.apply(&secret).await?;
            if let Some(budget) = &companions.disruption_budget {
                self.apply(budget).await?;
            }
            Ok::<_, String>(())
        };
        let refused = result.await.err();
        match &refused {
            None => info!(model = %key, secrets = secrets.len(), "what stands beside the model's pods is in place"),
            Some(error) => warn!(model = %key, %error, "what stands beside the model's pods cannot be written"),
        }
        let known = Known {
            uid: model.metadata.uid.clone(),
            secrets,
            certificate: identity.certificate,
            at: Instant::now(),
            refused: refused.clone(),
        };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), known);
        refused
    }

    async fn apply<K>(&self, object: &K) -> Result<(), String>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Serialize,
    {
        let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let kind = K::kind(&());
        let began = Instant::now();
        let result = api.patch(&name, &params, &Patch::Apply(object)).await;
        let word = match &result {
            Ok(_) => "ok",
            Err(kube::Error::Api(status)) if (400..500).contains(&status.code) => "refused",
            Err(_) => "failed",
        };
        self.metrics.wrote(&kind, "apply", word, began.elapsed());
        // What is in a Secret never gets into an error.
        result.map(drop).map_err(|error| format!("{kind} {namespace}/{name}: {}", words(&error)))
    }
}
