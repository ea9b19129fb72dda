//! Gives pods to sources that have none, or whose pod is dead or to be left.

use super::{Camera, Fleet, Health, Reason, fleet::PodState, handover, limits};

/// What a source needs.
enum Need {
    /// Nothing, or nothing that can be had now.
    Nothing,
    /// To be taken off its pod for good.
    Release(Reason),
    /// A pod at once.
    Pod(Reason),
    /// Another pod, made before the bond to this one is broken.
    Other { from: usize, reason: Reason },
}

/// Places every source that needs it, in the order of their priorities. Those that find no room are noted at their
/// models.
pub(super) fn place(fleet: &mut Fleet<'_>) {
    note_forgotten_releases(fleet);
    let mut needs: Vec<(usize, Need)> = Vec::new();
    for source in 0..fleet.sources.len() {
        match need(fleet, source) {
            Need::Nothing => {}
            Need::Release(reason) => fleet.release(source, reason, false),
            need => needs.push((source, need)),
        }
    }
    // Sources without a pod before those that have one, among equals.
    needs.sort_by_key(|(source, need)| {
        let has_pod = matches!(need, Need::Other { .. });
        (std::cmp::Reverse(fleet.sources[*source].source.priority), has_pod, *source)
    });
    for (source, need) in needs {
        let Some(model) = fleet.sources[source].model else { continue };
        let found = match need {
            Need::Pod(reason) => find_pod(fleet, model, source, reason),
            Need::Other { from, reason } => find_other(fleet, model, source, from, reason),
            Need::Nothing | Need::Release(_) => true,
        };
        if !found {
            fleet.models[model].unplaced.push(source);
            forget_lost_pod(fleet, source);
        }
    }
}

/// A pod that is gone for good is no longer shown as the source's.
fn forget_lost_pod(fleet: &mut Fleet<'_>, source: usize) {
    let state = &fleet.sources[source];
    let pod_is_over = state.pod.is_none_or(|pod| fleet.pods[pod].health == Health::Dead(Reason::PodFinished));
    if state.source.assignment.is_some() && pod_is_over {
        fleet.release(source, Reason::PodLost, false);
    }
}

fn need(fleet: &Fleet<'_>, source: usize) -> Need {
    let state = &fleet.sources[source];
    let assigned = state.source.assignment.is_some();
    if state.settled {
        return Need::Nothing;
    }
    if !state.wanted {
        let reason = if state.source.enabled { Reason::NotAccepted } else { Reason::Disabled };
        return if assigned || state.source.handover.is_some() { Need::Release(reason) } else { Need::Nothing };
    }
    let Some(model) = state.model.filter(|&model| fleet.models[model].model.refusal.is_none()) else {
        return Need::Nothing;
    };
    if fleet.models[model].model.replicas == Some(0) {
        return if assigned { Need::Release(Reason::NoPodsWanted) } else { Need::Nothing };
    }
    let Some(pod) = state.pod else {
        return match assigned {
            true => Need::Pod(Reason::PodLost),
            false if is_releasing(fleet, source) => Need::Nothing,
            false => Need::Pod(Reason::Placed),
        };
    };
    let PodState { health, leaving, .. } = fleet.pods[pod];
    if let Health::Dead(reason) = health {
        return Need::Pod(reason);
    }
    if state.source.handover.is_some() {
        return Need::Nothing;
    }
    if fleet.model_of(pod) != Some(model) {
        return Need::Other { from: pod, reason: Reason::ModelChanged };
    }
    match leaving {
        Some(reason) => Need::Other { from: pod, reason },
        None => Need::Nothing,
    }
}

/// The pod that had the source still holds it, and has had little time to let go.
pub(super) fn is_releasing(fleet: &Fleet<'_>, source: usize) -> bool {
    let state = &fleet.sources[source];
    let Some((pod, since)) = fleet.memory.sources.get(state.key).and_then(|memory| memory.release.as_ref()) else {
        return false;
    };
    let pod = fleet.pod_named(&state.key.namespace, pod).map(|pod| &fleet.pods[pod]);
    fleet.snapshot.now - since < limits::RELEASE_TIMEOUT
        && pod.is_some_and(|pod| !matches!(pod.health, Health::Dead(_)) && pod.holding(state.key).is_some())
}

