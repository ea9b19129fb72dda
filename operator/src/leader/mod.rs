//! Which of the operator's replicas decides: the one that holds a Lease.
//!
//! `kube-lease-manager` takes and renews the Lease. It tells nothing while the API server does not answer, so whether this
//! replica holds it is read from the Lease itself, as a watch tells of it, and from the clock: a Lease that was not renewed
//! in time is nobody's. What gets past that is fenced by the objects' resource versions and epochs.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use kube_lease_manager::LeaseManagerBuilder;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::watch::{World, retries};

#[cfg(test)]
mod tests;

/// After so many seconds without a renewal another replica may take over: as long as a pod may be silent, so that a leader
/// and a pod that are lost together cost hardly more time than the pod alone.
const DURATION: u64 = 3;

/// So many seconds before that it is renewed, which is once a second. An API server may take so long to answer, and the
/// clocks of nodes may differ by so much.
const GRACE: u64 = 2;

/// How long releasing the Lease may take at the end.
const RELEASE: Duration = Duration::from_secs(3);

/// Whether this replica decides.
#[derive(Clone)]
pub struct Leadership {
    identity: Arc<str>,
    lease: Arc<Mutex<Option<LeaseSpec>>>,
    released: CancellationToken,
}

impl Leadership {
    /// Stands for election in the Lease `name` until `stop`; then lets go of it.
    #[must_use]
    pub fn stand(
        client: &Client,
        namespace: &str,
        name: &str,
        identity: &str,
        world: &Arc<World>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let leadership = Self { identity: identity.into(), lease: Arc::default(), released: stop.child_token() };
        tasks.spawn(take(client.clone(), namespace.to_owned(), name.to_owned(), identity.to_owned(), stop.clone()));
        let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let (lease, world, stop) = (leadership.lease.clone(), world.clone(), stop.clone());
        tasks.spawn(stop.run_until_cancelled_owned(async move {
            let mut leases = std::pin::pin!(watcher(api, config).backoff(retries()).applied_objects());
            while let Some(told) = leases.next().await {
                let Ok(told) = told else { continue };
                let holder = |lease: &Option<LeaseSpec>| lease.as_ref().and_then(|lease| lease.holder_identity.clone());
                let new_holder = holder(&told.spec);
                let before = mem::replace(&mut *lease.lock().unwrap_or_else(PoisonError::into_inner), told.spec);
                // A renewal is nothing that anything has to be decided on.
                if holder(&before) != new_holder {
                    world.changed.notify_one();
                }
            }
        }));
        leadership
    }

    /// This replica decides at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        !self.released.is_cancelled() && lease.as_ref().is_some_and(|lease| is_holder(lease, &self.identity, now))
    }
}

fn is_holder(lease: &LeaseSpec, identity: &str, now: Timestamp) -> bool {
    let lasts = i64::from(lease.lease_duration_seconds.unwrap_or(0)) * 1_000;
    let renewed = lease.renew_time.as_ref().map_or(Timestamp::MIN, |time| time.0);
    lease.holder_identity.as_deref() == Some(identity)
        && now.as_millisecond().saturating_sub(renewed.as_millisecond()) < lasts
}

/// Keeps taking the Lease whenever it is free, and releases it at the end.
async fn take(client: Client, namespace: String, name: String, identity: String, stop: CancellationToken) {
    let mut warned = false;
    loop {
        let builder = LeaseManagerBuilder::new(client.clone(), name.clone())
            .with_namespace(namespace.clone())
            .with_identity(identity.clone())
            .with_duration(DURATION)
            .with_grace(GRACE);
        let built = tokio::select! {
            built = builder.build() => built,
            () = stop.cancelled() => return,
        };
        let manager = match built {
            Ok(manager) => manager,
            Err(error) => {
                if !warned {
                    warned = true;
                    warn!(lease = format!("{namespace}/{name}"), %error, "the Lease cannot be taken; it is tried again");
                }
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                    () = stop.cancelled() => return,
                }
            }
        };
        let (mut leads, task) = manager.watch().await;
        loop {
            tokio::select! {
                changed = leads.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    info!(leads = *leads.borrow_and_update(), "the Lease has changed hands");
                }
                () = stop.cancelled() => {
                    drop(leads);
                    if tokio::time::timeout(RELEASE, task).await.is_err() {
                        warn!("the Lease could not be released; another replica takes over when it runs out");
                    }
                    return;
                }
            }
        }
    }
}
