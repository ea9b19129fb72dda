//! How many pods there are, and which.

use super::cluster::{CAPACITY, Cluster, DEMAND, of_kind};
use crate::plan::{Decision, Declared, Load, PendingReason, PodPhase, Reason};

#[test]
fn as_many_pods_as_the_sources_need() {
    let mut cluster = Cluster::at_rest(0);
    assert_eq!(cluster.streams(), [0], "minPods");
    cluster.add_sources("people", 35);
    cluster.settle();
    assert_eq!(cluster.streams().len(), 4);
    assert!(cluster.round().pending.is_empty());
}

#[test]
fn pods_that_are_starting_are_counted() {
    let mut cluster = Cluster::new();
    cluster.never_ready = true;
    cluster.add_model("people");
    let Load { streams, inferences, decode } = CAPACITY;
    cluster.model("people").declared =
        Declared { streams: Some(streams), inferences: Some(inferences), decode: Some(decode) };
    cluster.add_sources("people", 35);
    let decisions = cluster.pass(600);
    assert_eq!(of_kind(&decisions, "CreatePod").len(), 4, "those that never start are not made again and again");
    assert_eq!(cluster.round().pending.values().next().unwrap().reason, PendingReason::WaitingForPod);
}

#[test]
fn a_fixed_number_is_kept() {
    let mut cluster = Cluster::at_rest(5);
    cluster.model("people").replicas = Some(3);
    cluster.settle();
    assert_eq!(cluster.streams().len(), 3);
    cluster.model("people").replicas = Some(1);
    cluster.settle();
    assert_eq!(cluster.streams(), [5]);
}

#[test]
fn a_fixed_number_that_is_too_small_keeps_the_streams_and_says_so() {
    let mut cluster = Cluster::at_rest(25);
    assert_eq!(cluster.streams().len(), 3);
    cluster.model("people").replicas = Some(1);
    cluster.settle();
    let outcome = cluster.round();
    assert_eq!(cluster.streams().iter().sum::<usize>(), 25);
    assert_eq!(outcome.models.values().next().unwrap().blocked, 2);
}

#[test]
fn no_pods_wanted_ends_all() {
    let mut cluster = Cluster::at_rest(25);
    cluster.model("people").replicas = Some(0);
    cluster.settle();
    assert!(cluster.snapshot.pods.is_empty());
    assert_eq!(cluster.round().pending.values().next().unwrap().reason, PendingReason::NoPodsWanted);
}

#[test]
fn fewer_pods_after_a_while() {
    let mut cluster = Cluster::at_rest(35);
    cluster.snapshot.sources.retain(|key, _| *key.name < *"camera-00012");
    let decisions = cluster.pass(299);
    assert_eq!(of_kind(&decisions, "RetirePod"), Vec::<&Decision>::new(), "stabilization");
    let decisions = cluster.settle();
    assert_eq!(cluster.streams().len(), 2);
    assert_eq!(of_kind(&decisions, "Bind"), Vec::<&Decision>::new(), "streams move make before break");
}

#[test]
fn a_pod_that_was_to_end_is_kept_when_it_is_needed_again() {
    let mut cluster = Cluster::at_rest(20);
    cluster.snapshot.sources.retain(|key, _| *key.name < *"camera-00009");
    let retired =
        (0..1000).find_map(|_| of_kind(&cluster.pass(1), "RetirePod").first().map(|decision| (*decision).clone()));
    assert!(matches!(retired, Some(Decision::RetirePod { reason: Reason::ScaleDown, .. })));
    cluster.add_sources("people", 11);
    for number in 30..41 {
        cluster.add_source(&format!("camera-{number:05}"), "people", DEMAND);
    }
    cluster.settle();
    assert!(cluster.round().pending.is_empty());
}

