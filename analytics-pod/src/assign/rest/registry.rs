//! What is declared and what was made, side by side: the one place that REST changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use crds::Detection;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    error::ChangeError,
    field::FieldError,
    folder::{CONFIG_FILE, FolderError, Held, StateFolder, Unreadable},
    merge::{Made, Merged, Origin, merge},
    submission::{self, MadeModel, MadeSource},
};
use crate::{
    assign::{
        causes::Causes,
        desired::{DesiredState, ModelKey},
        error::{Kind, ObjectId},
        strict::suggest,
    },
    observation::SourceKey,
    request_id::RequestId,
};

/// Everything that is known at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// What manifests and the command line declare.
    pub declared: Arc<DesiredState>,
    /// What REST made.
    pub made: Made,
    /// What sources detect that do not say it themselves.
    pub detection: Arc<Detection>,
    /// All together.
    pub merged: Merged,
}

/// Where changes are kept.
#[derive(Debug)]
enum Keeping {
    Folder(StateFolder),
    /// Nowhere, for this reason: changes are refused.
    Off(Arc<str>),
    /// The cluster says what runs: changes are refused.
    Cluster,
}

/// What is declared and what was made. Reading never waits for a change under way; changes are made one after another
/// and are on the disk before they can be read.
#[derive(Debug)]
pub struct Registry {
    current: ArcSwap<Snapshot>,
    /// The requests behind what was published and not yet taken; held while it is published, so that both are taken
    /// together.
    causes: Mutex<Causes>,
    writing: Mutex<Keeping>,
    /// Where what is declared is from.
    declared_origin: Origin,
    folder: Option<Arc<std::path::Path>>,
    unreadable: Vec<Unreadable>,
    changed: watch::Sender<()>,
}

impl Registry {
    /// With what `folder` held; changes are kept there.
    #[must_use]
    pub fn new(declared: DesiredState, folder: StateFolder, held: Held) -> Self {
        let Held { sources, models, config: _, unreadable } = held;
        let made = Made {
            sources: sources.into_iter().map(|source| (source.key.clone(), Arc::new(source))).collect(),
            models: models.into_iter().map(|model| (model.key.clone(), Arc::new(model))).collect(),
        };
        let path = Some(folder.path().into());
        Self::with(declared, made, Keeping::Folder(folder), path, unreadable)
    }

    /// Without a place to keep changes: they are refused for this reason.
    #[must_use]
    pub fn read_only(declared: DesiredState, reason: &str) -> Self {
        Self::with(declared, Made::default(), Keeping::Off(reason.into()), None, Vec::new())
    }

    /// Of a pod that is told by a cluster what to run; nothing is declared so far.
    #[must_use]
    pub fn in_cluster() -> Self {
        let nothing = Self::with(DesiredState::default(), Made::default(), Keeping::Cluster, None, Vec::new());
        Self { declared_origin: Origin::Kubernetes, ..nothing }
    }

    /// Whether the cluster says what runs.
    #[must_use]
    pub fn is_of_cluster(&self) -> bool {
        self.declared_origin == Origin::Kubernetes
    }

    fn with(
        declared: DesiredState,
        made: Made,
        keeping: Keeping,
        folder: Option<Arc<std::path::Path>>,
        unreadable: Vec<Unreadable>,
    ) -> Self {
        let snapshot = snapshot(Arc::new(declared), made, Arc::default(), Origin::File);
        let current = ArcSwap::from_pointee(snapshot);
        Self {
            current,
            causes: Mutex::default(),
            declared_origin: Origin::File,
            writing: Mutex::new(keeping),
            folder,
            unreadable,
            changed: watch::Sender::new(()),
        }
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// What is known now, and the requests that led here since this was last called.
    #[must_use]
    pub fn take_changes(&self) -> (Arc<Snapshot>, Causes) {
        let mut causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
        (self.snapshot(), std::mem::take(&mut causes))
    }

    /// Where changes are kept; `None`: nowhere.
    #[must_use]
    pub fn folder(&self) -> Option<&std::path::Path> {
        self.folder.as_deref()
    }

    /// Files of the state folder that could not be used at the start.
    #[must_use]
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// Sources that do not say what they detect have these values from now on.
    pub fn set_detection_defaults(&self, defaults: Detection) {
        let _writing = self.write();
        let current = self.snapshot();
        if *current.detection != defaults {
            self.publish(Arc::clone(&current.declared), current.made.clone(), Arc::new(defaults), |_| {});
        }
    }

    /// Keeps what requests say of the configuration. Blocks until it is on the disk.
    ///
    /// # Errors
    /// Why not; what was kept before still is.
    pub fn keep_config(&self, config: &Value) -> Result<(), ChangeError> {
        let writing = self.write();
        Ok(folder(&writing)?.keep_config(config)?)
    }

    /// Why what was kept of the configuration is not written anew.
    #[must_use]
    pub fn unreadable_config(&self) -> ChangeError {
        let path = self.folder.as_deref().map(|folder| folder.join(CONFIG_FILE)).unwrap_or_default();
        FolderError::Unreadable { path }.into()
    }

    /// Tells of every change from now on.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether any source is declared now.
    #[must_use]
    pub fn declares_sources(&self) -> bool {
        !self.snapshot().declared.sources.is_empty()
    }

    /// The manifests have changed.
    pub fn declare(&self, declared: DesiredState) {
        let _writing = self.write();
        let current = self.snapshot();
        self.publish(Arc::new(declared), current.made.clone(), Arc::clone(&current.detection), |_| {});
    }

    /// Makes a source of a request's document. Blocks until it is on the disk.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn create_source(&self, request: &RequestId, body: &Value) -> Result<Arc<MadeSource>, ChangeError> {
        let writing = self.write();
        let current = self.snapshot();
        let (source, _) = submission::source_from(body, |namespace| current.merged.default_model(namespace))
            .map_err(ChangeError::Invalid)?;
        let id = source_id(&source.key);
        if let Some(&origin) = current.merged.sources.get(&source.key) {
            return Err(ChangeError::Exists { id, origin });
        }
        self.keep_source(request, &writing, &current, source, body)
    }

