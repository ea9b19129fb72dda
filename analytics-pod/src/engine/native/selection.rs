//! Which frames a source's asked rate needs: before the decoder among those that nothing refers to, after it among
//! all.
//!
//! Times are presentation times in nanoseconds. Frames are picked nearest to a grid of 1 ÷ rate that starts at the
//! first frame; the grid's points are multiples, so nothing drifts.

use std::{collections::VecDeque, time::Duration};

const SECOND: f64 = 1e9;
/// Span over which the camera's rate is measured.
const WINDOW: f64 = 2.0 * SECOND;
/// Span that must have been seen before disposable access units may all be left out.
const KNOWN: f64 = SECOND;
/// A step back by more than this is a new start (a file that plays again), not reordering.
const RESTART: f64 = SECOND;
/// The referenced access units suffice if they reach this share of the asked rate: a camera's clock is not exact.
const SUFFICES: f64 = 0.99;
/// Half a frame around a grid point, and half as much again for jitter.
const NEAR: f64 = 0.75;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::engine) struct Selector {
    rate: Option<f64>,
    /// Presentation time and whether other units refer to it, in decoding order.
    window: VecDeque<(f64, bool)>,
    newest_referenced: Option<f64>,
    /// Presentation time of the newest access unit that was let through to the decoder.
    newest_decoded: Option<f64>,
    grid: Option<Grid>,
    last_picture: Option<f64>,
    /// Smoothed time between pictures.
    picture_interval: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Grid {
    origin: f64,
    /// The next point to serve.
    next: f64,
}

impl Selector {
    /// The asked rate in frames per second from now on; `None`: every frame.
    pub(in crate::engine) fn set_rate(&mut self, rate: Option<f64>) {
        let rate = rate.filter(|rate| rate.is_finite() && *rate > 0.0);
        if rate != self.rate {
            self.rate = rate;
            self.grid = None;
        }
    }

    /// Whether to decode the access unit presented at `time`. Those that others refer to always are.
    pub(in crate::engine) fn decodes(&mut self, time: u64, disposable: bool) -> bool {
        let time = time as f64;
        self.note(time, !disposable);
        let decodes = self.is_needed(time, disposable);
        if decodes {
            self.newest_decoded = Some(time);
        }
        decodes
    }

    fn is_needed(&self, time: f64, disposable: bool) -> bool {
        let (Some(rate), true) = (self.rate, disposable) else { return true };
        let period = SECOND / rate;
        // However unevenly they come: none may be near a point of the grid for long.
        if self.newest_decoded.is_none_or(|decoded| (time - decoded).abs() >= period) {
            return true;
        }
        let covered = self.newest_referenced.is_some_and(|referenced| (time - referenced).abs() < period);
        if covered && self.referenced_rate().is_some_and(|referenced| referenced >= SUFFICES * rate) {
            return false;
        }
        let (Some(grid), Some(interval)) = (self.grid, self.unit_interval()) else { return true };
        let offset = (time - grid.origin).rem_euclid(period);
        offset.min(period - offset) <= NEAR * interval
    }

    /// Whether the picture presented at `time` is due.
    pub(in crate::engine) fn is_due(&mut self, time: u64) -> bool {
        let time = time as f64;
        let step = self.last_picture.map(|last| time - last);
        self.last_picture = Some(time);
        match step {
            Some(step) if step > 0.0 && step < WINDOW => {
                self.picture_interval = Some(self.picture_interval.map_or(step, |mean| mean + (step - mean) / 8.0));
            }
            Some(step) if step < -RESTART => self.grid = None,
            _ => {}
        }
        let Some(rate) = self.rate else { return true };
        let period = SECOND / rate;
        let Some(grid) = &mut self.grid else {
            self.grid = Some(Grid { origin: time, next: 1.0 });
            return true;
        };
        let reach = time + self.picture_interval.unwrap_or(0.0) / 2.0 - grid.origin;
        if reach < grid.next * period {
            return false;
        }
        // A late frame may be followed by one that is on time, but what was missed for longer is not made up for.
        grid.next = (grid.next + 1.0).max((reach / period).floor());
        true
    }

    /// Time between two pictures as they are shown, smoothed; zero until two have been seen.
    pub(super) fn picture_interval(&self) -> Duration {
        Duration::from_nanos(self.picture_interval.unwrap_or_default() as u64)
    }

    fn note(&mut self, time: f64, referenced: bool) {
        if self.window.back().is_some_and(|&(last, _)| (time - last).abs() > WINDOW.max(RESTART)) {
            self.window.clear();
            self.newest_referenced = None;
        }
        self.window.push_back((time, referenced));
        while self.window.front().is_some_and(|&(first, _)| first < time - WINDOW) {
            self.window.pop_front();
        }
        if referenced {
            self.newest_referenced = Some(time);
        }
    }

    /// Access units that others refer to, per second; `None` until enough has been seen.
    fn referenced_rate(&self) -> Option<f64> {
        let (count, span) = spread(self.window.iter().filter(|(_, referenced)| *referenced).map(|&(time, _)| time));
        (span >= KNOWN).then(|| (count - 1) as f64 / span * SECOND)
    }

    /// Mean time between access units; `None` for fewer than two.
    fn unit_interval(&self) -> Option<f64> {
        let (count, span) = spread(self.window.iter().map(|&(time, _)| time));
        (span > 0.0).then(|| span / (count - 1) as f64)
    }
}

/// How many times there are, and how far apart the outer ones lie.
fn spread(times: impl Iterator<Item = f64>) -> (usize, f64) {
    let (count, least, most) = times.fold((0, f64::INFINITY, f64::NEG_INFINITY), |(count, least, most), time| {
        (count + 1, f64::min(least, time), f64::max(most, time))
    });
    (count, if count < 2 { 0.0 } else { most - least })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Presentation times in decoding order, with whether nothing refers to them.
    fn camera(fps: f64, seconds: f64, b_frames: usize, jitter: &[f64]) -> Vec<(u64, bool)> {
        let interval = SECOND / fps;
        let time = |index: usize| {
            let shift = jitter.get(index % jitter.len().max(1)).copied().unwrap_or(0.0);
            ((index as f64 + 1.0 + shift) * interval) as u64
        };
        let count = (fps * seconds) as usize;
        let mut units = vec![(time(0), false)];
        let mut index = 1;
        while index + b_frames < count {
            units.push((time(index + b_frames), false));
            units.extend((index..index + b_frames).map(|b| (time(b), true)));
            index += b_frames + 1;
        }
        units
    }

    /// Plays `units`; returns the decoded and the selected times, in order of presentation.
    fn play(rate: f64, units: &[(u64, bool)]) -> (Vec<u64>, Vec<u64>) {
        let mut selector = Selector::default();
        selector.set_rate(Some(rate));
        // A decoder gives pictures in presentation order: a unit's picture comes once nothing earlier can follow.
        let (mut decoded, mut selected, mut held): (Vec<u64>, Vec<u64>, Vec<u64>) = Default::default();
        let mut release = |held: &mut Vec<u64>, before: u64, selector: &mut Selector| {
            held.sort_unstable();
            for time in held.extract_if(.., |time| *time < before) {
                decoded.push(time);
                if selector.is_due(time) {
                    selected.push(time);
                }
            }
        };
        for &(time, disposable) in units {
            if !disposable {
                release(&mut held, time, &mut selector);
            }
            if selector.decodes(time, disposable) {
                held.push(time);
            }
        }
        release(&mut held, u64::MAX, &mut selector);
        (decoded, selected)
    }

    proptest! {
        #[test]
        fn the_rate_is_the_asked_one_or_the_cameras(
            fps in 1.0_f64..60.0,
            rate in 0.2_f64..60.0,
            b_frames in 0_usize..4,
            jitter in prop::collection::vec(-0.2_f64..0.2, 1..20),
        ) {
            let units = camera(fps, 20.0, b_frames, &jitter);
            let (_, selected) = play(rate, &units);
            let (first, last) = (selected[0], units.iter().map(|unit| unit.0).max().unwrap_or(0));
            let asked = (last - first) as f64 / SECOND * rate;
            let there = units.len() as f64;
            prop_assert!(selected.len() as f64 <= asked.min(there) + 2.0, "{} of {asked}", selected.len());
            // Where the camera is hardly faster than asked, frames on the edge of two grid points may be lost.
            let least = if fps > 1.5 * rate || fps <= rate { asked.min(there) } else { 0.9 * asked.min(there) };
            prop_assert!(
                selected.len() as f64 >= SUFFICES * least - 2.0,
                "{} of {asked}, {there} there",
                selected.len()
            );
        }

        #[test]
        fn a_source_never_starves(
            times in prop::collection::vec((0.005_f64..0.5, any::<bool>()), 50..300),
            rate in 0.5_f64..40.0,
        ) {
            // Any spacing, any pattern of references, in presentation order.
            let mut now = 0.0;
            let units: Vec<(u64, bool)> = times
                .iter()
                .map(|&(step, disposable)| {
                    now += step * SECOND;
                    (now as u64, disposable)
                })
                .collect();
            let (_, selected) = play(rate, &units);
            let longest_step = 0.5 * SECOND;
            let allowed = 2.0 * SECOND / rate + 2.0 * longest_step;
            for pair in selected.windows(2) {
                prop_assert!(((pair[1] - pair[0]) as f64) < allowed, "a gap of {} ns", pair[1] - pair[0]);
            }
            let end = units.last().map_or(0, |unit| unit.0);
            prop_assert!((end - selected[selected.len() - 1]) as f64 <= allowed);
        }
    }

    #[test]
    fn uneven_frames_that_all_miss_the_grid_are_looked_at_too() {
        // Referenced ones first, so that their rate is known; then none is referred to, and each lies between two points
        // of the grid.
        let mut units: Vec<(u64, bool)> = (0..30_u64).map(|n| (n * 250_000_000, false)).collect();
        units.extend((15..30_u64).map(|n| (n * 500_000_000 + 250_000_000 * (n % 2) + 125_000_000, true)));
        let (_, selected) = play(2.0, &units);
        let longest = selected.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(longest < Some(2_000_000_000), "{longest:?}");
    }

    #[test]
    fn thirty_to_five_takes_every_sixth_frame() {
        let (decoded, selected) = play(5.0, &camera(30.0, 10.0, 0, &[]));
        assert_eq!(decoded.len(), 300, "every frame is referred to");
        assert_eq!(selected.len(), 50);
        assert!(selected.windows(2).all(|pair| (pair[1] - pair[0]).abs_diff(200_000_000) < 1_000));
    }

    #[test]
    fn disposable_frames_are_not_decoded_where_the_others_suffice() {
        // I B B P at 30 fps: 10 are referred to.
        let (decoded, selected) = play(5.0, &camera(30.0, 20.0, 2, &[]));
        assert!(decoded.len() <= 200 + 30, "{} decoded", decoded.len());
        assert!((98..=102).contains(&selected.len()), "{} selected", selected.len());
    }

    #[test]
    fn disposable_frames_are_decoded_where_they_are_needed() {
        let (_, selected) = play(15.0, &camera(30.0, 20.0, 2, &[]));
        assert!((298..=302).contains(&selected.len()), "{} selected", selected.len());
        // Those that are not near a grid point still are not.
        let (decoded, selected) = play(12.0, &camera(60.0, 20.0, 11, &[]));
        assert!((236..=242).contains(&selected.len()), "{} selected", selected.len());
        assert!(decoded.len() < 700, "{} of 1200 decoded", decoded.len());
    }

    #[test]
    fn every_frame_without_a_rate_and_with_a_senseless_one() {
        let mut selector = Selector::default();
        for rate in [None, Some(0.0), Some(-1.0), Some(f64::NAN)] {
            selector.set_rate(rate);
            assert!((0..100).all(|time| selector.decodes(time, true) && selector.is_due(time)));
        }
    }

    #[test]
    fn a_file_that_plays_again_starts_a_new_grid() {
        let mut selector = Selector::default();
        selector.set_rate(Some(1.0));
        let frame = |index: u64| index * 100_000_000;
        let first: Vec<u64> = (0..30).filter(|&index| selector.is_due(frame(index))).collect();
        let again: Vec<u64> = (0..30).filter(|&index| selector.is_due(frame(index))).collect();
        assert_eq!(first, [0, 10, 20]);
        assert_eq!(again, first);
    }

    #[test]
    fn a_new_rate_applies_at_once() {
        let mut selector = Selector::default();
        selector.set_rate(Some(0.1));
        assert!(selector.is_due(0));
        assert!(!selector.is_due(100_000_000));
        selector.set_rate(Some(10.0));
        assert!(selector.is_due(200_000_000));
        assert!(selector.is_due(300_000_000));
    }
}
