//! The status of a `VideoSource`.

use std::borrow::Cow;

use crds::{
    Assignment, Handover, StreamState, VideoSource, VideoSourceStatus,
    report::{SourceReport, SourceState},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::{Conditions, Says, shortened, word};
use crate::{
    index::Trouble,
    plan::{Decision, Pending, PendingReason, Refusal},
};

/// A stream that failed is told to be back once frames have come for so long, in milliseconds: the longest wait between
/// two attempts by default. So a camera that comes and goes is one failure, and costs one write.
const SETTLES: u64 = 5_000;

/// What is known of a source.
#[derive(Clone, Copy, Debug)]
pub struct SourceFacts<'a> {
    /// Now.
    pub now: Timestamp,
    /// The source.
    pub object: &'a VideoSource,
    /// What was just decided about it.
    pub decision: Option<&'a Decision>,
    /// Why it cannot be watched.
    pub refusal: Option<&'a Refusal>,
    /// There is a model of the name that it gives.
    pub has_model: bool,
    /// Why that model cannot be served.
    pub model_refusal: Option<&'a Refusal>,
    /// Why it has no pod.
    pub pending: Option<&'a Pending>,
    /// Why pods of that model do not start.
    pub trouble: Option<&'a Trouble>,
    /// What the pod that it will be bound to after the decision tells of this binding.
    pub report: Option<&'a SourceReport>,
    /// What the pod that it was bound to before told of it last.
    pub report_before: Option<&'a SourceReport>,
}

/// What the stream does, and why.
struct Stream {
    state: StreamState,
    reason: Option<String>,
    message: Option<String>,
}

/// The status that the source is to have; equal to the one it has where nothing has changed.
#[must_use]
pub fn source(facts: &SourceFacts<'_>) -> VideoSourceStatus {
    let before = facts.object.status.clone().unwrap_or_default();
    let mut status = before.clone();
    if let Some(decision) = facts.decision {
        decide(&mut status, decision);
    }
    let mut stream = stream(facts, &before, &status);
    let says_what_is_missing = stream.reason.as_deref() == Some(PendingReason::InsufficientCapacity.as_str());
    if stream.reason == before.reason && Some(stream.state) == before.state && !says_what_is_missing {
        stream.message.clone_from(&before.message);
    }
    if before.state == Some(StreamState::Streaming) && stream.state != StreamState::Streaming {
        let last = facts.report_before.or(facts.report).and_then(|report| report.last_frame_ms);
        // The API keeps whole seconds.
        let last = last.and_then(|milliseconds| Timestamp::from_second(milliseconds.div_euclid(1_000)).ok());
        status.last_frame_time = last.map(Time).or(status.last_frame_time);
    }
    if let Some(report) = facts.report {
        if let (Some(width), Some(height)) = (report.width, report.height) {
            status.resolution = Some(format!("{width}x{height}"));
        }
        if let Some(codec) = &report.codec {
            status.codec = Some(codec.chars().take(16).collect());
        }
    }
    status.conditions = conditions(facts, &before, &status, &stream);
    let Stream { state, reason, message } = stream;
    VideoSourceStatus { state: Some(state), reason, message, ..status }
}

fn decide(status: &mut VideoSourceStatus, decision: &Decision) {
    let newest = |status: &VideoSourceStatus, epoch: i64| Some(status.epoch.unwrap_or(0).max(epoch));
    match decision {
        Decision::Bind { pod, node, epoch, .. } | Decision::FinishHandover { pod, node, epoch, .. } => {
            status.epoch = newest(status, *epoch);
            let node = node.as_deref().map(str::to_owned);
            status.assignment = Some(Assignment { pod: pod.to_string(), node, epoch: *epoch });
            status.handover = None;
        }
        Decision::StartHandover { to, epoch, .. } => {
            status.epoch = newest(status, *epoch);
            status.handover = Some(Handover { pod: to.to_string(), epoch: *epoch });
        }
        Decision::AbortHandover { .. } => status.handover = None,
        Decision::Release { .. } => {
            status.assignment = None;
            status.handover = None;
        }
        Decision::CreatePod { .. }
        | Decision::DeletePod { .. }
        | Decision::RetirePod { .. }
        | Decision::KeepPod { .. }
        | Decision::ProtectPod { .. }
        | Decision::UnprotectPod { .. } => {}
    }
}

