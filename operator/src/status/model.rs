//! The status of a `DetectionModel`.

use std::{collections::BTreeMap, sync::Arc};

use crds::{
    Capacity, DetectionModel, DetectionModelStatus,
    report::{ModelPhase, PodReport},
};
use jiff::Timestamp;

use super::conditions::{Conditions, Says};
use crate::{
    index::Trouble,
    plan::{Load, PendingReason, Refusal, Standing},
    pods::selector,
};

/// What is known of a model.
#[derive(Clone, Copy, Debug)]
pub struct ModelFacts<'a> {
    /// Now.
    pub now: Timestamp,
    /// The model.
    pub object: &'a DetectionModel,
    /// Why it cannot be served.
    pub refusal: Option<&'a Refusal>,
    /// How it stands after what was decided.
    pub standing: &'a Standing,
    /// Its pods, by name.
    pub pods: &'a [PodFacts<'a>],
    /// The API server does not take its pods, or what stands beside them.
    pub refused: Option<&'a Trouble>,
}

/// What is known of one of its pods.
#[derive(Clone, Debug)]
pub struct PodFacts<'a> {
    /// The pod's name.
    pub name: &'a str,
    /// Why it does not start, as Kubernetes says.
    pub trouble: Option<Trouble>,
    /// It served, and has been silent for longer than the planner's patience.
    pub is_silent: bool,
    /// It is about to end.
    pub ends: bool,
    /// What it told last.
    pub report: Option<Arc<PodReport>>,
}

/// A finding about the pods: a stable word and a sentence.
type Finding = (String, String);

/// The status that the model is to have; equal to the one it has where nothing has changed.
#[must_use]
pub fn model(facts: &ModelFacts<'_>) -> DetectionModelStatus {
    let before = facts.object.status.clone().unwrap_or_default();
    let generation = facts.object.metadata.generation;
    let standing = facts.standing;
    let name = facts.object.metadata.name.as_deref().unwrap_or_default();
    let mut conditions = Conditions::new(&before.conditions, generation, facts.now);
    let accepted = match facts.refusal {
        Some(refusal) => Says::no(&refusal.reason, &refusal.message),
        None => Says::yes("Accepted", "the model can be served"),
    };
    conditions.set("Accepted", &accepted);
    let unwell = unwell(facts);
    let failed = failed_load(facts);
    let not_ready = not_ready(facts, unwell.as_ref(), failed.as_ref());
    match &not_ready {
        Some((reason, message)) => conditions.set("Ready", &Says::no(reason, message)),
        None => conditions.set("Ready", &Says::yes("PodsServe", "at least one pod serves the model")),
    }
    match unwell.as_ref().or(failed.as_ref()) {
        Some((reason, message)) => conditions.set("PodsHealthy", &Says::no(reason, message)),
        None => conditions.set("PodsHealthy", &Says::yes("PodsHealthy", "every pod starts and answers")),
    }
    match &failed {
        Some((reason, message)) => conditions.set("Updated", &Says::no(reason, message)),
        None if standing.updated < standing.pods || standing.blocked > 0 => {
            let message = if standing.blocked > 0 {
                "pods wait for room elsewhere for their streams before they are replaced"
            } else {
                "pods are being replaced"
            };
            conditions.set("Updated", &Says::no("RollingOut", message));
        }
        None => conditions.set("Updated", &Says::yes("UpToDate", "every pod was made from the present spec")),
    }
    match &standing.shortage {
        Some(shortage) => {
            let message = shortage.of_all();
            let reason = PendingReason::InsufficientCapacity.as_str();
            conditions.set("HasRoom", &Says::no(reason, &message).in_words());
        }
        None => conditions.set("HasRoom", &Says::yes("RoomForAll", "no source waits for more pods than are allowed")),
    }
    let ready = || facts.pods.iter().filter_map(|pod| pod.report.as_ref());
    DetectionModelStatus {
        observed_generation: generation,
        pods: count(standing.pods),
        ready_pods: count(standing.ready),
        updated_pods: count(standing.updated),
        streams: count(standing.streams),
        pending: count(standing.pending),
        capacity: count(standing.capacity),
        pod_capacity: pod_capacity(standing.pod_capacity),
        engine: ready().find_map(|report| report.engine).or(before.engine),
        digest: digest(ready()).or_else(|| before.digest.clone()),
        replicas: count(standing.pods),
        selector: Some(written(&selector(name))),
        conditions: conditions.done(),
    }
}

/// What is wrong with a pod, of those that are to stay.
fn unwell(facts: &ModelFacts<'_>) -> Option<Finding> {
    if let Some(Trouble { reason, message }) = facts.refused {
        return Some((reason.clone(), message.clone()));
    }
    if facts.standing.cut_off {
        let message = "most pods stopped answering together: their streams are left where they are";
        return Some(("PodsCutOff".to_owned(), message.to_owned()));
    }
    let staying = || facts.pods.iter().filter(|pod| !pod.ends);
    let trouble = staying().find_map(|pod| {
        let Trouble { reason, message } = pod.trouble.clone()?;
        Some((reason, format!("pod {}: {message}", pod.name)))
    });
    let silent = || {
        let pod = staying().find(|pod| pod.is_silent)?;
        Some(("PodSilent".to_owned(), format!("pod {} does not answer the operator", pod.name)))
    };
    trouble.or_else(silent)
}

/// A pod that cannot use the newest generation of the model.
fn failed_load(facts: &ModelFacts<'_>) -> Option<Finding> {
    facts.pods.iter().filter(|pod| !pod.ends).find_map(|pod| {
        let model = &pod.report.as_ref()?.model;
        let reason = model.reason.clone().unwrap_or_else(|| "ModelFailed".to_owned());
        let message = model.message.as_deref().unwrap_or("the model cannot be used");
        (model.phase == ModelPhase::Failed).then(|| (reason, format!("pod {}: {message}", pod.name)))
    })
}

fn not_ready(facts: &ModelFacts<'_>, unwell: Option<&Finding>, failed: Option<&Finding>) -> Option<Finding> {
    let standing = facts.standing;
    let says = |reason: &str, message: &str| Some((reason.to_owned(), message.to_owned()));
    if standing.ready > 0 {
        None
    } else if let Some(refusal) = facts.refusal {
        says(&refusal.reason, &refusal.message)
    } else if let Some(finding) = unwell.or(failed) {
        Some(finding.clone())
    } else if standing.pods > 0 {
        says("PodsStarting", "no pod serves the model yet")
    } else if facts.object.spec.serving.replicas == Some(0) {
        says("NoPodsWanted", "the number of pods was set to 0")
    } else {
        says("NoPods", "the model has no pods: no source needs one")
    }
}

/// The digest that the most pods have in use.
fn digest<'a>(reports: impl Iterator<Item = &'a Arc<PodReport>>) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for digest in reports.filter_map(|report| report.model.digest.as_deref()) {
        *counts.entry(digest).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(digest, _)| digest.chars().take(71).collect())
}

fn count(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// What is planned of a pod is four fifths of its rates; here the whole is told.
fn pod_capacity(planned: Load) -> Capacity {
    let whole = |value: u64| (value != u64::MAX && value > 0).then(|| count((value / 800).max(1)));
    Capacity {
        streams: (planned.streams != u64::MAX).then(|| count(planned.streams).clamp(1, 1_000)),
        inferences_per_second: whole(planned.inferences).map(|number| number.min(100_000)),
        decode: whole(planned.decode).map(|number| number.min(256_000)),
    }
}

fn written(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}
