//! Sums up what was decided: who waits and why, and how each model stands.

use std::{collections::HashSet, mem};

use super::{
    Decision, Fleet, Health, Key, Outcome, Pending, PendingReason, Standing,
    fleet::{PodState, SourceState},
    place, scale,
};

pub(super) fn collect(mut fleet: Fleet<'_>) -> Outcome {
    let decisions = mem::take(&mut fleet.decisions);
    let gains: HashSet<&Key> = decisions
        .iter()
        .filter(|decision| matches!(decision, Decision::Bind { .. } | Decision::FinishHandover { .. }))
        .filter_map(Decision::source)
        .collect();
    let loses: HashSet<&Key> = decisions
        .iter()
        .filter(|decision| matches!(decision, Decision::Release { .. }))
        .filter_map(Decision::source)
        .collect();
    let mut outcome = Outcome::default();
    for model in 0..fleet.models.len() {
        outcome.models.insert(fleet.models[model].key.clone(), standing(&fleet, model));
    }
    for source in 0..fleet.sources.len() {
        let SourceState { key, source: spec, wanted, model, .. } = fleet.sources[source];
        let has_pod = (spec.assignment.is_some() || gains.contains(key)) && !loses.contains(key);
        let counted = model.filter(|_| wanted).and_then(|model| outcome.models.get_mut(fleet.models[model].key));
        if let Some(standing) = counted {
            *(if has_pod { &mut standing.streams } else { &mut standing.pending }) += 1;
        }
        if !has_pod {
            let pending = pending(&fleet, source);
            let of_model = model.and_then(|model| outcome.models.get_mut(fleet.models[model].key));
            if let (PendingReason::InsufficientCapacity, Some(standing)) = (pending.reason, of_model) {
                standing.shortage.clone_from(&pending.shortage);
            }
            outcome.pending.insert(key.clone(), pending);
        }
    }
    outcome.decisions = decisions;
    outcome.memory = fleet.memory;
    outcome
}

fn pending(fleet: &Fleet<'_>, source: usize) -> Pending {
    let SourceState { source: spec, wanted, model, demand, .. } = fleet.sources[source];
    let mut shortage = None;
    let reason = match model {
        _ if !spec.enabled => PendingReason::Disabled,
        _ if !wanted => PendingReason::NotAccepted,
        None => PendingReason::ModelNotFound,
        Some(model) if fleet.models[model].model.refusal.is_some() => PendingReason::ModelNotAccepted,
        Some(model) if fleet.models[model].model.replicas == Some(0) => PendingReason::NoPodsWanted,
        Some(_) if fleet.sources[source].settled || place::is_releasing(fleet, source) => PendingReason::Releasing,
        Some(model) if !demand.fits(fleet.models[model].limit) => {
            let missing = demand.minus(fleet.models[model].ceiling);
            shortage = Some(scale::shortage(fleet, model, missing));
            PendingReason::ExceedsPod
        }
        Some(model) if fleet.models[model].grows => PendingReason::WaitingForPod,
        Some(model) => {
            let missing = fleet.lacking(model, demand);
            shortage = Some(scale::shortage(fleet, model, missing));
            PendingReason::InsufficientCapacity
        }
    };
    Pending { reason, shortage }
}

fn standing(fleet: &Fleet<'_>, model: usize) -> Standing {
    let state = &fleet.models[model];
    let count = |suits: &dyn Fn(&PodState<'_>) -> bool| {
        state.pods.iter().filter(|&&pod| suits(&fleet.pods[pod])).count() as u64
    };
    let ready = state.pods.iter().map(|&pod| &fleet.pods[pod]).filter(|pod| pod.is_target());
    let stream = mean_demand(fleet, model).unwrap_or(state.model.typical);
    Standing {
        pods: count(&|pod| pod.is_active()),
        ready: count(&|pod| pod.health == Health::Serving && pod.leaving.is_none()),
        updated: count(&|pod| pod.is_active() && !pod.outdated),
        capacity: ready.map(|pod| stream.times_in(pod.ceiling)).fold(0, u64::saturating_add),
        pod_capacity: state.ceiling,
        blocked: state.blocked,
        cut_off: fleet.cut_off,
        ..Standing::default()
    }
}

/// What a stream of the model takes on average; nothing where it has none.
fn mean_demand(fleet: &Fleet<'_>, model: usize) -> Option<super::Load> {
    let mut demands = fleet.models[model].sources.iter().map(|&source| fleet.sources[source].demand);
    let first = demands.next()?;
    let (sum, count) = demands.fold((first, 1), |(sum, count), demand| (sum.plus(demand), count + 1));
    Some(sum.part(count))
}
