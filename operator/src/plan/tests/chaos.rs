//! Random events on many seeds; what must hold in every round is checked by the cluster itself.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::cluster::{Cluster, DEMAND};
use crate::plan::{Camera, Load, PendingReason, PodPhase};

/// One random event.
fn disturb(cluster: &mut Cluster, rng: &mut ChaCha8Rng, number: usize) {
    let pod = cluster.pod_names().choose(rng).cloned();
    let sources: Vec<_> = cluster.snapshot.sources.keys().cloned().collect();
    let source = sources.choose(rng).cloned();
    let model = if rng.random_bool(0.5) { "people" } else { "cars" };
    let now = cluster.snapshot.now;
    match (rng.random_range(0..18), pod, source) {
        (0 | 1, Some(pod), _) => {
            cluster.snapshot.pods.remove(&pod);
        }
        (2, Some(pod), _) => {
            cluster.silent.insert(pod, now);
        }
        (3, Some(pod), _) => {
            cluster.silent.remove(&pod);
        }
        (4, Some(pod), _) => {
            cluster.pod(&pod).phase = PodPhase::Finished;
        }
        (5, Some(pod), _) => cluster.pod(&pod).evacuate = true,
        (6, ..) => {
            let node = cluster.node("node-0");
            node.draining = !node.draining;
        }
        (7 | 8, ..) => {
            let demand = Load { inferences: rng.random_range(1..80) * 1000, ..DEMAND };
            cluster.add_source(&format!("late-{number}"), model, demand);
            let source = cluster.source(&format!("late-{number}"));
            source.priority = rng.random_range(-5..5);
            source.single_connection = rng.random_bool(0.2);
        }
        (9, _, Some(source)) => {
            cluster.snapshot.sources.remove(&source);
        }
        (10, _, Some(source)) => {
            let source = cluster.snapshot.sources.get_mut(&source).unwrap();
            source.enabled = !source.enabled;
        }
        (11, _, Some(source)) => {
            cluster.snapshot.sources.get_mut(&source).unwrap().model = model.into();
        }
        (12, _, Some(source)) => {
            let camera = if rng.random_bool(0.5) { Camera::Failing } else { Camera::Hopeless };
            cluster.cameras.insert(source, camera);
        }
        (13, ..) => cluster.cameras.clear(),
        (14, ..) => cluster.model(model).template_hash = format!("hash-{number}").into(),
        (15, ..) => {
            let replicas = [None, Some(0), Some(1), Some(3)];
            cluster.model(model).replicas = *replicas.choose(rng).unwrap();
        }
        (16, ..) => cluster.model(model).max_pods = rng.random_range(1..6),
        (17, ..) => cluster.memory = crate::plan::Memory::default(),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold_and_it_comes_to_rest(seed in any::<u64>()) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut cluster = Cluster::new();
        cluster.add_model("people");
        cluster.add_model("cars");
        cluster.add_node("node-0");
        cluster.add_sources("people", 25);
        cluster.add_sources("cars", 7);
        for number in 0..60 {
            disturb(&mut cluster, &mut rng, number);
            let seconds = rng.random_range(1..15);
            cluster.pass(seconds);
        }
        // Everything is well again.
        cluster.silent.clear();
        cluster.cameras.clear();
        cluster.node("node-0").draining = false;
        for model in ["people", "cars"] {
            cluster.model(model).replicas = None;
            cluster.model(model).max_pods = 20;
        }
        cluster.settle();
        let outcome = cluster.round();
        for (source, pending) in &outcome.pending {
            prop_assert_eq!(pending.reason, PendingReason::Disabled, "{} waits although all is well", source);
        }
        for pod in cluster.pod_names() {
            prop_assert!(!cluster.pod(&pod).evacuate, "{} was evacuated but is there", pod);
        }
    }
}
