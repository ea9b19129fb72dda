//! What the API server tells a pod, again and again: its sources by both selectors, and its model. An API server that is
//! away changes nothing of what the pod has.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use backon::ExponentialBuilder;
use crds::{DetectionModel, VideoSource};
use futures_util::{FutureExt as _, Stream, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use kube::{
    Api, Client, Resource,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, ExponentialBackoff},
    },
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    bindings::{Bindings, GRACE, Held, Question, Seen, Told, Watched},
    desired::SeenModel,
};
use crate::observation::SourceKey;

/// Between two tries of a watch: from a tenth of a second to this, and up to as much again by chance. After an outage
/// the pod catches up within this time twice.
const LONGEST_RETRY: Duration = Duration::from_millis(1_500);
const SHORTEST_RETRY: Duration = Duration::from_millis(100);

/// Who the pod is in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub pod: String,
    /// The namespace of the pod, its model and its sources.
    pub namespace: String,
    /// The DetectionModel that it serves.
    pub model: String,
}

/// What the cluster asks of the pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assigned {
    /// Both lists of sources have been read.
    pub listed: bool,
    /// What it holds.
    pub held: BTreeMap<SourceKey, Held>,
    /// Its model; nothing before it was read, and the last one if it is gone.
    pub model: Option<SeenModel>,
}