#[test]
fn a_new_template_replaces_pods_one_by_one_and_breaks_nothing() {
    let mut cluster = Cluster::at_rest(25);
    cluster.model("people").template_hash = "two".into();
    let mut most = 0;
    let mut decisions = Vec::new();
    for _ in 0..300 {
        decisions.extend(cluster.pass(1));
        most = most.max(cluster.snapshot.pods.len());
    }
    assert_eq!(most, 4, "one at a time");
    assert!(cluster.snapshot.pods.values().all(|pod| &*pod.template_hash == "two"));
    assert_eq!(of_kind(&decisions, "Bind"), Vec::<&Decision>::new());
    assert_eq!(of_kind(&decisions, "Release"), Vec::<&Decision>::new());
    assert_eq!(cluster.streams().iter().sum::<usize>(), 25);
}

#[test]
fn a_new_template_that_does_not_start_changes_nothing() {
    let mut cluster = Cluster::at_rest(25);
    cluster.never_ready = true;
    cluster.model("people").template_hash = "broken".into();
    let decisions = cluster.pass(1000);
    assert_eq!(of_kind(&decisions, "CreatePod").len(), 1);
    assert_eq!(decisions.len(), 1, "{decisions:?}");
    // The mended template replaces the pod that never started as well.
    cluster.never_ready = false;
    cluster.model("people").template_hash = "mended".into();
    cluster.settle();
    assert!(cluster.snapshot.pods.values().all(|pod| &*pod.template_hash == "mended"));
}

#[test]
fn pods_that_end_by_themselves_are_made_anew_ever_more_slowly() {
    let mut cluster = Cluster::new();
    cluster.never_ready = true;
    cluster.add_model("people");
    let mut made = 0;
    for _ in 0..600 {
        made += of_kind(&cluster.pass(1), "CreatePod").len();
        for pod in cluster.pod_names() {
            cluster.pod(&pod).phase = PodPhase::Finished;
        }
    }
    assert!((4..=8).contains(&made), "{made} in ten minutes");
}

#[test]
fn names_of_pods_are_labels() {
    let mut cluster = Cluster::new();
    let long = format!("{}.x", "a".repeat(250));
    cluster.add_model(&long);
    let outcome = cluster.round();
    let Decision::CreatePod { pod, .. } = &outcome.decisions[0] else { panic!("{:?}", outcome.decisions) };
    assert!(pod.name.len() <= 63 && !pod.name.contains('.'), "{pod}");
}

#[test]
fn a_guess_makes_no_second_pod() {
    let mut cluster = Cluster::new();
    cluster.add_model("people");
    cluster.model("people").assumed = Load { streams: 2, ..CAPACITY };
    cluster.add_sources("people", 8);
    let first = cluster.round();
    assert_eq!(of_kind(&first.decisions, "CreatePod").len(), 1, "the first pod measures what one takes");
    cluster.settle();
    assert_eq!(cluster.streams(), [8]);
}

#[test]
fn what_is_assumed_of_a_pod_refuses_nothing() {
    let mut cluster = Cluster::new();
    cluster.add_model("people");
    let model = cluster.model("people");
    (model.assumed, model.min_pods) = (Load { inferences: 1_000, ..CAPACITY }, 0);
    cluster.add_sources("people", 1);
    cluster.settle();
    assert_eq!(cluster.streams(), [1]);
}

#[test]
fn pods_of_a_new_template_are_taken_to_be_like_the_old_ones() {
    let mut cluster = Cluster::at_rest(20);
    cluster.model("people").assumed = Load { streams: 2, ..CAPACITY };
    cluster.model("people").template_hash = "two".into();
    let mut most = 0;
    for _ in 0..300 {
        cluster.pass(1);
        let active = cluster.snapshot.pods.values().filter(|pod| !pod.deleting);
        most = most.max(active.count());
    }
    assert_eq!(most, 3, "two, and one more while they are replaced");
    assert!(cluster.snapshot.pods.values().all(|pod| &*pod.template_hash == "two"));
}
