//! When each source published.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    observation::{Observation, SourceKey},
    sink::{Refused, Sink, SinkError},
};

/// Frames that make a stream, and the time within which they must come.
const STREAM_FRAMES: usize = 5;
const STREAM_TIME: Duration = Duration::from_secs(2);

/// The moments of every source's observations. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Record(Arc<Mutex<BTreeMap<SourceKey, Vec<Instant>>>>);

impl Record {
    fn with<T>(&self, read: impl FnOnce(&mut BTreeMap<SourceKey, Vec<Instant>>) -> T) -> T {
        read(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Observations of `key` so far.
    pub(super) fn count(&self, key: &SourceKey) -> usize {
        self.with(|sources| sources.get(key).map_or(0, Vec::len))
    }

    /// When `key` began to stream after `from`: the first of several frames that came close together.
    pub(super) fn streams_since(&self, key: &SourceKey, from: Instant) -> Option<Instant> {
        self.with(|sources| first_of_stream(sources.get(key)?, from))
    }

    /// The longest time between two frames of any of `keys` from `from` to `to`, both of which count as frames.
    pub(super) fn longest_gap<'a>(
        &self,
        keys: impl Iterator<Item = &'a SourceKey>,
        from: Instant,
        to: Instant,
    ) -> Duration {
        let gap = |times: &Vec<Instant>| longest_gap(times, from, to);
        self.with(|sources| {
            keys.map(|key| sources.get(key).map_or(to.saturating_duration_since(from), gap)).max().unwrap_or_default()
        })
    }
}

impl Sink for Record {
    fn name(&self) -> &'static str {
        "chaos"
    }

    fn publish(&mut self, observation: &Observation) -> Result<(), Refused> {
        let key = SourceKey::new(&observation.namespace, &observation.source);
        self.with(|sources| sources.entry(key).or_default().push(Instant::now()));
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

fn first_of_stream(times: &[Instant], from: Instant) -> Option<Instant> {
    let after = &times[times.partition_point(|time| *time < from)..];
    after.windows(STREAM_FRAMES).find(|run| run[STREAM_FRAMES - 1] - run[0] <= STREAM_TIME).map(|run| run[0])
}

fn longest_gap(times: &[Instant], from: Instant, to: Instant) -> Duration {
    let within = times.iter().copied().filter(|time| (from..=to).contains(time));
    let moments: Vec<Instant> = [from].into_iter().chain(within).chain([to]).collect();
    moments.windows(2).map(|pair| pair[1].saturating_duration_since(pair[0])).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_more_than_a_stray_frame() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut times = vec![at(0), at(100), at(5_000)];
        times.extend((0..10).map(|frame| at(9_000 + frame * 66)));
        assert_eq!(first_of_stream(&times, at(1_000)), Some(at(9_000)), "the frame at 5 s stands alone");
        assert_eq!(first_of_stream(&times, at(9_500)), None, "too few are left");
    }

    #[test]
    fn gaps_count_from_the_beginning_to_the_end() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let times = [at(100), at(200), at(350), at(900)];
        assert_eq!(longest_gap(&times, at(150), at(400)), Duration::from_millis(150));
        assert_eq!(longest_gap(&times, at(150), at(850)), Duration::from_millis(500));
        assert_eq!(longest_gap(&[], at(0), at(70)), Duration::from_millis(70));
    }
}
