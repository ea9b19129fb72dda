//! The models of a pod: opened beside each other, and kept if a changed one cannot be opened.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crds::DetectionModel;
use tokio::{sync::watch, task::JoinHandle};
use tracing::{error, info};

use crate::{
    assign::{Causes, DesiredModel, ModelKey},
    model::{Model, ModelError, ModelSpec, OpenOptions},
    request_id::RequestId,
    telemetry::ModelTelemetry,
};

/// Opens `desired`, fetching it first where it must be.
///
/// # Errors
/// Why it cannot be used.
pub fn open_model(desired: &DesiredModel, options: &OpenOptions) -> Result<Arc<Model>, ModelError> {
    let manifest = DetectionModel::new(&desired.key.name, desired.spec.clone());
    // Its paths are absolute already, so the folder adds nothing.
    Model::open(&ModelSpec::from_manifest(&manifest, Path::new("/"))?, options)
}

/// Where a model is on its way. Empty: it is not desired yet, or being fetched and opened.
#[derive(Clone, Debug, Default)]
pub struct ModelState {
    /// Ready to run. A changed model stays at its last good version until the new one is open.
    pub ready: Option<Arc<Model>>,
    /// What `ready` was opened from.
    pub opened: Option<Arc<DesiredModel>>,
    /// Why the last version that was desired cannot be opened.
    pub failure: Option<Arc<str>>,
    /// The same for programs.
    pub refused: Option<ModelFailure>,
}

/// A version of a model that cannot be opened.
#[derive(Clone, Debug)]
pub struct ModelFailure {
    /// Which.
    pub desired: Arc<DesiredModel>,
    /// Why, as a stable word.
    pub reason: &'static str,
}

/// Every model that was ever desired; sources may wait for one before it is. Clones share the same models.
#[derive(Clone, Default)]
pub struct Models {
    entries: Arc<Mutex<BTreeMap<ModelKey, Entry>>>,
    options: Arc<OpenOptions>,
    telemetry: Arc<ModelTelemetry>,
}

#[derive(Default)]
struct Entry {
    desired: Option<Arc<DesiredModel>>,
    state: watch::Sender<ModelState>,
    task: Option<JoinHandle<()>>,
}

impl Models {
    /// None so far; they will be opened with `options`, and what becomes of them is counted in `telemetry`.
    pub(super) fn new(options: OpenOptions, telemetry: Arc<ModelTelemetry>) -> Self {
        Self { entries: Arc::default(), options: Arc::new(options), telemetry }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ModelKey, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens what is new or changed. A model that is no longer desired is closed when its last source has let go.
    pub(super) fn apply(&self, desired: &BTreeMap<ModelKey, Arc<DesiredModel>>, causes: &Causes) {
        let mut entries = self.entries();
        entries.retain(|key, entry| desired.contains_key(key) || entry.state.receiver_count() > 0);
        let open = |key: &ModelKey| Some(Arc::clone(entries.get(key)?.state.borrow().ready.as_ref()?.info()));
        self.telemetry.keep(&desired.keys().map(|key| (key.clone(), open(key))).collect());
        for (key, model) in desired {
            let entry = entries.entry(key.clone()).or_default();
            if entry.desired.as_ref() != Some(model) {
                entry.desired = Some(Arc::clone(model));
                self.open(entry, model, causes.of_model(key).cloned());
            }
        }
    }

    /// Tries those again that could not be opened.
    pub(super) fn reopen_failed(&self) {
        for entry in self.entries().values_mut() {
            let failed = entry.state.borrow().failure.is_some();
            if let Some(model) = entry.desired.clone().filter(|_| failed) {
                self.open(entry, &model, None);
            }
        }
    }

    fn open(&self, entry: &mut Entry, model: &Arc<DesiredModel>, request: Option<RequestId>) {
        if let Some(task) = entry.task.take() {
            task.abort();
        }
        let (options, telemetry) = (Arc::clone(&self.options), Arc::clone(&self.telemetry));
        let loading = load(Arc::clone(model), options, entry.state.clone(), telemetry, request);
        entry.task = Some(tokio::spawn(loading));
    }

    /// Tells where the model is, now and at every change.
    #[must_use]
    pub fn watch(&self, key: &ModelKey) -> watch::Receiver<ModelState> {
        self.entries().entry(key.clone()).or_default().state.subscribe()
    }

    /// Where the model is now; `None` where it is not known.
    #[must_use]
    pub fn state(&self, key: &ModelKey) -> Option<ModelState> {
        self.entries().get(key).map(|entry| entry.state.borrow().clone())
    }

    /// Why the first of the models that cannot be opened, and have no earlier version, cannot.
    pub(super) fn failure(&self) -> Option<Arc<str>> {
        self.entries().values().find_map(|entry| {
            let state = entry.state.borrow();
            state.failure.clone().filter(|_| state.ready.is_none())
        })
    }

    /// Gives up what is being fetched.
    pub(super) fn shut_down(&self) {
        for task in self.entries().values_mut().filter_map(|entry| entry.task.take()) {
            task.abort();
        }
    }
}

async fn load(
    desired: Arc<DesiredModel>,
    options: Arc<OpenOptions>,
    state: watch::Sender<ModelState>,
    telemetry: Arc<ModelTelemetry>,
    request: Option<RequestId>,
) {
    let (key, began) = (desired.key.clone(), Instant::now());
    let request_id = request.as_ref().map(RequestId::as_str);
    let (failure, reason) = match tokio::task::spawn_blocking({
        let desired = Arc::clone(&desired);
        move || open_model(&desired, &options)
    })
    .await
    {
        Ok(Ok(model)) => {
            let (digest, load_ms) = (&model.info().digest, began.elapsed().as_secs_f64() * 1e3);
            info!(model = %key, %digest, load_ms, request_id, "model ready");
            telemetry.count_loaded(&key, model.info(), began.elapsed());
            state.send_replace(ModelState { ready: Some(model), opened: Some(desired), ..ModelState::default() });
            return;
        }
        Ok(Err(failure)) => (failure.to_string(), failure.reason()),
        Err(failure) => (failure.to_string(), "Fault"),
    };
    error!(model = %key, reason, request_id, "{failure}");
    telemetry.count_failed(&key, reason);
    state.send_modify(|state| {
        state.failure = Some(failure.into());
        state.refused = Some(ModelFailure { desired, reason });
    });
}
