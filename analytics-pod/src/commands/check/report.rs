//! What `check` found, and how it is told.

use std::fmt::Write;

use serde::Serialize;

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) enum Standing {
    /// As it should be.
    Good,
    /// Not there, and not needed by what was checked.
    Absent,
    /// In the way of what was checked.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    /// What kind of thing: `manifest`, `machine`, `element`, `model`, `source`.
    pub(super) kind: &'static str,
    /// Which.
    pub(super) name: String,
    pub(super) standing: Standing,
    /// What was found, and the remedy where it is bad.
    pub(super) detail: String,
}

impl Finding {
    pub(super) fn good(kind: &'static str, name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, name: name.into(), standing: Standing::Good, detail: detail.into() }
    }

    pub(super) fn absent(kind: &'static str, name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, name: name.into(), standing: Standing::Absent, detail: detail.into() }
    }

    pub(super) fn bad(kind: &'static str, name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, name: name.into(), standing: Standing::Bad, detail: detail.into() }
    }
}

/// Everything that was looked at. Its JSON form is a stable interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct CheckReport {
    /// In the order in which a person would look.
    pub(super) findings: Vec<Finding>,
}

impl CheckReport {
    /// Whether nothing is in the way.
    pub(super) fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.standing != Standing::Bad)
    }

    /// A table for people.
    pub(super) fn to_table(&self) -> String {
        let kind = self.findings.iter().map(|finding| finding.kind.len()).max().unwrap_or(0);
        let name = self.findings.iter().map(|finding| finding.name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for finding in &self.findings {
            let mark = match finding.standing {
                Standing::Good => "ok  ",
                Standing::Absent => "-   ",
                Standing::Bad => "FAIL",
            };
            let mut lines = finding.detail.lines();
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{mark}  {:kind$}  {:name$}  {}",
                finding.kind,
                finding.name,
                lines.next().unwrap_or_default()
            );
            for line in lines {
                let _ = writeln!(text, "      {:kind$}  {:name$}  {line}", "", "");
            }
        }
        let bad = self.findings.iter().filter(|finding| finding.standing == Standing::Bad).count();
        let _ = match bad {
            0 => writeln!(text, "\neverything that is needed is there"),
            1 => writeln!(text, "\n1 problem"),
            _ => writeln!(text, "\n{bad} problems"),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_is_wrong_and_counts_it() {
        let report = CheckReport {
            findings: vec![
                Finding::good("machine", "GStreamer", "1.22.0"),
                Finding::absent("machine", "GPU", "none: models run on the CPU"),
                Finding::bad("element", "avdec_h264", "not installed; install the package gstreamer1.0-libav"),
                Finding::good("model", "starter", "YOLOv8 layout\nlabels: person, car"),
            ],
        };
        assert!(!report.is_good());
        insta::assert_snapshot!(report.to_table());
    }

    #[test]
    fn what_is_absent_is_no_problem() {
        let report = CheckReport { findings: vec![Finding::absent("machine", "GPU", "none")] };
        assert!(report.is_good());
        assert!(report.to_table().contains("everything that is needed is there"));
    }
}
