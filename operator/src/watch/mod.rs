//! Keeps what the API server tells of the four kinds: sources, models, the operator's own pods, and nodes.
//!
//! A [`Cache`] takes in what a watch tells and what the writer was answered, whichever is newer, so that a decision is
//! never made twice because the watch has not caught up yet. An object that cannot be read is kept apart and costs no
//! other.

mod cache;
mod follow;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backon::ExponentialBuilder;
use crds::{DetectionModel, VideoSource};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Client,
    runtime::watcher::{self, ExponentialBackoff},
};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{index::Objects, metrics::Metrics, pods::FIELD_MANAGER};

pub use cache::{Cache, Unreadable};

#[cfg(test)]
mod tests;

/// The first and the longest wait before a watch that broke is begun anew. Kubernetes' own clients wait for up to 30 s,
/// being thousands; of operators there are a few, and a camera that was applied meanwhile waits for them.
const RETRIES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];

/// When a watch that broke is begun anew.
pub(crate) fn retries() -> ExponentialBackoff {
    let [first, longest] = RETRIES;
    let waits = ExponentialBuilder::default().with_min_delay(first).with_max_delay(longest);
    ExponentialBackoff::from(waits.without_max_times().with_jitter())
}

/// What all watches have told so far.
#[derive(Default)]
pub struct World {
    /// The sources.
    pub sources: Cache<VideoSource>,
    /// The models.
    pub models: Cache<DetectionModel>,
    /// The pods that the operator has made.
    pub pods: Cache<Pod>,
    /// The nodes, where the operator may see them.
    pub nodes: Cache<Node>,
    /// Told whenever something has changed.
    pub changed: Notify,
    /// Watches that have not told everything yet.
    outstanding: AtomicUsize,
}

impl World {
    /// All objects that can be read.
    #[must_use]
    pub fn objects(&self) -> Objects {
        Objects {
            models: self.models.objects(),
            sources: self.sources.objects(),
            pods: self.pods.objects(),
            nodes: self.nodes.objects(),
        }
    }

    /// Every watch, but for that of nodes, has told all that there is at least once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.outstanding.load(Ordering::Acquire) == 0
    }
}

/// What is watched.
#[derive(Clone, Debug)]
pub struct Scope {
    /// These namespaces; none: all.
    pub namespaces: Vec<String>,
    /// Nodes too.
    pub nodes: bool,
}

/// Starts the watches. They go on until `stop`, over any failure of the API server.
#[must_use]
pub fn start(
    client: &Client,
    scope: &Scope,
    metrics: &Arc<Metrics>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Arc<World> {
    let world = Arc::new(World::default());
    let namespaces: Vec<Option<&str>> = match &*scope.namespaces {
        [] => vec![None],
        some => some.iter().map(|namespace| Some(namespace.as_str())).collect(),
    };
    // Nodes are not waited for: the operator may not be allowed to see them, and a node that is not known is taken to be
    // well.
    world.outstanding.store(namespaces.len() * 3, Ordering::Release);
    let follower = follow::Follower { client, world: &world, metrics, tasks, stop };
    let all = watcher::Config::default();
    let own = watcher::Config::default().labels(&format!("app.kubernetes.io/managed-by={FIELD_MANAGER}"));
    for namespace in namespaces {
        follower.namespaced(namespace, &all, |world: &World| &world.sources);
        follower.namespaced(namespace, &all, |world: &World| &world.models);
        follower.namespaced(namespace, &own, |world: &World| &world.pods);
    }
    if scope.nodes {
        follower.cluster(&all, |world: &World| &world.nodes);
    }
    world
}
