//! True latency: from the moment the simulator sent a frame to the moment its observation was published.
//!
//! The barcode in the picture names the frame in the camera's loop, and the simulator tells when it sent that frame, once
//! a loop. A frame is published long before the loop comes round, so the last sending before the publishing is its own.

use std::collections::{HashMap, VecDeque};

use hdrhistogram::Histogram;

use super::report::Trend;

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

/// Latencies of one source, or of all.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    all: Histogram<u64>,
    /// By interval since the load began.
    intervals: Vec<Histogram<u64>>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { all: histogram(), intervals: Vec::new() }
    }
}

impl Latencies {
    /// Records a frame that was published `seconds` into the load.
    pub(super) fn record(&mut self, seconds: f64, latency_us: u64) {
        self.all.saturating_record(latency_us.max(1));
        let interval = (seconds.max(0.0) / INTERVAL) as usize;
        if self.intervals.len() <= interval {
            self.intervals.resize_with(interval + 1, histogram);
        }
        self.intervals[interval].saturating_record(latency_us.max(1));
    }

    /// Adds what `other` has recorded.
    pub(super) fn merge(&mut self, other: &Self) {
        // The histograms are all of one kind, so adding cannot fail.
        let add = |sum: &mut Histogram<u64>, more| sum.add(more).unwrap_or_else(|error| unreachable!("{error}"));
        add(&mut self.all, &other.all);
        if self.intervals.len() < other.intervals.len() {
            self.intervals.resize_with(other.intervals.len(), histogram);
        }
        for (sum, more) in self.intervals.iter_mut().zip(&other.intervals) {
            add(sum, more);
        }
    }

    /// All of them, in microseconds.
    pub(super) fn histogram(&self) -> &Histogram<u64> {
        &self.all
    }

    /// How the 99th percentile, in milliseconds, changes over the second half of the load.
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

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3)
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
            latencies.record(f64::from(second), 10_000 + 1_000 * u64::try_from(second).unwrap());
        }
        let trend = latencies.p99_trend().unwrap();
        assert!((trend.per_minute - 60.0).abs() < 1.0, "{trend:?}");
    }
}
