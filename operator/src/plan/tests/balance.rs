//! Even pods, few moves.

use proptest::prelude::*;

use super::cluster::{Cluster, DEMAND, of_kind};
use crate::plan::{Decision, Load, Reason, limits};

/// Pods with so many streams each.
fn uneven(streams: &[usize]) -> Cluster {
    let mut cluster = Cluster::new();
    cluster.capacity = Load { streams: 100, inferences: 10_000_000, decode: 10_000_000 };
    cluster.add_model("people");
    cluster.model("people").min_pods = streams.len() as u64;
    cluster.settle();
    let mut number = 0;
    for (pod, count) in cluster.pod_names().into_iter().zip(streams) {
        for _ in 0..*count {
            let name = format!("camera-{number:05}");
            number += 1;
            cluster.add_source(&name, "people", DEMAND);
            let epoch = cluster.snapshot.now - limits::COOL_DOWN;
            let source = cluster.source(&name);
            source.assignment = Some(crate::plan::Binding { pod: pod.name.clone(), epoch });
            source.epoch = epoch;
        }
    }
    cluster
}

fn moves(decisions: &[Decision]) -> usize {
    of_kind(decisions, "StartHandover").len()
}

#[test]
fn a_new_pod_gets_its_share_in_as_few_moves_as_possible() {
    let mut cluster = uneven(&[10, 10, 10, 10, 0]);
    let decisions = cluster.settle();
    // Mean 8, limit 9.2: each of four pods gives one.
    assert_eq!(moves(&decisions), 4);
    assert_eq!(cluster.streams(), [9, 9, 9, 9, 4]);
}

#[test]
fn what_cannot_be_evener_is_left_alone() {
    for streams in [&[1, 0][..], &[3, 2], &[2, 2, 1], &[1, 1, 1, 0]] {
        assert_eq!(uneven(streams).settle(), [], "{streams:?}");
    }
}

#[test]
fn a_round_moves_nine_percent_and_two_at_a_time() {
    let mut cluster = uneven(&[60, 60, 0]);
    let mut last: Vec<usize> = Vec::new();
    for _ in 0..300 {
        let started = moves(&cluster.pass(1));
        last.push(started);
        let in_round: usize = last.iter().rev().take(10).sum();
        assert!(in_round <= 2 * (120 * 9 / 100), "a window of 10 s touches two rounds at the most");
        let in_flight = cluster.snapshot.sources.values().filter(|source| source.handover.is_some()).count();
        assert!(in_flight <= 2, "the new pod warms two at a time");
    }
    let streams = cluster.streams();
    assert!(streams.iter().all(|&count| count <= 46), "{streams:?}");
    assert_eq!(last.iter().sum::<usize>(), 28, "the lower bound");
}

#[test]
fn a_model_may_forbid_it() {
    let mut cluster = uneven(&[10, 0]);
    cluster.model("people").rebalance_percent = None;
    assert_eq!(moves(&cluster.settle()), 0);
}

#[test]
fn a_stream_that_was_just_bound_stays() {
    let mut cluster = uneven(&[10, 0]);
    let now = cluster.snapshot.now;
    for source in cluster.snapshot.sources.values_mut() {
        source.assignment.as_mut().unwrap().epoch = now;
        source.epoch = now;
    }
    assert_eq!(moves(&cluster.pass(limits::COOL_DOWN / 1000)), 0);
    assert!(moves(&cluster.settle()) > 0);
}

#[test]
fn a_rebalance_that_does_not_get_warm_is_given_up_and_not_hurried() {
    let mut cluster = uneven(&[10, 0]);
    cluster.never_warm = true;
    let decisions = cluster.pass(60);
    assert!(moves(&decisions) > 0);
    assert_eq!(of_kind(&decisions, "Release"), Vec::<&Decision>::new());
    assert!(of_kind(&decisions, "AbortHandover").iter().all(|decision| decision.reason() == Reason::NotWarmInTime));
    assert_eq!(cluster.streams(), [10, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_streams_end_up_as_even_as_asked_in_the_fewest_moves(
        streams in prop::collection::vec(0_usize..30, 2..6),
    ) {
        let mut cluster = uneven(&streams);
        cluster.model("people").rebalance_percent = Some(100);
        let made = moves(&cluster.settle());
        let (sum, pods) = (streams.iter().sum::<usize>(), streams.len());
        let best = sum.div_ceil(pods);
        let limit = best.max(sum * 115 / (100 * pods));
        prop_assert!(cluster.streams().iter().all(|&count| count <= limit), "{:?} of {streams:?}", cluster.streams());
        let fewest: usize = streams.iter().map(|&count| count.saturating_sub(limit)).sum();
        prop_assert_eq!(made, fewest, "{:?} of {:?}", cluster.streams(), streams);
    }

    #[test]
    fn unequal_streams_come_to_rest_where_no_single_move_helps(
        streams in prop::collection::vec(0_usize..12, 2..5),
        demands in prop::collection::vec(1_u64..100, 60),
    ) {
        let mut cluster = uneven(&streams);
        cluster.model("people").rebalance_percent = Some(100);
        for (source, demand) in cluster.snapshot.sources.values_mut().zip(demands) {
            source.demand = Load { streams: 1, inferences: demand * 3000, decode: 0 };
        }
        cluster.capacity.streams = 100_000;
        cluster.settle();
        let loads: Vec<u64> = cluster.pod_names().iter().map(|pod| cluster.used(pod).inferences).collect();
        let (most, least) = (*loads.iter().max().unwrap(), *loads.iter().min().unwrap());
        let mean = loads.iter().sum::<u64>() / loads.len() as u64;
        if most > mean * 116 / 100 {
            let fullest = cluster.pod_names()[loads.iter().position(|&load| load == most).unwrap()].clone();
            for source in cluster.bound_to(&fullest) {
                let demand = cluster.snapshot.sources[&source].demand.inferences;
                let helps = least + demand < most * 98 / 100;
                let greatest = cluster.snapshot.sources.values().map(|source| source.demand.inferences).max().unwrap();
                prop_assert!(!helps || most <= greatest * 102 / 100 || is_within_bound(&cluster, most), "{loads:?}");
            }
        }
    }
}

/// The fullest pod is no fuller than it must be because streams cannot be divided.
fn is_within_bound(cluster: &Cluster, most: u64) -> bool {
    let pods = cluster.snapshot.pods.len();
    let mut demands: Vec<u64> = cluster.snapshot.sources.values().map(|source| source.demand.inferences).collect();
    demands.sort_unstable_by(|a, b| b.cmp(a));
    let bound = (0..).map_while(|k| Some(demands.get((pods * k).checked_sub(k)?..=pods * k)?.iter().sum::<u64>()));
    most <= bound.max().unwrap_or(0) * 102 / 100
}
