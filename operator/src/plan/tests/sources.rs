//! Where sources go, and why they wait.

use super::cluster::{CAPACITY, Cluster, DEMAND, START, key, of_kind};
use crate::plan::{Allowed, Decision, Load, Memory, PendingReason, Reason, plan};

#[test]
fn a_source_waits_for_a_pod_to_start_and_gets_it() {
    let mut cluster = Cluster::new();
    cluster.add_model("people");
    cluster.add_sources("people", 1);
    let first = cluster.round();
    assert_eq!(of_kind(&first.decisions, "CreatePod").len(), 1);
    assert_eq!(first.pending[&key("camera-00000")].reason, PendingReason::WaitingForPod);
    cluster.settle();
    let source = cluster.source("camera-00000").clone();
    let bound = source.assignment.unwrap();
    assert_eq!(source.epoch, bound.epoch);
    assert!(bound.epoch >= START);
}

#[test]
fn an_epoch_from_the_future_is_surpassed() {
    let mut cluster = Cluster::at_rest(0);
    cluster.add_sources("people", 1);
    cluster.source("camera-00000").epoch = i64::MAX - 5;
    cluster.round();
    assert_eq!(cluster.source("camera-00000").assignment.as_ref().unwrap().epoch, i64::MAX - 4);
}

#[test]
fn nothing_changes_while_nothing_changes() {
    let mut cluster = Cluster::at_rest(57);
    assert_eq!(cluster.pass(1000), []);
    cluster.memory = Memory::default();
    assert_eq!(cluster.pass(1000), [], "nor for a new leader");
}

#[test]
fn unknown_models_disabled_sources_and_refused_ones_wait_with_their_reasons() {
    let mut cluster = Cluster::at_rest(0);
    cluster.add_source("ghost", "nobody", DEMAND);
    cluster.add_source("off", "people", DEMAND);
    cluster.source("off").enabled = false;
    cluster.add_source("bad", "people", DEMAND);
    let refusal = crate::plan::Refusal { reason: "FileNotAllowed".into(), message: "write rtsp://".into() };
    cluster.source("bad").refusal = Some(refusal);
    cluster.add_source("huge", "people", Load { inferences: 10_000_000, ..DEMAND });
    let outcome = cluster.round();
    let reason = |name: &str| outcome.pending[&key(name)].reason;
    assert_eq!(reason("ghost"), PendingReason::ModelNotFound);
    assert_eq!(reason("off"), PendingReason::Disabled);
    assert_eq!(reason("bad"), PendingReason::NotAccepted);
    assert_eq!(reason("huge"), PendingReason::ExceedsPod);
    assert_eq!(
        outcome.pending[&key("huge")].sentence(),
        "it takes 9200 inferences per second more than one pod can, which is planned for 10 streams, 800 inferences per \
         second, 800 ms of decoding per second: lower detection.fps, or raise serving.capacity"
    );
    assert_eq!(outcome.decisions, [], "no pod is made for what fits nowhere");
}

#[test]
fn a_source_that_is_disabled_is_released_and_comes_back() {
    let mut cluster = Cluster::at_rest(3);
    cluster.source("camera-00001").enabled = false;
    let decisions = cluster.pass(1);
    assert!(matches!(&decisions[..], [Decision::Release { source, reason: Reason::Disabled, .. }]
        if *source == key("camera-00001")));
    assert_eq!(cluster.pass(5), []);
    cluster.source("camera-00001").enabled = true;
    assert_eq!(of_kind(&cluster.pass(1), "Bind").len(), 1);
}

#[test]
fn room_that_is_missing_is_told_and_goes_to_the_highest_priority() {
    let mut cluster = Cluster::at_rest(0);
    cluster.model("people").max_pods = 2;
    cluster.add_sources("people", 23);
    cluster.source("camera-00022").priority = 7;
    cluster.settle();
    let outcome = cluster.round();
    assert_eq!(outcome.pending.len(), 3);
    assert!(!outcome.pending.contains_key(&key("camera-00022")), "it came last but goes first");
    for pending in outcome.pending.values() {
        assert_eq!(pending.reason, PendingReason::InsufficientCapacity);
        let shortage = pending.shortage.clone().unwrap();
        assert_eq!((shortage.missing, shortage.waiting), (Load { streams: 1, ..Load::default() }, 3));
        assert_eq!((shortage.allowed, shortage.enough), (Allowed::MaxPods(2), 3));
        assert_eq!(
            pending.sentence(),
            "no pod has room: the emptiest lacks 1 stream; raise serving.maxPods, which is 2, with nodes for the pods, or \
             lower detection.fps"
        );
    }
    assert_eq!(
        outcome.models[&key("people")].shortage.as_ref().unwrap().of_all(),
        "3 sources wait for room: raise serving.maxPods from 2 to 3, with nodes for the pods, or lower detection.fps of \
         sources"
    );
    cluster.model("people").max_pods = 3;
    cluster.settle();
    let outcome = cluster.round();
    assert!(outcome.pending.is_empty());
    assert_eq!(outcome.models[&key("people")].shortage, None);
}

