//! Which pods serve, which are to be left, and which are dead.

use super::{Pod, PodPhase, Reason, Retirement, Snapshot, limits};

/// How a pod is, for those who want to place streams on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It has not served yet.
    Starting,
    /// It serves.
    Serving,
    /// It does not answer, but not for long; or nobody has asked it yet. It keeps its streams and gets none.
    Unsure,
    /// Its streams need another pod at once.
    Dead(Reason),
}

/// Why the streams of a pod that serves are to leave it.
pub(super) fn leaving(pod: &Pod, snapshot: &Snapshot) -> Option<Reason> {
    let draining = || pod.node.as_ref().and_then(|node| snapshot.nodes.get(node)).is_some_and(|node| node.draining);
    let terminating = || pod.report.as_ref().is_some_and(|report| report.terminating);
    if pod.deleting || terminating() {
        Some(Reason::PodDeleted)
    } else if pod.evacuate {
        Some(Reason::Evacuated)
    } else if pod.tainted || draining() {
        Some(Reason::NodeDrains)
    } else {
        pod.retiring.map(|retirement| match retirement {
            Retirement::ScaleDown => Reason::ScaleDown,
            Retirement::Outdated => Reason::TemplateChanged,
        })
    }
}

/// The operator itself is probably cut off: more than half of the pods that have served, and more than two, do not
/// answer. Then only those count as dead of which Kubernetes says so too.
pub(super) fn is_cut_off(snapshot: &Snapshot) -> bool {
    let running = || {
        snapshot
            .pods
            .values()
            .filter(|pod| pod.phase == PodPhase::Running && (pod.report.is_some() || pod.down_since.is_some()))
    };
    let suspects = running().filter(|pod| is_suspect(pod, snapshot.now)).count();
    suspects > 2 && suspects * 2 > running().count()
}

fn is_suspect(pod: &Pod, now: i64) -> bool {
    pod.down_since.is_some_and(|since| now - since >= limits::DOWN_GRACE)
}

pub(super) fn of(pod: &Pod, snapshot: &Snapshot, cut_off: bool) -> Health {
    let node_is_lost = pod.node.as_ref().and_then(|node| snapshot.nodes.get(node)).is_some_and(|node| !node.ready);
    if pod.phase == PodPhase::Finished {
        return Health::Dead(Reason::PodFinished);
    }
    if is_suspect(pod, snapshot.now) {
        let kubernetes_agrees = node_is_lost || !pod.ready;
        return if cut_off && !kubernetes_agrees { Health::Unsure } else { Health::Dead(Reason::PodLost) };
    }
    match &pod.report {
        Some(report) if report.serving && report.engine_stalled >= limits::ENGINE_HANGS => {
            Health::Dead(Reason::EngineHangs)
        }
        Some(report) if report.serving && pod.down_since.is_none() => Health::Serving,
        Some(report) if report.serving || pod.down_since.is_some() => Health::Unsure,
        // Nobody has asked it since the operator began: Kubernetes' word must do.
        None if pod.ready && !node_is_lost => Health::Unsure,
        None if node_is_lost => Health::Dead(Reason::PodLost),
        _ => Health::Starting,
    }
}
