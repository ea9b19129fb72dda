//! The planner alone: 10,000 sources on 1,000 pods from scratch (target: 100 ms), one pod lost (10 ms), and at rest.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use operator::plan::{
    Binding, Camera, Decision, Declared, Holding, Key, Load, Memory, Model, Pod, PodPhase, Report, Snapshot, Source,
    plan,
};

const SOURCES: usize = 10_000;
const PODS: usize = 1_000;
const NOW: i64 = 1_800_000_000_000;

fn fleet() -> Snapshot {
    let key = |name: String| Key::new("yard", name);
    let capacity = Load { streams: 16, inferences: 400_000, decode: 1_000_000 };
    let model = Model {
        refusal: None,
        template_hash: "one".into(),
        min_pods: PODS as u64,
        max_pods: PODS as u64,
        replicas: None,
        declared: Declared::default(),
        assumed: capacity,
        typical: Load { streams: 1, inferences: 30_000, decode: 30_000 },
        stabilization: 300_000,
        rebalance_percent: Some(9),
        max_surge: 1,
    };
    let pod = Pod {
        model: "people".into(),
        node: Some("node".into()),
        created: NOW - 1_000_000,
        template_hash: "one".into(),
        phase: PodPhase::Running,
        ready: true,
        deleting: false,
        evacuate: false,
        tainted: false,
        retiring: None,
        protected: true,
        down_since: None,
        report: Some(Report { serving: true, capacity: Some(capacity), ..Report::default() }),
    };
    let source = |number: usize| Source {
        model: "people".into(),
        enabled: true,
        refusal: None,
        priority: (number % 3) as i32,
        single_connection: false,
        demand: Load { streams: 1, inferences: 5_000 + 1_000 * (number as u64 % 20), decode: 20_000 },
        assignment: None,
        handover: None,
        epoch: 0,
    };
    Snapshot {
        now: NOW,
        models: [(key("people".to_owned()), model)].into(),
        pods: (0..PODS).map(|number| (key(format!("people-{number:05}")), pod.clone())).collect(),
        sources: (0..SOURCES).map(|number| (key(format!("camera-{number:05}")), source(number))).collect(),
        nodes: [(Arc::from("node"), operator::plan::Node { ready: true, draining: false })].into(),
    }
}

/// The same, bound and streaming.
fn at_rest() -> (Snapshot, Memory) {
    let mut snapshot = fleet();
    let outcome = plan(&snapshot, Memory::default());
    for decision in &outcome.decisions {
        let Decision::Bind { source, pod, epoch, .. } = decision else { panic!("{decision:?}") };
        let state = snapshot.sources.get_mut(source).unwrap();
        state.assignment = Some(Binding { pod: pod.clone(), epoch: *epoch });
        state.epoch = *epoch;
        let holding = Holding { epoch: *epoch, warm: false, camera: Camera::Streaming, demand: Some(state.demand) };
        let report = snapshot.pods.get_mut(&source.beside(pod.clone())).unwrap().report.as_mut().unwrap();
        report.sources.insert(source.clone(), holding);
    }
    assert_eq!(outcome.decisions.len(), SOURCES);
    snapshot.now += 600_000;
    let outcome = plan(&snapshot, outcome.memory);
    assert_eq!(outcome.decisions, []);
    (snapshot, outcome.memory)
}

fn planner(criterion: &mut Criterion) {
    let scratch = fleet();
    criterion.bench_function("10,000 sources on 1,000 pods from scratch", |bencher| {
        bencher.iter_batched(Memory::default, |memory| plan(black_box(&scratch), memory), BatchSize::LargeInput);
    });
    let (calm, memory) = at_rest();
    let mut lost = calm.clone();
    lost.pods.pop_first();
    criterion.bench_function("one pod of 1,000 lost", |bencher| {
        bencher.iter_batched(|| memory.clone(), |memory| plan(black_box(&lost), memory), BatchSize::LargeInput);
    });
    criterion.bench_function("nothing to do", |bencher| {
        bencher.iter_batched(|| memory.clone(), |memory| plan(black_box(&calm), memory), BatchSize::LargeInput);
    });
}

criterion_group!(benches, planner);
criterion_main!(benches);
