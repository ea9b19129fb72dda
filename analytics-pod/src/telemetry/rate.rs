//! Events per second over the last seconds, counted without locks.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Whole seconds that a rate is taken over.
const WINDOW: u64 = 5;

/// One more than the window for the second under way, and one more so that its predecessor is not overwritten while it
/// is read.
const SLOTS: usize = WINDOW as usize + 2;

/// Counts events in slots of a second. The upper half of a slot tells which second (from 1), the lower half how many.
#[derive(Debug, Default)]
pub(super) struct RateMeter([AtomicU64; SLOTS]);

impl RateMeter {
    /// An event at `now`, which is since any fixed moment.
    pub(super) fn count(&self, now: Duration) {
        let second = now.as_secs() + 1;
        // An event at the edge of a second may be counted into the wrong one or be lost to a race; a rate bears that.
        let _ = self.slot(second).fetch_update(Relaxed, Relaxed, |slot| {
            Some(if slot >> 32 == second { slot + 1 } else { (second << 32) | 1 })
        });
    }

    /// Events per second over the last whole seconds before `now`; over the time since the fixed moment, where that is
    /// shorter.
    pub(super) fn per_second(&self, now: Duration) -> f64 {
        let current = now.as_secs() + 1;
        let count = |second: u64| {
            let slot = self.slot(second).load(Relaxed);
            if slot >> 32 == second { (slot & u64::from(u32::MAX)) as f64 } else { 0.0 }
        };
        if current <= 1 {
            return if now.is_zero() { 0.0 } else { count(current) / now.as_secs_f64().max(0.1) };
        }
        let first = current.saturating_sub(WINDOW).max(1);
        (first..current).map(count).sum::<f64>() / (current - first) as f64
    }

    fn slot(&self, second: u64) -> &AtomicU64 {
        &self.0[(second % SLOTS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_steady_rate_is_the_rate_from_the_first_whole_second_on() {
        let meter = RateMeter::default();
        for frame in 0..300 {
            meter.count(Duration::from_millis(frame * 40));
            if frame >= 25 {
                assert!(close(meter.per_second(Duration::from_millis(frame * 40)), 25.0), "after frame {frame}");
            }
        }
    }

    #[test]
    fn what_stops_falls_to_zero_and_what_was_before_does_not_come_back() {
        let meter = RateMeter::default();
        for frame in 0..50 {
            meter.count(Duration::from_millis(frame * 20));
        }
        assert!(close(meter.per_second(Duration::from_millis(1100)), 50.0));
        assert!(close(meter.per_second(Duration::from_millis(5100)), 10.0));
        for second in 6..40 {
            assert!(close(meter.per_second(Duration::from_secs(second)), 0.0), "at {second} s");
        }
    }
}
