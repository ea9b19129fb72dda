//! The fleet as it is meant to be, and the acts that are done to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use camera_simulator::Fault;
use crds::VideoSource;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt as _, api::DeleteParams};
use tokio::time::sleep;

use super::{
    super::{Stage, drain::evict_all},
    act::{Act, PodView, View},
};
use crate::{
    cluster::{Cluster, ScenarioError},
    objects::{Camera, FPS, Model, is_ready, model_of, node_of, pod_of},
    verdict::{Addresses, Disturbance},
};

/// Cameras of the first model, and of the second.
const CAMERAS: [usize; 2] = [6, 2];

/// Cameras that a pod has room for: all of them, so that one ready pod is room enough.
const STREAMS: usize = 16;

/// The second model.
const OTHER: &str = "guards";

/// How long a stream whose pod is lost may be without detections.
const LOST: Duration = Duration::from_secs(10);

/// How long a camera that can be reached again, or has just been given to a pod, may take.
const RETURN: Duration = Duration::from_secs(10);

/// How long a pod may take to read a camera from another address.
const ADDRESS: Duration = Duration::from_secs(5);

/// How long anything may take to come about.
const LIMIT: Duration = Duration::from_mins(3);

/// A camera as it is meant to be.
struct Wanted {
    camera: Camera,
    number: usize,
    addresses: Addresses,
}

/// The fleet as it is meant to be.
pub(super) struct Fleet<'a> {
    stage: &'a Stage<'a>,
    models: [Model; 2],
    cameras: BTreeMap<String, Wanted>,
    /// What the sources may feel so far.
    pub(super) disturbances: Vec<Disturbance>,
    /// The node that is cut off.
    cut: Arc<Mutex<Option<String>>>,
}

/// Looks at the cluster while acts are done to it.
pub(super) struct Eyes<'a> {
    cluster: &'a Cluster,
    cut: Arc<Mutex<Option<String>>>,
}

impl Eyes<'_> {
    /// Sources that a ready pod on a node that is not cut off could serve, but which have none.
    pub(super) async fn unbound(&self) -> Result<BTreeSet<String>, ScenarioError> {
        let cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let pods = self.cluster.pods().await?;
        let can_serve = |pod: &&Pod| is_ready(pod) && (cut.is_none() || node_of(pod) != cut.as_deref());
        let served: BTreeSet<&str> = pods.iter().filter(can_serve).filter_map(model_of).collect();
        let cameras = self.cluster.cameras().await?;
        let waits = |camera: &&VideoSource| {
            camera.spec.enabled && pod_of(camera).is_none() && served.contains(&*camera.spec.model_ref.name)
        };
        Ok(cameras.iter().filter(waits).map(kube::ResourceExt::name_any).collect())
    }
}

impl<'a> Fleet<'a> {
    /// Has two models served and their cameras watched, and waits until all is calm.
    pub(super) async fn start(stage: &'a Stage<'a>) -> Result<Self, ScenarioError> {
        let models = [Model::of(2, STREAMS), Model { name: OTHER, ..Model::of(2, STREAMS) }];
        stage.cluster.serve(&models[1]).await?;
        stage.fleet(CAMERAS[0], models[0].pods, STREAMS).await?;
        let mut fleet = Self { stage, models, cameras: BTreeMap::new(), disturbances: Vec::new(), cut: Arc::default() };
        for number in 1..=CAMERAS.iter().sum() {
            let model = fleet.models[usize::from(number > CAMERAS[0])].name;
            let camera = Camera { model, ..stage.camera(number)? };
            let name = format!("camera-{number}");
            if number > CAMERAS[0] {
                stage.cluster.apply_camera(&name, &camera).await?;
            }
            let addresses = vec![(Timestamp::UNIX_EPOCH, number)];
            fleet.cameras.insert(name, Wanted { camera, number, addresses });
        }
        fleet.publishing().await?;
        stage.settle().await?;
        Ok(fleet)
    }

    /// Waits until every camera publishes.
    pub(super) async fn publishing(&self) -> Result<(), ScenarioError> {
        let began = Timestamp::now();
        self.stage
            .cluster
            .wait("every camera publishes", LIMIT, async || {
                Ok(self.stage.published.look(|ledger| {
                    let is_live = |name: &String| ledger.last(name).is_some_and(|frame| frame.captured > began);
                    self.cameras.keys().all(is_live).then_some(())
                }))
            })
            .await
    }

