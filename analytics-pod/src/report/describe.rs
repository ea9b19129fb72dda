//! What is known of the sources, as the report has it. Pure.

use std::collections::BTreeMap;

use crds::report::{Phase, Rates, SourceReport, SourceState};

use crate::{
    assign::{Binding, DesiredSource, kubernetes::Refused},
    observation::SourceKey,
    telemetry::StreamState,
};

/// What a source's counters say now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Now {
    /// Where its supervisor is; `None`: nobody supervises it yet.
    pub state: Option<StreamState>,
    /// How long it has been there, in milliseconds.
    pub state_ms: u64,
    /// Frames that a model ran on while it warms up.
    pub warmed: u64,
    /// Failed attempts in a row.
    pub failures: u64,
    /// Why the last attempt failed: a word and a sentence.
    pub failure: Option<(String, String)>,
    /// When the last access unit arrived, Unix milliseconds.
    pub last_frame_ms: Option<i64>,
    /// Codec, width and height.
    pub format: Option<(String, u32, u32)>,
    /// What it takes.
    pub demand: Option<Rates>,
}

/// A source that the pod holds.
#[derive(Clone, Debug)]
pub enum Described<'a> {
    /// It runs.
    Running(&'a DesiredSource, Now),
    /// It cannot run.
    Refused(Binding, &'a Refused),
}

/// The report of each source: what the pod holds, and under which epoch what it has lost is being closed.
#[must_use]
pub fn describe(held: &BTreeMap<SourceKey, Described<'_>>, releasing: &BTreeMap<SourceKey, u64>) -> Vec<SourceReport> {
    let mut reports: Vec<SourceReport> = held.iter().map(|(key, described)| report(key, described)).collect();
    let closing = releasing.iter().filter(|(key, _)| !held.contains_key(*key));
    reports.extend(closing.map(|(key, epoch)| SourceReport { phase: Phase::Releasing, ..named(key, *epoch) }));
    reports
}

fn named(key: &SourceKey, epoch: u64) -> SourceReport {
    SourceReport {
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        epoch: i64::try_from(epoch).unwrap_or(i64::MAX),
        ..SourceReport::default()
    }
}

fn report(key: &SourceKey, described: &Described<'_>) -> SourceReport {
    match described {
        Described::Refused(binding, refused) => SourceReport {
            phase: if binding.publishes { Phase::Active } else { Phase::Warming },
            state: SourceState::Failed,
            reason: Some(refused.reason.to_owned()),
            message: Some(refused.message.clone()),
            ..named(key, binding.epoch)
        },
        Described::Running(source, now) => {
            let binding = source.binding.unwrap_or(Binding { epoch: 0, publishes: true });
            let state = state(source, now);
            let is_streaming = state == SourceState::Streaming;
            let phase = if binding.publishes {
                Phase::Active
            } else if is_streaming && now.warmed > 0 {
                Phase::Warm
            } else {
                Phase::Warming
            };
            let failure = now.failure.clone().filter(|_| !is_streaming && state != SourceState::Completed);
            let (codec, width, height) = match now.format.clone() {
                // As the resources write it: H264.
                Some((codec, width, height)) => (Some(codec.replace('.', "")), Some(width), Some(height)),
                None => (None, None, None),
            };
            SourceReport {
                phase,
                state,
                reason: failure.as_ref().map(|(reason, _)| reason.clone()),
                message: failure.map(|(_, message)| message),
                state_ms: now.state_ms,
                last_frame_ms: now.last_frame_ms,
                demand: now.demand.filter(|_| is_streaming),
                width,
                height,
                codec,
                ..named(key, binding.epoch)
            }
        }
    }
}

fn state(source: &DesiredSource, now: &Now) -> SourceState {
    match now.state {
        Some(StreamState::Streaming) => SourceState::Streaming,
        Some(StreamState::Stalled) => SourceState::Stalled,
        Some(StreamState::Backoff) => SourceState::Backoff,
        None | Some(StreamState::Idle | StreamState::Connecting) => SourceState::Connecting,
        Some(StreamState::Ended) => {
            let places = 1 + source.fallbacks.len() as u64;
            let most = source.recovery.max_attempts.map(|attempts| u64::from(attempts.get()) * places);
            if most.is_some_and(|most| now.failures >= most) { SourceState::Failed } else { SourceState::Completed }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::num::NonZeroU32;

    use crds::VideoSourceSpec;

    use super::*;

    fn source(publishes: bool) -> DesiredSource {
        let uri = "rtsp://camera/1";
        let spec = VideoSourceSpec::new(uri, "people");
        let source =
            DesiredSource::resolve(SourceKey::new("yard", "gate"), &spec, uri.parse().unwrap(), Vec::new(), None);
        DesiredSource { binding: Some(Binding { epoch: 7, publishes }), ..source }
    }

    fn one(source: &DesiredSource, now: Now) -> SourceReport {
        let held = [(source.key.clone(), Described::Running(source, now))].into();
        describe(&held, &BTreeMap::new()).remove(0)
    }

    fn streaming() -> Now {
        Now { state: Some(StreamState::Streaming), ..Now::default() }
    }

    #[test]
    fn a_source_is_warm_once_a_model_ran_on_a_frame_of_a_stream_that_still_flows() {
        let phase = |publishes, now| one(&source(publishes), now).phase;
        assert_eq!(phase(false, Now::default()), Phase::Warming);
        assert_eq!(phase(false, streaming()), Phase::Warming);
        assert_eq!(phase(false, Now { warmed: 1, ..streaming() }), Phase::Warm);
        let stalled = Now { state: Some(StreamState::Stalled), warmed: 1, ..Now::default() };
        assert_eq!(phase(false, stalled), Phase::Warming);
        assert_eq!(phase(true, Now::default()), Phase::Active);
    }

    #[test]
    fn why_it_does_not_stream_is_said_as_long_as_it_does_not() {
        let failure = Some(("NoFrames".to_owned(), "no frame for 5 s".to_owned()));
        let demand = Some(Rates { streams: 1, ..Rates::default() });
        let format = Some(("H.264".to_owned(), 320, 240));
        let stalled = Now { state: Some(StreamState::Stalled), failure, demand, format, ..Now::default() };
        let report = one(&source(true), stalled.clone());
        assert_eq!((report.state, report.reason.as_deref()), (SourceState::Stalled, Some("NoFrames")));
        assert_eq!((report.demand, report.codec.as_deref(), report.width), (None, Some("H264"), Some(320)));
        let report = one(&source(true), Now { state: Some(StreamState::Streaming), ..stalled });
        assert_eq!((report.reason, report.demand), (None, demand));
        assert_eq!(report.epoch, 7);
    }

    #[test]
    fn an_end_is_a_failure_after_as_many_attempts_as_were_allowed() {
        let ended = |failures| Now { state: Some(StreamState::Ended), failures, ..Now::default() };
        let mut source = source(true);
        assert_eq!(one(&source, ended(3)).state, SourceState::Completed);
        source.recovery.max_attempts = NonZeroU32::new(3);
        assert_eq!(one(&source, ended(2)).state, SourceState::Completed);
        assert_eq!(one(&source, ended(3)).state, SourceState::Failed);
    }

    #[test]
    fn what_is_lost_is_releasing_until_it_is_closed_unless_it_is_held_anew() {
        let source = source(true);
        let refused = Refused { reason: "PermissionDenied", message: "no".to_owned() };
        let held = [
            (source.key.clone(), Described::Running(&source, streaming())),
            (SourceKey::new("yard", "file"), Described::Refused(source.binding.unwrap(), &refused)),
        ]
        .into();
        let releasing = [(source.key.clone(), 5), (SourceKey::new("yard", "old"), 6)].into();
        let reports = describe(&held, &releasing);
        let told: Vec<_> =
            reports.iter().map(|report| (&*report.name, report.phase, report.state, report.epoch)).collect();
        assert_eq!(
            told,
            [
                ("file", Phase::Active, SourceState::Failed, 7),
                ("gate", Phase::Active, SourceState::Streaming, 7),
                ("old", Phase::Releasing, SourceState::Connecting, 6),
            ]
        );
    }
}
