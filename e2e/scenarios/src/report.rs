//! What was measured, beside what it must reach.

use std::fmt::Write as _;

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// What it must reach.
    pub(crate) target: String,
    /// What it reached.
    pub(crate) measured: String,
    /// Whether that is enough.
    pub(crate) met: bool,
}

impl Row {
    /// A figure that must be at most `limit`.
    #[must_use]
    pub(crate) fn at_most(what: impl Into<String>, limit: f64, measured: f64, unit: &str) -> Self {
        Self {
            what: what.into(),
            target: format!("≤ {} {unit}", short(limit)),
            measured: format!("{measured:.2} {unit}"),
            met: measured <= limit,
        }
    }

    /// A figure that must be at least `limit`.
    #[must_use]
    pub(crate) fn at_least(what: impl Into<String>, limit: f64, measured: f64, unit: &str) -> Self {
        let Self { what, measured: text, .. } = Self::at_most(what, limit, measured, unit);
        Self { what, target: format!("≥ {} {unit}", short(limit)), measured: text, met: measured >= limit }
    }

    /// What is good to know, and has no target.
    #[must_use]
    pub(crate) fn told(what: impl Into<String>, measured: String) -> Self {
        Self { what: what.into(), target: "–".to_owned(), measured, met: true }
    }

    /// A count that must be exactly `expected`.
    #[must_use]
    pub(crate) fn exactly(what: impl Into<String>, expected: usize, measured: usize) -> Self {
        Self {
            what: what.into(),
            target: expected.to_string(),
            measured: measured.to_string(),
            met: measured == expected,
        }
    }
}

/// What became of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// Its name.
    pub(crate) scenario: &'static str,
    /// Its figures, or why there are none.
    pub(crate) end: End,
}

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// It was gone through.
    Measured(Vec<Row>),
    /// This cluster cannot show it.
    Skipped(String),
    /// It could not be gone through.
    Failed(String),
}

impl Outcome {
    /// Whether everything that was measured is as it must be.
    #[must_use]
    pub(crate) fn is_good(&self) -> bool {
        match &self.end {
            End::Measured(rows) => rows.iter().all(|row| row.met),
            End::Skipped(_) => true,
            End::Failed(_) => false,
        }
    }
}

/// At most two decimals.
fn short(limit: f64) -> f64 {
    (limit * 100.0).round() / 100.0
}

/// The outcomes as a table in Markdown.
#[must_use]
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut text = "| scenario | what | target | measured | |\n|---|---|---|---|---|\n".to_owned();
    for Outcome { scenario, end } in outcomes {
        match end {
            End::Measured(rows) => {
                for Row { what, target, measured, met } in rows {
                    let verdict = if *met { "met" } else { "**missed**" };
                    let _ = writeln!(text, "| {scenario} | {what} | {target} | {measured} | {verdict} |");
                }
            }
            End::Skipped(why) => {
                let _ = writeln!(text, "| {scenario} | skipped: {why} | | | |");
            }
            End::Failed(why) => {
                let _ = writeln!(text, "| {scenario} | **failed**: {why} | | | |");
            }
        }
    }
    text
}

/// The value below which `share` (0 to 1) of `values` lie, by the nearest rank; NaN of none.
#[must_use]
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).or(sorted.last()).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_tells_each_figure_and_its_verdict() {
        let outcomes = [
            Outcome {
                scenario: "pod lost",
                end: End::Measured(vec![
                    Row::at_most("bound elsewhere, p99", 5.0, 3.5678, "s"),
                    Row::exactly("duplicates", 0, 2),
                ]),
            },
            Outcome { scenario: "node lost", end: End::Skipped("no script that cuts nodes off was given".to_owned()) },
            Outcome { scenario: "drain", end: End::Failed("no second node".to_owned()) },
        ];
        insta::assert_snapshot!(table(&outcomes));
        assert_eq!(outcomes.map(|outcome| outcome.is_good()), [false, true, false]);
    }

    #[test]
    fn percentiles_are_by_the_nearest_rank() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        for (share, expected) in [(0.0, 1.0), (0.5, 3.0), (0.99, 5.0), (1.0, 5.0)] {
            assert!((percentile(&values, share) - expected).abs() < f64::EPSILON, "{share}");
        }
        assert!(percentile(&[], 0.5).is_nan());
    }
}
