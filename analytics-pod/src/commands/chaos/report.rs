//! What recovered, and how fast.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use super::plan::Kind;

/// One fault as it was lived through. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    pub(super) camera: String,
    pub(super) fault: Kind,
    /// How long it lasted.
    pub(super) held_ms: u64,
    /// From its beginning until the pod said so; absent: it never did.
    pub(super) seen_ms: Option<u64>,
    /// From its beginning until the pod called it by its name; absent: it never did.
    pub(super) named_ms: Option<u64>,
    /// Why the stream had ended, and, as the last word before the camera was well, why it could not be had again.
    pub(super) reasons: Vec<String>,
    /// From the moment that the camera was well until frames were published again; absent: they never were.
    pub(super) recovered_ms: Option<u64>,
    /// The longest time without a frame of any other camera meanwhile.
    pub(super) others_gap_ms: u64,
}

/// The whole run. Its JSON form is a stable interface.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) cameras: usize,
    pub(super) frame_interval_ms: u64,
    /// The longest time without a frame of any camera while all were well.
    pub(super) calm_gap_ms: u64,
    pub(super) faults: Vec<Outcome>,
}

/// The outcomes of one kind.
struct Row<'a>(Vec<&'a Outcome>);

impl Row<'_> {
    fn sorted(&self, of: fn(&Outcome) -> Option<u64>) -> Vec<u64> {
        let mut all: Vec<u64> = self.0.iter().filter_map(|outcome| of(outcome)).collect();
        all.sort_unstable();
        all
    }

    fn worst(&self, of: fn(&Outcome) -> Option<u64>) -> String {
        self.sorted(of).last().map_or_else(|| "-".to_owned(), |worst| seconds(*worst))
    }

    fn median(&self, of: fn(&Outcome) -> Option<u64>) -> String {
        let sorted = self.sorted(of);
        sorted.get(sorted.len() / 2).map_or_else(|| "-".to_owned(), |median| seconds(*median))
    }
}

fn seconds(ms: u64) -> String {
    format!("{:.2}", ms as f64 / 1000.0)
}

impl Report {
    /// Whether every fault was seen and every camera came back.
    pub(super) fn is_good(&self) -> bool {
        self.faults.iter().all(|fault| fault.seen_ms.is_some() && fault.recovered_ms.is_some())
    }

    /// A table for people.
    pub(super) fn to_table(&self) -> String {
        let mut kinds: BTreeMap<Kind, Row<'_>> = BTreeMap::new();
        for outcome in &self.faults {
            kinds.entry(outcome.fault).or_insert_with(|| Row(Vec::new())).0.push(outcome);
        }
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "fault    times  back  seen s     named s    back s     back s     others'    reasons\n\
             \x20                    (longest)  (longest)  (median)   (longest)  gap ms"
        );
        for (kind, row) in &kinds {
            let back = row.0.iter().filter(|outcome| outcome.recovered_ms.is_some()).count();
            let gap = row.0.iter().map(|outcome| outcome.others_gap_ms).max().unwrap_or_default();
            let mut reasons: Vec<&str> =
                row.0.iter().flat_map(|outcome| &outcome.reasons).map(String::as_str).collect();
            reasons.sort_unstable();
            reasons.dedup();
            let _ = writeln!(
                text,
                "{:<8} {:>5} {:>5}  {:<9}  {:<9}  {:<9}  {:<9}  {:<9}  {}",
                format!("{kind:?}"),
                row.0.len(),
                back,
                row.worst(|outcome| outcome.seen_ms),
                row.worst(|outcome| outcome.named_ms),
                row.median(|outcome| outcome.recovered_ms),
                row.worst(|outcome| outcome.recovered_ms),
                gap,
                reasons.join(", ")
            );
        }
        let _ = writeln!(
            text,
            "\nseed {}, {} cameras with a frame every {} ms; longest gap while all were well: {} ms",
            self.seed, self.cameras, self.frame_interval_ms, self.calm_gap_ms
        );
        let lost = self.faults.iter().filter(|fault| fault.recovered_ms.is_none()).count();
        let unseen = self.faults.iter().filter(|fault| fault.seen_ms.is_none()).count();
        let _ = match (lost, unseen) {
            (0, 0) => writeln!(text, "every fault was seen and every camera came back"),
            _ => writeln!(text, "{lost} did not come back, {unseen} were not seen"),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(fault: Kind, seen_ms: Option<u64>, recovered_ms: Option<u64>) -> Outcome {
        let reasons = vec!["ConnectionLost".to_owned(), "HostUnreachable".to_owned()];
        Outcome {
            camera: "camera-1".into(),
            fault,
            held_ms: 4_000,
            seen_ms,
            named_ms: seen_ms.map(|seen| seen + 600),
            reasons,
            recovered_ms,
            others_gap_ms: 81,
        }
    }

    #[test]
    fn a_table_tells_each_kind_and_what_did_not_come_back() {
        let mut report = Report {
            seed: 7,
            cameras: 4,
            frame_interval_ms: 66,
            calm_gap_ms: 75,
            faults: vec![
                outcome(Kind::Death, Some(3), Some(900)),
                outcome(Kind::Stall, Some(5_210), Some(1_700)),
                outcome(Kind::Death, Some(2), Some(2_500)),
            ],
        };
        assert!(report.is_good());
        insta::assert_snapshot!(report.to_table());
        report.faults.push(outcome(Kind::Hang, Some(5_000), None));
        assert!(!report.is_good());
        assert!(report.to_table().contains("1 did not come back, 0 were not seen"));
    }
}
