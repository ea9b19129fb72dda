//! A cluster in miniature: it carries the planner's decisions out, lets time pass, and holds the planner to what must
//! be true in every round.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::plan::{
    Binding, Camera, Decision, Declared, Holding, Key, Load, Memory, Model, Node, Outcome, Pending, PendingReason, Pod,
    PodPhase, Reason, Report, Snapshot, Source, limits, plan,
};

/// What a stream takes where a test does not care.
pub(super) const DEMAND: Load = Load { streams: 1, inferences: 10_000, decode: 20_000 };

/// What a pod takes where a test does not care: ten such streams, by streams.
pub(super) const CAPACITY: Load = Load { streams: 10, inferences: 1_000_000, decode: 1_000_000 };

/// The moment at which every test begins.
pub(super) const START: i64 = 1_800_000_000_000;

/// From the creation of a pod until it serves, in milliseconds.
const STARTS: i64 = 3_000;

/// From the start of a handover until the pod is warm, in milliseconds.
const WARMS: i64 = 2_000;

pub(super) fn key(name: &str) -> Key {
    Key::new("yard", name)
}

pub(super) struct Cluster {
    pub(super) snapshot: Snapshot,
    pub(super) memory: Memory,
    /// Cameras that do not stream.
    pub(super) cameras: BTreeMap<Key, Camera>,
    /// Pods that do not answer, since when.
    pub(super) silent: BTreeMap<Key, i64>,
    /// Pods that never become ready.
    pub(super) never_ready: bool,
    /// Handovers never become warm.
    pub(super) never_warm: bool,
    /// Since when pods serve, while they do.
    serving: BTreeSet<Key>,
    names: BTreeSet<Key>,
    pub(super) capacity: Load,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let snapshot = Snapshot { now: START, ..Snapshot::default() };
        Self {
            snapshot,
            memory: Memory::default(),
            cameras: BTreeMap::new(),
            silent: BTreeMap::new(),
            never_ready: false,
            never_warm: false,
            serving: BTreeSet::new(),
            names: BTreeSet::new(),
            capacity: CAPACITY,
        }
    }

    /// A cluster with a model `people` and this many sources, all placed and long at rest.
    pub(super) fn at_rest(sources: usize) -> Self {
        let mut cluster = Self::new();
        cluster.add_model("people");
        cluster.add_sources("people", sources);
        cluster.settle();
        cluster.pass(limits::COOL_DOWN / 1000 + 1);
        cluster
    }

    pub(super) fn add_model(&mut self, name: &str) {
        let model = Model {
            refusal: None,
            template_hash: "one".into(),
            min_pods: 1,
            max_pods: 20,
            replicas: None,
            declared: Declared::default(),
            assumed: CAPACITY,
            typical: Load { streams: 1, inferences: 30_000, decode: 30_000 },
            stabilization: 300_000,
            rebalance_percent: Some(9),
            max_surge: 1,
        };
        self.snapshot.models.insert(key(name), model);
    }

    pub(super) fn model(&mut self, name: &str) -> &mut Model {
        self.snapshot.models.get_mut(&key(name)).unwrap()
    }

    pub(super) fn add_sources(&mut self, model: &str, count: usize) {
        let before = self.snapshot.sources.len();
        for number in before..before + count {
            self.add_source(&format!("camera-{number:05}"), model, DEMAND);
        }
    }

    pub(super) fn add_source(&mut self, name: &str, model: &str, demand: Load) {
        let source = Source {
            model: model.into(),
            enabled: true,
            refusal: None,
            priority: 0,
            single_connection: false,
            demand,
            assignment: None,
            handover: None,
            epoch: 0,
        };
        self.snapshot.sources.insert(key(name), source);
    }

    pub(super) fn source(&mut self, name: &str) -> &mut Source {
        self.snapshot.sources.get_mut(&key(name)).unwrap()
    }

    pub(super) fn pod(&mut self, name: &Key) -> &mut Pod {
        self.snapshot.pods.get_mut(name).unwrap()
    }

    pub(super) fn pod_names(&self) -> Vec<Key> {
        self.snapshot.pods.keys().cloned().collect()
    }

    /// The sources of a pod.
    pub(super) fn bound_to(&self, pod: &Key) -> Vec<Key> {
        let has = |source: &Source| source.assignment.as_ref().is_some_and(|bound| bound.pod == pod.name);
        self.snapshot.sources.iter().filter(|(_, source)| has(source)).map(|(key, _)| key.clone()).collect()
    }

    /// Streams on each pod.
    pub(super) fn streams(&self) -> Vec<usize> {
        self.snapshot.pods.keys().map(|pod| self.bound_to(pod).len()).collect()
    }

    /// One call of the planner, carried out.
    pub(super) fn round(&mut self) -> Outcome {
        self.observe();
        let outcome = plan(&self.snapshot, self.memory.clone());
        assert_eq!(outcome.decisions, plan(&self.snapshot, self.memory.clone()).decisions, "the same decisions again");
        self.check(&outcome);
        self.memory = outcome.memory.clone();
        for decision in &outcome.decisions {
            self.carry_out(decision);
        }
        self.check_capacity(&outcome.decisions);
        outcome
    }

    /// Lets so many seconds pass with a round in each, and returns every decision.
    pub(super) fn pass(&mut self, seconds: i64) -> Vec<Decision> {
        let mut all = Vec::new();
        for _ in 0..seconds {
            all.extend(self.round().decisions);
            self.snapshot.now += 1000;
        }
        all
    }

    /// Lets time pass until nothing has been decided for longer than any wait of the planner.
    pub(super) fn settle(&mut self) -> Vec<Decision> {
        let mut all = Vec::new();
        let mut quiet = 0;
        for _ in 0..20_000 {
            let decisions = self.pass(1);
            quiet = if decisions.is_empty() { quiet + 1 } else { 0 };
            all.extend(decisions);
            if quiet > 400 {
                return all;
            }
        }
        panic!("no rest after hours: {:?}", &all[all.len().saturating_sub(20)..]);
    }

    /// What pods tell by now.
    fn observe(&mut self) {
        let Snapshot { now, pods, sources, .. } = &mut self.snapshot;
        for (name, pod) in pods.iter_mut() {
            let runs = pod.phase == PodPhase::Running;
            if pod.phase == PodPhase::Pending && *now - pod.created >= STARTS && !self.never_ready {
                pod.phase = PodPhase::Running;
                pod.ready = true;
                pod.node.get_or_insert("node-0".into());
                self.serving.insert(name.clone());
            } else if !runs {
                continue;
            }
            pod.down_since = self.silent.get(name).copied();
            if pod.down_since.is_some() {
                continue;
            }
            let mut report = Report { serving: true, capacity: Some(self.capacity), ..Report::default() };
            for (key, source) in sources.iter() {
                let camera = self.cameras.get(key).copied().unwrap_or(Camera::Streaming);
                let of = |binding: &Option<Binding>| binding.clone().filter(|binding| binding.pod == name.name);
                let warms = |epoch| *now - epoch >= WARMS && camera == Camera::Streaming && !self.never_warm;
                let holding = match (of(&source.assignment), of(&source.handover)) {
                    (Some(Binding { epoch, .. }), _) => Some((epoch, false)),
                    (None, Some(Binding { epoch, .. })) => Some((epoch, warms(epoch))),
                    (None, None) => None,
                };
                if let Some((epoch, warm)) = holding {
                    report.sources.insert(key.clone(), Holding { epoch, warm, camera, demand: None });
                }
            }
            pod.report = Some(report);
        }
    }

    fn check(&self, outcome: &Outcome) {
        let mut touched = BTreeSet::new();
        for decision in &outcome.decisions {
            if let Some(source) = decision.source() {
                assert!(touched.insert(source.clone()), "two decisions about {source}: {:?}", outcome.decisions);
            }
            if decision.reason() == Reason::PodLost
                && let Decision::Bind { source, .. } | Decision::Release { source, .. } = decision
            {
                let bound = self.snapshot.sources[source].assignment.clone().unwrap();
                let pod = self.snapshot.pods.get(&source.beside(bound.pod));
                let is_lost = |pod: &Pod| pod.phase == PodPhase::Finished || pod.down_since.is_some();
                assert!(pod.is_none_or(is_lost), "{source} moves although its pod is well");
            }
        }
        for (name, source) in &self.snapshot.sources {
            let gains = outcome.decisions.iter().any(|decision| {
                matches!(decision, Decision::Bind { .. } | Decision::FinishHandover { .. })
                    && decision.source() == Some(name)
            });
            let loses = outcome
                .decisions
                .iter()
                .any(|decision| matches!(decision, Decision::Release { source, .. } if source == name));
            let bound = (source.assignment.is_some() || gains) && !loses;
            assert_ne!(bound, outcome.pending.contains_key(name), "{name} is bound once or pending with a reason");
        }
        // Nobody waits for room that is there.
        for (name, Pending { reason, .. }) in &outcome.pending {
            if *reason == PendingReason::InsufficientCapacity {
                let source = &self.snapshot.sources[name];
                let standing = &outcome.models[&name.beside(source.model.clone())];
                let model = &self.snapshot.models[&name.beside(source.model.clone())];
                assert!(standing.pods >= model.replicas.unwrap_or(model.max_pods).min(model.max_pods), "{standing:?}");
            }
        }
    }

    /// Every pod that was given something holds no more than is planned of it.
    fn check_capacity(&self, decisions: &[Decision]) {
        for decision in decisions {
            let (Decision::Bind { source, pod, .. } | Decision::StartHandover { source, to: pod, .. }) = decision
            else {
                continue;
            };
            let key = source.beside(pod.clone());
            let model = &self.snapshot.models[&key.beside(self.snapshot.pods[&key].model.clone())];
            let ceiling = model.declared.or(self.capacity).planned();
            assert!(self.used(&key).fits(ceiling), "{key} holds {:?} of {ceiling:?}", self.used(&key));
        }
    }

    pub(super) fn used(&self, pod: &Key) -> Load {
        let holds = |source: &Source| {
            [&source.assignment, &source.handover].into_iter().flatten().any(|binding| binding.pod == pod.name)
        };
        self.snapshot.sources.values().filter(|source| holds(source)).map(|source| source.demand).collect()
    }

    fn carry_out(&mut self, decision: &Decision) {
        let Snapshot { now, models, pods, sources, .. } = &mut self.snapshot;
        let epoch_rises = |source: &mut Source, epoch: i64| {
            assert!(epoch > source.epoch && epoch >= *now, "{decision:?}");
            source.epoch = epoch;
        };
        match decision {
            Decision::CreatePod { pod, model, .. } => {
                assert!(self.names.insert(pod.clone()), "{pod} was used before");
                let template_hash = models[&pod.beside(model.clone())].template_hash.clone();
                pods.insert(pod.clone(), new_pod(model, template_hash, *now));
            }
            Decision::DeletePod { pod, .. } => {
                pods.remove(pod).expect("the pod is there");
            }
            Decision::RetirePod { pod, retirement, .. } => pods.get_mut(pod).unwrap().retiring = Some(*retirement),
            Decision::KeepPod { pod, .. } => pods.get_mut(pod).unwrap().retiring = None,
            Decision::ProtectPod { pod, .. } => pods.get_mut(pod).unwrap().protected = true,
            Decision::UnprotectPod { pod, .. } => {
                pods.get_mut(pod).unwrap().protected = false;
                let empty =
                    sources.values().all(|source| source.assignment.as_ref().is_none_or(|to| to.pod != pod.name));
                assert!(empty, "{pod} has streams");
            }
            Decision::Bind { source, pod, epoch, .. } => {
                let source = sources.get_mut(source).unwrap();
                epoch_rises(source, *epoch);
                source.assignment = Some(Binding { pod: pod.clone(), epoch: *epoch });
                source.handover = None;
            }
            Decision::StartHandover { source, from, to, epoch, .. } => {
                let source = sources.get_mut(source).unwrap();
                assert!(from != to && source.handover.is_none());
                epoch_rises(source, *epoch);
                source.handover = Some(Binding { pod: to.clone(), epoch: *epoch });
            }
            Decision::FinishHandover { source, pod, epoch, .. } => {
                let source = sources.get_mut(source).unwrap();
                let handover = source.handover.take().unwrap();
                assert_eq!((&handover.pod, handover.epoch), (pod, *epoch));
                source.assignment = Some(handover);
            }
            Decision::AbortHandover { source, .. } => {
                sources.get_mut(source).unwrap().handover.take().expect("a handover");
            }
            Decision::Release { source, .. } => {
                let source = sources.get_mut(source).unwrap();
                source.assignment.take().expect("an assignment");
                source.handover = None;
            }
        }
    }

    pub(super) fn add_node(&mut self, name: &str) {
        self.snapshot.nodes.insert(name.into(), Node { ready: true, draining: false });
    }

    pub(super) fn node(&mut self, name: &str) -> &mut Node {
        self.snapshot.nodes.get_mut(name).unwrap()
    }
}

fn new_pod(model: &Arc<str>, template_hash: Arc<str>, now: i64) -> Pod {
    Pod {
        model: model.clone(),
        node: None,
        created: now,
        template_hash,
        phase: PodPhase::Pending,
        ready: false,
        deleting: false,
        evacuate: false,
        tainted: false,
        retiring: None,
        protected: true,
        down_since: None,
        report: None,
    }
}

/// The decisions of one kind.
pub(super) fn of_kind<'a>(decisions: &'a [Decision], action: &str) -> Vec<&'a Decision> {
    decisions.iter().filter(|decision| decision.action() == action).collect()
}
