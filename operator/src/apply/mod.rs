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
    metrics::Metrics,
    plan::Key,
    pods::Settings,
    watch::{Unreadable, World},
};

pub use changes::{Change, Facts, Round, changes};
pub use events::Events;

#[cfg(test)]
mod tests;

/// Writes that are under way at the same time.
const IN_FLIGHT: usize = 16;

/// After this time no further write of a round begins: what is left is decided again, with what has happened meanwhile.
const ROUND: Duration = Duration::from_secs(2);

/// Writes to the API server.
pub struct Writer {
    client: Client,
    world: Arc<World>,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    events: Events,
    companions: companions::Companions,
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
        Self { client, world, settings, metrics, events, companions, unreadable: Mutex::default() }
    }

    /// Writes what a round has decided. Companions come first: a pod must find its identity, and the Secret that a
    /// source needs must be readable before the pod is given the source.
    pub async fn carry_out(&self, round: Round) {
        let deadline = Instant::now() + ROUND;
        let needed = companions::needed(&round, &self.world);
        let refused = self.companions.keep(&needed, &self.world.objects()).await;
        let writes = round.changes.into_iter().filter(|change| may_go(change, &refused));
        stream::iter(writes)
            .take_until(tokio::time::sleep_until(deadline))
            .for_each_concurrent(IN_FLIGHT, |change| self.write(change))
            .await;
    }

    /// Why what stands beside the pods of these models cannot be written.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<Key, String> {
        self.companions.refused()
    }

    /// Forgets what has been written: another replica may write now.
    pub fn forget(&self) {
        self.companions.forget();
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
