//! Tries a camera that fails from one other pod: its own may be in the wrong part of the network. After that it stays.

use super::{Camera, Fleet, Reason, limits};

/// Starts what can be tried.
pub(super) fn retry_elsewhere(fleet: &mut Fleet<'_>) {
    let failing = |fleet: &Fleet<'_>, source: usize| {
        let state = &fleet.sources[source];
        let memory = fleet.memory.sources.get(state.key)?;
        let pod = state.pod.filter(|&pod| fleet.pods[pod].is_target())?;
        let fails = memory.failing_since.is_some_and(|since| fleet.snapshot.now - since >= limits::CAMERA_FAILS);
        let worth_it = fails
            && state.wanted
            && !state.settled
            && state.source.handover.is_none()
            && memory.tried.len() < limits::CAMERA_PODS
            && fleet.snapshot.now >= memory.hold_until
            && fleet.camera(source) == Camera::Failing;
        let model = state.model.filter(|&model| worth_it && fleet.model_of(pod) == Some(model))?;
        Some((model, pod, memory.tried.clone()))
    };
    for source in 0..fleet.sources.len() {
        let Some((model, pod, tried)) = failing(fleet, source) else { continue };
        let demand = fleet.sources[source].demand;
        let others = |other: &super::fleet::PodState<'_>| {
            !tried.contains(&other.key.name) && other.inbound < limits::GENTLE_IN_FLIGHT
        };
        let Some(target) = fleet.pick(model, demand, others) else { continue };
        if fleet.sources[source].source.single_connection {
            fleet.release(source, Reason::CameraFails, true);
        } else {
            fleet.hand_over(source, pod, target, Reason::CameraFails);
        }
    }
}
