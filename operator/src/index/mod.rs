//! What the cluster looks like now: objects of the API and the reports of pods, folded into the planner's snapshot.
//!
//! Nothing is decided here. `source`, `model` and `pod` each read one kind of object; an object that cannot be served
//! carries its refusal into the snapshot and costs no other. [`Poll`] keeps what a pod told and since when it has been
//! silent.

mod demand;
mod model;
mod pod;
mod poll;
mod source;

use std::{collections::BTreeMap, sync::Arc};

use crds::{DetectionModel, VideoSource};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Resource;

use crate::{
    plan::{Key, Snapshot},
    pods::Settings,
};

pub use pod::{Trouble, is_ready, trouble};
pub use poll::Poll;
pub use source::secrets;

#[cfg(test)]
mod tests;

/// The objects of the API, as the watches have told of them.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// All models.
    pub models: Vec<Arc<DetectionModel>>,
    /// All sources.
    pub sources: Vec<Arc<VideoSource>>,
    /// The pods that the operator has made.
    pub pods: Vec<Arc<Pod>>,
    /// The nodes, where the operator may see them.
    pub nodes: Vec<Arc<Node>>,
}

/// The snapshot of these objects and of what the pods told, at `now` (Unix milliseconds).
#[must_use]
pub fn snapshot(now: i64, objects: &Objects, polls: &BTreeMap<Key, Poll>, settings: &Settings) -> Snapshot {
    let models: BTreeMap<Key, _> = objects
        .models
        .iter()
        .filter(|model| model.metadata.deletion_timestamp.is_none())
        .filter_map(|model| Some((key(&**model)?, model)))
        .collect();
    let nodes: BTreeMap<&str, &Node> =
        objects.nodes.iter().filter_map(|node| Some((node.metadata.name.as_deref()?, &**node))).collect();
    Snapshot {
        now,
        pods: objects
            .pods
            .iter()
            .filter_map(|object| {
                let key = key(&**object)?;
                let node = object.spec.as_ref().and_then(|spec| nodes.get(spec.node_name.as_deref()?)).copied();
                Some((key.clone(), pod::fold(object, node, polls.get(&key))?))
            })
            .collect(),
        sources: objects
            .sources
            .iter()
            .filter(|source| source.metadata.deletion_timestamp.is_none())
            .filter_map(|object| {
                let key = key(&**object)?;
                let of_model = models.get(&key.beside(&*object.spec.model_ref.name));
                Some((key, source::fold(object, of_model.map(|model| &***model), settings)))
            })
            .collect(),
        nodes: nodes.iter().map(|(name, node)| (Arc::from(*name), pod::fold_node(node))).collect(),
        models: models.into_iter().map(|(key, model)| (key, model::fold(model, settings))).collect(),
    }
}

/// Namespace and name of an object; nothing if it has not been stored.
fn key<K: Resource>(object: &K) -> Option<Key> {
    let metadata = object.meta();
    Some(Key::new(metadata.namespace.as_deref()?, metadata.name.as_deref()?))
}
