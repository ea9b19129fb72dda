//! Ends handovers that are in flight: finished, aborted or not needed any more.

use super::{Camera, Health, Reason, fleet::Fleet, limits};

/// What becomes of a handover in flight.
enum End {
    /// The new pod takes over.
    Finish(Reason),
    /// The source stays.
    Abort(Reason),
    /// The source leaves its pod before the new one is warm.
    Break(Reason),
    /// Not yet.
    None,
}

/// Decides about every handover in flight.
pub(super) fn settle(fleet: &mut Fleet<'_>) {
    for source in 0..fleet.sources.len() {
        if fleet.sources[source].source.handover.is_none() {
            continue;
        }
        match end(fleet, source) {
            End::Finish(reason) => finish(fleet, source, reason),
            End::Abort(reason) => abort(fleet, source, reason),
            End::Break(reason) => fleet.release(source, reason, true),
            End::None => {}
        }
    }
}

fn end(fleet: &Fleet<'_>, source: usize) -> End {
    let now = fleet.snapshot.now;
    let state = &fleet.sources[source];
    let Some(handover) = &state.source.handover else { return End::None };
    if !state.wanted {
        // Whoever looks after such sources takes the handover away with the assignment.
        return End::None;
    }
    let target = state.target.map(|target| &fleet.pods[target]);
    let Some(target) = target.filter(|target| target.is_active()) else { return End::Abort(Reason::TargetLost) };
    let serves_the_model = state.target.and_then(|target| fleet.model_of(target)) == state.model;
    if !serves_the_model {
        return End::Abort(Reason::ModelChanged);
    }
    let holding = target.holding(state.key).filter(|holding| holding.epoch == handover.epoch);
    if target.health == Health::Serving && holding.is_some_and(|holding| holding.warm) {
        return End::Finish(Reason::Warm);
    }
    let Some(pod) = state.pod.map(|pod| &fleet.pods[pod]) else { return End::Finish(Reason::PodLost) };
    if let Health::Dead(reason) = pod.health {
        return End::Finish(reason);
    }
    if now - handover.epoch < limits::HANDOVER_TIMEOUT {
        return End::None;
    }
    let must_leave = pod.leaving.filter(|_| !is_gentle(pod.leaving));
    let changes_model = state.pod.and_then(|pod| fleet.model_of(pod)) != state.model;
    if must_leave.is_some() || changes_model {
        End::Break(Reason::NotWarmInTime)
    } else {
        End::Abort(Reason::NotWarmInTime)
    }
}

/// Nothing presses: the streams may as well stay.
pub(super) fn is_gentle(leaving: Option<Reason>) -> bool {
    matches!(leaving, None | Some(Reason::ScaleDown))
}

fn finish(fleet: &mut Fleet<'_>, source: usize, reason: Reason) {
    let state = &mut fleet.sources[source];
    state.settled = true;
    let (Some(handover), Some(target)) = (&state.source.handover, state.target) else { return };
    fleet.decisions.push(super::Decision::FinishHandover {
        source: state.key.clone(),
        pod: handover.pod.clone(),
        node: fleet.pods[target].pod.node.clone(),
        epoch: handover.epoch,
        reason,
    });
}

fn abort(fleet: &mut Fleet<'_>, source: usize, reason: Reason) {
    let now = fleet.snapshot.now;
    let fails = fleet.camera(source) != Camera::Streaming;
    let state = &mut fleet.sources[source];
    let Some(handover) = &state.source.handover else { return };
    state.settled = true;
    let pod = handover.pod.clone();
    fleet.decisions.push(super::Decision::AbortHandover { source: state.key.clone(), pod: pod.clone(), reason });
    if reason == Reason::NotWarmInTime {
        let memory = fleet.remember(source);
        memory.hold_until = now + limits::COOL_DOWN;
        if fails && !memory.tried.contains(&pod) {
            memory.tried.push(pod);
        }
    }
}
