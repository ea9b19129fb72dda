//! What is in force while the pod runs, and how it changes: by requests, and when the files are read anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use serde_json::{Map, Value, json};

use super::{
    error::ConfigErrors,
    keys::{Change, key, keys},
    layer::{Origin, settings_of},
    settings::{Effective, Inputs},
    shape,
    show::Shown,
    types::Config,
};
use crate::assign::{
    document::Located,
    rest::{ChangeError, FieldError, Registry, merge_patch},
    strict,
};

/// What is in force. Reading never waits for a change under way; changes are made one after another, and those of
/// requests are on the disk before they can be read.
pub struct Store {
    inputs: Inputs,
    registry: Arc<Registry>,
    /// Makes the values that may change while the pod runs take effect.
    apply: Box<dyn Fn(&Config) + Send + Sync>,
    layers: Mutex<Layers>,
    current: ArcSwap<InForce>,
}

struct Layers {
    /// Files, environment and flags.
    written: Effective,
    /// What requests say over it.
    requested: Value,
    /// What was requested before cannot be used; it is left as it is.
    unusable: bool,
}

struct InForce {
    effective: Effective,
    pending_restart: Vec<&'static str>,
}

/// What became of reading the files anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Keys with other values, which are in force now.
    pub changed: Vec<&'static str>,
    /// Keys with other values, which take effect at the next start.
    pub pending_restart: Vec<&'static str>,
}

impl Store {
    /// With what was requested before the start. If that cannot be used it is told, and left as it is.
    #[must_use]
    pub fn new(
        inputs: Inputs,
        written: Effective,
        requested: Option<Value>,
        registry: Arc<Registry>,
        apply: impl Fn(&Config) + Send + Sync + 'static,
    ) -> Self {
        let requested = requested.unwrap_or_else(|| json!({}));
        let usable = check(&requested)
            .map_err(|errors| ChangeError::Invalid(errors).to_string())
            .and_then(|()| written.under(&requested).map_err(|errors| errors.to_string()));
        let (effective, requested, unusable) = match usable {
            Ok(effective) => (effective, requested, false),
            Err(problem) => {
                tracing::error!(
                    "config.json of the state folder cannot be used: {problem}; correct or remove it, and start the \
                     pod again"
                );
                (written.clone(), json!({}), true)
            }
        };
        apply(&effective.config);
        let in_force = InForce { effective, pending_restart: Vec::new() };
        Self {
            inputs,
            registry,
            apply: Box::new(apply),
            layers: Mutex::new(Layers { written, requested, unusable }),
            current: ArcSwap::from_pointee(in_force),
        }
    }

    /// The values in force.
    #[must_use]
    pub fn current(&self) -> Effective {
        self.current.load().effective.clone()
    }

