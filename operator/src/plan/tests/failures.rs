//! Pods, nodes and cameras that fail.

use super::cluster::{Cluster, key, of_kind};
use crate::plan::{Camera, Decision, Key, Memory, Reason, Retirement, limits};

/// A fleet of four pods with twelve streams.
fn four_pods() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.add_model("people");
    cluster.add_node("node-0");
    cluster.model("people").min_pods = 4;
    cluster.settle();
    cluster.add_sources("people", 12);
    cluster.settle();
    cluster.pass(limits::COOL_DOWN / 1000);
    assert_eq!(cluster.streams(), [3, 3, 3, 3]);
    cluster
}

fn moved(decisions: &[Decision]) -> Vec<Key> {
    let mut moved: Vec<Key> = decisions.iter().filter_map(Decision::source).cloned().collect();
    moved.sort();
    moved.dedup();
    moved
}

#[test]
fn a_lost_pod_moves_its_own_sources_at_once() {
    let mut cluster = four_pods();
    let pod = cluster.pod_names()[1].clone();
    let its_own = cluster.bound_to(&pod);
    cluster.snapshot.pods.remove(&pod);
    let decisions = cluster.pass(1);
    assert_eq!(of_kind(&decisions, "Bind").len(), 3);
    assert_eq!(moved(&decisions), its_own);
    assert_eq!(of_kind(&decisions, "CreatePod").len(), 1, "and a pod is made in its place");
}

#[test]
fn a_lost_pod_moves_no_stream_of_others_although_the_rest_is_uneven_then() {
    let mut cluster = four_pods();
    cluster.model("people").min_pods = 3;
    cluster.model("people").rebalance_percent = Some(100);
    for source in cluster.snapshot.sources.values_mut() {
        source.demand.inferences = 200_000;
    }
    let pod = cluster.pod_names()[1].clone();
    let its_own = cluster.bound_to(&pod);
    cluster.snapshot.pods.remove(&pod);
    assert_eq!(moved(&cluster.pass(1)), its_own);
}

#[test]
fn a_container_that_is_back_in_time_keeps_its_streams() {
    let mut cluster = four_pods();
    let pod = cluster.pod_names()[2].clone();
    cluster.silent.insert(pod.clone(), cluster.snapshot.now);
    assert_eq!(cluster.pass(3), []);
    cluster.silent.clear();
    assert_eq!(cluster.settle(), []);
}

#[test]
fn a_silent_pod_loses_its_streams_and_is_replaced_in_the_end() {
    let mut cluster = four_pods();
    let pod = cluster.pod_names()[2].clone();
    cluster.silent.insert(pod.clone(), cluster.snapshot.now);
    let decisions = cluster.pass(4);
    assert_eq!(of_kind(&decisions, "Bind").len(), 3);
    assert_eq!(of_kind(&decisions, "DeletePod"), Vec::<&Decision>::new());
    let decisions = cluster.pass(60);
    assert!(decisions.contains(&Decision::DeletePod { pod, reason: Reason::Unresponsive }), "{decisions:?}");
}

#[test]
fn an_operator_that_is_cut_off_believes_kubernetes_only() {
    let mut cluster = four_pods();
    for pod in cluster.pod_names().into_iter().take(3) {
        cluster.silent.insert(pod, cluster.snapshot.now);
    }
    assert_eq!(cluster.pass(120), []);
    let dead = cluster.pod_names()[0].clone();
    cluster.pod(&dead).ready = false;
    let its_own = cluster.bound_to(&dead);
    assert_eq!(moved(&cluster.pass(1)), its_own);
}

#[test]
fn two_silent_pods_of_two_are_not_a_cut() {
    let mut cluster = four_pods();
    let pods = cluster.pod_names();
    for pod in &pods[..2] {
        cluster.silent.insert(pod.clone(), cluster.snapshot.now);
    }
    assert_eq!(moved(&cluster.pass(5)).len(), 6);
}

#[test]
fn a_hanging_engine_loses_its_streams() {
    let mut cluster = four_pods();
    let pod = cluster.pod_names()[0].clone();
    let its_own = cluster.bound_to(&pod);
    cluster.round();
    let mut snapshot = cluster.snapshot.clone();
    snapshot.pods.get_mut(&pod).unwrap().report.as_mut().unwrap().engine_stalled = limits::ENGINE_HANGS;
    let outcome = crate::plan::plan(&snapshot, Memory::default());
    assert_eq!(moved(&outcome.decisions), its_own);
    assert!(
        outcome
            .decisions
            .iter()
            .filter(|decision| decision.source().is_some())
            .all(|decision| { matches!(decision, Decision::Bind { reason: Reason::EngineHangs, .. }) })
    );
}

#[test]
fn a_drain_hands_every_stream_over_and_then_lets_the_pod_be_evicted() {
    let mut cluster = four_pods();
    let pod = cluster.pod_names()[0].clone();
    cluster.add_node("node-1");
    cluster.pod(&pod).node = Some("node-1".into());
    let its_own = cluster.bound_to(&pod);
    cluster.node("node-1").draining = true;
    let decisions = cluster.pass(20);
    let handed_over: Vec<Key> =
        of_kind(&decisions, "FinishHandover").iter().map(|d| d.source().unwrap().clone()).collect();
    assert_eq!(handed_over[..3], its_own);
    assert!(decisions.iter().all(|decision| decision.action() != "Release"));
    assert_eq!(of_kind(&decisions, "Bind"), Vec::<&Decision>::new(), "nothing is broken before it is made");
    assert!(decisions.contains(&Decision::UnprotectPod { pod: pod.clone(), reason: Reason::StreamsMoved }));
    cluster.node("node-1").draining = false;
    let decisions = cluster.pass(1);
    assert!(decisions.contains(&Decision::ProtectPod { pod, reason: Reason::InUse }));
}

