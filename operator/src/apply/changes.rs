//! What a round has decided, as writes.

use std::{collections::BTreeMap, collections::HashMap, sync::Arc};

use crds::{
    DetectionModel, DetectionModelStatus, VideoSource, VideoSourceStatus,
    report::{PodReport, SourceReport},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    index::{self, Objects, Trouble},
    plan::{Decision, Key, Outcome, Snapshot, Standing, limits},
    pods::{RETIRE_ANNOTATION, SERVING_LABEL},
    poll::Answer,
    status::{self, ModelFacts, PodFacts, SourceFacts},
    watch::Unreadable,
};

/// What a round has seen and decided.
pub struct Facts<'a> {
    /// Now.
    pub now: Timestamp,
    /// The objects.
    pub objects: &'a Objects,
    /// Those that cannot be read.
    pub unreadable: &'a [(&'static str, Key, Unreadable)],
    /// What the planner saw.
    pub snapshot: &'a Snapshot,
    /// What it decided.
    pub outcome: &'a Outcome,
    /// What the pods told.
    pub answers: &'a BTreeMap<Key, Answer>,
    /// Models whose pods, or what stands beside them, the API server does not take, with why.
    pub refused: &'a BTreeMap<Key, Trouble>,
}

/// The writes of one round.
#[derive(Debug, Default)]
pub struct Round {
    /// In the order in which they begin.
    pub changes: Vec<Change>,
}

/// One write.
#[derive(Debug)]
pub enum Change {
    /// A pod is made.
    CreatePod {
        /// Its name.
        pod: Key,
        /// Its model.
        model: Arc<str>,
        /// What was decided.
        decision: Decision,
    },
    /// A pod is deleted.
    DeletePod {
        /// The pod.
        pod: Key,
        /// What was decided.
        decision: Decision,
    },
    /// Labels or annotations of a pod change.
    PatchPod {
        /// The pod.
        pod: Key,
        /// A JSON merge patch.
        patch: Value,
        /// What was decided.
        decision: Decision,
    },
    /// A source has another status.
    SourceStatus {
        /// The source as it was decided on.
        object: Arc<VideoSource>,
        /// The whole new status.
        status: Box<VideoSourceStatus>,
        /// What was decided, if that is why.
        decision: Option<Decision>,
        /// The models whose pods get the source.
        models: Vec<Key>,
    },
    /// A model has another status.
    ModelStatus {
        /// The model as it was decided on.
        object: Arc<DetectionModel>,
        /// The whole new status.
        status: Box<DetectionModelStatus>,
    },
    /// An object cannot be read, and is told so.
    Unreadable {
        /// The plural of its kind.
        kind: &'static str,
        /// The object.
        key: Key,
        /// What is wrong.
        unreadable: Box<Unreadable>,
    },
}

/// The writes that make the cluster what was decided. None where nothing has changed.
#[must_use]
pub fn changes(facts: &Facts<'_>) -> Round {
    let mut round = Round::default();
    let mut of_source: HashMap<&Key, &Decision> = HashMap::new();
    for decision in &facts.outcome.decisions {
        match decision.source() {
            Some(source) => {
                of_source.insert(source, decision);
            }
            None => round.changes.extend(of_pod(decision)),
        }
    }
    let mut undecided = Vec::new();
    let troubles = troubles(facts);
    for object in &facts.objects.sources {
        let Some(change) = of_status(facts, object, &of_source, &troubles) else { continue };
        match &change {
            Change::SourceStatus { decision: Some(_), .. } => round.changes.push(change),
            _ => undecided.push(change),
        }
    }
    // What moves streams goes before what only tells of them.
    round.changes.extend(undecided);
    round.changes.extend(models(facts));
    round.changes.extend(facts.unreadable.iter().map(|(kind, key, unreadable)| Change::Unreadable {
        kind,
        key: key.clone(),
        unreadable: Box::new(unreadable.clone()),
    }));
    round
}

fn of_pod(decision: &Decision) -> Option<Change> {
    let patch = |pod: &Key, metadata: Value| {
        let (pod, patch) = (pod.clone(), json!({ "metadata": metadata }));
        Some(Change::PatchPod { pod, patch, decision: decision.clone() })
    };
    match decision {
        Decision::CreatePod { pod, model, .. } => {
            Some(Change::CreatePod { pod: pod.clone(), model: model.clone(), decision: decision.clone() })
        }
        Decision::DeletePod { pod, .. } => Some(Change::DeletePod { pod: pod.clone(), decision: decision.clone() }),
        Decision::RetirePod { pod, retirement, .. } => {
            patch(pod, json!({ "annotations": { RETIRE_ANNOTATION: format!("{retirement:?}") } }))
        }
        Decision::KeepPod { pod, .. } => patch(pod, json!({ "annotations": { RETIRE_ANNOTATION: null } })),
        Decision::ProtectPod { pod, .. } => patch(pod, json!({ "labels": { SERVING_LABEL: "true" } })),
        Decision::UnprotectPod { pod, .. } => patch(pod, json!({ "labels": { SERVING_LABEL: null } })),
        Decision::Bind { .. }
        | Decision::StartHandover { .. }
        | Decision::FinishHandover { .. }
        | Decision::AbortHandover { .. }
        | Decision::Release { .. } => None,
    }
}

