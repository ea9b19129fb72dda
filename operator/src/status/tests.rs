#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use crds::{
    DetectionModel, DetectionModelSpec, ModelSource, StreamState, VideoSource, VideoSourceSpec,
    report::{ModelPhase, ModelReport, PodReport, SourceReport, SourceState},
};
use jiff::{Timestamp, ToSpan};

use super::{ModelFacts, PodFacts, SourceFacts, model, source};
use crate::{
    index::Trouble,
    plan::{Allowed, Decision, Key, Load, Pending, PendingReason, Reason, Shortage, Standing},
};

fn now() -> Timestamp {
    Timestamp::from_second(1_760_000_000).unwrap()
}

fn camera() -> VideoSource {
    let mut source = VideoSource::new("gate", VideoSourceSpec::new("rtsp://camera/1", "people"));
    source.metadata.namespace = Some("yard".to_owned());
    source.metadata.generation = Some(1);
    source
}

fn facts(object: &VideoSource) -> SourceFacts<'_> {
    SourceFacts {
        now: now(),
        object,
        decision: None,
        refusal: None,
        has_model: true,
        model_refusal: None,
        pending: None,
        trouble: None,
        report: None,
        report_before: None,
    }
}

fn bind(epoch: i64) -> Decision {
    Decision::Bind {
        source: Key::new("yard", "gate"),
        pod: "people-1".into(),
        node: Some("node-1".into()),
        epoch,
        reason: Reason::Placed,
    }
}

fn told(state: SourceState, reason: Option<&str>) -> SourceReport {
    SourceReport {
        namespace: "yard".to_owned(),
        name: "gate".to_owned(),
        epoch: 10,
        state,
        reason: reason.map(str::to_owned),
        message: reason.map(|reason| format!("{reason} in words")),
        last_frame_ms: Some(1_759_999_990_500),
        width: Some(1_920),
        height: Some(1_080),
        codec: Some("H264".to_owned()),
        ..SourceReport::default()
    }
}

/// The source once it is bound and its pod tells this.
fn after(mut object: VideoSource, report: &SourceReport) -> VideoSource {
    object.status = Some(source(&SourceFacts { report: Some(report), ..facts(&object) }));
    object
}

fn bound() -> VideoSource {
    let mut object = camera();
    let decision = bind(10);
    object.status = Some(source(&SourceFacts { decision: Some(&decision), ..facts(&object) }));
    object
}

fn ready(object: &VideoSource) -> (String, String) {
    let conditions = &object.status.as_ref().unwrap().conditions;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    (ready.status.clone(), ready.reason.clone())
}

#[test]
fn from_pending_to_streaming_the_status_says_why() {
    let mut object = camera();
    let pending = Pending::of(PendingReason::WaitingForPod);
    object.status = Some(source(&SourceFacts { pending: Some(&pending), ..facts(&object) }));
    assert_eq!(object.status.as_ref().unwrap().state, Some(StreamState::Pending));
    assert_eq!(ready(&object), ("False".to_owned(), "WaitingForPod".to_owned()));
    let object = bound();
    let status = object.status.as_ref().unwrap();
    assert_eq!((status.state, status.epoch), (Some(StreamState::Reconnecting), Some(10)));
    let object = after(object, &told(SourceState::Streaming, None));
    let status = object.status.as_ref().unwrap();
    assert_eq!((status.state, status.reason.as_deref()), (Some(StreamState::Streaming), None));
    assert_eq!(status.resolution.as_deref(), Some("1920x1080"));
    assert_eq!(status.last_frame_time, None);
    assert_eq!(ready(&object).0, "True");
}

#[test]
fn what_has_not_changed_is_equal_whenever_it_is_asked() {
    for report in [told(SourceState::Streaming, None), told(SourceState::Backoff, Some("HostUnreachable"))] {
        let object = after(bound(), &report);
        let later = SourceFacts { now: now() + 5.minutes(), report: Some(&report), ..facts(&object) };
        assert_eq!(Some(source(&later)), object.status);
        // A pod that is silent for a moment changes nothing either.
        let silent = SourceFacts { now: now() + 5.minutes(), ..facts(&object) };
        assert_eq!(Some(source(&silent)), object.status);
    }
}

#[test]
fn another_sentence_for_the_same_reason_is_no_change() {
    let object = after(bound(), &told(SourceState::Backoff, Some("HostUnreachable")));
    let mut report = told(SourceState::Connecting, Some("HostUnreachable"));
    report.message = Some("tried 17 times".to_owned());
    assert_eq!(after(object.clone(), &report).status, object.status);
    // Between two attempts the reason of the last one stands.
    assert_eq!(after(object.clone(), &told(SourceState::Connecting, None)).status, object.status);
}

