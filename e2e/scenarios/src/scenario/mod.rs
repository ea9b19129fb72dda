//! What is gone through, each from a fleet that is at rest.

mod balance;
mod bind;
mod changes;
mod chaos;
mod drain;
mod losses;
mod outages;
mod rest;
mod scarcity;

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use crate::{
    cameras::Cameras,
    cluster::{Cluster, ScenarioError},
    faults::Faults,
    ledger::Ledger,
    objects::{Camera, FPS, Model, epoch_of, pod_of},
    published::Published,
    report::{Row, percentile},
};

/// Two intervals between frames, in seconds, and a tenth of one for the jitter of a camera that draws its pictures.
const TWO_INTERVALS: f64 = 2.1 / FPS as f64;

/// What scenarios work with.
pub(crate) struct Stage<'a> {
    /// The cluster.
    pub(crate) cluster: &'a Cluster,
    /// What the pods publish.
    pub(crate) published: &'a Published,
    /// What the sources are.
    pub(crate) cameras: &'a Cameras,
    /// Who makes faults.
    pub(crate) faults: &'a Faults,
    /// Where the operator is installed.
    pub(crate) operator_namespace: &'a str,
    /// What chaos is made from.
    pub(crate) seed: u64,
    /// How long the long ones take.
    pub(crate) duration: Duration,
}

/// The scenarios, in the order in which they are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// Cameras are applied one after another to pods that wait for them.
    Bind,
    /// Nothing happens for a while.
    Rest,
    /// A pod is added to a fleet.
    Balance,
    /// A pod is deleted without a grace period.
    PodLost,
    /// The container of a pod is killed.
    ContainerKilled,
    /// A node is drained.
    Drain,
    /// A node's network is cut.
    NodeLost,
    /// The network of the node that the leading operator runs on is cut.
    LeaderNodeLost,
    /// The leading operator is killed, then all of them are away.
    OperatorLost,
    /// The API server is away.
    ApiLost,
    /// A camera gets another rate, another address, another model.
    CameraEdited,
    /// A model gets another threshold.
    ModelEdited,
    /// Pods get another template, then one that does not start.
    Rollout,
    /// A model gets a pod less.
    ScaleDown,
    /// Streams are asked to leave a pod.
    Evacuate,
    /// There are more cameras than places.
    Pending,
    /// A camera dies for good.
    DeadCamera,
    /// All of that, at random.
    Chaos,
}

impl Scenario {
    /// Its name in reports.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Rest => "rest",
            Self::Balance => "balance",
            Self::PodLost => "pod lost",
            Self::ContainerKilled => "container killed",
            Self::Drain => "drain",
            Self::NodeLost => "node lost",
            Self::LeaderNodeLost => "node lost with the leader",
            Self::OperatorLost => "operator lost",
            Self::ApiLost => "API server lost",
            Self::CameraEdited => "camera edited",
            Self::ModelEdited => "model edited",
            Self::Rollout => "rollout",
            Self::ScaleDown => "scale down",
            Self::Evacuate => "evacuate",
            Self::Pending => "pending",
            Self::DeadCamera => "dead camera",
            Self::Chaos => "chaos",
        }
    }

    /// Goes through it.
    ///
    /// # Errors
    /// Why that was not possible.
    pub(crate) async fn run(self, stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
        match self {
            Self::Bind => bind::run(stage).await,
            Self::Rest => rest::run(stage).await,
            Self::Balance => balance::run(stage).await,
            Self::PodLost => losses::pod(stage).await,
            Self::ContainerKilled => losses::container(stage).await,
            Self::Drain => drain::run(stage).await,
            Self::NodeLost => losses::node(stage, false).await,
            Self::LeaderNodeLost => losses::node(stage, true).await,
            Self::OperatorLost => outages::operator(stage).await,
            Self::ApiLost => outages::api_server(stage).await,
            Self::CameraEdited => changes::camera(stage).await,
            Self::ModelEdited => changes::model(stage).await,
            Self::Rollout => changes::rollout(stage).await,
            Self::ScaleDown => changes::scale_down(stage).await,
            Self::Evacuate => changes::evacuate(stage).await,
            Self::Pending => scarcity::pending(stage).await,
            Self::DeadCamera => scarcity::dead_camera(stage).await,
            Self::Chaos => chaos::run(stage).await,
        }
    }
}

/// What a camera was bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    pod: String,
    epoch: i64,
}