fn stream(facts: &SourceFacts<'_>, before: &VideoSourceStatus, status: &VideoSourceStatus) -> Stream {
    let with = |state, reason: &str, message: &str| Stream {
        state,
        reason: Some(word(reason)),
        message: Some(shortened(message)).filter(|message| !message.is_empty()),
    };
    let Some(assignment) = &status.assignment else {
        let (reason, message) = &waits(facts);
        let state = if facts.object.spec.enabled { StreamState::Pending } else { StreamState::Disabled };
        return with(state, reason, message);
    };
    let connecting = || with(StreamState::Reconnecting, "Connecting", "its pod opens the stream");
    let Some(report) = facts.report else {
        // Nothing new is known of a binding that stands: the pod may be silent for a moment, or the operator has just
        // begun to ask.
        let stands = before.assignment.as_ref() == Some(assignment);
        return match before.state {
            Some(StreamState::Pending | StreamState::Disabled) | None => connecting(),
            Some(state) if stands => Stream { state, reason: before.reason.clone(), message: before.message.clone() },
            Some(_) => connecting(),
        };
    };
    let reason = report.reason.as_deref();
    let message = report.message.as_deref().unwrap_or_default();
    match report.state {
        SourceState::Streaming if is_hardly_back(before, assignment, report) => {
            Stream { state: StreamState::Reconnecting, reason: before.reason.clone(), message: before.message.clone() }
        }
        SourceState::Streaming => Stream { state: StreamState::Streaming, reason: None, message: None },
        SourceState::Completed => with(StreamState::Completed, reason.unwrap_or("StreamEnded"), message),
        SourceState::Failed => with(StreamState::Failed, reason.unwrap_or("Failed"), message),
        SourceState::Connecting | SourceState::Stalled | SourceState::Backoff => match reason {
            Some(reason) => with(StreamState::Reconnecting, reason, message),
            // Between two attempts the reason of the last one stands.
            None if before.state == Some(StreamState::Reconnecting) && before.reason.is_some() => Stream {
                state: StreamState::Reconnecting,
                reason: before.reason.clone(),
                message: before.message.clone(),
            },
            None if report.state == SourceState::Stalled => {
                with(StreamState::Reconnecting, "NoFrames", "the connection stands, but no frame comes")
            }
            None if before.state == Some(StreamState::Streaming) => {
                with(StreamState::Reconnecting, "NoFrames", "no frame comes, and its pod connects anew")
            }
            None => connecting(),
        },
    }
}

/// The stream failed on this pod, and frames have not come for long since. One that connects for the first time is told
/// to stream at once.
fn is_hardly_back(before: &VideoSourceStatus, assignment: &Assignment, report: &SourceReport) -> bool {
    let failed = before.state == Some(StreamState::Reconnecting) && before.reason.as_deref() != Some("Connecting");
    failed && before.assignment.as_ref() == Some(assignment) && report.state_ms < SETTLES
}

/// Why it has no pod, as a word and a sentence.
fn waits<'a>(facts: &SourceFacts<'a>) -> (&'a str, Cow<'a, str>) {
    if let Some(refusal) = facts.refusal {
        return (&refusal.reason, (&*refusal.message).into());
    }
    let reason = facts.pending.map_or(PendingReason::WaitingForPod, |pending| pending.reason);
    match (facts.pending, facts.trouble) {
        (_, Some(Trouble { reason: word, message })) if reason == PendingReason::WaitingForPod => {
            let remedy = match &**word {
                "Unschedulable" => "; add nodes, or ask for less in serving.resources and serving.gpu",
                _ => "",
            };
            (
                "PodsDoNotStart",
                format!("a pod for it does not start: {word}: {}{remedy}", message.trim_end_matches('.')).into(),
            )
        }
        (Some(pending), _) => (reason.as_str(), pending.sentence()),
        (None, _) => (reason.as_str(), reason.sentence().into()),
    }
}

fn conditions(
    facts: &SourceFacts<'_>,
    before: &VideoSourceStatus,
    status: &VideoSourceStatus,
    stream: &Stream,
) -> Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    let mut conditions = Conditions::new(&before.conditions, facts.object.metadata.generation, facts.now);
    let accepted = match (facts.refusal, facts.model_refusal) {
        (Some(refusal), _) => Says::no(&refusal.reason, &refusal.message),
        (None, _) if !facts.has_model => {
            Says::no(PendingReason::ModelNotFound.as_str(), PendingReason::ModelNotFound.sentence())
        }
        (None, Some(refusal)) => Says::no(PendingReason::ModelNotAccepted.as_str(), &refusal.message),
        (None, None) => Says::yes("Accepted", "the source can be watched"),
    };
    conditions.set("Accepted", &accepted);
    let (reason, message) = &waits(facts);
    let bound = status.assignment.as_ref().map(|assignment| format!("bound to pod {}", assignment.pod));
    // What is missing, and what to raise, is not the same once some of it was raised.
    let no = |reason, message| {
        let says = Says::no(reason, message);
        if reason == PendingReason::InsufficientCapacity.as_str() { says.in_words() } else { says }
    };
    match &bound {
        Some(bound) => conditions.set("Assigned", &Says::yes("Bound", bound)),
        None => conditions.set("Assigned", &no(reason, message)),
    }
    let why = stream.reason.as_deref().unwrap_or("Unknown");
    let sentence = stream.message.as_deref().unwrap_or_default();
    match (stream.state, &bound) {
        (StreamState::Streaming, Some(_)) => {
            conditions.set("Streaming", &Says::yes("FramesArrive", "frames arrive"));
            conditions.set("Ready", &Says::yes("FramesLookedAt", "frames are looked at"));
        }
        (_, Some(_)) => {
            conditions.set("Streaming", &Says::no(why, sentence));
            conditions.set("Ready", &Says::no(why, sentence));
        }
        (_, None) => {
            conditions.set("Streaming", &Says::no("NotAssigned", "no pod has the source"));
            conditions.set("Ready", &no(why, sentence));
        }
    }
    conditions.done()
}