/// Sources that an operator before this one took from a pod are waited for as well: pods tell what they hold.
fn note_forgotten_releases(fleet: &mut Fleet<'_>) {
    let forgotten = |source: usize| {
        let state = &fleet.sources[source];
        let was_bound = state.source.epoch > 0 && state.source.assignment.is_none();
        was_bound && fleet.memory.sources.get(state.key).is_none_or(|memory| memory.release.is_none())
    };
    let forgotten: Vec<usize> = (0..fleet.sources.len()).filter(|&source| forgotten(source)).collect();
    for source in forgotten {
        let key = fleet.sources[source].key;
        let holds = |pod: &&PodState<'_>| pod.key.namespace == key.namespace && pod.holding(key).is_some();
        if let Some(pod) = fleet.pods.iter().find(holds).map(|pod| pod.key.name.clone()) {
            let release = Some((pod, fleet.snapshot.now));
            fleet.remember(source).release = release;
        }
    }
}

/// The pod that has the source lives, although it does not infer, and the camera takes one connection only.
fn must_let_go_first(fleet: &Fleet<'_>, source: usize) -> bool {
    let state = &fleet.sources[source];
    let holder_lives = state.pod.is_some_and(|pod| fleet.pods[pod].health == Health::Dead(Reason::EngineHangs));
    state.source.single_connection && holder_lives
}

fn find_pod(fleet: &mut Fleet<'_>, model: usize, source: usize, reason: Reason) -> bool {
    let demand = fleet.sources[source].demand;
    let tried =
        fleet.memory.sources.get(fleet.sources[source].key).map(|memory| memory.tried.clone()).unwrap_or_default();
    let untried = fleet.pick(model, demand, |pod| !tried.contains(&pod.key.name));
    let Some(target) = untried.or_else(|| fleet.pick(model, demand, |_| true)) else { return false };
    if must_let_go_first(fleet, source) {
        fleet.release(source, reason, true);
    } else {
        fleet.bind(source, target, reason);
    }
    true
}

fn find_other(fleet: &mut Fleet<'_>, model: usize, source: usize, from: usize, reason: Reason) -> bool {
    let demand = fleet.sources[source].demand;
    let gentle = handover::is_gentle(Some(reason));
    if gentle && !may_leave_gently(fleet, model, source, from) {
        return true;
    }
    let in_flight = if gentle { limits::GENTLE_IN_FLIGHT } else { limits::URGENT_IN_FLIGHT };
    let Some(target) = fleet.pick(model, demand, |pod| pod.inbound < in_flight) else {
        // Where there is room but too much in flight, the next round has its turn.
        return fleet.pick(model, demand, |_| true).is_some();
    };
    if fleet.sources[source].source.single_connection {
        fleet.release(source, reason, true);
    } else if fleet.camera(source) == Camera::Streaming {
        fleet.hand_over(source, from, target, reason);
    } else {
        // There is nothing to lose, and a pod that waits for a dead camera to be warm would wait in vain.
        fleet.bind(source, target, reason);
    }
    if gentle {
        let memory = fleet.model_memory(model);
        memory.gentle_budget = memory.gentle_budget.saturating_sub(1);
    }
    true
}

/// Whether a stream may leave now although nothing presses.
fn may_leave_gently(fleet: &mut Fleet<'_>, model: usize, source: usize, from: usize) -> bool {
    let now = fleet.snapshot.now;
    let state = &fleet.sources[source];
    let hold_until = fleet.memory.sources.get(state.key).map_or(0, |memory| memory.hold_until);
    let bound_at = state.source.assignment.as_ref().map_or(0, |assignment| assignment.epoch);
    let rested = now >= hold_until && now - bound_at >= limits::COOL_DOWN;
    rested && fleet.pods[from].outbound < limits::GENTLE_IN_FLIGHT && fleet.model_memory(model).gentle_budget > 0
}
