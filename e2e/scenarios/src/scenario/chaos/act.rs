//! What happens to the fleet, and the choice of it. Pure.

use std::{collections::BTreeSet, fmt, ops::RangeInclusive, time::Duration};

use camera_simulator::Fault;
use rand::{Rng, RngExt as _, seq::IndexedRandom as _};

use crate::objects::FPS;

/// How long something is short, in seconds.
const SHORT: RangeInclusive<u64> = 2..=6;

/// How long it is long, in seconds.
const LONG: RangeInclusive<u64> = 8..=20;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    /// A pod is deleted, with its grace period or without.
    DeletePod { pod: String, gracefully: bool },
    /// The container of a pod gets SIGKILL.
    KillContainer { pod: String, node: String },
    /// A node takes no more pods, its analytics pods are evicted, and it takes pods again.
    Drain { node: String },
    /// A node's network is away for a while.
    CutNode { node: String, time: Duration },
    /// The operators are killed: the one that leads, or all.
    KillOperators { all: bool },
    /// The API server is away for a while.
    StopApi { time: Duration },
    /// Something happens to a camera.
    Camera { camera: String, what: CameraAct },
    /// A model gets a pod more, or one less.
    Scale,
    /// Streams are asked to leave a pod.
    Evacuate { pod: String },
    /// The pods of the first model get another template.
    Rollout,
}

/// One thing that happens to a camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum CameraAct {
    /// It misbehaves for a while.
    Misbehave { fault: Fault, time: Duration },
    /// It is looked at less often for a while.
    Slow { fps: u32, time: Duration },
    /// It gets another address.
    Address,
    /// It is watched by the other model.
    SwitchModel,
    /// It is not watched for a while.
    Disable { time: Duration },
    /// It is deleted, and applied again after a while.
    Delete { time: Duration },
}

/// A pod, as far as the choice depends on it.
#[derive(Clone, Debug)]
pub(super) struct PodView {
    pub(super) name: String,
    pub(super) model: String,
    pub(super) node: String,
    pub(super) ready: bool,
}

/// The fleet, as far as the choice depends on it.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) pods: Vec<PodView>,
    pub(super) cameras: Vec<String>,
    /// Whether nodes, containers and the API server can be hurt.
    pub(super) can_fault: bool,
}

impl View {
    /// Whether every model has a ready pod that is none of those.
    fn is_enough_without(&self, gone: impl Fn(&PodView) -> bool) -> bool {
        let models: BTreeSet<&str> = self.pods.iter().map(|pod| &*pod.model).collect();
        models.iter().all(|model| self.pods.iter().any(|pod| pod.ready && pod.model == *model && !gone(pod)))
    }

    /// Ready pods that can be done without.
    fn spare_pods(&self) -> Vec<&PodView> {
        let spare = |pod: &&PodView| pod.ready && self.is_enough_without(|other| other.name == pod.name);
        self.pods.iter().filter(spare).collect()
    }

    /// Nodes with pods that can be done without.
    fn spare_nodes(&self) -> Vec<&str> {
        let nodes: BTreeSet<&str> = self.pods.iter().map(|pod| &*pod.node).collect();
        nodes.into_iter().filter(|node| self.is_enough_without(|pod| pod.node == *node)).collect()
    }

    /// What happens next.
    pub(super) fn choose(&self, random: &mut impl Rng) -> Act {
        loop {
            if let Some(act) = self.attempt(random) {
                return act;
            }
        }
    }

    /// One kind of act, where the fleet as it stands permits it: nothing is taken away that leaves no place for a stream.
    fn attempt(&self, random: &mut impl Rng) -> Option<Act> {
        let pod = self.spare_pods().choose(random).map(|pod| (*pod).clone());
        let node = self.spare_nodes().choose(random).map(|node| (*node).to_owned());
        let kind = random.random_range(0..18);
        Some(match kind {
            0 | 1 => Act::DeletePod { pod: pod?.name, gracefully: false },
            2 => Act::DeletePod { pod: pod?.name, gracefully: true },
            3 | 4 if self.can_fault => {
                let PodView { name, node, .. } = pod?;
                Act::KillContainer { pod: name, node }
            }
            5 => Act::Drain { node: node? },
            6 if self.can_fault => Act::CutNode { node: node?, time: seconds(random, LONG) },
            7 => Act::KillOperators { all: random.random() },
            8 if self.can_fault => Act::StopApi { time: seconds(random, LONG) },
            9..=15 => {
                Act::Camera { camera: self.cameras.choose(random)?.clone(), what: CameraAct::choose(kind, random)? }
            }
            16 if random.random() => Act::Scale,
            16 => Act::Evacuate { pod: pod?.name },
            17 => Act::Rollout,
            _ => return None,
        })
    }
}

