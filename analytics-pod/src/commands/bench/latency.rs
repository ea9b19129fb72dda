//! True latency: from the moment the simulator sent a frame to the moment its observation was published.
//!
//! The barcode in the picture names the frame in the camera's loop, and the simulator tells when it sent that frame, once
//! a loop. A frame is published long before the loop comes round, so the last sending before the publishing is its own.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use hdrhistogram::Histogram;

use crate::trend::Trend;

/// Sendings of one frame number that are remembered; a latency of more loops than this is not known.
const LOOPS_REMEMBERED: usize = 4;

/// Longest latency that is recorded, in microseconds; what is longer counts as this.
const LONGEST_US: u64 = 60_000_000;

/// Seconds over which the quantiles of a trend's point are taken.
const INTERVAL: f64 = 10.0;

/// When each frame was sent, by one camera.
#[derive(Clone, Debug, Default)]
pub(super) struct Sendings {
    /// Unix microseconds of the last sendings by frame number, oldest first.
    by_frame: HashMap<u64, VecDeque<i64>>,
}

impl Sendings {
    /// The camera sent `frame` at `sent_us`. Telling it twice is no harm; sendings come in order.
    pub(super) fn add(&mut self, frame: u64, sent_us: i64) {
        let times = self.by_frame.entry(frame).or_default();
        if times.back().is_none_or(|last| *last < sent_us) {
            times.push_back(sent_us);
            if times.len() > LOOPS_REMEMBERED {
                times.pop_front();
            }
        }
    }

    /// Microseconds from the last sending of `frame` before `published_us` to then.
    pub(super) fn latency_us(&self, frame: u64, published_us: i64) -> Option<u64> {
        let sent = self.by_frame.get(&frame)?.iter().rev().find(|sent| **sent <= published_us)?;
        u64::try_from(published_us - sent).ok()
    }
}

/// Latencies by source and of all, and how the latter change.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    by_source: BTreeMap<Arc<str>, Histogram<u64>>,
    all: Histogram<u64>,
    /// Of all sources, by interval since the load began; coarse, so that a long load does not show in the memory that
    /// is being measured.
    intervals: Vec<Histogram<u64>>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { by_source: BTreeMap::new(), all: fine(), intervals: Vec::new() }
    }
}

impl Latencies {
    /// Records a frame of `source` that was published `seconds` into the load.
    pub(super) fn record(&mut self, source: &Arc<str>, seconds: f64, latency_us: u64) {
        let latency_us = latency_us.max(1);
        if let Some(histogram) = self.by_source.get_mut(source) {
            histogram.saturating_record(latency_us);
        } else {
            self.by_source.entry(Arc::clone(source)).or_insert_with(fine).saturating_record(latency_us);
        }
        self.all.saturating_record(latency_us);
        let interval = (seconds.max(0.0) / INTERVAL) as usize;
        if self.intervals.len() <= interval {
            self.intervals.resize_with(interval + 1, coarse);
        }
        self.intervals[interval].saturating_record(latency_us);
    }

    /// Adds what `other` has recorded.
    pub(super) fn merge(&mut self, other: &Self) {
        // What is added to each other is of one kind, so adding cannot fail.
        let add = |sum: &mut Histogram<u64>, more| sum.add(more).unwrap_or_else(|error| unreachable!("{error}"));
        for (source, more) in &other.by_source {
            add(self.by_source.entry(Arc::clone(source)).or_insert_with(fine), more);
        }
        add(&mut self.all, &other.all);
        if self.intervals.len() < other.intervals.len() {
            self.intervals.resize_with(other.intervals.len(), coarse);
        }
        for (sum, more) in self.intervals.iter_mut().zip(&other.intervals) {
            add(sum, more);
        }
    }

    /// Those of one source, in microseconds.
    pub(super) fn of(&self, source: &str) -> Option<&Histogram<u64>> {
        self.by_source.get(source)
    }

    /// Those of all, in microseconds.
    pub(super) fn all(&self) -> &Histogram<u64> {
        &self.all
    }

    /// How the 99th percentile of all, in milliseconds, changes over the second half of the load.
    pub(super) fn p99_trend(&self) -> Option<Trend> {
        let points: Vec<_> = self
            .intervals
            .iter()
            .enumerate()
            .filter(|(_, histogram)| !histogram.is_empty())
            .map(|(index, histogram)| {
                ((index as f64 + 0.5) * INTERVAL, histogram.value_at_quantile(0.99) as f64 / 1000.0)
            })
            .collect();
        Trend::through(&points[points.len() / 2..])
    }
}

fn fine() -> Histogram<u64> {
    histogram(3)
}

fn coarse() -> Histogram<u64> {
    histogram(2)
}

fn histogram(significant_digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, significant_digits)
        .unwrap_or_else(|error| unreachable!("constant histogram bounds are valid: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_frame_belongs_to_its_last_sending() {
        let mut sendings = Sendings::default();
        for (frame, sent) in [(7, 1_000), (8, 2_000), (7, 11_000), (7, 11_000)] {
            sendings.add(frame, sent);
        }
        assert_eq!(sendings.latency_us(7, 1_500), Some(500));
        assert_eq!(sendings.latency_us(7, 10_999), Some(9_999));
        assert_eq!(sendings.latency_us(7, 11_250), Some(250));
        assert_eq!(sendings.latency_us(7, 999), None);
        assert_eq!(sendings.latency_us(9, 5_000), None);
    }

    #[test]
    fn only_the_last_loops_are_kept() {
        let mut sendings = Sendings::default();
        for turn in 0..100 {
            sendings.add(1, turn * 10_000);
        }
        assert_eq!(sendings.by_frame[&1].len(), LOOPS_REMEMBERED);
        assert_eq!(sendings.latency_us(1, 990_100), Some(100));
    }

    #[test]
    fn a_growing_latency_shows_in_the_trend() {
        let mut latencies = Latencies::default();
        for second in 0..200 {
            latencies.record(&"gate".into(), f64::from(second), 10_000 + 1_000 * u64::try_from(second).unwrap());
        }
        let trend = latencies.p99_trend().unwrap();
        assert!((trend.per_minute - 60.0).abs() < 2.0, "{trend:?}");
    }

    #[test]
    fn each_source_is_told_apart_and_rounds_add_up() {
        let (gate, yard): (Arc<str>, Arc<str>) = ("gate".into(), "yard".into());
        let mut sum = Latencies::default();
        for round in 0..2 {
            let mut latencies = Latencies::default();
            latencies.record(&gate, f64::from(round), 1_000);
            latencies.record(&yard, f64::from(round), 9_000);
            sum.merge(&latencies);
        }
        assert_eq!((sum.all().len(), sum.of("gate").unwrap().len()), (4, 2));
        assert!(sum.of("gate").unwrap().max() < sum.of("yard").unwrap().min());
        assert_eq!(sum.of("street"), None);
    }
}