#[test]
fn the_dimension_that_is_full_is_told() {
    let mut cluster = Cluster::at_rest(0);
    cluster.model("people").replicas = Some(1);
    for number in 0..5 {
        let demand = Load { inferences: CAPACITY.inferences / 5 + 500, ..DEMAND };
        cluster.add_source(&format!("busy-{number}"), "people", demand);
    }
    cluster.settle();
    let outcome = cluster.round();
    let sentence = outcome.pending.values().next().unwrap().sentence();
    assert!(sentence.starts_with("no pod has room: the emptiest lacks 2 inferences per second; "), "{sentence}");
    let of_all = outcome.models[&key("people")].shortage.as_ref().unwrap().of_all();
    assert!(of_all.starts_with("2 sources wait for room: raise serving.replicas from 1 to 2, "), "{of_all}");
}

#[test]
fn four_fifths_of_the_rates_are_planned() {
    let mut cluster = Cluster::at_rest(0);
    cluster.model("people").max_pods = 1;
    for number in 0..5 {
        let demand = Load { inferences: CAPACITY.inferences / 5, ..DEMAND };
        cluster.add_source(&format!("busy-{number}"), "people", demand);
    }
    cluster.settle();
    assert_eq!(cluster.streams(), [4]);
}

#[test]
fn a_new_model_takes_a_source_over_once_it_is_warm() {
    let mut cluster = Cluster::at_rest(3);
    cluster.add_model("cars");
    cluster.source("camera-00001").model = "cars".into();
    let decisions = cluster.settle();
    let kinds: Vec<_> = decisions.iter().filter(|decision| decision.source().is_some()).collect();
    assert!(
        matches!(
            kinds[..],
            [
                Decision::StartHandover { reason: Reason::ModelChanged, .. },
                Decision::FinishHandover { reason: Reason::Warm, .. }
            ]
        ),
        "{kinds:?}"
    );
}

#[test]
fn a_model_that_does_not_exist_takes_nothing_away() {
    let mut cluster = Cluster::at_rest(3);
    cluster.source("camera-00001").model = "nobody".into();
    assert_eq!(cluster.settle(), []);
}

#[test]
fn a_camera_with_one_connection_is_let_go_before_it_is_opened_again() {
    let mut cluster = Cluster::at_rest(1);
    cluster.source("camera-00000").single_connection = true;
    cluster.model("people").min_pods = 2;
    cluster.settle();
    let pod = key(&cluster.source("camera-00000").assignment.clone().unwrap().pod);
    cluster.pod(&pod).evacuate = true;
    let first = cluster.pass(1);
    assert!(matches!(&first[0], Decision::Release { reason: Reason::Evacuated, .. }), "{first:?}");
    // The pod's last report still shows it.
    let outcome = plan(&cluster.snapshot, cluster.memory.clone());
    assert_eq!(outcome.pending[&key("camera-00000")].reason, PendingReason::Releasing);
    let second = cluster.pass(2);
    assert_eq!(of_kind(&second, "Bind").len(), 1, "{second:?}");
}

#[test]
fn a_pod_that_does_not_let_go_is_waited_for_five_seconds() {
    let mut cluster = Cluster::at_rest(1);
    let pod = key(&cluster.source("camera-00000").assignment.clone().unwrap().pod);
    cluster.source("camera-00000").assignment = None;
    cluster.memory = Memory::default();
    let now = cluster.snapshot.now;
    let outcome = plan(&cluster.snapshot, Memory::default());
    assert_eq!(outcome.pending[&key("camera-00000")].reason, PendingReason::Releasing, "by {pod}'s word alone");
    cluster.snapshot.now = now + 5_000;
    let outcome = plan(&cluster.snapshot, outcome.memory);
    assert_eq!(of_kind(&outcome.decisions, "Bind").len(), 1);
}
