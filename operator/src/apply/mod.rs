//! Carries decisions out: the one writer.
//!
//! `changes` turns what was decided into writes, pure; `companions` keeps what stands beside a model's pods; `write` asks
//! the API server; `events` tells what was done. Nothing is decided here. What fails is decided again in the next round
//! on what the cluster looks like then: nothing is retried on an old decision.

mod changes;
mod companions;
mod events;
mod write;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use kube::Client;
use tokio::time::Instant;

use crate::{
    certificates::Issuer,
    index::Trouble,
    metrics::Metrics,
    plan::Key,
    pods::Settings,
    watch::{Unreadable, World},
};

pub use changes::{Change, Facts, Round, changes};
pub use events::Events;

/// Writes that are under way at the same time.
const IN_FLIGHT: usize = 16;

/// After this time no further write of a round begins: what is left is decided again, with what has happened meanwhile.
const ROUND: Duration = Duration::from_secs(2);

/// After the API server has refused a pod, another one of the same spec is tried after this time.
const RETRY: Duration = Duration::from_secs(5);

/// A pod that the API server did not take.
struct Refusal {
    /// The generation of the model that it was made from.
    generation: Option<i64>,
    at: Instant,
    words: String,
}

/// Writes to the API server.
pub struct Writer {
    client: Client,
    world: Arc<World>,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    events: Events,
    companions: companions::Companions,
    /// Models whose pods the API server does not take.
    pods_refused: Mutex<HashMap<Key, Refusal>>,
    /// Objects that were told that they cannot be read, with the generation that was.
    unreadable: Mutex<HashMap<Key, Option<i64>>>,
}

impl Writer {
    /// Writes with `client`, whose requests should time out after seconds.
    #[must_use]
    pub fn new(
        client: Client,
        world: Arc<World>,
        settings: Arc<Settings>,
        issuer: Arc<Issuer>,
        metrics: Arc<Metrics>,
        events: Events,
    ) -> Self {
        let companions = companions::Companions::new(client.clone(), settings.clone(), issuer, metrics.clone());
        Self {
            client,
            world,
            settings,
            metrics,
            events,
            companions,
            pods_refused: Mutex::default(),
            unreadable: Mutex::default(),
        }
    }

    /// Writes what a round has decided. Companions come first: a pod must find its identity, and the Secret that a
    /// source needs must be readable before the pod is given the source.
    pub async fn carry_out(&self, round: Round) {
        let deadline = Instant::now() + ROUND;
        let needed = companions::needed(&round, &self.world);
        let refused = self.companions.keep(&needed, &self.world.objects()).await;
        let writes = round.changes.into_iter().filter(|change| may_go(change, &refused) && !self.is_refused(change));
        stream::iter(writes)
            .take_until(tokio::time::sleep_until(deadline))
            .for_each_concurrent(IN_FLIGHT, |change| self.write(change))
            .await;
    }

    /// Why the API server does not take the pods of these models, or what stands beside them.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<Key, Trouble> {
        let mut pods = self.pods_refused.lock().unwrap_or_else(PoisonError::into_inner);
        // A pod of another spec may be taken.
        pods.retain(|key, refusal| {
            self.world.models.get(key).is_some_and(|model| model.metadata.generation == refusal.generation)
        });
        let of_pods = pods.iter().map(|(key, refusal)| (key, "PodsRefused", &refusal.words));
        let companions = self.companions.refused();
        let of_companions = companions.iter().map(|(key, words)| (key, "CompanionsRefused", words));
        let trouble = |reason: &str, words: &String| Trouble {
            reason: reason.to_owned(),
            message: format!("the API server refuses what spec.serving asks for, change it: {words}"),
        };
        of_pods.chain(of_companions).map(|(key, reason, words)| (key.clone(), trouble(reason, words))).collect()
    }

    /// The API server has just refused a pod of this model's spec.
    fn is_refused(&self, change: &Change) -> bool {
        let Change::CreatePod { pod, model, .. } = change else { return false };
        let refused = self.pods_refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get(&pod.beside(model.clone())).is_some_and(|refusal| refusal.at.elapsed() < RETRY)
    }

    /// Notes whether the API server took a pod of this model.
    fn note_pod(&self, model: Key, generation: Option<i64>, refused: Option<String>) {
        let mut pods = self.pods_refused.lock().unwrap_or_else(PoisonError::into_inner);
        match refused {
            Some(words) => {
                pods.insert(model, Refusal { generation, at: Instant::now(), words });
                self.world.changed.notify_one();
            }
            None => {
                pods.remove(&model);
            }
        }
    }

    /// Forgets what has been written: another replica may write now.
    pub fn forget(&self) {
        self.companions.forget();
        self.pods_refused.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Notes that this is told. Whether it has not been before, of this generation.
    fn note_unreadable(&self, key: &Key, unreadable: &Unreadable) -> bool {
        let generation = unreadable.metadata.generation;
        let mut told = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(key.clone(), generation) != Some(generation)
    }

    fn forget_unreadable(&self, key: &Key) {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Nothing is given to the pods of a model whose companions are missing.
fn may_go(change: &Change, refused: &BTreeMap<Key, String>) -> bool {
    match change {
        Change::CreatePod { pod, model, .. } => !refused.contains_key(&pod.beside(model.clone())),
        Change::SourceStatus { models, .. } => !models.iter().any(|model| refused.contains_key(model)),
        Change::DeletePod { .. } | Change::PatchPod { .. } | Change::ModelStatus { .. } | Change::Unreadable { .. } => {
            true
        }
    }
}
