//! The models of a pod: opened beside each other, and kept if a changed one cannot be opened.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crds::DetectionModel;
use tokio::{sync::watch, task::JoinHandle};
use tracing::{error, info};

use crate::{
    assign::{DesiredModel, ModelKey},
    model::{Model, ModelError, ModelSpec, OpenOptions},
};

/// Opens `desired`, fetching it first where it must be.
///
/// # Errors
/// Why it cannot be used.
pub fn open_model(desired: &DesiredModel) -> Result<Arc<Model>, ModelError> {
    let manifest = DetectionModel::new(&desired.key.name, desired.spec.clone());
    // Its paths are absolute already, so the folder adds nothing.
    Model::open(&ModelSpec::from_manifest(&manifest, Path::new("/"))?, &OpenOptions::default())
}

/// Where a model is on its way.
#[derive(Clone, Debug, Default)]
pub(super) enum ModelState {
    /// Not desired yet, or being fetched and opened.
    #[default]
    Opening,
    /// Ready to run. A changed model stays at its last good version until the new one is open.
    Ready(Arc<Model>),
    /// It cannot be opened, and there is no earlier version.
    Failed(Arc<str>),
}

/// Every model that was ever desired; sources may wait for one before it is.
#[derive(Default)]
pub(super) struct Models(BTreeMap<ModelKey, Entry>);

#[derive(Default)]
struct Entry {
    desired: Option<Arc<DesiredModel>>,
    state: watch::Sender<ModelState>,
    task: Option<JoinHandle<()>>,
}

impl Models {
    /// Opens what is new or changed. A model that is no longer desired is closed when its last source has let go.
    pub(super) fn apply(&mut self, desired: &BTreeMap<ModelKey, Arc<DesiredModel>>) {
        self.0.retain(|key, entry| desired.contains_key(key) || entry.state.receiver_count() > 0);
        for (key, model) in desired {
            let entry = self.0.entry(key.clone()).or_default();
            if entry.desired.as_ref() != Some(model) {
                entry.desired = Some(Arc::clone(model));
                if let Some(task) = entry.task.take() {
                    task.abort();
                }
                entry.task = Some(tokio::spawn(open(Arc::clone(model), entry.state.clone())));
            }
        }
    }

    /// Tells where the model is, now and at every change.
    pub(super) fn watch(&mut self, key: &ModelKey) -> watch::Receiver<ModelState> {
        self.0.entry(key.clone()).or_default().state.subscribe()
    }

    /// Why the first of the models that cannot be opened cannot.
    pub(super) fn failure(&self) -> Option<Arc<str>> {
        self.0.values().find_map(|entry| match &*entry.state.borrow() {
            ModelState::Failed(failure) => Some(Arc::clone(failure)),
            ModelState::Opening | ModelState::Ready(_) => None,
        })
    }

    /// Gives up what is being fetched.
    pub(super) fn shut_down(&mut self) {
        for task in self.0.values_mut().filter_map(|entry| entry.task.take()) {
            task.abort();
        }
    }
}

async fn open(desired: Arc<DesiredModel>, state: watch::Sender<ModelState>) {
    let name = desired.key.clone();
    let failure = match tokio::task::spawn_blocking(move || open_model(&desired)).await {
        Ok(Ok(model)) => {
            info!(model = %name, digest = %model.info().digest, "model ready");
            state.send_replace(ModelState::Ready(model));
            return;
        }
        Ok(Err(failure)) => failure.to_string(),
        Err(failure) => failure.to_string(),
    };
    error!(model = %name, "{failure}");
    state.send_if_modified(|state| {
        let first = !matches!(state, ModelState::Ready(_));
        if first {
            *state = ModelState::Failed(failure.into());
        }
        first
    });
}
