//! Keeps one source running, whatever engine reads it: tries, watches, stops what stalls, waits, and tries again.
//!
//! What to do when is decided in [`machine`], which knows neither clocks nor engines; [`supervise`] does it.

mod ask;
mod drive;
mod machine;
mod turns;

use std::time::Duration;

pub use drive::supervise;

use super::{Failure, Input};

/// How a source is brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Frames that fail to come for this long are a stall, even if the connection is open.
    pub stall_timeout: Duration,
    /// The longest wait after the first failure; doubles with every further one.
    pub initial_backoff: Duration,
    /// The longest wait of all.
    pub max_backoff: Duration,
    /// Failed attempts in a row after which the source is given up; 0: never. Where there are fallbacks, an attempt is
    /// one at each of them.
    pub max_attempts: u32,
}

/// The places of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternatives {
    /// The first and its fallbacks, in the order in which they are tried.
    pub inputs: Vec<Input>,
    /// Whether the first may be asked, over a connection of its own, while a fallback streams. Otherwise it is taken
    /// again when the fallback fails.
    pub ask_first: bool,
}

impl Alternatives {
    /// A source with one place.
    #[must_use]
    pub fn only(input: Input) -> Self {
        Self { inputs: vec![input], ask_first: false }
    }
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            stall_timeout: Duration::from_secs(5),
            initial_backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(5),
            max_attempts: 0,
        }
    }
}

/// How the supervision of a source ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A finite input played to its end.
    Completed,
    /// [`Recovery::max_attempts`] failed in a row, the last for this reason.
    GaveUp(Failure),
    /// The supervisor was told to end.
    Cancelled,
}
