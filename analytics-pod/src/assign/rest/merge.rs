//! One desired state from what is declared and what was made over REST. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    sync::Arc,
};

use crds::{DetectionModelSpec, ModelSource};
use serde::Serialize;

use super::submission::{MadeModel, MadeSource};
use crate::{
    assign::{
        desired::{DesiredModel, DesiredSource, DesiredState, ModelKey},
        loader::parse_uri,
    },
    model::builtin_names,
    observation::SourceKey,
};

/// Where an object is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A manifest, or the command line.
    File,
    /// A request.
    Rest,
    /// Part of the program.
    Builtin,
    /// The API server of the cluster that the pod runs in.
    Kubernetes,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "in a manifest or on the command line",
            Self::Rest => "over REST",
            Self::Builtin => "by the program itself",
            Self::Kubernetes => "in the cluster",
        })
    }
}

/// What REST made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Made {
    /// Sources.
    pub sources: BTreeMap<SourceKey, Arc<MadeSource>>,
    /// Models.
    pub models: BTreeMap<ModelKey, Arc<MadeModel>>,
}

/// What the pod is to run, and what is left out of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// What is to run.
    pub state: DesiredState,
    /// Where each source is from.
    pub sources: BTreeMap<SourceKey, Origin>,
    /// Where each model is from.
    pub models: BTreeMap<ModelKey, Origin>,
    /// Sources that REST made and that a declared one of the same name stands before.
    pub shadowed_sources: BTreeSet<SourceKey>,
    /// Models that REST made and that a declared one of the same name stands before.
    pub shadowed_models: BTreeSet<ModelKey>,
    /// Sources that REST made and that cannot run, with the reason.
    pub stuck: BTreeMap<SourceKey, String>,
}

/// What is `declared` (by manifests or the command line) and `made` together. Where both have a name, the declared one
/// wins. A built-in model is there as soon as a made source names it.
#[must_use]
pub fn merge(declared: &DesiredState, made: &Made) -> Merged {
    let mut merged = Merged { state: declared.clone(), ..Merged::default() };
    merged.sources.extend(declared.specs.keys().chain(declared.sources.keys()).map(|key| (key.clone(), Origin::File)));
    merged.models.extend(declared.models.keys().map(|key| (key.clone(), Origin::File)));
    for (key, model) in &made.models {
        if declared.models.contains_key(key) {
            merged.shadowed_models.insert(key.clone());
            continue;
        }
        let desired = DesiredModel { key: key.clone(), spec: model.spec.clone() };
        merged.state.models.insert(key.clone(), Arc::new(desired));
        merged.models.insert(key.clone(), Origin::Rest);
    }
    for (key, source) in &made.sources {
        if merged.sources.contains_key(key) {
            merged.shadowed_sources.insert(key.clone());
            continue;
        }
        merged.sources.insert(key.clone(), Origin::Rest);
        merged.state.specs.insert(key.clone(), Arc::new(source.spec.clone()));
        if !source.spec.enabled {
            merged.state.disabled.insert(key.clone());
            continue;
        }
        let model = ModelKey::new(&key.namespace, &source.spec.model_ref.name);
        if !merged.state.models.contains_key(&model) {
            let Some(builtin) = builtin(&model) else {
                let problem = format!("there is no DetectionModel {model}; make one, or name another in modelRef");
                merged.stuck.insert(key.clone(), problem);
                continue;
            };
            merged.state.models.insert(model.clone(), Arc::new(builtin));
            merged.models.insert(model, Origin::Builtin);
        }
        // They were parsed when they were made; a program of another version may see them differently.
        let uris = std::iter::once(&source.spec.uri).chain(&source.spec.fallback_uris);
        match uris.map(|uri| parse_uri(uri, Path::new("/"))).collect::<Result<Vec<_>, _>>() {
            Ok(mut uris) => {
                let credentials = source.credentials.clone();
                let uri = uris.remove(0);
                let desired = DesiredSource::resolve(key.clone(), &source.spec, uri, uris, credentials);
                merged.state.sources.insert(key.clone(), Arc::new(desired));
            }
            Err(problem) => drop(merged.stuck.insert(key.clone(), format!("uri is not a valid URI: {problem}"))),
        }
    }
    merged
}

/// The model of this name that is part of the program.
fn builtin(key: &ModelKey) -> Option<DesiredModel> {
    builtin_names().any(|name| name == &*key.name).then(|| {
        let source = ModelSource { builtin: Some(key.name.to_string()), ..ModelSource::default() };
        DesiredModel { key: key.clone(), spec: DetectionModelSpec::new(source) }
    })
}

impl Merged {
    /// Whether a source may name this model.
    #[must_use]
    pub fn has_model(&self, key: &ModelKey) -> bool {
        self.state.models.contains_key(key) || builtin(key).is_some()
    }

    /// The models of a namespace by name, with those that are part of the program.
    #[must_use]
    pub fn models_of<'a>(&'a self, namespace: &str) -> BTreeSet<&'a str> {
        let mut names: BTreeSet<&str> = builtin_names().collect();
        names.extend(self.state.models.keys().filter(|key| &*key.namespace == namespace).map(|key| &*key.name));
        names
    }

    /// The model of a source that names none: the only one of its namespace, else the first of the program's.
    #[must_use]
    pub fn default_model(&self, namespace: &str) -> Arc<str> {
        let is_there =
            |key: &&ModelKey| &*key.namespace == namespace && self.models.get(*key) != Some(&Origin::Builtin);
        let mut named = self.state.models.keys().filter(is_there);
        match (named.next(), named.next()) {
            (Some(only), None) => Arc::clone(&only.name),
            _ => builtin_names().next().unwrap_or_default().into(),
        }
    }
}