/// Follows the cluster in a task of its own.
pub struct Assignments {
    assigned: watch::Receiver<Assigned>,
    drain: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Assignments {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Assignments {
    /// Begins to follow.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn follow(client: &Client, identity: &Identity) -> Self {
        let (told, assigned) = watch::channel(Assigned::default());
        let drain = CancellationToken::new();
        let sources: Api<DeserializeGuard<VideoSource>> = Api::namespaced(client.clone(), &identity.namespace);
        let models: Api<DeserializeGuard<DetectionModel>> = Api::namespaced(client.clone(), &identity.namespace);
        let by = |fields: String| watcher::Config::default().fields(&fields);
        let pod = &identity.pod;
        let follower = Follower {
            bindings: Bindings::new(pod),
            sources: sources.clone(),
            answers: FuturesUnordered::new(),
            epoch: Instant::now(),
            lists: [None, None],
            listed: [false, false],
            model: None,
            told,
        };
        let assignment = endless(&sources, by(format!("status.assignment.pod={pod}")), "assigned VideoSources");
        let handover = endless(&sources, by(format!("status.handover.pod={pod}")), "VideoSources to be taken over");
        let model = endless(&models, by(format!("metadata.name={}", identity.model)), "the DetectionModel");
        let task = tokio::spawn(follower.run(assignment, handover, model, drain.clone()));
        Self { assigned, drain, task }
    }

    /// What is asked, now and at every change.
    #[must_use]
    pub fn assigned(&self) -> watch::Receiver<Assigned> {
        self.assigned.clone()
    }

    /// From now on nothing new is taken.
    pub fn drain(&self) {
        self.drain.cancel();
    }
}

/// The events of a watch that begins again whenever it breaks. Objects that cannot be read are told of and left out: what
/// the pod has of them stays.
fn endless<K>(
    api: &Api<DeserializeGuard<K>>,
    config: watcher::Config,
    what: &'static str,
) -> impl Stream<Item = Event<DeserializeGuard<K>>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
{
    let backoff = ExponentialBuilder::default()
        .with_min_delay(SHORTEST_RETRY)
        .with_max_delay(LONGEST_RETRY)
        .without_max_times()
        .with_jitter();
    let mut lost = false;
    watcher::watcher(api.clone(), config).backoff(ExponentialBackoff::from(backoff)).filter_map(move |event| {
        let event = match event {
            Ok(event) => {
                if std::mem::take(&mut lost) {
                    info!("the API server tells of {what} again");
                }
                Some(event)
            }
            Err(error) => {
                // One line for an outage, not one for every try.
                if !std::mem::replace(&mut lost, true) {
                    warn!(%error, "the API server does not tell of {what}; all goes on as it is");
                }
                None
            }
        };
        std::future::ready(event)
    })
}

/// The task's state.
struct Follower {
    bindings: Bindings,
    sources: Api<DeserializeGuard<VideoSource>>,
    answers: FuturesUnordered<BoxFuture<'static, Option<(Question, Seen)>>>,
    /// When time began.
    epoch: Instant,
    /// Lists under way.
    lists: [Option<Vec<Arc<Seen>>>; 2],
    listed: [bool; 2],
    model: Option<SeenModel>,
    told: watch::Sender<Assigned>,
}

impl Follower {
    async fn run(
        mut self,
        assignment: impl Stream<Item = Event<DeserializeGuard<VideoSource>>> + Send,
        handover: impl Stream<Item = Event<DeserializeGuard<VideoSource>>> + Send,
        model: impl Stream<Item = Event<DeserializeGuard<DetectionModel>>> + Send,
        drain: CancellationToken,
    ) {
        tokio::pin!(assignment, handover, model);
        let mut draining = false;
        loop {
            let tick = self.bindings.next_tick().map(|at| self.epoch + at);
            let tick = async {
                match tick {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(event) = assignment.next() => self.source(Watched::Assignment, event),
                Some(event) = handover.next() => self.source(Watched::Handover, event),
                Some(event) = model.next() => self.model(event),
                () = drain.cancelled(), if !draining => {
                    draining = true;
                    self.bindings.drain();
                }
                Some(answer) = self.answers.next() => {
                    if let Some((question, seen)) = answer {
                        self.bindings.answered(&question, seen, self.epoch.elapsed());
                    }
                }
                () = tick => self.bindings.tick(self.epoch.elapsed()),
            }
            for question in self.bindings.questions() {
                self.answers.push(ask(self.sources.clone(), question).boxed());
            }
            self.tell();
        }
    }

    fn source(&mut self, watched: Watched, event: Event<DeserializeGuard<VideoSource>>) {
        let list = &mut self.lists[watched as usize];
        let told = match event {
            Event::Init => {
                *list = Some(Vec::new());
                return;
            }
            Event::InitApply(object) => {
                let key = key(&object);
                let seen = readable(object).and_then(Seen::of).map(Arc::new);
                let before = || self.bindings.delivered(watched, key.as_ref()?);
                list.get_or_insert_default().extend(seen.or_else(before));
                return;
            }
            Event::InitDone => {
                self.listed[watched as usize] = true;
                Told::Listed(list.take().unwrap_or_default())
            }
            Event::Apply(object) => match readable(object).and_then(Seen::of) {
                Some(seen) => Told::Applied(Arc::new(seen)),
                None => return,
            },
            Event::Delete(object) => match key(&object) {
                Some(key) => Told::Gone(key),
                None => return,
            },
        };
        self.bindings.told(watched, told, self.epoch.elapsed());
    }

    /// A model that is gone takes its pods along; until then they serve it.
    fn model(&mut self, event: Event<DeserializeGuard<DetectionModel>>) {
        if let Event::Apply(object) | Event::InitApply(object) = event {
            self.model = readable(object).and_then(SeenModel::of).or(self.model.take());
        }
    }

    fn tell(&self) {
        self.told.send_if_modified(|assigned| {
            let is_listed = self.listed == [true, true];
            let is_news =
                assigned.listed != is_listed || assigned.held != *self.bindings.held() || assigned.model != self.model;
            if is_news {
                *assigned =
                    Assigned { listed: is_listed, held: self.bindings.held().clone(), model: self.model.clone() };
            }
            is_news
        });
    }
}

/// No answer in time is as good as none: by then the pod has let go of the source.
async fn ask(sources: Api<DeserializeGuard<VideoSource>>, question: Question) -> Option<(Question, Seen)> {
    let object = timeout(GRACE, sources.get_opt(&question.key.name)).await.ok()?.ok()??;
    Some((question, readable(object).and_then(Seen::of)?))
}

fn key<K: Resource>(object: &K) -> Option<SourceKey> {
    let metadata = object.meta();
    Some(SourceKey::new(metadata.namespace.as_deref()?, metadata.name.as_deref()?))
}

fn readable<K: Resource>(object: DeserializeGuard<K>) -> Option<K> {
    match object.0 {
        Ok(object) => Some(object),
        Err(invalid) => {
            let name = invalid.metadata.name.as_deref().unwrap_or_default();
            warn!(name, error = %invalid.error, "an object cannot be read; what there is of it stays as it is");
            None
        }
    }
}
