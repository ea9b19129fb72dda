//! The snapshot with everything summed up that decisions need, kept current while they are made.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Binding, Camera, Decision, Holding, Key, Load, Memory, Model, Pod, Reason, Snapshot, Source,
    health::{self, Health},
    memory::{ModelMemory, SourceMemory},
};

/// The pods that can take sources, those made from the present template first, and the emptiest first among them.
type Targets = BTreeSet<(bool, u64, usize)>;

pub(super) struct Fleet<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) memory: Memory,
    pub(super) cut_off: bool,
    pub(super) models: Vec<ModelState<'a>>,
    pub(super) pods: Vec<PodState<'a>>,
    pub(super) sources: Vec<SourceState<'a>>,
    pub(super) decisions: Vec<Decision>,
    pod_index: HashMap<(&'a str, &'a str), usize>,
    model_index: HashMap<(&'a str, &'a str), usize>,
}

pub(super) struct ModelState<'a> {
    pub(super) key: &'a Key,
    pub(super) model: &'a Model,
    /// Its pods, by name.
    pub(super) pods: Vec<usize>,
    /// What is planned on one pod at the most, going by the smallest that serves.
    pub(super) ceiling: Load,
    /// What is beyond every one of its pods. Less sure than `ceiling` where no pod has measured itself: what is assumed then
    /// refuses nothing.
    pub(super) limit: Load,
    /// What a pod takes is known: one has measured it, or the spec says all of it.
    pub(super) measured: bool,
    /// The sources that name it and are to be watched.
    pub(super) sources: Vec<usize>,
    /// Sources that found no room: bound nowhere, or on a pod that they have to leave.
    pub(super) unplaced: Vec<usize>,
    targets: Targets,
    /// A demand that no pod had room for. Pods only fill up while decisions are made, so nothing greater fits either.
    hopeless: Option<Load>,
    /// Pods that are to end but cannot, for lack of room elsewhere.
    pub(super) blocked: u64,
    /// Pods are starting, or will be made.
    pub(super) grows: bool,
    /// Pods that would have room for all sources, however many are allowed.
    pub(super) enough: u64,
}

pub(super) struct PodState<'a> {
    pub(super) key: &'a Key,
    pub(super) pod: &'a Pod,
    pub(super) health: Health,
    /// Why its streams are to leave.
    pub(super) leaving: Option<Reason>,
    /// Not made from the present template.
    pub(super) outdated: bool,
    /// What is planned on it at the most.
    pub(super) ceiling: Load,
    /// What is bound to it and warming up on it.
    pub(super) used: Load,
    /// The same once every handover in flight has ended.
    pub(super) projected: Load,
    /// The sources that are assigned to it.
    pub(super) bound: Vec<usize>,
    /// Handovers in flight to it.
    pub(super) inbound: u32,
    /// Handovers in flight from it.
    pub(super) outbound: u32,
}

impl PodState<'_> {
    /// It takes sources.
    pub(super) fn is_target(&self) -> bool {
        self.health == Health::Serving && self.leaving.is_none()
    }

    /// It serves, or is expected to, and nothing is to make it end.
    pub(super) fn is_active(&self) -> bool {
        !matches!(self.health, Health::Dead(_)) && self.leaving.is_none()
    }

    fn place(&self, index: usize) -> (bool, u64, usize) {
        (self.outdated, self.used.share_of(self.ceiling), index)
    }

    /// What it told of a source.
    pub(super) fn holding(&self, source: &Key) -> Option<&Holding> {
        self.pod.report.as_ref().and_then(|report| report.sources.get(source))
    }
}

pub(super) struct SourceState<'a> {
    pub(super) key: &'a Key,
    pub(super) source: &'a Source,
    /// The model that it names, if it is there.
    pub(super) model: Option<usize>,
    pub(super) demand: Load,
    /// The pod that it is assigned to, if that is there.
    pub(super) pod: Option<usize>,
    /// The pod of its handover, if that is there.
    pub(super) target: Option<usize>,
    /// It is to be watched and can be.
    pub(super) wanted: bool,
    /// Something was decided about it in this round; the next round sees what came of it.
    pub(super) settled: bool,
}

impl SourceState<'_> {
    /// The epoch of a binding that is decided at `now`.
    pub(super) fn next_epoch(&self, now: i64) -> i64 {
        self.source.epoch.saturating_add(1).max(now)
    }
}

