//! What each stream takes, over the last seconds. Pure: counters and time are passed in.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crds::report::Rates;

use crate::observation::SourceKey;

/// What is looked back at.
const WINDOW: Duration = Duration::from_secs(10);

/// Less than this says too little.
const SHORTEST: Duration = Duration::from_secs(2);

/// The counters of a stream at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Frames that a model ran on.
    pub(super) inferred: u64,
    /// Time that decoding took.
    pub(super) decode: Duration,
}

/// The counters of every stream over the last seconds.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    samples: BTreeMap<SourceKey, VecDeque<(Duration, Counters)>>,
}

impl Demand {
    /// The counters of the streams that frames come from, at `now` (since any fixed moment). Streams that are not among
    /// them begin anew when they come back.
    pub(super) fn sample(&mut self, now: Duration, streaming: BTreeMap<SourceKey, Counters>) {
        self.samples.retain(|key, _| streaming.contains_key(key));
        for (key, counters) in streaming {
            let samples = self.samples.entry(key).or_default();
            // Counters of another run of the source.
            if samples
                .back()
                .is_some_and(|(_, last)| counters.inferred < last.inferred || counters.decode < last.decode)
            {
                samples.clear();
            }
            samples.push_back((now, counters));
            while samples.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= WINDOW) {
                samples.pop_front();
            }
        }
    }

    /// What `key` takes; nothing before enough is known.
    pub(super) fn of(&self, key: &SourceKey) -> Option<Rates> {
        let samples = self.samples.get(key)?;
        let ((from, first), (to, last)) = (*samples.front()?, *samples.back()?);
        let time = to.saturating_sub(from);
        if time < SHORTEST {
            return None;
        }
        let per_second = |amount: f64| (amount / time.as_secs_f64()).round() as u64;
        Some(Rates {
            streams: 1,
            milli_inferences_per_second: per_second((last.inferred - first.inferred) as f64 * 1e3),
            decode_micros_per_second: per_second(last.decode.saturating_sub(first.decode).as_secs_f64() * 1e6),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(demand: &mut Demand, second: u64, inferred: u64) {
        let counters = Counters { inferred, decode: Duration::from_millis(inferred * 2) };
        demand.sample(Duration::from_secs(second), [(SourceKey::new("yard", "gate"), counters)].into());
    }

    fn rates(demand: &Demand) -> Option<(u64, u64)> {
        let rates = demand.of(&SourceKey::new("yard", "gate"))?;
        Some((rates.milli_inferences_per_second, rates.decode_micros_per_second))
    }

    #[test]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let mut demand = Demand::default();
        let mut inferred = 0;
        for second in 0..30 {
            sample(&mut demand, second, inferred);
            inferred += if second < 15 { 5 } else { 10 };
        }
        assert_eq!(rates(&demand), Some((10_000, 20_000)));
    }

    #[test]
    fn too_little_says_nothing_and_what_begins_anew_is_not_mixed() {
        let mut demand = Demand::default();
        sample(&mut demand, 0, 100);
        sample(&mut demand, 1, 105);
        assert_eq!(rates(&demand), None);
        sample(&mut demand, 2, 110);
        assert_eq!(rates(&demand), Some((5_000, 10_000)));
        sample(&mut demand, 3, 2);
        assert_eq!(rates(&demand), None);
        demand.sample(Duration::from_secs(4), BTreeMap::new());
        assert_eq!(rates(&demand), None);
    }
}