impl CameraAct {
    /// By the number of its kind, 9 to 15.
    fn choose(kind: u32, random: &mut impl Rng) -> Option<Self> {
        const FAULTS: [Fault; 6] =
            [Fault::Die, Fault::Stall, Fault::Refuse, Fault::Silence, Fault::DemandLogin, Fault::Garbage];
        Some(match kind {
            9..=11 => Self::Misbehave { fault: *FAULTS.choose(random)?, time: seconds(random, LONG) },
            12 => Self::Slow { fps: random.random_range(2..FPS), time: seconds(random, LONG) },
            13 => Self::Address,
            14 => Self::SwitchModel,
            _ if random.random() => Self::Disable { time: seconds(random, SHORT) },
            _ => Self::Delete { time: seconds(random, SHORT) },
        })
    }
}

fn seconds(random: &mut impl Rng, range: RangeInclusive<u64>) -> Duration {
    Duration::from_secs(random.random_range(range))
}

impl Act {
    /// What kind it is, for the count of them.
    #[must_use]
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::DeletePod { gracefully: true, .. } => "pod deleted",
            Self::DeletePod { .. } => "pod killed",
            Self::KillContainer { .. } => "container killed",
            Self::Drain { .. } => "node drained",
            Self::CutNode { .. } => "node cut off",
            Self::KillOperators { all: true } => "all operators killed",
            Self::KillOperators { .. } => "leader killed",
            Self::StopApi { .. } => "API server away",
            Self::Scale => "model scaled",
            Self::Evacuate { .. } => "pod evacuated",
            Self::Rollout => "rollout",
            Self::Camera { what, .. } => match what {
                CameraAct::Misbehave { .. } => "camera misbehaves",
                CameraAct::Slow { .. } => "camera at another rate",
                CameraAct::Address => "camera at another address",
                CameraAct::SwitchModel => "camera with another model",
                CameraAct::Disable { .. } => "camera disabled",
                CameraAct::Delete { .. } => "camera deleted",
            },
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::DeletePod { pod, .. } | Self::KillContainer { pod, .. } | Self::Evacuate { pod } => {
                write!(f, ": {pod}")
            }
            Self::Drain { node } => write!(f, ": {node}"),
            Self::CutNode { node, time } => write!(f, ": {node} for {} s", time.as_secs()),
            Self::StopApi { time } => write!(f, ": {} s", time.as_secs()),
            Self::KillOperators { .. } | Self::Scale | Self::Rollout => Ok(()),
            Self::Camera { camera, what } => {
                write!(f, ": {camera}")?;
                match what {
                    CameraAct::Misbehave { fault, time } => write!(f, ", {fault:?} for {} s", time.as_secs()),
                    CameraAct::Slow { fps, time } => write!(f, ", {fps}/s for {} s", time.as_secs()),
                    CameraAct::Disable { time } | CameraAct::Delete { time } => write!(f, " for {} s", time.as_secs()),
                    CameraAct::Address | CameraAct::SwitchModel => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn view(pods: Vec<(bool, bool, bool)>, can_fault: bool) -> View {
        let named = |model: bool, node: bool| (if model { "people" } else { "guards" }, if node { "n1" } else { "n2" });
        let pods = pods.into_iter().enumerate().map(|(number, (model, node, ready))| {
            let (model, node) = named(model, node);
            PodView { name: format!("pod-{number}"), model: model.to_owned(), node: node.to_owned(), ready }
        });
        View { pods: pods.collect(), cameras: vec!["camera-1".to_owned(), "camera-2".to_owned()], can_fault }
    }

    proptest! {
        #[test]
        fn every_model_keeps_a_ready_pod(
            pods in prop::collection::vec(any::<(bool, bool, bool)>(), 0..6), can_fault: bool, seed: u64,
        ) {
            let view = view(pods, can_fault);
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            for _ in 0..50 {
                let act = view.choose(&mut random);
                let gone: Box<dyn Fn(&PodView) -> bool> = match act.clone() {
                    Act::DeletePod { pod, .. } | Act::KillContainer { pod, .. } | Act::Evacuate { pod } => {
                        Box::new(move |other| other.name == pod)
                    }
                    Act::Drain { node } | Act::CutNode { node, .. } => Box::new(move |pod| pod.node == node),
                    _ => continue,
                };
                prop_assert!(view.is_enough_without(gone), "{act}");
            }
        }

        #[test]
        fn the_same_seed_makes_the_same_acts(seed: u64) {
            let view = view(vec![(true, true, true), (true, false, true), (false, true, true), (false, false, true)], true);
            let acts = |seed| {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                (0..20).map(|_| view.choose(&mut random)).collect::<Vec<_>>()
            };
            prop_assert_eq!(acts(seed), acts(seed));
        }
    }

    #[test]
    fn what_cannot_be_done_here_is_not_chosen() {
        let view = view(vec![(true, true, true), (true, false, true)], false);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let kinds: BTreeSet<&str> = (0..2000).map(|_| view.choose(&mut random).kind()).collect();
        for absent in ["container killed", "node cut off", "API server away"] {
            assert!(!kinds.contains(absent), "{absent}");
        }
        assert_eq!(kinds.len(), 14, "{kinds:?}");
    }
}
