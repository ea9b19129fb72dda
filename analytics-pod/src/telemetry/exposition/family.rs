//! Families of metrics under construction.

use prometheus::proto::{self, LabelPair, Metric, MetricFamily, MetricType};

/// One family under construction.
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    metrics: Vec<Metric>,
}

impl Family {
    const fn new(name: &'static str, help: &'static str, kind: MetricType) -> Self {
        Self { name, help, kind, metrics: Vec::new() }
    }

    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::COUNTER)
    }

    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::GAUGE)
    }

    pub(super) const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::HISTOGRAM)
    }

    pub(super) fn push(&mut self, labels: Vec<LabelPair>, value: f64) {
        let mut metric = Metric::from_label(labels);
        if self.kind == MetricType::COUNTER {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.metrics.push(metric);
    }

    /// `counts` are by bucket, the last one for what is over every bound.
    pub(super) fn push_histogram(&mut self, labels: Vec<LabelPair>, bounds: &[f64], counts: &[u64], sum: f64) {
        let mut cumulative = 0;
        let buckets = bounds.iter().zip(counts).map(|(bound, count)| {
            cumulative += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum);
        let mut metric = Metric::from_label(labels);
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }

    /// A family with one series without labels; none where there is no value.
    pub(super) fn single(mut self, value: Option<f64>) -> MetricFamily {
        if let Some(value) = value {
            self.push(Vec::new(), value);
        }
        self.finish()
    }

    pub(super) fn finish(self) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(self.metrics);
        family
    }
}

pub(super) fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