    /// Replaces a source by a request's document, or merges the document into it. Blocks until it is on the disk.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn change_source(
        &self,
        request: &RequestId,
        key: &SourceKey,
        body: &Value,
        patch: bool,
    ) -> Result<Arc<MadeSource>, ChangeError> {
        let writing = self.write();
        let current = self.snapshot();
        let before = made_source(&current, key)?;
        let source = submission::replaced_source(&before, body, patch).map_err(ChangeError::Invalid)?;
        self.keep_source(request, &writing, &current, source, body)
    }

    /// Removes a source. Blocks until it is gone from the disk.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn delete_source(&self, request: &RequestId, key: &SourceKey) -> Result<(), ChangeError> {
        let writing = self.write();
        let current = self.snapshot();
        made_source(&current, key)?;
        folder(&writing)?.forget(&source_id(key))?;
        let mut made = current.made.clone();
        made.sources.remove(key);
        self.publish_made(&current, made, |causes| {
            causes.sources.insert(key.clone(), request.clone());
        });
        Ok(())
    }

    /// Makes a model of a request's document. Blocks until it is on the disk.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn create_model(&self, request: &RequestId, body: &Value) -> Result<Arc<MadeModel>, ChangeError> {
        let writing = self.write();
        let current = self.snapshot();
        let model = submission::model_from(body).map_err(ChangeError::Invalid)?;
        // A built-in model is there only because a source names it: one may stand in its place.
        if let Some(&origin) = current.merged.models.get(&model.key).filter(|origin| **origin != Origin::Builtin) {
            return Err(ChangeError::Exists { id: model_id(&model.key), origin });
        }
        self.keep_model(request, &writing, &current, model)
    }

    /// Replaces a model by a request's document. Blocks until it is on the disk.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn replace_model(
        &self,
        request: &RequestId,
        key: &ModelKey,
        body: &Value,
    ) -> Result<Arc<MadeModel>, ChangeError> {
        let writing = self.write();
        let current = self.snapshot();
        made_model(&current, key)?;
        let model = submission::replaced_model(key, body).map_err(ChangeError::Invalid)?;
        self.keep_model(request, &writing, &current, model)
    }

    /// Removes a model that no source uses. Blocks until it is gone from the disk.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn delete_model(&self, request: &RequestId, key: &ModelKey) -> Result<(), ChangeError> {
        let writing = self.write();
        let current = self.snapshot();
        made_model(&current, key)?;
        let uses = |(source, spec): (&SourceKey, &Arc<crds::VideoSourceSpec>)| {
            let same = source.namespace == key.namespace && *spec.model_ref.name == *key.name;
            same.then(|| source.name.to_string())
        };
        let used_by: Vec<String> = current.merged.state.specs.iter().filter_map(uses).collect();
        if !used_by.is_empty() {
            return Err(ChangeError::InUse { id: model_id(key), used_by });
        }
        folder(&writing)?.forget(&model_id(key))?;
        let mut made = current.made.clone();
        made.models.remove(key);
        self.publish_made(&current, made, |causes| {
            causes.models.insert(key.clone(), request.clone());
        });
        Ok(())
    }

    fn keep_source(
        &self,
        request: &RequestId,
        writing: &Keeping,
        current: &Snapshot,
        source: MadeSource,
        body: &Value,
    ) -> Result<Arc<MadeSource>, ChangeError> {
        let model = ModelKey::new(&source.key.namespace, &source.spec.model_ref.name);
        if !current.merged.has_model(&model) {
            let known: Vec<&str> = current.merged.models_of(&model.namespace).into_iter().collect();
            let field = if body.get("spec").is_some() {
                "spec.modelRef.name"
            } else if body.get("model").is_some() {
                "model"
            } else {
                "modelRef.name"
            };
            let problem = format!("names a DetectionModel that is not in namespace {}", model.namespace);
            return Err(ChangeError::Invalid(vec![FieldError {
                field: field.to_owned(),
                problem,
                remedy: Some(suggest(&model.name, &known)),
            }]));
        }
        let source = Arc::new(source);
        if current.made.sources.get(&source.key) != Some(&source) {
            folder(writing)?.keep_source(&source)?;
            let mut made = current.made.clone();
            made.sources.insert(source.key.clone(), Arc::clone(&source));
            self.publish_made(current, made, |causes| {
                causes.sources.insert(source.key.clone(), request.clone());
            });
        }
        Ok(source)
    }

    fn keep_model(
        &self,
        request: &RequestId,
        writing: &Keeping,
        current: &Snapshot,
        model: MadeModel,
    ) -> Result<Arc<MadeModel>, ChangeError> {
        let model = Arc::new(model);
        folder(writing)?.keep_model(&model)?;
        let mut made = current.made.clone();
        made.models.insert(model.key.clone(), Arc::clone(&model));
        self.publish_made(current, made, |causes| {
            causes.models.insert(model.key.clone(), request.clone());
        });
        Ok(model)
    }

    fn write(&self) -> MutexGuard<'_, Keeping> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With other objects that REST made.
    fn publish_made(&self, current: &Snapshot, made: Made, because: impl FnOnce(&mut Causes)) {
        self.publish(Arc::clone(&current.declared), made, Arc::clone(&current.detection), because);
    }

    fn publish(
        &self,
        declared: Arc<DesiredState>,
        made: Made,
        detection: Arc<Detection>,
        because: impl FnOnce(&mut Causes),
    ) {
        let mut causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
        self.current.store(Arc::new(snapshot(declared, made, detection, self.declared_origin)));
        because(&mut causes);
        drop(causes);
        self.changed.send_replace(());
    }
}

