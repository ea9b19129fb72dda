//! Answers for every analytics pod of a cluster, as the API server tells of pods and sources.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crds::VideoSource;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, Client,
    core::DeserializeGuard,
    runtime::{WatchStreamExt, watcher},
};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::pod;

/// How a pod behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Loads its model, opens streams and warms up, each at once.
    #[default]
    Serves,
    /// Accepts connections and never answers.
    Hangs,
    /// Cannot load its model.
    FailsToLoad,
    /// Serves, but what it warms up for never gets warm.
    NeverWarms,
    /// Serves, but no camera can be reached from it.
    SeesNothing,
    /// Serves, but its cameras come and go every second.
    Flaps,
    /// Serves with the model that it had; the newest revision cannot be loaded.
    KeepsTheOld,
}

/// Namespace and name.
pub(crate) type Name = (String, String);

/// Answers for pods until it is dropped.
pub struct Fleet {
    pub(crate) state: Arc<Mutex<State>>,
    _ends: DropGuard,
}

#[derive(Default)]
pub(crate) struct State {
    behaviours: HashMap<String, Behaviour>,
    /// How pods behave that were not told.
    usual: Behaviour,
    /// By pod: the sources that it has or warms up for, by their epoch.
    pub(crate) bindings: HashMap<Name, BTreeMap<(Name, i64), Binding>>,
    /// What each source is bound to, to take it back.
    of_source: HashMap<Name, Vec<(Name, i64)>>,
}

/// A source on a pod.
#[derive(Clone, Copy)]
pub(crate) struct Binding {
    pub(crate) since: Instant,
    pub(crate) active: bool,
}

impl State {
    pub(crate) fn behaviour(&self, pod: &str) -> Behaviour {
        self.behaviours.get(pod).copied().unwrap_or(self.usual)
    }

    fn take(&mut self, source: &VideoSource, is_gone: bool) {
        let metadata = &source.metadata;
        let (Some(namespace), Some(name)) = (metadata.namespace.clone(), metadata.name.clone()) else { return };
        let key = (namespace.clone(), name);
        let mut before = BTreeMap::new();
        for (pod, epoch) in self.of_source.remove(&key).unwrap_or_default() {
            if let Some(bindings) = self.bindings.get_mut(&pod)
                && let Some(binding) = bindings.remove(&(key.clone(), epoch))
            {
                before.insert((pod, epoch), binding);
            }
        }
        let status = source.status.clone().unwrap_or_default();
        if is_gone {
            return;
        }
        let assignment = status.assignment.map(|bound| (bound.pod, bound.epoch, true));
        let handover = status.handover.map(|bound| (bound.pod, bound.epoch, false));
        for (pod, epoch, active) in [assignment, handover].into_iter().flatten() {
            let pod = (namespace.clone(), pod);
            let since = before.get(&(pod.clone(), epoch)).map_or_else(Instant::now, |binding| binding.since);
            self.bindings.entry(pod.clone()).or_default().insert((key.clone(), epoch), Binding { since, active });
            self.of_source.entry(key.clone()).or_default().push((pod, epoch));
        }
    }
}

impl Fleet {
    /// Begins to answer for the pods of a namespace. `client` may do everything.
    #[must_use]
    pub fn start(client: &Client, namespace: &str) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let stop = CancellationToken::new();
        let fleet = Self { state: state.clone(), _ends: stop.clone().drop_guard() };
        let sources = watch_sources(Api::namespaced(client.clone(), namespace), state.clone());
        let pods = watch_pods(client.clone(), namespace.to_owned(), state, stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(sources));
        tokio::spawn(stop.run_until_cancelled_owned(pods));
        fleet
    }

    /// From now on this pod behaves so.
    pub fn behave(&self, pod: &str, behaviour: Behaviour) {
        self.state().behaviours.insert(pod.to_owned(), behaviour);
    }

    /// From now on all pods behave so that were not told otherwise.
    pub fn behave_usually(&self, behaviour: Behaviour) {
        self.state().usual = behaviour;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn watch_sources(sources: Api<DeserializeGuard<VideoSource>>, state: Arc<Mutex<State>>) {
    let events = watcher(sources, watcher::Config::default()).default_backoff();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(
                watcher::Event::Apply(DeserializeGuard(Ok(source)))
                | watcher::Event::InitApply(DeserializeGuard(Ok(source))),
            ) => state.take(&source, false),
            Ok(watcher::Event::Delete(DeserializeGuard(Ok(source)))) => state.take(&source, true),
            Ok(_) | Err(_) => {}
        }
    }
}

/// One server a pod, as long as the pod is there.
async fn watch_pods(client: Client, namespace: String, state: Arc<Mutex<State>>, stop: CancellationToken) {
    let own = watcher::Config::default().labels("app.kubernetes.io/managed-by=vision-operator");
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let mut events = std::pin::pin!(watcher(pods, own).default_backoff());
    let mut servers: HashMap<String, DropGuard> = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                let Some(uid) = pod.metadata.uid.clone() else { continue };
                let Some(place) = pod::Place::of(&pod).filter(|_| !servers.contains_key(&uid)) else { continue };
                let ends = stop.child_token();
                let serving = serve(client.clone(), place, state.clone());
                tokio::spawn(ends.clone().run_until_cancelled_owned(serving));
                servers.insert(uid, ends.drop_guard());
            }
            Ok(watcher::Event::Delete(pod)) => {
                servers.remove(&pod.metadata.uid.unwrap_or_default());
            }
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
        }
    }
}

async fn serve(client: Client, place: pod::Place, state: Arc<Mutex<State>>) {
    let secrets: Api<Secret> = Api::namespaced(client, &place.name.0);
    loop {
        // As the kubelet does: the pod begins once its certificate is there.
        if let Ok(Some(secret)) = secrets.get_opt(&place.secret).await
            && let Some(tls) = pod::tls(&secret)
        {
            if let Err(error) = pod::answer(&place, tls, state.clone()).await {
                eprintln!("fake-fleet: pod {}: {error}", place.name.1);
            }
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
