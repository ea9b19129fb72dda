//! Takes in what one watch tells.

use std::{collections::HashSet, fmt::Debug, sync::Arc, sync::atomic::Ordering};

use futures_util::StreamExt;
use kube::{
    Api, Client, Resource,
    core::{ClusterResourceScope, DeserializeGuard, NamespaceResourceScope},
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{Cache, World, cache, retries};
use crate::metrics::Metrics;

pub(super) struct Follower<'a> {
    pub(super) client: &'a Client,
    pub(super) world: &'a Arc<World>,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) tasks: &'a TaskTracker,
    pub(super) stop: &'a CancellationToken,
}

/// Which cache a kind has.
type Choose<K> = fn(&World) -> &Cache<K>;

impl Follower<'_> {
    pub(super) fn namespaced<K>(&self, namespace: Option<&str>, config: &watcher::Config, cache: Choose<K>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let client = self.client.clone();
        let api = match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        self.follow(api, namespace, config, cache, true);
    }

    pub(super) fn cluster<K>(&self, config: &watcher::Config, cache: Choose<K>)
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        self.follow(Api::all(self.client.clone()), None, config, cache, false);
    }

    fn follow<K>(
        &self,
        api: Api<DeserializeGuard<K>>,
        namespace: Option<&str>,
        config: &watcher::Config,
        cache: Choose<K>,
        is_waited_for: bool,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let events = watcher(api, config.clone()).backoff(retries());
        let (world, metrics) = (self.world.clone(), self.metrics.clone());
        let (namespace, stop) = (namespace.map(str::to_owned), self.stop.clone());
        self.tasks.spawn(async move {
            let kind = K::plural(&());
            let mut intake = Intake { cache: cache(&world), namespace, seen: HashSet::new(), mark: 0, complete: false };
            let mut failing = false;
            let mut events = std::pin::pin!(events.take_until(stop.cancelled_owned()));
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        if failing && !matches!(event, watcher::Event::Init) {
                            failing = false;
                            info!(kind = &*kind, "the watch goes on");
                        }
                        let was_complete = intake.complete;
                        let is_new = intake.take(event);
                        if is_waited_for && intake.complete && !was_complete {
                            world.outstanding.fetch_sub(1, Ordering::AcqRel);
                        }
                        if is_new {
                            world.changed.notify_one();
                        }
                    }
                    Err(error) => {
                        metrics.watch_failed(&kind);
                        if !failing {
                            failing = true;
                            warn!(kind = &*kind, %error, "the watch is broken; it is tried again until it works");
                        }
                    }
                }
            }
        });
    }
}

struct Intake<'a, K> {
    cache: &'a Cache<K>,
    namespace: Option<String>,
    /// What the list that is under way has told of.
    seen: HashSet<crate::plan::Key>,
    mark: u64,
    /// A list was complete.
    complete: bool,
}

impl<K: Resource> Intake<'_, K> {
    /// Whether something has changed.
    fn take(&mut self, event: watcher::Event<DeserializeGuard<K>>) -> bool
    where
        K: Resource<DynamicType = ()>,
    {
        match event {
            watcher::Event::Init => {
                self.seen.clear();
                self.mark = self.cache.mark();
                false
            }
            watcher::Event::InitApply(object) => {
                self.seen.extend(cache::key(object.meta()));
                self.put(object)
            }
            watcher::Event::InitDone => {
                self.cache.listed(self.namespace.as_deref(), &self.seen, self.mark);
                self.complete = true;
                true
            }
            watcher::Event::Apply(object) => self.put(object),
            watcher::Event::Delete(object) => {
                self.cache.gone(object.meta());
                true
            }
        }
    }

    fn put(&self, object: DeserializeGuard<K>) -> bool {
        match object.0 {
            Ok(object) => self.cache.told(object),
            Err(invalid) => self.cache.told_unreadable(invalid),
        }
    }
}
