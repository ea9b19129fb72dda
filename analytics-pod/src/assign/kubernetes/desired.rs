//! From what a pod holds to what it runs. Pure.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crds::{DetectionModel, DetectionModelSpec, Serving};

use super::{
    bindings::{Held, Seen},
    media::Media,
};
use crate::{
    assign::{DesiredModel, DesiredSource, DesiredState, ModelKey, loader::parse_uri},
    observation::SourceKey,
};

/// A source that the pod holds and does not run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// A stable word.
    pub reason: &'static str,
    /// The same as a sentence; holds no URI's secrets.
    pub message: String,
}

/// A DetectionModel as it was last delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenModel {
    /// Counts the changes of its spec.
    pub generation: i64,
    /// What detects.
    pub desired: Arc<DesiredModel>,
}

impl SeenModel {
    /// Nothing of an object that was never stored.
    #[must_use]
    pub fn of(object: DetectionModel) -> Option<Self> {
        let key = ModelKey::new(&object.metadata.namespace?, &object.metadata.name?);
        // How it is served is the operator's affair: a change of that is no other model.
        let spec = DetectionModelSpec { serving: Serving::default(), ..object.spec };
        let generation = object.metadata.generation.unwrap_or_default();
        Some(Self { generation, desired: Arc::new(DesiredModel { key, spec }) })
    }
}

/// What a pod is to run, and what it holds and cannot run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// What it is to run.
    pub state: DesiredState,
    /// What it cannot.
    pub refused: BTreeMap<SourceKey, Refused>,
}

/// What a pod that serves `model` runs of what it holds. A source that has been given another model stays with this
/// pod's until the operator has moved it.
#[must_use]
pub fn resolve(
    model_key: &ModelKey,
    model: Option<&SeenModel>,
    held: &BTreeMap<SourceKey, Held>,
    media: &Media,
) -> Resolved {
    let mut resolved = Resolved::default();
    resolved.state.models.extend(model.map(|model| (model_key.clone(), Arc::clone(&model.desired))));
    for (key, Held { binding, seen, .. }) in held {
        resolved.state.specs.insert(key.clone(), Arc::clone(&seen.spec));
        if !seen.spec.enabled {
            resolved.state.disabled.insert(key.clone());
            continue;
        }
        match source(seen, media) {
            Ok(source) => {
                let source = DesiredSource { binding: Some(*binding), model: model_key.clone(), ..source };
                resolved.state.sources.insert(key.clone(), Arc::new(source));
            }
            Err(refused) => drop(resolved.refused.insert(key.clone(), refused)),
        }
    }
    resolved
}

fn source(seen: &Seen, media: &Media) -> Result<DesiredSource, Refused> {
    let spec = &*seen.spec;
    let invalid = |message: String| Refused { reason: "InvalidSpec", message };
    // An API server holds the same against it; one whose definitions are of another version may not.
    if let Some(violation) = spec.violations().into_iter().next() {
        return Err(invalid(format!("{}: {}", violation.field, violation.message)));
    }
    let mut uris = Vec::new();
    for uri in spec.uris() {
        let uri =
            parse_uri(uri, Path::new("/")).map_err(|problem| invalid(format!("a URI is not valid: {problem}")))?;
        media.allows(&uri).map_err(|failure| Refused { reason: failure.reason.as_str(), message: failure.message })?;
        uris.push(uri);
    }
    let uri = uris.remove(0);
    let login = spec.credentials_secret_ref.as_ref().map(|secret| secret.name.as_str().into());
    Ok(DesiredSource { login, ..DesiredSource::resolve(seen.key.clone(), spec, uri, uris, None) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use crds::{ModelSource, SecretRef, VideoSourceSpec};

    use super::*;
    use crate::assign::{
        Binding,
        kubernetes::bindings::{Bindings, Told, Watched},
    };

    fn held(specs: Vec<(&str, VideoSourceSpec)>) -> BTreeMap<SourceKey, Held> {
        let mut bindings = Bindings::new("people-1");
        let seen = specs.into_iter().map(|(name, spec)| {
            Arc::new(Seen {
                key: SourceKey::new("yard", name),
                generation: 1,
                assignment: Some(("people-1".into(), 7)),
                handover: None,
                spec: Arc::new(spec),
            })
        });
        bindings.told(Watched::Assignment, Told::Listed(seen.collect()), Duration::ZERO);
        bindings.held().clone()
    }

    fn spec(uri: &str) -> VideoSourceSpec {
        VideoSourceSpec::new(uri, "people")
    }

    fn resolved(specs: Vec<(&str, VideoSourceSpec)>) -> Resolved {
        let media = Media::new(Some("/media".into()));
        resolve(&ModelKey::new("yard", "people"), None, &held(specs), &media)
    }

    #[test]
    fn a_source_runs_under_its_binding_with_the_pods_own_model() {
        let secret = Some(SecretRef { name: "login".to_owned() });
        let spec =
            VideoSourceSpec { credentials_secret_ref: secret, ..VideoSourceSpec::new("rtsp://camera/1", "cars") };
        let resolved = resolved(vec![("gate", spec)]);
        let source = &resolved.state.sources[&SourceKey::new("yard", "gate")];
        assert_eq!(source.binding, Some(Binding { epoch: 7, publishes: true }));
        assert_eq!(source.model, ModelKey::new("yard", "people"));
        assert_eq!(source.login.as_deref(), Some("login"));
        assert_eq!(source.input.credentials, None);
    }

    #[test]
    fn what_cannot_run_costs_no_other_and_says_why() {
        let disabled = VideoSourceSpec { enabled: false, ..spec("rtsp://camera/2") };
        let fallback =
            VideoSourceSpec { fallback_uris: vec!["file:///etc/passwd".to_owned()], ..spec("rtsp://camera/3") };
        let resolved = resolved(vec![
            ("clip", spec("file:///media/clip.mp4")),
            ("disabled", disabled),
            ("fallback", fallback),
            ("passwords", spec("file:///etc/passwd")),
            ("wrong", spec("gopher://camera")),
        ]);
        let running: Vec<&str> = resolved.state.sources.keys().map(|key| &*key.name).collect();
        assert_eq!(running, ["clip"]);
        let refused: Vec<(&str, &str)> =
            resolved.refused.iter().map(|(key, refused)| (&*key.name, refused.reason)).collect();
        assert_eq!(
            refused,
            [("fallback", "PermissionDenied"), ("passwords", "PermissionDenied"), ("wrong", "InvalidSpec")]
        );
        assert!(resolved.state.disabled.contains(&SourceKey::new("yard", "disabled")));
    }

    #[test]
    fn how_a_model_is_served_is_no_other_model() {
        let builtin = ModelSource { builtin: Some("starter".to_owned()), ..ModelSource::default() };
        let mut object = DetectionModel::new("people", DetectionModelSpec::new(builtin));
        object.metadata.namespace = Some("yard".to_owned());
        object.metadata.generation = Some(1);
        let mut scaled = object.clone();
        scaled.spec.serving.replicas = Some(3);
        scaled.metadata.generation = Some(2);
        let (before, after) = (SeenModel::of(object).unwrap(), SeenModel::of(scaled).unwrap());
        assert_eq!(before.desired, after.desired);
        assert_eq!((before.generation, after.generation), (1, 2));
    }
}
