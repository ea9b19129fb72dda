//! Durations as people write them: `50ms`, `5s`, `1m30s`.

use std::{borrow::Cow, fmt, str::FromStr, time};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// The units in the order in which they are written, with their length in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Digits of each number; more could overflow the nanoseconds of an `i64`, which is what CEL's `duration()` holds.
const MAX_DIGITS: usize = 6;

/// What [`Duration::from_str`] takes, for the API server. The letters are a subset of what Go's `time.ParseDuration`
/// takes, so a CEL rule may compare `duration(self)`.
pub(crate) const PATTERN: &str = "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,6}ms)?$";

/// A length of time in whole milliseconds, written `50ms`, `5s`, `2m`, `1h`, or several of these from the longest
/// unit to the shortest (`1m30s`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(time::Duration);

impl Duration {
    /// This many milliseconds.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(time::Duration::from_millis(milliseconds))
    }

    /// As the standard library has it.
    #[must_use]
    pub const fn get(self) -> time::Duration {
        self.0
    }
}

impl From<Duration> for time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

/// A text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a duration: write whole numbers with a unit, such as 50ms, 5s, 2m or 1m30s")]
pub struct ParseDurationError;

impl FromStr for Duration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut rest = text;
        let mut milliseconds = 0;
        let mut units = UNITS.iter();
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=MAX_DIGITS).contains(&digits) {
                return Err(ParseDurationError);
            }
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            // Searching on from the unit before keeps the order and refuses a unit that comes twice.
            let (_, length) = units.find(|(name, _)| *name == unit).ok_or(ParseDurationError)?;
            milliseconds += number.parse::<u64>().map_err(|_| ParseDurationError)? * length;
            rest = tail;
        }
        if text.is_empty() { Err(ParseDurationError) } else { Ok(Self::from_millis(milliseconds)) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in UNITS {
            let count = rest / u128::from(length);
            if count > 0 {
                write!(f, "{count}{unit}")?;
                rest %= u128::from(length);
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN, "minLength": 2, "maxLength": 31 })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, milliseconds) in [("50ms", 50), ("5s", 5_000), ("2m", 120_000), ("1m30s", 90_000), ("0s", 0)] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration, Duration::from_millis(milliseconds));
            assert_eq!(duration.to_string(), text);
        }
        assert_eq!("90s".parse::<Duration>().unwrap().to_string(), "1m30s");
    }

    #[test]
    fn refuses() {
        for text in ["", "5", "s", "5 s", "-5s", "+5s", "1.5s", "5S", "1s1m", "1s1s", "1ms1s", "1000000s", "5sec", "٣s"]
        {
            assert_eq!(text.parse::<Duration>(), Err(ParseDurationError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(milliseconds in 0_u64..1_000_000_000) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn never_panics(text in "[0-9hms.]{0,12}|\\PC{0,12}") {
            let _ = text.parse::<Duration>();
        }
    }
}
