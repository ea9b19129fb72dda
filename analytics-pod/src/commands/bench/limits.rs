//! Limits that a benchmark must keep: `--limit p95=100ms --limit cpu=80% --limit memory=1GiB --limit fps=29.5`.

use std::{fmt, str::FromStr};

use super::report::Report;

/// A figure that can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    /// Capture → published, by quantile; milliseconds.
    Latency(Quantile),
    /// Share of the cores in use, percent.
    Cpu,
    /// Peak proportional set size, bytes.
    Memory,
    /// Processed frames per second of the slowest source; the only figure with a lower limit.
    Fps,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantile {
    P50,
    P95,
    P99,
}

/// One limit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Limit {
    figure: Figure,
    value: f64,
    text: String,
}

/// A `--limit` that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("--limit {given}: {problem}; write p50, p95 or p99=100ms, cpu=80%, memory=1GiB or fps=29.5")]
pub struct LimitError {
    given: String,
    problem: &'static str,
}

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let error = |problem| LimitError { given: text.to_owned(), problem };
        let (name, value) = text.split_once('=').ok_or_else(|| error("there is no `=`"))?;
        let figure = match name {
            "p50" => Figure::Latency(Quantile::P50),
            "p95" => Figure::Latency(Quantile::P95),
            "p99" => Figure::Latency(Quantile::P99),
            "cpu" => Figure::Cpu,
            "memory" => Figure::Memory,
            "fps" => Figure::Fps,
            _ => return Err(error("no such figure")),
        };
        let units: &[(&str, f64)] = match figure {
            Figure::Latency(_) => &[("ms", 1.0), ("s", 1000.0)],
            Figure::Cpu => &[("%", 1.0)],
            Figure::Memory => &[("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("KiB", 1024.0)],
            Figure::Fps => &[("", 1.0)],
        };
        let value = units
            .iter()
            .find_map(|(unit, factor)| Some((value.strip_suffix(unit)?.parse::<f64>().ok()?, factor)))
            .map(|(number, factor)| number * factor)
            .filter(|value| value.is_finite() && *value >= 0.0)
            .ok_or_else(|| error("the value is not a number with this figure's unit"))?;
        Ok(Self { figure, value, text: text.to_owned() })
    }
}

/// What became of a limit.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    /// Whether the figure kept it. A figure that was not measured has not.
    pub(super) kept: bool,
    text: String,
    measured: Option<f64>,
    unit: &'static str,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.kept { "kept" } else { "BROKEN" };
        match self.measured {
            Some(value) => write!(f, "limit {}: {word} ({value:.1}{})", self.text, self.unit),
            None => write!(f, "limit {}: {word} (not measured)", self.text),
        }
    }
}

impl Limit {
    /// Holds the limit against what was measured.
    pub(super) fn judge(&self, report: &Report) -> Verdict {
        let quantile = |quantile| {
            report.total.latency_ms.as_ref().map(|latency| match quantile {
                Quantile::P50 => latency.p50,
                Quantile::P95 => latency.p95,
                Quantile::P99 => latency.p99,
            })
        };
        let (measured, unit, shown) = match self.figure {
            Figure::Latency(which) => (quantile(which), " ms", 1.0),
            Figure::Cpu => (Some(report.total.cpu_percent), " %", 1.0),
            Figure::Memory => (Some(report.memory.peak_bytes as f64), " MiB", 1_048_576.0),
            Figure::Fps => (report.sources.iter().map(|source| source.processed_fps).reduce(f64::min), "", 1.0),
        };
        let kept = measured.is_some_and(|measured| {
            if self.figure == Figure::Fps { measured >= self.value } else { measured <= self.value }
        });
        Verdict { kept, text: self.text.clone(), measured: measured.map(|value| value / shown), unit }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, value) in [
            ("p95=100ms", 100.0),
            ("p99=1.5s", 1500.0),
            ("cpu=80%", 80.0),
            ("memory=1GiB", 1_073_741_824.0),
            ("memory=260MiB", 272_629_760.0),
            ("fps=29.5", 29.5),
        ] {
            assert!((text.parse::<Limit>().unwrap().value - value).abs() < 1e-6, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for text in ["p95", "p94=1ms", "p95=100", "cpu=80", "memory=1GB", "fps=fast", "p95=-1ms", "cpu=NaN%"] {
            let error = text.parse::<Limit>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("write p50"), "{error}");
        }
    }

    #[test]
    fn a_figure_that_was_not_measured_breaks_its_limit() {
        let mut report = Report::default();
        assert!(!"p95=100ms".parse::<Limit>().unwrap().judge(&report).kept);
        assert!(!"fps=1".parse::<Limit>().unwrap().judge(&report).kept);
        report.total.cpu_percent = 90.0;
        let verdict = "cpu=80%".parse::<Limit>().unwrap().judge(&report);
        assert_eq!(verdict.to_string(), "limit cpu=80%: BROKEN (90.0 %)");
    }
}