#[test]
fn the_last_frame_is_told_when_a_stream_stops() {
    let streaming = after(bound(), &told(SourceState::Streaming, None));
    let stopped = after(streaming, &told(SourceState::Stalled, Some("NoFrames")));
    let status = stopped.status.as_ref().unwrap();
    assert_eq!(status.state, Some(StreamState::Reconnecting));
    assert_eq!(status.last_frame_time.as_ref().unwrap().0.as_second(), 1_759_999_990);
    assert_eq!(ready(&stopped), ("False".to_owned(), "NoFrames".to_owned()));
    let again = after(stopped.clone(), &told(SourceState::Streaming, None));
    assert_eq!(again.status.unwrap().last_frame_time, stopped.status.unwrap().last_frame_time);
}

/// What a pod tells of a stream whose state has been what it is for so long.
fn told_for(state: SourceState, reason: Option<&str>, milliseconds: u64) -> SourceReport {
    SourceReport { state_ms: milliseconds, ..told(state, reason) }
}

#[test]
fn a_camera_that_comes_and_goes_is_told_once() {
    let streaming = after(bound(), &told_for(SourceState::Streaming, None, 0));
    assert_eq!(
        streaming.status.as_ref().unwrap().state,
        Some(StreamState::Streaming),
        "the first frames count at once"
    );
    let failed = after(streaming, &told_for(SourceState::Backoff, Some("ConnectionLost"), 10));
    assert_eq!(failed.status.as_ref().unwrap().state, Some(StreamState::Reconnecting), "a failure counts at once");
    let mut flapping = failed.clone();
    for _ in 0..30 {
        flapping = after(flapping, &told_for(SourceState::Streaming, None, 900));
        flapping = after(flapping, &told_for(SourceState::Connecting, None, 100));
        flapping = after(flapping, &told_for(SourceState::Backoff, Some("ConnectionLost"), 500));
    }
    assert_eq!(flapping.status, failed.status);
    let hardly = after(flapping, &told_for(SourceState::Streaming, None, 4_999));
    assert_eq!(hardly.status, failed.status);
    let back = after(hardly, &told_for(SourceState::Streaming, None, 5_000));
    assert_eq!(ready(&back).0, "True");
}

#[test]
fn a_stream_that_fails_without_a_reason_does_not_flap_either() {
    let streaming = after(bound(), &told_for(SourceState::Streaming, None, 60_000));
    let failed = after(streaming, &told_for(SourceState::Connecting, None, 0));
    assert_eq!(ready(&failed), ("False".to_owned(), "NoFrames".to_owned()));
    assert_eq!(after(failed.clone(), &told_for(SourceState::Streaming, None, 300)).status, failed.status);
}

#[test]
fn a_stream_that_has_moved_does_not_wait_to_be_told() {
    let failed = after(bound(), &told_for(SourceState::Backoff, Some("HostUnreachable"), 0));
    let decision = Decision::Bind {
        source: Key::new("yard", "gate"),
        pod: "people-2".into(),
        node: None,
        epoch: 11,
        reason: Reason::PodLost,
    };
    let mut moved = failed;
    moved.status = Some(source(&SourceFacts { decision: Some(&decision), ..facts(&moved) }));
    let report = SourceReport { epoch: 11, ..told_for(SourceState::Streaming, None, 0) };
    assert_eq!(ready(&after(moved, &report)).0, "True");
}

#[test]
fn a_source_that_waits_is_told_what_its_pod_waits_for() {
    let pending = Pending::of(PendingReason::WaitingForPod);
    let trouble = Trouble { reason: "Unschedulable".to_owned(), message: "0/2 nodes are available".to_owned() };
    let object = camera();
    let status = source(&SourceFacts { pending: Some(&pending), trouble: Some(&trouble), ..facts(&object) });
    assert_eq!(status.reason.as_deref(), Some("PodsDoNotStart"));
    assert_eq!(
        status.message.as_deref(),
        Some(
            "a pod for it does not start: Unschedulable: 0/2 nodes are available; add nodes, or ask for less in \
             serving.resources and serving.gpu"
        )
    );
}

fn shortage(max_pods: u64, waiting: u64) -> Shortage {
    Shortage {
        missing: Load { streams: 1, ..Load::default() },
        pod: Load { streams: 8, ..Load::default() },
        waiting,
        allowed: Allowed::MaxPods(max_pods),
        enough: 5,
    }
}

#[test]
fn what_is_missing_is_told_anew_once_more_is_allowed_and_not_for_each_source_that_waits() {
    let waits = |mut object: VideoSource, max_pods, waiting| {
        let reason = PendingReason::InsufficientCapacity;
        let pending = Pending { reason, shortage: Some(shortage(max_pods, waiting)) };
        object.status = Some(source(&SourceFacts { pending: Some(&pending), ..facts(&object) }));
        object
    };
    let first = waits(camera(), 1, 1);
    assert_eq!(waits(first.clone(), 1, 7).status, first.status);
    let status = waits(first, 2, 7).status.unwrap();
    let words = "serving.maxPods, which is 2";
    assert!(status.message.unwrap().contains(words));
    assert!(status.conditions.iter().filter(|told| told.message.contains(words)).count() == 2);
}

