//! What must be true of a source's counters once nothing is on its way, and of the frames that it published. Pure.

use std::collections::BTreeMap;

use analytics_pod::telemetry::DropReason;
use serde::{Deserialize, Serialize};

use crate::metrics::Metrics;

/// One published line, as far as it is held to account.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Line {
    /// The source's name.
    pub(crate) source: String,
    /// Which publishing run.
    pub(crate) session: u64,
    /// The frame's number in it.
    pub(crate) frame: u64,
    /// What was seen, which is not looked at.
    pub(crate) objects: Vec<serde::de::IgnoredAny>,
}

/// The lines of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// Lines.
    pub(crate) lines: u64,
    /// Objects in them.
    pub(crate) objects: u64,
    /// Publishing runs.
    pub(crate) sessions: u64,
    /// Numbers that were left out between the first and the last of a run, and before the first.
    pub(crate) missing: u64,
    /// Lines whose number is not above the one before.
    pub(crate) out_of_order: u64,
    last: Option<(u64, u64)>,
}

impl Published {
    /// Takes a line.
    pub(crate) fn take(&mut self, line: &Line) {
        self.lines += 1;
        self.objects += line.objects.len() as u64;
        let expected = match self.last {
            Some((session, frame)) if session == line.session => frame + 1,
            _ => {
                self.sessions += 1;
                0
            }
        };
        match line.frame.checked_sub(expected) {
            Some(missing) => self.missing += missing,
            None => self.out_of_order += 1,
        }
        self.last = Some((line.session, line.frame));
    }
}

/// The counters of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counters {
    pub(crate) received: u64,
    pub(crate) decoded: u64,
    pub(crate) processed: u64,
    pub(crate) attempts: u64,
    pub(crate) failures: u64,
    /// By reason; those with none are left out.
    pub(crate) dropped: BTreeMap<String, u64>,
    pub(crate) latencies: u64,
    pub(crate) objects: u64,
}

