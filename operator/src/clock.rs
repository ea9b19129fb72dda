//! The one place that reads the wall clock.

use jiff::Timestamp;

/// Now.
#[must_use]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Now, in Unix milliseconds.
#[must_use]
pub(crate) fn now_ms() -> i64 {
    now().as_millisecond()
}
