//! The pod's metrics, read back from Prometheus' text format. Pure.

use std::collections::BTreeMap;

/// Samples of one scrape: name and labels → value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metrics(Vec<Sample>);

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// A line that is no sample.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("/metrics has a line that is no sample: {0}")]
pub(crate) struct NoSample(String);

impl Metrics {
    /// Reads every sample of `text`.
    pub(crate) fn parse(text: &str) -> Result<Self, NoSample> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines.map(|line| sample(line).ok_or_else(|| NoSample(line.to_owned())));
        samples.collect::<Result<_, _>>().map(Self)
    }

    /// The sum of the samples of `name` that have all of `labels`; 0 without any.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|own| own == value))
        };
        self.0.iter().filter(has).map(|sample| sample.value).sum()
    }

    /// As [`Self::sum`], of a counter.
    pub(crate) fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.sum(name, labels) as u64
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (name, labels(rest.strip_suffix('}')?)?),
        None => (series, BTreeMap::new()),
    };
    Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
}

fn labels(mut rest: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next()? {
                (end, '"') => break end,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    escaped => value.push(escaped),
                },
                (_, plain) => value.push(plain),
            }
        };
        labels.insert(name.to_owned(), value);
        rest = quoted[end + 1..].trim_start_matches(',');
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TEXT: &str = "# HELP frames Frames.\n# TYPE frames counter\n\
        frames{source=\"a\",reason=\"x\"} 3\nframes{source=\"a\",reason=\"y\"} 4\nframes{source=\"b\",reason=\"x\"} 5\n\
        odd{label=\"a \\\"word\\\", {and}\\\\\\n\",more=\"\"} 1.5e3\nup 1\n";

    #[test]
    fn samples_are_summed_by_their_labels() {
        let metrics = Metrics::parse(TEXT).unwrap();
        assert_eq!(metrics.count("frames", &[("source", "a")]), 7);
        assert_eq!(metrics.count("frames", &[("source", "a"), ("reason", "y")]), 4);
        assert_eq!(metrics.count("frames", &[]), 12);
        assert_eq!(metrics.count("up", &[]), 1);
        assert_eq!(metrics.count("nothing", &[]), 0);
        assert!((metrics.sum("odd", &[("label", "a \"word\", {and}\\\n")]) - 1500.0).abs() < 1e-9);
    }

    #[test]
    fn a_line_that_is_no_sample_is_said() {
        for line in ["frames", "frames{source=\"a\" 3", "frames{source=\"a} 3", "frames{} many"] {
            assert_eq!(Metrics::parse(line), Err(NoSample(line.to_owned())), "{line}");
        }
    }
}
