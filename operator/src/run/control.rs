//! The control loop: on every change, and every second, looks, decides and writes.

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::http::Health;
use crate::{
    apply::{Facts, Writer, changes},
    clock, index,
    leader::Leadership,
    metrics::Metrics,
    plan::{self, Key, Memory, Outcome, Snapshot},
    pods::Settings,
    poll::Poller,
    watch::{Unreadable, World},
};

/// Without a change a round begins this often: some decisions are due by the clock.
const PERIOD: Duration = Duration::from_secs(1);

/// At least this long from the end of a round to the next: many changes at once are one round.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Control {
    world: Arc<World>,
    settings: Arc<Settings>,
    leadership: Leadership,
    poller: Poller,
    writer: Writer,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    memory: Memory,
    led: bool,
}

impl Control {
    pub(super) fn new(
        world: Arc<World>,
        settings: Arc<Settings>,
        leadership: Leadership,
        poller: Poller,
        writer: Writer,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> Self {
        Self { world, settings, leadership, poller, writer, metrics, health, memory: Memory::default(), led: false }
    }

    pub(super) async fn run(mut self, stop: &CancellationToken) {
        let mut period = tokio::time::interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = period.tick() => {}
                () = self.world.changed.notified() => {}
                () = stop.cancelled() => return,
            }
            self.health.beat();
            let leads = self.leadership.holds(clock::now());
            self.metrics.leads(leads);
            if leads != self.led {
                info!(leads, "this replica {}", if leads { "decides now" } else { "stands by" });
                self.led = leads;
                self.memory = Memory::default();
                self.writer.forget();
            }
            if !self.world.is_complete() {
                continue;
            }
            self.health.complete();
            // Whoever stands by asks as well: once it decides it knows which pods are silent, and since when.
            self.poller.follow(&self.world.pods.objects());
            if leads {
                self.round().await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn round(&mut self) {
        let began = Instant::now();
        let objects = self.world.objects();
        let answers = self.poller.answers();
        let polls = answers.iter().map(|(key, answer)| (key.clone(), answer.poll.clone())).collect();
        let now = clock::now();
        let snapshot = index::snapshot(now.as_millisecond(), &objects, &polls, &self.settings);
        let planning = Instant::now();
        let mut outcome = plan::plan(&snapshot, mem::take(&mut self.memory));
        self.memory = mem::take(&mut outcome.memory);
        self.metrics.planned(planning.elapsed());
        let unreadable = self.unreadable();
        let refused = self.writer.refused();
        let round = changes(&Facts {
            now,
            objects: &objects,
            unreadable: &unreadable,
            snapshot: &snapshot,
            outcome: &outcome,
            answers: &answers,
            refused: &refused,
        });
        self.tell(&objects, &snapshot, &outcome, unreadable.len());
        let changes = round.changes.len();
        self.writer.carry_out(round).await;
        if changes > 0 {
            self.metrics.round(began.elapsed());
            debug!(changes, milliseconds = began.elapsed().as_millis(), "a round");
        }
    }

    fn unreadable(&self) -> Vec<(&'static str, Key, Unreadable)> {
        let of_kind =
            |kind, all: Vec<(Key, Unreadable)>| all.into_iter().map(move |(key, unreadable)| (kind, key, unreadable));
        of_kind("videosources", self.world.sources.unreadable())
            .chain(of_kind("detectionmodels", self.world.models.unreadable()))
            .collect()
    }

    fn tell(&self, objects: &index::Objects, snapshot: &Snapshot, outcome: &Outcome, unreadable: usize) {
        let mut states: BTreeMap<&str, i64> = BTreeMap::new();
        for source in &objects.sources {
            let state = source.status.as_ref().and_then(|status| status.state);
            *states.entry(state.map_or("Unknown", state_word)).or_default() += 1;
        }
        let mut pending: BTreeMap<&str, i64> = BTreeMap::new();
        for waiting in outcome.pending.values() {
            *pending.entry(waiting.reason.as_str()).or_default() += 1;
        }
        let mut pods: BTreeMap<&str, i64> = BTreeMap::new();
        for pod in snapshot.pods.values() {
            let serves = pod.report.as_ref().is_some_and(|report| report.serving);
            let phase = match (pod.phase, pod.down_since) {
                _ if pod.deleting => "Terminating",
                (plan::PodPhase::Finished, _) => "Finished",
                (plan::PodPhase::Running, None) if serves => "Serving",
                (plan::PodPhase::Running, Some(_)) => "Silent",
                (plan::PodPhase::Running | plan::PodPhase::Pending, _) => "Starting",
            };
            *pods.entry(phase).or_default() += 1;
        }
        self.metrics.stands(&states, &pending, &pods, unreadable);
    }
}

fn state_word(state: crds::StreamState) -> &'static str {
    match state {
        crds::StreamState::Pending => "Pending",
        crds::StreamState::Disabled => "Disabled",
        crds::StreamState::Reconnecting => "Reconnecting",
        crds::StreamState::Streaming => "Streaming",
        crds::StreamState::Completed => "Completed",
        crds::StreamState::Failed => "Failed",
    }
}