#[test]
fn a_drain_with_no_room_elsewhere_makes_room_first() {
    let mut cluster = Cluster::at_rest(10);
    cluster.add_node("node-0");
    cluster.add_node("node-1");
    let pod = cluster.pod_names()[0].clone();
    cluster.pod(&pod).node = Some("node-1".into());
    cluster.node("node-1").draining = true;
    let decisions = cluster.pass(15);
    assert_eq!(of_kind(&decisions, "CreatePod").len(), 1);
    assert_eq!(of_kind(&decisions, "FinishHandover").len(), 10);
}

#[test]
fn at_most_sixteen_streams_warm_up_on_a_pod() {
    let mut cluster = Cluster::new();
    cluster.capacity.streams = 100;
    cluster.add_model("people");
    cluster.model("people").max_pods = 1;
    cluster.add_sources("people", 40);
    cluster.settle();
    let pod = cluster.pod_names()[0].clone();
    cluster.pod(&pod).evacuate = true;
    for _ in 0..60 {
        cluster.pass(1);
        let warming = cluster.snapshot.sources.values().filter(|source| source.handover.is_some()).count();
        assert!(warming <= 16, "{warming}");
    }
    assert_eq!(cluster.streams(), [40]);
    assert!(!cluster.snapshot.pods.contains_key(&pod), "an evacuated pod is deleted");
}

#[test]
fn an_evacuation_that_does_not_get_warm_breaks_first() {
    let mut cluster = four_pods();
    cluster.never_warm = true;
    let pod = cluster.pod_names()[0].clone();
    cluster.pod(&pod).evacuate = true;
    let decisions = cluster.pass(25);
    assert_eq!(of_kind(&decisions, "Release").len(), 3, "{decisions:?}");
    assert_eq!(of_kind(&decisions, "Bind").len(), 3);
}

#[test]
fn a_dead_camera_leaves_a_pod_without_being_waited_for() {
    let mut cluster = four_pods();
    let pod = cluster.pod_names()[0].clone();
    let camera = cluster.bound_to(&pod)[0].clone();
    cluster.cameras.insert(camera.clone(), Camera::Hopeless);
    cluster.round();
    cluster.pod(&pod).evacuate = true;
    let decisions = cluster.pass(1);
    assert!(decisions.iter().any(|decision| matches!(decision, Decision::Bind { source, .. } if *source == camera)));
}

#[test]
fn a_failing_camera_is_tried_from_one_other_pod_and_then_left_alone() {
    let mut cluster = four_pods();
    let camera = key("camera-00003");
    cluster.cameras.insert(camera.clone(), Camera::Failing);
    let decisions = cluster.pass(3600);
    let about: Vec<_> = decisions.iter().map(|decision| (decision.action(), decision.reason())).collect();
    assert_eq!(about, [("StartHandover", Reason::CameraFails), ("AbortHandover", Reason::NotWarmInTime)]);
    assert_eq!(moved(&decisions), std::slice::from_ref(&camera));
    // It works again, and fails again: that is a new story.
    cluster.cameras.clear();
    assert_eq!(cluster.pass(100), []);
    cluster.cameras.insert(camera, Camera::Failing);
    assert_eq!(of_kind(&cluster.pass(3600), "StartHandover").len(), 1);
}

#[test]
fn a_handover_whose_source_pod_dies_ends_at_once() {
    let mut cluster = four_pods();
    let pod = cluster.pod_names()[0].clone();
    cluster.pod(&pod).evacuate = true;
    cluster.pass(1);
    let warming = cluster.bound_to(&pod);
    cluster.snapshot.pods.remove(&pod);
    let decisions = cluster.pass(1);
    assert_eq!(of_kind(&decisions, "FinishHandover").len(), warming.len(), "{decisions:?}");
}

#[test]
fn a_handover_whose_target_dies_is_aborted_and_begun_again() {
    let mut cluster = four_pods();
    let pod = cluster.pod_names()[0].clone();
    cluster.pod(&pod).evacuate = true;
    cluster.pass(1);
    let handover = cluster.snapshot.sources.values().find_map(|source| source.handover.clone()).unwrap();
    cluster.snapshot.pods.remove(&key(&handover.pod));
    let decisions = cluster.pass(1);
    assert!(
        decisions
            .iter()
            .any(|decision| { matches!(decision, Decision::AbortHandover { reason: Reason::TargetLost, .. }) })
    );
    cluster.settle();
    assert!(!cluster.snapshot.pods.contains_key(&pod));
}

#[test]
fn a_retired_pod_stays_retired_for_a_new_leader() {
    let mut cluster = four_pods();
    let pod = cluster.pod_names()[3].clone();
    cluster.pod(&pod).retiring = Some(Retirement::Outdated);
    cluster.memory = Memory::default();
    cluster.settle();
    assert!(!cluster.snapshot.pods.contains_key(&pod));
}
