//! What happens to the fleet, and the choice of it. Pure.

use std::{collections::BTreeSet, fmt, time::Duration};

use camera_simulator::Fault;
use rand::{Rng, RngExt as _, seq::IndexedRandom as _};

use crate::objects::FPS;

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
    /// A camera misbehaves for a while.
    Misbehave { camera: String, fault: Fault, time: Duration },
    /// A camera is looked at less often for a while.
    Slow { camera: String, fps: u32, time: Duration },
    /// A camera gets another address.
    Address { camera: String },
    /// A camera is watched by the other model.
    SwitchModel { camera: String },
    /// A camera is not watched for a while.
    Disable { camera: String, time: Duration },
    /// A camera is deleted, and applied again after a while.
    Delete { camera: String, time: Duration },
    /// A model gets a pod more, or one less.
    Scale,
    /// Streams are asked to leave a pod.
    Evacuate { pod: String },
    /// The pods of the first model get another template.
    Rollout,
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
        let seconds = |random: &mut dyn FnMut() -> u64| Duration::from_secs(random());
        let camera = self.cameras.choose(random)?.clone();
        let spare_pod = self.spare_pods().choose(random).map(|pod| (*pod).clone());
        let spare_node = self.spare_nodes().choose(random).map(|node| (*node).to_owned());
        let mut between = |from: u64, to: u64| seconds(&mut || random.random_range(from..=to));
        let (short, long) = (between(2, 6), between(8, 20));
        Some(match random.random_range(0..18) {
            0 | 1 => Act::DeletePod { pod: spare_pod?.name, gracefully: false },
            2 => Act::DeletePod { pod: spare_pod?.name, gracefully: true },
            3 | 4 if self.can_fault => {
                let PodView { name, node, .. } = spare_pod?;
                Act::KillContainer { pod: name, node }
            }
            5 => Act::Drain { node: spare_node? },
            6 if self.can_fault => Act::CutNode { node: spare_node?, time: long },
            7 => Act::KillOperators { all: random.random() },
            8 if self.can_fault => Act::StopApi { time: long },
            9..=11 => {
                let faults =
                    [Fault::Die, Fault::Stall, Fault::Refuse, Fault::Silence, Fault::DemandLogin, Fault::Garbage];
                Act::Misbehave { camera, fault: *faults.choose(random)?, time: long }
            }
            12 => Act::Slow { camera, fps: random.random_range(2..FPS), time: long },
            13 => Act::Address { camera },
            14 => Act::SwitchModel { camera },
            15 if random.random() => Act::Disable { camera, time: short },
            15 => Act::Delete { camera, time: short },
            16 if random.random() => Act::Scale,
            16 => Act::Evacuate { pod: spare_pod?.name },
            17 => Act::Rollout,
            _ => return None,
        })
    }
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
            Self::Misbehave { .. } => "camera misbehaves",
            Self::Slow { .. } => "camera at another rate",
            Self::Address { .. } => "camera at another address",
            Self::SwitchModel { .. } => "camera with another model",
            Self::Disable { .. } => "camera disabled",
            Self::Delete { .. } => "camera deleted",
            Self::Scale => "model scaled",
            Self::Evacuate { .. } => "pod evacuated",
            Self::Rollout => "rollout",
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
            Self::Misbehave { camera, fault, time } => write!(f, ": {camera}, {fault:?} for {} s", time.as_secs()),
            Self::Slow { camera, fps, time } => write!(f, ": {camera} at {fps}/s for {} s", time.as_secs()),
            Self::Disable { camera, time } | Self::Delete { camera, time } => {
                write!(f, ": {camera} for {} s", time.as_secs())
            }
            Self::Address { camera } | Self::SwitchModel { camera } => write!(f, ": {camera}"),
            Self::KillOperators { .. } | Self::Scale | Self::Rollout => Ok(()),
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