impl Stage<'_> {
    /// A camera as most scenarios have them; the number tells which.
    fn camera(&self, number: usize) -> Result<Camera, ScenarioError> {
        Ok(Camera::at(self.cameras.uri(number)?))
    }

    /// Applies such a camera.
    async fn add_camera(&self, name: &str, number: usize) -> Result<(), ScenarioError> {
        self.cluster.apply_camera(name, &self.camera(number)?).await
    }

    /// The cameras that are bound, and to what.
    async fn bindings(&self) -> Result<BTreeMap<String, Bound>, ScenarioError> {
        let cameras = self.cluster.cameras().await?;
        let bound = |camera: crds::VideoSource| {
            let (name, epoch) = (camera.metadata.name.clone()?, epoch_of(&camera));
            Some((name, Bound { pod: pod_of(&camera)?.to_owned(), epoch }))
        };
        Ok(cameras.into_iter().filter_map(bound).collect())
    }

    /// Has `cameras` cameras watched by `pods` pods that take `streams` each, and waits until all of them publish and
    /// have done so for a while.
    async fn fleet(
        &self,
        cameras: usize,
        pods: usize,
        streams: usize,
    ) -> Result<BTreeMap<String, Bound>, ScenarioError> {
        self.cluster.serve(&Model::of(pods, streams)).await?;
        let began = Timestamp::now();
        let names: Vec<String> = (1..=cameras).map(|number| format!("camera-{number}")).collect();
        for (seed, name) in names.iter().enumerate() {
            self.add_camera(name, seed + 1).await?;
        }
        self.cluster
            .wait("every camera publishes", Duration::from_mins(2), async || {
                let published = |ledger: &Ledger| {
                    names.iter().all(|name| ledger.last(name).is_some_and(|frame| frame.published > began))
                };
                Ok(self.published.look(published).then_some(()))
            })
            .await?;
        self.settle().await
    }

    /// Waits until no binding has changed for ten seconds.
    async fn settle(&self) -> Result<BTreeMap<String, Bound>, ScenarioError> {
        const STILL: Duration = Duration::from_secs(10);
        for _ in 0..30 {
            let before = self.bindings().await?;
            sleep(STILL).await;
            if self.bindings().await? == before {
                return Ok(before);
            }
        }
        Err(ScenarioError::Timeout { what: "bindings stay as they are".to_owned(), limit: STILL * 30 })
    }

    /// Waits until each of `lost` has another pod; the seconds that each took since `since`.
    async fn rebound(&self, lost: &BTreeMap<String, Bound>, since: Timestamp) -> Result<Vec<f64>, ScenarioError> {
        let times = std::cell::RefCell::new(BTreeMap::new());
        self.cluster
            .wait("every camera has another pod", Duration::from_mins(2), async || {
                let now = self.bindings().await?;
                let mut times = times.borrow_mut();
                for (name, before) in lost {
                    if now.get(name).is_some_and(|bound| bound.pod != before.pod) {
                        times.entry(name.clone()).or_insert_with(|| seconds(Timestamp::now().duration_since(since)));
                    }
                }
                Ok((times.len() == lost.len()).then_some(()))
            })
            .await?;
        Ok(times.into_inner().into_values().collect())
    }

    /// Waits until each of `lost` has detected something under a later binding; the seconds since `since`.
    async fn detected(&self, lost: &BTreeMap<String, Bound>, since: Timestamp) -> Result<Vec<f64>, ScenarioError> {
        self.cluster
            .wait("every camera has detections again", Duration::from_mins(2), async || {
                Ok(self.published.look(|ledger| {
                    lost.iter()
                        .map(|(name, before)| {
                            let first = ledger.first_detection(name, before.epoch, since)?;
                            Some(seconds(first.duration_since(since)))
                        })
                        .collect::<Option<Vec<f64>>>()
                }))
            })
            .await
    }

    /// The longest gap of any of `names` from `from` until now, in seconds.
    async fn longest_gap<'n>(&self, names: impl Iterator<Item = &'n String>, from: Timestamp) -> f64 {
        // What was published by now is in the logs a little later.
        let to = Timestamp::now();
        sleep(Duration::from_secs(2)).await;
        let ledger = self.published.so_far();
        names.map(|name| seconds(ledger.longest_gap(name, from, to))).fold(0.0, f64::max)
    }

    /// What sources that nothing has happened to have felt, beside what they felt in the ten seconds before.
    async fn gap_of_others<'n>(&self, names: impl Iterator<Item = &'n String> + Clone, since: Timestamp) -> Row {
        let gap = self.longest_gap(names.clone(), since).await;
        let calm = since.checked_sub(SignedDuration::from_secs(10)).unwrap_or(since);
        let ledger = self.published.so_far();
        let before = names.map(|name| seconds(ledger.longest_gap(name, calm, since))).fold(0.0, f64::max);
        let row = Row::at_most("others' longest gap", TWO_INTERVALS, gap, "s");
        Row { measured: format!("{} ({before:.2} s before)", row.measured), ..row }
    }

    fn duplicates(&self) -> Row {
        Row::exactly("frames published twice", 0, self.published.look(Ledger::duplicates))
    }
}

fn seconds(duration: SignedDuration) -> f64 {
    duration.as_secs_f64()
}

/// Half and nearly all of `times`, against their limits, in seconds.
fn percentiles(what: &str, times: &[f64], limits: &[(f64, f64)]) -> Vec<Row> {
    let row = |&(share, limit): &(f64, f64)| {
        Row::at_most(format!("{what}, p{:.0} of {}", share * 100.0, times.len()), limit, percentile(times, share), "s")
    };
    limits.iter().map(row).collect()
}