impl<'a> Fleet<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, mut memory: Memory) -> Self {
        memory.update(snapshot);
        let cut_off = health::is_cut_off(snapshot);
        let mut fleet = Self {
            snapshot,
            memory,
            cut_off,
            models: Vec::with_capacity(snapshot.models.len()),
            pods: Vec::with_capacity(snapshot.pods.len()),
            sources: Vec::with_capacity(snapshot.sources.len()),
            decisions: Vec::new(),
            pod_index: HashMap::with_capacity(snapshot.pods.len()),
            model_index: HashMap::with_capacity(snapshot.models.len()),
        };
        for (key, model) in &snapshot.models {
            fleet.model_index.insert(key.parts(), fleet.models.len());
            fleet.models.push(ModelState {
                key,
                model,
                pods: Vec::new(),
                ceiling: Load::default(),
                limit: Load::default(),
                measured: false,
                sources: Vec::new(),
                unplaced: Vec::new(),
                targets: Targets::new(),
                hopeless: None,
                blocked: 0,
                grows: false,
                enough: 0,
            });
        }
        snapshot.pods.iter().for_each(|(key, pod)| fleet.add_pod(key, pod));
        snapshot.sources.iter().for_each(|(key, source)| fleet.add_source(key, source));
        for model in &mut fleet.models {
            model.ceiling = typical_ceiling(model, &fleet.pods);
            let has_measured =
                |&pod: &usize| fleet.pods[pod].pod.report.as_ref().is_some_and(|report| report.capacity.is_some());
            model.measured = model.model.declared.is_complete() || model.pods.iter().any(has_measured);
            let declared = || model.model.declared.or(Load::UNLIMITED).planned();
            model.limit = if model.measured { model.ceiling } else { declared() };
            let pods = model.pods.iter().copied();
            model.targets =
                pods.filter(|&pod| fleet.pods[pod].is_target()).map(|pod| fleet.pods[pod].place(pod)).collect();
        }
        fleet
    }

    fn add_pod(&mut self, key: &'a Key, pod: &'a Pod) {
        let index = self.pods.len();
        self.pod_index.insert(key.parts(), index);
        let model = self.model_index.get(&(&*key.namespace, &*pod.model)).copied();
        let capacity = pod.report.as_ref().and_then(|report| report.capacity);
        let (ceiling, outdated) = match model.map(|model| &self.models[model]) {
            Some(ModelState { model, .. }) => {
                let capacity = model.declared.or(capacity.unwrap_or(model.assumed));
                (capacity.planned(), pod.template_hash != model.template_hash)
            }
            None => (capacity.unwrap_or_default().planned(), false),
        };
        if let Some(model) = model {
            self.models[model].pods.push(index);
        }
        self.pods.push(PodState {
            key,
            pod,
            health: health::of(pod, self.snapshot, self.cut_off),
            leaving: health::leaving(pod, self.snapshot),
            outdated,
            ceiling,
            used: Load::default(),
            projected: Load::default(),
            bound: Vec::new(),
            inbound: 0,
            outbound: 0,
        });
    }

    fn add_source(&mut self, key: &'a Key, source: &'a Source) {
        let index = self.sources.len();
        let find = |binding: &Option<Binding>| {
            binding.as_ref().and_then(|binding| self.pod_index.get(&(&*key.namespace, &*binding.pod)).copied())
        };
        let (pod, target) = (find(&source.assignment), find(&source.handover));
        let demand = self.memory.sources.get(key).and_then(|memory| memory.demand).unwrap_or(source.demand);
        let model = self.model_index.get(&(&*key.namespace, &*source.model)).copied();
        let wanted = source.enabled && source.refusal.is_none();
        let mut moves = source.handover.is_some();
        if let Some(pod) = pod {
            let pod = &mut self.pods[pod];
            // A camera that fails is only tried from elsewhere, and will probably stay.
            let fails = || pod.holding(key).is_some_and(|holding| holding.camera != Camera::Streaming);
            moves = moves && (pod.leaving.is_some() || !fails());
            pod.bound.push(index);
            pod.used = pod.used.plus(demand);
            pod.outbound += u32::from(source.handover.is_some());
            if !moves {
                pod.projected = pod.projected.plus(demand);
            }
        }
        if let Some(target) = target {
            let target = &mut self.pods[target];
            target.inbound += 1;
            target.used = target.used.plus(demand);
            if moves {
                target.projected = target.projected.plus(demand);
            }
        }
        if let (Some(model), true) = (model, wanted) {
            self.models[model].sources.push(index);
        }
        self.sources.push(SourceState { key, source, model, demand, pod, target, wanted, settled: false });
    }

    /// The pod with the most room for `demand` of those that `suits` lets through.
    pub(super) fn pick(&mut self, model: usize, demand: Load, suits: impl Fn(&PodState<'_>) -> bool) -> Option<usize> {
        let state = &self.models[model];
        if state.hopeless.is_some_and(|hopeless| hopeless.fits(demand)) {
            return None;
        }
        let mut someone_has_room = false;
        for &(_, _, index) in &state.targets {
            let pod = &self.pods[index];
            if pod.used.plus(demand).fits(pod.ceiling) {
                someone_has_room = true;
                if suits(pod) {
                    return Some(index);
                }
            }
        }
        if !someone_has_room {
            self.models[model].hopeless = Some(demand);
        }
        None
    }

    /// By how much a demand does not fit on the pod with the most room.
    pub(super) fn lacking(&self, model: usize, demand: Load) -> Load {
        let emptiest = self.models[model].targets.iter().next().map(|&(_, _, pod)| &self.pods[pod]);
        emptiest.map_or(demand, |pod| pod.used.plus(demand).minus(pod.ceiling))
    }

    /// Counts the demand of a source on a pod.
    fn charge(&mut self, pod: usize, demand: Load) {
        let before = self.pods[pod].place(pod);
        let state = &mut self.pods[pod];
        state.used = state.used.plus(demand);
        state.projected = state.projected.plus(demand);
        let after = state.place(pod);
        let model = self.model_index.get(&(&*state.key.namespace, &*state.pod.model)).copied();
        if let Some(model) = model
            && self.models[model].targets.remove(&before)
        {
            self.models[model].targets.insert(after);
        }
    }

    /// Gives a source to a pod at once.
    pub(super) fn bind(&mut self, source: usize, pod: usize, reason: Reason) {
        let now = self.snapshot.now;
        let state = &mut self.sources[source];
        let demand = state.demand;
        state.settled = true;
        let to = &self.pods[pod];
        self.decisions.push(Decision::Bind {
            source: state.key.clone(),
            pod: to.key.name.clone(),
            node: to.pod.node.clone(),
            epoch: state.next_epoch(now),
            reason,
        });
        if let Some(memory) = self.memory.sources.get_mut(state.key) {
            memory.release = None;
        }
        if self.sources[source].target != Some(pod) {
            self.charge(pod, demand);
        }
    }

    /// Lets a pod warm up for a source that another one has.
    pub(super) fn hand_over(&mut self, source: usize, from: usize, to: usize, reason: Reason) {
        let now = self.snapshot.now;
        let state = &mut self.sources[source];
        let demand = state.demand;
        state.settled = true;
        self.decisions.push(Decision::StartHandover {
            source: state.key.clone(),
            from: self.pods[from].key.name.clone(),
            to: self.pods[to].key.name.clone(),
            epoch: state.next_epoch(now),
            reason,
        });
        self.pods[from].outbound += 1;
        self.pods[to].inbound += 1;
        self.charge(to, demand);
        if reason == Reason::CameraFails {
            self.pods[to].projected = self.pods[to].projected.minus(demand);
        } else {
            self.pods[from].projected = self.pods[from].projected.minus(demand);
        }
    }

    /// Takes a source from its pod; `waits`: another pod is to have it once this one has let go.
    pub(super) fn release(&mut self, source: usize, reason: Reason, waits: bool) {
        let now = self.snapshot.now;
        let state = &mut self.sources[source];
        state.settled = true;
        let Some(assignment) = &state.source.assignment else {
            if let Some(handover) = &state.source.handover {
                let (source, pod) = (state.key.clone(), handover.pod.clone());
                self.decisions.push(Decision::AbortHandover { source, pod, reason });
            }
            return;
        };
        self.decisions.push(Decision::Release { source: state.key.clone(), pod: assignment.pod.clone(), reason });
        if waits {
            let release = Some((assignment.pod.clone(), now));
            self.remember(source).release = release;
        }
    }

    pub(super) fn remember(&mut self, source: usize) -> &mut SourceMemory {
        self.memory.sources.entry(self.sources[source].key.clone()).or_default()
    }

    pub(super) fn model_memory(&mut self, model: usize) -> &mut ModelMemory {
        self.memory.models.entry(self.models[model].key.clone()).or_default()
    }

    /// A pod of that name, wherever it is in the namespace.
    pub(super) fn pod_named(&self, namespace: &str, name: &Arc<str>) -> Option<usize> {
        self.pod_index.get(&(namespace, &**name)).copied()
    }

    /// The model that a pod serves, if that is there.
    pub(super) fn model_of(&self, pod: usize) -> Option<usize> {
        let PodState { key, pod, .. } = &self.pods[pod];
        self.model_index.get(&(&*key.namespace, &*pod.model)).copied()
    }

    /// How the camera of a source does on its pod. One that the pod has not told of is taken to stream: then nothing is
    /// broken before it is made.
    pub(super) fn camera(&self, source: usize) -> Camera {
        let SourceState { key, pod, .. } = &self.sources[source];
        pod.and_then(|pod| self.pods[pod].holding(key)).map_or(Camera::Streaming, |holding| holding.camera)
    }
}

fn typical_ceiling(model: &ModelState<'_>, pods: &[PodState<'_>]) -> Load {
    let smallest = |outdated: bool| {
        let serving = model.pods.iter().map(|&pod| &pods[pod]).filter(|pod| pod.health == Health::Serving);
        let measured = serving.filter(|pod| pod.outdated == outdated && (outdated || pod.is_target()));
        measured.map(|pod| pod.ceiling).reduce(Load::least)
    };
    // Pods of another template tell more than what is assumed.
    let measured = smallest(false).or_else(|| smallest(true));
    measured.unwrap_or_else(|| model.model.declared.or(model.model.assumed).planned())
}