    /// As people and programs are shown it.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let current = self.current.load();
        Shown::of(&current.effective, &current.pending_restart)
    }

    /// Merges a request's document (RFC 7396) into what requests said before: null takes a key back to what files,
    /// environment and flags say. Blocks until it is on the disk.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn change(&self, patch: &Value) -> Result<(), ChangeError> {
        check(patch).map_err(ChangeError::Invalid)?;
        let mut layers = self.lock();
        let mut fixed = Vec::new();
        let current = self.current();
        for (path, setting) in settings_of(&Located::from_json(patch), None, |_| Origin::Rest) {
            let value = setting.json();
            let is_live = key(&path).is_some_and(|key| key.change == Change::Live);
            if !is_live && !value.is_null() && value != current.value(&path) {
                fixed.push(not_live(&path));
            }
        }
        if !fixed.is_empty() {
            return Err(ChangeError::Fixed(fixed));
        }
        let requested = live_part(&merge_patch(layers.requested.clone(), patch));
        self.keep(&mut layers, requested, "")
    }

    /// Makes a request's document the defaults of detection, as a whole: a key that it does not name has no value.
    /// Blocks until it is on the disk.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn replace_detection(&self, document: &Value) -> Result<(), ChangeError> {
        check_against(shape::of_key("detection"), document).map_err(ChangeError::Invalid)?;
        let mut layers = self.lock();
        let mut detection: Map<String, Value> = keys()
            .iter()
            .filter_map(|key| Some((key.path.strip_prefix("detection.")?.to_owned(), Value::Null)))
            .collect();
        detection.extend(document.as_object().cloned().unwrap_or_default());
        let mut requested = layers.requested.clone();
        requested["detection"] = Value::Object(detection);
        self.keep(&mut layers, requested, "detection")
    }

    /// Keeps and applies what requests say now; errors name fields below `section`.
    fn keep(&self, layers: &mut Layers, requested: Value, section: &str) -> Result<(), ChangeError> {
        if layers.unusable {
            return Err(self.registry.unreadable_config());
        }
        let effective = layers.written.under(&requested).map_err(|errors| {
            let field = |mut error: FieldError| {
                if let Some(rest) = error.field.strip_prefix(section) {
                    error.field = rest.trim_start_matches('.').to_owned();
                }
                error
            };
            ChangeError::Invalid(errors.0.into_iter().map(FieldError::from).map(field).collect())
        })?;
        if requested != layers.requested {
            self.registry.keep_config(&requested)?;
            layers.requested = requested;
            self.put(effective, self.current.load().pending_restart.clone());
        }
        Ok(())
    }

    /// Reads files anew.
    ///
    /// # Errors
    /// What is wrong with them; what was in force still is.
    pub fn read_anew(&self) -> Result<Effective, ConfigErrors> {
        self.inputs.read()
    }

    /// Puts what was read anew into force, as far as it can change while the pod runs.
    ///
    /// # Errors
    /// Where it cannot be used together with what requests say; what was in force still is.
    pub fn accept(&self, read: &Effective) -> Result<Reloaded, ConfigErrors> {
        let mut layers = self.lock();
        let current = self.current();
        let changes = |path: &str| key(path).is_some_and(|key| key.change != Change::Restart);
        let written = layers.written.with(read, changes)?;
        let effective = written.under(&layers.requested)?;
        let changed = effective.differences(&current);
        let pending_restart: Vec<&'static str> =
            read.differences(&written).into_iter().filter(|path| !changes(path)).collect();
        layers.written = written;
        self.put(effective, pending_restart.clone());
        Ok(Reloaded { changed, pending_restart })
    }

    fn put(&self, effective: Effective, pending_restart: Vec<&'static str>) {
        (self.apply)(&effective.config);
        self.current.store(Arc::new(InForce { effective, pending_restart }));
    }

    fn lock(&self) -> MutexGuard<'_, Layers> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(document: &Value) -> Result<(), Vec<FieldError>> {
    if document.get("extends").is_some_and(|extends| !extends.is_null()) {
        let remedy = "remove it; files build on others, requests do not".to_owned();
        let problem = "is not for requests".to_owned();
        return Err(vec![FieldError { field: "extends".to_owned(), problem, remedy: Some(remedy) }]);
    }
    check_against(shape::of_files(), document)
}

fn check_against(schema: &Value, document: &Value) -> Result<(), Vec<FieldError>> {
    let problems = strict::check(schema, &Located::from_json(document), false);
    let error =
        |found: strict::Problem| FieldError { field: found.field, problem: found.message, remedy: Some(found.remedy) };
    if document.is_object() && problems.is_empty() {
        return Ok(());
    }
    if problems.is_empty() {
        // The schema takes null for an absent document.
        let (problem, remedy) = ("the document is not a JSON object".to_owned(), "send the keys to change".to_owned());
        return Err(vec![FieldError { field: String::new(), problem, remedy: Some(remedy) }]);
    }
    Err(problems.into_iter().map(error).collect())
}

fn not_live(path: &str) -> FieldError {
    let remedy = match path {
        "sources" | "models" => format!("use /api/v1/{path}, or change the file and send SIGHUP"),
        "files" | "model" => "change the file and send SIGHUP".to_owned(),
        _ => "change it in the file, the environment or the flags, and start the pod again".to_owned(),
    };
    FieldError { field: path.to_owned(), problem: "cannot be changed by a request".to_owned(), remedy: Some(remedy) }
}

/// What requests may change of a document, without sections that say nothing.
fn live_part(document: &Value) -> Value {
    let live = keys().iter().filter(|key| key.change == Change::Live);
    let values = live.filter_map(|key| {
        let pointer = format!("/{}", key.path.replace('.', "/"));
        Some((key.path.as_str(), document.pointer(&pointer)?.clone()))
    });
    super::layer::nested(values)
}
