//! What streams take and pods can take, in the three dimensions that fill up separately.

/// What one stream takes, several take together, or a pod can take. Whole numbers, so that sums do not depend on their
/// order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Load {
    /// Streams.
    pub streams: u64,
    /// Thousandths of an inference per second.
    pub inferences: u64,
    /// Microseconds of decoder time per second.
    pub decode: u64,
}

/// One whole, in the millionths that [`Load::share_of`] counts in.
pub const WHOLE: u64 = 1_000_000;

/// Up to this part of a pod's measured capacity is planned: above it the slowest frames get much slower.
const PLANNED_PERCENT: u64 = 80;

impl Load {
    /// A pod that takes whatever comes.
    pub const UNLIMITED: Self = Self { streams: u64::MAX, inferences: u64::MAX, decode: u64::MAX };

    /// Together with `other`.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            streams: self.streams.saturating_add(other.streams),
            inferences: self.inferences.saturating_add(other.inferences),
            decode: self.decode.saturating_add(other.decode),
        }
    }

    /// Without `other`; no dimension falls below nothing.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            streams: self.streams.saturating_sub(other.streams),
            inferences: self.inferences.saturating_sub(other.inferences),
            decode: self.decode.saturating_sub(other.decode),
        }
    }

    /// No dimension is above that of `ceiling`.
    #[must_use]
    pub const fn fits(self, ceiling: Self) -> bool {
        self.streams <= ceiling.streams && self.inferences <= ceiling.inferences && self.decode <= ceiling.decode
    }

    /// How much of `ceiling` this is in the dimension that fills first, in millionths.
    #[must_use]
    pub fn share_of(self, ceiling: Self) -> u64 {
        let share = |used: u64, most: u64| match (used, most) {
            (0, _) | (_, u64::MAX) => 0,
            (_, 0) => u64::MAX / 2,
            (used, most) => used.saturating_mul(WHOLE) / most,
        };
        share(self.streams, ceiling.streams)
            .max(share(self.inferences, ceiling.inferences))
            .max(share(self.decode, ceiling.decode))
    }

    /// What is planned of this capacity: every stream, and 80 percent of the rest.
    #[must_use]
    pub const fn planned(self) -> Self {
        Self {
            streams: self.streams,
            inferences: percent(self.inferences, PLANNED_PERCENT),
            decode: percent(self.decode, PLANNED_PERCENT),
        }
    }

    /// This many percent of each dimension, rounded down.
    #[must_use]
    pub const fn percent(self, percents: u64) -> Self {
        Self {
            streams: percent(self.streams, percents),
            inferences: percent(self.inferences, percents),
            decode: percent(self.decode, percents),
        }
    }

    /// A measured capacity with two digits of each dimension kept and the rest rounded down: two pods of one kind that
    /// measure nearly the same then have the same capacity.
    #[must_use]
    pub fn rounded_down(self) -> Self {
        Self { streams: self.streams, inferences: two_digits(self.inferences), decode: two_digits(self.decode) }
    }

    /// How many loads like this fit into `ceiling`.
    #[must_use]
    pub fn times_in(self, ceiling: Self) -> u64 {
        let times = |one: u64, most: u64| most.checked_div(one).unwrap_or(u64::MAX);
        times(self.streams, ceiling.streams)
            .min(times(self.inferences, ceiling.inferences))
            .min(times(self.decode, ceiling.decode))
    }

    /// One of `count` equal parts.
    #[must_use]
    pub fn part(self, count: u64) -> Self {
        let part = |of: u64| of.checked_div(count).unwrap_or_default();
        Self { streams: part(self.streams), inferences: part(self.inferences), decode: part(self.decode) }
    }

    /// The least of each dimension.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self {
            streams: self.streams.min(other.streams),
            inferences: self.inferences.min(other.inferences),
            decode: self.decode.min(other.decode),
        }
    }

    /// Some dimension differs from `other` by more than this many percent of the other's.
    #[must_use]
    pub fn deviates(self, other: Self, percents: u64) -> bool {
        let far = |a: u64, b: u64| a.abs_diff(b).saturating_mul(100) > b.saturating_mul(percents);
        far(self.inferences, other.inferences) || far(self.decode, other.decode)
    }

    /// What it is in every dimension that is not nothing, for people.
    pub(super) fn words(self) -> String {
        let Self { streams, inferences, decode } = self;
        let rate = |thousandths: u64| match (thousandths / 1_000, thousandths % 1_000 / 100) {
            (whole, 0) if thousandths >= 100 => whole.to_string(),
            (whole, tenths) => format!("{whole}.{}", tenths.max(u64::from(whole == 0))),
        };
        let stream = if streams == 1 { "stream" } else { "streams" };
        let known = |value: u64| value > 0 && value != u64::MAX;
        let parts = [
            known(streams).then(|| format!("{streams} {stream}")),
            known(inferences).then(|| format!("{} inferences per second", rate(inferences))),
            known(decode).then(|| format!("{} ms of decoding per second", rate(decode))),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Pods of this ceiling that `self` fills at the least, were streams divisible.
    #[must_use]
    pub fn pods(self, ceiling: Self) -> u64 {
        let pods = |used: u64, most: u64| match (used, most) {
            (0, _) | (_, u64::MAX) => 0,
            (_, 0) => u64::MAX,
            (used, most) => used.div_ceil(most),
        };
        pods(self.streams, ceiling.streams)
            .max(pods(self.inferences, ceiling.inferences))
            .max(pods(self.decode, ceiling.decode))
    }
}

impl FromIterator<Load> for Load {
    fn from_iter<T: IntoIterator<Item = Load>>(loads: T) -> Self {
        loads.into_iter().fold(Self::default(), Self::plus)
    }
}

const fn percent(value: u64, percents: u64) -> u64 {
    if value == u64::MAX { value } else { value.saturating_mul(percents) / 100 }
}

fn two_digits(value: u64) -> u64 {
    let mut unit = 1;
    while value / unit >= 100 {
        unit *= 10;
    }
    value / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: Load = Load { streams: 10, inferences: 1_000_000, decode: 2_000_000 };

    #[test]
    fn streams_are_planned_to_the_full_and_rates_to_four_fifths() {
        assert_eq!(CAPACITY.planned(), Load { streams: 10, inferences: 800_000, decode: 1_600_000 });
        assert_eq!(Load::UNLIMITED.planned(), Load::UNLIMITED);
    }

    #[test]
    fn the_dimension_that_fills_first_counts() {
        let used = Load { streams: 2, inferences: 500_000, decode: 200_000 };
        assert_eq!(used.share_of(CAPACITY), WHOLE / 2);
        assert_eq!(used.share_of(Load::UNLIMITED), 0);
        assert_eq!(used.pods(Load { inferences: 300_000, ..CAPACITY }), 2);
    }

    #[test]
    fn measurements_keep_two_digits() {
        assert_eq!(
            Load { streams: 137, inferences: 987_654, decode: 99 }.rounded_down(),
            Load { streams: 137, inferences: 980_000, decode: 99 }
        );
    }

    #[test]
    fn a_fifth_more_is_not_yet_a_deviation() {
        let spec = Load { streams: 1, inferences: 10_000, decode: 100 };
        assert!(!Load { inferences: 12_000, ..spec }.deviates(spec, 20));
        assert!(Load { inferences: 12_001, ..spec }.deviates(spec, 20));
        assert!(Load { decode: 79, ..spec }.deviates(spec, 20));
    }
}