/// Why pods of models do not start.
fn troubles(facts: &Facts<'_>) -> HashMap<Key, Trouble> {
    let of_pods = facts.objects.pods.iter().filter_map(|object| {
        let trouble = index::trouble(object)?;
        let key = Key::new(object.metadata.namespace.as_deref()?, object.metadata.name.as_deref()?);
        Some((key.beside(facts.snapshot.pods.get(&key)?.model.clone()), trouble))
    });
    of_pods.chain(facts.refused.iter().map(|(key, trouble)| (key.clone(), trouble.clone()))).collect()
}

fn of_status(
    facts: &Facts<'_>,
    object: &Arc<VideoSource>,
    decisions: &HashMap<&Key, &Decision>,
    troubles: &HashMap<Key, Trouble>,
) -> Option<Change> {
    let metadata = &object.metadata;
    let key = Key::new(metadata.namespace.as_deref()?, metadata.name.as_deref()?);
    let source = facts.snapshot.sources.get(&key)?;
    let model_key = key.beside(source.model.clone());
    let model = facts.snapshot.models.get(&model_key);
    let decision = decisions.get(&key).copied();
    let holding = |pod: &str, epoch: i64| told(facts, &key, pod).filter(|report| report.epoch == epoch);
    let bound = source.assignment.as_ref();
    let becomes = match decision {
        Some(Decision::Bind { pod, epoch, .. } | Decision::FinishHandover { pod, epoch, .. }) => Some((pod, *epoch)),
        Some(Decision::Release { .. }) => None,
        _ => bound.map(|binding| (&binding.pod, binding.epoch)),
    };
    let status = status::source(&SourceFacts {
        now: facts.now,
        object,
        decision,
        refusal: source.refusal.as_ref(),
        has_model: model.is_some(),
        model_refusal: model.and_then(|model| model.refusal.as_ref()),
        pending: facts.outcome.pending.get(&key),
        trouble: troubles.get(&model_key),
        report: becomes.and_then(|(pod, epoch)| holding(pod, epoch)),
        report_before: bound.and_then(|binding| told(facts, &key, &binding.pod)),
    });
    if object.status.as_ref() == Some(&status) {
        return None;
    }
    // The pods that get it: before that, they must be able to read its Secret.
    let gets = match decision {
        Some(Decision::Bind { pod, .. } | Decision::FinishHandover { pod, .. }) => Some(pod),
        Some(Decision::StartHandover { to, .. }) => Some(to),
        _ => None,
    };
    let models = gets
        .and_then(|pod| facts.snapshot.pods.get(&key.beside(pod.clone())))
        .map(|pod| key.beside(pod.model.clone()))
        .into_iter()
        .collect();
    let (object, decision) = (object.clone(), decision.cloned());
    Some(Change::SourceStatus { object, status: Box::new(status), decision, models })
}

/// What a pod told of a source.
fn told<'a>(facts: &'a Facts<'_>, source: &Key, pod: &str) -> Option<&'a SourceReport> {
    let report: &PodReport = facts.answers.get(&source.beside(pod))?.report.as_ref()?;
    let is_it = |told: &&SourceReport| *told.name == *source.name && *told.namespace == *source.namespace;
    report.sources.iter().find(is_it)
}

fn models(facts: &Facts<'_>) -> Vec<Change> {
    let mut pods: HashMap<Key, Vec<PodFacts<'_>>> = HashMap::new();
    for object in &facts.objects.pods {
        let metadata = &object.metadata;
        let (Some(namespace), Some(name)) = (metadata.namespace.as_deref(), metadata.name.as_deref()) else {
            continue;
        };
        let key = Key::new(namespace, name);
        let Some(pod) = facts.snapshot.pods.get(&key) else { continue };
        let patience = |since| facts.snapshot.now - since >= limits::DOWN_GRACE;
        pods.entry(key.beside(pod.model.clone())).or_default().push(PodFacts {
            name,
            trouble: index::trouble(object),
            is_silent: pod.down_since.is_some_and(patience),
            ends: pod.deleting || pod.retiring.is_some(),
            report: facts.answers.get(&key).and_then(|answer| answer.report.clone()),
        });
    }
    let nothing = Standing::default();
    let change = |object: &Arc<DetectionModel>| {
        let key = Key::new(object.metadata.namespace.as_deref()?, object.metadata.name.as_deref()?);
        let model = facts.snapshot.models.get(&key)?;
        let status = status::model(&ModelFacts {
            now: facts.now,
            object,
            refusal: model.refusal.as_ref(),
            standing: facts.outcome.models.get(&key).unwrap_or(&nothing),
            pods: pods.get(&key).map_or(&[], |pods| pods),
            refused: facts.refused.get(&key),
        });
        (object.status.as_ref() != Some(&status))
            .then(|| Change::ModelStatus { object: object.clone(), status: Box::new(status) })
    };
    facts.objects.models.iter().filter_map(change).collect()
}
