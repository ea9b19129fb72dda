//! Asks every analytics pod once a second how it does, over mutual TLS.
//!
//! Each pod has a task and a connection of its own, so one that hangs delays no other. What a pod tells is folded into
//! [`index::Poll`](crate::index::Poll), which also counts its silence.

mod connection;

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crds::report::PodReport;
use k8s_openapi::api::core::v1::Pod;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use crate::{
    clock,
    index::{self, Poll},
    metrics::Metrics,
    plan::{Key, limits},
    pods::{MODEL_ANNOTATION, STATUS_PORT, status_host},
    watch::World,
};

/// From one question to the next.
const PERIOD: Duration = Duration::from_secs(1);

/// A pod that has not answered by then has not answered.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Pods that are being asked at the same time.
const IN_FLIGHT: usize = 256;

/// What is known from a pod itself.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// For the planner.
    pub poll: Poll,
    /// The latest report; nothing if it never answered since the operator began to ask.
    pub report: Option<Arc<PodReport>>,
}

/// Asks the pods that it is told to follow.
pub struct Poller {
    answers: Arc<Mutex<BTreeMap<Key, Answer>>>,
    followed: HashMap<Key, Followed>,
    tls: watch::Receiver<Arc<ClientConfig>>,
    limit: Arc<Semaphore>,
    world: Arc<World>,
    metrics: Arc<Metrics>,
}

/// A pod that is being asked, until this is dropped.
struct Followed {
    uid: Option<String>,
    address: SocketAddr,
    _ends: DropGuard,
}

impl Poller {
    /// Asks nobody yet. `tls` has the operator's certificate, and what pods' certificates must chain to.
    #[must_use]
    pub fn new(tls: watch::Receiver<Arc<ClientConfig>>, world: Arc<World>, metrics: Arc<Metrics>) -> Self {
        Self {
            answers: Arc::default(),
            followed: HashMap::new(),
            tls,
            limit: Arc::new(Semaphore::new(IN_FLIGHT)),
            world,
            metrics,
        }
    }

    /// From now on asks these pods and no others.
    pub fn follow(&mut self, pods: &[Arc<Pod>]) {
        let wanted: HashMap<Key, (&Arc<Pod>, SocketAddr, ServerName<'static>)> = pods
            .iter()
            .filter_map(|pod| {
                let (namespace, name) = (pod.metadata.namespace.as_deref()?, pod.metadata.name.as_deref()?);
                let (address, host) = where_to_ask(pod)?;
                Some((Key::new(namespace, name), (pod, address, host)))
            })
            .collect();
        self.followed.retain(|key, followed| {
            wanted
                .get(key)
                .is_some_and(|(pod, address, _)| pod.metadata.uid == followed.uid && *address == followed.address)
        });
        // What a pod told before its address was lost still counts while the pod is there.
        let exists: std::collections::HashSet<Key> = pods
            .iter()
            .filter_map(|pod| Some(Key::new(pod.metadata.namespace.as_deref()?, pod.metadata.name.as_deref()?)))
            .collect();
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| exists.contains(key));
        for (key, (pod, address, host)) in wanted {
            if self.followed.contains_key(&key) {
                continue;
            }
            let stop = CancellationToken::new();
            let questioner = Questioner {
                key: key.clone(),
                address,
                host,
                answers: self.answers.clone(),
                tls: self.tls.clone(),
                limit: self.limit.clone(),
                world: self.world.clone(),
                metrics: self.metrics.clone(),
            };
            tokio::spawn(stop.clone().run_until_cancelled_owned(questioner.ask_on()));
            let followed = Followed { uid: pod.metadata.uid.clone(), address, _ends: stop.drop_guard() };
            self.followed.insert(key, followed);
        }
    }

    /// What all pods have told.
    #[must_use]
    pub fn answers(&self) -> BTreeMap<Key, Answer> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where a pod answers, and the name that its certificate must have; nothing if it does not run.
fn where_to_ask(pod: &Pod) -> Option<(SocketAddr, ServerName<'static>)> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Running") {
        return None;
    }
    let ip: IpAddr = status.pod_ip.as_deref()?.parse().ok()?;
    let model = pod.metadata.annotations.as_ref()?.get(MODEL_ANNOTATION)?;
    let host = status_host(pod.metadata.namespace.as_deref()?, model);
    Some((SocketAddr::new(ip, STATUS_PORT.try_into().ok()?), host.try_into().ok()?))
}

struct Questioner {
    key: Key,
    address: SocketAddr,
    host: ServerName<'static>,
    answers: Arc<Mutex<BTreeMap<Key, Answer>>>,
    tls: watch::Receiver<Arc<ClientConfig>>,
    limit: Arc<Semaphore>,
    world: Arc<World>,
    metrics: Arc<Metrics>,
}

impl Questioner {
    async fn ask_on(self) {
        let mut connection = None;
        let mut period = tokio::time::interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_silent = false;
        loop {
            period.tick().await;
            let Ok(_permit) = self.limit.acquire().await else { return };
            let (asked, began) = (clock::now_ms(), Instant::now());
            let asking = connection::ask(&mut connection, self.address, &self.host, &self.tls);
            let answer = match tokio::time::timeout(TIMEOUT, asking).await {
                Ok(answer) => answer,
                Err(_) => Err(connection::Error::Timeout),
            };
            self.metrics.polled(began.elapsed(), answer.as_ref().err().map(connection::Error::word));
            if let Err(error) = &answer
                && !was_silent
            {
                debug!(pod = %self.key, address = %self.address, %error, "the pod does not answer");
            }
            if answer.is_err() {
                connection = None;
                if !was_silent {
                    // To decide about it as soon as it counts as dead, and not with the next round.
                    let world = self.world.clone();
                    let grace = Duration::from_millis(limits::DOWN_GRACE.unsigned_abs());
                    tokio::spawn(async move {
                        tokio::time::sleep_until(began + grace).await;
                        world.changed.notify_one();
                    });
                }
            }
            was_silent = answer.is_err();
            if self.take(answer.ok(), asked) {
                self.world.changed.notify_one();
            }
        }
    }

    /// Whether anything has changed that a decision may depend on.
    fn take(&self, report: Option<PodReport>, asked: i64) -> bool {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.entry(self.key.clone()).or_default();
        let Some(report) = report else {
            answer.poll.missed(asked, self.world.pods.get(&self.key).is_some_and(|pod| index::is_ready(&pod)));
            return false;
        };
        let is_new = answer.report.as_ref().is_none_or(|before| coarse(before) != coarse(&report));
        answer.poll.answered(&self.key.name, &report, asked);
        if report.pod == *self.key.name {
            answer.report = Some(Arc::new(report));
        }
        is_new
    }
}

/// A report without what changes all the time.
fn coarse(report: &PodReport) -> PodReport {
    let mut report = report.clone();
    report.engine_stalled_ms = 0;
    for source in &mut report.sources {
        source.state_ms = 0;
        source.last_frame_ms = None;
        source.demand = None;
        source.message = None;
    }
    report
}