impl Counters {
    /// Those of `source`.
    pub(crate) fn of(metrics: &Metrics, source: &str) -> Self {
        let count = |name: &str| metrics.count(name, &[("source", source)]);
        let dropped = |reason: DropReason| {
            metrics.count("vision_pod_frames_dropped_total", &[("source", source), ("reason", reason.as_str())])
        };
        Self {
            received: count("vision_pod_frames_received_total"),
            decoded: count("vision_pod_frames_decoded_total"),
            processed: count("vision_pod_frames_processed_total"),
            attempts: count("vision_pod_source_attempts_total"),
            failures: count("vision_pod_source_failures_total"),
            dropped: DropReason::ALL
                .iter()
                .map(|reason| (reason.as_str().to_owned(), dropped(*reason)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            latencies: count("vision_pod_latency_seconds_count"),
            objects: count("vision_pod_objects_total"),
        }
    }

    fn drops(&self, reasons: &[DropReason]) -> u64 {
        reasons.iter().filter_map(|reason| self.dropped.get(reason.as_str())).sum()
    }

    /// Frames that are accounted for.
    pub(crate) fn settled(&self) -> u64 {
        self.processed + self.drops(&DropReason::ALL)
    }

    /// What does not add up, with what was published beside it; empty where everything does. Nothing may be on its way.
    pub(crate) fn discrepancies(&self, published: &Published) -> Vec<String> {
        use DropReason::{
            AwaitingKeyFrame, InferenceFailed, NotDue, NotReferenced, OutputOverflow, QueueOverflow, Superseded,
        };
        let mut found = Vec::new();
        let mut must = |holds: bool, what: String| {
            if !holds {
                found.push(what);
            }
        };
        must(
            self.received == self.settled(),
            format!(
                "received {} is not processed {} + dropped {}",
                self.received,
                self.processed,
                self.settled() - self.processed
            ),
        );
        let least = self.processed + self.drops(&[NotDue, Superseded, InferenceFailed, OutputOverflow]);
        let most = self.received.saturating_sub(self.drops(&[QueueOverflow, NotReferenced, AwaitingKeyFrame]));
        must(
            (least..=most).contains(&self.decoded),
            format!("decoded {} is not from {least} to {most}, as the drops before and after it ask", self.decoded),
        );
        must(
            self.latencies == self.processed,
            format!("latencies were measured of {} of {} processed frames", self.latencies, self.processed),
        );
        must(
            published.lines == self.processed,
            format!("{} lines were published of {} processed frames", published.lines, self.processed),
        );
        must(
            published.objects == self.objects,
            format!("{} objects were published and {} counted", published.objects, self.objects),
        );
        must(
            published.missing <= self.settled() - self.processed,
            format!(
                "{} frame numbers are missing and only {} drops are counted",
                published.missing,
                self.settled() - self.processed
            ),
        );
        must(published.out_of_order == 0, format!("{} lines came out of order", published.out_of_order));
        must(published.sessions <= 1, format!("it was published in {} runs instead of one", published.sessions));
        // The attempt under way has not failed yet.
        must(
            self.attempts == self.failures + 1,
            format!("{} attempts and {} failures: one attempt should be under way", self.attempts, self.failures),
        );
        found
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn line(session: u64, frame: u64) -> Line {
        serde_json::from_value(serde_json::json!({
            "source": "a", "session": session, "frame": frame, "objects": [{}, {}], "more": 1
        }))
        .unwrap()
    }

    fn good() -> (Counters, Published) {
        let dropped = [("Superseded", 3), ("AwaitingKeyFrame", 2), ("Stopped", 1)];
        let counters = Counters {
            received: 20,
            decoded: 17,
            processed: 14,
            attempts: 3,
            failures: 2,
            dropped: dropped.map(|(reason, count)| (reason.to_owned(), count)).into(),
            latencies: 14,
            objects: 28,
        };
        let mut published = Published::default();
        // 0 and 1 awaited a key frame, 7 to 9 were superseded.
        (2..7).chain(10..19).for_each(|frame| published.take(&line(5, frame)));
        (counters, published)
    }

    #[test]
    fn what_adds_up_is_not_complained_of() {
        let (counters, published) = good();
        assert_eq!(published.missing, 5);
        assert_eq!(counters.discrepancies(&published), Vec::<String>::new());
    }

    #[test]
    fn each_sum_that_is_wrong_is_said() {
        type Change = fn(&mut Counters, &mut Published);
        let (counters, published) = good();
        let wrong: [(&str, Change); 9] = [
            ("received 21 is not processed 14 + dropped 6", |counters, _| counters.received += 1),
            ("decoded 16 is not from 17", |counters, _| counters.decoded = 16),
            ("decoded 19 is not from 17 to 18", |counters, _| counters.decoded = 19),
            ("latencies were measured of 13", |counters, _| counters.latencies = 13),
            ("15 lines", |_, published| published.lines += 1),
            ("29 objects", |_, published| published.objects += 1),
            ("7 frame numbers are missing and only 6", |_, published| published.missing = 7),
            ("1 lines came out of order", |_, published| published.take(&line(5, 18))),
            ("in 2 runs", |_, published| published.take(&line(6, 0))),
        ];
        for (said, change) in wrong {
            let (mut counters, mut published) = (counters.clone(), published.clone());
            change(&mut counters, &mut published);
            let found = counters.discrepancies(&published).join("; ");
            assert!(found.contains(said), "{said}: {found}");
        }
    }

    #[test]
    fn counters_are_read_of_their_source_alone() {
        let text = "vision_pod_frames_received_total{namespace=\"default\",source=\"a\"} 9\n\
            vision_pod_frames_received_total{namespace=\"default\",source=\"b\"} 5\n\
            vision_pod_frames_dropped_total{namespace=\"default\",source=\"a\",reason=\"Superseded\"} 2\n\
            vision_pod_frames_dropped_total{namespace=\"default\",source=\"a\",reason=\"Stopped\"} 0\n";
        let counters = Counters::of(&Metrics::parse(text).unwrap(), "a");
        assert_eq!((counters.received, counters.settled()), (9, 2));
        assert_eq!(counters.dropped, [("Superseded".to_owned(), 2)].into());
    }

    proptest! {
        #[test]
        fn what_is_missing_and_what_came_is_all_there_is(steps in prop::collection::vec(1_u64..5, 1..100)) {
            let mut published = Published::default();
            let mut next = 0;
            for step in &steps {
                next += step;
                published.take(&line(1, next - 1));
            }
            prop_assert_eq!(published.lines + published.missing, next);
            prop_assert_eq!((published.out_of_order, published.sessions), (0, 1));
        }
    }
}
