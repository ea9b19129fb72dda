//! The fleet as it is meant to be, and the acts that are done to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crds::VideoSource;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::{
    super::Stage,
    act::{PodView, View},
};
use crate::{
    cluster::{Cluster, ScenarioError},
    objects::{Camera, Model, is_ready, model_of, node_of, pod_of},
    verdict::{Addresses, Disturbance},
};

/// Cameras of the first model, and of the second.
pub(super) const CAMERAS: [usize; 2] = [6, 2];

/// Cameras that a pod has room for: all of them, so that one ready pod is room enough.
const STREAMS: usize = 16;

/// The second model.
const OTHER: &str = "guards";

/// How long anything may take to come about.
pub(super) const LIMIT: Duration = Duration::from_mins(3);

/// A camera as it is meant to be.
pub(super) struct Wanted {
    pub(super) camera: Camera,
    pub(super) number: usize,
    pub(super) addresses: Addresses,
}

/// The fleet as it is meant to be.
pub(super) struct Fleet<'a> {
    pub(super) stage: &'a Stage<'a>,
    pub(super) models: [Model; 2],
    pub(super) cameras: BTreeMap<String, Wanted>,
    /// What the sources may feel so far.
    pub(super) disturbances: Vec<Disturbance>,
    /// The node that is cut off.
    pub(super) cut: Arc<Mutex<Option<String>>>,
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
}