fn snapshot(declared: Arc<DesiredState>, made: Made, detection: Arc<Detection>, declared_origin: Origin) -> Snapshot {
    let mut merged = merge(&declared, &made);
    for origin in
        merged.sources.values_mut().chain(merged.models.values_mut()).filter(|origin| **origin == Origin::File)
    {
        *origin = declared_origin;
    }
    merged.state.fill_detection(&detection);
    Snapshot { declared, made, detection, merged }
}

fn folder(keeping: &Keeping) -> Result<&StateFolder, ChangeError> {
    match keeping {
        Keeping::Folder(folder) => Ok(folder),
        Keeping::Off(reason) => Err(ChangeError::Unavailable(Arc::clone(reason))),
        Keeping::Cluster => Err(ChangeError::InCluster),
    }
}

fn made_source(current: &Snapshot, key: &SourceKey) -> Result<Arc<MadeSource>, ChangeError> {
    match (current.merged.sources.get(key), current.made.sources.get(key)) {
        (Some(Origin::Rest), Some(source)) => Ok(Arc::clone(source)),
        (Some(&origin), _) => Err(ChangeError::NotMadeHere { id: source_id(key), origin }),
        (None, _) => Err(ChangeError::NotFound(source_id(key))),
    }
}

fn made_model(current: &Snapshot, key: &ModelKey) -> Result<Arc<MadeModel>, ChangeError> {
    match (current.merged.models.get(key), current.made.models.get(key)) {
        (Some(Origin::Rest), Some(model)) => Ok(Arc::clone(model)),
        (Some(&origin), _) => Err(ChangeError::NotMadeHere { id: model_id(key), origin }),
        (None, _) => Err(ChangeError::NotFound(model_id(key))),
    }
}

fn source_id(key: &SourceKey) -> ObjectId {
    ObjectId { kind: Kind::VideoSource, namespace: key.namespace.clone(), name: key.name.clone() }
}

fn model_id(key: &ModelKey) -> ObjectId {
    ObjectId { kind: Kind::DetectionModel, namespace: key.namespace.clone(), name: key.name.clone() }
}
