//! A `VideoSource` as the planner sees it.

use std::{collections::BTreeSet, sync::Arc};

use crds::{DetectionModel, VideoSource};

use super::{Objects, demand, key};
use crate::{
    plan::{Binding, Key, Refusal, Source},
    pods::{Settings, validate},
};

pub(super) fn fold(source: &VideoSource, model: Option<&DetectionModel>, settings: &Settings) -> Source {
    let spec = &source.spec;
    let status = source.status.clone().unwrap_or_default();
    let has_gpu = model.is_some_and(|model| validate(model, settings).is_ok_and(|valid| valid.has_gpu()));
    Source {
        model: spec.model_ref.name.as_str().into(),
        enabled: spec.enabled,
        refusal: refusal(source, settings),
        priority: spec.priority,
        single_connection: spec.max_connections == Some(1),
        demand: demand::of_spec(source, has_gpu),
        assignment: status.assignment.map(|bound| Binding { pod: bound.pod.into(), epoch: bound.epoch }),
        handover: status.handover.map(|bound| Binding { pod: bound.pod.into(), epoch: bound.epoch }),
        epoch: status.epoch.unwrap_or(0),
    }
}

/// Why a source cannot be watched in a cluster.
fn refusal(source: &VideoSource, settings: &Settings) -> Option<Refusal> {
    let refuse = |reason: &str, message: String| Some(Refusal { reason: reason.into(), message: message.into() });
    if let Some(violation) = source.spec.violations().into_iter().next() {
        return refuse("InvalidSpec", format!("{} {}", violation.field, violation.message));
    }
    let media = settings.media.as_ref().map(|media| media.path.trim_end_matches('/'));
    for uri in source.spec.uris() {
        if uri.starts_with("v4l2:") {
            let message =
                "v4l2 devices cannot be read in a cluster: let a media server on the machine serve it as rtsp://";
            return refuse("DeviceNotAllowed", message.to_owned());
        }
        let Some(path) = uri.strip_prefix("file:") else { continue };
        let path = path.strip_prefix("//").unwrap_or(path);
        let below = |media: &str| path.strip_prefix(media).is_some_and(|rest| rest.starts_with('/'));
        if !media.is_some_and(below) || path.split('/').any(|part| part == "..") {
            let place = media.map_or(
                "a media volume, and none is set up (analyticsPods.media.claim of the chart)".to_owned(),
                |media| format!("{media}: write file://{media}/…"),
            );
            return refuse("FileNotAllowed", format!("file: must name a file below {place}"));
        }
    }
    None
}

/// The Secrets that the pods of a model must be able to read: those of the sources that name it, and of those that its
/// pods still have.
#[must_use]
pub fn secrets(objects: &Objects, model: &Key) -> BTreeSet<String> {
    let its_pods: BTreeSet<&str> = objects
        .pods
        .iter()
        .filter(|pod| super::pod::model_name(pod).is_some_and(|name| name == &*model.name))
        .filter_map(|pod| {
            (pod.metadata.namespace.as_deref()? == &*model.namespace).then_some(()).and(pod.metadata.name.as_deref())
        })
        .collect();
    let uses = |source: &Arc<VideoSource>| {
        let status = source.status.as_ref();
        let assignment = status.and_then(|status| Some(status.assignment.as_ref()?.pod.as_str()));
        let handover = status.and_then(|status| Some(status.handover.as_ref()?.pod.as_str()));
        let bound = [assignment, handover].into_iter().flatten().any(|pod| its_pods.contains(pod));
        key(&**source).is_some_and(|key| key.namespace == model.namespace)
            && (bound || (source.spec.enabled && source.spec.model_ref.name == *model.name))
    };
    let named = objects.sources.iter().filter(|source| uses(source));
    named.filter_map(|source| Some(source.spec.credentials_secret_ref.as_ref()?.name.clone())).collect()
}