#[test]
fn a_model_tells_how_many_pods_would_do() {
    let mut object = people();
    for (waiting, words) in [(3, "3 sources wait for room: raise serving.maxPods from 2 to 5"), (1, "1 source waits")] {
        let standing = Standing { shortage: Some(shortage(2, waiting)), ..Standing::default() };
        let facts =
            ModelFacts { now: now(), object: &object, refusal: None, standing: &standing, pods: &[], refused: None };
        let status = model(&facts);
        let told = status.conditions.iter().find(|told| told.type_ == "HasRoom").unwrap();
        assert_eq!((&*told.status, &*told.reason), ("False", "InsufficientCapacity"));
        assert!(told.message.starts_with(words), "{}", told.message);
        object.status = Some(status);
    }
}

#[test]
fn an_epoch_never_decreases_and_survives_a_release() {
    let object = bound();
    let release =
        Decision::Release { source: Key::new("yard", "gate"), pod: "people-1".into(), reason: Reason::Disabled };
    let status = source(&SourceFacts { decision: Some(&release), ..facts(&object) });
    assert_eq!((status.assignment, status.epoch), (None, Some(10)));
}

#[test]
fn a_camera_edit_is_observed() {
    let mut object = after(bound(), &told(SourceState::Streaming, None));
    object.metadata.generation = Some(2);
    let status = source(&SourceFacts { report: Some(&told(SourceState::Streaming, None)), ..facts(&object) });
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(2)));
}

fn people() -> DetectionModel {
    let builtin = ModelSource { builtin: Some("starter".to_owned()), ..ModelSource::default() };
    let mut model = DetectionModel::new("people", DetectionModelSpec::new(builtin));
    model.metadata.generation = Some(3);
    model
}

fn pod(trouble: Option<Trouble>, report: PodReport) -> PodFacts<'static> {
    PodFacts { name: "people-1", trouble, is_silent: false, ends: false, report: Some(Arc::new(report)) }
}

fn of_model(object: &DetectionModel, standing: &Standing, pods: &[PodFacts<'_>]) -> Vec<(String, String, String)> {
    let facts = ModelFacts { now: now(), object, refusal: None, standing, pods, refused: None };
    let conditions = model(&facts).conditions;
    conditions.into_iter().map(|condition| (condition.type_, condition.status, condition.reason)).collect()
}

fn says(kind: &str, status: &str, reason: &str) -> (String, String, String) {
    (kind.to_owned(), status.to_owned(), reason.to_owned())
}

#[test]
fn the_clusters_own_reason_is_told_on_the_model() {
    let trouble = Trouble { reason: "ImagePullBackOff".to_owned(), message: "no such image".to_owned() };
    let standing = Standing { pods: 1, updated: 1, ..Standing::default() };
    let told = of_model(&people(), &standing, &[pod(Some(trouble), PodReport::default())]);
    assert!(told.contains(&says("Ready", "False", "ImagePullBackOff")), "{told:?}");
    assert!(told.contains(&says("PodsHealthy", "False", "ImagePullBackOff")), "{told:?}");
}

#[test]
fn a_revision_that_fails_to_load_is_told_while_the_old_one_serves() {
    let failed = ModelReport {
        phase: ModelPhase::Failed,
        digest: Some("sha256:old".to_owned()),
        reason: Some("SelfTestFailed".to_owned()),
        ..ModelReport::default()
    };
    let report = PodReport { model: failed, ..PodReport::default() };
    let standing = Standing { pods: 1, ready: 1, updated: 1, ..Standing::default() };
    let told = of_model(&people(), &standing, &[pod(None, report)]);
    assert!(told.contains(&says("Ready", "True", "PodsServe")), "{told:?}");
    assert!(told.contains(&says("Updated", "False", "SelfTestFailed")), "{told:?}");
}

#[test]
fn what_is_told_of_capacity_is_the_whole_of_which_four_fifths_are_planned() {
    let planned = Load { streams: 8, inferences: 100_000, decode: 1_000_000 }.planned();
    let standing = Standing { pod_capacity: planned, ..Standing::default() };
    let object = people();
    let facts =
        ModelFacts { now: now(), object: &object, refusal: None, standing: &standing, pods: &[], refused: None };
    let status = model(&facts);
    assert_eq!(status.pod_capacity.inferences_per_second, Some(100));
    assert_eq!((status.pod_capacity.streams, status.pod_capacity.decode), (Some(8), Some(1_000)));
    assert_eq!(
        status.selector.unwrap(),
        "app.kubernetes.io/managed-by=vision-operator,vision-operator.dev/model=people"
    );
}