    /// The cameras, each with where it was when.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&String, &Addresses)> {
        self.cameras.iter().map(|(name, wanted)| (name, &wanted.addresses))
    }

    /// What the choice of an act depends on.
    pub(super) async fn view(&self) -> Result<View, ScenarioError> {
        let pods = self.stage.cluster.pods().await?;
        let view = |pod: &Pod| {
            let (model, node) = (model_of(pod)?.to_owned(), node_of(pod)?.to_owned());
            Some(PodView { name: pod.name_any(), model, node, ready: is_ready(pod) })
        };
        let mut pods: Vec<PodView> = pods.iter().filter_map(view).collect();
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        let cameras = self.cameras.keys().cloned().collect();
        Ok(View { pods, cameras, can_fault: self.stage.faults.check().is_ok() })
    }

    /// Somebody who looks on.
    pub(super) fn eyes(&self) -> Eyes<'a> {
        Eyes { cluster: self.stage.cluster, cut: Arc::clone(&self.cut) }
    }

    fn disturb(&mut self, source: &str, from: Timestamp, until: Timestamp, longest: Duration) {
        self.disturbances.push(Disturbance { source: source.to_owned(), from, until, longest });
    }

    /// Does an act, and waits until what was taken away is back.
    ///
    /// # Errors
    /// That it is not, or what the API server says.
    pub(super) async fn perform(&mut self, act: &Act) -> Result<(), ScenarioError> {
        let (stage, cluster) = (self.stage, self.stage.cluster);
        let now = DeleteParams::default().grace_period(0);
        match act {
            Act::DeletePod { pod, gracefully: true } => {
                cluster.delete_pod(pod, &DeleteParams::default()).await?;
                cluster
                    .wait(&format!("{pod} ends"), LIMIT, async || {
                        let pods = cluster.pods().await?;
                        Ok(pods.iter().all(|other| other.name_any() != *pod).then_some(()))
                    })
                    .await?;
            }
            Act::DeletePod { pod, .. } => {
                self.lose(&[pod.clone()], async || cluster.delete_pod(pod, &now).await).await?;
            }
            Act::KillContainer { pod, node } => {
                let kill = async || stage.faults.make(&["kill-container", node, pod]).await;
                self.lose(&[pod.clone()], kill).await?;
            }
            Act::Drain { node } => {
                let view = self.view().await?;
                let leaving: Vec<String> =
                    view.pods.into_iter().filter(|pod| pod.node == *node).map(|pod| pod.name).collect();
                cluster.cordon(node, true).await?;
                let drained = evict_all(stage, &leaving).await;
                cluster.cordon(node, false).await?;
                drained?;
            }
            Act::CutNode { node, time } => {
                let view = self.view().await?;
                let pods: Vec<String> =
                    view.pods.into_iter().filter(|pod| pod.node == *node).map(|pod| pod.name).collect();
                let set =
                    |cut: &Mutex<Option<String>>, node| *cut.lock().unwrap_or_else(PoisonError::into_inner) = node;
                set(&self.cut, Some(node.clone()));
                self.lose(&pods, async || stage.faults.make(&["cut", node]).await).await?;
                sleep(*time).await;
                stage.faults.make(&["mend", node]).await?;
                set(&self.cut, None);
            }
            Act::KillOperators { all } => stage.kill_operators(*all).await?,
            Act::StopApi { time } => {
                stage.faults.make(&["stop-api"]).await?;
                sleep(*time).await;
                stage.faults.make(&["start-api"]).await?;
                cluster
                    .wait("the API server answers", LIMIT, async || cluster.cameras().await.map(|_| Some(())))
                    .await?;
            }
            Act::Misbehave { camera, fault, time } => self.misbehave(camera, *fault, *time).await?,
            Act::Slow { camera, fps, time } => {
                let interval = Duration::from_secs_f64(2.1 / f64::from(*fps) + 1.0 / f64::from(FPS));
                let changed = |wanted: &mut Camera| wanted.fps = *fps;
                self.for_a_while(camera, *time, interval, changed, |wanted| wanted.fps = FPS).await?;
            }
            Act::Disable { camera, time } => {
                let changed = |wanted: &mut Camera| wanted.enabled = false;
                self.for_a_while(camera, *time, *time + RETURN, changed, |wanted| wanted.enabled = true).await?;
            }
            Act::Delete { camera, time } => {
                let since = Timestamp::now();
                cluster.delete_camera(camera).await?;
                sleep(*time).await;
                self.apply(camera).await?;
                self.disturb(camera, since, Timestamp::now() + signed(RETURN), *time + RETURN);
            }
            Act::Address { camera } => {
                let Some(wanted) = self.cameras.get_mut(camera) else { return Ok(()) };
                // No other source has it: each has every eighth.
                wanted.number += CAMERAS.iter().sum::<usize>();
                wanted.camera.uri = stage.cameras.uri(wanted.number)?;
                let now = Timestamp::now();
                wanted.addresses.push((now, wanted.number));
                self.disturb(camera, now, now + signed(ADDRESS), ADDRESS);
                self.apply(camera).await?;
            }
            Act::SwitchModel { camera } => {
                let names = [self.models[0].name, self.models[1].name];
                let Some(wanted) = self.cameras.get_mut(camera) else { return Ok(()) };
                wanted.camera.model = names[usize::from(wanted.camera.model == names[0])];
                self.apply(camera).await?;
            }
            Act::Scale => {
                self.models[0].pods = 5 - self.models[0].pods;
                cluster.apply_model(&self.models[0]).await?;
            }
            Act::Evacuate { pod } => {
                stage.annotate_evacuate(pod).await?;
                cluster
                    .wait(&format!("{pod} is replaced"), LIMIT, async || {
                        let pods = cluster.pods().await?;
                        Ok(pods.iter().all(|other| other.name_any() != *pod).then_some(()))
                    })
                    .await?;
            }
            Act::Rollout => {
                self.models[0].revision += 1;
                cluster.apply_model(&self.models[0]).await?;
            }
        }
        Ok(())
    }

    /// Takes pods away without a word: their streams may be gone until they have others.
    async fn lose(
        &mut self,
        pods: &[String],
        fault: impl AsyncFnOnce() -> Result<(), ScenarioError>,
    ) -> Result<(), ScenarioError> {
        let since = Timestamp::now();
        let before = self.stage.bindings().await?;
        fault().await?;
        // One that was moving at that moment may have arrived only now. A cut node may take the way to the API server
        // along for a moment.
        let after = self.stage.bindings().await.unwrap_or_default();
        let streams: BTreeSet<String> = before
            .into_iter()
            .chain(after)
            .filter(|(_, bound)| pods.contains(&bound.pod))
            .map(|(source, _)| source)
            .collect();
        for source in streams {
            self.disturb(&source, since, since + signed(LOST), LOST);
        }
        Ok(())
    }

    async fn misbehave(&mut self, camera: &str, fault: Fault, time: Duration) -> Result<(), ScenarioError> {
        let Some(number) = self.cameras.get(camera).map(|wanted| wanted.number) else { return Ok(()) };
        let site = self.stage.cameras.site()?;
        let since = Timestamp::now();
        site.misbehave(number, fault)?;
        sleep(time).await;
        site.heal(number)?;
        self.disturb(camera, since, Timestamp::now() + signed(RETURN), time + RETURN);
        Ok(())
    }

    /// Changes a camera, and changes it back after a while.
    async fn for_a_while(
        &mut self,
        name: &str,
        time: Duration,
        longest: Duration,
        change: impl FnOnce(&mut Camera),
        back: impl FnOnce(&mut Camera),
    ) -> Result<(), ScenarioError> {
        let since = Timestamp::now();
        self.edit(name, change).await?;
        sleep(time).await;
        self.edit(name, back).await?;
        self.disturb(name, since, Timestamp::now() + signed(RETURN), longest);
        Ok(())
    }

    async fn edit(&mut self, name: &str, change: impl FnOnce(&mut Camera)) -> Result<(), ScenarioError> {
        if let Some(wanted) = self.cameras.get_mut(name) {
            change(&mut wanted.camera);
        }
        self.apply(name).await
    }

    async fn apply(&self, name: &str) -> Result<(), ScenarioError> {
        let Some(wanted) = self.cameras.get(name) else { return Ok(()) };
        self.stage.cluster.apply_camera(name, &wanted.camera).await
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
