//! Follows what the analytics pods print, into a [`Ledger`].

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{AsyncBufReadExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ListParams, LogParams},
};
use serde::Deserialize;
use tokio::{task::JoinHandle, time::sleep};

use crate::ledger::{Frame, Ledger, Object};

/// How often new pods are looked for, and a log that broke off is opened anew.
const RETRY: Duration = Duration::from_millis(300);

/// An Observation, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    source: String,
    epoch: i64,
    session: i64,
    frame: u64,
    capture_time: Timestamp,
    publish_time: Timestamp,
    objects: Arc<[Object]>,
}

/// Everything that the pods of a namespace publish, from when it is made until it is dropped.
pub(crate) struct Published {
    ledger: Arc<Mutex<Ledger>>,
    follower: JoinHandle<()>,
}

impl Published {
    /// Follows the pods that `selector` selects.
    #[must_use]
    pub(crate) fn follow(pods: Api<Pod>, selector: &'static str) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let follower = tokio::spawn(follow_all(pods, selector, Arc::clone(&ledger)));
        Self { ledger, follower }
    }

    /// What was published so far.
    #[must_use]
    pub(crate) fn so_far(&self) -> Ledger {
        lock(&self.ledger).clone()
    }

    /// What `look` finds in what was published so far.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&lock(&self.ledger))
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow_all(pods: Api<Pod>, selector: &'static str, ledger: Arc<Mutex<Ledger>>) {
    // Dropped with this future, which ends them.
    let mut logs = tokio::task::JoinSet::new();
    let mut followed = HashSet::new();
    loop {
        // An API server that does not answer for a while is part of the game.
        if let Ok(list) = pods.list(&ListParams::default().labels(selector)).await {
            for name in list.items.into_iter().filter_map(|pod| pod.metadata.name) {
                if followed.insert(name.clone()) {
                    logs.spawn(follow_one(pods.clone(), name, Arc::clone(&ledger)));
                }
            }
        }
        sleep(RETRY).await;
    }
}

/// Reads one pod's log, again and again from where it broke off: containers are restarted, connections end.
async fn follow_one(pods: Api<Pod>, name: String, ledger: Arc<Mutex<Ledger>>) {
    let mut last: Option<Timestamp> = None;
    loop {
        let parameters = LogParams { follow: true, timestamps: true, since_time: last, ..LogParams::default() };
        if let Ok(stream) = pods.log_stream(&name, &parameters).await {
            let mut lines = stream.lines();
            while let Ok(Some(line)) = lines.try_next().await {
                let Some((time, text)) = line.split_once(' ') else { continue };
                let Ok(time) = time.parse::<Timestamp>() else { continue };
                // A log that is opened anew begins at a whole second.
                if last.is_some_and(|last| time <= last) {
                    continue;
                }
                match serde_json::from_str::<Line>(text) {
                    Ok(line) => lock(&ledger).add(&line.source.clone(), line.into()),
                    // Cut off with its connection: the whole line is read when the log is opened anew.
                    Err(error) if error.is_eof() => break,
                    // Something else that a pod prints.
                    Err(_) => {}
                }
                last = Some(time);
            }
        }
        sleep(RETRY).await;
    }
}

impl From<Line> for Frame {
    fn from(line: Line) -> Self {
        Self {
            epoch: line.epoch,
            session: line.session,
            number: line.frame,
            captured: line.capture_time,
            published: line.publish_time,
            objects: line.objects,
        }
    }
}
