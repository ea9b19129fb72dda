//! How acts are done, and what may be felt of each.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use camera_simulator::Fault;
use jiff::{SignedDuration, Timestamp};
use kube::{ResourceExt as _, api::DeleteParams};
use tokio::time::sleep;

use super::{
    act::{Act, CameraAct},
    fleet::{CAMERAS, Fleet, LIMIT},
};
use crate::{
    cluster::ScenarioError,
    objects::{Camera, FPS},
    verdict::Disturbance,
};

/// How long a stream whose pod is lost may be without detections.
const LOST: Duration = Duration::from_secs(10);

/// How long a camera that can be reached again, or has just been given to a pod, may take.
const RETURN: Duration = Duration::from_secs(10);

/// How long a pod may take to read a camera from another address.
const ADDRESS: Duration = Duration::from_secs(5);

impl Fleet<'_> {
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
                self.gone(pod).await?;
            }
            Act::DeletePod { pod, .. } => {
                self.lose(std::slice::from_ref(pod), async || cluster.delete_pod(pod, &now).await).await?;
            }
            Act::KillContainer { pod, node } => {
                let kill = async || stage.faults.make(&["kill-container", node, pod]).await;
                self.lose(std::slice::from_ref(pod), kill).await?;
            }
            Act::Drain { node } => {
                let view = self.view().await?;
                let leaving: Vec<String> =
                    view.pods.into_iter().filter(|pod| pod.node == *node).map(|pod| pod.name).collect();
                cluster.cordon(node, true).await?;
                let drained = stage.evict_all(&leaving).await;
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
            Act::Scale => {
                self.models[0].pods = 5 - self.models[0].pods;
                cluster.apply_model(&self.models[0]).await?;
            }
            Act::Evacuate { pod } => {
                stage.annotate_evacuate(pod).await?;
                self.gone(pod).await?;
            }
            Act::Rollout => {
                self.models[0].revision += 1;
                cluster.apply_model(&self.models[0]).await?;
            }
            Act::Camera { camera, what } => self.perform_on(camera, what).await?,
        }
        Ok(())
    }

    async fn perform_on(&mut self, camera: &str, act: &CameraAct) -> Result<(), ScenarioError> {
        match *act {
            CameraAct::Misbehave { fault, time } => self.misbehave(camera, fault, time).await,
            CameraAct::Slow { fps, time } => {
                let interval = Duration::from_secs_f64(2.1 / f64::from(fps) + 1.0 / f64::from(FPS));
                let slow = |camera: &mut Camera| camera.fps = fps;
                self.for_a_while(camera, time, interval, slow, |camera| camera.fps = FPS).await
            }
            CameraAct::Disable { time } => {
                let disable = |camera: &mut Camera| camera.enabled = false;
                self.for_a_while(camera, time, time + RETURN, disable, |camera| camera.enabled = true).await
            }
            CameraAct::Delete { time } => {
                let since = Timestamp::now();
                self.stage.cluster.delete_camera(camera).await?;
                sleep(time).await;
                self.apply(camera).await?;
                self.disturb(camera, since, Timestamp::now() + signed(RETURN), time + RETURN);
                Ok(())
            }
            CameraAct::Address => {
                let Some(wanted) = self.cameras.get_mut(camera) else { return Ok(()) };
                // No other source has it: each has every eighth.
                wanted.number += CAMERAS.iter().sum::<usize>();
                wanted.camera.uri = self.stage.cameras.uri(wanted.number)?;
                let now = Timestamp::now();
                wanted.addresses.push((now, wanted.number));
                self.disturb(camera, now, now + signed(ADDRESS), ADDRESS);
                self.apply(camera).await
            }
            CameraAct::SwitchModel => {
                let [first, second] = [self.models[0].name, self.models[1].name];
                self.edit(camera, |camera| camera.model = if camera.model == first { second } else { first }).await
            }
        }
    }

    /// Waits until a pod has ended.
    async fn gone(&self, pod: &str) -> Result<(), ScenarioError> {
        let pods = || self.stage.cluster.pods();
        self.stage
            .cluster
            .wait(&format!("{pod} has ended"), LIMIT, async || {
                Ok(pods().await?.iter().all(|other| other.name_any() != *pod).then_some(()))
            })
            .await
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

    fn disturb(&mut self, source: &str, from: Timestamp, until: Timestamp, longest: Duration) {
        self.disturbances.push(Disturbance { source: source.to_owned(), from, until, longest });
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
