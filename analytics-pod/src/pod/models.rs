//! The models of a pod: opened beside each other, changed in place, kept if the new one cannot be opened.

use std::{
    collections::BTreeMap,
    sync::Arc,
};

use tokio::{sync::watch, task::JoinHandle};
use tracing::{error, info};

use crate::{
    assign::ModelKey,
    model::{Model, ModelSpec, OpenOptions},
};

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

struct Entry {
    spec: Option<ModelSpec>,
    state: watch::Sender<ModelState>,
    task: Option<JoinHandle<()>>,
}

impl Entry {
    fn new() -> Self {
        Self { spec: None, state: watch::Sender::new(ModelState::Opening), task: None }
    }
}

impl Models {
    /// Opens what is new or changed. Models that are no longer desired are closed when their last source has let go.
    pub(super) fn apply(&mut self, desired: &BTreeMap<ModelKey, ModelSpec>) {
        self.0.retain(|key, entry| desired.contains_key(key) || entry.state.receiver_count() > 0);
        for (key, spec) in desired {
            let entry = self.0.entry(key.clone()).or_insert_with(Entry::new);
            if entry.spec.as_ref() != Some(spec) {
                entry.spec = Some(spec.clone());
                if let Some(task) = entry.task.take() {
                    task.abort();
                }
                entry.task = Some(tokio::spawn(open(spec.clone(), entry.state.clone())));
            }
        }
    }

    /// Tells where the model is, now and at every change.
    pub(super) fn watch(&mut self, key: &ModelKey) -> watch::Receiver<ModelState> {
        self.0.entry(key.clone()).or_insert_with(Entry::new).state.subscribe()
    }

    /// `None` while any is being opened; the first failure there is.
    pub(super) fn ready(&self) -> Option<Result<(), String>> {
        let mut failed = None;
        for entry in self.0.values() {
            match &*entry.state.borrow() {
                ModelState::Opening => return None,
                ModelState::Ready(_) => {}
                ModelState::Failed(message) => failed = failed.or(Some(message.to_string())),
            }
        }
        Some(failed.map_or(Ok(()), Err))
    }

    /// Gives up what is being fetched.
    pub(super) fn shut_down(&mut self) {
        for task in self.0.values_mut().filter_map(|entry| entry.task.take()) {
            task.abort();
        }
    }
}

async fn open(spec: ModelSpec, state: watch::Sender<ModelState>) {
    let name = Arc::clone(&spec.name);
    let opened = tokio::task::spawn_blocking(move || Model::open(&spec, &OpenOptions::default())).await;
    let failure = match opened {
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
